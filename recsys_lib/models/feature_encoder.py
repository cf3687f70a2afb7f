"""Features of users or items as numbers that a tower can take.

Categorical: an embedding a label, "missing" being a label of its own. Multi-label: the mean of its labels' embeddings,
zero where there is none. Numeric: (x - mean) / sd and a 0/1 flag for "missing", whose x counts as the mean.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lib.data.features import Categorical, Feature, FeatureTable, MultiLabel, Numeric


class FeatureEncoder(nn.Module):
    """A FeatureTable -> (rows, width) float32.

    Args:
        table: its values become buffers; its labels fix the embeddings' sizes.
        embedding_size: of each categorical and multi-label feature.
    Attributes:
        width: columns of the output; parts: feature name -> its columns.
    """

    def __init__(self, table: FeatureTable, embedding_size: int) -> None:
        super().__init__()
        self.embedding_size = embedding_size
        self.names = {kind: [f.name for f in table if isinstance(f, kind)] for kind in (Categorical, MultiLabel, Numeric)}
        self.labels = {f.name: f.labels for f in table if not isinstance(f, Numeric)}
        self.parts: dict[str, int] = {}
        for kind, width in ((Categorical, embedding_size), (MultiLabel, embedding_size), (Numeric, 2)):
            self.parts |= {name: width for name in self.names[kind]}
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
        numbers = [table[name].values for name in self.names[Numeric]]
        self.means = [_mean(values) for values in numbers]
        self.deviations = [_deviation(values) for values in numbers]
        self.set_table(table)

    def check_fit(self, table: FeatureTable) -> None:
        """Raises: ValueError naming the feature that is missing, of another kind or with other labels."""
        for kind, names in self.names.items():
            for name in names:
                self._check_feature(name, kind, table)

    def set_table(self, table: FeatureTable) -> None:
        """Take other values for the same features. Raises: as check_fit."""
        self.check_fit(table)
        n = table.n_rows
        codes = np.stack([table[name].codes for name in self.names[Categorical]], 1) if self.names[Categorical] else np.zeros((n, 0))
        self._put("codes", torch.from_numpy(codes.astype(np.int64)))
        for place, name in enumerate(self.names[MultiLabel]):
            self._put(f"bag_{place}", torch.from_numpy(_padded(table[name])))
        numbers = np.zeros((n, 2 * len(self.names[Numeric])), dtype=np.float32)
        for place, name in enumerate(self.names[Numeric]):
            values = table[name].values
            numbers[:, 2 * place] = np.nan_to_num((values - self.means[place]) / self.deviations[place])
            numbers[:, 2 * place + 1] = np.isnan(values)
        self._put("numbers", torch.from_numpy(numbers))

    def forward(self, rows: Tensor) -> Tensor:
        """(B,) indexes -> (B, width)."""
        parts = []
        if self.names[Categorical]:
            parts.append(self.categories(self.codes[rows] + self.offsets).flatten(1))
        for place, bag in enumerate(self.bags):
            parts.append(F.embedding_bag(getattr(self, f"bag_{place}")[rows], bag.weight, mode="mean", padding_idx=0))
        if self.names[Numeric]:
            parts.append(self.numbers[rows])
        if not parts:
            return self.categories.weight.new_zeros(len(rows), 0)
        return torch.cat(parts, 1)

    def _put(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values.to(self.categories.weight.device), persistent=False)

    def _check_feature(self, name: str, kind: type, table: FeatureTable) -> None:
        if name not in table.names:
            raise ValueError(f"the model uses feature {name!r}; the new table has {', '.join(table.names) or 'none'}")
        feature: Feature = table[name]
        if not isinstance(feature, kind):
            raise ValueError(f"feature {name!r} was {kind.__name__} when the model was built and is {type(feature).__name__} now")
        if name in self.labels and feature.labels != self.labels[name]:
            raise ValueError(
                f"feature {name!r} had {len(self.labels[name])} labels when the model was built and has "
                f"{len(feature.labels)} now; keep the labels and change only the codes"
            )


def _padded(feature: MultiLabel) -> np.ndarray:
    """(n, longest) int64 of code + 1, padded with 0."""
    lengths = np.diff(feature.indptr)
    table = np.zeros((len(feature), max(int(lengths.max(initial=0)), 1)), dtype=np.int64)
    rows = np.repeat(np.arange(len(feature)), lengths)
    table[rows, np.arange(len(feature.codes)) - feature.indptr[rows]] = feature.codes + 1
    return table


def _mean(values: np.ndarray) -> float:
    return float(np.nanmean(values)) if (~np.isnan(values)).any() else 0.0


def _deviation(values: np.ndarray) -> float:
    spread = float(np.nanstd(values)) if (~np.isnan(values)).any() else 0.0
    return spread if spread > 0 else 1.0
