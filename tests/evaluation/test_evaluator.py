import numpy as np
import pytest
import torch

from recsys_lib.data.candidates import Candidates, sample_candidates
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import cold_start, fraction_split, leave_one_out, user_holdout
from recsys_lib.evaluation.evaluator import Evaluator, among_new_items, fit_recall, recall_of_new
from recsys_lib.models import build_model
from recsys_lib.models.base import Recommender


class Given(Recommender):
    """Scores from a table, as if it had been trained on `trained_on`."""

    name = "given"
    needs_training = False

    def __init__(self, catalogue, scores, trained_on):
        super().__init__(catalogue, None)
        self.scores = torch.as_tensor(scores, dtype=torch.float32)
        self.trained_on = trained_on.pair_keys

    def score(self, users, history):
        return self.scores[users].clone()


def oracle(scores, held_out, seen, k):
    """The slow way, a user at a time: recall, truncated recall, ndcg and hit rate at k."""
    values = []
    for user in range(held_out.n_users):
        truth = set(held_out.items[held_out.users == user].tolist())
        if not truth:
            continue
        known = set(seen.items[seen.users == user].tolist())
        row = scores[user]
        ranked = sorted((item for item in range(held_out.n_items) if item not in known), key=lambda item: (-row[item], item))
        hits = [item in truth for item in ranked[:k]]
        dcg = sum(1 / np.log2(r + 2) for r, hit in enumerate(hits) if hit)
        ideal = sum(1 / np.log2(r + 2) for r in range(min(k, len(truth))))
        values.append([sum(hits) / len(truth), sum(hits) / min(k, len(truth)), dcg / ideal, any(hits)])
    return np.array(values, dtype=np.float64)


@pytest.mark.parametrize("levels", [3, 10_000])  # many ties, hardly any
@pytest.mark.parametrize("k", [1, 5, 12])
def test_equal_to_the_slow_oracle_to_the_last_hit(market_log, market_catalogue, levels, k):
    split = fraction_split(market_log, fractions=(0.5, 0.2, 0.3), seed=1)
    scores = np.random.default_rng(k).integers(0, levels, (60, 40)) - levels // 2
    report = Evaluator(split.test, seen=split.known_before_test, ks=[k]).evaluate(Given(market_catalogue, scores, split.train))
    expected = oracle(scores, split.test, split.known_before_test, k)
    for column, name in enumerate(["recall", "truncated_recall", "ndcg", "hit_rate"]):
        assert report.values[f"{name}@{k}"] == pytest.approx(expected[:, column], abs=1e-6)
    assert report.hits[:, :k].sum() == round((expected[:, 0] * report.n_held_out).sum())


def test_a_perfect_scorer_gets_one_and_users_without_answers_are_skipped(toy_log, toy_catalogue):
    split = leave_one_out(toy_log, seed=0)
    scores = torch.zeros(4, 6)
    scores[split.test.users.tolist(), split.test.items.tolist()] = 1.0
    report = Evaluator(split.test, seen=split.known_before_test, ks=[1, 3]).evaluate(Given(toy_catalogue, scores, split.train))
    assert all(report.mean(f"{name}@{k}") == 1.0 for name in ("recall", "ndcg", "mrr", "map", "hit_rate") for k in (1, 3))
    assert report.users.tolist() == [0, 1, 2] and report.n_skipped == 1
    assert report.rows == {"fit": len(split.train), "query": len(split.known_before_test), "mask": len(split.known_before_test), "held_out": 3}


# ---- the two locks


def test_lock_one_held_out_rows_among_seen_are_refused(toy_log):
    split = leave_one_out(toy_log, seed=0)
    with pytest.raises(ValueError, match="3 of 3 held-out rows are among `seen`: the model would be shown the very answers"):
        Evaluator(split.test, seen=toy_log, ks=[3])
    with pytest.raises(ValueError, match="among `history`"):
        Evaluator(split.test, seen=split.known_before_test, history=toy_log, ks=[3])


