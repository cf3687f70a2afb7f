"""EASE against the formula of the paper, in float64."""

import numpy as np
import pytest
import torch

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable, Numeric, Vectors
from recsys_lib.data.interactions import Interactions
from recsys_lib.models import build_model
from recsys_lib.models.ease import gram_matrix
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import catalogue_of
from tests.models.ridges import best_strength, plain_ridge, refitted_without_each, side_vectors


def fitted(catalogue, log, **options):
    model = build_model("ease", catalogue, seed=0, **options)
    Trainer(train_config("ease", device="cpu")).repeat(model, log, [])
    return model


def plain_weights(log, regularisation):
    """B = I - P / diag(P) by columns, P = (XᵀX + λ I)⁻¹."""
    x = np.zeros((log.n_users, log.n_items))
    x[log.users, log.items] = 1
    p = np.linalg.inv(x.T @ x + regularisation * np.eye(log.n_items))
    weights = np.eye(log.n_items) - p / np.diag(p)  # (n_items, n_items); the division goes by columns
    return x, weights


@pytest.mark.parametrize("regularisation", [0.5, 10.0, 300.0])
def test_scores_are_the_formula(market_catalogue, market_log, regularisation):
    model = fitted(market_catalogue, market_log, regularisation=regularisation)
    x, weights = plain_weights(market_log, regularisation)
    assert np.allclose(np.diag(weights), 0)
    assert model.weights.numpy() == pytest.approx(weights, rel=1e-3, abs=1e-5)
    assert model.score(torch.arange(60), market_log.history()).numpy() == pytest.approx(x @ weights, rel=1e-3, abs=1e-5)


def test_an_item_never_explains_itself(market_catalogue, market_log):
    assert fitted(market_catalogue, market_log, regularisation=1.0).weights.diagonal().eq(0).all()


