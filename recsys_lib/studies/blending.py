"""Weights for a blend of trained runs, from the lists that they saved on validation.

    weights     ensemble selection: begin with nothing, add the list that helps the metric most, with replacement, 30 times;
                the best of the 30 is taken, w_m = how often m was added / all additions
    scaling     the one of min-max, rank, softmax with which that comes furthest
    judged on   five folds of the users: scaling and weights are chosen on four and asked on the fifth, as is the best single
                model; so nobody's rows judge what they chose. The weights of the run are then chosen on all users.
    gain        blend - best single model, paired over the users, 95 % bootstrap; where it holds 0 the blend is inside the noise

The result is a run like any other: compared, submitted, explained. Source: Caruana et al., Ensemble Selection from
Libraries of Models, ICML 2004.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import Split
from recsys_lib.data.top_k import top_k
from recsys_lib.datasets.base import Dataset
from recsys_lib.evaluation.intervals import bootstrap_intervals
from recsys_lib.evaluation.metrics import METRICS
from recsys_lib.models.blend import LIST, SCALINGS, BlendConfig, scaled_lists
from recsys_lib.runs.folder import RunFolder
from recsys_lib.runs.trained import BLEND, identity, keep_members

ADDITIONS = 30
N_FOLDS = 5
MOST_USERS = 20_000  # who choose; more of them move no weight
_BLOCK = 4096  # users whose lists lie side by side at once


@dataclass(frozen=True, eq=False)
class Blended:
    """What was found on validation.

    Attributes:
        weights: model -> weight, their sum 1. scaling: of the lists.
        metric: that chose, e.g. "recall@10".
        singles: (U, M) every model alone, a column a model in the order of weights.
        values: (U,) of the blend whose weights the user's fold did not choose. single_values: of the best single model, likewise.
        others: further metrics: (U,) of the blend as in values, and (U,) of the model that is best alone.
        run: the blend's run folder; None before it is written.
    """

    weights: dict[str, float]
    scaling: str
    metric: str
    singles: np.ndarray
    values: np.ndarray
    single_values: np.ndarray
    others: dict[str, tuple[np.ndarray, np.ndarray]]
    run: RunFolder | None = None

    @property
    def gain(self) -> tuple[float, float, float]:
        """Blend - best single model on users who chose neither: mean, low, high (95 %)."""
        difference = self.values - self.single_values
        low, high = bootstrap_intervals(difference[:, None])[0]
        return float(difference.mean()), float(low), float(high)

    @property
    def is_more_than_noise(self) -> bool:
        return self.gain[1] > 0

    @property
    def best_single(self) -> str:
        return list(self.weights)[int(np.argmax(self.singles.mean(0)))]

    def sentence(self) -> str:
        """The finding, with a warning where the gain is inside the noise."""
        best = self.best_single
        mean, low, high = self.gain
        found = (
            f"{self.metric} on validation {self.values.mean():.4f}, the best single model ({best}) {self.single_values.mean():.4f}; "
            f"gain {mean:+.4f} ({low:+.4f} to {high:+.4f}, users who did not choose)"
        )
        if self.is_more_than_noise:
            return f"The blend wins: {found}."
        return f"WARNING: the gain is inside the noise, so {best} alone is as good a choice: {found}."

    def table(self) -> pd.DataFrame:
        """A row a model: weight, and the metric alone; last the blend, by users who did not choose its weights."""
        rows = [(name, weight, float(alone)) for (name, weight), alone in zip(self.weights.items(), self.singles.mean(0))]
        rows.append((f"{BLEND} ({self.scaling})", 1.0, float(self.values.mean())))
        return pd.DataFrame(rows, columns=["model", "weight", f"validation {self.metric}"]).set_index("model")


def blend_runs(
    runs: Sequence[RunFolder],
    dataset: Dataset,
    split: Split,
    *,
    metric: str,
    runs_dir: str | Path,
    scaling: str = "",
    member: str = "",
    publish_to: str | Path | None = None,
    seed: int = 0,
) -> Blended:
    """Find weights for the lists that finished trainings wrote on validation, and write the blend's run folder.

    Args:
        runs: trainings on this data and split; a blend among them is left out. metric: e.g. "recall@10".
        scaling: "" to choose among all. runs_dir: where the new folder goes. seed: of the folds.
    Raises:
        ValueError: fewer than two runs, runs of other data or another split, an unknown scaling or metric.
        FileNotFoundError: a run that kept no lists.
    """
    started = time.perf_counter()
    runs = [run for run in runs if run.model != BLEND]
    names = _names(runs)
    _check(runs, names, dataset, split)
    lists = {name: _Lists.of(run, dataset, split.validation) for name, run in zip(names, runs)}
    alone = {name: run.metrics.get("metrics", {}) for name, run in zip(names, runs)}
    known = [one for one in alone[names[0]] if one.split("@")[0] in METRICS and all(one in of for of in alone.values())]
    found = choose_weights(
        lists, split.validation, metric=metric, scaling=scaling, seed=seed, also=[one for one in known if one != metric]
    )
    seconds = time.perf_counter() - started

    # Who has no say is no part of it, and need not be trained again for a submission.
    runs, names = zip(*((run, name) for run, name in zip(runs, names) if found.weights[name]))
    config = BlendConfig(tuple(found.weights[name] for name in names), found.scaling)
    run = RunFolder.create(runs_dir, kind="training", model=BLEND, member=member, publish_to=publish_to)
    keep_members(run, runs)
    run.write_lists(_blended_lists([lists[name] for name in names], config, split.validation, dataset))
    of_best = found.singles[:, list(found.weights).index(found.best_single)]
    metrics = {
        one: _measured(*of, alone[found.best_single].get(one))
        for one, of in {metric: (found.values, of_best), **found.others}.items()
    }
    gain = dict(zip(("mean", "low", "high"), found.gain))
    about = "by users who did not choose the weights"
    run.write_metrics({"part": "validation", "kind": about, "metrics": metrics, "gain": gain, "users_scored": len(found.values)})
    run.finish(
        kind="training",
        model=BLEND,
        parents=[one.name for one in runs],
        weights=found.weights,
        model_config=vars(config),
        train_config={},
        parameters={"RUNS": [one.name for one in runs], "metric": metric},
        seed=seed,
        monitor=metric,
        best=metrics[metric]["mean"],
        epochs=0,
        best_epoch=0,
        features=sorted({name for one in runs for name in one.record.get("features", [])}),
        learning_rates=[],
        fit_rows=len(split.train),
        verdict=found.sentence(),
        # What a blend costs is what its members cost.
        seconds_training=seconds + sum(one.record["seconds_training"] for one in runs),
        seconds_evaluation=0.0,
        **identity(dataset, split),
    )
    return Blended(**vars(found) | {"run": run})


def _measured(values: np.ndarray, of_best: np.ndarray, best_of_all: dict[str, float] | None) -> dict[str, float]:
    """Mean and interval for metrics.json. Where only some users were drawn, on the level of all: that of the best single model there."""
    level = best_of_all["mean"] - float(of_best.mean()) if best_of_all else 0.0
    low, high = bootstrap_intervals(values[:, None])[0]
    return {"mean": float(values.mean()) + level, "low": float(low) + level, "high": float(high) + level}


def choose_weights(
    lists: dict[str, _Lists], held_out: Interactions, *, metric: str, scaling: str = "", seed: int = 0, also: Sequence[str] = ()
) -> Blended:
    """Weights and scaling for lists of the same users, and what both are worth to users who did not choose them.

    Args:
        also: further metrics to report; they choose nothing.
    Raises: ValueError for an unknown scaling or metric.
    """
    scalings = [scaling] if scaling else list(SCALINGS)
    if scaling and scaling not in SCALINGS:
        raise ValueError(f"scaling must be one of {', '.join(SCALINGS)}, or empty to choose among them; got {scaling!r}")
    generator = np.random.default_rng(seed)
    users = np.flatnonzero(held_out.user_counts)
    chosen = np.sort(generator.permutation(len(users))[:MOST_USERS])
    judges = [_Judge(lists, one, held_out, users, chosen, metric) for one in scalings]
    fold = generator.permutation(len(chosen)) % min(N_FOLDS, len(chosen))
    singles = np.stack([judges[0].values(one) for one in np.eye(len(lists), dtype=int)], 1)
    values, single_values = np.empty(len(chosen)), np.empty(len(chosen))
    best = np.eye(len(lists), dtype=int)[int(np.argmax(singles.mean(0)))]
    further = {one: (np.empty(len(chosen)), judges[0].values(best, one)) for one in also}
    for number in range(fold.max() + 1):
        inside, others = fold == number, fold != number
        if not others.any():  # one user: nobody else could choose
            others = inside
        judge, counts = _select(judges, others)
        values[inside] = judge.values(counts)[inside]
        for one in also:
            further[one][0][inside] = judge.values(counts, one)[inside]
        single_values[inside] = singles[inside, int(np.argmax(singles[others].mean(0)))]
    judge, counts = _select(judges, np.ones(len(chosen), dtype=bool))
    weights = dict(zip(lists, (counts / counts.sum()).tolist()))
    return Blended(weights, judge.scaling, metric, singles, values, single_values, further)


def _select(judges: list[_Judge], users: np.ndarray) -> tuple[_Judge, np.ndarray]:
    """The scaling and the counts (M,) that are best for the (U,) bool users."""
    found = [(*_added_up(judge, users), judge) for judge in judges]
    value, counts, judge = max(found, key=lambda one: one[0])  # the first of equals
    return judge, counts


def _added_up(judge: _Judge, users: np.ndarray) -> tuple[float, np.ndarray]:
    n_models = judge.n_models
    counts, best = np.zeros(n_models, dtype=int), (-np.inf, np.zeros(n_models, dtype=int))
    for _ in range(ADDITIONS):
        tried = [float(judge.values(counts + one)[users].mean()) for one in np.eye(n_models, dtype=int)]
        counts = counts + np.eye(n_models, dtype=int)[int(np.argmax(tried))]
        if max(tried) > best[0] + 1e-12:  # of equals the one with fewer additions
            best = max(tried), counts
    return best


class _Judge:
    """What weights are worth to each user, under one scaling; every question is answered once."""

    def __init__(
        self, lists: dict[str, _Lists], scaling: str, held_out: Interactions, users: np.ndarray, chosen: np.ndarray, metric: str
    ) -> None:
        self.scaling, self.n_models = scaling, len(lists)
        name, _, k = metric.partition("@")
        if name not in METRICS or not k.isdigit():
            raise ValueError(f"the metric must be one of {', '.join(METRICS)} with a cut-off, e.g. 'recall@10'; got {metric!r}")
        self._chooses = metric
        self._scores, items = _side_by_side([one.take(chosen) for one in lists.values()], scaling, held_out.n_items)
        self._there = items >= 0
        keys = torch.from_numpy(held_out.pair_keys.copy())
        asked = torch.from_numpy(users[chosen])[:, None] * held_out.n_items + items
        self._hits = (keys[torch.searchsorted(keys, asked).clamp(max=len(keys) - 1)] == asked) & self._there
        self._n_held_out = torch.from_numpy(held_out.user_counts[users[chosen]])
        self._known: dict[bytes, np.ndarray] = {}

    def values(self, counts: np.ndarray, metric: str = "") -> np.ndarray:
        """(U,) of a metric (that which chooses) for (M,) weights, whatever their sum."""
        metric = metric or self._chooses
        divided = counts // np.gcd.reduce(counts)
        key = divided.tobytes() + metric.encode()
        if key not in self._known:
            name, _, k = metric.partition("@")
            scores = torch.einsum("ucm,m->uc", self._scores, torch.from_numpy(divided).to(self._scores))
            _, places = top_k(scores.masked_fill_(~self._there, -torch.inf).contiguous(), min(int(k), scores.shape[1]))
            self._known[key] = METRICS[name](self._hits.gather(1, places).double(), self._n_held_out, int(k)).float().numpy()
        return self._known[key]


@dataclass(frozen=True, eq=False)
class _Lists:
    """items: (U, L) int64, -1 where there is none; scores: (U, L) float32, -inf there; best first; users rise."""

    items: Tensor
    scores: Tensor

    @classmethod
    def of(cls, run: RunFolder, dataset: Dataset, held_out: Interactions) -> _Lists:
        frame = run.lists("validation")
        catalogue, users = dataset.catalogue, np.flatnonzero(held_out.user_counts)
        row_of = np.full(catalogue.n_users + 1, -1)
        row_of[users] = np.arange(len(users))
        rows, places = row_of[catalogue.users.find(frame["user_id"])], frame["rank"].to_numpy(np.int64) - 1
        asked = (rows >= 0) & (places < LIST)
        if len(np.unique(rows[asked])) != len(users):
            raise ValueError(
                f"the lists of run {run.name} hold {len(np.unique(rows[asked])):,} of the {len(users):,} validation users; train it again"
            )
        items = torch.full((len(users), LIST), -1, dtype=torch.int64)
        scores = torch.full((len(users), LIST), -torch.inf)
        at = torch.from_numpy(rows[asked]), torch.from_numpy(places[asked])
        items[at] = torch.from_numpy(catalogue.items.find(frame["item_id"])[asked].astype(np.int64))
        scores[at] = torch.from_numpy(frame["score"].to_numpy(np.float32)[asked])
        return cls(items, scores)

    def take(self, rows: np.ndarray) -> _Lists:
        return _Lists(self.items[torch.from_numpy(rows)], self.scores[torch.from_numpy(rows)])


def _side_by_side(lists: Sequence[_Lists], scaling: str, n_items: int) -> tuple[Tensor, Tensor]:
    """What every list says of every item that stands in one of them: (U, C, M) scaled scores and (U, C) items, -1 at the end."""
    n_users = len(lists[0].items)
    keys = [torch.arange(n_users)[:, None] * n_items + one.items for one in lists]
    union = torch.cat([key[one.items >= 0] for key, one in zip(keys, lists)]).unique()  # rising: equal scores go by the item
    rows = union // n_items
    counts = torch.bincount(rows, minlength=n_users)
    places = torch.arange(len(union)) - (counts.cumsum(0) - counts)[rows]
    items = torch.full((n_users, int(counts.max())), -1, dtype=torch.int64)
    items[rows, places] = union % n_items
    scores = torch.zeros(*items.shape, len(lists))
    for number, (key, one) in enumerate(zip(keys, lists)):
        there = one.items >= 0
        at = torch.searchsorted(union, key[there])
        scores[rows[at], places[at], number] = scaled_lists(one.scores, scaling)[there]
    return scores, items


def _blended_lists(lists: Sequence[_Lists], config: BlendConfig, held_out: Interactions, dataset: Dataset) -> pd.DataFrame:
    """The blend's own lists on validation, for lists.parquet."""
    catalogue, users = dataset.catalogue, np.flatnonzero(held_out.user_counts)
    frames = []
    for rows in np.array_split(
        np.arange(len(users)), max(1, len(users) // _BLOCK)
    ):  # all lists side by side are much larger than each
        scores, items = _side_by_side([one.take(rows) for one in lists], config.scaling, held_out.n_items)
        total = (scores @ torch.tensor(config.weights)).masked_fill_(items < 0, -torch.inf)
        values, places = top_k(total, min(LIST, total.shape[1]))
        length, there = values.shape[1], (values > -torch.inf).numpy().ravel()
        frame = pd.DataFrame(
            {
                "part": "validation",
                "user_id": catalogue.users.ids_of(users[rows].repeat(length)),
                "item_id": catalogue.items.ids_of(items.gather(1, places).clamp(min=0).numpy().ravel()),
                "rank": np.tile(np.arange(1, length + 1), len(rows)),
                "score": values.numpy().ravel(),
            }
        )
        frames.append(frame[there])
    return pd.concat(frames, ignore_index=True)


def _names(runs: Sequence[RunFolder]) -> list[str]:
    """A run by its model; two of one model by their folders."""
    models = [run.model for run in runs]
    return [run.model if models.count(run.model) == 1 else run.name for run in runs]


def _check(runs: Sequence[RunFolder], names: Sequence[str], dataset: Dataset, split: Split) -> None:
    if len(runs) < 2:
        raise ValueError(
            f"a blend takes two trained runs or more; got {', '.join(names) or 'none'}. Run 02_train with other models first."
        )
    here = identity(dataset, split)
    for run in runs:
        record: dict[str, Any] = run.record
        if not run.is_finished or record.get("kind") != "training":
            raise ValueError(f"run {run.name} is not a finished training (kind {record.get('kind')!r}, {run.status})")
        for what in ("data_fingerprint", "split_fingerprint"):
            if record[what] != here[what]:
                raise ValueError(
                    f"run {run.name} was trained on {what.replace('_fingerprint', '')} {record[what]}, here it is {here[what]}; "
                    "blend runs of one data set and split."
                )
