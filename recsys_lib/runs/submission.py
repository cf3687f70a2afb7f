"""The file that a contest accepts: in the template's form, checked before it exists, scored by the host's metric."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.files import replacing
from recsys_lib.data.interactions import Interactions
from recsys_lib.datasets.base import Template


@dataclass(frozen=True)
class Problem:
    """One reason for which a host would refuse the file.

    Attributes:
        code: empty_file, wrong_encoding, byte_order_mark, wrong_separator, wrong_columns, column_order, ragged_row,
            null, missing_user, unknown_user, too_few, too_many, duplicate_item, unknown_item, seen_item, user_order.
        message: counts and an example, with its line where there is one.
    """

    code: str
    message: str

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class SubmissionError(ValueError):
    """A submission that would be refused; `problems` lists every reason."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        listed = "\n".join(f"  {problem}" for problem in problems)
        super().__init__(f"the submission has {len(problems)} problem(s) and was not written:\n{listed}")


def write_submission(
    recs: pd.DataFrame, template: Template, *, seen: Interactions, catalogue: Catalogue, path: str | Path
) -> Path:
    """Write recommendations as the host wants them: the template's columns and user order, best first, UTF-8, no BOM.

    Args:
        recs: Recommendations: user_id, item_id, rank (1 is best); other columns are not written.
        seen: what each user has already; a host that forbids these refuses the file.
        path: written beside and renamed only when `check_submission` finds nothing.
    Raises:
        SubmissionError: the file would be refused; nothing is written, an older file at `path` stays.
        ValueError: recs lacks a column.
    """
    missing = [name for name in ("user_id", "item_id", "rank") if name not in recs]
    if missing:
        raise ValueError(f"recommendations need user_id, item_id and rank; {missing} missing, got {list(recs.columns)}")
    place = _places(template, catalogue.n_users)[catalogue.users.find(recs["user_id"])]
    order = np.lexsort((recs["rank"].to_numpy(), place))
    users, items = (_as_text(recs[name]).to_numpy()[order] for name in ("user_id", "item_id"))
    frame = pd.DataFrame({template.user_column: users, template.item_column: items})
    with replacing(path) as part:
        frame.to_csv(part, index=False, encoding="utf-8", lineterminator="\n")
        problems = check_submission(part, template, seen=seen, catalogue=catalogue)
        if problems:
            raise SubmissionError(problems)
    return Path(path)


