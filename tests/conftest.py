"""Toy data that every room can use: 4 users and 6 items, never square."""

import os

# Tensors this small are slower on several threads; set before NumPy or torch is loaded.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# ranx compiles for half a minute what takes milliseconds on lists this short.
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")

import numpy as np
import pytest

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable, categorical, multi_label, numeric
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions


def catalogue_of(n_users: int, n_items: int) -> Catalogue:
    """Features of every kind, some of them missing."""
    users, items = IdMap([f"u{n}" for n in range(n_users)], "user"), IdMap([f"i{n}" for n in range(n_items)], "item")
    some_users, some_items = users.ids[: max(2, n_users - 1)], items.ids[: max(2, n_items - 2)]
    rng = np.random.default_rng(5)
    return Catalogue(
        users,
        items,
        FeatureTable(
            n_users,
            [
                categorical("degree", users, some_users, rng.choice(["b", "m", "d"], len(some_users))),
                numeric("career", users, some_users, rng.integers(0, 90, len(some_users))),
            ],
        ),
        FeatureTable(
            n_items, [multi_label("keywords", items, some_items.repeat(2), rng.choice(["x", "y", "z"], 2 * len(some_items)))]
        ),
    )


def markets_of(n_users: int, n_items: int, n_markets: int, per_user: int, seed: int = 0, timestamps: bool = False) -> Interactions:
    """Users choose items of their own market, at random: structure that a model can learn."""
    rng = np.random.default_rng(seed)
    users = np.repeat(np.arange(n_users), per_user)
    size = n_items // n_markets
    items = np.concatenate(
        [(user % n_markets) * size + rng.choice(size, per_user, replace=False) for user in range(n_users)]
    )
    order = rng.permutation(len(users))
    times = rng.integers(0, 1000, len(users)) if timestamps else None
    return Interactions(users[order], items[order], n_users, n_items, times)


@pytest.fixture
def toy_catalogue() -> Catalogue:
    return catalogue_of(4, 6)


@pytest.fixture
def toy_log() -> Interactions:
    #                     user 0           user 1     user 2        user 3 has nothing
    return Interactions([0, 0, 0, 1, 1, 2, 2, 2, 2], [0, 1, 2, 1, 3, 0, 2, 3, 5], 4, 6)


@pytest.fixture
def market_log() -> Interactions:
    """60 users, 40 items in 4 markets of 10; each user chose 6 of his market."""
    return markets_of(60, 40, 4, 6)


@pytest.fixture
def market_catalogue() -> Catalogue:
    return catalogue_of(60, 40)
