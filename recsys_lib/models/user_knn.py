"""User-based neighbours with the cosine of their histories: what people with a similar history chose.

    s(u, v) = |items(u) ∩ items(v)| / sqrt(|items(u)| |items(v)|),  s(u, u) = 0
    score(u, i) = Σ over the k nearest v of s(u, v) [v chose i]  /  Σ over them of s(u, v)

The division by the sum of similarities is the notes' own; it changes no user's order. Neighbours come from train,
the history asked with may be longer. All neighbours (k = 0) is right for very short histories; on long ones everybody
overlaps with everybody, and all neighbours together are little more than popularity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender, option


@dataclass(frozen=True)
class UserKNNConfig:
    k: int = option(100, "nearest neighbours that vote; 0 = all of them")

    def __post_init__(self) -> None:
        if self.k < 0:
            raise ValueError(f"k must be 0 (all neighbours) or more; got {self.k}")


class UserKNN(Recommender):
    name = "user_knn"
    Config = UserKNNConfig
    needs_training = False

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        user_items = train.user_items()
        norm = np.sqrt(np.maximum(train.user_counts, 1)).astype(np.float32)
        # Two sparse matrices whose products with a dense block are the similarities and the votes.
        self.register_buffer("unit_users", _csr(sp.diags(1 / norm) @ user_items, self.device), persistent=False)
        self.register_buffer("item_users", _csr(user_items.T, self.device), persistent=False)  # (n_items, n_users)

    def score(self, users: Tensor, history: History) -> Tensor:
        block = torch.zeros(self.catalogue.n_items, len(users), device=self.device)
        block[history.items, history.rows] = 1.0
        overlap = torch.sparse.mm(self.unit_users, block)  # (n_users, B): |u ∩ v| / |v|^½
        similarity = overlap.div_(history.lengths.clamp(min=1).sqrt())
        similarity[users, torch.arange(len(users), device=self.device)] = 0.0  # nobody is his own neighbour
        if 0 < self.config.k < len(similarity):
            similarity = _keep_largest(similarity, self.config.k)
        total = similarity.sum(0).clamp(min=1e-12)
        return torch.sparse.mm(self.item_users, similarity).div_(total).T  # (B, n_items)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0


def _keep_largest(similarity: Tensor, k: int) -> Tensor:
    """Zero all but the k largest of each column of (n, B)."""
    by_query = similarity.T.contiguous()  # topk along rows that lie together in memory
    values, places = by_query.topk(k, dim=1, sorted=False)
    return torch.zeros_like(by_query).scatter_(1, places, values).T


def _csr(matrix: sp.spmatrix, device: torch.device) -> Tensor:
    matrix = sp.csr_matrix(matrix, dtype=np.float32)
    return torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(matrix.data),
        size=matrix.shape,
        device=device,
        check_invariants=False,
    )
