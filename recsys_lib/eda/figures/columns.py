"""Which columns say little: missing, constant, nearly constant, zeros that mean missing, far values."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_lib.datasets.base import Dataset
from recsys_lib.eda.figures.shared import NothingToDraw
from recsys_lib.eda.parts import reads
from recsys_lib.eda.statistics import columns as statistics
from recsys_lib.eda.words import words

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot

MOST_ROWS = 28
FINDINGS = ("constant", "mostly missing", "nearly constant", "zero means missing?", "far values")


@reads("tables")
def column_quality(dataset: Dataset, *, language: str = "en") -> Plot:
    """A bar a striking column: how much is missing, how much the commonest value holds; and what follows from it.

    Raises:
        NothingToDraw: the reader keeps no tables.
    """
    from recsys_lib.display import plots

    t = words(language)
    table = statistics.column_quality({name: frame for name, frame in dataset.tables.items() if len(frame)})
    if not len(table):
        raise NothingToDraw(t("{name} has no tables beside the log").format(name=dataset.name))
    striking = table[table["finding"] != ""]
    counts = striking["finding"].value_counts()
    said = [t("{n} {finding}").format(n=counts[finding], finding=t(finding)) for finding in FINDINGS if finding in counts]
    sentence = (
        t("{n} of {all} columns need a look: {said}").format(n=len(striking), all=len(table), said=", ".join(said))
        if len(striking)
        else t("None of {all} columns is constant, mostly missing or odd").format(all=len(table))
    )
    order = striking["finding"].map({finding: place for place, finding in enumerate(FINDINGS)})
    shown = striking.assign(order=order).sort_values(["order", "table"], kind="stable").head(MOST_ROWS)
    if not len(shown):
        shown = table.sort_values("top_share", ascending=False, kind="stable").head(10)
    figure = plots.Plot(
        sentence,
        height=2.0 + 0.22 * len(shown),
        footer=f"{dataset.title} · "
        + t("rows: ")
        + ", ".join(f"{name} {len(frame):,}" for name, frame in dataset.tables.items())
        + t(
            " · far: beyond the quartiles by more than {fence} quartile distances; {n} columns without a finding are left out"
        ).format(fence=statistics.FAR_FENCE, n=len(table) - len(striking) if len(striking) else len(table) - len(shown))
        + (t("; {n} further ones with a finding").format(n=len(striking) - len(shown)) if len(striking) > len(shown) else ""),
        synthetic=dataset.synthetic,
        alt_text=t("Stacked bars of missing values, zeros and the commonest value for {n} columns. {sentence}.").format(
            n=len(shown), sentence=sentence
        ),
    )
    with plots.theme():
        axes = figure.subplots()
        rows, left = np.arange(len(shown)), np.zeros(len(shown))
        given = 1 - shown["missing"] - shown["zero_apart"]
        top = (shown["top_share"].fillna(0) * given).to_numpy()
        for label, widths, colour in (
            (t("missing"), shown["missing"].to_numpy(), plots.GREY),
            (t("0 that stands apart"), shown["zero_apart"].to_numpy(), plots.AMBER),
            (t("the commonest value"), top, plots.BLUE),
            (t("all other values"), given.to_numpy() - top, "#CFE3F1"),
        ):
            axes.barh(rows, 100 * widths, left=100 * left, color=colour, height=0.74, label=label)
            left = left + widths
        for row, column in zip(rows, shown.itertuples()):
            axes.annotate(_finding(column, t), (101, row), va="center", fontsize=7.5, annotation_clip=False)
        axes.set_yticks(rows, [plots.shorten(f"{column.table}.{column.column}", 34) for column in shown.itertuples()])
        axes.set(xlim=(0, 142), ylim=(len(shown) - 0.4, -0.6))
        axes.set_xticks([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
        axes.set_xlabel(t("% of the table's rows"), x=0.35)
        axes.grid(False, axis="y")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
        axes.legend(ncols=4, loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0, handlelength=1, columnspacing=1.4)
    return figure


def _finding(column, t) -> str:
    details = {
        "constant": t("{n} value"),
        "mostly missing": t("{missing:.0f} % missing"),
        "nearly constant": t("one value in {top:.1f} %"),
        "zero means missing?": t("0 in {zero:.0f} %"),
        "far values": t("{far:.1f} % far out"),
        "": t("one value in {top:.1f} %"),
    }[column.finding]
    said = details.format(
        n=column.distinct,
        missing=100 * column.missing,
        top=100 * column.top_share,
        zero=100 * column.zero_apart,
        far=100 * column.far,
    )
    return f"{t(column.finding)}: {said}" if column.finding else said
