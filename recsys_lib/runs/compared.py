"""Several trained runs judged on the same held-out rows: one table, and the one to submit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.data.splits import Split
from recsys_lib.datasets.base import Dataset
from recsys_lib.display.plots import Plot, list_overlap, model_comparison, recall_by_group
from recsys_lib.evaluation.compare import compare, overlap
from recsys_lib.evaluation.evaluator import Evaluator, Report, cut_offs
from recsys_lib.runs.folder import RunFolder, all_runs, finished_runs
from recsys_lib.runs.trained import identity, lists_frame, load_model

MOST_MODELS = 6  # side by side in one figure: as many as there are colours that everybody can tell apart


@dataclass(frozen=True)
class Comparison:
    """Reports on the test part, by model name in the order of the table.

    Attributes:
        runs: model -> its training run. reports: model -> Report on test.
        metric: that chooses, e.g. "recall@5".
        dataset, split: what all of them share.
    """

    runs: dict[str, RunFolder]
    reports: dict[str, Report]
    metric: str
    dataset: Dataset
    split: Split

    @property
    def best(self) -> RunFolder:
        """The run that was best on *validation*: the test part judges, it does not choose."""
        return max(self.runs.values(), key=lambda run: _on_validation(run, self.metric))

    @property
    def validation(self) -> float:
        """What validation said of that run; what a team's leaderboard.csv holds beside the leaderboard's own score."""
        return _on_validation(self.best, self.metric)

    @property
    def caption(self) -> str:
        """Fit, query and mask: what every figure of the table rests on."""
        split = self.split
        known = "train + validation" if split.fold_in is None else "train + validation + fold-in of the held-out users"
        return (
            f"{self.dataset.title}, {split.protocol} (seed {split.seed}), full catalogue of {split.train.n_items:,} items. "
            f"Fit: train ({len(split.train):,} rows). Query and mask: {known} ({len(split.known_before_test):,}). "
            f"Held out: test ({len(split.test):,}). Intervals: 95 %, bootstrap over users."
        )

    def table(self) -> pd.DataFrame:
        """A row a model, best on test first."""
        k = self.metric.split("@")[1]
        longest = cut_offs(int(k), self.split.test.n_items)[-1]
        metrics = [self.metric, f"ndcg@{k}", f"recall@{longest}", f"coverage@{k}", f"novelty@{k}"]
        rows = []
        for model, report in self.reports.items():
            low, high = report.interval(self.metric)
            record = self.runs[model].record
            row = {"model": model, f"validation {self.metric}": _on_validation(self.runs[model], self.metric)}
            row |= {metric: report.mean(metric) for metric in dict.fromkeys(metrics)}
            row |= {"low": low, "high": high, "cold users": report.n_cold, "skipped users": report.n_skipped}
            rows.append(row | {"train s": record["seconds_training"], "evaluate s": report.seconds})
        frame = pd.DataFrame(rows).sort_values(self.metric, ascending=False, ignore_index=True)
        at = frame.columns.get_loc(self.metric) + 1
        for name in ("high", "low"):
            frame.insert(at, name, frame.pop(name))
        return frame

    def by_activity(self) -> pd.DataFrame:
        """The metric by how much was seen of a user: columns model, group, users, value, low, high."""
        return self._grouped(lambda report: report.by_activity(self.metric))

    def by_slice(self) -> pd.DataFrame:
        """Recall where there is much, little or nothing to go by (Report.slices): a row a model, a column a slice."""
        k = int(self.metric.split("@")[1])
        found = self._grouped(lambda report: report.by_slice(k))
        order = list(dict.fromkeys(found["model"]))
        named = [f"{group} ({users:,} users)" for group, users in zip(found["group"], found["users"])]
        table = found.assign(group=named).pivot(index="model", columns="group", values="value")
        return table.loc[order, list(dict.fromkeys(named))].rename_axis(columns=f"recall@{k}")

    def by_popularity(self) -> pd.DataFrame:
        """Share of the held-out rows found, by the popularity of their item: columns model, group, rows, value."""
        return self._grouped(lambda report: report.by_popularity(int(self.metric.split("@")[1])))

    def differences(self, by: str = "", **more: Any) -> pd.DataFrame:
        """Every pair of models, and whether the difference is more than luck: see evaluation.compare."""
        return compare(self.reports, self.metric, by=by, **more)

    def overlap(self) -> pd.DataFrame:
        """How alike the lists of two models are at the metric's cut-off: see evaluation.compare."""
        return overlap(self.reports, int(self.metric.split("@")[1]))

    def _grouped(self, of) -> pd.DataFrame:
        order = self.table()["model"][:MOST_MODELS]
        return pd.concat([of(self.reports[model]).assign(model=model) for model in order], ignore_index=True)

    def figures(self) -> dict[str, Plot]:
        """model_comparison, by_activity, by_popularity; of two models or more also list_overlap."""
        points = [
            {"model": model, "mean": report.mean(self.metric), **dict(zip(("low", "high"), report.interval(self.metric)))}
            for model, report in self.reports.items()
        ]
        about = {"footer": self.caption, "synthetic": self.dataset.synthetic}
        popularity = self.by_popularity().rename(columns={"rows": "users"})
        drawn = {
            "model_comparison": model_comparison(pd.DataFrame(points), self.metric, **about),
            "by_activity": recall_by_group(self.by_activity(), self.metric, group_name="interactions seen of a user", **about),
            "by_popularity": recall_by_group(popularity, self.metric, group_name="popularity of the held-out item", **about),
        }
        if len(self.reports) > 1:
            drawn["list_overlap"] = list_overlap(self.overlap(), int(self.metric.split("@")[1]), **about)
        return drawn


