"""Score, mask, take the best k: the one path that evaluation and submission share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.data.top_k import panels, top_k, top_k_of_product, top_k_unsettled
from recsys_lib.models.base import Recommender


@dataclass(frozen=True)
class Ranking:
    """The best k items of U users.

    Attributes:
        items: (U, k) int64, best first; equal scores rank by item index; -1 where fewer than k items were left.
        scores: (U, k) float32, -inf where items is -1.
        fallback: (U,) bool: ranked by popularity because the model could not score the user, neither by history nor by
            features, or gave everything the same score: that would be a ranking by item index.
        newcomers: (U,) bool: ranked by their features alone, because the model could not score them by history.
    """

    items: Tensor
    scores: Tensor
    fallback: Tensor
    newcomers: Tensor


PRECISIONS = ("auto", "float32")
_PRODUCT_BLOCK = 2048  # users at least: with no scores to hold, a block need only give every thread several tiles of top_k.c
_ROUGH_TILE = 48  # candidates are asked for in multiples of this: what tower.c works off at once


@torch.inference_mode()
def rank(
    model: Recommender, users: Tensor, *, history: Interactions, seen: Interactions, k: int, precision: str = "auto"
) -> Ranking:
    """The whole catalogue for each of `users`, what they have seen left out.

    Works in blocks of users that fit the cache (or the GPU's memory: a block is halved when memory runs out).

    Args:
        users: (U,) int64 user indexes. history: what the model may know of them; also gives the popularity
            of the fallback. seen: never recommended.
        k: places; at most n_items.
        precision: auto: a model that has rough scores chooses about 2 k candidates by them, and the float32 scores of
            those rank (see _by_candidates); float32: everything is scored in float32. The lists are the same.
    Raises:
        ValueError: k is too large, or the model gives NaN.
    """
    n_items, device = seen.n_items, model.device
    if not 1 <= k <= n_items:
        raise ValueError(f"k must lie in 1..{n_items} (the catalogue's size); got {k}")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r}")
    n_places, k = k, min(max(k, 2), n_items)  # one score alone does not tell whether all are the same
    was_training = model.training
    model.eval()
    everybody = torch.equal(users.cpu(), torch.arange(seen.n_users))  # as they lie: nothing to take
    users = users.to(device)
    known = history.history(device) if everybody else history.history(device).take(users)
    masked = known if seen is history else seen.history(device) if everybody else seen.history(device).take(users)
    strange = ~model.can_score(users, known)
    strangers = torch.nonzero(strange).flatten()
    by_features = len(strangers) > 0 and model.score_newcomers(users[strangers[:1]]) is not None
    fallback = strange & (not by_features)
    popularity = torch.from_numpy(history.item_counts.astype(np.float32)).to(device)
    known_ends, masked_ends = known.indptr.tolist(), masked.indptr.tolist()  # once, so that the loop asks nothing

    items = torch.empty((len(users), k), dtype=torch.int64, device=device)
    scores = torch.empty((len(users), k), dtype=torch.float32, device=device)
    unsettled = torch.empty(len(users), dtype=torch.bool, device=device)

    product = None if (vectors := _item_vectors(model)) is None else panels(*vectors)

    def best(start: int, stop: int) -> None:
        asked, hide = _slice(known, known_ends, start, stop), _slice(masked, masked_ends, start, stop)
        if product is not None:
            rows = model.user_vectors(users[start:stop], asked)
            scores[start:stop], items[start:stop] = top_k_of_product(rows, product, k, (hide.indptr, hide.items))
            unsettled[start:stop] = False
            return
        rough = model.score_roughly(users[start:stop], asked) if precision == "auto" and _n_candidates(k) < n_items else None
        if rough is not None:
            scores[start:stop], items[start:stop], unsettled[start:stop] = _by_candidates(model, users[start:stop], asked, hide, rough, k)
            return
        block_scores = model.score(users[start:stop], asked)
        scores[start:stop], items[start:stop], unsettled[start:stop] = top_k_unsettled(block_scores, k, (hide.indptr, hide.items))

    product_block = max(_PRODUCT_BLOCK, 4 * 96 * torch.get_num_threads())
    _in_blocks(len(users), _block_of_users(device, n_items) if product is None else product_block, best)

    def settle(rows: Tensor, score: Callable[[Tensor], Tensor]) -> None:
        """By the scores (B, n_items) of `rows`, and by popularity where these are all the same."""

        def settle_block(start: int, stop: int) -> None:
            part = rows[start:stop]
            hide = masked.take(part)
            block_scores = score(part)
            values, found = top_k(block_scores, k, (hide.indptr, hide.items))
            flat = _flat(block_scores, values)
            if len(flat):
                hide = masked.take(part[flat])
                values[flat], found[flat] = top_k(popularity.repeat(len(flat), 1), k, (hide.indptr, hide.items))
                fallback[part[flat]] = True
            scores[part], items[part] = values, found

        _in_blocks(len(rows), _block_of_users(device, n_items), settle_block)

    def find_flat(start: int, stop: int) -> None:
        part = rows[start:stop]
        hide, asked = masked.take(part), model.user_vectors(users[part], known.take(part))
        lowest, _ = top_k_of_product(-asked, negated, 1, (hide.indptr, hide.items))  # exactly minus the lowest score
        fallback[part] = -lowest[:, 0] == scores[part, 0]

    # What the loop could not settle without asking the device: in most evaluations nothing.
    rows = torch.nonzero((unsettled | _all_the_same(scores)) & ~strange).flatten()
    if product is None:
        settle(rows, lambda part: model.score(users[part], known.take(part)))
    elif len(rows):
        negated = panels(vectors[0], -vectors[1])
        _in_blocks(len(rows), product_block, find_flat)
        settle(rows[fallback[rows]], lambda part: popularity.repeat(len(part), 1))
    # Together: a few in each block would be a product with all items each time.
    settle(strangers, lambda part: model.score_newcomers(users[part]) if by_features else popularity.repeat(len(part), 1))
    model.train(was_training)
    _refuse_nan(model, scores)
    items[scores == -torch.inf] = -1
    return Ranking(items[:, :n_places], scores[:, :n_places], fallback, strange & ~fallback)


def _by_candidates(
    model: Recommender, users: Tensor, known: History, hide: History, rough: Tensor, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The best k by the float32 scores of those candidates that `rough` (B, n_items) puts first.

    An item that is no candidate has a rough score of at most that of the last candidate. If it belonged to the best k,
    its error would be larger than the distance from there to the k-th exact score. The errors of all candidates of the
    block are known; a user for whom the distance is not twice the largest of them is unsettled.

    Returns: values (B, k), items (B, k), unsettled (B,) bool.
    """
    estimates, candidates = top_k(rough, _n_candidates(k), (hide.indptr, hide.items))
    candidates, order = candidates.sort(1)  # the columns rise with the item's index, so ties go by it here too
    estimates = estimates.gather(1, order)
    left = estimates != -torch.inf  # NaN is left, and leaves a doubt
    exact = model.score_items(users, known, candidates).masked_fill_(~left, -torch.inf)
    # An infinite estimate says that it is none: a candidate, and no measure of the others' errors.
    error = torch.where(left & ~estimates.isinf(), exact - estimates, 0.0).abs().amax()
    values, places = top_k(exact, k)
    certain = (values[:, -1] - estimates.amin(1) > 2 * error) | ~left.all(1)  # not left: there are no other items
    return values, candidates.gather(1, places), ~certain


def _n_candidates(k: int) -> int:
    return -(-(2 * (k + _ROUGH_TILE)) // _ROUGH_TILE) * _ROUGH_TILE


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
    strange = ~model.can_score(users, known)
    by_features = bool(strange.any()) and model.score_newcomers(users[strange][:1]) is not None
    fallback = strange & (not by_features)
    counts = torch.from_numpy(history.item_counts.astype(np.float32)).to(device)
    items = torch.empty((len(users), k), dtype=torch.int64, device=device)
    scores = torch.empty((len(users), k), dtype=torch.float32, device=device)

    def best(start: int, stop: int) -> None:
        block = candidates[start:stop]
        empty, asked = block < 0, block.clamp(min=0)
        block_scores = model.score_items(users[start:stop], _slice(known, ends, start, stop), asked)
        popular = counts[asked].masked_fill_(empty, -torch.inf)
        if by_features:
            new = strange[start:stop]
            block_scores[new] = model.score_newcomers(users[start:stop][new]).gather(1, asked[new])
        block_scores = torch.where(fallback[start:stop, None], popular, block_scores.masked_fill(empty, -torch.inf))
        values, places = top_k(block_scores, k)  # the columns rise with the item's index, so ties go by it here too
        flat = _flat(block_scores, values)
        values[flat], places[flat] = top_k(popular[flat], k)
        fallback[start + flat] = True
        scores[start:stop], items[start:stop] = values, block.gather(1, places)

    # A model may score the whole catalogue to give a few of it.
    _in_blocks(len(users), _block_of_users(device, model.catalogue.n_items), best)
    model.train(was_training)
    _refuse_nan(model, scores)
    return Ranking(items, scores, fallback, strange & ~fallback)


def _item_vectors(model: Recommender) -> tuple[Tensor, Tensor] | None:
    """None also for a model that inherits vectors and has a score of its own: that is no longer their product."""
    first = next(kind for kind in type(model).__mro__ if {"item_vectors", "score"} & vars(kind).keys())
    return model.item_vectors() if "item_vectors" in vars(first) else None


def _block_of_users(device: torch.device, n_items: int) -> int:
    """As many users as score at once: their scores fit a processor's cache, or a part of a GPU's free memory."""
    if device.type == "cpu":
        # With fewer than 64 rows a product waits for the other matrix to come from memory.
        return max(1, 2**19 // n_items, min(64, 2**22 // n_items))
    size = min(2**26, torch.cuda.mem_get_info(device)[0] // 64)  # float32 scores, their copies, a model's hidden layers
    return max(1, size // n_items)


def _in_blocks(n: int, block: int, work: Callable[[int, int], None]) -> None:
    """work(start, stop) over 0..n; a block for which memory runs out is done again in halves."""
    start = 0
    while start < n:
        stop = min(start + block, n)
        try:
            work(start, stop)
        except (RuntimeError, MemoryError) as error:
            if block == 1 or not _is_out_of_memory(error):
                raise
        else:
            start = stop
            continue
        # Outside the except block: inside, the traceback still holds the tensors.
        block = max(1, block // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def _is_out_of_memory(error: Exception) -> bool:
    # torch has no class of its own for a CPU without memory.
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "DefaultCPUAllocator" in str(error)


def _refuse_nan(model: Recommender, scores: Tensor) -> None:
    if bool(scores.isnan().any()):  # NaN sorts first, so the best k show whether there is one
        raise ValueError(
            f"{model.name} gives NaN scores; the training has diverged or a feature holds NaN. "
            "Look at the loss curve, try a smaller learning rate."
        )


def _all_the_same(values: Tensor) -> Tensor:
    """(B,) bool of (B, k) best scores: at least two items are left, and what is shown of them has one and the same score."""
    several = values[:, min(1, values.shape[1] - 1)] > -torch.inf  # one item that is left needs no ranking
    return several & ((values == values[:, :1]) | (values == -torch.inf)).all(1)


def _flat(scores: Tensor, values: Tensor) -> Tensor:
    """Rows of (B, n) scores, masked in place, that have one and the same score; values: (B, k) the best of them."""
    rows = torch.nonzero(_all_the_same(values)).flatten()  # a few: the rest is not looked at
    return rows[((scores[rows] == values[rows, :1]) | (scores[rows] == -torch.inf)).all(1)]


def recommend(model: Recommender, interactions: Interactions, *, users: np.ndarray, k: int) -> pd.DataFrame:
    """The best k items of each user that the user does not have yet.

    Args:
        interactions: everything known: it is the history asked with, and none of it is recommended again.
        users: (U,) user indexes; their order is the frame's.
    Returns:
        Recommendations: U * k rows of `user_id`, `item_id` (external), `rank` (1..k), `score`.
        attrs["n_fallback"]: users who got popular items because the model could not score them.
        attrs["n_newcomers"]: users who were ranked by their features alone.
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
    frame.attrs["n_newcomers"] = int(ranking.newcomers.sum())
    return frame


def _slice(history: History, ends: list[int], start: int, stop: int) -> History:
    first, last = ends[start], ends[stop]
    timestamps = None if history.timestamps is None else history.timestamps[first:last]
    return History(history.indptr[start : stop + 1] - first, history.items[first:last], timestamps)
