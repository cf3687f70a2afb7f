"""A training's results in its run folder; and a model brought back from there, as it was or refitted on every row."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import pandas as pd

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.files import replacing
from recsys_lib.data.splits import Split
from recsys_lib.datasets.base import Dataset
from recsys_lib.display.plots import loss_against_recall, training_curves
from recsys_lib.evaluation.evaluator import Report
from recsys_lib.models import build_model
from recsys_lib.models.base import Recommender, checked
from recsys_lib.models.blend import Blend, BlendConfig
from recsys_lib.runs.folder import RunFolder
from recsys_lib.training.checkpoints import load_weights
from recsys_lib.training.config import TrainConfig, train_config
from recsys_lib.training.trainer import Trainer, TrainRecord

BLEND = "blend"  # the model of a run that was made of other runs, see studies/blending.py


def finish_training(
    run: RunFolder,
    model: Recommender,
    record: TrainRecord,
    *,
    dataset: Dataset,
    split: Split,
    config: TrainConfig,
    seed: int,
    parameters: dict[str, Any],
) -> list:
    """Write metrics.json, lists.parquet (validation), the figures and, last, run.json; return the figures.

    Args:
        seed: of the model's first weights. parameters: the notebook's, kept as they were given.
    """
    run.refuse_if_finished()
    run.write_metrics({"part": "validation"} | record.report.summary())
    run.write_lists(lists_frame(record.report, dataset.catalogue, "validation"))
    figures = []
    if model.needs_training:
        about = {"footer": f"{model.name} on {dataset.title}, {split.protocol}", "synthetic": dataset.synthetic}
        drawn = {"training_curves": training_curves, "loss_against_recall": loss_against_recall}
        for name, draw in drawn.items():
            figures.append(draw(record.history, record.monitor, **about))
            run.save_figure(name, figures[-1])
    run.finish(
        kind="training",
        model=model.name,
        parameters=parameters,
        model_config=vars(model.config),
        train_config=vars(config),
        seed=seed,
        features=sorted(model.uses_features),
        learning_rates=record.learning_rates,
        fit_rows=len(split.train),
        **identity(dataset, split),
        **record.summary(),
    )
    return figures


def identity(dataset: Dataset, split: Split) -> dict[str, Any]:
    """What two runs must share to stand in one table."""
    return {
        "dataset": dataset.title,
        "data_fingerprint": data_fingerprint(dataset),
        "split": split.protocol,
        "split_seed": split.seed,
        "split_fingerprint": split.fingerprint,
    }


def data_fingerprint(dataset: Dataset) -> str:
    """Of the log and of all features: a changed feature is other data too."""
    tables = dataset.catalogue.user_features, dataset.catalogue.item_features
    parts = [dataset.interactions.fingerprint, *(table.fingerprint() for table in tables)]
    return hashlib.sha256(",".join(parts).encode()).hexdigest()[:16]


def lists_frame(report: Report, catalogue: Catalogue, part: str) -> pd.DataFrame:
    """A report's lists with external ids: part, user_id, item_id, rank, score; for lists.parquet."""
    n_users, length = report.ranked.shape
    items = report.ranked.ravel()
    frame = pd.DataFrame(
        {
            "part": part,
            "user_id": catalogue.users.ids_of(report.users.repeat(length)),
            "item_id": catalogue.items.ids_of(items.clip(min=0)),
            "rank": [*range(1, length + 1)] * n_users,
            "score": report.scores.ravel(),
        }
    )
    return frame[items >= 0]


def load_model(run: RunFolder, dataset: Dataset, split: Split) -> Recommender:
    """The run's model as it stood at its best epoch.

    Raises:
        ValueError: the run is not a finished training, or was trained on other data or another split.
    """
    record = _training_record(run)
    for what in ("data_fingerprint", "split_fingerprint"):
        here = identity(dataset, split)[what]
        if record[what] != here:
            raise ValueError(
                f"run {run.name} was trained on {what.replace('_fingerprint', '')} {record[what]}, here it is {here}; "
                "use the same files, SPLIT and SEED."
            )
    if record["model"] == BLEND:
        return _blend(record, [load_model(member, dataset, split) for member in members_of(run)])
    model = _build(record, dataset)
    trainer = Trainer(_settings(record))
    trainer.repeat(model, split.train, learning_rates=[])  # prepares; a closed form is whole again after this
    if model.needs_training:
        load_weights(run.path / "best.safetensors", model)
    return model.eval()


def refit(run: RunFolder, dataset: Dataset) -> Recommender:
    """The same configuration on every row, for as many epochs as the best one took, at the same learning rates.

    For the submission: the rows that validation and test held out are the freshest evidence there is. There is nothing
    left to judge this model with; its quality is what the run's test said, or better.
    """
    record = _training_record(run)
    if record["data_fingerprint"] != data_fingerprint(dataset):
        raise ValueError(f"run {run.name} was trained on other data ({record['dataset']}); use the same files.")
    if record["model"] == BLEND:
        return _blend(record, [refit(member, dataset) for member in members_of(run)])
    model = _build(record, dataset)
    Trainer(_settings(record)).repeat(model, dataset.interactions, learning_rates=record["learning_rates"])
    return model.eval()


def keep_members(run: RunFolder, members: Sequence[RunFolder]) -> None:
    """Copy what a blend needs of its members into its folder, so that it stands alone wherever it is moved or published."""
    for member in members:
        for name in ("best.safetensors", "run.json"):  # the record last: with it the copy counts as whole
            if (member.path / name).is_file():
                with replacing(run.path / "members" / member.name / name) as part:
                    part.write_bytes((member.path / name).read_bytes())


def members_of(run: RunFolder) -> list[RunFolder]:
    """The trainings that a blend is made of, in the order of its weights. Raises: ValueError where one is not there."""
    members = [RunFolder(run.path / "members" / name) for name in run.record["parents"]]
    missing = [member.name for member in members if not member.is_finished]
    if missing:
        raise ValueError(
            f"the blend {run.name} lacks {', '.join(missing)} in its folder members/; was it copied whole? Publish it again, or blend anew."
        )
    return members


def _blend(record: dict[str, Any], members: list[Recommender]) -> Recommender:
    return Blend(members, checked(BlendConfig, record["model_config"], "option of a blend")).to(members[0].device).eval()


def _training_record(run: RunFolder) -> dict[str, Any]:
    record = run.record
    if not run.is_finished or record.get("kind") != "training":
        raise ValueError(f"run {run.name} is not a finished training (kind {record.get('kind')!r}, {run.status})")
    return record


def _build(record: dict[str, Any], dataset: Dataset) -> Recommender:
    config = dict(record["model_config"])
    if record["model"] == "gmf" and config.get("features") == "all":
        # Until it was refused, "all" meant to gmf what it can use.
        config["features"] = "user" if dataset.catalogue.user_features.names else "none"
    if record["model"] == "feature_knn" and config.get("weights", "auto") != "auto":
        # Nor was a feature without a weight; with "all", the weights alone say which are used.
        config["features"] = "all"
    return build_model(record["model"], dataset.catalogue, seed=record["seed"], **config)


def _settings(record: dict[str, Any]) -> TrainConfig:
    # Where it was trained is not where it runs now.
    return train_config(record["model"], **record["train_config"] | {"device": "auto"})
