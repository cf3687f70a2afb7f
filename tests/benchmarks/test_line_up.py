"""The benchmark of the line-up: what it measures, what it takes again, and that it goes on where it stopped."""

import json

import numpy as np
import pytest

from benchmarks import line_up as module
from benchmarks.__main__ import main

MODELS = "ease:regularisation=10,popularity,multi_dae:epochs=2:layers=[8]"


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


def run(data, file, *more, models=MODELS):
    runs = str(file.parent / "runs")
    return main(["line-up", "--data", str(data), "--json", str(file), "--models", models, "--metric", "ndcg@5", "--runs", runs, *more])


def test_every_model_and_the_blend_have_a_row(data, tmp_path, capsys):
    file = tmp_path / "out" / "line.json"
    assert run(data, file) == 0
    (result,) = json.loads(file.read_text(encoding="utf-8"))
    names = ["ease regularisation=10", "popularity", "multi_dae epochs=2 layers=[8]", "blend"]
    assert list(result["figures"]) == names
    assert sum(result["weights"].values()) == pytest.approx(1)
    first, popular, _, blend = result["figures"].values()
    assert (first["minus_first"], first["error_first"]) == (0, 0)
    assert popular["minus_first"] == pytest.approx(popular["value"] - first["value"])
    assert blend["minus_best"] == pytest.approx(blend["value"] - result["figures"][result["best_single"]]["value"])
    assert result["best_single"] == max(names[:3], key=lambda name: result["figures"][name]["validation"])
    table = file.with_suffix(".md").read_text(encoding="utf-8")
    assert table in capsys.readouterr().out and table == module.markdown([result])
    assert "80–100 % (from " in table
    assert all(table.count(f"\n| {name} | ") == 2 for name in names), "by quality, and by fifths of the users"
    assert "Blend minus the model that was best on validation" in table
    assert file.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_what_is_trained_is_taken_again_and_what_is_measured_is_not_run_again(data, tmp_path, capsys):
    file = tmp_path / "line.json"
    assert run(data, file) == 0
    before = file.read_text(encoding="utf-8")
    capsys.readouterr()
    assert run(data, file) == 0
    assert file.read_text(encoding="utf-8") == before
    file.unlink()
    assert run(data, file) == 0
    assert "· seed 0" not in capsys.readouterr().out  # no model was trained a second time
    again, once = json.loads(file.read_text(encoding="utf-8"))[0], json.loads(before)[0]
    assert {name: row["value"] for name, row in again["figures"].items()} == {name: row["value"] for name, row in once["figures"].items()}
    assert run(data, file, "--seeds", "2") == 0
    assert [result["seed"] for result in json.loads(file.read_text(encoding="utf-8"))] == [0, 1]
    assert "2 seeds" in file.with_suffix(".md").read_text(encoding="utf-8")


def test_other_models_want_another_file(data, tmp_path, capsys):
    file = tmp_path / "line.json"
    assert run(data, file, models="ease,popularity") == 0
    assert run(data, file, models="popularity,ease") == 2
    assert "holds results with models" in capsys.readouterr().err
    assert run(data, tmp_path / "other.json", models="ease") == 2
    assert "two models or more" in capsys.readouterr().err


def test_the_mean_of_several_seeds_has_the_error_of_users_and_seeds():
    def result(seed, difference):
        row = {"value": 0.3, "minus_first": 0.0, "error_first": 0.0, "minus_best": 0.0, "error_best": 0.0, "train_seconds": 1.0, "evaluate_seconds": 1.0}
        other = row | {"value": 0.3 + difference, "minus_first": difference, "error_first": 0.003}
        return {"seed": seed, "models": ["a", "b"], "figures": {"a": row, "b": other, "blend": other}, "weights": {"a": 0.5, "b": 0.5}}

    row = module.summary([result(0, 0.01), result(1, 0.03)]).iloc[1]
    assert row["minus_first"] == pytest.approx(0.02)
    between = np.var([0.01, 0.03], ddof=1) / 2
    assert row["error_first"] == pytest.approx(np.sqrt(2 * 0.003**2 / 4 + between))


def test_fifths_of_the_users_by_arithmetic():
    class Of:
        def __init__(self, values):
            self.users, self.values = np.arange(10), {"recall@5": np.array(values)}
            self.seen = type("Seen", (), {"user_counts": np.array([9, 1, 8, 2, 7, 3, 6, 4, 5, 10])})

    dae, vae = np.arange(10) / 10, np.arange(10) / 5
    found = module._by_activity({"multi_dae layers=[8]": Of(dae), "multi_vae": Of(vae), "ease": Of(dae)}, "recall@5")
    assert found["from_rows"] == [1, 3, 5, 7, 9]
    # two users a fifth: those with 1 and 2 rows are users 1 and 3, ... those with 9 and 10 are 0 and 9
    assert found["values"]["multi_dae layers=[8]"] == pytest.approx([0.2, 0.6, 0.7, 0.3, 0.45])
    assert found["vae_minus_dae"] == pytest.approx([0.2, 0.6, 0.7, 0.3, 0.45])
    assert found["error"][0] == pytest.approx(np.std([0.1, 0.3], ddof=1) / np.sqrt(2))
    table = "\n".join(module._activity_table([{"metric": "recall@5", "by_activity": found}] * 2))
    assert "| 80–100 % (from 9 rows) |" in table and "| multi_vae minus multi_dae | +0.2000 ± 0.0707 ↑ |" in table
    assert "vae_minus_dae" not in module._by_activity({"multi_vae": Of(vae), "ease": Of(dae)}, "recall@5")
    few = Of(dae)
    few.users = np.arange(9)
    assert module._by_activity({"ease": few}, "recall@5") == {}


def test_models_of_one_name_are_told_apart_by_their_options():
    names = ["ease regularisation=1000", "multi_dae layers=[8, 4]", "ease regularisation=500 dropout=0.3", "ease regularisation=5", "blend"]
    assert module._short(names) == ["ease", "multi_dae", "ease dropout=0.3", "ease regularisation=5", "blend"]
    for alike in (
        ["ease regularisation=1000", "ease regularisation=500 dropout=0.3", "ease regularisation=5 dropout=0.3"],
        ["ease regularisation=1000", "ease"],
    ):
        assert module._short(alike) == alike
