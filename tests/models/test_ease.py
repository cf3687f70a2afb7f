"""EASE against the formula of the paper, in float64."""

import numpy as np
import pytest
import torch

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer


def sized(n_users, n_items):
    """A catalogue without features."""
    ids = IdMap(range(n_users), "user"), IdMap(range(n_items), "item")
    return Catalogue(*ids, FeatureTable(n_users), FeatureTable(n_items))


def fitted(catalogue, log, **options):
    model = build_model("ease", catalogue, seed=0, **options)
    Trainer(train_config("ease", device="cpu")).repeat(model, log, [])
    return model


def plain_weights(log, regularisation):
    """B = I - P / diag(P) by columns, P = (XᵀX + λ I)⁻¹."""
    x = np.zeros((log.n_users, log.n_items))
    x[log.users, log.items] = 1
    p = np.linalg.inv(x.T @ x + regularisation * np.eye(log.n_items))
    weights = np.eye(log.n_items) - p / np.diag(p)  # (n_items, n_items); the division goes by columns
    return x, weights


@pytest.mark.parametrize("regularisation", [0.5, 10.0, 300.0])
def test_scores_are_the_formula(market_catalogue, market_log, regularisation):
    model = fitted(market_catalogue, market_log, regularisation=regularisation)
    x, weights = plain_weights(market_log, regularisation)
    assert np.allclose(np.diag(weights), 0)
    assert model.weights.numpy() == pytest.approx(weights, rel=1e-3, abs=1e-5)
    assert model.score(torch.arange(60), market_log.history()).numpy() == pytest.approx(x @ weights, rel=1e-3, abs=1e-5)


def test_an_item_never_explains_itself(market_catalogue, market_log):
    assert fitted(market_catalogue, market_log, regularisation=1.0).weights.diagonal().eq(0).all()


def test_weak_regularisation_is_solved_in_double_precision(market_catalogue, market_log):
    """Fewer users than items: the smallest eigenvalue is λ itself, and in float32 the inverse would be off by percents."""
    log = market_log.take(market_log.users < 20)
    model = fitted(market_catalogue, log, regularisation=1e-4)  # trace / λ = 120 / 0.0001, far above 1e4
    _, weights = plain_weights(log, 1e-4)
    assert model.weights.dtype == torch.float32
    assert model.weights.numpy() == pytest.approx(weights, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("n_items, way", [(40, "dense"), (900, "sparse")])
def test_the_sparse_and_the_dense_way_to_the_gram_matrix_are_exact(market_log, monkeypatch, n_items, way):
    """2000 · Σ_u |u|² = 2000 · 60 · 36 = 4.3 million against n_users · n_items² = 60 · 40² or 60 · 900²."""
    log = Interactions(market_log.users, market_log.items, 60, n_items)
    assert (2000 * 60 * 36 < 60 * n_items**2) == (way == "sparse")
    dense_products = []
    original = torch.Tensor.addmm_
    monkeypatch.setattr(torch.Tensor, "addmm_", lambda self, *given: dense_products.append(1) or original(self, *given))
    gram = build_model("ease", sized(60, n_items), seed=0)._gram(log)
    assert bool(dense_products) == (way == "dense")
    x = log.user_items().toarray()
    assert gram.dtype == torch.float32 and np.array_equal(gram.numpy(), x.T @ x)


def test_the_history_asked_with_may_be_new(market_catalogue, market_log):
    """Fitted on some users, asked for a user who was not among them: x_u B with the history of now."""
    model = fitted(market_catalogue, market_log.take(market_log.users < 50), regularisation=5.0)
    x, _ = plain_weights(market_log, 1.0)
    asked = torch.tensor([55, 2])
    expected = x[[55, 2]] @ model.weights.double().numpy()
    assert model.score(asked, market_log.history().take(asked)).numpy() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_user_without_a_history_cannot_be_scored(toy_catalogue, toy_log):
    model = fitted(toy_catalogue, toy_log)
    assert model.can_score(torch.arange(4), toy_log.history()).tolist() == [True, True, True, False]
