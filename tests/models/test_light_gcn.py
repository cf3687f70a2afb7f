"""LightGCN against dense matrices."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from recsys_lib.models import build_model
from recsys_lib.models.light_gcn import Triples
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer


def prepared(catalogue, log, **options):
    model = build_model("light_gcn", catalogue, seed=3, **{"size": 5} | options)
    Trainer(train_config("light_gcn", device="cpu")).repeat(model, log, [])
    return model


def dense_smoothing(model, log, n_layers):
    """The mean of the powers of D^-½ A D^-½ over users and items together."""
    chosen = torch.from_numpy(log.user_items().toarray())
    n = sum(chosen.shape)
    adjacency = torch.zeros(n, n)
    adjacency[: log.n_users, log.n_users :], adjacency[log.n_users :, : log.n_users] = chosen, chosen.T
    scale = adjacency.sum(1).clamp(min=1).rsqrt()
    adjacency = scale[:, None] * adjacency * scale
    vectors = torch.cat([model.users, model.items])
    layers = [vectors]
    for _ in range(n_layers):
        layers.append(adjacency @ layers[-1])
    return torch.stack(layers).mean(0).split([log.n_users, log.n_items])


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_scores_are_products_of_vectors_smoothed_by_dense_matrices(market_catalogue, market_log, layers):
    model = prepared(market_catalogue, market_log, layers=layers).eval()
    with torch.no_grad():
        users, items = dense_smoothing(model, market_log, layers)
        scores = model.score(torch.arange(60), market_log.history())
    assert torch.allclose(scores, users @ items.T, rtol=1e-4, atol=1e-6)


def test_loss_and_gradients_are_those_of_bpr_written_out(market_catalogue, market_log):
    model = prepared(market_catalogue, market_log, regularisation=0.1)
    batch = next(model.batches(market_log, torch.Generator().manual_seed(0), batch_size=50, epoch=1))
    total, count = model.loss(batch)
    users, items = dense_smoothing(model, market_log, 3)
    u, i, j = batch.users, batch.chosen, batch.others
    ahead = (users[u] * items[i]).sum(1) - (users[u] * items[j]).sum(1)
    length = model.users[u].square().sum() + model.items[i].square().sum() + model.items[j].square().sum()
    expected = -F.logsigmoid(ahead).sum() + 0.05 * length
    assert count == 50 and float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    for ours, theirs in zip(*(torch.autograd.grad(of, [model.users, model.items]) for of in (total, expected))):
        assert torch.allclose(ours, theirs, rtol=1e-3, atol=1e-5)


def test_an_epoch_holds_every_row_once_beside_something_not_chosen(market_catalogue, market_log):
    model = prepared(market_catalogue, market_log)
    batches = list(model.batches(market_log, torch.Generator().manual_seed(0), batch_size=100, epoch=1))
    keys = torch.cat([batch.users * 40 + batch.chosen for batch in batches]).sort().values
    assert keys.tolist() == market_log.pair_keys.tolist()
    others = torch.cat([batch.users * 40 + batch.others for batch in batches])
    assert not np.isin(others.numpy(), market_log.pair_keys).any()


def test_parts_of_a_batch_keep_their_rows_together():
    parts = Triples(torch.arange(5), torch.arange(5) + 10, torch.arange(5) + 20).split(3)
    assert [part.users.tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert all((part.chosen - part.users == 10).all() and (part.others - part.users == 20).all() for part in parts)


@pytest.mark.parametrize(
    "options, message", [({"size": 0}, "1 or more"), ({"layers": -1}, "0 or more"), ({"regularisation": float("nan")}, "negative")]
)
def test_options_that_mean_nothing_are_refused(market_catalogue, options, message):
    with pytest.raises(ValueError, match=message):
        build_model("light_gcn", market_catalogue, seed=0, **options)
