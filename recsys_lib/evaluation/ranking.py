"""Score, mask, take the best k: the one path that evaluation and submission share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.data.top_k import top_k
from recsys_lib.models.base import Recommender


@dataclass(frozen=True)
class Ranking:
    """The best k items of U users.

    Attributes:
        items: (U, k) int64, best first; equal scores rank by item index; -1 where fewer than k items were left.
        scores: (U, k) float32, -inf where items is -1.
        fallback: (U,) bool: ranked by popularity because the model could not score the user, or gave everything the
            same score: that would be a ranking by item index.
    """

    items: Tensor
    scores: Tensor
    fallback: Tensor


@torch.inference_mode()
def rank(model: Recommender, users: Tensor, *, history: Interactions, seen: Interactions, k: int) -> Ranking:
    """The whole catalogue for each of `users`, what they have seen left out.

    Works in blocks of users that fit the cache (or the GPU's memory: a block is halved when memory runs out).

    Args:
        users: (U,) int64 user indexes. history: what the model may know of them; also gives the popularity of the
            fallback. seen: never recommended.
        k: places; at most n_items.
    Raises:
        ValueError: k is too large, or the model gives NaN.
    """
    n_items, device = seen.n_items, model.device
    if not 1 <= k <= n_items:
        raise ValueError(f"k must lie in 1..{n_items} (the catalogue's size); got {k}")
    was_training = model.training
    model.eval()
    users = users.to(device)
    known = history.history(device).take(users)
    masked = known if seen is history else seen.history(device).take(users)
    fallback = ~model.can_score(users, known)
    popularity = torch.from_numpy(history.item_counts.astype(np.float32)).to(device)
    any_fallback = bool(fallback.any())
    known_ends, masked_ends = known.indptr.tolist(), masked.indptr.tolist()  # once, so that the loop asks nothing

    items = torch.empty((len(users), k), dtype=torch.int64, device=device)
    scores = torch.empty((len(users), k), dtype=torch.float32, device=device)
    block = _block_of_users(device, n_items)
    start = 0
    while start < len(users):
        stop = min(start + block, len(users))
        try:
            block_scores = model.score(users[start:stop], _slice(known, known_ends, start, stop))
            if any_fallback:
                block_scores = torch.where(fallback[start:stop, None], popularity, block_scores)
            hide = _slice(masked, masked_ends, start, stop)
            hide = hide.rows, hide.items
            block_scores[hide] = -torch.inf
            values, found = top_k(block_scores, k)
            flat = _says_nothing(block_scores, values)
            if len(flat):
                block_scores[flat] = popularity
                block_scores[hide] = -torch.inf
                values[flat], found[flat] = top_k(block_scores[flat], k)
                fallback[start + flat] = True
            scores[start:stop], items[start:stop] = values, found
        except torch.OutOfMemoryError:
            if block == 1:
                raise
            block_scores = hide = values = found = None
            block = max(1, block // 2)
        else:
            start = stop
            continue
        # Outside the except block: inside, the traceback still holds the tensors.
        if device.type == "cuda":
            torch.cuda.empty_cache()
    model.train(was_training)
    _refuse_nan(model, scores)
    items[scores == -torch.inf] = -1
    return Ranking(items, scores, fallback)


@torch.inference_mode()
def rank_candidates(
    model: Recommender, users: Tensor, candidates: Tensor, *, history: Interactions, k: int
) -> Ranking:
    """The same for lists of candidates instead of the whole catalogue; nothing is masked.

    Args:
        users: (U,) int64 user indexes. candidates: (U, C) int64 item indexes, rising, -1 at the end of shorter lists.
        history: as in rank(). k: places; at most C.
    """
    device = model.device
    was_training = model.training
    model.eval()
    users, candidates = users.to(device), candidates.to(device)
    known = history.history(device).take(users)
    ends = known.indptr.tolist()
    fallback = ~model.can_score(users, known)
    counts = torch.from_numpy(history.item_counts.astype(np.float32)).to(device)
    items, scores = [], []
    step = _block_of_users(device, model.catalogue.n_items)  # a model may score the whole catalogue to give a few of it
    for start in range(0, len(users), step):
        stop = min(start + step, len(users))
        block = candidates[start:stop]
        empty, asked = block < 0, block.clamp(min=0)
        block_scores = model.score_items(users[start:stop], _slice(known, ends, start, stop), asked)
        popular = counts[asked].masked_fill_(empty, -torch.inf)
        block_scores = torch.where(fallback[start:stop, None], popular, block_scores.masked_fill(empty, -torch.inf))
        values, places = top_k(block_scores, k)  # the columns rise with the item's index, so ties go by it here too
        flat = _says_nothing(block_scores, values)
        values[flat], places[flat] = top_k(popular[flat], k)
        fallback[start + flat] = True
        scores.append(values)
        items.append(block.gather(1, places))
    model.train(was_training)
    ranking = Ranking(torch.cat(items), torch.cat(scores), fallback)
    _refuse_nan(model, ranking.scores)
    return ranking


def _block_of_users(device: torch.device, n_items: int) -> int:
    """As many users as score at once: their scores fit a processor's cache, or a part of a GPU's memory."""
    return max(1, (2**26 if device.type == "cuda" else 2**20) // n_items)


def _refuse_nan(model: Recommender, scores: Tensor) -> None:
    if bool(scores.isnan().any()):  # NaN sorts first, so the best k show whether there is one
        raise ValueError(
            f"{model.name} gives NaN scores; the training has diverged or a feature holds NaN. "
            "Look at the loss curve, try a smaller learning rate."
        )


def _says_nothing(scores: Tensor, values: Tensor) -> Tensor:
    """Rows of (B, n) masked scores in which everything that is left has one and the same score. values: their top k."""
    first, left = values[:, :1], values > -torch.inf
    several = left[:, min(1, values.shape[1] - 1)]  # one item that is left needs no ranking
    rows = torch.nonzero(several & ((values == first) | ~left).all(1)).flatten()  # a few: the rest is not looked at
    if not len(rows):
        return rows
    flat = (scores[rows] == first[rows]) | (scores[rows] == -torch.inf)
    return rows[flat.all(1)]


def recommend(model: Recommender, interactions: Interactions, *, users: np.ndarray, k: int) -> pd.DataFrame:
    """The best k items of each user that the user does not have yet.

    Args:
        interactions: everything known: it is the history asked with, and none of it is recommended again.
        users: (U,) user indexes; their order is the frame's.
    Returns:
        Recommendations: U * k rows of `user_id`, `item_id` (external), `rank` (1..k), `score`.
        attrs["n_fallback"]: users who got popular items because the model could not score them.
    Raises:
        ValueError: a user has seen so much that fewer than k items are left.
    """
    users = np.asarray(users, dtype=np.int64)
    ranking = rank(model, torch.from_numpy(users), history=interactions, seen=interactions, k=k)
    items = ranking.items.cpu().numpy()
    if (items < 0).any():
        user = users[(items < 0).any(1)][0]
        raise ValueError(
            f"user {model.catalogue.users.ids[user]!r} has seen all but {(items[users == user] >= 0).sum()} of "
            f"{interactions.n_items:,} items; {k} unseen ones were asked for. Ask for fewer."
        )
    frame = pd.DataFrame(
        {
            "user_id": model.catalogue.users.ids_of(np.repeat(users, k)),
            "item_id": model.catalogue.items.ids_of(items.ravel()),
            "rank": np.tile(np.arange(1, k + 1), len(users)),
            "score": ranking.scores.cpu().numpy().ravel(),
        }
    )
    frame.attrs["n_fallback"] = int(ranking.fallback.sum())
    return frame


def _slice(history: History, ends: list[int], start: int, stop: int) -> History:
    first, last = ends[start], ends[stop]
    timestamps = None if history.timestamps is None else history.timestamps[first:last]
    return History(history.indptr[start : stop + 1] - first, history.items[first:last], timestamps)
