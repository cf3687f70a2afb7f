"""Laws of the plateau, over many random trainings; then its few corners by hand."""

from __future__ import annotations

import numpy as np
import pytest

from recsys_lib.training.schedules import Plateau


def plateau(**changes) -> Plateau:
    return Plateau(**{"learning_rate": 0.1, "factor": 0.5, "patience": 2, "floor": 0.01, "early_stopping_patience": 100} | changes)


def steps(schedule: Plateau, metrics):
    """What each evaluation saw: (metric, was best, learning rate afterwards), until it stops."""
    seen = []
    for epoch, metric in enumerate(metrics, start=1):
        seen.append((metric, schedule.step(metric, epoch), schedule.learning_rate))
        if schedule.stopped_because:
            break
    return seen


@pytest.mark.parametrize("seed", range(40))
def test_laws(seed):
    rng = np.random.default_rng(seed)
    start = 10 ** rng.uniform(-4, 0)
    schedule = plateau(
        learning_rate=start,
        factor=rng.uniform(0.05, 0.95),
        patience=int(rng.integers(0, 4)),
        floor=start * 10 ** rng.uniform(-3, 0),
        early_stopping_patience=int(rng.integers(1, 12)),
    )
    metrics = np.round(rng.random(60), int(rng.integers(1, 4)))  # with many equal values
    seen = steps(schedule, metrics)
    values, bests, rates = zip(*seen)
    # the best is the first of the largest, and never overwritten by a worse or an equal one
    assert schedule.best == max(values) and schedule.best_epoch == 1 + int(np.argmax(values))
    assert list(bests) == [metric > max(values[:place], default=-np.inf) for place, metric in enumerate(values)]
    # the rate never rises, never falls below the floor, and a new best never changes it
    assert all(after <= before for before, after in zip((start, *rates), rates))
    assert min(rates) >= schedule.floor
    assert all(before == after for before, after, best in zip((start, *rates), rates, bests) if best)
    # it ends only after an evaluation without a new best, and says why
    if schedule.stopped_because:
        assert not bests[-1]
    else:
        assert len(seen) == 60
    since = len(values) - schedule.best_epoch
    assert since <= schedule.early_stopping_patience
    assert schedule.stopped_because.startswith("early stopping") == (since == schedule.early_stopping_patience)


def test_the_rate_falls_after_patience_evaluations_and_then_waits_again():
    rates = [rate for *_, rate in steps(plateau(), [0.5] * 8)]
    #           best, 1, 2, over patience, 1, 2, over patience, 1
    assert rates == [0.1, 0.1, 0.1, 0.1 * 0.5, 0.05, 0.05, 0.05 * 0.5, 0.025]


def test_a_new_best_starts_the_waiting_anew():
    rates = [rate for *_, rate in steps(plateau(), [0.5, 0.4, 0.4, 0.6, 0.4, 0.4, 0.4])]
    assert rates == [0.1] * 6 + [0.05]


def test_the_floor_ends_the_training_and_says_so():
    schedule = plateau(patience=0, floor=0.03)
    seen = steps(schedule, [0.5] * 50)
    assert [rate for *_, rate in seen] == [0.1, 0.05, 0.05]  # 0.025 would lie below the floor
    assert schedule.stopped_because == "learning rate at its floor: the plateau asks for 2.5e-02, the floor is 3.0e-02"


def test_the_floor_itself_may_be_used():
    schedule = plateau(patience=0, floor=0.05)
    assert [rate for *_, rate in steps(schedule, [0.5] * 50)] == [0.1, 0.05, 0.05]
    assert "floor" in schedule.stopped_because


def test_early_stopping_counts_evaluations_and_not_epochs():
    schedule = plateau(early_stopping_patience=3, patience=50)
    for epoch, metric in zip((2, 4, 6, 8, 10), (0.3, 0.5, 0.4, 0.4, 0.4)):  # every second epoch is looked at
        assert not schedule.stopped_because
        schedule.step(metric, epoch)
    assert schedule.stopped_because == "early stopping: no better evaluation in 3 since epoch 4"


def test_nan_is_never_the_best():
    schedule = plateau()
    assert not schedule.step(float("nan"), 1)
    assert schedule.step(0.0, 2) and schedule.best_epoch == 2
    assert not schedule.step(float("nan"), 3) and schedule.best == 0.0


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_schedule_brought_back_goes_on_as_one_that_was_never_cut(cut):
    metrics = np.random.default_rng(7).random(12)
    whole, first, second = (plateau(patience=1, early_stopping_patience=9) for _ in range(3))
    seen = steps(whole, metrics)
    before = steps(first, metrics[:cut])
    second.load_state_dict(first.state_dict())
    after = []
    for epoch in range(cut + 1, len(seen) + 1):
        after.append((metrics[epoch - 1], second.step(metrics[epoch - 1], epoch), second.learning_rate))
    assert before + after == seen[: len(before)] + seen[len(before) :]
    if after:
        assert second.state_dict() == whole.state_dict()
