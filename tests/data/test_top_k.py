import numpy as np
import pytest
import torch

from recsys_lib.data.native import compiled
from recsys_lib.data.top_k import _SOURCE, top_k, top_k_unsettled


@pytest.fixture(params=["compiled", "torch"])
def way(request, monkeypatch):
    """Both ways give one answer."""
    if request.param == "torch":
        monkeypatch.setenv("RECSYS_NATIVE", "off")
    elif compiled(_SOURCE) is None:
        pytest.skip("no compiler here")
    return request.param


def slow_top_k(row, k):
    return sorted(range(len(row)), key=lambda item: (-row[item], item))[:k]


def of_kind(kind, rng, shape):
    scores = rng.normal(size=shape).astype("float32")
    return {
        "all different": scores,
        "few levels": np.round(scores * 2),
        "nearly all zero": np.where(rng.random(shape) < 0.9, 0, scores).astype("float32"),
        "rising": np.sort(scores, 1),
        "falling": -np.sort(scores, 1),
        "mostly hidden": np.where(rng.random(shape) < 0.8, -np.inf, scores).astype("float32"),
        "all hidden": np.full(shape, -np.inf, dtype="float32"),
        "with infinities": np.where(rng.random(shape) < 0.1, np.inf, scores).astype("float32"),
        "zeros of both signs": np.where(rng.random(shape) < 0.5, -0.0, 0.0).astype("float32"),
    }[kind]


KINDS = ["all different", "few levels", "nearly all zero", "rising", "falling", "mostly hidden", "all hidden", "with infinities", "zeros of both signs"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 7), (63, 5), (64, 64), (300, 20), (2500, 3), (2500, 100)])
def test_it_is_a_sort_by_score_then_index(way, kind, n, k):
    scores = torch.from_numpy(of_kind(kind, np.random.default_rng(n + k), (5, n)))
    values, indexes = top_k(scores.clone(), k)
    assert indexes.tolist() == [slow_top_k(row, k) for row in scores.tolist()]
    assert torch.equal(values, scores.gather(1, indexes))


def test_hidden_ones_come_last(way):
    rng = np.random.default_rng(3)
    scores = torch.from_numpy(rng.normal(size=(6, 200)).astype("float32"))
    hidden = [rng.permutation(200)[:n] for n in (0, 3, 0, 199, 200, 50)]
    ends = torch.from_numpy(np.cumsum([0, *map(len, hidden)]))
    wanted = scores.clone()
    for row, items in enumerate(hidden):
        wanted[row, items] = -torch.inf
    values, indexes = top_k(scores, 30, (ends, torch.from_numpy(np.concatenate(hidden))))
    assert torch.equal(scores, wanted)
    assert indexes.tolist() == [slow_top_k(row, 30) for row in wanted.tolist()]
    assert torch.equal(values, wanted.gather(1, indexes))


def test_nan_shows_first(way):
    scores = torch.arange(500.0).repeat(2, 1)
    scores[1, 250] = torch.nan
    values, indexes = top_k(scores, 3)
    assert indexes.tolist() == [[499, 498, 497], [250, 499, 498]]
    assert values[1, 0].isnan()


def test_other_dtypes_and_strides_go_the_slower_way():
    scores = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 8)))
    for given in (scores, scores.float().T, scores.half()):
        values, indexes = top_k(given, 3)
        assert indexes.tolist() == [slow_top_k(row, 3) for row in given.tolist()]


def test_unsettled_rows_are_named(way):
    scores = torch.tensor([[3.0, 2.0, 1.0, 0.0], [3.0, 1.0, 1.0, 1.0]])
    _, _, unsettled = top_k_unsettled(scores, 2)
    assert unsettled.tolist() == ([False, False] if way == "compiled" else [False, True])


def test_zeros_are_not_lost_where_denormals_are_switched_off(way):
    scores = torch.from_numpy(of_kind("nearly all zero", np.random.default_rng(0), (5, 3000)))
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor cannot")
    try:
        _, indexes = top_k(scores.clone(), 700)
    finally:
        torch.set_flush_denormal(False)
    assert indexes.tolist() == [slow_top_k(row, 700) for row in scores.tolist()]


@pytest.mark.parametrize("k", [-1, 4])
def test_more_than_there_is_is_refused(way, k):
    with pytest.raises(ValueError, match=f"k must lie in 0..3, the length of a row; got {k}"):
        top_k(torch.zeros(2, 3), k)
