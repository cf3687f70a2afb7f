"""Multi-DAE against a plain dense network with the same weights."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable, Numeric, Vectors
from recsys_lib.data.interactions import History, Interactions
from recsys_lib.data.splits import leave_one_out
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from recsys_lib.training.checkpoints import load_weights, save_weights
from tests.conftest import catalogue_of, markets_of
from tests.models.ridges import best_strength, plain_ridge, refitted_without_each, side_vectors


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


# ---- side information

EVERYBODY = torch.arange(60)
NEW_USERS, NEW_ITEMS = torch.tensor([54, 55, 56, 57, 58, 59]), torch.tensor([9, 19, 38, 39])


@pytest.fixture
def some(market_log):
    """Six users without rows, and four items that nobody chose."""
    return market_log.take((market_log.users < 54) & ~np.isin(market_log.items, NEW_ITEMS))


def known_of(log):
    return torch.from_numpy(log.item_counts > 0)


def asked_for(model, log, users=EVERYBODY):
    with torch.no_grad():
        return model.score(users, log.history().take(users))


def with_features(catalogue, log, **options):
    """The weights of the features are no longer 0."""
    model = prepared(catalogue, log, **{"layers": [9, 5], "dropout": 0.0, "feature_weight": 0.5} | options)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in (model.user_weights, model.item_weights):
            if weights is not None:
                weights.copy_(torch.randn(weights.shape, generator=generator))
    return model


def features_of(model, side):
    """(n, width) float32, as the model was told to weigh them."""
    table = model.catalogue.user_features if side == "user" else model.catalogue.item_features
    chosen = [name for name in table.names if name in model.uses_features]
    vectors = side_vectors(table.select(chosen), model.config.feature_size) * model.config.feature_weight
    return torch.from_numpy(vectors).float()


def logits_with_features(model, x, clicks=1.0):
    """The network as the head of the module writes it down; clicks: (B, 1) or a number, what is left of a history."""
    first, output = model.item_embeddings, model.output.weight
    if model.item_weights is not None:
        of_items = features_of(model, "item") @ model.item_weights
        first = first + of_items
        output = output + of_items if model.config.tie_features else output
    hidden = clicks * x / x.norm(dim=1, keepdim=True).clamp(min=1e-12) @ first + model.first_bias
    if model.user_weights is not None:
        hidden = hidden + features_of(model, "user") @ model.user_weights
    hidden = torch.tanh(hidden)
    for layer in model.hidden:
        hidden = torch.tanh(hidden @ layer.weight.T + layer.bias)
    return hidden @ output.T + model.output.bias


CHOICES = [
    {"features": "user"}, {"features": "item"}, {"features": "all"}, {"features": "all", "tie_features": False},
    {"features": ["career", "keywords"], "feature_size": 2}, {"features": "user", "hide_history": 0.5},
]  # fmt: skip


@pytest.mark.parametrize("options", CHOICES)
def test_before_it_learns_features_change_no_bit_of_what_known_users_get_of_known_items(market_catalogue, some, options):
    plain = prepared(market_catalogue, some).eval()
    model = prepared(market_catalogue, some, **options).eval()
    assert sum(weights is not None for weights in (model.user_weights, model.item_weights)) > 0
    known = known_of(some)
    users = EVERYBODY[:54]
    assert torch.equal(asked_for(model, some, users)[:, known], asked_for(plain, some, users)[:, known])
    batch = next(plain.batches(some, torch.Generator().manual_seed(0), batch_size=100, epoch=1))
    assert torch.equal(model.loss(batch)[0], plain.loss(batch)[0])  # in evaluation mode: with no history hidden


@pytest.mark.parametrize("options", CHOICES)
def test_scores_with_features_are_the_written_out_forward_pass(market_catalogue, some, options):
    model = with_features(market_catalogue, some, **options).eval()
    with torch.no_grad():
        wanted = logits_with_features(model, dense(some))
    known = known_of(some)
    assert torch.allclose(asked_for(model, some)[:, known], wanted[:, known], rtol=1e-4, atol=1e-4)
    plain = plain_logits(model, dense(some))
    assert (plain - wanted)[:54, known].abs().max() > 0.1, "features count here"


@pytest.mark.parametrize("options", CHOICES[:5])
def test_loss_and_gradients_with_features_are_those_of_the_written_out_network(market_catalogue, some, options):
    model = with_features(market_catalogue, some, **options).train()
    batch = next(model.batches(some, torch.Generator().manual_seed(0), batch_size=1000, epoch=1))
    x = dense(some)
    total, wanted = model.loss(batch)[0], -(x * F.log_softmax(logits_with_features(model, x), 1)).sum()
    assert float(total.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    ours, theirs = gradients_of(model, total / 7), gradients_of(model, wanted / 7)
    assert set(ours) == set(theirs) and len(set(ours) & {"user_weights", "item_weights"}) > 0
    for name in ours:
        assert torch.allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-4), name


@pytest.mark.parametrize("options", CHOICES[:5])
def test_parts_of_a_batch_with_features_add_up(market_catalogue, some, options):
    model = with_features(market_catalogue, some, **options).train()
    batch = next(model.batches(some, torch.Generator().manual_seed(0), batch_size=31, epoch=1))
    with torch.no_grad():
        total, count = model.loss(batch)
        parts = batch.split(4)
        assert torch.equal(torch.cat([part.users for part in parts]), batch.users)
        assert sum(float(model.loss(part)[0]) for part in parts) == pytest.approx(float(total), rel=1e-5)
        assert sum(model.loss(part)[1] for part in parts) == count == 31


def test_a_hidden_history_leaves_the_features_and_its_loss_and_is_hidden_while_learning_alone(market_catalogue, some, monkeypatch):
    model = with_features(market_catalogue, some, features="all", hide_history=0.3).train()
    batch = next(model.batches(some, torch.Generator().manual_seed(0), batch_size=1000, epoch=1))
    drawn = torch.rand(54, generator=torch.Generator().manual_seed(5))
    monkeypatch.setattr(torch, "rand", lambda n, device=None: drawn[:n])
    clicks = torch.ones(60, 1)
    clicks[batch.users, 0] = (drawn >= 0.3).float()
    assert 5 < int((clicks == 0).sum()) < 30
    x = dense(some)
    total = model.loss(batch)[0]
    wanted = -(x * F.log_softmax(logits_with_features(model, x, clicks), 1)).sum()  # all items are still to be found
    assert float(total.detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)
    ours, theirs = gradients_of(model, total / 7), gradients_of(model, wanted / 7)
    for name in ours:
        assert torch.allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-4), name
    wanted = -(x * F.log_softmax(logits_with_features(model, x), 1)).sum()
    assert float(model.eval().loss(batch)[0].detach()) == pytest.approx(float(wanted.detach()), rel=1e-5)


def test_as_many_histories_are_hidden_as_were_asked_for(market_catalogue):
    log = markets_of(1000, 40, 4, 3)
    model = with_features(catalogue_of(1000, 40), log, features="user", hide_history=0.3)
    users = torch.arange(1000)
    nothing = History(torch.zeros(1001, dtype=torch.int64), torch.zeros(0, dtype=torch.int64))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        shown, hidden = model.eval().user_vectors(users, log.history()), model.user_vectors(users, nothing)
        learning = model.train().user_vectors(users, log.history())
    as_shown, as_hidden = (learning == shown).all(1), (learning == hidden).all(1)
    assert bool((as_shown ^ as_hidden).all()) and int(as_hidden.sum()) == pytest.approx(300, abs=60)


def test_who_learns_from_hidden_histories_scores_users_without_one(market_catalogue, some):
    users = torch.tensor([0, 58])
    for share, can in ((0.0, [True, False]), (0.2, [True, True])):
        model = prepared(market_catalogue, some, features="user", hide_history=share)
        assert model.can_score(users, some.history().take(users)).tolist() == can


def test_hidden_histories_without_features_of_users_are_refused(market_catalogue):
    for chosen in ("none", "item"):
        with pytest.raises(ValueError, match="hide_history asks for users by their features; choose some, e.g. features='user'"):
            build_model("multi_dae", market_catalogue, seed=0, features=chosen, hide_history=0.1)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"feature_size": 0}, "feature_size must be 1 or more; got 0"),
        ({"feature_weight": 0.0}, "feature_weight must be above 0; got 0.0; for no features say features='none'"),
        ({"feature_weight": float("nan")}, "feature_weight must be above 0"),
        ({"hide_history": 1.0, "features": "user"}, r"hide_history must lie in \[0, 1\); got 1.0"),
        ({"hide_history": -0.1, "features": "user"}, "hide_history must lie in"),
    ],
)
def test_options_of_features_that_mean_nothing_are_refused(market_catalogue, options, message):
    with pytest.raises(ValueError, match=message):
        build_model("multi_dae", market_catalogue, seed=0, **options)


@pytest.mark.parametrize("chosen", ["none", []])
def test_without_features_it_is_the_model_that_it_was_and_old_weights_still_load(market_catalogue, some, chosen):
    model = build_model("multi_dae", market_catalogue, seed=3, layers=[9, 5], features=chosen)
    old = {"item_embeddings", "first_bias", "output.weight", "output.bias"} | {f"hidden.{n}.{p}" for n in (0, 1) for p in ("weight", "bias")}
    assert set(model.state_dict()) == old and model.uses_features == frozenset()
    model.prepare(some, torch.Generator())
    model.eval()
    assert model.score_newcomers(NEW_USERS) is None
    vectors, bias = model.item_vectors()
    assert vectors is model.output.weight and bias is model.output.bias  # nothing is copied, new items or not


def test_weights_with_features_come_back_into_a_new_model(market_catalogue, some, tmp_path):
    model = with_features(market_catalogue, some, features="all").eval()
    scores, of_new = asked_for(model, some), model.score_newcomers(NEW_USERS)
    save_weights(tmp_path / "w.safetensors", model, epoch=1)
    fresh = build_model("multi_dae", market_catalogue, seed=8, layers=[9, 5], dropout=0.0, features="all", feature_weight=0.5)
    fresh.prepare(some, torch.Generator())
    fresh.eval()
    assert not torch.equal(asked_for(fresh, some), scores)
    fresh.score_newcomers(NEW_USERS)  # what was made of the old weights must not survive the new ones
    load_weights(tmp_path / "w.safetensors", fresh)
    assert torch.equal(asked_for(fresh, some), scores)
    assert torch.equal(fresh.score_newcomers(NEW_USERS), of_new)


# ---- new items


def slow_correction(as_learned, as_mapped, seen):
    """log Σ e^learned - log Σ e^mapped over the cells that a new item would compete with, a user at a time."""
    learned, mapped = [], []
    for row, guess, hidden in zip(as_learned, as_mapped, seen):
        threshold = np.sort(row[~hidden])[::-1][:20][-1]
        there = ~hidden & (guess >= threshold)
        learned += row[there].tolist()
        mapped += guess[there].tolist()
    assert len(learned) > 50
    return np.log(np.exp(learned).sum()) - np.log(np.exp(mapped).sum())


@pytest.mark.parametrize("tied", [True, False])
def test_a_new_item_gets_its_row_of_the_output_from_a_ridge_over_known_items(market_catalogue, some, tied):
    model = with_features(market_catalogue, some, features="item", tie_features=tied, layers=[6]).eval()
    known = known_of(some).numpy()
    features = side_vectors(market_catalogue.item_features, 256)
    with torch.no_grad():
        weight = model.output.weight + (features_of(model, "item") @ model.item_weights if tied else 0)
        learned = torch.cat([weight, model.output.bias[:, None]], 1).double().numpy()
        hidden = model.user_vectors(EVERYBODY[:54], some.history().take(EVERYBODY[:54])).double().numpy()
    hidden = np.hstack([hidden, np.ones((54, 1))])
    x, y = features[known], learned[known]
    strength = best_strength(x, y)
    mapped, left_out = plain_ridge(x, y, strength)(features[~known]), refitted_without_each(x, y, strength)
    seen = dense(some).numpy()[:54][:, known].astype(bool)
    mapped[:, -1] += slow_correction(hidden @ y.T, hidden @ left_out.T, seen)
    with torch.no_grad():
        vectors, bias = model.item_vectors()
    assert np.flatnonzero(~known).tolist() == NEW_ITEMS.tolist()
    assert torch.cat([vectors, bias[:, None]], 1)[NEW_ITEMS].numpy() == pytest.approx(mapped, rel=1e-3, abs=1e-3)
    assert torch.allclose(vectors[known], weight[known], atol=1e-5) and torch.equal(bias[known], model.output.bias[known])


@pytest.mark.parametrize("chosen", ["user", "item"])
def test_where_all_items_are_known_or_no_feature_speaks_of_them_there_are_no_new_ones(market_catalogue, market_log, some, chosen):
    model = with_features(market_catalogue, market_log if chosen == "item" else some, features=chosen).eval()
    assert chosen == "user" or bool(known_of(market_log).all())
    with torch.no_grad():
        bias = model.item_vectors()[1]
    assert torch.equal(bias, model.output.bias)


def test_one_known_item_is_too_few_for_a_map(market_catalogue):
    log = Interactions([0, 1, 2], [7, 7, 7], 60, 40)
    model = with_features(market_catalogue, log, features="item").eval()
    assert torch.equal(model.item_vectors()[1], model.output.bias) and asked_for(model, log).isfinite().all()


def test_what_all_users_are_scored_against_is_made_once_and_anew_where_it_changes(market_catalogue, some):
    model = with_features(market_catalogue, some, features="item").eval()
    side = model._items_once()
    assert model._items_once() is side
    for change in (
        lambda: model.set_features(item=market_catalogue.item_features),
        lambda: model.load_state_dict(model.state_dict()),
        lambda: model.train().eval(),
        lambda: model.prepare(some, torch.Generator()),
        lambda: model.to("cpu"),
    ):
        change()
        other = model._items_once()
        assert other is not side and model._items_once() is other and torch.equal(other.weight, side.weight)
        side = other
    assert model.eval()._items_once() is side, "nothing changed"
    model.train()
    assert model._items_once() is not model._items_once()
    assert torch.equal(model._items_once().bias, model.output.bias), "while it learns there are no new items"


def test_scores_asked_without_gradients_do_not_spoil_those_with_and_the_kept_side_has_no_graph(market_catalogue, some):
    for log in (some, markets_of(60, 40, 4, 6)):
        model = with_features(market_catalogue, log, features="item").eval()
        users = torch.arange(5)
        history = log.history().take(users)
        with torch.inference_mode():
            before = model.score(users, history)
        assert torch.equal(model.score(users, history).detach(), before)
        model.set_features(item=market_catalogue.item_features)
        model.score(users, history)
        assert not model._items_once().weight.requires_grad


# ---- newcomers


@pytest.mark.parametrize("layers", [[6], [9, 5]])
def test_a_newcomer_is_to_the_network_what_a_ridge_from_features_says_that_its_first_layer_sees(market_catalogue, some, layers):
    model = with_features(market_catalogue, some, features="all", layers=layers).eval()
    features = side_vectors(market_catalogue.user_features, 256)
    with torch.no_grad():
        rows = model.item_embeddings + features_of(model, "item") @ model.item_weights
        first = dense(some) @ rows * dense(some).sum(1, keepdim=True).clamp(min=1).rsqrt()
        first = (first + features_of(model, "user") @ model.user_weights + model.first_bias)[:54].double().numpy()
        expected = plain_ridge(features[:54], first, best_strength(features[:54], first))(features[NEW_USERS])
        hidden = torch.tanh(torch.from_numpy(expected).float())
        for layer in model.hidden:
            hidden = torch.tanh(layer(hidden))
        vectors, bias = model.item_vectors()
    found = model.score_newcomers(NEW_USERS)
    assert found.numpy() == pytest.approx((hidden @ vectors.T + bias).numpy(), rel=1e-3, abs=1e-4) and not found.requires_grad


def test_newcomers_asked_for_in_an_evaluation_and_then_outside_are_the_same(market_catalogue, some):
    model = with_features(market_catalogue, some, features="all").eval()
    with torch.inference_mode():
        inside = model.score_newcomers(NEW_USERS)
    outside = model.score_newcomers(NEW_USERS)
    assert torch.equal(outside, inside) and not outside.requires_grad


def test_a_map_that_is_made_anew_after_a_swap_still_learns_from_the_users_features_of_before(market_catalogue, some):
    model = with_features(market_catalogue, some, features="user").eval()
    model.score_newcomers(NEW_USERS)
    before = model._user_map.ridge
    order = np.random.default_rng(0).permutation(60)
    degree, career = market_catalogue.user_features["degree"], market_catalogue.user_features["career"]
    dealt = [type(degree)("degree", degree.codes[order], degree.labels), Numeric("career", career.values[order])]
    model.set_features(user=FeatureTable(60, dealt))
    model.load_state_dict(model.state_dict())
    model.score_newcomers(NEW_USERS)
    assert model._user_map.ridge is not before
    assert torch.allclose(model._user_map.ridge.weights, before.weights, atol=1e-5)


def test_no_user_features_leave_newcomers_to_popularity(market_catalogue, some):
    assert with_features(market_catalogue, some, features="item").eval().score_newcomers(NEW_USERS) is None


def test_swapped_features_keep_the_map_of_users_and_swapping_back_brings_every_bit_back(market_catalogue, some):
    model = with_features(market_catalogue, some, features="all").eval()
    user, item = market_catalogue.user_features, market_catalogue.item_features
    users = torch.tensor([54, 3])
    career = user["career"].values.copy()
    career[[54, 3]] = career[[3, 54]]
    codes = user["degree"].codes.copy()
    codes[[54, 3]] = codes[[3, 54]]
    # nobody has asked for newcomers yet: the map is fitted to the features of before all the same
    model.set_features(user=FeatureTable(60, [Numeric("career", career), type(user["degree"])("degree", codes, user["degree"].labels)]))
    swapped, scores = model.score_newcomers(users), asked_for(model, some)
    model.set_features(user=user, item=item)
    known = known_of(some)  # new items are judged by known users, one of whom has other features now
    assert torch.allclose(model.score_newcomers(users)[:, known], swapped[[1, 0]][:, known], rtol=1e-6, atol=1e-6)
    assert not torch.allclose(swapped[0], swapped[1], rtol=1e-3, atol=1e-3)
    untouched = with_features(market_catalogue, some, features="all").eval()
    assert torch.equal(asked_for(model, some), asked_for(untouched, some)) and not torch.equal(scores, asked_for(model, some))
    assert torch.equal(model.score_newcomers(NEW_USERS), untouched.score_newcomers(NEW_USERS))


def test_tables_that_do_not_fit_change_nothing(market_catalogue, some):
    model = with_features(market_catalogue, some, features="all").eval()
    before, of_new = asked_for(model, some), model.score_newcomers(NEW_USERS)
    user = FeatureTable(60, [market_catalogue.user_features["degree"], Numeric("career", np.arange(60, dtype=np.float32))])
    for given in ({"user": user, "item": FeatureTable(40)}, {"user": user.select(["career"])}, {"item": user}):
        with pytest.raises(ValueError, match="the model uses feature|have 60 rows, not 40"):
            model.set_features(**given)
        assert torch.equal(asked_for(model, some), before) and torch.equal(model.score_newcomers(NEW_USERS), of_new)


def test_users_and_items_without_a_vector_are_learned_from_and_scored(market_catalogue, some):
    rng = np.random.default_rng(0)
    tables = []
    for name, n in (("face", 60), ("poster", 40)):
        values = rng.normal(size=(n, 5)).astype(np.float32)
        values[::3] = np.nan
        tables.append(FeatureTable(n, [Vectors(name, values)]))
    catalogue = Catalogue(market_catalogue.users, market_catalogue.items, *tables)
    model = build_model("multi_dae", catalogue, seed=0, features="all", hide_history=0.2)
    Trainer(train_config("multi_dae", device="cpu", tensorboard=False)).repeat(model, some, [1e-2] * 2)
    assert model.user_weights.isfinite().all() and model.user_weights.abs().max() > 0
    assert asked_for(model, some).isfinite().all() and model.score_newcomers(NEW_USERS).isfinite().all()
