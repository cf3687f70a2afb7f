import numpy as np
import pandas as pd
import pytest

from recsys_lib.data.features import Categorical, FeatureTable, MultiLabel
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.text import spellings
from recsys_lib.eda.statistics import text as statistics
from recsys_lib.eda.statistics.labels import labelled, lift

TYPED = {
    "certificates": spellings(
        ["2종운전면허증"] * 3 + ["자동차운전면허 2종 보통"] * 4 + ["GTQ"] * 2 + [None],
        ["운전면허2종보통"] * 7 + ["GTQ"] * 2 + [None],
    ),
    "keywords": spellings(["MD", "MD", "니트"], ["MD", "MD", "니트"]),
}


def test_spellings_are_counted():
    assert TYPED["certificates"].to_dict("list") == {
        "typed": ["자동차운전면허 2종 보통", "2종운전면허증", "GTQ"],
        "label": ["운전면허2종보통", "운전면허2종보통", "GTQ"],
        "rows": [4, 3, 2],
    }


def test_before_and_after():
    table = statistics.before_and_after(TYPED).set_index("feature")
    one = table.loc["certificates"]
    assert (one["rows"], one["spellings"], one["labels"], one["merged"]) == (9, 3, 2, 3)
    assert (one["rare_before"], one["rare_after"]) == (9 / 9, 2 / 9)  # 4, 3, 2 are all below five; after it 7 and 2
    assert (table.loc["keywords", "spellings"], table.loc["keywords", "labels"], table.loc["keywords", "merged"]) == (2, 2, 0)
    assert len(statistics.before_and_after({})) == 0


def test_the_most_spelt():
    table = statistics.most_spelt(TYPED)
    assert len(table) == 1
    assert table.loc[0, "spellings"] == ("자동차운전면허 2종 보통", "2종운전면허증") and table.loc[0, "joined"] == 3


@pytest.fixture(scope="module")
def planted():
    """Users with the word 니트 choose the first ten of forty items only; the other eleven words mean nothing."""
    rng = np.random.default_rng(2)
    n_users, n_items = 300, 40
    has = rng.random((n_users, 12)) < 0.3
    users = np.repeat(np.arange(n_users), 6)
    items = np.concatenate([rng.choice(10 if knit else 40, 6, replace=False) for knit in has[:, 4]])
    indptr = np.concatenate([[0], np.cumsum(has.sum(1))])
    names = tuple("니트" if n == 4 else f"word{n:02}" for n in range(12))
    words = MultiLabel("keywords", indptr, np.nonzero(has)[1].astype(np.int32), names)
    trade = Categorical("trade", (1 + np.arange(n_items) // 10).astype(np.int32), ("", "knit", "woven", "bag", "shoe"))
    return Interactions(users, items, n_users, n_items), FeatureTable(n_users, [words]), FeatureTable(n_items, [trade])


def test_the_planted_word_separates_best(planted):
    table = statistics.telling_words(*planted, seed=1)
    first = table.iloc[0]
    assert (first["word"], first["side"], first["other_feature"], first["label"]) == ("니트", "user", "trade", "knit")
    assert first["lift"] == pytest.approx(first["count"] / first["expected"])
    assert table["word"].is_unique and (table["expected"] >= 10).all() and (table["clear"] > 1).all()
    assert len(table) <= 2, "eleven words mean nothing"


def test_the_residual_is_that_of_lift(planted):
    log, users, items = planted
    first = statistics.telling_words(*planted, seed=1).iloc[0]
    table = lift(log, labelled(users["keywords"], max_labels=200), labelled(items["trade"]))
    row = table.set_index(["user_label", "item_label"]).loc[("니트", "knit")]
    assert (first["count"], first["expected"]) == (row["count"], pytest.approx(row["expected"]))


def test_words_that_are_dealt_tell_nothing(planted):
    log, users, items = planted
    found = 0
    for seed in range(10):
        words = users["keywords"]
        order = np.random.default_rng(seed).permutation(log.n_users)
        rows = [words.codes[words.indptr[row] : words.indptr[row + 1]] for row in order]
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
        dealt = MultiLabel("keywords", indptr, np.concatenate(rows), words.labels)
        found += len(statistics.telling_words(log, FeatureTable(log.n_users, [dealt]), items, seed=seed)) > 0
    assert found <= 2  # 0.5 are expected


def test_words_of_items_are_set_against_users(planted):
    log, users, items = planted
    turned = Interactions(log.items, log.users, log.n_items, log.n_users)
    first = statistics.telling_words(turned, items, users, seed=1).iloc[0]
    assert (first["word"], first["side"], first["label"]) == ("니트", "item", "knit")


def test_few_labels_are_no_words_unless_they_were_typed(planted):
    log, users, items = planted
    knit = np.isin(np.arange(log.n_users), log.users[log.items < 10]) & ~np.isin(
        np.arange(log.n_users), log.users[log.items >= 10]
    )
    indptr = np.concatenate([[0], np.cumsum(np.ones(log.n_users, dtype=np.int64))])
    few = MultiLabel("tags", indptr, knit.astype(np.int32), ("one", "two"))
    assert len(statistics.telling_words(log, FeatureTable(log.n_users, [few]), items, seed=1)) == 0
    assert len(statistics.telling_words(log, FeatureTable(log.n_users, [few]), items, seed=1, text=("tags",))) >= 1
    assert len(statistics.telling_words(log, FeatureTable(log.n_users), items, seed=1)) == 0
    assert isinstance(statistics.telling_words(log, FeatureTable(log.n_users), items, seed=1), pd.DataFrame)
