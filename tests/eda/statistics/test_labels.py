"""Features as labels, Cramér's V and lift: as arithmetic, and against scipy."""

import numpy as np
import pytest

from recsys_lib.data.features import Categorical, MultiLabel, Numeric
from recsys_lib.data.interactions import Interactions
from recsys_lib.eda.statistics import labels as statistics

#       user 0: items 0 1 2; user 1: 0 1; user 2: 0; user 3: nothing; item 5 nobody
TOY = Interactions([0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 3, 4], n_users=4, n_items=6)


def test_features_become_labels():
    several = MultiLabel("genres", np.array([0, 2, 2, 3, 4]), np.array([0, 1, 1, 2]), ("a", "b", "c"))
    assert statistics.labelled(several).matrix.toarray().tolist() == [[1, 1, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1]]
    one = Categorical("degree", np.array([0, 2, 1, 2], dtype=np.int32), ("", "3", "4"))
    assert statistics.labelled(one).labels == ("3", "4")
    assert statistics.labelled(one).matrix.toarray().tolist() == [[0, 0], [0, 1], [1, 0], [0, 1]]
    number = Numeric("salary", np.array([1, 2, np.nan, 2], dtype=np.float32))
    assert statistics.labelled(number).labels == ("1", "2")
    assert statistics.labelled(number).matrix.toarray().tolist() == [[1, 0], [0, 1], [0, 0], [0, 1]]


def test_numbers_fall_into_quantile_bins():
    labels = statistics.labelled(Numeric("x", np.arange(100, dtype=np.float32)), bins=4)
    assert labels.labels == ("0–24", "25–49", "50–74", "75–99")
    assert labels.matrix.sum(0).tolist() == [[25, 25, 25, 25]]


def test_rare_labels_become_one_and_count_once_a_row():
    several = MultiLabel("words", np.array([0, 3, 4, 5, 6]), np.array([0, 1, 2, 2, 2, 2]), ("a", "b", "c"))
    labels = statistics.labelled(several, max_labels=2)
    assert labels.labels == ("c", "(other)")
    assert labels.matrix.toarray().tolist() == [[1, 1], [1, 0], [1, 0], [1, 0]]


def test_an_entirely_missing_feature_has_a_block_of_its_own():
    nothing = statistics.labelled(Numeric("x", np.full(4, np.nan, dtype=np.float32)))
    assert nothing.matrix.shape == (4, 1) and nothing.matrix.sum() == 0


def test_cramers_v_of_known_tables():
    assert statistics.cramers_v([[10, 0], [0, 10]], corrected=False) == 1
    assert statistics.cramers_v([[5, 5], [5, 5]]) == 0
    assert statistics.cramers_v([[5, 5]]) == 0
    # phi2 = 1; corrected: phi2 - 1/19 over (2 - 1/19) - 1, which is 1 again
    assert statistics.cramers_v([[10, 0], [0, 10]]) == pytest.approx(np.sqrt((1 - 1 / 19) / (2 - 1 / 19 - 1)))


def test_cramers_v_equals_scipy():
    contingency = pytest.importorskip("scipy.stats.contingency")
    table = np.random.default_rng(3).integers(1, 40, (4, 6))
    assert statistics.cramers_v(table, corrected=False) == pytest.approx(
        contingency.association(table, method="cramer"), rel=1e-12
    )


def test_correction_takes_away_what_independence_gives():
    rng = np.random.default_rng(0)
    tables = [np.histogram2d(rng.integers(0, 8, 200), rng.integers(0, 8, 200), bins=8)[0] for _ in range(50)]
    raw = np.mean([statistics.cramers_v(table, corrected=False) for table in tables])
    assert np.mean([statistics.cramers_v(table) for table in tables]) < 0.35 * raw


def test_lift():
    user = statistics.labelled(Categorical("degree", np.array([1, 2, 2, 1], dtype=np.int32), ("", "3", "4")))
    item = statistics.labelled(Categorical("education", np.array([1, 1, 2, 2, 2, 0], dtype=np.int32), ("", "대학", "고교")))
    table = statistics.lift(TOY, user, item).set_index(["user_label", "item_label"])
    # user 0 (degree 3): 대학 2, 고교 1; users 1 and 2 (degree 4): 대학 1, 고교 2
    assert table["count"].to_dict() == {("3", "대학"): 2, ("3", "고교"): 1, ("4", "대학"): 1, ("4", "고교"): 2}
    assert table.loc[("3", "대학"), "expected"] == 3 * 3 / 6
    assert table.loc[("3", "대학"), "lift"] == 2 / (3 * 3 / 6)
    assert table.loc[("3", "대학"), "residual"] == pytest.approx((2 - 1.5) / np.sqrt(1.5 * (1 - 3 / 6) * (1 - 3 / 6)))


def test_expected_counts_are_scipys():
    contingency = pytest.importorskip("scipy.stats.contingency")
    rng = np.random.default_rng(2)
    log = Interactions(*np.divmod(rng.choice(30 * 20, 200, replace=False), 20), 30, 20)
    user = statistics.labelled(Categorical("a", rng.integers(1, 4, 30).astype(np.int32), ("", "x", "y", "z")))
    item = statistics.labelled(Categorical("b", rng.integers(1, 3, 20).astype(np.int32), ("", "x", "y")))
    table = statistics.lift(log, user, item)
    expected = contingency.expected_freq(statistics.cross_table(log, user, item).to_numpy())
    assert table["expected"].to_numpy() == pytest.approx(expected.ravel(), rel=1e-12)
