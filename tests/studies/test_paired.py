"""Paired differences: the bootstrap against SciPy, the training's luck against a simulation, Holm against a hand example."""

import numpy as np
import pytest
from scipy import stats

from recsys_lib.studies.paired import NO_NOISE, UNKNOWN_NOISE, TrainingNoise, holm, paired_differences, training_noise


def test_without_training_noise_it_is_the_paired_t_test_and_the_bootstrap_of_scipy():
    rng = np.random.default_rng(3)
    with_it, without = rng.binomial(1, 0.30, 400).astype(float), rng.binomial(1, 0.22, 400).astype(float)
    (paired,) = paired_differences([(with_it - without)[:, None]], [NO_NOISE])
    wanted = stats.ttest_rel(with_it, without)
    assert paired.difference == pytest.approx(with_it.mean() - without.mean())
    assert paired.p == pytest.approx(wanted.pvalue, rel=1e-9)
    reference = stats.bootstrap(
        (with_it - without,), np.mean, method="percentile", n_resamples=4000, random_state=np.random.default_rng(1)
    )
    assert (paired.low, paired.high) == pytest.approx(tuple(reference.confidence_interval), abs=0.006)
    assert (paired.users, paired.users_that_differ) == (400, int((with_it != without).sum()))


def test_training_noise_is_the_residual_of_model_by_seed():
    #                 seed:  0    1    2      the middle seed is better for both by 1, which says nothing of the models
    means = np.array([[1.0, 2.0, 1.0], [2.0, 3.0, 5.0]])
    # residuals: rows less row means (4/3, 10/3), less column means (1.5, 2.5, 3), plus 7/3
    residuals = np.array([[0.5, 0.5, -1.0], [-0.5, -0.5, 1.0]])
    noise = training_noise(means)
    assert noise.variance == pytest.approx((residuals**2).sum() / ((2 - 1) * (3 - 1))) and noise.degrees == 2
    assert training_noise(means[:, :1]) is UNKNOWN_NOISE and not UNKNOWN_NOISE.is_known and NO_NOISE.is_known


def study_of_noise(rng, users=200, seeds=3, models=6, luck=0.05):
    """No model differs from the first but by the luck of its trainings (of all users at once) and of single lists."""
    values = 0.3 + luck * rng.normal(size=(models, 1, seeds)) + 0.3 * rng.normal(size=(models, users, seeds))
    values += 0.2 * rng.normal(size=(1, users, 1))  # a user who is easy is easy for all
    return values


def false_alarms(with_noise: bool, repeats: int = 150) -> float:
    rng, p = np.random.default_rng(0), []
    for _ in range(repeats):
        values = study_of_noise(rng)
        noise = training_noise(values.mean(1)) if with_noise else NO_NOISE
        p += [paired.p for paired in paired_differences([values[0] - other for other in values[1:]], [noise] * 5)]
    return float(np.mean(np.array(p) <= 0.05))


def test_the_luck_of_the_training_raises_no_more_alarms_than_stated():
    assert 0.02 < false_alarms(with_noise=True) < 0.08
    assert false_alarms(with_noise=False) > 0.3  # what a bootstrap over users alone would do


def test_the_interval_is_wider_where_trainings_differ():
    values = np.random.default_rng(0).normal(0.1, 1, (300, 3))
    alone, with_luck = (paired_differences([values], [noise])[0] for noise in (NO_NOISE, TrainingNoise(0.03, 10)))
    assert with_luck.low < alone.low and with_luck.high > alone.high and with_luck.p > alone.p
    beyond = (
        2 * 0.03 / 3 - (values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()).var() * 900 / (299 * 2) / 900
    )
    assert with_luck.difference - with_luck.low == pytest.approx(
        np.hypot(alone.difference - alone.low, stats.t.ppf(0.975, 10) * beyond**0.5)
    )


def test_few_users_who_differ_are_no_evidence():
    values = np.zeros((500, 1))
    values[:4] = 1.0
    (paired,) = paired_differences([values], [NO_NOISE])
    assert stats.ttest_1samp(values[:, 0], 0).pvalue < 0.05  # what a tail would say
    assert paired.p == 2 * 0.5**4  # four heads in a row, or four tails
    assert paired_differences([np.zeros((500, 2))], [TrainingNoise(0.1, 4)])[0].p == 1.0
    assert paired_differences([], []) == []


def test_holm_by_hand():
    # sorted: .01 x 4 = .04; .02 x 3 = .06; .03 x 2 = .06; .5 x 1
    assert holm(np.array([0.02, 0.5, 0.01, 0.03])) == pytest.approx([0.06, 0.5, 0.04, 0.06])
    # the second, .02 x 3 = .06, is the larger: p values never fall back
    assert holm(np.array([0.02, 0.021])) == pytest.approx([0.04, 0.04])
    # of ten tests two were run
    assert holm(np.array([0.02, 0.001]), n_tests=10) == pytest.approx([0.18, 0.01])
    with pytest.raises(ValueError, match="a family of 1 tests cannot hold 2"):
        holm(np.array([0.1, 0.2]), n_tests=1)
