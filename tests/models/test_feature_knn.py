"""Feature kNN: the sums of its docstring written down the slow way, and weights that find what was planted."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import cosine_similarity

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable, categorical, multi_label
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import leave_one_out
from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer


def fitted(catalogue, log, name="feature_knn", **options):
    model = build_model(name, catalogue, seed=0, **options)
    Trainer(train_config(name, device="cpu")).repeat(model, log, [])
    return model


def scores_of(model, log, users):
    users = torch.as_tensor(users)
    return model.score(users, log.history().take(users))


@pytest.fixture
def small():
    """Users a, b, b, a, b and items x, x, y, y, x, y; user 4 and item 5 have no row."""
    users, items = IdMap([f"u{n}" for n in range(5)], "user"), IdMap([f"i{n}" for n in range(6)], "item")
    catalogue = Catalogue(
        users,
        items,
        FeatureTable(5, [categorical("town", users, users.ids, list("abbab"))]),
        FeatureTable(6, [categorical("kind", items, items.ids, list("xxyyxy"))]),
    )
    return catalogue, Interactions([0, 0, 1, 1, 2, 3], [0, 1, 1, 2, 3, 4], 5, 6)


@pytest.fixture(scope="module")
def planted():
    """200 users of 4 markets, items of the same 4: the market stands in one feature of each side, the others are noise."""
    rng = np.random.default_rng(1)
    n_users, n_items = 200, 80
    users, items = IdMap([f"u{n}" for n in range(n_users)], "user"), IdMap([f"i{n}" for n in range(n_items)], "item")
    of_user, of_item = rng.integers(0, 4, n_users), np.arange(n_items) % 4
    noise = {name: rng.integers(0, 4, size) for name, size in (("colour", n_users), ("luck", n_users), ("shape", n_items))}
    catalogue = Catalogue(
        users,
        items,
        FeatureTable(
            n_users,
            [
                categorical("colour", users, users.ids, noise["colour"]),
                multi_label("trade", users, users.ids, of_user),
                categorical("luck", users, users.ids, noise["luck"]),
            ],
        ),
        FeatureTable(
            n_items,
            [categorical("shape", items, items.ids, noise["shape"]), categorical("branch", items, items.ids, of_item)],
        ),
    )
    rows = [
        (u, i) for u in range(180) for i in rng.permutation(np.flatnonzero((of_item == of_user[u]) & (np.arange(80) < 72)))[:3]
    ]
    log = Interactions(*np.array(rows).T, n_users, n_items)
    return catalogue, log, of_user, of_item


# ---- arithmetic


def test_users_are_alike_by_history_and_town_and_items_by_kind(small):
    catalogue, log = small
    model = fitted(catalogue, log, weights=["history=1", "town=0.5", "kind=0.25"], k=0)
    # user 0 has {0, 1} and lives in a: user 1 shares an item of 2 and 2, user 3 the town
    one, three = 1 / 2, 0.5
    voted = np.array([0, one, one, 0, three])
    alike = 0.25 * np.array([2, 2, 0, 0, 2])  # both of his items are of kind x
    known = voted + alike
    new = (known[2] + known[3]) / 2  # item 5 is of kind y: the mean of what items 2 and 3 get
    assert scores_of(model, log, [0])[0].numpy() == pytest.approx([*known, new], rel=1e-5)


def test_a_newcomer_hears_those_of_his_town_and_a_known_user_no_town_that_nobody_voted_from(small):
    catalogue, log = small
    model = fitted(catalogue, log, weights=["town=1", "kind=1"], newcomer_k=0)
    assert model.can_score(torch.arange(5), log.history()).all()
    assert scores_of(model, log, [4])[0].tolist() == pytest.approx([0, 1, 1, 1, 0, 1])  # users 1 and 2
    alone = fitted(catalogue, log, weights=["town=1"], newcomer_k=1)
    assert scores_of(alone, log, [4])[0].tolist() == pytest.approx([0, 1, 1, 0, 0, 0])  # of equals the first


def test_who_chose_nothing_takes_no_voters_place(planted):
    catalogue, log, _, _ = planted
    model = fitted(
        catalogue, log.take(log.users >= 100), weights=["trade=1"], newcomer_k=1
    )  # the first of each trade have no rows
    assert (scores_of(model, log.take(log.users >= 100), range(180, 200)).sum(1) > 2).all()


def test_choosers_are_the_item_neighbours(market_catalogue, market_log):
    model = fitted(market_catalogue, market_log, weights=["choosers=2"], item_k=7)
    by_item = fitted(market_catalogue, market_log, "item_knn", k=7)
    assert torch.allclose(scores_of(model, market_log, range(60)), 2 * scores_of(by_item, market_log, range(60)), rtol=1e-6)


@pytest.mark.parametrize("k", [0, 1, 9])
def test_with_history_alone_it_is_user_knn(market_catalogue, market_log, k):
    model = fitted(market_catalogue, market_log, weights=["history=1"], k=k)
    plain, _ = fitted(market_catalogue, market_log, "user_knn", k=k).votes(torch.arange(60), market_log.history())
    assert torch.allclose(scores_of(model, market_log, range(60)), plain, rtol=1e-5, atol=1e-5)
    assert model.uses_features == frozenset()


def test_the_sum_of_two_cosines_written_down_the_slow_way(market_catalogue, market_log):
    split = leave_one_out(market_log, seed=0)
    x, now = (part.user_items().toarray() for part in (split.train, split.known_before_test))
    degree = np.eye(4)[market_catalogue.user_features["degree"].codes]
    similarity = 2 * cosine_similarity(now, x) + 0.3 * cosine_similarity(degree)
    np.fill_diagonal(similarity, 0)
    order = np.argsort(-similarity, axis=1, kind="stable")
    clear = np.take_along_axis(similarity, order, 1)
    clear = clear[:, 6] - clear[:, 7] > 1e-4  # of those equally near the 7th may be this one or that one
    kept = np.where(similarity >= np.take_along_axis(similarity, order[:, 6:7], 1), similarity, 0)
    model = fitted(market_catalogue, split.train, weights=["history=2", "degree=0.3"], k=7)
    found = scores_of(model, split.known_before_test, range(60)).numpy()  # the history may be longer than train
    assert clear.sum() > 10 and found[clear] == pytest.approx((kept @ x)[clear], rel=1e-4, abs=1e-5)


def test_a_new_item_gets_the_mean_of_its_nearest_and_is_never_above_them(planted):
    catalogue, log, _, of_item = planted
    model = fitted(catalogue, log, weights=["history=1", "branch=1", "shape=0.1"], item_k=0)
    scores = scores_of(model, log, range(180)).numpy()
    shape = catalogue.item_features["shape"].codes
    alike = (of_item[72:, None] == of_item[:72]) + 0.1 * (shape[72:, None] == shape[:72])
    assert scores[:, 72:] == pytest.approx(scores[:, :72] @ (alike / alike.sum(1, keepdims=True)).T, rel=1e-4)
    nearest = fitted(catalogue, log, weights=["history=1", "branch=1"], item_k=1)
    first = [np.flatnonzero(of_item[:72] == branch)[0] for branch in of_item[72:]]
    scores = scores_of(nearest, log, range(180))
    assert torch.allclose(scores[:, 72:], scores[:, first], rtol=1e-5)


# ---- weights found


def test_what_is_planted_gets_a_weight_and_noise_gets_none(planted):
    catalogue, log, _, _ = planted
    found = fitted(catalogue, log).view_weights
    assert found.index.tolist() == ["history", "colour", "trade", "luck", "choosers", "shape", "branch"]
    assert found["side"].tolist() == ["user"] * 4 + ["item"] * 3
    assert found.loc["history", "known"] == 1 and math.isnan(found.loc["history", "newcomers"])
    assert found.loc["trade", "known"] > 0 and found.loc["trade", "newcomers"] == 1
    assert found.loc["branch", "newcomers"] == 1
    assert (found.loc[["colour", "luck", "shape"], ["known", "newcomers"]] == 0).to_numpy().all()


def test_newcomers_and_new_items_are_ranked_by_what_was_found(planted):
    catalogue, log, of_user, of_item = planted
    model = fitted(catalogue, log)
    newcomers = np.arange(180, 200)
    assert model.can_score(torch.from_numpy(newcomers), log.history().take(torch.from_numpy(newcomers))).all()
    scores = scores_of(model, log, newcomers).numpy()
    assert (of_item[scores.argmax(1)] == of_user[newcomers]).all()
    assert (of_item[72 + scores[:, 72:].argmax(1)] == of_user[newcomers]).all()


def test_noise_alone_leaves_the_newcomers_to_popularity(planted):
    catalogue, log, _, _ = planted
    model = fitted(catalogue, log, features=["colour", "luck", "shape"])
    assert model.uses_features == frozenset()
    assert not model.can_score(torch.arange(180, 200), log.history().take(torch.arange(180, 200))).any()
    assert build_model("feature_knn", catalogue, seed=0, features=["colour"]).uses_features == {"colour"}  # not known yet


def test_the_same_generator_finds_the_same_weights_and_leaves_the_whole_of_train_behind(planted):
    catalogue, log, _, _ = planted
    one, other = fitted(catalogue, log), fitted(catalogue, log)
    assert one.view_weights.equals(other.view_weights)
    given = [f"{view}={weight}" for view, weight in one.view_weights["known"].items()]
    explicit = fitted(catalogue, log, weights=given)
    explicit._new = one._new
    explicit._fit_features()
    assert torch.equal(scores_of(one, log, range(200)), scores_of(explicit, log, range(200)))


# ---- features that change


def shuffled(table, *names):
    order = np.random.default_rng(3).permutation(table.n_rows)
    features = []
    for feature in table:
        if feature.name in names:
            assert not hasattr(feature, "indptr")
            feature = type(feature)(feature.name, feature.codes[order], feature.labels)
        features.append(feature)
    return FeatureTable(table.n_rows, features)


def test_an_unused_view_changes_nothing_and_a_used_one_comes_back_to_the_bit(planted):
    catalogue, log, _, _ = planted
    model = fitted(catalogue, log)
    assert model.uses_features == {"trade", "branch"}
    before = scores_of(model, log, range(200))
    model.set_features(user=shuffled(catalogue.user_features, "colour", "luck"), item=shuffled(catalogue.item_features, "shape"))
    assert torch.equal(scores_of(model, log, range(200)), before)
    weights = model.view_weights
    model.set_features(item=shuffled(catalogue.item_features, "branch"))
    assert not torch.allclose(scores_of(model, log, range(200)), before)
    assert model.view_weights.equals(weights)
    model.set_features(user=catalogue.user_features, item=catalogue.item_features)
    assert torch.equal(scores_of(model, log, range(200)), before)


# ---- errors


@pytest.mark.parametrize(
    "options, message",
    [
        ({"features": ["twon"]}, r"no feature 'twon'; did you mean 'town'\? There are user features: town; item features: kind"),
        ({"features": "towns"}, r"features must be 'all', 'none', 'user', 'item' or a list of names; got 'towns'"),
        ({"weights": ["history=1", "twon=1"]}, r"no view 'twon'; did you mean 'town'\? There are: history, town, choosers, kind"),
        ({"features": "item", "weights": ["town=1"]}, r"no view 'town'. There are: history, choosers, kind"),
        ({"weights": ["town"]}, r"weights must be 'auto' or a list of view=number.*got 'town'"),
        ({"weights": "automatic"}, r"weights must be 'auto' .*got 'automatic'"),
        ({"weights": ["town=-1"]}, r"no number below 0; got 'town=-1'"),
        ({"weights": ["town=nan"]}, r"no number below 0; got 'town=nan'"),
        ({"features": ["town", "kind"], "weights": ["history=1", "town=1"]}, r"have no weight and would not be used: kind.*'kind=0.1'"),
        ({"features": "user", "weights": ["history=1", "town=0"]}, r"have no weight and would not be used: town"),
        ({"newcomer_k": -1}, r"must be 0 \(all neighbours\) or more; got -1"),
    ],
)
def test_a_wrong_option_says_what_was_wanted(small, options, message):
    with pytest.raises(ValueError, match=message):
        build_model("feature_knn", small[0], seed=0, **options)


def test_weights_are_asked_for_after_prepare(small):
    with pytest.raises(ValueError, match="found by prepare; fit it first"):
        build_model("feature_knn", small[0], seed=0).view_weights
