import numpy as np
import pytest
import torch

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.native import compiled
from recsys_lib.data.top_k import _SOURCE
from recsys_lib.evaluation import ranking
from recsys_lib.evaluation.ranking import rank, rank_candidates, recommend, top_k
from recsys_lib.models.base import Recommender
from recsys_lib.models.gmf import GMF
from tests.conftest import catalogue_of, markets_of


class Fixed(Recommender):
    """Gives the scores it was made with."""

    name = "fixed"
    needs_training = False

    def __init__(self, catalogue, scores, cannot=()):
        super().__init__(catalogue, None)
        self.scores, self.cannot = torch.as_tensor(scores, dtype=torch.float32), torch.tensor(list(cannot), dtype=torch.long)
        self.trained_on = np.array([], dtype=np.int64)

    def score(self, users, history):
        assert len(users) == len(history)
        return self.scores[users].clone()

    def can_score(self, users, history):
        return ~torch.isin(users, self.cannot)


def slow_top_k(row, k):
    return sorted(range(len(row)), key=lambda item: (-row[item], item))[:k]


class Vectors(Fixed):
    """Its scores as products: of whole numbers, so that every way to add them up gives the same."""

    def __init__(self, catalogue, rng, cannot=()):
        vectors = (rng.integers(-9, 10, (n, 5)).astype("float32") for n in (catalogue.n_users, catalogue.n_items))
        self.__dict__["rows"], self.__dict__["columns"] = map(torch.from_numpy, vectors)
        super().__init__(catalogue, self.rows @ self.columns.T, cannot)

    def item_vectors(self):
        return self.columns, torch.zeros(len(self.columns))

    def user_vectors(self, users, history):
        assert len(users) == len(history)
        return self.rows[users]


@pytest.mark.parametrize("k", [1, 7, 40])
def test_a_product_is_ranked_as_its_scores_are(market_catalogue, market_log, k, monkeypatch):
    model = Vectors(market_catalogue, np.random.default_rng(0), cannot=[4, 58])
    model.rows[9] = 0.0  # everything the same: popularity
    model.scores[9] = 0.0
    users = torch.from_numpy(np.random.default_rng(1).permutation(60))
    monkeypatch.setattr(ranking, "_PRODUCT_BLOCK", 16)
    if compiled(_SOURCE) is not None:
        with monkeypatch.context() as patch:
            patch.setattr(Vectors, "score", None)  # nobody's scores are asked for
            products = rank(model, users, history=market_log, seen=market_log, k=k)
    else:
        products = rank(model, users, history=market_log, seen=market_log, k=k)
    monkeypatch.setattr(Vectors, "item_vectors", lambda self: None)
    scores = rank(model, users, history=market_log, seen=market_log, k=k)
    for name in ("items", "scores", "fallback"):
        assert torch.equal(getattr(products, name), getattr(scores, name))
    assert products.fallback.sum() == 3


def test_equal_items_are_flat_or_tied_by_index_whoever_else_is_asked(market_catalogue, market_log):
    """A product's rounding may depend on what is multiplied beside it; then equal items would not be equal."""
    generator = torch.Generator().manual_seed(0)
    model = Vectors(market_catalogue, np.random.default_rng(0))
    model.rows = torch.randn(60, 200, generator=generator)
    model.columns = torch.randn(1, 200, generator=generator).repeat(40, 1)
    alone = [rank(model, torch.tensor([user]), history=market_log, seen=market_log, k=5) for user in range(60)]
    if compiled(_SOURCE) is not None:
        assert all(bool(found.fallback) for found in alone)
    model.columns[20:] = torch.randn(20, 200, generator=generator)
    together = rank(model, torch.arange(60), history=market_log, seen=market_log, k=5)
    alone = [rank(model, torch.tensor([user]), history=market_log, seen=market_log, k=5).items[0] for user in range(60)]
    if compiled(_SOURCE) is not None:
        assert torch.equal(torch.stack(alone), together.items)


