"""Two submissions side by side, before one of the day's uploads is spent: what changed, for whom, and to what.

    overlap@k(u) = |a_k(u) ∩ b_k(u)| / k           the first k of both lists
    Jaccard(u)   = |a(u) ∩ b(u)| / |a(u) ∪ b(u)|   the whole lists

Recall does not see the order within the list, so two files whose lists hold the same items have the same score, and only the
users with other items can move it.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from recsys_lib.data.columns import ENCODINGS, Column, read_table
from recsys_lib.data.names import did_you_mean
from recsys_lib.datasets.base import Dataset, item_names, template_of
from recsys_lib.evaluation.evaluator import POPULARITIES, by_rows_seen, popularity_of_items

FILE = "submission.csv"
CUTS = (1, 3, 5, 10, 20, 50)  # of overlap, as far as the lists go


@dataclass(frozen=True, eq=False, repr=False)
class SubmissionChange:
    """From submission a to submission b. Print it, or look at one table after the other.

    Attributes:
        first, second: (U, k) int64 item indexes, best first; the same users in the same order.
        users: (U,) int64 user indexes.
        dataset: whose log says who is active and what is popular.
    """

    first: np.ndarray
    second: np.ndarray
    users: np.ndarray
    dataset: Dataset

    @property
    def k(self) -> int:
        return self.first.shape[1]

    @cached_property
    def swapped(self) -> np.ndarray:
        """(U,) items of each user's list that were swapped for others."""
        return self._gone.sum(1)

    @cached_property
    def _gone(self) -> np.ndarray:
        """(U, k) bool: items of the first submission that the second lacks."""
        return ~_within(self.first, self.second)

    @cached_property
    def _come(self) -> np.ndarray:
        return ~_within(self.second, self.first)

    def table(self) -> pd.DataFrame:
        """The whole in a few lines: columns what, value."""
        n_users, k = self.first.shape
        changed, same_order = self.swapped > 0, (self.first == self.second).all(1)
        shared = k - self.swapped
        rows = [
            ("users x items", f"{n_users:,} x {k}"),
            ("lists that are the same", _of(same_order.sum(), n_users)),
            ("same items in another order", _of((~changed & ~same_order).sum(), n_users)),
            ("other items", _of(changed.sum(), n_users)),
            ("wholly other items", _of((shared == 0).sum(), n_users)),
        ]
        for cut in sorted({cut for cut in CUTS if cut < k} | {k}):
            rows.append((f"overlap@{cut}", f"{_within(self.first[:, :cut], self.second[:, :cut]).mean():.3f}"))
        rows += [
            ("Jaccard", f"{(shared / (2 * k - shared)).mean():.3f}"),
            ("items swapped a user", f"{self.swapped.mean():.2f} of {k}" + self._among_changed()),
            ("items recommended at all", f"{len(np.unique(self.first)):,} -> {len(np.unique(self.second)):,}"),
        ]
        return pd.DataFrame(rows, columns=["what", "value"])

    def _among_changed(self) -> str:
        changed = self.swapped[self.swapped > 0]
        return f" ({changed.mean():.2f} where any was)" if len(changed) else ""

    def by_activity(self) -> pd.DataFrame:
        """For whom: users by their rows in the log. Columns: group, users, changed (share of them), overlap, swapped (items a user)."""
        rows = []
        for name, inside in by_rows_seen(self.dataset.interactions.user_counts[self.users]).items():
            swapped = self.swapped[inside]
            rows.append((name, int(inside.sum()), (swapped > 0).mean(), 1 - swapped.mean() / self.k, swapped.mean()))
        return pd.DataFrame(rows, columns=["group", "users", "changed", "overlap", "swapped"])

    def by_popularity(self) -> pd.DataFrame:
        """To what: places in the lists by the popularity of their item in the log. Columns: group, before, after, out, in."""
        group = popularity_of_items(self.dataset.interactions.item_counts)
        places = (self.first.ravel(), self.second.ravel(), self.first[self._gone], self.second[self._come])
        counts = [np.bincount(group[items], minlength=len(POPULARITIES)) for items in places]
        table = pd.DataFrame(dict(zip(("before", "after", "out", "in"), counts)))
        table.insert(0, "group", POPULARITIES)
        return table[(table["before"] + table["after"]) > 0].reset_index(drop=True)

    def items(self, n: int = 5) -> pd.DataFrame:
        """The n items that gained most users and the n that lost most. Columns: item, title (where known), chosen (rows in the log), before, after, change."""
        log, ids = self.dataset.interactions, self.dataset.catalogue.items
        before, after = (np.bincount(lists.ravel(), minlength=log.n_items) for lists in (self.first, self.second))
        change = after - before
        order = np.argsort(-change, kind="stable")
        order = order[change[order] != 0]
        chosen = order if len(order) <= 2 * n else np.concatenate([order[:n], order[-n:]])
        table = pd.DataFrame({"item": ids.ids_of(chosen)})
        names = item_names(self.dataset)
        if names:
            table["title"] = [names.get(item, "") for item in table["item"]]
        return table.assign(chosen=log.item_counts[chosen], before=before[chosen], after=after[chosen], change=change[chosen])

    def sentence(self) -> str:
        """The answer in words: how much, for whom most, and towards what."""
        n_users, changed = len(self.users), int((self.swapped > 0).sum())
        if not changed:
            return f"The lists of all {n_users:,} users hold the same items: no recall can tell the two files apart."
        said = f"{_of(changed, n_users)} users get other items, {self.swapped.mean():.1f} of {self.k} a user on average"
        groups = self.by_activity()
        groups = groups[groups["users"] >= 30]
        if len(groups) > 1:
            most, least = groups.loc[groups["overlap"].idxmin()], groups.loc[groups["overlap"].idxmax()]
            if least["overlap"] - most["overlap"] >= 0.05:
                said += (
                    f"; most for users with {most['group']} rows (overlap {most['overlap']:.2f}), least for those with {least['group']} "
                    f"({least['overlap']:.2f})"
                )
        counts = self.dataset.interactions.item_counts
        gone, come = (float(np.median(counts[items])) for items in (self.first[self._gone], self.second[self._come]))
        if max(gone, come) > 1.1 * min(gone, come):
            said += f". What came in is {'more' if come > gone else 'less'} popular than what went (chosen {come:,.0f} and {gone:,.0f} times, medians)"
        else:
            said += ". What came in is as popular as what went"
        return said + "."

    def __repr__(self) -> str:
        return f"SubmissionChange({self.sentence()})"

    def __str__(self) -> str:
        tables = {
            "": "\n".join(f"{what:30}{value}" for what, value in self.table().itertuples(index=False)),
            "For whom (rows of the user in the log)": _shown(
                self.by_activity(), changed="{:.1%}", overlap="{:.3f}", swapped="{:.2f}"
            ),
            "To what (popularity in the log)": _shown(self.by_popularity()),
            "Gained and lost most": _shown(self.items(), change="{:+,d}"),
        }
        return "\n\n".join([self.sentence(), *(f"{title}\n{text}".strip("\n") for title, text in tables.items())])


