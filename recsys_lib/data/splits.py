"""Carve the log into what a model may learn from, what chooses, and what judges.

All splits keep one catalogue, use a private generator, are stable on ties and carry a fingerprint, so that two
people who name the same split hold out the same rows.
"""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from recsys_lib.data.interactions import Interactions


@dataclass(frozen=True, eq=False)
class Split:
    """Three disjoint parts of one log.

    Attributes:
        train, validation, test: Interactions over one catalogue.
        protocol: how it was made, for captions, e.g. "leave_one_out_random".
        seed: of the private generator.
    Raises:
        ValueError: two parts share a (user, item) pair.
    """

    train: Interactions
    validation: Interactions
    test: Interactions
    protocol: str
    seed: int

    def __post_init__(self) -> None:
        # An intersection sorts the larger part again; a look-up per held-out row does not.
        for name, known in (("validation", self.train), ("test", self.train), ("test", self.validation)):
            shared = count_shared(getattr(self, name), known.pair_keys)
            if shared:
                raise ValueError(f"the parts of a split must be disjoint; {shared:,} {name} rows are in another part too")

    @cached_property
    def known_before_test(self) -> Interactions:
        """Train and validation: all that a model may know when the test part judges it."""
        return self.train.union(self.validation)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the three parts' contents."""
        parts = ",".join(part.fingerprint for part in (self.train, self.validation, self.test))
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    def describe(self) -> pd.DataFrame:
        """Is the held-out part skewed against train? One row a part.

        Means are taken over each user's rows first and then over the part's users, as the metrics do: in leave-one-out
        a quiet user counts as much in test as a busy one, and so he does here.

        Columns:
            rows, users, items: sizes.
            mean_activity: rows in train of the part's users.
            mean_popularity: rows in train of the items; for train the row itself is not counted, so that the three
                figures can be compared.
            share_of_popular: share of rows whose item is among the 20 % most popular of train.
            unseen_items: share of rows whose item never occurs in train: no model of ids can find those.
        """
        users, items = self.train.user_counts, self.train.item_counts
        n_popular = max(1, round(0.2 * self.train.n_items))
        popular = np.zeros(self.train.n_items, dtype=bool)
        popular[np.argsort(-items, kind="stable")[:n_popular]] = True
        table = {}
        for name in ("train", "validation", "test"):
            part: Interactions = getattr(self, name)
            own = 1 if name == "train" else 0
            weights = 1 / part.user_counts[part.users]
            table[name] = {
                "rows": len(part),
                "users": int((part.user_counts > 0).sum()),
                "items": int((part.item_counts > 0).sum()),
                "mean_activity": np.average(users[part.users], weights=weights) if len(part) else np.nan,
                "mean_popularity": np.average(items[part.items] - own, weights=weights) if len(part) else np.nan,
                "share_of_popular": np.average(popular[part.items], weights=weights) if len(part) else np.nan,
                "unseen_items": np.average(items[part.items] == 0, weights=weights) if len(part) else np.nan,
            }
        return pd.DataFrame.from_dict(table, orient="index").rename_axis("part")

    def verdict(self) -> str:
        """One sentence: is the held-out part lopsided against train, and in what?

        Lopsided: a mean of describe() below 0.8 or above 1.25 times that of train, or over 5 % unseen items.
        """
        table = self.describe()
        held_out = "test" if len(self.test) else "validation"
        row, train = table.loc[held_out], table.loc["train"]
        found = []
        for column, words in (("mean_popularity", "item popularity"), ("mean_activity", "user activity")):
            ratio = row[column] / train[column] if train[column] else np.nan
            if np.isfinite(ratio) and not 0.8 <= ratio <= 1.25:
                found.append(f"{words} is {ratio:.2f} times that of train")
        if row["unseen_items"] > 0.05:
            found.append(f"{row['unseen_items']:.1%} of its items never occur in train")
        if not found:
            return f"Not lopsided: the {held_out} part is like train in item popularity and user activity."
        return f"Lopsided: in the {held_out} part " + "; ".join(found) + "."


def count_shared(rows: Interactions, known: np.ndarray) -> int:
    """How many of the (user, item) pairs of `rows` are among `known`, (n,) sorted pair keys of the same catalogue."""
    if not len(known):
        return 0
    places = np.searchsorted(known, rows.pair_keys)
    places[places == len(known)] = 0
    return int((known[places] == rows.pair_keys).sum())


