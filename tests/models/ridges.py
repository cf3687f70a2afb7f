"""Ridge regression as the textbook has it, in float64, and features as it sees them: what the maps of newcomers are held against."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from recsys_lib.data.vectors import FeatureVectors
from recsys_lib.models.ridge import STRENGTHS


def plain_ridge(x, y, strength):
    """New rows of features -> predictions. The mean is no part of what is shrunk."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    centred = x - x.mean(0)
    weights = np.linalg.solve(centred.T @ centred + strength * np.eye(x.shape[1]), centred.T @ (y - y.mean(0)))
    return lambda new: (np.asarray(new, dtype=np.float64) - x.mean(0)) @ weights + y.mean(0)


def refitted_without_each(x, y, strength):
    """(n, d): each row by a fit to all others."""
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    rows = np.arange(len(x))
    return np.stack([plain_ridge(x[rows != row], y[rows != row], strength)(x[row]) for row in rows])


def best_strength(x, y):
    """The one whose fits without a row err least on that row."""
    return min(STRENGTHS, key=lambda strength: np.square(refitted_without_each(x, y, strength) - np.asarray(y)).sum())


def side_vectors(table, size):
    """(n_rows, width) float64: the features as vectors, their mean taken off."""
    vectors = FeatureVectors(table, size).of(table)
    vectors = np.asarray(vectors.toarray() if sp.issparse(vectors) else vectors, dtype=np.float64)
    return vectors - vectors.mean(0)
