"""Seeded data of a given size, with the habits that make speed differ: few popular items, tastes, long and short histories.

    popularity   a Zipf-like curve over all items
    taste        users and items belong to clusters; most of a user's rows are of the user's own cluster
    activity     log-normal lengths of histories

No Python loop over users: ten million rows take seconds. drifting_log is another world, small and with time: films come out,
are seen and pass, and tastes move.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import Categorical, FeatureTable
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions

N_CLUSTERS = 20
OF_OWN_CLUSTER = 0.6  # share of a user's draws
N_FEATURES = 8  # of users, and of items


@dataclass(frozen=True)
class Size:
    """How much data: distinct (user, item) pairs, and the fewest that a user has."""

    n_users: int
    n_items: int
    n_rows: int
    fewest: int = 3

    def __post_init__(self) -> None:
        if not self.fewest * self.n_users <= self.n_rows <= self.n_users * self.most:
            raise ValueError(
                f"{self.n_users:,} users of {self.fewest} to {self.most:,} rows cannot have {self.n_rows:,} rows together"
            )

    @property
    def most(self) -> int:
        """Rows of one user: half the catalogue, so that a random item is as often new as not."""
        return self.n_items // 2

    def __str__(self) -> str:
        return f"{self.n_users:,} users x {self.n_items:,} items, {self.n_rows:,} rows"


# S: the contest of the job postings. M: MovieLens 1M. L: MovieLens 20M as Liang et al. cut it. 20M: its ratings.csv.
SIZES = {
    "S": Size(8_482, 6_695, 57_946),
    "M": Size(6_040, 3_706, 1_000_209),
    "L": Size(136_677, 20_108, 9_990_682),
    "20M": Size(138_493, 26_744, 20_000_263, fewest=20),
}


def synthetic_log(size: Size, seed: int = 0) -> Interactions:
    """Exactly size.n_rows distinct pairs in random order, without timestamps."""
    keys = _pair_keys(size, seed)
    np.random.default_rng([seed, 2]).shuffle(keys)
    return Interactions(keys // size.n_items, keys % size.n_items, size.n_users, size.n_items)


def drifting_log(n_users: int = 600, n_items: int = 500, seed: int = 0) -> Interactions:
    """A log with timestamps in which the last rows of a user are not like the others, 33 to 120 rows a user.

    An item comes out at some moment of a year, not all during it, and is chosen the less the longer that is past; a user
    is active for a part of the year, leaves one cluster for another meanwhile, and never chooses an item twice.
    """
    rng = np.random.default_rng([seed, 6])
    lengths = np.minimum(33 + rng.negative_binomial(1, 1 / 31, n_users), 120)
    begins = rng.uniform(0, 0.6, n_users)
    moments = np.sort(begins[:, None] + rng.uniform(0.1, 1 - begins)[:, None] * rng.random((n_users, lengths.max())), 1)
    released = rng.uniform(-1.0, 0.9, n_items)
    loved = rng.lognormal(sigma=0.8, size=n_items)
    n_clusters = 10
    of_item, (early, late) = rng.permutation(n_items) % n_clusters, rng.integers(0, n_clusters, (2, n_users))
    free = np.ones((n_users, n_items), dtype=bool)
    users, items, times = [], [], []
    for step in range(lengths.max()):  # everybody draws at once
        now = moments[:, step, None]
        cluster = np.where(rng.random(n_users) < step / lengths, late, early)
        age = now - released
        likely = loved * np.exp(-age / 0.5) * np.where(of_item == cluster[:, None], 12.0, 1.0)
        # Who has had all that is out takes anything: an item is never chosen twice.
        likely = np.where(free, np.where(age >= 0, likely, 1e-12), 0.0)
        place = likely.cumsum(1)
        chosen = (place < rng.random((n_users, 1)) * place[:, -1:]).sum(1)
        going = np.flatnonzero(step < lengths)
        free[going, chosen[going]] = False
        users.append(going)
        items.append(chosen[going])
        times.append((now[going, 0] * 365 * 86_400).astype(np.int64))
    users, items, times = map(np.concatenate, (users, items, times))
    shuffled = rng.permutation(len(users))
    return Interactions(users[shuffled], items[shuffled], n_users, n_items, times[shuffled])


def synthetic_catalogue(size: Size, seed: int = 0) -> Catalogue:
    """Eight small categorical features a side; the first of each is the cluster, for nine rows of ten."""
    rng = np.random.default_rng([seed, 3])

    def table(what: str, clusters: np.ndarray) -> FeatureTable:
        features = []
        for place in range(N_FEATURES):
            n_labels = N_CLUSTERS if place == 0 else 2 + 2 * place
            codes = rng.integers(0, n_labels, len(clusters))
            if place == 0:
                codes = np.where(rng.random(len(clusters)) < 0.9, clusters, codes)
            labels = ("", *(f"{label:02}" for label in range(n_labels)))
            features.append(Categorical(f"{what}_feature_{place}", (codes + 1).astype(np.int32), labels))
        return FeatureTable(len(clusters), features)

    of_users, of_items = _clusters(size, seed)
    return Catalogue(
        IdMap(np.arange(size.n_users), "user"),
        IdMap(np.arange(size.n_items), "item"),
        table("user", of_users),
        table("item", of_items),
    )


def write_ratings(path: Path, size: Size, seed: int = 0) -> None:
    """A ratings.csv as MovieLens 20M has it: userId,movieId,rating,timestamp; users from 1, in order, movies within them."""
    import pyarrow as pa
    from pyarrow import csv

    rng = np.random.default_rng([seed, 4])
    keys = _pair_keys(size, seed)
    movie_ids = np.sort(rng.choice(5 * size.n_items, size.n_items, replace=False)) + 1  # with gaps, as theirs
    joined = rng.integers(789_652_009, 1_427_784_002, size.n_users)
    with path.open("wb") as stream:
        stream.write(b"userId,movieId,rating,timestamp\n")
        for part in np.array_split(keys, max(1, len(keys) // 2_000_000)):
            users, items = part // size.n_items, part % size.n_items
            columns = {
                "userId": users + 1,
                "movieId": movie_ids[items],
                "rating": rng.integers(1, 11, len(part)) / 2,
                "timestamp": joined[users] + rng.integers(0, 86_400, len(part)),
            }
            csv.write_csv(pa.table(columns), stream, csv.WriteOptions(include_header=False))


def write_with_features(folder: Path, size: Size, seed: int = 0) -> None:
    """ratings.dat, users.dat and movies.dat in the form of MovieLens 1M, so that every figure of the EDA has something to draw.

    Gender, age and occupation follow a user's cluster for every other user, the first genre an item's for most items, the
    second genre, the year, the words of the titles and the zip codes follow nothing.
    """
    import pyarrow as pa
    from pyarrow import csv

    rng = np.random.default_rng([seed, 5])
    of_users, of_items = _clusters(size, seed)

    def write(name: str, columns: list, mode: str = "wb") -> None:
        # a separator of two characters: an empty column lies between any two
        empty = pa.nulls(len(columns[0]), pa.string()).fill_null("")
        parts = [part for column in columns for part in (column, empty)][:-1]
        table = pa.table(parts, names=[str(place) for place in range(len(parts))])
        with (folder / name).open(mode) as stream:
            csv.write_csv(table, stream, csv.WriteOptions(include_header=False, delimiter=":", quoting_style="none"))

    def like(clusters: np.ndarray, labels: np.ndarray, loyal: float) -> np.ndarray:
        return labels[np.where(rng.random(len(clusters)) < loyal, clusters, rng.integers(0, 1000, len(clusters))) % len(labels)]

    users, items = np.arange(1, size.n_users + 1), np.arange(1, size.n_items + 1)
    zips = np.char.zfill(rng.integers(0, 100_000, size.n_users).astype(str), 5)
    ages, genders = np.array([1, 18, 25, 35, 45, 50, 56]), np.array(["F", "M"])
    write("users.dat", [users, like(of_users, genders, 0.5), like(of_users, ages, 0.5), like(of_users, np.arange(21), 0.5), zips])
    syllables = np.array(["ka", "lo", "mi", "ru", "ten", "sa", "vor", "ne"])
    words = ["".join(syllables[row]).title() for row in rng.integers(0, 8, (400, 3))]
    years = rng.integers(1930, 2001, size.n_items)
    titles = [f"{words[a]} {words[b]} ({year})" for a, b, year in zip(*rng.integers(0, 400, (2, size.n_items)), years)]
    genres = np.array([f"Genre{place:02}" for place in range(18)])
    both = np.char.add(np.char.add(like(of_items, genres, 0.8), "|"), genres[rng.integers(0, 18, size.n_items)])
    write("movies.dat", [items, titles, both])

    (folder / "ratings.dat").unlink(missing_ok=True)
    joined = rng.integers(956_703_932, 1_046_454_590, size.n_users)
    keys = _pair_keys(size, seed)
    for part in np.array_split(keys, max(1, len(keys) // 2_000_000)):
        who, what = part // size.n_items, part % size.n_items
        stars, when = rng.integers(1, 6, len(part)), joined[who] + rng.integers(0, 86_400, len(part))
        write("ratings.dat", [who + 1, what + 1, stars, when], "ab")


def _pair_keys(size: Size, seed: int) -> np.ndarray:
    """(n_rows,) int64, sorted, distinct: user * n_items + item."""
    rng = np.random.default_rng([seed, 0])
    counts = _lengths(size, rng)
    of_users, of_items = _clusters(size, seed)
    weights = (1.0 / (10.0 + rng.permutation(size.n_items))) ** 0.9
    everywhere = np.cumsum(weights) / weights.sum()
    # Cluster after cluster on one rising line, cluster c from c to c + 1: one search finds an item of any cluster.
    by_cluster = np.argsort(of_items, kind="stable")
    mass = np.bincount(of_items, weights, minlength=N_CLUSTERS)
    within = np.cumsum(weights[by_cluster] / mass[of_items[by_cluster]])

    keys = np.empty(0, dtype=np.int64)
    missing = counts
    for attempt in count():
        users = np.repeat(np.arange(size.n_users), missing)
        if not len(users):
            return keys
        if attempt < 8:
            own = rng.random(len(users)) < OF_OWN_CLUSTER
            items = np.searchsorted(everywhere, rng.random(len(users)))
            near = np.searchsorted(within, of_users[users[own]] + rng.random(own.sum()))
            items[own] = by_cluster[np.minimum(near, size.n_items - 1)]
        else:  # who has nearly all of a cluster would draw forever
            items = rng.integers(0, size.n_items, len(users))
        drawn = np.sort(users * size.n_items + np.minimum(items, size.n_items - 1))
        # Both are sorted: the stable sort finds the two runs and merges them.
        keys = np.sort(np.concatenate([keys, drawn]), kind="stable")
        keys = keys[np.append(True, keys[1:] != keys[:-1])]
        missing = counts - np.bincount(keys // size.n_items, minlength=size.n_users)


def _lengths(size: Size, rng: np.random.Generator) -> np.ndarray:
    """(n_users,) int64 rows of each user, from size.fewest to size.most; their sum is size.n_rows."""
    weights = rng.lognormal(sigma=1.0, size=size.n_users)
    counts = np.full(size.n_users, size.fewest)
    while left := size.n_rows - counts.sum():
        open_ = np.where(counts < size.most, weights, 0)
        counts = np.minimum(counts + rng.multinomial(left, open_ / open_.sum()), size.most)
    return counts


def _clusters(size: Size, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The clusters of users and of items; every cluster has an item where there are as many."""
    rng = np.random.default_rng([seed, 1])
    return rng.integers(0, min(N_CLUSTERS, size.n_items), size.n_users), rng.permutation(size.n_items) % N_CLUSTERS
