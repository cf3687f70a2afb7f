"""Who writes a run: a process of a machine, told without naming either."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping
from pathlib import Path


def this_writer() -> dict[str, str | int]:
    """Of this process; another runtime has another machine, also after a restart."""
    return {"machine": _machine(), "process": os.getpid()}


def is_gone(writer: Mapping[str, object]) -> bool | None:
    """Whether that process has ended, or is this one; None: it cannot be told from here."""
    if writer.get("machine") != _machine() or os.name == "nt":  # there os.kill ends the process that it asks for
        return None
    process = writer.get("process")
    if not isinstance(process, int) or process == os.getpid():
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _machine() -> str:
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        name = str(uuid.getnode())
    return hashlib.sha256(name.encode()).hexdigest()[:12]
