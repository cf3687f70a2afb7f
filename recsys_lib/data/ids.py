"""External ids (what the CSV says) and indexes 0..n-1 (what the models use)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd


class IdMap:
    """A frozen list of distinct external ids; the place of an id in the list is its index.

    Args:
        ids: distinct ids, all strings or all integers; their order is kept.
        what: the word for one of them in error messages, "user" or "item".
    Raises:
        ValueError: an id appears twice or is missing.
    """

    def __init__(self, ids: Iterable, what: str) -> None:
        self._index = pd.Index(ids)
        self.what = what
        if self._index.hasnans:
            raise ValueError(f"every {what} id must be given; {int(self._index.isna().sum())} are missing")
        if not self._index.is_unique:
            twice = self._index[self._index.duplicated()].unique()
            raise ValueError(f"{what} ids must be distinct; {len(twice):,} appear more than once, e.g. {twice[0]!r}")

    @classmethod
    def union(cls, *ids: Iterable, what: str) -> IdMap:
        """The sorted union of several columns of ids, so that cold users and items exist too."""
        distinct = pd.Index([])
        for column in ids:
            column = pd.Index(column).dropna().unique()
            distinct = column if len(distinct) == 0 else distinct.append(column).unique()
        return cls(distinct.sort_values(), what)

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"IdMap({len(self):,} {self.what} ids)"

    @property
    def ids(self) -> pd.Index:
        """(n,) external ids, in index order."""
        return self._index

    def find(self, ids: Iterable) -> np.ndarray:
        """(n,) int32 indexes; -1 where an id is unknown."""
        return self._index.get_indexer(pd.Index(ids)).astype(np.int32)

    def indexes(self, ids: Iterable) -> np.ndarray:
        """(n,) int32 indexes.

        Raises:
            KeyError: an id is unknown; the message counts and shows some.
        """
        ids = pd.Index(ids)
        found = self.find(ids)
        unknown = ids[found < 0].unique()
        if len(unknown):
            raise KeyError(
                f"{len(unknown):,} unknown {self.what} id(s), e.g. {list(unknown[:3])}; "
                f"known are {len(self):,} such as {list(self._index[:3])}"
            )
        return found

    def ids_of(self, indexes: np.ndarray) -> pd.Index:
        """External ids of (n,) indexes."""
        return self._index.take(np.asarray(indexes))
