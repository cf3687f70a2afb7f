"""Is the held-out part like the part that is learnt from, or lopsided?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recsys_lib.data.splits import make_split, split_named
from recsys_lib.datasets.base import Dataset
from recsys_lib.eda.figures.shared import NothingToDraw, need_interactions, plain_log_axis
from recsys_lib.eda.parts import reads
from recsys_lib.eda.statistics import splits as statistics
from recsys_lib.eda.words import words

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot

LOPSIDED = 0.05  # of the users; smaller gaps are real in large data, and harmless


@reads("interactions")
def split_side_by_side(dataset: Dataset, *, split: str = "leave_one_out_random", seed: int = 7, language: str = "en") -> Plot:
    """Popularity of the rows' items and activity of the users, in train, validation and test.

    Args:
        split: a name that make_split knows.
    Raises:
        ValueError: make_split does not know it.
        NothingToDraw: it does not fit the data.
    """
    from recsys_lib.display import plots

    t = words(language)
    need_interactions(dataset, t)
    split_named(split)  # a misspelt name is an error, not a split that does not fit
    try:
        made = make_split(split, dataset.interactions, seed=seed)
    except ValueError as error:
        raise NothingToDraw(str(error)) from error
    if not len(made.train) or not len(made.validation) + len(made.test):
        raise NothingToDraw(t("{name}: the split {split} holds nothing out").format(name=dataset.name, split=split))
    profiles = statistics.split_profiles(made)
    gaps = statistics.split_gaps(profiles)
    held_out = "test" if (gaps["part"] == "test").any() else "validation"
    judged = gaps[gaps["part"] == held_out].set_index("quantity")
    worst = judged["gap"].idxmax()
    gap, chance = judged.loc[worst, "gap"], judged.loc[worst, "chance"]
    verdict = (
        t("Lopsided: in {where}, {part} and train differ by up to {gap:.1f} points (chance alone: {chance:.1f})")
        if gap > max(LOPSIDED, chance)
        else t("Not lopsided: {part} and train differ by at most {gap:.1f} points, in {where} (chance alone: {chance:.1f})")
    ).format(
        where={"item_popularity": t("the popularity of the items"), "user_activity": t("the activity of the users")}[worst],
        part=t(held_out),
        gap=100 * gap,
        chance=min(100 * chance, 100),
    )
    parts = {"train": made.train, "validation": made.validation, "test": made.test}
    unseen = {
        name: float(np.isin(part.items, np.flatnonzero(made.train.item_counts), invert=True).mean())
        for name, part in parts.items()
        if name != "train" and len(part)
    }
    figure = plots.Plot(
        verdict,
        height=4.2,
        footer=t("{title}, split {split}, seed {seed} · rows: ").format(title=dataset.title, split=made.protocol, seed=made.seed)
        + ", ".join(f"{t(name)} {len(part):,}" for name, part in parts.items())
        + t(" · rows whose item is not in train: ")
        + ", ".join(f"{t(name)} {100 * share:.1f} %" for name, share in unseen.items())
        + t(" · every user counts once; popularity = rows of the item in train, the row itself not counted"),
        synthetic=dataset.synthetic,
        alt_text=t("Cumulative curves of item popularity and user activity for train, validation and test. {sentence}.").format(
            sentence=verdict
        ),
    )
    looks = {"train": (plots.GREY, 4.0, 0.45), "validation": (plots.AMBER, 1.8, 1.0), "test": (plots.BLUE, 1.8, 1.0)}
    titles = {
        "item_popularity": (t("Popularity of the rows' items"), t("rows of the item in train (log scale)")),
        "user_activity": (t("Activity of the users"), t("rows of the user, all parts (log scale)")),
    }
    with plots.theme():
        for axes, (quantity, table) in zip(figure.subplots(1, 2, sharey=True), profiles.groupby("quantity", sort=False)):
            for name, part in table.groupby("part", sort=False):
                colour, width, alpha = looks[name]
                # 0 has no place on a logarithmic axis: it is drawn at 0.5, and the axis says so
                x = part["value"].clip(lower=0.5).to_numpy()
                label = t("{part}: {users:,} users").format(part=t(name), users=part["users"].iloc[0])
                share = np.concatenate([[0], 100 * part["share"]])
                axes.step(
                    np.concatenate([x[:1], x]), share, where="post", color=colour, linewidth=width, alpha=alpha, label=label
                )
            axes.set_xscale("log")
            axes.set(title=titles[quantity][0], xlabel=titles[quantity][1], ylim=(-2, 102))
            plain_log_axis(axes, zero=bool((table["value"] == 0).any()))
        figure.axes[0].set_ylabel(t("% of users' rows at or below"))
        figure.axes[1].set_ylabel(t("% of users at or below"))
        figure.axes[1].tick_params(labelleft=True)
        figure.axes[1].legend(loc="lower right")
    return figure
