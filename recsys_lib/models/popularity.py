"""The floor: everybody is offered what most people chose.

score(u, i) = number of train interactions of item i.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender


class Popularity(Recommender):
    name = "popularity"
    needs_training = False

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        counts = torch.from_numpy(train.item_counts.astype("float32")).to(self.device)
        self.register_buffer("item_counts", counts, persistent=False)

    def score(self, users: Tensor, history: History) -> Tensor:
        return self.item_counts.repeat(len(users), 1)  # (B, n_items)
