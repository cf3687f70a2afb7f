"""The pieces under the three kNN models, against scikit-learn, NumPy and the slow way."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.metrics.pairwise import cosine_similarity

from recsys_lib.models.neighbours import SparseRows, likeness, nearest

RNG = np.random.default_rng(0)


def random_rows(n, m, density, seed=0):
    return sp.random(n, m, density, format="csr", dtype=np.float32, random_state=seed, data_rvs=lambda size: np.ones(size))


def block_of(matrix):
    return torch.from_numpy(matrix.indptr.astype(np.int64)), torch.from_numpy(matrix.indices.astype(np.int64))


@pytest.mark.parametrize("density", [0.002, 0.03, 0.5])  # sparse x sparse, sparse x dense block, dense
def test_every_way_to_multiply_gives_the_same(density):
    mine, asked = random_rows(90, 200, density), random_rows(30, 200, min(density, 0.1), seed=1)
    rows = SparseRows(mine, torch.device("cpu"))
    expected = (asked @ mine.T).toarray()
    assert rows.times(*block_of(asked)).numpy() == pytest.approx(expected)
    values = torch.from_numpy(RNG.random(asked.nnz).astype(np.float32))
    weighted = sp.csr_matrix((values.numpy(), asked.indices, asked.indptr), asked.shape)
    assert rows.times(*block_of(asked), values).numpy() == pytest.approx((weighted @ mine.T).toarray(), rel=1e-5)
    assert rows.times_dense(torch.from_numpy(weighted.toarray())).numpy() == pytest.approx((weighted @ mine.T).toarray(), rel=1e-5)
    assert rows.is_dense == (density > 0.2)


def test_which_way_is_taken_is_a_matter_of_cost(monkeypatch):
    """Both ways of one and the same product, the choice turned by hand."""
    mine, asked = random_rows(90, 200, 0.03), random_rows(30, 200, 0.03, seed=1)
    rows = SparseRows(mine, torch.device("cpu"))
    results = []
    for cost in (0, 10**9):
        monkeypatch.setattr("recsys_lib.models.neighbours._SPARSE_COST", cost)
        results.append(rows.times(*block_of(asked)))
    assert torch.equal(*results)


def test_blocks_are_the_rows_in_order(monkeypatch):
    monkeypatch.setattr("recsys_lib.models.neighbours._BLOCK", 350)  # 7 rows of 50 at once
    mine = random_rows(50, 30, 0.2)
    rows = SparseRows(mine, torch.device("cpu"))
    found = list(rows.blocks())
    assert len(found) == 8
    assert torch.cat([numbers for numbers, _, _ in found]).tolist() == list(range(50))
    whole = torch.cat([rows.times(indptr, indices) for _, indptr, indices in found])
    assert whole.numpy() == pytest.approx((mine @ mine.T).toarray())


@pytest.fixture
def sets():
    """40 random sets out of 25 things, one of them empty, one with everything."""
    x = (RNG.random((40, 25)) < 0.3).astype(np.float32)
    x[3], x[4] = 0, 1
    return x


def of(x, similarity, shrinkage=0.0):
    sizes = torch.from_numpy(x.sum(1))
    return likeness(torch.from_numpy(x @ x.T), sizes, sizes, x.shape[1], similarity, shrinkage).numpy()


def test_cosine_is_scikit_learn_s(sets):
    assert of(sets, "cosine") == pytest.approx(cosine_similarity(sets), abs=1e-6)


def test_pearson_is_numpy_s_correlation_and_negative_ones_are_zero(sets):
    varied = np.delete(sets, [3, 4], axis=0)  # of a constant row NumPy's correlation is not defined
    assert of(varied, "pearson") == pytest.approx(np.corrcoef(varied).clip(min=0), abs=1e-5)
    assert (of(sets, "pearson")[[3, 4]] == 0).all()


def test_shrinkage_by_hand():
    x = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1]], dtype=np.float32)
    expected = 2 / np.sqrt(2 * 3) * 2 / (2 + 10)  # two in common
    assert of(x, "cosine", 10.0)[0, 1] == pytest.approx(expected)
    assert of(x, "cosine", 10.0)[0, 2] == 0  # none: 0/0 does not become NaN
    assert of(x, "pearson", 10.0)[0, 1] == pytest.approx(np.corrcoef(x)[0, 1] * 2 / 12)


def test_of_neighbours_equally_near_the_first_by_index_count():
    indptr, indices, values = nearest(torch.tensor([[0.5, 0.2, 0.5, 0.5], [0.1, 0.1, 0.1, 0.3]]), 2)
    assert indptr.tolist() == [0, 2, 4]
    assert indices.tolist() == [0, 2, 3, 0] and values.tolist() == pytest.approx([0.5, 0.5, 0.3, 0.1])
