"""The gain of a feature: by hand on a toy, planted and noise, the sample's documented relations."""

import numpy as np
import pandas as pd
import pytest

from recsys_lib.data.features import Categorical, FeatureTable, MultiLabel, Numeric
from recsys_lib.data.interactions import Interactions
from recsys_lib.eda.statistics import information as module
from recsys_lib.eda.statistics.information import information

N_USERS, N_ITEMS = 240, 60


@pytest.fixture(scope="module")
def log() -> Interactions:
    """Users of four kinds, 60 each, choose eight of the fifteen items of their kind."""
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(N_USERS), 8)
    items = np.concatenate([(user % 4) * 15 + rng.choice(15, 8, replace=False) for user in range(N_USERS)])
    return Interactions(users, items, N_USERS, N_ITEMS)


def one(name: str, codes: np.ndarray) -> Categorical:
    return Categorical(name, (codes + 1).astype(np.int32), ("", *(f"label{n}" for n in range(int(codes.max()) + 1))))


def test_a_kind_that_decides_all_tells_two_bits(log):
    users = FeatureTable(N_USERS, [one("kind", np.arange(N_USERS) % 4), one("half", np.arange(N_USERS) % 2)])
    items = FeatureTable(N_ITEMS, [one("item_kind", np.arange(N_ITEMS) // 15)])
    table = information(log, users, items, seed=1, shuffles=5).set_index("feature")
    assert table.loc["kind", "bits"] == pytest.approx(np.log2(4), abs=0.1)  # one of four kinds, all equally frequent
    assert table.loc["half", "bits"] == pytest.approx(np.log2(2), abs=0.1)
    assert table.loc["item_kind", "bits"] == pytest.approx(np.log2(4), abs=0.1)
    assert table["tells"].all() and (table["low"] <= table["bits"]).all() and (table["bits"] <= table["high"]).all()
    assert table.loc["kind", "users"] == N_USERS and table.loc["kind", "rows"] == len(log)


def test_noise_stays_within_chance(log):
    rng = np.random.default_rng(0)
    users = FeatureTable(N_USERS, [one(f"noise{n}", rng.integers(0, 2 + 3 * n, N_USERS)) for n in range(8)])
    items = FeatureTable(
        N_ITEMS,
        [*(one(f"item_noise{n}", rng.integers(0, 2 + n, N_ITEMS)) for n in range(4)), Numeric("price", rng.random(N_ITEMS))],
    )
    table = information(log, users, items, seed=1, shuffles=20)
    assert not table["tells"].any() and table["bits"].max() < 0.02


def slow_gain_of_user_labels(log: Interactions, labels: list[set[str]], m: float) -> float:
    """Word for word what the module's docstring says, a row at a time."""
    gains = []
    for user, item in zip(log.users.tolist(), log.items.tolist()):
        others = log.users != user
        popularity = ((log.items == item) & others).sum() + 1
        p = popularity / (others.sum() + log.n_items)
        of_labels = []
        for label in labels[user]:
            like = np.array([label in labels[u] for u in log.users]) & others
            of_labels.append(((like & (log.items == item)).sum() + m * p) / (like.sum() + m))
        gains.append(np.log2(np.mean(of_labels) / p))
    return float(np.mean(gains))


def slow_gain_of_item_labels(log: Interactions, labels: list[set[str]], m: float) -> float:
    gains, every = [], sorted(set().union(*labels))
    share = {g: sum((g in labels[i]) / len(labels[i]) for i in range(log.n_items)) for g in every}
    for user, item in zip(log.users.tolist(), log.items.tolist()):
        others, own = log.items[log.users != user], log.items[(log.users == user) & (log.items != item)]
        ratio = 0.0
        for g in labels[item]:

            def mass(rows):
                return sum((g in labels[i]) / len(labels[i]) for i in rows.tolist())

            p_g = (mass(others) + share[g]) / (len(others) + log.n_items)
            ratio += (mass(own) + m * p_g) / (len(own) + m) / p_g / len(labels[item])
        gains.append(np.log2(ratio))
    return float(np.mean(gains))


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(1)
    keys = np.sort(rng.choice(12 * 9, 40, replace=False))
    log = Interactions(keys // 9, keys % 9, 12, 9)
    indptr = np.concatenate([[0], np.cumsum(rng.integers(0, 3, 12))])
    codes = np.concatenate([np.sort(rng.choice(3, n, replace=False)) for n in np.diff(indptr)]).astype(np.int32)
    users = MultiLabel("several", indptr, codes, ("a", "b", "c"))
    sets = [{"abc"[code] for code in codes[low:high]} or {"(missing)"} for low, high in zip(indptr, indptr[1:])]
    kinds = rng.integers(0, 3, 9)
    return log, users, sets, Categorical("kind", kinds.astype(np.int32), ("", "x", "y")), [{str(kind)} for kind in kinds]


def test_the_gain_is_that_of_the_definition(toy, monkeypatch):
    log, users, user_sets, items, item_sets = toy
    for m in (1.0, 5.0):
        monkeypatch.setattr(module, "ROWS_OF_LABELS", (m,))
        monkeypatch.setattr(module, "ROWS_OF_HISTORIES", (m,))
        table = information(log, FeatureTable(12, [users]), FeatureTable(9, [items]), seed=1, shuffles=0).set_index("feature")
        assert table.loc["several", "bits"] == pytest.approx(max(0, slow_gain_of_user_labels(log, user_sets, m)), abs=1e-12)
        assert table.loc["kind", "bits"] == pytest.approx(max(0, slow_gain_of_item_labels(log, item_sets, m)), abs=1e-12)


def test_popularity_is_a_distribution(toy):
    """p(i | feature) sums to one over all items, so no feature gains by promising everything."""
    log, _, _, items, item_sets = toy
    user, m = 3, 2.0
    own = log.items[log.users == user][1:]  # all but the first row, which is asked for
    others = log.items[log.users != user]
    share = {g: sum(g in labels for labels in item_sets) for g in set().union(*item_sets)}
    p_g = {g: (sum(g in item_sets[i] for i in others) + share[g]) / (len(others) + 9) for g in share}
    p_given = {g: (sum(g in item_sets[i] for i in own) + m * p_g[g]) / (len(own) + m) for g in share}
    p = [((others == i).sum() + 1) / (len(others) + 9) for i in range(9)]
    assert sum(p) == pytest.approx(1)
    assert sum(p[i] * p_given[g] / p_g[g] for i in range(9) for g in item_sets[i]) == pytest.approx(1)


def test_many_rows_are_a_sample_of_whole_users(log):
    users = FeatureTable(N_USERS, [one("kind", np.arange(N_USERS) % 4)])
    table = information(log, users, FeatureTable(N_ITEMS), seed=1, shuffles=2, most_rows=800)
    assert table.loc[0, "rows"] == 800 - 8 and table.loc[0, "users"] == 99
    assert table.loc[0, "bits"] == pytest.approx(2, abs=0.2)


def test_the_same_seed_gives_the_same_and_the_global_state_is_left_alone(log):
    before = np.random.get_state()[1].copy()
    tables = FeatureTable(N_USERS, [one("kind", np.arange(N_USERS) % 4)]), FeatureTable(N_ITEMS)
    pd.testing.assert_frame_equal(information(log, *tables, seed=2, shuffles=3), information(log, *tables, seed=2, shuffles=3))
    assert np.array_equal(before, np.random.get_state()[1])
