"""RP3beta against its formula, written down with dense matrices."""

import numpy as np
import pytest
import torch

from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import markets_of


def fitted(catalogue, log, **options):
    model = build_model("rp3beta", catalogue, seed=0, **options)
    Trainer(train_config("rp3beta", device="cpu")).repeat(model, log, [])
    return model


def scores_of(model, log):
    return model.score(torch.arange(log.n_users), log.history()).numpy()


def plain_walks(x, alpha, beta, k):
    """W, row j: from item j to each end."""
    to_users = (x.T / x.sum(0).clip(1)[:, None]) ** alpha  # (n_items, n_users)
    to_items = (x / x.sum(1).clip(1)[:, None]) ** alpha  # (n_users, n_items)
    walks = to_users @ to_items / x.sum(0).clip(1) ** beta
    np.fill_diagonal(walks, 0)
    if k:
        for row in walks:  # equal ones by index, as everywhere
            row[sorted(range(len(row)), key=lambda end: (-np.float32(row[end].round(7)), end))[k:]] = 0
    return walks


def test_the_toy_by_hand(toy_catalogue, toy_log):
    # chosen by: item 0: users 0, 2; item 1: 0, 1; item 2: 0, 2; item 3: 1, 2; item 4: nobody; item 5: 2
    # user 0 has 3 items, user 1 has 2, user 2 has 4. User 1 has 1 and 3:
    # from 1: over user 0 (1/2 · 1/3) to 0 and 2; over user 1 (1/2 · 1/2) to 3
    # from 3: over user 1 (1/2 · 1/2) to 1; over user 2 (1/2 · 1/4) to 0, 2 and 5
    expected = [1 / 6 + 1 / 8, 1 / 4, 1 / 6 + 1 / 8, 1 / 4, 0, 1 / 8]
    assert scores_of(fitted(toy_catalogue, toy_log, alpha=1.0, beta=0.0, k=0), toy_log)[1].tolist() == pytest.approx(expected)
    # β = 1: items 0 to 3 have two choosers each, item 5 has one
    divided = [value / 2 for value in expected[:4]] + [0, 1 / 8]
    assert scores_of(fitted(toy_catalogue, toy_log, alpha=1.0, beta=1.0, k=0), toy_log)[1].tolist() == pytest.approx(divided)


@pytest.mark.parametrize("alpha, beta", [(1.0, 0.0), (1.4, 0.3), (0.6, 1.0)])
@pytest.mark.parametrize("k", [1, 5, 20, 40, 0])
def test_the_scores_are_the_formula(market_catalogue, alpha, beta, k):
    rng = np.random.default_rng(0)
    log = markets_of(60, 40, 2, 12, seed=3)
    log = log.take(rng.random(len(log)) < 0.3 + 0.7 * rng.random(60)[log.users])  # histories of different lengths
    x = log.user_items().toarray().astype(np.float64)
    expected = x @ plain_walks(x, alpha, beta, k if k < 40 else 0)
    assert scores_of(fitted(market_catalogue, log, alpha=alpha, beta=beta, k=k), log) == pytest.approx(
        expected, rel=1e-4, abs=1e-6
    )


def test_beta_lowers_popular_items(market_catalogue, market_log):
    popular = market_log.item_counts.argmax()
    ranks = []
    for beta in (0.0, 0.5, 1.0):
        scores = scores_of(fitted(market_catalogue, market_log, beta=beta, k=0), market_log)
        ranks.append((scores > scores[:, [popular]]).sum())
    assert ranks[0] < ranks[1] < ranks[2]


def test_a_user_without_a_history_cannot_be_scored(toy_catalogue, toy_log):
    model = fitted(toy_catalogue, toy_log)
    assert model.can_score(torch.arange(4), toy_log.history()).tolist() == [True, True, True, False]


@pytest.mark.parametrize("options", [{"alpha": -1.0}, {"beta": float("nan")}, {"alpha": float("inf")}, {"k": -1}])
def test_options_that_no_walk_has_are_refused(toy_catalogue, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        build_model("rp3beta", toy_catalogue, seed=0, **options)