def test_lock_two_a_model_trained_on_the_answers_is_refused(market_log, market_catalogue):
    """The leak of the notes: validation rows left in training."""
    from recsys_lib.training.config import train_config
    from recsys_lib.training.trainer import Trainer

    split = fraction_split(market_log, fractions=(0.6, 0.2, 0.2), seed=0)
    validate = Evaluator(split.validation, seen=split.train, ks=[5]).evaluate
    model = build_model("ease", market_catalogue, seed=0)
    with pytest.raises(ValueError, match="It has already been told these answers.*Train on split.train alone"):
        Trainer(train_config("ease", monitor="recall@5")).fit(model, split.known_before_test, validate)


def test_lock_two_holds_for_what_a_model_learned_before(market_log, market_catalogue):
    """Trained on everything first and on the train part afterwards: the weights remember."""
    from recsys_lib.training.config import train_config
    from recsys_lib.training.trainer import Trainer

    split = fraction_split(market_log, fractions=(0.6, 0.2, 0.2), seed=0)
    validate = Evaluator(split.validation, seen=split.train, ks=[5]).evaluate
    trainer = Trainer(train_config("multi_dae", monitor="recall@5", epochs=1))
    model = build_model("multi_dae", market_catalogue, seed=0)
    trainer.repeat(model, market_log, [1e-3])
    with pytest.raises(ValueError, match="60 of 60 held-out rows are among the rows"):
        trainer.fit(model, split.train, validate)
    # A closed form starts anew whenever it is fitted.
    ease = build_model("ease", market_catalogue, seed=0)
    Trainer(train_config("ease", monitor="recall@5")).repeat(ease, market_log, [])
    assert Trainer(train_config("ease", monitor="recall@5")).fit(ease, split.train, validate).best > 0


def test_a_model_that_was_never_trained_is_refused(toy_log, toy_catalogue):
    split = leave_one_out(toy_log, seed=0)
    with pytest.raises(ValueError, match="this ease was never trained"):
        Evaluator(split.test, seen=split.known_before_test, ks=[3]).evaluate(build_model("ease", toy_catalogue, seed=0))


def test_parts_of_different_catalogues_and_empty_parts_are_refused(toy_log):
    split = leave_one_out(toy_log, seed=0)
    other = Interactions([0], [6], 4, 7)
    with pytest.raises(ValueError, match=r"share one catalogue; got \[\(4, 6\), \(4, 7\)\]"):
        Evaluator(split.test, seen=other, ks=[3])
    with pytest.raises(ValueError, match="nothing is held out"):
        Evaluator(split.test.take(np.zeros(3, dtype=bool)), seen=split.train, ks=[3])
    with pytest.raises(ValueError, match=r"ks must lie in 1..6 .*; got \[7\]"):
        Evaluator(split.test, seen=split.train, ks=[7])


# ---- candidates


@pytest.mark.parametrize("levels", [3, 10_000])  # many ties, hardly any
def test_among_candidates_equal_to_the_slow_oracle(market_log, market_catalogue, levels):
    split = fraction_split(market_log, fractions=(0.5, 0.2, 0.3), seed=1)
    known = split.known_before_test
    candidates = sample_candidates(split.test, known, n=9, seed=0)
    scores = np.random.default_rng(2).integers(0, levels, (60, 40)) - levels // 2
    report = Evaluator(split.test, seen=known, ks=[3], candidates=candidates).evaluate(Given(market_catalogue, scores, split.train))
    # All that is no candidate counts as seen; then it is the whole catalogue's oracle.
    allowed = {(user, item) for user, row in zip(candidates.users, candidates.items) for item in row}
    allowed |= set(zip(split.test.users.tolist(), split.test.items.tolist()))
    others = [(user, item) for user in range(60) for item in range(40) if (user, item) not in allowed]
    expected = oracle(scores, split.test, Interactions(*zip(*others), 60, 40), 3)
    for column, name in enumerate(["recall", "truncated_recall", "ndcg", "hit_rate"]):
        assert report.values[f"{name}@3"] == pytest.approx(expected[:, column], abs=1e-6)
    assert report.kind == "evaluation among 9 candidates" and report.whole == {}
    assert set(zip(report.users.repeat(3), report.ranked[:, :3].ravel())) <= allowed


