"""How long histories are, how popular items, how cold the start; and what a list reaches that has learnt nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recsys_lib.data.interactions import Interactions


def gini(counts: np.ndarray) -> float:
    """Inequality of (n,) counts: 0 where all are equal, 1 - 1/n where one has everything; NaN without any.

    G = sum_i (2 i - n - 1) x_i / (n sum x), with x sorted upwards and i = 1..n.
    """
    x = np.sort(np.asarray(counts, dtype=np.float64))
    n = len(x)
    if n == 0 or x.sum() == 0:
        return float("nan")
    return float(((2 * np.arange(1, n + 1) - n - 1) * x).sum() / (n * x.sum()))


def popularity_curve(interactions: Interactions) -> pd.DataFrame:
    """Share of the interactions that the most popular items hold: n_items + 1 rows from (0, 0) to (1, 1).

    Columns: share_of_items, share_of_interactions.
    """
    counts = np.sort(interactions.item_counts)[::-1]
    held = np.concatenate([[0], np.cumsum(counts)]) / max(counts.sum(), 1)
    return pd.DataFrame({"share_of_items": np.arange(len(held)) / max(len(counts), 1), "share_of_interactions": held})


def popularity_tail(interactions: Interactions, tops: Sequence[float] = (0.01, 0.05, 0.20)) -> pd.DataFrame:
    """What the most popular 1, 5, 20 % of all items hold: columns top, items, share_of_interactions.

    At least one item is taken; the number of items is rounded.
    """
    counts = np.sort(interactions.item_counts)[::-1]
    items = [max(1, round(top * len(counts))) for top in tops]
    shares = [counts[:n].sum() / max(counts.sum(), 1) for n in items]
    return pd.DataFrame({"top": list(tops), "items": items, "share_of_interactions": shares})


def recall_without_learning(interactions: Interactions, k: int) -> pd.DataFrame:
    """Recall@k of a random and of a popularity list when one row a user, drawn at random, is held out.

    Exact expectations over the draw, not a simulation: mean over users with 2 or more rows of the mean over their rows.
    The candidates are all items of the catalogue but the user's other rows.
    Random: min(k, C) / C with C candidates.
    Popularity: items by their count without the held-out row; ties are broken at random. (The rows that other users
    hold out at the same time are still counted, which moves a count by about one in the length of a history.)

    Returns:
        rows random, popularity; columns list, recall, users.
    """
    counts, lengths = interactions.item_counts, interactions.user_counts
    scored = lengths >= 2
    n_scored = int(scored.sum())
    if n_scored == 0:
        return pd.DataFrame({"list": ["random", "popularity"], "recall": [np.nan, np.nan], "users": [0, 0]})
    candidates = interactions.n_items - (lengths[scored] - 1)
    random = np.minimum(k, candidates) / candidates

    # Per row: how many candidates beat the held-out item, and how many tie with it, once its own row is taken away?
    # The same two numbers among the user's own rows, which are masked and so do not compete. All rows in the order of
    # user and count, where rows of equal count make a run.
    span = int(counts.max(initial=0)) + 2
    below = np.searchsorted(np.sort(counts), np.arange(span), side="left")  # items with a smaller count than 0, 1, 2 ...
    keys = np.sort(interactions.users.astype(np.int64) * span + counts[interactions.items])
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    run_lengths = np.diff(starts, append=len(keys))
    users, own = np.divmod(keys[starts], span)
    ends = np.cumsum(lengths)[users]
    follows = np.diff(keys[starts], prepend=-2) == 1  # the run before is of the same user, whose items have one row less
    ahead = (interactions.n_items - below[own] - 1) - (ends - starts - 1)
    tied = (below[own] - below[own - 1]) - np.where(follows, np.roll(run_lengths, 1), 0)
    hit = np.clip((k - ahead) / (tied + 1), 0, 1) * run_lengths
    by_user = np.bincount(users, weights=hit, minlength=interactions.n_users)[scored] / lengths[scored]
    return pd.DataFrame(
        {"list": ["random", "popularity"], "recall": [random.mean(), by_user.mean()], "users": [n_scored, n_scored]}
    )


def cold_start(interactions: Interactions) -> pd.DataFrame:
    """Users and items by their number of interactions: columns side, interactions (0, 1, 2, 3-5, 6+), n, share."""
    buckets = ("0", "1", "2", "3-5", "6+")
    rows = []
    for side, counts in (("users", interactions.user_counts), ("items", interactions.item_counts)):
        n = np.bincount(np.searchsorted([0, 1, 2, 5], counts, side="left"), minlength=5)
        rows += [(side, bucket, int(m), m / max(len(counts), 1)) for bucket, m in zip(buckets, n)]
    return pd.DataFrame(rows, columns=["side", "interactions", "n", "share"])
