"""Hangul, the minus sign and the arrow are drawn, whatever set the theme."""

import importlib.util
import io
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib
import pytest
from matplotlib.figure import Figure

from recsys_lib.display import fonts, plots

TEXT = "한글 −1 → 학력 · 재료·화학·섬유·의복"


@pytest.fixture(autouse=True)
def _keep_settings():
    with matplotlib.rc_context():
        yield


def draw(log_axis: bool = False) -> None:
    figure = Figure(figsize=(4, 2))
    axes = figure.subplots()
    axes.plot([-1, 1], [1e-3, 1])
    axes.set(title=TEXT, xlabel=TEXT)
    if log_axis:
        axes.set_yscale("log")
    figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("log_axis", [False, True])
def test_no_glyph_is_missing(log_axis, caplog):
    assert fonts.use_hangul() is not None
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, logger="matplotlib"):
        warnings.filterwarnings("error", message="Glyph")
        draw(log_axis)
    # mathtext, which labels logarithmic axes, logs instead of warning
    assert "does not have a glyph" not in caplog.text


def test_calling_it_again_changes_nothing():
    name = fonts.use_hangul()
    families = list(matplotlib.rcParams["font.family"])
    known = len(matplotlib.font_manager.fontManager.ttflist)
    assert fonts.use_hangul() == name
    assert list(matplotlib.rcParams["font.family"]) == families
    assert len(matplotlib.font_manager.fontManager.ttflist) == known


def test_our_theme_comes_back_after_seaborns():
    seaborn = pytest.importorskip("seaborn")
    seaborn.set_theme()  # takes the Hangul font away
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")
        plots.use_theme()
        draw()


def test_seaborn_is_not_imported_for_it_and_wrapped_when_it_is():
    pytest.importorskip("seaborn")
    code = (
        "import sys; from recsys_lib.display.fonts import keep_hangul; keep_hangul(); keep_hangul(); "
        "assert 'seaborn' not in sys.modules; import seaborn, matplotlib; seaborn.set_theme(); "
        "print(seaborn.set_theme.__wrapped__.__name__, len(matplotlib.rcParams['font.family']), "
        "any(type(finder).__name__ == '_WhenImported' for finder in sys.meta_path))"
    )
    root = Path(fonts.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, encoding="utf-8")
    assert done.stdout.split() == ["set_theme", "2", "False"], done.stderr


@pytest.mark.parametrize("theme", [{}, {"font": "DejaVu Serif"}, {"style": "white"}])
def test_seaborns_theme_cannot_bring_boxes_back(theme, monkeypatch, caplog):
    seaborn = pytest.importorskip("seaborn")
    for name in ("set_theme", "set", "set_style"):
        monkeypatch.setattr(seaborn, name, getattr(seaborn, name))  # as they were, afterwards
    for _ in range(2):
        assert fonts.keep_hangul() is not None
    for set_theme in (seaborn.set_theme, seaborn.set):
        set_theme(**theme)
        with warnings.catch_warnings(), caplog.at_level(logging.WARNING, logger="matplotlib"):
            warnings.filterwarnings("error", message="Glyph")
            draw()
            draw(log_axis=True)
        assert "does not have a glyph" not in caplog.text
    seaborn.set_style("ticks")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")
        draw()
    assert list(matplotlib.rcParams["font.family"]).count(fonts.use_hangul()) == 1


def test_our_figures_do_not_need_the_global_theme():
    seaborn = pytest.importorskip("seaborn")
    seaborn.set_theme()
    before = dict(matplotlib.rcParams)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")
        plots.Plot(TEXT, footer=TEXT).png()
    assert dict(matplotlib.rcParams) == before


def test_the_font_package_is_never_imported():
    fonts._find.cache_clear()
    fonts.use_hangul()
    assert fonts.FONT_PACKAGE not in sys.modules


def test_without_any_font_one_warning_says_what_to_install(monkeypatch):
    monkeypatch.setattr(fonts, "SYSTEM_FONTS", ())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    fonts._find.cache_clear()
    try:
        with pytest.warns(UserWarning, match="pip install --no-deps koreanize-matplotlib"):
            assert fonts.use_hangul() is None
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Glyph")
            assert fonts.use_hangul() is None  # said once
        assert fonts.font_families() == [fonts.LATIN]
    finally:
        fonts._find.cache_clear()
