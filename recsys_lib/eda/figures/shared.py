"""What several figures need: an exception, the data set's size in words, numbers as people read them, an axis."""

from __future__ import annotations

from collections.abc import Callable

from recsys_lib.datasets.base import Dataset


class NothingToDraw(Exception):
    """A figure has nothing to show for this data set; the message is the reason, fit for a notebook."""


def size_of(dataset: Dataset, t: Callable[[str], str]) -> str:
    log = dataset.interactions
    said = t("{title}: {n:,} interactions of {users:,} users and {items:,} items")
    return said.format(title=dataset.title, n=len(log), users=log.n_users, items=log.n_items)


def need_interactions(dataset: Dataset, t: Callable[[str], str]) -> None:
    if not len(dataset.interactions):
        raise NothingToDraw(t("{name} has no interactions").format(name=dataset.name))


def need_features(dataset: Dataset, t: Callable[[str], str]) -> None:
    """Of users and of items."""
    need_interactions(dataset, t)
    for table, said in (
        (dataset.all_user_features, "{name} has no features of users"),
        (dataset.all_item_features, "{name} has no features of items"),
    ):
        if not len(table):
            raise NothingToDraw(t(said).format(name=dataset.name))


def small(value: float) -> str:
    return f"{value:.3f}" if value >= 0.01 else f"{value:.4f}"


def percent(share: float) -> str:
    if share == 0:
        return "0 %"
    digits = 1 if share >= 0.001 else 2
    return f"{100 * share:.{digits}f} %"


def plain_log_axis(axes, *, zero: bool = False) -> None:
    from matplotlib.ticker import NullLocator

    low, high = axes.get_xlim()
    steps = (1, 2, 5) if high / low < 300 else (1,)
    ticks = [step * 10**power for power in range(10) for step in steps if low <= step * 10**power <= high]
    axes.set_xticks(([0.5] if zero else []) + ticks, (["0"] if zero else []) + [f"{tick:,}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(low, high)


def thousands(axis) -> None:
    axis.set_major_formatter(lambda value, _: f"{value:,.0f}")
