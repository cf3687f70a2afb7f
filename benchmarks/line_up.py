"""The strongest line-up: several models on one split, their blend, and what each costs.

    python -m benchmarks line-up --data DIR --models ease,multi_dae,user_knn --seeds 3 --runs FOLDER --json FILE

Every model is a run folder as 02_train leaves it, the blend is made of their saved lists (studies/blending.py), and the test
part is asked once. A difference is paired over the users; of several seeds its mean is shown with the error over users
and seeds together. A seed that is in the file is not run again, and a run that is in the folder is not trained again.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.quality import ModelSpec
from recsys_lib.data.files import replacing, write_text
from recsys_lib.data.splits import Split, make_split
from recsys_lib.datasets import Dataset, read_dataset
from recsys_lib.display import plots
from recsys_lib.evaluation.compare import overlap
from recsys_lib.evaluation.evaluator import Evaluator, Report, cut_offs
from recsys_lib.models import build_model
from recsys_lib.runs.folder import RunFolder, finished_runs
from recsys_lib.runs.trained import data_fingerprint, finish_training, identity, load_model
from recsys_lib.studies.blending import blend_runs
from recsys_lib.training.trainer import Trainer

BLEND = "blend"
SHARES = ("0–20 %", "20–40 %", "40–60 %", "60–80 %", "80–100 %")  # of the users, the quiet ones first
VAE, DAE = "multi_vae", "multi_dae"  # the team's notes: among the most active users of MovieLens the DAE is said to be better
KEPT = ("data", "data_fingerprint", "protocol", "metric", "seed", "models", "figures", "weights", "scaling", "sentence", "by_activity")


def run_line_up(data: Path, models: str, n_seeds: int, runs_dir: Path, file: Path, *, protocol: str, metric: str) -> str:
    """Measure the seeds that the file lacks; write the file, its table and its figure; return the table.

    The first model is the one that all others are held against.

    Raises: ValueError for an unknown model, protocol or metric, fewer than two models, or a file of something else.
    """
    specs = [ModelSpec.of(text) for text in re.split(r",(?![^\[]*\])", models)]
    if len(specs) < 2 or n_seeds < 1:
        raise ValueError(f"a line-up takes two models or more and a seed or more; got {models!r} and {n_seeds}")
    for spec in specs:
        spec.train_config(metric, 0)  # knows the metrics there are
    dataset, results = read_dataset(data), _kept(file)
    about = {"data": dataset.title, "data_fingerprint": data_fingerprint(dataset), "protocol": protocol, "metric": metric}
    about["models"] = [str(spec) for spec in specs]
    for name, value in about.items():
        if results and results[0][name] != value:
            raise ValueError(f"{file.name} holds results with {name} {results[0][name]}; asked were {value}. Give another --json")
    for seed in range(n_seeds):
        if seed in {result["seed"] for result in results}:
            continue
        split = make_split(protocol, dataset.interactions, seed=seed)
        runs = [_run(spec, dataset, split, metric, seed, runs_dir) for spec in specs]
        results.append(about | {"seed": seed} | _judged(dict(zip(about["models"], runs)), dataset, split, metric, runs_dir))
        write_text(file, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        print(results[-1]["sentence"], flush=True)
    table = markdown(results)
    write_text(file.with_suffix(".md"), table)
    with replacing(file.with_suffix(".png")) as part:
        part.write_bytes(figure(results).png())
    print("\n" + table)
    return table


def _kept(file: Path) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
        _ = [[result[name] for name in KEPT] for result in results]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file.name} does not hold results of this benchmark ({error!r}); give another --json") from error
    return results


def _run(spec: ModelSpec, dataset: Dataset, split: Split, metric: str, seed: int, runs_dir: Path) -> RunFolder:
    """The finished training of this model, seed and split in the folder, or a new one."""
    model = build_model(spec.name, dataset.catalogue, seed=seed, **spec.model_options)
    config = spec.train_config(metric, seed)
    parameters = {"MODEL": str(spec), "METRIC": metric}
    wanted = {name: value for name, value in identity(dataset, split).items() if name.endswith("fingerprint")}
    for run in reversed(finished_runs(runs_dir, kind="training", **wanted)):
        same_options = json.dumps(vars(model.config), default=list) == json.dumps(run.record["model_config"])
        settings = run.record["train_config"] | {"device": config.device}
        same_options &= json.dumps(vars(config), default=list, sort_keys=True) == json.dumps(settings, sort_keys=True)
        if run.model == spec.name and run.record["seed"] == seed and run.record["parameters"] == parameters and same_options:
            return run
    print(f"{spec} · {dataset.title} · {split.protocol} · seed {seed}", flush=True)
    run = RunFolder.create(runs_dir, kind="training", model=spec.name, parameters=parameters)
    ks = cut_offs(int(metric.split("@")[1]), dataset.catalogue.n_items)
    record = Trainer(config, run).fit(
        model, split.train, Evaluator(split.validation, seen=split.known_before_validation, ks=ks).evaluate
    )
    finish_training(run, model, record, dataset=dataset, split=split, config=config, seed=seed, parameters=parameters)
    return run


def _judged(runs: dict[str, RunFolder], dataset: Dataset, split: Split, metric: str, runs_dir: Path) -> dict[str, Any]:
    blended = blend_runs(list(runs.values()), dataset, split, metric=metric, runs_dir=runs_dir)
    evaluator = Evaluator(
        split.test, seen=split.known_before_test, ks=cut_offs(int(metric.split("@")[1]), dataset.catalogue.n_items)
    )
    reports = {name: evaluator.evaluate(load_model(run, dataset, split)) for name, run in (runs | {BLEND: blended.run}).items()}
    on_validation = {name: run.metrics["metrics"][metric]["mean"] for name, run in runs.items()}
    best, first = max(on_validation, key=on_validation.get), next(iter(runs))
    figures = {}
    for name, report in reports.items():
        figures[name] = {
            "value": report.mean(metric),
            "validation": on_validation.get(name, float(blended.values.mean())),
            **_beside(report, reports[first], metric, "first"),
            **_beside(report, reports[best], metric, "best"),
            "train_seconds": (runs | {BLEND: blended.run})[name].record["seconds_training"],
            "evaluate_seconds": report.seconds,
        }
    k = int(metric.split("@")[1])
    return {
        "figures": figures,
        "best_single": best,
        "weights": dict(zip(runs, blended.weights.values())),
        "scaling": blended.scaling,
        "sentence": blended.sentence(),
        "overlap": overlap(reports, k).to_dict(),
        "by_activity": _by_activity(reports, metric),
    }


def _by_activity(reports: dict[str, Report], metric: str) -> dict[str, Any]:
    """Fifths of the users by how much was seen of them: its least rows, every model's mean, and VAE minus DAE with its error.

    Of fewer than ten users nothing is said: an error wants two in each.
    """
    first = next(iter(reports.values()))
    if len(first.users) < 2 * len(SHARES):
        return {}
    seen = first.seen.user_counts[first.users]
    fifth = np.empty(len(seen), dtype=np.int64)
    fifth[np.argsort(seen, kind="stable")] = np.arange(len(seen)) * len(SHARES) // len(seen)
    inside = [fifth == place for place in range(len(SHARES))]
    found: dict[str, Any] = {
        "from_rows": [int(seen[users].min()) for users in inside],
        "values": {name: [float(report.values[metric][users].mean()) for users in inside] for name, report in reports.items()},
    }
    vae, dae = (next((report for name, report in reports.items() if name.split()[0] == of), None) for of in (VAE, DAE))
    if vae and dae:
        difference = vae.values[metric] - dae.values[metric]
        found["vae_minus_dae"] = [float(difference[users].mean()) for users in inside]
        found["error"] = [float(difference[users].std(ddof=1) / np.sqrt(users.sum())) for users in inside]
    return found


def _beside(report: Report, other: Report, metric: str, what: str) -> dict[str, float]:
    difference = report.values[metric] - other.values[metric]
    return {f"minus_{what}": float(difference.mean()), f"error_{what}": float(difference.std(ddof=1) / np.sqrt(len(difference)))}


def summary(results: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a model, the blend last: value, deviation, ratio, minus_first and minus_best with their errors, weight, seconds."""
    n, rows = len(results), []
    for name in [*results[0]["models"], BLEND]:
        of = pd.DataFrame([result["figures"][name] for result in results])
        firsts = pd.Series([result["figures"][results[0]["models"][0]]["value"] for result in results])
        row = {
            "model": name,
            "value": of["value"].mean(),
            "deviation": of["value"].std(ddof=1),
            "ratio": (of["value"] / firsts).mean(),
        }
        for what in ("first", "best"):
            between = of[f"minus_{what}"].var(ddof=1) / n if n > 1 else 0.0
            row[f"minus_{what}"] = of[f"minus_{what}"].mean()
            row[f"error_{what}"] = float(np.sqrt((of[f"error_{what}"] ** 2).sum() / n**2 + between))
        row["weight"] = np.nan if name == BLEND else np.mean([result["weights"][name] for result in results])
        rows.append(row | {"train_seconds": of["train_seconds"].mean(), "evaluate_seconds": of["evaluate_seconds"].mean()})
    return pd.DataFrame(rows)


