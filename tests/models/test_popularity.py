import numpy as np
import torch

from recsys_lib.evaluation.ranking import recommend
from recsys_lib.models import build_model
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer


def test_a_score_is_the_number_of_rows_of_the_item(toy_catalogue, toy_log):
    model = build_model("popularity", toy_catalogue, seed=0)
    Trainer(train_config("popularity")).repeat(model, toy_log, [])
    scores = model.score(torch.tensor([3, 0]), toy_log.history().take(torch.tensor([3, 0])))
    assert scores.tolist() == [[2, 2, 2, 2, 0, 1]] * 2  # items 0 and 2: users 0, 2; item 1: users 0, 1; item 3: users 1, 2
    # user 2 has 0, 2, 3, 5; the rest in the order of their counts: item 1 (2 rows), item 4 (none)
    assert recommend(model, toy_log, users=np.array([2]), k=2)["item_id"].tolist() == ["i1", "i4"]


def test_only_train_counts_not_what_is_known_when_asked(toy_catalogue, toy_log):
    model = build_model("popularity", toy_catalogue, seed=0)
    Trainer(train_config("popularity")).repeat(model, toy_log.take(toy_log.users < 2), [])
    assert model.score(torch.tensor([0]), toy_log.history().take(torch.tensor([0]))).tolist() == [[1, 2, 1, 1, 0, 0]]
