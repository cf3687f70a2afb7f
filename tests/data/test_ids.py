import numpy as np
import pandas as pd
import pytest

from recsys_lib.data.ids import IdMap


def test_the_place_is_the_index():
    ids = IdMap(["U3", "U1", "U2"], "user")
    assert ids.indexes(["U2", "U3"]).tolist() == [2, 0]
    assert ids.ids_of(np.array([1, 1])).tolist() == ["U1", "U1"]
    assert len(ids) == 3


def test_there_and_back():
    ids = IdMap.union([30, 10], [20, 10], what="item")
    assert ids.ids.tolist() == [10, 20, 30]
    assert ids.ids_of(ids.indexes([20, 30, 10])).tolist() == [20, 30, 10]


def test_union_holds_every_id_once_whatever_the_order_of_the_columns():
    columns = (["b", "a", "b"], pd.Series(["c", None, "a"]), [])
    first, second = IdMap.union(*columns, what="user"), IdMap.union(*reversed(columns), what="user")
    assert first.ids.tolist() == second.ids.tolist() == ["a", "b", "c"]


def test_union_of_nothing_is_empty():
    assert len(IdMap.union([], what="user")) == 0
    assert IdMap.union([], what="user").find(["x"]).tolist() == [-1]


def test_leading_zeros_are_part_of_an_id():
    ids = IdMap(["7", "007"], "user")
    assert ids.indexes(["007"]).tolist() == [1]
    assert ids.find([7]).tolist() == [-1]  # a number is no string


def test_find_marks_the_unknown():
    found = IdMap(["a", "b"], "item").find(["b", "z"])
    assert found.tolist() == [1, -1] and found.dtype == np.int32


def test_indexes_counts_and_shows_the_unknown():
    with pytest.raises(KeyError, match="2 unknown item id.*'z', 'y'.*known are 2 such as"):
        IdMap(["a", "b"], "item").indexes(["z", "a", "y", "z"])


def test_ids_are_distinct_and_given():
    with pytest.raises(ValueError, match="user ids must be distinct; 1 appear more than once, e.g. 'a'"):
        IdMap(["a", "b", "a"], "user")
    with pytest.raises(ValueError, match="every user id must be given; 1 are missing"):
        IdMap(["a", None], "user")
