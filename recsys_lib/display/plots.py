"""A table in, a Figure out: one clean look, titles that are sentences, nothing global.

Figures are matplotlib `Figure` objects made without pyplot: there is nothing to close, nothing flickers, and drawing in
a thread or in a widget is safe. The theme is applied while a figure is built and drawn, and undone afterwards.
"""

from __future__ import annotations

import io
import textwrap
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from recsys_lib.display.fonts import font_families, use_hangul

# Okabe and Ito: distinguishable with every common form of colour blindness.
BLUE, ORANGE, GREEN, PINK, SKY, AMBER = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
PALETTE = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER)
INK, GREY, PALE, FAINT = "#222222", "#6B6B6B", "#C9C9C9", "#EFEFEF"
LESS_AND_MORE = LinearSegmentedColormap.from_list("less_and_more", [ORANGE, "#F7E3D6", "#FAFAFA", "#D3E6F2", BLUE])
MORE = LinearSegmentedColormap.from_list("more", ["#FAFAFA", "#B9D8EA", BLUE, "#023E62"])

INCHES_WIDE = 9.0
DENSITY = 96  # dots an inch on the page; pictures carry twice as many
MAX_BYTES = 150_000
SYNTHETIC = "SYNTHETIC DATA"
FEW = 30  # a group smaller than this is drawn pale and makes no headline

_THEME = {
    "text.parse_math": False,  # a title may hold dollars
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": PALE,
    "axes.labelcolor": GREY,
    "axes.labelsize": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.titlepad": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 1.0,
    "xtick.color": PALE,
    "ytick.color": PALE,
    "xtick.labelcolor": GREY,
    "ytick.labelcolor": GREY,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": DENSITY,
    "axes.prop_cycle": matplotlib.cycler(color=PALETTE),
}


@contextmanager
def theme() -> Iterator[None]:
    """The lab's look, with Hangul, inside the block only."""
    with matplotlib.rc_context(_THEME | {"font.family": font_families()}):
        yield


def use_theme() -> str | None:
    """The lab's look for every figure from now on, also those of pyplot and seaborn; returns the Hangul font's name.

    Call this instead of seaborn.set_theme(), which puts back a font family without Hangul.
    """
    matplotlib.rcParams.update(_THEME)
    return use_hangul()


class Plot(Figure):
    """A Figure that knows its sentence and shows itself in a notebook, sharp and at its intended size.

    Attributes:
        sentence: the title, a statement with its number.
        footer: row counts and method, the small line at the bottom.
        synthetic: says SYNTHETIC DATA on the picture.
        alt_text: what the picture shows, for those who cannot see it.
    """

    def __init__(
        self, sentence: str, *, height: float = 4.2, footer: str = "", synthetic: bool = False, alt_text: str = ""
    ) -> None:
        with theme():
            super().__init__(figsize=(INCHES_WIDE, height), layout="constrained")
            FigureCanvasAgg(self)
            self.get_layout_engine().set(w_pad=0.12, h_pad=0.09, wspace=0.04, hspace=0.04)
            self.suptitle(
                wrap(sentence, 92, even=True), x=0.012, ha="left", fontsize=11.5, fontweight="bold", linespacing=1.3
            )
            # supxlabel has a place of its own in the layout, so the footer never covers an axis label
            small = wrap(footer, 132 if synthetic else 150)
            self.supxlabel(small or " ", x=0.012, ha="left", fontsize=7.5, color=GREY, linespacing=1.3)
            if synthetic:
                box = {"boxstyle": "round,pad=0.35", "facecolor": ORANGE, "edgecolor": "none"}
                self.text(
                    0.985,
                    0.02,
                    SYNTHETIC,
                    ha="right",
                    va="bottom",
                    fontsize=7.5,
                    color="white",
                    fontweight="bold",
                    bbox=box,
                )
        self.sentence = sentence
        self.footer = footer
        self.synthetic = synthetic
        self.alt_text = alt_text or sentence

    def draw(self, renderer) -> None:  # ticks are made while drawing, so the theme is needed then too
        with theme():
            super().draw(renderer)

    def png(self, *, max_bytes: int = MAX_BYTES) -> bytes:
        """At double density; with fewer colours, then at less density, only if it is larger than `max_bytes`."""
        for scale, colours in ((2.0, 256), (2.0, 64), (1.75, 64), (1.5, 64), (1.25, 64), (1.0, 32)):
            png = _few_colours(self, DENSITY * scale, colours)
            if len(png) <= max_bytes:
                break
        return png

    def _repr_png_(self) -> tuple[bytes, dict]:
        width, height = (int(inches * DENSITY) for inches in self.get_size_inches())
        return self.png(), {"width": width, "height": height}


