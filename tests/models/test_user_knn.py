"""User kNN against scikit-learn's cosine similarity, written down the slow way."""

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import leave_one_out
from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer


def fitted(catalogue, log, k):
    model = build_model("user_knn", catalogue, seed=0, k=k)
    Trainer(train_config("user_knn", device="cpu")).repeat(model, log, [])
    return model


def log_of(histories, n_items):
    users = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return Interactions(users, np.concatenate(histories), len(histories), n_items)


def dense(log):
    return log.user_items().toarray().astype(np.float64)


def votes(similarity, x):
    """Σ s(u, v) [v chose i] / Σ s(u, v)"""
    return similarity @ x / np.maximum(similarity.sum(1, keepdims=True), 1e-12)


def test_all_neighbours_as_in_the_notes(market_catalogue, market_log):
    x = dense(market_log)
    similarity = cosine_similarity(x)
    np.fill_diagonal(similarity, 0)
    scores = fitted(market_catalogue, market_log, 0).score(torch.arange(60), market_log.history())
    assert scores.numpy() == pytest.approx(votes(similarity, x), rel=1e-5, abs=1e-6)


def test_the_toy_by_hand(toy_catalogue, toy_log):
    # user 0 has {0, 1, 2}, user 1 {1, 3}, user 2 {0, 2, 3, 5}: s(0, 1) = 1 / √(3·2), s(0, 2) = 2 / √(3·4)
    one, two = 1 / np.sqrt(6), 2 / np.sqrt(12)
    expected = np.array([two, one, two, one + two, 0, two]) / (one + two)
    scores = fitted(toy_catalogue, toy_log, 0).score(torch.tensor([0]), toy_log.history().take(torch.tensor([0])))
    assert scores[0].numpy() == pytest.approx(expected, rel=1e-5)
    nearest = fitted(toy_catalogue, toy_log, 1).score(torch.tensor([0]), toy_log.history().take(torch.tensor([0])))
    assert nearest[0].tolist() == pytest.approx([1, 0, 1, 1, 0, 1])  # user 2 alone


@pytest.mark.parametrize("k", [1, 5, 20, 60, 100])
def test_only_the_k_nearest_vote(market_catalogue, k):
    rng = np.random.default_rng(0)
    log = log_of([rng.choice(40, rng.integers(3, 30), replace=False) for _ in range(60)], 40)
    x = dense(log)
    similarity = cosine_similarity(x)
    np.fill_diagonal(similarity, 0)
    scores = fitted(market_catalogue, log, k).score(torch.arange(60), log.history()).numpy()
    places = np.argsort(-similarity, axis=1)
    kept = np.zeros_like(similarity)
    np.put_along_axis(kept, places[:, :k], np.take_along_axis(similarity, places[:, :k], 1), 1)
    # Of neighbours that are equally near, the k-th may be this one or that one.
    clear = np.ones(60, dtype=bool)
    if k < 60:
        values = np.take_along_axis(similarity, places, 1)
        clear = values[:, k - 1] - values[:, k] > 1e-6
    assert clear.sum() >= 30
    assert scores[clear] == pytest.approx(votes(kept, x)[clear], rel=1e-5, abs=1e-6)


def test_nobody_is_his_own_neighbour_even_with_a_longer_history(market_catalogue, market_log):
    """Fitted on train, asked with train + validation: neighbours have what they had, the asked user what he has now."""
    split = leave_one_out(market_log, seed=0)
    known = split.known_before_test
    x, now = dense(split.train), dense(known)
    similarity = cosine_similarity(now, x)
    np.fill_diagonal(similarity, 0)
    scores = fitted(market_catalogue, split.train, 0).score(torch.arange(60), known.history())
    assert scores.numpy() == pytest.approx(votes(similarity, x), rel=1e-5, abs=1e-6)


def test_a_user_without_a_history_cannot_be_scored_and_votes_for_nothing(toy_catalogue, toy_log):
    model = fitted(toy_catalogue, toy_log, 0)
    assert model.can_score(torch.arange(4), toy_log.history()).tolist() == [True, True, True, False]
    assert model.score(torch.arange(4), toy_log.history())[3].eq(0).all()


def test_many_users_are_worked_off_in_parts_and_the_scores_stay(market_catalogue, market_log, monkeypatch):
    """A block of few items is long, and its likenesses are as wide as there are users."""
    whole = fitted(market_catalogue, market_log, 7)
    users, history = torch.arange(60), market_log.history()
    expected = whole.score(users, history)
    catalogue = type(market_catalogue)
    monkeypatch.setattr(catalogue, "n_users", property(lambda self: 2**22 // 16))  # 16 rows at once
    assert torch.allclose(whole.score(users, history), expected, rtol=1e-6)
