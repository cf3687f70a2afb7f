"""From a training to its folder and back: the same model, or the same training on every row."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from recsys_lib.data.features import FeatureTable, Numeric
from recsys_lib.data.splits import leave_one_out
from recsys_lib.datasets.base import Dataset
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.models import build_model, model_config
from recsys_lib.runs.folder import RunFolder
from recsys_lib.runs.trained import data_fingerprint, finish_training, load_model, refit
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer

OPTIONS = {
    "ease": {"regularisation": 5.0},
    "user_knn": {"k": 7},
    "multi_dae": {"layers": [16], "dropout": 0.3},
    "neumf": {"layers": [12, 6], "features": ["career", "keywords"], "resample_every": 2},
}


@pytest.fixture
def dataset(market_log, market_catalogue):
    return Dataset(market_log, market_catalogue, {}, None, "toy", synthetic=True)


@pytest.fixture
def split(dataset):
    return leave_one_out(dataset.interactions, seed=0)


def trained(name, dataset, split, runs_dir, *, finish=True, **settings):
    """As 02_train does it: the run and the model that it left."""
    run = RunFolder.create(runs_dir, kind="training", model=name, member="mina")
    model = build_model(name, dataset.catalogue, seed=4, **OPTIONS[name])
    quick = {"monitor": "recall@5", "epochs": 4, "batch_size": 64, "learning_rate": 0.02, "evaluate_every": 1, "tensorboard": False}
    config = train_config(name, **quick | settings)
    validate = Evaluator(split.validation, seen=split.train, ks=[5, 10]).evaluate
    record = Trainer(config, run).fit(model, split.train, validate)
    if finish:
        parameters = {"MODEL": name, "SEED": 4, "OUT_DIR": str(runs_dir), "DATA_DIR": "/somewhere/else/csv"}
        finish_training(run, model, record, dataset=dataset, split=split, config=config, seed=4, parameters=parameters)
    return run, model, record


def scores(model, known):
    users = torch.arange(known.n_users, device=model.device)
    with torch.no_grad():
        return model.eval().score(users, known.history(model.device)).cpu()


@pytest.mark.parametrize("name", OPTIONS)
def test_a_loaded_model_gives_the_same_scores_bit_for_bit(name, dataset, split, tmp_path):
    run, model, _ = trained(name, dataset, split, tmp_path)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    loaded = load_model(RunFolder.open(run.path), dataset, split)
    assert torch.equal(torch.get_rng_state(), before)
    assert loaded.name == name and loaded.config == model.config and not loaded.training
    assert torch.equal(scores(loaded, split.known_before_test), scores(model, split.known_before_test))
    assert np.array_equal(loaded.trained_on, split.train.pair_keys)
    with pytest.raises(ValueError, match="held-out rows are among"):  # so the lock holds for it too
        Evaluator(split.train, seen=split.validation, ks=[5]).evaluate(loaded)


def test_another_split_and_other_data_are_refused(dataset, split, tmp_path):
    run, *_ = trained("ease", dataset, split, tmp_path)
    with pytest.raises(ValueError, match=rf"run {run.name} was trained on split {split.fingerprint}, here it is .*use the same files, SPLIT and SEED"):
        load_model(run, dataset, leave_one_out(dataset.interactions, seed=1))
    log = dataset.interactions
    fewer = Dataset(log.take(np.arange(len(log)) > 0), dataset.catalogue, {}, None, "toy")
    with pytest.raises(ValueError, match=f"run {run.name} was trained on data {data_fingerprint(dataset)}, here it is"):
        load_model(run, fewer, split)
    with pytest.raises(ValueError, match=rf"run {run.name} was trained on other data \(toy \(SYNTHETIC\)\)"):
        refit(run, fewer)


def test_a_run_that_is_no_finished_training_is_refused(dataset, split, tmp_path):
    unfinished, *_ = trained("ease", dataset, split, tmp_path, finish=False)
    evaluation = RunFolder.create(tmp_path, kind="evaluation", model="compare", member="mina")
    evaluation.finish(kind="evaluation")
    for run, said in ((unfinished, "unfinished"), (evaluation, "kind 'evaluation', finished")):
        for bring_back in (lambda run=run: load_model(run, dataset, split), lambda run=run: refit(run, dataset)):
            with pytest.raises(ValueError, match=f"run {run.name} is not a finished training .*{said}"):
                bring_back()


@pytest.mark.parametrize("name", ["neumf", "multi_dae"])
def test_refit_uses_every_row_for_the_best_epochs_length_at_its_learning_rates(name, dataset, split, tmp_path, monkeypatch):
    run, _, record = trained(name, dataset, split, tmp_path, epochs=40, batch_size=32, plateau_patience=0, early_stopping_patience=4)
    assert 1 <= record.best_epoch < record.epochs  # otherwise the number of epochs would prove nothing
    seen = []
    epoch_of = Trainer._epoch

    def spy(self, model, train, optimizer, epoch, learning_rate):
        seen.append((epoch, learning_rate, len(train)))
        return epoch_of(self, model, train, optimizer, epoch, learning_rate)

    monkeypatch.setattr(Trainer, "_epoch", spy)
    final = refit(RunFolder.open(run.path), dataset)
    rates = record.history["learning_rate"].tolist()
    assert seen == [(number, rates[number - 1], len(dataset.interactions)) for number in range(1, record.best_epoch + 1)]
    assert np.array_equal(final.trained_on, dataset.interactions.pair_keys) and not final.training
    assert final.config == build_model(name, dataset.catalogue, seed=0, **OPTIONS[name]).config


def test_changed_features_are_other_data(dataset, split, tmp_path):
    run, *_ = trained("ease", dataset, split, tmp_path)
    catalogue = dataset.catalogue
    turned = [Numeric(f.name, f.values[::-1].copy()) if isinstance(f, Numeric) else f for f in catalogue.user_features]
    changed = replace(catalogue, user_features=FeatureTable(catalogue.n_users, turned))
    with pytest.raises(ValueError, match="was trained on data"):
        load_model(run, replace(dataset, catalogue=changed), split)


def test_a_finished_run_stays_as_it_is(dataset, split, tmp_path):
    run, model, record = trained("ease", dataset, split, tmp_path)
    before = (run.path / "metrics.json").read_bytes()
    with pytest.raises(FileExistsError, match="is finished and stays as it is"):
        finish_training(
            run, model, record, dataset=dataset, split=split, config=train_config("ease"), seed=1, parameters={}
        )
    with pytest.raises(FileExistsError, match="is finished"):
        RunFolder.open_or_create(run.name, tmp_path, kind="training", model="ease")
    assert (run.path / "metrics.json").read_bytes() == before


def test_refit_of_a_closed_form_is_the_closed_form_on_every_row(dataset, split, tmp_path):
    run, model, _ = trained("ease", dataset, split, tmp_path)
    final = refit(run, dataset)
    by_hand = build_model("ease", dataset.catalogue, seed=0, **OPTIONS["ease"])
    Trainer(train_config("ease")).repeat(by_hand, dataset.interactions, [])
    assert torch.equal(final.weights, by_hand.weights) and not torch.equal(final.weights.cpu(), model.weights.cpu())
    assert np.array_equal(final.trained_on, dataset.interactions.pair_keys)


def test_refit_with_the_same_rows_is_the_trained_model(dataset, split, tmp_path):
    """If nothing had been held out, the refit would be the run's model: the same seed, order, negatives and dropout."""
    run, model, _ = trained("neumf", dataset, split, tmp_path)
    record = run.record | {"data_fingerprint": data_fingerprint(Dataset(split.train, dataset.catalogue, {}, None, "toy"))}
    (run.path / "run.json").write_text(json.dumps(record), encoding="utf-8")
    again = refit(run, Dataset(split.train, dataset.catalogue, {}, None, "toy"))
    assert torch.equal(scores(again, split.train), scores(model, split.train))


