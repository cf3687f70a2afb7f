"""The split that the NCF paper published: each user's last row held out, with 99 fixed candidates to find it among.

NAME.train.rating, NAME.test.rating: user, item, rating, timestamp; NAME.test.negative: a row a user, "(user,item)" and
then the candidates; tabs between all of them. Ids are the paper's, 0..n-1. NAME is "ml-1m" or "pinterest-20".
Source: He et al., Neural Collaborative Filtering, WWW 2017, and the files beside its code.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from recsys_lib.data.candidates import Candidates
from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.columns import Column, file_or_gzip, read_table
from recsys_lib.data.features import FeatureTable
from recsys_lib.data.files import fingerprint_of_file
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import Split, hold_out_last
from recsys_lib.datasets.base import Dataset
from recsys_lib.datasets.log import interactions_from

PARTS = (".train.rating", ".test.rating", ".test.negative")
COLUMNS = (
    Column("user", "integer", key=True),
    Column("item", "integer", key=True),
    Column("rating", "number"),
    Column("timestamp", "integer", key=True),
)
WANTS = "a split of the NCF paper: NAME.train.rating, NAME.test.rating and NAME.test.negative (each may be gzipped)"


def matches(file_names: set[str]) -> bool:
    return bool(_names_in(file_names))


def _names_in(file_names: set[str]) -> list[str]:
    names = sorted(name.removesuffix(PARTS[0]) for name in file_names if name.endswith(PARTS[0]))
    return [name for name in names if {name + part for part in PARTS} <= file_names]


def read(directory: str | Path) -> Dataset:
    """Read the three files. `split` is the paper's, `candidates` are its 99 a user.

    The paper has no validation part; here it is each user's last training row (where there are two or more), so that
    nothing is chosen on the test rows.

    Raises:
        FileNotFoundError: they are not all there. ValueError: a file is not as wanted, or they do not belong together.
    """
    directory = Path(directory)
    files = {path.name.removesuffix(".gz") for path in directory.iterdir()}
    names = _names_in(files)
    if not names:
        raise FileNotFoundError(f"no NCF split in {directory.name}/; wanted {WANTS}; found {', '.join(sorted(files))}")
    if len(names) > 1:
        raise ValueError(f"{directory.name}/ holds {len(names)} NCF splits ({', '.join(names)}); give each its own folder")
    name = names[0]
    paths = [file_or_gzip(directory, name + part) for part in PARTS]
    (train, train_notes), (test, test_notes) = (
        read_table(path, COLUMNS, separator="\t", header=False, quoted=False) for path in paths[:2]
    )
    asked, negatives = _read_candidates(paths[2])
    unasked = asked.merge(test[["user", "item"]].drop_duplicates(), how="outer", indicator=True).query("_merge != 'both'")
    if len(unasked):
        user, item = unasked.iloc[0][["user", "item"]]
        raise ValueError(
            f"{directory.name}/: {paths[1].name} and {paths[2].name} do not belong together; {len(unasked):,} pairs are in "
            f"one and not in the other, e.g. ({user},{item}). Take both from one download."
        )
    for path, part in zip(paths, (train, test)):
        if again := int(part.duplicated(["user", "item"]).sum()):
            raise ValueError(f"{directory.name}/{path.name}: {again:,} rows repeat a pair; the paper's file has none")
    rows = pd.concat([train, test], ignore_index=True)
    users = IdMap.union(rows["user"], what="user")
    items = IdMap.union(rows["item"], negatives.ravel(), what="item")
    log, merged = interactions_from(rows, users, items, user="user", item="item", timestamp="timestamp")
    if merged:
        raise ValueError(f"{directory.name}/: {merged[0]}; the parts of a split must be disjoint")
    in_train = np.arange(len(log)) < len(train)
    return Dataset(
        interactions=log,
        catalogue=Catalogue(users, items, FeatureTable(len(users)), FeatureTable(len(items))),
        tables={"train": train, "test": test},
        template=None,
        name=f"ncf_{name}".replace("-", "_"),
        sources={path.name: fingerprint_of_file(path) for path in paths},
        notes=("every rating is an interaction; test and candidates are the paper's own", *train_notes, *test_notes),
        split=hold_out_last(log.take(in_train), log.take(~in_train), "ncf_paper"),
        candidates=Candidates(users.indexes(asked["user"]), items.indexes(negatives.ravel()).reshape(negatives.shape)),
    )


def _read_candidates(path: Path) -> tuple[pd.DataFrame, np.ndarray]:
    """The held-out `user` and `item` of each of U rows; (U, C) item ids."""
    where = f"{path.parent.name}/{path.name}"
    try:
        table = pd.read_csv(path, sep="\t", header=None)
        asked = table[0].str.extract(r"^\((?P<user>\d+),(?P<item>\d+)\)$").astype(np.int64)
        items = table.drop(columns=0).to_numpy()
        if items.dtype != np.int64:  # floats and NaN stand where a row is shorter
            raise ValueError("a row is shorter than the first, or a candidate is no whole number")
        return asked, items
    except (ValueError, AttributeError, EOFError, OSError, zlib.error) as error:
        raise ValueError(
            f"{where} is not as wanted: a row a user, '(user,item)' and then as many candidate items in each row, "
            f"tabs between them ({str(error).strip()}). Copy or download it again."
        ) from error