def compare_submissions(
    first: str | Path | pd.DataFrame, second: str | Path | pd.DataFrame, dataset: Dataset, runs_dirs: Sequence[str | Path] = ()
) -> SubmissionChange:
    """What changed from one submission to the other.

    Args:
        first, second: submission files, or the names of runs that wrote one; or frames: of user and item in the order of the
            lists (the columns of the template, else the first two), or Recommendations with user_id, item_id and rank.
        runs_dirs: the folders of runs where names are looked for.
        dataset: of the contest; its log tells activity and popularity.
    Raises:
        ValueError: other users or other lengths in the two, lists of several lengths in one, an item twice in a list, an id
            that the data set does not know, or a table without two columns.
        FileNotFoundError: no such file, and no run of that name with a submission.
    """
    lists = []
    for name, given in (("first", first), ("second", second)):
        label = f"the {name} submission"
        if not isinstance(given, pd.DataFrame):
            given = _found_file(Path(given), runs_dirs)
            label = _label(label, given, runs_dirs)
        lists.append((label, _lists(given, label, dataset)))
    (first_label, (users, before)), (second_label, (others, after)) = lists
    _check_comparable(dataset, (first_label, users, before.shape[1]), (second_label, others, after.shape[1]))
    return SubmissionChange(before, after, users, dataset)


def submission_file(
    given: str | Path, runs_dirs: Sequence[str | Path] = (), dataset: Dataset | None = None, k: int = 0
) -> Path:
    """A submission by its file, or by the name of the run that wrote it.

    Args:
        dataset, k: also see, before a new submission is made, that it will have the same users and k items each; where
            there is a template, those of the template. 0: of any length.
    Raises:
        FileNotFoundError: there is neither.
        ValueError: given a data set, as compare_submissions.
    """
    path = _found_file(Path(given), runs_dirs)
    if dataset is not None:
        label = _label("the earlier submission", path, runs_dirs)
        users, lists = _lists(path, label, dataset)
        template = template_of(dataset, k or lists.shape[1])
        _check_comparable(dataset, (label, users, lists.shape[1]), ("the new one", template.users, template.k))
    return path


def _found_file(given: Path, runs_dirs: Sequence[str | Path]) -> Path:
    for path in (given, *(Path(folder) / given / FILE for folder in runs_dirs)):
        try:
            if path.is_file():
                return path
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:  # then it is no file
                raise
    written = sorted({path.parent.name for folder in runs_dirs for path in Path(folder).glob(f"*/{FILE}")})
    runs = f"Runs that wrote one: {', '.join(written[-5:]) or 'none yet'}" if runs_dirs else f"03_evaluate writes {FILE} into its run folder"
    raise FileNotFoundError(f"no file {given.name} to compare{did_you_mean(given.name, written)} {runs}")


