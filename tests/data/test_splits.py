import numpy as np
import pytest

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import Split, fraction_split, leave_one_out, make_split


def log_of(counts, n_items=12, timestamps=False, seed=0):
    """User u has counts[u] random items; rows are shuffled."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(len(counts)), counts)
    items = np.concatenate([rng.choice(n_items, count, replace=False) for count in counts])
    order = rng.permutation(len(users))
    times = rng.integers(0, 5, len(users)) if timestamps else None  # many ties
    return Interactions(users[order], items[order], len(counts), n_items, times)


ALL = ["leave_one_out_random", "leave_one_out_last", "fraction"]


@pytest.mark.parametrize("name", ALL)
def test_parts_are_disjoint_and_sum_to_the_input(name):
    log = log_of([1, 2, 3, 4, 7, 12], timestamps=True)
    split = make_split(name, log, seed=3)
    keys = np.concatenate([part.pair_keys for part in (split.train, split.validation, split.test)])
    assert np.array_equal(np.sort(keys), log.pair_keys)
    assert {part.n_items for part in (split.train, split.validation, split.test)} == {12}
    assert len(split.known_before_test) == len(split.train) + len(split.validation)


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_split_and_the_global_state_is_untouched(name):
    log = log_of([3, 4, 7, 12], timestamps=True)
    before = np.random.get_state()[1].copy()
    first, again = make_split(name, log, seed=3), make_split(name, log, seed=3)
    assert np.array_equal(before, np.random.get_state()[1])
    assert first.fingerprint == again.fingerprint
    if name != "leave_one_out_last":
        assert first.fingerprint != make_split(name, log, seed=4).fingerprint


def test_leave_one_out_takes_test_first_and_validation_from_three_on():
    split = leave_one_out(log_of([1, 2, 3, 5]), seed=0)
    assert split.test.user_counts.tolist() == [0, 1, 1, 1]
    assert split.validation.user_counts.tolist() == [0, 0, 1, 1]
    assert split.train.user_counts.tolist() == [1, 1, 1, 3]


def test_last_holds_out_the_latest_and_keeps_file_order_on_ties():
    #                     user 0: item 3 and item 1 are both at time 9; the later line is the last
    log = Interactions([0, 0, 0, 1, 1], [2, 3, 1, 0, 5], 2, 6, [4, 9, 9, 8, 7])
    split = leave_one_out(log, held_out="last", seed=0)
    assert split.test.items.tolist() == [1, 0]
    assert split.validation.items.tolist() == [3]
    assert split.protocol == "leave_one_out_last"
    assert leave_one_out(log, seed=0).protocol == "leave_one_out_last", "with timestamps, last is the default"


def test_last_without_timestamps_warns_that_file_order_is_not_time():
    with pytest.warns(UserWarning, match="file order"):
        leave_one_out(log_of([3, 3]), held_out="last", seed=0)
    assert leave_one_out(log_of([3, 3]), seed=0).protocol == "leave_one_out_random"


def test_leave_one_out_says_when_no_history_is_long_enough():
    with pytest.raises(ValueError, match="2 or more interactions; the longest of 3 histories has 1"):
        leave_one_out(log_of([1, 1, 1]), seed=0)


@pytest.mark.parametrize(
    "n, expected",  # (train, validation, test): row j at (j + 1/2)/n, cut at .8 and .9
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (2, 1, 0)), (4, (3, 1, 0)), (5, (4, 0, 1)), (10, (8, 1, 1)), (20, (16, 2, 2))],
)
def test_fraction_split_by_arithmetic(n, expected):
    split = fraction_split(log_of([n], n_items=30), seed=1)
    assert (len(split.train), len(split.validation), len(split.test)) == expected


def test_fraction_split_holds_a_row_out_of_every_history_of_two_or_more():
    split = fraction_split(log_of([2, 3, 4, 5, 6, 7, 8, 9]), seed=1)
    assert ((split.validation.user_counts + split.test.user_counts) >= 1).all()


@pytest.mark.parametrize("fractions", [(0.8, 0.1, 0.2), (0, 0.5, 0.5), (1.2, -0.1, -0.1)])
def test_fraction_split_refuses_fractions_that_do_not_sum_to_one(fractions):
    with pytest.raises(ValueError, match="sum 1"):
        fraction_split(log_of([5]), fractions=fractions, seed=0)


def test_a_split_that_leaks_is_refused():
    log = log_of([5, 5])
    with pytest.raises(ValueError, match="disjoint; 1 validation rows"):
        Split(train=log, validation=log.take(np.array([0])), test=log.take(np.array([], dtype=int)), protocol="x", seed=0)


def test_describe_and_verdict_name_a_skew():
    # Item 0 is chosen by all 8 users, the other items once each; the held-out rows are the item 0 of the users 0..3.
    users = [*range(8), *range(8)]
    items = [0] * 8 + [1, 2, 3, 4, 5, 6, 7, 8]
    log = Interactions(users, items, 8, 9)
    held_out = (log.items == 0) & (log.users < 4)
    empty = log.take(np.zeros(16, dtype=bool))
    split = Split(log.take(~held_out), empty, log.take(held_out), "by hand", 0)
    table = split.describe()
    # In train users 0..3 have an item of their own; users 4..7 have one too, and item 0 with 3 others.
    assert table.loc["train", "mean_popularity"] == pytest.approx((4 * 0 + 4 * (3 + 0) / 2) / 8)
    assert table.loc["train", "mean_activity"] == pytest.approx((4 * 1 + 4 * 2) / 8)
    assert table.loc["test", "mean_activity"] == pytest.approx(1.0)
    assert table.loc["test", "mean_popularity"] == pytest.approx(4.0)
    assert table.loc["test", "share_of_popular"] == 1.0
    assert "Lopsided" in split.verdict() and "item popularity is 5.33 times" in split.verdict()


def test_verdict_of_a_fair_split_of_many_rows():
    log = log_of([40] * 300, n_items=100)
    assert fraction_split(log, seed=0).verdict().startswith("Not lopsided")


def test_an_unknown_split_lists_what_there_is():
    with pytest.raises(ValueError, match="no split .loo.*There are leave_one_out_random"):
        make_split("loo", log_of([3]), seed=0)
