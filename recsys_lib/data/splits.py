"""Carve the log into what a model may learn from, what chooses, and what judges.

    leave_one_out, leave_k_out      the last or random rows of each user
    contest_split                   as many as a contest hides: random ones, or the last and random ones
    fraction_split                  a share of each user's rows, at random
    temporal_holdout                what came after a moment: for all users at once, or of each user's own time
    k_fold                          every row is tested once
    user_holdout                    users that training never sees; part of their rows is their history (fold-in)
    cold_start                      any of these, with the histories of some users and all rows of some items hidden

All splits keep one catalogue, use a private generator, are stable on ties and carry a fingerprint, so that two
people who name the same split hold out the same rows. Rows with equal timestamps count in the order of the file.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
import pandas as pd

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.names import did_you_mean


@dataclass(frozen=True, eq=False)
class Split:
    """Three disjoint parts of one log; four where users are held out.

    Attributes:
        train, validation, test: Interactions over one catalogue.
        protocol: how it was made, for captions, e.g. "leave_one_out_random".
        seed: of the private generator; 0 where nothing is drawn.
        fold_in: of held-out users, the rows that a model may know when it is asked, and never learns from; else None.
    Raises:
        ValueError: two parts share a (user, item) pair.
    """

    train: Interactions
    validation: Interactions
    test: Interactions
    protocol: str
    seed: int
    fold_in: Interactions | None = None

    def __post_init__(self) -> None:
        parts = {name: getattr(self, name) for name in ("train", "validation", "test", "fold_in")}
        parts = {name: part for name, part in parts.items() if part is not None}
        # An intersection sorts the larger part again; a look-up per held-out row does not.
        for (_, known), (name, rows) in combinations(parts.items(), 2):
            shared = count_shared(rows, known.pair_keys)
            if shared:
                raise ValueError(f"the parts of a split must be disjoint; {shared:,} {name} rows are in another part too")

    @cached_property
    def known_before_validation(self) -> Interactions:
        """All that a model may know when the validation part is asked: train, and the fold-in of its users."""
        if self.fold_in is None:
            return self.train
        return self.train.union(self.fold_in.take(self.validation.user_counts[self.fold_in.users] > 0))

    @cached_property
    def known_before_test(self) -> Interactions:
        """All that a model may know when the test part judges it: train and validation, and any fold-in."""
        known = self.train.union(self.validation)
        return known if self.fold_in is None else known.union(self.fold_in)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the parts' contents."""
        parts = [self.train, self.validation, self.test] + ([] if self.fold_in is None else [self.fold_in])
        return hashlib.sha256(",".join(part.fingerprint for part in parts).encode()).hexdigest()[:16]

    def describe(self) -> pd.DataFrame:
        """Is the held-out part skewed against train? One row a part.

        Means are taken over each user's rows first and then over the part's users, as the metrics do: in leave-one-out
        a quiet user counts as much in test as a busy one, and so he does here.

        Columns:
            rows, users, items: sizes.
            mean_activity: rows in train of the part's users; of users that are held out, rows of their fold-in.
            mean_popularity: rows in train of the items; for train the row itself is not counted, so that the three
                figures can be compared.
            share_of_popular: share of rows whose item is among the 20 % most popular of train.
            unseen_items: share of rows whose item never occurs in train: no model of ids can find those.
        """
        users, items = self.train.user_counts, self.train.item_counts
        if self.fold_in is not None:
            users = users + self.fold_in.user_counts
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


def leave_one_out(
    interactions: Interactions, *, held_out: str | None = None, validation_users: int | None = None, seed: int
) -> Split:
    """Hold out one row of each user for test, and one more for validation where three or more are there.

    Args:
        held_out: "last" (by time, ties in file order) or "random"; None means last where there are timestamps,
            else random. "last" without timestamps means the file's order, and warns.
        validation_users: so many, drawn at random, hold out a row for validation; the others keep theirs in train, where
            what comes last is what a model of sequences most needs to see. None: all. The sequential papers' choice.
    Raises:
        ValueError: no user has two rows, an unknown `held_out`, or fewer users with three rows than validation_users.
    Source: He et al., Neural Collaborative Filtering, WWW 2017 (last row); the DACON teams' random row; 2,048 validating
        users on MovieLens-1M: Petrov and Macdonald, A Replicability Study of BERT4Rec, RecSys 2022.
    """
    return leave_k_out(interactions, 1, held_out=held_out, validation_users=validation_users, seed=seed)