def test_what_a_training_leaves_behind(dataset, split, tmp_path):
    run, _, record = trained("multi_dae", dataset, split, tmp_path)
    names = {path.relative_to(run.path).as_posix() for path in run.path.rglob("*") if path.is_file() and "tensorboard" not in path.parts}
    assert names == {
        "started.json", "run.json", "history.jsonl", "metrics.json", "lists.parquet", "best.safetensors", "last.safetensors", "last.state.pt",
        "figures/training_curves.png", "figures/loss_against_recall.png",
    }  # fmt: skip
    content = run.record
    assert content["kind"] == "training" and content["status"] == "finished" and content["model"] == "multi_dae"
    assert content["model_config"] == vars(model_config("multi_dae", layers=[16], dropout=0.3)) | {"layers": [16]} and content["train_config"]["batch_size"] == 64
    assert content["seed"] == 4 and content["fit_rows"] == len(split.train) and content["features"] == []
    assert content["learning_rates"] == record.learning_rates and len(record.learning_rates) == record.best_epoch
    assert content["data_fingerprint"] == data_fingerprint(dataset) and content["split_fingerprint"] == split.fingerprint
    assert content["dataset"] == "toy (SYNTHETIC)" and content["split"] == "leave_one_out_random" and content["split_seed"] == 0
    assert content["seconds_training"] == record.seconds_training and content["best"] == record.best
    assert run.metrics["part"] == "validation"
    assert run.metrics["metrics"]["recall@5"]["mean"] == record.report.mean("recall@5")
    lists = run.lists("validation")
    assert len(lists) == (record.report.ranked >= 0).sum() and set(lists["part"]) == {"validation"}
    first = lists[lists["user_id"] == "u7"]
    best_first = [f"i{item}" for item in record.report.ranked[record.report.users == 7][0] if item >= 0]
    assert first["rank"].tolist() == list(range(1, len(best_first) + 1))
    assert first["item_id"].tolist() == best_first


