"""Popularity divided out: weights and losses against the plain formulas, scores against those of the same model without it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from recsys_lib.data.interactions import Interactions
from recsys_lib.evaluation.ranking import rank
from recsys_lib.models import build_model, model_config, ncf
from recsys_lib.models.popularity_correction import divisors, logit_discount, loss_weights
from recsys_lib.models.tower import tower_library
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import catalogue_of

LOGITS = ["multi_dae", "mf", "gmf", "mlp", "neumf"]
LINEAR = ["ease", "ials", "item_knn", "slim", "user_knn", "user_item_knn"]
N_USERS, N_ITEMS = 90, 600


@pytest.fixture(scope="module")
def log() -> Interactions:
    """Some items are chosen by half of the users, most by a few, the last ones by nobody."""
    rng = np.random.default_rng(0)
    chance = np.linspace(1, 0, N_ITEMS) ** 6 * 0.5
    chance[-20:] = 0
    users, items = np.nonzero(rng.random((N_USERS, N_ITEMS)) < chance)
    return Interactions(users, items, N_USERS, N_ITEMS)


def trained(name, log, *, epochs=2, **options):
    model = build_model(name, catalogue_of(N_USERS, N_ITEMS), seed=3, **options)
    epochs = epochs if model.needs_training else 0
    size = 30 if name in ("multi_dae", "mf") else 2000  # users, or pairs
    Trainer(train_config(name, batch_size=size, device="cpu", tensorboard=False)).repeat(model, log, [0.02] * epochs)
    return model.eval()


@torch.no_grad()
def scores_of(model, log):
    return model.score(torch.arange(N_USERS), log.history())


def gradients_of(model, total):
    model.zero_grad()
    total.backward()
    # no gradient: the features that a side does not have
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


# ---- weights


def test_weights_by_hand():
    log = Interactions([0, 1, 2, 0], [0, 0, 0, 1], 4, 6)  # items chosen 3 times, once, and never
    assert divisors(log, 0.5).tolist() == [2.0, 2**0.5, 1, 1, 1, 1]
    weights = loss_weights(log, 1.0, torch.device("cpu"))
    scale = 4 / (3 * 1 / 4 + 1 * 1 / 2)  # four rows whose weights sum to four
    assert weights.tolist() == pytest.approx([scale / 4, scale / 2, scale, scale, scale, scale])
    assert logit_discount(log, 0.5, torch.device("cpu")).tolist() == pytest.approx([np.log(2), np.log(2) / 2, 0, 0, 0, 0])


@pytest.mark.parametrize("power", [0.1, 0.5, 1.0])
def test_the_weights_of_the_rows_of_train_are_one_on_average_and_fall_with_popularity(log, power):
    weights = loss_weights(log, power, torch.device("cpu"))
    assert weights.dtype == torch.float32
    assert weights.numpy()[log.items].mean() == pytest.approx(1, rel=1e-5)
    counts = log.item_counts
    most, least = counts.argmax(), counts.argmin()
    assert float(weights[least] / weights[most]) == pytest.approx(((counts[most] + 1) / (counts[least] + 1)) ** power, rel=1e-5)


def test_power_0_computes_nothing(log):
    assert loss_weights(log, 0.0, torch.device("cpu")) is None
    assert logit_discount(log, 0.0, torch.device("cpu")) is None


# ---- losses


def plain_multinomial(model, log, weights):
    """- Σ_u Σ_{i in x_u} w_i log softmax(z_u)_i"""
    x = torch.from_numpy(log.user_items().toarray())
    hidden = x / x.norm(dim=1, keepdim=True).clamp(min=1e-12)
    hidden = torch.tanh(hidden @ model.item_embeddings + model.first_bias)
    logits = hidden @ model.output.weight.T + model.output.bias
    return -(x * weights * F.log_softmax(logits, 1)).sum()


def test_the_fused_multinomial_loss_and_its_gradients_are_those_of_the_plain_formula(log):
    """600 items are two stripes of the output layer."""
    model = trained("multi_dae", log, layers=[7], dropout=0.0, loss_popularity_power=0.7).train()
    batch = next(model.batches(log, torch.Generator().manual_seed(0), batch_size=1000, epoch=1))
    total, count = model.loss(batch)
    plain = plain_multinomial(model, log, loss_weights(log, 0.7, torch.device("cpu")))
    assert count == len(batch.history)
    assert float(total.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
    assert float(total.detach()) != pytest.approx(float(plain_multinomial(model, log, 1.0).detach()), rel=1e-2)
    ours = gradients_of(model, total / 7)
    for name, gradient in gradients_of(model, plain / 7).items():
        assert torch.allclose(ours[name], gradient, rtol=1e-4, atol=1e-5), name


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("name", ["gmf", "mlp", "neumf"])
def test_the_positives_of_ncf_are_weighted_and_the_negatives_are_not(log, name, native, monkeypatch):
    if native and tower_library() is None:
        pytest.skip("no compiler here")
    if not native:
        monkeypatch.setattr(ncf, "tower_library", lambda: None)
    model = trained(name, log, loss_popularity_power=0.7).train()
    batch = next(model.batches(log, torch.Generator().manual_seed(0), batch_size=400, epoch=1))
    total, count = model.loss(batch)
    logits = model._logits(batch.users, batch.items)
    weights = loss_weights(log, 0.7, torch.device("cpu"))[batch.items[:, 0]]
    plain = (weights * F.softplus(-logits[:, 0])).sum() + F.softplus(logits[:, 1:]).sum()
    assert count == batch.items.numel()
    assert float(total.detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
    ours, theirs = gradients_of(model, total), gradients_of(model, plain)
    assert ours.keys() == theirs.keys() and len(ours) > 2
    for part, gradient in theirs.items():
        assert torch.allclose(ours[part], gradient, rtol=1e-4, atol=1e-5), part


@pytest.mark.parametrize("name", LOGITS)
def test_parts_of_a_weighted_batch_add_up_to_the_whole(name, log):
    model = trained(name, log, loss_popularity_power=0.5)
    batch = next(model.batches(log, torch.Generator().manual_seed(0), batch_size=300, epoch=1))
    with torch.no_grad():
        parts = [model.loss(part) for part in batch.split(3)]
        assert float(sum(total for total, _ in parts)) == pytest.approx(float(model.loss(batch)[0]), rel=1e-5)


@pytest.mark.parametrize("name", LOGITS)
def test_a_weighted_loss_gives_less_popular_lists(name, log):
    def mean_popularity(power):
        model = trained(name, log, epochs=12, loss_popularity_power=power)
        items = rank(model, torch.arange(N_USERS), history=log, seen=log, k=10).items
        return log.item_counts[items.numpy()].mean()

    assert mean_popularity(1.0) < mean_popularity(0.0) - 1


# ---- scores


@pytest.mark.parametrize("name", LOGITS)
def test_logits_are_lowered_by_the_discount_on_every_path(name, log):
    plain, lowered = (trained(name, log, score_popularity_power=power) for power in (0.0, 0.6))
    expected = scores_of(plain, log) - 0.6 * torch.log(torch.from_numpy(log.item_counts + 1.0).float())
    assert torch.allclose(scores_of(lowered, log), expected, rtol=1e-5, atol=1e-5)
    users, items = torch.arange(N_USERS), torch.randint(0, N_ITEMS, (N_USERS, 30), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(lowered.score_items(users, log.history(), items), expected.gather(1, items), rtol=1e-5, atol=1e-5)
        if name in ("mlp", "neumf") and (rough := plain.score_roughly(users, log.history())) is not None:
            discount = scores_of(plain, log) - expected
            assert torch.allclose(lowered.score_roughly(users, log.history()), rough - discount, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["mlp", "neumf"])
def test_without_a_compiler_the_tower_is_lowered_too(name, log, monkeypatch):
    model = trained(name, log, score_popularity_power=0.6)
    compiled = scores_of(model, log)
    monkeypatch.setattr(ncf, "tower_library", lambda: None)
    assert torch.allclose(scores_of(model.train().eval(), log), compiled, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("all_neighbours", [False, True])
def test_linear_scores_are_divided(name, all_neighbours, log):
    options = (
        {"user_item_knn": {"user_k": 0, "item_k": 0}, "ease": {}, "ials": {}, "slim": {}}.get(name, {"k": 0}) if all_neighbours else {}
    )
    plain, divided = (trained(name, log, **options, score_popularity_power=power) for power in (0.0, 0.6))
    expected = scores_of(plain, log) / torch.from_numpy((log.item_counts + 1.0) ** 0.6).float()
    assert torch.allclose(scores_of(divided, log), expected, rtol=1e-4, atol=1e-6)


def test_a_negative_score_of_ease_stays_below_every_positive_one(log):
    plain, divided = (scores_of(trained("ease", log, score_popularity_power=power), log) for power in (0.0, 1.0))
    assert (plain < 0).any() and torch.equal(plain < 0, divided < 0) and torch.equal(plain > 0, divided > 0)


@pytest.mark.parametrize("name", LOGITS + LINEAR)
def test_a_list_is_the_order_of_the_divided_scores(name, log):
    """Whatever way rank() takes: products with item vectors, rough scores first, or score()."""
    model = trained(name, log, score_popularity_power=0.5)
    users = torch.arange(N_USERS)[torch.from_numpy(log.user_counts > 0)]
    found = rank(model, users, history=log, seen=log, k=20)
    scores = scores_of(model, log)[users].masked_fill(torch.from_numpy(log.user_items().toarray()[users] > 0), -torch.inf)
    assert not found.fallback.any()
    assert torch.allclose(found.scores, scores.topk(20, dim=1).values, rtol=1e-5, atol=1e-6)
    plain = rank(trained(name, log), users, history=log, seen=log, k=20)
    counts = log.item_counts
    assert counts[found.items.numpy()].mean() < counts[plain.items.numpy()].mean()


@pytest.mark.parametrize("name", LOGITS + LINEAR)
def test_power_0_changes_no_digit(name, log):
    both = {"score_popularity_power": 0.0} | ({"loss_popularity_power": 0.0} if name in LOGITS else {})
    assert torch.equal(scores_of(trained(name, log), log), scores_of(trained(name, log, **both), log))


@pytest.mark.parametrize("name", ["ease", "multi_dae", "neumf"])
def test_newcomers_get_corrected_scores_too(name, log):
    """Of 10 users nothing but their features is known."""
    some = log.take(log.users < N_USERS - 10)
    newcomers = torch.arange(N_USERS - 10, N_USERS)
    models = [trained(name, some, features="user", epochs=8, score_popularity_power=power) for power in (0.0, 1.0)]
    with torch.no_grad():
        plain, corrected = (model.score_newcomers(newcomers) for model in models)
    counts = torch.from_numpy(some.item_counts).float()
    popular, others = counts >= 20, (counts > 0) & (counts < 20)

    def lead(scores):
        return (scores[:, popular].mean() / scores[:, others].mean()).item()

    assert 0 < lead(corrected) < 0.8 * lead(plain)


# ---- words


@pytest.mark.parametrize("name", LINEAR)
def test_a_closed_form_has_no_loss_to_weight(name):
    with pytest.raises(ValueError, match="no option of .* 'loss_popularity_power'"):
        model_config(name, loss_popularity_power=0.5)


def test_what_has_nothing_to_divide_has_no_option():
    with pytest.raises(ValueError, match="no option of popularity 'score_popularity_power'"):
        model_config("popularity", score_popularity_power=0.5)


@pytest.mark.parametrize("name", LOGITS + LINEAR)
@pytest.mark.parametrize("power", [-0.1, 1.5, float("nan")])
def test_a_power_beyond_inverse_popularity_is_refused(name, power):
    for option in ["score_popularity_power"] + ["loss_popularity_power"] * (name in LOGITS):
        with pytest.raises(ValueError, match=rf"{option} must lie in \[0, 1\]"):
            model_config(name, **{option: power})
