"""Features as vectors: by arithmetic, against scikit-learn's TF-IDF and truncated SVD, and by the rule of the first table."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from recsys_lib.data.features import Categorical, FeatureTable, MultiLabel, Numeric, Vectors, categorical, multi_label, numeric
from recsys_lib.data.ids import IdMap
from recsys_lib.data.vectors import BINS, FeatureVectors
from tests.conftest import catalogue_of

IDS = IdMap(["a", "b", "c", "d"], "user")


def table(*features):
    return FeatureTable(4, features)


def dense(vectors):
    return vectors.toarray() if sp.issparse(vectors) else vectors


def of(first, other=None, size=None):
    return dense(FeatureVectors(first, size).of(first if other is None else other))


def random_table(n=200, seed=0):
    """Every kind, with gaps."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 5, n)
    codes = np.concatenate([np.sort(rng.choice(12, length, replace=False)) for length in lengths])
    numbers = rng.normal(size=n).astype(np.float32)
    numbers[::7] = np.nan
    texts = rng.normal(size=(n, 6)).astype(np.float32)
    texts[::9] = np.nan
    return FeatureTable(
        n,
        [
            Categorical("city", rng.integers(0, 4, n).astype(np.int32), ("", "x", "y", "z")),
            MultiLabel("genres", np.concatenate([[0], np.cumsum(lengths)]), codes.astype(np.int32), tuple("abcdefghijkl")),
            Numeric("age", numbers),
            Vectors("text", texts),
        ],
    )


def test_a_category_is_one_of_its_labels_and_missing_is_one_too():
    assert of(table(categorical("degree", IDS, ["a", "b", "d"], ["m", "b", "m"]))).tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]]


def test_labels_are_weighed_by_hand():
    # x in 3 of 4 rows, y in 1: log(5/4) + 1 and log(5/2) + 1
    x, y = np.log(5 / 4) + 1, np.log(5 / 2) + 1
    vectors = of(table(multi_label("genres", IDS, ["a", "b", "b", "c"], ["x", "x", "y", "x"])))
    length = np.hypot(x, y)
    assert vectors == pytest.approx(np.array([[1, 0], [x / length, y / length], [1, 0], [0, 0]]), rel=1e-6)


def test_labels_are_those_of_scikit_learns_smooth_tf_idf():
    text = pytest.importorskip("sklearn.feature_extraction.text")
    features = random_table().select(["genres"])
    genres = features["genres"]
    counts = sp.csr_matrix((np.ones(len(genres.codes)), genres.codes, genres.indptr), shape=(200, 12))
    expected = text.TfidfTransformer(smooth_idf=True, norm="l2").fit_transform(counts).toarray()
    assert of(features) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert (expected.sum(1) == 0).any(), "a row without labels was among them"


def test_few_distinct_numbers_have_a_bin_each_and_missing_has_its_own():
    vectors = of(table(numeric("age", IDS, ["a", "b", "d"], [7, 3, 3])))
    assert vectors.tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert of(table(numeric("age", IDS, [], []))).tolist() == [[1, 0]] * 4  # nothing known: one empty bin
    assert of(table(numeric("age", IDS, ["a", "b"], [5, 5]))).tolist() == [[0, 1], [0, 1], [1, 0], [1, 0]]


def test_many_numbers_fall_into_quantile_bins_of_the_same_size():
    values = np.random.default_rng(0).permutation(100).astype(np.float32) ** 2
    vectors = of(FeatureTable(100, [Numeric("age", values)]))
    assert vectors.shape == (100, 1 + BINS) and vectors.sum(0).tolist() == [0, 20, 20, 20, 20, 20]
    # a higher number is in no lower bin
    assert (np.diff(vectors.argmax(1)[np.argsort(values)]) >= 0).all()


def test_a_number_that_most_share_fills_several_quantiles_and_has_one_bin():
    values = np.float32([0] * 70 + list(range(1, 31)))
    vectors = of(FeatureTable(100, [Numeric("age", values)]))
    assert vectors.shape[1] == 1 + 3  # quantiles 0, 0, 0 and 10.2 are two edges
    assert vectors.sum(0).tolist() == [0, 70, 10, 20]


def test_vectors_keep_their_direction_and_lose_their_length():
    values = np.float32([[3, 4], [0, 0], [np.nan, np.nan], [0, -2]])
    assert of(table(Vectors("text", values))) == pytest.approx(np.array([[0.6, 0.8], [0, 0], [0, 0], [0, -1]]))


