"""Which unfinished run is one's own, whose is still going, and what comes back from the shared folder."""

from __future__ import annotations

import json
import os
import time
import types

import pytest

from recsys_lib.data.splits import leave_one_out
from recsys_lib.datasets.base import Dataset
from recsys_lib.models import build_model
from recsys_lib.runs import resuming, writers
from recsys_lib.runs.folder import RunFolder, all_runs
from recsys_lib.runs.publishing import Published
from recsys_lib.runs.resuming import STATE, open_training, unfinished_run
from recsys_lib.training.config import train_config

ABOUT = {"kind": "training", "model": "ease", "member": "mina", "parameters": {"SEED": 7, "MODEL_CONFIG": {"a": [1, 2]}}}


def cut_off(runs_dir, *, state=True, **changes) -> RunFolder:
    run = RunFolder.create(runs_dir, **ABOUT | changes)
    run.append_history({"epoch": 1})
    if state:
        (run.path / STATE).write_bytes(b"state")
    return run


@pytest.fixture
def places(tmp_path):
    return [tmp_path / "home" / "runs", tmp_path / "drive" / "runs"]


@pytest.fixture
def elsewhere(monkeypatch):
    """Runs made inside `with` a call of this are another machine's."""
    real = writers._machine

    def switch(machine):
        monkeypatch.setattr(writers, "_machine", (lambda: machine) if machine else real)

    return switch


def test_the_newest_own_run_of_the_same_parameters_goes_on(places):
    cut_off(places[0], member="jun")
    cut_off(places[0], model="gmf")
    cut_off(places[0], kind="eda")
    cut_off(places[0], parameters={"SEED": 8})
    cut_off(places[0], state=False)
    wanted = cut_off(places[0])
    cut_off(places[0]).finish()
    cut_off(places[0]).fail("stopped by hand")
    found = unfinished_run(places, **ABOUT, publish_to=places[1])
    assert found.name == wanted.name and found.publish_to == places[1]
    assert unfinished_run(places, **ABOUT | {"parameters": {"SEED": 9}}) is None


def test_a_run_without_parameters_is_nobodys(places):
    run = cut_off(places[0])
    begun = json.loads((run.path / "started.json").read_text(encoding="utf-8"))
    (run.path / "started.json").write_text(json.dumps({k: v for k, v in begun.items() if k != "parameters"}), encoding="utf-8")
    assert unfinished_run(places, **ABOUT) is None


def test_what_another_process_is_writing_is_left_to_it(places, capsys):
    run = cut_off(places[0])
    begun = json.loads((run.path / "started.json").read_text(encoding="utf-8"))
    begun["writer"]["process"] = 1  # lives as long as the machine does
    (run.path / "started.json").write_text(json.dumps(begun), encoding="utf-8")
    assert unfinished_run(places, **ABOUT) is None
    assert "still being written" in capsys.readouterr().out


def test_another_machines_run_comes_back_once_it_has_been_silent(places, elsewhere, monkeypatch, capsys):
    elsewhere("lost runtime")
    run = cut_off(places[1])
    elsewhere(None)
    monkeypatch.setattr(resuming, "SECONDS_UNTIL_GONE", 0.3)
    found = unfinished_run(places, **ABOUT, publish_to=places[1])
    assert "Waiting up to" in capsys.readouterr().out
    assert found.path == places[0] / run.name and (found.path / STATE).read_bytes() == b"state"
    for path in (found.path, run.path):  # the one that was lost, should it still live, learns that it is no longer the writer
        assert json.loads((path / "started.json").read_text(encoding="utf-8"))["writer"] == writers.this_writer()
    assert [one.path.parent for one in all_runs(places)] == [places[0]]


def test_another_machines_run_that_is_still_written_is_left_to_it(places, elsewhere, monkeypatch, capsys):
    elsewhere("a living runtime")
    run = cut_off(places[1])
    run.append_history({"epoch": 2, "seconds_training": 100.0})  # it may be silent for some such epochs
    elsewhere(None)
    monkeypatch.setattr(resuming, "SECONDS_UNTIL_GONE", 5)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        os.utime(run.path / STATE, (time.time() + 1, time.time() + 1)) if len(slept) == 2 else None

    monkeypatch.setattr(resuming.time, "sleep", sleep)
    assert unfinished_run(places, **ABOUT) is None and len(slept) == 2
    assert "still being written" in capsys.readouterr().out


def test_a_run_that_cannot_be_read_or_brought_stops_no_new_one(places, monkeypatch, capsys):
    run = cut_off(places[1])
    (run.path / ".x.part-12345678").symlink_to(run.path / "gone")  # a stale listing
    with monkeypatch.context() as patch:
        patch.setattr(resuming, "publish", lambda source, target: Published())  # says well, and has brought nothing
        assert unfinished_run(places, **ABOUT) is None and "could not be brought" in capsys.readouterr().out
    monkeypatch.setattr(resuming, "_is_abandoned", lambda run: (_ for _ in ()).throw(OSError(5, "Input/output error")))
    assert unfinished_run(places, **ABOUT) is None
    assert "cannot be read now (Input/output error)" in capsys.readouterr().out


def test_on_a_shared_drive_nobody_is_told_apart_so_nothing_is_taken(places, capsys):
    cut_off(places[1], member="me")
    assert unfinished_run(places, **ABOUT | {"member": "me"}) is None
    assert "RECSYS_MEMBER" in capsys.readouterr().out
    assert unfinished_run(places[:1] * 2, **ABOUT | {"member": "me"}) is None
    mine = cut_off(places[0], member="me")
    assert unfinished_run(places, **ABOUT | {"member": "me"}).name == mine.name


def test_a_training_is_opened_again_by_its_parameters_data_and_split(tmp_path, toy_catalogue, toy_log):
    dataset = Dataset(toy_log, toy_catalogue, {}, None, "toy")
    ws = types.SimpleNamespace(runs_dir=tmp_path / "a", runs_dirs=(tmp_path / "a", tmp_path / "b"), publish_to=tmp_path / "b", member="mina")

    def opened(seed=0, **changes):
        split = leave_one_out(toy_log, seed=seed)
        model = build_model(changes.pop("model", "ease"), toy_catalogue, seed=0, **changes.pop("options", {}))
        return open_training(ws, dataset, split, model=model, config=train_config(model.name), **{"parameters": {"K": 5}} | changes)

    first = opened()
    (first.path / STATE).write_bytes(b"state")
    assert opened().name == first.name and opened().publish_to == tmp_path / "b"
    others = [opened(seed=1), opened(parameters={"K": 6}), opened(model="gmf"), opened(options={"regularisation": 3.0}), opened(resume=False)]
    assert len({first.name, *(run.name for run in others)}) == 6
    handed = RunFolder.create(tmp_path / "a", kind="training", model="ease", member="mina")
    assert opened(run_dir=handed.name).path == handed.path


def test_a_process_that_has_ended_is_gone_and_this_one_too():
    assert writers.is_gone(writers.this_writer())
    child = os.posix_spawn("/bin/true", ["true"], {}) if hasattr(os, "posix_spawn") else None
    if child:
        os.waitpid(child, 0)
        assert writers.is_gone(writers.this_writer() | {"process": child})
    assert writers.is_gone({}) is None and writers.is_gone({"machine": "other", "process": 1}) is None


def test_no_name_of_a_machine_or_an_account_is_written(places):
    text = (cut_off(places[0]).path / "started.json").read_text(encoding="utf-8")
    assert os.uname().nodename not in text if hasattr(os, "uname") else True
