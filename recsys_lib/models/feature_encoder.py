"""Features of users or items as numbers that a tower can take.

Categorical: an embedding a label, "missing" being a label of its own. Multi-label: the mean of its labels' embeddings,
zero where there is none. Numeric: a number on the chosen scale and a 0/1 flag for "missing", whose number is 0. Vectors:
as they are, divided by their typical length, and the same flag.

    z-score     (x - mean) / sd
    quantile    the normal quantile of x's share among the first table's values: outliers lose their weight
    log         the z-score of sign(x) log(1 + |x|)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lib.data.features import Categorical, FeatureTable, MultiLabel, Numeric, Vectors


SCALES = ("z-score", "quantile", "log")
_KINDS = (Categorical, MultiLabel, Numeric, Vectors)


class FeatureEncoder(nn.Module):
    """A FeatureTable -> (rows, width) float32.

    Args:
        table: its values become buffers; its labels fix the embeddings' sizes.
        embedding_size: of each categorical and multi-label feature. scale: of numbers, one of SCALES.
    Attributes:
        width: columns of the output; parts: feature name -> its columns.
    """

    def __init__(self, table: FeatureTable, embedding_size: int, scale: str = "z-score") -> None:
        super().__init__()
        self.embedding_size, self.scale = embedding_size, scale
        self._first = table
        self.names = {kind: [f.name for f in table if isinstance(f, kind)] for kind in _KINDS}
        self.labels = {f.name: f.labels for f in table if isinstance(f, (Categorical, MultiLabel))}
        self.parts: dict[str, int] = {}
        for kind, width in ((Categorical, embedding_size), (MultiLabel, embedding_size), (Numeric, 2)):
            self.parts |= {name: width for name in self.names[kind]}
        self.parts |= {name: table[name].values.shape[1] + 1 for name in self.names[Vectors]}
        self.width = sum(self.parts.values())
        # One joined embedding table for all categorical features: one look-up instead of one a feature.
        sizes = [len(self.labels[name]) for name in self.names[Categorical]]
        self.register_buffer("offsets", torch.tensor([0, *np.cumsum(sizes)[:-1]], dtype=torch.int64), persistent=False)
        self.categories = nn.Embedding(max(sum(sizes), 1), embedding_size)
        # Row 0 pads rows of fewer labels than the longest; it stays zero and does not count in the mean.
        self.bags = nn.ModuleList(
            nn.Embedding(len(self.labels[name]) + 1, embedding_size, padding_idx=0) for name in self.names[MultiLabel]
        )
        for embedding in [self.categories, *self.bags]:
            nn.init.normal_(embedding.weight, std=0.05)
        for bag in self.bags:
            nn.init.zeros_(bag.weight[0])
        # Kept from the first table, so that swapped values are measured by the same rule.
        self.rules = [_Rule.of(table[name].values, scale) for name in self.names[Numeric]]
        self.lengths = [_length(table[name].values) for name in self.names[Vectors]]
        self.set_table(table)

    def check_fit(self, table: FeatureTable) -> None:
        """Raises: as FeatureTable.check_fits."""
        self._first.check_fits(table)

    def set_table(self, table: FeatureTable) -> None:
        """Take other values for the same features. Raises: as check_fit."""
        self.check_fit(table)
        n = table.n_rows
        codes = np.stack([table[name].codes for name in self.names[Categorical]], 1) if self.names[Categorical] else np.zeros((n, 0))
        self._put("codes", torch.from_numpy(codes.astype(np.int64)))
        for place, name in enumerate(self.names[MultiLabel]):
            self._put(f"bag_{place}", torch.from_numpy(_padded(table[name])))
        numbers = [np.zeros((n, 0), dtype=np.float32)]
        for name, rule in zip(self.names[Numeric], self.rules):
            numbers.append(_with_flag(rule(table[name].values)[:, None]))
        for name, length in zip(self.names[Vectors], self.lengths):
            numbers.append(_with_flag(table[name].values / length))
        self._put("numbers", torch.from_numpy(np.concatenate(numbers, 1)))

    def forward(self, rows: Tensor) -> Tensor:
        """(B,) indexes -> (B, width)."""
        parts = []
        if self.names[Categorical]:
            parts.append(self.categories(self.codes[rows] + self.offsets).flatten(1))
        for place, bag in enumerate(self.bags):
            parts.append(F.embedding_bag(getattr(self, f"bag_{place}")[rows], bag.weight, mode="mean", padding_idx=0))
        if self.numbers.shape[1]:
            parts.append(self.numbers[rows])
        if not parts:
            return self.categories.weight.new_zeros(len(rows), 0)
        return torch.cat(parts, 1)

    def _put(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values.to(self.categories.weight.device), persistent=False)


def _padded(feature: MultiLabel) -> np.ndarray:
    """(n, longest) int64 of code + 1, padded with 0."""
    lengths = np.diff(feature.indptr)
    table = np.zeros((len(feature), max(int(lengths.max(initial=0)), 1)), dtype=np.int64)
    rows = np.repeat(np.arange(len(feature)), lengths)
    table[rows, np.arange(len(feature.codes)) - feature.indptr[rows]] = feature.codes + 1
    return table


def _with_flag(values: np.ndarray) -> np.ndarray:
    """(n, d) with NaN -> (n, d + 1) float32: NaN as 0, and whether it was missing."""
    missing = np.isnan(values).any(1, keepdims=True)
    return np.concatenate([np.nan_to_num(values), missing], 1).astype(np.float32)


@dataclass(frozen=True)
class _Rule:
    """How numbers are measured, by what the first table's (n,) values are. NaN stays NaN."""

    scale: str
    known: np.ndarray  # rising, on the scale's own axis
    mean: float
    spread: float

    @classmethod
    def of(cls, values: np.ndarray, scale: str) -> _Rule:
        values = _stretched(values, scale)
        known = np.sort(values[~np.isnan(values)])
        mean, spread = (float(np.nanmean(values)), float(np.nanstd(values))) if len(known) else (0.0, 0.0)
        return cls(scale, known if scale == "quantile" else known[:0], mean, spread if spread > 0 else 1.0)

    def __call__(self, new: np.ndarray) -> np.ndarray:
        """(n,) -> (n,)."""
        if self.scale != "quantile":
            return (_stretched(new, self.scale) - self.mean) / self.spread
        below = np.searchsorted(self.known, new, side="left") + np.searchsorted(self.known, new, side="right")
        share = (below + 1) / (2 * len(self.known) + 2)  # ties stand in the middle of their places; never 0 or 1
        return np.where(np.isnan(new), np.nan, ndtri(share))


def _stretched(values: np.ndarray, scale: str) -> np.ndarray:
    return np.sign(values) * np.log1p(np.abs(values)) if scale == "log" else values


def _length(values: np.ndarray) -> float:
    """The root mean square length of the vectors there are, so that they come in at the size of a z-score."""
    squares = np.square(values).mean(1)
    typical = float(np.sqrt(np.nanmean(squares))) if (~np.isnan(squares)).any() else 0.0
    return typical if typical > 0 else 1.0
