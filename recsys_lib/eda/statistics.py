"""What a recommender team asks of its data, as tables. Sparse products only: nothing of size users x items is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import Categorical, Feature, MultiLabel
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import Split

# ---------------------------------------------------------------------------------------------------- histories, tail


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
    own = counts[interactions.items]
    sorted_counts = np.sort(counts)
    at_least = interactions.n_items - np.searchsorted(sorted_counts, own, side="left")
    one_less = np.searchsorted(sorted_counts, own, side="left") - np.searchsorted(sorted_counts, own - 1, side="left")
    # The same two numbers among the user's own rows, which are masked and so do not compete.
    span = int(counts.max(initial=0)) + 2
    users = interactions.users.astype(np.int64)
    keys = np.sort(users * span + own)
    ends = np.searchsorted(keys, (users + 1) * span, side="left")
    place = np.searchsorted(keys, users * span + own, side="left")
    ahead = (at_least - 1) - (ends - place - 1)
    tied = one_less - (place - np.searchsorted(keys, users * span + own - 1, side="left"))
    hit = np.clip((k - ahead) / (tied + 1), 0, 1)
    by_user = np.bincount(interactions.users, weights=hit, minlength=interactions.n_users)[scored] / lengths[scored]
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


# ---------------------------------------------------------------------------------------------------- feature x feature


@dataclass(frozen=True, eq=False)
class Labelled:
    """A feature as a sparse indicator; missing rows are empty.

    Attributes:
        matrix: (n_rows, L) float64 CSR of ones. labels: L texts.
    """

    name: str
    matrix: sp.csr_matrix
    labels: tuple[str, ...]


def labelled(feature: Feature, *, max_labels: int = 30, bins: int = 5) -> Labelled:
    """Any feature as labels: numbers by quantile bins, several labels a row each by itself, missing as no label.

    The `max_labels` most frequent labels are kept (in the order of their names); the others are one label, "(other)".
    """
    n_rows = len(feature)
    if isinstance(feature, MultiLabel):
        rows, codes, labels = np.repeat(np.arange(n_rows), np.diff(feature.indptr)), feature.codes, feature.labels
    elif isinstance(feature, Categorical):
        rows = np.flatnonzero(feature.codes)
        codes, labels = feature.codes[rows] - 1, feature.labels[1:]
    else:
        rows = np.flatnonzero(~np.isnan(feature.values))
        codes, labels = _quantile_bins(feature.values[rows], bins)
    codes = codes.astype(np.int64)
    frequency = np.bincount(codes, minlength=len(labels))
    if len(labels) > max_labels:
        kept = np.sort(np.argsort(-frequency, kind="stable")[: max_labels - 1])
        new = np.full(len(labels), len(kept))
        new[kept] = np.arange(len(kept))
        codes, labels = new[codes], (*(labels[code] for code in kept), "(other)")
    elif (frequency == 0).any():
        used = np.flatnonzero(frequency)
        codes, labels = np.searchsorted(used, codes), tuple(labels[code] for code in used)
    labels = labels or ("(missing)",)  # a label that no row has: every feature keeps a block of its own
    matrix = sp.csr_matrix((np.ones(len(rows)), (rows, codes)), shape=(n_rows, len(labels)))
    matrix.sum_duplicates()
    matrix.data[:] = 1.0  # several rare labels of one row are one "(other)"
    return Labelled(feature.name, matrix, tuple(labels))


def _quantile_bins(values: np.ndarray, bins: int) -> tuple[np.ndarray, tuple[str, ...]]:
    if not len(values):
        return np.zeros(0, dtype=np.int64), ()
    distinct = np.unique(values)
    if len(distinct) <= bins:
        return np.searchsorted(distinct, values), tuple(f"{value:,.6g}" for value in distinct)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    codes = np.searchsorted(edges, values, side="left")
    used = np.unique(codes)
    labels = []
    for code in used:
        inside = values[codes == code]
        low, high = inside.min(), inside.max()
        labels.append(_readable(low) if low == high else f"{_readable(low)}–{_readable(high)}")
    return np.searchsorted(used, codes), tuple(labels)


def _readable(value: float) -> str:
    # years are not written 1,995
    return f"{value:,.0f}" if value == round(value) and abs(value) >= 10_000 else f"{value:.6g}"


def cramers_v(table: np.ndarray, *, corrected: bool = True) -> float:
    """Association of rows and columns of an (R, C) table of counts: 0 none, 1 complete; empty rows and columns left out.

    phi2 = chi2 / n; corrected (Bergsma): max(0, phi2 - (r-1)(c-1)/(n-1)), with r - (r-1)^2/(n-1) for r, likewise c;
    V = sqrt(phi2 / min(r-1, c-1)). 0 where fewer than two rows or columns are left.
    Source: Bergsma, A bias-correction for Cramér's V and Tschuprow's T, J. Korean Stat. Soc. 2013.
    """
    table = np.asarray(table, dtype=np.float64)
    table = table[table.sum(1) > 0][:, table.sum(0) > 0]
    n = table.sum()
    r, c = table.shape
    if r < 2 or c < 2 or n < 2:
        return 0.0
    expected = np.outer(table.sum(1), table.sum(0)) / n
    phi2 = ((table - expected) ** 2 / expected).sum() / n
    if not corrected:
        return float(np.sqrt(phi2 / (min(r, c) - 1)))
    phi2 = max(0.0, phi2 - (r - 1) * (c - 1) / (n - 1))
    r, c = r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)
    return float(np.sqrt(phi2 / (min(r, c) - 1))) if min(r, c) > 1 else 0.0


def _blocks(table: np.ndarray, row_starts: np.ndarray, column_starts: np.ndarray) -> dict[str, np.ndarray]:
    """cramers_v of every block of a large table at once.

    Returns:
        (n_user_features, n_item_features) arrays v, n (the block's sum), user_labels, item_labels (those that occur).

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
    phi2 = np.maximum(0, summed(cells) - 1 - (r - 1) * (c - 1) / others)
    room = np.minimum(r - (r - 1) ** 2 / others, c - (c - 1) ** 2 / others) - 1
    usable = (r >= 2) & (c >= 2) & (n >= 2) & (room > 0)
    v = np.sqrt(np.divide(phi2, room, out=np.zeros_like(phi2), where=usable))
    return {"v": v, "n": n, "user_labels": r, "item_labels": c}


def cross_table(interactions: Interactions, user_feature: Labelled, item_feature: Labelled) -> pd.DataFrame:
    """(R, C) counts: interactions whose user has the row's label and whose item has the column's.

    With several labels a row, an interaction counts once for each pair of labels.
    """
    chosen = interactions.user_items().astype(np.float64) @ item_feature.matrix
    return pd.DataFrame(
        (user_feature.matrix.T @ chosen).toarray().astype(np.int64),
        index=pd.Index(user_feature.labels, name=user_feature.name),
        columns=pd.Index(item_feature.labels, name=item_feature.name),
    )


def associations(
    interactions: Interactions,
    catalogue: Catalogue,
    *,
    seed: int,
    shuffles: int = 50,
    max_labels: int = 30,
    bins: int = 5,
) -> pd.DataFrame:
    """Every user feature against every item feature over the interactions, with the level that chance alone gives.

    Chance: the features are dealt anew among the users who have interactions, `shuffles` times, and V is computed again;
    the level is the 95 % quantile. (A table of chi-square quantiles would be too low: the rows of one user share
    the user's features, so they are not independent.)

    Returns:
        one row a pair, the clearest first (by V less chance): user_feature, item_feature, v, chance, above_chance, rows
        (label pairs counted), user_labels, item_labels (those that occur).
    """
    users = [labelled(feature, max_labels=max_labels, bins=bins) for feature in catalogue.user_features]
    items = [labelled(feature, max_labels=max_labels, bins=bins) for feature in catalogue.item_features]
    columns = ["user_feature", "item_feature", "v", "chance", "above_chance", "rows", "user_labels", "item_labels"]
    if not users or not items:
        return pd.DataFrame(columns=columns)
    active = np.flatnonzero(interactions.user_counts)
    indicators = sp.hstack([user.matrix for user in users], format="csr")[active]
    chosen = interactions.user_items().astype(np.float64)[active] @ sp.hstack(
        [item.matrix for item in items], format="csr"
    )
    user_starts = np.cumsum([0, *(len(user.labels) for user in users)])[:-1]
    item_starts = np.cumsum([0, *(len(item.labels) for item in items)])[:-1]

    def of_order(order: np.ndarray | slice) -> dict[str, np.ndarray]:
        return _blocks((indicators[order].T @ chosen).toarray(), user_starts, item_starts)

    real = of_order(slice(None))
    generator = np.random.default_rng(seed)
    dealt = [of_order(generator.permutation(len(active)))["v"] for _ in range(shuffles)]
    chance = np.quantile(dealt, 0.95, axis=0) if shuffles else np.zeros_like(real["v"])
    rows = [
        (
            user.name,
            item.name,
            real["v"][r, c],
            chance[r, c],
            bool(real["v"][r, c] > chance[r, c]),
            int(real["n"][r, c]),
            int(real["user_labels"][r, c]),
            int(real["item_labels"][r, c]),
        )
        for r, user in enumerate(users)
        for c, item in enumerate(items)
    ]
    table = pd.DataFrame(rows, columns=columns)
    return table.iloc[np.argsort(-(table["v"] - table["chance"]), kind="stable")].reset_index(drop=True)


def lift(interactions: Interactions, user_feature: Labelled, item_feature: Labelled) -> pd.DataFrame:
    """How many times as often as independence would give does a user label choose an item label?

    Returns:
        one row a pair of labels that both occur: user_label, item_label, count, expected (row sum x column sum / n),
        lift (count / expected), residual ((count - expected) / sqrt(expected (1 - row share) (1 - column share)): about
        normal with deviation 1 if labels were independent; 0 where a row or a column holds everything).
    """
    table = cross_table(interactions, user_feature, item_feature)
    table = table.loc[table.sum(axis=1) > 0, table.sum(axis=0) > 0]
    counts = table.to_numpy(dtype=np.float64)
    n = max(counts.sum(), 1)
    expected = np.outer(counts.sum(1), counts.sum(0)) / n
    spread = np.sqrt(expected * np.outer(1 - counts.sum(1) / n, 1 - counts.sum(0) / n))
    residual = np.divide(counts - expected, spread, out=np.zeros_like(expected), where=spread > 0)
    user_labels = np.repeat(table.index.to_numpy(dtype=object), table.shape[1])
    item_labels = np.tile(table.columns.to_numpy(dtype=object), table.shape[0])
    return pd.DataFrame(
        {
            "user_label": user_labels,
            "item_label": item_labels,
            "count": counts.ravel().astype(np.int64),
            "expected": expected.ravel(),
            "lift": (counts / expected).ravel(),
            "residual": residual.ravel(),
        }
    )


# ---------------------------------------------------------------------------------------------------- a split


def split_profiles(split: Split) -> pd.DataFrame:
    """What each part's rows look like when every user counts once, as cumulative distributions.

    item_popularity: train rows of the row's item, the row itself not counted; each of a user's n rows in the part
    weighs 1/n, which is how a mean over users sees them.
    user_activity: all rows of the user, for the users who are in the part.

    Returns:
        columns part, quantity, value (rising), share (of users, at or below value), users.
    """
    train_counts = split.train.item_counts
    parts = (split.train, split.validation, split.test, split.fold_in)
    activity = sum(part.user_counts for part in parts if part is not None)
    pieces = []
    for name in ("train", "validation", "test"):
        part: Interactions = getattr(split, name)
        if not len(part):
            continue
        present = np.flatnonzero(part.user_counts)
        popularity = train_counts[part.items] - (1 if name == "train" else 0)
        for quantity, values, weights in (
            ("item_popularity", popularity, 1.0 / part.user_counts[part.users]),
            ("user_activity", activity[present], np.ones(len(present))),
        ):
            value, place = np.unique(values, return_inverse=True)
            share = np.cumsum(np.bincount(place, weights=weights)) / len(present)
            pieces.append(
                pd.DataFrame(
                    {"part": name, "quantity": quantity, "value": value, "share": share, "users": len(present)}
                )
            )
    return pd.concat(pieces, ignore_index=True)


def split_gaps(profiles: pd.DataFrame) -> pd.DataFrame:
    """The largest distance between each held-out part's distribution and that of train (Kolmogorov-Smirnov).

    Returns:
        columns quantity, part, gap (0 to 1), chance: what two samples of as many users differ by in 5 of 100 draws,
        1.36 sqrt(1/n + 1/m).
    """
    rows = []
    for quantity, table in profiles.groupby("quantity", sort=False):
        train = table[table["part"] == "train"]
        for part, other in table[table["part"] != "train"].groupby("part", sort=False):
            at = np.union1d(train["value"], other["value"])
            gap = np.abs(_share_at(train, at) - _share_at(other, at)).max()
            chance = 1.36 * np.sqrt(1 / train["users"].iloc[0] + 1 / other["users"].iloc[0])
            rows.append((quantity, part, gap, chance))
    return pd.DataFrame(rows, columns=["quantity", "part", "gap", "chance"])


def _share_at(profile: pd.DataFrame, at: np.ndarray) -> np.ndarray:
    shares = np.concatenate([[0.0], profile["share"].to_numpy()])
    return shares[np.searchsorted(profile["value"].to_numpy(), at, side="right")]
