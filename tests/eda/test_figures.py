"""The five figures on small data with Hangul labels: sentences with their numbers, no missing glyph, small files."""

import io
import logging
import warnings
from dataclasses import replace

import numpy as np
import pytest

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import Categorical, FeatureTable, MultiLabel, Numeric
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import make_split
from recsys_lib.datasets.base import Dataset
from recsys_lib.display.plots import MAX_BYTES, SYNTHETIC
from recsys_lib.eda import figures
from recsys_lib.eda.gallery import Gallery, NothingToDraw, Picture, Skipped

N_USERS, N_ITEMS = 120, 40
JOBS = ("", "IT·게임", "경영·기획·회계·사무", "디자인", "재료·화학·섬유·의복")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Users of 디자인 choose the first ten items more often; everything else is chance."""
    rng = np.random.default_rng(2)
    job = rng.integers(1, 5, N_USERS).astype(np.int32)
    weights = np.ones((N_USERS, N_ITEMS))
    weights[job == 3, :10] = 6
    taken = rng.random((N_USERS, N_ITEMS)) < 0.2 * weights / weights.mean(1, keepdims=True)
    taken[0] = False  # a user without interactions
    users, items = np.nonzero(taken)
    keywords = MultiLabel(
        "키워드", np.arange(N_ITEMS + 1), (np.arange(N_ITEMS) % 3).astype(np.int32), ("니트", "우븐", "−1 → MD")
    )
    education = Categorical("education", (1 + np.arange(N_ITEMS) // 10).astype(np.int32), ("", "2", "3", "4", "6"))
    catalogue = Catalogue(
        IdMap(range(N_USERS), "user"),
        IdMap(range(N_ITEMS), "item"),
        FeatureTable(
            N_USERS,
            [
                Categorical("degree", job, JOBS),
                Numeric("희망연봉", rng.integers(20, 60, N_USERS).astype(np.float32) * 100),
                Categorical("상수", np.ones(N_USERS, dtype=np.int32), ("", "같음")),
            ],
        ),
        FeatureTable(N_ITEMS, [education, keywords]),
    )
    return Dataset(
        Interactions(users, items, N_USERS, N_ITEMS), catalogue, {}, None, "toy", {"toy.csv": "00"}, synthetic=True
    )


def drawings(dataset):
    return {
        "histories": lambda: figures.histories_and_popularity(dataset, k=5),
        "association": lambda: figures.association(dataset, seed=1, shuffles=10),
        "lift": lambda: figures.lift(dataset, pair=["degree", "education"]),
        "clearest": lambda: figures.lift(dataset, seed=1, shuffles=10),
        "cold": lambda: figures.cold_start(dataset),
        "split": lambda: figures.split_side_by_side(
            dataset, make_split("leave_one_out_random", dataset.interactions, seed=1)
        ),
    }


@pytest.mark.parametrize("name", ["histories", "association", "lift", "clearest", "cold", "split"])
def test_every_figure_is_a_sentence_with_its_number_and_no_glyph_is_missing(dataset, name, caplog):
    with warnings.catch_warnings(), caplog.at_level(logging.WARNING, logger="matplotlib"):
        warnings.filterwarnings("error", message="Glyph")
        figure = drawings(dataset)[name]()
        png = figure.png()
    assert "glyph" not in caplog.text
    assert len(png) <= MAX_BYTES and png.startswith(b"\x89PNG")
    assert any(letter.isdigit() for letter in figure.sentence)
    assert any(letter.isdigit() for letter in figure.footer), "the numbers of rows stand below"
    assert SYNTHETIC in [text.get_text() for text in figure.texts]


@pytest.mark.parametrize("name", ["histories", "association", "lift", "cold", "split"])
def test_nothing_is_cut_off(dataset, name):
    figure = drawings(dataset)[name]()
    figure.savefig(io.BytesIO(), format="png")
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


def test_real_data_is_not_called_synthetic(dataset):
    figure = figures.cold_start(replace(dataset, synthetic=False))
    assert SYNTHETIC not in [text.get_text() for text in figure.texts] and "SYNTHETIC" not in figure.footer


def test_the_sentences_say_what_was_planted(dataset):
    assert figures.association(dataset, seed=1).sentence.startswith(
        "degree of the user and education of the item go together most clearly"
    )
    sentence = figures.lift(dataset, pair=["degree", "education"]).sentence
    assert sentence.startswith("Users with degree “디자인” choose items with education “2”")
    assert "1 users and 0 items have not a single one" in figures.cold_start(dataset).sentence
    assert "Not lopsided" in drawings(dataset)["split"]().sentence


def test_a_pair_that_is_not_there(dataset):
    with pytest.raises(KeyError, match="no feature 'age'; there are degree"):
        figures.lift(dataset, pair=["age", "education"])
    with pytest.raises(ValueError, match="one user feature and one item feature"):
        figures.lift(dataset, pair=["degree"])
    assert figures.pair_if_there(dataset, "degree", "education") == ["degree", "education"]
    assert figures.pair_if_there(dataset, "age", "education") == []


def test_without_features_two_figures_say_why(dataset, tmp_path):
    bare = Catalogue(
        dataset.catalogue.users, dataset.catalogue.items, FeatureTable(N_USERS), dataset.catalogue.item_features
    )
    bare = replace(dataset, catalogue=bare)
    with pytest.raises(NothingToDraw, match="toy has no features of users"):
        figures.association(bare)
    gallery = Gallery(tmp_path)
    shown = {
        name: gallery.show(name, draw, sources=bare.sources)
        for name, draw in drawings(bare).items()
        if name != "clearest"
    }
    assert [type(one) for one in shown.values()] == [Picture, Skipped, Skipped, Picture, Picture]


def test_many_features_and_labels_still_fit(dataset):
    rng = np.random.default_rng(0)
    many = [
        Categorical(
            f"아주_긴_특성_이름_{n:02d}", rng.integers(1, 40, N_USERS).astype(np.int32), ("", *map(str, range(39)))
        )
        for n in range(30)
    ]
    catalogue = replace(dataset.catalogue, user_features=FeatureTable(N_USERS, many))
    figure = figures.association(replace(dataset, catalogue=catalogue), shuffles=5)
    assert f"left out: the weakest {30 - figures.MOST_ROWS} user features" in figure.footer
    assert len(figure.png()) <= MAX_BYTES
    figure = figures.lift(replace(dataset, catalogue=catalogue), pair=[many[0].name, "education"])
    assert f"{figures.MOST_LABELS} of " in figure.footer


def test_labels_that_are_numbers_stand_in_order():
    assert figures._in_order(["10", "(other)", "2"]) == ["2", "10", "(other)"]
    assert figures._in_order(["나", "가"]) == ["나", "가"]
