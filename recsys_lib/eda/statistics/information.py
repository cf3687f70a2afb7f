"""How much does a feature tell about what is chosen, before any training?

A feature's gain, in bits a choice, is how much better the chosen items are foreseen with it than by popularity alone:

    gain = mean over interactions (u, i) of log2( p(i | feature) / p(i) )

    p(i)              item counts without those of u, plus one
    user feature      p(i | u) = mean over the labels L of u of (n_Li + m p(i)) / (n_L + m),
                      n_Li: how many users with L chose i, u not counted
    item feature      p(i | u) = p(i) x mean over the labels g of i of p(g | u) / p(g),
                      p(g | u) = (c_ug + m p(g)) / (c_u + m), c_ug: rows of u with label g, the row itself not counted

Nothing that is predicted has been counted, so a feature that tells nothing has no gain; m, how many rows popularity is
worth, is the best of a row of values, among them infinity, whose gain is 0. Missing is a label of its own.
A user feature is asked what it knows without any history (the cold start), an item feature what it makes of a history.
Every feature is judged alone: two that say the same both have their gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recsys_lib.data.features import Feature, FeatureTable
from recsys_lib.data.interactions import Interactions
from recsys_lib.eda.statistics.association import level_of_chance
from recsys_lib.eda.statistics.labels import labelled

MOST_ROWS = 300_000  # of the users drawn, where there are more interactions
MOST_LABELS = 200
ROWS_OF_LABELS = (10, 30, 100, 300, 1e3, 3e3, 1e4, 3e4, 1e5, 1e6)  # m of a user feature
ROWS_OF_HISTORIES = (0.3, 1, 3, 10, 30, 100, 300, 1e3, 1e4)  # m of an item feature


def information(
    interactions: Interactions,
    user_features: FeatureTable,
    item_features: FeatureTable,
    *,
    seed: int,
    shuffles: int = 20,
    most_rows: int = MOST_ROWS,
) -> pd.DataFrame:
    """The gain of every feature, its interval, and what chance gives.

    Chance: the feature is dealt anew among the users (or items), `shuffles` times; see association.level_of_chance,
    here over the features of a side. The interval is of 95 % and clustered by user.

    Returns:
        one row a feature, the most telling first: feature, side ("user", "item"), bits, low, high, chance, tells
        (bits above chance and low above 0), users, rows (that it was measured on).
    """
    log = _of_some_users(interactions, seed, most_rows)
    rows = []
    for side, features in (("user", user_features), ("item", item_features)):
        labels = [_with_missing(feature) for feature in features]
        if side == "user":
            labels = [matrix[log.chosen_users] for matrix in labels]
        gain = _gain_of_user_feature if side == "user" else _gain_of_item_feature
        found = [gain(log, matrix) for matrix in labels]
        generator = np.random.default_rng(seed)
        size = len(log.chosen_users) if side == "user" else log.n_items
        orders = [generator.permutation(size) for _ in range(shuffles)]
        dealt = [np.array([gain(log, matrix[order]).mean() for matrix in labels]) for order in orders]
        chance = level_of_chance(dealt) if shuffles and labels else np.zeros(len(labels))
        for feature, gains, level in zip(features, found, chance):
            bits = gains.mean()
            error = np.sqrt((np.bincount(log.users, gains - bits) ** 2).sum()) / len(gains)
            low, high = bits - 1.96 * error, bits + 1.96 * error
            tells = bool(bits > level and low > 0)
            rows.append((feature.name, side, bits, low, high, level, tells, len(log.chosen_users), len(gains)))
    table = pd.DataFrame(rows, columns=["feature", "side", "bits", "low", "high", "chance", "tells", "users", "rows"])
    return table.sort_values("bits", ascending=False, kind="stable", ignore_index=True)


@dataclass(frozen=True, eq=False)
class _Log:
    """The interactions of the chosen users, who are numbered anew; the items are all."""

    chosen_users: np.ndarray
    users: np.ndarray
    items: np.ndarray
    user_items: sp.csr_matrix
    n_items: int

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.user_items.indptr)

    @property
    def others(self) -> np.ndarray:
        """(n,) float64: interactions of everybody but the row's user."""
        return len(self.users) - self.lengths[self.users].astype(np.float64)

    @property
    def popularity(self) -> np.ndarray:
        """(n,) p(i) for the item of each row, the row's user not counted."""
        counts = np.bincount(self.items, minlength=self.n_items)
        return counts[self.items] / (self.others + self.n_items)  # a count less the row itself, plus one


