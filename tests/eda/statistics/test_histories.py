"""Each statistic of histories on 4 users and 6 items, as arithmetic, and against a slow version."""

import numpy as np
import pytest

from recsys_lib.data.interactions import Interactions
from recsys_lib.eda.statistics import histories as statistics

#       user 0: items 0 1 2; user 1: 0 1; user 2: 0; user 3: nothing; item 5 nobody
TOY = Interactions([0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 3, 4], n_users=4, n_items=6)


def random_log(n_users=40, n_items=25, n=300, seed=1) -> Interactions:
    keys = np.random.default_rng(seed).choice(n_users * n_items, n, replace=False)
    return Interactions(keys // n_items, keys % n_items, n_users, n_items)


def test_gini():
    assert statistics.gini([5, 5, 5]) == 0
    assert statistics.gini([0, 0, 0, 8]) == pytest.approx(1 - 1 / 4)
    assert statistics.gini([1, 3]) == pytest.approx(((2 - 3) * 1 + (4 - 3) * 3) / (2 * 4))
    assert np.isnan(statistics.gini([0, 0]))


def test_gini_is_half_the_mean_difference_over_the_mean():
    x = np.random.default_rng(0).integers(0, 50, 200)
    slow = np.abs(x[:, None] - x[None, :]).mean() / (2 * x.mean())
    assert statistics.gini(x) == pytest.approx(slow, rel=1e-12)


def test_popularity_tail():
    tail = statistics.popularity_tail(TOY, tops=(0.01, 0.5))
    assert list(tail["items"]) == [1, 3]  # at least one; half of six
    assert list(tail["share_of_interactions"]) == pytest.approx([2 / 6, (2 + 1 + 1) / 6])  # items have 2 1 1 1 1 0
    curve = statistics.popularity_curve(TOY)
    assert len(curve) == 7 and list(curve.iloc[-1]) == [1, 1]
    assert curve["share_of_interactions"].iloc[1] == pytest.approx(2 / 6)


def test_cold_start():
    table = statistics.cold_start(TOY)
    users, items = (table[table["side"] == side] for side in ("users", "items"))
    assert list(users["interactions"]) == ["0", "1", "2", "3-5", "6+"]
    assert list(users["n"]) == [1, 1, 1, 1, 0]
    assert list(items["n"]) == [1, 4, 1, 0, 0]
    assert list(items["share"]) == pytest.approx([1 / 6, 4 / 6, 1 / 6, 0, 0])


def test_recall_of_a_random_list_is_arithmetic():
    table = statistics.recall_without_learning(TOY, k=2).set_index("list")
    # user 0 has 6 - 2 candidates when one of three rows is held out, user 1 has 6 - 1; users 2 and 3 are not scored
    assert table.loc["random", "recall"] == pytest.approx((2 / 4 + 2 / 5) / 2)
    assert list(table["users"]) == [2, 2]


def slow_popularity_recall(log: Interactions, k: int, draws: int = 2000) -> float:
    """Hold out each row in turn, shuffle ties, rank the slow way."""
    rng = np.random.default_rng(0)
    by_user = []
    for user in np.flatnonzero(log.user_counts >= 2):
        own, hits = log.items[log.users == user], []
        for item in own:
            counts = log.item_counts.astype(float)
            counts[item] -= 1
            candidates = np.setdiff1d(np.arange(log.n_items), own[own != item])
            ahead = (counts[candidates] > counts[item]).sum()
            tied = (counts[candidates] == counts[item]).sum() - 1
            places = ahead + rng.integers(0, tied + 1, draws)
            hits.append((places < k).mean())
        by_user.append(np.mean(hits))
    return float(np.mean(by_user))


@pytest.mark.parametrize("k", [1, 5, 12])
def test_recall_of_a_popularity_list_equals_the_slow_way(k):
    log = random_log()
    fast = statistics.recall_without_learning(log, k).set_index("list").loc["popularity", "recall"]
    assert fast == pytest.approx(slow_popularity_recall(log, k), abs=0.004)


def test_recall_with_a_list_of_everything_is_one():
    assert statistics.recall_without_learning(random_log(), k=25)["recall"].tolist() == [1, 1]


def test_nobody_to_score():
    log = Interactions([0, 1], [0, 1], 4, 6)
    assert statistics.recall_without_learning(log, k=5)["recall"].isna().all()
