"""Published means whole: nothing half, run.json last, errors told and never raised."""

from __future__ import annotations

import errno
import os
import threading
import time

import pytest

from recsys_lib.runs import publishing
from recsys_lib.runs.folder import RunFolder, finished_runs
from recsys_lib.runs.publishing import Publisher, publish


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "local" / "run"
    (folder / "figures").mkdir(parents=True)
    for name in ("run.json", "a.bin", "z.bin", "figures/loss.png"):
        (folder / name).write_bytes(name.encode() * 1000)
    (folder / ".a.part-1234.bin").write_bytes(b"half")
    return folder


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_file_arrives_and_run_json_last(source, tmp_path):
    done = publish(source, tmp_path / "drive" / "run")
    assert done.copied == ("a.bin", "figures/loss.png", "z.bin", "run.json") and done.complete
    there = content(tmp_path / "drive" / "run")
    assert there == {name: data for name, data in content(source).items() if "part-" not in name}


def test_equal_files_are_skipped_and_changed_ones_replaced(source, tmp_path):
    target = tmp_path / "drive"
    publish(source, target)
    (source / "a.bin").write_bytes(b"b.bin" * 1000)  # the same length
    done = publish(source, target)
    assert done.copied == ("a.bin",) and len(done.equal) == 3 and content(target)["a.bin"] == b"b.bin" * 1000


def test_a_file_that_fails_is_told_and_holds_run_json_back(source, tmp_path, monkeypatch):
    real = publishing.publish_file

    def lossy(one, target):
        if one.name == "a.bin":
            raise OSError(errno.EIO, "Input/output error", str(target))
        return real(one, target)

    monkeypatch.setattr(publishing, "publish_file", lossy)
    done = publish(source, tmp_path / "drive")
    assert done.copied == ("figures/loss.png", "z.bin") and set(done.failed) == {"a.bin", "run.json"}
    assert f"[Errno {errno.EIO}]" in done.failed["a.bin"] and str(tmp_path) not in str(done)
    assert "2 NOT published" in str(done)
    monkeypatch.undo()
    assert publish(source, tmp_path / "drive").copied == ("a.bin", "run.json")


def failing(monkeypatch, number, times):
    """The first copies raise; returns the list of those that were tried."""
    real, tried = publishing._copy, []

    def copy(reading, target):
        tried.append(target.name)
        if len(tried) <= times:
            raise OSError(number, os.strerror(number), str(target))
        return real(reading, target)

    monkeypatch.setattr(publishing, "_copy", copy)
    monkeypatch.setattr(publishing, "PAUSES", (0.0, 0.0))
    return tried


def test_an_input_output_error_is_tried_three_times(source, tmp_path, monkeypatch):
    tried = failing(monkeypatch, errno.EIO, 2)
    assert publish(source, tmp_path / "drive").complete and tried[:3] == ["a.bin"] * 3
    failing(monkeypatch, errno.EIO, 3)
    assert set(publish(source, tmp_path / "elsewhere").failed) == {"a.bin", "run.json"}


@pytest.mark.parametrize("number", [errno.EDQUOT, errno.ENOSPC])
def test_a_full_drive_is_told_and_smaller_files_may_still_fit(number, source, tmp_path, monkeypatch):
    tried = failing(monkeypatch, number, 1)
    done = publish(source, tmp_path / "drive")
    assert tried == ["a.bin", "loss.png", "z.bin"] and done.copied == ("figures/loss.png", "z.bin")
    assert os.strerror(number) in str(done)


def test_a_drive_that_has_gone_away_is_asked_once(source, tmp_path, monkeypatch):
    tried = failing(monkeypatch, errno.ENOTCONN, 99)
    done = publish(source, tmp_path / "drive")
    assert tried == ["a.bin"] and len(done.failed) == 4 and "[Errno 107]" in done.failed["run.json"]


def test_a_file_that_is_replaced_or_grows_while_it_is_copied_arrives_as_it_was(source, tmp_path, monkeypatch):
    real = publishing._size_and_hash

    def meanwhile(reading, size=None, copy_to=None):
        if copy_to is not None:
            (source / "new").write_bytes(b"new" * 5000)
            os.replace(source / "new", source / "a.bin")
            with (source / "z.bin").open("ab") as log:
                log.write(b"half a li")
        return real(reading, size, copy_to)

    monkeypatch.setattr(publishing, "_size_and_hash", meanwhile)
    assert publish(source, tmp_path / "drive").complete
    there = content(tmp_path / "drive")
    assert there["a.bin"] == b"a.bin" * 1000
    assert there["z.bin"].startswith(b"z.bin" * 1000) and len(there["z.bin"]) < len((source / "z.bin").read_bytes())


def test_what_a_killed_publishing_left_is_swept(source, tmp_path):
    half = tmp_path / "drive" / "figures" / ".loss.part-12345678.png"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    publish(source, tmp_path / "drive")
    assert not half.exists()