def test_weak_regularisation_is_solved_in_double_precision(market_catalogue, market_log):
    """Fewer users than items: the smallest eigenvalue is λ itself, and in float32 the inverse would be off by percents."""
    log = market_log.take(market_log.users < 20)
    model = fitted(market_catalogue, log, regularisation=1e-4)  # trace / λ = 120 / 0.0001, far above 1e4
    _, weights = plain_weights(log, 1e-4)
    assert model.weights.dtype == torch.float32
    assert model.weights.numpy() == pytest.approx(weights, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("n_items", [40, 900])  # a dense product, and a sparse one
def test_weights_of_users_and_dropout_are_the_written_out_formula(market_log, n_items):
    some = market_log.take((market_log.users % 3 > 0) | (np.arange(len(market_log)) % 2 > 0))
    log = Interactions(some.users, some.items, 60, n_items)
    assert len(set(log.user_counts.tolist())) > 2
    x = log.user_items().toarray().astype(float)
    users = (log.user_counts / log.user_counts[log.user_counts > 0].mean()) ** -0.7
    gram = sum(w * np.outer(row, row) for w, row in zip(users, x))
    p = np.linalg.inv(gram + 0.25 / 0.75 * np.diag(np.diag(gram)) + 5.0 * np.eye(n_items))
    weights = np.eye(n_items) - p / np.diag(p)
    model = fitted(catalogue_of(60, n_items), log, regularisation=5.0, dropout=0.25, user_power=0.7)
    assert model.weights.numpy() == pytest.approx(weights, rel=1e-3, abs=1e-5)
    plain = fitted(catalogue_of(60, n_items), log, regularisation=5.0)
    assert torch.equal(plain.weights, fitted(catalogue_of(60, n_items), log, regularisation=5.0, dropout=0.0, user_power=0.0).weights)
    assert not np.allclose(plain.weights.numpy(), weights, atol=1e-3)


def test_dropout_is_the_expectation_of_fits_to_histories_with_holes(market_log):
    """E[X̃ᵀX̃] and E[X̃ᵀX] of inputs that keep each cell with probability 1 - p, the targets whole: the fit is the same up to a scale of rows."""
    log = market_log.take(market_log.items < 5)
    x, p = log.user_items().toarray()[:, :5].astype(float), 0.4
    both, own = (1 - p) ** 2 * (x.T @ x), (1 - p) * np.diag((x.T @ x).diagonal())
    noisy = both - np.diag(both.diagonal()) + own  # E[X̃ᵀX̃]
    model = fitted(catalogue_of(60, 40), log, regularisation=1e-3, dropout=p)
    for item in range(5):  # column by column: the best weights of the other items
        others = [other for other in range(5) if other != item]
        wanted = np.linalg.solve(noisy[np.ix_(others, others)], (1 - p) * (x.T @ x)[others, item])
        assert model.weights.numpy()[others, item] == pytest.approx((1 - p) * wanted, rel=1e-2, abs=1e-3)


@pytest.mark.parametrize(
    "options, message",
    [({"dropout": 1.0}, r"dropout must lie in \[0, 1\); got 1.0"), ({"user_power": -0.5}, r"user_power must lie in \[0, 1\]; got -0.5")],
)
def test_weights_and_dropout_out_of_range_are_refused(market_catalogue, options, message):
    with pytest.raises(ValueError, match=message):
        build_model("ease", market_catalogue, seed=0, **options)


@pytest.mark.parametrize("n_items, way", [(40, "dense"), (900, "sparse")])
def test_the_sparse_and_the_dense_way_to_the_gram_matrix_are_exact(market_log, monkeypatch, n_items, way):
    """2000 · Σ_u |u|² = 2000 · 60 · 36 = 4.3 million against n_users · n_items² = 60 · 40² or 60 · 900²."""
    log = Interactions(market_log.users, market_log.items, 60, n_items)
    assert (2000 * 60 * 36 < 60 * n_items**2) == (way == "sparse")
    dense_products = []
    original = torch.Tensor.addmm_
    monkeypatch.setattr(torch.Tensor, "addmm_", lambda self, *given: dense_products.append(1) or original(self, *given))
    gram = gram_matrix(log, torch.device("cpu"))
    assert bool(dense_products) == (way == "dense")
    x = log.user_items().toarray()
    assert gram.dtype == torch.float32 and np.array_equal(gram.numpy(), x.T @ x)


def test_the_history_asked_with_may_be_new(market_catalogue, market_log):
    """Fitted on some users, asked for a user who was not among them: x_u B with the history of now."""
    model = fitted(market_catalogue, market_log.take(market_log.users < 50), regularisation=5.0)
    x, _ = plain_weights(market_log, 1.0)
    asked = torch.tensor([55, 2])
    expected = x[[55, 2]] @ model.weights.double().numpy()
    assert model.score(asked, market_log.history().take(asked)).numpy() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_user_without_a_history_cannot_be_scored(toy_catalogue, toy_log):
    model = fitted(toy_catalogue, toy_log)
    assert model.can_score(torch.arange(4), toy_log.history()).tolist() == [True, True, True, False]


# ---- side information

EVERYBODY = torch.arange(60)
NEW_USERS, NEW_ITEMS = np.array([54, 55, 56, 57, 58, 59]), np.array([9, 19, 38, 39])


@pytest.fixture
def some(market_log):
    """Six users without rows, and four items that nobody chose."""
    return market_log.take((market_log.users < 54) & ~np.isin(market_log.items, NEW_ITEMS))


def scores_of(model, log, users=EVERYBODY):
    return model.score(users, log.history().take(users))


def stacked_weights(log, features, weight, regularisation):
    """The formula with each column of the features as one more user; float64."""
    x = log.user_items().toarray().astype(np.float64)
    gram = x.T @ x
    p = np.linalg.inv(gram + weight * np.diag(gram).mean() * features @ features.T + regularisation * np.eye(log.n_items))
    return np.eye(log.n_items) - p / np.diag(p)


@pytest.mark.parametrize("chosen", ["item", "all", ["keywords"]])
@pytest.mark.parametrize("weight", [0.1, 3.0])
def test_features_of_items_are_further_rows_of_the_matrix(market_catalogue, market_log, chosen, weight):
    model = fitted(market_catalogue, market_log, regularisation=5.0, features=chosen, feature_weight=weight)
    expected = stacked_weights(market_log, side_vectors(market_catalogue.item_features, 256), weight, 5.0)
    assert model.weights.numpy() == pytest.approx(expected, rel=1e-3, abs=1e-5)
    _, plain = plain_weights(market_log, 5.0)
    assert np.abs(expected - plain).max() > 0.01
    assert model.weights.diagonal().eq(0).all()


def test_known_users_keep_every_bit_of_known_items_with_features_of_users_and_with_a_weight_of_zero(market_catalogue, some):
    plain = fitted(market_catalogue, some, regularisation=5.0)
    known = torch.from_numpy(some.item_counts > 0)
    by_users = fitted(market_catalogue, some, regularisation=5.0, features="user")
    assert torch.equal(scores_of(by_users, some), scores_of(plain, some))
    unweighed = fitted(market_catalogue, some, regularisation=5.0, features="all", feature_weight=0.0)
    assert torch.equal(scores_of(unweighed, some)[:, known], scores_of(plain, some)[:, known])
    assert not torch.equal(scores_of(unweighed, some), scores_of(plain, some)), "new items have scores now"
    assert scores_of(plain, some)[:, NEW_ITEMS].eq(0).all()


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_the_column_of_a_new_item_comes_from_a_ridge_over_those_of_known_items(market_catalogue, some, weight):
    model = fitted(market_catalogue, some, regularisation=5.0, features="item", feature_weight=weight)
    known = some.item_counts > 0
    assert np.flatnonzero(~known).tolist() == NEW_ITEMS.tolist()
    features = side_vectors(market_catalogue.item_features, 256)
    columns = stacked_weights(some, features, weight, 5.0).T  # a row an item: what its column says
    x, y = features[known], columns[known]
    strength = best_strength(x, y)
    mapped, left_out = plain_ridge(x, y, strength)(features[~known]), refitted_without_each(x, y, strength)
    # how far left-out items are misjudged where they would reach a user's first 20 places
    learned_sum = mapped_sum = 0.0
    for row in some.user_items().toarray()[:54]:
        seen, learned, guess = row[known].astype(bool), row @ y.T, row @ left_out.T
        there = ~seen & (guess >= np.sort(learned[~seen])[::-1][19])
        learned_sum, mapped_sum = learned_sum + learned[there].sum(), mapped_sum + guess[there].sum()
    trust = np.clip(learned_sum / mapped_sum, 0, 1)
    assert 0 < trust < 1
    wanted = trust * mapped
    wanted[np.arange(4), NEW_ITEMS] = 0
    assert model.weights[:, NEW_ITEMS].T.numpy() == pytest.approx(wanted, rel=1e-2, abs=1e-5)
    assert model.weights[:, known].T.numpy() == pytest.approx(y, rel=1e-3, abs=1e-5)


def test_a_new_item_does_not_explain_itself_either(market_catalogue, some):
    model = fitted(market_catalogue, some, regularisation=1.0, features="item", feature_weight=3.0)
    assert model.weights[:, NEW_ITEMS].abs().max() > 0 and model.weights.diagonal().eq(0).all()


def test_one_known_item_is_too_few_for_a_map(market_catalogue):
    log = Interactions([0, 1, 2], [7, 7, 7], 60, 40)
    model = fitted(market_catalogue, log, features="item")
    assert scores_of(model, log).isfinite().all()


def test_a_newcomers_scores_are_a_ridge_from_features_to_the_scores_of_known_users(market_catalogue, some):
    model = fitted(market_catalogue, some, regularisation=5.0, features="user")
    features = side_vectors(market_catalogue.user_features, 256)
    expected = some.user_items().toarray() @ plain_weights(some, 5.0)[1]
    x, y = features[:54], expected[:54]
    wanted = plain_ridge(x, y, best_strength(x, y))(features[NEW_USERS])
    assert model.score_newcomers(torch.from_numpy(NEW_USERS)).numpy() == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    assert fitted(market_catalogue, some, features="item").score_newcomers(EVERYBODY) is None


def test_swapped_features_go_through_the_map_and_back_to_the_bit(market_catalogue, some):
    model = fitted(market_catalogue, some, regularisation=5.0, features="all")
    user, item = market_catalogue.user_features, market_catalogue.item_features
    pair = torch.tensor([54, 3])
    degree, career = user["degree"], user["career"]
    rows = np.arange(60)
    rows[[54, 3]] = [3, 54]
    swapped = FeatureTable(60, [type(degree)("degree", degree.codes[rows], degree.labels), Numeric("career", career.values[rows])])
    before = scores_of(model, some)
    model.set_features(user=swapped)  # the map is fitted to the features of before, although nobody has asked for it
    assert torch.equal(scores_of(model, some), before)
    of_swapped = model.score_newcomers(pair)
    model.set_features(user=user)
    assert torch.equal(of_swapped[[1, 0]], model.score_newcomers(pair)) and not torch.equal(of_swapped[0], of_swapped[1])
    of_new = model.score_newcomers(pair)
    assert torch.equal(of_new, fitted(market_catalogue, some, regularisation=5.0, features="all").score_newcomers(pair))
    keywords = item["keywords"]
    nothing = type(keywords)("keywords", np.zeros(41, dtype=np.int64), keywords.codes[:0], keywords.labels)
    model.set_features(item=FeatureTable(40, [nothing]))
    assert not torch.allclose(scores_of(model, some), before)
    assert torch.equal(model.score_newcomers(pair), of_new), "the map of users stays what it is"
    model.set_features(item=item)
    assert torch.equal(scores_of(model, some), before)


def test_tables_that_do_not_fit_change_nothing(market_catalogue, some):
    model = fitted(market_catalogue, some, features="all")
    before, of_new = scores_of(model, some), model.score_newcomers(EVERYBODY)
    user = market_catalogue.user_features
    other = FeatureTable(60, [user["degree"], Numeric("career", np.arange(60, dtype=np.float32))])
    for given in ({"user": other, "item": FeatureTable(40)}, {"user": user.select(["career"])}, {"item": user}):
        with pytest.raises(ValueError, match="the model uses feature|have 60 rows, not 40"):
            model.set_features(**given)
        assert torch.equal(scores_of(model, some), before) and torch.equal(model.score_newcomers(EVERYBODY), of_new)


def test_it_may_be_given_features_before_it_is_fitted(market_catalogue, some):
    model = build_model("ease", market_catalogue, seed=0, features="all")
    model.set_features(user=market_catalogue.user_features, item=market_catalogue.item_features)
    model.prepare(some, torch.Generator())
    assert torch.equal(scores_of(model, some), scores_of(fitted(market_catalogue, some, features="all"), some))


@pytest.mark.parametrize("chosen", ["none", []])
def test_without_features_it_is_the_model_that_it_was(market_catalogue, some, chosen):
    model = fitted(market_catalogue, some, regularisation=5.0, features=chosen)
    assert model.uses_features == frozenset() and model.score_newcomers(EVERYBODY) is None and not model.state_dict()
    assert model.weights.numpy() == pytest.approx(plain_weights(some, 5.0)[1], rel=1e-3, abs=1e-5)


def test_items_and_users_without_a_vector_are_scored(market_catalogue, some):
    rng = np.random.default_rng(0)
    tables = []
    for name, n in (("face", 60), ("poster", 40)):
        values = rng.normal(size=(n, 5)).astype(np.float32)
        values[::3] = np.nan
        tables.append(FeatureTable(n, [Vectors(name, values)]))
    model = fitted(Catalogue(market_catalogue.users, market_catalogue.items, *tables), some, features="all")
    assert model.uses_features == {"face", "poster"}
    assert scores_of(model, some).isfinite().all() and model.score_newcomers(EVERYBODY).isfinite().all()


@pytest.mark.parametrize("weight", [-0.1, float("nan")])
def test_a_weight_below_zero_is_refused(market_catalogue, weight):
    with pytest.raises(ValueError, match="feature_weight must not be negative"):
        build_model("ease", market_catalogue, seed=0, feature_weight=weight)
