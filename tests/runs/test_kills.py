"""A training is killed, at named points and at random moments: what is published always loads, what goes on ends the same.

A server process forks a child for each training: it has torch loaded, and no thread of its own that a fork would lose.

    python tests/runs/test_kills.py 200 benchmarks/results/kills.txt     200 random kills, with a log
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
PARAMETERS = {"SEED": 0, "MODEL": "multi_dae"}


# ---- in the child ------------------------------------------------------------------------------------------------


def train(home: Path, shared: Path) -> None:
    """One session of a member's: go on with the run that was cut off, or begin one; finish and publish it."""
    import torch

    from recsys_lib.data.splits import leave_one_out
    from recsys_lib.evaluation.evaluator import Evaluator
    from recsys_lib.models import build_model
    from recsys_lib.runs.folder import RunFolder
    from recsys_lib.runs.resuming import unfinished_run
    from recsys_lib.training.config import train_config
    from recsys_lib.training.trainer import Trainer
    from tests.conftest import catalogue_of, markets_of

    torch.set_num_threads(1)
    log = markets_of(60, 40, 4, 7)
    split = leave_one_out(log, seed=0)
    about = {"kind": "training", "model": "multi_dae", "member": "mina", "parameters": PARAMETERS, "publish_to": shared}
    run = unfinished_run([home, shared], **about) or RunFolder.create(home, **about)
    model = build_model("multi_dae", catalogue_of(60, 40), seed=0, layers=[16])
    config = train_config("multi_dae", epochs=8, batch_size=20, monitor="recall@5", device="cpu", tensorboard=False)
    record = Trainer(config, run).fit(model, split.train, Evaluator(split.validation, seen=split.train, ks=[5]).evaluate)
    run.write_metrics({"part": "validation"} | record.report.summary())
    run.finish(kind="training", model="multi_dae")
    run.publish()