def _few_colours(figure: Figure, dpi: float, colours: int) -> bytes:
    # 256 colours are plenty for a chart, and a third of the bytes
    from PIL import Image

    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    with Image.open(stream) as image:
        few = image.convert("RGB").quantize(colours, kmeans=3, dither=Image.Dither.NONE)
    stream = io.BytesIO()
    few.save(stream, format="PNG", optimize=True, dpi=(dpi, dpi))
    return stream.getvalue()


# ---------------------------------------------------------------------------------------------------- a run


def training_curves(
    history: pd.DataFrame, metric: str, *, title: str | None = None, footer: str = "", synthetic: bool = False
) -> Plot:
    """Loss, metric and learning rate over the epochs, one above the other.

    Args:
        history: one row an epoch, columns epoch, loss, learning_rate and, where known, `metric` (NaN where it was not
            evaluated), negatives_resampled (bool), seconds_training, seconds_evaluation.
    Raises:
        ValueError: `history` is empty or lacks epoch or loss.
    """
    history = _checked_history(history)
    figure = Plot(
        title or _training_sentence(history, metric),
        height=6.0,
        footer=_with_seconds(footer, history),
        synthetic=synthetic,
    )
    with theme():
        loss_axes, metric_axes, rate_axes = figure.subplots(3, 1, sharex=True, height_ratios=[3, 3, 1.5])
        epochs = history["epoch"]
        loss_axes.plot(epochs, history["loss"], color=BLUE, marker="o" if len(history) < 3 else None)
        loss_axes.set(title="Training loss", ylabel="loss a sample")
        _mark_fresh_negatives(loss_axes, history)

        measured = _measured(history, metric)
        metric_axes.set(title=f"{metric} on validation", ylabel=metric)
        if len(measured):
            few = {"marker": "o", "markersize": 3.5} if len(measured) <= 60 else {}
            metric_axes.plot(measured["epoch"], measured[metric], color=GREEN, **few)
            best = measured.loc[measured[metric].idxmax()]
            metric_axes.plot(
                best["epoch"], best[metric], "o", markersize=9, markerfacecolor="none", markeredgewidth=2, color=ORANGE
            )
            # on the side of the point where there is room
            left = best["epoch"] > epochs.iloc[0] + 0.75 * (epochs.iloc[-1] - epochs.iloc[0])
            metric_axes.annotate(
                f"best: epoch {int(best['epoch'])}, {best[metric]:.4f}",
                (best["epoch"], best[metric]),
                xytext=(-10 if left else 10, -26),
                textcoords="offset points",
                ha="right" if left else "left",
                color=ORANGE,
                fontsize=8.5,
            )
            metric_axes.margins(y=0.18)
        else:
            metric_axes.text(0.5, 0.5, "not evaluated", transform=metric_axes.transAxes, ha="center", color=GREY)

        rate_axes.set(title="Learning rate (log scale)", ylabel="rate", xlabel="epoch")
        if "learning_rate" in history and (history["learning_rate"] > 0).any():
            rate_axes.step(epochs, history["learning_rate"], where="post", color=GREY)
            rate_axes.set_yscale("log")
            rates = history.loc[history["learning_rate"] > 0, "learning_rate"]
            rate_axes.set_ylim(rates.min() / 3, rates.max() * 3)
            rate_axes.yaxis.set_major_locator(LogLocator(numticks=4))
            rate_axes.yaxis.set_minor_locator(NullLocator())
            rate_axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        rate_axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.align_ylabels()
    return figure