def markdown(results: list[dict[str, Any]]) -> str:
    """The table for the README."""
    frame, first = summary(results), results[0]
    n, base, metric = len(results), first["models"][0], first["metric"]
    blend = frame.iloc[-1]
    bests = ", ".join(dict.fromkeys(result["best_single"] for result in results))
    lines = [
        f"{first['data']}, {first['protocol']}, full catalogue, {n} seed{'s' if n > 1 else ''}; fit: train, query and mask: train + "
        f"validation; everything chosen on validation. Minus {base}: paired over the users, ± one error (users and seeds); ↑ or ↓: two "
        "such errors leave zero outside. Weight: in the blend; its seconds of training are those of all it is made of.",
        "",
        f"| model | {metric} | ratio | minus {base} | weight | train s | score s |",
        "|" + "---|" * 7,
    ]
    for row in frame.itertuples():
        value = f"{row.value:.4f}" + ("" if np.isnan(row.deviation) else f" ± {row.deviation:.4f}")
        minus = (
            ""
            if row.model == base
            else f"{row.minus_first:+.4f} ± {row.error_first:.4f}{_mark(row.minus_first, row.error_first)}"
        )
        weight = "" if np.isnan(row.weight) else f"{row.weight:.2f}"
        lines.append(
            f"| {row.model} | {value} | {row.ratio:.3f} | {minus} | {weight} | {row.train_seconds:.0f} | {row.evaluate_seconds:.1f} |"
        )
    lines += [
        "",
        f"Blend minus the model that was best on validation ({bests}): {blend['minus_best']:+.4f} ± {blend['error_best']:.4f}"
        f"{_mark(blend['minus_best'], blend['error_best'])} ({blend['minus_best'] / max(blend['error_best'], 1e-12):.1f} errors).",
    ]
    if all(result["by_activity"] for result in results):
        lines += ["", *_activity_table(results)]
    return "\n".join(lines) + "\n"


