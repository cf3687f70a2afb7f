"""Every user feature against every item feature over the interactions, and the level that chance alone gives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recsys_lib.data.features import Feature, FeatureTable, Numeric
from recsys_lib.data.interactions import Interactions
from recsys_lib.eda.statistics.labels import labelled

SURE = 0.95  # in so many of 100 data sets without any relation, no pair passes its level of chance


def associations(
    interactions: Interactions,
    user_features: FeatureTable,
    item_features: FeatureTable,
    *,
    seed: int,
    shuffles: int = 50,
    max_labels: int = 30,
    bins: int = 5,
) -> pd.DataFrame:
    """Bias-corrected Cramér's V of two features with labels; the correlation ratio where one is a number.

    A number of the user is compared over the labels of the item's feature, a number of the item over the labels of the
    user's; of two numbers the item's is cut into quantile bins. A missing value takes no part. Where a side has one label
    only, there is nothing to compare and the value is NaN.

    Chance: the features are dealt anew among the users who have interactions, `shuffles` times, and among the items as
    often. A pair must pass the higher of the two levels: the rows of one user share the user's features, and the rows
    of one item the item's, so a table of chi-square quantiles would be too low. Each level is the mean of the deals and
    so many of their deviations that in about 95 of 100 deals no pair at all lies higher (Westfall and Young's maxT):
    two hundred pairs are looked at, and at 5 % each ten would pass by luck. Levels are found for the squares before the
    correction cuts them off at 0, where chance has a spread of its own.

    Returns:
        one row a pair, the clearest first (by value less chance): user_feature, item_feature, measure ("V" or "η"),
        value, chance, above_chance, rows (pairs of labels counted), user_labels, item_labels (those that occur; a number
        counts as its bins).
    Source: Westfall and Young, Resampling-Based Multiple Testing, Wiley 1993.
    """
    columns = ["user_feature", "item_feature", "measure", "value", "chance", "above_chance", "rows", "user_labels", "item_labels"]
    if not len(user_features) or not len(item_features):
        return pd.DataFrame(columns=columns)
    active = np.flatnonzero(interactions.user_counts)
    users, items = _Side([*user_features], max_labels, bins), _Side([*item_features], max_labels, bins)
    user_items = interactions.user_items().astype(np.float64)[active]
    of_users = users.matrix[active]
    chosen = (user_items @ items.matrix).toarray()  # (users, item columns): a few hundred columns
    choosers = (user_items.T @ of_users).toarray()  # (items, user columns)

    def dealt_among_users(order: np.ndarray) -> _Cells:
        return _cells(of_users[order].T @ chosen, users, items)

    def dealt_among_items(order: np.ndarray) -> _Cells:
        return _cells((items.matrix[order].T @ choosers).T, users, items)

    real = dealt_among_users(np.arange(len(active)))
    generator = np.random.default_rng(seed)
    level = np.zeros_like(real.square)
    for deal, size in ((dealt_among_users, len(active)), (dealt_among_items, interactions.n_items)):
        if shuffles:
            level = np.maximum(level, level_of_chance([deal(generator.permutation(size)).square for _ in range(shuffles)]))
    comparable = (real.user_labels >= 2) & (real.item_labels >= 2)
    value = np.where(comparable, np.sqrt(np.maximum(real.square, 0)), np.nan)
    chance = np.where(comparable, np.sqrt(level), np.nan)
    rows = [
        (
            user,
            item,
            "η" if users.is_number[r] or items.is_number[c] else "V",
            value[r, c],
            chance[r, c],
            bool(value[r, c] > chance[r, c]),
            int(real.n[r, c]),
            int(real.user_labels[r, c]),
            int(real.item_labels[r, c]),
        )
        for r, user in enumerate(users.names)
        for c, item in enumerate(items.names)
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table.iloc[np.argsort((table["chance"] - table["value"]).to_numpy(), kind="stable")].reset_index(drop=True)  # NaN last


def level_of_chance(dealt: list[np.ndarray]) -> np.ndarray:
    """From S arrays of what deals gave: the level that no entry of a further deal passes, in about 95 of 100 (maxT).

    No entry's level is below what 98 of 100 of its own deals gave: a rare label has few possible values, and a long tail.
    """
    values = np.stack(dealt)
    mean, spread = values.mean(0), values.std(0)
    away = np.divide(values - mean, spread, out=np.zeros_like(values), where=spread > 0)
    highest = away.reshape(len(values), -1).max(1, initial=0)
    return np.maximum(mean + np.quantile(highest, SURE) * spread, np.quantile(values, 0.98, axis=0, method="higher"))


class _Side:
    """All features of one side as one sparse matrix: first the labels of each feature, then 1, z and z² of each number.

    Attributes:
        matrix: (n, columns) CSR. starts: (F,) where the labels of each feature begin. n_labels: columns of labels.
        is_number: (F,) bool. moments: (F,) where 1, z, z² of a number begin; -1 for other features.
    """

    def __init__(self, features: list[Feature], max_labels: int, bins: int) -> None:
        parts = [labelled(feature, max_labels=max_labels, bins=bins) for feature in features]
        self.names = [feature.name for feature in features]
        self.is_number = np.array([isinstance(feature, Numeric) for feature in features])
        self.starts = np.cumsum([0, *(len(part.labels) for part in parts)])[:-1]
        self.n_labels = sum(len(part.labels) for part in parts)
        self.moments = np.where(self.is_number, self.n_labels + 3 * (np.cumsum(self.is_number) - 1), -1)
        numbers = [_moments(feature) for feature in features if isinstance(feature, Numeric)]
        self.matrix = sp.hstack([*(part.matrix for part in parts), *numbers], format="csr")


def _moments(feature: Numeric) -> sp.csr_matrix:
    values = feature.values.astype(np.float64)
    known = np.isfinite(values)
    centre, spread = (values[known].mean(), values[known].std()) if known.any() else (0.0, 1.0)
    z = np.where(known, (values - centre) / (spread or 1.0), 0.0)
    return sp.csr_matrix(np.stack([known.astype(np.float64), z, z**2], axis=1))


@dataclass(frozen=True, eq=False)
class _Cells:
    """Per pair of features, (user features, item features): the bias-corrected square, which may be below 0, and counts."""

    square: np.ndarray
    n: np.ndarray
    user_labels: np.ndarray
    item_labels: np.ndarray


def _cells(table: np.ndarray, users: _Side, items: _Side) -> _Cells:
    """Every pair of a joint table of sums at once.

    Args:
        table: (user columns, item columns): over the interactions, the sum of user column x item column.
    """
    counts = table[: users.n_labels, : items.n_labels]
    found = _cramers_v(counts, users.starts, items.starts)
    square = found.pop("square")
    if users.is_number.any():
        sums = [table[users.moments[users.is_number] + power, : items.n_labels] for power in range(3)]
        square[users.is_number] = squared_correlation_ratios(*sums, items.starts)
    if items.is_number.any():
        columns = np.flatnonzero(items.is_number)
        sums = [table[: users.n_labels, items.moments[columns] + power].T for power in range(3)]
        ratios = squared_correlation_ratios(*sums, users.starts).T
        square[np.ix_(~users.is_number, columns)] = ratios[~users.is_number]
    return _Cells(square, **found)


def _cramers_v(table: np.ndarray, row_starts: np.ndarray, column_starts: np.ndarray) -> dict[str, np.ndarray]:
    """The square of labels.cramers_v of every block of a large table at once, below 0 where the correction takes more.

    Returns:
        (n_user_features, n_item_features) arrays square, n (the block's sum), user_labels, item_labels (those that occur).

    chi2 / n = sum(count^2 / (row sum x column sum)) - 1, which needs no table of expected counts.
    """
    row_of, column_of = (
        np.repeat(np.arange(len(starts)), np.diff([*starts, size]))
        for starts, size in zip((row_starts, column_starts), table.shape)
    )
    row_sums = np.add.reduceat(table, column_starts, axis=1)[:, column_of]
    column_sums = np.add.reduceat(table, row_starts, axis=0)[row_of]
    cells = np.divide(table**2, row_sums * column_sums, out=np.zeros_like(table), where=table > 0)

    def summed(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(np.add.reduceat(values, row_starts, axis=0), column_starts, axis=1)

    n = summed(table)
    r = np.add.reduceat(row_sums[:, column_starts] > 0, row_starts, axis=0, dtype=np.float64)
    c = np.add.reduceat(column_sums[row_starts] > 0, column_starts, axis=1, dtype=np.float64)
    others = np.maximum(n - 1, 1)
    phi2 = summed(cells) - 1 - (r - 1) * (c - 1) / others
    room = np.minimum(r - (r - 1) ** 2 / others, c - (c - 1) ** 2 / others) - 1
    usable = (r >= 2) & (c >= 2) & (n >= 2) & (room > 0)
    square = np.divide(phi2, room, out=np.zeros_like(phi2), where=usable)
    return {"square": square, "n": n, "user_labels": r, "item_labels": c}


def squared_correlation_ratios(n: np.ndarray, total: np.ndarray, squares: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Which part of a number's variance lies between the labels of a feature: 0 none, 1 all; bias-corrected.

    eta2 = sum_g n_g (mean_g - mean)^2 / sum (x - mean)^2; corrected (Kelley's epsilon squared):
    1 - (1 - eta2) (N - 1) / (N - G) over the G labels that occur, which is below 0 where the labels part by less than chance.

    Args:
        n, total, squares: (m, L) for m numbers and L label columns: how many values, their sum, the sum of squares.
        starts: (F,) where the labels of each feature begin.
    Returns:
        (m, F); 0 where fewer than two labels occur or the number does not vary.
    Source: Kelley, An unbiased correlation ratio measure, PNAS 1935.
    """
    between = np.divide(total**2, n, out=np.zeros_like(total), where=n > 0)
    rows, sums, squared, between = (np.add.reduceat(part, starts, axis=1) for part in (n, total, squares, between))
    labels = np.add.reduceat(n > 0, starts, axis=1, dtype=np.float64)
    mean_part = np.divide(sums**2, rows, out=np.zeros_like(sums), where=rows > 0)
    whole = squared - mean_part
    usable = (labels >= 2) & (rows > labels) & (whole > 1e-9 * np.maximum(squared, 1))
    eta2 = np.divide(between - mean_part, whole, out=np.zeros_like(whole), where=usable)
    kept = np.divide(rows - 1, rows - labels, out=np.ones_like(rows), where=usable)
    return np.where(usable, 1 - (1 - eta2) * kept, 0)
