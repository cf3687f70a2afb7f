"""Free text: what normalising saved, and which words separate what is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_lib.datasets.base import Dataset
from recsys_lib.eda.figures.shared import NothingToDraw, need_features, size_of
from recsys_lib.eda.parts import reads
from recsys_lib.eda.statistics import text as statistics
from recsys_lib.eda.words import words

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot

MOST_BARS = 14
OF_ONE_LABEL = 2  # words shown for one label of the other side


@reads("spellings")
def spelling(dataset: Dataset, *, language: str = "en") -> Plot:
    """Spellings before and labels after normalising, and the labels that were spelt in most ways.

    Raises:
        NothingToDraw: there is no free text.
    """
    from recsys_lib.display import plots

    t = words(language)
    table = statistics.before_and_after(dataset.spellings)
    table = table[table["rows"] > 0].reset_index(drop=True)
    if not len(table):
        raise NothingToDraw(t("{name} has no free text").format(name=dataset.name))
    examples = statistics.most_spelt(dataset.spellings)
    most = table.loc[(table["spellings"] - table["labels"]).idxmax()]
    sentence = (
        t(
            "Normalising makes {labels:,} {feature} of {spellings:,} spellings; {share:.0f} % of their rows were spelt in a "
            "way that is not the commonest"
        )
        if most["spellings"] > most["labels"]
        else t("Nothing was spelt in two ways: {labels:,} {feature}, {spellings:,} spellings")
    ).format(
        labels=most["labels"], feature=most["feature"], spellings=most["spellings"], share=100 * most["merged"] / most["rows"]
    )
    figure = plots.Plot(
        sentence,
        height=max(2.7 + 0.45 * len(table), 1.7 + 0.46 * len(examples)),
        footer=f"{dataset.title} · "
        + t("rows of text: ")
        + ", ".join(f"{row.feature} {row.rows:,}" for row in table.itertuples())
        + t(" · how a text was made comparable is said by the reader of these data"),
        synthetic=dataset.synthetic,
        alt_text=t("Spellings and labels of {n} features of free text, with examples. {sentence}.").format(
            n=len(table), sentence=sentence
        ),
    )
    with plots.theme():
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.4]) if len(examples) else (figure.subplots(), None)
        rows = np.arange(len(table))
        left.hlines(rows, table["labels"], table["spellings"], color=plots.PALE, linewidth=4)
        left.plot(table["spellings"], rows, "o", color=plots.GREY, markersize=8, label=t("spellings, as typed"))
        left.plot(table["labels"], rows, "o", color=plots.BLUE, markersize=8, label=t("labels, after"))
        for row, before, after in zip(rows, table["spellings"], table["labels"]):
            said = f"{before:,} → {after:,}" if before != after else f"{before:,}"
            left.annotate(said, (before, row), xytext=(0, 8), textcoords="offset points", ha="center", fontsize=8)
        left.set_yticks(rows, [plots.shorten(name, 24) for name in table["feature"]])
        left.set(ylim=(len(table) - 0.4, -0.75), xlabel=t("distinct texts before and after"))
        left.set_xlim(0, 1.15 * table["spellings"].max())
        left.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=2, handletextpad=0.2, columnspacing=1.2, borderaxespad=0)
        left.grid(False, axis="y")
        left.tick_params(axis="y", length=0)
        if right is not None:
            _examples(right, examples, t)
    return figure


def _examples(axes, examples, t) -> None:
    from recsys_lib.display import plots

    for row, example in enumerate(examples.itertuples()):
        said = t("{n} spellings, {rows:,} rows").format(n=len(example.spellings), rows=example.rows)
        axes.text(0, row, plots.shorten(example.label, 30), fontsize=8.5, fontweight="bold", va="bottom")
        axes.text(1, row, said, fontsize=7.5, color=plots.GREY, va="bottom", ha="right")
        axes.text(0, row + 0.08, plots.shorten(" · ".join(example.spellings), 84), fontsize=7.5, color=plots.GREY, va="top")
    axes.set(xlim=(0, 1), ylim=(len(examples) - 0.45, -0.5), title=t("Spelt in most ways"))
    axes.axis("off")


@reads("interactions", "user_features", "item_features", "spellings")
def telling_words(dataset: Dataset, *, seed: int = 7, shuffles: int = 50, language: str = "en") -> Plot:
    """The words of users (or items) that go most clearly with a label of the other side, with their lift.

    Raises:
        NothingToDraw: there are no words, or nothing on the other side to set them against.
    """
    from recsys_lib.display import plots

    t = words(language)
    need_features(dataset, t)
    table = statistics.telling_words(
        dataset.interactions, dataset.all_user_features, dataset.all_item_features, seed=seed, text=tuple(dataset.spellings),
        shuffles=shuffles, n=10 * MOST_BARS,
    )  # fmt: skip
    table = table.groupby(["other_feature", "label"], sort=False).head(OF_ONE_LABEL).head(MOST_BARS)
    if not len(table):
        raise NothingToDraw(t("{name} has no words that separate choices more than chance would").format(name=dataset.name))
    first, sides = table.iloc[0], {"user": t("of the user"), "item": t("of the item")}
    sentence = t(
        "“{word}” ({feature} {side}) separates best: {lift:.2f} times as often with {other} “{label}” as chance would have it "
        "({count:,} times, {expected:,.0f} expected)"
    ).format(
        word=plots.shorten(first["word"], 24), feature=first["feature"], side=sides[first["side"]], lift=first["lift"],
        other=first["other_feature"], label=plots.shorten(first["label"], 24), count=first["count"], expected=first["expected"],
    )  # fmt: skip
    figure = plots.Plot(
        sentence,
        height=1.9 + 0.24 * len(table),
        footer=size_of(dataset, t)
        + t(
            " · each word with the label that it goes with most clearly, the clearest first, at most {n} words a label; only "
            "what stands above chance in 95 of 100 deals of words and of labels ({shuffles} each)"
        ).format(n=OF_ONE_LABEL, shuffles=shuffles),
        synthetic=dataset.synthetic,
        alt_text=t("Bars of the lift of {n} words. {sentence}.").format(n=len(table), sentence=sentence),
    )
    with plots.theme():
        axes = figure.subplots()
        rows = np.arange(len(table))
        colours = {"user": plots.AMBER, "item": plots.BLUE}
        for side, colour in colours.items():
            some = (table["side"] == side).to_numpy()
            if some.any():
                label = t("word of the user") if side == "user" else t("word of the item")
                axes.barh(rows[some], table["lift"][some] - 1, left=1, color=colour, height=0.72, label=label)
        for row, found in zip(rows, table.itertuples()):
            said = t("{other} {label}: {lift:.2f} times ({count:,}, expected {expected:,.0f})").format(
                other=plots.shorten(found.other_feature, 20),
                label=plots.shorten(found.label, 18),
                lift=found.lift,
                count=found.count,
                expected=found.expected,
            )
            axes.annotate(said, (found.lift, row), xytext=(6, 0), textcoords="offset points", va="center", fontsize=7.5)
        axes.set_yticks(
            rows, [f"{plots.shorten(one.word, 22)}  ({plots.shorten(one.feature, 22)})" for one in table.itertuples()]
        )
        axes.set_ylim(len(table) - 0.4, -0.6)
        axes.set_xlim(1, 1 + 1.75 * (float(table["lift"].max()) - 1))
        axes.set_xlabel(t("times as often as if word and label were independent (1)"))
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.legend(ncols=2, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0, handlelength=1)
    return figure
