"""How far a mean over users may lie from what other users of the same kind would give."""

from __future__ import annotations

import numpy as np


def bootstrap_intervals(values: np.ndarray, *, level: float = 0.95, n_resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Percentile bootstrap over users.

    Args:
        values: (U, M), a column a metric; users are drawn together, so the columns stay comparable.
    Returns:
        (M, 2) float64: the lower and upper end of the `level` interval of each column's mean.
    Source: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13.
    """
    values = np.asarray(values, dtype=np.float64)
    n_users = len(values)
    if n_users == 0:
        return np.full((values.shape[1], 2), np.nan)
    generator = np.random.default_rng(seed)
    means = np.empty((n_resamples, values.shape[1]))
    # Resampling is a matrix of how often each user was drawn, times the values: one product, in bounded memory.
    step = max(1, 2**24 // n_users)
    for start in range(0, n_resamples, step):
        n = min(step, n_resamples - start)
        drawn = generator.integers(0, n_users, size=(n, n_users))
        drawn += np.arange(n)[:, None] * n_users
        counts = np.bincount(drawn.ravel(), minlength=n * n_users).reshape(n, n_users)
        means[start : start + n] = counts @ values / n_users
    tail = (1 - level) / 2
    return np.quantile(means, [tail, 1 - tail], axis=0).T
