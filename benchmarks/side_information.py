"""What side information buys: each model plain, with features of items, of users and of both; among known ones and newcomers.

    python -m benchmarks side-information --data DIR --models neumf,multi_dae,ease --seeds 3 --json FILE

Each seed has two tasks: an ordinary split, and the same with the histories of a tenth of the users and all rows of a tenth
of the items hidden (splits.cold_start). A variant and the plain model share the task and its seed, so their difference is
one of the same users. Of several seeds the mean of the differences is shown; its error is that over users (bootstrap)
and that between seeds together, and a gain is called one only where two such errors leave zero outside.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.quality import ModelSpec
from recsys_lib.data.files import write_text
from recsys_lib.data.splits import Split, cold_start, make_split
from recsys_lib.datasets import Dataset, read_dataset
from recsys_lib.evaluation.evaluator import Evaluator, among_new_items, recall_of_new
from recsys_lib.models import build_model
from recsys_lib.models.base import Recommender
from recsys_lib.runs.trained import data_fingerprint
from recsys_lib.training.trainer import Trainer

VARIANTS = ("none", "item", "user", "all")
WORDS = {"none": "plain", "item": "+ item", "user": "+ user", "all": "+ both"}
N_RESAMPLES = 500
TIMED_S = 1.0  # seconds in which a model is prepared and evaluated again and again


def run_side_information(data: Path, models: str, n_seeds: int, file: Path, *, protocol: str, metric: str) -> str:
    """Measure what the file does not hold yet, write the file and its table, return the table.

    Raises: ValueError for an unknown model or protocol, no seeds, or a file of something else or of other data.
    """
    if n_seeds < 1:
        raise ValueError(f"--seeds must be 1 or more; got {n_seeds}")
    specs = [ModelSpec.of(text) for text in models.split(",")]
    for spec in specs:
        spec.train_config(metric, 0)  # knows the metrics there are
    dataset = read_dataset(data)
    results = _kept(file)
    about = {"data": dataset.title, "data_fingerprint": data_fingerprint(dataset), "protocol": protocol, "metric": metric}
    if results and any(results[0][name] != value for name, value in about.items()):
        raise ValueError(f"{file.name} holds {results[0]['data']}, {results[0]['protocol']}, {results[0]['metric']}; give another --json")
    done = {(r["model"], r["task"], r["seed"]) for r in results}
    for seed in range(n_seeds):
        split = make_split(protocol, dataset.interactions, seed=seed)
        for task, parts in (("known", split), ("newcomers", cold_start(split, seed=seed))):
            for spec in specs:
                if (str(spec), task, seed) in done:
                    continue
                print(f"{spec} · {dataset.title} · {task} · seed {seed}", flush=True)
                for row in _measure(spec, dataset, parts, metric, seed):
                    results.append(about | {"model": str(spec), "task": task, "seed": seed} | row)
                write_text(file, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    table = markdown(results)
    write_text(file.with_suffix(".md"), table)
    print("\n" + table)
    return table


def _kept(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(results, list):
            raise TypeError(f"a {type(results).__name__}, not a list")
        for result in results:
            _ = [result[name] for name in ("data", "data_fingerprint", "protocol", "metric", "model", "task", "seed", "variant", "figures")]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file.name} does not hold results of this benchmark ({error!r}); give another --json") from error
    return results


def _measure(spec: ModelSpec, dataset: Dataset, split: Split, metric: str, seed: int) -> Iterator[dict[str, Any]]:
    """A row for each variant: its figures, and how each differs from the plain model's."""
    k = int(metric.split("@")[1])
    known = split.known_before_test
    validate = Evaluator(split.validation, seen=split.train, ks=[k]).evaluate
    judge = Evaluator(split.test, seen=known, ks=[k])
    among_new = among_new_items(split.test, seen=known, ks=[k])
    plain: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for variant in VARIANTS:
        model = build_model(spec.name, dataset.catalogue, seed=seed, **spec.model_options | {"features": variant})
        record = Trainer(spec.train_config(metric, seed)).fit(model, split.train, validate)
        report = judge.evaluate(model)
        seconds = _timed(judge, model)
        values = {metric: (report.users, report.values[metric])} | report.slices(k)
        if among_new is not None:
            of_new = among_new.evaluate(model)
            values["among new items"] = of_new.users, recall_of_new(of_new, among_new, k)
        plain = plain or values
        epochs = max(len(record.history), 1)
        yield {
            "variant": variant,
            "figures": {name: _beside(values[name], plain[name]) for name in values},
            "chance among new items": None if among_new is None else k / among_new.n_candidates,
            "epoch_seconds": record.seconds_training / epochs,
            "evaluate_seconds": seconds,
            "best_epoch": record.best_epoch,
        }
        print(f"    {WORDS[variant]}: " + ", ".join(f"{name} {v.mean():.4f}" for name, (_, v) in values.items()), flush=True)


