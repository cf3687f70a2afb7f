"""The figures of 01_eda, one a question; the same code for every data set.

Every title is a sentence that states the finding with its number; below the picture stand the numbers of rows.
matplotlib is imported while drawing only, so that a gallery can show what is there without it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from recsys_lib.data.splits import Split
from recsys_lib.datasets.base import Dataset
from recsys_lib.eda import statistics
from recsys_lib.eda.gallery import NothingToDraw

if TYPE_CHECKING:
    from recsys_lib.display.plots import Plot

MOST_ROWS, MOST_COLUMNS = 14, 12  # of a heat map; more cannot be read on a slide
MOST_LABELS = 10  # of one feature in the figure of one pair
ENOUGH_EXPECTED = 5  # Cochran's rule of thumb: below it a lift says nothing
BEYOND_CHANCE = 2  # deviations; a cell of the figure of one pair that lies within stays grey
LOPSIDED = 0.05  # of the users; smaller gaps are real in large data, and harmless


def histories_and_popularity(dataset: Dataset, *, k: int = 5) -> Plot:
    """How long are histories, how popular are items, and what would a list reach that has learnt nothing?

    Raises:
        NothingToDraw: there are no interactions.
    """
    from recsys_lib.display import plots

    log = dataset.interactions
    if not len(log):
        raise NothingToDraw(f"{dataset.name} has no interactions")
    tail = statistics.popularity_tail(log)
    lists = statistics.recall_without_learning(log, k).set_index("list")["recall"]
    gini = statistics.gini(log.item_counts)
    lengths = log.user_counts[log.user_counts > 0]
    median = np.median(lengths)
    figure = plots.Plot(
        f"The most popular 20 % of items hold {100 * tail['share_of_interactions'].iloc[-1]:.0f} % of the interactions "
        f"(Gini {gini:.2f}); a popularity list would reach recall@{k} {_small(lists['popularity'])}, "
        f"a random one {_small(lists['random'])}",
        height=4.2,
        footer=f"{_size(dataset)} · recall: one row a user held out at random, all other items ranked, "
        "expectation over users with 2 or more rows",
        synthetic=dataset.synthetic,
        alt_text=f"Histogram of history lengths (median {median:g}), curve of the share of interactions held by the most "
        f"popular items, and recall@{k} of a random and of a popularity list.",
    )
    with plots.theme():
        left, middle, right = figure.subplots(1, 3, width_ratios=[3, 3, 1.7])
        _histogram(left, lengths)
        left.axvline(median, color=plots.ORANGE, linewidth=1.5)
        left.annotate(
            f"median {median:g}, longest {lengths.max():,}",
            (median, 1),
            xycoords=("data", "axes fraction"),
            xytext=(6, -4),
            textcoords="offset points",
            color=plots.ORANGE,
            fontsize=8,
            va="top",
        )
        left.set(title="Histories", xlabel="interactions a user (log scale)", ylabel="users at each length")
        left.set_ylim(top=left.get_ylim()[1] * 1.12)

        curve = statistics.popularity_curve(log)
        middle.plot([0, 100], [0, 100], color=plots.PALE, linewidth=1)
        middle.plot(100 * curve["share_of_items"], 100 * curve["share_of_interactions"], color=plots.BLUE)
        middle.plot(100 * tail["top"], 100 * tail["share_of_interactions"], "o", color=plots.BLUE)
        for row in tail.itertuples():
            middle.annotate(
                f"top {100 * row.top:g} % ({row.items:,} items): {100 * row.share_of_interactions:.0f} %",
                (100 * row.top, 100 * row.share_of_interactions),
                xytext=(9, -1),
                textcoords="offset points",
                fontsize=7.5,
                va="center",
                bbox={"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"},
            )
        middle.set(title="Popularity", xlabel="% of items, most popular first", ylabel="% of interactions")
        middle.set(xlim=(-2, 102), ylim=(-2, 102))

        bars = right.bar(
            ["random", "popularity"], lists[["random", "popularity"]], color=[plots.GREY, plots.BLUE], width=0.6
        )
        right.bar_label(bars, [_small(value) for value in lists[["random", "popularity"]]], fontsize=8, padding=2)
        right.set(title="Without learning", ylabel=f"recall@{k}")
        right.margins(y=0.15)
        right.grid(False, axis="x")
        right.tick_params(axis="x", length=0)
    return figure


def association(dataset: Dataset, *, seed: int = 7, shuffles: int = 50) -> Plot:
    """Which user features go with which item features, beyond chance?

    Raises:
        NothingToDraw: the data set lacks features of users or of items.
    """
    from recsys_lib.display import plots

    _need_features(dataset)
    table = statistics.associations(dataset.interactions, dataset.catalogue, seed=seed, shuffles=shuffles)
    table.loc[(table["user_labels"] < 2) | (table["item_labels"] < 2), "v"] = np.nan
    table["beyond"] = table["v"] - table["chance"]
    above, best = int(table["above_chance"].sum()), table.iloc[0]
    grids, left_out = _grids_of(table)
    values, chance, beyond = grids["v"], grids["chance"], grids["beyond"]
    sentence = (
        f"{best['user_feature']} of the user and {best['item_feature']} of the item go together most clearly: Cramér's V "
        f"{best['v']:.3f}, where chance gives {best['chance']:.3f}; {above} of {len(table)} pairs stand above chance"
        if above
        else f"None of {len(table)} pairs of features stands above chance; the largest Cramér's V is {table['v'].max():.3f}"
    )
    figure = plots.Plot(
        sentence,
        height=2.2 + 0.4 * len(values),
        footer=f"{_size(dataset)} · a cell: bias-corrected Cramér's V over interactions, in brackets the level of chance, "
        f"which 95 % of {shuffles} deals of the features among users do not reach (1 in 20 pairs passes by luck: "
        f"here {0.05 * len(table):.2g}); "
        f"colour: V less chance; grey: not above; –: one label only{left_out}",
        synthetic=dataset.synthetic,
        alt_text=f"Heat map of {len(values)} user features against {values.shape[1]} item features. {sentence}.",
    )
    with plots.theme():
        axes = figure.subplots()
        between = " " if values.shape[1] <= 7 else "\n"
        texts = [
            ["–" if np.isnan(v) else f"{v:.3f}{between}({c:.3f})" for v, c in zip(row_v, row_c)]
            for row_v, row_c in zip(values.to_numpy(), chance.to_numpy())
        ]
        top = max(float(np.nanmax(beyond.to_numpy(), initial=0)), 0.02)
        plots.heat_map(axes, beyond, texts=texts, muted=~(beyond > 0).to_numpy(), limits=(0, top))
        axes.set(xlabel="feature of the item", ylabel="feature of the user")
    return figure


def lift(dataset: Dataset, *, pair: Sequence[str] = (), seed: int = 7, shuffles: int = 50) -> Plot:
    """Who chooses what, how many times as often as chance would have it?

    Args:
        pair: (user feature, item feature); empty: the pair that stands clearest above chance.
    Raises:
        NothingToDraw: the data set lacks features of users or of items.
        ValueError: `pair` is not two names.
        KeyError: a feature of `pair` does not exist; the message lists those that do.
    """
    from recsys_lib.display import plots

    _need_features(dataset)
    log, catalogue = dataset.interactions, dataset.catalogue
    if not pair:
        table = statistics.associations(log, catalogue, seed=seed, shuffles=shuffles)
        pair = tuple(table.loc[0, ["user_feature", "item_feature"]])
    if len(pair) != 2:
        raise ValueError(f"a pair is one user feature and one item feature; got {list(pair)}")
    user_feature, item_feature = catalogue.user_features[pair[0]], catalogue.item_features[pair[1]]
    v = statistics.cramers_v(
        statistics.cross_table(log, statistics.labelled(user_feature), statistics.labelled(item_feature))
    )
    user, item = statistics.labelled(user_feature, max_labels=200), statistics.labelled(item_feature, max_labels=200)
    table = statistics.lift(log, user, item)
    if not len(table):
        raise NothingToDraw(f"no interaction has both {pair[0]} and {pair[1]}")
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
    sentence = (
        f"Users with {pair[0]} “{plots.shorten(far['user_label'], 26)}” choose items with {pair[1]} "
        f"“{plots.shorten(far['item_label'], 26)}” {far['lift']:.2f} times as often as chance would have it "
        f"({far['count']:,} times, {far['expected']:,.0f} expected); over all, Cramér's V is {v:.3f}"
    )
    left_out = "".join(
        f"; {said} labels of {name} that deviate most" for name, said in zip(pair, (rows_said, columns_said)) if said
    )
    figure = plots.Plot(
        sentence,
        height=2.1 + 0.42 * max(len(rows), 3),
        footer=f"{dataset.title}: {int(table['count'].sum()):,} pairs of labels in {len(log):,} interactions · "
        "a cell: lift (1 is independence), below it the count; in brackets the row's total; "
        f"grey: fewer than {ENOUGH_EXPECTED} expected in the cell or beside it, or within {BEYOND_CHANCE} deviations of independence{left_out}",
        synthetic=dataset.synthetic,
        alt_text=f"Heat map of lift, {pair[0]} of the user against {pair[1]} of the item. {sentence}.",
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
        axes.set(xlabel=f"{pair[1]} of the item", ylabel=f"{pair[0]} of the user")
    return figure


def cold_start(dataset: Dataset) -> Plot:
    """For how many users and items is there little or nothing to learn from?"""
    from recsys_lib.display import plots

    table = statistics.cold_start(dataset.interactions)
    few = table[table["interactions"].isin(["0", "1", "2"])].groupby("side")["share"].sum()
    none = table[table["interactions"] == "0"].set_index("side")["n"]
    parts = [f"{_percent(few[side])} of {side}" if few[side] else f"none of the {side}" for side in ("users", "items")]
    sentence = f"{parts[0]} and {parts[1]} have at most 2 interactions"
    if none.sum():
        sentence += f"; {none['users']:,} users and {none['items']:,} items have not a single one"
    sentence = sentence[0].upper() + sentence[1:]
    figure = plots.Plot(
        sentence,
        height=3.5,
        footer=f"{_size(dataset)} · without interactions only popularity or features can serve; "
        "orange: at most 2, of which a split takes away some",
        synthetic=dataset.synthetic,
        alt_text=f"Two bar charts, users and items by their number of interactions. {sentence}.",
    )
    with plots.theme():
        for axes, (side, part) in zip(figure.subplots(1, 2), table.groupby("side", sort=False)):
            labels = [bucket.replace("6+", "6 or more").replace("-", "–") for bucket in part["interactions"]]
            colours = [plots.ORANGE] * 3 + [plots.BLUE] * 2
            plots.bars_with_shares(axes, labels, part["n"], colours=colours)
            axes.set(
                title=f"{side.capitalize()} ({part['n'].sum():,})", xlabel=f"share of {side}", ylabel="interactions"
            )
        figure.axes[1].set_ylabel("")
    return figure


def split_side_by_side(dataset: Dataset, split: Split) -> Plot:
    """Is the held-out part like the part that is learnt from, or lopsided?"""
    from recsys_lib.display import plots

    profiles = statistics.split_profiles(split)
    gaps = statistics.split_gaps(profiles)
    held_out = "test" if (gaps["part"] == "test").any() else "validation"
    judged = gaps[gaps["part"] == held_out].set_index("quantity")
    worst = judged["gap"].idxmax()
    words = {"item_popularity": "the popularity of the items", "user_activity": "the activity of the users"}
    gap, chance = judged.loc[worst, "gap"], judged.loc[worst, "chance"]
    lopsided = gap > max(LOPSIDED, chance)
    verdict = (
        f"Lopsided: in {words[worst]}, {held_out} and train differ by up to {100 * gap:.0f} points "
        f"(chance alone: {100 * chance:.1f})"
        if lopsided
        else f"Not lopsided: {held_out} and train differ by at most {100 * gap:.1f} points, in {words[worst]} "
        f"(chance alone: {100 * chance:.1f})"
    )
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    figure = plots.Plot(
        verdict,
        height=4.2,
        footer=f"{split.protocol}, seed {split.seed} · rows: "
        + ", ".join(f"{name} {len(part):,}" for name, part in parts.items())
        + " · every user counts once; popularity = rows of the item in train, the row itself not counted",
        synthetic=dataset.synthetic,
        alt_text=f"Cumulative curves of item popularity and user activity for train, validation and test. {verdict}.",
    )
    looks = {"train": (plots.GREY, 4.0, 0.45), "validation": (plots.AMBER, 1.8, 1.0), "test": (plots.BLUE, 1.8, 1.0)}
    titles = {
        "item_popularity": ("Popularity of the rows' items", "rows of the item in train (log scale)"),
        "user_activity": ("Activity of the users", "rows of the user, all parts (log scale)"),
    }
    with plots.theme():
        for axes, (quantity, table) in zip(
            figure.subplots(1, 2, sharey=True), profiles.groupby("quantity", sort=False)
        ):
            for name, part in table.groupby("part", sort=False):
                colour, width, alpha = looks[name]
                # 0 has no place on a logarithmic axis: it is drawn at 0.5, and the axis says so
                x = part["value"].clip(lower=0.5).to_numpy()
                label = f"{name}: {part['users'].iloc[0]:,} users"
                share = np.concatenate([[0], 100 * part["share"]])
                axes.step(
                    np.concatenate([x[:1], x]),
                    share,
                    where="post",
                    color=colour,
                    linewidth=width,
                    alpha=alpha,
                    label=label,
                )
            axes.set_xscale("log")
            axes.set(title=titles[quantity][0], xlabel=titles[quantity][1], ylim=(-2, 102))
            _plain_log_axis(axes, zero=bool((table["value"] == 0).any()))
        figure.axes[0].set_ylabel("% of users' rows at or below")
        figure.axes[1].set_ylabel("% of users at or below")
        figure.axes[1].tick_params(labelleft=True)
        figure.axes[1].legend(loc="lower right")
    return figure


def pair_if_there(dataset: Dataset, user_feature: str, item_feature: str) -> list[str]:
    """The two names where the data set has both features, else an empty list (then lift() takes the clearest pair)."""
    there = (
        user_feature in dataset.catalogue.user_features.names and item_feature in dataset.catalogue.item_features.names
    )
    return [user_feature, item_feature] if there else []


def _need_features(dataset: Dataset) -> None:
    lacking = [
        side
        for side, table in (("users", dataset.catalogue.user_features), ("items", dataset.catalogue.item_features))
        if not len(table)
    ]
    if lacking:
        raise NothingToDraw(f"{dataset.name} has no features of {' and '.join(lacking)}")


def _grids_of(table: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], str]:
    """The pairs' figures as grids, the clearest features first; and what to say of those that do not fit."""
    grids = {
        name: table.pivot(index="user_feature", columns="item_feature", values=name)
        for name in ("v", "chance", "beyond")
    }
    order = [grids["beyond"].max(axis=axis).sort_values(ascending=False, kind="stable").index for axis in (1, 0)]
    rows, columns = order[0][:MOST_ROWS], order[1][:MOST_COLUMNS]
    left_out = [
        f"{len(names) - most} {side} features"
        for names, most, side in ((order[0], MOST_ROWS, "user"), (order[1], MOST_COLUMNS, "item"))
        if len(names) > most
    ]
    said = f"; left out: the weakest {' and '.join(left_out)}" if left_out else ""
    return {name: grid.loc[rows, columns] for name, grid in grids.items()}, said


