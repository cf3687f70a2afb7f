"""Several runs on the same held-out rows: which are taken, which is best, what is written."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recsys_lib.data.splits import leave_one_out
from recsys_lib.datasets.base import Dataset, Template, template_of
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.models import build_model
from recsys_lib.runs.compared import compare_runs, finish_evaluation, keep_evaluation, runs_to_compare
from recsys_lib.runs.folder import RunFolder
from recsys_lib.runs.trained import data_fingerprint, finish_training, load_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer


@pytest.fixture
def dataset(market_log, market_catalogue):
    return Dataset(market_log, market_catalogue, {}, None, "toy")


@pytest.fixture
def split(dataset):
    return leave_one_out(dataset.interactions, seed=0)


def trained(name, dataset, split, runs_dir, *, ks=(5, 20), **options) -> RunFolder:
    run = RunFolder.create(runs_dir, kind="training", model=name, member="mina")
    model = build_model(name, dataset.catalogue, seed=0, **options)
    config = train_config(name, monitor=f"recall@{ks[0]}")
    validate = Evaluator(split.validation, seen=split.train, ks=ks).evaluate
    record = Trainer(config, run).fit(model, split.train, validate)
    finish_training(run, model, record, dataset=dataset, split=split, config=config, seed=0, parameters={})
    return run


def with_validation(run: RunFolder, **figures: float) -> None:
    """Rewrite what the run says of its validation."""
    path = run.path / "metrics.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, value in figures.items():
        content["metrics"][name.replace("_at_", "@")]["mean"] = value
    path.write_text(json.dumps(content), encoding="utf-8")


# ---- which runs


def test_the_newest_of_every_model_on_this_data_and_split(dataset, split, tmp_path):
    old, knn, new = (trained(name, dataset, split, tmp_path, **more) for name, more in (("ease", {}), ("user_knn", {}), ("ease", {"regularisation": 5.0})))
    trained("popularity", dataset, leave_one_out(dataset.interactions, seed=1), tmp_path)  # another split
    log = dataset.interactions
    fewer = Dataset(log.take(np.arange(len(log)) > 0), dataset.catalogue, {}, None, "toy")
    trained("popularity", fewer, leave_one_out(fewer.interactions, seed=0), tmp_path)  # other data
    RunFolder.create(tmp_path, kind="training", model="gmf", member="mina")  # not finished
    failed = RunFolder.create(tmp_path, kind="training", model="mlp", member="mina")
    failed.fail("went wrong")
    assert [run.name for run in runs_to_compare(tmp_path, dataset, split)] == [new.name, knn.name]
    assert [run.name for run in runs_to_compare(tmp_path, dataset, split, names=[old.name])] == [old.name]


def test_no_run_to_compare_says_what_to_do(dataset, split, tmp_path):
    trained("ease", dataset, leave_one_out(dataset.interactions, seed=1), tmp_path)
    with pytest.raises(ValueError, match="no finished training on toy with leave_one_out_random, seed 0. Run 02_train with the same DATA_DIR, SPLIT and SEED"):
        runs_to_compare(tmp_path, dataset, split)
    with pytest.raises(FileNotFoundError, match="no run folder 'nobody'"):
        runs_to_compare(tmp_path, dataset, split, names=["nobody"])


# ---- the table


def test_the_table_is_the_evaluators_own_figures_on_test(dataset, split, tmp_path):
    runs = [trained("ease", dataset, split, tmp_path, regularisation=5.0), trained("popularity", dataset, split, tmp_path)]
    comparison = compare_runs(runs, dataset, split, metric="recall@5")
    table = comparison.table()
    assert table["model"].tolist() == ["ease", "popularity"]  # best on test first
    assert list(table.columns)[:5] == ["model", "validation recall@5", "recall@5", "low", "high"]
    evaluator = Evaluator(split.test, seen=split.known_before_test, ks=[5, 10, 20])
    for run, (_, row) in zip(runs, table.iterrows()):
        report = evaluator.evaluate(load_model(run, dataset, split))
        for metric in ("recall@5", "ndcg@5", "recall@20", "coverage@5", "novelty@5"):
            assert row[metric] == pytest.approx(report.mean(metric), rel=1e-6)
        assert (row["low"], row["high"]) == pytest.approx(report.interval("recall@5"))
        assert row["validation recall@5"] == run.metrics["metrics"]["recall@5"]["mean"]
        assert row["train s"] == run.record["seconds_training"]
    assert comparison.reports["ease"].rows == {"fit": 240, "query": 300, "mask": 300, "held_out": 60}
    assert "Fit: train (240 rows). Query and mask: train + validation (300)" in comparison.caption


def test_the_best_is_chosen_by_validation_and_not_by_test(dataset, split, tmp_path):
    ease, popular = trained("ease", dataset, split, tmp_path, regularisation=5.0), trained("popularity", dataset, split, tmp_path)
    comparison = compare_runs([popular, ease], dataset, split, metric="recall@5")
    assert comparison.best.name == ease.name
    with_validation(popular, recall_at_5=0.99)
    assert comparison.table()["model"].tolist() == ["ease", "popularity"]  # on test nothing has changed
    assert comparison.best.name == popular.name


def test_two_runs_of_one_model_stand_side_by_side(dataset, split, tmp_path):
    runs = [trained("ease", dataset, split, tmp_path, regularisation=value) for value in (5.0, 500.0)]
    comparison = compare_runs(runs, dataset, split, metric="recall@5")
    assert list(comparison.runs) == ["ease", runs[1].name]
    table = comparison.table().set_index("model")
    assert set(table.index) == {"ease", runs[1].name}
    for name, run in zip(comparison.runs, runs):
        assert table.loc[name, "validation recall@5"] == run.metrics["metrics"]["recall@5"]["mean"]


def test_a_run_that_was_validated_with_another_k_is_named(dataset, split, tmp_path):
    run = trained("ease", dataset, split, tmp_path, ks=(10,))
    with pytest.raises(ValueError, match=f"run {run.name} was not validated with recall@5; it has recall@10.* Train it with the same K"):
        compare_runs([run], dataset, split, metric="recall@5").table()


def test_groups_name_their_model_and_count_every_user(dataset, split, tmp_path):
    runs = [trained(name, dataset, split, tmp_path) for name in ("ease", "popularity")]
    comparison = compare_runs(runs, dataset, split, metric="recall@5")
    activity, popularity = comparison.by_activity(), comparison.by_popularity()
    assert activity.groupby("model")["users"].sum().to_dict() == {"ease": 60, "popularity": 60}
    assert popularity.groupby("model")["rows"].sum().to_dict() == {"ease": 60, "popularity": 60}
    assert set(comparison.figures()) == {"model_comparison", "by_activity", "by_popularity", "list_overlap"}
    alone = compare_runs(runs[:1], dataset, split, metric="recall@5")
    assert set(alone.figures()) == {"model_comparison", "by_activity", "by_popularity"}


def test_differences_and_overlap_are_those_of_the_reports(dataset, split, tmp_path):
    runs = [trained(name, dataset, split, tmp_path) for name in ("ease", "popularity")]
    comparison = compare_runs(runs, dataset, split, metric="recall@5")
    pair = comparison.differences().iloc[0]
    assert (pair["model"], pair["other"], pair["verdict"]) == ("ease", "popularity", "better")
    assert pair["difference"] == pytest.approx(comparison.reports["ease"].mean("recall@5") - comparison.reports["popularity"].mean("recall@5"))
    assert comparison.differences("activity")["group"].nunique() >= 1
    assert 0 <= comparison.overlap().loc["ease", "popularity"] < 1


# ---- what is written


@pytest.mark.parametrize("submission", [None, "submission.csv"])
def test_what_an_evaluation_leaves_behind(dataset, split, tmp_path, submission):
    runs = [trained("ease", dataset, split, tmp_path, regularisation=5.0), trained("popularity", dataset, split, tmp_path)]
    comparison = compare_runs(runs, dataset, split, metric="recall@5")
    run = RunFolder.create(tmp_path, kind="evaluation", model="compare", member="mina")
    figures = keep_evaluation(run, comparison)
    assert not run.is_finished and run.metrics["table"], "the table is safe before a submission is tried"
    finish_evaluation(run, comparison, parameters={"K": 5, "OUT_DIR": str(tmp_path)}, submission=submission)

    table = run.metrics["table"]
    assert [row["model"] for row in table] == ["ease", "popularity"]
    assert table[0]["recall@5"] == comparison.reports["ease"].mean("recall@5")
    assert run.metrics["submission"] == submission and run.metrics["best"] == runs[0].name and run.metrics["part"] == "test"
    assert set(run.metrics["reports"]) == {"ease", "popularity"}

    lists = run.lists()
    assert set(lists["part"]) == {"test/ease", "test/popularity"}
    # 40 items less the 5 that each user is known to have: lists are as long as there are items left
    assert lists.groupby("part").size().to_dict() == {"test/ease": 60 * 35, "test/popularity": 60 * 35}
    one = run.lists("test/ease")
    assert one[one["user_id"] == "u3"]["item_id"].tolist() == [f"i{item}" for item in comparison.reports["ease"].ranked[3] if item >= 0]
    assert np.isfinite(one["score"]).all()

    record = run.record
    assert run.is_finished and record["kind"] == "evaluation" and record["parents"] == [runs[0].name, runs[1].name]
    assert record["refitted"] == (runs[0].name if submission else None)
    assert record["split_fingerprint"] == split.fingerprint and record["data_fingerprint"] == data_fingerprint(dataset)
    assert {path.name for path in run.path.glob("figures/*")} == {f"{name}.png" for name in figures}
    for path in [*run.path.rglob("*.json"), *run.path.rglob("*.jsonl")]:
        text = path.read_text(encoding="utf-8")
        assert str(tmp_path) not in text and '"/' not in text, path.name


def test_without_a_contest_everybody_gets_k_items(dataset):
    template = template_of(dataset, 3)
    assert template.users.tolist() == list(range(60)) and template.k == 3
    own = Template("a", "b", np.array([2, 1], dtype=np.int32), 5)
    assert template_of(Dataset(dataset.interactions, dataset.catalogue, {}, own, "toy"), 3) is own
