"""The quality benchmark: what it asks, what it writes, and that it goes on where it stopped."""

import json
import re

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.quality import Experiment, ModelSpec, _tasks, markdown, summary
from recsys_lib.datasets import read_dataset
from recsys_lib.models import model_config
from tests.conftest import markets_of


@pytest.fixture
def data(tmp_path):
    """60 users with 10 of the 12 items of their market, as a log without a header's usual name."""
    log = markets_of(60, 48, 4, 10, timestamps=True)
    folder = tmp_path / "data"
    folder.mkdir()
    lines = [f"{user},{item},{time}" for user, item, time in zip(log.users, log.items, log.timestamps)]
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp", *lines]) + "\n")
    return folder


def run(data, file, *words):
    defaults = {"--models": "ease:regularisation=10,popularity", "--metric": "ndcg@5", "--seeds": "2"}
    given = dict(zip(words[::2], words[1::2]))
    arguments = [word for pair in (defaults | given).items() for word in pair]
    return main(["quality", "--data", str(data), "--json", str(file), *arguments])


def test_it_writes_an_object_a_model_and_seed_with_every_metric(data, tmp_path, capsys):
    file = tmp_path / "out" / "quality.json"
    assert run(data, file) == 0
    results = json.loads(file.read_text())
    assert [(result["model"], result["seed"]) for result in results] == [("ease", 0), ("popularity", 0), ("ease", 1), ("popularity", 1)]
    first = results[0]
    for name in ("ndcg@5", "recall@5", "truncated_recall@5", "hit_rate@10", "map@20", "coverage@5", "train_seconds", "evaluate_seconds"):
        assert first[name] >= 0
    assert (first["fit"], first["query"], first["mask"]) == ("train", "train+validation", "train+validation")
    assert first["options"] == {"regularisation": 10} and first["model_config"] == vars(model_config("ease", regularisation=10.0))
    assert first["rows"]["fit"] == 480 and first["rows"]["mask"] == 540
    assert first["ndcg@5"] > results[1]["ndcg@5"]
    assert file.with_suffix(".md").read_text(encoding="utf-8") in capsys.readouterr().out
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_what_is_in_the_file_is_not_run_again(data, tmp_path, monkeypatch):
    file = tmp_path / "quality.json"
    run(data, file, "--seeds", "1")
    before = json.loads(file.read_text())
    run(data, file, "--seeds", "2", "--models", "ease:regularisation=10,popularity,user_knn")
    after = json.loads(file.read_text())
    assert after[:2] == before
    assert [(result["model"], result["seed"]) for result in after[2:]] == [("user_knn", 0), ("ease", 1), ("popularity", 1), ("user_knn", 1)]
    monkeypatch.setattr("benchmarks.quality._measure", lambda *_: pytest.fail("all of it is there"))
    run(data, file, "--seeds", "2", "--models", "ease:regularisation=10,popularity,user_knn")
    assert json.loads(file.read_text()) == after