def test_a_held_out_item_among_its_own_candidates_and_a_repeated_one_count_once(toy_catalogue):
    held_out = Interactions([0], [2], 4, 6)
    seen = Interactions([0], [0], 4, 6)
    report = Evaluator(held_out, seen=seen, ks=[2], candidates=Candidates([0], [[3, 2, 3, 4]])).evaluate(
        Given(toy_catalogue, [[9, 9, 1, 2, 0, 9]] * 4, seen)
    )
    assert report.ranked[0].tolist() == [3, 2, 4]  # 1 and 5 score more and are no candidates
    assert report.mean("mrr@2") == 1 / 2


def test_candidates_that_do_not_fit_are_refused(toy_log):
    split = leave_one_out(toy_log, seed=0)
    seen = split.known_before_test
    with pytest.raises(ValueError, match="2 of 3 held-out users have no candidates, the first is user 1"):
        Evaluator(split.test, seen=seen, ks=[1], candidates=Candidates([0], [[5]]))
    with pytest.raises(ValueError, match="1 candidates are among `seen`"):
        Evaluator(split.test, seen=seen, ks=[1], candidates=Candidates([0, 1, 2], [[seen.items[seen.users == 0][0]], [5], [4]]))
    with pytest.raises(ValueError, match=r"candidates must lie in 0..5; got 4..6"):
        Evaluator(split.test, seen=seen, ks=[1], candidates=Candidates([0, 1, 2], [[4], [5], [6]]))
    with pytest.raises(ValueError, match=r"ks must lie in 1..2 \(the longest list of candidates\); got \[3\]"):
        Evaluator(split.test, seen=seen, ks=[3], candidates=Candidates([0, 1, 2], [[4], [5], [4]]))


def test_users_without_history_get_the_popular_ones_of_their_candidates(market_log, market_catalogue):
    """User 7 has no known row; somebody who can be scored is asked too."""
    split = leave_one_out(market_log.take(market_log.users != 7), seed=0)
    held_out = split.test.union(market_log.take(np.flatnonzero(market_log.users == 7)[:1]))
    candidates = sample_candidates(held_out, split.known_before_test, n=9, seed=0)
    model = build_model("ease", market_catalogue, seed=0)
    model.prepare(split.train, torch.Generator())
    report = Evaluator(held_out, seen=split.known_before_test, ks=[3], candidates=candidates).evaluate(model)
    assert report.n_cold == 1
    counts = split.known_before_test.item_counts
    mine = np.append(candidates.items[candidates.users == 7], held_out.items[held_out.users == 7])
    expected = sorted(mine.tolist(), key=lambda item: (-counts[item], item))
    assert report.ranked[report.users == 7][0].tolist() == expected


# ---- new users


@pytest.mark.parametrize("name", ["ease", "slim", "rp3beta", "user_knn", "item_knn", "user_item_knn", "multi_dae", "popularity"])
def test_models_that_read_a_history_serve_users_that_training_never_saw(market_log, market_catalogue, name):
    from recsys_lib.training.config import train_config
    from recsys_lib.training.trainer import Trainer

    split = user_holdout(market_log, seed=0)
    validate = Evaluator(split.validation, seen=split.known_before_validation, ks=[5]).evaluate
    model = build_model(name, market_catalogue, seed=0)
    record = Trainer(train_config(name, monitor="recall@5", device="cpu", learning_rate=0.02, epochs=20)).fit(model, split.train, validate)
    report = Evaluator(split.test, seen=split.known_before_test, ks=[5]).evaluate(model)
    assert report.n_cold == 0 and record.verdict
    if name != "popularity":
        # 1 answer in a market of 10, 5 of which are known: chance among the rest is 1, the catalogue's 5/35
        assert report.mean("recall@5") > 0.5


@pytest.mark.parametrize("name", ["gmf", "mlp", "neumf"])
def test_models_that_cannot_score_new_users_say_so(market_log, market_catalogue, name):
    from recsys_lib.training.config import train_config
    from recsys_lib.training.trainer import Trainer

    split = user_holdout(market_log, seed=0)
    validate = Evaluator(split.validation, seen=split.known_before_validation, ks=[5]).evaluate
    with pytest.raises(ValueError, match=f"{name} cannot score new users: it was trained on rows of none of the 6 users asked"):
        Trainer(train_config(name, monitor="recall@5", device="cpu", epochs=1)).fit(
            build_model(name, market_catalogue, seed=0), split.train, validate
        )


