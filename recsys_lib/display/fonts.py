"""Hangul in every matplotlib figure, with no manual step and nothing to restart."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import warnings
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from types import ModuleType

import matplotlib
from matplotlib import font_manager

SYSTEM_FONTS = (
    "Malgun Gothic",  # Windows
    "Apple SD Gothic Neo",
    "AppleGothic",
    "NanumGothic",  # Debian's fonts-nanum
    "Noto Sans CJK KR",
    "Noto Sans KR",
    "Noto Sans CJK JP",  # the same glyphs; the name under which the .ttc of Noto CJK is often listed
)
LATIN = "DejaVu Sans"  # comes with matplotlib
FONT_PACKAGE = "koreanize_matplotlib"


def use_hangul() -> str | None:
    """Give matplotlib's family list a font with Hangul; harmless when called again.

    The system's own fonts are preferred, then the TTF files inside the package koreanize-matplotlib, which is found
    but never imported (importing it fails on Python 3.12 and later, where distutils is gone).

    Returns:
        the Hangul font's name, or None, after one warning that says what to install.
    """
    families = font_families()
    if list(matplotlib.rcParams["font.family"]) != families:
        matplotlib.rcParams["font.family"] = families
    return _find()


def keep_hangul() -> str | None:
    """use_hangul, also after seaborn.set_theme() and set_style(), which put back a family without it.

    For a notebook whose reader draws figures of an own; those of this library need nothing. Harmless when called again.
    seaborn is not imported for it (that takes a second): its functions are wrapped as soon as somebody does.
    """
    if "seaborn" in sys.modules:
        _wrap(sys.modules["seaborn"])
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())
    return use_hangul()


class _WhenImported(importlib.abc.MetaPathFinder):
    """Wraps seaborn's functions at the end of its import; a mere question whether it is there changes nothing."""

    _asked = False

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        if name != "seaborn" or self._asked:
            return None
        self._asked = True  # what follows asks every finder, this one too
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._asked = False
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_wrap(module: ModuleType) -> None:
                execute(module)
                _wrap(module)
                if self in sys.meta_path:
                    sys.meta_path.remove(self)

            spec.loader.exec_module = execute_and_wrap
        return spec


def _wrap(seaborn: ModuleType) -> None:
    for name in ("set_theme", "set", "set_style"):
        themed = getattr(seaborn, name)
        if not hasattr(themed, "__wrapped__"):
            setattr(seaborn, name, _and_hangul(themed))


def _and_hangul(themed: Callable) -> Callable:
    @wraps(themed)
    def with_hangul(*arguments, **named):
        result, font = themed(*arguments, **named), _find()
        families = list(matplotlib.rcParams["font.family"])
        if font and font not in families:
            matplotlib.rcParams["font.family"] = [*families, font]  # behind: for the glyphs that the theme's own lacks
        return result

    return with_hangul


def font_families() -> list[str]:
    """What `font.family` should be: DejaVu Sans, then the Hangul font for the glyphs that it lacks.

    Not the other way round: NanumGothic has no minus sign U+2212, and the labels of a logarithmic axis (10 to the
    power of -3), which are mathtext, look in the first font only and would show a box.
    """
    font = _find()
    return [LATIN, font] if font else [LATIN]


@cache
def _find() -> str | None:
    known = {entry.name: entry.fname for entry in font_manager.fontManager.ttflist}
    for name in SYSTEM_FONTS:
        # matplotlib's list is cached on disk and may name a font that has been removed since
        if name in known and Path(known[name]).is_file():
            return name
    for path in _packaged_fonts():
        font_manager.fontManager.addfont(path)
    known = {entry.name for entry in font_manager.fontManager.ttflist}
    if "NanumGothic" in known and _packaged_fonts():
        return "NanumGothic"
    warnings.warn(
        "no font with Hangul found, Korean labels will show as boxes; next: pip install --no-deps koreanize-matplotlib "
        "(only its TTF files are used), or install a system font such as fonts-nanum",
        stacklevel=3,
    )
    return None


def _packaged_fonts() -> list[Path]:
    spec = importlib.util.find_spec(FONT_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    return sorted(path for folder in folders or () for path in Path(folder).rglob("*.ttf"))
