"""Each kind of feature by arithmetic, from four rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsys_lib.data.features import FeatureTable, Numeric, Vectors, categorical, multi_label, numeric
from recsys_lib.data.ids import IdMap
from recsys_lib.models.feature_encoder import FeatureEncoder

IDS = IdMap(["a", "b", "c", "d"], "user")
ROWS = torch.arange(4)


def table(*features):
    return FeatureTable(4, features)


def test_numbers_are_z_scores_with_a_flag_for_missing():
    # 1 and 5: mean 3, standard deviation 2 (of the values there are)
    encoder = FeatureEncoder(table(numeric("age", IDS, ["a", "c"], [1.0, 5.0])), 8)
    assert encoder.width == 2
    assert encoder(ROWS).tolist() == [[(1 - 3) / 2, 0], [0, 1], [(5 - 3) / 2, 0], [0, 1]]


def test_a_constant_or_wholly_missing_number_divides_by_nothing():
    constant = FeatureEncoder(table(numeric("age", IDS, ["a", "c"], [7.0, 7.0])), 8)
    assert constant(ROWS).tolist() == [[0, 0], [0, 1], [0, 0], [0, 1]]
    missing = FeatureEncoder(table(numeric("age", IDS, [], [])), 8)
    assert missing(ROWS).tolist() == [[0, 1]] * 4


def test_swapped_numbers_are_measured_by_the_first_tables_rule():
    encoder = FeatureEncoder(table(numeric("age", IDS, ["a", "c"], [1.0, 5.0])), 8)
    encoder.set_table(table(numeric("age", IDS, ["b", "d"], [9.0, 3.0])))
    assert encoder(ROWS).tolist() == [[0, 1], [(9 - 3) / 2, 0], [0, 1], [(3 - 3) / 2, 0]]


def test_categories_have_an_embedding_each_and_missing_has_its_own():
    encoder = FeatureEncoder(table(categorical("degree", IDS, ["a", "b", "d"], ["m", "b", "m"])), 3)
    weights = encoder.categories.weight
    assert weights.shape == (1 + 2, 3)  # "", "b", "m"
    assert torch.equal(encoder(ROWS), weights[torch.tensor([2, 1, 0, 2])])
    encoder(ROWS).sum().backward()
    assert weights.grad[0].tolist() == [1, 1, 1]  # "missing" is learned as any other


def test_two_categories_do_not_share_their_labels():
    encoder = FeatureEncoder(
        table(categorical("one", IDS, IDS.ids, ["x", "y", "x", "y"]), categorical("two", IDS, IDS.ids, ["x", "x", "x", "z"])), 2
    )
    weights = encoder.categories.weight  # rows: "", x, y of one; "", x, z of two
    assert weights.shape == (3 + 3, 2)
    expected = torch.cat([weights[torch.tensor([1, 2, 1, 2])], weights[3 + torch.tensor([1, 1, 1, 2])]], 1)
    assert torch.equal(encoder(ROWS), expected)


def test_multi_labels_are_the_mean_of_theirs_and_zero_without_any():
    encoder = FeatureEncoder(table(multi_label("genres", IDS, ["a", "a", "c", "c", "c"], ["x", "z", "x", "y", "z"])), 5)
    x, y, z = encoder.bags[0].weight[1:]  # row 0 is the padding
    expected = torch.stack([(x + z) / 2, torch.zeros(5), (x + y + z) / 3, torch.zeros(5)])
    assert torch.allclose(encoder(ROWS), expected, rtol=1e-6, atol=1e-8)


def test_the_padding_stays_zero_when_it_learns():
    encoder = FeatureEncoder(table(multi_label("genres", IDS, ["a", "a", "c"], ["x", "z", "x"])), 5)
    optimizer = torch.optim.Adam(encoder.parameters(), lr=0.1)
    encoder(ROWS).square().sum().backward()
    optimizer.step()
    assert encoder.bags[0].weight[0].eq(0).all()
    assert encoder(ROWS)[1].eq(0).all()


def test_the_columns_of_all_kinds_together_and_rows_in_the_order_asked():
    features = (
        numeric("age", IDS, IDS.ids, [1.0, 2.0, 3.0, 4.0]),
        categorical("degree", IDS, ["a"], ["m"]),
        multi_label("genres", IDS, ["b"], ["x"]),
    )
    encoder = FeatureEncoder(table(*features), 3)
    assert encoder.parts == {"degree": 3, "genres": 3, "age": 2} and encoder.width == 8
    whole = encoder(ROWS)
    assert whole.shape == (4, 8)
    assert torch.equal(encoder(torch.tensor([3, 0, 3])), whole[torch.tensor([3, 0, 3])])
    alone = [FeatureEncoder(table(feature), 3) for feature in features]
    assert torch.equal(whole[:, 6:], alone[0](ROWS))


def test_no_features_have_no_columns():
    encoder = FeatureEncoder(FeatureTable(4), 8)
    assert encoder.width == 0 and encoder.parts == {}
    assert encoder(torch.tensor([1, 2])).shape == (2, 0)


def test_the_values_are_no_weights_and_do_not_go_into_the_checkpoint():
    encoder = FeatureEncoder(table(numeric("age", IDS, IDS.ids, [1.0, 2, 3, 4]), categorical("degree", IDS, ["a"], ["m"])), 3)
    assert list(encoder.state_dict()) == ["categories.weight"]


@pytest.mark.parametrize(
    "feature, message",
    [
        (categorical("degree", IDS, ["a"], ["b"]), "feature 'degree' had 3 labels when the model was built and has 2 now"),
        (numeric("degree", IDS, ["a"], [1]), "feature 'degree' was Categorical when the model was built and is Numeric now"),
        (numeric("age", IDS, ["a"], [1]), "the model uses feature 'degree'; the new table has age"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_and_changes_nothing(feature, message):
    encoder = FeatureEncoder(table(categorical("degree", IDS, ["a", "b"], ["b", "m"])), 3)
    before = encoder(ROWS)
    with pytest.raises(ValueError, match=message):
        encoder.set_table(table(feature))
    assert torch.equal(encoder(ROWS), before)


def test_missing_values_never_reach_the_network():
    values = np.array([np.nan, 1.0, np.nan, 2.0])
    encoder = FeatureEncoder(table(numeric("age", IDS, IDS.ids, values)), 3)
    assert encoder(ROWS).isfinite().all()


# ---- scales of numbers


def scaled(values, scale, swapped=None):
    encoder = FeatureEncoder(FeatureTable(len(values), [Numeric("age", np.float32(values))]), 8, scale)
    if swapped is not None:
        encoder.set_table(FeatureTable(len(values), [Numeric("age", np.float32(swapped))]))
    numbers = encoder(torch.arange(len(values)))
    assert numbers[:, 1].tolist() == np.isnan(values if swapped is None else swapped).tolist()  # the flag, in every scale
    return numbers[:, 0].numpy()


def test_a_quantile_is_the_normal_one_of_the_share_below_with_ties_in_the_middle():
    from scipy.stats import norm, rankdata

    values = np.float32([5, 1, 7, 5, 1e9, np.nan, 5, -3])
    known = values[~np.isnan(values)]
    expected = np.zeros(8)
    expected[~np.isnan(values)] = norm.ppf(rankdata(known) / (len(known) + 1))  # the mean rank of ties
    assert scaled(values, "quantile") == pytest.approx(expected, abs=1e-6)
    assert scaled([2, 4, 6], "quantile") == pytest.approx(norm.ppf([0.25, 0.5, 0.75]), abs=1e-6)


def test_quantiles_do_not_feel_outliers_and_the_logarithm_feels_them_less():
    tame, wild = [1, 2, 3, 4, 5], [1, 2, 3, 4, 1e6]
    assert scaled(wild, "quantile").tolist() == scaled(tame, "quantile").tolist()
    assert scaled(wild, "log").max() < scaled(wild, "z-score").max() == pytest.approx(2, abs=1e-3)


def test_swapped_numbers_have_the_quantile_that_they_would_have_among_the_first():
    from scipy.stats import norm

    # of 1, 2, 2, 4: below 0 none, 1.5 is above 1 of 4, at 2 stand 2 after 1 below, 9 is above all
    shares = np.array([0 + 0.5, 1 + 0.5, 1 + 1 + 0.5, 4 + 0.5]) / 5
    assert scaled([1, 2, 2, 4], "quantile", [0, 1.5, 2, 9]) == pytest.approx(norm.ppf(shares), abs=1e-6)
    assert np.isfinite(scaled([1, 2, 2, 4], "quantile", [-1e30, 1e30, np.nan, 0])).all()


def test_the_logarithm_is_the_z_score_of_the_size_with_its_sign():
    values = np.float32([0, np.e - 1, -(np.e**2 - 1), np.nan])  # 0, 1, -2
    expected = (np.array([0, 1, -2]) + 1 / 3) / np.std([0, 1, -2])
    assert scaled(values, "log") == pytest.approx([*expected, 0], abs=1e-6)
    assert scaled(values, "log", [np.e - 1, 0, np.nan, 0])[0] == pytest.approx(expected[1], abs=1e-6)


@pytest.mark.parametrize("scale", ["z-score", "quantile", "log"])
def test_every_scale_does_without_values_and_without_a_spread(scale):
    assert scaled([np.nan] * 3, scale).tolist() == [0, 0, 0]
    assert scaled([4, 4, np.nan], scale) == pytest.approx([0, 0, 0], abs=1e-6)
    assert np.isfinite(scaled([np.nan] * 3, scale, [1, 2, np.nan])).all()


# ---- vectors


def test_vectors_come_at_the_size_of_a_z_score_with_one_flag_for_missing():
    values = np.float32([[3, 4], [np.nan, np.nan], [0, 5], [5, 0]])
    encoder = FeatureEncoder(table(Vectors("text", values)), 8)
    size = np.sqrt((9 + 16 + 25 + 25) / 6)  # the mean square of the six numbers there are becomes 1
    expected = [[3 / size, 4 / size, 0], [0, 0, 1], [0, 5 / size, 0], [5 / size, 0, 0]]
    assert encoder.width == 3 and encoder.parts == {"text": 3}
    assert encoder(ROWS).numpy() == pytest.approx(np.array(expected), rel=1e-6)


def test_swapped_vectors_are_divided_by_what_the_first_were():
    encoder = FeatureEncoder(table(Vectors("text", np.full((4, 2), 10, np.float32))), 8)
    encoder.set_table(table(Vectors("text", np.float32([[1, 2], [np.nan, 1], [0, 0], [10, 10]]))))
    assert encoder(ROWS).numpy() == pytest.approx(np.array([[0.1, 0.2, 0], [0, 0.1, 1], [0, 0, 0], [1, 1, 0]]))


@pytest.mark.parametrize("number", [np.nan, 0.0])
def test_vectors_that_say_nothing_divide_by_nothing(number):
    encoder = FeatureEncoder(table(Vectors("text", np.full((4, 2), number, np.float32))), 8)
    assert encoder(ROWS).tolist() == [[0, 0, float(np.isnan(number))]] * 4


def test_numbers_and_vectors_stand_in_the_order_of_the_parts():
    age, text = numeric("age", IDS, IDS.ids, [1.0, 5.0, 1.0, 5.0]), Vectors("text", np.ones((4, 3), np.float32))
    encoder = FeatureEncoder(table(text, age), 8)
    assert list(encoder.parts.items()) == [("age", 2), ("text", 4)] and encoder.width == 6
    assert encoder(ROWS)[:2].tolist() == [[-1, 0, 1, 1, 1, 0], [1, 0, 1, 1, 1, 0]]


def test_vectors_of_another_width_are_refused():
    encoder = FeatureEncoder(table(Vectors("text", np.ones((4, 3), np.float32))), 8)
    with pytest.raises(ValueError, match="feature 'text' had 3 columns when the model was built and has 2 now"):
        encoder.set_table(table(Vectors("text", np.ones((4, 2), np.float32))))
