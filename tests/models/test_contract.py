"""The laws that every registered model keeps; a new file in recsys_lib/models is tested here without a word."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import torch

from recsys_lib.data.features import Categorical, FeatureTable, MultiLabel, Numeric
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import leave_one_out
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.evaluation.ranking import recommend
from recsys_lib.models import build_model, model_class, model_names
from recsys_lib.training.checkpoints import load_weights, save_weights
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import catalogue_of, markets_of

COLD = [58, 59]  # users of the catalogue without a row
FEW = {"batch_size": 64, "learning_rate": 0.02, "monitor": "recall@5", "device": "cpu", "min_learning_rate": 1e-5}
_TRAINED: dict = {}  # a short training of each model, made once; tests that change a model make their own


@pytest.fixture(params=model_names())
def name(request) -> str:
    return request.param


@pytest.fixture
def split(market_log):
    return leave_one_out(market_log.take(market_log.users < min(COLD)), seed=0)


@pytest.fixture
def trained(name, split, market_catalogue):
    """Two epochs (a closed form: all of it), in evaluation mode."""
    if name not in _TRAINED:
        _TRAINED[name] = train(build_model(name, market_catalogue, seed=1), split, epochs=2)
    return _TRAINED[name]


def train(model, split, *, epochs: int, seed: int = 0, **settings):
    validate = Evaluator(split.validation, seen=split.train, ks=[5]).evaluate
    config = train_config(model.name, **FEW | {"epochs": epochs, "seed": seed, "evaluate_every": epochs} | settings)
    Trainer(config).fit(model, split.train, validate)
    return model.eval()


@torch.no_grad()
def scores_of(model, known: Interactions, users=None) -> torch.Tensor:
    users = torch.arange(known.n_users) if users is None else torch.as_tensor(users)
    return model.score(users, known.history().take(users))


def permuted(table: FeatureTable, order: np.ndarray) -> FeatureTable:
    """Row r gets what row order[r] had."""
    features = []
    for feature in table:
        if isinstance(feature, Categorical):
            features.append(Categorical(feature.name, feature.codes[order], feature.labels))
        elif isinstance(feature, Numeric):
            features.append(Numeric(feature.name, feature.values[order]))
        else:
            rows = [feature.codes[feature.indptr[row] : feature.indptr[row + 1]] for row in order]
            indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
            features.append(MultiLabel(feature.name, indptr, np.concatenate(rows), feature.labels))
    return FeatureTable(table.n_rows, features)


# ---- scores


def test_scores_are_finite_float32_of_the_whole_catalogue(trained, split):
    users = torch.tensor([5, 0, COLD[0], 31])
    scores = scores_of(trained, split.train, users)
    assert scores.shape == (4, 40) and scores.dtype == torch.float32
    assert scores.isfinite().all()  # of a cold user too, although the fallback will stand in for it


def test_scores_of_candidates_are_those_of_the_catalogue(trained, split):
    users = torch.tensor([7, 3, 20])
    history = split.train.history().take(users)
    for n in (1, 25, 60):  # fewer than the catalogue, and more
        items = torch.from_numpy(np.random.default_rng(n).integers(0, 40, (3, n)))
        with torch.no_grad():
            candidates, everything = trained.score_items(users, history, items), trained.score(users, history)
        assert candidates.shape == (3, n)
        assert torch.allclose(candidates, everything.gather(1, items), rtol=1e-5, atol=1e-6)


def test_scores_of_a_model_with_vectors_are_their_products(trained, split):
    with torch.no_grad():
        if trained.item_vectors() is None:
            pytest.skip("its scores are no product")
        vectors, bias = trained.item_vectors()
        users = torch.tensor([7, 3, 20])
        rows = trained.user_vectors(users, split.train.history().take(users))
    assert rows.dtype == vectors.dtype == torch.float32 and len(vectors) == len(bias) == 40
    assert torch.allclose(rows @ vectors.T + bias, scores_of(trained, split.train, users), rtol=1e-5, atol=1e-6)


def test_neither_the_order_of_users_nor_the_block_changes_a_score(trained, split):
    whole = scores_of(trained, split.train)
    order = torch.from_numpy(np.random.default_rng(0).permutation(60))
    assert torch.allclose(scores_of(trained, split.train, order), whole[order], rtol=1e-5, atol=1e-6)
    for user in (0, 17):
        assert torch.allclose(scores_of(trained, split.train, [user])[0], whole[user], rtol=1e-5, atol=1e-6)
    twice = scores_of(trained, split.train, [4, 4])
    assert torch.allclose(twice[0], twice[1], rtol=1e-5, atol=1e-6)


def test_the_caller_may_change_the_scores_in_place(trained, split):
    first = scores_of(trained, split.train)
    kept = first.clone()
    first[:, ::2] = -torch.inf
    first[:, 1::2] = 7.0
    assert torch.equal(scores_of(trained, split.train), kept)


def test_scores_asked_without_gradients_do_not_spoil_those_with(trained, split):
    users = torch.tensor([1, 2])
    history = split.train.history().take(users)
    with torch.inference_mode():
        before = trained.score(users, history)
    assert torch.equal(trained.score(users, history).detach(), before)


def test_the_history_may_be_longer_than_what_was_learned_from(trained, split):
    longer = split.known_before_test
    assert len(longer) > len(split.train)
    scores = scores_of(trained, longer)
    assert scores.shape == (60, 40) and scores.isfinite().all()
    report = Evaluator(split.test, seen=longer, ks=[5]).evaluate(trained)
    assert report.rows["query"] == len(longer) and report.rows["fit"] == len(split.train)


def test_users_with_rows_can_be_scored_and_the_others_get_what_their_features_say_or_the_popular_items(trained, split):
    users = np.array([COLD[1], 3, COLD[0], 0])
    history = split.train.history().take(torch.from_numpy(users))
    can = trained.can_score(torch.from_numpy(users), history)
    assert can.dtype == torch.bool and can[[1, 3]].all()
    found = recommend(trained, split.train, users=users, k=5)
    with torch.no_grad():
        by_features = trained.score_newcomers(torch.from_numpy(users))
    if by_features is not None:
        assert by_features.shape == (4, 40) and by_features.isfinite().all()
        assert found.attrs["n_fallback"] == 0
        for place in np.flatnonzero(~can.numpy()):
            rows = found[found["user_id"] == f"u{users[place]}"]
            assert rows["item_id"].tolist() == [f"i{item}" for item in by_features[place].argsort(descending=True, stable=True)[:5]]
        return
    assert found.attrs["n_fallback"] == int((~can).sum())
    popular = np.argsort(-split.train.item_counts, kind="stable")[:5]  # a cold user has seen none of them
    for place in np.flatnonzero(~can.numpy()):
        rows = found[found["user_id"] == f"u{users[place]}"]
        assert rows["item_id"].tolist() == [f"i{item}" for item in popular]


# ---- learning


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_it_learns_what_popularity_cannot_know(name, precision, split, market_catalogue):
    """Each user chooses from one market of 10 items: who has found the market has 5 chances in 6 of a hit in 5 places."""
    if name == "popularity":
        pytest.skip("the measure itself")
    if precision != "float32" and not model_class(name).needs_training:
        pytest.skip("a closed form")
    validate = Evaluator(split.validation, seen=split.train, ks=[5]).evaluate
    floor = validate(train(build_model("popularity", market_catalogue, seed=0), split, epochs=1)).mean("recall@5")
    model = train(build_model(name, market_catalogue, seed=0), split, epochs=60, evaluate_every=5, precision=precision)
    assert validate(model).mean("recall@5") > floor + 0.35


def test_the_same_seed_gives_the_same_scores_and_another_seed_others(name, trained, split, market_catalogue):
    again = train(build_model(name, market_catalogue, seed=1), split, epochs=2)
    assert torch.equal(scores_of(again, split.train), scores_of(trained, split.train))
    if not model_class(name).needs_training:
        return
    other_weights = train(build_model(name, market_catalogue, seed=2), split, epochs=2)
    other_order = train(build_model(name, market_catalogue, seed=1), split, epochs=2, seed=5)
    for other in (other_weights, other_order):
        assert not torch.allclose(scores_of(other, split.train), scores_of(trained, split.train))


def test_several_threads_give_the_same_digits_twice(name):
    """Sums that threads add to in any order differ in the last bit, and after an epoch in the third digit."""
    if not model_class(name).needs_training:
        pytest.skip("a closed form")
    log, catalogue = markets_of(500, 300, 3, 40), catalogue_of(500, 300)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        weights = []
        for _ in range(2):
            model = build_model(name, catalogue, seed=1)
            Trainer(train_config(name, device="cpu")).repeat(model, log, [0.01])
            weights.append(model.state_dict())
    finally:
        torch.set_num_threads(n_threads)
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_the_global_generators_are_left_as_they_were(name, split, market_catalogue):
    torch.manual_seed(3)
    np.random.seed(3)
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()

    def untouched() -> bool:
        numpy_now = np.random.get_state()
        same = np.array_equal(numpy_now[1], numpy_before[1]) and numpy_now[2:] == numpy_before[2:]
        return same and torch.equal(torch.get_rng_state(), torch_before)

    model = build_model(name, market_catalogue, seed=1)
    assert untouched(), "build_model"
    train(model, split, epochs=1)
    assert untouched(), "Trainer.fit"
    scores_of(model, split.train)
    assert untouched(), "score"


def test_parts_of_a_batch_add_up_to_the_whole(name, split, market_catalogue):
    if not model_class(name).needs_training:
        pytest.skip("a closed form")
    model = train(build_model(name, market_catalogue, seed=0), split, epochs=1).eval()  # eval: no dropout
    generator = torch.Generator().manual_seed(0)
    batches = list(model.batches(split.train, generator, batch_size=50, epoch=1))
    assert len(batches) > 1
    with torch.no_grad():
        for batch in (batches[0], batches[-1]):
            total, count = model.loss(batch)
            parts = [model.loss(part) for part in batch.split(3)]
            assert sum(part_count for _, part_count in parts) == count
            assert float(sum(part_sum for part_sum, _ in parts)) == pytest.approx(float(total), rel=1e-5)
            assert sum(model.loss(part)[1] for part in batch.split(1000)) == count  # more parts than rows


def test_every_parameter_is_trained_by_some_group(trained):
    if not trained.needs_training:
        pytest.skip("a closed form")
    grouped = {id(parameter) for group in trained.parameter_groups() for parameter in group["params"]}
    assert grouped == {id(parameter) for parameter in trained.parameters()}


def test_rows_of_another_catalogue_are_refused_with_both_sizes(name, market_catalogue):
    model = build_model(name, market_catalogue, seed=0)
    with pytest.raises(ValueError, match=r"built for 60 users x 40 items; these interactions have 60 x 41"):
        model.prepare(Interactions([0], [40], 60, 41), torch.Generator())


# ---- weights and features


def test_saved_weights_bring_the_same_scores_back(name, trained, split, market_catalogue, tmp_path):
    save_weights(tmp_path / "best.safetensors", trained, epoch=2)
    other = build_model(name, market_catalogue, seed=9)
    Trainer(train_config(name, device="cpu")).repeat(other, split.train, learning_rates=[])
    other.eval()
    scores_of(other, split.train)  # what it kept of its old weights must not survive the new ones
    load_weights(tmp_path / "best.safetensors", other)
    assert torch.equal(scores_of(other, split.train), scores_of(trained, split.train))


@pytest.mark.parametrize("chosen", ["none", "user", "item", "all"])
def test_swapped_features_count_just_where_they_are_used(name, chosen, split, market_catalogue):
    options = {"features": chosen} if "features" in {field.name for field in dataclasses.fields(model_class(name).Config)} else {}
    if not options and chosen != "none":
        pytest.skip("it takes no features")
    if name == "gmf" and chosen in ("item", "all"):
        pytest.skip("it refuses them")
    trained = train(build_model(name, market_catalogue, seed=1, **options), split, epochs=2)

    def shown():
        with torch.no_grad():
            of_newcomers = trained.score_newcomers(torch.tensor(COLD))
        known = scores_of(trained, split.train)
        return known if of_newcomers is None else torch.cat([known, of_newcomers])

    before = shown()
    rng = np.random.default_rng(1)
    user, item = market_catalogue.user_features, market_catalogue.item_features
    assert trained.uses_features <= {*user.names, *item.names}
    for given in ({"user": permuted(user, rng.permutation(60))}, {"item": permuted(item, rng.permutation(40))}):
        trained.set_features(**given)
        changed = not torch.allclose(shown(), before)
        names = set(next(iter(given.values())).names)
        assert changed == bool(trained.uses_features & names)
        trained.set_features(user=user, item=item)
        assert torch.equal(shown(), before)


# ---- words


def test_the_module_says_what_the_model_is(name):
    text = sys.modules[model_class(name).__module__].__doc__ or ""
    assert len(text.split()) >= 12, f"{name}: say the idea, the formula and the source"


def test_every_option_has_its_line_of_text(name):
    options = model_class(name).Config
    assert dataclasses.is_dataclass(options) and options.__dataclass_params__.frozen
    for field in dataclasses.fields(options):
        assert len(field.metadata.get("help", "")) > 10, f"{name}: {field.name}"


def test_the_training_defaults_are_settings_of_the_trainer(name):
    train_config(name)  # raises for an unknown or impossible one
    assert model_class(name).needs_training or not model_class(name).training_defaults
