"""Every statistic on 4 users and 6 items, as arithmetic, and against a slow or a library's version."""

import numpy as np
import pandas as pd
import pytest

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import Categorical, FeatureTable, MultiLabel, Numeric
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import Split, make_split
from recsys_lib.eda import statistics

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


# ---------------------------------------------------------------------------------------------------- features


def test_features_become_labels():
    several = MultiLabel("genres", np.array([0, 2, 2, 3, 4]), np.array([0, 1, 1, 2]), ("a", "b", "c"))
    assert statistics.labelled(several).matrix.toarray().tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]]
    one = Categorical("degree", np.array([0, 2, 1, 2], dtype=np.int32), ("", "3", "4"))
    assert statistics.labelled(one).labels == ("3", "4")
    assert statistics.labelled(one).matrix.toarray().tolist() == [[0, 0], [0, 1], [1, 0], [0, 1]]
    number = Numeric("salary", np.array([1, 2, np.nan, 2], dtype=np.float32))
    assert statistics.labelled(number).labels == ("1", "2")
    assert statistics.labelled(number).matrix.toarray().tolist() == [[1, 0], [0, 1], [0, 0], [0, 1]]


def test_numbers_fall_into_quantile_bins():
    labels = statistics.labelled(Numeric("x", np.arange(100, dtype=np.float32)), bins=4)
    assert labels.labels == ("0–24", "25–49", "50–74", "75–99")
    assert labels.matrix.sum(0).tolist() == [[25, 25, 25, 25]]


def test_rare_labels_become_one_and_count_once_a_row():
    several = MultiLabel("words", np.array([0, 3, 4, 5, 6]), np.array([0, 1, 2, 2, 2, 2]), ("a", "b", "c"))
    labels = statistics.labelled(several, max_labels=2)
    assert labels.labels == ("c", "(other)")
    assert labels.matrix.toarray().tolist() == [[1, 1], [1, 0], [1, 0], [1, 0]]


def test_an_entirely_missing_feature_has_a_block_of_its_own():
    nothing = statistics.labelled(Numeric("x", np.full(4, np.nan, dtype=np.float32)))
    assert nothing.matrix.shape == (4, 1) and nothing.matrix.sum() == 0


def test_cramers_v_of_known_tables():
    assert statistics.cramers_v([[10, 0], [0, 10]], corrected=False) == 1
    assert statistics.cramers_v([[5, 5], [5, 5]]) == 0
    assert statistics.cramers_v([[5, 5]]) == 0
    # phi2 = 1; corrected: phi2 - 1/19 over (2 - 1/19) - 1, which is 1 again
    assert statistics.cramers_v([[10, 0], [0, 10]]) == pytest.approx(np.sqrt((1 - 1 / 19) / (2 - 1 / 19 - 1)))


def test_cramers_v_equals_scipy():
    contingency = pytest.importorskip("scipy.stats.contingency")
    table = np.random.default_rng(3).integers(1, 40, (4, 6))
    assert statistics.cramers_v(table, corrected=False) == pytest.approx(
        contingency.association(table, method="cramer"), rel=1e-12
    )


def test_correction_takes_away_what_independence_gives():
    rng = np.random.default_rng(0)
    tables = [np.histogram2d(rng.integers(0, 8, 200), rng.integers(0, 8, 200), bins=8)[0] for _ in range(50)]
    raw = np.mean([statistics.cramers_v(table, corrected=False) for table in tables])
    assert np.mean([statistics.cramers_v(table) for table in tables]) < 0.35 * raw


def catalogue_with(user_features, item_features, n_users, n_items) -> Catalogue:
    return Catalogue(
        IdMap(range(n_users), "user"),
        IdMap(range(n_items), "item"),
        FeatureTable(n_users, user_features),
        FeatureTable(n_items, item_features),
    )


@pytest.fixture(scope="module")
def planted():
    """Users of kind 0, 1 choose items of the same kind four times of five; `noise` and `constant` tell nothing."""
    rng = np.random.default_rng(5)
    n_users, n_items = 200, 60
    kind_of_user, kind_of_item = rng.integers(0, 2, n_users), np.arange(n_items) % 2
    pairs = set()
    for user in range(n_users):
        for _ in range(12):
            kind = kind_of_user[user] if rng.random() < 0.8 else 1 - kind_of_user[user]
            pairs.add((user, int(rng.choice(np.flatnonzero(kind_of_item == kind)))))
    users, items = np.array(sorted(pairs)).T
    log = Interactions(users, items, n_users, n_items)
    user_features = [
        Categorical("noise", rng.integers(1, 4, n_users).astype(np.int32), ("", "x", "y", "z")),
        Categorical("kind", (kind_of_user + 1).astype(np.int32), ("", "left", "right")),
        Categorical("constant", np.ones(n_users, dtype=np.int32), ("", "같음")),
    ]
    item_features = [
        Categorical("item_kind", (kind_of_item + 1).astype(np.int32), ("", "left", "right")),
        Numeric("price", rng.random(n_items).astype(np.float32)),
    ]
    return log, catalogue_with(user_features, item_features, n_users, n_items)


