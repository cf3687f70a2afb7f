import numpy as np
import pytest

from recsys_lib.data.interactions import Interactions, RepeatedPairs

# 4 users and 6 items; user 3 and item 5 have nothing
USERS = [1, 0, 0, 2, 1, 0]
ITEMS = [4, 2, 0, 0, 3, 1]
TIMES = [50, 30, 10, 5, 40, 30]


@pytest.fixture
def log():
    return Interactions(np.array(USERS), np.array(ITEMS), 4, 6)


@pytest.fixture
def timed():
    return Interactions(np.array(USERS), np.array(ITEMS), 4, 6, np.array(TIMES))


def pairs(log):
    return list(zip(log.users.tolist(), log.items.tolist()))


def test_dtypes_and_counts(timed):
    assert (timed.users.dtype, timed.items.dtype, timed.timestamps.dtype) == (np.int32, np.int32, np.int64)
    assert timed.user_counts.tolist() == [3, 2, 1, 0]
    assert timed.item_counts.tolist() == [2, 1, 1, 1, 1, 0]


def test_frozen_and_apart_from_what_it_was_made_of():
    users = np.array(USERS)
    log = Interactions(users, np.array(ITEMS), 4, 6)
    users[0] = 3
    assert log.users[0] == 1
    with pytest.raises(ValueError):
        log.users[0] = 0
    with pytest.raises(ValueError):
        log.pair_keys[0] = 0


def test_an_array_that_nobody_can_change_is_shared_and_any_other_copied():
    frozen, items = np.array(USERS, dtype=np.int32), np.array(ITEMS, dtype=np.int32)
    frozen.setflags(write=False)
    log = Interactions(frozen, items, 4, 6)
    assert log.users is frozen and not np.shares_memory(log.items, items)
    view = items[:]
    view.setflags(write=False)  # `items` can still be written to
    assert not np.shares_memory(Interactions(frozen, view, 4, 6).items, items)
    wide = np.array(ITEMS, dtype=np.int64)
    wide.setflags(write=False)
    assert Interactions(frozen, wide, 4, 6).items.dtype == np.int32


def test_user_items_has_the_shape_of_the_catalogue(log):
    matrix = log.user_items()
    assert matrix.shape == (4, 6) and matrix.dtype == np.float32
    dense = np.zeros((4, 6))
    dense[USERS, ITEMS] = 1
    np.testing.assert_array_equal(matrix.toarray(), dense)


def test_pair_keys_are_sorted_and_speak_of_pairs(log):
    assert log.pair_keys.tolist() == sorted(user * 6 + item for user, item in zip(USERS, ITEMS))


@pytest.mark.parametrize("order", ["in order", "by user", "by item", "shuffled"])
def test_the_order_of_the_rows_changes_neither_keys_nor_matrix(order):
    rng = np.random.default_rng(5)
    users, items = np.divmod(np.sort(rng.choice(40 * 70, 900, replace=False)), 70)
    rows = {
        "in order": np.arange(900),
        "by user": np.lexsort((rng.random(900), users)),
        "by item": np.lexsort((users, items)),
        "shuffled": rng.permutation(900),
    }[order]
    log = Interactions(users[rows], items[rows], 45, 75)  # the last five of both have nothing
    assert log.pair_keys.dtype == np.int64 and log.pair_keys.tolist() == (users * 75 + items).tolist()
    matrix = log.user_items()
    assert matrix.has_canonical_format and matrix.shape == (45, 75) and matrix.dtype == np.float32
    dense = np.zeros((45, 75))
    dense[users, items] = 1
    np.testing.assert_array_equal(matrix.toarray(), dense)


def test_the_matrix_may_be_changed_and_the_log_stays():
    log = Interactions(np.array([0, 0, 1]), np.array([1, 4, 2]), 4, 6)  # in order: no sort stands between
    matrix = log.user_items()
    matrix.indices[:] = 0
    assert log.items.tolist() == [1, 4, 2]


def test_take_by_mask_and_by_place(timed):
    taken = timed.take(np.array([2, 0]))
    assert pairs(taken) == [(0, 0), (1, 4)] and taken.timestamps.tolist() == [10, 50]
    assert (taken.n_users, taken.n_items) == (4, 6)
    assert pairs(timed.take(timed.users == 1)) == [(1, 4), (1, 3)]
    assert len(timed.take(np.zeros(6, dtype=bool))) == 0


def test_without_and_union_are_inverse(timed):
    part = timed.take(np.array([1, 3]))
    rest = timed.without(part)
    assert pairs(rest) == [pair for pair in pairs(timed) if pair not in pairs(part)]
    assert sorted(pairs(rest.union(part))) == sorted(pairs(timed))


