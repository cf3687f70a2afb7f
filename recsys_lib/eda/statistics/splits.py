"""Is what is held out like what is learnt from?"""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import Split


def split_profiles(split: Split) -> pd.DataFrame:
    """What each part's rows look like when every user counts once, as cumulative distributions.

    item_popularity: train rows of the row's item, the row itself not counted; each of a user's n rows in the part
    weighs 1/n, which is how a mean over users sees them.
    user_activity: all rows of the user, for the users who are in the part.

    Returns:
        columns part, quantity, value (rising), share (of users, at or below value), users.
    """
    train_counts = split.train.item_counts
    parts = (split.train, split.validation, split.test, split.fold_in)
    activity = sum(part.user_counts for part in parts if part is not None)
    pieces = []
    for name in ("train", "validation", "test"):
        part: Interactions = getattr(split, name)
        if not len(part):
            continue
        present = np.flatnonzero(part.user_counts)
        popularity = train_counts[part.items] - (1 if name == "train" else 0)
        for quantity, values, weights in (
            ("item_popularity", popularity, 1.0 / part.user_counts[part.users]),
            ("user_activity", activity[present], np.ones(len(present))),
        ):
            value, place = np.unique(values, return_inverse=True)
            share = np.cumsum(np.bincount(place, weights=weights)) / len(present)
            pieces.append(
                pd.DataFrame({"part": name, "quantity": quantity, "value": value, "share": share, "users": len(present)})
            )
    return pd.concat(pieces, ignore_index=True)


def split_gaps(profiles: pd.DataFrame) -> pd.DataFrame:
    """The largest distance between each held-out part's distribution and that of train (Kolmogorov-Smirnov).

    Returns:
        columns quantity, part, gap (0 to 1), chance: what two samples of as many users differ by in 5 of 100 draws,
        1.36 sqrt(1/n + 1/m).
    """
    rows = []
    for quantity, table in profiles.groupby("quantity", sort=False):
        train = table[table["part"] == "train"]
        for part, other in table[table["part"] != "train"].groupby("part", sort=False):
            at = np.union1d(train["value"], other["value"])
            gap = np.abs(_share_at(train, at) - _share_at(other, at)).max()
            chance = 1.36 * np.sqrt(1 / train["users"].iloc[0] + 1 / other["users"].iloc[0])
            rows.append((quantity, part, gap, chance))
    return pd.DataFrame(rows, columns=["quantity", "part", "gap", "chance"])


def _share_at(profile: pd.DataFrame, at: np.ndarray) -> np.ndarray:
    shares = np.concatenate([[0.0], profile["share"].to_numpy()])
    return shares[np.searchsorted(profile["value"].to_numpy(), at, side="right")]
