from __future__ import annotations

import pandas as pd
import pytest

from recsys_lib.training.verdict import overfit_verdict


def history(losses, metrics):
    return pd.DataFrame({"epoch": range(1, len(losses) + 1), "loss": losses, "recall@5": metrics})


def test_overfitting_names_the_epoch_and_both_movements():
    text = overfit_verdict(history([0.7, 0.5, 0.3, 0.2], [0.10, 0.20, 0.18, 0.15]), "recall@5", fit=0.6, validation=0.2)
    assert text.startswith("Overfitting after epoch 2: the training loss went on from 0.5000 to 0.2000")
    assert "fell by 25%" in text and "epoch 2 are kept" in text  # 1 - 0.15 / 0.20
    assert "recall@5 is 0.6000; on validation 0.2000 (3.0 times)" in text


def test_a_fall_without_a_falling_loss_is_no_overfitting():
    text = overfit_verdict(history([0.7, 0.5, 0.6], [0.1, 0.2, 0.1]), "recall@5", fit=0.6, validation=0.2)
    assert text.startswith("Levelled off at epoch 2")


def test_a_fall_within_two_percent_is_noise():
    text = overfit_verdict(history([0.7, 0.5, 0.3], [0.1, 0.2, 0.197]), "recall@5", fit=0.6, validation=0.2)
    assert text.startswith("Levelled off at epoch 2")


def test_the_last_epoch_was_the_best():
    text = overfit_verdict(history([0.7, 0.5, 0.3], [0.1, 0.2, 0.3]), "recall@5", fit=0.5, validation=0.3)
    assert text.startswith("Not finished: the last epoch was the best")


def test_no_better_on_what_it_was_shown():
    text = overfit_verdict(history([0.7, 0.5, 0.5], [0.1, 0.2, 0.2]), "recall@5", fit=0.22, validation=0.2)
    assert text.startswith("No overfitting") and "(1.1 times)" in text and "larger model" in text


def test_epochs_that_were_not_evaluated_do_not_count():
    text = overfit_verdict(history([0.7, 0.5, 0.3, 0.2], [None, 0.2, None, 0.1]), "recall@5", fit=0.6, validation=0.2)
    assert text.startswith("Overfitting after epoch 2") and "fell by 50%" in text


@pytest.mark.parametrize("fit", [0.0, 0.3])
def test_a_validation_of_zero_divides_by_nothing(fit):
    text = overfit_verdict(history([0.7, 0.5], [0.0, 0.0]), "recall@5", fit=fit, validation=0.0)
    assert "on validation 0.0000." in text and "inf" not in text and "nan" not in text
