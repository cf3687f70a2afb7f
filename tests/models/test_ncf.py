"""GMF, MLP and NeuMF against the plain concatenated forward pass; negatives; features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable, Numeric, Vectors, categorical, multi_label, numeric
from recsys_lib.models import build_model
from recsys_lib.training.checkpoints import load_weights, save_weights
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.models.ridges import best_strength, plain_ridge, side_vectors

FAMILY = ["gmf", "mlp", "neumf"]
ALL_THAT_IT_TAKES = {"gmf": "user", "mlp": "all", "neumf": "all"}


def prepared(name, catalogue, log, **options):
    model = build_model(name, catalogue, seed=3, **options)
    Trainer(train_config(name, device="cpu")).repeat(model, log, [])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4.0)  # as built the parts of a logit are too small to tell apart
    return model.eval()


def plain_scores(model):
    """Every (user, item) pair through the network as it is drawn in the paper: (n_users, n_items)."""
    n_users, n_items = model.catalogue.n_users, model.catalogue.n_items
    users = torch.arange(n_users).repeat_interleave(n_items)
    items = torch.arange(n_items).repeat(n_users)
    joined = []
    if model.has_product:
        joined.append(model.user_factors.weight[users] * model.item_factors.weight[items])
    if model.has_tower:
        user_side = [model.user_embedding.weight[users], model.user_features(users)]
        item_side = [model.item_embedding.weight[items], model.item_features(items)]
        hidden = torch.cat([*user_side, *item_side], 1)
        for layer in model.tower:
            hidden = torch.relu(hidden @ layer.weight.T + layer.bias)
        joined.append(hidden)
    return (torch.cat(joined, 1) @ model.output.weight.T + model.output.bias).view(n_users, n_items)


# ---- scores and loss


@pytest.mark.parametrize("features", ["all", "none", ["career", "keywords"]])
@pytest.mark.parametrize("name", FAMILY)
def test_scores_are_the_plain_forward_pass(market_catalogue, market_log, name, features):
    if name == "gmf":  # it has no tower for features of items
        features = {"all": "user", "none": "none"}.get(str(features), ["career"])
    model = prepared(name, market_catalogue, market_log, features=features, factors=5, embedding_size=6, layers=[12, 7])
    users = torch.tensor([4, 59, 0])
    history = market_log.history().take(users)
    items = torch.tensor([[39, 0], [5, 5], [7, 20]])
    with torch.no_grad():
        plain = plain_scores(model)[users]
        assert torch.allclose(model.score(users, history), plain, rtol=1e-4, atol=1e-5)
        assert torch.allclose(model.score_items(users, history, items), plain.gather(1, items), rtol=1e-4, atol=1e-5)


def test_the_catalogue_scored_in_tiles_is_the_catalogue_scored_at_once(market_catalogue, market_log):
    """2^20 // (700 · 40) = 37 users a tile: 60 users are one full tile and a rest."""
    model = prepared("neumf", market_catalogue, market_log, layers=[700, 3])
    with torch.no_grad():
        scores = model.score(torch.arange(60), market_log.history())
        assert torch.allclose(scores, plain_scores(model), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("batch_size", [30, 1000])  # fewer candidates than items, and more
def test_the_loss_is_the_binary_cross_entropy_of_one_positive_and_n_negatives(market_catalogue, market_log, name, batch_size):
    model = prepared(name, market_catalogue, market_log, negatives_per_positive=3).train()
    batch = next(model.batches(market_log, torch.Generator().manual_seed(0), batch_size=batch_size, epoch=1))
    total, count = model.loss(batch)
    logits = plain_scores(model)[batch.users].gather(1, batch.items)
    expected = F.softplus(-logits[:, 0]).sum() + F.softplus(logits[:, 1:]).sum()  # -log σ(z) and -log(1 - σ(z))
    assert count == batch.items.numel() == len(batch.users) * (1 + 3)
    assert float(total.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_dropout_works_in_the_tower_and_only_while_learning(market_catalogue, market_log):
    model = prepared("mlp", market_catalogue, market_log, dropout=0.5)
    users = torch.arange(60)
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        model.train()
        assert not torch.equal(model.score(users, market_log.history()), model.score(users, market_log.history()))
        model.eval()
        assert torch.allclose(model.score(users, market_log.history()), plain_scores(model), rtol=1e-4, atol=1e-5)


def test_users_without_train_rows_were_never_learned(toy_catalogue, toy_log):
    model = prepared("gmf", toy_catalogue, toy_log)
    users = torch.tensor([3, 0, 2])
    assert model.can_score(users, toy_log.history().take(users)).tolist() == [False, True, True]


# ---- negatives


def one_epoch(model, log, epoch, batch_size=1000):
    batches = list(model.batches(log, torch.Generator().manual_seed(epoch), batch_size=batch_size, epoch=epoch))
    return torch.cat([batch.users for batch in batches]), torch.cat([batch.items for batch in batches])


def rows_of(users, items):
    """The epoch's rows, whatever their order: (user, positive, sorted negatives)."""
    return sorted((user, row[0], *sorted(row[1:])) for user, row in zip(users.tolist(), items.tolist()))


def test_an_epoch_holds_every_train_row_once_with_negatives_that_are_not_in_train(market_catalogue, market_log):
    model = prepared("gmf", market_catalogue, market_log, negatives_per_positive=7)
    users, items = one_epoch(model, market_log, 1, batch_size=100)
    assert items.shape == (360, 8)
    assert np.array_equal(np.sort((users * 40 + items[:, 0]).numpy()), market_log.pair_keys)
    negatives = (users[:, None] * 40 + items[:, 1:]).numpy()
    assert not np.isin(negatives, market_log.pair_keys).any()
    assert len(np.unique(items[:, 1:])) == 40  # and come from the whole catalogue


def test_batch_size_counts_pairs(market_catalogue, market_log):
    model = prepared("gmf", market_catalogue, market_log, negatives_per_positive=4)
    sizes = [len(batch.users) for batch in model.batches(market_log, torch.Generator(), batch_size=100, epoch=1)]
    assert sizes == [100 // 5] * (360 // 20)
    assert len(next(model.batches(market_log, torch.Generator(), batch_size=2, epoch=1)).users) == 1  # never none


@pytest.mark.parametrize("every", [1, 3])
def test_negatives_serve_so_many_epochs(market_catalogue, market_log, every):
    model = prepared("gmf", market_catalogue, market_log, resample_every=every)
    epochs = [rows_of(*one_epoch(model, market_log, epoch)) for epoch in range(1, 8)]
    for number in range(2, 8):
        drawn_anew = (number - 1) % every == 0
        assert (epochs[number - 1] != epochs[number - 2]) == drawn_anew == model.draws_negatives(number)
    assert model.draws_negatives(1)


def test_a_resumed_training_sees_the_negatives_that_it_left(market_catalogue, market_log):
    """Asked for epoch 5 first, as after an interruption: the same rows as when epochs 1 to 4 came before."""
    going, resumed = (prepared("gmf", market_catalogue, market_log, resample_every=3) for _ in range(2))
    for epoch in range(1, 5):
        one_epoch(going, market_log, epoch)
    for left, right in zip(one_epoch(going, market_log, 5), one_epoch(resumed, market_log, 5)):
        assert torch.equal(left, right)


# ---- features


def test_which_features_are_used(market_catalogue):
    used = {"all": {"degree", "career", "keywords"}, "none": set(), ("career",): {"career"}, ("keywords", "degree"): {"keywords", "degree"}}
    for chosen, names in used.items():
        assert build_model("mlp", market_catalogue, seed=0, features=chosen).uses_features == names
    # it has no tower for features of items, and maps newcomers from those of users
    assert build_model("gmf", market_catalogue, seed=0, features="user").uses_features == {"degree", "career"}
    assert build_model("gmf", market_catalogue, seed=0).uses_features == set()
    for chosen in ("item", "all", ["career", "keywords"]):
        with pytest.raises(ValueError, match=r"gmf has no tower to use features of items in \(keywords\)"):
            build_model("gmf", market_catalogue, seed=0, features=chosen)


def test_an_unknown_feature_is_refused_with_those_there_are(market_catalogue):
    message = "no feature 'carer'; did you mean 'career'. There are user features: degree, career; item features: keywords"
    with pytest.raises(ValueError, match=message):
        build_model("neumf", market_catalogue, seed=0, features=["degree", "carer"])


def test_no_features_at_all(market_catalogue, market_log):
    bare = Catalogue(market_catalogue.users, market_catalogue.items, FeatureTable(60), FeatureTable(40))
    model = prepared("neumf", bare, market_log)
    assert model.uses_features == frozenset()
    assert model.tower[0].in_features == 2 * model.config.embedding_size
    with torch.no_grad():
        assert torch.allclose(model.score(torch.arange(60), market_log.history()), plain_scores(model), rtol=1e-4, atol=1e-5)


def test_new_features_that_do_not_fit_are_refused_by_name(market_catalogue, market_log):
    model = prepared("mlp", market_catalogue, market_log)
    users, items = market_catalogue.users, market_catalogue.items
    user, item = market_catalogue.user_features, market_catalogue.item_features
    before = model.score(torch.arange(60), market_log.history())
    other_labels = categorical("degree", users, users.ids[:2], ["b", "phd"])
    cases = [
        ({"user": user.select(["degree"])}, "the model uses feature 'career'; the new table has degree"),
        ({"user": FeatureTable(60, [other_labels, user["career"]])}, "feature 'degree' had 4 labels .* has 3 now"),
        ({"user": FeatureTable(60, [numeric("degree", users, users.ids[:1], [1]), user["career"]])}, "feature 'degree' was Categorical .* is Numeric now"),
        ({"item": FeatureTable(40, [multi_label("keywords", items, items.ids[:1], ["x"])])}, "feature 'keywords' had 3 labels .* has 1 now"),
        ({"item": FeatureTable(40)}, "the model uses feature 'keywords'; the new table has none"),
        ({"item": user}, r"the new features \(degree, career\) have 60 rows, not 40"),
    ]
    for given, message in cases:
        with pytest.raises(ValueError, match=message):
            model.set_features(**given)
    assert torch.equal(model.score(torch.arange(60), market_log.history()), before)


def test_swapped_features_give_what_a_model_built_with_them_gives(market_catalogue, market_log):
    model = prepared("neumf", market_catalogue, market_log)
    model.score(torch.arange(60), market_log.history())  # fills the cache of the item side
    order = np.random.default_rng(0).permutation(40)
    keywords = market_catalogue.item_features["keywords"]
    names = [keywords.labels[code] for row in order for code in keywords.codes[keywords.indptr[row] : keywords.indptr[row + 1]]]
    counts = np.diff(keywords.indptr)[order]
    swapped = multi_label("keywords", market_catalogue.items, market_catalogue.items.ids.repeat(counts), names)
    model.set_features(item=FeatureTable(40, [swapped]))
    with torch.no_grad():
        assert torch.allclose(model.score(torch.arange(60), market_log.history()), plain_scores(model), rtol=1e-4, atol=1e-5)


# ---- newcomers

NEW_USERS = torch.tensor([54, 55, 56, 57, 58, 59])


@pytest.fixture
def some(market_log):
    """Six users without rows."""
    return market_log.take(market_log.users < 54)


@pytest.mark.parametrize(
    "name, features", [(name, features) for name in FAMILY for features in ("user", "all", ["career"]) if (name, features) != ("gmf", "all")]
)
def test_a_newcomers_scores_are_a_ridge_from_features_to_the_chances_of_known_users(market_catalogue, some, name, features):
    model = prepared(name, market_catalogue, some, features=features)
    table = market_catalogue.user_features
    vectors = side_vectors(table if isinstance(features, str) else table.select(features), 256)
    with torch.no_grad():
        chances = torch.sigmoid(plain_scores(model)).double().numpy()
    x, y = vectors[:54], chances[:54]
    wanted = plain_ridge(x, y, best_strength(x, y))(vectors[NEW_USERS])
    found = model.score_newcomers(NEW_USERS)
    # a tower's rough scores are good enough for averages
    assert found.numpy() == pytest.approx(wanted, rel=1e-3 if name == "gmf" else 0.05, abs=1e-5) and not found.requires_grad


@pytest.mark.parametrize("name", FAMILY)
def test_without_features_of_users_there_is_no_map(market_catalogue, some, name):
    choices = ["none", []] if name == "gmf" else ["none", [], "item"]
    for features in choices:
        assert prepared(name, market_catalogue, some, features=features).score_newcomers(NEW_USERS) is None


@pytest.mark.parametrize("name", FAMILY)
def test_swapped_features_go_through_the_map_that_was_fitted_before_and_back_to_the_bit(market_catalogue, some, name):
    model = prepared(name, market_catalogue, some, features=ALL_THAT_IT_TAKES[name])
    table = market_catalogue.user_features
    degree, career = table["degree"], table["career"]
    rows = np.arange(60)
    rows[[54, 3]] = [3, 54]
    swapped = FeatureTable(60, [type(degree)("degree", degree.codes[rows], degree.labels), Numeric("career", career.values[rows])])
    pair = torch.tensor([54, 3])
    history = some.history()
    before = model.score(torch.arange(60), history)
    model.set_features(user=swapped)  # nobody has asked for newcomers yet
    of_swapped, known = model.score_newcomers(pair), model.score(torch.arange(60), history)
    model.set_features(user=table)
    assert torch.equal(of_swapped[[1, 0]], model.score_newcomers(pair)) and not torch.equal(of_swapped[0], of_swapped[1])
    assert torch.equal(model.score_newcomers(pair), prepared(name, market_catalogue, some, features=ALL_THAT_IT_TAKES[name]).score_newcomers(pair))
    assert torch.equal(model.score(torch.arange(60), history), before)
    assert torch.equal(known, before) == (name == "gmf")  # its product has no place for features


@pytest.mark.parametrize("name", ["mlp", "neumf"])  # gmf has one side
def test_a_table_that_does_not_fit_changes_neither_side_nor_the_map(market_catalogue, some, name):
    model = prepared(name, market_catalogue, some, features=ALL_THAT_IT_TAKES[name])
    before, of_new = model.score(torch.arange(60), some.history()), model.score_newcomers(NEW_USERS)
    user = FeatureTable(60, [market_catalogue.user_features["degree"], Numeric("career", np.arange(60, dtype=np.float32))])
    with pytest.raises(ValueError, match="the model uses feature 'keywords'; the new table has none"):
        model.set_features(user=user, item=FeatureTable(40))
    assert torch.equal(model.score(torch.arange(60), some.history()), before)
    assert torch.equal(model.score_newcomers(NEW_USERS), of_new)


@pytest.mark.parametrize("name", FAMILY)
def test_weights_come_back_into_a_new_model_with_its_newcomers(market_catalogue, some, name, tmp_path):
    model = prepared(name, market_catalogue, some, features=ALL_THAT_IT_TAKES[name])
    scores, of_new = model.score(torch.arange(60), some.history()), model.score_newcomers(NEW_USERS)
    save_weights(tmp_path / "w.safetensors", model, epoch=1)
    fresh = build_model(name, market_catalogue, seed=8, features=ALL_THAT_IT_TAKES[name])
    fresh.prepare(some, torch.Generator())
    fresh.eval()
    fresh.score_newcomers(NEW_USERS)  # what was made of the old weights must not survive the new ones
    assert not torch.equal(fresh.score(torch.arange(60), some.history()), scores)
    load_weights(tmp_path / "w.safetensors", fresh)
    assert torch.equal(fresh.score(torch.arange(60), some.history()), scores)
    assert torch.equal(fresh.score_newcomers(NEW_USERS), of_new)


def test_the_weights_without_features_are_those_that_there_were(market_catalogue):
    embeddings = {"gmf": ["user_factors", "item_factors"], "mlp": ["user_embedding", "item_embedding"]}
    for name, parts in embeddings.items():
        keys = {f"{part}.weight" for part in parts} | {"output.weight", "output.bias"}
        if name == "mlp":
            keys |= {f"{side}_features.categories.weight" for side in ("user", "item")}
            keys |= {f"tower.{place}.{kind}" for place in range(3) for kind in ("weight", "bias")}
        assert set(build_model(name, market_catalogue, seed=0, features="none").state_dict()) == keys


# ---- scales and vectors


def test_numbers_come_into_the_tower_on_the_scale_that_was_asked_for(market_catalogue, some):
    from scipy.stats import norm, rankdata

    career = market_catalogue.user_features["career"].values
    known = ~np.isnan(career)
    logarithm = np.log1p(career[known])
    wanted = {
        "z-score": (career[known] - career[known].mean()) / career[known].std(),
        "quantile": norm.ppf(rankdata(career[known]) / (known.sum() + 1)),
        "log": (logarithm - logarithm.mean()) / logarithm.std(),
    }
    for scale, numbers in wanted.items():
        model = prepared("neumf", market_catalogue, some, numeric_scale=scale, features=["career"])
        columns = model.user_features(torch.arange(60))
        assert columns[known, 0].numpy() == pytest.approx(numbers, abs=1e-4) and columns[~known].tolist() == [[0, 1]]
        with torch.no_grad():
            assert torch.allclose(model.score(torch.arange(60), some.history()), plain_scores(model), rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="numeric_scale must be one of z-score, quantile, log; got 'rank'"):
        build_model("neumf", market_catalogue, seed=0, numeric_scale="rank")


def test_gmf_refuses_vectors_of_items_by_name_and_takes_those_of_users(market_catalogue, some):
    values = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    values[::3] = np.nan
    users, items = FeatureTable(60, [Vectors("face", values)]), FeatureTable(40, [Vectors("poster", values[:40])])
    catalogue = Catalogue(market_catalogue.users, market_catalogue.items, users, items)
    with pytest.raises(ValueError, match=r"gmf has no tower to use features of items in \(poster\); ask for features='user'"):
        build_model("gmf", catalogue, seed=0, features=["poster"])
    for name in FAMILY:
        model = prepared(name, catalogue, some, features=ALL_THAT_IT_TAKES[name])
        assert model.uses_features == ({"face"} if name == "gmf" else {"face", "poster"})
        assert model.score_newcomers(NEW_USERS).isfinite().all()
        with torch.no_grad():
            assert torch.allclose(model.score(torch.arange(60), some.history()), plain_scores(model), rtol=1e-4, atol=1e-5)