def leave_k_out(
    interactions: Interactions, k: int, *, held_out: str | None = None, validation_users: int | None = None, seed: int
) -> Split:
    """Hold out k rows of each user for test, and k more for validation; one row at least stays in train.

    A user with k rows or fewer keeps them all in train, one with 2k or fewer holds none out for validation.

    Args:
        k: rows, as many as the hidden set of a contest is believed to hold: recall depends on it.
        held_out, validation_users: as in leave_one_out.
    Raises:
        ValueError: no user has k + 1 rows, an unknown `held_out`, k below 1, or too few users for validation_users.
    """
    if held_out is None:
        held_out = "random" if interactions.timestamps is None else "last"
    if held_out not in ("last", "random"):
        raise ValueError(f"held_out must be 'last', 'random' or None; got {held_out!r}")
    if k < 1:
        raise ValueError(f"k must be 1 or more; got {k}")
    name = "leave_one_out" if k == 1 else f"leave_{k}_out"
    longest = interactions.user_counts.max(initial=0)
    if longest < k + 1:
        raise ValueError(
            f"{name} needs users with {k + 1} or more interactions; the longest of "
            f"{interactions.n_users:,} histories has {longest}. Is this the right CSV?"
        )
    if held_out == "random":
        order_in_user = np.random.default_rng(seed).random(len(interactions))
    else:
        order_in_user = _time_or_file_order(interactions, "held_out='random'")
    rank, counts = rank_in_user(interactions.users, order_in_user, interactions.user_counts)
    from_end = counts - 1 - rank
    test = (from_end < k) & (counts > k)
    validation = (from_end >= k) & (from_end < 2 * k) & (counts > 2 * k)
    protocol = f"{name}_{held_out}"
    if validation_users is not None:
        able = np.flatnonzero(interactions.user_counts > 2 * k)
        if not 1 <= validation_users <= len(able):
            raise ValueError(
                f"validation_users must be 1 or more, and at most the {len(able):,} users with {2 * k + 1} or more "
                f"interactions; got {validation_users:,}"
            )
        drawn = np.random.default_rng([seed, 1]).permutation(able)[:validation_users]  # [seed] alone orders the rows
        validation &= np.isin(interactions.users, drawn)
        protocol += f"_validated_by_{validation_users}"
    return _split(interactions, validation, test, protocol, seed)


