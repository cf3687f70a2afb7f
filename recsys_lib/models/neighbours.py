"""What user_knn.py, item_knn.py and user_item_knn.py share: how alike two sets are, and products with sparse rows.

    c = |a ∩ b|  of two sets a and b out of n things
    cosine    s(a, b) = c / √(|a| |b|)
    pearson   s(a, b) = (n c - |a| |b|) / √(|a| (n - |a|) |b| (n - |b|)), the correlation of the two rows of ones and
              zeros; below 0 it counts as 0: two sets without a common element are strangers, not opposites
    shrunk    s(a, b) · c / (c + shrinkage): a likeness that rests on few common elements is trusted less

Source of the shrinkage: Bell and Koren, Improved Neighborhood-based Collaborative Filtering, KDD Cup 2007.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from recsys_lib.data.top_k import top_k
from recsys_lib.models.base import option
from recsys_lib.models.popularity_correction import SCORE_HELP, check_powers

SIMILARITIES = ("cosine", "pearson")
# On a CPU a multiplication of the sparse-sparse product costs about as much as this many of the sparse-dense one.
_SPARSE_COST = 25
_BLOCK = 2**22  # cells of a dense block: 16 MB


@dataclass(frozen=True)
class NeighbourConfig:
    k: int = option(100, "nearest neighbours that count; 0 = all of them")
    similarity: str = option("cosine", "cosine or pearson")
    shrinkage: float = option(0.0, "c in common count as c / (c + shrinkage) of their likeness; 0 = in full")
    score_popularity_power: float = option(0.0, SCORE_HELP)

    def __post_init__(self) -> None:
        check_neighbours(self.k, self.similarity, self.shrinkage)
        check_powers(self)


def check_neighbours(k: int, similarity: str, shrinkage: float) -> None:
    """Raises: ValueError for an option that no model of neighbours takes."""
    if k < 0:
        raise ValueError(f"k must be 0 (all neighbours) or more; got {k}")
    if similarity not in SIMILARITIES:
        raise ValueError(f"similarity must be one of {', '.join(SIMILARITIES)}; got {similarity!r}")
    if not shrinkage >= 0:
        raise ValueError(f"shrinkage must not be negative; got {shrinkage}")


class SparseRows(nn.Module):
    """m sparse rows of n columns, to be multiplied with blocks of other rows: (B, n) x (m, n) -> (B, m).

    A block is sparse too: CSR with `indptr` (B + 1,), `indices` (nnz,) and `values` (nnz,) or None for ones.
    """

    def __init__(self, matrix: sp.csr_matrix, device: torch.device) -> None:
        super().__init__()
        matrix = sp.csr_matrix(matrix, dtype=np.float32)
        sizes = np.diff(matrix.indptr)
        self.shape = matrix.shape
        self.n_entries = matrix.nnz
        self.register_buffer("sizes", torch.from_numpy(sizes.astype(np.float32)).to(device), persistent=False)
        self.is_dense = matrix.nnz > 0.2 * matrix.shape[0] * matrix.shape[1]  # all neighbours of dense data
        kept = torch.from_numpy(matrix.toarray()) if self.is_dense else _csr_tensor(matrix)
        self.register_buffer("matrix", kept.to(device), persistent=False)
        in_column = np.bincount(matrix.indices, minlength=matrix.shape[1])
        self.register_buffer("in_column", torch.from_numpy(in_column).to(device), persistent=False)
        self._by_column = None if self.is_dense else sp.csr_matrix(matrix.T)  # (n, m), used on a CPU

    def blocks(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Its own rows a block at a time: (b,) row numbers, indptr, indices. Blocks are sized for products with itself."""
        rows = self.matrix.to_sparse_csr() if self.is_dense else self.matrix
        indptr, indices = rows.crow_indices(), rows.col_indices()
        ends = indptr.tolist()
        step = max(1, _BLOCK // max(self.shape))
        for start in range(0, self.shape[0], step):
            stop = min(start + step, self.shape[0])
            numbers = torch.arange(start, stop, device=indptr.device)
            yield numbers, indptr[start : stop + 1] - ends[start], indices[ends[start] : ends[stop]]

    def times(self, indptr: Tensor, indices: Tensor, values: Tensor | None = None) -> Tensor:
        """(B, m) float32, dense. Chooses the cheaper product: of sparse rows where they are short, else with a dense block."""
        n_rows = len(indptr) - 1
        if self._by_column is not None and indices.device.type == "cpu":
            if int(self.in_column[indices].sum()) * _SPARSE_COST < self.n_entries * n_rows:
                data = np.ones(len(indices), np.float32) if values is None else values.numpy()
                rows = sp.csr_matrix((data, indices.numpy(), indptr.numpy()), shape=(n_rows, self.shape[1]))
                return torch.from_numpy((rows @ self._by_column).toarray())
        block = torch.zeros(self.shape[1], n_rows, device=indices.device)
        columns = torch.repeat_interleave(
            torch.arange(n_rows, device=indices.device), indptr[1:] - indptr[:-1], output_size=len(indices)
        )
        block[indices, columns] = 1.0 if values is None else values
        return self._dot(block).T

    def times_dense(self, block: Tensor) -> Tensor:
        """(B, n) dense -> (B, m)."""
        return self._dot(block.T.contiguous()).T

    def _dot(self, block: Tensor) -> Tensor:
        return self.matrix @ block if self.is_dense else torch.sparse.mm(self.matrix, block)


def likeness(common: Tensor, sizes: Tensor, other_sizes: Tensor, n: int, similarity: str, shrinkage: float) -> Tensor:
    """The formulas above.

    Args:
        common: (B, m) float32 c; may be overwritten. sizes: (B,) |a|. other_sizes: (m,) |b|. n: of all things.
    Returns:
        (B, m) float32, 0 where nothing is in common.
    """
    sizes, other_sizes = sizes.to(torch.float32), other_sizes.to(torch.float32)
    trust = common / (common + shrinkage) if shrinkage else None
    if similarity == "cosine":
        # One root of the product: two pairs of sets that are equally alike then come out equal to the last bit more often.
        found = common.div_((sizes.clamp(min=1)[:, None] * other_sizes.clamp(min=1)).sqrt_())
    else:
        spread, other_spread = ((x * (n - x)).clamp(min=1).sqrt() for x in (sizes, other_sizes))
        found = common.mul_(n).sub_(sizes[:, None] * other_sizes)
        found = found.div_(spread[:, None]).div_(other_spread).clamp_(min=0)
    return found if trust is None else found.mul_(trust.nan_to_num_(0.0))


def nearest(found: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The k < m largest of each row of (B, m) as a sparse block: indptr, indices, values. Equal ones count by index."""
    values, indices = found.topk(k + 1, dim=1)
    tied = torch.nonzero((values[:, k] == values[:, k - 1]) & (values[:, k] > 0)).flatten()  # which 0 counts is no matter
    values, indices = values[:, :k].contiguous(), indices[:, :k].contiguous()
    if len(tied):
        values[tied], indices[tied] = top_k(found[tied], k)
    indptr = torch.arange(0, values.numel() + 1, k, device=found.device)
    return indptr, indices.flatten(), values.flatten()


def _csr_tensor(matrix: sp.csr_matrix) -> Tensor:
    return torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr.astype(np.int64)),
        torch.from_numpy(matrix.indices.astype(np.int64)),
        torch.from_numpy(matrix.data),
        size=matrix.shape,
        check_invariants=False,
    )
