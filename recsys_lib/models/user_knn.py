"""User-based neighbours: what people with a similar history chose.

    score(u, i) = Σ over the k nearest v of s(u, v) [v chose i]  /  Σ over them of s(u, v),   s(u, u) = 0

s is the cosine or the correlation of two histories (neighbours.py). The division by the sum of similarities is the
notes' own; it changes no user's order. Neighbours come from train, the history asked with may be longer. All
neighbours (k = 0) is right for very short histories; on long ones everybody overlaps with everybody, and all
neighbours together are little more than popularity.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender
from recsys_lib.models.neighbours import NeighbourConfig, SparseRows, likeness, nearest
from recsys_lib.models.popularity_correction import divided_rows


class UserKNN(Recommender):
    name = "user_knn"
    Config = NeighbourConfig
    needs_training = False

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        user_items = train.user_items()
        self.histories = SparseRows(user_items, self.device)  # (n_users, n_items)
        choosers = divided_rows(user_items.T, train, self.config.score_popularity_power)  # a vote for a popular item counts less
        self.choosers = SparseRows(choosers, self.device)  # (n_items, n_users)

    def score(self, users: Tensor, history: History) -> Tensor:
        votes, total = self.votes(users, history)
        return votes / total.clamp(min=1e-12)[:, None]  # (B, n_items)

    def votes(self, users: Tensor, history: History) -> tuple[Tensor, Tensor]:
        """The two sums of the formula: (B, n_items) and (B,)."""
        rows = torch.arange(len(users), device=self.device)
        # A few at a time: each needs a row of n_users, and there may be many more users than items.
        parts = rows.split(max(1, 2**22 // self.catalogue.n_users))
        if len(parts) == 1:
            return self._votes(users, history)
        votes, totals = zip(*(self._votes(users[part], history.take(part)) for part in parts))
        return torch.cat(votes), torch.cat(totals)

    def _votes(self, users: Tensor, history: History) -> tuple[Tensor, Tensor]:
        config = self.config
        common = self.histories.times(history.indptr, history.items)  # (B, n_users)
        found = likeness(
            common, history.lengths, self.histories.sizes, self.catalogue.n_items, config.similarity, config.shrinkage
        )
        found[torch.arange(len(users), device=self.device), users] = 0.0  # nobody is his own neighbour
        if 0 < config.k < found.shape[1]:
            indptr, voters, weights = nearest(found, config.k)
            return self.choosers.times(indptr, voters, weights), weights.view(len(users), -1).sum(1)
        return self.choosers.times_dense(found), found.sum(1)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0
