"""What is known about users and items beside their interactions: one FeatureTable each, aligned with an IdMap."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsys_lib.data.ids import IdMap
from recsys_lib.data.names import did_you_mean


@dataclass(frozen=True, eq=False)
class Categorical:
    """One label a row.

    Attributes:
        codes: (n,) int32 into labels; 0 is "missing".
        labels: labels[0] is "" and stands for a missing value; the others are the distinct values, sorted.
    """

    name: str
    codes: np.ndarray
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True, eq=False)
class MultiLabel:
    """Any number of labels a row (all genres of a film, all keywords), as CSR.

    Attributes:
        indptr: (n + 1,) int64. codes: (nnz,) int32 into labels. labels: the distinct values, sorted.
    """

    name: str
    indptr: np.ndarray
    codes: np.ndarray
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.indptr) - 1


@dataclass(frozen=True, eq=False)
class Numeric:
    """One number a row. values: (n,) float32, NaN where missing."""

    name: str
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Vectors:
    """Several numbers a row that belong together, such as the embedding of a text. values: (n, d) float32, NaN rows where missing."""

    name: str
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.values)


Feature = Categorical | MultiLabel | Numeric | Vectors


class FeatureTable:
    """Features of all users or all items; row r of each feature belongs to index r of the IdMap.

    Args:
        n_rows: users or items in the catalogue.
        features: each of n_rows rows, with distinct names.
    Raises:
        ValueError: a feature has another number of rows (the message names it), or two share a name.
    """

    def __init__(self, n_rows: int, features: Iterable[Feature] = ()) -> None:
        self.n_rows = n_rows
        self._features: dict[str, Feature] = {}
        for feature in features:
            if len(feature) != n_rows:
                raise ValueError(
                    f"feature {feature.name!r} has {len(feature):,} rows but the catalogue has {n_rows:,}; "
                    "build it with categorical(), multi_label() or numeric(), which align it by id"
                )
            if feature.name in self._features:
                raise ValueError(f"two features are named {feature.name!r}")
            self._features[feature.name] = feature

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._features)

    def __len__(self) -> int:
        return len(self._features)

    def __iter__(self):
        return iter(self._features.values())

    def __getitem__(self, name: str) -> Feature:
        if name not in self._features:
            raise KeyError(f"no feature {name!r}{did_you_mean(name, self.names)} There are {', '.join(self.names) or 'none'}")
        return self._features[name]

    def select(self, names: Sequence[str]) -> FeatureTable:
        """Only these features, in this order. Raises: KeyError for an unknown name."""
        return FeatureTable(self.n_rows, [self[name] for name in names])

    def check_fits(self, other: FeatureTable) -> None:
        """Can `other` take this table's place: the same features, of the same kinds and labels, for as many rows?

        Raises: ValueError naming the feature that is missing, of another kind, with other labels or of another width.
        """
        if other.n_rows != self.n_rows:
            raise ValueError(f"the new features ({', '.join(other.names)}) have {other.n_rows:,} rows, not {self.n_rows:,}")
        for feature in self:
            name = feature.name
            if name not in other.names:
                raise ValueError(f"the model uses feature {name!r}; the new table has {', '.join(other.names) or 'none'}")
            new = other[name]
            if type(new) is not type(feature):
                raise ValueError(f"feature {name!r} was {type(feature).__name__} when the model was built and is {type(new).__name__} now")
            if isinstance(feature, (Categorical, MultiLabel)) and new.labels != feature.labels:
                raise ValueError(
                    f"feature {name!r} had {len(feature.labels)} labels when the model was built and has "
                    f"{len(new.labels)} now; keep the labels and change only the codes"
                )
            if isinstance(feature, Vectors) and new.values.shape != feature.values.shape:
                raise ValueError(f"feature {name!r} had {feature.values.shape[1]} columns when the model was built and has {new.values.shape[1]} now")

    def fingerprint(self) -> str:
        """16 hexadecimal digits of the names, labels and contents."""
        digest = hashlib.sha256(str(self.n_rows).encode())
        for feature in self:
            digest.update(f"{type(feature).__name__} {feature.name} {getattr(feature, 'labels', ())}".encode())
            arrays = [feature.values] if isinstance(feature, (Numeric, Vectors)) else [feature.codes]
            if isinstance(feature, MultiLabel):
                arrays.append(feature.indptr)
            for array in arrays:
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def categorical(name: str, ids: IdMap, keys: Iterable, values: Iterable) -> Categorical:
    """Align one column with `ids`.

    Args:
        keys: (m,) external ids, at most one row an id (unknown ids are left out). values: (m,) labels; null is missing.
    """
    values = pd.Series(values).reset_index(drop=True)
    codes, labels = pd.factorize(_as_labels(values), sort=True)  # -1 where null
    aligned = np.zeros(len(ids), dtype=np.int32)
    rows = _rows(name, ids, keys)
    aligned[rows[rows >= 0]] = codes[rows >= 0] + 1
    return Categorical(name, aligned, ("", *map(str, labels)))


def multi_label(name: str, ids: IdMap, keys: Iterable, values: Iterable) -> MultiLabel:
    """Align one label a row, any number of rows an id (a long table); nulls, unknown ids and repeats are left out."""
    values = pd.Series(values).reset_index(drop=True)
    codes, labels = pd.factorize(_as_labels(values), sort=True)
    rows = ids.find(keys)
    kept = (rows >= 0) & (codes >= 0)
    n_labels = max(len(labels), 1)
    pairs = np.unique(rows[kept].astype(np.int64) * n_labels + codes[kept])
    indptr = np.zeros(len(ids) + 1, dtype=np.int64)
    np.cumsum(np.bincount(pairs // n_labels, minlength=len(ids)), out=indptr[1:])
    return MultiLabel(name, indptr, (pairs % n_labels).astype(np.int32), tuple(map(str, labels)))


def numeric(name: str, ids: IdMap, keys: Iterable, values: Iterable) -> Numeric:
    """Align one column of numbers with `ids`; null is missing (NaN)."""
    numbers = pd.to_numeric(pd.Series(values), errors="raise").to_numpy(dtype=np.float32, na_value=np.nan)
    aligned = np.full(len(ids), np.nan, dtype=np.float32)
    rows = _rows(name, ids, keys)
    aligned[rows[rows >= 0]] = numbers[rows >= 0]
    return Numeric(name, aligned)


def vectors(name: str, ids: IdMap, keys: Iterable, values: np.ndarray) -> Vectors:
    """Align a table of vectors with `ids`: pretrained embeddings of titles, pictures, anything.

    Args:
        keys: (m,) external ids, at most one row an id (unknown ids are left out). values: (m, d) numbers.
    Raises:
        ValueError: the values are no table with a row for each key, or hold infinite numbers.
    """
    table, keys = np.asarray(values, dtype=np.float32), list(keys)
    if table.ndim != 2 or len(table) != len(keys) or not table.shape[1]:
        raise ValueError(f"feature {name!r} needs a row of numbers for each of {len(keys):,} ids; got an array of shape {table.shape}")
    if np.isinf(table).any():
        raise ValueError(f"feature {name!r} holds infinite numbers; write NaN for a missing vector")
    aligned = np.full((len(ids), table.shape[1]), np.nan, dtype=np.float32)
    rows = _rows(name, ids, keys)
    aligned[rows[rows >= 0]] = table[rows >= 0]
    aligned[np.isnan(aligned).any(1)] = np.nan  # half a vector is none
    return Vectors(name, aligned)


def _as_labels(values: pd.Series) -> pd.Series:
    # 3 and 3.0 are one label: a single missing value turns a column of integer codes into floats.
    if pd.api.types.is_float_dtype(values) and (values.dropna() == values.dropna().round()).all():
        values = values.astype("Int64")
    return values


def _rows(name: str, ids: IdMap, keys: Iterable) -> np.ndarray:
    rows = ids.find(keys)
    known = rows[rows >= 0]
    if len(np.unique(known)) != len(known):
        raise ValueError(f"feature {name!r} has several rows for one {ids.what}; use multi_label, or keep one row each")
    return rows
