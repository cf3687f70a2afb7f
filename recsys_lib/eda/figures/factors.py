"""How many factors are worth having?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_lib.data.splits import leave_one_out
from recsys_lib.datasets.base import Dataset
from recsys_lib.eda.figures.shared import NothingToDraw, need_interactions, plain_log_axis, size_of, small
from recsys_lib.eda.parts import reads
from recsys_lib.eda.statistics import factors as statistics
from recsys_lib.eda.words import words

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot

FACTORS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
MOST_ROWS = 1_000_000  # interactions, of the users drawn where there are more
ENOUGH = 0.95  # of the best recall


@reads("interactions")
def factors(dataset: Dataset, *, k: int = 5, seed: int = 7, language: str = "en") -> Plot:
    """The spectrum of the normalised matrix beside that of chance, and the recall@k of the first 1, 2, 4 ... factors.

    Raises:
        NothingToDraw: there are too few rows to hold some out.
    """
    from recsys_lib.display import plots

    t = words(language)
    need_interactions(dataset, t)
    log = statistics.of_some_users(dataset.interactions, seed=seed, most_rows=MOST_ROWS)
    if min((log.user_counts > 0).sum(), (log.item_counts > 0).sum()) < 10 or log.user_counts.max(initial=0) < 3:
        raise NothingToDraw(t("{name} is too small for a spectrum").format(name=dataset.name))
    real, chance = statistics.spectrum(log, max(FACTORS), seed=seed)
    beyond = int((real > chance[0]).sum())
    # Rows that the split of the next notebooks would hold out as well, if it is this one: only its validation part is used.
    split = leave_one_out(log, held_out="random", seed=seed)
    recall = statistics.recall_by_factors(split, k, FACTORS, seed=seed)
    best = recall.loc[recall["recall"].idxmax()]
    enough = recall[recall["recall"] >= ENOUGH * best["recall"]].iloc[0]
    more = " ≥" if beyond == len(real) else ""
    figure = plots.Plot(
        (
            t("The best number of factors is {n:.0f}, with recall@{k} {best}; {beyond} factors stand out from chance")
            if enough["factors"] == best["factors"]
            else t(
                "{enough:.0f} factors are enough: {share:.0f} % of the best recall@{k}, {best} with {n:.0f}; {beyond} factors "
                "stand out from chance"
            )
        ).format(
            enough=enough["factors"],
            share=100 * enough["recall"] / max(best["recall"], 1e-12),
            k=k,
            best=small(best["recall"]),
            n=best["factors"],
            beyond=f"{more}{beyond}".strip(),
        ),
        height=4.2,
        footer=size_of(dataset, t)
        + t(
            " · singular values of the matrix with rows and columns divided by the roots of their damped counts; chance: one "
            "log whose rows have swapped their items; recall on one validation row each of {users:,} users, no training"
        ).format(users=int(best["users"]))
        + (t("; users drawn with about {n:,} interactions").format(n=MOST_ROWS) if len(log) < len(dataset.interactions) else ""),
        synthetic=dataset.synthetic,
        alt_text=t("Curve of singular values beside those of chance, and recall@{k} by the number of factors.").format(k=k),
    )
    with plots.theme():
        left, right = figure.subplots(1, 2)
        place = np.arange(1, len(real) + 1)
        left.plot(place, real, color=plots.BLUE, label=t("the data"))
        left.plot(place, chance, color=plots.GREY, linestyle=(0, (4, 2)), label=t("chance: items swapped"))
        left.axvspan(0.9, max(beyond, 0.9), color=plots.SKY, alpha=0.18, linewidth=0)
        left.set_xscale("log")
        left.set_xlim(0.9, len(real) * 1.1)
        plain_log_axis(left)
        left.set_ylim(bottom=0)
        left.legend(loc="lower left")
        left.set(title=t("The spectrum"), xlabel=t("factor (log scale), popularity left out"), ylabel=t("singular value"))

        right.plot(recall["factors"], recall["recall"], color=plots.BLUE, marker="o", markersize=4)
        right.plot(
            enough["factors"], enough["recall"], "o", markersize=10, markerfacecolor="none", markeredgewidth=2, color=plots.ORANGE
        )
        right.set_xscale("log")
        right.set_xticks(recall["factors"], [f"{n}" for n in recall["factors"]])
        right.minorticks_off()
        right.set_ylim(0, 1.12 * max(best["recall"], 1e-6))
        right.set(
            title=t("What so many factors recall"), xlabel=t("factors, popularity among them (log scale)"), ylabel=f"recall@{k}"
        )
    return figure
