"""The log of what was submitted: what validation said, what the leaderboard said, and whether the one follows the other.

    leaderboard.csv, in the team's folder: a row a submission and split
        submission   the file or the run it came from          member       who
        split        the protocol validated on                 metric       of the validation score
        validation   0 to 1                                    public, private   0 to 1, empty until they are known

A team has few submissions and many ideas, so it chooses on validation; that is safe only as far as validation puts the
submissions in the leaderboard's order. Spearman and Kendall count the order, bias the distance (validation - leaderboard).
A steady bias is harmless; a split with a small bias and no correlation is not. The file is a plain CSV which may be edited by
hand and may have columns of one's own; it is written whole or not at all, and a row that cannot be right is refused with its line.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, spearmanr

from recsys_lib.data.columns import Column, read_table
from recsys_lib.data.files import replacing
from recsys_lib.data.names import did_you_mean
from recsys_lib.display.plots import Plot, validation_against_leaderboard
from recsys_lib.runs.folder import RunFolder

FILE = "leaderboard.csv"
SCORES = ("validation", "public", "private")
BOARDS = ("public", "private")
KEY = ["submission", "member", "split", "metric"]
_COLUMNS = [Column(name, "id", about="a name") for name in KEY] + [Column(name, "number") for name in SCORES]
NAMES = [column.name for column in _COLUMNS]
FEWEST = 4  # submissions; of three, one order in six is the right one by luck alone
LUCK = 0.05
SECONDS_TO_WAIT, SECONDS_OF_A_LOCK = 10.0, 30.0


def log_submission(
    folder: str | Path,
    submission: str | Path | RunFolder,
    *,
    split: str,
    metric: str,
    validation: float,
    public: float | None = None,
    private: float | None = None,
    member: str = "",
) -> pd.DataFrame:
    """Write down what validation said of a submission; the same one validated on another split is another row.

    A row of the same submission, member, split and metric is corrected; leaderboard scores known of the submission are
    kept, and hold for all its rows.

    Args:
        folder: the team's folder of runs; leaderboard.csv is made there.
        submission: its run or its file. Of a file in a run folder the run's name counts, since they are all called submission.csv.
        split: the protocol validated on, e.g. split.protocol. metric: e.g. "truncated_recall@10".
        member: who; empty: the environment variable RECSYS_MEMBER, else "me".
    Returns:
        the whole log.
    Raises:
        ValueError: a score outside 0..1, an empty name, or a row of the file that cannot be right; nothing is written then.
    """
    row = {"submission": _name(submission), "member": _member(member), "split": split, "metric": metric}
    row |= {"validation": validation, "public": public, "private": private}
    new = _frame([row])
    _check(new, "this submission")
    with _alone(folder):
        log = read_leaderboard(folder)
        same = (log[KEY] == new.loc[0, KEY]).all(axis=1)
        if same.any():
            new = new.combine_first(log[same].reset_index(drop=True))[log.columns]
        # An empty frame among those joined would decide their types.
        log = pd.concat([part for part in (log[~same], new) if len(part)], ignore_index=True)
        return _write(folder, _spread(log, row["submission"], row["member"], _given(public, private)))


def log_scores(
    folder: str | Path,
    submission: str | Path | RunFolder,
    *,
    public: float | None = None,
    private: float | None = None,
    member: str = "",
) -> pd.DataFrame:
    """Fill in what the leaderboard said, in all rows of a submission.

    Args:
        member: whose; empty: whoever logged it, where that was one.
    Returns:
        the whole log.
    Raises:
        ValueError: no such submission, several members' of one name, no score, or one outside 0..1.
    """
    name, given = _name(submission), _given(public, private)
    if not given:
        raise ValueError(f"log_scores fills in public or private; neither was given for {name!r}")
    _check(_frame([dict.fromkeys(KEY, name) | {"validation": 0.0} | given]), "this score")
    with _alone(folder):
        log = read_leaderboard(folder)
        own = log[(log["submission"] == name) & ((log["member"] == member) | (not member))]
        if not len(own):
            raise ValueError(
                f"no submission {name!r} in {FILE}{did_you_mean(name, log['submission'])} Log it with log_submission first"
            )
        if own["member"].nunique() > 1:
            raise ValueError(f"{', '.join(own['member'].unique())} each logged a submission {name!r}; name the member")
        return _write(folder, _spread(log, name, own["member"].iloc[0], given))


def read_leaderboard(folder: str | Path) -> pd.DataFrame:
    """The log: a row a submission and split, in the order logged; empty where there is none yet.

    Copies that a synchronised folder makes of a file changed twice at once ("leaderboard (1).csv") are read too.

    Returns:
        columns submission, member, split, metric (text), validation, public, private (float, NaN where unknown).
    Raises:
        ValueError: columns are missing, or rows cannot be right; the message names the file and every such row.
    """
    folder = Path(folder)
    copies = sorted(folder.glob(f"{Path(FILE).stem}*(*).csv")) if folder.is_dir() else []
    return _joined([_read(path) for path in (folder / FILE, *copies) if path.is_file()])


def _joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Of each score the first that is known: the first frame has the first word."""
    frames = [frame for frame in frames if len(frame)]
    if len(frames) < 2:
        return frames[0] if frames else _frame([])
    return pd.concat(frames, ignore_index=True).groupby(KEY, sort=False).first().reset_index()


