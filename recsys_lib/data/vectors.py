"""Features of every kind as one matrix of numbers, by a rule that is fixed once and can be applied to other values.

Each feature is a block of columns whose rows have length 1:

    categorical   a column a label, "missing" among them
    multi-label   TF-IDF: log((1 + n) / (1 + rows with the label)) + 1 for each label of the row
    numeric       a column for each of up to 5 quantile bins, and one for "missing"
    vectors       as they are, divided by their length

A row without labels has no length: its block is zero. Source of the weights: scikit-learn's smooth TF-IDF.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import svds

from recsys_lib.data.features import Categorical, Feature, FeatureTable, MultiLabel, Numeric, Vectors

BINS = 5
_MOST_DENSE = 1500  # columns whose inner products are held at once


class FeatureVectors:
    """The rule, made from a first table.

    Args:
        table: its labels, counts and quantiles fix the columns and their weights.
        size: columns left by a truncated SVD of all blocks together; None: every column.
    Attributes:
        width: columns; blocks: feature name -> (first column, end) before the SVD.
    """

    def __init__(self, table: FeatureTable, size: int | None = None) -> None:
        self.names = table.names
        self._edges = {f.name: _bin_edges(f.values) for f in table if isinstance(f, Numeric)}
        self._weights = {f.name: _inverse_frequency(f) for f in table if isinstance(f, MultiLabel)}
        self.blocks: dict[str, tuple[int, int]] = {}
        start = 0
        for feature in table:
            end = start + self._block(feature).shape[1]
            self.blocks[feature.name] = start, end
            start = end
        self.components: np.ndarray | None = None  # (columns, size)
        if size is not None and size < start:
            self.components = _leading(self._stacked(table), size)
        self.width = start if self.components is None else size

    def of(self, table: FeatureTable) -> sp.csr_matrix | np.ndarray:
        """(n_rows, width) float32: CSR, or dense after an SVD."""
        stacked = self._stacked(table)
        return stacked if self.components is None else np.asarray(stacked @ self.components)

    def _stacked(self, table: FeatureTable) -> sp.csr_matrix:
        blocks = [self._block(table[name]) for name in self.names]
        return sp.hstack(blocks, format="csr", dtype=np.float32) if blocks else sp.csr_matrix((table.n_rows, 0), dtype=np.float32)

    def _block(self, feature: Feature) -> sp.csr_matrix:
        n = len(feature)
        if isinstance(feature, Vectors):
            values = np.nan_to_num(feature.values)
            return sp.csr_matrix(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12))
        if isinstance(feature, MultiLabel):
            weights = self._weights[feature.name]
            values = weights[feature.codes]
            matrix = sp.csr_matrix((values, feature.codes, feature.indptr), shape=(n, len(weights)), dtype=np.float32)
            lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
            return sp.diags_array(1 / np.maximum(lengths, 1e-12)).astype(np.float32) @ matrix
        if isinstance(feature, Categorical):
            codes, n_labels = feature.codes, len(feature.labels)
        else:
            edges = self._edges[feature.name]
            missing = np.isnan(feature.values)
            codes, n_labels = np.searchsorted(edges, feature.values, side="left") + 1, len(edges) + 2
            codes[missing] = 0
        return sp.csr_matrix((np.ones(n, np.float32), (np.arange(n), codes)), shape=(n, n_labels))


def _bin_edges(values: np.ndarray) -> np.ndarray:
    """Values up to which a bin reaches, rising; a number equal to an edge is below it."""
    values = values[~np.isnan(values)]
    distinct = np.unique(values)
    if len(distinct) <= BINS:
        return distinct[:-1]
    return np.unique(np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1]))


def _inverse_frequency(feature: MultiLabel) -> np.ndarray:
    with_label = np.bincount(feature.codes, minlength=len(feature.labels))
    return (np.log((1 + len(feature)) / (1 + with_label)) + 1).astype(np.float32)


def _leading(matrix: sp.csr_matrix, size: int) -> np.ndarray:
    """(columns, size): the leading right singular vectors, each with its largest entry positive."""
    if matrix.shape[1] > _MOST_DENSE and size < min(matrix.shape):
        start = np.random.default_rng(0).normal(size=min(matrix.shape))  # ARPACK draws one of its own otherwise
        vectors = svds(matrix.astype(np.float64), k=size, v0=start)[2][::-1].T
    else:
        gram = (matrix.T @ matrix).toarray().astype(np.float64)
        vectors = np.linalg.eigh(gram)[1][:, : -size - 1 : -1]
    vectors *= np.sign(vectors[np.abs(vectors).argmax(0), np.arange(size)])
    return vectors.astype(np.float32)
