"""The benchmark of contests: what is hidden, what is measured by hand, and that it goes on where it stopped."""

import json

import numpy as np
import pytest

from benchmarks import contest_validation as module
from benchmarks.__main__ import main
from benchmarks.contest_validation import KINDS, RULES, Contest, errors, markdown, splits_of, summary
from benchmarks.synthetic import drifting_log
from recsys_lib.data.splits import make_split


@pytest.fixture(scope="module")
def log():
    return drifting_log(n_users=60, n_items=150)


@pytest.fixture
def small(monkeypatch, log):
    """A world of 60 users, and no picture: drawing takes longer than all that is measured here; one test draws."""
    monkeypatch.setattr(module, "drifting_log", lambda: log)
    monkeypatch.setattr(module.Plot, "png", lambda self: b"")


def run(file, n, models="popularity,ease:regularisation=10", *more):
    return main(["contest-validation", "--contests", str(n), "--models", models, "--json", str(file), *more])


def test_the_log_drifts(log):
    assert 33 <= log.user_counts.min() and log.user_counts.max() <= 120 and len(set(log.user_counts)) > 20
    assert (
        drifting_log(n_users=60, n_items=150).fingerprint
        == log.fingerprint
        != drifting_log(n_users=60, n_items=150, seed=1).fingerprint
    )
    early = log.timestamps < np.median(log.timestamps)
    chosen_early, chosen_late = (np.bincount(log.items[part], minlength=150) for part in (early, ~early))
    shuffled = np.random.default_rng(0).permutation(early)
    by_chance = np.corrcoef(np.bincount(log.items[shuffled], minlength=150), np.bincount(log.items[~shuffled], minlength=150))[
        0, 1
    ]
    assert np.corrcoef(chosen_early, chosen_late)[0, 1] < by_chance - 0.2, "what is popular passes"


def test_every_rule_and_size_is_drawn_and_stays(log):
    contests = [Contest.drawn(number) for number in range(300)]
    assert contests == [Contest.drawn(number) for number in range(300)]
    assert {(c.rule, c.n) for c in contests} == {(rule, n) for rule in RULES for n in range(1, 11) if (rule, n) != ("mixed", 1)}


@pytest.mark.parametrize("rule", RULES)
def test_what_a_contest_hides(log, rule):
    contest = Contest(3, rule, 5)
    visible, hidden = contest.hide(log)
    assert np.array_equal(np.sort(np.concatenate([visible.pair_keys, hidden.pair_keys])), log.pair_keys)
    assert (hidden.user_counts == 5).all()
    later = np.array([(log.timestamps[log.users == user] > time).sum() for user, time in zip(hidden.users, hidden.timestamps)])
    if rule == "last":
        assert later.max() < 5
    else:  # anywhere: of 33 to 120 rows, a uniform place lies tens of rows before the last
        assert later.mean() > 12 and (np.bincount(hidden.users[later == 0], minlength=60) == 1).all() == (rule == "mixed")


def test_half_of_a_short_history_stays_visible(log):
    short = log.take(np.sort(np.unique(log.users, return_index=True)[1]))  # a row a user
    assert not len(Contest(0, "random", 10).hide(short)[1])


@pytest.mark.parametrize("n", [1, 2, 10])
def test_the_splits_of_a_contest_can_be_made_and_none_is_wrong_by_being_right(log, n):
    names = splits_of(n)
    assert set(names) <= set(KINDS)
    for name in names.values():
        assert len(make_split(name, log, seed=0).validation)
    assert ("1 random" in names) == ("the last + n − 1 random" in names) == (n > 1)


def test_rows_trained_on_promise_most_and_what_is_in_the_file_is_not_run_again(log, small, tmp_path, monkeypatch, capsys):
    file = tmp_path / "out" / "contests.json"
    assert run(file, 1) == 0
    first = json.loads(file.read_text(encoding="utf-8"))
    assert run(file, 2) == 0
    results = json.loads(file.read_text(encoding="utf-8"))
    assert results[: len(first)] == first and {r["contest"] for r in results} == {0, 1}
    assert (
        file.with_suffix(".md").read_text(encoding="utf-8") == markdown(results) and markdown(results) in capsys.readouterr().out
    )
    for number in (0, 1):
        own = [r for r in results if r["contest"] == number]
        contest = Contest.drawn(number)
        assert all((r["rule"], r["n"], r["hidden_rows"]) == (contest.rule, contest.n, 60 * contest.n) for r in own)
        assert {r["split"] for r in own if r["kind"] == "n random"} == {
            make_split(f"contest_{contest.n}_random", log, seed=0).protocol
        }
        of_ease = {
            (r["kind"], r["part"]): r["scores"]["ease regularisation=10"] - r["hidden"]["ease regularisation=10"] for r in own
        }
        assert (
            max(of_ease, key=of_ease.get) == ("rows trained on", "fit recall") and of_ease["rows trained on", "fit recall"] > 0.3
        )
    fresh = tmp_path / "fresh.json"
    run(fresh, 1)
    assert json.loads(fresh.read_text(encoding="utf-8")) == first
    monkeypatch.setattr(module, "_measure", lambda *_: pytest.fail("all of it is there"))
    assert run(file, 2) == 0


