"""From a table of who chose what to Interactions. Every reader ends here."""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions


def interactions_from(
    frame: pd.DataFrame,
    users: IdMap,
    items: IdMap,
    *,
    user: str,
    item: str,
    timestamp: str | None = None,
) -> tuple[Interactions, list[str]]:
    """Code the log and merge duplicate pairs; of several rows the first in the file stays.

    Args:
        frame: the log in file order. user, item, timestamp: its columns.
    Returns:
        The interactions in file order; a note if rows were merged.
    Raises:
        KeyError: an id that the catalogue lacks.
    """
    user_indexes, item_indexes = users.indexes(frame[user]), items.indexes(frame[item])
    again = pd.Series(user_indexes.astype(np.int64) * len(items) + item_indexes).duplicated().to_numpy()
    notes = [f"{int(again.sum()):,} of {len(again):,} rows repeat a pair and were merged"] if again.any() else []
    interactions = Interactions(
        users=user_indexes[~again],
        items=item_indexes[~again],
        n_users=len(users),
        n_items=len(items),
        timestamps=None if timestamp is None else frame[timestamp].to_numpy(dtype=np.int64)[~again],
    )
    return interactions, notes


def first_row_each(frame: pd.DataFrame, key: str, file_name: str, notes: list[str]) -> pd.DataFrame:
    """One row a key, the first; the others are counted in `notes`."""
    again = frame[key].duplicated()
    if again.any():
        notes.append(f"{file_name}: {int(again.sum()):,} further rows of a {key} that came before left out")
    return frame[~again]
