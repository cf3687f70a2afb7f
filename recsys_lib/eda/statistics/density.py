"""How full is the matrix of users and items, and what would a k-core leave of it?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recsys_lib.data.interactions import Interactions


def k_cores(interactions: Interactions, ks: Sequence[int] = (1, 2, 3, 5, 10, 20)) -> pd.DataFrame:
    """The largest part in which every user and every item has at least k interactions, for each k.

    Returns:
        one row a k, rising: k, users, items, interactions, density (interactions / (users x items); NaN where none is
        left), rounds (in which users or items were taken away).
    """
    users, items = interactions.users, interactions.items
    rows = []
    for k in sorted(ks):
        rounds = 0
        while True:  # the core of a smaller k holds that of a larger one, so each goes on from the one before
            user_counts = np.bincount(users, minlength=interactions.n_users)
            item_counts = np.bincount(items, minlength=interactions.n_items)
            kept = (user_counts[users] >= k) & (item_counts[items] >= k)
            if kept.all():
                break
            users, items = users[kept], items[kept]
            rounds += 1
        n_users, n_items = int((user_counts > 0).sum()), int((item_counts > 0).sum())
        density = len(users) / (n_users * n_items) if n_users else float("nan")
        rows.append((k, n_users, n_items, len(users), density, rounds))
    return pd.DataFrame(rows, columns=["k", "users", "items", "interactions", "density", "rounds"])


def density_by_share(interactions: Interactions, parts: int = 20) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The matrix squeezed into parts x parts: users by activity, items by popularity, the most active and popular first.

    Returns:
        (parts, parts) density of each field, (parts + 1,) user and (parts + 1,) item indexes in that order at which a
        part begins. There are fewer parts where there are fewer users or items.
    """
    place, edges = [], []
    for counts in (interactions.user_counts, interactions.item_counts):
        n = len(counts)
        edge = np.unique(np.round(np.linspace(0, n, min(parts, n) + 1)).astype(np.int64))
        rank = np.empty(n, dtype=np.int64)
        rank[np.argsort(-counts, kind="stable")] = np.arange(n)
        place.append(np.searchsorted(edge, rank, side="right") - 1)
        edges.append(edge)
    shape = (len(edges[0]) - 1, len(edges[1]) - 1)
    flat = place[0][interactions.users] * shape[1] + place[1][interactions.items]
    filled = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
    return filled / np.outer(np.diff(edges[0]), np.diff(edges[1])), edges[0], edges[1]