def test_a_score_of_its_own_is_what_counts_for_a_model_that_inherits_vectors(market_catalogue, market_log):
    class Plus(GMF):
        name = "plus"

        def score(self, users, history):
            return super().score(users, history) + 100 * torch.arange(40.0)

    model = Plus(market_catalogue, GMF.Config())
    model.prepare(market_log, torch.Generator())
    found = rank(model, torch.arange(60), history=market_log, seen=market_log, k=3)
    assert (found.items[:, 0] > 30).all() and (found.items.diff(dim=1) < 0).all()


@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_top_k_breaks_ties_by_index(levels):
    scores = torch.from_numpy(np.random.default_rng(levels).integers(0, levels, (50, 30)).astype("float32")) - levels / 2
    scores[3] = -torch.inf  # a row in which nothing is left
    for k in (1, 5, 29, 30):
        values, indexes = top_k(scores, k)
        assert indexes.tolist() == [slow_top_k(row, k) for row in scores.tolist()]
        assert torch.equal(values, scores.gather(1, indexes))


def test_seen_items_never_return_even_when_every_score_is_negative(toy_catalogue, toy_log):
    scores = -1.0 - torch.arange(24).view(4, 6)
    found = rank(Fixed(toy_catalogue, scores), torch.arange(4), history=toy_log, seen=toy_log, k=6)
    assert found.items.tolist() == [
        [3, 4, 5, -1, -1, -1],
        [0, 2, 4, 5, -1, -1],
        [1, 4, -1, -1, -1, -1],
        [0, 1, 2, 3, 4, 5],
    ]
    assert torch.equal(found.scores == -torch.inf, found.items == -1)


def test_the_block_size_changes_nothing(toy_catalogue, toy_log, monkeypatch):
    model = Fixed(toy_catalogue, torch.rand(4, 6, generator=torch.Generator().manual_seed(0)), cannot=[1])
    users = torch.tensor([2, 0, 3, 1])
    whole = rank(model, users, history=toy_log, seen=toy_log, k=3)
    original = Fixed.score

    def short_of_memory(self, users, history):
        if len(users) > 1:
            raise torch.OutOfMemoryError("pretended")
        return original(self, users, history)

    monkeypatch.setattr(Fixed, "score", short_of_memory)
    halved = rank(model, users, history=toy_log, seen=toy_log, k=3)
    for name in ("items", "scores", "fallback"):
        assert torch.equal(getattr(whole, name), getattr(halved, name))


def test_users_that_the_model_cannot_score_get_what_is_popular(toy_catalogue, toy_log):
    model = Fixed(toy_catalogue, torch.arange(24.0).view(4, 6), cannot=[1, 3])
    found = rank(model, torch.arange(4), history=toy_log, seen=toy_log, k=3)
    assert found.fallback.tolist() == [False, True, False, True]
    # counts of items 0..5 are 2, 2, 2, 2, 0, 1; user 1 has seen 1 and 3, user 3 nothing; ties by index
    assert found.items[1].tolist() == [0, 2, 5]
    assert found.items[3].tolist() == [0, 1, 2]


def test_users_about_whom_the_model_says_nothing_get_what_is_popular_too(toy_catalogue, toy_log):
    # One and the same score for everything would otherwise be a ranking by item index, and look like a recommendation.
    scores = torch.tensor([[0.0] * 6, [1, 2, 3, 4, 5, 6], [2.0] * 6, [0, 0, 0, 0, 0, 1]])
    for k in (2, 6):
        found = rank(Fixed(toy_catalogue, scores), torch.arange(4), history=toy_log, seen=toy_log, k=k)
        assert found.fallback.tolist() == [True, False, True, False]
        # counts of items 0..5 are 2, 2, 2, 2, 0, 1; user 0 has seen 0, 1, 2; user 2 has seen 0, 2, 3, 5
        assert found.items[0, :2].tolist() == [3, 5] and found.items[2, :2].tolist() == [1, 4]


def test_a_nan_behind_tied_scores_is_still_seen(toy_catalogue, toy_log):
    scores = torch.tensor([[0.0, 0, 0, torch.nan, 1, 1]] * 4)
    with pytest.raises(ValueError, match="gives NaN scores"):
        rank(Fixed(toy_catalogue, scores), torch.tensor([0]), history=toy_log, seen=toy_log, k=1)


