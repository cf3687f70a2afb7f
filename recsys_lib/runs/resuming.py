"""A training that was cut off, found again and gone on with: the runtime ended, the kernel died, somebody pressed stop.

What a run is told by: kind, model, member and the parameters in its started.json. What it needs to go on is last.state.pt.
It lies in this machine's own folder of runs, or, after a disconnect, in the shared one, to which it was published.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from recsys_lib.data.files import write_text
from recsys_lib.data.splits import Split
from recsys_lib.datasets.base import Dataset
from recsys_lib.runs.folder import RunFolder, all_runs, as_json
from recsys_lib.runs.publishing import SECONDS_BETWEEN, publish
from recsys_lib.runs.trained import identity
from recsys_lib.runs.writers import is_gone, this_writer

STATE = "last.state.pt"
# A run elsewhere that has not been published for so long is taken for dead: Drives show changes minutes late.
SECONDS_UNTIL_GONE = 5 * SECONDS_BETWEEN
NOBODY = "me"  # the member who has not said a name: on a shared Drive that may be anybody


class Workspace(Protocol):
    """Where runs are; what bootstrap() of colab_bootstrap.py returns is one."""

    runs_dir: Path
    runs_dirs: Sequence[Path]
    publish_to: Path | None
    member: str


def open_training(
    ws: Workspace, dataset: Dataset, split: Split, *, model: str, parameters: Mapping[str, Any], run_dir: str = "", resume: bool = True
) -> RunFolder:
    """The run folder of a training: the one that a batch made, one's own that was cut off, or a new one.

    Args:
        parameters: what was asked for; together with the data and the split they tell this training from every other.
        run_dir: handed over by a batch. resume: False always begins anew.
    """
    about = {"kind": "training", "model": model, "member": ws.member, "publish_to": ws.publish_to}
    about["parameters"] = dict(parameters) | identity(dataset, split)
    run = unfinished_run(ws.runs_dirs, **about) if resume and not run_dir else None
    return run or RunFolder.open_or_create(run_dir, ws.runs_dir, **about)


def unfinished_run(
    runs_dirs: Sequence[str | Path],
    *,
    kind: str,
    model: str,
    member: str,
    parameters: Mapping[str, Any],
    publish_to: str | Path | None = None,
) -> RunFolder | None:
    """The newest own run of just these parameters that was cut off, brought to runs_dirs[0]; None: there is none.

    A run that another process is still writing is left to it. Says what it found.

    Args:
        runs_dirs: one's own folder of runs first, then the shared one.
        publish_to: where the run that goes on will be published.
    """
    home = Path(runs_dirs[0])
    wanted = _comparable({"kind": kind, "model": model, "member": member, "parameters": parameters}, home)
    for run in reversed(all_runs(runs_dirs)):
        begun = run.begun()
        if run.status != "unfinished" or _comparable(begun, home) != wanted or not (run.path / STATE).is_file():
            continue
        at_home = run.path.parent == home
        if not at_home and member == NOBODY:
            print(f"{run.name} was cut off, but may be anybody's: set RECSYS_MEMBER to your name to go on with your own runs")
            continue
        if not _is_abandoned(run):
            print(f"{run.name} is still being written, it seems; a new run is made | 아직 실행 중인 것으로 보여 새로 시작합니다")
            continue
        if not at_home:
            brought = publish(run.path, home / run.name)
            if not brought.complete:
                print(f"{run.name} could not be brought here ({brought}); a new run is made")
                continue
        run = RunFolder(home / run.name, publish_to=publish_to)
        write_text(run.path / "started.json", as_json(begun | {"writer": this_writer()}))
        return run
    return None


def _comparable(about: Mapping[str, Any], home: Path) -> str:
    return as_json({name: about.get(name) for name in ("kind", "model", "member", "parameters")}, base=home.parent)


def _is_abandoned(run: RunFolder) -> bool:
    gone = is_gone(run.begun().get("writer") or {})
    if gone is not None:
        return gone
    newest = max(path.stat().st_mtime for path in run.path.iterdir())
    return time.time() - newest > SECONDS_UNTIL_GONE
