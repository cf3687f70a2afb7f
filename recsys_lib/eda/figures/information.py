"""How much does a feature tell about the choice, before any training?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_lib.datasets.base import Dataset
from recsys_lib.eda.figures.shared import NothingToDraw, need_interactions, size_of
from recsys_lib.eda.parts import reads
from recsys_lib.eda.statistics import information as statistics
from recsys_lib.eda.words import words

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot

MOST_ROWS = 40
FLOOR = 1e-5  # bits; less is drawn as none


@reads("interactions", "user_features", "item_features")
def information(dataset: Dataset, *, seed: int = 7, shuffles: int = 20, language: str = "en") -> Plot:
    """Bits a choice that each feature tells beyond popularity, with its interval and the level of chance, sorted.

    Raises:
        NothingToDraw: there are no features.
    """
    from recsys_lib.display import plots

    t = words(language)
    need_interactions(dataset, t)
    user_features, item_features = dataset.all_user_features, dataset.all_item_features
    if not len(user_features) and not len(item_features):
        raise NothingToDraw(t("{name} has no features").format(name=dataset.name))
    table = statistics.information(dataset.interactions, user_features, item_features, seed=seed, shuffles=shuffles)
    telling, best = table[table["tells"]], table.iloc[0]
    sides = {"user": t("of the user"), "item": t("of the item")}
    if len(telling):
        best = telling.iloc[0]
        sentence = t(
            "{feature} {side} tells most, {bits} bits a choice beyond popularity, which makes what is chosen {times:.2f} times "
            "as likely; {n} of {all} features tell more than chance"
        ).format(
            feature=best["feature"],
            side=sides[best["side"]],
            bits=_bits(best["bits"]),
            times=2 ** best["bits"],
            n=len(telling),
            all=len(table),
        )
    else:
        sentence = t("None of {all} features tells more about the choice than popularity and chance").format(all=len(table))
    left_out = len(table) - MOST_ROWS
    shown = table.head(MOST_ROWS)
    rows_used = int(shown["rows"].iloc[0])
    figure = plots.Plot(
        sentence,
        height=1.9 + 0.185 * len(shown),
        footer=size_of(dataset, t)
        + t(
            " · gain in foreseeing the chosen item, measured on {rows:,} rows of {users:,} users, none of them counted for "
            "itself; lines: 95 % intervals, clustered by user; bars of chance: {shuffles} deals of the feature, corrected for "
            "looking at many features; each feature judged alone"
        ).format(rows=rows_used, users=int(shown["users"].iloc[0]), shuffles=shuffles)
        + (t("; left out: the {n} that tell least").format(n=left_out) if left_out > 0 else ""),
        synthetic=dataset.synthetic,
        alt_text=t("Dot plot of {n} features by the bits that they tell about the choice. {sentence}.").format(
            n=len(shown), sentence=sentence
        ),
    )
    with plots.theme():
        axes = figure.subplots()
        colours = {"user": plots.AMBER, "item": plots.BLUE}
        rows = np.arange(len(shown))
        bits = shown["bits"].clip(lower=FLOOR)
        axes.barh(rows, shown["chance"].clip(lower=FLOOR) - FLOOR, left=FLOOR, color=plots.PALE, height=0.8, label=t("chance"))
        for side, colour in colours.items():
            of_side = (shown["side"] == side).to_numpy()
            for tells in (True, False):
                some = of_side & (shown["tells"].to_numpy() == tells)
                if not some.any():
                    continue
                look = {"color": colour} if tells else {"color": colour, "markerfacecolor": "white"}
                label = t("feature of the user") if side == "user" else t("feature of the item")
                axes.plot(
                    bits[some],
                    rows[some],
                    "o",
                    markersize=5,
                    **look,
                    label=label if tells or not (of_side & shown["tells"]).any() else None,
                )
                ends = shown.loc[some, ["low", "high"]].clip(lower=FLOOR)
                axes.hlines(rows[some], ends["low"], ends["high"], color=colour, linewidth=1.6, alpha=0.7)
        for row, value, tells in zip(rows, shown["bits"], shown["tells"]):
            axes.annotate(
                _bits(value),
                (max(shown["high"].iloc[row], FLOOR), row),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=plots.INK if tells else plots.GREY,
            )
        axes.set_xscale("log")
        axes.set_xlim(FLOOR * 0.8, max(float(shown["high"].max()), 1e-3) * 3)
        axes.set_yticks(rows, [plots.shorten(name, 28) for name in shown["feature"]])
        for label, tells in zip(axes.get_yticklabels(), shown["tells"]):
            label.set_color(plots.INK if tells else plots.GREY)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.xaxis.set_major_formatter(lambda value, _: _bits(value))
        axes.set_xlabel(t("bits a choice beyond popularity (log scale; filled: above chance)"))
        axes.legend(loc="lower right")
    return figure


def _bits(value: float) -> str:
    """Two digits that count, without an exponent."""
    return np.format_float_positional(value, precision=2, fractional=False, trim="-") if value >= FLOOR * 0.99 else "0"