def test_a_gmf_of_the_time_when_all_meant_what_it_can_use_is_still_read(dataset, split, tmp_path, monkeypatch):
    monkeypatch.setitem(OPTIONS, "gmf", {"factors": 4, "features": "user"})
    run, model, _ = trained("gmf", dataset, split, tmp_path)
    path = run.path / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["model_config"]["features"] = "all"
    path.write_text(json.dumps(record), encoding="utf-8")
    assert dataset.catalogue.item_features.names
    again = load_model(RunFolder.open(run.path), dataset, split)
    assert torch.equal(scores(again, split.train), scores(model, split.train)) and again.uses_features == model.uses_features


def test_a_feature_knn_of_the_time_when_weights_might_leave_features_out_is_still_read(dataset, split, tmp_path, monkeypatch):
    monkeypatch.setitem(OPTIONS, "feature_knn", {"weights": ["history=1", "degree=0.5"]})
    run, model, _ = trained("feature_knn", dataset, split, tmp_path)
    path = run.path / "run.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["model_config"]["features"] = "user"
    path.write_text(json.dumps(record), encoding="utf-8")
    again = load_model(RunFolder.open(run.path), dataset, split)
    assert torch.equal(scores(again, split.train), scores(model, split.train)) and again.uses_features == {"degree"}


def test_a_closed_form_has_no_curves(dataset, split, tmp_path):
    run, *_ = trained("ease", dataset, split, tmp_path)
    assert not (run.path / "figures").exists() and not (run.path / "best.safetensors").exists()
    assert run.record["model_config"] == vars(model_config("ease", regularisation=5.0))


def test_no_text_file_of_a_run_holds_an_absolute_path(dataset, split, tmp_path):
    run, *_ = trained("neumf", dataset, split, tmp_path, tensorboard=True)
    texts = [path for path in run.path.rglob("*") if path.suffix in (".json", ".jsonl", ".txt", ".csv", ".md", ".html")]
    assert {"run.json", "started.json", "metrics.json", "history.jsonl"} <= {path.name for path in texts}
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert str(tmp_path) not in text and "/somewhere" not in text and '"/' not in text, path.name
    assert run.record["parameters"]["DATA_DIR"] == "csv"