def test_offers_are_published_in_the_background_and_not_too_often(source, tmp_path):
    publisher = Publisher(source, tmp_path / "drive")
    publisher.offer()
    publisher._thread.join(10)
    assert (tmp_path / "drive" / "a.bin").is_file()
    (source / "later.bin").write_bytes(b"x")
    publisher.offer()
    assert not publisher._busy and not (tmp_path / "drive" / "later.bin").exists()
    assert publisher.publish().copied == ("later.bin", "run.json")


def test_offers_hold_run_json_back(source, tmp_path):
    publisher = Publisher(source, tmp_path / "drive")
    publisher.offer()
    publisher._thread.join(10)
    assert (tmp_path / "drive" / "z.bin").is_file() and not (tmp_path / "drive" / "run.json").exists()
    assert publisher.publish().copied == ("run.json",)


def test_what_is_known_to_be_there_is_not_read_again(source, tmp_path, monkeypatch):
    publisher = Publisher(source, tmp_path / "drive")
    publisher.publish()
    (source / "z.bin").write_bytes(b"changed")
    real, read = publishing.publish_file, []
    monkeypatch.setattr(publishing, "publish_file", lambda one, target: read.append(one.name) or real(one, target))
    assert publisher.publish().copied == ("z.bin",) and read == ["z.bin"]


def test_a_folder_that_cannot_be_listed_is_no_empty_folder(source, tmp_path, monkeypatch):
    def broken(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "scandir", broken)
    done = publish(source, tmp_path / "drive")
    assert not done.complete and "Input/output error" in str(done)


def test_a_run_that_another_runtime_has_taken_over_is_published_no_more(tmp_path):
    run = RunFolder.create(tmp_path / "home", kind="training", model="ease", member="mina", publish_to=tmp_path / "drive")
    assert run.publish().complete
    there = tmp_path / "drive" / run.name / "started.json"
    there.write_text(there.read_text(encoding="utf-8").replace('"process": ', '"process": 1'), encoding="utf-8")
    (run.path / "late.bin").write_bytes(b"x")
    assert "another runtime has gone on" in str(run.publish()) and not (there.parent / "late.bin").exists()


def test_two_members_publish_at_once_and_a_third_sees_whole_runs_only(tmp_path):
    shared, runs = tmp_path / "shared", []
    for member in ("mina", "jun"):
        run = RunFolder.create(tmp_path / member, kind="training", model="ease", member=member, publish_to=shared)
        (run.path / "best.safetensors").write_bytes(os.urandom(1 << 22))
        run.finish(kind="training")
        runs.append(run)
    threads = [threading.Thread(target=run.publish) for run in runs]
    for thread in threads:
        thread.start()
    seen = set()
    while any(thread.is_alive() for thread in threads) or len(seen) < 2:
        for run in finished_runs(shared):
            own = next(one for one in runs if one.name == run.name)
            assert (run.path / "best.safetensors").read_bytes() == (own.path / "best.safetensors").read_bytes()
            seen.add(run.name)
    assert {path.name for path in shared.iterdir()} == seen


def test_a_drive_that_hangs_stops_nothing(source, tmp_path, monkeypatch):
    free = threading.Event()
    monkeypatch.setattr(publishing, "publish_file", lambda one, target: free.wait(30))
    monkeypatch.setattr(publishing, "SECONDS_TO_WAIT", 0.05)
    publisher, began = Publisher(source, tmp_path / "drive"), time.monotonic()
    publisher.offer()
    done = publisher.publish()
    assert time.monotonic() - began < 5 and not done.complete
    assert "has not answered" in str(done)
    free.set()


def test_a_copy_that_came_out_different_is_never_renamed(source, tmp_path, monkeypatch):
    real = publishing._size_and_hash

    def short(source, size=None, copy_to=None):
        found = real(source, size, copy_to)
        if copy_to is not None:
            copy_to.truncate(found[0] - 1)
        return found

    monkeypatch.setattr(publishing, "_size_and_hash", short)
    done = publish(source, tmp_path / "drive")
    assert done.copied == () and "bytes" in done.failed["a.bin"] and content(tmp_path / "drive") == {}


def test_a_target_that_cannot_be_made_is_told_per_file(source, tmp_path):
    (tmp_path / "drive").write_text("a file, not a folder", encoding="utf-8")
    done = publish(source, tmp_path / "drive" / "run")
    assert len(done.failed) == 4 and done.copied == ()


@pytest.mark.skipif(not hasattr(os, "symlink") or os.name == "nt", reason="symbolic links need rights on Windows")
def test_links_are_not_published_and_a_missing_source_is_an_error(source, tmp_path):
    (source / "link").symlink_to(source / "a.bin")
    assert "link" not in publish(source, tmp_path / "drive").copied
    with pytest.raises(FileNotFoundError, match="nowhere"):
        publish(tmp_path / "nowhere", tmp_path / "drive")
