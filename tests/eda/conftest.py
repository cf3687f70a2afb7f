"""A small data set with everything that a figure may ask for, in Hangul."""

import numpy as np
import pandas as pd
import pytest

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import Categorical, FeatureTable, MultiLabel, Numeric
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.text import spellings
from recsys_lib.datasets.base import Dataset

N_USERS, N_ITEMS = 120, 40
JOBS = ("", "IT·게임", "경영·기획·회계·사무", "디자인", "재료·화학·섬유·의복")


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    """Users of 디자인 choose the first ten items more often; everything else is chance."""
    rng = np.random.default_rng(2)
    job = rng.integers(1, 5, N_USERS).astype(np.int32)
    weights = np.ones((N_USERS, N_ITEMS))
    weights[job == 3, :10] = 6
    taken = rng.random((N_USERS, N_ITEMS)) < 0.2 * weights / weights.mean(1, keepdims=True)
    taken[0] = False  # a user without interactions
    users, items = np.nonzero(taken)
    keywords = MultiLabel(
        "키워드",
        np.arange(N_ITEMS + 1),
        np.where(np.arange(N_ITEMS) < 10, 0, 1 + np.arange(N_ITEMS) % 2).astype(np.int32),
        ("니트", "우븐", "−1 → MD"),
    )
    education = Categorical("education", (1 + np.arange(N_ITEMS) // 10).astype(np.int32), ("", "2", "3", "4", "6"))
    salary = rng.integers(20, 60, N_USERS) * 100
    catalogue = Catalogue(
        IdMap(range(N_USERS), "user"),
        IdMap(range(N_ITEMS), "item"),
        FeatureTable(
            N_USERS,
            [
                Categorical("degree", job, JOBS),
                Numeric("희망연봉", salary.astype(np.float32)),
                Categorical("상수", np.ones(N_USERS, dtype=np.int32), ("", "같음")),
            ],
        ),
        FeatureTable(N_ITEMS, [education, keywords]),
    )
    resume = pd.DataFrame({"id": range(N_USERS), "희망연봉": np.where(rng.random(N_USERS) < 0.3, 0, salary), "상수": 1})
    resume["updated_date"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 250, N_USERS), unit="D")
    typed = spellings(["2종운전면허증"] * 3 + ["운전면허 2종"] * 4 + ["GTQ"], ["운전면허2종보통"] * 7 + ["GTQ"])
    return Dataset(
        Interactions(users, items, N_USERS, N_ITEMS),
        catalogue,
        {"resume": resume},
        None,
        "toy",
        {"toy.csv": "00"},
        synthetic=True,
        spellings={"키워드": typed},
    )


@pytest.fixture(scope="session")
def timed(dataset) -> Dataset:
    """The same with timestamps."""
    from dataclasses import replace

    log = dataset.interactions
    times = np.random.default_rng(3).integers(1_577_836_800, 1_600_000_000, len(log))
    return replace(dataset, interactions=Interactions(log.users, log.items, log.n_users, log.n_items, times))
