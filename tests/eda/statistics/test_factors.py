import numpy as np
import pytest

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import leave_one_out
from recsys_lib.eda.statistics import factors as statistics
from tests.conftest import markets_of


def normalised(log: Interactions) -> np.ndarray:
    matrix = log.user_items().toarray().astype(float)
    rows, columns = matrix.sum(1), matrix.sum(0)
    used = rows > 0
    roots = np.sqrt(rows[used] + rows[used].mean())[:, None] * np.sqrt(columns + columns.mean())
    return matrix[used] / roots


def test_the_spectrum_is_that_of_the_dense_matrix():
    log = markets_of(60, 40, 4, 6)
    expected = np.linalg.svd(normalised(log), compute_uv=False)
    real, _ = statistics.spectrum(log, 20, seed=1)
    assert real == pytest.approx(expected[1:20], rel=2e-3)


def test_as_many_factors_as_markets_less_one_stand_out_from_chance():
    real, chance = statistics.spectrum(markets_of(400, 80, 5, 8), 30, seed=1)
    assert (real > chance[0]).sum() == 5 - 1
    assert len(real) == len(chance) == 29 and (np.diff(real) <= 1e-6).all()


def test_recall_is_that_of_the_dense_model():
    log = markets_of(60, 40, 4, 6)
    split = leave_one_out(log, held_out="random", seed=2)
    table = statistics.recall_by_factors(split, 5, (1, 4, 8, 500), seed=1).set_index("factors")
    assert list(table.index) == [1, 4, 8]  # there are not 500
    matrix = split.train.user_items().toarray().astype(float)
    roots = np.sqrt(matrix.sum(0) + matrix.sum(0).mean())
    _, _, vectors = np.linalg.svd(normalised(split.train))
    # Four factors are the four markets; with fewer or more, scores are the same but for rounding.
    scores = (matrix / roots) @ vectors[:4].T @ (vectors[:4] * roots)
    scores[matrix > 0] = -np.inf
    ranks = (scores[split.validation.users] > scores[split.validation.users, split.validation.items][:, None]).sum(1)
    assert table.loc[4, "recall"] == pytest.approx((ranks < 5).mean())
    assert table.loc[4, "recall"] > 1.5 * table.loc[1, "recall"]
    assert table["users"].unique().tolist() == [60]


def test_some_users_keep_all_their_rows():
    log = markets_of(60, 40, 4, 6)
    some = statistics.of_some_users(log, seed=1, most_rows=120)
    assert len(some) == 19 * 6 and set(some.user_counts) == {0, 6}
    assert (some.n_users, some.n_items) == (60, 40)
    assert statistics.of_some_users(log, seed=1, most_rows=360) is log