def contest_split(interactions: Interactions, *, n_random: int, last: bool = False, seed: int) -> Split:
    """Hold out of each user what a contest is believed to hide: n random rows, or the last and n random ones.

    For test, and as many again for validation by the same rule: the last row is then the last of those that are left.
    A wrong rule misleads most, since the last rows are hard to find; a wrong number does beyond the k places of a list, where
    more answers make truncated recall easier; and each row held out is one less to learn from. The benchmark
    contest-validation measures all three.

    leave_k_out keeps short histories whole; here everybody is asked, as a host asks everybody: of c rows test takes at most
    (c + 1) // 3 and validation at most c // 3, the last one first, so that train keeps a third and at least one. Where all
    have 3 n rows and more, n random ones are the rows of leave_k_out; with n = 1, those of leave_one_out.

    Args:
        n_random: random rows, 1 or more.
        last: the last row too (by time, ties in file order); without timestamps the file's last, and warns.
    Raises:
        ValueError: n_random below 1, or no history is long enough to hold out that many.
    Source: the Boostcamp movie contest hides about 9 random rows and the last one; its teams found that the leaderboard
        follows a validation of 10 random rows, or of the last and 2 random ones.
    """
    if n_random < 1:
        raise ValueError(f"n_random must be 1 or more; got {n_random}. For the last rows alone there is leave_k_out(held_out='last')")
    name = f"contest_last_plus_{n_random}_random" if last else f"contest_{n_random}_random"
    n, counts = n_random + bool(last), interactions.user_counts
    longest = counts.max(initial=0)
    if longest < 3 * n - 1:
        raise ValueError(
            f"{name} needs users with {3 * n - 1} or more interactions, to hold out {n} and leave a third to train; the longest "
            f"of {interactions.n_users:,} histories has {longest}. Hold out fewer."
        )
    order_in_user = np.random.default_rng(seed).random(len(interactions))  # the order in which rows go
    time = _time_or_file_order(interactions, f"contest_{n}_random") if last else None
    in_test, in_validation = np.minimum(n, (counts + 1) // 3), np.minimum(n, counts // 3)

    def held_out(rows: np.ndarray, of_user: np.ndarray, n_rows: np.ndarray) -> np.ndarray:
        """Of the rows (m,), n_rows[u] of every user u, those of_user[u] that go first."""
        users, first = interactions.users[rows], order_in_user[rows]
        if time is not None:
            rank, counts = rank_in_user(users, time[rows], n_rows)
            first = np.where(rank == counts - 1, 1.0, first)  # behind all that were drawn from [0, 1)
        rank, counts = rank_in_user(users, first, n_rows)
        return rows[counts - 1 - rank < of_user[users]]

    test, validation = np.zeros((2, len(interactions)), dtype=bool)
    test[held_out(np.arange(len(interactions)), in_test, counts)] = True
    validation[held_out(np.flatnonzero(~test), in_validation, counts - in_test)] = True
    return _split(interactions, validation, test, name, seed)


def hold_out_last(train: Interactions, test: Interactions, protocol: str) -> Split:
    """A given train and test part; validation is each user's last training row, where two or more are there.

    For a published split that has no validation part: nothing may be chosen on its test rows.
    """
    key = np.arange(len(train)) if train.timestamps is None else train.timestamps
    rank, counts = rank_in_user(train.users, key, train.user_counts)
    last = (rank == counts - 1) & (counts >= 2)
    return Split(train.take(~last), train.take(last), test, protocol, 0)


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
    _check_fractions(fractions)
    order_in_user = np.random.default_rng(seed).random(len(interactions))
    validation, test = _ends_of_histories(interactions, order_in_user, fractions)
    return _split(interactions, validation, test, f"fraction_{_percent(fractions)}", seed)


def temporal_holdout(
    interactions: Interactions, *, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1), per_user: bool = False
) -> Split:
    """What came later is held out. Nothing is drawn: there is no seed.

    Globally, all rows are put in order of time and cut at the two moments nearest to the fractions; rows of one moment
    stay in one part, so nobody learns from the second (or the day) in which he is tested. That is how a recommender is
    used, and the only split in which no row of train is younger than one of test; new users and items appear in test,
    and such users are counted as cold. Per user, each user's own rows are cut, by the rule of fraction_split: everybody
    is tested, but on other days.

    Raises:
        ValueError: there are no timestamps, the fractions are wrong, or globally fewer than three distinct timestamps.
    Source: Meng et al., Exploring Data Splitting Strategies for the Evaluation of Recommendation Models, RecSys 2020.
    """
    _check_fractions(fractions)
    times = interactions.timestamps
    if times is None:
        raise ValueError("temporal_holdout needs timestamps and this log has none; use fraction_split or leave_one_out")
    if per_user:
        validation, test = _ends_of_histories(interactions, times, fractions)
        return _split(interactions, validation, test, f"temporal_per_user_{_percent(fractions)}", 0)
    moments, counts = np.unique(times, return_counts=True)
    if len(moments) < 3 or not min(fractions):
        raise ValueError(
            f"temporal_holdout needs three distinct timestamps and three fractions above 0; got {len(moments):,} in "
            f"{len(times):,} rows, and {fractions}. With per_user=True, or in fraction_split, they may be fewer."
        )
    before = np.cumsum(counts) - counts  # rows before each moment
    wanted = np.cumsum(fractions) * len(times)
    cut = 1 + np.abs(before[1:-1] - wanted[0]).argmin()
    next_cut = cut + 1 + np.abs(before[cut + 1 :] - wanted[1]).argmin()
    test = times >= moments[next_cut]
    validation = (times >= moments[cut]) & ~test
    return _split(interactions, validation, test, f"temporal_{_percent(fractions)}", 0)


