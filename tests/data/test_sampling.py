import numpy as np
import torch

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.sampling import NegativeSampler


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_never_draws_what_was_chosen_and_reaches_everything_else_evenly():
    # users: 0 chose 0, 2, 5; 1 chose nothing; 2 chose all but item 3; 3 chose 1
    log = Interactions([0, 0, 0, 2, 2, 2, 2, 2, 3], [5, 0, 2, 0, 1, 2, 4, 5, 1], 4, 6)
    users = torch.arange(4)
    drawn = NegativeSampler(log).draw(users, 30_000, generator())
    free = [{1, 3, 4}, {0, 1, 2, 3, 4, 5}, {3}, {0, 2, 3, 4, 5}]
    for user, allowed in enumerate(free):
        counts = torch.bincount(drawn[user], minlength=6)
        assert set(torch.nonzero(counts).flatten().tolist()) == allowed
        share = counts[list(allowed)] / 30_000
        # five standard deviations of a binomial share
        p = 1 / len(allowed)
        assert (share - p).abs().max() <= 5 * np.sqrt(p * (1 - p) / 30_000)


def test_same_generator_state_same_draws():
    log = Interactions([0, 1], [1, 2], 4, 6)
    sampler = NegativeSampler(log)
    users = torch.tensor([0, 1, 1, 3])
    assert torch.equal(sampler.draw(users, 5, generator(7)), sampler.draw(users, 5, generator(7)))
    assert not torch.equal(sampler.draw(users, 5, generator(7)), sampler.draw(users, 5, generator(8)))


def test_a_user_who_chose_everything_has_no_negatives():
    log = Interactions([1] * 6, list(range(6)), 4, 6)
    assert NegativeSampler(log).has_negatives.tolist() == [True, False, True, True]


def test_with_and_without_a_compiler_the_draws_are_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    chosen = rng.random((50, 37)) < rng.random((50, 1))  # rows of all lengths
    log = Interactions(*np.nonzero(chosen), 50, 37)
    users = torch.nonzero(NegativeSampler(log).has_negatives).flatten()[torch.from_numpy(rng.permutation(40))]
    drawn = NegativeSampler(log).draw(users, 200, generator())
    monkeypatch.setenv("RECSYS_NATIVE", "off")
    assert torch.equal(NegativeSampler(log).draw(users.int(), 200, generator()), drawn)
    monkeypatch.undo()
    assert torch.equal(NegativeSampler(log).draw(users.int(), 200, generator()), drawn)
    assert not chosen[users[:, None], drawn].any()
