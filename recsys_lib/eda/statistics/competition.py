"""Which items do the same users choose, and how many users share an item with a user?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys_lib.data.interactions import Interactions

MOST_PAIRS = 200_000_000  # of items in the histories of the users looked at; more users are a sample
MOST_ITEMS = 5_000  # the most popular ones, between which pairs are looked for


def chosen_together(
    interactions: Interactions, *, seed: int, n_pairs: int = 12, fewest: int = 5, most_pairs: int = MOST_PAIRS
) -> pd.DataFrame:
    """The pairs of items that compete for the same users most closely, by the cosine of their columns.

    cos(i, j) = c_ij / sqrt(n_i n_j), where c_ij users chose both. Pairs are sorted by c_ij / (sqrt(n_i n_j) + h) with the
    mean count of an item for h, since in a few rows a cosine of 1 means little; `fewest` users or more chose both.
    Looked for between the 5,000 most popular items, among pairs chosen together more often than by chance.

    Args:
        most_pairs: where the histories hold more pairs of items, users are drawn until they hold as many.
    Returns:
        item, other (indexes, the more popular first), together (users who chose both), expected (n_i n_j / users: if
        the choices were independent), lift (together / expected), cosine; the closest first. attrs["users"]: who were
        looked at.
    """
    lengths = interactions.user_counts
    users = np.flatnonzero(lengths)
    if (lengths.astype(np.float64) ** 2).sum() > most_pairs:
        users = np.random.default_rng(seed).permutation(users)
        users = np.sort(users[: max(1, int(np.searchsorted(np.cumsum(lengths[users].astype(np.float64) ** 2), most_pairs)))])
    user_items = interactions.user_items()[users]
    counts = np.asarray(user_items.sum(0)).ravel().astype(np.float64)
    popular = np.sort(np.argsort(-counts, kind="stable")[:MOST_ITEMS])
    popular = popular[counts[popular] >= fewest]
    kept = user_items[:, popular].astype(np.int32)
    together = (kept.T @ kept).tocoo()
    upper = (together.row < together.col) & (together.data >= fewest)
    one, other, both = popular[together.row[upper]], popular[together.col[upper]], together.data[upper].astype(np.int64)
    cosine = both / np.sqrt(counts[one] * counts[other])
    more = both * len(users) > counts[one] * counts[other]  # than independent choices would give
    one, other, both, cosine = one[more], other[more], both[more], cosine[more]
    best = np.argsort(-both / (np.sqrt(counts[one] * counts[other]) + counts.mean()), kind="stable")[:n_pairs]
    one, other, both, cosine = one[best], other[best], both[best], cosine[best]
    swapped = counts[other] > counts[one]
    one, other = np.where(swapped, other, one), np.where(swapped, one, other)
    expected = counts[one] * counts[other] / max(len(users), 1)
    table = pd.DataFrame(
        {"item": one, "other": other, "together": both, "expected": expected, "lift": both / expected, "cosine": cosine}
    )
    table.attrs["users"] = len(users)
    return table


def neighbours(interactions: Interactions, *, seed: int, sample: int = 2_000, most_rows: int = 200_000_000) -> np.ndarray:
    """(m,) int64: for users drawn at random, how many other users share at least one item (a cosine above 0).

    Args:
        sample: users drawn, of those who have interactions. most_rows: fewer are drawn where popular items would make
            the product longer than that.
    """
    users = np.random.default_rng(seed).permutation(np.flatnonzero(interactions.user_counts))[:sample]
    user_items = interactions.user_items().astype(bool)
    work = user_items[users].astype(np.float64) @ interactions.item_counts  # rows that each user's product passes
    users = users[: max(1, int(np.searchsorted(np.cumsum(work), most_rows)))]
    item_users = user_items.T.tocsr()
    found = []
    for some in np.array_split(users, max(1, len(users) // 100)):
        found.append(np.diff((user_items[some] @ item_users).indptr) - 1)  # less the user
    return np.concatenate(found) if len(users) else np.zeros(0, dtype=np.int64)