# ---- what the report says


def test_groups_by_activity_and_popularity_add_up(market_log, market_catalogue):
    split = fraction_split(market_log, fractions=(0.6, 0.2, 0.2), seed=3)
    scores = np.random.default_rng(0).random((60, 40))
    report = Evaluator(split.test, seen=split.known_before_test, ks=[5, 10]).evaluate(Given(market_catalogue, scores, split.train))
    groups = report.by_activity("recall@10")
    assert groups["users"].sum() == len(report.users)
    assert (groups["value"] * groups["users"]).sum() / groups["users"].sum() == pytest.approx(report.mean("recall@10"))
    popularity = report.by_popularity(10)
    assert popularity["rows"].sum() == len(split.test)
    assert (popularity["value"] * popularity["rows"]).sum() == pytest.approx(report.hits[:, :10].sum())


def test_table_and_summary_hold_every_metric_with_its_interval(toy_log, toy_catalogue):
    split = leave_one_out(toy_log, seed=0)
    report = Evaluator(split.test, seen=split.known_before_test, ks=[2]).evaluate(Given(toy_catalogue, torch.rand(4, 6), split.train))
    table = report.table()
    assert {"recall@2", "truncated_recall@2", "ndcg@2", "hit_rate@2", "mrr@2", "map@2", "coverage@2", "novelty@2"} == set(table.index)
    assert (table.loc["recall@2", "low"] <= table.loc["recall@2", "mean"] <= table.loc["recall@2", "high"])
    assert report.summary()["users_skipped"] == 1
    with pytest.raises(KeyError, match="no metric 'recall@7' in this report; there are recall@2"):
        report.mean("recall@7")


def test_fit_recall_unmasks_the_probe_alone_and_says_what_it_is(market_log, market_catalogue):
    # A model that gives its training rows the highest scores remembers everything.
    scores = np.zeros((60, 40))
    scores[market_log.users, market_log.items] = 1
    model = Given(market_catalogue, scores, market_log)
    report = fit_recall(model, market_log, held_per_user=np.full(60, 2), ks=[2, 5])
    assert report.mean("recall@2") == 1.0
    assert report.kind == "fit recall (not a validation)"
    assert report.rows == {"fit": 360, "query": 360, "mask": 360 - 2 * 60, "held_out": 2 * 60}


def test_fit_recall_without_a_split_asks_for_every_row_and_masks_none(market_log, market_catalogue):
    """The notes' recall over the full matrix: 6 rows a user, so 5 places can hold 5 of 6."""
    scores = np.zeros((60, 40))
    scores[market_log.users, market_log.items] = 1
    report = fit_recall(Given(market_catalogue, scores, market_log), market_log, ks=[5, 10])
    assert report.mean("recall@5") == pytest.approx(5 / 6) and report.mean("truncated_recall@5") == 1.0
    assert report.mean("recall@10") == 1.0
    assert report.kind == "fit recall (not a validation)" and "not a validation" in repr(report)
    assert report.rows == {"fit": 360, "query": 360, "mask": 0, "held_out": 360}


def test_fit_recall_of_rows_that_the_model_did_not_see_is_refused(market_log, market_catalogue):
    split = leave_one_out(market_log, seed=0)
    model = Given(market_catalogue, np.zeros((60, 40)), split.train)
    with pytest.raises(ValueError, match=f"has seen {len(split.train)} of these 360. Pass split.train"):
        fit_recall(model, market_log, ks=[5])
    with pytest.raises(ValueError, match="this ease has seen 0 of these"):
        fit_recall(build_model("ease", market_catalogue, seed=0), split.train, ks=[5])


