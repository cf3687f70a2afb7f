"""The run folder: everything one training or evaluation leaves behind, written once, by one writer, readable for good.

    <UTC time>-<member>-<model>-<4 hex>/
        started.json    kind, model, member, start, parameters: written first, so that an unfinished folder can say what it was
        history.jsonl   a line an epoch, appended
        metrics.json  lists.parquet  figures/*.png  weights, notebook.ipynb ...
        run.json        written last; where it is, the run is whole

No file holds an absolute path: the folder is moved, shared and published as it is.
"""

from __future__ import annotations

import json
import math
import os
import platform
import re
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from recsys_lib.data.files import replacing, write_text
from recsys_lib.runs.publishing import Published, Publisher
from recsys_lib.runs.writers import this_writer

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot

LIST_COLUMNS = ["part", "user_id", "item_id", "rank", "score"]
RECORDED_PACKAGES = (
    "torch", "numpy", "pandas", "scipy", "scikit-learn", "pyarrow", "matplotlib", "safetensors", "papermill", "ipywidgets",
)  # fmt: skip
_ABSOLUTE = re.compile(r"^(/|~/|[A-Za-z]:[\\/]|\\\\)\S")
_UNFIT_FOR_NAMES = re.compile(r"[^0-9A-Za-z_.가-힣]+")


