"""The log of who chose what, as int32 codes; and a user's history as device tensors."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

if TYPE_CHECKING:
    import torch


class RepeatedPairs(ValueError):
    """Rows that should be distinct pairs are not. keys: (m,) int64, of the pairs that appear again, once each time."""

    keys: np.ndarray


def pair_keys_of(users: np.ndarray, items: np.ndarray, n_items: int) -> np.ndarray:
    """(n,) int64: user * n_items + item, in the order of the rows."""
    keys = users.astype(np.int64)
    keys *= n_items  # in place: at twenty million rows a second array is 160 MB
    keys += items
    return keys


@dataclass(frozen=True, eq=False)
class Interactions:
    """Distinct (user, item) pairs in file order, frozen.

    An array that is frozen, owns its memory and has the right type is shared; any other is copied.

    Attributes:
        users, items: (n,) int32 indexes.
        n_users, n_items: the catalogue's size; never taken from the largest index seen.
        timestamps: (n,) int64 seconds, or None; then the order of the rows is the file's and means nothing more.
    Raises:
        ValueError: lengths differ, or an index lies outside the catalogue.
        RepeatedPairs: a pair appears twice; a ValueError too.
    """

    users: np.ndarray
    items: np.ndarray
    n_users: int
    n_items: int
    timestamps: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, dtype in (("users", np.int32), ("items", np.int32), ("timestamps", np.int64)):
            values = getattr(self, name)
            if values is None:
                continue
            if not _is_frozen(values, dtype):
                values = np.array(values, dtype=dtype)
                values.setflags(write=False)
            object.__setattr__(self, name, values)
            if values.shape != self.users.shape or values.ndim != 1:
                raise ValueError(f"{name} must have the shape of users {self.users.shape}; got {values.shape}")
        for name, size in (("users", self.n_users), ("items", self.n_items)):
            values = getattr(self, name)
            if len(values) and not (0 <= values.min() and values.max() < size):
                raise ValueError(f"{name} must lie in 0..{size - 1}; got {values.min()}..{values.max()}")
        if self._is_in_order:
            return
        again = self.pair_keys[1:] == self.pair_keys[:-1]
        if again.any():
            error = RepeatedPairs(
                f"(user, item) pairs must be distinct; {int(again.sum()):,} appear again. "
                "The readers merge and count duplicates; do the same here."
            )
            error.keys = self.pair_keys[1:][again]
            raise error

    def __len__(self) -> int:
        return len(self.users)

    def __repr__(self) -> str:
        return f"Interactions({len(self):,} of {self.n_users:,} users and {self.n_items:,} items)"

    @cached_property
    def _is_in_order(self) -> bool:
        """By user, then by item, no pair twice: so are many logs published; to ask takes a fiftieth of a sort."""
        users, items = self.users, self.items
        return bool(((users[1:] > users[:-1]) | ((users[1:] == users[:-1]) & (items[1:] > items[:-1]))).all())

    def _by_user(self) -> tuple[np.ndarray, np.ndarray]:
        """indptr and items as of a CSR matrix, every user's items ascending."""
        if self._is_in_order:
            return np.append(0, np.cumsum(self.user_counts)), self.items
        # Sorted by item, then by user where a tie keeps its order: by counting, twice, in a third of the time of a sort.
        by_item = sp.coo_matrix((np.zeros(len(self), np.int8), (self.items, self.users)), (self.n_items, self.n_users))
        by_item.has_canonical_format = True  # or repeated pairs would be added up
        by_user = by_item.tocsr().tocsc()
        return by_user.indptr, by_user.indices

    @cached_property
    def pair_keys(self) -> np.ndarray:
        """(n,) int64, sorted: user * n_items + item. Set questions about pairs are asked of these."""
        indptr, items = self._by_user()
        keys = np.repeat(np.arange(self.n_users) * self.n_items, np.diff(indptr))
        keys += items
        keys.setflags(write=False)
        return keys

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits of the content: the pairs in their order, the timestamps, the catalogue's size."""
        digest = hashlib.sha256(f"{self.n_users},{self.n_items}".encode())
        for values in (self.users, self.items, self.timestamps):
            digest.update(b"none" if values is None else values.tobytes())
        return digest.hexdigest()[:16]

    @cached_property
    def user_counts(self) -> np.ndarray:
        """(n_users,) int64: interactions of each user."""
        return np.bincount(self.users, minlength=self.n_users)

    @cached_property
    def item_counts(self) -> np.ndarray:
        """(n_items,) int64: interactions of each item."""
        return np.bincount(self.items, minlength=self.n_items)

    def take(self, rows: np.ndarray) -> Interactions:
        """Some of the rows: (n,) bool, or (m,) indexes; the catalogue stays."""
        timestamps = None if self.timestamps is None else self.timestamps[rows]
        return Interactions(self.users[rows], self.items[rows], self.n_users, self.n_items, timestamps)

    def union(self, other: Interactions) -> Interactions:
        """The rows of both, this one's first.

        Raises:
            ValueError: the catalogues differ, one has timestamps and the other none, or they share a pair.
        """
        if (self.n_users, self.n_items) != (other.n_users, other.n_items):
            raise ValueError(
                f"both parts must share one catalogue; got {self.n_users:,} x {self.n_items:,} "
                f"and {other.n_users:,} x {other.n_items:,}"
            )
        if (self.timestamps is None) != (other.timestamps is None):
            raise ValueError("both parts must have timestamps, or neither")
        timestamps = None if self.timestamps is None else np.concatenate([self.timestamps, other.timestamps])
        return Interactions(
            np.concatenate([self.users, other.users]),
            np.concatenate([self.items, other.items]),
            self.n_users,
            self.n_items,
            timestamps,
        )

    def without(self, other: Interactions) -> Interactions:
        """The rows whose pair is not in `other`."""
        return self.take(~np.isin(pair_keys_of(self.users, self.items, self.n_items), other.pair_keys))

    def user_items(self) -> sp.csr_matrix:
        """(n_users, n_items) float32 CSR of ones."""
        indptr, items = self._by_user()
        ones = np.ones(len(items), dtype=np.float32)
        return sp.csr_matrix((ones, items.copy(), indptr), shape=(self.n_users, self.n_items))

    def history(self, device: str | torch.device = "cpu") -> History:
        """Every user's items, oldest first, as device tensors; row b belongs to user b.

        Without timestamps the order is the file's; ties keep it too.
        """
        import torch  # late: the readers and the EDA work without torch

        cached = self.__dict__.setdefault("_histories", {})  # sorting a million rows at every evaluation adds up
        if str(device) in cached:
            return cached[str(device)]
        order = np.argsort(self.users, kind="stable") if self.timestamps is None else np.lexsort((self.timestamps, self.users))
        indptr = np.zeros(self.n_users + 1, dtype=np.int64)
        np.cumsum(self.user_counts, out=indptr[1:])
        cached[str(device)] = History(
            indptr=torch.from_numpy(indptr).to(device),
            items=torch.from_numpy(self.items[order].astype(np.int64)).to(device),
            timestamps=None if self.timestamps is None else torch.from_numpy(self.timestamps[order]).to(device),
        )
        return cached[str(device)]


