from __future__ import annotations

import dataclasses

import pytest

from recsys_lib.models import model_class, model_names
from recsys_lib.training.config import TrainConfig, train_config, train_options


@pytest.mark.parametrize(
    "given, message",
    [
        ({"epochs": 0}, "epochs must be 1 or more; got 0"),
        ({"batch_size": 0}, "batch_size must be 1 or more; got 0"),
        ({"evaluate_every": 0}, "evaluate_every must be 1 or more; got 0"),
        ({"early_stopping_patience": 0}, "early_stopping_patience must be 1 or more; got 0"),
        ({"plateau_patience": -1}, "must not be negative"),
        ({"weight_decay": -0.1}, "must not be negative"),
        ({"plateau_factor": 1.0}, "plateau_factor must lie between 0 and 1; got 1.0"),
        ({"plateau_factor": 0.0}, "plateau_factor must lie between 0 and 1; got 0.0"),
        ({"learning_rate": 1e-6}, "learning_rate must be at least min_learning_rate and above 0; got 1e-06 and 1e-05"),
        ({"min_learning_rate": 0.0}, "above 0; got .* and 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be"),
        ({"monitor": "recall"}, "monitor names one of recall, .* with a cut-off, e.g. 'recall@5'; got 'recall'"),
        ({"monitor": "recal@5"}, "got 'recal@5'"),
        ({"monitor": "coverage@5"}, "got 'coverage@5'"),
        ({"weight_decay": float("nan")}, "must not be negative"),
        ({"device": "gpu"}, "device must be auto, cpu or cuda; got 'gpu'"),
        ({"precision": "bf16"}, "precision must be float32, bfloat16 or float16; got 'bf16'"),
        ({"learning_rat": 0.1}, r"no training setting 'learning_rat'; did you mean 'learning_rate'\? There are: epochs, "),
        ({"epochs": 2.5}, r"training setting 'epochs' must be of type int; got 2.5 \(float\)"),
        ({"epochs": True}, r"training setting 'epochs' must be of type int; got True \(bool\)"),
        ({"tensorboard": 1}, r"training setting 'tensorboard' must be of type bool; got 1 \(int\)"),
        ({"evaluate_below_loss": "0.5"}, r"training setting 'evaluate_below_loss' must be of type float; got '0.5'"),
    ],
)
@pytest.mark.parametrize("name", ["ease", "neumf"])
def test_every_check(name, given, message):
    with pytest.raises(ValueError, match=message):
        train_config(name, **given)


def test_the_edges_are_allowed():
    config = train_config(
        "ease", epochs=1, batch_size=1, plateau_patience=0, learning_rate=1, min_learning_rate=1.0, evaluate_below_loss=2, device="cuda:1"
    )
    assert config.learning_rate == config.min_learning_rate == 1.0 and isinstance(config.learning_rate, float)
    assert config.evaluate_below_loss == 2.0 and train_config("ease", evaluate_below_loss=None).evaluate_below_loss is None


@pytest.mark.parametrize("name", model_names())
def test_a_default_is_written_once(name):
    """The general default, unless the model has its own; and what is given wins over both."""
    own = model_class(name).training_defaults
    for field in dataclasses.fields(TrainConfig):
        assert getattr(train_config(name), field.name) == own.get(field.name, field.default)
    assert train_config(name, epochs=77).epochs == 77


def test_an_unknown_model_is_named():
    with pytest.raises(ValueError, match="no model 'eas'; did you mean 'ease'"):
        train_config("eas")


def test_options_are_shown_with_value_general_default_and_meaning():
    table = train_options(train_config("multi_dae", learning_rate=0.5))
    assert list(table.index) == [field.name for field in dataclasses.fields(TrainConfig)]
    assert table.loc["learning_rate", "value"] == 0.5 and table.loc["learning_rate", "default"] == TrainConfig.learning_rate
    assert (table["meaning"].str.len() > 10).all()


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().epochs = 3
