"""Which model is better: pairs, families, groups, overlap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from recsys_lib.data.splits import cold_start, fraction_split
from recsys_lib.evaluation.compare import COLUMNS, compare, overlap
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.models import build_model
from recsys_lib.models.base import Recommender


class Given(Recommender):
    name = "given"
    needs_training = False

    def __init__(self, catalogue, scores, trained_on):
        super().__init__(catalogue, None)
        self.scores = torch.as_tensor(scores, dtype=torch.float32)
        self.trained_on = trained_on.pair_keys

    def score(self, users, history):
        return self.scores[users].clone()


@pytest.fixture
def split(market_log):
    return fraction_split(market_log, fractions=(0.5, 0.2, 0.3), seed=1)


@pytest.fixture
def reports(split, market_catalogue):
    """Two with random scores, and one that was told a part of the answers."""
    generator = np.random.default_rng(0)
    judge = Evaluator(split.test, seen=split.known_before_test, ks=[5, 10])
    scores = {name: generator.random((60, 40)) for name in ("one", "another", "told")}
    scores["told"][split.test.users, split.test.items] += 0.4
    return {name: judge.evaluate(Given(market_catalogue, of_one, split.train)) for name, of_one in scores.items()}


def with_values(report, values):
    users = report.users[: len(values)]
    return replace(report, users=users, values={"recall@5": values})


def test_a_row_a_pair_the_better_one_first(reports):
    table = compare(reports, "recall@5")
    assert list(table.columns) == list(COLUMNS)
    assert set(zip(table["model"].iloc[:2], table["verdict"].iloc[:2])) == {("told", "better")}
    assert table["verdict"].iloc[2] == "no difference shown"
    assert (table["difference"] >= 0).all() and (table["low"] < table["difference"]).all()
    for row in table.itertuples():
        difference = reports[row.model].values["recall@5"] - reports[row.other].values["recall@5"]
        assert row.difference == pytest.approx(difference.mean())
        assert row.effect_size == pytest.approx(difference.mean() / difference.std(ddof=1))
        assert (row.better_for, row.worse_for) == ((difference > 0).mean(), (difference < 0).mean())


def test_of_two_models_the_interval_is_that_of_one_paired_mean(reports):
    generator = np.random.default_rng(3)
    values = {name: with_values(reports["one"], generator.normal(mean, 1, 60)) for name, mean in (("a", 0.0), ("b", 0.3))}
    row = compare(values, "recall@5", n_resamples=20_000).iloc[0]
    difference = values[row["model"]].values["recall@5"] - values[row["other"]].values["recall@5"]
    width = 1.96 * difference.std(ddof=1) / np.sqrt(60)
    assert row["high"] - row["difference"] == pytest.approx(width, rel=0.05)
    assert row["p"] == pytest.approx(stats.ttest_1samp(difference, 0).pvalue, abs=0.02)


def test_false_alarms_of_a_whole_family_stay_at_the_level(reports):
    generator = np.random.default_rng(7)
    alarms = alone = 0
    for _ in range(200):
        values = {str(i): with_values(reports["one"], generator.normal(0, 1, 60)) for i in range(6)}
        alarms += (compare(values, "recall@5", n_resamples=400)["verdict"] == "better").any()
        draws = np.stack([report.values["recall@5"] for report in values.values()])
        alone += min(stats.ttest_rel(a, b).pvalue for i, a in enumerate(draws) for b in draws[:i]) < 0.05
    assert alone > 50  # of 200, had each pair been tested alone
    assert alarms < 22  # 10 expected, and three deviations


def test_models_with_equal_values_do_not_differ_and_a_constant_gain_is_one(reports):
    table = compare({"a": reports["one"], "b": reports["one"]}, "recall@5")
    assert table.loc[0, ["difference", "p", "verdict"]].tolist() == [0, 1, "no difference shown"]
    better = replace(reports["one"], values={"recall@5": reports["one"].values["recall@5"] + 0.1})
    assert compare({"a": reports["one"], "b": better}, "recall@5").loc[0, ["model", "verdict"]].tolist() == ["b", "better"]


def test_by_activity_with_edges_of_ones_own(reports, split):
    table = compare(reports, "ndcg@5", by="activity", activity_edges=(0, 8, 12))
    known = split.known_before_test.user_counts[reports["one"].users]
    expected = {"0–7": (known < 8).sum(), "8–11": ((known >= 8) & (known < 12)).sum(), "12+": (known >= 12).sum()}
    assert dict(zip(table["group"], table["users"])) == {name: n for name, n in expected.items() if n}
    few = table[table["users"] < 20]
    assert (few["verdict"] == "too few users").all() and few["p"].isna().all()
    with pytest.raises(ValueError, match="rise"):
        compare(reports, "ndcg@5", by="activity", activity_edges=(10, 5))


def test_more_groups_ask_for_a_larger_difference(reports):
    def widths(table):
        errors = table["difference"] / table["effect_size"] / table["users"] ** 0.5
        return (table["high"] - table["difference"]) / errors

    alone, grouped = widths(compare(reports, "recall@5")), widths(compare(reports, "recall@5", by="popularity").dropna())
    assert np.ptp(alone) < 1e-9 and np.ptp(grouped) < 1e-9  # one width a family, in errors
    assert grouped.iloc[0] > alone.iloc[0] > 1.96


def test_by_popularity_and_by_slice_count_rows(market_log, market_catalogue):
    split = cold_start(fraction_split(market_log, seed=0), users=0.4, items=0.1, seed=0)
    judge = Evaluator(split.test, seen=split.known_before_test, ks=[5])
    reports = {}
    for name in ("popularity", "ease"):
        model = build_model(name, market_catalogue, seed=0)
        model.prepare(split.train, torch.Generator())
        reports[name] = judge.evaluate(model)
    by_slice = compare(reports, "recall@5", by="slice")
    for row in by_slice.itertuples():
        assert row.value == pytest.approx(reports[row.model].slices(5)[row.group][1].mean())
    by_popularity = compare(reports, "recall@5", by="popularity")
    rows = {name: 0 for name in reports}
    for name, report in reports.items():
        of_groups = report.by_popularity(5)
        rows[name] = float((of_groups["value"] * of_groups["rows"]).sum())
        assert set(of_groups["group"]) == set(by_popularity["group"])
        assert rows[name] == pytest.approx(report.hits[:, :5].sum())


def test_what_cannot_be_compared_is_said(reports, split, market_catalogue):
    with pytest.raises(ValueError, match="two reports"):
        compare({"one": reports["one"]}, "recall@5")
    with pytest.raises(ValueError, match="no metric 'recall@7' in the report of one"):
        compare(reports, "recall@7")
    with pytest.raises(ValueError, match="must be a recall"):
        compare(reports, "ndcg@5", by="slice")
    with pytest.raises(ValueError, match="by must be one of"):
        compare(reports, "recall@5", by="country")
    other = Evaluator(split.validation, seen=split.train, ks=[5]).evaluate(
        Given(market_catalogue, np.random.random((60, 40)), split.train)
    )
    with pytest.raises(ValueError, match="other rows"):
        compare({"one": reports["one"], "other": other}, "recall@5")


def test_overlap_of_lists(reports):
    shared = overlap(reports, 5)
    assert np.allclose(np.diag(shared), 1) and np.allclose(shared, shared.T)
    by_hand = np.mean([len(set(a[:5]) & set(b[:5])) / 5 for a, b in zip(reports["one"].ranked, reports["told"].ranked)])
    assert shared.loc["one", "told"] == pytest.approx(by_hand)
    with pytest.raises(ValueError, match="places"):
        overlap(reports, 1000)
