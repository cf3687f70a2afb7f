"""A closed form that takes features, quick and honest, and a small world in which one feature of a side tells something."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import recsys_lib.models
from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable, categorical
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.datasets.base import Dataset
from recsys_lib.models.base import Recommender, option


@dataclass(frozen=True)
class CountsConfig:
    features: tuple[str, ...] | str = option("none", "features that are counted")


class Counts(Recommender):
    """score = popularity + for each user feature, what users of the same label chose + for each item feature, the user's labels."""

    name = "counts"
    Config = CountsConfig
    needs_training = False
    deaf_to: frozenset[str] = frozenset()  # features that it forgets

    def __init__(self, catalogue, config):
        super().__init__(catalogue, config)
        self.set_features(user=catalogue.user_features, item=catalogue.item_features)

    def _chosen(self, table):
        names = table.names if self.config.features == "all" else () if self.config.features == "none" else self.config.features
        return {
            name: torch.from_numpy(table[name].codes.astype(np.int64))
            for name in names
            if name in table.names and name not in self.deaf_to
        }

    def set_features(self, *, user=None, item=None):
        if user is not None:
            self.of_users = self._chosen(user)
        if item is not None:
            self.of_items = self._chosen(item)

    @property
    def uses_features(self):
        return frozenset(self.of_users) | frozenset(self.of_items)

    def prepare(self, train, generator):
        super().prepare(train, generator)
        self.seen = torch.from_numpy(train.user_items().toarray().astype(np.float32))
        self.popularity = torch.log(self.seen.sum(0) + 1)
        self.among = {}
        for name, codes in self.of_users.items():
            counts = torch.zeros(int(codes.max()) + 1, self.seen.shape[1]).index_add_(0, codes, self.seen)
            self.among[name] = torch.log((counts + 0.2) / (counts.sum(1, keepdim=True) + 1))

    def score(self, users, history):
        scores = 0.3 * self.popularity.repeat(len(users), 1)
        for name, codes in self.of_users.items():
            scores += self.among[name][codes[users]]
        for codes in self.of_items.values():
            labels = torch.nn.functional.one_hot(codes).float()
            scores += torch.log(self.seen[users] @ labels + 0.2) @ labels.T
        return scores


@pytest.fixture
def counts(monkeypatch):
    """Registers the model; returns its class."""
    known = recsys_lib.models._registry()
    monkeypatch.setattr(recsys_lib.models, "_registry", lambda: dict(sorted({**known, "counts": Counts}.items())))
    return Counts


def world(seed: int, *, planted: bool = True, users: int = 240, items: int = 60, per_user: int = 6, n_noise: int = 3) -> Dataset:
    """Users choose in one of four markets. planted: `market` of users and `trade` of items tell which; else they are dealt."""
    rng = np.random.default_rng(seed)
    market, trade = rng.integers(4, size=users), np.arange(items) % 4
    rows = [
        (user, item)
        for user in range(users)
        for item in rng.choice(np.flatnonzero(trade == market[user]), per_user, replace=False)
    ]
    rows = np.array(rows)[rng.permutation(len(rows))]
    user_ids, item_ids = IdMap([f"u{n}" for n in range(users)], "user"), IdMap([f"i{n}" for n in range(items)], "item")
    shown = market if planted else rng.permutation(market), trade if planted else rng.permutation(trade)
    tables = []
    for ids, name, values, noise in ((user_ids, "market", shown[0], "colour"), (item_ids, "trade", shown[1], "shape")):
        features = [categorical(name, ids, ids.ids, values)]
        features += [categorical(f"{noise}{n}", ids, ids.ids, rng.integers(4, size=len(ids))) for n in range(n_noise)]
        tables.append(FeatureTable(len(ids), features))
    catalogue = Catalogue(user_ids, item_ids, *tables)
    return Dataset(Interactions(rows[:, 0], rows[:, 1], users, items), catalogue, {}, None, "toy_world", synthetic=True)


class Clock(SimpleNamespace):
    """A clock that moves only when it is told to."""

    now = 0.0

    def __call__(self) -> float:
        return self.now
