"""Multi-DAE against a plain dense network with the same weights."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import leave_one_out
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import catalogue_of, markets_of


def prepared(catalogue, log, **options):
    model = build_model("multi_dae", catalogue, seed=3, **options)
    Trainer(train_config("multi_dae", device="cpu")).repeat(model, log, [])
    # as built the code is small; larger weights make tanh matter
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model


def plain_logits(model, x):
    """tanh layers over the row of ones divided by its length; x: (B, n_items)."""
    hidden = x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)
    hidden = torch.tanh(hidden @ model.item_embeddings + model.first_bias)
    for layer in model.hidden:
        hidden = torch.tanh(hidden @ layer.weight.T + layer.bias)
    return hidden @ model.output.weight.T + model.output.bias


def dense(log):
    return torch.from_numpy(log.user_items().toarray())


@pytest.mark.parametrize("layers, n_hidden", [([7], 0), ([9, 5], 2), ([9, 5, 3], 4)])
def test_scores_are_the_plain_forward_pass(market_catalogue, market_log, layers, n_hidden):
    model = prepared(market_catalogue, market_log, layers=layers, dropout=0.0)
    assert len(model.hidden) == n_hidden  # the decoder mirrors the encoder: 9 -> 5 -> 9
    assert model.output.in_features == layers[0]
    users = torch.tensor([4, 59, 0])
    with torch.no_grad():
        scores = model.score(users, market_log.history().take(users))
        assert torch.allclose(scores, plain_logits(model, dense(market_log)[users]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_loss_is_the_multinomial_one(market_catalogue, market_log, training):
    model = prepared(market_catalogue, market_log, layers=[9, 5], dropout=0.0).train(training)
    batch = next(model.batches(market_log, torch.Generator().manual_seed(0), batch_size=1000, epoch=1))
    total, count = model.loss(batch)
    x = dense(market_log)
    assert count == 60
    assert float(total.detach()) == pytest.approx(float(-(x * F.log_softmax(plain_logits(model, x), 1)).sum().detach()), rel=1e-5)


def gradients_of(model, total):
    model.zero_grad()
    total.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("layers", [[7], [9, 5]])
def test_every_gradient_is_that_of_the_written_out_loss(market_catalogue, market_log, layers):
    model = prepared(market_catalogue, market_log, layers=layers, dropout=0.0).train()
    batch = next(model.batches(market_log, torch.Generator().manual_seed(0), batch_size=1000, epoch=1))
    ours = gradients_of(model, model.loss(batch)[0] / 7)
    x = dense(market_log)
    for name, gradient in gradients_of(model, -(x * F.log_softmax(plain_logits(model, x), 1)).sum() / 7).items():
        assert torch.allclose(ours[name], gradient, rtol=1e-4, atol=1e-5), name


def test_a_catalogue_wider_than_a_stripe_loses_no_column():
    """1,200 items are three stripes of the output layer, the last one short."""
    log = markets_of(50, 1200, 4, 30)
    model = prepared(catalogue_of(50, 1200), log, layers=[6], dropout=0.0).train()
    batch = next(model.batches(log, torch.Generator().manual_seed(0), batch_size=1000, epoch=1))
    x = dense(log)
    wanted = -(x * F.log_softmax(plain_logits(model, x), 1)).sum()
    total, _ = model.loss(batch)
    assert float(total.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    ours, theirs = gradients_of(model, total), gradients_of(model, wanted)
    assert torch.allclose(ours["output.bias"], theirs["output.bias"], rtol=1e-4, atol=1e-4)


def test_bfloat16_is_near_and_learns_as_well(market_catalogue, market_log):
    model = prepared(market_catalogue, market_log, layers=[9, 5], dropout=0.0).train()
    batch = next(model.batches(market_log, torch.Generator().manual_seed(0), batch_size=1000, epoch=1))
    exact = gradients_of(model, model.loss(batch)[0])
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = model.loss(batch)
    low = gradients_of(model, total)
    assert float(total.detach()) == pytest.approx(float(model.loss(batch)[0].detach()), rel=1e-3)
    for name, gradient in exact.items():
        assert low[name].dtype == torch.float32
        assert float((low[name] - gradient).norm()) < 0.02 * float(gradient.norm()), name

    split = leave_one_out(market_log, seed=1)
    found = []
    for precision in ("float32", "bfloat16"):
        model = build_model("multi_dae", market_catalogue, seed=3, layers=[20])
        config = train_config("multi_dae", epochs=40, batch_size=20, learning_rate=1e-2, precision=precision, device="cpu", tensorboard=False)
        Trainer(config).repeat(model, split.train, [1e-2] * 40)
        assert {p.dtype for p in model.parameters()} == {torch.float32}
        found.append(Evaluator(split.test, seen=split.known_before_test, ks=[5]).evaluate(model))
    low, high = found[0].interval("recall@5")
    assert low <= found[1].mean("recall@5") <= high
    assert found[1].mean("recall@5") > 0.3  # of 10 items of a market, 5 were seen


def test_the_loss_of_a_known_network_by_hand(toy_catalogue):
    """Output weights 0 and bias b: every row's logits are b, so the loss is |x| log Σ e^b - Σ b at the items."""
    log = Interactions([0, 0, 1], [0, 2, 5], 4, 6)
    model = build_model("multi_dae", toy_catalogue, seed=0, dropout=0.0)
    Trainer(train_config("multi_dae", device="cpu")).repeat(model, log, [])
    with torch.no_grad():
        model.output.weight.zero_()
        model.output.bias.copy_(torch.tensor([1.0, 0, 2, 0, 0, 3]))
    (batch,) = model.batches(log, torch.Generator().manual_seed(0), batch_size=10, epoch=1)
    total, count = model.loss(batch)
    z = np.log(np.exp([1, 0, 2, 0, 0, 3]).sum())
    assert count == 2  # users 2 and 3 have nothing and teach nothing
    assert total.item() == pytest.approx((2 * z - (1 + 2)) + (1 * z - 3), rel=1e-6)


def test_dropout_hides_items_while_learning_and_never_when_scoring(market_catalogue, market_log):
    model = prepared(market_catalogue, market_log, dropout=0.5)
    users = torch.arange(60)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        model.train()
        assert not torch.equal(model.score(users, market_log.history()), model.score(users, market_log.history()))
        model.eval()
        scores = model.score(users, market_log.history())
        assert torch.allclose(scores, plain_logits(model, dense(market_log)), rtol=1e-4, atol=1e-5)


def test_an_epoch_visits_each_user_with_rows_once(toy_catalogue, toy_log):
    model = prepared(toy_catalogue, toy_log)
    batches = list(model.batches(toy_log, torch.Generator().manual_seed(1), batch_size=2, epoch=1))
    assert [len(batch.history) for batch in batches] == [2, 1]
    rows = [tuple(part.history.items.tolist()) for batch in batches for part in batch.split(5)]
    assert sorted(rows) == [(0, 1, 2), (0, 2, 3, 5), (1, 3)]


def test_a_user_without_a_history_cannot_be_scored(toy_catalogue, toy_log):
    model = prepared(toy_catalogue, toy_log)
    assert model.can_score(torch.arange(4), toy_log.history()).tolist() == [True, True, True, False]
