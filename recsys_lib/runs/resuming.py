"""A training that was cut off, found again and gone on with: the runtime ended, the kernel died, somebody pressed stop.

What a run is told by: kind, model, member and the parameters in its started.json. What it needs to go on is last.state.pt.
It lies in this machine's own folder of runs, or, after a disconnect, in the shared one, to which it was published.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from recsys_lib.data.files import write_text
from recsys_lib.data.splits import Split
from recsys_lib.datasets.base import Dataset
from recsys_lib.models.base import Recommender
from recsys_lib.runs.folder import RunFolder, all_runs, as_json
from recsys_lib.runs.publishing import FIRST, SECONDS_BETWEEN, publish, publish_file
from recsys_lib.runs.trained import identity
from recsys_lib.runs.writers import is_gone, this_writer
from recsys_lib.training.config import TrainConfig

STATE = "last.state.pt"
# A run elsewhere is published about once a minute, or after each longer epoch, and a Drive shows it some minutes late.
SECONDS_UNTIL_GONE = 5 * SECONDS_BETWEEN
NOBODY = "me"  # the member who has not said a name: on a shared Drive that may be anybody


class Workspace(Protocol):
    """Where runs are; what bootstrap() of colab_bootstrap.py returns is one."""

    runs_dir: Path
    runs_dirs: Sequence[Path]
    publish_to: Path | None
    member: str


def open_training(
    ws: Workspace,
    dataset: Dataset,
    split: Split,
    *,
    model: Recommender,
    config: TrainConfig,
    parameters: Mapping[str, Any],
    run_dir: str = "",
    resume: bool = True,
) -> RunFolder:
    """The run folder of a training: the one that a batch made, one's own that was cut off, or a new one.

    Args:
        model, config, parameters: with the data and the split they tell this training from every other.
        run_dir: handed over by a batch. resume: False always begins anew.
    """
    about = {"kind": "training", "model": model.name, "member": ws.member, "publish_to": ws.publish_to}
    options = {"model_config": vars(model.config), "train_config": vars(config)}
    about["parameters"] = dict(parameters) | options | identity(dataset, split)
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
        try:
            if run.status != "unfinished" or _comparable(run.begun(), home) != wanted or not (run.path / STATE).is_file():
                continue
            if run.path.parent != home and member == NOBODY:
                print(
                    f"{run.name} was cut off, but may be anybody's: set RECSYS_MEMBER to your name to go on with your own runs\n"
                    "누구의 실행인지 알 수 없어 이어 가지 않습니다. RECSYS_MEMBER 에 이름을 넣어 주세요."
                )
            elif not _is_abandoned(run):
                print(f"{run.name} is still being written; a new run is made | 아직 실행 중이어서 새로 시작합니다")
            elif brought := _taken_over(run, home, publish_to):
                return brought
        except OSError as error:  # a Drive that cannot be read now must not stop a new training
            print(f"{run.name} cannot be read now ({error.strerror}); a new run is made | 지금 읽을 수 없어 새로 시작합니다")
    return None


def _comparable(about: Mapping[str, Any], home: Path) -> str:
    return as_json({name: about.get(name) for name in ("kind", "model", "member", "parameters")}, base=home.parent)


def _taken_over(run: RunFolder, home: Path, publish_to: str | Path | None) -> RunFolder | None:
    """The run in `home`, with this process as its writer, here and in the shared folder: another one stops publishing it."""
    begun = json.loads((run.path / FIRST).read_text(encoding="utf-8"))
    if run.path.parent != home:
        brought = publish(run.path, home / run.name)
        if not brought.complete or not (home / run.name / STATE).is_file():
            print(f"{run.name} could not be brought here ({brought}); a new run is made | 가져오지 못해 새로 시작합니다")
            return None
    own = RunFolder(home / run.name, publish_to=publish_to)
    write_text(own.path / FIRST, as_json(begun | {"writer": this_writer()}))
    if publish_to is not None and (Path(publish_to) / run.name).is_dir():
        publish_file(own.path / FIRST, Path(publish_to) / run.name / FIRST)
    return own


def _is_abandoned(run: RunFolder) -> bool:
    """Whether nobody writes it any more. Of another machine's run only waiting tells: as long as a live one could be silent."""
    gone = is_gone(run.begun().get("writer") or {})
    if gone is not None:
        return gone
    history = run.history()
    longest = float(history.filter(like="seconds_").sum(axis=1).max()) if len(history) else 0.0
    limit, last = SECONDS_UNTIL_GONE + 3 * longest, _last_change(run)
    left = last + limit - time.time()
    if left > 0:
        print(
            f"{run.name} was written {time.time() - last:.0f} s ago, elsewhere. Waiting up to {left:.0f} s to see whether it still is; "
            "RESUME = False begins a new run at once.\n다른 곳에서 아직 실행 중인지 확인하려고 기다립니다. RESUME = False 로 두면 바로 새로 시작합니다.",
            flush=True,
        )
    while time.time() - last <= limit:
        time.sleep(min(10.0, max(0.1, last + limit - time.time() + 0.1)))
        if _last_change(run) != last:
            return False
    return True


def _last_change(run: RunFolder) -> float:
    return max(path.stat().st_mtime for path in run.path.iterdir() if ".part-" not in path.name)
