"""Plain, few lines in a batch; a bar elsewhere."""

import contextlib

import pytest

from recsys_lib.display import progress as module
from recsys_lib.display.progress import Progress, clock, is_batch, progress


@pytest.fixture
def now(monkeypatch):
    """A clock that the test moves: now[0] = seconds."""
    seconds = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: seconds[0])
    return seconds


def test_lines_are_throttled_and_the_last_one_comes(now, capsys):
    with Progress(100, "training", batch=True, seconds_between_lines=5.0) as bar:
        for step in range(100):
            now[0] = step * 0.1 + 0.1  # ten seconds in all
            bar.update(1, loss=0.5)
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["training: 50/100 · 0:05 left · loss 0.5", "training: 100/100 · 0:10 taken · loss 0.5"]


def test_the_last_line_is_not_said_twice(now, capsys):
    with Progress(2, "x", batch=True, seconds_between_lines=0.0) as bar:
        bar.update(2)
    bar.close()
    assert capsys.readouterr().out == "x: 2/2 · 0:00 taken\n"


def test_an_iterable_keeps_its_elements(capsys, monkeypatch):
    monkeypatch.setenv("RECSYS_BATCH", "1")
    assert list(progress(["a", "b"], "rows")) == ["a", "b"]
    assert capsys.readouterr().out == "rows: 2/2 · 0:00 taken\n"


def test_what_is_said_stays(capsys, monkeypatch):
    monkeypatch.setenv("RECSYS_BATCH", "1")
    with progress(1, "") as bar:
        bar.say("best so far 0.12")
        bar.update()
    assert capsys.readouterr().out.splitlines() == ["best so far 0.12", "1/1 · 0:00 taken"]


def test_the_environment_decides(monkeypatch):
    monkeypatch.setenv("RECSYS_BATCH", "1")
    assert is_batch()
    monkeypatch.setenv("RECSYS_BATCH", "0")
    assert not is_batch()


def test_without_terminal_and_notebook_it_is_a_batch(monkeypatch):
    monkeypatch.delenv("RECSYS_BATCH", raising=False)
    monkeypatch.setattr(module, "_has_notebook", lambda: False)
    monkeypatch.setattr(module.sys, "stderr", None)
    assert is_batch()
    monkeypatch.setattr(module, "_has_notebook", lambda: True)
    assert not is_batch()


def test_the_bar_shows_figures(monkeypatch, capsys):
    monkeypatch.setenv("RECSYS_BATCH", "0")
    with progress(3, "scoring") as bar:
        bar.update(3, recall=0.123456)
    printed = capsys.readouterr()
    assert "recall 0.1235" in printed.err and "scoring" in printed.err and printed.out == ""


def test_a_bar_that_ends_early_and_well_is_full_and_one_that_fails_is_not(monkeypatch):
    for fails, total in ((False, 3), (True, 10)):
        bar = Progress(10, "training", batch=False, seconds_between_lines=5.0)
        with contextlib.suppress(KeyError), bar:
            bar.update(3)
            if fails:
                raise KeyError
        assert bar._bar.total == total


def test_clock():
    assert [clock(seconds) for seconds in (0, 75.2, 3675)] == ["0:00", "1:15", "1:01:15"]