def leave_one_out(interactions: Interactions, *, held_out: str | None = None, seed: int) -> Split:
    """Hold out one row of each user for test, and one more for validation where three or more are there.

    Args:
        held_out: "last" (by time, ties in file order) or "random"; None means last where there are timestamps,
            else random. "last" without timestamps means the file's order, and warns.
    Raises:
        ValueError: no user has two rows, or an unknown `held_out`.
    Source: He et al., Neural Collaborative Filtering, WWW 2017 (last row); the DACON teams' random row.
    """
    if held_out is None:
        held_out = "random" if interactions.timestamps is None else "last"
    if held_out not in ("last", "random"):
        raise ValueError(f"held_out must be 'last', 'random' or None; got {held_out!r}")
    longest = interactions.user_counts.max(initial=0)
    if longest < 2:
        raise ValueError(
            f"leave_one_out needs users with 2 or more interactions; the longest of "
            f"{interactions.n_users:,} histories has {longest}. Is this the right CSV?"
        )
    if held_out == "random":
        order_in_user = np.random.default_rng(seed).random(len(interactions))
    elif interactions.timestamps is not None:
        order_in_user = interactions.timestamps
    else:
        warnings.warn(
            "held_out='last' without timestamps takes the last row in file order; if the file is shuffled, that is "
            "a random row and not the latest. Prefer held_out='random'.",
            stacklevel=2,
        )
        order_in_user = np.arange(len(interactions))
    rank, counts = rank_in_user(interactions.users, order_in_user, interactions.user_counts)
    from_end = counts - 1 - rank
    test = (from_end == 0) & (counts >= 2)
    validation = (from_end == 1) & (counts >= 3)
    return _split(interactions, validation, test, f"leave_one_out_{held_out}", seed)


def fraction_split(
    interactions: Interactions, *, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1), seed: int
) -> Split:
    """Shuffle each user's rows; row j of n goes to train where (j + ½)/n < fractions[0], and so on.

    The ½ rounds fairly: with 80/10/10 every user of 2 or more rows holds one out, where `int(n * 0.2)` would hold out
    none of fewer than 5. Users of 3 or 4 rows hold out a validation row and no test row: they are among the skipped of
    a test report. A user with 2 rows keeps 1 in train and holds 1 out for test; a user with 1 row keeps it in train.

    Raises:
        ValueError: the fractions are not three positive-or-zero numbers that sum to 1 with some train.
    """
    if len(fractions) != 3 or min(fractions) < 0 or fractions[0] <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions must be (train, validation, test), not negative, sum 1; got {fractions}")
    order_in_user = np.random.default_rng(seed).random(len(interactions))
    rank, counts = rank_in_user(interactions.users, order_in_user, interactions.user_counts)
    place = (rank + 0.5) / counts
    end_train, end_validation = fractions[0], fractions[0] + fractions[1]
    # Sums such as .8 + .1 carry rounding; a place that means .9 must not fall on either side by chance.
    validation = (place >= end_train - 1e-9) & (place < end_validation - 1e-9)
    test = place >= end_validation - 1e-9
    pair = counts == 2
    validation &= ~pair
    test = np.where(pair, rank == 1, test)
    single = counts == 1
    return _split(
        interactions,
        validation & ~single,
        test & ~single,
        "fraction_" + "_".join(f"{100 * fraction:g}" for fraction in fractions),
        seed,
    )


SPLITS = {
    "leave_one_out_random": lambda log, seed: leave_one_out(log, held_out="random", seed=seed),
    "leave_one_out_last": lambda log, seed: leave_one_out(log, held_out="last", seed=seed),
    "fraction": lambda log, seed: fraction_split(log, seed=seed),
}


def make_split(name: str, interactions: Interactions, *, seed: int) -> Split:
    """A split by its name in SPLITS: what the notebooks' SPLIT parameter means.

    Raises:
        ValueError: an unknown name.
    """
    if name not in SPLITS:
        raise ValueError(f"no split {name!r}; there are {', '.join(SPLITS)}")
    return SPLITS[name](interactions, seed)


def rank_in_user(users: np.ndarray, key: np.ndarray, user_counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's place (0 = smallest key) among its user's rows, ties in file order; and how many the user has."""
    order = np.lexsort((key, users))
    starts = np.cumsum(user_counts) - user_counts
    rank = np.empty(len(users), dtype=np.int64)
    rank[order] = np.arange(len(users)) - starts[users[order]]
    return rank, user_counts[users]


def _split(interactions: Interactions, validation: np.ndarray, test: np.ndarray, protocol: str, seed: int) -> Split:
    return Split(
        train=interactions.take(~(validation | test)),
        validation=interactions.take(validation),
        test=interactions.take(test),
        protocol=protocol,
        seed=seed,
    )
