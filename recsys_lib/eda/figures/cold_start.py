"""For how many users and items is there little or nothing to learn from?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from recsys_lib.datasets.base import Dataset
from recsys_lib.eda.figures.shared import percent, size_of
from recsys_lib.eda.parts import reads
from recsys_lib.eda.statistics import histories as statistics
from recsys_lib.eda.words import words

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot


@reads("interactions")
def cold_start(dataset: Dataset, *, language: str = "en") -> Plot:
    """Users and items by their number of interactions."""
    from recsys_lib.display import plots

    t = words(language)
    table = statistics.cold_start(dataset.interactions)
    few = table[table["interactions"].isin(["0", "1", "2"])].groupby("side")["share"].sum()
    none = table[table["interactions"] == "0"].set_index("side")["n"]
    sentence = t("At most 2 interactions: {users} of the users, {items} of the items").format(
        users=percent(few["users"]), items=percent(few["items"])
    )
    if none.sum():
        sentence += t("; users without any: {users:,}, items: {items:,}").format(users=none["users"], items=none["items"])
    figure = plots.Plot(
        sentence,
        height=3.5,
        footer=size_of(dataset, t)
        + t(" · without interactions only popularity or features can serve; orange: at most 2, of which a split takes away some"),
        synthetic=dataset.synthetic,
        alt_text=t("Two bar charts, users and items by their number of interactions. {sentence}.").format(sentence=sentence),
    )
    with plots.theme():
        for axes, (side, part) in zip(figure.subplots(1, 2), table.groupby("side", sort=False)):
            labels = [bucket.replace("6+", t("6 or more")).replace("-", "–") for bucket in part["interactions"]]
            colours = [plots.ORANGE] * 3 + [plots.BLUE] * 2
            plots.bars_with_shares(axes, labels, part["n"], colours=colours, none=t("none"))
            title, label = {"users": ("Users ({n:,})", "share of users"), "items": ("Items ({n:,})", "share of items")}[side]
            axes.set(title=t(title).format(n=part["n"].sum()), xlabel=t(label), ylabel=t("interactions"))
        figure.axes[1].set_ylabel("")
    return figure
