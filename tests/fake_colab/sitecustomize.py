"""A Colab that is none, for a real kernel: on its PYTHONPATH this file runs before anything else does.

FAKE_COLAB holds, as JSON:
    mount      what drive.mount does: "" it serves the Drive; "fails" it always raises; "fails once"
    read_only  every write below the Drive is refused, as for somebody with view-only access
    dies_after the Drive goes away (OSError 107 for whatever touches it) when so many epochs are in a history.jsonl
    killed_after the kernel is killed after so many epochs, once a state of the training lies on the Drive
Below RECSYS_CONTENT, `served` is the Drive before it is mounted and `mounts` counts the calls.
"""

import builtins
import errno
import io
import json
import os
import signal
import sys
import time
import types
from pathlib import Path

settings = json.loads(os.environ.get("FAKE_COLAB", "null"))


def fake_google(content, how):
    rename = os.rename  # before it is guarded
    drive = types.ModuleType("google.colab.drive")

    def mount(mountpoint, force_remount=False):
        with open(content / "mounts", "a", encoding="utf-8") as calls:
            calls.write(f"{force_remount}\n")
        if how == "fails" or (how == "fails once" and not force_remount):
            raise ValueError("mount failed")
        (content / "dead").unlink(missing_ok=True)
        if (content / "served").exists():
            rename(content / "served", mountpoint)

    drive.mount = mount
    google, colab = types.ModuleType("google"), types.ModuleType("google.colab")
    google.colab, colab.drive = colab, drive
    sys.modules |= {"google": google, "google.colab": colab, "google.colab.drive": drive}


def guarded(content, read_only, dies_after, killed_after):
    drive, dead, appended = os.fspath(content / "drive"), content / "dead", [0]
    real_open, real_stat = io.open, os.stat

    def is_dead():
        try:
            real_stat(dead)
        except FileNotFoundError:
            return False
        return True

    def below(path):
        return isinstance(path, (str, os.PathLike)) and os.path.abspath(os.fspath(path)).startswith(drive)

    def check(path, writes):
        if below(path):
            if is_dead():
                raise OSError(errno.ENOTCONN, "Transport endpoint is not connected", os.fspath(path))
            if writes and read_only:
                raise OSError(errno.EROFS, "Read-only file system", os.fspath(path))

    def wrap(function, writes, places=1):
        def wrapped(*arguments, **named):
            for path in arguments[:places]:
                check(path, writes)
            return function(*arguments, **named)

        return wrapped

    def opening(file, mode="r", *arguments, **named):
        check(file, any(letter in mode for letter in "wax+"))
        if isinstance(file, (str, os.PathLike)) and os.fspath(file).endswith("history.jsonl") and "a" in mode:
            appended[0] += 1
            if appended[0] == dies_after:
                real_open(dead, "w").close()
            if appended[0] == killed_after:
                while not list(Path(drive).rglob("runs/*/last.state.pt")):
                    time.sleep(0.05)
                os.kill(os.getpid(), signal.SIGKILL)
        return real_open(file, mode, *arguments, **named)

    builtins.open = io.open = opening
    for name in ("stat", "lstat", "listdir", "scandir"):
        setattr(os, name, wrap(getattr(os, name), False))
    for name in ("mkdir", "unlink", "remove", "rmdir"):
        setattr(os, name, wrap(getattr(os, name), True))
    for name in ("rename", "replace"):
        setattr(os, name, wrap(getattr(os, name), True, places=2))


if settings is not None:
    folder = Path(os.environ["RECSYS_CONTENT"])
    fake_google(folder, settings.get("mount", ""))
    guarded(folder, settings.get("read_only", False), settings.get("dies_after", 0), settings.get("killed_after", 0))
