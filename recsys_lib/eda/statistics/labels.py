"""Any feature as labels, and how strongly two of them go together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recsys_lib.data.features import Categorical, Feature, MultiLabel
from recsys_lib.data.interactions import Interactions


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
        return np.searchsorted(distinct, values), _told_apart(distinct)
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1]))
    codes = np.searchsorted(edges, values, side="left")
    used = np.unique(codes)
    labels = []
    for code in used:
        inside = values[codes == code]
        low, high = inside.min(), inside.max()
        labels.append(_readable(low) if low == high else f"{_readable(low)}–{_readable(high)}")
    return np.searchsorted(used, codes), tuple(labels)


def _told_apart(values: np.ndarray) -> tuple[str, ...]:
    texts = tuple(_readable(value) for value in values)
    return texts if len(set(texts)) == len(texts) else tuple(repr(float(value)) for value in values)


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
