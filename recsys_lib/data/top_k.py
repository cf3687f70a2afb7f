"""The k largest of each row, with one answer: equal values rank by index."""

from __future__ import annotations

import torch
from torch import Tensor


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest of each row, best first; of equal ones the lower index first, on every device.

    torch.topk alone breaks ties as it happens to. Where the k-th and the next value are equal, the row's choice among
    the equal ones is redone by index.

    Args:
        scores: (B, n).
    Returns:
        values (B, k), indexes (B, k) int64.
    """
    n = scores.shape[1]
    values, indexes = scores.topk(min(k + 1, n), dim=1)
    if k < n:
        # NaN sorts first and equals nothing, so a row that holds one is left as it is, for the caller to see.
        tied = torch.nonzero((values[:, k] == values[:, k - 1]) & ~values[:, 0].isnan()).flatten()
        values, indexes = values[:, :k], indexes[:, :k]
        if len(tied):
            row_scores = scores[tied]
            bar = values[tied, -1:]
            above = row_scores > bar
            equal = row_scores == bar
            room = k - above.sum(1, keepdim=True)
            chosen = above | (equal & (equal.cumsum(1, dtype=torch.int32) <= room))
            indexes[tied] = torch.nonzero(chosen)[:, 1].view(len(tied), k)
            values[tied] = row_scores.gather(1, indexes[tied])
    # Two stable sorts of k columns: by index, then by value.
    indexes, order = indexes.sort(1)
    values, best = values.gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, indexes.gather(1, best)