def _of_some_users(interactions: Interactions, seed: int, most_rows: int) -> _Log:
    user_items = interactions.user_items().astype(np.float64)
    chosen = np.flatnonzero(interactions.user_counts)
    if len(interactions) > most_rows:
        drawn = np.random.default_rng(seed).permutation(chosen)
        chosen = np.sort(drawn[: max(1, int(np.searchsorted(np.cumsum(interactions.user_counts[drawn]), most_rows)))])
    user_items = user_items[chosen]
    users = np.repeat(np.arange(len(chosen)), np.diff(user_items.indptr))
    return _Log(chosen, users, user_items.indices, user_items, interactions.n_items)


def _with_missing(feature: Feature) -> sp.csr_matrix:
    """(rows, labels + 1) CSR of ones; the last column is "missing", so that no row is empty."""
    labels = labelled(feature, max_labels=MOST_LABELS).matrix
    missing = sp.csr_matrix((np.diff(labels.indptr) == 0).astype(np.float64)[:, None])
    return sp.hstack([labels, missing], format="csr")


def _gain_of_user_feature(log: _Log, labels: sp.csr_matrix) -> np.ndarray:
    """(n,) gains in bits, at the best m."""
    row, label, _ = _labels_of(log.users, labels)
    chosen = (labels.T @ log.user_items).toarray()  # (L, n_items)
    among = chosen[label, log.items[row]] - 1
    of = chosen.sum(1)[label] - log.lengths[log.users[row]]
    weight = 1 / np.diff(labels.indptr)[log.users[row]]
    return _best_gain(row, weight, among / log.popularity[row], of, len(log.users), ROWS_OF_LABELS)


def _gain_of_item_feature(log: _Log, labels: sp.csr_matrix) -> np.ndarray:
    """(n,) gains in bits, at the best m."""
    weights = (sp.diags(1 / np.diff(labels.indptr)) @ labels).tocsr()
    row, label, weight = _labels_of(log.items, weights)
    user = log.users[row]
    profile = (log.user_items @ weights).toarray()  # (users, L)
    own = profile[user, label]
    total, items = profile.sum(0), np.asarray(weights.sum(0)).ravel()
    popularity = (total[label] - own + items[label]) / (log.others[row] + log.n_items)
    return _best_gain(row, weight, (own - weight) / popularity, log.lengths[user] - 1, len(log.users), ROWS_OF_HISTORIES)


def _labels_of(index: np.ndarray, labels: sp.csr_matrix) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A row for each interaction and each label of its user (or item): the interaction, the label, the matrix' value."""
    each = np.diff(labels.indptr)[index]
    row = np.repeat(np.arange(len(index)), each)
    place = np.arange(len(row)) + np.repeat(labels.indptr[index] - (np.cumsum(each) - each), each)
    return row, labels.indices[place], labels.data[place]


def _best_gain(
    row: np.ndarray, weight: np.ndarray, counted: np.ndarray, of: np.ndarray, n: int, candidates: tuple[float, ...]
) -> np.ndarray:
    """log2 of sum over labels of weight (counted + m) / (of + m), for the m with the highest mean; zeros where none gains."""
    best = np.zeros(n)
    for m in candidates:
        gains = np.log2(np.bincount(row, weight * (counted + m) / (of + m), n))
        if gains.mean() > best.mean():
            best = gains
    return best
