"""RecVAE against the encoder and the prior of the paper, written out; and its turns."""

import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal
from torch.nn import functional as F

from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer


def trained(catalogue, log, *, epochs, **options):
    model = build_model("rec_vae", catalogue, seed=3, **{"width": 8, "code": 4} | options)
    Trainer(train_config("rec_vae", device="cpu")).repeat(model, log, [0.02] * epochs)
    return model


def dense(log):
    return torch.from_numpy(log.user_items().toarray())


def plain_encoder(model, x):
    """As the paper draws it: each layer gets the output of all before it."""
    of = model.encoder

    def activated(number, value):
        norm = of.norms[number]
        return F.layer_norm(value * torch.sigmoid(value), [8], norm.weight, norm.bias, eps=0.1)

    h1 = activated(0, x / x.norm(dim=1, keepdim=True) @ of.item_embeddings + of.first_bias)
    h2 = activated(1, of.layers[0](h1) + h1)
    h3 = activated(2, of.layers[1](h2) + h1 + h2)
    h4 = activated(3, of.layers[2](h3) + h1 + h2 + h3)
    h5 = activated(4, of.layers[3](h4) + h1 + h2 + h3 + h4)
    return of.mean(h5), of.log_variance(h5)


def batch_of(model, log):
    return next(model.batches(log, torch.Generator().manual_seed(0), batch_size=1000, epoch=1))


def test_scores_are_the_mean_of_the_code_times_the_decoder(market_catalogue, market_log):
    model = trained(market_catalogue, market_log, epochs=5).eval()
    users = torch.tensor([4, 58, 0])
    with torch.no_grad():
        scores = model.score(users, market_log.history().take(users))
        expected = model.output(plain_encoder(model, dense(market_log)[users])[0])
    assert torch.allclose(scores, expected, rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_likelihood_and_what_the_code_is_off_the_mixture(market_catalogue, market_log):
    model = trained(market_catalogue, market_log, epochs=5, dropout=0.0, gamma=0.07).train()
    model.on_epoch_start(6)  # the encoder's turn
    batch = batch_of(model, market_log)
    torch.manual_seed(5)
    total, count = model.loss(batch)

    x = dense(market_log)[batch.users]
    mean, log_variance = plain_encoder(model, x)
    posterior = Normal(mean, (log_variance / 2).exp())
    torch.manual_seed(5)
    code = mean + posterior.stddev * torch.randn_like(mean)
    then = model.last_mean[batch.users], (model.last_log_variance[batch.users] / 2).exp()
    assert float(then[0].abs().max()) > 0  # a turn has been
    wide = math.exp(5.0) * torch.ones_like(code)
    parts = Normal(
        torch.stack([torch.zeros_like(code), then[0], torch.zeros_like(code)], -1),
        torch.stack([torch.ones_like(code), then[1], wide], -1),
    )
    prior = MixtureSameFamily(Categorical(torch.tensor([0.15, 0.75, 0.1]).expand(*code.shape, 3)), parts)
    off = (posterior.log_prob(code) - prior.log_prob(code)).sum(1)
    expected = -(x * F.log_softmax(model.output(code), 1)).sum() + (0.07 * x.sum(1) * off).sum()
    assert count == len(x) and float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    ours, theirs = (torch.autograd.grad(of, list(model.encoder.parameters())) for of in (total, expected))
    for one, other in zip(ours, theirs):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-3)


def test_encoder_and_decoder_learn_in_turns_and_the_prior_follows(market_catalogue, market_log):
    model = build_model("rec_vae", market_catalogue, seed=3, width=8, code=4)
    states = []
    start = model.on_epoch_start

    def watched(epoch):
        states.append({name: value.clone() for name, value in model.state_dict().items()})
        start(epoch)

    model.on_epoch_start = watched
    Trainer(train_config("rec_vae", device="cpu")).repeat(model, market_log, [0.02] * 9)
    states.append(model.state_dict())

    def changed(epoch, part):
        before, after = states[epoch - 1], states[epoch]
        return any(not torch.equal(before[name], after[name]) for name in before if name.startswith(part))

    assert [changed(epoch, "encoder") for epoch in range(1, 10)] == [True, True, True, False, True, True, True, False, True]
    assert [changed(epoch, "output") for epoch in range(1, 10)] == [False, False, False, True, False, False, False, True, False]
    assert [changed(epoch, "last_") for epoch in range(1, 10)] == [False, False, False, True, False, False, False, True, False]
    model.load_state_dict(states[7])
    with torch.no_grad():
        assert torch.allclose(states[8]["last_mean"][:58], plain_encoder(model, dense(market_log)[:58])[0], rtol=1e-4, atol=1e-5)


def test_the_decoder_learns_from_whole_rows_and_the_encoder_from_rows_with_holes(market_catalogue, market_log):
    model = trained(market_catalogue, market_log, epochs=1, dropout=0.9).train()
    batch = batch_of(model, market_log)
    asked = []
    embedded = model._embedded
    model._embedded = lambda history, weights, dropout: asked.append(dropout) or embedded(history, weights, dropout)
    for epoch in (3, 4):
        model.on_epoch_start(epoch)
        model.loss(batch)
    assert asked == [0.9, 0.0, 0.0]  # the encoder; the whole rows for the prior, then the decoder


@pytest.mark.parametrize(
    "options, message", [({"width": 0}, "1 or more"), ({"dropout": 1.0}, r"\[0, 1\)"), ({"gamma": float("nan")}, "not be negative")]
)
def test_options_that_mean_nothing_are_refused(market_catalogue, options, message):
    with pytest.raises(ValueError, match=message):
        build_model("rec_vae", market_catalogue, seed=0, **options)
