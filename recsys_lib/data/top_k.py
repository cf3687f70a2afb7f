"""The k largest of each row, with one answer: equal values rank by index."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from recsys_lib.data.native import call, compiled

_SOURCE = Path(__file__).with_suffix(".c")


def top_k(scores: Tensor, k: int, hide: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """The k largest of each row, best first; of equal ones the lower index first, on every device; NaN before all.

    Args:
        scores: (B, n); float32 on a CPU is the fast case. Changed where something is hidden.
        hide: ends (B + 1,) and indexes (nnz,) int64, as a History has them: those of each row become -inf before.
    Returns:
        values (B, k), indexes (B, k) int64.
    Raises: ValueError when k is not in 0..n.
    """
    values, indexes, unsettled = top_k_unsettled(scores, k, hide)
    tied = torch.nonzero(unsettled).flatten()
    if len(tied):
        values[tied], indexes[tied] = _settled(scores[tied], values[tied, -1:], k)
    return values, indexes


def top_k_unsettled(scores: Tensor, k: int, hide: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """top_k that asks the device nothing, so that a GPU need not stop for it; (B,) bool says which rows are unsettled:
    of several scores that equal the k-th some were chosen, and not by index."""
    if not 0 <= k <= scores.shape[1]:
        raise ValueError(f"k must lie in 0..{scores.shape[1]}, the length of a row; got {k}")
    ends, hidden = (None, None) if hide is None else (hide[0].long(), hide[1].long())
    fast = scores.device.type == "cpu" and scores.dtype == torch.float32 and scores.is_contiguous()
    native = compiled(_SOURCE) if fast else None
    if native is None:
        if hide is not None:
            rows = torch.repeat_interleave(torch.arange(len(scores), device=scores.device), ends.diff(), output_size=len(hidden))
            scores[rows, hidden] = -torch.inf
        return _top_k_of_torch(scores, k)
    n_rows, n = scores.shape
    values = torch.empty((n_rows, k), dtype=torch.float32)
    indexes = torch.empty((n_rows, k), dtype=torch.int64)
    threads = torch.get_num_threads() if scores.numel() > 2**15 else 1  # waking the others costs some microseconds
    if call(native.top_k, scores, n_rows, n, k, ends, hidden, values, indexes, threads):
        raise MemoryError(f"no memory to choose the {k} largest of {n:,}")
    return values, indexes, torch.zeros(n_rows, dtype=torch.bool)


def _top_k_of_torch(scores: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
    n = scores.shape[1]
    values, indexes = scores.topk(min(k + 1, n), dim=1)
    # NaN sorts first and equals nothing, so a row that holds one is left as it is, for the caller to see.
    unsettled = (values[:, -1] == values[:, k - 1]) & ~values[:, 0].isnan() if k < n else torch.zeros_like(values[:, 0], dtype=torch.bool)
    values, indexes = values[:, :k], indexes[:, :k]
    # Two stable sorts of k columns: by index, then by value.
    indexes, order = indexes.sort(1)
    values, best = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, indexes.gather(1, best), unsettled


def _settled(scores: Tensor, bar: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Of the scores that equal the k-th (bar: (B, 1)) those with the lowest indexes."""
    above, equal = scores > bar, scores == bar
    room = k - above.sum(1, keepdim=True)
    chosen = above | (equal & (equal.cumsum(1, dtype=torch.int32) <= room))
    indexes = torch.nonzero(chosen)[:, 1].view(len(scores), k)
    values, best = scores.gather(1, indexes).sort(dim=1, descending=True, stable=True)
    return values, indexes.gather(1, best)


@dataclass(frozen=True)
class Panels:
    """n vectors and a number for each, as top_k.c multiplies by them.

    Attributes:
        vectors: (n_panels, d, width), a column a vector, zeros beyond the n-th. bias: (n_panels * width,), -inf beyond.
    """

    vectors: Tensor
    bias: Tensor
    n: int


def panels(vectors: Tensor, bias: Tensor) -> Panels | None:
    """What top_k_of_product wants of (n, d) vectors and an (n,) bias; None where there is no fast way: a GPU, no compiler."""
    fast = vectors.device.type == "cpu" and vectors.dtype == torch.float32
    native = compiled(_SOURCE) if fast else None
    if native is None:
        return None
    (n, d), width = vectors.shape, native.top_k_panel()
    n_panels = -(-n // width)
    filled = vectors.new_zeros(n_panels * width, d)
    filled[:n] = vectors
    padded = vectors.new_full((n_panels * width,), -torch.inf)
    padded[:n] = bias
    return Panels(filled.view(n_panels, width, d).transpose(1, 2).contiguous(), padded, n)


def top_k_of_product(rows: Tensor, of: Panels, k: int, hide: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """top_k(rows @ vectors.T + bias, k, hide), without the product ever lying in memory.

    Each sum is added up in one order whatever the other rows are, so a pair has one score to the last bit.

    Args:
        rows: (B, d) float32 on the CPU. k: 1..n. hide: as top_k has it.
    Returns:
        values (B, k); indexes (B, k) int64. Where fewer than k are left the value is -inf and the index means nothing.
    """
    (n_rows, d), native = rows.shape, compiled(_SOURCE)
    if d != of.vectors.shape[1] or not 1 <= k <= of.n:
        raise ValueError(f"wanted rows of {of.vectors.shape[1]} and k in 1..{of.n}; got rows of {d} and k = {k}")
    if rows.dtype != torch.float32 or len(hide[0]) != n_rows + 1:
        raise ValueError(f"wanted float32 rows and an end more than rows; got {rows.dtype}, {n_rows} rows and {len(hide[0])} ends")
    values = torch.empty((n_rows, k), dtype=torch.float32)
    indexes = torch.empty((n_rows, k), dtype=torch.int64)
    ends, hidden = hide[0].long(), hide[1].long()
    if call(native.top_k_of_product, rows.contiguous(), n_rows, d, of.vectors, of.bias, of.n, k, ends, hidden, values, indexes, torch.get_num_threads()):
        raise MemoryError(f"no memory to choose the {k} largest of {of.n:,}")
    return values, indexes
