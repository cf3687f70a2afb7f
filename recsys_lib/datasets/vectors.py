"""Tables of vectors that a team made itself: embeddings of titles, texts or pictures, by whatever model.

They lie in the folder `vectors` of the data: item_NAME.csv or user_NAME.parquet, a row an id, the id in the first column and
numbers in all others. NAME is then a feature like any other, for every model that takes features.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from recsys_lib.data.features import FeatureTable, Vectors, vectors
from recsys_lib.data.files import fingerprint_of_file
from recsys_lib.data.ids import IdMap
from recsys_lib.datasets.base import Dataset

FOLDER = "vectors"
_IGNORED = {"desktop.ini", "thumbs.db", "icon\r", "readme.md", "readme.txt"}
_NAME = re.compile(r"(user|item)_(\w+)\.(csv|parquet)")


def add_vectors(dataset: Dataset, directory: Path) -> Dataset:
    """The data set with the tables of `directory`/vectors as features; the same one where there is no such folder.

    Raises:
        ValueError: a file is named or made otherwise, or none of its ids is known; the message says what was wanted.
    """
    folder = directory / FOLDER
    if not folder.is_dir():
        return dataset
    catalogue, notes, sources = dataset.catalogue, list(dataset.notes), dict(dataset.sources)
    for path in sorted(path for path in folder.iterdir() if path.name.lower() not in _IGNORED and path.name[0] != "."):
        found = _NAME.fullmatch(path.name)
        if not found:
            raise ValueError(
                f"{FOLDER}/{path.name} is no table of vectors; they are named item_NAME.csv, user_NAME.csv or .parquet, such as item_title.csv"
            )
        side, name, _ = found.groups()
        ids, table = (catalogue.users, catalogue.user_features) if side == "user" else (catalogue.items, catalogue.item_features)
        taken = (*catalogue.user_features.names, *catalogue.item_features.names)
        if name in taken:
            raise ValueError(f"{FOLDER}/{path.name}: a feature {name!r} is there already; rename the file. There are {', '.join(taken)}")
        feature = _read(path, name, ids)
        n_known = int((~np.isnan(feature.values[:, 0])).sum())
        if not n_known:
            raise ValueError(f"{FOLDER}/{path.name}: none of its ids is {_a(ids)} of the data with numbers; the data's first is {ids.ids[0]!s}")
        catalogue = replace(catalogue, **{f"{side}_features": FeatureTable(table.n_rows, [*table, feature])})
        notes.append(f"{FOLDER}/{path.name}: {feature.values.shape[1]} numbers for {n_known:,} of {len(ids):,} {side}s")
        sources[f"{FOLDER}/{path.name}"] = fingerprint_of_file(path)
    return replace(dataset, catalogue=catalogue, notes=tuple(notes), sources=sources)


def _read(path: Path, name: str, ids: IdMap) -> Vectors:
    where = f"{FOLDER}/{path.name}"
    try:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype={0: str}, encoding="utf-8-sig", index_col=False)
    except (ValueError, OSError) as error:  # pandas' and pyarrow's errors of content are ValueErrors
        raise ValueError(f"{where} cannot be read as {path.suffix[1:]}: {error}") from error
    if frame.shape[1] < 2 or not len(frame):
        raise ValueError(f"{where} has {len(frame):,} rows of {frame.shape[1]} columns; wanted is an id and numbers, a row an id")
    first = str(frame.columns[0])
    if first.startswith("Unnamed") or not isinstance(frame.index, pd.RangeIndex) or re.fullmatch(r"[-+.\d]+", first):
        raise ValueError(
            f"{where}: its first column must be the id, under a name such as {ids.what}_id; got {first!r}. With pandas, write it with index=False"
        )
    keys, numbers = frame.iloc[:, 0], frame.iloc[:, 1:]
    words = [str(column) for column in numbers if not pd.api.types.is_numeric_dtype(numbers[column])]
    if words:
        raise ValueError(f"{where}: column {words[0]!r} does not hold numbers; wanted are the id first and numbers after it")
    if pd.api.types.is_numeric_dtype(ids.ids):
        keys = pd.to_numeric(keys, errors="coerce")
        keys = keys.where((keys == keys.round()) & (keys.abs() < 2**53)).astype("Int64")
    else:
        keys = keys.astype(str).str.strip()
    if keys.isna().any() or keys.duplicated().any():
        wrong = frame.iloc[:, 0][keys.isna() | keys.duplicated()].iloc[0]
        raise ValueError(f"{where}: id {wrong!r} is empty, no {ids.what} id, or there twice; wanted is one row an id")
    return vectors(name, ids, keys.tolist(), numbers.to_numpy(dtype=np.float32))


def _a(ids: IdMap) -> str:
    return f"an {ids.what}" if ids.what[0] in "aeiou" else f"a {ids.what}"