def _checked_history(history: pd.DataFrame) -> pd.DataFrame:
    missing = [name for name in ("epoch", "loss") if name not in history]
    if missing or not len(history):
        raise ValueError(
            f"a history needs one row an epoch with epoch and loss; got {len(history)} rows with columns "
            f"{', '.join(map(str, history.columns)) or 'none'}. A closed form (needs_training = False) has no curves."
        )
    return history.sort_values("epoch").reset_index(drop=True)


def _measured(history: pd.DataFrame, metric: str) -> pd.DataFrame:
    return history.dropna(subset=[metric]) if metric in history else history.iloc[:0]


def _training_sentence(history: pd.DataFrame, metric: str) -> str:
    measured, last = _measured(history, metric), history.iloc[-1]
    if not len(measured):
        return (
            f"The training loss ends at {last['loss']:.4g} after epoch {int(last['epoch'])}; {metric} was not evaluated"
        )
    best = measured.loc[measured[metric].idxmax()]
    return (
        f"{metric} is best at epoch {int(best['epoch'])} of {int(last['epoch'])}: {best[metric]:.4f}, "
        f"at a training loss of {best['loss']:.4g}"
    )


def _mark_fresh_negatives(axes: Axes, history: pd.DataFrame) -> None:
    if "negatives_resampled" not in history:
        return
    fresh = history[history["negatives_resampled"].fillna(False).astype(bool)]
    if len(fresh) == len(history):
        axes.set_title("Training loss (negatives drawn anew every epoch)")
    elif len(fresh):
        axes.plot(fresh["epoch"], fresh["loss"], "v", color=ORANGE, markersize=6, label="negatives drawn anew")
        axes.legend(loc="upper right")


def _with_seconds(footer: str, history: pd.DataFrame) -> str:
    seconds = [
        f"{history[column].sum():,.0f} s in {what}"
        for column, what in (("seconds_training", "training"), ("seconds_evaluation", "evaluation"))
        if column in history
    ]
    return " · ".join(filter(None, [footer, f"{len(history):,} epochs", *seconds]))


def loss_against_recall(
    history: pd.DataFrame, metric: str, *, title: str | None = None, footer: str = "", synthetic: bool = False
) -> Plot:
    """Does the metric follow the loss, and which loss is worth aiming at? A path through the evaluated epochs.

    Args:
        history: as for training_curves; rows without `metric` are left out.
    """
    measured = _measured(_checked_history(history), metric)
    figure = Plot(
        title or _loss_sentence(measured, metric),
        height=4.8,
        footer=" · ".join(filter(None, [footer, f"{len(measured):,} evaluated epochs"])),
        synthetic=synthetic,
    )
    with theme():
        axes = figure.subplots()
        axes.set(xlabel="training loss (falling to the right)", ylabel=f"{metric} on validation")
        if len(measured):
            axes.plot(measured["loss"], measured[metric], color=PALE, linewidth=1.2, zorder=1)
            dots = axes.scatter(
                measured["loss"],
                measured[metric],
                c=measured["epoch"],
                cmap="cividis_r",
                s=38,
                zorder=2,
                edgecolor="white",
                linewidth=0.6,
            )
            bar = figure.colorbar(dots, ax=axes, label="epoch", pad=0.02, aspect=28)
            bar.outline.set_visible(False)
            bar.locator = MaxNLocator(integer=True)
            bar.update_ticks()
            best = measured.loc[measured[metric].idxmax()]
            axes.scatter(best["loss"], best[metric], s=150, facecolor="none", edgecolor=ORANGE, linewidth=2, zorder=3)
            axes.margins(0.08, 0.16)
            low, high = axes.get_xlim()
            right = (high - best["loss"]) > 0.6 * (
                high - low
            )  # the axis is turned round: a small loss stands at the right
            axes.annotate(
                f"best {best[metric]:.4f}\nepoch {int(best['epoch'])}, loss {best['loss']:.4g}",
                (best["loss"], best[metric]),
                xytext=(-14 if right else 14, 4),
                textcoords="offset points",
                ha="right" if right else "left",
                va="bottom",
                color=ORANGE,
                fontsize=8.5,
            )
        axes.invert_xaxis()
    return figure


