"""User and item neighbours together: two weak witnesses that err on different rows.

    score(u, i) = (1 - w) Σ over the nearest users v of s(u, v) [v chose i]  +  w Σ over u's items j near i of s(i, j)

Plain sums: neither part is divided by its total, so a part that rests on much evidence weighs more. A sum of this kind,
item cosine times .6 plus user cosine (w = .375), was among the first 6 % of the leaderboard of DACON 236170.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender, option
from recsys_lib.models.item_knn import ItemKNN
from recsys_lib.models.neighbours import NeighbourConfig, check_neighbours
from recsys_lib.models.popularity_correction import SCORE_HELP, check_powers
from recsys_lib.models.user_knn import UserKNN


@dataclass(frozen=True)
class UserItemKNNConfig:
    item_weight: float = option(0.375, "w: weight of the item neighbours, 0..1; the user neighbours weigh 1 - w")
    user_k: int = option(100, "nearest users that vote; 0 = all of them")
    item_k: int = option(100, "nearest items that count; 0 = all of them")
    similarity: str = option("cosine", "cosine or pearson")
    shrinkage: float = option(0.0, "c in common count as c / (c + shrinkage) of their likeness; 0 = in full")
    score_popularity_power: float = option(0.0, SCORE_HELP)

    def __post_init__(self) -> None:
        if not 0 <= self.item_weight <= 1:
            raise ValueError(f"item_weight must lie in [0, 1]; got {self.item_weight}")
        for k in (self.user_k, self.item_k):
            check_neighbours(k, self.similarity, self.shrinkage)
        check_powers(self)


class UserItemKNN(Recommender):
    name = "user_item_knn"
    Config = UserItemKNNConfig
    needs_training = False

    def __init__(self, catalogue, config: UserItemKNNConfig) -> None:
        super().__init__(catalogue, config)
        shared = config.similarity, config.shrinkage, config.score_popularity_power
        self.by_user = UserKNN(catalogue, NeighbourConfig(config.user_k, *shared))
        self.by_item = ItemKNN(catalogue, NeighbourConfig(config.item_k, *shared))

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        self.by_user.prepare(train, generator)
        self.by_item.prepare(train, generator)

    def score(self, users: Tensor, history: History) -> Tensor:
        weight = self.config.item_weight
        votes, _ = self.by_user.votes(users, history)
        return votes.mul_(1 - weight).add_(self.by_item.score(users, history), alpha=weight)  # (B, n_items)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0
