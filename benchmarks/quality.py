"""Quality under a named protocol: the same command gives the same digits.

Nothing is tuned here. A model has its default options or those given by name, its epoch is chosen on validation, and the
test part is asked once. Every result goes into the JSON file at once, so that a run that was cut off goes on where it
stopped; a table (.md) and a figure (.png) beside it are made of the whole file.
"""

from __future__ import annotations

import json
import os
import platform
import re
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml

from recsys_lib.data.candidates import Candidates, sample_candidates
from recsys_lib.data.files import replacing, write_text
from recsys_lib.data.splits import Split, k_fold, make_split
from recsys_lib.datasets import Dataset, read_dataset
from recsys_lib.display.plots import model_comparison
from recsys_lib.evaluation.evaluator import Evaluator, Report, cut_offs
from recsys_lib.models import build_model, model_class, model_config
from recsys_lib.runs.folder import package_versions
from recsys_lib.runs.trained import data_fingerprint
from recsys_lib.training.config import TrainConfig, train_config
from recsys_lib.training.trainer import Trainer, choose_device

FITS = ("train", "train+validation")
N_FOLDS = 5
# What a result was measured on, and with what: two results that agree in it are one.
TASK = ("data_fingerprint", "protocol", "metric", "split_fingerprint", "candidates_fingerprint")
KEY = (*TASK, "fold", "model", "model_config", "train_config", "fit")
_MODEL = re.compile(r"(?P<name>\w+)(?P<options>(?::\w+=(?:\[[^\]]*\]|[^,:]+))*)")


@dataclass(frozen=True)
class ModelSpec:
    """A model and the options that are not its defaults, e.g. "ease:regularisation=1000".

    Options of the model and of its training stand side by side; each goes where it belongs.
    """

    name: str
    options: dict[str, Any]

    @classmethod
    def of(cls, text: str) -> ModelSpec:
        found = _MODEL.fullmatch(text.strip())
        if not found:
            raise ValueError(f"a model is a name with options, e.g. 'ease:regularisation=1000'; got {text!r}")
        pairs = re.findall(r":(\w+)=(\[[^\]]*\]|[^,:]+)", found["options"])
        spec = cls(found["name"], {name: _number(yaml.safe_load(value)) for name, value in pairs})
        spec.model_options, spec.train_config("ndcg@10", seed=0)  # misspelt ones are errors now, not after an hour
        return spec

    @property
    def _training(self) -> dict[str, Any]:
        settings = {field.name for field in fields(TrainConfig)} - {"seed", "monitor", "device"}
        return {name: value for name, value in self.options.items() if name in settings}

    @property
    def model_options(self) -> dict[str, Any]:
        options = {name: value for name, value in self.options.items() if name not in self._training}
        model_config(self.name, **options)
        return options

    def train_config(self, metric: str, seed: int) -> TrainConfig:
        return train_config(self.name, **self._training | {"monitor": metric, "seed": seed})

    def __str__(self) -> str:
        return self.name + "".join(f" {name}={value}" for name, value in self.options.items())


@dataclass(frozen=True)
class Experiment:
    """What is asked: protocol, models, seeds 0..n_seeds-1, fits, and the metric that chooses epochs and leads the table."""

    protocol: str
    models: tuple[ModelSpec, ...]
    n_seeds: int
    fits: tuple[str, ...]
    metric: str

    @classmethod
    def of(cls, protocol: str, models: str, n_seeds: int, fits: str = "train", metric: str = "ndcg@10") -> Experiment:
        """From the words of the command line. Raises: ValueError for a word that means nothing."""
        specs = tuple(ModelSpec.of(text) for text in re.split(r",(?![^\[]*\])", models))
        chosen = {fit.replace(" ", "") for fit in fits.split(",")}
        if unknown := chosen - set(FITS):
            raise ValueError(f"--fit takes {' and '.join(FITS)}; got {', '.join(sorted(unknown))}")
        if n_seeds < 1:
            raise ValueError(f"--seeds must be 1 or more; got {n_seeds}")
        train_config(specs[0].name, monitor=metric)  # raises for a metric that there is not
        return cls(protocol, specs, n_seeds, tuple(fit for fit in FITS if fit in chosen), metric)


@dataclass(frozen=True)
class Task:
    """One split with its evaluators' candidates (None: the whole catalogue)."""

    split: Split
    seed: int
    fold: int | None
    validation_candidates: Candidates | None = None
    test_candidates: Candidates | None = None

    @property
    def protocol(self) -> str:
        name = "k_fold" if self.fold else self.split.protocol
        return name if self.test_candidates is None else f"{name}+{self.test_candidates.n}"


