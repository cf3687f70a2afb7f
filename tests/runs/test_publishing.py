"""Published means whole: nothing half, run.json last, errors told and never raised."""

from __future__ import annotations

import errno
import os

import pytest

from recsys_lib.runs import publishing
from recsys_lib.runs.publishing import publish


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
    real = publishing._publish_file

    def lossy(one, target):
        if one.name == "a.bin":
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected", str(target))
        return real(one, target)

    monkeypatch.setattr(publishing, "_publish_file", lossy)
    done = publish(source, tmp_path / "drive")
    assert done.copied == ("figures/loss.png", "z.bin") and set(done.failed) == {"a.bin", "run.json"}
    assert f"[Errno {errno.ENOTCONN}]" in done.failed["a.bin"] and str(tmp_path) not in str(done)
    assert "2 NOT published" in str(done)
    monkeypatch.undo()
    assert publish(source, tmp_path / "drive").copied == ("a.bin", "run.json")


def test_a_copy_that_came_out_different_is_never_renamed(source, tmp_path, monkeypatch):
    def short(reading, writing, length):
        writing.write(reading.read()[:-1])

    monkeypatch.setattr(publishing.shutil, "copyfileobj", short)
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
