"""The ridge that chooses its own strength: against refits without the row, and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsys_lib.models.ridge import _SKETCH, STRENGTHS, Design
from tests.models.ridges import best_strength, plain_ridge, refitted_without_each


def problem(n=60, width=7, d=3, noise=1.0, seed=0):
    """Targets that are linear in the features, with an offset, plus noise."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(n, width)) + 2
    targets = features @ rng.normal(size=(width, d)) + noise * rng.normal(size=(n, d)) - 5
    return torch.from_numpy(features).float(), torch.from_numpy(targets).float()


def left_out(fitted, features, targets):
    return fitted.left_out(targets.T, fitted(features).T).T


@pytest.mark.parametrize("noise", [0.1, 3.0, 30.0])
def test_it_is_the_formula_at_the_strength_that_it_chose(noise):
    features, targets = problem(noise=noise)
    fitted = Design(features).fit([targets])
    new = torch.randn(5, 7, generator=torch.Generator().manual_seed(0))
    assert fitted(new).numpy() == pytest.approx(plain_ridge(features, targets, fitted.strength)(new), rel=1e-4, abs=1e-4)
    assert fitted(new).dtype == torch.float32


@pytest.mark.parametrize("noise", [0.1, 3.0, 30.0])
def test_rows_left_out_are_those_of_fits_without_them_and_the_strength_is_the_one_that_errs_least(noise):
    features, targets = problem(n=40, noise=noise)
    errors = [np.square(refitted_without_each(features, targets, s) - targets.numpy()).sum() for s in STRENGTHS]
    fitted = Design(features).fit([targets])
    assert fitted.strength == STRENGTHS[int(np.argmin(errors))] == best_strength(features, targets)
    wanted = refitted_without_each(features, targets, fitted.strength)
    assert left_out(fitted, features, targets).numpy() == pytest.approx(wanted, rel=1e-3, abs=1e-3)
    total = np.square(targets.numpy() - targets.numpy().mean(0)).sum()
    assert fitted.explained == pytest.approx(1 - min(errors) / total, abs=1e-4)


def test_the_strengths_of_the_problems_above_differ():
    strengths = set()
    for noise in (0.1, 3.0, 30.0):
        features, targets = problem(n=40, noise=noise)
        strengths.add(Design(features).fit([targets]).strength)
    assert len(strengths) == 3


@pytest.mark.parametrize("noise", [0.1, 3.0, 30.0])
def test_the_strength_is_that_of_scikit_learn(noise):
    linear = pytest.importorskip("sklearn.linear_model")
    features, targets = problem(n=80, noise=noise, seed=1)
    theirs = linear.RidgeCV(alphas=STRENGTHS, cv=None).fit(features.double().numpy(), targets.double().numpy())
    fitted = Design(features).fit([targets])
    assert fitted.strength == theirs.alpha_
    assert fitted(features).numpy() == pytest.approx(theirs.predict(features.double().numpy()), rel=1e-4, abs=1e-3)


def test_targets_in_blocks_are_the_targets_at_once():
    features, targets = problem()
    whole = Design(features).fit([targets])
    parts = Design(features).fit(iter(targets.split(17)))
    assert parts.strength == whole.strength and parts.explained == pytest.approx(whole.explained, abs=1e-6)
    assert torch.allclose(parts(features), whole(features), rtol=1e-4, atol=1e-4)


def test_features_that_say_nothing_are_worse_than_the_mean_and_are_shrunk_to_little():
    generator = torch.Generator().manual_seed(0)
    features, targets = torch.randn(50, 20, generator=generator), torch.randn(50, 4, generator=generator)
    fitted = Design(features).fit([targets])
    assert fitted.strength >= 1000 and fitted.explained < 0
    assert (fitted(features) - targets.mean(0)).norm() < 0.1 * (targets - targets.mean(0)).norm()


def test_one_feature_of_all_rows_the_same_leaves_the_mean():
    targets = torch.tensor([[1.0], [2.0], [6.0]])
    fitted = Design(torch.ones(3, 2)).fit([targets])
    assert fitted(torch.tensor([[9.0, 9.0]])).item() == pytest.approx(3.0)
    assert left_out(fitted, torch.ones(3, 2), targets).flatten().tolist() == pytest.approx([4.0, 3.5, 1.5])
    assert Design(torch.ones(3, 2)).fit([torch.ones(3, 1)]).explained == 0.0  # nothing to explain


def test_more_columns_than_rows():
    features, targets = problem(n=12, width=30)
    fitted = Design(features).fit([targets])
    assert fitted(features).numpy() == pytest.approx(plain_ridge(features, targets, fitted.strength)(features), rel=1e-3, abs=1e-3)
    wanted = refitted_without_each(features, targets, fitted.strength)
    assert left_out(fitted, features, targets).numpy() == pytest.approx(wanted, rel=1e-3, abs=1e-2)


def test_a_row_that_decides_of_its_own_fit_alone_still_gives_numbers():
    """A column that one row alone has, seen so strongly that nothing else counts."""
    features = torch.zeros(5, 1)
    features[0] = 1e6
    fitted = Design(features).fit([torch.arange(5.0)[:, None]])
    assert left_out(fitted, features, torch.arange(5.0)[:, None]).isfinite().all()
    assert float(fitted.hat.max()) < 1


def test_errors_of_wide_targets_are_sketched_and_choose_as_the_whole_would():
    d = 4 * _SKETCH
    for noise in (0.1, 30.0):
        features, targets = problem(n=40, d=d, noise=noise)
        fitted = Design(features).fit([targets])
        errors = [np.square(refitted_without_each(features, targets, s) - targets.numpy()).sum() for s in STRENGTHS]
        assert fitted.strength == STRENGTHS[int(np.argmin(errors))]
        total = np.square(targets.numpy() - targets.numpy().mean(0)).sum()
        assert fitted.explained == pytest.approx(1 - min(errors) / total, abs=0.1)
        again = Design(features).fit([targets])
        assert again.explained == fitted.explained and torch.equal(again.weights, fitted.weights)


def test_the_global_generator_is_left_as_it_was():
    state = torch.get_rng_state()
    features, targets = problem(d=2 * _SKETCH)
    Design(features).fit([targets])
    assert torch.equal(torch.get_rng_state(), state)
