import numpy as np
import pytest

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable, Vectors, categorical, multi_label, numeric, vectors
from recsys_lib.data.ids import IdMap

USERS = IdMap(["a", "b", "c", "d"], "user")
ITEMS = IdMap([10, 20, 30, 40, 50, 60], "item")


def labels(feature):
    """Every row's labels, in words."""
    rows = np.split(feature.codes, feature.indptr[1:-1])
    return [[feature.labels[code] for code in row] for row in rows]


def test_categorical_is_aligned_by_id():
    feature = categorical("degree", USERS, ["d", "a", "c"], ["school", "university", None])
    assert feature.labels == ("", "school", "university")
    assert feature.codes.tolist() == [2, 0, 0, 1] and feature.codes.dtype == np.int32


def test_whole_numbers_are_one_label_with_or_without_a_gap():
    whole = categorical("code", ITEMS, [10, 20], [3, 11])
    with_gap = categorical("code", ITEMS, [10, 20, 30], [3.0, 11.0, np.nan])
    assert whole.labels == with_gap.labels == ("", "3", "11")  # sorted as numbers
    assert whole.codes.tolist() == with_gap.codes.tolist() == [1, 2, 0, 0, 0, 0]


def test_ids_that_the_catalogue_lacks_are_left_out():
    assert categorical("x", USERS, ["a", "z"], ["p", "q"]).codes.tolist()[1:] == [0, 0, 0]
    assert np.isnan(numeric("x", USERS, ["a", "z"], [1, 2]).values[1:]).all()
    assert labels(multi_label("x", USERS, ["a", "z"], ["p", "q"])) == [["p"], [], [], []]


def test_multi_label_takes_any_number_of_rows_and_drops_repeats():
    feature = multi_label("genres", ITEMS, [30, 10, 30, 30, 10, 60], ["War", "Drama", "Action", "War", None, "Drama"])
    assert labels(feature) == [["Drama"], [], ["Action", "War"], [], [], ["Drama"]]
    assert len(feature) == 6 and feature.indptr.dtype == np.int64 and feature.codes.dtype == np.int32


def test_multi_label_of_nothing():
    feature = multi_label("genres", ITEMS, [], [])
    assert labels(feature) == [[]] * 6 and feature.labels == ()


def test_numeric_keeps_gaps():
    feature = numeric("age", USERS, ["c", "a"], [31, None])
    np.testing.assert_array_equal(feature.values, np.float32([np.nan, np.nan, 31, np.nan]))
    assert feature.values.dtype == np.float32


def test_numeric_refuses_words():
    with pytest.raises(ValueError):
        numeric("age", USERS, ["a"], ["old"])


def test_several_rows_for_one_id_are_refused_where_one_is_wanted():
    for build, values in ((categorical, ["x", "y"]), (numeric, [1, 2])):
        with pytest.raises(ValueError, match="'f' has several rows for one user; use multi_label"):
            build("f", USERS, ["a", "a"], values)


def test_the_index_of_a_series_means_nothing():
    import pandas as pd

    frame = pd.DataFrame({"id": ["b", "a"], "age": [5, 7], "word": ["x", "y"]}, index=[90, 3])
    assert numeric("age", USERS, frame["id"], frame["age"]).values[:2].tolist() == [7, 5]
    assert categorical("word", USERS, frame["id"], frame["word"]).codes.tolist() == [2, 1, 0, 0]
    assert labels(multi_label("word", USERS, frame["id"], frame["word"]))[:2] == [["y"], ["x"]]


def test_table_by_name():
    table = FeatureTable(4, [numeric("age", USERS, ["a"], [1]), categorical("word", USERS, ["a"], ["x"])])
    assert table.names == ("age", "word") and len(table) == 2
    assert [feature.name for feature in table.select(["word", "age"])] == ["word", "age"]
    with pytest.raises(KeyError, match="no feature 'agee'; did you mean 'age'"):
        table["agee"]


def test_table_refuses_another_length_and_a_name_twice():
    age = numeric("age", USERS, ["a"], [1])
    with pytest.raises(ValueError, match="'age' has 4 rows but the catalogue has 6"):
        FeatureTable(6, [age])
    with pytest.raises(ValueError, match="two features are named 'age'"):
        FeatureTable(4, [age, age])


def test_fingerprint_is_the_content():
    def table(values, name="x", labels=("p", "q")):
        return FeatureTable(4, [numeric(name, USERS, ["a", "b"], values), categorical("y", USERS, ["a", "b"], labels)])

    prints = {
        table([1, 2]).fingerprint(),
        table([1, 3]).fingerprint(),
        table([1, 2], name="z").fingerprint(),
        table([1, 2], labels=("q", "p")).fingerprint(),
        table([1, 2], labels=("p", "r")).fingerprint(),  # same codes, other words
        FeatureTable(4).fingerprint(),
    }
    assert len(prints) == 6
    assert table([1, 2]).fingerprint() == table([1, 2]).fingerprint()