def _read(path: Path) -> pd.DataFrame:
    lines = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    filled = [number for number, line in enumerate(lines, start=1) if line.strip(',; \t"')]
    if len(filled) == 1 and lines[filled[0] - 1].split(",") == NAMES:  # a header, and nothing logged yet
        return _frame([])
    frame, _ = read_table(path, _COLUMNS)
    frame = _frame(frame.to_dict("records"))
    # A value in several lines is somebody's note; rows are then counted without the empty ones.
    _check(frame, path.name, filled[1:] if len(filled) == len(frame) + 1 else list(range(2, 2 + len(frame))))
    return frame


def _check(frame: pd.DataFrame, what: str, rows_in_file: list[int] | None = None) -> None:
    """Raises: ValueError naming every row that cannot be right by its number in the file, where it comes from one."""
    wrong = []
    for place, row in enumerate(frame.to_dict("records")):
        where = "" if rows_in_file is None else f"row {rows_in_file[place]}: "
        wrong += [f"{where}{name} is empty" for name in KEY if not row[name]]
        if np.isnan(row["validation"]):
            wrong.append(f"{where}validation is empty; a row says at least what validation said")
        for name in SCORES:
            if not (0 <= row[name] <= 1 or np.isnan(row[name])):
                meant = f"; is {row[name] / 100:g} meant?" if 1 < row[name] <= 100 else ""
                wrong.append(f"{where}{name} is {row[name]:g}, and scores lie between 0 and 1{meant}")
    if rows_in_file is not None:
        wrong += _contradictions(frame, np.array(rows_in_file))
    if wrong:
        raise ValueError(f"{what}: {wrong[0]}" if len(wrong) == 1 else "\n  ".join([f"{what} cannot be right:", *wrong]))


def _contradictions(frame: pd.DataFrame, rows_in_file: np.ndarray) -> Iterator[str]:
    for (name, member, split, metric), rows in frame.groupby(KEY, sort=False):
        if len(rows) > 1:
            numbers = ", ".join(map(str, rows_in_file[rows.index]))
            yield f"rows {numbers}: {name!r} of {member} on {split}, {metric} is there {len(rows)} times; keep one"
    for (name, member), rows in frame.groupby(["submission", "member"], sort=False):
        for board in BOARDS:
            said = rows[board].dropna().unique()
            if len(said) > 1:
                numbers = ", ".join(map(str, rows_in_file[rows.index]))
                yield f"rows {numbers}: {board} of {name!r} of {member} is {' and '.join(f'{s:g}' for s in said)}; a submission has one"


