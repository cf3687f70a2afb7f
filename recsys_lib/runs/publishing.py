"""A folder copied to a place that may be slow, full or gone, so that nobody there ever reads half a file.

Every file goes to a temporary name beside its target, is flushed, read back and compared, and only then renamed.
`run.json` goes last and only after all the others: where it is, the run is whole.
What could not be published is told, never raised: losing the Drive must not stop a training.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from recsys_lib.data.files import replacing

FIRST, LAST = "started.json", "run.json"
SECONDS_BETWEEN = 60.0  # a Drive counts requests; what a lost runtime loses is one such pause
SECONDS_TO_WAIT = 300.0  # for a Drive that neither answers nor fails
PAUSES = (0.5, 2.0)  # an EIO of a Drive is mostly gone at the second or third try
# The Drive itself is gone: the next file would only wait for the same answer.
_GONE = {errno.ENOTCONN, errno.ECONNABORTED, errno.ENODEV, errno.ESHUTDOWN}


@dataclass(frozen=True)
class Published:
    """What `publish` did, by file name relative to the folder, with / between the parts.

    Attributes:
        copied: files that are new or changed there.
        equal: files that were there already, byte by byte.
        failed: file -> why it is not there.
    """

    copied: tuple[str, ...] = ()
    equal: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return not self.failed

    def __str__(self) -> str:
        said = f"{len(self.copied)} published, {len(self.equal)} already there"
        if self.failed:
            name, why = next(iter(self.failed.items()))
            said += f", {len(self.failed)} NOT published, e.g. {name}: {why}"
        return said


def publish(source_dir: str | Path, target_dir: str | Path, *, hold_back: str = "", known: dict[str, Any] | None = None) -> Published:
    """Copy what `target_dir` lacks of `source_dir`, file by file; may be repeated at any time, and while files are
    replaced or appended to: each is published as it was at one moment.

    Files of the target that the source does not have are left alone, but for what an earlier, killed publishing left
    half-written. Temporary files (`*.part-*`) and links are not published. Nothing is, where started.json there names
    another writer: that one goes on with the run.

    Args:
        hold_back: the name of a file that is not published yet.
        known: what is there already, by name; kept by the caller from one call to the next, so that nothing is read again.
    Raises:
        FileNotFoundError: `source_dir` is not there. Nothing else: an OSError is reported per file.
    """
    source_dir, target_dir = Path(source_dir), Path(target_dir)
    if not source_dir.is_dir():
        raise FileNotFoundError(f"no folder {source_dir.name} to publish")
    copied, equal, failed, gone = [], [], {}, ""
    known = {} if known is None else known
    try:
        files = [path for path in _files(source_dir) if path.name != hold_back]
        taken = _writer(target_dir) not in (None, _writer(source_dir))
    except OSError as error:
        return Published(failed={"every file": _reason(error)})
    if taken:
        return Published(failed={"every file": "another runtime has gone on with this run"})
    _sweep(target_dir)
    for source in files:
        name = source.relative_to(source_dir).as_posix()
        if gone or (name == LAST and failed):
            failed[name] = gone or "it goes last, and other files are not there yet"
            continue
        try:
            facts = source.stat()
            seen = facts.st_ino, facts.st_mtime_ns, facts.st_size
            new = known.get(name) != seen and publish_file(source, target_dir / name)
            (copied if new else equal).append(name)
            known[name] = seen
        except OSError as error:
            failed[name] = _reason(error)
            gone = _reason(error) if error.errno in _GONE else ""
    return Published(tuple(copied), tuple(equal), failed)


class Publisher:
    """Publishes one folder from time to time, in a thread of its own: a Drive that hangs must not stop a training.

    Args:
        source_dir, target_dir: as for `publish`.
    """

    def __init__(self, source_dir: Path, target_dir: Path) -> None:
        self._source, self._target, self._known = source_dir, target_dir, {}
        self._thread: threading.Thread | None = None
        self._last = -SECONDS_BETWEEN
        self._result: Published | None = None

    def offer(self) -> None:
        """Something new is there; published now, but for run.json, unless that was done or begun a moment ago."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN and not self._busy:
            self._begin(hold_back=LAST)

    def publish(self) -> Published:
        """Everything, now; waits for it, but not for ever."""
        if self._busy:
            self._thread.join(SECONDS_TO_WAIT)
        if not self._busy:
            self._begin()
            self._thread.join(SECONDS_TO_WAIT)
        if self._busy or self._result is None:
            return Published(failed={"every file": f"the Drive has not answered for {SECONDS_TO_WAIT:.0f} s"})
        return self._result

    @property
    def _busy(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _begin(self, hold_back: str = "") -> None:
        self._last, self._result = time.monotonic(), None
        # A daemon: the interpreter does not wait for a hanging Drive when it ends.
        self._thread = threading.Thread(target=self._work, args=[hold_back], name="publishing", daemon=True)
        self._thread.start()

    def _work(self, hold_back: str) -> None:
        self._result = publish(self._source, self._target, hold_back=hold_back, known=self._known)


def _sweep(target_dir: Path) -> None:
    """A run has one writer, so a temporary file is what a killed one left."""
    with contextlib.suppress(OSError):  # then the Drive has other troubles, and they will be told
        for path in target_dir.rglob("*.part-*"):
            path.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    """Raises: OSError, where pathlib would take a folder that cannot be listed for an empty one."""

    def fail(error: OSError) -> None:
        raise error

    paths = [Path(place, name) for place, _, names in os.walk(folder, onerror=fail) for name in names if ".part-" not in name]
    files = {path.relative_to(folder).as_posix(): path for path in paths if not path.is_symlink()}
    return [files[name] for name in sorted(files, key=lambda name: (name == LAST, name != FIRST, name))]


def _writer(folder: Path) -> Any:
    try:
        return json.loads((folder / FIRST).read_text(encoding="utf-8")).get("writer")
    except (FileNotFoundError, NotADirectoryError, ValueError, AttributeError):
        return None


def publish_file(source: Path, target: Path) -> bool:
    """True where the file was copied, False where an equal one was there. Raises: OSError."""
    for pause in (*PAUSES, None):
        try:
            # Opened once: a file that is replaced meanwhile goes on as what it was.
            with source.open("rb") as reading:
                return _copy(reading, target)
        except OSError as error:
            if error.errno != errno.EIO or pause is None:
                raise
        time.sleep(pause)
    raise AssertionError("unreachable")


def _copy(reading: BinaryIO, target: Path) -> bool:
    size = os.fstat(reading.fileno()).st_size  # a log may grow on while it is read: this much of it is whole lines
    if target.is_file() and target.stat().st_size == size and _size_and_hash(target) == _size_and_hash(reading, size):
        return False
    reading.seek(0)
    with replacing(target) as part:
        with part.open("wb") as writing:
            wanted = _size_and_hash(reading, size, writing)
            writing.flush()
            os.fsync(writing.fileno())
        came = _size_and_hash(part)
        if came != wanted:
            raise OSError(f"the copy has {came[0]:,} bytes and hash {came[1][:8]}, wanted {wanted[0]:,} and {wanted[1][:8]}")
    return True


def _size_and_hash(source: Path | BinaryIO, size: int | None = None, copy_to: BinaryIO | None = None) -> tuple[int, str]:
    """Of the first `size` bytes; None: of all."""
    if isinstance(source, Path):
        with source.open("rb") as stream:
            return _size_and_hash(stream)
    digest, read = hashlib.sha256(), 0
    while size is None or read < size:
        piece = source.read(min(1 << 20, (1 << 20) if size is None else size - read))
        if not piece:
            break
        digest.update(piece)
        read += len(piece)
        if copy_to is not None:
            copy_to.write(piece)
    return read, digest.hexdigest()


def _reason(error: OSError) -> str:
    # str(error) would carry the path of this machine into whatever the reason is written to
    return f"[Errno {error.errno}] {error.strerror}" if error.errno is not None else str(error)