def _timed(judge: Evaluator, model: Recommender) -> float:
    """The median of evaluations, each as after an epoch: what is made of the weights for newcomers is made anew.

    A closed form makes it once, after its fit.
    """
    seconds: list[float] = []
    began = time.perf_counter()
    while not seconds or time.perf_counter() - began < TIMED_S:
        model.train()
        started = time.perf_counter()
        judge.evaluate(model)
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


def _beside(values: tuple[np.ndarray, np.ndarray], plain: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    """Mean, mean difference and its bootstrap error over users; both are of the same users."""
    difference = values[1] - plain[1]
    generator = np.random.default_rng(0)
    drawn = [difference[generator.integers(0, len(difference), len(difference))].mean() for _ in range(N_RESAMPLES)]
    return {"value": float(values[1].mean()), "difference": float(difference.mean()), "error": float(np.std(drawn)), "users": len(difference)}


def summary(results: list[dict[str, Any]]) -> pd.DataFrame:
    """A row for each model, variant, task and figure: value, difference, low, high (two errors), and the plain value."""
    rows = []
    frame = pd.DataFrame(results)
    for (model, variant, task), group in frame.groupby(["model", "variant", "task"], sort=False):
        for name in dict.fromkeys(name for of_seed in group["figures"] for name in of_seed):
            # A seed may hold out no row of a slice.
            figures = pd.DataFrame([of_seed[name] for of_seed in group["figures"] if name in of_seed])
            n = len(figures)
            between = figures["difference"].var(ddof=1) / n if n > 1 else 0.0
            error = float(np.sqrt((figures["error"] ** 2).sum() / n**2 + between))
            difference = figures["difference"].mean()
            row = {"model": model, "variant": variant, "task": task, "figure": name, "value": figures["value"].mean(), "n": n}
            rows.append(row | {"difference": difference, "low": difference - 2 * error, "high": difference + 2 * error})
    return pd.DataFrame(rows)


def markdown(results: list[dict[str, Any]]) -> str:
    """The table for the README: a row for each model and variant; a change that two errors tell from zero is marked."""
    found, frame, first = summary(results), pd.DataFrame(results), results[0]
    k = first["metric"].split("@")[1]
    columns = [
        (first["metric"], "known", first["metric"]),
        ("known users, known items", "newcomers", "warm"),
        ("1–2 rows", "newcomers", "sparse users"),
        ("users without history", "newcomers", "cold users"),
        ("new items, whole catalogue", "newcomers", "cold items"),
        ("new items among themselves", "newcomers", "among new items"),
    ]
    columns = [column for column in columns if ((found["task"] == column[1]) & (found["figure"] == column[2])).any()]
    chance = frame.loc[frame["task"] == "newcomers", "chance among new items"].astype(float).mean()
    lines = [
        f"{first['data']}, {first['protocol']}, {frame['seed'].nunique()} seed(s); fit: train, query and mask: train + validation. First figure: "
        f"the ordinary split; the others recall@{k} with a tenth of the users and of the items hidden. ↑ or ↓: differs from plain by "
        "more than two errors (users and seeds). Who has no history gets popular items from a plain model, and new items are then never shown"
        + (f"; chance among themselves is {chance:.4f}." if np.isfinite(chance) else "."),
        "",
        f"| model | features | {' | '.join(name for name, _, _ in columns)} | epoch x | evaluation x |",
        "|" + "---|" * (len(columns) + 4),
    ]
    seconds = frame.groupby(["model", "variant"])[["epoch_seconds", "evaluate_seconds"]].mean()
    for model in frame["model"].unique():
        for variant in VARIANTS:
            cells = [_cell(found, model, variant, task, figure) for _, task, figure in columns]
            of, plain = seconds.loc[(model, variant)], seconds.loc[(model, "none")]
            ratios = [f"{of[name] / plain[name]:.2f}" if plain[name] else "" for name in ("epoch_seconds", "evaluate_seconds")]
            n = frame.loc[frame["model"] == model, "seed"].nunique()
            fewer = "" if n == frame["seed"].nunique() else f" ({n} seed{'s' if n > 1 else ''} so far)"
            lines.append(f"| {model}{fewer} | {WORDS[variant]} | {' | '.join([*cells, *ratios])} |")
    return "\n".join(lines) + "\n"


def _cell(found: pd.DataFrame, model: str, variant: str, task: str, figure: str) -> str:
    row = found[(found["model"] == model) & (found["variant"] == variant) & (found["task"] == task) & (found["figure"] == figure)]
    if not len(row):
        return ""
    row = row.iloc[0]
    mark = " ↑" if row["low"] > 0 else " ↓" if row["high"] < 0 else ""
    return f"{row['value']:.4f}{mark}"
