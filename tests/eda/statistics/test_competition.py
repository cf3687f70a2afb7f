import numpy as np
import pytest

from recsys_lib.data.interactions import Interactions
from recsys_lib.eda.statistics.competition import chosen_together, neighbours


@pytest.fixture(scope="module")
def log() -> Interactions:
    keys = np.random.default_rng(4).choice(80 * 25, 500, replace=False)
    return Interactions(keys // 25, keys % 25, 80, 25)


def test_pairs_by_hand():
    # items 0 and 1: users 0 to 5 both, user 6 item 0 alone, user 7 item 1 alone; item 2 with user 0 only
    # and eight more users who chose item 3 alone
    log = Interactions([*range(6), *range(6), 6, 7, 0, *range(8, 16)], [0] * 6 + [1] * 6 + [0, 1, 2] + [3] * 8, 17, 5)
    table = chosen_together(log, seed=1)
    assert len(table) == 1
    pair = table.iloc[0]
    assert (pair["item"], pair["other"], pair["together"]) == (0, 1, 6)
    assert pair["expected"] == 7 * 7 / 16 and pair["lift"] == 6 / (7 * 7 / 16) and pair["cosine"] == 6 / 7  # sixteen users chose


def test_what_is_chosen_together_less_than_by_chance_does_not_compete():
    # two items that nearly everybody has, six of them both: 8 x 8 / 10 are expected
    log = Interactions([*range(8), *range(2, 10)], [0] * 8 + [1] * 8, 10, 3)
    assert len(chosen_together(log, seed=1)) == 0


def test_cosines_are_those_of_scikit_learn(log):
    cosine = pytest.importorskip("sklearn.metrics.pairwise").cosine_similarity(log.user_items().T)
    table = chosen_together(log, seed=1, n_pairs=50, fewest=2)
    assert table["cosine"].to_numpy() == pytest.approx(cosine[table["item"], table["other"]], rel=1e-6)
    assert (log.item_counts[table["item"]] >= log.item_counts[table["other"]]).all()
    together = (log.user_items().T @ log.user_items()).toarray()
    damped = together / (np.sqrt(np.outer(log.item_counts, log.item_counts)) + log.item_counts.mean())
    more = together * 80 > np.outer(log.item_counts, log.item_counts)
    upper = np.triu(np.where((together >= 2) & more, damped, 0), 1)
    assert sorted(damped[table["item"], table["other"]], reverse=True)[:10] == pytest.approx(
        sorted(upper.ravel(), reverse=True)[:10]
    )


def test_neighbours_are_those_of_scikit_learn(log):
    cosine = pytest.importorskip("sklearn.metrics.pairwise").cosine_similarity(log.user_items())
    np.fill_diagonal(cosine, 0)
    active = log.user_counts > 0
    assert sorted(neighbours(log, seed=3)) == sorted((cosine > 0).sum(1)[active])
    assert len(neighbours(log, seed=3, sample=10)) == 10
    assert 1 <= len(neighbours(log, seed=3, most_rows=600)) < active.sum()


def test_few_users_are_drawn_where_histories_are_long(log):
    table = chosen_together(log, seed=1, fewest=1, most_pairs=500)
    assert table.attrs["users"] < 30 and table["together"].max() <= table.attrs["users"]


def test_nothing_together():
    assert len(chosen_together(Interactions([0, 1], [0, 1], 4, 6), seed=1)) == 0
    assert len(neighbours(Interactions([], [], 4, 6), seed=1)) == 0
