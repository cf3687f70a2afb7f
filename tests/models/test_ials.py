"""iALS against the loss of the paper, written down over all cells in float64."""

import numpy as np
import pytest
import torch

from recsys_lib.data.interactions import Interactions
from recsys_lib.models import build_model, ials
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import catalogue_of, markets_of


def fitted(catalogue, log, seed=0, **options):
    model = build_model("ials", catalogue, seed=0, **{"factors": 7} | options)
    Trainer(train_config("ials", device="cpu", seed=seed)).repeat(model, log, [])
    return model


def penalties(x, config):
    """λ of each user and of each item."""
    (n_users, n_items), alpha = x.shape, config.unobserved_weight
    users = config.regularisation * (x.sum(1) + alpha * n_items) ** config.frequency_power
    return users, config.regularisation * (x.sum(0) + alpha * n_users) ** config.frequency_power


def loss_of(x, users, items, config):
    products, (of_users, of_items) = users @ items.T, penalties(x, config)
    fit = (x * (1 - products) ** 2).sum() + config.unobserved_weight * (products**2).sum()
    return fit + of_users @ (users**2).sum(1) + of_items @ (items**2).sum(1)


def plain_users(x, items, config):
    """One user after the other."""
    found = []
    for row, penalty in zip(x, penalties(x, config)[0]):
        own = items[row > 0]
        system = own.T @ own + config.unobserved_weight * items.T @ items + penalty * np.eye(items.shape[1])
        found.append(np.linalg.solve(system, own.sum(0)))
    return np.array(found)


def vectors_of(model, log):
    users = torch.arange(log.n_users)
    return model.user_vectors(users, log.history()).double().numpy(), model.items.double().numpy()


@pytest.fixture
def uneven():
    """Histories of 0 to 38 of 40 items: longer than the vectors, and shorter."""
    rng = np.random.default_rng(0)
    chance = np.linspace(0, 1, 60) ** 2
    users, items = np.nonzero(rng.random((60, 40)) < chance[:, None] * np.linspace(0.95, 0.05, 40))
    return Interactions(users, items, 60, 40)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("cells", [2**24, 7 * 7 * 5, 1])  # all users at once, five at a time, one at a time
def test_a_user_s_vector_solves_the_formula(market_catalogue, uneven, power, cells, monkeypatch):
    monkeypatch.setattr(ials, "_CELLS", cells)
    model = fitted(market_catalogue, uneven, frequency_power=power, n_sweeps=2)
    users, items = vectors_of(model, uneven)
    assert uneven.user_counts.min() == 0 and uneven.user_counts.max() > 3 * 7
    assert users == pytest.approx(plain_users(uneven.user_items().toarray(), items, model.config), rel=1e-3, abs=1e-5)


def test_each_sweep_lowers_the_loss_and_the_last_ones_find_nothing_more(market_catalogue, uneven):
    x, losses = uneven.user_items().toarray().astype(np.float64), []
    for n in (1, 2, 3, 200, 201):
        model = fitted(market_catalogue, uneven, n_sweeps=n, regularisation=0.05)
        losses.append(loss_of(x, *vectors_of(model, uneven), model.config))
    assert losses[0] > losses[1] > losses[2] > losses[3]
    assert losses[4] == pytest.approx(losses[3], rel=1e-5)


def test_at_the_end_no_vector_can_be_moved_for_the_better(market_catalogue, uneven):
    """The gradient of the loss, by differences."""
    model = fitted(market_catalogue, uneven, n_sweeps=300, regularisation=0.05)
    x, (users, items) = uneven.user_items().toarray().astype(np.float64), vectors_of(model, uneven)
    lowest = loss_of(x, users, items, model.config)
    rng = np.random.default_rng(1)
    for _ in range(20):
        step = 1e-2 * rng.normal(size=users.shape), 1e-2 * rng.normal(size=items.shape)
        assert loss_of(x, users + step[0], items + step[1], model.config) > lowest


def test_another_seed_starts_elsewhere_and_ends_at_the_same_loss(market_catalogue, uneven):
    x, losses, found = uneven.user_items().toarray().astype(np.float64), [], []
    for seed in (0, 1):
        model = fitted(market_catalogue, uneven, seed=seed, n_sweeps=200, regularisation=0.05)
        found.append(vectors_of(model, uneven)[1])
        losses.append(loss_of(x, *vectors_of(model, uneven), model.config))
    assert not np.allclose(*found) and losses[0] == pytest.approx(losses[1], rel=1e-3)


def test_users_who_were_not_there_are_scored_by_their_history(market_log):
    """Fitted on 50 users; the others' items come first in their own market of 10."""
    model = fitted(catalogue_of(60, 40), market_log.take(market_log.users < 50), n_sweeps=10)
    asked = torch.arange(50, 60)
    scores = model.score(asked, market_log.history().take(asked))
    best = scores.topk(10, 1).indices // 10  # the market of each
    assert (best == (asked % 4)[:, None]).all()


def test_an_item_that_nobody_chose_has_a_vector_of_zeros(market_catalogue, market_log):
    model = fitted(market_catalogue, market_log.take(market_log.items != 7))
    assert model.items[7].eq(0).all() and model.items[8].ne(0).all()


def test_a_user_without_a_history_cannot_be_scored(toy_catalogue, toy_log):
    model = fitted(toy_catalogue, toy_log)
    assert model.can_score(torch.arange(4), toy_log.history()).tolist() == [True, True, True, False]


def test_long_rows_are_not_held_all_at_once(monkeypatch):
    """A history of 900 with vectors of 5: no block of looked-up vectors is larger than _CELLS says."""
    log = markets_of(40, 1000, 1, 900)
    monkeypatch.setattr(ials, "_CELLS", 100)
    sizes = []
    original = torch.nn.functional.embedding
    monkeypatch.setattr(ials.F, "embedding", lambda *given: sizes.append((found := original(*given)).numel()) or found)
    fitted(catalogue_of(40, 1000), log, factors=5, n_sweeps=1)
    assert 40 * 900 * 5 <= sum(sizes) / 2 and max(sizes) <= 100


@pytest.mark.parametrize(
    "options",
    [{"factors": 0}, {"n_sweeps": 0}, {"regularisation": 0.0}, {"unobserved_weight": float("nan")}, {"frequency_power": 1.5}],
)
def test_options_without_a_solution_are_refused(toy_catalogue, options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must"):
        build_model("ials", toy_catalogue, seed=0, **options)
