"""Files written beside, then renamed, so that nobody ever reads half of one; and the fingerprint of a file's bytes."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; when the block ends well, flush it to disk and rename it over `path`.

    If the block raises, the temporary file is removed, `path` stays as it was, and the error rises.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: writers such as matplotlib choose the format by it.
    part = path.with_name(f".{path.stem}.part-{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield part
        with part.open("rb+") as stream:
            os.fsync(stream.fileno())
        _rename(part, path)
    finally:
        part.unlink(missing_ok=True)


def _rename(source: Path, target: Path) -> None:
    # Windows refuses to replace a file that a virus scanner or a sync client has open for a moment.
    for pause in (0.1, 0.5, 1.0):
        try:
            os.replace(source, target)
            return
        except PermissionError:
            time.sleep(pause)
    os.replace(source, target)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` as UTF-8 with \\n line ends, whole or not at all."""
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8", newline="\n")


def fingerprint_of_file(path: str | Path) -> str:
    """SHA-256 of the file's bytes, first 16 hexadecimal digits."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
