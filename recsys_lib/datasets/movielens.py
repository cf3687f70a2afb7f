"""MovieLens as GroupLens publishes it: 100K, 1M, 10M, 20M, 25M, 32M and latest.

Every rating counts as an interaction, whatever its stars. Items are the films that somebody rated: 1M's movies.dat lists
3,883, and the published protocols have 3,706. From 10M on, the ratings go straight into codes and there is no `ratings`
table: a row takes 24 bytes, twenty million of them 0.5 GB.
Source: Harper and Konstan, The MovieLens Datasets: History and Context, ACM TiiS 5(4), 2015.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.columns import Column, file_or_gzip, read_table
from recsys_lib.data.features import Feature, FeatureTable, categorical, multi_label, numeric
from recsys_lib.data.files import fingerprint_of_file
from recsys_lib.data.ids import IdMap
from recsys_lib.data.text import spellings, title_words
from recsys_lib.datasets.base import Dataset
from recsys_lib.datasets.log import Log, first_row_each, interactions_from, read_log

USER, ITEM = "user_id", "item_id"
# As published, the texts are ISO-8859-1, in which every byte means something: what may fail comes first.
ENCODINGS = ("utf-8", "iso-8859-1")

RATINGS = (
    Column(USER, "integer", key=True),
    Column(ITEM, "integer", key=True),
    Column("rating", "number"),
    Column("timestamp", "integer", key=True, about="seconds since 1970, UTC"),
)
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
MOVIES_100K = (
    Column(ITEM, "integer", key=True),
    Column("title", "text"),
    Column("release_date", "text"),
    Column("video_release_date", "text"),
    Column("imdb_url", "text"),
    *(Column(genre, "integer") for genre in GENRES_100K),
)
USERS_100K = (
    Column(USER, "integer", key=True),
    Column("age", "integer"),
    Column("gender", "text"),
    Column("occupation", "text"),
    Column("zip_code", "text"),
)
MOVIES_CSV = (Column("movieId", "integer", key=True), Column("title", "text"), Column("genres", "text"))
MOVIES_1M = (Column(ITEM, "integer", key=True), Column("title", "text"), Column("genres", "text"))
USERS_1M = (
    Column(USER, "integer", key=True),
    Column("gender", "text"),
    Column("age", "integer", about="the lower end of an age group: 1, 18, 25, 35, 45, 50, 56"),
    Column("occupation", "integer", about="place in OCCUPATIONS_1M"),
    Column("zip_code", "text"),
)
OCCUPATIONS_1M = (
    "other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service",
    "doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer",
    "retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman",
    "unemployed", "writer",
)  # fmt: skip

NO_GENRES = "(no genres listed)"
# Rows of ratings.csv by which the releases are told; any other number is a "latest", which changes with time.
RELEASES = {20_000_263: "movielens_20m", 25_000_095: "movielens_25m", 32_000_204: "movielens_32m"}
WANTS = (
    "MovieLens 100K: u.data, and if there u.item, u.user; "
    "MovieLens 1M: ratings.dat and users.dat, and if there movies.dat; "
    "MovieLens 10M: ratings.dat and movies.dat; "
    "MovieLens 20M, 25M, 32M, latest: ratings.csv and movies.csv (each may be gzipped)"
)


def matches(file_names: set[str]) -> bool:
    """Whether a folder with these files is meant for this reader."""
    return any(is_it(file_names) for _, is_it, _ in _READERS)


def _is_100k(file_names: set[str]) -> bool:
    return "u.data" in file_names


def _is_1m(file_names: set[str]) -> bool:
    return {"ratings.dat", "users.dat"} <= file_names


def _is_10m(file_names: set[str]) -> bool:
    return {"ratings.dat", "movies.dat"} <= file_names and "users.dat" not in file_names


def _is_csv(file_names: set[str]) -> bool:
    return {"ratings.csv", "movies.csv"} <= file_names


def read(directory: str | Path) -> Dataset:
    """Read the folder of one of them.

    Raises:
        FileNotFoundError: there is none. ValueError: there are several, or a file is not as wanted.
    """
    directory = Path(directory)
    names = {path.name.removesuffix(".gz") for path in directory.iterdir()}
    found = [(title, reader) for title, is_it, reader in _READERS if is_it(names)]
    if len(found) > 1:
        raise ValueError(f"{directory.name}/ holds {' and '.join(title for title, _ in found)}; keep one")
    if not found:
        raise FileNotFoundError(f"no MovieLens in {directory.name}/; wanted {WANTS}; found {', '.join(sorted(names))}")
    return found[0][1](directory)


def _read_100k(directory: Path) -> Dataset:
    files = _Files(directory)
    tables = {"ratings": files.read("u.data", RATINGS, "\t")}
    movies = files.read("u.item", MOVIES_100K, "|")
    if movies is not None:
        flags = movies[list(GENRES_100K)].to_numpy() == 1  # (n, 19)
        movies["genres"] = ["|".join(name for name, is_set in zip(GENRES_100K, row) if is_set) for row in flags]
        tables["movies"] = movies.drop(columns=list(GENRES_100K))
    users = files.read("u.user", USERS_100K, "|")
    if users is not None:
        tables["users"] = users
    return _dataset("movielens_100k", tables, files, age_is_group=False)


def _read_1m(directory: Path) -> Dataset:
    files = _Files(directory)
    tables = {"ratings": files.read("ratings.dat", RATINGS, "::")}
    users = files.read("users.dat", USERS_1M, "::")
    users["occupation"] = users["occupation"].map(dict(enumerate(OCCUPATIONS_1M)))
    tables["users"] = users
    movies = files.read("movies.dat", MOVIES_1M, "::")
    if movies is not None:
        tables["movies"] = movies
    return _dataset("movielens_1m", tables, files, age_is_group=True)


def _read_10m(directory: Path) -> Dataset:
    files = _Files(directory)
    log = files.read_log("ratings.dat", separator="::", names=[USER, ITEM, "rating", "timestamp"], quoted=False)
    tables = {"movies": files.read("movies.dat", MOVIES_1M, "::")}
    return _dataset("movielens_10m", tables, files, age_is_group=False, log=log)


def _read_csv(directory: Path) -> Dataset:
    files = _Files(directory)
    log = files.read_log("ratings.csv", separator=",", user="userId", item="movieId", timestamp="timestamp")
    movies, notes = read_table(file_or_gzip(directory, "movies.csv"), MOVIES_CSV)
    files.add(file_or_gzip(directory, "movies.csv"), notes)
    tables = {"movies": movies.rename(columns={"movieId": ITEM})}
    name = RELEASES.get(len(log.interactions), "movielens_latest")
    return _dataset(name, tables, files, age_is_group=False, log=log)


_READERS = (
    ("MovieLens 100K (u.data)", _is_100k, _read_100k),
    ("MovieLens 1M (ratings.dat, users.dat)", _is_1m, _read_1m),
    ("MovieLens 10M (ratings.dat)", _is_10m, _read_10m),
    ("MovieLens 20M or later (ratings.csv)", _is_csv, _read_csv),
)


class _Files:
    """Reads the files of one folder; gathers fingerprints and notes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.sources: dict[str, str] = {}
        self.notes: list[str] = []

    def read(self, name: str, columns: tuple[Column, ...], separator: str) -> pd.DataFrame | None:
        path = file_or_gzip(self.directory, name)
        if path is None:
            self.notes.append(f"{name} is not there; read without it")
            return None
        table, notes = read_table(path, columns, separator=separator, encodings=ENCODINGS, header=False, quoted=False)
        self.add(path, notes)
        return table

    def read_log(self, name: str, **how) -> Log:
        path = file_or_gzip(self.directory, name)
        log = read_log(path, **how)
        self.add(path, log.notes)
        return log

    def add(self, path: Path, notes: Iterable[str]) -> None:
        self.sources[path.name] = fingerprint_of_file(path)
        self.notes += notes


