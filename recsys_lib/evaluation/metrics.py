"""One name, one definition. Everything is computed from where the hits are.

All functions take
    hits: (U, K) bool, hits[u, r] = the item at rank r + 1 of user u is held out; each held-out item at most once.
    n_held_out: (U,) int, how many items user u holds out.
    k: the cut-off, k <= K.
and return (U,) float64, NaN where a user holds out nothing; such a user is skipped, not counted as 0.

On the same lists recall, hit rate, NDCG and MRR equal those of ranx (and trec_eval, whose definitions it follows) to 1e-9.
Two differ by definition: truncated_recall, which neither has, and map, which they divide by the held-out items where
ours divides by min(k, held-out): a list of k places can then reach 1.
"""

from __future__ import annotations

import torch
from torch import Tensor


def recall_at_k(hits: Tensor, n_held_out: Tensor, k: int) -> Tensor:
    """Share of the held-out items found in the first k places: hits@k / held-out.

    Source: Ferrari Dacrema et al., TOIS 2021; with one held-out item it is HR@k of He et al., WWW 2017.
    """
    return _first(hits, k).sum(1) / _counted(n_held_out)


def truncated_recall_at_k(hits: Tensor, n_held_out: Tensor, k: int) -> Tensor:
    """The same with the most that k places can hold: hits@k / min(k, held-out).

    Source: Liang et al., WWW 2018 ("Recall@k"); also the metric of DACON 236170 and of the Boostcamp contest.
    """
    return _first(hits, k).sum(1) / _counted(n_held_out).clamp(max=k)


def hit_rate_at_k(hits: Tensor, n_held_out: Tensor, k: int) -> Tensor:
    """1 where at least one of the first k places is a hit, else 0."""
    return _first(hits, k).amax(1) + 0 * _counted(n_held_out)


def ndcg_at_k(hits: Tensor, n_held_out: Tensor, k: int) -> Tensor:
    """DCG@k / ideal DCG@k, DCG@k = Σ_{r <= k} hit_r / log2(r + 1).

    The ideal puts min(k, held-out) hits first (truncated; the untruncated ideal of some papers gives less).
    """
    discount = 1 / torch.log2(torch.arange(2, k + 2, device=hits.device, dtype=torch.float64))  # (k,)
    ideal = torch.cat([discount.new_full((1,), torch.nan), discount.cumsum(0)])  # place 0: nothing held out
    return (_first(hits, k) @ discount) / ideal[n_held_out.clamp(max=k)]


def mrr_at_k(hits: Tensor, n_held_out: Tensor, k: int) -> Tensor:
    """1 / rank of the first hit within the first k places, 0 without one."""
    ranks = torch.arange(1, k + 1, device=hits.device, dtype=torch.float64)
    return (_first(hits, k) / ranks).amax(1) + 0 * _counted(n_held_out)


def map_at_k(hits: Tensor, n_held_out: Tensor, k: int) -> Tensor:
    """Average precision: Σ_{r <= k} hit_r * precision@r / min(k, held-out); ranx and trec_eval divide by held-out."""
    first = _first(hits, k)
    ranks = torch.arange(1, k + 1, device=hits.device, dtype=torch.float64)
    return (first * first.cumsum(1) / ranks).sum(1) / _counted(n_held_out).clamp(max=k)


#: Registry names, as they stand in tables: "recall@10" is recall_at_k(..., k=10).
METRICS = {
    "recall": recall_at_k,
    "truncated_recall": truncated_recall_at_k,
    "ndcg": ndcg_at_k,
    "hit_rate": hit_rate_at_k,
    "mrr": mrr_at_k,
    "map": map_at_k,
}


def coverage_at_k(ranked: Tensor, n_items: int, k: int) -> float:
    """Share of the catalogue that stands in at least one user's first k places. ranked: (U, K) int, -1 = no item."""
    shown = torch.zeros(n_items + 1, dtype=torch.bool, device=ranked.device)
    shown[ranked[:, :k]] = True  # -1 is the last place, which is not counted
    return int(shown[:-1].sum()) / n_items


def novelty_at_k(ranked: Tensor, item_counts: Tensor, k: int) -> float:
    """Mean surprise of the recommended items in bits: -log2((count_i + 1) / (Σ (count + 1))).

    The added 1 keeps an item without interactions finite. Source: Zhou et al., PNAS 2010 (self-information).
    """
    share = (item_counts + 1).double()
    bits = torch.cat([-(share / share.sum()).log2(), share.new_zeros(1)])  # -1 is the last place: no item, no bits
    first = ranked[:, :k].long()
    return float(bits[first].sum() / (first >= 0).sum())


def _first(hits: Tensor, k: int) -> Tensor:
    if k > hits.shape[1]:
        raise ValueError(f"a metric at k = {k} needs lists of at least {k} items; these have {hits.shape[1]}")
    return hits[:, :k].double()


def _counted(n_held_out: Tensor) -> Tensor:
    counts = n_held_out.double()
    return torch.where(counts > 0, counts, torch.nan)
