"""EASE: one linear layer from the items of a history to all items, in closed form.

    B = argmin ||X - X B||² + λ ||B||²  subject to diag(B) = 0
    P = (XᵀX + λ I)⁻¹,  B = I - P / diag(P) by columns,  score(u) = x_u B

X is the (n_users, n_items) matrix of ones of train; x_u the history at the time of asking, which may be longer than
what was fitted on. Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender, option


@dataclass(frozen=True)
class EASEConfig:
    regularisation: float = option(300.0, "λ, added to the diagonal of XᵀX; scan it, the best differs by data set")

    def __post_init__(self) -> None:
        if not self.regularisation > 0:  # NaN too
            raise ValueError(f"regularisation must be above 0, or XᵀX may have no inverse; got {self.regularisation}")


class EASE(Recommender):
    name = "ease"
    Config = EASEConfig
    needs_training = False

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        gram = self._gram(train)
        # trace/λ bounds the condition number; where it is large, single precision would lose the small entries.
        if float(gram.diagonal().sum()) / self.config.regularisation > 1e4:
            gram = gram.double()
        gram.diagonal().add_(self.config.regularisation)
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))  # (n_items, n_items)
        weights = inverse.div_(-inverse.diagonal().clone()).float()
        weights.fill_diagonal_(0.0)
        self.register_buffer("weights", weights, persistent=False)

    def _gram(self, train: Interactions) -> Tensor:
        """XᵀX, (n_items, n_items) float32; the counts are exact below 2^24."""
        user_items = train.user_items()
        pairs = float((train.user_counts.astype(float) ** 2).sum())
        # A sparse product pays about a thousand times more for each pair of a row's items than a dense one for each cell.
        if 2000 * pairs < float(train.n_users) * train.n_items**2:
            return torch.from_numpy((user_items.T @ user_items).toarray()).to(self.device)
        gram = torch.zeros(train.n_items, train.n_items, device=self.device)
        for start in range(0, train.n_users, 2048):
            block = torch.from_numpy(user_items[start : start + 2048].toarray()).to(self.device)
            gram.addmm_(block.T, block)
        return gram

    def score(self, users: Tensor, history: History) -> Tensor:
        return history.times(self.weights)  # (B, n_items)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0