def k_fold(interactions: Interactions, n_folds: int = 5, *, validation: float = 0.1, seed: int) -> list[Split]:
    """Every row is in the test part of just one fold; each user's rows are dealt to the folds in turn, shuffled.

    A user with one row is tested in one fold, without a history. Of n rows that a fold leaves to a user, those validate
    whose place j has (j + ½)/n >= 1 - validation: with .1 one of 5 or more, and none of fewer.

    Args:
        validation: share of each user's remaining rows that chooses epochs and options.
    Raises:
        ValueError: fewer than 2 folds, no user has as many rows as there are folds, or none enough to validate.
    """
    if n_folds < 2 or not 0 <= validation < 1:
        raise ValueError(f"k_fold needs 2 or more folds and a validation share in [0, 1); got {n_folds} and {validation}")
    longest = interactions.user_counts.max(initial=0)
    if longest < n_folds:
        raise ValueError(
            f"k_fold needs users with {n_folds} or more interactions; the longest of {interactions.n_users:,} histories "
            f"has {longest}. Use fewer folds."
        )
    generator = np.random.default_rng(seed)
    rank, _ = rank_in_user(interactions.users, generator.random(len(interactions)), interactions.user_counts)
    # Each user begins with another fold, or the first folds would get the odd rows of all users.
    fold = (rank + generator.integers(0, n_folds, interactions.n_users)[interactions.users]) % n_folds
    splits = []
    for number in range(n_folds):
        test = fold == number
        rest = np.flatnonzero(~test)
        chosen, _ = _ends_of_histories(interactions.take(rest), generator.random(len(rest)), (1 - validation, validation, 0))
        if validation and not chosen.any():
            raise ValueError(
                f"k_fold finds no validation row: a share of {validation} is one row of {int(np.ceil(0.5 / validation))} or more, "
                f"and {n_folds} folds leave at most {interactions.take(rest).user_counts.max()} to a user. Use a larger share."
            )
        in_validation = np.zeros(len(interactions), dtype=bool)
        in_validation[rest[chosen]] = True
        splits.append(_split(interactions, in_validation, test, f"fold_{number + 1}_of_{n_folds}", seed))
    return splits


def user_holdout(
    interactions: Interactions,
    *,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    fold_in: float = 0.8,
    seed: int,
) -> Split:
    """Whole users are held out (strong generalisation): can a model serve somebody it never saw in training?

    Of each held-out user, a share of the rows (fold-in) is the history that the model is asked with, the others must be
    found. Only models that read a history can score such users; the Evaluator refuses the others by name.

    Args:
        fractions: of the users with two or more rows, to train, validation and test. Users with one row go to train.
        fold_in: share of a held-out user's rows that is known; one row at least is, and one at least is not.
    Raises:
        ValueError: the fractions are wrong, or leave no user to train or to test.
    Source: Liang et al., Variational Autoencoders for Collaborative Filtering, WWW 2018 (their draw was another).
    """
    _check_fractions(fractions)
    if not 0 < fold_in < 1:
        raise ValueError(f"fold_in must lie between 0 and 1; got {fold_in}")
    generator = np.random.default_rng(seed)
    users = generator.permutation(np.flatnonzero(interactions.user_counts >= 2))
    ends = [round(fractions[0] * len(users)), round((fractions[0] + fractions[1]) * len(users))]
    part_of = np.zeros(interactions.n_users, dtype=np.int8)  # 0 train, 1 validation, 2 test
    part_of[users[ends[0] :]], part_of[users[ends[1] :]] = 1, 2
    if not ends[0] or (fractions[2] and ends[1] == len(users)) or (fractions[1] and ends[0] == ends[1]):
        raise ValueError(
            f"user_holdout cannot deal {len(users):,} users with two or more interactions out by {fractions}; "
            "is this the right CSV, or use other fractions"
        )
    part = part_of[interactions.users]
    rank, counts = rank_in_user(interactions.users, generator.random(len(interactions)), interactions.user_counts)
    known = np.clip(np.ceil(fold_in * counts - 0.5 - 1e-9), 1, counts - 1)  # those with (j + ½)/n < fold_in
    targets = rank >= known
    return Split(
        train=interactions.take(part == 0),
        validation=interactions.take((part == 1) & targets),
        test=interactions.take((part == 2) & targets),
        protocol=f"user_holdout_{_percent(fractions)}",
        seed=seed,
        fold_in=interactions.take((part > 0) & ~targets),
    )


