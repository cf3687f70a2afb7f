"""A blend: several trained models give a list each, the places are weighted and added up.

    s(u, i) = Σ_m w_m · r_m(u, i),   i among the best 100 items of model m that u does not have yet; elsewhere r = 0

    min-max   r = (score - lowest) / (highest - lowest) of the user's list
    rank      r = 1 / log2(place + 1), what a place counts for in ndcg: scores of different scale cannot outvote one another
    softmax   r = softmax of the list's scores, brought to mean 0 and deviation 1

Each user's list is scaled alone, so a model that gives active users larger scores has no more say for them. Lists that
disagree gain most: of EASE and SASRec 5 % of the places are the same, of two autoencoders 60 %. Source of the scalings:
Fox & Shaw, Combination of Multiple Searches, TREC-2 1994 (min-max, sums); the discount: Järvelin & Kekäläinen, TOIS 2002.

It is made of trained models and not of options, so it stands in no registry; studies/blending.py finds the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from recsys_lib.data.features import FeatureTable
from recsys_lib.data.interactions import History
from recsys_lib.data.top_k import top_k
from recsys_lib.models.base import Recommender, option

LIST = 100  # places of a list that count, as many as lists.parquet holds
SCALINGS = ("min-max", "rank", "softmax")


@dataclass(frozen=True)
class BlendConfig:
    weights: tuple[float, ...] = option((), "of each model's list, in the order of the models")
    scaling: str = option("min-max", f"of a user's list, one of {', '.join(SCALINGS)}")

    def __post_init__(self) -> None:
        if self.scaling not in SCALINGS:
            raise ValueError(f"scaling must be one of {', '.join(SCALINGS)}; got {self.scaling!r}")
        if not self.weights or not min(self.weights) > 0:  # NaN too
            raise ValueError(f"a blend takes a weight above 0 for each of its models; got {list(self.weights)}")


class Blend(Recommender):
    """Args: members: trained models of one catalogue, in the order of config.weights."""

    needs_training = False

    def __init__(self, members: Sequence[Recommender], config: BlendConfig) -> None:
        if len(members) != len(config.weights):
            raise ValueError(f"{len(config.weights)} weights are for as many models; got {len(members)}")
        super().__init__(members[0].catalogue, config)
        self.to(members[0].device)
        self.name = "blend"  # not of the class: the registry would take it for a model that can be built of options
        self.members = nn.ModuleList(members)
        for member in self.members:
            if member.trained_on is None:
                raise ValueError(f"{member.name} was never trained; a blend is made of trained models")
            self.known_users |= member.known_users
            known = self.trained_on if self.trained_on is not None else member.trained_on
            self.trained_on = known if known is member.trained_on else np.union1d(known, member.trained_on)

    @property
    def uses_features(self) -> frozenset[str]:
        return frozenset().union(*(member.uses_features for member in self.members))

    def set_features(self, *, user: FeatureTable | None = None, item: FeatureTable | None = None) -> None:
        for member in self.members:
            member.set_features(user=user, item=item)

    def score(self, users: Tensor, history: History) -> Tensor:
        """A member that cannot score a user says what his features say; one that has nothing to go by has no say for him.

        What is in the history gets 0: the lists are of other items.
        """
        total = torch.zeros(len(users), self.catalogue.n_items, device=self.device)
        for member, weight in zip(self.members, self.config.weights):
            scores, of = member.score(users, history), member.can_score(users, history)
            strangers = users[~of]
            if len(strangers) and (by_features := member.score_newcomers(strangers)) is not None:
                scores[~of], of = by_features, torch.ones_like(of)
            self._add(total, scores, weight, (history.indptr, history.items), of)
        return total

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return torch.stack([member.can_score(users, history) for member in self.members]).any(0)

    def score_newcomers(self, users: Tensor) -> Tensor | None:
        total = None
        for member, weight in zip(self.members, self.config.weights):
            scores = member.score_newcomers(users)
            if scores is not None:
                total = torch.zeros_like(scores) if total is None else total
                self._add(total, scores, weight, None, None)
        return total

    def _add(self, total: Tensor, scores: Tensor, weight: float, hide: tuple[Tensor, Tensor] | None, of: Tensor | None) -> None:
        values, items = top_k(scores, min(LIST, scores.shape[1]), hide)
        scaled = weight * scaled_lists(values, self.config.scaling)
        total.scatter_add_(1, items, scaled if of is None else scaled * of[:, None])


def scaled_lists(values: Tensor, scaling: str) -> Tensor:
    """Scores (B, L) of lists, best first, -inf where there is no item, to what a place counts for.

    0 where there is no item, and in a list whose scores are all the same, which says nothing; NaN stays NaN.
    """
    there = values != -torch.inf
    lowest = values.masked_fill(~there, torch.inf).amin(1, keepdim=True)
    there = there & (values[:, :1] != lowest)
    if scaling == "rank":
        places = torch.arange(2, values.shape[1] + 2, device=values.device, dtype=torch.float32)
        return torch.where(values.isnan(), values, torch.where(there, 1 / torch.log2(places), 0.0))
    n = there.sum(1, keepdim=True).clamp(min=1)
    known = values.masked_fill(~there, 0.0)
    if scaling == "softmax":
        mean = known.sum(1, keepdim=True) / n
        deviation = ((known - mean).square() * there).sum(1, keepdim=True).div(n).sqrt()
        standard = ((known - mean) / deviation).masked_fill(~there, -torch.inf)
        return torch.where(there.any(1, keepdim=True), torch.softmax(standard, 1), 0.0)
    return torch.where(there, (known - lowest) / (values[:, :1] - lowest), 0.0)
