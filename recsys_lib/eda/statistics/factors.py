"""How many factors are worth having? The spectrum of the user-item matrix, and what so many factors recall.

The matrix is D_u^-1/2 X D_i^-1/2, where D holds the counts plus their mean: popularity then makes one factor (the first)
and not all of them, and without the mean five users who share nothing with the rest would make one of their own. The
first f right singular vectors V give a model without training, score = X D_i^-1/2 V V' D_i^1/2.
Source: Shen et al., How Powerful is Graph Convolution for Recommendation?, CIKM 2021 (the low-pass part of GF-CF);
Amini et al., Pseudo-likelihood methods for community detection in large sparse networks, Ann. Statist. 2013 (the mean).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import Split

MOST_SCORED = 5_000  # users whose held-out rows are ranked
ROUNDS = 6  # of the randomised decomposition; more make its last values sharper


def spectrum(interactions: Interactions, n_factors: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Singular values, the first (popularity) left out, beside those of chance.

    Chance: pairs of interactions swap their items, so that users and items keep their counts; one such log.

    Returns:
        (F - 1,) values of the data and (F - 1,) of the dealt log, both falling, F = min(n_factors, users - 1, items - 1).
    """
    return tuple(_vectors(log.user_items(), n_factors, seed)[0][1:] for log in (interactions, swapped(interactions, seed=seed)))


def swapped(interactions: Interactions, *, seed: int, rounds: int = 20) -> Interactions:
    """Another log with the same number of interactions of each user and each item, and no pair twice.

    In each round all rows are paired at random, and two rows swap their items unless one of the new pairs is there
    already. Twenty rounds are ten tries a row: the spectrum has long stopped changing.
    """
    generator = np.random.default_rng(seed)
    users, items = interactions.users.astype(np.int64), interactions.items.astype(np.int64)
    half = len(users) // 2
    for _ in range(rounds):
        order = generator.permutation(len(users))
        one, other = order[:half], order[half : 2 * half]
        there = np.sort(users * interactions.n_items + items)
        new = np.stack([users[one] * interactions.n_items + items[other], users[other] * interactions.n_items + items[one]])
        place = np.searchsorted(there, new).clip(max=max(len(there) - 1, 0))
        _, first, count = np.unique(new, return_index=True, return_counts=True)  # two swaps may make the same pair
        alone = np.zeros(new.size, dtype=bool)
        alone[first[count == 1]] = True
        fits = ((there[place] != new) & alone.reshape(new.shape)).all(0)
        one, other = one[fits], other[fits]
        items[one], items[other] = items[other], items[one]
    return Interactions(users, items, interactions.n_users, interactions.n_items)


def recall_by_factors(split: Split, k: int, factors: Sequence[int], *, seed: int, most_scored: int = MOST_SCORED) -> pd.DataFrame:
    """Recall@k on the validation part with the first f factors of train, for each f; the test part is not touched.

    All items of the catalogue but those of the user's train rows are ranked.

    Returns:
        factors, recall, users (who were scored); only those f that there are.
    """
    train, held_out = split.train, split.validation
    scored = np.flatnonzero(held_out.user_counts)
    scored = np.sort(np.random.default_rng(seed).permutation(scored)[:most_scored])
    values, vectors = _vectors(train.user_items(), max(factors), seed)
    roots = _roots(train.item_counts)
    kept = [f for f in sorted(factors) if f <= len(values)]
    hits = np.zeros((len(kept), len(scored)))
    known, wanted = train.user_items(), held_out.user_items()
    for first in range(0, len(scored), 512):
        users = scored[first : first + 512]
        profile = (known[users] @ sp.diags(1 / roots)) @ vectors  # (b, F)
        scores = np.zeros((len(users), train.n_items), dtype=np.float32)
        history, target = known[users].tocoo(), wanted[users].tocoo()
        done = 0
        for place, f in enumerate(kept):
            scores += profile[:, done:f] @ (vectors[:, done:f].T * roots)
            done = f
            open_scores = scores.copy()
            open_scores[history.row, history.col] = -np.inf
            top = np.argpartition(-open_scores, min(k, train.n_items - 1), axis=1)[:, :k]
            listed = np.zeros(open_scores.shape, dtype=bool)
            np.put_along_axis(listed, top, True, axis=1)
            found = np.bincount(target.row, listed[target.row, target.col], len(users))
            hits[place, first : first + 512] = found / np.bincount(target.row, minlength=len(users))
    return pd.DataFrame({"factors": kept, "recall": hits.mean(1), "users": len(scored)})


def of_some_users(interactions: Interactions, *, seed: int, most_rows: int) -> Interactions:
    """All rows of as many users, drawn at random, as have about most_rows together; all where there are fewer."""
    if len(interactions) <= most_rows:
        return interactions
    users = np.random.default_rng(seed).permutation(interactions.n_users)
    n = int(np.searchsorted(np.cumsum(interactions.user_counts[users]), most_rows))
    chosen = np.zeros(interactions.n_users, dtype=bool)
    chosen[users[: max(n, 1)]] = True
    return interactions.take(chosen[interactions.users])


def _vectors(user_items: sp.csr_matrix, n_factors: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(F,) singular values and (n_items, F) right singular vectors of the normalised matrix, falling."""
    from sklearn.utils.extmath import randomized_svd  # late: it takes a second

    user_items = user_items[np.flatnonzero(np.diff(user_items.indptr))]  # not the rows of users who were not drawn
    rows, columns = (_roots(np.asarray(user_items.sum(axis)).ravel()) for axis in (1, 0))
    used = int(min(user_items.shape[0], (user_items.sum(0) > 0).sum()))
    normalised = (sp.diags(1 / rows) @ user_items @ sp.diags(1 / columns)).astype(np.float32).tocsr()
    n_factors = max(1, min(n_factors, used - 1))
    _, values, vectors = randomized_svd(normalised, n_factors, n_iter=ROUNDS, random_state=seed)
    return values, np.ascontiguousarray(vectors.T)


def _roots(counts: np.ndarray) -> np.ndarray:
    return np.sqrt(counts + max(counts.mean(), 1e-9)).astype(np.float32)
