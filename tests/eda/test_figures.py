"""Every figure on small data with Hangul labels, in both languages: sentences with their numbers, no missing glyph, small files."""

import ast
import io
import logging
import re
import string
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import Categorical, FeatureTable
from recsys_lib.data.interactions import Interactions
from recsys_lib.display.plots import MAX_BYTES, SYNTHETIC
from recsys_lib.eda import figures
from recsys_lib.eda.figures.association import in_order
from recsys_lib.eda.figures.shared import NothingToDraw
from recsys_lib.eda.words import KOREAN, words

FAST = {"association": {"shuffles": 10}, "lift": {"shuffles": 10}, "information": {"shuffles": 5}}

every_figure = pytest.mark.parametrize("name", figures.__all__)


def draw(name, dataset, **parameters):
    return getattr(figures, name)(dataset, **FAST.get(name, {}) | parameters)


@every_figure
@pytest.mark.parametrize("language", ["en", "ko"])
def test_every_figure_is_a_sentence_with_its_number_and_no_glyph_is_missing(dataset, name, language, caplog):
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, logger="matplotlib"):
        warnings.filterwarnings("error", message="Glyph")
        figure = draw(name, dataset, language=language)
        png = figure.png()
    assert "glyph" not in caplog.text
    assert len(png) <= MAX_BYTES and png.startswith(b"\x89PNG")
    assert any(letter.isdigit() for letter in figure.sentence)
    assert any(letter.isdigit() for letter in figure.footer), "the numbers of rows stand below"
    assert SYNTHETIC in [text.get_text() for text in figure.texts]
    assert bool(re.search(r"\b(of|the|as|are|by)\b", figure.sentence)) == (language == "en")


@every_figure
@pytest.mark.parametrize("language", ["en", "ko"])
def test_nothing_is_cut_off(dataset, timed, name, language):
    for data in (dataset, timed) if name == "time" else (dataset,):
        figure = draw(name, data, language=language)
        figure.savefig(io.BytesIO(), format="png")
        box = figure.get_tightbbox()
        width, height = figure.get_size_inches()
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


@every_figure
def test_a_plain_log_is_drawn_or_it_is_said_why_not(dataset, name):
    """Somebody's own log: no features, no tables, no times."""
    log = dataset.interactions
    bare = Catalogue(dataset.catalogue.users, dataset.catalogue.items, FeatureTable(log.n_users), FeatureTable(log.n_items))
    bare = replace(dataset, catalogue=bare, tables={}, spellings={})
    if name in ("histories_and_popularity", "density", "competition", "factors", "cold_start", "split_side_by_side"):
        assert draw(name, bare).sentence
    else:
        with pytest.raises(NothingToDraw, match="^toy has n"):
            draw(name, bare)
    empty = replace(bare, interactions=Interactions([], [], 5, 7))
    if name != "cold_start":
        with pytest.raises(NothingToDraw):
            draw(name, empty)


def test_real_data_is_not_called_synthetic(dataset):
    figure = figures.cold_start(replace(dataset, synthetic=False))
    assert SYNTHETIC not in [text.get_text() for text in figure.texts] and "SYNTHETIC" not in figure.footer


def test_the_sentences_say_what_was_planted(dataset, timed):
    assert draw("association", dataset, seed=1).sentence.startswith(
        "degree of the user and 키워드 of the item go together most clearly"
    )
    sentence = draw("lift", dataset, pair=["degree", "education"]).sentence
    assert sentence.startswith("Users with degree “디자인” choose items with education “2”")
    assert "users without any: 1, items: 0" in figures.cold_start(dataset).sentence
    assert "Not lopsided" in figures.split_side_by_side(dataset, seed=1).sentence
    assert draw("information", dataset).sentence.startswith("degree of the user tells most")
    assert "1 zero means missing?" in figures.column_quality(dataset).sentence
    assert figures.spelling(dataset).sentence.startswith(
        "Normalising makes 2 키워드 of 3 spellings; 38 % of their rows"
    )  # 3 of 8
    assert figures.time(dataset).sentence.startswith(
        "The log has no timestamps; the dates of resume.updated_date run from 2020-01-"
    )
    assert figures.time(timed).sentence.startswith("A holdout of the last ")


def test_a_pair_that_is_not_there(dataset):
    with pytest.raises(KeyError, match="no feature 'age'. There are degree"):
        figures.lift(dataset, pair=["age", "education"])
    with pytest.raises(ValueError, match="one user feature and one item feature"):
        figures.lift(dataset, pair=["degree"])
    preferred = draw("lift", dataset, preferred=["희망연봉", "education"]).sentence
    assert preferred.startswith("No label of 희망연봉 goes with a label of education more or less often")
    assert draw("lift", dataset, preferred=["age", "education"]).sentence.startswith("Users with degree")
    assert draw("lift", dataset, pair=["상수", "education"], preferred=["degree", "education"]).sentence.startswith(
        "No label of 상수"
    )


def test_many_features_and_labels_still_fit(dataset):
    rng = np.random.default_rng(0)
    n_users, most = dataset.catalogue.n_users, 14
    many = [
        Categorical(f"아주_긴_특성_이름_{n:02d}", rng.integers(1, 40, n_users).astype(np.int32), ("", *map(str, range(39))))
        for n in range(45)
    ]
    wide = replace(dataset, catalogue=replace(dataset.catalogue, user_features=FeatureTable(n_users, many)))
    figure = draw("association", wide, shuffles=5)
    assert f"the weakest {45 - most} user features are left out" in figure.footer
    assert len(figure.png()) <= MAX_BYTES
    assert "10 / " in figures.lift(wide, pair=[many[0].name, "education"]).footer
    figure = draw("information", wide)
    assert "left out: the 7 that tell least" in figure.footer and len(figure.png()) <= MAX_BYTES  # 45 + 2 - 40


def test_labels_that_are_numbers_stand_in_order():
    assert in_order(["10", "(other)", "2"]) == ["2", "10", "(other)"]
    assert in_order(["나", "가"]) == ["나", "가"]


# ---- both languages


def texts_of_the_figures() -> set[str]:
    """Every text that a figure hands to t()."""
    found = set()
    for path in Path(figures.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "t":
                found |= (
                    {
                        part.value
                        for part in ast.walk(node.args[0])
                        if isinstance(part, ast.Constant) and isinstance(part.value, str)
                    }
                    if isinstance(node.args[0], ast.Constant | ast.IfExp)
                    else set()
                )
    return found


def fields_of(text: str) -> set[tuple]:
    return {(name, form) for _, name, form, _ in string.Formatter().parse(text) if name is not None}


def test_every_text_has_its_korean_and_no_korean_is_left_over():
    used = texts_of_the_figures()
    assert len(used) > 120 and not used - set(KOREAN)
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(figures.__file__).parent.glob("*.py"))
    spoken = {text for text in set(KOREAN) - used if f'"{text}"' not in sources}  # some are chosen from a list
    assert not {
        text
        for text in spoken
        if not re.match(r"(interactions|rows) a (day|week|month|quarter|year)|day|week|month|quarter|year", text)
    }


@pytest.mark.parametrize("text", sorted(KOREAN))
def test_both_languages_have_the_same_fields(text):
    assert fields_of(KOREAN[text]) == fields_of(text)


def test_an_unknown_language():
    with pytest.raises(ValueError, match="figures speak en and ko; got LANGUAGE = 'kr'"):
        words("kr")
