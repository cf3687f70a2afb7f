"""Six ways in which two people measure the same model and get different figures; and which of them is ours.

Each expected value is arithmetic on a toy that fits in the head: 6 items, one or a few users.
"""

from math import log2

import numpy as np
import pytest
import torch

from recsys_lib.data.candidates import Candidates
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import leave_one_out
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.models import build_model
from recsys_lib.models.base import Recommender
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import catalogue_of

N_ITEMS = 6


class Fixed(Recommender):
    """The same scores whatever is asked."""

    name = "fixed"
    needs_training = False

    def __init__(self, scores):
        super().__init__(catalogue_of(len(scores), N_ITEMS), None)
        self.scores = torch.tensor(scores, dtype=torch.float32)
        self.trained_on = np.array([], dtype=np.int64)

    def score(self, users, history):
        return self.scores[users].clone()


def rows(pairs, n_users=1):
    users, items = zip(*pairs) if pairs else ((), ())
    return Interactions(users, items, n_users, N_ITEMS)


def report(scores, held_out, seen=(), k=1, **how):
    n_users = len(scores)
    return Evaluator(rows(held_out, n_users), seen=rows(seen, n_users), ks=[k], **how).evaluate(Fixed(scores))


def test_trap_one_the_denominator_of_recall():
    # 4 answers, 2 places, both are hits.
    found = report([[6, 5, 1, 1, 1, 1]], held_out=[(0, 0), (0, 1), (0, 2), (0, 3)], k=2)
    assert found.mean("recall@2") == 2 / 4  # Ferrari Dacrema et al., RecBole
    assert found.mean("truncated_recall@2") == 2 / min(2, 4)  # Liang et al., DACON, Boostcamp


def test_trap_two_the_ideal_of_ndcg_ends_at_k():
    # 3 answers, 2 places, a hit at rank 2.
    found = report([[0, 9, 8, 1, 1, 1]], held_out=[(0, 2), (0, 3), (0, 4)], k=2)
    dcg = 1 / log2(3)
    assert found.mean("ndcg@2") == pytest.approx(dcg / (1 / log2(2) + 1 / log2(3)))
    of_all_answers = dcg / (1 / log2(2) + 1 / log2(3) + 1 / log2(4))  # TOIS 2021: less for the same list
    assert found.mean("ndcg@2") > of_all_answers


def test_trap_three_a_sample_of_the_catalogue_may_turn_the_order_of_two_models_round():
    answers = [(0, 0), (1, 0)]
    one_good_one_bad = [[9, 1, 1, 1, 1, 1], [0, 5, 4, 3, 2, 1]]  # the answer's rank: 1 and 6
    both_second = [[8, 9, 1, 1, 1, 1], [8, 9, 1, 1, 1, 1]]  # 2 and 2
    assert report(one_good_one_bad, answers).mean("hit_rate@1") == (1 + 0) / 2
    assert report(both_second, answers).mean("hit_rate@1") == (0 + 0) / 2
    few = {"candidates": Candidates([0, 1], [[3, 5], [2, 4]])}  # item 1, the one better, is not among them
    assert report(one_good_one_bad, answers, **few).mean("hit_rate@1") == (1 + 0) / 2
    assert report(both_second, answers, **few).mean("hit_rate@1") == (1 + 1) / 2
    assert report(both_second, answers, **few).kind == "evaluation among 2 candidates"  # never in one column


def test_trap_four_which_row_is_held_out():
    # Four users chose 0, 1, 2 and then, all of them, the new thing: 5.
    log = Interactions(np.repeat(np.arange(4), 4), [0, 1, 2, 5] * 4, 4, N_ITEMS, timestamps=[1, 2, 3, 9] * 4)

    def of_popularity(split):
        model = build_model("popularity", catalogue_of(4, N_ITEMS), seed=0)
        Trainer(train_config("popularity", device="cpu")).repeat(model, split.train, [])
        return Evaluator(split.test, seen=split.known_before_test, ks=[1]).evaluate(model).mean("recall@1")

    # The last row: nobody has 5 in train, so it ties with 3 and 4 at 0 rows, and 3 has the lowest index.
    assert of_popularity(leave_one_out(log, held_out="last", seed=1)) == 0 / 4
    # A random row: others still have it in train, and 3 and 4 have nobody.
    assert of_popularity(leave_one_out(log, held_out="random", seed=1)) == 4 / 4


def test_trap_five_rows_of_one_moment_keep_the_order_of_the_file():
    # User 0's last two rows are of one second, as a quarter of MovieLens' last rows are; the later line is the last.
    log = Interactions([0, 0, 0, 1, 1, 1], [3, 1, 2, 0, 4, 5], 2, N_ITEMS, timestamps=[5, 9, 9, 1, 2, 3])
    split = leave_one_out(log, held_out="last", seed=0)
    assert split.test.items.tolist() == [2, 5]
    swapped = log.take(np.array([0, 2, 1, 3, 4, 5]))  # somebody's sort was not stable
    other = leave_one_out(swapped, held_out="last", seed=0)
    assert other.test.items.tolist() == [1, 5], "1 of 2 test rows differs"
    assert other.fingerprint != split.fingerprint, "and the fingerprint tells"
    assert leave_one_out(log, held_out="last", seed=7).fingerprint == split.fingerprint


def test_equal_scores_go_by_the_item_s_index_and_never_by_where_the_answer_stands():
    scores = [[1, 7, 1, 1, 7, 1], [1, 7, 1, 1, 7, 1]]  # items 1 and 4 are equally good
    answers = [(0, 1), (1, 4)]
    assert report(scores, answers).mean("hit_rate@1") == (1 + 0) / 2  # not 2/2 (answer first), not 0/2 (answer last)
    for candidates in ([[4, 5], [1, 5]], [[5, 4], [5, 1]]):
        assert report(scores, answers, candidates=Candidates([0, 1], candidates)).mean("hit_rate@1") == (1 + 0) / 2


def test_trap_six_the_mask_holds_all_that_is_known_and_is_minus_infinity():
    train, validation, test = (0, 0), (0, 1), (0, 2)
    scores = [[-1, -2, -3, -4, -5, -6]]  # all are below 0: a mask of 0 would put seen items first
    assert report(scores, held_out=[test], seen=[train]).mean("recall@1") == 0 / 1  # the validation row takes the place
    assert report(scores, held_out=[test], seen=[train, validation]).mean("recall@1") == 1 / 1