def _is_frozen(values: np.ndarray, dtype: type) -> bool:
    """Whether nobody can change it any more, short of thawing it on purpose."""
    flags = getattr(values, "flags", None)
    return flags is not None and flags.owndata and not flags.writeable and values.dtype == dtype


@dataclass(frozen=True, eq=False)
class History:
    """Items of B users, oldest first: CSR rows for autoencoders, sequences for SASRec, profiles for kNN.

    Attributes:
        indptr: (B + 1,) int64; row b is items[indptr[b]:indptr[b + 1]].
        items: (nnz,) int64 item indexes.
        timestamps: (nnz,) int64 or None.
    """

    indptr: torch.Tensor
    items: torch.Tensor
    timestamps: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    @property
    def lengths(self) -> torch.Tensor:
        """(B,) int64: items in each row."""
        return self.indptr[1:] - self.indptr[:-1]

    @property
    def rows(self) -> torch.Tensor:
        """(nnz,) int64: the row of each item."""
        import torch

        # output_size spares the device a question to the host
        return torch.repeat_interleave(
            torch.arange(len(self), device=self.items.device), self.lengths, output_size=len(self.items)
        )

    def take(self, rows: torch.Tensor, total: int | None = None) -> History:
        """The histories of (b,) row indexes, in that order. `total`: their items, where known; else a GPU is asked."""
        import torch

        lengths = self.lengths[rows]
        indptr = torch.zeros(len(rows) + 1, dtype=torch.int64, device=self.items.device)
        torch.cumsum(lengths, 0, out=indptr[1:])
        total = int(indptr[-1]) if total is None else total
        starts = torch.repeat_interleave(self.indptr[rows] - indptr[:-1], lengths, output_size=total)
        places = starts + torch.arange(total, device=self.items.device)
        return History(indptr, self.items[places], None if self.timestamps is None else self.timestamps[places])

    def matrix(self, n_items: int) -> torch.Tensor:
        """(B, n_items) float32 sparse CSR of ones."""
        import torch

        ones = torch.ones(len(self.items), dtype=torch.float32, device=self.items.device)
        return torch.sparse_csr_tensor(self.indptr, self.items, ones, size=(len(self), n_items), check_invariants=False)

    def times(self, weights: torch.Tensor) -> torch.Tensor:
        """(B, n_items) of ones and zeros times (n_items, m) weights: (B, m).

        Sparse where the rows are short: sums of rows of `weights`. A dense product catches up at about 8 % of the cells
        on a CPU and at 1 % on a GPU.
        """
        import torch

        n_items, on_gpu = len(weights), weights.device.type == "cuda"
        if len(self.items) > (0.01 if on_gpu else 0.08) * len(self) * n_items:
            dense = torch.zeros(len(self), n_items, dtype=weights.dtype, device=weights.device)
            dense[self.rows, self.items] = 1
            return dense @ weights
        if on_gpu:
            return torch.sparse.mm(self.matrix(n_items), weights)
        # On a CPU the sparse product first copies all of `weights`, at every call; adding up its rows does not.
        return torch.nn.functional.embedding_bag(self.items, weights, self.indptr, mode="sum", include_last_offset=True)

    def times_transposed(self, weights: torch.Tensor, n_items: int) -> torch.Tensor:
        """The transposed (n_items, B) of ones and zeros times (B, m) weights: (n_items, m), sums over who has the item."""
        import torch

        by_item = torch.argsort(self.items, stable=True)  # added up in one order: the same digits twice, on a GPU too
        indptr = torch.zeros(n_items + 1, dtype=torch.int64, device=self.items.device)
        torch.cumsum(torch.bincount(self.items, minlength=n_items), 0, out=indptr[1:])
        return torch.nn.functional.embedding_bag(self.rows[by_item], weights, indptr, mode="sum", include_last_offset=True)
