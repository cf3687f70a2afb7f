import numpy as np
import pytest
import torch

from recsys_lib.data.candidates import Candidates, sample_candidates
from recsys_lib.data.splits import leave_one_out


def test_sampled_candidates_are_what_the_user_never_chose_and_the_seed_is_private(market_log):
    split = leave_one_out(market_log, seed=0)
    np.random.seed(1)
    torch.manual_seed(1)
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    candidates = sample_candidates(split.test, split.known_before_test, n=12, seed=3)
    assert np.array_equal(before[0], np.random.get_state()[1]) and torch.equal(before[1], torch.get_rng_state())
    assert candidates.n == 12 == len(np.unique(candidates.items[0])) and len(candidates) == len(split.test)
    keys = candidates.users[:, None].astype(np.int64) * 40 + candidates.items
    assert not np.isin(keys, market_log.pair_keys).any()
    again = sample_candidates(split.test, split.known_before_test, n=12, seed=3)
    other = sample_candidates(split.test, split.known_before_test, n=12, seed=4)
    assert np.array_equal(candidates.items, again.items) and not np.array_equal(candidates.items, other.items)


def test_they_are_distinct_and_every_item_that_is_left_is_equally_likely(toy_log):
    # user 0 has 0, 1, 2 of 6: two of the three others are drawn, each pair a third of the time
    held_out = toy_log.take(np.array([0]))
    known = toy_log.take(np.arange(1, len(toy_log)))
    drawn = [sample_candidates(held_out, known, n=2, seed=seed).items[0] for seed in range(3000)]
    assert all(first != second for first, second in drawn)
    share = np.bincount(np.concatenate(drawn), minlength=6) / 3000
    assert share[:3].sum() == 0 and share[3:] == pytest.approx([2 / 3] * 3, abs=0.035)  # 4 standard deviations
    with pytest.raises(ValueError, match=r"n must lie in 1..3, the items that the busiest user has not chosen; got 4"):
        sample_candidates(held_out, known, n=4, seed=0)


def test_candidates_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match=r"users must be \(U,\) and items \(U, C\); got \(2,\) and \(3, 4\)"):
        Candidates([0, 1], np.zeros((3, 4)))
    with pytest.raises(ValueError, match="a user has two rows"):
        Candidates([1, 1], np.zeros((2, 4)))


def test_the_fingerprint_tells_other_candidates_and_not_another_order():
    one = Candidates([0, 1], [[2, 3], [4, 5]])
    assert one.fingerprint == Candidates([1, 0], [[5, 4], [2, 3]]).fingerprint
    assert one.fingerprint != Candidates([0, 1], [[2, 3], [4, 0]]).fingerprint
    assert one.fingerprint != Candidates([0, 2], [[2, 3], [4, 5]]).fingerprint