def test_an_interruption_loses_one_result_and_no_more(data, tmp_path, monkeypatch):
    from benchmarks import quality

    file, measure, calls = tmp_path / "quality.json", quality._measure, []

    def stops(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return measure(*arguments)

    monkeypatch.setattr(quality, "_measure", stops)
    assert run(data, file) == 130
    assert len(json.loads(file.read_text())) == 2
    monkeypatch.setattr(quality, "_measure", measure)
    assert run(data, file) == 0
    assert len(json.loads(file.read_text())) == 4


def test_both_fits_come_of_one_training_and_the_refit_knows_more(data, tmp_path):
    file = tmp_path / "quality.json"
    run(data, file, "--fit", "train,train+validation", "--models", "ease,multi_dae:epochs=3:layers=[16]", "--seeds", "1")
    results = json.loads(file.read_text())
    assert [(result["model"], result["fit"], result["rows"]["fit"]) for result in results] == [
        ("ease", "train", 480), ("ease", "train+validation", 540),
        ("multi_dae", "train", 480), ("multi_dae", "train+validation", 540),
    ]  # fmt: skip
    assert results[2]["best_epoch"] == results[3]["best_epoch"]
    assert results[2]["model_config"]["layers"] == [16] and results[2]["train_config"]["epochs"] == 3


def test_five_folds_and_sampled_candidates(data, tmp_path):
    file = tmp_path / "folds.json"
    run(data, file, "--protocol", "k_fold", "--seeds", "1")
    results = json.loads(file.read_text())
    assert [result["fold"] for result in results if result["model"] == "ease"] == [1, 2, 3, 4, 5]
    table = summary(results, "ndcg@5")
    values = [result["ndcg@5"] for result in results if result["model"] == "ease"]
    assert table.loc[0, "ndcg@5 mean"] == pytest.approx(np.mean(values))
    assert table.loc[0, "ndcg@5 deviation"] == pytest.approx(np.std(values, ddof=1))
    file = tmp_path / "sampled.json"
    run(data, file, "--protocol", "leave_one_out_last+20", "--seeds", "1")
    first = json.loads(file.read_text())[0]
    assert first["protocol"] == "leave_one_out_last+20" and first["kind"] == "evaluation among 20 candidates"
    assert "coverage@5" not in first


def test_the_ratio_is_taken_on_the_same_split_and_then_averaged(data, tmp_path):
    file = tmp_path / "quality.json"
    run(data, file)
    results = json.loads(file.read_text())
    value = {(result["model"], result["seed"]): result["ndcg@5"] for result in results}
    expected = (value["popularity", 0] / value["ease", 0] + value["popularity", 1] / value["ease", 1]) / 2
    table = summary(results, "ndcg@5").set_index("model")
    assert table.loc["popularity", "ratio"] == pytest.approx(expected)
    assert table.loc["ease regularisation=10", "ratio"] == 1.0
    text = markdown(results, "ndcg@5")
    assert "query and mask: train + validation" in text and "2 seeds" in text
    assert f"| {expected:.3f} |" in text


@pytest.mark.parametrize(
    "words, message",
    [
        (("--models", "eese"), "no model 'eese'; did you mean 'ease'"),
        (("--models", "ease:regularization=3"), "did you mean 'regularisation'"),
        (("--models", "ease regularisation 3"), "a model is a name with options"),
        (("--protocol", "loo"), "no split 'loo'"),
        (("--protocol", "published"), "comes without a split of its own"),
        (("--protocol", "fraction+many"), "after \\+ stands the number of candidates"),
        (("--protocol", "published+20"), "after \\+ stands the number of candidates"),
        (("--protocol", "fraction+4"), "ndcg@5 needs lists of that length; there are 4 candidates"),
        (("--fit", "test"), "--fit takes train and train\\+validation; got test"),
        (("--fit", "train+validation", "--protocol", "user_holdout"), "holds whole users out"),
        (("--seeds", "0"), "--seeds must be 1 or more"),
        (("--metric", "auc"), "monitor names one of"),
    ],
)
def test_words_that_mean_nothing_are_refused(data, tmp_path, capsys, words, message):
    assert run(data, tmp_path / "quality.json", *words) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("content", ['[{"my": "data"}]', "{}", "not JSON"])
def test_a_file_of_something_else_is_not_overwritten(data, tmp_path, capsys, content):
    file = tmp_path / "mine.json"
    file.write_text(content)
    assert run(data, file) == 2
    assert "does not hold results of this benchmark" in capsys.readouterr().err
    assert file.read_text() == content


@pytest.mark.parametrize("words", [("--protocol", "leave_one_out_last"), ("--metric", "recall@7")])
def test_another_protocol_or_metric_is_another_file(data, tmp_path, capsys, words):
    file = tmp_path / "quality.json"
    run(data, file, "--seeds", "1")
    before = file.read_text()
    assert run(data, file, *words) == 2
    assert "holds results of interactions, fraction_80_10_10, ndcg@5; another" in capsys.readouterr().err
    assert file.read_text() == before


def test_a_changed_default_split_or_model_is_not_taken_for_done(data, tmp_path):
    file = tmp_path / "quality.json"
    run(data, file, "--seeds", "1", "--models", "ease,ease,ease:regularisation=300.0")
    results = json.loads(file.read_text())
    assert len(results) == 1, "the default said in words, and one model twice, are one model"
    for name, other in (("model_config", {"regularisation": 7.0}), ("split_fingerprint", "another")):
        file.write_text(json.dumps([results[0] | {name: other}]))
        run(data, file, "--seeds", "1", "--models", "ease")
        both = json.loads(file.read_text())
        assert len(both) == 2
        assert summary(both, "ndcg@5")["n"].tolist() == ([1, 1] if name == "model_config" else [2])


def test_the_order_of_fits_does_not_matter(data, tmp_path):
    run(data, tmp_path / "one.json", "--seeds", "1", "--fit", "train,train+validation")
    run(data, tmp_path / "other.json", "--seeds", "1", "--fit", "train+validation,train")
    one, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "other"))
    assert [(r["fit"], r["rows"]["fit"], r["ndcg@5"]) for r in one] == [(r["fit"], r["rows"]["fit"], r["ndcg@5"]) for r in other]
    assert [r["rows"]["fit"] for r in other] == [480, 540, 480, 540]


