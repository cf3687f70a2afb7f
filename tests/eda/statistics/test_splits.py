"""Profiles and gaps of a split."""

import numpy as np
import pytest

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import Split, make_split
from recsys_lib.eda.statistics import splits as statistics


def random_log(n_users=40, n_items=25, n=300, seed=1) -> Interactions:
    keys = np.random.default_rng(seed).choice(n_users * n_items, n, replace=False)
    return Interactions(keys // n_items, keys % n_items, n_users, n_items)


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


def test_the_gap_is_scipys():
    stats = pytest.importorskip("scipy.stats")
    log = random_log(60, 40, 700)
    split = make_split("leave_one_out_random", log, seed=1)
    gaps = statistics.split_gaps(statistics.split_profiles(split)).set_index(["quantity", "part"])
    activity = log.user_counts
    held = split.validation.user_counts > 0
    expected = stats.ks_2samp(activity[split.train.user_counts > 0], activity[held]).statistic
    assert gaps.loc[("user_activity", "validation"), "gap"] == pytest.approx(expected, abs=1e-12)
