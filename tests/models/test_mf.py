"""MF against its loss, written down pair by pair in float64; and the drawn negatives against what is expected of them."""

import numpy as np
import pytest
import torch

from recsys_lib.data.sampling import NegativeSampler
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import catalogue_of, markets_of


def prepared(catalogue, log, **options):
    """Weights of the size of trained ones, biases too."""
    model = build_model("mf", catalogue, seed=0, **{"factors": 5} | options)
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for parameter in model.parameters():
            parameter.normal_(std=0.5, generator=generator)
    model.prepare(log, torch.Generator().manual_seed(0))
    return model


def parts_of(model):
    """p, q, b_u, b_i, b in float64."""
    weights = model.users.weight, model.items.weight, model.user_bias.weight[:, 0], model.item_bias, model.bias
    return [weight.detach().double().numpy() for weight in weights]


def pair_loss(parts, user, item, label, regularisation):
    p, q, b_u, b_i, b = parts
    logit = b + b_u[user] + b_i[item] + p[user] @ q[item]
    penalty = b**2 + b_u[user] ** 2 + b_i[item] ** 2 + p[user] @ p[user] + q[item] @ q[item]
    return np.log1p(np.exp(-logit if label else logit)) + regularisation / 2 * penalty


def plain_loss(model, x, n, regularisation):
    parts, total = parts_of(model), 0.0
    for user, row in enumerate(x):
        weight = n * row.sum() / (len(row) - row.sum())
        for item, chosen in enumerate(row):
            total += (1 if chosen else weight) * pair_loss(parts, user, item, chosen, regularisation)
    return total


def whole_loss(model, log):
    (batch,) = model.batches(log, torch.Generator().manual_seed(0), batch_size=10**6, epoch=1)
    return model.loss(batch)


@pytest.mark.parametrize("n, regularisation", [(8.0, 0.0), (0.5, 0.1)])
def test_the_loss_is_the_sum_over_all_pairs(toy_catalogue, toy_log, n, regularisation):
    model = prepared(toy_catalogue, toy_log, negatives_per_positive=n, regularisation=regularisation)
    total, count = whole_loss(model, toy_log)
    assert count == 9
    assert float(total.detach()) == pytest.approx(plain_loss(model, toy_log.user_items().toarray()[:3], n, regularisation), rel=1e-5)


def test_it_is_what_drawn_negatives_give_on_average(toy_catalogue, toy_log):
    model = prepared(toy_catalogue, toy_log, negatives_per_positive=3.0, regularisation=0.1)
    users, items = model._history.rows, model._history.items
    n = 3000  # a thousand draws of three
    drawn = NegativeSampler(toy_log).draw(users, n, torch.Generator().manual_seed(0))
    parts, total = parts_of(model), 0.0
    for user, item, negatives in zip(users.tolist(), items.tolist(), drawn.tolist()):
        total += pair_loss(parts, user, item, 1, 0.1)
        counts = np.bincount(negatives, minlength=6) * 3 / n
        total += sum(count * pair_loss(parts, user, other, 0, 0.1) for other, count in enumerate(counts))
    assert float(whole_loss(model, toy_log)[0].detach()) == pytest.approx(total, rel=0.01)


def test_a_weighted_loss_weighs_the_chosen_pairs_alone(toy_catalogue, toy_log):
    model = prepared(toy_catalogue, toy_log, regularisation=0.0, loss_popularity_power=1.0)
    plain = prepared(toy_catalogue, toy_log, regularisation=0.0)
    history, parts = toy_log.history(), parts_of(plain)
    chosen = np.array([pair_loss(parts, *pair, 1, 0.0) for pair in zip(history.rows.tolist(), history.items.tolist())])
    weights = model.loss_weights[history.items].double().numpy()
    difference = float((whole_loss(model, toy_log)[0] - whole_loss(plain, toy_log)[0]).detach())
    assert difference == pytest.approx((weights - 1) @ chosen, rel=1e-3)
    assert abs(difference) > 0.1


def test_scores_are_logits_without_what_is_the_same_for_all_items(toy_catalogue, toy_log):
    model = prepared(toy_catalogue, toy_log)
    p, q, _, b_i, _ = parts_of(model)
    assert model.score(torch.arange(4), toy_log.history()).detach().numpy() == pytest.approx(p @ q.T + b_i, rel=1e-5)


def test_users_who_have_nothing_or_everything_teach_nothing(toy_catalogue):
    log = markets_of(4, 6, 1, 6)  # everybody has everything
    some = log.take((log.users == 1) | ((log.users == 2) & (log.items < 2)))
    model = prepared(toy_catalogue, some)
    (batch,) = model.batches(some, torch.Generator().manual_seed(0), batch_size=10, epoch=1)
    assert batch.users.tolist() == [2]
    assert model.can_score(torch.arange(4), some.history()).tolist() == [False, True, True, False]


def test_regularisation_keeps_vectors_short(market_catalogue, market_log):
    lengths = []
    for regularisation in (0.0, 0.3):
        model = build_model("mf", market_catalogue, seed=0, factors=8, regularisation=regularisation)
        Trainer(train_config("mf", batch_size=20, device="cpu")).repeat(model, market_log, [0.02] * 40)
        lengths.append(float(model.users.weight.detach().square().sum()))
    assert lengths[1] < 0.5 * lengths[0]


def test_it_finds_the_market(market_log):
    rows = np.zeros(len(market_log), dtype=bool)
    rows[np.unique(market_log.users, return_index=True)[1]] = True  # one of each user
    train, test = market_log.take(~rows), market_log.take(rows)
    model = build_model("mf", catalogue_of(60, 40), seed=0, factors=8)
    Trainer(train_config("mf", batch_size=20, device="cpu")).repeat(model, train, [0.02] * 60)
    assert Evaluator(test, seen=train, ks=[5]).evaluate(model).mean("recall@5") > 0.6  # 5 places for 5 items of the market


@pytest.mark.parametrize("options", [{"factors": 0}, {"negatives_per_positive": 0.0}, {"regularisation": float("nan")}])
def test_options_that_mean_nothing_are_refused(toy_catalogue, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        build_model("mf", toy_catalogue, seed=0, **options)
