"""Which features an option means, and one side's features as vectors that can be swapped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable, Numeric, Vectors, numeric
from recsys_lib.data.vectors import FeatureVectors
from recsys_lib.models import build_model
from recsys_lib.models.side_information import SideInformation, SideVectors, chosen_features
from tests.conftest import catalogue_of


def names(catalogue, choice):
    return tuple(table.names for table in chosen_features(catalogue, choice))


@pytest.mark.parametrize(
    "choice, user, item",
    [
        ("all", ("degree", "career"), ("keywords",)),
        ("none", (), ()),
        ("user", ("degree", "career"), ()),
        ("item", (), ("keywords",)),
        (("keywords", "career"), ("career",), ("keywords",)),
        (("career", "degree"), ("career", "degree"), ()),  # in the order of the list: saved weights have it too
        (("career", "career"), ("career",), ()),
        ((), (), ()),
    ],
)
def test_what_a_choice_means(market_catalogue, choice, user, item):
    assert names(market_catalogue, choice) == (user, item)
    assert all(len(table) == 0 or table.n_rows in (60, 40) for table in chosen_features(market_catalogue, choice))


def test_a_name_that_there_is_not_and_a_side_without_features_are_errors_that_say_what_there_is(market_catalogue):
    with pytest.raises(ValueError, match="no feature 'keyword'; did you mean 'keywords'.*user features: degree, career; item features: keywords"):
        chosen_features(market_catalogue, ("degree", "keyword"))
    bare = Catalogue(market_catalogue.users, market_catalogue.items, FeatureTable(60), market_catalogue.item_features)
    with pytest.raises(ValueError, match="features='user': this data set has no features of users; there are user features: none; item features: keywords"):
        chosen_features(bare, "user")
    assert names(bare, "item") == ((), ("keywords",)) and names(bare, "all") == ((), ("keywords",))


@pytest.mark.parametrize("name", ["ease", "multi_dae", "neumf", "mlp", "gmf"])
def test_a_word_that_is_no_choice_is_refused_by_every_model(market_catalogue, name):
    with pytest.raises(ValueError, match="features must be 'all', 'none', 'user', 'item' or a list of names; got 'items'"):
        build_model(name, market_catalogue, seed=0, features="items")


# ---- vectors of a side


def test_rows_are_the_vectors_minus_the_mean_of_the_first_table(market_catalogue):
    table = market_catalogue.user_features
    whole = FeatureVectors(table).of(table).toarray()
    side = SideVectors(table, 100)
    asked = torch.tensor([3, 59, 3])
    rows = side.rows(asked)
    assert rows.dtype == torch.float32 and rows.shape == (3, side.width)
    assert rows.numpy() == pytest.approx((whole - whole.mean(0))[asked.numpy()], abs=1e-6)
    assert side.rows(torch.arange(60)).mean(0).abs().max() < 1e-6
    assert side.rows(torch.arange(0)).shape == (0, side.width)


def test_rows_after_an_svd_are_centred_too(market_catalogue):
    table = market_catalogue.user_features
    side = SideVectors(table, 3)
    assert side.width == 3
    whole = FeatureVectors(table, 3).of(table)
    assert side.rows(torch.arange(60)).numpy() == pytest.approx(whole - whole.mean(0), abs=1e-6)


def test_swapped_values_keep_the_centre_and_swapping_back_brings_every_bit_back(market_catalogue):
    table = market_catalogue.user_features
    everybody = torch.arange(60)
    for size in (3, 100):
        side = SideVectors(table, size)
        before = side.rows(everybody)
        # everybody is user 0 now: all rows are his old one, by the old mean
        degree, career = table["degree"], table["career"]
        first = np.zeros(60, dtype=int)
        side.set_table(FeatureTable(60, [replace(degree, codes=degree.codes[first]), replace(career, values=career.values[first])]))
        assert torch.allclose(side.rows(everybody), before[0].expand(60, -1), atol=1e-6) and before[0].abs().max() > 0.1
        side.set_table(table)
        assert torch.equal(side.rows(everybody), before)


def test_no_features_have_no_width_on_either_side(market_catalogue):
    side = SideInformation(market_catalogue, (), 8)
    assert (side.user.width, side.item.width, side.names) == (0, 0, frozenset())
    assert side.user.rows(torch.tensor([1, 2])).shape == (2, 0)
    side.swap(user=market_catalogue.user_features, item=market_catalogue.item_features)  # nothing of it is looked at
    assert side.item.rows(torch.tensor([1])).shape == (1, 0)


def test_names_are_those_of_both_sides(market_catalogue):
    assert SideInformation(market_catalogue, "all", 8).names == {"degree", "career", "keywords"}


def test_one_table_that_does_not_fit_leaves_both_sides_as_they_were(market_catalogue):
    side = SideInformation(market_catalogue, "all", 8)
    before = side.user.rows(torch.arange(60)), side.item.rows(torch.arange(40))
    user, item = market_catalogue.user_features, market_catalogue.item_features
    other = FeatureTable(60, [user["degree"], Numeric("career", np.arange(60, dtype=np.float32))])
    for given in ({"user": other, "item": FeatureTable(40)}, {"user": user.select(["degree"]), "item": item}):
        with pytest.raises(ValueError, match="the model uses feature"):
            side.swap(**given)
        assert torch.equal(side.user.rows(torch.arange(60)), before[0]) and torch.equal(side.item.rows(torch.arange(40)), before[1])
    side.swap(user=other)
    assert not torch.allclose(side.user.rows(torch.arange(60)), before[0])
    assert torch.equal(side.item.rows(torch.arange(40)), before[1])


def test_users_without_a_vector_stand_where_the_zero_vector_does():
    values = np.float32([[1, 0], [0, 1], [np.nan, np.nan], [0, 1]])
    side = SideVectors(FeatureTable(4, [Vectors("text", values)]), 8)
    assert side.rows(torch.arange(4)).tolist() == [[0.75, -0.5], [-0.25, 0.5], [-0.25, -0.5], [-0.25, 0.5]]


@pytest.mark.parametrize("name", ["ease", "multi_dae", "neumf", "mlp", "gmf"])
def test_a_model_that_was_told_to_use_none_ignores_what_it_is_given(name):
    catalogue = catalogue_of(60, 40)
    model = build_model(name, catalogue, seed=0, features="none")
    assert model.uses_features == frozenset()
    model.set_features(user=FeatureTable(60, [numeric("other", catalogue.users, ["u1"], [3])]), item=FeatureTable(40))