def _activity_table(results: list[dict[str, Any]]) -> list[str]:
    """Every model's metric by fifths of the users."""
    found, metric = [result["by_activity"] for result in results], results[0]["metric"]
    from_rows = np.mean([of["from_rows"] for of in found], axis=0)
    heads = [f"{share} (from {rows:.0f} rows)" for share, rows in zip(SHARES, from_rows)]
    lines = [
        f"{metric} by fifths of the users, the quiet ones first, by the rows that are known of them.",
        "",
        f"| model | {' | '.join(heads)} |",
        "|" + "---|" * (len(SHARES) + 1),
    ]
    for name in found[0]["values"]:
        means = np.mean([of["values"][name] for of in found], axis=0)
        lines.append(f"| {name} | {' | '.join(f'{mean:.4f}' for mean in means)} |")
    if "vae_minus_dae" in found[0]:
        differences, errors = (np.array([of[what] for of in found]) for what in ("vae_minus_dae", "error"))
        n = len(found)
        between = differences.var(0, ddof=1) / n if n > 1 else 0.0
        error = np.sqrt((errors**2).sum(0) / n**2 + between)
        cells = [f"{mean:+.4f} ± {one:.4f}{_mark(mean, one)}" for mean, one in zip(differences.mean(0), error)]
        lines.append(f"| {VAE} minus {DAE} | {' | '.join(cells)} |")
    return lines