def test_blocks_stand_side_by_side_in_the_order_of_the_table_and_each_has_length_one():
    features = random_table()
    rule = FeatureVectors(features)
    vectors = rule.of(features)
    assert sp.issparse(vectors) and vectors.dtype == np.float32 and vectors.shape == (200, rule.width)
    assert rule.blocks == {"city": (0, 4), "genres": (4, 16), "age": (16, 22), "text": (22, 28)}
    for feature in features:
        start, end = rule.blocks[feature.name]
        block = vectors[:, start:end].toarray()
        assert np.array_equal(block, of(FeatureTable(200, [feature])))
        lengths = np.linalg.norm(block, axis=1)
        empty = np.diff(feature.indptr) == 0 if isinstance(feature, MultiLabel) else np.zeros(200, bool)
        empty |= np.isnan(feature.values).any(1) if isinstance(feature, Vectors) else False
        assert lengths == pytest.approx(1.0 - empty)


def test_other_values_are_measured_by_the_rule_of_the_first_table():
    first, other = random_table(seed=0), random_table(seed=1)
    rule = FeatureVectors(first)
    order = np.random.default_rng(0).permutation(200)
    of_first = rule.of(first).toarray()
    moved = FeatureTable(200, [Numeric("age", first["age"].values[order])])
    assert np.array_equal(dense(FeatureVectors(first.select(["age"])).of(moved)), of_first[order, 16:22])
    # edges and weights are those of the first: all ages beyond its largest are in the last bin, and a row's labels weigh as they did
    old = FeatureTable(200, [Numeric("age", np.full(200, 1e6, np.float32))])
    assert dense(FeatureVectors(first.select(["age"])).of(old)).sum(0).tolist() == [0, 0, 0, 0, 0, 200]
    weights = np.log(201 / (1 + np.bincount(first["genres"].codes, minlength=12))) + 1
    genres = other["genres"]
    row = int(np.flatnonzero(np.diff(genres.indptr) == 3)[0])
    codes = genres.codes[genres.indptr[row] : genres.indptr[row + 1]]
    expected = np.zeros(12)
    expected[codes] = weights[codes] / np.linalg.norm(weights[codes])
    assert rule.of(other).toarray()[row, 4:16] == pytest.approx(expected, rel=1e-5)
    assert np.array_equal(rule.of(first).toarray(), of_first)


def test_the_svd_is_scikit_learns_up_to_the_sign():
    decomposition = pytest.importorskip("sklearn.decomposition")
    features = random_table()
    whole = of(features).astype(np.float64)
    ours = of(features, size=5)
    theirs = decomposition.TruncatedSVD(5, algorithm="arpack").fit_transform(whole)
    assert ours.shape == (200, 5) and ours.dtype == np.float32
    signs = np.sign((ours * theirs).sum(0))
    assert ours == pytest.approx(theirs * signs, abs=1e-4)


def test_the_sign_of_a_component_is_fixed_and_the_components_are_orthonormal():
    rule = FeatureVectors(random_table(), 5)
    largest = np.abs(rule.components).argmax(0)
    assert (rule.components[largest, np.arange(5)] > 0).all()
    assert rule.components.T @ rule.components == pytest.approx(np.eye(5), abs=1e-5)


def test_all_columns_that_there_are_need_no_svd():
    features = random_table()
    for size in (28, 29, None):
        rule = FeatureVectors(features, size)
        assert rule.width == 28 and rule.components is None
    assert FeatureVectors(features, 27).width == 27


def test_swapped_values_go_through_the_components_of_the_first_table():
    first, other = random_table(seed=0), random_table(seed=1)
    assert of(first, other, size=5) == pytest.approx(of(first, other) @ FeatureVectors(first, 5).components, abs=1e-6)


def test_no_features_have_no_columns():
    for size in (None, 3):
        rule = FeatureVectors(FeatureTable(7), size)
        assert rule.width == 0 and rule.of(FeatureTable(7)).shape == (7, 0)
    assert of(table(multi_label("genres", IDS, [], []))).shape == (4, 0)  # nobody has a label


def test_extreme_and_missing_values_never_give_what_is_no_number():
    catalogue = catalogue_of(5, 4)
    for features in (catalogue.user_features, catalogue.item_features):
        assert np.isfinite(of(features)).all() and np.isfinite(of(features, size=2)).all()
    bad = table(numeric("age", IDS, ["a", "b"], [np.inf, -3e38]), Vectors("text", np.full((4, 3), np.nan, np.float32)))
    assert np.isfinite(of(bad)).all()
