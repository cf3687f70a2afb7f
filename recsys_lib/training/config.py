"""How a model is trained: every setting, its default and its meaning, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from recsys_lib.evaluation.metrics import METRICS
from recsys_lib.models import model_class
from recsys_lib.models.base import checked, option, options_table


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the Trainer. "Evaluation" below always means the validation part."""

    epochs: int = option(30, "most epochs; early stopping and the learning rate's floor may end it before")
    batch_size: int = option(1024, "rows a step: pairs with their negatives for NCF, users for autoencoders and, on average, for models of sequences")
    learning_rate: float = option(1e-3, "initial learning rate of Adam")
    weight_decay: float = option(0.0, "L2 penalty on the weights")
    plateau_factor: float = option(0.5, "the learning rate is multiplied by this on a plateau of the monitored metric")
    plateau_patience: int = option(2, "evaluations without a new best that are borne; the next one lowers the rate")
    min_learning_rate: float = option(1e-5, "floor: once a plateau asks for less, training ends and says so")
    early_stopping_patience: int = option(6, "evaluations without a new best after which training ends")
    evaluate_every: int = option(1, "epochs between evaluations; the last epoch is always evaluated")
    evaluate_below_loss: float | None = option(None, "no evaluation while the training loss is above this; None: always")
    monitor: str = option("recall@10", "the metric that chooses the best epoch, e.g. recall@5 or ndcg@10")
    seed: int = option(0, "of the rows' order, negatives and dropout; the same seed gives the same weights on a CPU")
    device: str = option("auto", "auto, cpu or cuda; auto takes the GPU where there is one")
    precision: str = option("float32", "of the large products in training: float32; bfloat16 is faster; float16 is for GPUs without bfloat16 (T4); weights stay float32")
    tensorboard: bool = option(True, "write event files into the run folder")

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "evaluate_every", "early_stopping_patience"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more; got {getattr(self, name)}")
        if self.plateau_patience < 0 or not self.weight_decay >= 0:  # NaN too
            raise ValueError("plateau_patience and weight_decay must not be negative")
        if not 0 < self.plateau_factor < 1:
            raise ValueError(f"plateau_factor must lie between 0 and 1; got {self.plateau_factor}")
        if not 0 < self.min_learning_rate <= self.learning_rate:
            raise ValueError(
                f"learning_rate must be at least min_learning_rate and above 0; got {self.learning_rate} and {self.min_learning_rate}"
            )
        metric, _, k = self.monitor.partition("@")
        if metric not in METRICS or not k.isdigit():
            raise ValueError(
                f"monitor names one of {', '.join(METRICS)} with a cut-off, e.g. 'recall@5'; got {self.monitor!r}"
            )
        if self.precision not in ("float32", "bfloat16", "float16"):
            raise ValueError(f"precision must be float32, bfloat16 or float16; got {self.precision!r}")
        if self.device not in ("auto", "cpu", "cuda") and not self.device.startswith("cuda:"):
            raise ValueError(f"device must be auto, cpu or cuda; got {self.device!r}")


def train_config(model_name: str, **overrides: Any) -> TrainConfig:
    """The general defaults, then the model's own (its training_defaults), then what is given here.

    Raises:
        ValueError: an unknown model or setting ("did you mean"), a wrong type or value.
    """
    return checked(TrainConfig, model_class(model_name).training_defaults | overrides, "training setting")


def train_options(config: TrainConfig) -> pd.DataFrame:
    """Every setting: the value used, the general default, its meaning."""
    return options_table(config)