def test_nan_scores_are_an_error_that_names_the_model(toy_catalogue, toy_log):
    scores = torch.zeros(4, 6)
    scores[2, 4] = torch.nan
    with pytest.raises(ValueError, match="fixed gives NaN scores"):
        rank(Fixed(toy_catalogue, scores), torch.arange(4), history=toy_log, seen=toy_log, k=2)


def test_recommend_speaks_in_external_ids_and_in_the_order_asked(toy_catalogue, toy_log):
    frame = recommend(Fixed(toy_catalogue, torch.arange(24.0).view(4, 6)), toy_log, users=np.array([3, 1]), k=2)
    assert frame["user_id"].tolist() == ["u3", "u3", "u1", "u1"]
    assert frame["item_id"].tolist() == ["i5", "i4", "i5", "i4"]
    assert frame["rank"].tolist() == [1, 2, 1, 2]
    assert frame["score"].tolist() == [23.0, 22.0, 11.0, 10.0]
    assert frame.attrs["n_fallback"] == 0


def test_recommend_says_who_has_too_little_left(toy_catalogue, toy_log):
    with pytest.raises(ValueError, match="user 'u2' has seen all but 2 of 6 items; 3 unseen ones were asked for"):
        recommend(Fixed(toy_catalogue, torch.zeros(4, 6)), toy_log, users=np.arange(4), k=3)


def test_blocks_cover_every_user_of_a_large_catalogue(monkeypatch):
    # 2^22 / 2,000,000 items: two users a block, and a last block of one
    n_items = 2_000_000
    log = Interactions([0, 1, 2, 3, 4], [1, 2, 3, 4, 5], 5, n_items)

    class Shift(Fixed):
        def score(self, users, history):
            assert len(users) <= 2
            scores = torch.zeros(len(users), n_items)
            scores[torch.arange(len(users)), users * 10] = 1.0
            return scores

    class Sizes:
        n_users, n_items = 5, 400_000

    found = rank(Shift(Sizes, torch.zeros(1)), torch.arange(5), history=log, seen=log, k=1)
    assert found.items.flatten().tolist() == [0, 10, 20, 30, 40]
    assert ranking.rank is rank


# ---- candidates by rough scores


class Rough(Fixed):
    """Has rough scores too: the exact ones plus an error."""

    def __init__(self, catalogue, scores, error, cannot=()):
        super().__init__(catalogue, scores, cannot)
        self.rough, self.scored = self.scores + torch.as_tensor(error, dtype=torch.float32), 0

    def score(self, users, history):
        self.scored += len(users)
        return super().score(users, history)

    def score_roughly(self, users, history):
        return self.rough[users].clone()


@pytest.fixture
def many():
    return catalogue_of(30, 900), markets_of(30, 900, 3, 20)


@pytest.mark.parametrize("size", [0.0, 0.001, 0.1, 10.0])
@pytest.mark.parametrize("k", [1, 5, 20])
def test_rough_scores_choose_candidates_and_never_change_a_list(many, size, k):
    catalogue, log = many
    rng = np.random.default_rng(k)
    scores, error = rng.normal(size=(30, 900)), size * rng.normal(size=(30, 900))
    scores[4] = 0.0  # says nothing: popularity
    model = Rough(catalogue, scores, error, cannot=[2])
    asked = {"history": log, "seen": log, "k": k}
    rough, exact = (rank(model, torch.arange(30), **asked, precision=precision) for precision in ("auto", "float32"))
    for name in ("items", "scores", "fallback"):
        assert torch.equal(getattr(rough, name), getattr(exact, name)), name
    assert rough.fallback.nonzero().flatten().tolist() == [2, 4]