def _loss_sentence(measured: pd.DataFrame, metric: str) -> str:
    if not len(measured):
        return f"{metric} was not evaluated, so nothing can be said about the loss to aim at"
    best, last = measured.loc[measured[metric].idxmax()], measured.iloc[-1]
    if len(measured) < 4 or measured["loss"].nunique() < 2 or measured[metric].nunique() < 2:
        return (
            f"Best {metric} {best[metric]:.4f} at a loss of {best['loss']:.4g}; "
            f"{len(measured)} evaluations are too few to say more"
        )
    spearman = float(measured["loss"].rank().corr(measured[metric].rank()))
    aim = f"best {best[metric]:.4f} at a loss of {best['loss']:.4g}"
    lost = (best[metric] - last[metric]) / max(best[metric], 1e-12)
    if spearman <= -0.8 and lost <= 0.02:
        return f"{metric} follows the loss (Spearman {spearman:+.2f}): {aim}, and going lower has not hurt"
    if lost > 0.02 and last["loss"] < best["loss"]:
        return (
            f"Aim at a loss of {best['loss']:.4g}: {metric} {best[metric]:.4f} there, {last[metric]:.4f} at the end "
            f"at {last['loss']:.4g} (Spearman {spearman:+.2f})"
        )
    if spearman <= -0.5:
        return f"{metric} follows the loss loosely (Spearman {spearman:+.2f}): {aim}"
    return f"{metric} does not follow the loss (Spearman {spearman:+.2f}): {aim}, so stop by {metric}, not by the loss"


# ---------------------------------------------------------------------------------------------------- models side by side


def model_comparison(
    table: pd.DataFrame,
    metric: str,
    *,
    title: str | None = None,
    footer: str = "",
    bars: str = "95 % intervals over users",
    synthetic: bool = False,
) -> Plot:
    """One point a model with its interval, the best on top.

    Args:
        table: columns model, mean, low, high. bars: what low and high are; empty where they are nothing.
    """
    _check_columns(table, "model", "mean", "low", "high")
    table = table.sort_values("mean").reset_index(drop=True)
    figure = Plot(
        title or _comparison_sentence(table, metric),
        height=1.9 + 0.36 * len(table),
        footer=" · ".join(filter(None, [footer, f"bars: {bars}" if bars else ""])),
        synthetic=synthetic,
    )
    with theme():
        axes = figure.subplots()
        rows = np.arange(len(table))
        colours = [BLUE if row == len(table) - 1 else GREY for row in rows]
        axes.hlines(rows, table["low"], table["high"], color=colours, linewidth=3, alpha=0.45)
        axes.scatter(table["mean"], rows, color=colours, s=46, zorder=3)
        for row, (mean, high) in enumerate(zip(table["mean"], table["high"])):
            axes.annotate(
                f"{mean:.4f}",
                (max(high, mean), row),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                color=colours[row],
                fontsize=8.5,
            )
        axes.set_yticks(rows, table["model"].astype(str), color=INK)
        axes.set(xlabel=metric, ylim=(-0.6, len(table) - 0.4))
        axes.set_xlim(0, 1.12 * max(table["high"].max(), table["mean"].max(), 1e-6))
        axes.grid(False, axis="y")
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)
    return figure


def _comparison_sentence(table: pd.DataFrame, metric: str) -> str:
    best = table.iloc[-1]
    value = f"{metric} {best['mean']:.4f} ({best['low']:.4f} to {best['high']:.4f})"
    if len(table) == 1:
        return f"{best['model']}: {value}"
    second = table.iloc[-2]
    if best["low"] > second["high"]:
        return f"{best['model']} leads clearly: {value}, next {second['model']} {second['mean']:.4f}"
    return (
        f"{best['model']} leads with {value}, "
        f"but its interval overlaps that of {second['model']} ({second['mean']:.4f})"
    )