def kill(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(module, name: str, which: int, action=kill) -> None:
    """`action` instead of the which-th call of module.name."""
    original, calls = getattr(module, name), [0]

    def counted(*arguments, **named):
        calls[0] += 1
        return action(*arguments, **named) if calls[0] == which else original(*arguments, **named)

    setattr(module, name, counted)


def half_a_line(run, row) -> None:
    with (run.path / "history.jsonl").open("a", encoding="utf-8") as stream:
        stream.write(f'{{"epoch": {row["epoch"]}, "lo')
    kill()


def half_a_copy(source, size, copy_to) -> None:
    copy_to.write(source.read(size // 2))
    copy_to.flush()
    kill()


def arm(point: str, machine: str) -> None:
    """Kill this process, of this machine, at a named point of its training."""
    from recsys_lib.data import files
    from recsys_lib.runs import publishing, resuming, writers
    from recsys_lib.runs.folder import RunFolder
    from recsys_lib.training import trainer

    trainer.SECONDS_BETWEEN_CHECKPOINTS = publishing.SECONDS_BETWEEN = 0.0
    writers._machine = lambda: machine
    resuming.SECONDS_UNTIL_GONE = 0.3  # of another machine's run only silence tells
    if point:
        publishing.Publisher.offer = publishing.Publisher.publish  # in turn, so that a point is a point
    real_hash, real_rename = publishing._size_and_hash, files._rename

    def copying(name, which):
        """The which-th copy of this file to the shared folder stops half-way."""
        calls = [0]

        def hashing(source, size=None, copy_to=None):
            counts = copy_to is not None and source.name.endswith(name)
            calls[0] += counts
            return half_a_copy(source, size, copy_to) if counts and calls[0] == which else real_hash(source, size, copy_to)

        publishing._size_and_hash = hashing

    def renaming(name, folder):
        """Just before the file of this name is put in place, in a folder with this word in its path."""

        def rename(source, target):
            return kill() if target.name == name and folder in str(target) else real_rename(source, target)

        files._rename = rename

    {
        "": lambda: None,
        "before the first epoch": lambda: before(trainer.Trainer, "_epoch", 1),
        "in the middle of an epoch": lambda: before(trainer.Trainer, "_step", 8),
        "half a line of the history is written": lambda: before(RunFolder, "append_history", 3, half_a_line),
        "the state is written, not yet in place": lambda: renaming("last.state.pt", "home"),
        "between the state and the weights": lambda: before(trainer, "save_weights", 4),
        "half of the first file is copied": lambda: copying("started.json", 1),
        "half of the state is copied": lambda: copying("last.state.pt", 2),
        "the state is copied, not yet in place": lambda: renaming("last.state.pt", "shared"),
        "run.json is written, not yet in place": lambda: renaming("run.json", "home"),
        "finished, nothing of the end published": lambda: before(RunFolder, "publish", 1),
        "run.json is copied, not yet in place": lambda: renaming("run.json", "shared"),
    }[point]()


def serve() -> None:
    """Requests and answers, a line of JSON each: {home, shared, machine, point, after} -> {status, seconds}."""
    import tempfile

    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a training prints must not come between the answers
    with tempfile.TemporaryDirectory() as folder:  # loads everything, once for every child; on one thread, so none is lost
        train(Path(folder) / "home", Path(folder) / "shared")
    for line in sys.stdin:
        request, began = json.loads(line), time.monotonic()
        child = os.fork()
        if child == 0:
            try:
                arm(request.get("point", ""), request.get("machine", "here"))
                train(Path(request["home"]), Path(request["shared"]))
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(1)
        if request.get("after") is not None:
            time.sleep(request["after"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - began}), file=answers, flush=True)


# ---- in the test -------------------------------------------------------------------------------------------------


class Server:
    def __init__(self) -> None:
        environment = os.environ | {"RECSYS_BATCH": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
        )

    def __call__(self, **request) -> dict:
        self.process.stdin.write(json.dumps(request, default=str) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, "the server is gone"
        return json.loads(answer)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def uncut(server, tmp_path_factory) -> set[bytes]:
    """The weights of a training that nobody killed."""
    folder = tmp_path_factory.mktemp("uncut")
    assert server(home=folder / "home", shared=folder / "shared")["status"] == 0
    return weights_in(folder / "shared")


def weights_in(shared: Path) -> set[bytes]:
    """Of the finished runs there, byte by byte; equal ones once."""
    from safetensors.numpy import load_file

    from recsys_lib.runs.folder import finished_runs

    found = [load_file(run.path / "best.safetensors") for run in finished_runs(shared)]  # the file's header has no order
    assert found
    return {b"".join(name.encode() + weights[name].tobytes() for name in sorted(weights)) for weights in found}


def what_loads(shared: Path) -> str:
    """Read every published file as its readers do; returns what is there, in words."""
    from safetensors.torch import load_file

    from recsys_lib.runs.folder import all_runs
    from recsys_lib.training.checkpoints import load_state

    said = []
    for run in all_runs(shared):
        files = {path.name for path in run.path.iterdir() if ".part-" not in path.name}
        for name in files:
            path = run.path / name
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".jsonl":
                assert all(isinstance(json.loads(line), dict) for line in path.read_text(encoding="utf-8").splitlines()[:-1])
            elif path.suffix == ".safetensors":
                assert load_file(path)
            elif path.suffix == ".pt":
                load_state(path)
        if run.is_finished:
            assert {"started.json", "history.jsonl", "best.safetensors", "metrics.json", "last.state.pt"} <= files
        said.append(f"{run.status}, {len(files)} files, {len(run.history())} epochs")
    return "; ".join(said) or "nothing"


POINTS = [
    "before the first epoch",
    "in the middle of an epoch",
    "half a line of the history is written",
    "the state is written, not yet in place",
    "between the state and the weights",
    "half of the first file is copied",
    "half of the state is copied",
    "the state is copied, not yet in place",
    "run.json is written, not yet in place",
    "finished, nothing of the end published",
    "run.json is copied, not yet in place",
]


@pytest.mark.parametrize("machine", ["the same machine", "another machine"])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at(point, machine, server, uncut, tmp_path):
    home, shared = tmp_path / "home", tmp_path / "shared"
    assert server(home=home, shared=shared, point=point)["status"] == -signal.SIGKILL
    what_loads(shared)
    can_go_on = [path.parent.name for path in (shared if machine == "another machine" else home).rglob("last.state.pt")]
    whole = list(home.rglob("run.json"))
    again = {"home": home} if machine == "the same machine" else {"home": tmp_path / "home of another", "machine": "there"}
    assert server(**again, shared=shared)["status"] == 0
    what_loads(shared)
    if can_go_on and not (whole and machine == "the same machine"):
        assert [path.name for path in shared.iterdir()] == can_go_on  # the same run, and no other
    # What was whole already is brought along by the next session, whose run is another one.
    assert weights_in(shared) == uncut
    assert not [path for path in shared.rglob("*.part-*") if (path.parent / "run.json").exists()]


def kill_at_random(n: int, server: Server, folder: Path, say) -> None:
    """n kills; each time the published folder must load, and the last session of a run end in the uncut run's weights."""
    reference = server(home=folder / "uncut" / "home", shared=folder / "uncut" / "shared")
    assert reference["status"] == 0
    uncut, longest, rng = weights_in(folder / "uncut" / "shared"), reference["seconds"], random.Random(0)
    kills = training = machine = 0
    while kills < n:
        training += 1
        home, shared = folder / f"{training}" / "home-0", folder / f"{training}" / "shared"
        for session in range(1, 7):  # up to five kills of one training, then it may end
            after = rng.uniform(0, longest) if session < 6 and kills < n else None
            answer = server(home=home, shared=shared, after=after, machine=str(machine))
            kills += (killed := answer["status"] == -signal.SIGKILL)
            assert killed or answer["status"] == 0
            what = what_loads(shared)
            say(f"training {training} session {session}: {f'killed after {after:.3f} s' if killed else 'ended'}; published: {what}")
            if not killed:
                break
            if rng.random() < 0.5:  # the runtime is lost, and its disk with it
                home, machine = folder / f"{training}" / f"home-{session}", machine + 1
        assert weights_in(shared) == uncut
    say(f"{kills} kills of {training} trainings: every published folder loaded, every training ended in the same weights")


@pytest.mark.slow
def test_killed_at_random(server, tmp_path):
    lines = []
    kill_at_random(200, server, tmp_path, lines.append)
    assert lines[-1].endswith("ended in the same weights")


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    if sys.argv[1:] == ["serve"]:
        serve()
    else:
        import tempfile

        with tempfile.TemporaryDirectory() as place, open(sys.argv[2], "w", encoding="utf-8") as log:
            kill_at_random(int(sys.argv[1]), Server(), Path(place), lambda line: print(line, file=log, flush=True))
