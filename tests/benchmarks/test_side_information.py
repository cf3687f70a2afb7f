"""The benchmark of side information: what it measures, its arithmetic, and that it goes on where it stopped."""

import json
import re

import numpy as np
import pytest

from benchmarks import side_information as module
from benchmarks.__main__ import main
from benchmarks.side_information import VARIANTS, markdown, summary
from recsys_lib.data.splits import cold_start, make_split
from recsys_lib.datasets import read_dataset
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import markets_of


@pytest.fixture(scope="module", autouse=True)
def timed_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TIMED_S", 0.0)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A MovieLens 100K of 60 users and 48 films; a film's genre and a user's occupation tell the market."""
    folder = tmp_path_factory.mktemp("ml-100k")
    log = markets_of(60, 48, 4, 10, timestamps=True)
    rows = [f"{user + 1}\t{item + 1}\t4\t{880000000 + time}" for user, item, time in zip(log.users, log.items, log.timestamps)]
    (folder / "u.data").write_text("\n".join(rows) + "\n", encoding="utf-8")
    films = []
    for item in range(48):
        flags = "|".join(str(int(place in (item // 12 + 1, 6 + item % 2))) for place in range(19))
        films.append(f"{item + 1}|Film {item} (1995)|01-Jan-{1980 + item % 10}||http://x/{item + 1}|{flags}")
    (folder / "u.item").write_text("\n".join(films) + "\n", encoding="iso-8859-1")
    users = [f"{user + 1}|{20 + user}|{'MF'[user % 2]}|{['artist', 'doctor', 'lawyer', 'writer'][user % 4]}|1000{user % 4}" for user in range(60)]
    (folder / "u.user").write_text("\n".join(users) + "\n", encoding="utf-8")
    return folder


def run(data, file, *words):
    defaults = {"--models": "ease:regularisation=10", "--metric": "ndcg@5", "--seeds": "1"}
    arguments = [word for pair in (defaults | dict(zip(words[::2], words[1::2]))).items() for word in pair]
    return main(["side-information", "--data", str(data), "--json", str(file), *arguments])


def results_of(file):
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def measured(data, tmp_path_factory):
    """Two models and one seed, run once."""
    file = tmp_path_factory.mktemp("measured") / "side.json"
    assert run(data, file, "--models", "ease:regularisation=10,multi_dae:epochs=2:layers=[8]") == 0
    return file


def test_it_writes_an_object_a_model_task_and_variant(measured):
    results = results_of(measured)
    names = [(r["model"], r["task"], r["seed"], r["variant"]) for r in results]
    models = ("ease regularisation=10", "multi_dae epochs=2 layers=[8]")
    assert names == [(model, task, 0, variant) for task in ("known", "newcomers") for model in models for variant in VARIANTS]
    for result in results:
        assert result["epoch_seconds"] >= 0 and result["evaluate_seconds"] > 0 and result["metric"] == "ndcg@5"
        names = set(result["figures"])
        assert {"ndcg@5", "warm"} <= names
        if result["task"] == "newcomers":
            assert {"cold users", "cold items", "among new items"} <= names
            # a tenth of 48 films
            assert result["chance among new items"] == 1.0
        for figure in result["figures"].values():
            assert np.isfinite(list(figure.values())).all() and figure["users"] > 0
            if result["variant"] == "none":
                assert figure["difference"] == figure["error"] == 0
    assert results[4]["best_epoch"] in (1, 2)


def test_a_difference_is_that_of_the_same_users_to_the_plain_model(measured):
    results = results_of(measured)
    for start in range(0, len(results), 4):
        plain, *others = results[start : start + 4]
        for other in others:
            for name, figure in other["figures"].items():
                assert figure["difference"] == pytest.approx(figure["value"] - plain["figures"][name]["value"], abs=1e-12)
                assert figure["users"] == plain["figures"][name]["users"]


def test_the_figures_are_those_of_an_evaluation_by_hand(data, measured):
    dataset = read_dataset(data)
    split = make_split("fraction", dataset.interactions, seed=0)
    for task, parts in (("known", split), ("newcomers", cold_start(split, seed=0))):
        for variant in ("none", "all"):
            model = build_model("ease", dataset.catalogue, seed=0, regularisation=10.0, features=variant)
            Trainer(train_config("ease", device="cpu")).repeat(model, parts.train, [])
            report = Evaluator(parts.test, seen=parts.known_before_test, ks=[5]).evaluate(model)
            (found,) = [r for r in results_of(measured) if (r["model"][:4], r["task"], r["variant"]) == ("ease", task, variant)]
            assert found["figures"]["ndcg@5"]["value"] == pytest.approx(report.mean("ndcg@5"))
            for name, (users, values) in report.slices(5).items():
                assert found["figures"][name]["value"] == pytest.approx(values.mean()) and found["figures"][name]["users"] == len(users)


def test_features_that_tell_the_market_help_newcomers(measured):
    table = summary(results_of(measured)).set_index(["model", "variant", "task", "figure"])
    row = table.loc[("ease regularisation=10", "user", "newcomers", "cold users")]
    assert row["difference"] > 0 and row["value"] > 0.2


def test_an_evaluation_is_timed_anew_until_the_time_is_up(monkeypatch):
    now, made = [0.0], []
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(module, "TIMED_S", 10.0)

    class Model:
        def train(self):
            made.append("may have learned on")
            now[0] += 2

    class Judge:
        def evaluate(self, model):
            made.append("evaluated")
            now[0] += [3, 1, 2][made.count("evaluated") - 1]

    assert module._timed(Judge(), Model()) == 2
    assert made == ["may have learned on", "evaluated"] * 3


def test_what_is_in_the_file_is_not_run_again(data, tmp_path, monkeypatch):
    file = tmp_path / "out" / "side.json"
    file.parent.mkdir()
    assert run(data, file) == 0
    before = results_of(file)
    assert run(data, file, "--seeds", "2") == 0
    after = results_of(file)
    assert after[:8] == before and [r["seed"] for r in after] == [0] * 8 + [1] * 8
    monkeypatch.setattr(module, "_measure", lambda *_: pytest.fail("all of it is there"))
    assert run(data, file, "--seeds", "2") == 0
    assert results_of(file) == after


def test_an_interruption_loses_the_model_that_was_being_measured_and_no_more(data, tmp_path, monkeypatch):
    file, measure, calls = tmp_path / "side.json", module._measure, []

    def stops(*arguments):
        for row in measure(*arguments):
            calls.append(row)
            if len(calls) == 7:
                raise KeyboardInterrupt
            yield row

    monkeypatch.setattr(module, "_measure", stops)
    assert run(data, file) == 130
    assert [r["task"] for r in results_of(file)] == ["known"] * 4
    monkeypatch.setattr(module, "_measure", measure)
    assert run(data, file) == 0
    assert [(r["task"], r["variant"]) for r in results_of(file)] == [(task, v) for task in ("known", "newcomers") for v in VARIANTS]


@pytest.mark.parametrize(
    "words, message",
    [
        (("--models", "eese"), "no model 'eese'; did you mean 'ease'"),
        (("--models", "popularity"), "no option of popularity 'features'"),
        (("--models", "gmf:epochs=1"), r"gmf has no tower to use features of items in \(genres, year\)"),
        (("--protocol", "loo"), "no split 'loo'"),
        (("--protocol", "user_holdout"), "holds whole users out"),
        (("--metric", "auc"), "monitor names one of"),
        (("--seeds", "0"), "--seeds must be 1 or more; got 0"),
    ],
)
def test_words_that_mean_nothing_are_refused(data, tmp_path, capsys, words, message):
    assert run(data, tmp_path / "side.json", *words) == 2
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("content", ['[{"my": "data"}]', "{}", "[3]", "not JSON"])
def test_a_file_of_something_else_is_not_overwritten(data, tmp_path, capsys, content):
    file = tmp_path / "mine.json"
    file.write_text(content, encoding="utf-8")
    assert run(data, file) == 2
    assert "does not hold results of this benchmark" in capsys.readouterr().err
    assert file.read_text(encoding="utf-8") == content


@pytest.mark.parametrize("words", [("--protocol", "leave_one_out_last"), ("--metric", "recall@5")])
def test_another_protocol_or_metric_is_another_file(data, measured, capsys, words):
    before = measured.read_text(encoding="utf-8")
    assert run(data, measured, *words) == 2
    assert "fraction, ndcg@5; give another --json" in capsys.readouterr().err
    assert measured.read_text(encoding="utf-8") == before


# ---- arithmetic


def a_result(seed, variant="item", task="newcomers", model="ease", **figures):
    about = {"data": "toy", "data_fingerprint": "f", "protocol": "fraction", "metric": "ndcg@10", "chance among new items": 0.05}
    about |= {"epoch_seconds": 2.0 if variant == "none" else 3.0, "evaluate_seconds": 1.0, "best_epoch": 1}
    figures = {name: dict(zip(("value", "difference", "error", "users"), (*numbers, 9))) for name, numbers in figures.items()}
    return about | {"model": model, "task": task, "seed": seed, "variant": variant, "figures": figures}


def test_the_error_of_a_mean_is_that_over_users_and_that_between_seeds():
    found = summary([a_result(0, warm=(0.5, 0.1, 0.03)), a_result(1, warm=(0.7, 0.3, 0.04))]).iloc[0]
    # users: √(0.03² + 0.04²) / 2; seeds: the variance of 0.1 and 0.3 is 0.02, of their mean 0.01
    error = np.sqrt((0.03**2 + 0.04**2) / 4 + 0.01)
    assert (found["value"], found["difference"], found["n"]) == (pytest.approx(0.6), pytest.approx(0.2), 2)
    assert (found["low"], found["high"]) == (pytest.approx(0.2 - 2 * error), pytest.approx(0.2 + 2 * error))
    alone = summary([a_result(0, warm=(0.5, 0.1, 0.03))]).iloc[0]
    assert (alone["low"], alone["high"]) == (pytest.approx(0.04), pytest.approx(0.16))


def test_a_slice_that_one_seed_lacks_is_the_mean_of_the_others():
    for order in (1, -1):
        results = [a_result(0, warm=(0.5, 0.1, 0.0)), a_result(1, warm=(0.7, 0.1, 0.0), **{"cold items": (0.2, 0.05, 0.01)})][::order]
        table = summary(results).set_index("figure")
        assert table.loc["warm", "n"] == 2 and table.loc["cold items", "n"] == 1 and table.loc["cold items", "value"] == 0.2


def test_the_error_over_users_is_that_of_a_mean():
    rng = np.random.default_rng(1)
    plain, other = rng.normal(size=400), rng.normal(size=400)
    users = np.arange(400)
    found = module._beside((users, other), (users, plain))
    assert found["value"] == pytest.approx(other.mean()) and found["difference"] == pytest.approx((other - plain).mean())
    assert found["error"] == pytest.approx((other - plain).std() / 20, rel=0.15) and found["users"] == 400
    assert module._beside((users, other), (users, other))["error"] == 0.0


def test_a_change_is_marked_where_two_errors_tell_it_from_zero():
    def results(variant, **figures):
        return [a_result(0, variant, "known", **{"ndcg@10": (0.3, 0.0, 0.0)}), a_result(0, variant, **figures)]

    plain = {"warm": (0.5, 0.0, 0.0), "cold users": (0.1, 0.0, 0.0), "cold items": (0.2, 0.0, 0.0)}
    item = {"warm": (0.4, -0.1, 0.049), "cold users": (0.3, 0.2, 0.099), "cold items": (0.21, 0.01, 0.006)}
    rest = {name: (0.5, 0.0, 0.1) for name in plain}
    text = markdown([*results("none", **plain), *results("item", **item), *results("user", **rest), *results("all", **rest)])
    lines = text.splitlines()
    assert lines[2] == "| model | features | ndcg@10 | known users, known items | users without history | new items, whole catalogue | epoch x | evaluation x |"
    assert lines[4] == "| ease | plain | 0.3000 | 0.5000 | 0.1000 | 0.2000 | 1.00 | 1.00 |"
    assert lines[5] == "| ease | + item | 0.3000 | 0.4000 ↓ | 0.3000 ↑ | 0.2100 | 1.50 | 1.00 |"
    assert [line.split("|")[2].strip() for line in lines[4:]] == ["plain", "+ item", "+ user", "+ both"]
    assert "1 seed(s)" in text and "the others recall@10" in text and "chance among themselves is 0.0500" in text


def test_the_table_is_beside_the_file(measured):
    text = measured.with_suffix(".md").read_text(encoding="utf-8")
    assert text == markdown(results_of(measured)) and len(text.splitlines()) == 4 + 2 * 4
