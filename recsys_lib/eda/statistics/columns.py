"""Is every column worth reading? Missing, constant and nearly constant ones, zeros that mean missing, far values."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

NEARLY = 0.95  # of the given values are one and the same
MANY_MISSING = 0.5
FAR_FENCE = 3  # quartile distances (Tukey's outer fence)
FEWEST_DISTINCT = 10  # values of a column whose far ones are counted
APART = 0.1  # of the median: the least by which the smallest other value must be away from 0


def column_quality(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """One row a column of the raw tables, the most striking of each table first.

    zero apart: 0 occurs in a column of numbers whose other values (3 or more) all lie far from it, at a tenth of their
    median or more: a wanted salary of 0 beside 1,900 and more is one that was not given. Such zeros do not count among
    the values from which the others are judged.
    far: beyond the quartiles by more than 3 quartile distances, in columns of ten or more values.

    Returns:
        table, column, rows, missing, zero_apart, top_share (of the commonest among the given values), distinct, far (shares
        of the rows, but distinct), finding ("constant", "mostly missing", "nearly constant", "zero means missing?",
        "far values" or "").
    """
    rows = []
    for name, table in tables.items():
        for column in table.columns:
            rows.append((name, str(column), *_judged(table[column])))
    names = ["table", "column", "rows", "missing", "zero_apart", "top_share", "distinct", "far", "finding"]
    return pd.DataFrame(rows, columns=names)


def _judged(values: pd.Series) -> tuple:
    n = len(values)
    given = values.dropna()
    is_number = pd.api.types.is_numeric_dtype(given) and not pd.api.types.is_bool_dtype(given)
    zeros = int((given == 0).sum()) if is_number and _zero_stands_apart(given) else 0
    if zeros:
        given = given[given != 0]
    counts = given.value_counts()
    top = float(counts.iloc[0] / len(given)) if len(given) else float("nan")
    far = int(_is_far(given.to_numpy(dtype=np.float64)).sum()) if is_number and len(counts) >= FEWEST_DISTINCT else 0
    missing = (n - zeros - len(given)) / max(n, 1)
    if len(counts) <= 1 and not missing:
        finding = "constant"
    elif missing > MANY_MISSING:
        finding = "mostly missing"
    elif top > NEARLY:
        finding = "nearly constant"
    elif zeros:
        finding = "zero means missing?"
    elif far:
        finding = "far values"
    else:
        finding = ""
    return n, missing, zeros / max(n, 1), top, len(counts), far / max(n, 1), finding


def _zero_stands_apart(given: pd.Series) -> bool:
    others = given[given != 0].abs()
    return len(others) < len(given) and others.nunique() >= 3 and float(others.min()) > max(1, APART * float(others.median()))


def _is_far(values: np.ndarray) -> np.ndarray:
    low, high = np.quantile(values, [0.25, 0.75])
    if low == high:
        return np.zeros(len(values), dtype=bool)
    return (values < low - FAR_FENCE * (high - low)) | (values > high + FAR_FENCE * (high - low))
