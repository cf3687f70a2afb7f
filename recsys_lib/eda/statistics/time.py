"""When did it happen: arrivals, how long items live, and the gap that a temporal holdout makes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from recsys_lib.data.interactions import Interactions

DAY = 86_400
MOST_BARS = 60


def arrivals(moments: np.ndarray | pd.Series) -> tuple[pd.Series, str]:
    """How many a day, week, month, quarter or year: the finest of them that makes 60 bars at most.

    Args:
        moments: (n,) seconds since 1970 in UTC, or datetimes; missing ones are left out.
    Returns:
        counts by the start of the period, without gaps; and the period's name.
    """
    times = pd.Series(moments).dropna()
    times = pd.to_datetime(times, unit="s") if pd.api.types.is_numeric_dtype(times) else pd.to_datetime(times)
    for period, letter in (("day", "D"), ("week", "W"), ("month", "M"), ("quarter", "Q"), ("year", "Y")):
        periods = times.dt.to_period(letter)
        if not len(times) or period == "year" or (periods.max() - periods.min()).n < MOST_BARS:
            break
    counts = periods.value_counts().sort_index()
    if len(counts):
        counts = counts.reindex(pd.period_range(counts.index[0], counts.index[-1], freq=letter), fill_value=0)
    counts.index = counts.index.to_timestamp()
    return counts, period


def item_lives(interactions: Interactions) -> pd.DataFrame:
    """For items with 2 or more interactions: item, days (from the first to the last), days_to_half (until half of them).

    Raises:
        ValueError: there are no timestamps.
    """
    times = _times(interactions)
    order = np.lexsort((times, interactions.items))
    times = times[order]
    counts = interactions.item_counts
    kept = np.flatnonzero(counts >= 2)
    starts = np.concatenate([[0], np.cumsum(counts)])[kept]
    first, last = times[starts], times[starts + counts[kept] - 1]
    half = times[starts + (counts[kept] + 1) // 2 - 1]
    return pd.DataFrame({"item": kept, "days": (last - first) / DAY, "days_to_half": (half - first) / DAY})


def holdout_gaps(interactions: Interactions, shares: Sequence[float] = (0.05, 0.10, 0.20)) -> pd.DataFrame:
    """What a holdout of the last rows in time would meet: rows of users, of items, that train has never seen.

    Returns:
        share, from (the first held-out moment), days (that the held-out part covers), rows, new_users, new_items (shares
        of its rows), both_known.
    Raises:
        ValueError: there are no timestamps.
    """
    times = _times(interactions)
    rows = []
    for share in shares:
        cut = np.quantile(times, 1 - share, method="lower") if len(times) else 0
        later = times > cut
        n = int(later.sum())
        known_users = np.bincount(interactions.users[~later], minlength=interactions.n_users) > 0
        known_items = np.bincount(interactions.items[~later], minlength=interactions.n_items) > 0
        user_known, item_known = known_users[interactions.users[later]], known_items[interactions.items[later]]
        days = (times.max() - cut) / DAY if n else 0.0
        shares_of = [float(part.mean()) if n else float("nan") for part in (~user_known, ~item_known, user_known & item_known)]
        rows.append((share, pd.Timestamp(int(cut), unit="s"), days, n, *shares_of))
    return pd.DataFrame(rows, columns=["share", "from", "days", "rows", "new_users", "new_items", "both_known"])


def _times(interactions: Interactions) -> np.ndarray:
    if interactions.timestamps is None:
        raise ValueError("the interactions have no timestamps")
    return interactions.timestamps