def test_union_refuses_a_shared_pair_another_catalogue_and_missing_times(log, timed):
    with pytest.raises(ValueError, match="distinct"):
        log.union(log.take(np.array([0])))
    with pytest.raises(ValueError, match="share one catalogue; got 4 x 6 and 4 x 7"):
        log.union(Interactions(np.array([3]), np.array([5]), 4, 7))
    with pytest.raises(ValueError, match="timestamps, or neither"):
        log.union(Interactions(np.array([3]), np.array([5]), 4, 6, np.array([1])))


def test_fingerprint_is_the_content(log, timed):
    assert log.fingerprint == Interactions(np.array(USERS), np.array(ITEMS), 4, 6).fingerprint
    others = [
        timed.fingerprint,
        log.take(np.array([1, 0, 2, 3, 4, 5])).fingerprint,
        log.take(np.arange(5)).fingerprint,
        Interactions(np.array(USERS), np.array(ITEMS), 5, 6).fingerprint,
    ]
    assert len({log.fingerprint, *others}) == 5


def test_fingerprints_that_runs_have_noted_stay(log, timed):
    assert (log.fingerprint, timed.fingerprint) == ("70f0bd727b7f325b", "8bb958b31794d7bf")


@pytest.mark.parametrize("rows", [[0, 0, 1, 1, 2], [0, 1, 2, 1, 0], [1, 2, 0, 0, 1]])
def test_repeated_pairs_are_named_whatever_the_order(rows):
    users, items = np.array([0, 0, 3]), np.array([2, 4, 1])
    with pytest.raises(RepeatedPairs, match="pairs must be distinct; 2 appear again") as caught:
        Interactions(users[rows], items[rows], 4, 6)
    assert caught.value.keys.tolist() == [0 * 6 + 2, 0 * 6 + 4]


def test_what_is_refused():
    with pytest.raises(ValueError, match="pairs must be distinct; 1 appear again"):
        Interactions(np.array([0, 1, 0]), np.array([2, 2, 2]), 4, 6)
    with pytest.raises(ValueError, match=r"items must lie in 0..5; got 0..6"):
        Interactions(np.array([0, 1]), np.array([0, 6]), 4, 6)
    with pytest.raises(ValueError, match=r"users must lie in 0..3; got -1..1"):
        Interactions(np.array([-1, 1]), np.array([0, 5]), 4, 6)
    with pytest.raises(ValueError, match=r"items must have the shape of users \(2,\); got \(3,\)"):
        Interactions(np.array([0, 1]), np.array([0, 1, 2]), 4, 6)


def test_history_is_oldest_first_and_ties_keep_the_order_of_the_file(timed):
    history = timed.history()
    assert len(history) == 4
    assert history.indptr.tolist() == [0, 3, 5, 6, 6]
    assert history.items.tolist() == [0, 2, 1, 3, 4, 0]
    assert history.timestamps.tolist() == [10, 30, 30, 40, 50, 5]


def test_history_without_timestamps_has_the_order_of_the_file(log):
    history = log.history()
    assert history.items.tolist() == [2, 0, 1, 4, 3, 0] and history.timestamps is None


def test_history_take_picks_rows_in_the_order_asked_for(timed):
    import torch

    taken = timed.history().take(torch.tensor([2, 3, 0, 2]))
    assert taken.lengths.tolist() == [1, 0, 3, 1]
    assert taken.items.tolist() == [0, 0, 2, 1, 0]
    assert taken.timestamps.tolist() == [5, 10, 30, 30, 5]
    assert taken.rows.tolist() == [0, 2, 2, 2, 3]


def test_history_matrix_equals_user_items(log):
    dense = log.history().matrix(6).to_dense()
    np.testing.assert_array_equal(dense.numpy(), log.user_items().toarray())


def test_an_empty_log():
    log = Interactions(np.array([], dtype=int), np.array([], dtype=int), 4, 6)
    assert len(log) == 0 and log.user_items().shape == (4, 6)
    assert log.history().lengths.tolist() == [0, 0, 0, 0]
    assert log.history().matrix(6).to_dense().shape == (4, 6)


@pytest.mark.parametrize("n_items", [6, 1000])  # dense and sparse inside
def test_history_times_is_the_matrix_product(n_items):
    import torch

    log = Interactions(np.array(USERS), np.array(ITEMS), 4, n_items)
    weights = torch.randn(n_items, 3, generator=torch.Generator().manual_seed(0))
    expected = log.user_items().toarray() @ weights.numpy()
    np.testing.assert_allclose(log.history().times(weights).numpy(), expected, rtol=1e-6)
    of_users = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
    expected = log.user_items().toarray().T @ of_users.numpy()
    np.testing.assert_allclose(log.history().times_transposed(of_users, n_items).numpy(), expected, rtol=1e-6)
