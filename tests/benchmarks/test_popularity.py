"""The benchmark of popularity: what it measures, what it writes, and that it goes on where it stopped."""

import json

import numpy as np
import pytest

from benchmarks import popularity as module
from benchmarks.__main__ import main


@pytest.fixture
def data(tmp_path):
    """60 users of two tastes; of each taste's 40 items the first are chosen far more often."""
    rng = np.random.default_rng(0)
    chance = 1 / np.arange(1, 41)
    lines = []
    for user in range(60):
        chosen = rng.choice(40, 10, replace=False, p=chance / chance.sum()) + 40 * (user % 2)
        lines += [f"{user},{item}" for item in chosen]
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id", *lines]) + "\n", encoding="utf-8")
    return folder


@pytest.fixture
def no_picture(monkeypatch):
    """Drawing takes longer than all that is measured here; one test draws."""
    monkeypatch.setattr(module.Plot, "png", lambda self: b"")


def run(data, file, powers="0,0.5,1", models="ease:regularisation=10", *more):
    words = ["--data", str(data), "--json", str(file), "--powers", powers, "--models", models, "--metric", "ndcg@5", *more]
    return main(["popularity", *words])


def test_more_of_the_catalogue_is_shown_the_more_is_divided(data, tmp_path, capsys):
    file = tmp_path / "out" / "popularity.json"
    assert run(data, file) == 0
    results = json.loads(file.read_text(encoding="utf-8"))
    assert [(r["part"], r["power"]) for r in results] == [("", 0.0), ("scores", 0.5), ("scores", 1.0)]
    assert results[0]["figures"].keys() == {"ndcg@5", "recall@5", "coverage@5", "novelty@5"}
    assert results[0]["beside plain"]["ndcg@5"] == {"mean": 0.0, "error": 0.0}
    difference = results[2]["figures"]["ndcg@5"] - results[0]["figures"]["ndcg@5"]
    assert results[2]["beside plain"]["ndcg@5"]["mean"] == pytest.approx(difference, abs=1e-9)
    novelty = [r["figures"]["novelty@5"] for r in results]
    assert novelty == sorted(novelty) and novelty[0] < novelty[2]
    assert sum(results[0]["held-out rows"].values()) == 60
    table = file.with_suffix(".md").read_text(encoding="utf-8")
    assert table in capsys.readouterr().out and table == module.markdown(results)
    assert "| ease regularisation=10 | scores | 0.5 |" in table
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_a_model_with_a_loss_is_corrected_in_both_places(data, no_picture, tmp_path):
    file = tmp_path / "popularity.json"
    assert run(data, file, "1", "multi_dae:epochs=2:layers=[8]") == 0
    results = json.loads(file.read_text(encoding="utf-8"))
    assert [(r["part"], r["power"]) for r in results] == [("", 0.0), ("loss", 1.0), ("scores", 1.0)]
    assert len({r["figures"]["novelty@5"] for r in results}) == 3


def test_what_is_in_the_file_is_not_run_again(data, no_picture, tmp_path, monkeypatch):
    file = tmp_path / "popularity.json"
    run(data, file, "0,1")
    before = json.loads(file.read_text(encoding="utf-8"))
    run(data, file, "0,0.5,1")
    after = json.loads(file.read_text(encoding="utf-8"))
    assert after[:2] == before and [r["power"] for r in after] == [0.0, 1.0, 0.5]
    assert module.summary(after)["power"].tolist() == [0.0, 0.5, 1.0]  # in the table they stand in order
    fresh = tmp_path / "fresh.json"
    run(data, fresh, "0,0.5,1")
    assert sorted(json.loads(fresh.read_text(encoding="utf-8")), key=str) == sorted(after, key=str)
    monkeypatch.setattr(module, "_measure", lambda *_: pytest.fail("all of it is there"))
    assert run(data, file, "0,0.5,1") == 0


def a_result(power, ndcg, coverage, seed=0, error=0.001):
    figures = {"ndcg@5": ndcg, "coverage@5": coverage}
    return {"data": "d", "protocol": "p", "metric": "ndcg@5", "model": "ease", "seed": seed, "users": 9} | {
        "part": "scores" if power else "",
        "power": power,
        "figures": figures,
        "beside plain": {"ndcg@5": {"mean": ndcg - 0.3, "error": error if power else 0.0}},
        "recall by popularity": {"top 1 %": 0.5, "never seen": 0.0},
        "held-out rows": {"top 1 %": 40, "never seen": 3},
    }


def test_a_change_is_marked_beyond_two_errors_and_the_headline_keeps_the_metric():
    results = [a_result(0.0, 0.3, 0.1), a_result(0.25, 0.297, 0.2), a_result(1.0, 0.2, 0.9), a_result(0.5, 0.299, 0.15)]
    table = module.summary(results).set_index("power")
    assert table["ndcg@5 mark"].to_dict() == {0.0: "", 0.25: " ↓", 0.5: "", 1.0: " ↓"}
    assert module.figure(results).sentence == (
        "ease with popularity^0.25 divided out of the scores: coverage@5 0.100 to 0.200, ndcg@5 0.3000 to 0.2970"
    )
    assert "never seen" not in module.markdown(results)  # three rows say nothing
    flat = [a_result(0.0, 0.3, 0.1), a_result(1.0, 0.2, 0.9)]
    assert module.figure(flat).sentence == "No power leaves 95% of ndcg@5 and raises coverage@5"


def test_seeds_that_disagree_leave_no_mark():
    results = [a_result(0.0, 0.3, 0.1, seed) for seed in (0, 1)] + [a_result(1.0, 0.25, 0.2, 0), a_result(1.0, 0.29, 0.2, 1)]
    table = module.summary(results).set_index("power")
    assert table.loc[1.0, "ndcg@5"] == pytest.approx((0.25 + 0.29) / 2)
    assert table.loc[1.0, "ndcg@5 mark"] == ""  # -.03 ± 2 · .02


@pytest.mark.parametrize(
    "powers, models, message",
    [
        ("0,2", "ease", "numbers in [0, 1]"),
        ("half", "ease", "numbers in [0, 1]"),
        ("0,1", "popularity", "popularity has nothing that is divided by popularity"),
        ("0,1", "eas", "did you mean 'ease'"),
    ],
)
def test_words_that_mean_nothing_are_refused(data, tmp_path, capsys, powers, models, message):
    assert run(data, tmp_path / "x.json", powers, models) == 2
    assert message in capsys.readouterr().err


def test_a_file_of_other_data_is_refused(data, no_picture, tmp_path, capsys):
    file = tmp_path / "popularity.json"
    run(data, file, "0")
    assert run(data, file, "0", "ease", "--protocol", "leave_one_out") == 2
    assert "give another --json" in capsys.readouterr().err