def test_catalogue_wants_a_row_for_every_id():
    catalogue = Catalogue(USERS, ITEMS, FeatureTable(4), FeatureTable(6))
    assert (catalogue.n_users, catalogue.n_items) == (4, 6)
    with pytest.raises(ValueError, match="6 item ids but 4 rows of item features"):
        Catalogue(USERS, ITEMS, FeatureTable(4), FeatureTable(4))


# ---- vectors


def test_vectors_are_aligned_by_id_and_nobody_left_out_is_made_up():
    feature = vectors("text", USERS, ["d", "z", "a"], [[1, 2], [8, 9], [3, 4]])
    np.testing.assert_array_equal(feature.values, np.float32([[3, 4], [np.nan] * 2, [np.nan] * 2, [1, 2]]))
    assert feature.values.dtype == np.float32 and len(feature) == 4


def test_half_a_vector_is_none():
    feature = vectors("text", USERS, ["a", "b"], [[1.0, np.nan], [3.0, 4.0]])
    np.testing.assert_array_equal(feature.values[:2], np.float32([[np.nan, np.nan], [3, 4]]))


@pytest.mark.parametrize("values", [[1, 2], [[1, 2]], np.zeros((2, 0)), np.zeros((2, 2, 2))])
def test_vectors_want_a_row_of_numbers_for_each_id(values):
    with pytest.raises(ValueError, match=r"feature 'text' needs a row of numbers for each of 2 ids; got an array of shape \("):
        vectors("text", USERS, ["a", "b"], values)


@pytest.mark.parametrize("number", [np.inf, -np.inf, 1e39])  # 1e39 is more than a float32 can hold
def test_infinite_vectors_are_refused(number):
    with np.errstate(over="ignore"), pytest.raises(ValueError, match="feature 'text' holds infinite numbers; write NaN"):
        vectors("text", USERS, ["a"], np.array([[number, 0.0]]))


def test_two_vectors_for_one_id_are_refused():
    with pytest.raises(ValueError, match="'text' has several rows for one user"):
        vectors("text", USERS, ["a", "a"], [[1], [2]])


def test_the_fingerprint_knows_vectors():
    def print_of(values):
        return FeatureTable(4, [vectors("text", USERS, ["a", "b"], values)]).fingerprint()

    assert len({print_of([[1, 2], [3, 4]]), print_of([[1, 2], [4, 3]]), print_of([[1], [2]])}) == 3
    assert print_of([[1, 2], [3, 4]]) == print_of(np.float64([[1, 2], [3, 4]]))


# ---- may one table take another's place?


def test_a_table_takes_the_place_of_one_with_the_same_features_whatever_their_order_and_values():
    def table(age, word, text):
        return [numeric("age", USERS, ["a"], [age]), categorical("word", USERS, ["a", "b"], word), vectors("text", USERS, ["a"], [text])]

    first = FeatureTable(4, table(1, ["x", "y"], [1, 2]))
    more = numeric("more", USERS, ["a"], [1])
    first.check_fits(FeatureTable(4, [more, *reversed(table(2, ["y", "x"], [5, 6]))]))
    first.check_fits(first)


@pytest.mark.parametrize(
    "features, message",
    [
        ([], "the model uses feature 'text'; the new table has none"),
        ([("text", 3)], "feature 'text' had 2 columns when the model was built and has 3 now"),
        ([("text", None)], "feature 'text' was Vectors when the model was built and is Numeric now"),
        ([("other", 2)], "the model uses feature 'text'; the new table has other"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_by_the_name_of_the_feature(features, message):
    first = FeatureTable(4, [Vectors("text", np.zeros((4, 2), np.float32))])
    new = [numeric(name, USERS, ["a"], [1]) if d is None else Vectors(name, np.zeros((4, d), np.float32)) for name, d in features]
    with pytest.raises(ValueError, match=message):
        first.check_fits(FeatureTable(4, new))


def test_a_table_of_other_rows_or_labels_is_refused():
    first = FeatureTable(4, [categorical("word", USERS, ["a", "b"], ["x", "y"])])
    with pytest.raises(ValueError, match=r"the new features \(word\) have 6 rows, not 4"):
        first.check_fits(FeatureTable(6, [categorical("word", ITEMS, [10, 20], ["x", "y"])]))
    for labels_now in (["x", "z"], ["x", "x"]):
        with pytest.raises(ValueError, match="feature 'word' had 3 labels .* keep the labels and change only the codes"):
            first.check_fits(FeatureTable(4, [categorical("word", USERS, ["a", "b"], labels_now)]))
    genres = FeatureTable(4, [multi_label("genres", USERS, ["a", "b"], ["x", "y"])])
    with pytest.raises(ValueError, match="feature 'genres' had 2 labels"):
        genres.check_fits(FeatureTable(4, [multi_label("genres", USERS, ["a"], ["x"])]))
