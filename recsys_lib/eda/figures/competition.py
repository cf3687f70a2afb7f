"""What competes with what: items that the same users choose, and users who share an item."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_lib.datasets.base import Dataset, item_names
from recsys_lib.eda.figures.shared import NothingToDraw, need_interactions, percent, size_of, thousands
from recsys_lib.eda.parts import reads
from recsys_lib.eda.statistics import competition as statistics
from recsys_lib.eda.words import words

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot


@reads("interactions", "item_names")
def competition(dataset: Dataset, *, seed: int = 7, language: str = "en") -> Plot:
    """The closest pairs of items by cosine, and how many other users share an item with a user.

    Raises:
        NothingToDraw: no two items were chosen together often enough.
    """
    from recsys_lib.display import plots

    t = words(language)
    need_interactions(dataset, t)
    log = dataset.interactions
    pairs = statistics.chosen_together(log, seed=seed)
    if not len(pairs):
        raise NothingToDraw(t("{name}: no two items were chosen together by 5 users or more").format(name=dataset.name))
    near = statistics.neighbours(log, seed=seed)
    others = max(int((log.user_counts > 0).sum()) - 1, 1)
    named, ids = item_names(dataset), dataset.catalogue.items.ids
    names = [named.get(one, str(one)) for one in ids]
    first, median = pairs.iloc[0], float(np.median(near))
    labels = [f"{plots.shorten(names[a], 34)} + {plots.shorten(names[b], 34)}" for a, b in zip(pairs["item"], pairs["other"])]
    if max(map(plots.visible_width, labels)) > 30:
        labels = [label.replace(" + ", "\n+ ") for label in labels]
    figure = plots.Plot(
        t(
            "{one} and {other} compete most: {together:,} users chose both, where chance gives {expected}; half the users "
            "share an item with {median:,.0f} others or more ({share} of all users)"
        ).format(
            one=plots.shorten(names[int(first["item"])], 44),
            other=plots.shorten(names[int(first["other"])], 44),
            together=int(first["together"]),
            expected=_expected(first["expected"]),
            median=median,
            share=percent(median / others),
        ),
        height=4.6 if "\n" not in labels[0] else 5.4,
        footer=size_of(dataset, t)
        + t(
            " · pairs chosen together by 5 users or more, sorted by the cosine damped by the mean count of an item, found "
            "among {looked:,} users; neighbours: of {n:,} users drawn, those with a cosine above 0"
        ).format(looked=pairs.attrs["users"], n=len(near)),
        synthetic=dataset.synthetic,
        alt_text=t("Bars of the {n} closest pairs of items and a histogram of neighbours a user.").format(n=len(pairs)),
    )
    with plots.theme():
        left, right = figure.subplots(1, 2, width_ratios=[1.75, 1])
        rows = np.arange(len(pairs))
        left.barh(rows, pairs["cosine"], color=plots.BLUE, height=0.72)
        for row, pair in zip(rows, pairs.itertuples()):
            left.annotate(
                t("{together:,} users, {expected} by chance").format(together=pair.together, expected=_expected(pair.expected)),
                (0, row),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color="white" if pair.cosine > 0.45 * pairs["cosine"].max() else plots.INK,
            )
        left.set_yticks(rows, labels, fontsize=7 if "\n" in labels[0] else 8)
        left.invert_yaxis()
        left.grid(False, axis="y")
        left.tick_params(axis="y", length=0)
        left.set(title=t("Items that the same users choose"), xlabel=t("cosine of the two items' columns"))

        right.hist(
            near, bins=np.linspace(0, max(int(near.max(initial=1)), 1), 31), color=plots.BLUE, edgecolor="white", linewidth=0.6
        )
        right.axvline(median, color=plots.ORANGE, linewidth=1.5)
        to_the_left = median > 0.55 * near.max(initial=1)
        right.annotate(
            t("median {median:,.0f}").format(median=median),
            (median, 1),
            xycoords=("data", "axes fraction"),
            xytext=(-6 if to_the_left else 6, -4),
            textcoords="offset points",
            ha="right" if to_the_left else "left",
            va="top",
            color=plots.ORANGE,
            fontsize=8,
        )
        right.set(title=t("Neighbours of a user"), xlabel=t("other users with an item in common"), ylabel=t("users drawn"))
        right.set_ylim(top=right.get_ylim()[1] * 1.1)
        right.grid(False, axis="x")
        right.xaxis.set_major_locator(_few_ticks())
        thousands(right.xaxis)
    return figure


def _expected(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _few_ticks():
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5, integer=True)
