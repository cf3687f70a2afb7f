"""Multi-VAE against the network and the loss of the paper, written out."""

import pytest
import torch
from torch.distributions import Normal, kl_divergence
from torch.nn import functional as F

from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer


def prepared(catalogue, log, **options):
    model = build_model("multi_vae", catalogue, seed=3, **{"layers": [9, 5], "dropout": 0.0, "beta": 0.3} | options)
    Trainer(train_config("multi_vae", device="cpu")).repeat(model, log, [])
    with torch.no_grad():  # as built the code is small; larger weights make tanh matter
        for parameter in model.parameters():
            parameter.mul_(3.0)
    return model


def dense(log):
    return torch.from_numpy(log.user_items().toarray())


def plain_code(model, x):
    hidden = x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)
    hidden = torch.tanh(hidden @ model.item_embeddings + model.first_bias)
    *before, last = model.hidden[: max(len(model.config.layers) - 1, 1)]
    for layer in before:
        hidden = torch.tanh(layer(hidden))
    mean, log_variance = last(hidden).split(model.config.layers[-1], dim=1)
    return mean, log_variance


def plain_logits(model, code):
    for layer in model.hidden[max(len(model.config.layers) - 1, 1) :]:
        code = torch.tanh(layer(code))
    return model.output(code)


def one_batch(model, log, *, epoch=1):
    return next(model.batches(log, torch.Generator().manual_seed(0), batch_size=1000, epoch=epoch))


@pytest.mark.parametrize("layers", [[5], [9, 5], [9, 7, 5]])
def test_scores_are_the_forward_pass_with_the_mean_of_the_code(market_catalogue, market_log, layers):
    model = prepared(market_catalogue, market_log, layers=layers).eval()
    assert [model.hidden[max(len(layers) - 2, 0)].out_features, model.output.in_features] == [2 * layers[-1], layers[0]]
    assert len(model.hidden) == max(2 * len(layers) - 2, 1)
    users = torch.tensor([4, 59, 0])
    with torch.no_grad():
        scores = model.score(users, market_log.history().take(users))
        expected = plain_logits(model, plain_code(model, dense(market_log)[users])[0])
    assert torch.allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_loss_and_gradients_are_those_of_the_written_out_bound(market_catalogue, market_log):
    model = prepared(market_catalogue, market_log, anneal_epochs=0).train()
    batch = one_batch(model, market_log)
    torch.manual_seed(5)
    total, count = model.loss(batch)
    gradients = torch.autograd.grad(total, list(model.parameters()))

    x = dense(market_log)[batch.users]
    mean, log_variance = plain_code(model, x)
    posterior = Normal(mean, (log_variance / 2).exp())
    torch.manual_seed(5)
    code = mean + posterior.stddev * torch.randn_like(mean)
    likelihood = (x * F.log_softmax(plain_logits(model, code), 1)).sum()
    expected = -likelihood + 0.3 * kl_divergence(posterior, Normal(0.0, 1.0)).sum()
    assert count == len(x) and float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    for ours, theirs in zip(gradients, torch.autograd.grad(expected, list(model.parameters()))):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4)


def test_the_weight_of_the_divergence_rises_step_by_step_to_its_cap(market_catalogue, market_log):
    model = prepared(market_catalogue, market_log, beta=0.8, anneal_epochs=2)
    weights = [
        batch.beta
        for epoch in (1, 2, 3)
        for batch in model.batches(market_log, torch.Generator().manual_seed(epoch), batch_size=16, epoch=epoch)
    ]
    assert weights == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.8, 0.8, 0.8])
    late = next(model.batches(market_log, torch.Generator(), batch_size=16, epoch=3))
    assert [part.beta for part in late.split(3)] == [0.8] * 3


def test_a_code_without_divergence_is_not_held_near_the_prior(market_catalogue, market_log):
    codes = {}
    for beta in (0.0, 5.0):
        model = build_model("multi_vae", market_catalogue, seed=0, layers=[20, 5], beta=beta, anneal_epochs=0)
        Trainer(train_config("multi_vae", device="cpu")).repeat(model, market_log, [0.02] * 30)
        with torch.no_grad():
            codes[beta] = float(plain_code(model, dense(market_log))[0].square().mean())
    assert codes[5.0] < 0.05 < codes[0.0]


@pytest.mark.parametrize(
    "options, message",
    [({"layers": []}, "one or more"), ({"beta": -0.1}, "not be negative"), ({"beta": float("nan")}, "not be negative")],
)
def test_options_that_mean_nothing_are_refused(market_catalogue, options, message):
    with pytest.raises(ValueError, match=message):
        build_model("multi_vae", market_catalogue, seed=0, **options)
