"""What a figure reads of a data set, and the fingerprints by which a change of it is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping

import numpy as np
import pandas as pd

from recsys_lib.datasets.base import Dataset, item_names


def reads(*parts: str) -> Callable[[Callable], Callable]:
    """Decorate a figure with the parts of the data set that it reads; names of PARTS."""
    unknown = set(parts) - set(PARTS)
    if unknown:
        raise ValueError(f"no part {', '.join(sorted(unknown))} of a data set; there are {', '.join(PARTS)}")

    def decorated(draw: Callable) -> Callable:
        draw.reads = parts
        return draw

    return decorated


def fingerprints(dataset: Dataset, parts: Iterable[str]) -> dict[str, str]:
    """Part -> 16 hexadecimal digits of its content."""
    return {part: PARTS[part](dataset) for part in parts}


def dates_of(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.Series]:
    """Every column of dates in the raw tables, by "table.column"."""
    return {
        f"{name}.{column}": table[column]
        for name, table in tables.items()
        for column in table.columns
        if pd.api.types.is_datetime64_any_dtype(table[column]) and table[column].notna().any()
    }


def _of_frames(frames: dict[str, pd.DataFrame | pd.Series]) -> str:
    digest = hashlib.sha256()
    for name, frame in frames.items():
        columns = list(frame.columns) if isinstance(frame, pd.DataFrame) else []
        digest.update(f"{name} {len(frame)} {columns}".encode())
        digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return digest.hexdigest()[:16]


def _item_names(dataset: Dataset) -> str:
    named = item_names(dataset)
    ids = dataset.catalogue.items.ids
    return _of_frames({"id": pd.Series(np.asarray(ids)), "name": pd.Series([named.get(one, "") for one in ids], dtype=object)})


PARTS: dict[str, Callable[[Dataset], str]] = {
    "interactions": lambda dataset: dataset.interactions.fingerprint,
    "user_features": lambda dataset: dataset.all_user_features.fingerprint(),
    "item_features": lambda dataset: dataset.all_item_features.fingerprint(),
    "item_names": _item_names,
    "spellings": lambda dataset: _of_frames(dict(dataset.spellings)),
    "dates": lambda dataset: _of_frames(dates_of(dataset.tables)),
    "tables": lambda dataset: _of_frames(dict(dataset.tables)),
}
