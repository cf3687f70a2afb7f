"""A team's own tables of vectors, in the folder `vectors` of the data."""

import numpy as np
import pandas as pd
import pytest

from recsys_lib.datasets import read_dataset
from recsys_lib.models import build_model


@pytest.fixture
def folder(tmp_path):
    """A log of two integer users and four items with string ids."""
    rows = ["user_id,item_id", "1,a", "1,b", "2,b", "2,c", "1,d"]
    (tmp_path / "interactions.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "vectors").mkdir()
    return tmp_path


def write(folder, name, text):
    (folder / "vectors" / name).write_text(text, encoding="utf-8")


def test_a_row_an_id_becomes_a_feature_of_that_name(folder):
    before = read_dataset(folder)
    write(folder, "item_title.csv", "item,x,y\nb,1,2\na,3,4\nelsewhere,5,6\n")
    pd.DataFrame({"user": [2], "0": [0.5]}).to_parquet(folder / "vectors" / "user_profile.parquet")
    dataset = read_dataset(folder)
    title = dataset.catalogue.item_features["title"]
    ids = list(dataset.catalogue.items.ids)
    assert title.values[ids.index("b")].tolist() == [1, 2] and title.values[ids.index("a")].tolist() == [3, 4]
    assert np.isnan(title.values[ids.index("c")]).all()
    profile = dataset.catalogue.user_features["profile"].values[:, 0]
    assert profile[list(dataset.catalogue.users.ids).index(2)] == 0.5 and np.isnan(profile).sum() == 1
    assert any("item_title.csv: 2 numbers for 2 of 4 items" in note for note in dataset.notes)
    assert "vectors/item_title.csv" in dataset.sources and "vectors/item_title.csv" not in before.sources
    # shown nowhere in the EDA, and another fingerprint of the data
    assert "title" not in dataset.all_item_features.names
    assert dataset.catalogue.item_features.fingerprint() != before.catalogue.item_features.fingerprint()


@pytest.mark.parametrize("model", ["mlp", "multi_dae", "ease"])
def test_models_use_them_by_name(folder, model):
    write(folder, "item_title.csv", "item,x,y\nb,1,2\na,3,4\n")
    dataset = read_dataset(folder)
    assert build_model(model, dataset.catalogue, seed=0, features=["title"]).uses_features == {"title"}


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("title.csv", "item,x\na,1\n", "vectors/title.csv is no table of vectors; they are named item_NAME.csv"),
        ("item_title.csv", "item\na\n", "has 1 rows of 1 columns; wanted is an id and numbers"),
        ("item_title.csv", "item,x,y\na,1,word\n", "column 'y' does not hold numbers"),
        ("item_title.csv", "item,x\na,1\na,2\n", "id 'a' is empty, no item id, or there twice"),
        ("item_title.csv", "item,x\nq,1\n", "none of its ids is an item of the data with numbers; the data's first is a"),
        ("user_profile.csv", "user,x\n1,1\nhello,2\n", "id 'hello' is empty, no user id, or there twice"),
        ("item_title.csv", ",item,x\n0,a,1\n", "its first column must be the id, under a name such as item_id; got 'Unnamed: 0'"),
        ("item_title.csv", "1,2\na,1\n", "its first column must be the id"),
        ("user_profile.csv", "user,x\n1.5,1\n", "id '1.5' is empty, no user id"),
        ("item_title.parquet", "no parquet", "vectors/item_title.parquet cannot be read as parquet"),
    ],
)
def test_a_wrong_table_says_what_was_wanted(folder, name, text, message):
    write(folder, name, text)
    with pytest.raises(ValueError, match=message):
        read_dataset(folder)


def test_a_name_that_is_taken_is_refused(folder):
    write(folder, "item_title.csv", "item,x\na,1\n")
    write(folder, "user_title.csv", "user,x\n1,1\n")
    with pytest.raises(ValueError, match="user_title.csv: a feature 'title' is there already; rename the file"):
        read_dataset(folder)
