"""Dealing features anew: every value stays, and nothing is left of who had it."""

import numpy as np

from recsys_lib.data.features import FeatureTable, Numeric
from recsys_lib.studies.shadows import dealt, dealt_table, shadow_name, with_shadows
from tests.conftest import catalogue_of


def rows_of(feature):
    """A row's labels or number, as a list a row."""
    if isinstance(feature, Numeric):
        return [repr(float(value)) for value in feature.values]
    if not hasattr(feature, "indptr"):
        return feature.codes.tolist()
    return [tuple(feature.codes[a:b]) for a, b in zip(feature.indptr, feature.indptr[1:])]


def test_row_r_gets_what_row_order_r_had():
    catalogue = catalogue_of(7, 9)
    for table in (catalogue.user_features, catalogue.item_features):
        order = np.random.default_rng(0).permutation(table.n_rows)
        for feature in table:
            assert rows_of(dealt(feature, order)) == [rows_of(feature)[row] for row in order]
            assert rows_of(dealt(feature, np.arange(table.n_rows))) == rows_of(feature)


def test_the_features_of_a_group_stay_together():
    n = 50
    table = FeatureTable(n, [Numeric("a", np.arange(n, dtype=np.float32)), Numeric("b", np.arange(n, dtype=np.float32)), Numeric("c", np.arange(n, dtype=np.float32))])  # fmt: skip
    new = dealt_table(table, ["a", "b"], np.random.default_rng(0))
    assert np.array_equal(new["a"].values, new["b"].values) and not np.array_equal(new["a"].values, table["a"].values)
    assert new["c"] is table["c"] and new.names == table.names


def test_shadows_stand_beside_their_features():
    catalogue = catalogue_of(30, 20)
    new = with_shadows(catalogue, ["degree", "keywords"], np.random.default_rng(0))
    assert new.user_features.names == ("degree", "career", "shadow of degree") and new.item_features.names == (
        "keywords",
        "shadow of keywords",
    )
    shadow, feature = new.user_features[shadow_name("degree")], catalogue.user_features["degree"]
    assert sorted(shadow.codes) == sorted(feature.codes) and not np.array_equal(shadow.codes, feature.codes)
    assert shadow.labels == feature.labels and new.user_features["degree"] is feature