def test_slices_hold_each_row_once_and_their_hits_are_those_of_the_lists(market_log, market_catalogue):
    split = cold_start(fraction_split(market_log, fractions=(0.4, 0.1, 0.5), seed=1), users=0.2, items=0.2, seed=2)
    scores = np.random.default_rng(0).normal(size=(60, 40))
    seen, held = split.known_before_test, split.test
    report = Evaluator(held, seen=seen, ks=[5]).evaluate(Given(market_catalogue, scores, split.train))
    expected = {}
    for user, ranked, hits in zip(report.users, report.ranked, report.hits):
        listed = set(ranked[:5].tolist())
        for item in held.items[held.users == user]:
            known = seen.user_counts[user]
            name = "cold items" if not seen.item_counts[item] else "cold users" if not known else "sparse users" if known < 3 else "warm"
            expected.setdefault(name, {}).setdefault(user, []).append(item in listed)
    assert set(expected) >= {"warm", "cold users", "cold items"}
    slices = report.slices(5)
    assert set(slices) == set(expected)
    for name, (users, values) in slices.items():
        assert users.tolist() == sorted(expected[name])
        assert values.tolist() == pytest.approx([np.mean(expected[name][user]) for user in users])
    table = report.by_slice(5)
    assert table["group"].tolist() == [name for name in ("warm", "sparse users", "cold users", "cold items") if name in expected]
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    assert report.summary()["slices"]["recall@5"]["warm"]["users"] == len(slices["warm"][0])


# ---- newcomers


class Newcomers(Given):
    """Cannot score users without a history; their features say what a second table holds."""

    def __init__(self, catalogue, scores, trained_on, of_newcomers):
        super().__init__(catalogue, scores, trained_on)
        self.of_newcomers = None if of_newcomers is None else torch.as_tensor(of_newcomers, dtype=torch.float32)

    def can_score(self, users, history):
        return history.lengths > 0

    def score_newcomers(self, users):
        return None if self.of_newcomers is None else self.of_newcomers[users].clone()


@pytest.fixture
def hidden(market_log):
    """A fifth of the users have no history, a fifth of the items nobody who chose them."""
    return cold_start(fraction_split(market_log, fractions=(0.4, 0.1, 0.5), seed=1), users=0.2, items=0.2, seed=2)


def test_a_report_says_who_was_ranked_by_features_and_measures_their_lists(hidden, market_catalogue):
    rng = np.random.default_rng(0)
    scores, of_newcomers = rng.normal(size=(60, 40)), rng.normal(size=(60, 40))
    known = hidden.known_before_test
    cold = known.user_counts == 0
    report = Evaluator(hidden.test, seen=known, ks=[5]).evaluate(Newcomers(market_catalogue, scores, hidden.train, of_newcomers))
    assert cold.sum() >= 12 and report.users[report.newcomers].tolist() == np.flatnonzero(cold & (hidden.test.user_counts > 0)).tolist()
    assert report.n_cold == report.newcomers.sum() and not report.fallback.any()
    shown = np.where(cold[:, None], of_newcomers, scores)
    assert report.values["recall@5"] == pytest.approx(oracle(shown, hidden.test, known, 5)[:, 0], abs=1e-6)
    summary = report.summary()
    assert summary["users_by_features"] == int(report.newcomers.sum()) > 0 and summary["users_cold"] == report.n_cold
    # without a map the same users get what is popular
    popular = Evaluator(hidden.test, seen=known, ks=[5]).evaluate(Newcomers(market_catalogue, scores, hidden.train, None))
    assert popular.fallback.tolist() == report.newcomers.tolist() and popular.summary()["users_by_features"] == 0
    assert popular.summary()["users_cold"] == popular.n_cold == int(report.newcomers.sum())


def test_a_map_from_features_does_not_hide_that_no_history_was_read(market_log, market_catalogue):
    """Held-out users have histories, the model reads none of them: their features are no answer to that."""
    split = user_holdout(market_log, seed=0)
    model = build_model("gmf", market_catalogue, seed=0, features="user")
    model.prepare(split.train, torch.Generator().manual_seed(0))
    assert model.score_newcomers(torch.tensor([0])) is not None
    with pytest.raises(ValueError, match="gmf cannot score new users"):
        Evaluator(split.test, seen=split.known_before_test, ks=[5]).evaluate(model)