def cold_start(split: Split, *, users: float = 0.1, items: float = 0.1, seed: int) -> Split:
    """The same split with cold users and cold items among those that are tested: what does a model do for newcomers?

    Of the users with test rows a share loses all other rows: nothing is known of them. Of the items in train or
    validation a share loses all rows there: nobody is known to have chosen them. What test asks stays as it was, so its
    figures stand beside those of `split`. Users left without rows because their items went are cold too.

    Raises:
        ValueError: a share that is not in [0, 1), whole users are held out already, or nothing is left to train on.
    """
    if split.fold_in is not None:
        raise ValueError(f"{split.protocol} holds whole users out; cold_start hides histories of a split that does not")
    if not (0 <= users < 1 and 0 <= items < 1):
        raise ValueError(f"users and items are shares in [0, 1); got {users} and {items}")
    generator = np.random.default_rng(seed)
    known = split.known_before_test
    cold_users = _drawn(generator, split.test.user_counts > 0, users)
    cold_items = _drawn(generator, known.item_counts > 0, items)
    train, validation = (part.take(~(cold_users[part.users] | cold_items[part.items])) for part in (split.train, split.validation))
    if not len(train):
        raise ValueError("cold_start leaves no row to train on; hide fewer users and items")
    return Split(train, validation, split.test, f"{split.protocol}_cold_{100 * users:g}_{100 * items:g}", seed)


def _drawn(generator: np.random.Generator, among: np.ndarray, share: float) -> np.ndarray:
    """(n,) bool: a share of those `among` which may be drawn."""
    there = np.flatnonzero(among)
    drawn = np.zeros(len(among), dtype=bool)
    n = max(1, round(share * len(there))) if share else 0  # a share of a few is one of them
    drawn[generator.permutation(there)[:n]] = True
    return drawn


SPLITS = {
    "leave_one_out_random": lambda log, seed: leave_one_out(log, held_out="random", seed=seed),
    "leave_one_out_last": lambda log, seed: leave_one_out(log, held_out="last", seed=seed),
    "fraction": lambda log, seed: fraction_split(log, seed=seed),
    "temporal": lambda log, seed: temporal_holdout(log),
    "temporal_per_user": lambda log, seed: temporal_holdout(log, per_user=True),
    "user_holdout": lambda log, seed: user_holdout(log, seed=seed),
}
_LEAVE_K_OUT = re.compile(r"leave_(one|\d+)_out_(random|last)(?:_validated_by_(\d+))?")
_CONTEST = re.compile(r"contest_(last_plus_)?(\d+)_random")
_FOLD = re.compile(r"fold_(\d+)_of_(\d+)")
_WITH_NUMBERS = (
    *("leave_10_out_random", "leave_10_out_last", "leave_one_out_last_validated_by_2048"),
    *("contest_10_random", "contest_last_plus_2_random", "fold_1_of_5"),
)


def make_split(name: str, interactions: Interactions, *, seed: int) -> Split:
    """A split by its name: what the notebooks' SPLIT parameter means.

    Args:
        name: one of SPLITS, or with numbers: "leave_10_out_random", "leave_3_out_last",
            "leave_one_out_last_validated_by_2048", "contest_10_random", "contest_last_plus_2_random", "fold_1_of_5".
    Raises:
        ValueError: an unknown name, or what the split says of these interactions.
    """
    return split_named(name)(interactions, seed)