def _mark(difference: float, error: float) -> str:
    return " ↑" if difference > 2 * error else " ↓" if difference < -2 * error else ""


def figure(results: list[dict[str, Any]]) -> plots.Plot:
    """Quality against cost: the metric beside seconds to train and to score everybody's whole catalogue."""
    frame, first = summary(results), results[0]
    frame["name"] = _short(list(frame["model"]))
    best = frame.loc[frame["value"].idxmax()]
    quick = frame[frame["value"] > 0.95 * best["value"]].sort_values("train_seconds").iloc[0]
    title = f"{best['name']} is best ({first['metric']} {best['value']:.4f})"
    if quick["name"] != best["name"]:
        title += f"; {quick['name']} reaches {quick['value'] / best['value']:.0%} of that in {_seconds(quick['train_seconds'])} of training"
    figure = plots.Plot(
        title,
        height=5.0,
        footer=f"{first['data']} · {first['protocol']}, {len(results)} seed(s) · fit: train; query and mask: train + validation · "
        "a blend costs what its models cost · what took less than .01 s stands there",
        synthetic="SYNTHETIC" in first["data"],
    )
    top = 1.08 * frame["value"].max()
    with plots.theme():
        panels = figure.subplots(1, 2, sharey=True)
        for axes, column, label in zip(
            panels, ("train_seconds", "evaluate_seconds"), ("seconds to train", "seconds to score all users")
        ):
            seconds = frame[column].clip(lower=0.01)
            colours = [plots.ORANGE if name == BLEND else plots.BLUE for name in frame["model"]]
            axes.scatter(seconds, frame["value"], color=colours, s=42, zorder=3)
            low, high = seconds.min() / 2, seconds.max()
            axes.set(xscale="log", xlabel=label, xlim=(low, low * (high / low) ** (1 / 0.66)))  # the last third is for names
            for row, x, height in zip(frame.itertuples(), seconds, _apart(frame["value"].to_numpy(), 0.045 * top, 0.97 * top)):
                text = axes.annotate(
                    plots.shorten(row.name, 18),
                    (x, row.value),
                    xytext=(0.7, height),
                    textcoords=axes.get_yaxis_transform(),
                    fontsize=8,
                    va="center",
                    arrowprops={"arrowstyle": "-", "color": plots.PALE, "linewidth": 0.8, "relpos": (0, 0.5)},
                )
                text.set_in_layout(False)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_locator(NullLocator())
        panels[0].set(ylabel=first["metric"], ylim=(0, top))
    return figure


def _short(names: list[str]) -> list[str]:
    """A model by its name; a further one of that name with the options that tell it from the first."""
    firsts: dict[str, dict[str, str]] = {}
    short = []
    for name in names:
        model, *options = re.split(r" (?=\w+=)", name)
        values = dict(option.split("=", 1) for option in options)
        first = firsts.setdefault(model, values)
        # Where it has options that the first one lacks, these say enough.
        told = {one: value for one, value in values.items() if one not in first}
        told = told or {one: value for one, value in values.items() if value != first[one]}
        short.append(model if first is values else " ".join([model, *(f"{one}={value}" for one, value in told.items())]))
    return short if len(set(short)) == len(short) else names


def _apart(values: np.ndarray, gap: float, highest: float) -> np.ndarray:
    """Heights near the values, in their order, at least a gap apart and none above the highest."""
    order = np.argsort(values)
    heights = values[order].astype(float)
    for _ in range(200):
        for low in range(len(heights) - 1):
            lack = gap - (heights[low + 1] - heights[low])
            if lack > 1e-9:
                heights[low] -= lack / 2
                heights[low + 1] += lack / 2
    limit = highest
    for place in reversed(range(len(heights))):
        heights[place] = min(heights[place], limit)
        limit = heights[place] - gap
    placed = np.empty_like(heights)
    placed[order] = heights
    return placed


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