def list_overlap(table: pd.DataFrame, k: int, *, footer: str = "", synthetic: bool = False) -> Plot:
    """How much of their lists each two models share.

    Args:
        table: (M, M) shares in 0..1, index and columns the models, two or more; see evaluation.compare.overlap.
    """
    if len(table) < 2 or list(table.index) != list(table.columns):
        raise ValueError(f"the table needs a row and a column for each of two models or more; got {table.shape[0]} x {table.shape[1]}")
    shares = table.to_numpy(dtype=float)
    lower = np.tril_indices(len(table), -1)
    least, most = (place(shares[lower]) for place in (np.argmin, np.argmax))
    pair = [f"{table.index[lower[0][at]]} and {table.index[lower[1][at]]}" for at in (least, most)]
    sentence = f"{pair[0]} share {shares[lower][least]:.0%} of their {k} places"
    if least != most:
        sentence = f"Of {k} places, {pair[1]} share {shares[lower][most]:.0%}, {pair[0]} {shares[lower][least]:.0%}"
    figure = Plot(
        sentence,
        height=1.7 + 0.42 * len(table),
        footer=" · ".join(filter(None, [footer, "mean over users of the share of places that both give to one item"])),
        synthetic=synthetic,
    )
    with theme():
        texts = [[f"{share:.0%}" for share in row] for row in shares]
        heat_map(figure.subplots(), table, texts=texts, muted=np.eye(len(table), dtype=bool), limits=(0.0, max(shares[lower].max(), 0.01)))
    return figure


def recall_by_group(
    table: pd.DataFrame,
    metric: str,
    *,
    group_name: str = "group",
    title: str | None = None,
    footer: str = "",
    synthetic: bool = False,
) -> Plot:
    """Bars by group of users or items, one colour a model; the number of users stands under each group.

    Args:
        table: columns model, group, users, value; groups are drawn in the order in which they first come.
        group_name: what the groups are, with the unit, e.g. "interactions of the user in training".
    """
    _check_columns(table, "model", "group", "users", "value")
    models, groups = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["group"]))
    if len(models) > len(PALETTE):
        raise ValueError(f"at most {len(PALETTE)} models fit side by side; got {len(models)}: choose some")
    values = table.pivot_table(index="group", columns="model", values="value", sort=False).reindex(
        index=groups, columns=models
    )
    users = table.groupby("group", sort=False)["users"].max().reindex(groups)
    figure = Plot(
        title or _group_sentence(values, users, metric, group_name),
        height=4.4,
        footer=" · ".join(
            filter(None, [footer, f"{int(users.sum()):,} in all groups", f"pale: n < {FEW}" if (users < FEW).any() else ""])
        ),
        synthetic=synthetic,
    )
    with theme():
        axes = figure.subplots()
        width = 0.8 / len(models)
        for place, model in enumerate(models):
            x = np.arange(len(groups)) + (place - (len(models) - 1) / 2) * width
            bars = axes.bar(x, values[model].fillna(0), width * 0.92, color=PALETTE[place], label=str(model))
            for bar, n in zip(bars, users):
                bar.set_alpha(0.3 if n < FEW else 1.0)
            if len(models) * len(groups) <= 24:
                for left, value in zip(x, values[model]):
                    if np.isfinite(value):
                        axes.annotate(
                            f"{value:.3f}",
                            (left, value),
                            xytext=(0, 2),
                            textcoords="offset points",
                            ha="center",
                            fontsize=7,
                            color=GREY,
                        )
        axes.set_xticks(np.arange(len(groups)), [f"{group}\nn = {int(n):,}" for group, n in users.items()])
        axes.set(xlabel=group_name, ylabel=metric)
        axes.margins(y=0.1)
        axes.grid(False, axis="x")
        axes.tick_params(axis="x", length=0)
        if len(models) > 1:
            axes.legend(ncols=len(models), loc="lower left", bbox_to_anchor=(0, 1.0), borderaxespad=0, handlelength=1)
    return figure


