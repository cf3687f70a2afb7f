"""The most memory that a piece of work takes, beyond what was held before it."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIB = 2**20


def peak_mib(run: Callable[[], Any], *, cuda: bool = False) -> tuple[float | None, Any]:
    """Run it; MiB of the process on Linux, of torch's tensors on a GPU, None elsewhere; and what it returned."""
    if cuda:
        import torch

        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = run()
        return (torch.cuda.max_memory_allocated() - before) / MIB, result
    if not sys.platform.startswith("linux"):
        return None, run()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed and is still held would hide what is taken now
    except OSError:
        pass  # another C library keeps less, or cannot be asked
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls to what is held now
    before = _high_water_mib()
    result = run()
    return _high_water_mib() - before, result


def _high_water_mib() -> float:
    # not getrusage: that counts what the parent held when it started this process
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
