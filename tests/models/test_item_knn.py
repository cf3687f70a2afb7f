"""Item kNN against scikit-learn's cosine similarity, written down the slow way."""

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import markets_of


def fitted(catalogue, log, **options):
    model = build_model("item_knn", catalogue, seed=0, **options)
    Trainer(train_config("item_knn", device="cpu")).repeat(model, log, [])
    return model


def scores_of(model, log):
    return model.score(torch.arange(log.n_users), log.history()).numpy()


def test_the_toy_by_hand(toy_catalogue, toy_log):
    # chosen by: item 0: users 0, 2; item 1: 0, 1; item 2: 0, 2; item 3: 1, 2; item 4: nobody; item 5: 2
    # user 1 has 1 and 3. s(1, 0) = 1/2, s(1, 2) = 1/2, s(1, 3) = 1/2, s(3, 0) = 1/2, s(3, 2) = 1/2, s(3, 5) = 1/√2
    expected = [1 / 2 + 1 / 2, 1 / 2, 1 / 2 + 1 / 2, 1 / 2, 0, 1 / np.sqrt(2)]
    assert scores_of(fitted(toy_catalogue, toy_log, k=0), toy_log)[1].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("k", [1, 4, 15, 40, 0])
def test_only_the_k_nearest_of_each_item_count(market_catalogue, k):
    log = markets_of(60, 40, 2, 12, seed=3)
    x = log.user_items().toarray().astype(np.float64)
    similarity = cosine_similarity(x.T)
    np.fill_diagonal(similarity, 0)
    if 0 < k < 40:
        kept = np.zeros_like(similarity)
        for item in range(40):  # ties by index, as everywhere
            order = sorted(range(40), key=lambda other: (-round(similarity[item, other], 5), other))[:k]
            kept[item, order] = similarity[item, order]
        similarity = kept
    assert scores_of(fitted(market_catalogue, log, k=k), log) == pytest.approx(x @ similarity.T, rel=1e-5, abs=1e-6)


def test_a_user_without_a_history_cannot_be_scored(toy_catalogue, toy_log):
    model = fitted(toy_catalogue, toy_log)
    assert model.can_score(torch.arange(4), toy_log.history()).tolist() == [True, True, True, False]


@pytest.mark.parametrize("options", [{"k": -1}, {"similarity": "jaccard"}, {"shrinkage": -1.0}, {"shrinkage": float("nan")}])
@pytest.mark.parametrize("name", ["item_knn", "user_knn"])
def test_options_that_no_neighbourhood_has_are_refused(toy_catalogue, name, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        build_model(name, toy_catalogue, seed=0, **options)
