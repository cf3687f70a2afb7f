"""What dividing by popularity buys and costs: each power in the loss and in the scores, beside the plain model.

    python -m benchmarks popularity --data DIR --models multi_dae,ease --powers 0,0.25,0.5,1 --json FILE

A model without a loss is corrected in its scores alone. A corrected model is trained anew, and its epoch chosen on
validation as it is then ranked. The held-out rows are as biased as the rows of train, so less recall in the whole is to be
expected; what is bought is seen in coverage, novelty and the recall of rare items. A change of recall and NDCG is marked
where it is more than two errors, of users (bootstrap, paired with the plain model of the same seed) and between seeds.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.quality import ModelSpec
from recsys_lib.data.files import replacing, write_text
from recsys_lib.data.splits import Split, make_split
from recsys_lib.datasets import Dataset, read_dataset
from recsys_lib.display.plots import FEW, PALETTE, Plot, theme
from recsys_lib.evaluation.evaluator import Evaluator, Report
from recsys_lib.models import build_model, model_class
from recsys_lib.runs.trained import data_fingerprint
from recsys_lib.training.trainer import Trainer

OPTIONS = {"loss": "loss_popularity_power", "scores": "score_popularity_power"}
PLAIN = ("", 0.0)
KEPT = 0.95  # of the plain model's metric: what the headline's trade leaves
N_RESAMPLES = 500


def run_popularity(data: Path, models: str, powers: str, n_seeds: int, file: Path, *, protocol: str, metric: str) -> pd.DataFrame:
    """Measure what the file does not hold yet; write the file, its table and its figure; return the summary.

    Raises: ValueError for an unknown model, protocol or power, a model that takes neither option, or a file of other data.
    """
    specs = [ModelSpec.of(text) for text in re.split(r",(?![^\[]*\])", models)]
    asked = {spec: _variants(spec, powers) for spec in map(str, specs)}
    dataset = read_dataset(data)
    results = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    about = {"data": dataset.title, "data_fingerprint": data_fingerprint(dataset), "protocol": protocol, "metric": metric}
    if results and any(results[0].get(name) != value for name, value in about.items()):
        raise ValueError(f"{file.name} holds no results of {dataset.title}, {protocol}, {metric}; give another --json")
    done = {(r["model"], r["seed"], r["part"], r["power"]) for r in results}
    for seed in range(n_seeds):
        split = make_split(protocol, dataset.interactions, seed=seed)
        for spec in specs:
            missing = [variant for variant in asked[str(spec)] if (str(spec), seed, *variant) not in done]
            if not missing:
                continue
            print(f"{spec} · {dataset.title} · {protocol} · seed {seed}", flush=True)
            for row in _measure(spec, missing, dataset, split, metric, seed):
                results.append(about | {"model": str(spec), "seed": seed} | row)
                write_text(file, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    text = markdown(results)
    write_text(file.with_suffix(".md"), text)
    with replacing(file.with_suffix(".png")) as part:
        part.write_bytes(figure(results).png())
    print("\n" + text)
    return summary(results)


def _variants(spec: str, powers: str) -> list[tuple[str, float]]:
    """(part, power) in the order of the table: the plain model, then each part by rising power."""
    name = spec.split()[0]
    options = {field.name for field in fields(model_class(name).Config)}
    parts = [part for part, option in OPTIONS.items() if option in options]
    if not parts:
        raise ValueError(f"{name} has nothing that is divided by popularity")
    try:
        rising = sorted({float(power) for power in powers.split(",")} - {0.0})
    except ValueError:
        raise ValueError(f"--powers takes numbers in [0, 1], e.g. 0,0.25,0.5,1; got {powers!r}") from None
    for power in rising:
        if not 0 <= power <= 1:
            raise ValueError(f"--powers takes numbers in [0, 1], e.g. 0,0.25,0.5,1; got {power:g}")
    return [PLAIN, *((part, power) for part in parts for power in rising)]


def _measure(
    spec: ModelSpec, variants: Sequence[tuple[str, float]], dataset: Dataset, split: Split, metric: str, seed: int
) -> Iterator[dict[str, Any]]:
    """A row for each variant; the plain model is trained whether it is asked for or not, to be compared with."""
    k = int(metric.split("@")[1])
    validate = Evaluator(split.validation, seen=split.train, ks=[k]).evaluate
    judge = Evaluator(split.test, seen=split.known_before_test, ks=[k])
    plain: Report | None = None
    for part, power in dict.fromkeys([PLAIN, *variants]):
        correction = {OPTIONS[part]: power} if part else {}
        model = build_model(spec.name, dataset.catalogue, seed=seed, **spec.model_options | correction)
        record = Trainer(spec.train_config(metric, seed)).fit(model, split.train, validate)
        report = judge.evaluate(model)
        plain = plain or report
        groups = report.by_popularity(k)
        names = [metric, f"recall@{k}", f"coverage@{k}", f"novelty@{k}"]
        if (part, power) in variants:
            yield {
                "part": part,
                "power": power,
                "figures": {name: report.mean(name) for name in names},
                "beside plain": {name: _difference(report.values[name] - plain.values[name]) for name in names[:2]},
                "recall by popularity": dict(zip(groups["group"], groups["value"])),
                "held-out rows": dict(zip(groups["group"], map(int, groups["rows"]))),
                "users": len(report.users),
                "best_epoch": record.best_epoch,
            }
        print(f"    {part or 'plain'} {power:g}: " + ", ".join(f"{name} {report.mean(name):.4f}" for name in names), flush=True)


def _difference(of_users: np.ndarray) -> dict[str, float]:
    """The mean difference and its bootstrap error over users."""
    generator = np.random.default_rng(0)
    drawn = [of_users[generator.integers(0, len(of_users), len(of_users))].mean() for _ in range(N_RESAMPLES)]
    return {"mean": float(of_users.mean()), "error": float(np.std(drawn))}


def summary(results: list[dict[str, Any]]) -> pd.DataFrame:
    """A row for each model, part and power, means over seeds.

    Columns: model, part, power, the figures by name, the groups by name, and `<metric> mark`: ↑ or ↓ where the difference to
    the plain model is more than two errors.
    """
    rows = []
    groups = dict.fromkeys(group for result in results for group in result["recall by popularity"])
    frame = pd.DataFrame(results)
    for (model, part, power), of_seeds in frame.groupby(["model", "part", "power"], sort=False):
        row = {"model": model, "part": part, "power": power}
        row |= pd.DataFrame(list(of_seeds["figures"])).mean().to_dict()
        row |= pd.DataFrame(list(of_seeds["recall by popularity"]), columns=list(groups)).mean().to_dict()
        for name in of_seeds["beside plain"].iloc[0]:
            found = pd.DataFrame([beside[name] for beside in of_seeds["beside plain"]])
            n = len(found)
            between = found["mean"].var(ddof=1) / n if n > 1 else 0.0
            low, high = (
                found["mean"].mean() + side * 2 * np.sqrt((found["error"] ** 2).sum() / n**2 + between) for side in (-1, 1)
            )
            row[f"{name} mark"] = " ↑" if low > 0 else " ↓" if high < 0 else ""
        rows.append(row)
    table = pd.DataFrame(rows)
    place = {model: n for n, model in enumerate(dict.fromkeys(table["model"]))}  # powers that came later stand in their order
    return table.sort_values(
        ["model", "part", "power"], key=lambda column: column.map(place) if column.name == "model" else column
    )


def _names(results: list[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """Figures, and groups with rows enough to say something."""
    rows = results[0]["held-out rows"]
    return list(results[0]["figures"]), [group for group, n in rows.items() if n >= FEW]


def _count(seeds: set[int]) -> str:
    return "1 seed" if len(seeds) == 1 else f"{len(seeds)} seeds"


def markdown(results: list[dict[str, Any]]) -> str:
    """The table for the README: a row for each model, part and power."""
    table, first = summary(results), results[0]
    figures, groups = _names(results)
    k, seeds = first["metric"].split("@")[1], {result["seed"] for result in results}
    rows = first["held-out rows"]
    lines = [
        f"{first['data']}, {first['protocol']}, {_count(seeds)}, {first['users']:,} users; fit: train, query and mask: train + "
        f"validation. Popularity to the power is divided out of the loss or of the scores; first row of a model: of neither. Last columns: share "
        f"of the held-out rows found in {k} places by popularity of their item ("
        + ", ".join(f"{name}: {rows[name]:,} rows" for name in groups)
        + "). ↑ or ↓: differs from the first row by more than two errors (users and seeds).",
        "",
        f"| model | divided | power | {' | '.join([*figures, *groups])} |",
        "|" + "---|" * (3 + len(figures) + len(groups)),
    ]
    for row in table.to_dict("records"):
        cells = [f"{row[name]:.4f}{row.get(f'{name} mark', '')}" for name in figures]
        cells += ["" if np.isnan(row[name]) else f"{row[name]:.4f}" for name in groups]
        lines.append(f"| {row['model']} | {row['part']} | {row['power']:g} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def figure(results: list[dict[str, Any]]) -> Plot:
    """Each figure and each group's recall against the power, a line for each model and part; all start at the plain model."""
    table, first = summary(results), results[0]
    figures, groups = _names(results)
    lines, several = [], Counter(model.split()[0] for model in table["model"].unique())  # options are named only to tell apart
    for (model, part), corrected in table[table["part"] != ""].groupby(["model", "part"], sort=False):
        plain = table[(table["model"] == model) & (table["part"] == "")]
        lines.append((f"{model if several[model.split()[0]] > 1 else model.split()[0]}, {part}", pd.concat([plain, corrected])))
    lines = lines[: len(PALETTE)]
    rows = first["held-out rows"]
    k = first["metric"].split("@")[1]
    plot = Plot(
        _sentence(table, first["metric"], f"coverage@{k}"),
        height=5.4,
        footer=f"{first['data']}, {first['protocol']}, {_count({r['seed'] for r in results})}, {first['users']:,} users · second row: share of "
        f"the held-out rows found in {k} places, by popularity of their item",
        synthetic="SYNTHETIC" in first["data"],
    )
    wide = max(len(figures), len(groups))
    with theme():
        panels = plot.subplots(2, wide, sharex=True, squeeze=False)
        for axes, name in zip(panels.flat, [*figures, *[None] * (wide - len(figures)), *groups, *[None] * (wide - len(groups))]):
            if name is None:
                axes.set_visible(False)
                continue
            for (label, line), colour in zip(lines, PALETTE):
                axes.plot(line["power"], line[name], color=colour, marker="o", markersize=4, label=label)
            axes.set_title(f"{name}\nn = {rows[name]:,}" if name in groups else f"\n{name}")  # an empty line: the legend's place
            axes.set_ylim(0, None)
        for axes in panels[-1]:
            axes.set_xlabel("power")
        if lines:
            legend = panels[0, 0].legend(
                ncols=len(lines), loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=2.9, borderpad=0, handlelength=1.4
            )
            legend.set_in_layout(False)  # it is wider than its panel, which would shrink
    return plot


def _sentence(table: pd.DataFrame, metric: str, coverage: str) -> str:
    """The most coverage that leaves 95 % of the metric."""
    plain = table[table["part"] == ""].set_index("model")
    kept = table[table[metric] >= KEPT * table["model"].map(plain[metric])]
    gains = kept[coverage] - kept["model"].map(plain[coverage])
    best = kept.loc[gains.idxmax()]
    if not best["part"]:
        return f"No power leaves {KEPT:.0%} of {metric} and raises {coverage}"
    before = plain.loc[best["model"]]
    return (
        f"{best['model']} with popularity^{best['power']:g} divided out of the {best['part']}: {coverage} {before[coverage]:.3f} to "
        f"{best[coverage]:.3f}, {metric} {before[metric]:.4f} to {best[metric]:.4f}"
    )
