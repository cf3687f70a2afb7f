"""The benchmark of feature_worth: what it counts, and that it goes on where it stopped."""

import json

import pytest

from benchmarks import feature_worth as module
from benchmarks.__main__ import main
from recsys_lib.datasets.sample import STRONG_NOISE, STRONG_PLANTED
from recsys_lib.studies.findings import FeatureWorth, rows_as_table


def a_study(model, dataset, *, seed, minutes, say, **more) -> FeatureWorth:
    """The first planted feature is always found; seed 1 raises a false alarm by permutation, and its noise hurts."""
    base = {"side": "user", "users": 9, "seeds": 2, "slice": "warm", "difference": 0.1, "p_corrected": 0.01}
    rows = [
        base | {"feature": STRONG_PLANTED[0], "kind": kind, "verdict": verdict}
        for kind, verdict in (("retraining", "helps"), ("permutation", "relied on"))
    ]
    rows.append(base | {"feature": STRONG_PLANTED[1], "kind": "permutation", "verdict": "no evidence"})
    if seed == 1:
        rows.append(base | {"feature": STRONG_NOISE[0], "kind": "permutation", "verdict": "relied on"})
        rows.append(base | {"feature": STRONG_NOISE[1], "kind": "retraining", "verdict": "hurts", "difference": -0.1})
    about = {"model": model, "k": 10, "seconds": 1.0, "trainings": 3}
    return FeatureWorth(about, rows_as_table(rows), ())


@pytest.fixture
def quick(monkeypatch):
    calls = []
    monkeypatch.setattr(module, "feature_worth", lambda *words, **more: calls.append(more["seed"]) or a_study(*words, **more))
    monkeypatch.setattr(module, "write_sample", lambda folder, config: folder)
    monkeypatch.setattr(module, "read_dataset", lambda folder: None)
    return calls


def test_it_counts_what_was_found_and_goes_on_where_it_stopped(quick, tmp_path, capsys):
    file = tmp_path / "out" / "worth.json"
    assert main(["feature-worth", "--seeds", "1", "--json", str(file)]) == 0
    assert main(["feature-worth", "--seeds", "3", "--json", str(file)]) == 0
    assert quick == [0, 1, 2] and len(json.loads(file.read_text(encoding="utf-8"))) == 3
    table = module.summary(json.loads(file.read_text(encoding="utf-8"))).set_index("feature")
    first, second, noise = table.loc[STRONG_PLANTED[0]], table.loc[STRONG_PLANTED[1]], table.loc["any noise feature"]
    assert list(first[["studies", "found", "helps", "relied on", "retrained"]]) == [3, 3, 3, 3, 3]
    assert list(second[["found", "retrained"]]) == [0, 0]
    assert list(noise[["found", "helps", "relied on", "hurts"]]) == [1, 0, 1, 1]
    assert f"| neumf | {STRONG_PLANTED[0]} | 3 |" in capsys.readouterr().out and file.with_suffix(".md").is_file()


def test_other_files_and_no_seeds_are_refused(quick, tmp_path, capsys):
    file = tmp_path / "worth.json"
    file.write_text('[{"model": "ease"}]', encoding="utf-8")
    assert (
        main(["feature-worth", "--json", str(file)]) == 2 and "does not hold results of this benchmark" in capsys.readouterr().err
    )
    assert main(["feature-worth", "--seeds", "0", "--json", str(tmp_path / "x.json")]) == 2
    assert not quick