class RunFolder:
    """One run. Make it with `create`, read it with `open`.

    Attributes:
        path: the folder (the local one, where the run is published elsewhere).
        publish_to: the folder of runs that `publish` copies to, or None.
        is_handed_over: made by a batch, which adds the executed notebook and publishes the whole when it has ended.
    """

    is_handed_over = False

    def __init__(self, path: str | Path, *, publish_to: str | Path | None = None) -> None:
        self.path = Path(path)
        self.publish_to = None if publish_to is None else Path(publish_to)
        self._publisher = None if publish_to is None else Publisher(self.path, self.publish_to / self.path.name)
        self._appending = False

    # -- made and found ------------------------------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        runs_dir: str | Path,
        *,
        kind: str,
        model: str,
        member: str = "",
        parameters: Mapping[str, Any] | None = None,
        publish_to: str | Path | None = None,
    ) -> RunFolder:
        """Make a new folder in `runs_dir`; never an existing one, however many members start in the same second.

        Args:
            kind: "training", "evaluation", "eda" ...
            member: who; empty: the environment variable RECSYS_MEMBER, else "me".
            parameters: what makes it this run and no other; an unfinished run is found again by them (see resuming.py).
            publish_to: a folder of runs on a Drive; `publish` copies this run there.
        """
        runs_dir = Path(runs_dir)
        runs_dir.mkdir(parents=True, exist_ok=True)
        member = member or os.environ.get("RECSYS_MEMBER", "") or "me"
        started = datetime.now(timezone.utc)
        while True:
            parts = (f"{started:%Y%m%dT%H%M%SZ}", _fit_for_name(member), _fit_for_name(model), uuid.uuid4().hex[:4])
            path = runs_dir / "-".join(parts)
            try:
                path.mkdir()
                break
            except FileExistsError:
                continue
        begun = {"kind": kind, "model": model, "member": member, "started": started.isoformat(timespec="microseconds")}
        begun |= {"parameters": dict(parameters or {}), "writer": this_writer()}
        write_text(path / "started.json", as_json(begun, base=path.parent.parent))
        return cls(path, publish_to=publish_to)

    @classmethod
    def open(cls, path: str | Path, *, publish_to: str | Path | None = None) -> RunFolder:
        """An existing run, finished or not.

        Raises:
            FileNotFoundError: there is no such folder.
        """
        path = Path(path)
        if not path.is_dir():
            newest = [run.name for run in all_runs(path.parent)[-3:]]
            raise FileNotFoundError(f"no run folder {path.name!r} in {path.parent.name}/; the newest there are {newest}")
        return cls(path, publish_to=publish_to)

    @classmethod
    def open_or_create(cls, given: str | Path, runs_dir: str | Path, **creating: Any) -> RunFolder:
        """The folder that a batch made and handed over as the parameter RUN_DIR, or a new one where that is empty."""
        if not given:
            return cls.create(runs_dir, **creating)
        # The name alone, as it stands in tables and notebooks, means the folder in runs_dir.
        place = Path(given) if Path(given).is_dir() else Path(runs_dir) / given
        run = cls.open(place, publish_to=creating.get("publish_to"))
        run.refuse_if_finished()
        run.is_handed_over = True
        return run

    def __repr__(self) -> str:
        return f"RunFolder({self.name}, {self.status})"

    # -- what is known about it ------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def record(self) -> dict:
        """run.json; of an unfinished run what is known from its start, with status "unfinished"."""
        record = _read_json(self.path / "run.json")
        if record is None:
            # A half-copied run.json on a Drive is an unfinished run, not an error of the reader's.
            record = self.begun() | {"status": "unfinished"}
        return {"name": self.name} | record

    @property
    def status(self) -> str:
        """ "finished", "failed" or "unfinished" (no run.json: still going, or killed)."""
        return str(self.record.get("status", "unfinished"))

    @property
    def is_finished(self) -> bool:
        return self.status == "finished"

    @property
    def kind(self) -> str:
        return str(self.record.get("kind", ""))

    @property
    def model(self) -> str:
        return str(self.record.get("model", ""))

    @property
    def member(self) -> str:
        return str(self.record.get("member", ""))

    @property
    def metrics(self) -> dict:
        """metrics.json, or an empty dict."""
        return _read_json(self.path / "metrics.json") or {}

    def begun(self) -> dict:
        """started.json; of a folder without one, what its name says."""
        begun = _read_json(self.path / "started.json")
        if begun is not None:
            return begun
        # No started.json either (copied by hand, killed at birth): the name still says something.
        parts = self.name.split("-")
        return {"kind": "", "model": parts[2], "member": parts[1], "started": parts[0]} if len(parts) == 4 else {}

    # -- written while it runs ------------------------------------------------------------------------------------

    def append_history(self, row: Mapping[str, Any]) -> None:
        """Add one line to history.jsonl, at once on its way to the disk."""
        path = self.path / "history.jsonl"
        if not self._appending:
            _cut_half_line(path)
            self._appending = True
        with path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(as_json(row, indent=None))
            stream.flush()

    def history(self) -> pd.DataFrame:
        """history.jsonl, a row an epoch; a line that a kill cut in two is left out.

        An epoch that a resumed run went through again counts once, as it went the last time.
        """
        path = self.path / "history.jsonl"
        rows = [row for row in map(_parsed, _lines(path)) if isinstance(row, dict)]
        frame = pd.DataFrame(rows)
        if "epoch" in frame:
            frame = frame.drop_duplicates("epoch", keep="last").sort_values("epoch", ignore_index=True)
        return frame

    def write_metrics(self, summary: Mapping[str, Any]) -> None:
        """metrics.json, whole or not at all; NaN and infinity become null."""
        write_text(self.path / "metrics.json", as_json(summary, base=self.path.parent))

    def write_lists(self, frame: pd.DataFrame) -> None:
        """Add lists to lists.parquet; a part ("validation", "test", "submission") that is there already is replaced.

        Raises:
            ValueError: a column of part, user_id, item_id, rank, score is missing.
        """
        missing = [name for name in LIST_COLUMNS if name not in frame]
        if missing:
            raise ValueError(f"lists need the columns {LIST_COLUMNS}; {missing} missing, got {list(frame.columns)}")
        frame = frame[LIST_COLUMNS].reset_index(drop=True)
        path = self.path / "lists.parquet"
        if path.is_file():
            before = self.lists()
            before = before[~before["part"].isin(frame["part"].unique())]
            frame = pd.concat([before, frame], ignore_index=True) if len(before) else frame
        with replacing(path) as part:
            frame.to_parquet(part, engine="pyarrow", index=False)

    def lists(self, part: str | None = None) -> pd.DataFrame:
        """lists.parquet, or one part of it.

        Raises:
            FileNotFoundError: this run wrote no lists.
        """
        path = self.path / "lists.parquet"
        if not path.is_file():
            raise FileNotFoundError(f"run {self.name} has no lists.parquet; trainings and evaluations write it when they end")
        frame = pd.read_parquet(path, engine="pyarrow")
        return frame if part is None else frame[frame["part"] == part].reset_index(drop=True)

    def save_figure(self, name: str, figure: Plot) -> Path:
        """figures/<name>.png; the figure stays open.

        Raises:
            ValueError: the name holds anything but letters, digits, "_", "." and "-".
        """
        if not re.fullmatch(r"[0-9A-Za-z_.\-]+", name):
            raise ValueError(f"a figure's name is its file's name: letters, digits, _ . - only; got {name!r}")
        path = self.path / "figures" / f"{name.removesuffix('.png')}.png"
        with replacing(path) as part:
            part.write_bytes(figure.png())
        return path

    # -- the end ---------------------------------------------------------------------------------------------------

    def finish(self, **content: Any) -> None:
        """Write run.json, last and once: kind, parents, parameters, seeds, fingerprints, seconds ... and the versions.

        Absolute paths among the parameters are shortened to their place beside the folder of runs, or to their name.

        Raises:
            FileExistsError: this run is finished already; a new one is a new folder.
        """
        self.refuse_if_finished()
        self._write_record(content | {"status": "finished"})

    def refuse_if_finished(self) -> None:
        """Raises: FileExistsError when the run is finished: its files belong together and stay as they are."""
        if self.is_finished:
            raise FileExistsError(f"run {self.name} is finished and stays as it is; start a new run for new results")

    def fail(self, error: BaseException | str, **content: Any) -> None:
        """Record that the run went wrong, with the last lines of the error; keeps what a finished run had said."""
        text = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        before = _read_json(self.path / "run.json") or {}
        self._write_record(content | before | {"status": "failed", "error": text.strip().splitlines()[-20:]})

    def _write_record(self, content: dict[str, Any]) -> None:
        now = datetime.now(timezone.utc)
        surroundings = {
            "finished": now.isoformat(timespec="microseconds"),
            "python": platform.python_version(),
            "platform": platform.system(),
            "packages": package_versions(),
        }
        begun = {name: value for name, value in self.begun().items() if name != "writer"}
        record = begun | surroundings | content
        write_text(self.path / "run.json", as_json(record, base=self.path.parent.parent))

    def checkpointed(self) -> None:
        """There is something new that a lost runtime would take along; published in the background, once a minute."""
        if self._publisher is not None:
            self._publisher.offer()

    def publish(self) -> Published | None:
        """Copy the run to `publish_to`, whole; None: it is at home already."""
        return None if self._publisher is None else self._publisher.publish()

    def publish_earlier(self) -> list[str]:
        """Copy the finished runs beside this one that an absent Drive left behind; names of those that are not there yet."""
        runs = [run for run in finished_runs(self.path.parent) if run.name != self.name]
        absent = [run for run in runs if not os.path.isfile(self.publish_to / run.name / "run.json")]
        return [run.name for run in absent if not Publisher(run.path, self.publish_to / run.name).publish().complete]

    def said_at_the_end(self) -> str:
        """The run's name, published where that is this notebook's to do, and what is not there yet."""
        if self.is_handed_over or self._publisher is None:
            return f"run {self.name}"
        published = self.publish()
        earlier = self.publish_earlier() if published.complete else []
        if published.complete and not earlier:
            return f"run {self.name}: published to the shared folder | 공유 폴더에 저장했습니다"
        return (
            f"run {self.name}: {published}; earlier runs NOT published: {len(earlier)}\n"
            f"It is whole in {self.path.parent} of this runtime. Mount the Drive again (first cell) and run this cell once more, "
            "before the runtime ends.\n공유 폴더에 아직 저장되지 않은 파일이 있습니다. 런타임이 끝나기 전에 드라이브를 다시 연결하고"
            "(첫 셀) 이 셀을 다시 실행해 주세요."
        )


