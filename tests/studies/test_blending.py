"""Weights for blends: found, judged on users who did not choose, and a run like any other."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from recsys_lib.data.splits import fraction_split
from recsys_lib.datasets.base import Dataset
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.evaluation.ranking import recommend
from recsys_lib.models import build_model, model_names
from recsys_lib.models.base import Recommender
from recsys_lib.models.blend import Blend, BlendConfig, scaled_lists
from recsys_lib.runs.compared import compare_runs, runs_to_compare
from recsys_lib.runs.folder import RunFolder
from recsys_lib.runs.trained import finish_training, load_model, refit
from recsys_lib.studies.blending import _Lists, blend_runs, choose_weights
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer


@pytest.fixture
def dataset(market_log, market_catalogue):
    return Dataset(market_log, market_catalogue, {}, None, "toy")


@pytest.fixture
def split(dataset):
    return fraction_split(dataset.interactions, fractions=(0.6, 0.2, 0.2), seed=0)


def trained(name, dataset, split, runs_dir, **options) -> RunFolder:
    run = RunFolder.create(runs_dir, kind="training", model=name, member="mina")
    training = {name: options.pop(name) for name in ("epochs",) if name in options}
    model = build_model(name, dataset.catalogue, seed=0, **options)
    config = train_config(name, monitor="recall@5", **training)
    record = Trainer(config, run).fit(model, split.train, Evaluator(split.validation, seen=split.train, ks=[5]).evaluate)
    finish_training(run, model, record, dataset=dataset, split=split, config=config, seed=0, parameters={})
    return run


@pytest.fixture
def runs(dataset, split, tmp_path):
    models = {"popularity": {}, "ease": {"regularisation": 5.0}, "user_knn": {}, "multi_dae": {"layers": (16,), "epochs": 3}}
    return [trained(name, dataset, split, tmp_path, **options) for name, options in models.items()]


def blended(runs, dataset, split, tmp_path, **more):
    return blend_runs(runs, dataset, split, metric="recall@5", runs_dir=tmp_path, member="mina", **more)


# ---- weights


def lists_of(scores: np.ndarray, length: int = 20) -> _Lists:
    order = np.argsort(-scores, axis=1, kind="stable")[:, :length]
    return _Lists(torch.from_numpy(order), torch.from_numpy(np.take_along_axis(scores, order, 1).astype(np.float32)))


@pytest.fixture
def two_halves(split):
    """Two models that know the answers of one half of the users each, and one that knows nothing."""
    held, generator = split.validation, np.random.default_rng(0)
    users = np.flatnonzero(held.user_counts)
    row_of = {user: row for row, user in enumerate(users)}
    scores = generator.random((3, len(users), held.n_items))
    for user, item in zip(held.users, held.items):
        scores[row_of[user] % 2, row_of[user], item] += 1.0
    return {name: lists_of(of_one) for name, of_one in zip(("even", "odd", "nothing"), scores)}


@pytest.mark.parametrize("scaling", ["", "min-max", "rank", "softmax"])
def test_models_that_know_different_things_are_both_taken(two_halves, split, scaling):
    found = choose_weights(two_halves, split.validation, metric="recall@5", scaling=scaling)
    assert sum(found.weights.values()) == pytest.approx(1)
    assert min(found.weights["even"], found.weights["odd"]) > 0.2 > found.weights["nothing"]
    assert found.values.mean() > found.singles.mean(0).max() + 0.1
    assert found.is_more_than_noise and found.sentence().startswith("The blend wins")
    assert scaling in ("", found.scaling)


def test_a_blend_with_noise_is_no_gain_and_says_so(split):
    held, generator = split.validation, np.random.default_rng(1)
    users = np.flatnonzero(held.user_counts)
    scores = generator.random((4, len(users), held.n_items))
    found = choose_weights({str(i): lists_of(of_one) for i, of_one in enumerate(scores)}, held, metric="recall@5")
    assert not found.is_more_than_noise and found.sentence().startswith("WARNING: the gain is inside the noise")


def test_users_who_chose_do_not_judge(split):
    """Of many worthless lists some blend fits the choosing users well; the figure must not believe it."""
    held, generator = split.validation, np.random.default_rng(2)
    users = np.flatnonzero(held.user_counts)
    worth, chance = [], []
    for _ in range(12):
        lists = {str(i): lists_of(generator.random((len(users), held.n_items))) for i in range(8)}
        found = choose_weights(lists, held, metric="recall@5", scaling="min-max")
        worth.append(found.values.mean())
        chance.append(found.singles.mean())
    error = np.std(np.subtract(worth, chance)) / np.sqrt(12)
    assert np.mean(worth) < np.mean(chance) + 3 * error + 0.005


def test_an_unknown_scaling_or_metric(two_halves, split):
    with pytest.raises(ValueError, match="scaling must be one of"):
        choose_weights(two_halves, split.validation, metric="recall@5", scaling="votes")
    with pytest.raises(ValueError, match="metric must be one of"):
        choose_weights(two_halves, split.validation, metric="accuracy@5")


# ---- the run


def test_the_saved_lists_are_those_of_the_living_blend(runs, dataset, split, tmp_path):
    found = blended(runs, dataset, split, tmp_path)
    model = load_model(found.run, dataset, split)
    report = Evaluator(split.validation, seen=split.train, ks=[5]).evaluate(model)
    saved = _Lists.of(found.run, dataset, split.validation)
    listed = report.scores > 1e-6  # beyond the lists everything is 0
    n = listed.sum(1).min()
    assert n > 5
    assert torch.allclose(saved.scores[:, :n], torch.from_numpy(report.scores[:, :n]), atol=1e-5)
    assert (saved.items[:, :n].numpy() == report.ranked[:, :n]).mean() > 0.99


def test_it_is_a_run_like_any_other(runs, dataset, split, tmp_path):
    found = blended(runs, dataset, split, tmp_path)
    taken = runs_to_compare(tmp_path, dataset, split)
    assert {run.model for run in taken} == {"blend", *(run.model for run in runs)}
    comparison = compare_runs(taken, dataset, split, metric="recall@5")
    assert "blend" in set(comparison.table()["model"])
    assert comparison.reports["blend"].mean("recall@5") > comparison.reports["popularity"].mean("recall@5")
    final = refit(found.run, dataset)
    recommended = recommend(final, dataset.interactions, users=np.arange(dataset.catalogue.n_users), k=5)
    assert len(recommended) == 5 * dataset.catalogue.n_users
    assert np.isin(dataset.interactions.pair_keys, final.trained_on).all()
    record = found.run.record
    taking_part = [run.name for run in runs if found.weights[run.model]]
    assert record["parents"] == taking_part and record["weights"] == found.weights
    assert sorted(path.name for path in (found.run.path / "members").iterdir()) == sorted(taking_part)
    assert record["best"] == pytest.approx(found.values.mean()) == found.run.metrics["metrics"]["recall@5"]["mean"]
    assert found.run.metrics["metrics"].keys() == {
        name for name in runs[0].metrics["metrics"] if not name.startswith(("coverage", "novelty"))
    }


def test_it_stands_alone_and_misses_a_lost_member(runs, dataset, split, tmp_path):
    found = blended(runs, dataset, split, tmp_path / "blends")
    for run in runs:
        shutil.rmtree(run.path)
    assert load_model(found.run, dataset, split).trained_on is not None
    shutil.rmtree(found.run.path / "members" / runs[1].name)
    with pytest.raises(ValueError, match="lacks .*ease"):
        load_model(found.run, dataset, split)


def test_a_blend_is_not_blended_and_one_run_is_not_enough(runs, dataset, split, tmp_path):
    first = blended(runs, dataset, split, tmp_path)
    again = blended([*runs, first.run], dataset, split, tmp_path)
    assert again.weights == first.weights
    with pytest.raises(ValueError, match="two trained runs or more; got ease"):
        blended([runs[1], first.run], dataset, split, tmp_path)
    other = fraction_split(dataset.interactions, seed=5)
    with pytest.raises(ValueError, match="trained on split"):
        blended(runs, dataset, other, tmp_path)


def test_the_same_runs_give_the_same_blend(runs, dataset, split, tmp_path):
    first, second = (blended(runs, dataset, split, tmp_path) for _ in range(2))
    assert first.weights == second.weights and np.array_equal(first.values, second.values)


# ---- the model


def test_the_leak_lock_holds_for_every_member(runs, dataset, split, tmp_path):
    model = load_model(blended(runs, dataset, split, tmp_path).run, dataset, split)
    with pytest.raises(ValueError, match="trained on"):
        Evaluator(split.train, seen=split.validation, ks=[5]).evaluate(model)


def test_it_is_not_in_the_registry_and_refuses_odd_weights():
    assert "blend" not in model_names()
    for weights in ((), (0.0, 1.0), (-1.0, 2.0), (float("nan"), 1.0)):
        with pytest.raises(ValueError, match="weight"):
            BlendConfig(weights)


def test_users_who_were_not_drawn_do_not_shift_the_level(two_halves, runs, dataset, split, tmp_path, monkeypatch):
    whole = blended(runs, dataset, split, tmp_path)
    monkeypatch.setattr("recsys_lib.studies.blending.MOST_USERS", 40)
    drawn = blended(runs, dataset, split, tmp_path)
    best = next(run for run in runs if run.model == drawn.best_single)
    expected = (
        best.metrics["metrics"]["recall@5"]["mean"]
        + (drawn.values - drawn.singles[:, list(drawn.weights).index(drawn.best_single)]).mean()
    )
    assert drawn.run.metrics["metrics"]["recall@5"]["mean"] == pytest.approx(expected, abs=1e-6)
    assert len(drawn.values) == 40 < len(whole.values)


# ---- who has no history, and who has nothing to go by


class Given(Recommender):
    """Scores from a table; cannot score some users, of whom it may know features."""

    name = "given"
    needs_training = False

    def __init__(self, catalogue, scores, *, strangers=(), by_features=None):
        super().__init__(catalogue, None)
        self.scores, self.by_features = torch.as_tensor(scores, dtype=torch.float32), by_features
        self.strangers = torch.tensor(strangers, dtype=torch.int64)
        self.trained_on = np.zeros(0, dtype=np.int64)

    def score(self, users, history):
        return self.scores[users].clone()

    def can_score(self, users, history):
        return ~torch.isin(users, self.strangers)

    def score_newcomers(self, users):
        return None if self.by_features is None else self.by_features.expand(len(users), -1).clone()


def test_a_member_that_cannot_score_a_user_says_what_his_features_say_or_nothing(market_catalogue, market_log):
    generator = np.random.default_rng(0)
    everybody = Given(market_catalogue, generator.random((60, 40)))
    features = torch.linspace(0, 1, 40)
    knows = Given(market_catalogue, generator.random((60, 40)), strangers=[7], by_features=features)
    dumb = Given(market_catalogue, generator.random((60, 40)), strangers=[7])
    users, history = torch.tensor([7]), market_log.history().take(torch.tensor([7]))
    lone = Blend([everybody], BlendConfig((1.0,), "rank")).score(users, history)
    with_dumb = Blend([everybody, dumb], BlendConfig((1.0, 5.0), "rank")).score(users, history)
    with_features = Blend([everybody, knows], BlendConfig((1.0, 5.0), "rank")).score(users, history)
    assert torch.equal(lone, with_dumb)
    asked = torch.ones(40, dtype=torch.bool)
    asked[history.items] = False
    assert int(with_features[0].argmax()) == int(torch.nonzero(asked).max())  # the last item, by the features


@pytest.mark.parametrize("scaling", ["min-max", "rank", "softmax"])
def test_a_list_whose_scores_are_all_the_same_says_nothing_and_nan_is_not_hidden(scaling):
    assert not scaled_lists(torch.tensor([[2.0, 2.0, 2.0], [1.0, 1.0, -torch.inf]]), scaling).any()
    assert scaled_lists(torch.tensor([[float("nan"), 2.0, 1.0]]), scaling).isnan().any()
    places = scaled_lists(torch.tensor([[3.0, 2.0, -torch.inf]]), scaling)[0]
    assert places[0] > places[1] >= places[2] == 0
