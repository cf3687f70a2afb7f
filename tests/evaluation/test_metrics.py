"""Expected values are written as arithmetic that a reader can check."""

from math import log2

import numpy as np
import pytest
import torch

from recsys_lib.evaluation.intervals import bootstrap_intervals
from recsys_lib.evaluation.metrics import (
    METRICS,
    coverage_at_k,
    hit_rate_at_k,
    map_at_k,
    mrr_at_k,
    ndcg_at_k,
    novelty_at_k,
    recall_at_k,
    truncated_recall_at_k,
)

# user 0 finds 2 of 5 at ranks 1 and 3; user 1 finds 1 of 1 at rank 4; user 2 finds none of 2; user 3 holds nothing out
HITS = torch.tensor([[1, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]], dtype=torch.bool)
N = torch.tensor([5, 1, 2, 0])


@pytest.mark.parametrize(
    "metric, k, expected",
    [
        (recall_at_k, 3, [2 / 5, 0 / 1, 0 / 2]),
        (recall_at_k, 4, [2 / 5, 1 / 1, 0 / 2]),
        (truncated_recall_at_k, 3, [2 / 3, 0 / 1, 0 / 2]),
        (truncated_recall_at_k, 4, [2 / 4, 1 / 1, 0 / 2]),
        (hit_rate_at_k, 3, [1, 0, 0]),
        (hit_rate_at_k, 4, [1, 1, 0]),
        (mrr_at_k, 4, [1 / 1, 1 / 4, 0]),
        (mrr_at_k, 3, [1 / 1, 0, 0]),
        # precision at the hits: 1/1 at rank 1, 2/3 at rank 3
        (map_at_k, 4, [(1 / 1 + 2 / 3) / min(4, 5), (1 / 4) / 1, 0]),
        (
            ndcg_at_k,
            3,
            [(1 / log2(2) + 1 / log2(4)) / (1 / log2(2) + 1 / log2(3) + 1 / log2(4)), 0, 0],
        ),
        (ndcg_at_k, 4, [(1 / log2(2) + 1 / log2(4)) / sum(1 / log2(r + 1) for r in (1, 2, 3, 4)), (1 / log2(5)) / (1 / log2(2)), 0]),
    ],
)
def test_values_by_hand(metric, k, expected):
    values = metric(HITS, N, k)
    assert values[:3].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("name", METRICS)
def test_nothing_held_out_is_nan_and_not_zero(name):
    assert METRICS[name](HITS, N, 4)[3].isnan()


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_list_scores_one(name):
    hits = torch.tensor([[1, 1, 1, 0, 0]], dtype=torch.bool)
    assert METRICS[name](hits, torch.tensor([3]), 5).tolist() == pytest.approx([1.0])


def test_a_cut_off_beyond_the_lists_is_an_error():
    with pytest.raises(ValueError, match="k = 5 needs lists of at least 5 items; these have 4"):
        recall_at_k(HITS, N, 5)


def test_coverage_and_novelty_by_hand():
    ranked = torch.tensor([[0, 1, 5], [0, 2, -1]])
    assert coverage_at_k(ranked, n_items=6, k=2) == 3 / 6  # items 0, 1, 2
    counts = torch.tensor([3, 1, 0, 0, 0, 0])  # shares of (count + 1) / 10
    expected = (2 * -log2(4 / 10) + -log2(2 / 10) + -log2(1 / 10)) / 4
    assert novelty_at_k(ranked, counts, k=2) == pytest.approx(expected)


def test_bootstrap_interval_of_a_share_agrees_with_the_normal_approximation():
    values = np.zeros((2000, 1))
    values[:600] = 1
    (low, high), *_ = bootstrap_intervals(values, n_resamples=4000)
    half = 1.96 * np.sqrt(0.3 * 0.7 / 2000)
    assert low == pytest.approx(0.3 - half, rel=0.02) and high == pytest.approx(0.3 + half, rel=0.02)


def test_bootstrap_draws_users_together_and_is_private():
    before = np.random.get_state()[1].copy()
    values = np.random.default_rng(0).random((50, 1))
    same = bootstrap_intervals(np.hstack([values, values]))
    assert np.array_equal(same[0], same[1])
    assert np.array_equal(before, np.random.get_state()[1])
