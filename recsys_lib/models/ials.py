"""iALS: matrix factorisation of all cells at once, by solving for users and items in turn.

    loss      Σ_{(u,i) in S} (1 - w_u·h_i)² + α Σ_u Σ_i (w_u·h_i)² + Σ_u λ_u |w_u|² + Σ_i λ_i |h_i|²
    λ_u       λ (|I_u| + α n_items)^ν,   λ_i = λ (|U_i| + α n_users)^ν
    sweep     w_u = (Σ_{i in I_u} h_i h_iᵀ + α HᵀH + λ_u I)⁻¹ Σ_{i in I_u} h_i for every user, then the same for every item
    start     H ~ N(0, .1 / √d)
    score     w_u · h_i, with w_u solved from the history at the time of asking, so that new users are scored as well

S are the rows of train. ν = 1 weighs a vector's penalty by how often it stands in the loss, ν = 0 treats all alike.
A row of l ones costs a system of min(l, d) unknowns; rows are solved in blocks of about equal lengths, so that memory stays
bounded however long a history is. Source: Hu, Koren and Volinsky, Collaborative Filtering for Implicit Feedback Datasets,
ICDM 2008, in the form of Rendle et al., Revisiting the Performance of iALS on Item Recommendation Benchmarks, RecSys 2022.
"""

from __future__ import annotations

import warnings
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender, option
from recsys_lib.models.popularity_correction import SCORE_HELP, check_powers, divisors

_CELLS = 2**24  # numbers that the systems of a block hold, and once more their vectors: 64 MB each


@dataclass(frozen=True)
class IALSConfig:
    factors: int = option(128, "d, size of the user and item vectors; more is better as long as there is regularisation")
    regularisation: float = option(0.003, "λ, times what a vector's penalty is weighted with; scan it: too much and all vectors are 0")
    unobserved_weight: float = option(0.1, "α, weight of every cell of the matrix beside the 1 of a chosen one")
    frequency_power: float = option(1.0, "ν, 1 = a penalty for each term of the loss that a vector is in, 0 = one a vector")
    n_sweeps: int = option(16, "times that all users and all items are solved for")
    score_popularity_power: float = option(0.0, SCORE_HELP)

    def __post_init__(self) -> None:
        for name in ("factors", "n_sweeps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more; got {getattr(self, name)}")
        for name in ("regularisation", "unobserved_weight"):
            if not getattr(self, name) > 0:  # NaN too
                raise ValueError(f"{name} must be above 0, or a user without rows has no solution; got {getattr(self, name)}")
        if not 0 <= self.frequency_power <= 1:
            raise ValueError(f"frequency_power must lie in [0, 1]; got {self.frequency_power}")
        check_powers(self)


class IALS(Recommender):
    name = "ials"
    Config = IALSConfig
    needs_training = False

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        config, device = self.config, self.device
        by_user = train.history(device)
        by_item = _rows(train.user_items().T.tocsr(), device)
        items = torch.randn(train.n_items, config.factors, generator=generator, device=device)
        items *= 0.1 / config.factors**0.5
        for _ in range(config.n_sweeps):
            users = self._solved(by_user.indptr, by_user.items, items)
            items = self._solved(*by_item, users)
        if len(train) and float(items.norm(dim=1).max()) < 0.01:
            warnings.warn(
                f"ials: regularisation {config.regularisation:g} with unobserved_weight {config.unobserved_weight:g} is too much for "
                "these rows: all vectors shrink to 0, and nothing is learned; lower one of them",
                stacklevel=2,
            )
        self.register_buffer("items", items, persistent=False)  # (n_items, d)
        self.register_buffer("gram", items.T @ items, persistent=False)  # (d, d)
        divided = items
        if config.score_popularity_power:
            divided = items / torch.from_numpy(divisors(train, config.score_popularity_power)).float().to(device)[:, None]
        self.register_buffer("scored_items", divided, persistent=False)

    def _solved(self, indptr: Tensor, indices: Tensor, table: Tensor, gram: Tensor | None = None) -> Tensor:
        """The vectors of B rows whose ones stand at `indices` of the other side's (n, d) table: (B, d)."""
        config, (n, d) = self.config, table.shape
        lengths = indptr[1:] - indptr[:-1]
        strengths = config.regularisation * (lengths + config.unobserved_weight * n) ** config.frequency_power
        # In the directions of its eigenvectors what all rows share is a diagonal.
        values, directions = torch.linalg.eigh((table.T @ table if gram is None else gram).double())
        values, directions = (config.unobserved_weight * values.clamp(min=0)).to(table.dtype), directions.to(table.dtype)
        turned = torch.cat([table @ directions, table.new_zeros(1, d)])  # the last row: what a place after the end looks up
        order = lengths.argsort(descending=True, stable=True)  # rows of one block are about equally long
        falling = lengths[order].neg().tolist()
        found, first = table.new_empty(len(lengths), d), 0
        while first < len(order):
            longest = -falling[first]
            block = order[first : first + max(1, _CELLS // (d * max(1, min(longest, d))))]
            shared = values + strengths[block, None]  # (b, d)
            if longest == 0:
                found[block] = 0
            elif longest <= d:
                found[block] = _solved_by_places(_looked_up(turned, indptr, indices, block, 0, longest), shared)
            else:
                systems, right = torch.diag_embed(shared), torch.zeros_like(shared)
                for start in range(0, longest, d):
                    m = bisect_left(falling, -start, first, first + len(block)) - first  # rows that are so long
                    part = _looked_up(turned, indptr, indices, block[:m], start, min(start + d, longest))
                    systems[:m].baddbmm_(part.mT, part)
                    right[:m] += part.sum(1)
                found[block] = torch.cholesky_solve(right[:, :, None], torch.linalg.cholesky(systems))[:, :, 0]
            first += len(block)
        return found @ directions.T

    # ---- scoring

    def item_vectors(self) -> tuple[Tensor, Tensor]:
        return self.scored_items, self.scored_items.new_zeros(len(self.scored_items))

    def user_vectors(self, users: Tensor, history: History) -> Tensor:
        return self._solved(history.indptr, history.items, self.items, self.gram)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0


def _looked_up(table: Tensor, indptr: Tensor, indices: Tensor, rows: Tensor, start: int, stop: int) -> Tensor:
    """(m, stop - start, d): what stands in the table for these places of each row; its last row for places past the end."""
    places = indptr[rows, None] + torch.arange(start, stop, device=table.device)
    past = places >= indptr[rows + 1, None]
    return F.embedding(indices[places.clamp_(max=len(indices) - 1)].masked_fill_(past, len(table) - 1), table)


def _solved_by_places(vectors: Tensor, shared: Tensor) -> Tensor:
    """(D + VᵀV)⁻¹ Vᵀ1 = D⁻¹Vᵀ (1 + V D⁻¹Vᵀ)⁻¹ 1: for rows with fewer places than factors a much smaller system.

    (b, L, d) V, zeros after a row's end, and (b, d) diagonals of D -> (b, d).
    """
    scaled = vectors / shared[:, None, :]
    systems = scaled @ vectors.mT  # (b, L, L)
    systems.diagonal(dim1=1, dim2=2).add_(1)
    ones = vectors.new_ones(*vectors.shape[:2], 1)
    return (scaled.mT @ torch.cholesky_solve(ones, torch.linalg.cholesky(systems)))[:, :, 0]


def _rows(matrix, device: torch.device) -> tuple[Tensor, Tensor]:
    """indptr and indices of a CSR matrix of ones, int64."""
    return tuple(torch.from_numpy(part.astype(np.int64)).to(device) for part in (matrix.indptr, matrix.indices))
