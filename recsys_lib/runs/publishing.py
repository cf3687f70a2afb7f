"""A folder copied to a place that may be slow, full or gone, so that nobody there ever reads half a file.

Every file goes to a temporary name beside its target, is flushed, read back and compared, and only then renamed.
`run.json` goes last and only after all the others: where it is, the run is whole.
What could not be published is told, never raised: losing the Drive must not stop a training.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from recsys_lib.data.files import replacing

LAST = "run.json"


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


def publish(source_dir: str | Path, target_dir: str | Path) -> Published:
    """Copy what `target_dir` lacks of `source_dir`, file by file; may be repeated at any time.

    Files of the target that the source does not have are left alone. Temporary files (`*.part-*`) and links are not
    published.

    Raises:
        FileNotFoundError: `source_dir` is not there. Nothing else: an OSError is reported per file.
    """
    source_dir, target_dir = Path(source_dir), Path(target_dir)
    if not source_dir.is_dir():
        raise FileNotFoundError(f"no folder {source_dir.name} to publish")
    copied, equal, failed = [], [], {}
    for source in _files(source_dir):
        name = source.relative_to(source_dir).as_posix()
        if name == LAST and failed:
            failed[name] = "it goes last, and other files are not there yet"
            continue
        try:
            (copied if _publish_file(source, target_dir / name) else equal).append(name)
        except OSError as error:
            failed[name] = _reason(error)
    return Published(tuple(copied), tuple(equal), failed)


def _files(folder: Path) -> list[Path]:
    files = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and ".part-" not in path.name
    }
    return [files[name] for name in sorted(files, key=lambda name: (name == LAST, name))]


def _publish_file(source: Path, target: Path) -> bool:
    """True where the file was copied, False where an equal one was there."""
    wanted = _size_and_hash(source)
    if target.is_file() and target.stat().st_size == wanted[0] and _size_and_hash(target) == wanted:
        return False
    with replacing(target) as part:
        with source.open("rb") as reading, part.open("wb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            os.fsync(writing.fileno())
        came = _size_and_hash(part)
        if came != wanted:
            raise OSError(f"the copy has {came[0]:,} bytes and hash {came[1][:8]}, wanted {wanted[0]:,} and {wanted[1][:8]}")
    return True


def _size_and_hash(path: Path) -> tuple[int, str]:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return stream.tell(), digest


def _reason(error: OSError) -> str:
    # str(error) would carry the path of this machine into whatever the reason is written to
    return f"[Errno {error.errno}] {error.strerror}" if error.errno is not None else str(error)