def _most_telling(table: pd.DataFrame, column: str, labels: Sequence[str]) -> tuple[list[str], str]:
    """The MOST_LABELS labels that deviate most from independence, in their usual order; and "10 of 47" if some went."""
    told = (table["told"] ** 2).groupby(table[column], sort=False).sum()
    there = [label for label in labels if label in told.index]
    kept = set(told.sort_values(ascending=False, kind="stable").index[:MOST_LABELS])
    said = f"{len(kept)} of {len(there)}" if len(kept) < len(there) else ""
    return _in_order([label for label in there if label in kept]), said


def _in_order(labels: Sequence[str]) -> list[str]:
    """Numbers by value, everything else in the order given; "(other)" last."""
    try:
        return sorted(labels, key=lambda label: (label == "(other)", 0 if label == "(other)" else float(label)))
    except ValueError:
        return list(labels)


def _histogram(axes, counts: np.ndarray) -> None:
    """Users at each history length; long lengths share a bar, which is their mean, to be of one width on a log axis."""
    from recsys_lib.display import plots

    low, high = counts.min(), counts.max()
    edges = np.unique(np.round(np.geomspace(low, high + 1, 26)))
    users = np.histogram(counts, bins=edges - 0.5)[0] / np.diff(edges)
    axes.bar(edges[:-1] - 0.5, users, np.diff(edges), align="edge", color=plots.BLUE, edgecolor="white", linewidth=0.8)
    axes.set_xscale("log")
    _plain_log_axis(axes)
    axes.grid(False, axis="x")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")


def _plain_log_axis(axes, *, zero: bool = False) -> None:
    low, high = axes.get_xlim()
    steps = (1, 2, 5) if high / low < 300 else (1,)
    ticks = [step * 10**power for power in range(8) for step in steps if low <= step * 10**power <= high]
    axes.set_xticks(([0.5] if zero else []) + ticks, (["0"] if zero else []) + [f"{tick:,}" for tick in ticks])
    axes.xaxis.set_minor_locator(_no_ticks())
    axes.set_xlim(low, high)


def _no_ticks():
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _size(dataset: Dataset) -> str:
    log = dataset.interactions
    return f"{dataset.title}: {len(log):,} interactions of {log.n_users:,} users and {log.n_items:,} items"


def _small(value: float) -> str:
    return f"{value:.3f}" if value >= 0.01 else f"{value:.4f}"


def _percent(share: float) -> str:
    return f"{share:.1%}".replace("%", " %")
