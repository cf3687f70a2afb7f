"""Features dealt anew: among users or items, so that every value stays and says nothing of its new owner; and shadows.

A network learns the rows of a noise feature by heart, as it learns an id. Dealing that feature anew on the fitted model
then costs recall, though a training without it would have lost nothing. So each feature has a shadow: a copy of it, dealt
before the training, in the same model. What dealing the shadow costs is learning by heart alone; a feature must cost more.

Source: Kursa & Rudnicki, Feature Selection with the Boruta Package, Journal of Statistical Software 36, 2010.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import Categorical, Feature, FeatureTable, MultiLabel


def shadow_name(name: str) -> str:
    return f"shadow of {name}"


def with_shadows(catalogue: Catalogue, names: Iterable[str], generator: np.random.Generator) -> Catalogue:
    """The catalogue with one dealt copy of each named feature; each is dealt by itself."""
    names = set(names)

    def doubled(table: FeatureTable) -> FeatureTable:
        shadows = [
            dealt(feature, generator.permutation(table.n_rows), shadow_name(feature.name))
            for feature in table
            if feature.name in names
        ]
        return FeatureTable(table.n_rows, [*table, *shadows])

    return replace(catalogue, user_features=doubled(catalogue.user_features), item_features=doubled(catalogue.item_features))


def dealt_table(table: FeatureTable, names: Iterable[str], generator: np.random.Generator) -> FeatureTable:
    """The table with the named features dealt anew, all in one order, so that what they say together stays together."""
    names = set(names)
    order = generator.permutation(table.n_rows)
    return FeatureTable(table.n_rows, [dealt(feature, order) if feature.name in names else feature for feature in table])


def dealt(feature: Feature, order: np.ndarray, name: str | None = None) -> Feature:
    """Row r gets what row order[r] had. order: (n,) a permutation."""
    name = feature.name if name is None else name
    if isinstance(feature, Categorical):
        return replace(feature, name=name, codes=feature.codes[order])
    if not isinstance(feature, MultiLabel):
        return replace(feature, name=name, values=feature.values[order])
    lengths = np.diff(feature.indptr)[order]
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    rows = np.arange(len(feature.codes)) - np.repeat(indptr[:-1], lengths) + np.repeat(feature.indptr[:-1][order], lengths)
    return replace(feature, name=name, indptr=indptr, codes=feature.codes[rows])
