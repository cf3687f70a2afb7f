"""Users and items of whom nothing is known but their features: by hand-made ridges, one user or item at a time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from recsys_lib.data.features import FeatureTable, Vectors
from recsys_lib.data.interactions import Interactions
from recsys_lib.models import newcomers
from recsys_lib.models import ridge as ridge_module
from recsys_lib.models.newcomers import MapOfItems, MapOfUsers, in_lists, some_of
from recsys_lib.models.side_information import SideVectors
from tests.models.ridges import best_strength, plain_ridge, refitted_without_each


def sides(n=20, d=4, seed=0):
    """Vectors of length 1, as the rule makes them, and all their rows."""
    table = FeatureTable(n, [Vectors("text", np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32))])
    side = SideVectors(table, 100)
    return side, table, side.rows(torch.arange(n)).double().numpy()


def log_of(known, n_items=6, seed=1):
    rng = np.random.default_rng(seed)
    users = np.flatnonzero(known).repeat(2)
    items = np.concatenate([rng.choice(n_items, 2, replace=False) for _ in range(int(known.sum()))])
    return Interactions(users, items, len(known), n_items)


def asked_of(side, block=1024):
    """Expected rows that tell whose and of which history they are."""

    def expected(users, history):
        assert len(users) == len(history) <= block
        totals = torch.zeros(len(users)).index_add_(0, history.rows, history.items.float())
        return torch.outer(totals, torch.arange(1.0, 7.0)) + side.rows(users) @ torch.ones(side.width, 6) + users[:, None]

    return expected


# ---- users


def test_a_newcomers_scores_are_a_ridge_from_features_to_what_is_expected_of_known_users():
    side, _, rows = sides()
    known = torch.arange(20) % 3 > 0
    log = log_of(known.numpy())
    scores = MapOfUsers(side, asked_of(side))
    scores.prepare(log)
    users = torch.nonzero(known).flatten()
    expected = asked_of(side)(users, log.history().take(users)).double().numpy()
    x = rows[known.numpy()]
    wanted = plain_ridge(x, expected, best_strength(x, expected))
    asked = torch.tensor([0, 3, 18, 4])  # a known one may be asked for too
    assert scores.mapped(asked).numpy() == pytest.approx(wanted(rows[asked.numpy()]), rel=1e-3, abs=1e-3)
    blocked = MapOfUsers(side, asked_of(side, 5), block=5)
    blocked.prepare(log)
    assert torch.allclose(blocked.mapped(asked), scores.mapped(asked), rtol=1e-4, atol=1e-4)


def test_there_is_no_map_without_features_without_training_or_from_one_user():
    side, _, _ = sides()
    bare = SideVectors(FeatureTable(20), 8)
    everybody, one = log_of(np.ones(20, dtype=bool)), log_of(np.arange(20) == 3)
    for vectors, log in ((bare, everybody), (side, one), (side, Interactions([], [], 20, 6)), (side, None)):
        scores = MapOfUsers(vectors, lambda *_: pytest.fail("nobody is asked"))
        if log is not None:
            scores.prepare(log)
        assert not scores.fit("cpu") and scores.mapped(torch.tensor([0])) is None


def test_the_map_is_fitted_once_until_the_model_learns_on():
    side, _, _ = sides()
    known = torch.arange(20) < 15
    log, asked, factor = log_of(known.numpy()), [], [1.0]
    scores = MapOfUsers(side, lambda users, history: asked.append(len(users)) or factor[0] * asked_of(side)(users, history))
    scores.prepare(log)
    assert asked == [], "lazily"
    first = scores.mapped(torch.tensor([16]))
    factor[0] = 2.0
    assert torch.equal(scores.mapped(torch.tensor([16])), first) and asked == [15]
    scores.forget()
    assert torch.allclose(scores.mapped(torch.tensor([16])), 2 * first, rtol=1e-4) and asked == [15, 15]
    scores.prepare(log_of(np.arange(20) < 10))
    scores.mapped(torch.tensor([16]))
    assert asked == [15, 15, 10]


def test_all_known_users_are_learned_from_or_as_many_as_the_columns_need(monkeypatch):
    side, _, rows = sides(n=400, d=3)
    known = torch.arange(400) % 4 > 0
    log, asked = log_of(known.numpy()), []

    def expected(users, history):
        asked.extend(users.tolist())
        return asked_of(side)(users, history)

    def asked_by(**options):
        asked.clear()
        scores = MapOfUsers(side, expected, **options)
        scores.prepare(log)
        return scores.mapped(torch.tensor([0, 4]))

    everybody = asked_by()
    assert asked == torch.nonzero(known).flatten().tolist()
    assert torch.equal(asked_by(users_a_column=32), everybody), "no more than 512"
    monkeypatch.setattr(newcomers, "_FEWEST", 50)
    assert torch.equal(asked_by(), everybody)
    some_of_them = asked_by(users_a_column=32)
    assert len(asked) == 32 * 3 and asked == sorted(set(asked)) and bool(known[asked].all())
    users = torch.tensor(asked)
    y = asked_of(side)(users, log.history().take(users)).double().numpy()
    x = rows[users.numpy()]
    assert some_of_them.numpy() == pytest.approx(plain_ridge(x, y, best_strength(x, y))(rows[[0, 4]]), rel=1e-3, abs=1e-3)
    assert not torch.allclose(some_of_them, everybody, rtol=1e-3)
    monkeypatch.setattr(newcomers, "_FEWEST", 200)
    asked_by(users_a_column=32)
    assert len(asked) == 200
    monkeypatch.setattr(newcomers, "_MOST", 250)
    asked_by()
    assert len(asked) == 250, "a ceiling for millions"


@pytest.mark.parametrize(("n_items", "block"), [(6, 1024), (200, 1024), (200, 50)])  # dense and sparse histories
def test_where_histories_are_multiplied_all_known_users_are_learned_from(monkeypatch, n_items, block):
    monkeypatch.setattr(newcomers, "_FEWEST", 50)
    monkeypatch.setattr(ridge_module, "_BLOCK", block)
    side, _, rows = sides(n=400, d=3)
    known = torch.arange(400) % 4 > 0
    log = log_of(known.numpy(), n_items)
    factor = torch.randn(n_items, n_items, generator=torch.Generator().manual_seed(0))
    scores = MapOfUsers(side, through=lambda: factor)
    scores.prepare(log)
    x, chosen = rows[known.numpy()], log.user_items().toarray()[known.numpy()]
    scores.fit("cpu")
    wanted = plain_ridge(x, chosen @ factor.double().numpy(), scores.ridge.strength)
    assert scores.mapped(torch.tensor([0, 3, 4])).numpy() == pytest.approx(wanted(rows[[0, 3, 4]]), rel=1e-3, abs=1e-3)
    # and of the strength: the same rows, made and given in blocks
    made = ridge_module.Design(torch.from_numpy(x).float()).fit([torch.from_numpy(chosen).float() @ factor])
    assert scores.ridge.strength == made.strength and scores.ridge.explained == pytest.approx(made.explained, abs=1e-4)


def test_what_needs_the_features_alone_is_worked_out_once(monkeypatch):
    made = []

    class Counted(ridge_module.Design):
        def __init__(self, features):
            made.append(len(features))
            super().__init__(features)

    monkeypatch.setattr(newcomers, "Design", Counted)
    side, _, _ = sides()
    users, items, known = MapOfUsers(side, asked_of(side)), MapOfItems(side), torch.arange(20) < 15
    users.prepare(log_of(known.numpy()))
    for _ in range(3):
        users.forget()
        users.mapped(torch.tensor([16]))
        items.fit(known, lambda rows: side.rows(rows))
    assert made == [15, 15]
    users.prepare(log_of(np.arange(20) < 10))
    items.forget()
    users.mapped(torch.tensor([16]))
    items.fit(torch.arange(20) < 8, lambda rows: side.rows(rows))
    assert made == [15, 15, 10, 8]


def test_a_map_of_another_device_is_made_anew():
    side, _, _ = sides()
    users = MapOfUsers(side, asked_of(side))
    users.prepare(log_of(np.arange(20) < 15))
    first = users.mapped(torch.tensor([16]))
    users.ridge = dataclasses.replace(users.ridge, centre=users.ridge.centre.to("meta"))
    assert torch.equal(users.mapped(torch.tensor([16])), first)


def test_swapped_features_go_through_the_map_that_was_fitted_before():
    side, table, rows = sides()
    known = torch.arange(20) < 15
    scores = MapOfUsers(side, lambda users, history: torch.outer(users.float(), torch.arange(1.0, 7.0)) % 5)
    scores.prepare(log_of(known.numpy()))
    before = scores.mapped(torch.arange(20))
    order = np.random.default_rng(2).permutation(20)
    side.set_table(FeatureTable(20, [Vectors("text", table["text"].values[order])]))
    assert torch.allclose(scores.mapped(torch.arange(20)), before[order], atol=1e-5)
    scores.forget()  # as after loading weights: it is fitted from what the model was built with, not from what was dealt
    assert torch.allclose(scores.mapped(torch.arange(20)), before[order], atol=1e-5)
    side.set_table(table)
    assert torch.allclose(scores.mapped(torch.arange(20)), before, atol=1e-5)


def test_a_map_holds_no_graph_of_the_scores_that_it_was_fitted_to():
    side, _, _ = sides()
    weights = torch.nn.Parameter(torch.ones(6))
    scores = MapOfUsers(side, lambda users, history: asked_of(side)(users, history) * weights)
    scores.prepare(log_of(np.arange(20) < 15))
    assert not scores.mapped(torch.tensor([16])).requires_grad


# ---- items


def test_new_items_are_mapped_from_known_ones_and_each_known_one_from_all_others():
    side, table, rows = sides(n=18, d=3)
    known = torch.ones(18, dtype=torch.bool)
    known[[0, 7, 17]] = False
    learned = torch.from_numpy(rows @ np.random.default_rng(0).normal(size=(3, 5)) + 0.3 * np.random.default_rng(1).normal(size=(18, 5))).float()
    learned[~known] = torch.nan  # never looked at
    users = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    log = log_of(np.arange(9) % 4 > 0, 15)
    log = Interactions(log.users, np.flatnonzero(known)[log.items], 9, 18)
    items = MapOfItems(side)

    def check(rows, learned):
        assert items.fit(known, lambda items: learned[items])
        assert items.new.tolist() == [0, 7, 17] and torch.equal(items.there, torch.nonzero(known).flatten())
        x, y = rows[known.numpy()], learned[known].double().numpy()
        strength = best_strength(x, y)
        assert items.mapped.numpy() == pytest.approx(plain_ridge(x, y, strength)(rows[[0, 7, 17]]), rel=1e-3, abs=1e-4)
        as_learned = users @ learned[known].T
        found = items.overrated(lambda vectors: users @ vectors, as_learned, log.history())
        left_out = users.double().numpy() @ refitted_without_each(x, y, strength).T
        pairs = slow_overrated(as_learned, torch.from_numpy(left_out), torch.from_numpy(log.user_items().toarray()[:, known] > 0), 15)
        assert torch.stack(found, 1).numpy() == pytest.approx(np.array(pairs), rel=1e-3, abs=1e-3)

    check(rows, learned)
    check(rows, learned.flip(1) + 1)  # the model learned on
    order = np.random.default_rng(2).permutation(18)
    side.set_table(FeatureTable(18, [Vectors("text", table["text"].values[order])]))
    items.forget()
    check(rows[order], learned)


def test_there_is_no_map_of_items_without_features_without_new_ones_or_from_one():
    side, _, _ = sides(n=18, d=3)
    bare = SideVectors(FeatureTable(18), 8)
    everything, one = torch.ones(18, dtype=torch.bool), torch.arange(18) == 3
    for vectors, known in ((bare, ~one), (side, everything), (side, one), (side, ~everything)):
        assert not MapOfItems(vectors).fit(known, lambda _: pytest.fail("nothing is asked"))


def slow_overrated(scores, left_out, seen, n_places):
    pairs = []
    for row, mapped, hidden in zip(scores.tolist(), left_out.tolist(), seen.tolist()):
        shown = sorted((value for value, there in zip(row, hidden) if not there), reverse=True)
        threshold = shown[n_places - 1] if len(shown) >= n_places else -np.inf
        pairs += [(a, b) for a, b, there in zip(row, mapped, hidden) if not there and b >= threshold]
    return pairs


@pytest.mark.parametrize("n_items", [12, 50])  # fewer and more than the places of a list
def test_the_cells_that_count_are_those_that_would_reach_a_list(n_items):
    rng = np.random.default_rng(n_items)
    scores, left_out = (torch.from_numpy(rng.normal(size=(9, n_items))) for _ in range(2))
    seen = torch.from_numpy(rng.random((9, n_items)) < 0.2)
    seen[4] = True  # who has seen everything has no list
    learned, mapped = in_lists(scores, left_out, seen)
    pairs = slow_overrated(scores, left_out, seen, min(20, n_items))
    assert list(zip(learned.tolist(), mapped.tolist())) == pairs and 0 < len(pairs)
    assert n_items < 20 or len(pairs) < int((~seen).sum())


def test_some_are_known_ones_drawn_once_and_always_the_same():
    known = torch.arange(100) % 2 == 0
    assert sorted(some_of(known, 50).tolist()) == sorted(some_of(known, 1000).tolist()) == list(range(0, 100, 2))
    state = torch.get_rng_state()
    nine = some_of(known, 9)
    assert len(set(nine.tolist())) == 9 and bool(known[nine].all())
    assert torch.equal(some_of(known, 9), nine) and torch.equal(torch.get_rng_state(), state)
    assert len(some_of(torch.zeros(5, dtype=torch.bool), 9)) == 0