def _group_sentence(values: pd.DataFrame, users: pd.Series, metric: str, group_name: str) -> str:
    enough = users >= FEW  # a group of three would make any headline
    if enough.any():
        values, users = values[enough], users[enough]
    best = values.mul(users, axis=0).sum().idxmax()
    column = values[best].dropna()
    if len(column) < 2:
        return f"{metric} of {best}: {column.iloc[0]:.4f}" if len(column) else f"{metric} by {group_name}"
    low, high = column.idxmin(), column.idxmax()
    return f"{best} reaches {metric} {column[high]:.3f} for {high} and {column[low]:.3f} for {low} ({group_name})"


def validation_against_leaderboard(
    log: pd.DataFrame, *, title: str, correlations: Mapping[tuple[str, str], float], footer: str = "", synthetic: bool = False
) -> Plot:
    """A panel a leaderboard: what validation said against what it said, a colour a split, and the line where both are equal.

    Args:
        log: columns submission, split, metric, validation, public, private; NaN where a score is unknown.
        correlations: (split, metric) -> Spearman, for the legend; one that is missing has none.
    """
    _check_columns(log, "submission", "split", "metric", "validation", "public", "private")
    boards = [board for board in ("public", "private") if log[board].notna().any()] or ["public"]
    known = log.dropna(subset=boards, how="all")
    groups = list(known.groupby(["split", "metric"], sort=False))
    several = known["metric"].nunique() > 1
    beside = f"{len(groups) - len(PALETTE)} of {len(groups)} splits are grey" if len(groups) > len(PALETTE) else ""
    figure = Plot(
        title,
        height=4.5,
        footer=" · ".join(filter(None, [footer, f"{known['submission'].nunique():,} submissions with a leaderboard score", beside])),
        synthetic=synthetic,
        alt_text=f"{title}. Validation scores against leaderboard scores, {len(groups)} splits.",
    )
    scores = known[["validation", *boards]].to_numpy(dtype=float)
    low, high = (np.nanmin(scores), np.nanmax(scores)) if len(known) else (0.0, 1.0)
    room = 0.08 * (high - low) or 0.02
    limits = max(low - room, 0.0), min(high + room, 1.0)
    with theme():
        panels = figure.subplots(1, len(boards), sharex=True, sharey=True, squeeze=False)[0]
        for axes, board in zip(panels, boards):
            axes.axline((limits[0], limits[0]), slope=1, color=GREY, linewidth=1.2, linestyle="--", zorder=1)
            for place, ((split, metric), own) in enumerate(groups):
                correlation = correlations.get((split, metric))
                label = f"{split}{f', {metric}' if several else ''}" + ("" if correlation is None else f" (Spearman {correlation:.2f})")
                colour = PALETTE[place] if place < len(PALETTE) else GREY
                axes.scatter(own["validation"], own[board], s=44, color=colour, edgecolor="white", linewidth=0.7, label=label, zorder=3)
            axes.set_title(f"{board} leaderboard")
            axes.set(xlim=limits, ylim=limits, xlabel="validation score", aspect="equal")
            axes.text(0.98, 0.03, "below the line: validation promised too much", transform=axes.transAxes, ha="right", color=GREY, fontsize=7.5)
        panels[0].set_ylabel("leaderboard score")
        if groups:
            panels[-1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), borderaxespad=0, handletextpad=0.3)
    return figure


