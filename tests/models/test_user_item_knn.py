import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer


def fitted(catalogue, log, **options):
    model = build_model("user_item_knn", catalogue, seed=0, **options)
    Trainer(train_config("user_item_knn", device="cpu")).repeat(model, log, [])
    return model


@pytest.mark.parametrize("weight", [0.0, 0.375, 1.0])
def test_the_weighted_sum_of_both_cosines(market_catalogue, market_log, weight):
    x = market_log.user_items().toarray().astype(np.float64)
    users, items = cosine_similarity(x), cosine_similarity(x.T)
    np.fill_diagonal(users, 0)
    np.fill_diagonal(items, 0)
    expected = (1 - weight) * users @ x + weight * x @ items
    model = fitted(market_catalogue, market_log, item_weight=weight, user_k=0, item_k=0)
    scores = model.score(torch.arange(60), market_log.history()).numpy()
    assert scores == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_a_weight_beyond_one_and_a_misspelt_similarity_are_refused(toy_catalogue):
    with pytest.raises(ValueError, match=r"item_weight must lie in \[0, 1\]; got 1.5"):
        build_model("user_item_knn", toy_catalogue, seed=0, item_weight=1.5)
    with pytest.raises(ValueError, match="similarity must be one of cosine, pearson; got 'cos'"):
        build_model("user_item_knn", toy_catalogue, seed=0, similarity="cos")