def check_submission(
    path: str | Path, template: Template, *, seen: Interactions, catalogue: Catalogue
) -> list[Problem]:
    """Everything for which a host would refuse the file; an empty list means acceptable.

    Each defect has one code, and a defect that explains others is told alone: a missing user is not also "too few",
    a row without an item still counts as one of the user's rows. Line ends of Windows are accepted.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path} to check; 03_evaluate writes submission.csv into its run folder")
    text, problems = _decoded(path.read_bytes())
    if text is None:
        return problems
    frame, more = _parsed(text, template)
    problems += more
    if frame is not None:
        problems += _Rows(frame, template, seen, catalogue).problems()
    return problems


def host_metric(submission: pd.DataFrame, answers: pd.DataFrame, k: int = 5) -> float:
    """The host's own number: truncated recall at k, averaged over the users of the answer file.

        mean over u in answers of |top_k(u) ∩ truth(u)| / min(|truth(u)|, k)

    A user of the answers whom the submission lacks counts 0; an item given twice counts once.

    Args:
        submission: rows in file order, best first, with the two columns of `answers`.
        answers: user and item, its first two columns; one row a hidden interaction.
    Raises:
        ValueError: no answers, or the submission lacks their columns.
    Source: DACON 236170 and the Boostcamp movie contest; Liang et al., WWW 2018, eq. 8.
    """
    columns = list(answers.columns[:2])
    if len(columns) < 2 or not len(answers):
        raise ValueError(f"answers need a user and an item column and a row; got {len(answers)} rows of {columns}")
    if not set(columns) <= set(submission.columns):
        raise ValueError(f"the submission needs the columns of the answers, {columns}; got {list(submission.columns)}")
    user, item = columns
    truth = pd.DataFrame({name: _as_text(answers[name]) for name in columns}).drop_duplicates()
    given = pd.DataFrame({name: _as_text(submission[name]) for name in columns})
    given = given[(given.groupby(user).cumcount() < k).to_numpy()].drop_duplicates()
    hits = truth.merge(given, on=columns, how="inner").groupby(user).size()
    n_truth = truth.groupby(user).size()
    return float((hits.reindex(n_truth.index, fill_value=0) / n_truth.clip(upper=k)).mean())


# -- reading what somebody else may have written -------------------------------------------------------------------


def _decoded(content: bytes) -> tuple[str | None, list[Problem]]:
    """The text, read kindly, so that one wrong encoding does not hide the other problems."""
    if not content.strip():
        return None, [Problem("empty_file", "the file holds nothing, not even a header")]
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return _decoded_as("utf-16", content, "the file is UTF-16; wanted UTF-8")
    if content.startswith(b"\xef\xbb\xbf"):
        bom = Problem("byte_order_mark", "the file begins with a byte order mark; save as 'UTF-8', not 'UTF-8 with BOM'")
        text, problems = _decoded(content[3:])
        return text, [bom, *problems]
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        return _decoded_as("cp949", content, f"line {line} is not UTF-8; save the file as UTF-8")


def _decoded_as(encoding: str, content: bytes, message: str) -> tuple[str | None, list[Problem]]:
    try:
        text = content.decode(encoding)
        message += f" (it reads as {encoding})"
    except UnicodeDecodeError:
        text = None
    return text, [Problem("wrong_encoding", message)]


def _parsed(text: str, template: Template) -> tuple[pd.DataFrame | None, list[Problem]]:
    """A frame of strings with the columns line, user, item; None where the columns cannot be told."""
    problems = []
    wanted = [template.user_column, template.item_column]
    header = text.split("\n", 1)[0].rstrip("\r")
    separator = ","
    if header.count(",") == 0:
        for other, called in (("\t", "a tab"), (";", "a semicolon"), ("|", "a bar"), (" ", "a space")):
            if sorted(header.split(other)) == sorted(wanted):
                separator = other
                problems.append(Problem("wrong_separator", f"the columns are separated by {called}; wanted a comma"))
    rows = csv.reader(io.StringIO(text.rstrip("\r\n")), delimiter=separator)
    try:
        lines, fields = _read(rows)
    except csv.Error as error:
        return None, [*problems, Problem("ragged_row", f"line {rows.line_num} cannot be read: {error}")]

    columns = fields[0]
    if columns != wanted:
        if sorted(columns) == sorted(wanted):
            problems.append(Problem("column_order", f"the columns must be in the order {wanted}; got {columns}"))
        else:
            problems.append(Problem("wrong_columns", f"the columns must be {wanted}, nothing else; got {columns}"))
            if not set(wanted) <= set(columns):
                return None, problems

    fits = np.array([len(row) == len(columns) for row in fields])
    if not fits.all():
        first = int(np.argmin(fits))
        example = f"line {lines[first]} has {len(fields[first])}"
        message = f"{int((~fits).sum()):,} rows do not have {len(columns)} fields, e.g. {example}"
        problems.append(Problem("ragged_row", message))
    whole = [row for row, fit in zip(fields[1:], fits[1:], strict=True) if fit]
    frame = pd.DataFrame(whole, columns=columns, dtype="str")
    frame = pd.DataFrame({"user": frame[wanted[0]], "item": frame[wanted[1]]})
    frame["line"] = np.array(lines[1:], dtype=np.int64)[fits[1:]]
    return frame, problems


def _read(rows: Iterator[list[str]]) -> tuple[list[int], list[list[str]]]:
    lines, fields = [], []
    for row in rows:
        fields.append(row)
        lines.append(rows.line_num)
    return lines, fields


# -- the rules -----------------------------------------------------------------------------------------------------


class _Rows:
    """The rows of a submission as indexes, and the questions asked of them."""

    NULLS = ("", "nan", "none", "null", "na", "n/a", "<na>")

    def __init__(self, frame: pd.DataFrame, template: Template, seen: Interactions, catalogue: Catalogue) -> None:
        self.template, self.seen, self.catalogue = template, seen, catalogue
        self.frame = frame
        self.users = _find(catalogue.users.ids, frame["user"])
        self.items = _find(catalogue.items.ids, frame["item"])
        # an item that is really called "null" is an item
        self.null_user = (self.users < 0) & frame["user"].str.strip().str.lower().isin(self.NULLS).to_numpy()
        self.null_item = (self.items < 0) & frame["item"].str.strip().str.lower().isin(self.NULLS).to_numpy()
        place = _places(template, catalogue.n_users)
        self.place = np.where(self.users >= 0, place[self.users], len(template.users))
        self.wanted = self.place < len(template.users)

    def problems(self) -> list[Problem]:
        checks = (
            self._null, self._missing_user, self._unknown_user, self._too_few, self._too_many,
            self._duplicate_item, self._unknown_item, self._seen_item, self._user_order,
        )  # fmt: skip
        return [problem for check in checks if (problem := check()) is not None]

    def _null(self) -> Problem | None:
        return self._rows("null", self.null_user | self.null_item, "rows without a user or an item")

    def _unknown_user(self) -> Problem | None:
        unknown = ~self.wanted & ~self.null_user
        return self._rows("unknown_user", unknown, "rows of users whom the template does not ask for")

    def _unknown_item(self) -> Problem | None:
        return self._rows("unknown_item", (self.items < 0) & ~self.null_item, "rows with items that do not exist")

    def _duplicate_item(self) -> Problem | None:
        again = self.frame.duplicated(["user", "item"]).to_numpy() & self.wanted & ~self.null_item
        return self._rows("duplicate_item", again, "rows repeat an item of the same user")

    def _seen_item(self) -> Problem | None:
        known = self.wanted & (self.items >= 0)
        keys = self.users.astype(np.int64) * self.seen.n_items + self.items
        again = known & np.isin(keys, self.seen.pair_keys)
        return self._rows("seen_item", again, "rows recommend what the user has already")

    def _missing_user(self) -> Problem | None:
        return self._users("missing_user", self._counts == 0, f"of {len(self.template.users):,} users have no rows")

    def _too_few(self) -> Problem | None:
        few = (0 < self._counts) & (self._counts < self.template.k)
        return self._users("too_few", few, f"users have fewer than {self.template.k} rows")

    def _too_many(self) -> Problem | None:
        return self._users("too_many", self._counts > self.template.k, f"users have more than {self.template.k} rows")

    def _user_order(self) -> Problem | None:
        rows = np.flatnonzero(self.wanted)
        back = np.flatnonzero(np.diff(self.place[rows]) < 0) + 1
        if not len(back):
            return None
        return Problem(
            "user_order",
            f"users must stand in the template's order, each user's rows together; at {len(back):,} places they do not, "
            f"first on line {self.frame['line'].iloc[rows[back[0]]]} with {self.frame['user'].iloc[rows[back[0]]]!r}",
        )

    @cached_property
    def _counts(self) -> np.ndarray:
        """(n template users,) rows of each."""
        return np.bincount(self.place[self.wanted], minlength=len(self.template.users))

    def _users(self, code: str, bad: np.ndarray, what: str) -> Problem | None:
        lacking = int((self.template.k - self._counts[bad]).sum())
        if not bad.any() or 0 < lacking <= int(self.null_user.sum()):
            return None  # rows that merely lost their user explain it
        first = int(np.argmax(bad))
        user = str(self.catalogue.users.ids[self.template.users[first]])
        return Problem(code, f"{int(bad.sum()):,} {what}, e.g. {user!r} with {self._counts[first]}")

    def _rows(self, code: str, bad: np.ndarray, what: str) -> Problem | None:
        if not bad.any():
            return None
        first = self.frame.iloc[int(np.argmax(bad))]
        return Problem(code, f"{int(bad.sum()):,} {what}, e.g. line {first['line']}: {first['user']},{first['item']}")


def _places(template: Template, n_users: int) -> np.ndarray:
    """(n_users + 1,) int64: each user index's place in the template; its length where it has none (and for index -1)."""
    place = np.full(n_users + 1, len(template.users), dtype=np.int64)
    place[template.users] = np.arange(len(template.users))
    return place


def _find(ids: pd.Index, texts: pd.Series) -> np.ndarray:
    """(n,) int64 indexes of ids written as text; -1 where unknown. "1.0" is not 1: the host would not find it either."""
    return pd.Index(ids.astype(str)).get_indexer(pd.Index(texts))


def _as_text(column: pd.Series) -> pd.Series:
    """Ids as a CSV shows them; whole numbers that a missing value made floats are whole again."""
    column = column.reset_index(drop=True)
    if pd.api.types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype("string")
