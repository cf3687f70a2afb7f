"""How long are histories, how popular are items, and what would a list reach that has learnt nothing?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_lib.datasets.base import Dataset
from recsys_lib.eda.figures.shared import need_interactions, plain_log_axis, size_of, small, thousands
from recsys_lib.eda.parts import reads
from recsys_lib.eda.statistics import histories as statistics
from recsys_lib.eda.words import words

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot


@reads("interactions")
def histories_and_popularity(dataset: Dataset, *, k: int = 5, language: str = "en") -> Plot:
    """Lengths of histories, the share that popular items hold, recall@k of a random and of a popularity list.

    Raises:
        NothingToDraw: there are no interactions.
    """
    from recsys_lib.display import plots

    t = words(language)
    need_interactions(dataset, t)
    log = dataset.interactions
    tail = statistics.popularity_tail(log)
    lists = statistics.recall_without_learning(log, k).set_index("list")["recall"]
    lengths = log.user_counts[log.user_counts > 0]
    median = np.median(lengths)
    held = t("The {items:,} most popular items ({top:.0f} %) hold {share:.0f} % of the interactions (Gini {gini:.2f})").format(
        items=tail["items"].iloc[-1],
        top=100 * tail["items"].iloc[-1] / log.n_items,
        share=100 * tail["share_of_interactions"].iloc[-1],
        gini=statistics.gini(log.item_counts),
    )
    reached = (
        t("; a popularity list would reach recall@{k} {popularity}, a random one {random}").format(
            k=k, popularity=small(lists["popularity"]), random=small(lists["random"])
        )
        if lists.notna().all()
        else t("; no user has two rows, so nothing can be held out")
    )
    figure = plots.Plot(
        held + reached,
        height=4.2,
        footer=size_of(dataset, t)
        + t(" · recall: one row a user held out at random, all other items ranked, expectation over users with 2 or more rows"),
        synthetic=dataset.synthetic,
        alt_text=t(
            "Histogram of history lengths (median {median:g}), curve of the share of interactions held by the most popular "
            "items, and recall@{k} of a random and of a popularity list."
        ).format(median=median, k=k),
    )
    with plots.theme():
        left, middle, right = figure.subplots(1, 3, width_ratios=[3, 3, 1.7])
        _histogram(left, lengths)
        left.axvline(median, color=plots.ORANGE, linewidth=1.5)
        left.annotate(
            t("median {median:g}, longest {longest:,}").format(median=median, longest=lengths.max()),
            (median, 1),
            xycoords=("data", "axes fraction"),
            xytext=(6, -4),
            textcoords="offset points",
            color=plots.ORANGE,
            fontsize=8,
            va="top",
        )
        left.set(title=t("Histories"), xlabel=t("interactions a user (log scale)"), ylabel=t("users at each length"))
        left.set_ylim(top=left.get_ylim()[1] * 1.12)

        curve = statistics.popularity_curve(log)
        middle.plot([0, 100], [0, 100], color=plots.PALE, linewidth=1)
        middle.plot(100 * curve["share_of_items"], 100 * curve["share_of_interactions"], color=plots.BLUE)
        middle.plot(100 * tail["top"], 100 * tail["share_of_interactions"], "o", color=plots.BLUE)
        for row in tail.itertuples():
            middle.annotate(
                t("top {top:g} % ({items:,} items): {share:.0f} %").format(
                    top=100 * row.top, items=row.items, share=100 * row.share_of_interactions
                ),
                (100 * row.top, 100 * row.share_of_interactions),
                xytext=(9, -1),
                textcoords="offset points",
                fontsize=7.5,
                va="center",
                bbox={"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"},
            )
        middle.set(title=t("Popularity"), xlabel=t("% of items, most popular first"), ylabel=t("% of interactions"))
        middle.set(xlim=(-2, 102), ylim=(-2, 102))

        both = lists[["random", "popularity"]].fillna(0)
        bars = right.bar([t("random"), t("popularity")], both, color=[plots.GREY, plots.BLUE], width=0.6)
        right.bar_label(bars, [small(value) for value in both], fontsize=8, padding=2)
        right.set(title=t("Without learning"), ylabel=f"recall@{k}")
        right.margins(y=0.15)
        right.grid(False, axis="x")
        right.tick_params(axis="x", length=0)
    return figure


def _histogram(axes, counts: np.ndarray) -> None:
    """Users at each history length; long lengths share a bar, which is their mean, to be of one width on a log axis."""
    from recsys_lib.display import plots

    low, high = counts.min(), counts.max()
    edges = np.unique(np.round(np.geomspace(low, high + 1, 26)))
    users = np.histogram(counts, bins=edges - 0.5)[0] / np.diff(edges)
    axes.bar(edges[:-1] - 0.5, users, np.diff(edges), align="edge", color=plots.BLUE, edgecolor="white", linewidth=0.8)
    axes.set_xscale("log")
    plain_log_axis(axes)
    axes.grid(False, axis="x")
    thousands(axes.yaxis)
