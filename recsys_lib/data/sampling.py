"""Exact uniform negative samples, a whole epoch at once, without rejection."""

from __future__ import annotations

from pathlib import Path

import torch

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.native import call, compiled

_SOURCE = Path(__file__).with_suffix(".c")


class NegativeSampler:
    """Draws items that a user did not choose, each equally likely.

    With the user's chosen items sorted, p_0 < p_1 < ..., the r-th item that is *not* chosen is r + #{i : p_i - i <= r}.
    So one random number and one binary search a sample give an exact draw: nothing is drawn twice, and a user who
    chose nearly everything costs no more than any other.

    Args:
        interactions: what was chosen.
        device: where the samples are wanted.
    Attributes:
        has_negatives: (n_users,) bool: False for a user who has chosen every item; draw nothing for that one.
    """

    def __init__(self, interactions: Interactions, device: torch.device | str = "cpu") -> None:
        counts = torch.from_numpy(interactions.user_counts).to(device)
        keys = torch.from_numpy(interactions.pair_keys.copy()).to(device)
        self.n_items = interactions.n_items
        self._stop = torch.cumsum(counts, 0)
        self._start = self._stop - counts
        self._free = self.n_items - counts  # items left to draw from
        self.has_negatives = self._free > 0
        user = torch.div(keys, self.n_items, rounding_mode="floor")
        place = torch.arange(len(keys), device=device) - self._start[user]
        # Sorted: p_i - i does not fall inside a user, and the users come one after the other.
        self._keys = keys - place

    def draw(self, users: torch.Tensor, n: int, generator: torch.Generator) -> torch.Tensor:
        """(B,) users -> (B, n) int64 items, each uniform over what the user did not choose, independently.

        Cost: a binary search of the user's row a sample (sampling.c), or of all rows where there is no compiler.
        """
        users = users.long().contiguous()
        # float64 holds 53 bits: enough to reach every item of any catalogue with equal chance.
        random = torch.rand((len(users), n), generator=generator, device=users.device, dtype=torch.float64)
        rank = (random * self._free[users, None]).long()
        return rank + self._chosen_before(users, rank)

    def _chosen_before(self, users: torch.Tensor, rank: torch.Tensor) -> torch.Tensor:
        wanted = users[:, None] * self.n_items + rank
        native = compiled(_SOURCE) if users.device.type == "cpu" else None
        if native is None:
            return torch.searchsorted(self._keys, wanted, right=True) - self._start[users, None]
        found = torch.empty_like(wanted)
        n_users, n, threads = *wanted.shape, torch.get_num_threads()
        call(native.count_up_to, self._keys, self._start, self._stop, users, n_users, wanted, n, found, threads)
        return found