def test_the_planted_pair_comes_first_and_noise_stays_within_chance(planted):
    log, catalogue = planted
    table = statistics.associations(log, catalogue, seed=1, shuffles=40)
    assert list(table.loc[0, ["user_feature", "item_feature"]]) == ["kind", "item_kind"]
    assert table.loc[0, "v"] == pytest.approx(0.6, abs=0.05)  # .8 - .2
    assert table.loc[0, "chance"] < 0.1
    assert len(table) == 3 * 2
    constant = table[table["user_feature"] == "constant"]
    assert (constant["v"] == 0).all() and (constant["user_labels"] == 1).all() and not constant["above_chance"].any()


def test_all_pairs_at_once_equal_one_pair_at_a_time(planted):
    log, catalogue = planted
    table = statistics.associations(log, catalogue, seed=1, shuffles=2)
    for row in table.itertuples():
        user = statistics.labelled(catalogue.user_features[row.user_feature])
        item = statistics.labelled(catalogue.item_features[row.item_feature])
        counts = statistics.cross_table(log, user, item)
        assert row.v == pytest.approx(statistics.cramers_v(counts), abs=1e-9)
        assert row.rows == counts.to_numpy().sum()


def test_the_same_seed_gives_the_same_chance_and_leaves_the_global_state_alone(planted):
    before = np.random.get_state()[1].copy()
    first, again = (statistics.associations(*planted, seed=4, shuffles=5) for _ in range(2))
    pd.testing.assert_frame_equal(first, again)
    assert np.array_equal(before, np.random.get_state()[1])


def test_without_features_there_is_no_pair():
    assert len(statistics.associations(TOY, catalogue_with([], [], 4, 6), seed=1)) == 0


def test_lift():
    user = statistics.labelled(Categorical("degree", np.array([1, 2, 2, 1], dtype=np.int32), ("", "3", "4")))
    item = statistics.labelled(
        Categorical("education", np.array([1, 1, 2, 2, 2, 0], dtype=np.int32), ("", "대학", "고교"))
    )
    table = statistics.lift(TOY, user, item).set_index(["user_label", "item_label"])
    # user 0 (degree 3): 대학 2, 고교 1; users 1 and 2 (degree 4): 대학 1, 고교 2
    assert table["count"].to_dict() == {("3", "대학"): 2, ("3", "고교"): 1, ("4", "대학"): 1, ("4", "고교"): 2}
    assert table.loc[("3", "대학"), "expected"] == 3 * 3 / 6
    assert table.loc[("3", "대학"), "lift"] == 2 / (3 * 3 / 6)
    assert table.loc[("3", "대학"), "residual"] == pytest.approx((2 - 1.5) / np.sqrt(1.5 * (1 - 3 / 6) * (1 - 3 / 6)))


# ---------------------------------------------------------------------------------------------------- splits


def test_profiles_count_every_user_once():
    # train: user 0 items 0 1 2, user 1 item 0; test: user 0 item 3, user 1 item 1
    train = Interactions([0, 0, 0, 1], [0, 1, 2, 0], 4, 6)
    empty = Interactions([], [], 4, 6)
    split = Split(train, empty, Interactions([0, 1], [3, 1], 4, 6), "by hand", 0)
    profiles = statistics.split_profiles(split)
    table = profiles[(profiles["quantity"] == "item_popularity") & (profiles["part"] == "train")]
    # without the row itself: item 0 has 1, items 1 and 2 have 0; user 0: 0 0 1 at a third each, user 1: 1
    assert table["value"].tolist() == [0, 1]
    assert table["share"].tolist() == pytest.approx([(2 / 3 + 0) / 2, 1])
    table = profiles[(profiles["quantity"] == "item_popularity") & (profiles["part"] == "test")]
    assert table["value"].tolist() == [0, 1] and table["share"].tolist() == [1 / 2, 1]
    gaps = statistics.split_gaps(profiles).set_index(["quantity", "part"])
    assert gaps.loc[("item_popularity", "test"), "gap"] == pytest.approx(1 / 2 - 1 / 3)
    assert gaps.loc[("user_activity", "test"), "gap"] == 0
    assert gaps["chance"].tolist() == pytest.approx([1.36 * np.sqrt(1 / 2 + 1 / 2)] * 2)


def test_a_random_split_is_even_and_one_of_popular_items_is_not():
    log = random_log(300, 80, 4000)
    gaps = statistics.split_gaps(statistics.split_profiles(make_split("leave_one_out_random", log, seed=1)))
    assert (gaps["gap"] < gaps["chance"]).all()
    popular = log.item_counts[log.items]
    held_out = np.zeros(len(log), dtype=bool)
    for user in range(log.n_users):
        rows = np.flatnonzero(log.users == user)
        held_out[rows[popular[rows].argmax()]] = True
    split = Split(log.take(~held_out), Interactions([], [], 300, 80), log.take(held_out), "most popular", 0)
    gaps = statistics.split_gaps(statistics.split_profiles(split)).set_index("quantity")
    assert gaps.loc["item_popularity", "gap"] > 3 * gaps.loc["item_popularity", "chance"]