def _frame(rows: list[dict]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    frame = frame.reindex(columns=[*NAMES, *(name for name in frame if name not in NAMES)])
    for name in KEY:
        frame[name] = frame[name].where(frame[name].notna(), "").astype(str).str.strip()
    return frame.astype({name: float for name in SCORES})


def _spread(log: pd.DataFrame, name: str, member: str, given: dict[str, float]) -> pd.DataFrame:
    """What the leaderboard said holds for every split that the submission was validated on."""
    own = (log["submission"] == name) & (log["member"] == member)
    for board in BOARDS:
        known = [given[board]] if board in given else log.loc[own, board].dropna().tolist()
        if known:
            log.loc[own, board] = known[0]
    return log


def _write(folder: str | Path, log: pd.DataFrame) -> pd.DataFrame:
    with replacing(Path(folder) / FILE) as part:
        log.to_csv(part, index=False, encoding="utf-8-sig", lineterminator="\n")  # with a mark, or Excel shows no Hangul
    return log


@contextmanager
def _alone(folder: str | Path) -> Iterator[None]:
    """Between reading and renaming nobody else writes: a lock beside the file, of a dead writer's after half a minute no lock.

    A Drive shows the lock to others too late to help; there a copy is made of what was written twice, and it is read too.
    """
    lock = Path(folder) / f".{FILE}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    waited = time.monotonic()
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            break
        except (FileExistsError, PermissionError) as error:  # Windows says the latter of a file that is just being removed
            try:
                if time.time() - lock.stat().st_mtime > SECONDS_OF_A_LOCK:
                    lock.unlink(missing_ok=True)
            except (FileNotFoundError, PermissionError):
                pass
            if time.monotonic() - waited > SECONDS_TO_WAIT:
                if isinstance(error, PermissionError):
                    raise PermissionError(
                        f"{FILE} cannot be written in {lock.parent.name}/: this member may only read there. Ask the folder's owner for the "
                        "right to edit, or log in a folder of your own"
                    ) from None
                raise TimeoutError(
                    f"somebody else is writing {FILE} for {SECONDS_TO_WAIT:g} s; try again, or remove {lock.name}"
                ) from None
            time.sleep(0.02)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)


def _name(submission: str | Path | RunFolder) -> str:
    if isinstance(submission, RunFolder):
        return submission.name
    path = Path(submission)
    return path.parent.name if path.name == "submission.csv" and path.parent.name else path.name


def _given(public: float | None, private: float | None) -> dict[str, float]:
    return {board: score for board, score in zip(BOARDS, (public, private)) if score is not None}


def _member(member: str) -> str:
    return member or os.environ.get("RECSYS_MEMBER", "") or "me"


