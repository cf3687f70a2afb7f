import numpy as np
import pytest

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import (
    SPLITS,
    Split,
    cold_start,
    contest_split,
    fraction_split,
    hold_out_last,
    k_fold,
    leave_k_out,
    leave_one_out,
    make_split,
    temporal_holdout,
    user_holdout,
)


def log_of(counts, n_items=12, timestamps=False, seed=0):
    """User u has counts[u] random items; rows are shuffled."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(len(counts)), counts)
    items = np.concatenate([rng.choice(n_items, count, replace=False) for count in counts])
    order = rng.permutation(len(users))
    times = rng.integers(0, 5, len(users)) if timestamps else None  # many ties
    return Interactions(users[order], items[order], len(counts), n_items, times)


ALL = [*SPLITS, "leave_2_out_random", "leave_3_out_last", "leave_one_out_last_validated_by_2", "fold_2_of_3", "contest_3_random", "contest_last_plus_2_random"]
WITHOUT_SEED = {"leave_one_out_last", "leave_3_out_last", "temporal", "temporal_per_user"}


def parts_of(split):
    return [part for part in (split.train, split.validation, split.test, split.fold_in) if part is not None]


@pytest.mark.parametrize("name", ALL)
def test_parts_are_disjoint_and_sum_to_the_input(name):
    log = log_of([1, 2, 3, 4, 7, 12] * 3, timestamps=True)
    split = make_split(name, log, seed=3)
    keys = np.concatenate([part.pair_keys for part in parts_of(split)])
    assert np.array_equal(np.sort(keys), log.pair_keys)
    assert {part.n_items for part in parts_of(split)} == {12}
    assert len(split.known_before_test) == len(log) - len(split.test)
    assert len(split.test) and len(split.train)
    for known, asked in ((split.known_before_validation, split.validation), (split.known_before_test, split.test)):
        assert not np.isin(asked.pair_keys, known.pair_keys).any()


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_split_and_the_global_state_is_untouched(name):
    log = log_of([3, 4, 7, 12] * 4, timestamps=True)
    before = np.random.get_state()[1].copy()
    first, again = make_split(name, log, seed=3), make_split(name, log, seed=3)
    assert np.array_equal(before, np.random.get_state()[1])
    assert first.fingerprint == again.fingerprint
    if name not in WITHOUT_SEED:
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


# ---- leave-k-out


def test_leave_k_out_by_arithmetic():
    """k rows to test where k + 1 are there, k more to validation where 2k + 1 are there."""
    split = leave_k_out(log_of([1, 3, 4, 6, 7, 10]), 3, held_out="random", seed=0)
    assert split.test.user_counts.tolist() == [0, 0, 3, 3, 3, 3]
    assert split.validation.user_counts.tolist() == [0, 0, 0, 0, 3, 3]
    assert split.train.user_counts.tolist() == [1, 3, 1, 3, 1, 4]
    assert split.protocol == "leave_3_out_random"


def test_leave_k_out_last_takes_the_k_latest():
    log = Interactions([0] * 6, [5, 4, 3, 2, 1, 0], 1, 6, [60, 10, 50, 20, 40, 30])
    split = leave_k_out(log, 2, seed=0)
    assert sorted(split.test.timestamps) == [50, 60] and sorted(split.validation.timestamps) == [30, 40]


def test_leave_one_out_is_leave_k_out_of_one():
    log = log_of([2, 3, 7, 12])
    assert leave_one_out(log, seed=5).fingerprint == leave_k_out(log, 1, seed=5).fingerprint


def test_leave_k_out_says_when_no_history_is_long_enough():
    with pytest.raises(ValueError, match="leave_10_out needs users with 11 or more interactions; the longest of 2 histories has 7"):
        leave_k_out(log_of([7, 3]), 10, seed=0)
    with pytest.raises(ValueError, match="k must be 1 or more; got 0"):
        leave_k_out(log_of([7, 3]), 0, seed=0)


def test_some_users_validate_and_the_others_keep_their_rows():
    log = log_of([2, 3, 7, 12, 9], timestamps=True)
    everybody, some = leave_one_out(log, seed=5), leave_one_out(log, validation_users=2, seed=5)
    assert some.protocol == "leave_one_out_last_validated_by_2"
    assert np.array_equal(some.test.pair_keys, everybody.test.pair_keys)
    assert some.validation.user_counts.max() == 1 and len(some.validation) == 2 and some.validation.user_counts[0] == 0
    assert np.isin(some.validation.pair_keys, everybody.validation.pair_keys).all()
    assert leave_one_out(log, validation_users=4, seed=5).validation.fingerprint == everybody.validation.fingerprint
    of_random = leave_k_out(log, 2, held_out="random", validation_users=1, seed=5)
    assert of_random.protocol == "leave_2_out_random_validated_by_1" and len(of_random.validation) == 2


def test_more_validating_users_than_there_are_is_refused():
    with pytest.raises(ValueError, match="at most the 2 users with 3 or more interactions; got 2,048"):
        leave_one_out(log_of([2, 3, 7]), validation_users=2048, seed=5)


# ---- as a contest hides


@pytest.mark.parametrize(
    "n_rows, expected",  # (train, validation, test) of n = 3: test min(3, (c + 1) // 3), validation min(3, c // 3)
    [(1, (1, 0, 0)), (2, (1, 0, 1)), (3, (1, 1, 1)), (4, (2, 1, 1)), (5, (2, 1, 2)), (8, (3, 2, 3)), (9, (3, 3, 3)), (40, (34, 3, 3))],
)
@pytest.mark.parametrize("last", [False, True])
def test_a_contest_split_by_arithmetic(n_rows, expected, last):
    log = log_of([n_rows, 40], n_items=50, timestamps=True)  # the second user is long enough for any
    split = contest_split(log, n_random=3 - last, last=last, seed=1)
    assert tuple(int(part.user_counts[0]) for part in (split.train, split.validation, split.test)) == expected


def test_with_long_histories_random_ones_are_the_rows_of_leave_k_out():
    log = log_of([9, 10, 12])
    assert contest_split(log, n_random=3, seed=5).fingerprint == leave_k_out(log, 3, held_out="random", seed=5).fingerprint
    short = log_of([1, 2, 3, 4, 12])
    assert contest_split(short, n_random=1, seed=5).fingerprint == leave_one_out(short, held_out="random", seed=5).fingerprint


def test_the_last_row_is_always_among_those_of_last_plus_random_and_the_others_are_drawn():
    counts, n_users = [12] * 60, 60
    log = log_of(counts, n_items=30)
    log = Interactions(log.users, log.items, n_users, 30, np.random.default_rng(1).permutation(len(log)))
    split = contest_split(log, n_random=2, last=True, seed=0)
    for part, known in ((split.test, split.known_before_test), (split.validation, split.train)):
        together = part.union(known)
        latest = np.array([together.timestamps[together.users == user].max() for user in range(n_users)])
        assert np.isin(latest, part.timestamps).all(), "of test the last of all, of validation the last that is left"
        assert (part.user_counts == 3).all()
    place = np.array([(log.timestamps[log.users == u] > t).sum() for u, t in zip(split.test.users, split.test.timestamps)])
    drawn = place[place > 0]
    assert len(drawn) == 2 * n_users and abs(drawn.mean() - np.mean(np.arange(1, 12))) < 1.2, "anywhere before the last"


def test_of_a_short_history_the_last_row_goes_first():
    log = Interactions([0, 0, 0, 1, 1, *[2] * 9], [*range(5), *range(9)], 3, 9, [5, 9, 7, 4, 3, *range(9)])
    split = contest_split(log, n_random=2, last=True, seed=0)
    assert split.test.items[split.test.users < 2].tolist() == [1, 3]  # at 9 and at 4
    assert split.validation.items[split.validation.users < 2].tolist() == [2]  # at 7
    assert (split.train.user_counts == [1, 1, 3]).all()


def test_ties_of_the_last_row_keep_file_order_and_no_time_warns():
    tied = Interactions([0] * 9, range(9), 1, 9, [3] * 9)
    split = contest_split(tied, n_random=1, last=True, seed=0)
    assert 8 in split.test.items and (7 if 7 not in split.test.items else 6) in split.validation.items
    with pytest.warns(UserWarning, match="file order.*Prefer contest_2_random"):
        without = contest_split(Interactions([0] * 9, range(9), 1, 9), n_random=1, last=True, seed=0)
    assert without.test.items.tolist() == split.test.items.tolist()


@pytest.mark.parametrize("name", ["contest_3_random", "contest_last_plus_2_random"])
def test_a_contest_split_bears_the_name_that_makes_it(name):
    log = log_of([12, 9], timestamps=True)
    split = make_split(name, log, seed=4)
    assert split.protocol == name and make_split(split.protocol, log, seed=4).fingerprint == split.fingerprint


def test_a_contest_split_that_nobody_is_long_enough_for_is_refused():
    with pytest.raises(ValueError, match="contest_10_random needs users with 29 or more .* longest of 2 histories has 12. Hold out fewer"):
        contest_split(log_of([12, 9]), n_random=10, seed=0)
    with pytest.raises(ValueError, match="n_random must be 1 or more; got 0"):
        contest_split(log_of([12]), n_random=0, last=True, seed=0)


@pytest.mark.parametrize(
    "name, meant",
    [
        ("contest_10_randm", "contest_10_random"),
        ("contest_last_plus_4_rnadom", "contest_last_plus_4_random"),
        ("leave_7_out_lst", "leave_7_out_last"),
        ("contest_random", "contest_10_random"),
        ("contest_0_random", "contest_10_random"),
        ("leave_one_out_lst", "leave_one_out_last"),
    ],
)
def test_a_misspelt_split_is_told_with_its_own_numbers(name, meant):
    with pytest.raises(ValueError, match=f"did you mean '{meant}'"):
        make_split(name, log_of([12]), seed=0)


# ---- time


def test_a_global_temporal_holdout_has_no_row_in_train_that_is_younger_than_one_in_test():
    log = log_of([5, 7, 12, 9, 10], timestamps=False)
    times = np.random.default_rng(1).integers(0, 30, len(log))
    log = Interactions(log.users, log.items, 5, 12, times)
    split = temporal_holdout(log)
    train, validation, test = (part.timestamps for part in (split.train, split.validation, split.test))
    assert train.max() < validation.min() and validation.max() < test.min(), "rows of one moment stay in one part"
    assert split.protocol == "temporal_80_10_10" and split.seed == 0


def test_a_global_temporal_holdout_by_hand():
    # 10 rows at 10 moments: 8, 1 and 1
    log = Interactions([0, 1] * 5, range(10), 2, 10, [9, 1, 2, 3, 4, 5, 6, 7, 8, 10])
    split = temporal_holdout(log)
    assert sorted(split.train.timestamps) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert (split.validation.timestamps.tolist(), split.test.timestamps.tolist()) == ([9], [10])


def test_of_few_moments_the_nearest_to_the_fractions_are_taken():
    # 2 rows on day 1, 5 on day 2, 2 on day 3, 3 on day 4: 9.6 and 10.8 of 12 rows are wanted, 7 and 9 are nearest and apart
    log = Interactions([0] * 12, range(12), 1, 12, [1] * 2 + [2] * 5 + [3] * 2 + [4] * 3)
    split = temporal_holdout(log)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [7, 2, 3]


def test_a_temporal_holdout_per_user_cuts_each_user_s_own_time():
    log = log_of([5, 10, 20], n_items=30)
    log = Interactions(log.users, log.items, 3, 30, np.random.default_rng(0).permutation(len(log)))
    split = temporal_holdout(log, per_user=True)
    assert split.test.user_counts.tolist() == [1, 1, 2] and split.validation.user_counts.tolist() == [0, 1, 2]
    for user in range(3):
        latest_known = split.known_before_test.timestamps[split.known_before_test.users == user].max()
        assert latest_known < split.test.timestamps[split.test.users == user].min()


def test_ties_keep_the_order_of_the_file():
    log = Interactions([0] * 5, [4, 3, 2, 1, 0], 1, 6, [7] * 5)
    split = temporal_holdout(log, per_user=True)
    assert split.test.items.tolist() == [0] and split.train.items.tolist() == [4, 3, 2, 1]


def test_a_temporal_holdout_without_time_or_with_one_moment_says_so():
    with pytest.raises(ValueError, match="needs timestamps and this log has none; use fraction_split"):
        temporal_holdout(log_of([5]))
    with pytest.raises(ValueError, match="needs three distinct timestamps .*; got 1 in 5 rows"):
        temporal_holdout(Interactions([0] * 5, range(5), 1, 6, [7] * 5))


# ---- folds


def test_every_row_is_tested_in_one_fold_and_every_user_in_nearly_all():
    log = log_of([3, 5, 10, 11, 12], n_items=30)
    folds = k_fold(log, 5, seed=2)
    tested = np.concatenate([split.test.pair_keys for split in folds])
    assert np.array_equal(np.sort(tested), log.pair_keys)
    counts = np.array([split.test.user_counts for split in folds])  # (fold, user)
    assert (counts.max(0) - counts.min(0) <= 1).all()
    assert [split.protocol for split in folds] == [f"fold_{n}_of_5" for n in range(1, 6)]
    # of a user with 10 rows: 2 are tested, and of the other 8 the one at (7 + ½)/8 >= .9 validates
    assert all(split.validation.user_counts[2] == 1 and split.train.user_counts[2] == 7 for split in folds)


def test_folds_are_of_about_one_size_although_users_have_odd_rows():
    sizes = [len(split.test) for split in k_fold(log_of([6] * 500), 5, seed=0)]
    assert sum(sizes) == 3000 and max(sizes) - min(sizes) < 90  # 5 standard deviations of 500 users' sixth rows


def test_a_fold_by_its_name_is_that_of_k_fold():
    log = log_of([6, 7, 8])
    assert make_split("fold_2_of_3", log, seed=4).fingerprint == k_fold(log, 3, seed=4)[1].fingerprint
    with pytest.raises(ValueError, match="no split 'fold_4_of_3'"):
        make_split("fold_4_of_3", log, seed=4)
    with pytest.raises(ValueError, match="needs users with 9 or more interactions; the longest of 3 histories has 8"):
        k_fold(log, 9, seed=0)


def test_folds_of_short_histories_say_that_nothing_can_validate():
    with pytest.raises(ValueError, match="0.1 is one row of 5 or more, and 5 folds leave at most 4 to a user. Use a larger share"):
        k_fold(log_of([5] * 8), 5, seed=0)
    assert len(k_fold(log_of([5] * 8), 5, validation=0.2, seed=0)[0].validation) == 8


# ---- users


def test_held_out_users_are_nowhere_in_train_and_their_rows_are_split_in_two():
    log = log_of([10] * 30, n_items=40)
    split = user_holdout(log, seed=1)
    assert len(split.train) == 24 * 10
    validation, test = (np.flatnonzero(part.user_counts) for part in (split.validation, split.test))
    assert len(validation) == len(test) == 3 and not set(validation) & set(test)
    for users, part in ((validation, split.validation), (test, split.test)):
        assert not split.train.user_counts[users].any()
        assert (part.user_counts[users] == 2).all() and (split.fold_in.user_counts[users] == 8).all()
    # Whoever validates must not be told what is known of the test users.
    assert not split.known_before_validation.user_counts[test].any()
    assert (split.known_before_validation.user_counts[validation] == 8).all()
    assert (split.known_before_test.user_counts[test] == 8).all()


@pytest.mark.parametrize("n, known", [(2, 1), (3, 2), (4, 3), (5, 4), (10, 8), (12, 10)])  # (j + ½)/n < .8, 1 at least on each side
def test_fold_in_by_arithmetic(n, known):
    split = user_holdout(log_of([n] * 10), seed=0)
    users = np.flatnonzero(split.test.user_counts)
    assert (split.fold_in.user_counts[users] == known).all() and (split.test.user_counts[users] == n - known).all()


def test_of_a_pair_either_row_may_be_the_one_to_be_found():
    log = log_of([2] * 400)
    split = user_holdout(log, fractions=(0.1, 0.0, 0.9), seed=0)
    first_row = {}
    for user, item in zip(log.users.tolist(), log.items.tolist()):
        first_row.setdefault(user, item)
    share = np.mean([first_row[user] == item for user, item in zip(split.test.users.tolist(), split.test.items.tolist())])
    assert 0.4 < share < 0.6


def test_user_holdout_says_when_there_are_too_few_users():
    with pytest.raises(ValueError, match="cannot deal 2 users"):
        user_holdout(log_of([5, 5]), seed=0)
    with pytest.raises(ValueError, match="fold_in must lie between 0 and 1; got 1"):
        user_holdout(log_of([5] * 20), fold_in=1, seed=0)


def test_describe_of_held_out_users_counts_their_fold_in_as_activity():
    table = user_holdout(log_of([10] * 100, n_items=40), seed=1).describe()
    assert table.loc["test", "mean_activity"] == pytest.approx(8.0)


# ---- a published split


def test_a_published_split_validates_on_the_last_training_row():
    train = Interactions([0, 0, 0, 1], [3, 1, 2, 4], 2, 6, [5, 9, 9, 1])
    test = Interactions([0, 1], [0, 5], 2, 6, [10, 10])
    split = hold_out_last(train, test, "paper")
    assert split.validation.items.tolist() == [2] and split.train.items.tolist() == [3, 1, 4]
    assert split.test is test and split.protocol == "paper"


def test_an_unknown_split_lists_what_there_is():
    with pytest.raises(ValueError, match="no split .loo.*There are leave_one_out_random"):
        make_split("loo", log_of([3]), seed=0)


def test_cold_start_hides_histories_and_items_and_leaves_test_as_it_was():
    split = fraction_split(log_of([3, 8, 15, 30] * 50, n_items=60), seed=3)
    cold = cold_start(split, users=0.1, items=0.2, seed=5)
    assert cold.test is split.test
    known, before = cold.known_before_test, split.known_before_test
    tested = split.test.user_counts > 0
    without_history = tested & (known.user_counts == 0)
    assert without_history.sum() == round(0.1 * tested.sum())
    hidden = (before.item_counts > 0) & (known.item_counts == 0)
    assert hidden.sum() == round(0.2 * (before.item_counts > 0).sum())
    # nothing else went
    kept = before.take(~(without_history[before.users] | hidden[before.items]))
    assert np.array_equal(np.sort(kept.pair_keys), np.sort(known.pair_keys))
    assert cold.protocol == "fraction_80_10_10_cold_10_20"
    assert cold_start(split, users=0.1, items=0.2, seed=5).fingerprint == cold.fingerprint
    assert cold_start(split, users=0.1, items=0.2, seed=6).fingerprint != cold.fingerprint


def test_cold_start_refuses_what_it_cannot_do():
    log = log_of([8] * 50)
    with pytest.raises(ValueError, match="holds whole users out"):
        cold_start(user_holdout(log, seed=0), seed=0)
    with pytest.raises(ValueError, match=r"shares in \[0, 1\)"):
        cold_start(fraction_split(log, seed=0), users=1.0, seed=0)