# -- several runs --------------------------------------------------------------------------------------------------


def all_runs(runs_dir: str | Path | Sequence[str | Path]) -> list[RunFolder]:
    """Every run folder there, finished or not, newest last. A missing `runs_dir` has none.

    Of several folders (one's own and the team's) a run that is in both counts once: the finished one, else the first.
    """
    found: dict[str, RunFolder] = {}
    for folder in [runs_dir] if isinstance(runs_dir, (str, Path)) else runs_dir:
        for run in _runs_in(Path(folder)):
            if run.name not in found or (run.is_finished and not found[run.name].is_finished):
                found[run.name] = run
    return sorted(found.values(), key=lambda run: (run.name.split("-")[0], str(run.record.get("started", "")), run.name))


def _runs_in(folder: Path) -> list[RunFolder]:
    try:
        with os.scandir(folder) as entries:
            return [RunFolder(entry.path) for entry in entries if re.match(r"\d{8}T\d{6}Z-", entry.name) and entry.is_dir()]
    except FileNotFoundError:
        return []
    except OSError as error:  # the Drive is away; what is here can still be read
        print(f"{folder.name}/ cannot be read now ({error.strerror}); its runs are left out | 지금은 읽을 수 없습니다")
        return []


def finished_runs(runs_dir: str | Path | Sequence[str | Path], *, kind: str | None = None, **where: Any) -> list[RunFolder]:
    """The finished runs, newest last, whose record has these values, e.g. model="neumf", split_fingerprint="3fa9…"."""
    wanted = where if kind is None else {"kind": kind, **where}

    def fits(record: dict) -> bool:
        return record.get("status") == "finished" and all(record.get(key) == value for key, value in wanted.items())

    return [run for run in all_runs(runs_dir) if fits(run.record)]


