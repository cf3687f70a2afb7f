"""Which user features go with which item features, beyond chance; and one pair in detail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recsys_lib.datasets.base import Dataset
from recsys_lib.eda.figures.shared import NothingToDraw, need_features, size_of
from recsys_lib.eda.parts import reads
from recsys_lib.eda.statistics import association as statistics
from recsys_lib.eda.statistics import labels
from recsys_lib.eda.words import words

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot

MOST_ROWS, MOST_COLUMNS = 14, 12  # of the heat map; more cannot be read on a slide
MOST_LABELS = 10  # of one feature in the figure of one pair
ENOUGH_EXPECTED = 5  # Cochran's rule of thumb: below it a lift says nothing
BEYOND_CHANCE = 2  # deviations; a cell of the figure of one pair that lies within stays grey


@reads("interactions", "user_features", "item_features")
def association(dataset: Dataset, *, seed: int = 7, shuffles: int = 50, language: str = "en") -> Plot:
    """Every user feature against every item feature over the interactions, with the level of chance.

    Raises:
        NothingToDraw: the data set lacks features of users or of items.
    """
    from recsys_lib.display import plots

    t = words(language)
    need_features(dataset, t)
    table = statistics.associations(
        dataset.interactions, dataset.all_user_features, dataset.all_item_features, seed=seed, shuffles=shuffles
    )
    if not table["value"].notna().any():
        raise NothingToDraw(t("{name} has no feature with two values").format(name=dataset.name))
    table["beyond"] = table["value"] - table["chance"]
    above, best = int(table["above_chance"].sum()), table.iloc[0]
    grids, (rows_left, columns_left) = _grids_of(table)
    values, chance, beyond, measure = grids["value"], grids["chance"], grids["beyond"], grids["measure"]
    said = {"V": t("Cramér's V"), "η": t("correlation ratio η")}
    sentence = (
        t(
            "{user} of the user and {item} of the item go together most clearly: {measure} {value:.3f}, where chance gives "
            "{chance:.3f}; {above} of {all} pairs stand above chance"
        )
        if above
        else t("None of {all} pairs of features stands above chance; the closest is {user} with {item}, {measure} {value:.3f}")
    ).format(
        user=best["user_feature"], item=best["item_feature"], measure=said[best["measure"]], value=best["value"],
        chance=best["chance"], above=above, all=len(table),
    )  # fmt: skip
    left_out = "".join(
        t(said).format(n=n)
        for n, said in (
            (rows_left, "; the weakest {n} user features are left out"),
            (columns_left, "; the weakest {n} item features are left out"),
        )
        if n
    )
    figure = plots.Plot(
        sentence,
        height=2.2 + 0.4 * len(values),
        footer=size_of(dataset, t)
        + t(
            " · a cell: bias-corrected Cramér's V over interactions, η where one side is a number; in brackets the level that "
            "chance passes in no pair of all, in 95 of 100 deals ({shuffles} of the users, {shuffles} of the items); grey: not "
            "above; –: one label only"
        ).format(shuffles=shuffles)
        + left_out,
        synthetic=dataset.synthetic,
        alt_text=t("Heat map of {rows} user features against {columns} item features. {sentence}.").format(
            rows=len(values), columns=values.shape[1], sentence=sentence
        ),
    )
    with plots.theme():
        axes = figure.subplots()
        between = " " if values.shape[1] <= 7 else "\n"
        texts = [
            ["–" if np.isnan(v) else f"{'η ' if m == 'η' else ''}{v:.3f}{between}({c:.3f})" for v, c, m in zip(*cells)]
            for cells in zip(values.to_numpy(), chance.to_numpy(), measure.to_numpy())
        ]
        top = max(float(np.nanmax(beyond.to_numpy(), initial=0)), 0.02)
        plots.heat_map(axes, beyond, texts=texts, muted=~(beyond > 0).to_numpy(), limits=(0, top))
        axes.set(xlabel=t("feature of the item"), ylabel=t("feature of the user"))
    return figure


@reads("interactions", "user_features", "item_features")
def lift(
    dataset: Dataset,
    *,
    pair: Sequence[str] = (),
    preferred: Sequence[str] = (),
    seed: int = 7,
    shuffles: int = 50,
    language: str = "en",
) -> Plot:
    """Who chooses what, how many times as often as chance would have it?

    Args:
        pair: (user feature, item feature). preferred: the same, taken where there is no `pair` and both features are
            there. Else the pair that stands clearest above chance is taken.
    Raises:
        NothingToDraw: the data set lacks features of users or of items.
        ValueError: `pair` is not two names.
        KeyError: a feature of `pair` does not exist; the message lists those that do.
    """
    from recsys_lib.display import plots

    t = words(language)
    need_features(dataset, t)
    log, users, items = dataset.interactions, dataset.all_user_features, dataset.all_item_features
    if not pair and len(preferred) == 2 and preferred[0] in users.names and preferred[1] in items.names:
        pair = preferred
    if not pair:
        table = statistics.associations(log, users, items, seed=seed, shuffles=shuffles)
        if not table["value"].notna().any():
            raise NothingToDraw(t("{name} has no feature with two values").format(name=dataset.name))
        pair = tuple(table.loc[0, ["user_feature", "item_feature"]])
    if len(pair) != 2:
        raise ValueError(f"a pair is one user feature and one item feature; got {list(pair)}")
    user_feature, item_feature = users[pair[0]], items[pair[1]]
    v = labels.cramers_v(labels.cross_table(log, labels.labelled(user_feature), labels.labelled(item_feature)))
    user, item = labels.labelled(user_feature, max_labels=200), labels.labelled(item_feature, max_labels=200)
    table = labels.lift(log, user, item)
    if not len(table):
        raise NothingToDraw(t("no interaction has both {user} and {item}").format(user=pair[0], item=pair[1]))
    # What a row or a column has left beside the cell must be enough too: 7 of 11, where 9.6 are expected, say little.
    totals = [table.groupby(side)["expected"].transform("sum") for side in ("user_label", "item_label")]
    least = np.minimum(table["expected"], np.minimum(*totals) - table["expected"])
    table["told"] = table["residual"].where(least >= ENOUGH_EXPECTED, 0).abs()
    # Where two cells deviate equally (a feature of two labels), the one chosen more often makes the plainer sentence.
    far = table.iloc[np.lexsort((-table["lift"], -table["told"].round(6)))[0]]
    rows, rows_said = _most_telling(table, "user_label", user.labels)
    columns, columns_said = _most_telling(table, "item_label", item.labels)
    grids = {
        name: table.pivot(index="user_label", columns="item_label", values=name).loc[rows, columns]
        for name in ("lift", "count", "told")
    }
    told = t(
        "Users with {user} “{user_label}” choose items with {item} “{item_label}” {lift:.2f} times as often as chance would have "
        "it ({count:,} times, {expected:,.0f} expected); over all, Cramér's V is {v:.3f}"
    )
    if far["told"] < BEYOND_CHANCE:
        told = t(
            "No label of {user} goes with a label of {item} more or less often than chance would have it; over all, Cramér's V "
            "is {v:.3f}"
        )
    sentence = told.format(
        user=pair[0],
        user_label=plots.shorten(far["user_label"], 26),
        item=pair[1],
        item_label=plots.shorten(far["item_label"], 26),
        lift=far["lift"],
        count=far["count"],
        expected=far["expected"],
        v=v,
    )
    left_out = "".join(
        t("; {said} labels of {name} that deviate most").format(said=said, name=name)
        for name, said in zip(pair, (rows_said, columns_said))
        if said
    )
    figure = plots.Plot(
        sentence,
        height=2.1 + 0.42 * max(len(rows), 3),
        footer=t(
            "{title}: {pairs:,} pairs of labels in {n:,} interactions · a cell: lift (1 is independence), below it the count; "
            "in brackets the row's total; grey: fewer than {enough} expected in the cell or beside it, or within {beyond} "
            "deviations of independence"
        ).format(title=dataset.title, pairs=int(table["count"].sum()), n=len(log), enough=ENOUGH_EXPECTED, beyond=BEYOND_CHANCE)
        + left_out,
        synthetic=dataset.synthetic,
        alt_text=t("Heat map of lift, {user} of the user against {item} of the item. {sentence}.").format(
            user=pair[0], item=pair[1], sentence=sentence
        ),
    )
    with plots.theme():
        axes = figure.subplots()
        values = np.log2(grids["lift"].clip(lower=1 / 16))
        muted = (grids["told"] < BEYOND_CHANCE).to_numpy()
        reach = max(float(values.abs().where(~muted, 0).max(axis=None)), np.log2(1.25))
        texts = [
            [f"{cell:.2f}\n{int(n):,}" for cell, n in zip(lifts, counts)]
            for lifts, counts in zip(grids["lift"].to_numpy(), grids["count"].to_numpy())
        ]
        totals = table.groupby("user_label")["count"].sum()
        values.index = [f"{plots.shorten(label, 24)} ({totals[label]:,})" for label in values.index]
        plots.heat_map(axes, values, texts=texts, muted=muted, colours=plots.LESS_AND_MORE, limits=(-reach, reach))
        axes.set_xlabel(t("{name} of the item").format(name=plots.shorten(pair[1], 60)))
        axes.set_ylabel(t("{name} of the user").format(name=plots.shorten(pair[0], 26)))
    return figure


def _grids_of(table: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], tuple[int, int]]:
    """The pairs' figures as grids, the clearest features first; and how many rows and columns do not fit."""
    grids = {
        name: table.pivot(index="user_feature", columns="item_feature", values=name)
        for name in ("value", "chance", "beyond", "measure")
    }
    order = [grids["beyond"].max(axis=axis).sort_values(ascending=False, kind="stable").index for axis in (1, 0)]
    rows, columns = order[0][:MOST_ROWS], order[1][:MOST_COLUMNS]
    left_out = len(order[0]) - len(rows), len(order[1]) - len(columns)
    return {name: grid.loc[rows, columns] for name, grid in grids.items()}, left_out


def _most_telling(table: pd.DataFrame, column: str, all_labels: Sequence[str]) -> tuple[list[str], str]:
    """The MOST_LABELS labels that deviate most from independence, in their usual order; and "10 of 47" if some went."""
    told = (table["told"] ** 2).groupby(table[column], sort=False).sum()
    there = [label for label in all_labels if label in told.index]
    kept = set(told.sort_values(ascending=False, kind="stable").index[:MOST_LABELS])
    said = f"{len(kept)} / {len(there)}" if len(kept) < len(there) else ""
    return in_order([label for label in there if label in kept]), said


def in_order(texts: Sequence[str]) -> list[str]:
    """Numbers by value, everything else in the order given; "(other)" last."""
    try:
        return sorted(texts, key=lambda label: (label == "(other)", 0 if label == "(other)" else float(label)))
    except ValueError:
        return list(texts)