def test_small_errors_leave_no_doubt_and_large_ones_do(many):
    catalogue, log = many
    scores = np.random.default_rng(0).normal(size=(30, 900))
    error = np.random.default_rng(1).normal(size=(30, 900))
    for size, wholly_scored in ((1e-4, 0), (3.0, 30)):
        model = Rough(catalogue, scores, size * error)
        # its score_items gathers from score: once for the candidates of every user
        rank(model, torch.arange(30), history=log, seen=log, k=10)
        assert model.scored == 30 + wholly_scored


def test_rough_scores_that_are_no_numbers_are_not_trusted(many):
    catalogue, log = many
    scores = np.random.default_rng(0).normal(size=(30, 900))
    model = Rough(catalogue, scores, np.full((30, 900), np.nan))
    found = rank(model, torch.arange(30), history=log, seen=log, k=10)
    assert torch.equal(found.items, rank(Fixed(catalogue, scores), torch.arange(30), history=log, seen=log, k=10).items)
    diverged = Rough(catalogue, scores * np.nan, np.zeros((30, 900)))
    with pytest.raises(ValueError, match="gives NaN scores"):
        rank(diverged, torch.arange(30), history=log, seen=log, k=10)


def test_a_user_who_has_seen_nearly_all_has_no_doubt_left(many):
    catalogue, _ = many
    users, items = np.repeat([0, 1], 895), np.tile(np.arange(895), 2)
    log = Interactions(users, items, 30, 900)
    model = Rough(catalogue, np.random.default_rng(0).normal(size=(30, 900)), 0.01)
    found = rank(model, torch.arange(3), history=log, seen=log, k=7)
    assert sorted(found.items[0].tolist()) == [-1, -1, 895, 896, 897, 898, 899]


def test_an_unknown_precision_is_refused(toy_catalogue, toy_log):
    with pytest.raises(ValueError, match="precision must be one of auto, float32; got 'bf16'"):
        rank(Fixed(toy_catalogue, torch.zeros(4, 6)), torch.arange(4), history=toy_log, seen=toy_log, k=3, precision="bf16")


def test_a_cpu_without_memory_halves_the_block_too(toy_catalogue, toy_log, monkeypatch):
    model = Fixed(toy_catalogue, torch.rand(4, 6, generator=torch.Generator().manual_seed(0)))
    whole = rank(model, torch.arange(4), history=toy_log, seen=toy_log, k=3)
    original = Fixed.score

    def short_of_memory(self, users, history):
        if len(users) > 1:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return original(self, users, history)

    monkeypatch.setattr(Fixed, "score", short_of_memory)
    assert torch.equal(whole.items, rank(model, torch.arange(4), history=toy_log, seen=toy_log, k=3).items)
    monkeypatch.setattr(Fixed, "score", lambda *_: (_ for _ in ()).throw(RuntimeError("another error")))
    with pytest.raises(RuntimeError, match="another error"):
        rank(model, torch.arange(4), history=toy_log, seen=toy_log, k=3)


# ---- newcomers: ranked by score_newcomers whichever way the others go

NEW = [4, 17, 29]  # 4 and 17 have seen something that history does not hold; 29 is a newcomer to whom nothing is hidden


class WithNewcomers(Fixed):
    """Scores newcomers from a table of their own, and is never asked for others by it."""

    def __init__(self, catalogue, scores, cannot, of_newcomers):
        super().__init__(catalogue, scores, cannot)
        self.of_newcomers = torch.as_tensor(of_newcomers, dtype=torch.float32)

    def score_newcomers(self, users):
        assert torch.isin(users, self.cannot).all()
        return self.of_newcomers[users].clone()


class ByProduct(WithNewcomers):
    def __init__(self, catalogue, rng, cannot, of_newcomers):
        rows, columns = (torch.from_numpy(rng.integers(-9, 10, (n, 5)).astype("float32")) for n in (catalogue.n_users, catalogue.n_items))
        super().__init__(catalogue, rows @ columns.T, cannot, of_newcomers)
        self.rows, self.columns = rows, columns

    def item_vectors(self):
        return self.columns, torch.zeros(len(self.columns))

    def user_vectors(self, users, history):
        return self.rows[users]