def test_nothing_is_repeated_where_no_seed_changes_anything(data, tmp_path):
    file = tmp_path / "quality.json"
    run(data, file, "--protocol", "temporal", "--seeds", "3", "--models", "ease,multi_dae:epochs=1")
    results = json.loads(file.read_text())
    assert [(result["model"], result["seed"]) for result in results] == [
        ("ease", 0), ("multi_dae", 0), ("multi_dae", 1), ("multi_dae", 2),
    ]  # fmt: skip
    assert summary(results, "ndcg@5").set_index("model").loc["multi_dae epochs=1", "ratio"] == pytest.approx(
        np.mean([result["ndcg@5"] for result in results[1:]]) / results[0]["ndcg@5"]
    )


def test_a_ratio_without_a_first_model_on_that_split_is_left_empty(data, tmp_path):
    file = tmp_path / "quality.json"
    run(data, file, "--seeds", "1", "--models", "ease")
    run(data, file, "--seeds", "2", "--models", "popularity")
    results = json.loads(file.read_text())
    table = summary(results, "ndcg@5").set_index("model")
    same = {result["model"]: result["ndcg@5"] for result in results if result["seed"] == 0}
    assert table.loc["popularity", "ratio"] == pytest.approx(same["popularity"] / same["ease"])  # of seed 0 alone


def test_a_model_that_cannot_do_the_task_is_named_and_the_others_are_measured(data, tmp_path, capsys):
    file = tmp_path / "quality.json"
    assert run(data, file, "--protocol", "user_holdout", "--models", "ease,neumf,popularity", "--seeds", "2") == 2
    said = capsys.readouterr()
    assert said.err.startswith("neumf was not measured: neumf cannot score new users")
    assert [result["model"] for result in json.loads(file.read_text())] == ["ease", "popularity"] * 2
    assert "| popularity | train |" in file.with_suffix(".md").read_text(encoding="utf-8")
    assert "query and mask: fold-in" in said.out


def test_candidates_of_validation_and_of_test_are_drawn_apart(data):
    task = next(_tasks(Experiment.of("leave_one_out_last+12", "ease", 1), read_dataset(data)))
    shares = [
        len(set(one.tolist()) & set(other.tolist())) / 12
        for one, other in zip(task.validation_candidates.items, task.test_candidates.items)
    ]
    assert np.mean(shares) == pytest.approx(12 / 38.5, abs=0.06)  # chance: 38 or 39 items are left to each user


def test_options_of_model_and_training_are_told_apart():
    spec = ModelSpec.of("neumf:layers=[64,32]:epochs=3:learning_rate=1e-3:factors=8")
    assert spec.model_options == {"layers": [64, 32], "factors": 8}
    config = spec.train_config("ndcg@10", seed=4)
    assert (config.epochs, config.learning_rate, config.seed, config.monitor) == (3, 0.001, 4, "ndcg@10")
    experiment = Experiment.of("fraction", "neumf:layers=[64,32],ease", 1)
    assert [str(model) for model in experiment.models] == ["neumf layers=[64, 32]", "ease"]