def _dataset(
    name: str, tables: dict[str, pd.DataFrame], files: _Files, *, age_is_group: bool, log: Log | None = None
) -> Dataset:
    notes = ["every rating is an interaction, whatever its stars", *files.notes]
    if log is not None:
        users, items, interactions = log.users, log.items, log.interactions
    else:
        ratings = tables["ratings"]
        users, items = IdMap.union(ratings[USER], what="user"), IdMap.union(ratings[ITEM], what="item")
        interactions, merged = interactions_from(ratings, users, items, user=USER, item=ITEM, timestamp="timestamp")
        notes += merged

    item_features: list[Feature] = []
    further: dict[str, FeatureTable] = {}
    typed = {}
    if "movies" in tables:
        tables["movies"]["year"] = _year(tables["movies"]["title"])
        movies = first_row_each(tables["movies"], ITEM, "films", notes)
        n_unrated, n_unlisted = int((items.find(movies[ITEM]) < 0).sum()), len(items.ids.difference(movies[ITEM]))
        if n_unrated:
            notes.append(f"{n_unrated:,} films without a rating are left out; the protocols rank those that were rated")
        if n_unlisted:
            notes.append(f"{n_unlisted:,} rated films are not in the list of films: no title, no features")
        genres = movies.assign(genre=movies["genres"].str.split("|")).explode("genre")
        genres = genres[~genres["genre"].isin(["", NO_GENRES])]
        item_features = [
            multi_label("genres", items, genres[ITEM], genres["genre"]),
            numeric("year", items, movies[ITEM], movies["year"]),
        ]
        keys, as_typed, words = title_words(movies[ITEM], movies["title"])
        further["further_item_features"] = FeatureTable(len(items), [multi_label("title_words", items, keys, words)])
        typed["title_words"] = spellings(as_typed, words)
    user_features: list[Feature] = []
    if "users" in tables:
        people = first_row_each(tables["users"], USER, "users", notes)
        user_features = [
            categorical("gender", users, people[USER], people["gender"]),
            (categorical if age_is_group else numeric)("age", users, people[USER], people["age"]),
            categorical("occupation", users, people[USER], people["occupation"]),
        ]
        zip_code = categorical("zip_code", users, people[USER], people["zip_code"])
        further["further_user_features"] = FeatureTable(len(users), [zip_code])
    return Dataset(
        interactions=interactions,
        catalogue=Catalogue(
            users, items, FeatureTable(len(users), user_features), FeatureTable(len(items), item_features)
        ),
        tables=tables,
        template=None,
        name=name,
        sources=files.sources,
        notes=tuple(notes),
        spellings=typed,
        **further,
    )


def _year(titles: pd.Series) -> pd.Series:
    """The last year in parentheses: "Toy Story (1995)" -> 1995; missing where there is none."""
    return pd.to_numeric(titles.str.extract(r".*\((\d{4})\)", expand=False))