class ByRoughScores(WithNewcomers):
    rough = 0

    def score_roughly(self, users, history):
        self.rough += 1
        return self.scores[users] + 1e-4


WAYS = ["plain", "product", "rough"]


def model_of(way, catalogue, of_newcomers, cannot=NEW):
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(catalogue.n_users, catalogue.n_items))
    if way == "product":
        return ByProduct(catalogue, rng, cannot, of_newcomers)
    return (ByRoughScores if way == "rough" else WithNewcomers)(catalogue, scores, cannot, of_newcomers)


def parts_of(log):
    """Newcomers have no history; two of them have seen something all the same, which is not to be shown."""
    history = log.take(~np.isin(log.users, NEW))
    return history, log.take(log.users != 29)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("k", [1, 6, 20])
def test_newcomers_are_ranked_by_what_their_features_say_without_what_they_have_seen(many, way, k, monkeypatch):
    catalogue, log = many
    history, seen = parts_of(log)
    of_newcomers = np.random.default_rng(0).normal(size=(30, 900))
    model = model_of(way, catalogue, of_newcomers)
    monkeypatch.setattr(ranking, "_PRODUCT_BLOCK", 7)
    users = torch.from_numpy(np.random.default_rng(1).permutation(30))
    for asked in (users, torch.arange(30), torch.tensor([5, 29, 4])):
        found = rank(model, asked, history=history, seen=seen, k=k)
        assert found.newcomers.tolist() == np.isin(asked, NEW).tolist() and not found.fallback.any()
        for user, items, scores in zip(asked.tolist(), found.items.tolist(), found.scores.tolist()):
            row = np.float32(of_newcomers[user] if user in NEW else model.scores[user].numpy())
            row[seen.items[seen.users == user]] = -np.inf
            assert items == slow_top_k(row.tolist(), k)
            assert scores == pytest.approx(row[items].tolist())
    if way == "rough":
        assert model.rough > 0


@pytest.mark.parametrize("way", WAYS)
def test_nobody_but_newcomers(many, way):
    catalogue, log = many
    history, seen = parts_of(log)
    of_newcomers = np.random.default_rng(0).normal(size=(30, 900))
    found = rank(model_of(way, catalogue, of_newcomers), torch.tensor(NEW), history=history, seen=seen, k=3)
    assert found.newcomers.all() and found.items[2].tolist() == slow_top_k(of_newcomers[29].tolist(), 3)


@pytest.mark.parametrize("way", WAYS)
def test_a_newcomer_of_whom_the_features_say_nothing_gets_what_is_popular(many, way):
    """One and the same score for everything would otherwise be a ranking by item index."""
    catalogue, log = many
    history, seen = parts_of(log)
    of_newcomers = np.random.default_rng(0).normal(size=(30, 900))
    of_newcomers[17] = 0.5
    popular = history.item_counts.astype(np.float32)
    popular[seen.items[seen.users == 17]] = -np.inf
    found = rank(model_of(way, catalogue, of_newcomers), torch.arange(30), history=history, seen=seen, k=6)
    assert found.fallback.nonzero().flatten().tolist() == [17]
    assert found.newcomers.nonzero().flatten().tolist() == [4, 29]
    assert found.items[17].tolist() == slow_top_k(popular.tolist(), 6)


@pytest.mark.parametrize("way", WAYS)
def test_newcomers_fall_back_to_popularity_where_the_model_has_no_map(many, way):
    catalogue, log = many
    history, seen = parts_of(log)
    model = model_of(way, catalogue, np.zeros((30, 900)))
    model.score_newcomers = lambda users: None
    found = rank(model, torch.arange(30), history=history, seen=seen, k=6)
    assert found.fallback.nonzero().flatten().tolist() == NEW and not found.newcomers.any()
    assert found.items[29].tolist() == slow_top_k(history.item_counts.tolist(), 6)


