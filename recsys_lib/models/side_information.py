"""Which features a model was asked to use, and one side's features as vectors that can be swapped.

A feature that is asked for is used, or it is an error that says why; it is never dropped in silence.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable
from recsys_lib.data.names import did_you_mean
from recsys_lib.data.vectors import FeatureVectors

CHOICES = ("all", "none", "user", "item")
FEATURES_HELP = "side information: 'all', 'none', 'user', 'item' or a list of names"


def check_choice(features: tuple[str, ...] | str) -> None:
    """Raises: ValueError for a word that is no choice."""
    if isinstance(features, str) and features not in CHOICES:
        raise ValueError(f"features must be {', '.join(map(repr, CHOICES))} or a list of names; got {features!r}")


def chosen_features(catalogue: Catalogue, features: tuple[str, ...] | str) -> tuple[FeatureTable, FeatureTable]:
    """The tables of users and of items that an option `features` means; named features in the order of their names.

    Raises: ValueError for a name that the data set does not have, or "user" or "item" where that side has none.
    """
    user, item = catalogue.user_features, catalogue.item_features
    if isinstance(features, str):
        for side, table in (("user", user), ("item", item)):
            if features == side and not table.names:
                raise ValueError(f"features={side!r}: this data set has no features of {side}s; there are {_listed(catalogue)}")
        wanted = {"all": (*user.names, *item.names), "none": (), "user": user.names, "item": item.names}[features]
    else:
        wanted = features
    for name in wanted:
        if name not in user.names and name not in item.names:
            raise ValueError(f"no feature {name!r}{did_you_mean(name, (*user.names, *item.names))} There are {_listed(catalogue)}.")
    wanted = list(dict.fromkeys(wanted))  # in the order in which they were named: saved weights have that order too
    return user.select([n for n in wanted if n in user.names]), item.select([n for n in wanted if n in item.names])


def _listed(catalogue: Catalogue) -> str:
    return f"user features: {', '.join(catalogue.user_features.names) or 'none'}; item features: {', '.join(catalogue.item_features.names) or 'none'}"


class SideVectors:
    """Features of users or of items as vectors, by the rule of the first table.

    Attributes:
        names: of the features. width: columns of the vectors, 0 without features.
    """

    def __init__(self, table: FeatureTable, size: int) -> None:
        self.first = table
        self.names = table.names
        self._rule = FeatureVectors(table, size)
        self.width = self._rule.width
        self._vectors = self._first_vectors = self._rule.of(table)
        self._centre = np.asarray(self._vectors.mean(0), dtype=np.float32).reshape(1, -1)

    def set_table(self, table: FeatureTable) -> None:
        """Take other values of the same features. Raises: as FeatureTable.check_fits."""
        self.first.check_fits(table)
        self._vectors = self._rule.of(table)

    def rows(self, rows: Tensor, *, first: bool = False) -> Tensor:
        """(B,) indexes -> (B, width) float32 on their device; the mean over the first table is 0. first: of that table."""
        chosen = (self._first_vectors if first else self._vectors)[rows.cpu().numpy()]
        return torch.from_numpy((chosen.toarray() if sp.issparse(chosen) else chosen) - self._centre).to(rows.device)


class SideInformation:
    """The features that a model was asked to use, on both sides.

    Attributes:
        user, item: SideVectors; of no width where nothing was chosen.
    """

    def __init__(self, catalogue: Catalogue, features: tuple[str, ...] | str, size: int) -> None:
        self.user, self.item = (SideVectors(table, size) for table in chosen_features(catalogue, features))

    @property
    def names(self) -> frozenset[str]:
        return frozenset((*self.user.names, *self.item.names))

    def swap(self, *, user: FeatureTable | None = None, item: FeatureTable | None = None) -> None:
        """What set_features owes: both tables are checked before one is taken. Raises: as FeatureTable.check_fits."""
        given = [(side, table) for side, table in ((self.user, user), (self.item, item)) if table is not None]
        for side, table in given:
            side.first.check_fits(table)
        for side, table in given:
            side.set_table(table)