def _label(which: str, path: Path, runs_dirs: Sequence[str | Path]) -> str:
    return f"{which} ({path.parent.name if path.name == FILE and runs_dirs else path.name})"


def _check_comparable(dataset: Dataset, one: tuple[str, np.ndarray, int], other: tuple[str, np.ndarray, int]) -> None:
    """Label, users and k of two submissions. Raises: ValueError."""
    (first, users, k), (second, others, other_k) = one, other
    for label, missing in ((first, np.setdiff1d(others, users)), (second, np.setdiff1d(users, others))):
        if len(missing):
            example = dataset.catalogue.users.ids_of(missing[:1])[0]
            raise ValueError(
                f"both submissions must ask for the same users; {label} lacks {len(missing):,} of the other's, e.g. {example!r}. "
                "Are both of this contest's template?"
            )
    if k != other_k:
        raise ValueError(f"both submissions must have lists of one length; {first} has {k} items a user, {second} {other_k}")


def _lists(given: str | Path | pd.DataFrame, label: str, dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """(U,) user indexes rising and (U, k) item indexes, best first."""
    frame = given if isinstance(given, pd.DataFrame) else _read(Path(given))
    columns = _columns(frame, label, dataset)
    if {"user_id", "item_id", "rank"} <= set(frame.columns):
        frame = frame.sort_values("rank", kind="stable")
    users, items = (
        _found(ids, frame[column], label) for ids, column in zip((dataset.catalogue.users, dataset.catalogue.items), columns)
    )
    order = np.argsort(users, kind="stable")
    users, items = users[order], items[order]
    asked, counts = np.unique(users, return_counts=True)
    if counts.min() != counts.max():
        odd = asked[counts != np.bincount(counts).argmax()][0]
        raise ValueError(
            f"{label} has lists of {counts.min()} to {counts.max()} items, e.g. user {dataset.catalogue.users.ids_of([odd])[0]!r}; "
            "check_submission tells all that is wrong with a file"
        )
    lists = items.reshape(len(asked), counts[0]).astype(np.int64)
    twice = (np.diff(np.sort(lists, 1), axis=1) == 0).any(1)
    if twice.any():
        user = dataset.catalogue.users.ids_of(asked[twice][:1])[0]
        raise ValueError(
            f"{label} repeats an item within {int(twice.sum()):,} lists, e.g. of user {user!r}; a list holds an item once"
        )
    return asked.astype(np.int64), lists


def _read(path: Path) -> pd.DataFrame:
    """As text: "007" is not 7."""
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    header = next(iter(text.splitlines()), "").split(",")
    frame, _ = read_table(path, [Column(name.strip(), "id") for name in header], encodings=ENCODINGS)
    return frame


def _columns(frame: pd.DataFrame, label: str, dataset: Dataset) -> list[str]:
    template = dataset.template
    if not len(frame):
        raise ValueError(f"{label} needs rows of a user and an item column; got 0 rows of {list(map(str, frame.columns))}")
    for pair in (("user_id", "item_id"), *([(template.user_column, template.item_column)] if template else [])):
        if set(pair) <= set(frame.columns):
            return list(pair)
    if frame.shape[1] != 2:
        raise ValueError(
            f"{label} needs rows of a user and an item column; got {len(frame):,} rows of {list(map(str, frame.columns))}"
        )
    return list(frame.columns)


def _found(ids, column: pd.Series, label: str) -> np.ndarray:
    texts = (
        column.astype("Int64").astype(str)
        if pd.api.types.is_float_dtype(column) and not column.isna().any()
        else column.astype(str)
    )
    found = pd.Index(ids.ids.astype(str)).get_indexer(pd.Index(texts))
    if (found < 0).any():
        example = texts.iloc[int(np.argmax(found < 0))]
        raise ValueError(
            f"{label} has {int((found < 0).sum()):,} rows of unknown {column.name}, e.g. {example!r}. Is it of this data set?"
        )
    return found


def _within(lists: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(U, k) bool: which items of a user's list are in his other one, in any place."""
    return (lists[:, :, None] == others[:, None, :]).any(2)


def _of(n: int, total: int) -> str:
    return f"{int(n):,} of {total:,} ({100 * n / total:.3g}%)"  # 99.8 % is not all


def _shown(table: pd.DataFrame, **formats: str) -> str:
    if not len(table):
        return "nothing"  # pandas would print "Empty DataFrame" and its columns
    formatters = {name: formats[name].format for name in formats if name in table}
    formatters |= {name: "{:,d}".format for name in table if name not in formats and pd.api.types.is_integer_dtype(table[name])}
    return table.to_string(index=False, formatters=formatters)
