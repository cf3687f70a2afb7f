"""Sentences, sizes and edge cases of the figures of a run."""

import re
import warnings
from pathlib import Path

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.collections import PathCollection

from recsys_lib.display import plots

METRIC = "recall@5"


@pytest.fixture(autouse=True)
def _no_missing_glyph():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="Glyph")
        yield


def history(loss, recall, **columns) -> pd.DataFrame:
    n = len(loss)
    return pd.DataFrame(
        {
            "epoch": np.arange(1, n + 1),
            "loss": loss,
            "learning_rate": 0.01,
            METRIC: recall,
            "negatives_resampled": False,
        }
        | columns
    )


def size(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def test_the_curves_name_the_best_epoch():
    table = history([0.7, 0.5, 0.4, 0.3], [0.01, 0.04, 0.03, np.nan], seconds_training=2.0)
    figure = plots.training_curves(table, METRIC, footer="수 57,946", synthetic=True)
    assert figure.sentence == "recall@5 is best at epoch 2 of 4: 0.0400, at a training loss of 0.5"
    assert "8 s in training" in figure.footer  # 4 x 2.0
    assert len(figure.png()) <= plots.MAX_BYTES


def test_epochs_of_fresh_negatives_are_marked():
    table = history([0.7, 0.5, 0.6, 0.4], [0.01, 0.02, 0.03, 0.04], negatives_resampled=[True, False, True, False])
    axes = plots.training_curves(table, METRIC).axes[0]
    (marks,) = [line for line in axes.lines if line.get_label() == "negatives drawn anew"]
    assert list(marks.get_xdata()) == [1, 3]


def test_a_run_without_evaluations_still_has_curves():
    figure = plots.training_curves(history([0.7, 0.5], [np.nan, np.nan]), METRIC)
    assert "not evaluated" in figure.sentence
    figure.png()
    plots.training_curves(history([0.7], [0.1]).drop(columns=["learning_rate", "negatives_resampled"]), METRIC).png()


def test_an_empty_history_says_why():
    with pytest.raises(ValueError, match="needs_training = False"):
        plots.training_curves(pd.DataFrame(), METRIC)


@pytest.mark.parametrize(
    "recall, words",
    [
        ([0.01, 0.02, 0.03, 0.04, 0.05], "recall@5 follows the loss (Spearman -1.00): best 0.0500 at a loss of 0.3"),
        ([0.01, 0.03, 0.05, 0.04, 0.02], "Aim at a loss of 0.5: recall@5 0.0500 there, 0.0200 at the end at 0.3"),
        ([0.05, 0.04, 0.03, 0.02, 0.0499], "does not follow the loss (Spearman +0.40)"),
    ],
)
def test_does_recall_follow_the_loss(recall, words):
    figure = plots.loss_against_recall(history([0.7, 0.6, 0.5, 0.4, 0.3], recall), METRIC)
    assert words in figure.sentence
    figure.png()


def test_too_few_evaluations_give_no_correlation():
    sentence = plots.loss_against_recall(history([0.7, 0.6], [0.01, 0.02]), METRIC).sentence
    assert "too few" in sentence and "Spearman" not in sentence


MODELS = pd.DataFrame(
    {
        "model": ["popularity", "ease", "아이템"],
        "mean": [0.01, 0.13, 0.05],
        "low": [0.0, 0.12, 0.04],
        "high": [0.02, 0.14, 0.06],
    }
)


def test_models_are_sorted_and_the_leader_is_named():
    figure = plots.model_comparison(MODELS, METRIC, synthetic=True)
    assert figure.sentence == "ease leads clearly: recall@5 0.1300 (0.1200 to 0.1400), next 아이템 0.0500"
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["popularity", "아이템", "ease"]
    figure.png()


def test_an_overlap_of_intervals_is_said():
    sentence = plots.model_comparison(MODELS.assign(high=[0.2, 0.14, 0.2]), METRIC).sentence
    assert "overlaps that of 아이템" in sentence


def test_groups_keep_their_order_and_show_their_size():
    table = pd.DataFrame(
        [
            (model, group, users, value)
            for model, value in (("ease", 0.1), ("neumf", 0.05))
            for group, users in (("11+", 3), ("1–2", 1))
        ],
        columns=["model", "group", "users", "value"],
    )
    figure = plots.recall_by_group(table, METRIC, group_name="활동량")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["11+\nn = 3", "1–2\nn = 1"]
    assert figure.footer.startswith("4 in all groups")  # 3 + 1, not once a model
    figure.png()


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="model, mean, low, high; got 3 rows with model, mean, low$"):
        plots.model_comparison(MODELS.drop(columns="high"), METRIC)