def feature_worth(
    table: pd.DataFrame,
    metric: str,
    *,
    groups: Sequence[str] = (),
    title: str = "",
    footer: str = "",
    synthetic: bool = False,
    most_rows: int = 40,
) -> Plot:
    """What each feature brings, a panel a slice of the users: blue helps, pale blue is relied on, orange hurts, grey shows nothing.

    Args:
        table: columns feature, slice, kind ("retraining", "permutation"), difference, low, high, verdict ("helps", "hurts",
            "relied on"; anything else is grey).
        groups: features that are groups of others; they stand on top.
        most_rows: groups, then features with a verdict, then the largest differences.
    """
    _check_columns(table, "feature", "slice", "kind", "difference", "low", "high", "verdict")
    colours = {"helps": BLUE, "relied on": SKY, "hurts": ORANGE}
    ranked = table.assign(grey=~table["verdict"].isin(colours), size=-table["difference"].abs())
    ranked = ranked.sort_values(["grey", "size"], kind="stable")["feature"]
    names = list(dict.fromkeys([*(name for name in groups if name in set(ranked)), *ranked]))
    if len(names) > most_rows:
        footer = f"{footer} · the {len(names) - most_rows} smallest of {len(names)} features are not drawn"
    names, slices = names[:most_rows], list(dict.fromkeys(table["slice"]))
    figure = Plot(
        title,
        height=2.3 + 0.2 * max(len(names), 3),
        footer=footer,
        synthetic=synthetic,
        alt_text=f"{title}. A panel for each of {', '.join(slices)}: {len(names)} features by their difference in {metric}.",
    )
    rows = {name: -place - (0.5 if name not in groups and set(names) & set(groups) else 0.0) for place, name in enumerate(names)}
    with theme():
        panels = figure.subplots(1, max(len(slices), 1), sharey=True, sharex=True, squeeze=False)[0]  # one scale: slices can be compared
        for axes, name in zip(panels, slices):
            shown = table[(table["slice"] == name) & table["feature"].isin(rows)]
            axes.axvline(0, color=PALE, linewidth=1.2, zorder=1)
            for row in shown.itertuples():
                colour, filled = colours.get(row.verdict, GREY), row.kind == "retraining"
                faint = 1.0 if row.verdict in colours else 0.55
                height = rows[row.feature]
                axes.hlines(height, row.low, row.high, color=colour, linewidth=2.4 if filled else 1.4, alpha=0.6 * faint, zorder=2)
                axes.scatter(
                    row.difference, height, s=26, marker="o" if filled else "D", zorder=3, alpha=faint,
                    facecolor=colour if filled else "white", edgecolor=colour, linewidth=1.3,
                )  # fmt: skip
            users = f"\n{shown['users'].max():,} users" if "users" in shown and len(shown) else ""
            axes.set_title(f"{name}{users}")
            axes.xaxis.set_major_locator(MaxNLocator(3, symmetric=False))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: "0" if abs(value) < 1e-12 else f"{value:+.3g}"))
            axes.grid(False, axis="y")
            axes.tick_params(length=0)
            axes.spines["left"].set_visible(False)
            axes.margins(x=0.08)
        panels[0].set_yticks(list(rows.values()), [shorten(name, 24) for name in rows], color=INK)
        panels[0].set_ylim(min(rows.values(), default=0) - 0.7, 0.7)
        panels[0].set_xlabel(f"difference in {metric}\n ", loc="left")  # the second line makes room for the legend
        _feature_legend(panels[0], table, colours)
    return figure


def _feature_legend(axes: Axes, table: pd.DataFrame, colours: dict[str, str]) -> None:
    marks = [
        ("retraining", "o", "retrained without it"),
        ("permutation", "D", "dealt anew, beyond its shadow"),
    ]
    handles = [
        axes.plot([], [], marker=marker, linestyle="", color=GREY, markerfacecolor=GREY if kind == "retraining" else "white", label=label)[0]
        for kind, marker, label in marks
        if (table["kind"] == kind).any()
    ]
    handles += [axes.plot([], [], color=colour, linewidth=3, label=verdict)[0] for verdict, colour in colours.items()]
    handles.append(axes.plot([], [], color=GREY, alpha=0.55, linewidth=3, label="no evidence")[0])
    legend = axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(0, 0), borderaxespad=3.8, ncols=len(handles), fontsize=7.5,
        handletextpad=0.4, columnspacing=1.4, borderpad=0,
    )  # fmt: skip
    legend.set_in_layout(False)  # it is wider than its panel, which would shrink