# -- does validation follow the leaderboard? -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LeaderboardReport:
    """Which split predicts the leaderboard.

    Attributes:
        log: the submissions.
        table: a row a split, metric and board, the best predictor first. Columns: split, metric, board, n (submissions with
            both scores), spearman, kendall, luck (how often chance alone gives a Kendall as high), bias (mean of validation -
            board), spread (deviation of that), note ("too few", "all scores equal" or nothing).
        board: the one that decides: private where enough is known of it, else public.
    """

    log: pd.DataFrame
    table: pd.DataFrame
    board: str

    @property
    def best(self) -> str:
        """The split that puts submissions most like the board; "" where nothing can be said."""
        judged = self._judged()
        return "" if not len(judged) else str(judged["split"].iloc[0])

    def _judged(self) -> pd.DataFrame:
        return self.table[(self.table["board"] == self.board) & (self.table["note"] == "")]

    @property
    def headline(self) -> str:
        """The sentence's first part, for a title."""
        judged = self._judged()
        if not len(judged):
            most = int(self.table["n"].max()) if len(self.table) else 0
            if most >= FEWEST:
                return "All validation or all leaderboard scores are equal, so there is no order to compare"
            return f"Too few submissions to say which split predicts the leaderboard: {most} with both scores at most, {FEWEST} are needed"
        first = judged.iloc[0]
        said = f"{first['split']} puts {first['n']} submissions most like the {self.board} leaderboard: Spearman {first['spearman']:.2f}"
        if len(judged) > 1:
            said += ", next " + " and ".join(f"{row.split} {row.spearman:.2f}" for row in judged.iloc[1:3].itertuples())
        return said

    @property
    def sentence(self) -> str:
        """Which split to trust, and how far."""
        judged = self._judged()
        if not len(judged):
            return f"{self.headline}."
        first = judged.iloc[0]
        side = "high" if first["bias"] > 0 else "low"
        said = f"{self.headline}. Its {first['metric']} reads {abs(first['bias']):.4f} too {side} on average (± {first['spread']:.4f})."
        if first["spearman"] <= 0:
            return f"{said} No split can be trusted to choose."
        if first["luck"] > LUCK:
            said += f" That may still be luck: chance alone gives as good an order in {first['luck']:.0%} of cases."
        if judged["n"].nunique() > 1:
            said += " The splits were used for different submissions, so their figures are not of the same ones."
        return said

    def figure(self) -> Plot:
        """Validation against the leaderboard, a colour a split, with the line on which both say the same."""
        correlations = {(row.split, row.metric): row.spearman for row in self._judged().itertuples()}
        return validation_against_leaderboard(self.log, title=self.headline, correlations=correlations)

    def __str__(self) -> str:
        return f"{self.sentence}\n\n{self.table.to_string(index=False, float_format='{:.4f}'.format, na_rep='')}"


def board_of(*folders: str | Path) -> LeaderboardReport:
    """The report of these folders' leaderboard.csv, for the end of a notebook; of one that cannot be read a line says why.

    A view-only member keeps a log in a folder of their own, beside the team's. Of one row in two logs the first folder's
    scores count.
    """
    logs = []
    for folder in folders:
        try:
            logs.append(read_leaderboard(folder))
        except (OSError, ValueError) as error:  # a Drive that is gone, a file damaged by hand
            print(f"{Path(folder) / FILE} cannot be read: {error}")
    return leaderboard_report(_joined(logs))


def leaderboard_report(log: pd.DataFrame) -> LeaderboardReport:
    """Rank correlation and bias between validation and the leaderboard, by split.

    Args:
        log: what read_leaderboard or log_submission returned.
    """
    rows = []
    for (split, metric), own in log.groupby(["split", "metric"], sort=False):
        for board in BOARDS:
            both = own.dropna(subset=["validation", board])
            if len(both):
                rows.append({"split": split, "metric": metric, "board": board} | _agreement(both["validation"], both[board]))
    names = ["split", "metric", "board", "n", "spearman", "kendall", "luck", "bias", "spread", "note"]
    table = pd.DataFrame(rows, columns=names)
    enough = table[(table["note"] == "") & (table["board"] == "private")]
    board = "private" if len(enough) else "public"
    # NaN goes last; a tie is broken by the board that decides, then by the smaller distance.
    order = table.assign(other=table["board"] != board, size=table["bias"].abs())
    order = order.sort_values(["other", "spearman", "kendall", "size"], ascending=[True, False, False, True], kind="stable")
    return LeaderboardReport(log, table.loc[order.index].reset_index(drop=True), board)


def _agreement(validation: pd.Series, board: pd.Series) -> dict[str, object]:
    difference = validation - board
    found = {"n": len(difference), "spearman": np.nan, "kendall": np.nan, "luck": np.nan}
    found |= {"bias": difference.mean(), "spread": difference.std(ddof=1)}
    if len(difference) < FEWEST:
        return found | {"note": "too few"}
    if validation.nunique() < 2 or board.nunique() < 2:
        return found | {"note": "all scores equal"}
    order = kendalltau(validation, board, alternative="greater")
    found |= {
        "spearman": float(spearmanr(validation, board).statistic),
        "kendall": float(order.statistic),
        "luck": float(order.pvalue),
    }
    return found | {"note": ""}
