"""How dense is the matrix, and what would a k-core leave?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_lib.datasets.base import Dataset
from recsys_lib.eda.figures.shared import need_interactions, size_of
from recsys_lib.eda.parts import reads
from recsys_lib.eda.statistics import density as statistics
from recsys_lib.eda.words import words

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot

NAMED = 5  # the k of the sentence


@reads("interactions")
def density(dataset: Dataset, *, language: str = "en") -> Plot:
    """The matrix squeezed into fields, and the share of users, items and interactions in k-cores.

    Raises:
        NothingToDraw: there are no interactions.
    """
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import NullLocator

    from recsys_lib.display import plots

    t = words(language)
    need_interactions(dataset, t)
    log = dataset.interactions
    cores = statistics.k_cores(log)
    fields, user_edges, item_edges = statistics.density_by_share(log)
    overall = len(log) / (log.n_users * log.n_items)
    whole = {"users": log.n_users, "items": log.n_items, "interactions": len(log)}
    named = cores[cores["k"] == NAMED].iloc[0]
    sentence = (
        t("{density} of the matrix is filled; nothing would be left of a {k}-core")
        if not named["interactions"]
        else t(
            "{density} of the matrix is filled; a {k}-core would leave {users:.0f} % of the users, {items:.0f} % of the items "
            "and {interactions:.0f} % of the interactions"
        )
    ).format(density=_filled(overall), k=NAMED, **{name: 100 * named[name] / whole[name] for name in whole})
    figure = plots.Plot(
        sentence,
        height=4.3,
        footer=size_of(dataset, t)
        + t(" · k-core: the largest part in which every user and every item has k interactions or more"),
        synthetic=dataset.synthetic,
        alt_text=t("Heat map of the density of the matrix, and bars of what k-cores leave. {sentence}.").format(
            sentence=sentence
        ),
    )
    with plots.theme():
        left, right = figure.subplots(1, 2, width_ratios=[1, 1.45])
        shown = np.ma.masked_equal(100 * fields, 0)
        mesh = left.pcolormesh(
            100 * item_edges / log.n_items, 100 * user_edges / log.n_users, shown, cmap="cividis_r",
            norm=LogNorm(max(float(shown.min()), 1e-4), max(float(shown.max()), 1e-3)),
        )  # fmt: skip
        bar = figure.colorbar(mesh, ax=left, pad=0.02, aspect=26, label=t("% of the pairs filled (log scale)"))
        bar.outline.set_visible(False)
        bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        bar.ax.yaxis.set_minor_locator(NullLocator())
        left.invert_yaxis()
        left.grid(False)
        left.set(
            title=t("Where the matrix is filled"),
            xlabel=t("% of items, most popular first"),
            ylabel=t("% of users, most active first"),
        )

        width = 0.3
        colours = {"users": plots.BLUE, "items": plots.AMBER, "interactions": plots.GREY}
        for place, (name, colour) in enumerate(colours.items()):
            x = np.arange(len(cores)) + (place - 1) * width
            shares = 100 * cores[name] / whole[name]
            right.bar(x, shares, width * 0.92, color=colour, label=t(name))
            for left_end, share in zip(x, shares):
                right.annotate(
                    f"{share:.0f}",
                    (left_end, share),
                    xytext=(0, 2),
                    textcoords="offset points",
                    ha="center",
                    fontsize=6,
                    color=plots.GREY,
                )
        right.set_xticks(np.arange(len(cores)), [f"k = {k}" for k in cores["k"]])
        right.set(title=t("What a k-core leaves"), ylabel=t("% left"), ylim=(0, 118))
        right.set_yticks([0, 25, 50, 75, 100])
        right.grid(False, axis="x")
        right.tick_params(axis="x", length=0)
        right.legend(ncols=3, loc="upper right", handlelength=1, columnspacing=1.2, borderaxespad=0)
    return figure


def _filled(share: float) -> str:
    return f"{np.format_float_positional(100 * share, precision=2, fractional=False, unique=False)} %"
