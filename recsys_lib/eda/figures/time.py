"""When did it happen: arrivals, item life, and the gap that a temporal holdout makes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_lib.datasets.base import Dataset
from recsys_lib.eda.figures.shared import NothingToDraw, percent, size_of, thousands
from recsys_lib.eda.parts import dates_of, reads
from recsys_lib.eda.statistics import time as statistics
from recsys_lib.eda.words import words

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot

MOST_DATES = 4


@reads("interactions", "dates")
def time(dataset: Dataset, *, language: str = "en") -> Plot:
    """With timestamps: arrivals, item life and what a temporal holdout meets. Without: the dates of the side tables.

    Raises:
        NothingToDraw: there are neither timestamps nor dates.
    """
    t = words(language)
    log = dataset.interactions
    if log.timestamps is not None and len(log) and len(lives := statistics.item_lives(log)):
        return _of_the_log(dataset, lives, t)
    dates = dates_of(dataset.tables)
    if not dates:
        raise NothingToDraw(t("{name} has neither timestamps nor dates").format(name=dataset.name))
    return _of_the_tables(dataset, dict(list(dates.items())[:MOST_DATES]), len(dates) - MOST_DATES, t)


def _of_the_log(dataset: Dataset, lives, t) -> Plot:
    from recsys_lib.display import plots

    log = dataset.interactions
    counts, period = statistics.arrivals(log.timestamps)
    gaps = statistics.holdout_gaps(log)
    median = lives["days"].median()
    gaps = gaps[gaps["rows"] > 0]  # where the last moment alone holds as much, nothing can be held out
    if len(gaps):
        worst = gaps.loc[gaps["new_users"].add(gaps["new_items"]).idxmax()]
        sentence = t(
            "A holdout of the last {share:.0f} % would meet users never seen before in {users} of its rows, and items in "
            "{items}; half the items live {days:,.0f} days or longer"
        ).format(share=100 * worst["share"], users=percent(worst["new_users"]), items=percent(worst["new_items"]), days=median)
    else:
        sentence = t(
            "Too many rows share the last moment for a temporal holdout; half the items live {days:,.0f} days or longer"
        ).format(days=median)
    figure = plots.Plot(
        sentence,
        height=4.2,
        footer=size_of(dataset, t)
        + t(" · from {first} to {end}; ").format(first=_date(log.timestamps.min()), end=_date(log.timestamps.max()))
        + "".join(
            t("the last {share:.0f} % cover {days:,.0f} days; ").format(share=100 * last["share"], days=last["days"])
            for _, last in gaps.head(1).iterrows()
        )
        + t("life: from the first to the last of {n:,} items' interactions").format(n=len(lives)),
        synthetic=dataset.synthetic,
        alt_text=t(
            "Arrivals over time, cumulative curve of item lives, and bars of unseen users and items in temporal holdouts. "
            "{sentence}."
        ).format(sentence=sentence),
    )
    with plots.theme():
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
        _bars_over_time(left, counts)
        left.set(title=t("Arrivals"), ylabel=t(f"interactions a {period}"))

        for column, label, colour in (
            ("days", t("first to last"), plots.BLUE),
            ("days_to_half", t("first to half of them"), plots.AMBER),
        ):
            days = np.sort(lives[column].to_numpy())
            middle.step(days, 100 * np.arange(1, len(days) + 1) / len(days), where="post", color=colour, label=label)
        middle.set(title=t("Item life"), xlabel=t("days"), ylabel=t("% of items at or below"), ylim=(0, 102))
        middle.legend(loc="lower left", bbox_to_anchor=(0, -0.36), borderaxespad=0, handlelength=1.4)
        thousands(middle.xaxis)

        width = 0.38
        for place, (column, label, colour) in enumerate(
            (("new_users", t("user unseen"), plots.ORANGE), ("new_items", t("item unseen"), plots.BLUE))
        ):
            x = np.arange(len(gaps)) + (place - 0.5) * width
            bars = right.bar(x, 100 * gaps[column], width * 0.92, color=colour, label=label)
            right.bar_label(bars, [f"{100 * value:.1f}" for value in gaps[column]], fontsize=7, padding=2)
        right.set_xticks(np.arange(len(gaps)), [t("last {share:.0f} %").format(share=100 * share) for share in gaps["share"]])
        right.set(title=t("Temporal holdout"), ylabel=t("% of the held-out rows"))
        right.margins(y=0.28)
        right.grid(False, axis="x")
        right.tick_params(axis="x", length=0)
        right.legend(loc="upper left")
    return figure


def _of_the_tables(dataset: Dataset, dates: dict, n_left_out: int, t) -> Plot:
    from recsys_lib.display import plots

    spans = {name: statistics.arrivals(values) for name, values in dates.items()}
    name, (counts, period) = next(reversed(spans.items()))
    busiest = counts.idxmax()
    sentence = t(
        "The log has no timestamps; the dates of {name} run from {first} to {end}, {share:.0f} % of them in the busiest "
        "{period}, from {busiest} on"
    ).format(
        name=name, first=_date(dates[name].min()), end=_date(dates[name].max()), period=t(period),
        share=100 * counts.max() / counts.sum(), busiest=_date(busiest),
    )  # fmt: skip
    figure = plots.Plot(
        sentence,
        height=3.6,
        footer=size_of(dataset, t)
        + t(" · rows with a date: ")
        + ", ".join(f"{name} {values.notna().sum():,}" for name, values in dates.items())
        + (t("; {n} further columns of dates").format(n=n_left_out) if n_left_out > 0 else "")
        + t(" · item life and a temporal holdout need timestamps in the log"),
        synthetic=dataset.synthetic,
        alt_text=t("Bars over time for {n} columns of dates. {sentence}.").format(n=len(dates), sentence=sentence),
    )
    with plots.theme():
        panels = figure.subplots(1, len(spans), squeeze=False)[0]
        for axes, (name, (counts, period)) in zip(panels, spans.items()):
            _bars_over_time(axes, counts)
            axes.set(title=name, ylabel=t(f"rows a {period}"))
    return figure


def _bars_over_time(axes, counts) -> None:
    import matplotlib.dates as dates

    from recsys_lib.display import plots

    days = dates.date2num(counts.index.to_pydatetime())
    step = np.diff(days).min() if len(days) > 1 else 1
    axes.bar(days, counts.to_numpy(), width=0.9 * step, align="edge", color=plots.BLUE)
    locator = dates.AutoDateLocator(maxticks=5, minticks=3)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=True))
    axes.grid(False, axis="x")
    thousands(axes.yaxis)


def _date(moment) -> str:
    import pandas as pd

    return str((pd.Timestamp(int(moment), unit="s") if isinstance(moment, int | np.integer) else pd.Timestamp(moment)).date())