def split_named(name: str) -> Callable[[Interactions, int], Split]:
    """(interactions, seed) -> Split; asked for its name alone, before there is data. Raises: ValueError."""
    if name in SPLITS:
        return SPLITS[name]
    found = _LEAVE_K_OUT.fullmatch(name)
    k, of_users = (1 if found[1] == "one" else int(found[1]), found[3] and int(found[3])) if found else (0, None)
    if k and of_users != 0:
        return lambda log, seed: leave_k_out(log, k, held_out=found[2], validation_users=of_users, seed=seed)
    if (found := _CONTEST.fullmatch(name)) and int(found[2]):
        return lambda log, seed: contest_split(log, n_random=int(found[2]), last=bool(found[1]), seed=seed)
    if (found := _FOLD.fullmatch(name)) and 1 <= int(found[1]) <= int(found[2]) and int(found[2]) > 1:
        return lambda log, seed: k_fold(log, int(found[2]), seed=seed)[int(found[1]) - 1]
    raise ValueError(
        f"no split {name!r}{did_you_mean(name, [*SPLITS, *_with_numbers_of(name)])} There are {', '.join(SPLITS)}; "
        f"and with numbers {', '.join(_WITH_NUMBERS)}."
    )


def _with_numbers_of(name: str) -> list[str]:
    """The names that hold numbers, with those of `name`, so that "leave_7_out_rnadom" is told of leave_7_out_random."""
    numbers = [number for number in re.findall(r"\d+", name) if int(number)]
    shapes = [shape for shape in _WITH_NUMBERS if len(re.findall(r"\d+", shape)) == len(numbers)]
    return [re.sub(r"\d+", lambda _, left=iter(numbers): next(left), shape) for shape in shapes] or list(_WITH_NUMBERS)


def rank_in_user(users: np.ndarray, key: np.ndarray, user_counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's place (0 = smallest key) among its user's rows, ties in file order; and how many the user has."""
    order = np.lexsort((key, users))
    starts = np.cumsum(user_counts) - user_counts
    rank = np.empty(len(users), dtype=np.int64)
    rank[order] = np.arange(len(users)) - starts[users[order]]
    return rank, user_counts[users]


def _time_or_file_order(interactions: Interactions, instead: str) -> np.ndarray:
    """(n,) what rises with time; without timestamps the place in the file, and a warning that names a split `instead`."""
    if interactions.timestamps is not None:
        return interactions.timestamps
    warnings.warn(
        "without timestamps the last row is the last in file order; if the file is shuffled, that is "
        f"a random row and not the latest. Prefer {instead}.",
        stacklevel=4,
    )
    return np.arange(len(interactions))


def _ends_of_histories(
    interactions: Interactions, order_in_user: np.ndarray, fractions: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool twice: row j of a user's n goes on where (j + ½)/n passes the first fraction, and the first two."""
    rank, counts = rank_in_user(interactions.users, order_in_user, interactions.user_counts)
    place = (rank + 0.5) / counts
    end_train, end_validation = fractions[0], fractions[0] + fractions[1]
    # Sums such as .8 + .1 carry rounding; a place that means .9 must not fall on either side by chance.
    validation = (place >= end_train - 1e-9) & (place < end_validation - 1e-9)
    test = (place >= end_validation - 1e-9) & (fractions[2] > 0)
    if fractions[2] > 0:  # a user with 2 rows holds one out for test
        pair = counts == 2
        validation &= ~pair
        test = np.where(pair, rank == 1, test)
    several = counts > 1
    return validation & several, test & several


def _check_fractions(fractions: tuple[float, float, float]) -> None:
    if len(fractions) != 3 or min(fractions) < 0 or fractions[0] <= 0 or abs(sum(fractions) - 1) > 1e-9:
        raise ValueError(f"fractions must be (train, validation, test), not negative, sum 1; got {fractions}")


def _percent(fractions: tuple[float, float, float]) -> str:
    return "_".join(f"{100 * fraction:g}" for fraction in fractions)


def _split(interactions: Interactions, validation: np.ndarray, test: np.ndarray, protocol: str, seed: int) -> Split:
    return Split(
        train=interactions.take(~(validation | test)),
        validation=interactions.take(validation),
        test=interactions.take(test),
        protocol=protocol,
        seed=seed,
    )
