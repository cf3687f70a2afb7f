import ctypes
import functools
import platform
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

from recsys_lib.data.native import compiled
from recsys_lib.data.top_k import _SOURCE, panels, top_k, top_k_of_product, top_k_unsettled


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


# ---- of a product


def hidden_of(rng, n_rows, n, most):
    rows = [rng.permutation(n)[: rng.integers(0, most + 1)] for _ in range(n_rows)]
    return torch.from_numpy(np.cumsum([0, *map(len, rows)])), torch.from_numpy(np.concatenate(rows).astype(np.int64))


@functools.cache
def built_for(processor, folder):
    built = folder / f"top_k-{processor}.so"
    flags = ["-O3", "-shared", "-fPIC", "-std=gnu11", f"-march={processor}", "-fopenmp"]
    subprocess.run(["cc", *flags, str(_SOURCE), "-o", str(built), "-lm"], check=True)
    return ctypes.CDLL(str(built))


@pytest.fixture(params=["this processor", "x86-64", "haswell"])
def product(request, tmp_path_factory, monkeypatch):
    """top_k_of_product as this processor has it, and as an older one would."""
    if compiled(_SOURCE) is None:
        pytest.skip("no compiler here")
    if request.param != "this processor":
        if shutil.which("cc") is None or platform.system() != "Linux" or platform.machine() != "x86_64" or (request.param == "haswell" and "avx2" not in Path("/proc/cpuinfo").read_text()):
            pytest.skip("another kind of processor or compiler")
        library = built_for(request.param, tmp_path_factory.getbasetemp())
        monkeypatch.setattr("recsys_lib.data.top_k.compiled", lambda source: library)
    return top_k_of_product


@pytest.mark.parametrize("levels", [2, 100])  # few different scores, and many
@pytest.mark.parametrize(("n_rows", "n", "d", "k"), [(1, 1, 1, 1), (5, 7, 3, 7), (6, 63, 4, 5), (7, 64, 16, 64), (97, 65, 5, 2), (200, 700, 8, 20), (3, 2500, 1, 300)])
def test_it_is_top_k_of_the_product(product, n_rows, n, d, k, levels):
    rng = np.random.default_rng(n + d + levels)
    # Whole numbers: every way to add them up gives the same sum.
    rows, vectors, bias = (torch.from_numpy(rng.integers(-levels, levels + 1, shape).astype("float32")) for shape in ((n_rows, d), (n, d), n))
    hide = hidden_of(rng, n_rows, n, n)
    values, indexes = product(rows, panels(vectors, bias), k, hide)
    wanted, places = top_k(rows @ vectors.T + bias, k, hide)
    assert torch.equal(values, wanted)
    left = wanted > -torch.inf
    assert torch.equal(indexes[left], places[left])


def test_rising_and_falling_products(product):
    vectors = torch.arange(5000.0)[:, None]
    nothing = torch.zeros(3, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    _, indexes = product(torch.tensor([[1.0], [-1.0]]), panels(vectors, torch.zeros(5000)), 4, nothing)
    assert indexes.tolist() == [[4999, 4998, 4997, 4996], [0, 1, 2, 3]]


def test_infinite_and_nan_products(product):
    rows = torch.tensor([[1.0], [torch.nan], [0.0]])
    nothing = torch.zeros(4, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    bias = torch.zeros(100)
    bias[[3, 70, 80]] = torch.tensor([torch.inf, torch.nan, -torch.inf])
    values, indexes = product(rows, panels(torch.ones(100, 1), bias), 3, nothing)
    assert indexes[0].tolist() == [70, 3, 0] and values[0, 0].isnan()
    assert values[1].isnan().all() and (indexes[1] < 100).all()  # not what fills up the last panel
    assert indexes[2].tolist() == [70, 3, 0]


def test_a_pair_has_one_score_whatever_lies_around_it(product):
    generator = torch.Generator().manual_seed(0)
    rows, vectors = torch.randn(500, 64, generator=generator), torch.randn(300, 64, generator=generator)
    nothing = torch.zeros(501, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    values, indexes = product(rows, panels(vectors, torch.zeros(300)), 300, nothing)
    for row in (0, 250, 499):
        alone, places = product(rows[row : row + 1], panels(vectors, torch.zeros(300)), 300, (nothing[0][:2], nothing[1]))
        assert torch.equal(alone[0], values[row]) and torch.equal(places[0], indexes[row])


def test_rows_of_another_width_are_refused(product):
    nothing = torch.zeros(2, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    for rows, k in ((torch.zeros(1, 4), 2), (torch.zeros(1, 3), 0), (torch.zeros(1, 3), 8)):
        with pytest.raises(ValueError, match="wanted rows of 3 and k in 1..7; got rows of"):
            product(rows, panels(torch.zeros(7, 3), torch.zeros(7)), k, nothing)


def test_rows_of_another_dtype_or_without_their_ends_are_refused(product):
    nothing = torch.zeros(2, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    for rows in (torch.zeros(1, 3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.int32), torch.zeros(2, 3)):
        with pytest.raises(ValueError, match="wanted float32 rows and an end more than rows"):
            product(rows, panels(torch.zeros(7, 3), torch.zeros(7)), 2, nothing)


def test_without_a_compiler_or_in_another_precision_there_are_no_panels(monkeypatch):
    assert panels(torch.zeros(7, 3).double(), torch.zeros(7)) is None
    monkeypatch.setenv("RECSYS_NATIVE", "off")
    assert panels(torch.zeros(7, 3), torch.zeros(7)) is None
