"""The few loops that neither torch nor numpy can run at the processor's speed: small C files, compiled on this machine.

A C file lies beside the Python file that uses it and says the same thing. It is compiled once, by the machine's own
compiler for its own processor, in about a second. Where there is no compiler (Windows), `compiled` gives None and the
Python file goes the slower way to the same answer.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch  # before any library of ours: both then share one pool of OpenMP threads
from torch import Tensor

from recsys_lib.data.files import replacing

# What the compiler may do, best first: macOS has no OpenMP by default, and old compilers do not know this processor.
_FLAGS = (["-march=native", "-fopenmp"], ["-march=native"], [])
_UNKNOWN_TO_C = (torch.bfloat16, torch.float16)
_BASE = ["-O3", "-fno-math-errno", "-shared", "-fPIC", "-std=gnu11"]


def compiled(source: Path) -> ctypes.CDLL | None:
    """The compiled functions of a C file, or None: no compiler here, or the variable RECSYS_NATIVE says "off"."""
    if os.environ.get("RECSYS_NATIVE", "").lower() == "off":
        return None
    return _library(source)


@functools.cache
def _library(source: Path) -> ctypes.CDLL | None:
    compiler = next((found for name in (os.environ.get("CC", ""), "cc", "gcc", "clang") if name and (found := shutil.which(name))), None)
    if compiler is None or sys.platform == "win32":
        return None
    code = source.read_bytes()
    key = hashlib.sha256(b"\0".join([code, compiler.encode(), _processor().encode(), repr((_BASE, _FLAGS)).encode()])).hexdigest()
    folder = _folder()
    built = folder / f"{source.stem}-{key[:20]}.so"
    try:
        if built.is_file():
            with contextlib.suppress(OSError):  # half a file, or from a machine with newer system libraries: made anew
                return ctypes.CDLL(str(built))
        with replacing(built) as part:
            _compile(compiler, source, part)
        return ctypes.CDLL(str(built))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or error
        warnings.warn(f"{source.name} could not be compiled, so scoring takes the slower way: {str(said)[:300]}", stacklevel=3)
        return None


def _compile(compiler: str, source: Path, target: Path) -> None:
    for place, flags in enumerate(_FLAGS, start=1):
        try:
            command = [compiler, *_BASE, *flags, str(source), "-o", str(target), "-lm"]
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
            return
        except subprocess.CalledProcessError:
            if place == len(_FLAGS):
                raise


def _folder() -> Path:
    """Of this account alone, never on a shared Drive: what lies here is run."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "recsys_lib"
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        facts = cache.stat()
        if os.access(cache, os.W_OK) and facts.st_uid == os.getuid() and not facts.st_mode & 0o022:
            return cache
    except (OSError, RuntimeError):  # no home folder, or one that cannot be written
        pass
    return _temporary_folder()


@functools.cache
def _temporary_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="recsys_lib-"))


def _processor() -> str:
    """Tells apart processors with other instructions: a home folder may be shared by several machines."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.lower().startswith(("flags", "features")))
    except (OSError, StopIteration):
        return f"{platform.machine()} {platform.processor()}"


def call(function: Callable[..., int], *values: Tensor | int | None) -> int:
    """What a C function returns that takes pointers and int64_t; its tensors stay alive until then.

    Raises: ValueError for a tensor that is not contiguous, not on the CPU, or of a half precision: C would misread it.
    """
    taken = []
    for value in values:
        if isinstance(value, int):
            taken.append(ctypes.c_int64(value))
            continue
        if value is not None and (value.device.type != "cpu" or not value.is_contiguous() or value.dtype in _UNKNOWN_TO_C):
            raise ValueError(
                f"wanted a contiguous tensor on the CPU; got {value.dtype} on {value.device} with strides {value.stride()}"
            )
        taken.append(ctypes.c_void_p(None if value is None else value.data_ptr()))
    return function(*taken)
