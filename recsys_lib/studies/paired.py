"""Is the difference between two models more than luck, when the same users judge both and several seeds trained them?

The layout is users x seeds, both drawn by chance. With d_us the difference of user u under seed s,

    d_us = difference + a_u + c_s + e_us,     variance of the mean = (MS_u + MS_s - MS_e) / (U S)

a_u: some users gain and others lose. c_s: one training went better than another, for all users at once. A bootstrap over
users alone knows a_u and e_us; it takes c_s, the luck of the training, for a worth of the feature. MS_s comes from all
models of the study together (the residual of the two-way layout model x seed), since two or three seeds of one difference
say little of its spread. The variance is never taken below MS_u / (U S), what the users alone say.

Source of the layout: Searle, Casella & McCulloch, Variance Components, 1992, ch. 4; of the degrees of freedom:
Satterthwaite, Biometrics Bulletin 2, 1946.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from recsys_lib.evaluation.intervals import bootstrap_intervals


@dataclass(frozen=True)
class TrainingNoise:
    """Variance of one training's mean over the users, from seed to seed, and on how many degrees of freedom that rests.

    variance 0 with infinite degrees: nothing is drawn (a closed form). NaN with 0: unknown (one seed).
    """

    variance: float
    degrees: float

    @property
    def is_known(self) -> bool:
        return self.degrees > 0


NO_NOISE = TrainingNoise(0.0, np.inf)
UNKNOWN_NOISE = TrainingNoise(np.nan, 0.0)


@dataclass(frozen=True)
class Paired:
    """A paired difference. low, high: 95 %, one difference at a time. p: two-sided, not corrected."""

    difference: float
    low: float
    high: float
    p: float
    users: int
    users_that_differ: int


def training_noise(means: np.ndarray) -> TrainingNoise:
    """The residual mean square of the two-way layout model x seed.

    Args:
        means: (M, S) mean over users of each model under each seed. What a seed does to all models alike is taken out.
    Returns:
        variance = sum of squared residuals / ((M - 1)(S - 1)); unknown where there is one seed or one model.
    """
    models, seeds = means.shape
    degrees = (models - 1) * (seeds - 1)
    if degrees < 1:
        return UNKNOWN_NOISE
    residuals = means - means.mean(1, keepdims=True) - means.mean(0, keepdims=True) + means.mean()
    return TrainingNoise(float((residuals**2).sum() / degrees), float(degrees))


def paired_differences(values: list[np.ndarray], noises: list[TrainingNoise], *, seed: int = 0) -> list[Paired]:
    """Test each of several differences; the users are resampled together.

    Args:
        values: a (U, S) array a comparison: user u's value with, less without, under seed s. S may differ.
        noises: of one training, a comparison each; a difference carries it twice. Unknown counts as none: the caller
            must say so.
    """
    if not values:
        return []
    intervals = bootstrap_intervals(np.stack([of_one.mean(1) for of_one in values], 1), seed=seed)
    return [_tested(*one) for one in zip(values, intervals, noises)]


def _tested(values: np.ndarray, interval: np.ndarray, noise: TrainingNoise) -> Paired:
    users, seeds = values.shape
    of_users = values.mean(1)
    difference, differ = float(of_users.mean()), int(np.count_nonzero(of_users))
    by_users = float(of_users.var(ddof=1) / users) if users > 1 else 0.0  # MS_u / (U S)
    by_training = 2 * noise.variance / seeds if noise.is_known else 0.0  # MS_s / (U S)
    # What a training's luck does to single users stands in both, and is counted once.
    beyond_users = max(by_training - _residual_mean_square(values) / (users * seeds), 0.0)
    if not by_users > 0:  # one user, or all alike: mostly nobody's list changed
        return Paired(difference, float(interval[0]), float(interval[1]), 1.0, users, differ)
    variance = by_users + beyond_users
    degrees = variance**2 / (by_users**2 / (users - 1) + (by_training**2 / noise.degrees if beyond_users else 0.0))
    p = 2 * float(stats.t.sf(abs(difference) / variance**0.5, degrees))
    # The sign test's least p: with few users who differ, no tail of a t distribution is to be trusted.
    p = min(1.0, max(p, 2.0 ** (1 - differ)))
    luck = float(stats.t.ppf(0.975, noise.degrees)) * beyond_users**0.5 if beyond_users else 0.0
    low, high = difference - np.hypot(difference - interval[0], luck), difference + np.hypot(interval[1] - difference, luck)
    return Paired(difference, float(low), float(high), p, users, differ)


def _residual_mean_square(values: np.ndarray) -> float:
    """MS_e of users x seeds; 0 where there is one of either."""
    users, seeds = values.shape
    if users < 2 or seeds < 2:
        return 0.0
    residuals = values - values.mean(1, keepdims=True) - values.mean(0, keepdims=True) + values.mean()
    return float((residuals**2).sum() / ((users - 1) * (seeds - 1)))


def holm(p: np.ndarray, n_tests: int | None = None) -> np.ndarray:
    """Corrected so that the chance of one false alarm or more among all tests stays at the level, whatever depends on what.

    The i-th smallest becomes max over j <= i of min(1, (n_tests - j + 1) p_(j)).

    Args:
        p: (n,). n_tests: of the whole family, where some were not run and the choice had looked at the data; at least n.
    Source: Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.
    """
    p = np.asarray(p, dtype=np.float64)
    n_tests = len(p) if n_tests is None else n_tests
    if n_tests < len(p):
        raise ValueError(f"a family of {n_tests} tests cannot hold {len(p)} p values")
    order = np.argsort(p, kind="stable")
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate((n_tests - np.arange(len(p))) * p[order]))
    return corrected
