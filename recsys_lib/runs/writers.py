"""Who writes a run: a process of a machine, told without naming either."""

from __future__ import annotations

import hashlib
import os
import platform
import uuid
from collections.abc import Mapping
from pathlib import Path


def this_writer() -> dict[str, str | int]:
    """Of this process; another runtime has another machine, also after a restart."""
    return {"machine": _machine(), "process": os.getpid()}


def is_gone(writer: Mapping[str, object]) -> bool | None:
    """Whether that process has ended, or is this one; None: it cannot be told from here."""
    process = writer.get("process")
    if writer.get("machine") != _machine() or not isinstance(process, int):
        return None
    if process == os.getpid():
        return True
    if os.name == "nt":  # there os.kill ends the process that it asks for
        return None
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
    # The name too: containers of one host have one boot and processes of their own.
    return hashlib.sha256(f"{name} {platform.node()}".encode()).hexdigest()[:12]