def runs_to_compare(
    runs_dir: Path | Sequence[Path], dataset: Dataset, split: Split, names: Sequence[str] = ()
) -> list[RunFolder]:
    """The runs named; without names the newest finished training of every model on this data and split.

    Args:
        runs_dir: a folder of runs, or several: one's own and the team's.

    Raises:
        ValueError: there is none.
    """
    if names:
        there = {run.name: run for run in all_runs(runs_dir)}
        folder = Path(runs_dir if isinstance(runs_dir, (str, Path)) else runs_dir[0])
        return [there.get(name) or RunFolder.open(folder / name) for name in names]  # open says what there is
    wanted = {key: value for key, value in identity(dataset, split).items() if key.endswith("fingerprint")}
    newest = {run.model: run for run in finished_runs(runs_dir, kind="training", **wanted)}  # newest last
    if not newest:
        raise ValueError(
            f"no finished training on {dataset.title} with {split.protocol}, seed {split.seed}. "
            "Run 02_train with the same DATA_DIR, SPLIT and SEED first."
        )
    return [newest[model] for model in sorted(newest)]


def compare_runs(runs: Sequence[RunFolder], dataset: Dataset, split: Split, *, metric: str) -> Comparison:
    """Every run's model, brought back and judged on the test part: full catalogue, all that was known masked.

    Args:
        metric: that the table leads with and that chooses on validation, e.g. "recall@5".
    """
    ks = cut_offs(int(metric.split("@")[1]), split.test.n_items)
    evaluator = Evaluator(split.test, seen=split.known_before_test, ks=ks)
    for run in runs:
        _on_validation(run, metric)  # refused now, not after every model was judged
    reports, by_name = {}, {}
    for run in runs:
        name = run.model if run.model not in by_name else run.name  # two runs of one model: by their folders
        by_name[name] = run
        reports[name] = evaluator.evaluate(load_model(run, dataset, split))
    return Comparison(by_name, reports, metric, dataset, split)


def keep_evaluation(run: RunFolder, comparison: Comparison) -> dict[str, Plot]:
    """Write the lists of every model, the figures and metrics.json with the table; return the figures.

    Before the submission is made, so that nothing that befalls it takes the table along.
    """
    run.refuse_if_finished()
    catalogue = comparison.dataset.catalogue
    frames = [lists_frame(report, catalogue, "test").assign(part=f"test/{model}") for model, report in comparison.reports.items()]
    run.write_lists(pd.concat(frames, ignore_index=True))
    figures = comparison.figures()
    for name, figure in figures.items():
        run.save_figure(name, figure)
    run.write_metrics(
        {
            "part": "test",
            "caption": comparison.caption,
            "table": comparison.table(),
            "by_activity": comparison.by_activity(),
            "by_popularity": comparison.by_popularity(),
            "differences": comparison.differences() if len(comparison.reports) > 1 else None,
            "best": comparison.best.name,
            "reports": {model: report.summary() for model, report in comparison.reports.items()},
        }
    )
    return figures


def finish_evaluation(
    run: RunFolder,
    comparison: Comparison,
    *,
    parameters: dict[str, Any],
    submission: str | None,
    recommendations: pd.DataFrame | None = None,
) -> None:
    """Write run.json, and what the submission was made of.

    Args:
        submission: its file's name in the run folder, or None. recommendations: its rows, for lists.parquet.
    """
    if recommendations is not None:
        run.write_lists(recommendations.assign(part="submission"))
    run.write_metrics(run.metrics | {"submission": submission})
    run.finish(
        kind="evaluation",
        parents=[parent.name for parent in comparison.runs.values()],
        parameters=parameters,
        refitted=comparison.best.name if submission else None,
        seconds_evaluation=sum(report.seconds for report in comparison.reports.values()),
        **identity(comparison.dataset, comparison.split),
    )


def _on_validation(run: RunFolder, metric: str) -> float:
    measured = run.metrics.get("metrics", {})
    if metric not in measured:
        known = ", ".join(measured)
        raise ValueError(f"run {run.name} was not validated with {metric}; it has {known}. Train it with the same K.")
    return measured[metric]["mean"]
