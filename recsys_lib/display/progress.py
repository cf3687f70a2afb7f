"""One progress bar where somebody is watching; a few plain lines where nobody is."""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Iterable, Iterator

SECONDS_BETWEEN_LINES = 5.0


def is_batch() -> bool:
    """True where bars would be noise: RECSYS_BATCH=1 (papermill's parent sets it), or neither a notebook nor a terminal.

    RECSYS_BATCH=0 asks for the bar.
    """
    asked = os.environ.get("RECSYS_BATCH", "")
    if asked:
        return asked != "0"
    return not _has_notebook() and not (sys.stderr is not None and sys.stderr.isatty())


def _has_notebook() -> bool:
    # Colab's shell and Jupyter's both carry the kernel; IPython in a terminal does not.
    if "IPython" not in sys.modules:
        return False
    from IPython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def progress(
    total: int | Iterable, description: str = "", *, seconds_between_lines: float = SECONDS_BETWEEN_LINES
) -> Progress:
    """A Progress over `total` steps, or over the elements of an iterable.

    with progress(EPOCHS, "training") as bar:
        bar.update(1, loss=0.31)

    for batch in progress(batches, "scoring"): ...
    """
    return Progress(total, description, batch=is_batch(), seconds_between_lines=seconds_between_lines)


class Progress:
    """Steps done, time left and the latest figures; made by progress().

    Args:
        total: the number of steps, or an iterable (its length is used if it has one).
        batch: plain lines, at most one in `seconds_between_lines`, plus the last; else one tqdm bar.
    """

    def __init__(self, total: int | Iterable, description: str, *, batch: bool, seconds_between_lines: float) -> None:
        self._elements = None if isinstance(total, int) else total
        self.total = total if isinstance(total, int) else (len(total) if hasattr(total, "__len__") else None)
        self.description = description
        self.done = 0
        self._figures: dict[str, object] = {}
        self._pause = seconds_between_lines
        self._start = self._last_line = time.monotonic()
        self._printed_at = -1
        self._closed = False
        self._bar = None if batch else _bar(self.total, description)

    def update(self, n: int = 1, **figures: object) -> None:
        """`n` more steps are done; `figures` (loss=0.31, ...) are shown beside the bar until replaced."""
        self.done += n
        self._figures |= figures
        if self._bar is not None:
            if figures:
                self._bar.set_postfix_str(self._latest(), refresh=False)
            self._bar.update(n)
        elif time.monotonic() - self._last_line >= self._pause:
            self._print_line()

    def say(self, text: str) -> None:
        """A line that stays, above the bar."""
        if self._bar is not None:
            self._bar.write(text)
        else:
            print(text, flush=True)

    def close(self) -> None:
        """The last line, once."""
        if self._closed:
            return
        self._closed = True
        if self._bar is not None:
            self._bar.close()
        elif self._printed_at != self.done:
            self._print_line()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._bar is not None:
            self._bar.total = self._bar.n  # ended early, and well: tqdm would paint it red
        self.close()

    def __iter__(self) -> Iterator:
        if self._elements is None:
            self._elements = range(self.total)
        with self:
            for element in self._elements:
                yield element
                self.update()

    def _print_line(self) -> None:
        now = time.monotonic()
        spent = now - self._start
        parts = [f"{self.done:,}" if self.total is None else f"{self.done:,}/{self.total:,}"]
        if self.total and 0 < self.done < self.total:
            parts.append(f"{clock(spent / self.done * (self.total - self.done))} left")
        else:
            parts.append(f"{clock(spent)} taken")
        if self._figures:
            parts.append(self._latest())
        print(f"{self.description}: " * bool(self.description) + " · ".join(parts), flush=True)
        self._last_line, self._printed_at = now, self.done

    def _latest(self) -> str:
        return ", ".join(f"{name} {_short(value)}" for name, value in self._figures.items())


def clock(seconds: float) -> str:
    """75.2 -> "1:15"; 3675 -> "1:01:15"."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _bar(total: int | None, description: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # without ipywidgets tqdm falls back to text, and says so at length
        from tqdm.auto import tqdm

        return tqdm(total=total, desc=description or None, dynamic_ncols=True, leave=True)