def test_users_without_any_history_may_be_all_that_is_asked_for(hidden, market_catalogue):
    known = hidden.known_before_test
    held_out = hidden.test.take(known.user_counts[hidden.test.users] == 0)
    of_newcomers = np.random.default_rng(0).normal(size=(60, 40))
    report = Evaluator(held_out, seen=known, ks=[5]).evaluate(Newcomers(market_catalogue, np.zeros((60, 40)), hidden.train, of_newcomers))
    assert report.newcomers.all() and report.values["recall@5"] == pytest.approx(oracle(of_newcomers, held_out, known, 5)[:, 0], abs=1e-6)


# ---- among new items


def test_among_new_items_asks_for_the_rows_of_new_items_among_new_items_alone(hidden, market_catalogue):
    known = hidden.known_before_test
    new = np.flatnonzero(known.item_counts == 0)
    among = among_new_items(hidden.test, seen=known, ks=[3])
    rows = hidden.test.take(np.isin(hidden.test.items, new))
    assert len(new) >= 8 and among.n_candidates == len(new)
    assert np.array_equal(among.held_out.pair_keys, rows.pair_keys)
    scores = np.random.default_rng(0).normal(size=(60, 40)) + 9 * (known.item_counts > 0)  # every known item before every new one
    report = among.evaluate(Given(market_catalogue, scores, hidden.train))
    assert set(report.ranked.ravel().tolist()) == set(new.tolist())
    expected = []
    for user in np.flatnonzero(rows.user_counts):
        truth, best = set(rows.items[rows.users == user].tolist()), sorted(new.tolist(), key=lambda item: -scores[user, item])[:3]
        expected.append(len(truth & set(best)) / len(truth))
    assert report.values["recall@3"] == pytest.approx(expected)
    assert recall_of_new(report, among, 3) == pytest.approx(expected)
    assert len(set(expected)) > 1 and report.kind == f"evaluation among {len(new)} candidates"


def test_who_gives_all_new_items_one_score_gets_chance_and_not_what_their_numbers_know(hidden, market_catalogue):
    known = hidden.known_before_test
    among = among_new_items(hidden.test, seen=known, ks=[3])
    scores = np.random.default_rng(0).normal(size=(60, 40))
    new = np.flatnonzero(known.item_counts == 0)
    flat = np.arange(60) % 2 == 0
    scores[np.ix_(flat, new)] = 0.25
    report = among.evaluate(Given(market_catalogue, scores, hidden.train))
    values = recall_of_new(report, among, 3)
    assert values[flat[report.users]].tolist() == [3 / len(new)] * int(flat[report.users].sum())
    assert values[~flat[report.users]].tolist() == report.values["recall@3"][~flat[report.users]].tolist()
    # popularity knows no new item
    popularity = build_model("popularity", market_catalogue, seed=0)
    popularity.prepare(hidden.train, torch.Generator())
    assert set(recall_of_new(among.evaluate(popularity), among, 3)) == {3 / len(new)}


def test_newcomers_are_asked_for_new_items_by_their_features(hidden, market_catalogue):
    known = hidden.known_before_test
    among = among_new_items(hidden.test, seen=known, ks=[3])
    of_newcomers = np.random.default_rng(1).normal(size=(60, 40))
    of_newcomers[::2] = 0.0
    report = among.evaluate(Newcomers(market_catalogue, np.random.default_rng(0).normal(size=(60, 40)), hidden.train, of_newcomers))
    cold = known.user_counts[report.users] == 0
    assert report.newcomers.tolist() == (cold & (report.users % 2 == 1)).tolist()
    assert report.fallback.tolist() == (cold & (report.users % 2 == 0)).tolist()
    assert report.newcomers.any() and report.fallback.any()


def test_there_is_nothing_among_new_items_where_none_are_held_out_or_they_are_fewer_than_k(market_log, hidden):
    known = hidden.known_before_test
    n_new = int((known.item_counts == 0).sum())
    assert among_new_items(hidden.test, seen=known, ks=[3, n_new]).n_candidates == n_new
    assert among_new_items(hidden.test, seen=known, ks=[3, n_new + 1]) is None
    of_known = hidden.test.take(known.item_counts[hidden.test.items] > 0)
    assert among_new_items(of_known, seen=known, ks=[3]) is None
    assert among_new_items(market_log, seen=market_log, ks=[1]) is None
