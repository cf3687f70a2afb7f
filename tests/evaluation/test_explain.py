"""What explain() says of one user, against counts that a reader can check on the toy log."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable, categorical, multi_label, numeric
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.datasets.base import Dataset, item_names
from recsys_lib.evaluation.explain import FEATURE_LENGTH, described, explain
from recsys_lib.evaluation.ranking import recommend
from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer


class Fixed:
    """A stand-in for a trained model: the scores that the test wants, the same for everybody."""

    @staticmethod
    def build(catalogue, scores):
        model = build_model("popularity", catalogue, seed=0)
        model.item_vectors = lambda: None
        model.score = lambda users, history: torch.tensor([scores], dtype=torch.float32).repeat(len(users), 1)
        return model


def trained(name, catalogue, log, **options):
    model = build_model(name, catalogue, seed=0, **options)
    Trainer(train_config(name)).repeat(model, log, learning_rates=[0.01] if model.needs_training else [])
    return model


def test_a_row_names_what_was_chosen_together(toy_catalogue, toy_log):
    # i0: u0 u2, i1: u0 u1, i2: u0 u2, i3: u1 u2, i5: u2. User u0 has i0 i1 i2; left are i3, i4, i5.
    found = explain(Fixed.build(toy_catalogue, [0, 0, 0, 3, 2, 1]), toy_log, "u0", k=3)
    shown = found.recommendations
    assert list(shown.columns) == ["rank", "item_id", "score", "features", "chosen_by", "why"]
    assert list(shown["item_id"]) == ["i3", "i4", "i5"] and list(shown["rank"]) == [1, 2, 3]
    assert list(shown["score"]) == [3, 2, 1] and list(shown["chosen_by"]) == [2, 0, 1]
    # cos(i3, i0) = cos(i3, i1) = cos(i3, i2) = 1 / √(2 · 2); cos(i5, i0) = cos(i5, i2) = 1 / √(1 · 2), cos(i5, i1) = 0
    assert shown["why"][0] == "i0 (chosen together by 1), i1 (1), i2 (1)"
    assert shown["why"][1] == "nobody chose it together with an item of the history"
    assert shown["why"][2] == "i0 (chosen together by 1), i2 (1)"


def test_the_nearest_item_comes_first(toy_catalogue):
    # i4 with i0: 1 of (3, 2) choosers; with i1: 1 of (1, 2); i1 is nearer although as many chose it together
    log = Interactions([0, 1, 2, 0, 1, 3, 0, 3], [0, 0, 0, 2, 4, 4, 1, 1], 4, 6)
    found = explain(Fixed.build(toy_catalogue, [0, 0, 0, 0, 9, 0]), log, "u0", k=1)
    # cos(i4, i0) = 1 / √(2 · 3) = .41; cos(i4, i1) = 1 / √(2 · 2) = .5
    assert found.recommendations["why"][0] == "i1 (chosen together by 1), i0 (1)"


def test_the_nearest_users_and_what_they_chose_of_the_list(toy_catalogue, toy_log):
    found = explain(Fixed.build(toy_catalogue, [0, 0, 0, 3, 2, 1]), toy_log, "u0", k=3).nearest_users
    assert list(found["user_id"]) == ["u2", "u1"] and list(found["n_shared"]) == [2, 1]
    assert list(found["cosine"]) == pytest.approx([2 / np.sqrt(3 * 4), 1 / np.sqrt(3 * 2)])
    assert list(found["chose"]) == ["i3, i5", "i3"]


def test_a_user_with_little_beside_what_is_shared_is_nearer(toy_catalogue):
    log = Interactions([0, 0, 0, 1, 2, 2, 2, 2, 2], [0, 1, 2, 0, 0, 1, 3, 4, 5], 4, 6)
    found = explain(Fixed.build(toy_catalogue, [0] * 5 + [1]), log, "u0", k=1).nearest_users
    assert list(found["user_id"]) == ["u1", "u2"] and list(found["n_shared"]) == [1, 2]  # 1 / √(3 · 1) > 2 / √(3 · 5)


def test_the_history_stands_in_the_order_of_the_file_or_newest_first(toy_catalogue, toy_log):
    model = Fixed.build(toy_catalogue, [0, 0, 0, 3, 2, 1])
    history = explain(model, toy_log, "u2", k=1).history
    assert list(history.columns) == ["item_id", "features", "chosen_by"]
    assert list(history["item_id"]) == ["i0", "i2", "i3", "i5"] and list(history["chosen_by"]) == [2, 2, 2, 1]
    days = np.array([0, 0, 0, 0, 0, 2, 4, 3, 4]) * 86_400
    timed = Interactions(toy_log.users, toy_log.items, 4, 6, days)
    history = explain(model, timed, "u2", k=1).history
    assert list(history["item_id"]) == ["i2", "i5", "i3", "i0"]  # equal times keep the order of the file
    assert [f"{time:%Y-%m-%d}" for time in history["timestamp"]] == ["1970-01-05", "1970-01-05", "1970-01-04", "1970-01-03"]


@pytest.mark.parametrize("name", ["popularity", "ease", "user_knn", "multi_dae", "neumf"])
def test_the_list_is_that_of_the_submission(name, market_catalogue, market_log):
    model = trained(name, market_catalogue, market_log)
    everybody = recommend(model, market_log, users=np.arange(60), k=7)
    for user in ("u0", "u31", "u59"):
        found = explain(model, market_log, user, k=7)
        wanted = everybody[everybody["user_id"] == user]
        assert list(found.recommendations["item_id"]) == list(wanted["item_id"])
        assert found.recommendations["score"].to_numpy() == pytest.approx(wanted["score"].to_numpy(), rel=1e-4)
        assert not set(found.history["item_id"]) & set(found.recommendations["item_id"])
        assert user not in set(found.nearest_users["user_id"])


def test_reasons_and_neighbours_equal_the_slow_way(market_catalogue, market_log):
    found = explain(trained("ease", market_catalogue, market_log), market_log, "u17", k=5)
    assert found.recommendations["why"][4].startswith("nobody")  # of another market: its own has 10 items, the user 6 of them
    users_of = [set(market_log.users[market_log.items == item]) for item in range(40)]
    items_of = [set(market_log.items[market_log.users == user]) for user in range(60)]
    history = [int(item[1:]) for item in found.history["item_id"]]
    for item_id, why in zip(found.recommendations["item_id"][:4], found.recommendations["why"]):
        item = int(item_id[1:])
        likeness = {h: len(users_of[item] & users_of[h]) / np.sqrt(len(users_of[item]) * len(users_of[h])) for h in history}
        best = sorted(history, key=lambda h: -round(likeness[h], 12))[:3]  # sorted() keeps the order of equals
        named = [part.split(" ")[0] for part in why.split(", ")]
        assert sorted(round(likeness[int(n[1:])], 12) for n in named) == sorted(round(likeness[h], 12) for h in best if likeness[h])
        assert f"(chosen together by {len(users_of[item] & users_of[int(named[0][1:])])})" in why
    cosine = {u: len(items_of[17] & items_of[u]) / np.sqrt(len(items_of[17]) * len(items_of[u])) for u in range(60) if u != 17}
    assert list(found.nearest_users["cosine"]) == pytest.approx(sorted(cosine.values(), reverse=True)[:10])
    assert found.nearest_users["chose"].str.len().max() > 0


def test_a_user_without_history_is_ranked_by_features_and_told_so(toy_catalogue, toy_log):
    found = explain(trained("neumf", toy_catalogue, toy_log), toy_log, "u3", k=2)
    assert set(found.recommendations["why"]) == {"the user has no history: what users with such features are expected to choose"}
    stranger = explain(trained("neumf", toy_catalogue, toy_log.take(toy_log.users != 1)), toy_log, "u1", k=2)
    assert set(stranger.recommendations["why"]) == {
        "neumf did not learn from this user: what users with such features are expected to choose"
    }


@pytest.mark.parametrize("name", ["ease", "neumf", "user_knn"])
def test_a_user_without_history_gets_popular_items_and_is_told_so(name, toy_catalogue, toy_log):
    options = {"features": "none"} if name == "neumf" else {}
    found = explain(trained(name, toy_catalogue, toy_log, **options), toy_log, "u3", k=2)
    assert list(found.recommendations["item_id"]) == ["i0", "i1"]  # of the four that two users chose, the first ones
    assert set(found.recommendations["why"]) == {"popular: the user has no history"}
    assert len(found.history) == 0 and len(found.nearest_users) == 0
    assert list(found.nearest_users.columns) == ["user_id", "n_shared", "cosine", "chose"]


def test_a_model_that_cannot_score_a_user_with_history_is_named(toy_catalogue, toy_log):
    model = trained("neumf", toy_catalogue, toy_log.take(toy_log.users != 1), features="none")  # u1 is a stranger to it
    found = explain(model, toy_log, "u1", k=2)
    assert set(found.recommendations["why"]) == {"popular: neumf cannot tell the items apart for this user"}


def test_who_has_seen_almost_everything_gets_what_is_left(toy_catalogue, toy_log):
    assert list(explain(Fixed.build(toy_catalogue, [0, 0, 0, 3, 2, 1]), toy_log, "u2", k=6).recommendations["item_id"]) == ["i4", "i1"]


def test_an_unknown_user_is_asked_back(toy_catalogue, toy_log):
    model = Fixed.build(toy_catalogue, [0, 0, 0, 3, 2, 1])
    with pytest.raises(ValueError, match=r"no user 'U 1'; did you mean 'u1'\? There are 4, the first is u0"):
        explain(model, toy_log, "U 1")
    with pytest.raises(ValueError, match=r"k must lie in 1\.\.6"):
        explain(model, toy_log, "u1", k=7)


def test_a_number_may_come_as_text(toy_log):
    catalogue = Catalogue(IdMap([11, 12, 13, 14], "user"), IdMap(range(100, 106), "item"), FeatureTable(4), FeatureTable(6))
    model = Fixed.build(catalogue, [0, 0, 0, 3, 2, 1])
    one, other = explain(model, toy_log, 11, k=3), explain(model, toy_log, " 11 ", k=3)
    assert one.user_id == other.user_id == 11 and one.recommendations.equals(other.recommendations)
    assert set(one.recommendations["features"]) == {""} and one.about == ""
    with pytest.raises(ValueError, match="no user 'x'"):
        explain(model, toy_log, "x")


def test_items_are_named_where_there_are_names(toy_catalogue, toy_log):
    model = Fixed.build(toy_catalogue, [0, 0, 0, 3, 2, 1])
    found = explain(model, toy_log, "u0", k=1, item_names={"i3": "Toy Story", "i0": "Heat"})
    assert list(found.recommendations.columns[:4]) == ["rank", "item_id", "name", "score"]
    assert list(found.recommendations["name"]) == ["Toy Story"] and list(found.history["name"]) == ["Heat", "i1", "i2"]
    assert found.recommendations["why"][0] == "Heat (chosen together by 1), i1 (1), i2 (1)"
    assert explain(model, toy_log, "u0", k=1, item_names=pd.Series({"i3": "X"})).recommendations["name"][0] == "X"


def test_features_in_words():
    ids = IdMap(["a", "b", "c"], "item")
    table = FeatureTable(
        3,
        [
            categorical("학위", ids, ["a", "b"], ["석사", None]),
            numeric("경력", ids, ["a", "b"], [36, 2.25]),
            multi_label("키워드", ids, ["a", "a", "b"], ["파이썬", "통계", "<b>"]),
        ],
    )
    assert described(table, [0]) == ["학위: 석사 · 경력: 36 · 키워드: 통계, 파이썬"]
    assert described(table, [2, 1, 1]) == ["", "경력: 2.25 · 키워드: <b>", "경력: 2.25 · 키워드: <b>"]
    assert described(FeatureTable(3), [0, 1]) == ["", ""] and described(table, []) == []


def test_a_long_feature_is_cut():
    ids = IdMap(["a"], "item")
    table = FeatureTable(1, [multi_label("w", ids, ["a"] * 50, [f"word{n:02d}" for n in range(50)])])
    (text,) = described(table, [0])
    assert text.startswith("w: word00, word01") and text.endswith("…") and len(text) <= FEATURE_LENGTH


def test_titles_are_found_where_a_table_has_them(toy_catalogue, toy_log):
    def names(**tables):
        return item_names(Dataset(toy_log, toy_catalogue, tables, None, "toy"))

    movies = pd.DataFrame({"item_id": [1, 2, 2, 3], "title": ["Heat (1995)", "Alien", "again", None]})
    assert names(ratings=pd.DataFrame({"item_id": [1]}), movies=movies) == {1: "Heat (1995)", 2: "Alien"}
    assert names(titles=pd.DataFrame({"item": [7], "title": ["기생충"]})) == {7: "기생충"}
    assert names(recruitment=pd.DataFrame({"recruitment_seq": ["R1"], "title": ["x"]})) == {} == names()
