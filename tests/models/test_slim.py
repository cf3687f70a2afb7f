"""SLIM against scikit-learn's elastic net, a column at a time, and against the conditions of its optimum."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import ElasticNet

from recsys_lib.data.interactions import Interactions
from recsys_lib.models import build_model, slim
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import catalogue_of, markets_of


def fitted(catalogue, log, **options):
    model = build_model("slim", catalogue, seed=0, **options)
    Trainer(train_config("slim", device="cpu")).repeat(model, log, [])
    return model


@pytest.fixture
def mixed():
    """Popular and rare items, two markets, one item that nobody chose."""
    log = markets_of(60, 40, 2, 12, seed=3)
    return log.take((np.random.default_rng(0).random(len(log)) < np.linspace(1, 0.3, 40)[log.items]) & (log.items != 39))


def elastic_net(x, l1, l2):
    """½ |X - X W|² + ½ l2 |W|² + l1 Σ W, W ≥ 0, diag(W) = 0; scikit-learn divides by the number of rows."""
    x, (n_users, n_items) = x.astype(np.float64), x.shape
    weights = np.zeros((n_items, n_items))
    for item in range(n_items):
        others = np.delete(np.arange(n_items), item)
        net = ElasticNet(
            alpha=(l1 + l2) / n_users, l1_ratio=l1 / (l1 + l2), positive=True, fit_intercept=False, tol=1e-9, max_iter=10**5
        )
        weights[others, item] = net.fit(x[:, others], x[:, item]).coef_
    return weights


@pytest.mark.parametrize("l1, l2", [(1.0, 5.0), (3.0, 1.0), (0.3, 50.0)])
@pytest.mark.parametrize("block", [64, 7, 1])
def test_the_weights_are_scikit_learn_s(market_catalogue, mixed, l1, l2, block, monkeypatch):
    monkeypatch.setattr(slim, "_BLOCK", block)
    model = fitted(market_catalogue, mixed, l1=l1, l2=l2, tolerance=1e-6)
    x = mixed.user_items().toarray().astype(np.float64)
    expected = elastic_net(x, l1, l2)
    assert 0.02 < (expected > 0).mean() < 0.6
    assert model.weights.numpy() == pytest.approx(expected, abs=2e-5)
    assert model.score(torch.arange(60), mixed.history()).numpy() == pytest.approx(x @ expected, abs=1e-4)


def conditions(x, weights, l1, l2):
    """R = XᵀX (I - W) - l2 W - l1; no weight on the diagonal is free."""
    residual = x.T @ (x - x @ weights) - l2 * weights - l1
    np.fill_diagonal(residual, 0)
    return residual


def test_the_conditions_of_the_optimum_hold(market_catalogue, mixed):
    model = fitted(market_catalogue, mixed, l1=0.5, l2=2.0, tolerance=1e-6)
    weights = model.weights.double().numpy()
    residual = conditions(mixed.user_items().toarray().astype(np.float64), weights, 0.5, 2.0)
    assert (weights >= 0).all() and not np.diag(weights).any()
    assert np.abs(residual[weights > 0]).max() < 1e-3 and residual[weights == 0].max() < 1e-3
    assert np.abs(conditions(mixed.user_items().toarray(), 0.9 * weights, 0.5, 2.0)[weights > 0]).max() > 0.1


def test_columns_that_are_done_drop_out_and_keep_their_weights(market_catalogue, mixed, monkeypatch):
    widths = []
    original = slim.SLIM._sweep
    monkeypatch.setattr(slim.SLIM, "_sweep", lambda self, *given: widths.append(given[2].shape[1]) or original(self, *given))
    found = fitted(market_catalogue, mixed, l1=1.0, l2=5.0, tolerance=1e-4).weights
    assert widths[0] == 40 and widths[-1] < 20 and sorted(widths, reverse=True) == widths
    assert found.numpy() == pytest.approx(elastic_net(mixed.user_items().toarray(), 1.0, 5.0), abs=1e-3)


def test_more_l1_leaves_fewer_weights_and_more_l2_smaller_ones(market_catalogue, mixed):
    counts = [int((fitted(market_catalogue, mixed, l1=l1, l2=5.0).weights > 0).sum()) for l1 in (0.0, 1.0, 3.0, 1e6)]
    assert counts[0] > counts[1] > counts[2] > counts[3] == 0
    sums = [float(fitted(market_catalogue, mixed, l1=0.1, l2=l2).weights.sum()) for l2 in (1.0, 10.0, 100.0)]
    assert sums[0] > sums[1] > sums[2] > 0


def test_too_few_sweeps_are_said(market_catalogue, mixed):
    with pytest.warns(UserWarning, match=r"after 1 sweeps the weights of \d+ of 40 items still change"):
        model = fitted(market_catalogue, mixed, l1=0.1, l2=1.0, max_sweeps=1)
    assert model.weights.max() > 0 and model.weights.diagonal().eq(0).all()


def test_the_history_asked_with_may_be_new(market_catalogue, market_log):
    model = fitted(market_catalogue, market_log.take(market_log.users < 50), l2=5.0)
    asked = torch.tensor([55, 2])
    x = market_log.user_items().toarray()[[55, 2]]
    assert x @ model.weights.numpy() == pytest.approx(model.score(asked, market_log.history().take(asked)).numpy(), abs=1e-6)


def test_without_any_penalty_an_unknown_item_and_twins_are_finite():
    log = Interactions([0, 0, 1, 1, 2, 2, 2], [0, 1, 0, 1, 0, 1, 2], 4, 6)  # 0 and 1 are always chosen together
    model = fitted(catalogue_of(4, 6), log, l1=0.0, l2=0.0)
    assert model.weights.isfinite().all() and not model.weights[[3, 4, 5]].any() and not model.weights[:, [3, 4, 5]].any()
    assert model.weights[0, 1] == pytest.approx(1.0) == model.weights[1, 0]


def test_a_user_without_a_history_cannot_be_scored(toy_catalogue, toy_log):
    model = fitted(toy_catalogue, toy_log)
    assert model.can_score(torch.arange(4), toy_log.history()).tolist() == [True, True, True, False]


@pytest.mark.parametrize("options", [{"l1": -1.0}, {"l2": float("nan")}, {"tolerance": 0.0}, {"max_sweeps": 0}])
def test_options_that_mean_nothing_are_refused(toy_catalogue, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} .*must|must .*{next(iter(options))}"):
        build_model("slim", toy_catalogue, seed=0, **options)
