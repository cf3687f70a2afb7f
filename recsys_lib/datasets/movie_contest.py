"""The Boostcamp movie contest: who watched what and when, and every genre, director and writer of every film.

train_ratings.csv has user, item, time; titles.tsv, genres.tsv, directors.tsv, writers.tsv and years.tsv have a row a
film and value (a film has as many genres as rows). sample_submission.csv may lie beside them or in ../eval, where the
host puts it. The host asks for ten films a user.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.columns import Column, file_or_gzip, read_table
from recsys_lib.data.features import Feature, FeatureTable, multi_label, numeric
from recsys_lib.data.files import fingerprint_of_file
from recsys_lib.data.ids import IdMap
from recsys_lib.data.text import spellings, title_words
from recsys_lib.datasets.base import Dataset, Template
from recsys_lib.datasets.log import first_row_each, read_log, template_from

LOG, SUBMISSION = "train_ratings.csv", "sample_submission.csv"
USER, ITEM = "user", "item"
SUBMISSION_K = 10
KEY = Column(ITEM, "integer", key=True)
TABLES = {
    "titles.tsv": (KEY, Column("title", "text")),
    "years.tsv": (KEY, Column("year", "integer", about="titles end with it too; a few films are only there")),
    "genres.tsv": (KEY, Column("genre", "text")),
    "directors.tsv": (KEY, Column("director", "text", about="an IMDb id such as nm0000108")),
    "writers.tsv": (KEY, Column("writer", "text", about="an IMDb id")),
}
WANTS = f"the movie contest: {LOG}, and if there {', '.join(TABLES)} and {SUBMISSION} (each may be gzipped)"


def matches(file_names: set[str]) -> bool:
    return LOG in file_names


def read(directory: str | Path) -> Dataset:
    """Read the folder of train_ratings.csv.

    Raises:
        FileNotFoundError: it is not there. ValueError: a file is not as wanted.
    """
    directory = Path(directory)
    path = file_or_gzip(directory, LOG)
    if path is None:
        found = ", ".join(sorted(file.name for file in directory.iterdir()))
        raise FileNotFoundError(f"no {LOG} in {directory.name}/; found {found}")
    log = read_log(path, user=USER, item=ITEM, timestamp="time", separator=",")
    notes = ["every row is an interaction", *log.notes]
    sources = {path.name: fingerprint_of_file(path)}
    tables: dict[str, pd.DataFrame] = {}
    for name, columns in TABLES.items():
        side = file_or_gzip(directory, name)
        if side is None:
            notes.append(f"{name} is not there; read without it")
            continue
        tables[name.removesuffix(".tsv")], came = read_table(side, columns, separator="\t", quoted=False)
        sources[side.name] = fingerprint_of_file(side)
        notes += came
    submission = file_or_gzip(directory, SUBMISSION) or file_or_gzip(directory.absolute().parent / "eval", SUBMISSION)
    users, items = log.users, log.items
    if submission is None:
        template = Template(USER, ITEM, users.indexes(users.ids), SUBMISSION_K)
        notes.append(f"no {SUBMISSION}: the submission has {SUBMISSION_K} films for every user of {LOG}, in rising order")
    else:
        rows, came = read_table(submission, (Column(USER, "integer", key=True), Column(ITEM, "text")))
        template = template_from(rows, users, USER, ITEM, SUBMISSION)
        notes += came
        sources[submission.name] = fingerprint_of_file(submission)
    films = FeatureTable(len(items), _features(items, tables, notes))
    further, typed = None, {}
    if "titles" in tables:
        keys, as_typed, words = title_words(tables["titles"][ITEM], tables["titles"]["title"])
        further = FeatureTable(len(items), [multi_label("title_words", items, keys, words)])
        typed["title_words"] = spellings(as_typed, words)
    return Dataset(
        interactions=log.interactions,
        catalogue=Catalogue(users, items, FeatureTable(len(users)), films),
        tables=tables,
        template=template,
        name="movie_contest",
        sources=sources,
        notes=tuple(notes),
        further_item_features=further,
        spellings=typed,
    )


def _features(items: IdMap, tables: dict[str, pd.DataFrame], notes: list[str]) -> list[Feature]:
    features: list[Feature] = [
        multi_label(f"{value}s", items, tables[f"{value}s"][ITEM], tables[f"{value}s"][value])
        for value in ("genre", "director", "writer")
        if f"{value}s" in tables
    ]
    years = pd.Series(index=items.ids, dtype=float)
    if "titles" in tables:
        titles = first_row_each(tables["titles"], ITEM, "titles.tsv", notes).set_index(ITEM)["title"]
        years = pd.to_numeric(titles.str.extract(r".*\((\d{4})", expand=False)).reindex(items.ids)
    if "years" in tables:  # the title's year stands in where this list has none
        listed = first_row_each(tables["years"], ITEM, "years.tsv", notes).set_index(ITEM)["year"]
        years = listed.reindex(items.ids).fillna(years)
    if years.notna().any():
        features.append(numeric("year", items, years.index, years))
    return features