def runs_table(runs: Iterable[RunFolder]) -> pd.DataFrame:
    """One row a run: model, member, status, started, best epoch, its metrics, seconds; index: the run's name.

    A metric column is the mean that metrics.json gives; a run without it (failed, unfinished) has NaN there.
    """
    rows = {}
    for run in runs:
        record = run.record
        rows[run.name] = {
            "model": record.get("model"),
            "member": record.get("member"),
            "status": record.get("status"),
            "started": str(record.get("started", ""))[:19],
            "best_epoch": record.get("best_epoch"),
            **dict(_means(run.metrics)),
            "seconds_training": record.get("seconds_training"),
            "seconds_evaluation": record.get("seconds_evaluation"),
        }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("run")
    for column in frame.columns.intersection(["best_epoch", "seconds_training", "seconds_evaluation"]):
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    ends = [name for name in ("seconds_training", "seconds_evaluation") if name in frame]
    return frame[[name for name in frame.columns if name not in ends] + ends]


def _means(summary: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The metrics in a summary: {"recall@5": 0.1}, {"recall@5": {"mean": 0.1, ...}}, or either below "metrics"."""
    inner = summary.get("metrics")
    for name, value in (inner if isinstance(inner, Mapping) else summary).items():
        value = value.get("mean") if isinstance(value, Mapping) else value
        if "@" in name and isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, float(value)


def package_versions() -> dict[str, str]:
    """name -> version of the packages that results depend on; absent ones are left out. Imports none of them."""
    found = {}
    for name in RECORDED_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


# -- JSON that every reader accepts --------------------------------------------------------------------------------


def as_json(content: Any, *, indent: int | None = 2, base: Path | None = None) -> str:
    """`content` as strict JSON with a line end: NaN and infinity are null, NumPy values plain, absolute paths shortened."""
    return json.dumps(_plain(content, base), ensure_ascii=False, indent=indent, allow_nan=False) + "\n"


def _plain(value: Any, base: Path | None) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, base) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner, base) for inner in value]
    if isinstance(value, (np.ndarray, pd.Series, pd.Index)):
        return _plain(value.tolist(), base)
    if isinstance(value, pd.DataFrame):
        return _plain(value.to_dict(orient="records"), base)
    if isinstance(value, np.generic):
        return _plain(value.item(), base)
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a tensor of one number
        return _plain(value.item(), base)
    return _portable(str(value), base)


def _portable(text: str, base: Path | None) -> str:
    """`text`, unless it is an absolute path: then its place below `base`, or its last part."""
    if not _ABSOLUTE.match(text) or "\n" in text:
        return text
    if base is not None:
        try:
            return Path(os.path.abspath(text)).relative_to(os.path.abspath(base)).as_posix()
        except ValueError:
            pass
    return re.split(r"[\\/]", text.rstrip("\\/"))[-1]


def _read_json(path: Path) -> dict | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").split("\n") if path.is_file() else []


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _cut_half_line(path: Path) -> None:
    """Take away what a kill left behind the last line end, so that the next line stands alone."""
    if not path.is_file():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with path.open("rb+") as stream:
            stream.truncate(whole)


def _fit_for_name(text: str) -> str:
    # "-" separates the parts of a run's name, so it may not stand inside one of them
    return _UNFIT_FOR_NAMES.sub("_", text).strip("._") or "_"