def test_newcomers_are_scored_in_blocks_too(many, monkeypatch):
    catalogue, log = many
    history, seen = parts_of(log)
    of_newcomers = np.random.default_rng(0).normal(size=(30, 900))
    whole = rank(model_of("plain", catalogue, of_newcomers), torch.arange(30), history=history, seen=seen, k=6)
    monkeypatch.setattr(ranking, "_block_of_users", lambda *_: 2)
    for way in ("plain", "product"):
        found = rank(model_of(way, catalogue, of_newcomers), torch.arange(30), history=history, seen=seen, k=6)
        assert torch.equal(found.items[NEW], whole.items[NEW]) and torch.equal(found.newcomers, whole.newcomers)


def test_scores_of_newcomers_that_are_no_numbers_are_an_error(many):
    catalogue, log = many
    history, seen = parts_of(log)
    for way in WAYS:
        with pytest.raises(ValueError, match="fixed gives NaN scores"):
            rank(model_of(way, catalogue, np.full((30, 900), np.nan)), torch.arange(30), history=history, seen=seen, k=6)


@pytest.mark.parametrize("name", ["ease", "multi_dae", "gmf", "neumf"])
def test_a_models_own_newcomers_get_the_order_of_its_score_newcomers(market_catalogue, market_log, name):
    """gmf and multi_dae go by products, neumf by rough scores where the catalogue is large, ease by scores."""
    from recsys_lib.models import build_model

    cold = np.array([0, 31, 59])
    history = market_log.take(~np.isin(market_log.users, cold))
    model = build_model(name, market_catalogue, seed=0, features="user")
    model.prepare(history, torch.Generator().manual_seed(0))
    found = rank(model, torch.arange(60), history=history, seen=market_log, k=5)
    wanted = model.eval().score_newcomers(torch.from_numpy(cold))
    for user, scores in zip(cold, wanted.detach()):
        scores[market_log.items[market_log.users == user]] = -torch.inf
        assert found.items[user].tolist() == slow_top_k(scores.tolist(), 5)
    assert found.newcomers.nonzero().flatten().tolist() == cold.tolist() and not found.fallback.any()


def test_recommend_counts_newcomers_and_fallbacks_apart(toy_catalogue, toy_log):
    history = toy_log.take(toy_log.users < 2)
    of_newcomers = torch.tensor([[0.0] * 6, [0.0] * 6, [5, 4, 3, 2, 1, 0], [7.0] * 6])
    model = WithNewcomers(toy_catalogue, torch.arange(24.0).view(4, 6), [2, 3], of_newcomers)
    frame = recommend(model, history, users=np.array([3, 0, 2]), k=2)
    assert (frame.attrs["n_newcomers"], frame.attrs["n_fallback"]) == (1, 1)
    # counts of items 0..3 are 1, 2, 1, 1
    assert frame["item_id"].tolist() == ["i1", "i0", "i5", "i4", "i0", "i1"]
    assert recommend(model, history, users=np.array([0]), k=2).attrs["n_newcomers"] == 0


def test_newcomers_among_candidates(many):
    catalogue, log = many
    history, _ = parts_of(log)
    rng = np.random.default_rng(0)
    of_newcomers = rng.normal(size=(30, 900))
    of_newcomers[17] = 1.0
    model = model_of("plain", catalogue, of_newcomers)
    candidates = np.sort(np.stack([rng.choice(900, 12, replace=False) for _ in range(30)]), 1)
    candidates[[4, 5], 9:] = -1  # shorter lists
    users = torch.from_numpy(rng.permutation(30))
    found = rank_candidates(model, users, torch.from_numpy(candidates)[users], history=history, k=10)
    assert sorted(users[found.newcomers].tolist()) == [4, 29] and users[found.fallback].tolist() == [17]
    for user, items, scores in zip(users.tolist(), found.items.tolist(), found.scores.tolist()):
        row = of_newcomers[user] if user in (4, 29) else history.item_counts if user == 17 else model.scores[user].tolist()
        mine = [item for item in candidates[user].tolist() if item >= 0]
        best = sorted(mine, key=lambda item: (-np.float32(row[item]), item))[:10]
        assert items == best + [-1] * (10 - len(best))
        assert scores[: len(best)] == pytest.approx([float(row[item]) for item in best], rel=1e-5)