def a_result(contest, rule, kind, part, scores, hidden):
    return {"data": "d (SYNTHETIC)", "models": list("abc"), "contest": contest, "rule": rule, "n": 4} | {
        "hidden_rows": 9, "kind": kind, "split": "", "part": part, "scores": dict(zip("abc", scores)), "hidden": dict(zip("abc", hidden)),
    }  # fmt: skip


RESULTS = [
    a_result(0, "random", "n random", "validation", [0.2, 0.3, 0.1], [0.3, 0.4, 0.2]),
    a_result(0, "random", "n random", "test", [0.25, 0.35, 0.15], [0.3, 0.4, 0.2]),
    a_result(0, "random", "rows trained on", "fit recall", [0.5, 0.4, 0.9], [0.3, 0.4, 0.2]),
    a_result(1, "last", "n random", "validation", [0.4, 0.2, 0.2], [0.1, 0.2, 0.0]),
    a_result(1, "last", "n random", "test", [0.2, 0.3, 0.1], [0.1, 0.2, 0.0]),
    a_result(1, "last", "rows trained on", "fit recall", [0.2, 0.2, 0.2], [0.1, 0.2, 0.0]),
]


def test_errors_by_arithmetic():
    table = errors(RESULTS)
    assert table["error"].tolist() == pytest.approx([-10, -5, 30, 100 * (0.3 + 0 + 0.2) / 3, 10, 10])
    assert table["furthest"].tolist() == pytest.approx([-10, -5, 70, 30, 10, 20])
    assert table["hidden"].tolist() == pytest.approx([30] * 3 + [10] * 3)
    assert table["spearman"].tolist()[:3] == pytest.approx([1, 1, -1]) and np.isnan(table["spearman"].iloc[5])
    assert table["lost"].tolist() == pytest.approx([0, 0, 20, 10, 0, 10])


def test_the_summary_tells_the_right_rule_from_the_wrong_one():
    table = summary(RESULTS).set_index("kind")
    assert list(table.index) == ["n random", "rows trained on"]
    row = table.loc["n random"]
    assert row[["contests", "error", "right_rule", "wrong_rule"]].tolist() == pytest.approx([2, (-10 + 50 / 3) / 2, 10, 50 / 3])
    assert row[["test_error", "test_right_rule", "test_wrong_rule"]].tolist() == pytest.approx([2.5, 5, 10])
    assert row["lost"] == pytest.approx(5) and table.loc["rows trained on", "error"] == pytest.approx(20)
    text = markdown(RESULTS)
    assert "| n random (right n) | 2 | +3.3 | 10.0 | 16.7 | +2.5 | 5.0 | 10.0 |" in text
    assert "| rows trained on | 2 | +20.0 |  |  |  |  |  |" in text and "1 hide n random rows, 0 hide the last and n" in text


def test_the_figure_shows_every_contest_and_says_it_is_synthetic():
    figure = module.figure(RESULTS)
    left, right = figure.axes
    dots = [collection for collection in left.collections if len(collection.get_offsets()) and hasattr(collection, "get_sizes")]
    shown = sorted(float(x) for collection in dots for x in np.asarray(collection.get_offsets())[:, 0])
    assert shown == pytest.approx(sorted(errors(RESULTS)["error"]))
    assert [label.get_text() for label in left.get_yticklabels()] == ["n random", "rows trained on"]
    assert figure.synthetic and figure.sentence == (
        "Rows that a model was trained on promise 20 points too much; the test part with the right n is 5.0 points off where the split "
        "guesses the contest's rule, 10.0 where not"
    )
    assert figure.png().startswith(b"\x89PNG")


def test_words_that_mean_nothing_and_files_of_something_else_are_refused(small, tmp_path, capsys):
    assert run(tmp_path / "x.json", 0) == 2 and "--contests 1 or more" in capsys.readouterr().err
    assert run(tmp_path / "x.json", 1, "ease") == 2 and "two models or more" in capsys.readouterr().err
    assert run(tmp_path / "x.json", 1, "eas,ease") == 2 and "did you mean 'ease'" in capsys.readouterr().err
    data = tmp_path / "data"
    data.mkdir()
    (data / "interactions.csv").write_text("user_id,item_id\n1,2\n1,3\n", encoding="utf-8")
    assert run(tmp_path / "x.json", 1, "ease,popularity", "--data", str(data)) == 2
    assert "has no timestamps, so no contest can hide its last rows" in capsys.readouterr().err
    file = tmp_path / "contests.json"
    file.write_text('[{"power": 1}]', encoding="utf-8")
    assert run(file, 1) == 2 and "does not hold results of this benchmark" in capsys.readouterr().err
    file.write_text(json.dumps(RESULTS), encoding="utf-8")
    assert run(file, 1) == 2 and "holds no contests of drifting (SYNTHETIC) with these models" in capsys.readouterr().err