def run_quality(experiment: Experiment, data: Path, file: Path) -> pd.DataFrame:
    """Run what the file does not hold yet; write the file, its table and its figure; return the table.

    A model that cannot do the task (say, score new users) is named at the end; the others are measured all the same.

    Raises:
        ValueError: the protocol does not fit the data, the file holds something else, or a model could not do the task.
    """
    dataset = read_dataset(data)
    results = _kept(file)
    done = {_key(result) for result in results}
    refused: dict[str, str] = {}
    try:
        for task in _tasks(experiment, dataset):
            of_task = _of_task(task, dataset, experiment.metric)
            _check_one_task(results, of_task, file)
            for spec in experiment.models:
                of_model = of_task | _of_model(spec, task, experiment.metric)
                fits = [fit for fit in experiment.fits if _key(of_model | {"fit": fit}) not in done]
                if not fits or str(spec) in refused:
                    continue
                where = f"seed {task.seed}" + (f", fold {task.fold}" if task.fold else "")
                print(f"{spec} · {dataset.title} · {task.protocol} · {where}", flush=True)
                try:
                    for result in _measure(spec, task, dataset, fits, experiment.metric):
                        results.append({"data": dataset.title} | of_model | result)
                        done.add(_key(results[-1]))
                        write_text(file, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
                        print(f"    fit on {result['fit']}: {experiment.metric} {result[experiment.metric]:.4f}", flush=True)
                except ValueError as error:
                    refused[str(spec)] = str(error)
                    print(f"    refused: {error}", flush=True)
    finally:  # what was finished before an interruption has its table too
        table = _publish(results, file) if results else None
    if refused:
        raise ValueError("\n".join(f"{model} was not measured: {why}" for model, why in refused.items()))
    return table


def _of_task(task: Task, dataset: Dataset, metric: str) -> dict[str, Any]:
    candidates = task.test_candidates
    return {
        "data_fingerprint": data_fingerprint(dataset),
        "protocol": task.protocol,
        "metric": metric,
        "split_fingerprint": task.split.fingerprint,
        "candidates_fingerprint": None if candidates is None else candidates.fingerprint,
        "seed": task.seed,
        "fold": task.fold,
    }


def _of_model(spec: ModelSpec, task: Task, metric: str) -> dict[str, Any]:
    """The options that were named, and all of them as they then are: a changed default is another model."""
    needs_training = model_class(spec.name).needs_training
    # Where it runs is no option, and nothing of a closed form depends on a seed.
    settings = vars(spec.train_config(metric, task.seed)) if needs_training else {}
    return {
        "model": spec.name,
        "options": spec.options,
        "model_config": vars(model_config(spec.name, **spec.model_options)),
        "train_config": {name: value for name, value in settings.items() if name not in ("device", "tensorboard")},
    }


def _check_one_task(results: list[dict[str, Any]], of_task: dict[str, Any], file: Path) -> None:
    for name in ("data_fingerprint", "protocol", "metric"):
        if results and results[0][name] != of_task[name]:
            held = f"{results[0]['data']}, {results[0]['protocol']}, {results[0]['metric']}"
            raise ValueError(f"{file.name} holds results of {held}; another {name} is another table: give another --json")


# ---- what is measured


def _tasks(experiment: Experiment, dataset: Dataset) -> Iterator[Task]:
    protocol, plus, n = experiment.protocol.partition("+")
    if plus and (not n.isdigit() or protocol == "published"):
        raise ValueError(f"after + stands the number of candidates, e.g. leave_one_out_last+99; got {experiment.protocol!r}")
    log = dataset.interactions
    for seed in range(experiment.n_seeds):
        if protocol == "published":
            split, candidates = dataset.split, dataset.candidates
            if split is None:
                raise ValueError(f"{dataset.title} comes without a split of its own; name one, e.g. --protocol fraction")
            if candidates is None:
                yield Task(split, seed, None)
            else:  # the same task for choosing the epoch, with candidates that know nothing of test
                yield Task(split, seed, None, _candidates_of_validation(split, candidates.n, seed), candidates)
            continue
        splits = k_fold(log, N_FOLDS, seed=seed) if protocol == "k_fold" else [make_split(protocol, log, seed=seed)]
        for number, split in enumerate(splits, start=1):
            fold = number if protocol == "k_fold" else None
            if not plus:
                yield Task(split, seed, fold)
                continue
            of_test = sample_candidates(split.test, split.known_before_test, n=int(n), seed=2 * seed)
            yield Task(split, seed, fold, _candidates_of_validation(split, int(n), seed), of_test)


def _candidates_of_validation(split: Split, n: int, seed: int) -> Candidates:
    # An odd seed: with the seed of the test candidates both would hold nearly the same items.
    return sample_candidates(split.validation, split.known_before_validation, n=n, seed=2 * seed + 1)


def _measure(spec: ModelSpec, task: Task, dataset: Dataset, fits: list[str], metric: str) -> Iterator[dict[str, Any]]:
    """Train once, choose on validation, and judge each fit on test."""
    split, ks = task.split, cut_offs(int(metric.split("@")[1]), dataset.catalogue.n_items)
    if split.fold_in is not None and "train+validation" in fits:
        raise ValueError(f"{split.protocol} holds whole users out; a model that was fitted on them answers another question")
    if task.test_candidates is not None:
        ks = [k for k in ks if k <= task.test_candidates.n]
        if int(metric.split("@")[1]) not in ks:
            raise ValueError(f"{metric} needs lists of that length; there are {task.test_candidates.n} candidates")
    validate = Evaluator(
        split.validation, seen=split.known_before_validation, ks=ks, candidates=task.validation_candidates
    ).evaluate
    judge = Evaluator(split.test, seen=split.known_before_test, ks=ks, candidates=task.test_candidates).evaluate
    config = spec.train_config(metric, task.seed)
    model = build_model(spec.name, dataset.catalogue, seed=task.seed, **spec.model_options)
    record = Trainer(config).fit(model, split.train, validate)
    chosen = {
        "best_epoch": record.best_epoch,
        "stopped_because": record.stopped_because,
        f"validation_{metric}": record.best,
    }
    for fit in fits:
        judged, seconds = model, {"train_seconds": record.seconds_training}
        if fit == "train+validation":
            judged = build_model(spec.name, dataset.catalogue, seed=task.seed, **spec.model_options)
            started = time.perf_counter()
            Trainer(config).repeat(judged, split.known_before_test, record.learning_rates)
            seconds = {"train_seconds": time.perf_counter() - started, "choose_seconds": record.seconds_training}
        yield {"fit": fit} | chosen | seconds | _figures(judge(judged), split) | {"machine": _machine()}


def _figures(report: Report, split: Split) -> dict[str, Any]:
    return {name: report.mean(name) for name in [*report.values, *report.whole]} | {
        "evaluate_seconds": report.seconds,
        "query": "train+validation" if split.fold_in is None else "fold-in",
        "mask": "train+validation" if split.fold_in is None else "fold-in",
        "kind": report.kind,
        "rows": report.rows,
        "users": {"scored": len(report.users), "cold": report.n_cold, "skipped": report.n_skipped},
    }


def _machine() -> dict[str, Any]:
    device = choose_device("auto")
    packages = package_versions()
    return {
        "python": platform.python_version(),
        "packages": {name: packages[name] for name in ("torch", "numpy", "scipy") if name in packages},
        "cpus": os.cpu_count(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
    }


# ---- the file, the table, the figure


def _kept(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(results, list):
            raise TypeError(f"a {type(results).__name__}, not a list")
        for result in results:
            _key(result)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file.name} does not hold results of this benchmark ({error!r}); give another --json") from error
    return results


def _key(result: dict[str, Any]) -> str:
    return json.dumps([result[name] for name in KEY], sort_keys=True)


def summary(results: list[dict[str, Any]], metric: str) -> pd.DataFrame:
    """Mean and deviation over seeds and folds of each model and fit, in the order of the file.

    Columns: model, fit, n, then `<name> mean` and `<name> deviation` (n - 1; NaN for one result), and ratio: to the first
    model of the table on the same split and candidates, averaged over these; NaN where that one was not measured.
    """
    frame = pd.DataFrame(results)
    frame["label"] = [str(ModelSpec(model, options)) for model, options in zip(frame["model"], frame["options"])]
    # Under one name there may be two models: a default has changed since.
    frame["settings"] = [json.dumps([r["model_config"], r["train_config"] | {"seed": None}], sort_keys=True) for r in results]
    frame["task"] = [json.dumps([result[name] for name in TASK]) for result in results]
    by = ["label", "settings", "fit"]
    first = frame[(frame[by] == frame.loc[0, by]).all(axis=1)]
    frame["ratio"] = frame[metric] / frame["task"].map(first.groupby("task")[metric].mean())
    rows = []
    for (label, _, fit), group in frame.groupby(by, sort=False):
        row = {"model": label, "fit": fit, "n": len(group), "ratio": group["ratio"].mean()}
        for name in _columns(frame, metric):
            row |= {f"{name} mean": group[name].mean(), f"{name} deviation": group[name].std(ddof=1)}
        rows.append(row)
    return pd.DataFrame(rows)


def _columns(frame: pd.DataFrame, metric: str) -> list[str]:
    k = metric.split("@")[1]
    one_each = all(rows["held_out"] == users["scored"] for rows, users in zip(frame["rows"], frame["users"]))
    # Of one held-out item hit rate, recall and truncated recall are the same figure.
    names = [metric, *(f"{name}@{k}" for name in (["hit_rate"] if one_each else ["recall", "truncated_recall"])), f"coverage@{k}"]
    names = [name for name in dict.fromkeys(names) if name in frame.columns and frame[name].notna().all()]
    return [*names, "train_seconds", "evaluate_seconds"]


def markdown(results: list[dict[str, Any]], metric: str) -> str:
    """The table for the README: a caption that says what the figures rest on, then a row a model and fit."""
    frame, first = summary(results, metric), results[0]
    names = [name.removesuffix(" mean") for name in frame.columns if name.endswith(" mean")]
    seeds, folds = {result["seed"] for result in results}, {result["fold"] for result in results} - {None}
    several = (f"{len(folds)} folds" if folds else "") + (" x " if folds and len(seeds) > 1 else "")
    several += f"{len(seeds)} seeds" if len(seeds) > 1 else ""
    task = first["kind"].removeprefix("evaluation").strip() or "full catalogue"
    lines = [
        f"{first['data']}, {first['protocol']}, {task}, {first['users']['scored']:,} users; "
        f"query and mask: {first['query'].replace('+', ' + ')}"
        + (f"; mean ± standard deviation over {several}" if several else "")
        + f". Ratio: {metric} to that of the first row"
        + (" on the same split." if several else "."),
        "",
        f"| model | fit | {' | '.join(_heading(name) for name in names)} | ratio |",
        "|" + "---|" * (len(names) + 3),
    ]
    for _, row in frame.iterrows():
        cells = [_cell(name, row[f"{name} mean"], row[f"{name} deviation"]) for name in names]
        lines.append(f"| {row['model']} | {row['fit'].replace('+', ' + ')} | {' | '.join(cells)} | {_ratio(row['ratio'])} |")
    return "\n".join(lines) + "\n"


def _heading(name: str) -> str:
    return {"train_seconds": "train s", "evaluate_seconds": "evaluate s"}.get(name, name)


def _cell(name: str, mean: float, deviation: float) -> str:
    if name.endswith("_seconds"):
        return f"{mean:.1f}"
    return f"{mean:.4f}" if np.isnan(deviation) else f"{mean:.4f} ± {deviation:.4f}"


def _ratio(ratio: float) -> str:
    return "" if np.isnan(ratio) else f"{ratio:.3f}"


def _publish(results: list[dict[str, Any]], file: Path) -> pd.DataFrame:
    metric = results[0]["metric"]
    text, table = markdown(results, metric), summary(results, metric)
    write_text(file.with_suffix(".md"), text)
    several = table["fit"].nunique() > 1
    points = pd.DataFrame(
        {
            "model": [
                textwrap.fill(f"{row.model}, fit on {row.fit}" if several else row.model, 42, break_long_words=False)
                for row in table.itertuples()
            ],
            "mean": table[f"{metric} mean"],
            "low": table[f"{metric} mean"] - table[f"{metric} deviation"].fillna(0),
            "high": table[f"{metric} mean"] + table[f"{metric} deviation"].fillna(0),
        }
    )
    best, most = points.loc[points["mean"].idxmax()], table["n"].max()
    figure = model_comparison(
        points,
        metric,
        title=f"{' '.join(best['model'].split())} reaches {metric} {best['mean']:.4f} on {results[0]['data']}, {results[0]['protocol']}",
        footer=text.split(" Ratio:")[0],
        bars=f"one standard deviation over {most} results" if most > 1 else "",
        synthetic="SYNTHETIC" in results[0]["data"],
    )
    with replacing(file.with_suffix(".png")) as part:
        part.write_bytes(figure.png())
    print("\n" + text)
    return table


def _number(value: Any) -> Any:
    # YAML 1.1 takes 1e-3 for a text; people do not
    if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", value):
        return float(value)
    return value
