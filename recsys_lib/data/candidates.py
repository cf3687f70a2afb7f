"""Fixed lists of candidates: the held-out item of a user is ranked among these alone, and not in the whole catalogue.

Some published figures were made so, and only for the sake of these is it here: the order of two models on a sample of
the catalogue may be the other way round on all of it (Krichene and Rendle, On Sampled Metrics for Item Recommendation,
KDD 2020). Figures among candidates and figures over the catalogue never stand in one column.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recsys_lib.data.interactions import Interactions


@dataclass(frozen=True, eq=False)
class Candidates:
    """Items among which the held-out ones of a user must be found.

    Attributes:
        users: (U,) int32 distinct user indexes.
        items: (U, C) int32 item indexes; an item that appears twice in a row, or is the held-out one, counts once.
    Raises:
        ValueError: the shapes do not belong together, or a user appears twice.
    """

    users: np.ndarray
    items: np.ndarray

    def __post_init__(self) -> None:
        for name in ("users", "items"):
            values = np.array(getattr(self, name), dtype=np.int32)
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if self.users.ndim != 1 or self.items.ndim != 2 or len(self.users) != len(self.items):
            raise ValueError(f"users must be (U,) and items (U, C); got {self.users.shape} and {self.items.shape}")
        if len(np.unique(self.users)) != len(self.users):
            raise ValueError("a user has two rows of candidates; give each user one")

    def __len__(self) -> int:
        return len(self.users)

    @property
    def n(self) -> int:
        """Candidates a user, the held-out items not counted."""
        return self.items.shape[1]

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of who is asked among which items; the order within a row does not count."""
        order = np.argsort(self.users, kind="stable")
        digest = hashlib.sha256(str(self.items.shape).encode())
        digest.update(self.users[order].tobytes())
        digest.update(np.sort(self.items[order], axis=1).tobytes())
        return digest.hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Candidates({self.n} a user of {len(self):,} users)"


def sample_candidates(held_out: Interactions, known: Interactions, *, n: int = 99, seed: int) -> Candidates:
    """n distinct items that the user has not chosen, each set equally likely, for every user of `held_out`.

    Args:
        known: what the user chose before; neither that nor what is held out becomes a candidate.
    Raises:
        ValueError: a user has chosen so much that fewer than n items are left.
    """
    chosen = known.union(held_out)
    users = np.flatnonzero(held_out.user_counts)
    fewest = chosen.n_items - chosen.user_counts[users].max(initial=0)
    if n > fewest or n < 1:
        raise ValueError(f"n must lie in 1..{fewest}, the items that the busiest user has not chosen; got {n}")
    user_items = chosen.user_items()
    generator = np.random.default_rng(seed)
    items = np.empty((len(users), n), dtype=np.int32)
    step = max(1, 2**22 // chosen.n_items)
    for start in range(0, len(users), step):
        block = user_items[users[start : start + step]]
        lots = generator.random((block.shape[0], chosen.n_items))
        lots[block.nonzero()] = np.inf
        items[start : start + step] = np.argpartition(lots, n - 1, axis=1)[:, :n]
    return Candidates(users, items)
