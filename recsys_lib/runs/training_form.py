"""One training from the data to its run folder, as 02_train's cells do it; and a form that starts it by a click."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from recsys_lib.data.splits import Split
from recsys_lib.datasets.base import Dataset
from recsys_lib.display.widgets import Field, settings_form
from recsys_lib.evaluation.evaluator import Evaluator, cut_offs
from recsys_lib.models import build_model, model_class, model_names
from recsys_lib.models import model_config as options_of
from recsys_lib.runs.folder import RunFolder
from recsys_lib.runs.resuming import Workspace, open_training
from recsys_lib.runs.trained import finish_training
from recsys_lib.training import config as settings
from recsys_lib.training.trainer import Trainer

MODEL, TRAINING = "Model · 모델 설정", "Training · 학습 설정"
# What a person turns; the others (monitor, seed, device ...) follow from the notebook or stay as TRAIN_CONFIG gives them.
TURNED = (
    "epochs", "batch_size", "learning_rate", "weight_decay", "plateau_factor", "plateau_patience", "min_learning_rate",
    "early_stopping_patience", "evaluate_every", "evaluate_below_loss",
)  # fmt: skip


def train_run(
    dataset: Dataset,
    split: Split,
    ws: Workspace,
    *,
    model: str,
    model_config: Mapping[str, Any],
    train_config: Mapping[str, Any],
    seed: int,
    k: int,
    parameters: Mapping[str, Any] | None = None,
) -> RunFolder:
    """Build, train and finish one run; say the verdict, show the figures, publish.

    Args:
        model: a name of the registry. model_config, train_config: as MODEL_CONFIG and TRAIN_CONFIG of 02_train.
        seed: of the first weights, the negatives and the dropout. k: recall@k on validation chooses the best epoch.
        parameters: the notebook's others (SPLIT ...), kept in the run beside these.
    Raises:
        ValueError: an unknown model or setting, a wrong type or value; before a run folder is made.
    """
    from IPython.display import display

    built = build_model(model, dataset.catalogue, seed=seed, **model_config)
    config = settings.train_config(model, **{"monitor": f"recall@{k}", "seed": seed} | dict(train_config))
    given = {"SEED": seed, "SPLIT": split.protocol, "K": k} | dict(parameters or {})
    given |= {"SEED": seed, "K": k, "MODEL": model, "MODEL_CONFIG": dict(model_config), "TRAIN_CONFIG": dict(train_config)}
    validate = Evaluator(split.validation, seen=split.known_before_validation, ks=cut_offs(k, split.train.n_items)).evaluate
    run = open_training(ws, dataset, split, model=built, config=config, parameters=given, resume=False)
    record = Trainer(config, run).fit(built, split.train, validate)
    print(record.verdict)
    print(f"{record.seconds_training:.1f} s in training, {record.seconds_evaluation:.1f} s in evaluation")
    figures = finish_training(run, built, record, dataset=dataset, split=split, config=config, seed=seed, parameters=given)
    display(record.report.table(), *figures)
    print(run.said_at_the_end())
    return run


def training_form(dataset: Dataset, split: Split, ws: Workspace, *, seed: int, k: int, parameters: Mapping[str, Any]) -> None:
    """A form of every model's options and of the training's settings; Start makes one run with train_run().

    Nothing is drawn in a batch. The same run can be had from the parameters cell: the form prints the three lines.

    Args:
        parameters: 02_train's; MODEL, MODEL_CONFIG and TRAIN_CONFIG are what the form starts from.
    Raises:
        ValueError: MODEL is not registered, or an option in MODEL_CONFIG or TRAIN_CONFIG is wrong.
    """
    first = parameters.get("MODEL", model_names()[0])
    own = {first: dict(parameters.get("MODEL_CONFIG", {}))}
    given = dict(parameters.get("TRAIN_CONFIG", {}))
    _groups(first, own[first], given)  # what is wrong in the parameters cell is said even where nothing is drawn

    def start(values: dict[str, Any]) -> None:
        name = values.pop("model")
        options = {field.name: values.pop(field.name) for field in dataclasses.fields(model_class(name).Config)}
        chosen = {"model": name, "model_config": options, "train_config": given | values}
        print(_as_parameters(**chosen))
        train_run(dataset, split, ws, **chosen, seed=seed, k=k, parameters=parameters)

    settings_form(
        lambda name: _groups(name, own.get(name, {}), given),
        start,
        choice=Field("model", first, "the model to train; its own options stand below", tuple(model_names())),
        title="Train a model · 모델 학습하기",
        instead="train_run(dataset, split, ws, model=MODEL, model_config=MODEL_CONFIG, train_config=TRAIN_CONFIG, seed=SEED, k=K)",
    )


def _groups(name: str, model_options: Mapping[str, Any], train_settings: Mapping[str, Any]) -> dict[str, list[Field]]:
    """The fields of one model. Raises: ValueError for a wrong name, option or setting."""
    groups = {MODEL: _fields(options_of(name, **model_options))}
    config = settings.train_config(name, **train_settings)
    if model_class(name).needs_training:
        groups[TRAINING] = [field for field in _fields(config) if field.name in TURNED]
    return {heading: fields for heading, fields in groups.items() if fields}


def _fields(options: Any) -> list[Field]:
    """A field for every option of a dataclass instance."""
    return [Field(field.name, _plain(getattr(options, field.name)), field.metadata.get("help", "")) for field in dataclasses.fields(options)]


def _as_parameters(model: str, model_config: Mapping[str, Any], train_config: Mapping[str, Any]) -> str:
    """The parameters cell that gives the same run; what is a default anyway is left out."""
    own = _changed(model_config, options_of(model))
    training = _changed(train_config, settings.train_config(model))
    return f"# the parameters cell of the same run · 같은 실행의 parameters 셀\nMODEL = {model!r}\nMODEL_CONFIG = {own}\nTRAIN_CONFIG = {training}"


def _changed(values: Mapping[str, Any], usual: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != _plain(getattr(usual, name, None))}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