def _check_columns(table: pd.DataFrame, *columns: str) -> None:
    missing = [column for column in columns if column not in table]
    if missing or not len(table):
        raise ValueError(
            f"the table needs rows with columns {', '.join(columns)}; got {len(table)} rows with "
            f"{', '.join(map(str, table.columns)) or 'no columns'}"
        )


# ---------------------------------------------------------------------------------------------------- pieces


def heat_map(
    axes: Axes,
    values: pd.DataFrame,
    *,
    texts: Sequence[Sequence[str]],
    muted: np.ndarray,
    colours: LinearSegmentedColormap = MORE,
    limits: tuple[float, float],
) -> None:
    """Coloured cells with their text; `muted` cells (R, C) bool stay white with grey text.

    values: (R, C), rows drawn top to bottom. texts: R rows of C strings.
    """
    shown = np.ma.masked_where(muted | ~np.isfinite(values.to_numpy(dtype=float)), values.to_numpy(dtype=float))
    mesh = axes.pcolormesh(shown, cmap=colours, vmin=limits[0], vmax=limits[1], edgecolors="white", linewidth=2)
    n_rows, n_columns = values.shape
    size = float(np.clip(76 / max(n_columns, 1), 5.5, 8.5))
    for row in range(n_rows):
        for column in range(n_columns):
            quiet = muted[row, column] or np.ma.is_masked(shown[row, column])
            colour = "#9A9A9A" if quiet else _readable_on(mesh.to_rgba(shown[row, column]))
            axes.text(
                column + 0.5,
                row + 0.5,
                texts[row][column],
                ha="center",
                va="center",
                fontsize=size,
                color=colour,
                linespacing=1.15,
            )
    columns = [shorten(str(label), 22) for label in values.columns]
    turned = max(map(visible_width, columns), default=0) * n_columns > 92
    axes.set_xticks(np.arange(n_columns) + 0.5, columns)
    if turned:
        axes.tick_params(axis="x", rotation=35)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(n_rows) + 0.5, [shorten(str(label), 30) for label in values.index])
    axes.invert_yaxis()
    axes.grid(False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _readable_on(rgba: Sequence[float]) -> str:
    red, green, blue = rgba[:3]
    return "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.55 else INK


def bars_with_shares(
    axes: Axes, labels: Sequence[str], counts: Sequence[int], *, colours: Sequence[str] | str = BLUE, none: str = "none"
) -> None:
    """Horizontal bars of shares (in per cent), each with its share and count (`none` for a count of 0); the first on top."""
    counts = np.asarray(counts, dtype=float)
    shares = 100 * counts / max(counts.sum(), 1)
    rows = np.arange(len(labels))
    axes.barh(rows, shares, color=colours, height=0.72)
    for row, (share, count) in enumerate(zip(shares, counts)):
        axes.annotate(
            f"{share:.1f} % ({int(count):,})" if count else none,
            (share, row),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color=INK,
        )
    axes.set_yticks(rows, labels)
    axes.invert_yaxis()
    axes.set_xlim(0, max(shares.max(initial=0) * 1.4, 1))
    axes.grid(False, axis="y")
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} %"))


def visible_width(text: str) -> int:
    """Columns the text takes: a Hangul syllable is two wide."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)


def shorten(text: str, width: int) -> str:
    """At most `width` columns, with … where something was cut."""
    if visible_width(text) <= width:
        return text
    while text and visible_width(text) > width - 1:
        text = text[:-1]
    return text.rstrip() + "…"


def wrap(text: str, width: int, *, even: bool = False) -> str:
    """Lines of at most about `width` columns; `even`: as few lines, but of about the same length."""
    wide = visible_width(text) / max(len(text), 1)
    most = max(int(width / max(wide, 1)), 20)
    lines = _lines(text, most)
    while even and most > 20 and len(_lines(text, most - 1)) == len(lines):
        most -= 1
    return "\n".join(_lines(text, most))


def _lines(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