def test_a_picture_is_sharp_small_and_says_synthetic():
    figure = plots.Plot("A sentence", footer="4 users", synthetic=True)
    figure.subplots().plot([1, 2], [3, 4])
    png = figure.png()
    width, height = size(png)
    assert (width, height) == (2 * 9 * 96, 806)  # 806 = 2 x 4.2 x 96
    shown, metadata = figure._repr_png_()
    assert metadata["width"] == width // 2
    assert plots.SYNTHETIC in [text.get_text() for text in figure.texts]
    assert plots.SYNTHETIC not in [text.get_text() for text in plots.Plot("A sentence").texts]


def test_a_large_picture_gives_up_colours_before_density():
    figure = plots.Plot("Noise")
    figure.subplots().imshow(np.random.default_rng(0).random((40, 40)), interpolation="bilinear", cmap="viridis")
    full, less = figure.png(max_bytes=10**9), figure.png(max_bytes=len(figure.png(max_bytes=10**9)) - 1)
    assert len(less) < len(full) and size(less) == size(full)


def test_wrapped_lines_are_even_and_hangul_counts_double():
    assert plots.wrap("one two three four five six seven", 30, even=True) == "one two three four\nfive six seven"
    assert plots.visible_width("학력 a") == 2 + 2 + 1 + 1
    assert plots.shorten("재료화학섬유의복", 7) == "재료화…"


def test_no_title_is_wider_than_the_picture():
    figure = plots.Plot("w" * 3 + " Users with 재료·화학·섬유·의복 choose items 1.23 times as often" * 3)
    figure.canvas.draw()
    assert figure.get_suptitle().count("\n") == 2
    assert figure.get_window_extent().x1 >= max(
        text.get_window_extent(figure.canvas.get_renderer()).x1 for text in figure.texts
    )


def test_this_room_knows_no_other():
    for path in Path(plots.__file__).parent.glob("*.py"):
        assert not re.findall(r"recsys_lib\.(?!display)", path.read_text(encoding="utf-8")), path.name


def worths() -> pd.DataFrame:
    rows = []
    for place, name in enumerate(["all features", "키워드", "noise", "shape"]):
        for part, sign in (("warm", 1), ("cold items", -1)):
            verdict = {"키워드": "helps", "shape": "hurts"}.get(name, "no evidence") if sign > 0 else "no evidence"
            middle = sign * 0.01 * place
            rows.append((name, part, "retraining" if place < 3 else "permutation", middle, middle - 0.01, middle + 0.01, verdict, 40))
    return pd.DataFrame(rows, columns=["feature", "slice", "kind", "difference", "low", "high", "verdict", "users"])


def test_the_worth_of_features_has_a_panel_a_slice_on_one_scale():
    figure = plots.feature_worth(worths(), METRIC, groups=("all features",), title="키워드 helps warm users", synthetic=True)
    left, right = figure.axes
    assert left.get_title(loc="left") == "warm\n40 users" and right.get_title(loc="left").startswith("cold items")
    assert left.get_xlim() == right.get_xlim()
    # the group on top; then what has a verdict, the larger first; then the rest
    assert [label.get_text() for label in left.get_yticklabels()] == ["all features", "shape", "키워드", "noise"]
    dots = [collection for collection in left.collections if isinstance(collection, PathCollection)]
    colours = {dot.get_offsets()[0][0]: matplotlib.colors.to_hex(dot.get_edgecolor()[0]).upper() for dot in dots}
    assert colours == {0.0: plots.GREY, 0.01: plots.BLUE, 0.02: plots.GREY, 0.03: plots.ORANGE}  # by their differences
    assert len(figure.png()) <= plots.MAX_BYTES


def test_the_worth_of_many_features_says_how_many_are_not_drawn():
    figure = plots.feature_worth(worths(), METRIC, title="t", footer="f", most_rows=3)
    assert figure.footer == "f · the 1 smallest of 4 features are not drawn" and "키워드" in figure.alt_text + str(figure.axes[0].get_yticklabels())
    with pytest.raises(ValueError, match="verdict"):
        plots.feature_worth(worths().drop(columns="verdict"), METRIC)


# ---- overlap


def test_the_sentence_names_the_most_and_the_least_alike():
    models = ["ease", "multi_dae", "user_knn"]
    table = pd.DataFrame([[1, 0.6, 0.3], [0.6, 1, 0.05], [0.3, 0.05, 1]], models, models)
    figure = plots.list_overlap(table, 10, footer="toy")
    assert figure.sentence == "Of 10 places, multi_dae and ease share 60%, user_knn and multi_dae 5%"
    assert len(figure.png()) < plots.MAX_BYTES
    two = plots.list_overlap(table.iloc[:2, :2], 5)
    assert two.sentence == "multi_dae and ease share 60% of their 5 places"
    with pytest.raises(ValueError, match="two models or more"):
        plots.list_overlap(table.iloc[:1, :1], 5)
