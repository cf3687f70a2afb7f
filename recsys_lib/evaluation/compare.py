"""Which of several models is better, for whom, and is it more than luck?

    d_u = (value of one model for user u) - (value of the other)          all models ranked the same users
    t_p = mean d / se(d)  of each pair p of models;   users are drawn anew, together for all pairs:
    t*_p = (mean d* - mean d) / se(d)
    corrected p: the share of draws in which the largest |t*| of the whole family reaches |t_p|
    interval:    mean d ± c · se(d), c the 95 % quantile of that largest |t*|; all intervals of a table hold at once

The family is every pair of models in every group of the table, so the more is compared, the more a difference must be.
Source: Westfall & Young, Resampling-Based Multiple Testing, 1993 (single-step max-T); the paired bootstrap over queries:
Sakai, Evaluating Evaluation Metrics based on the Bootstrap, SIGIR 2006. Effect size: Cohen's d of paired values,
mean d / deviation d; .2 is called small, .5 medium.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from recsys_lib.evaluation.evaluator import ACTIVITY_EDGES, Report

LEVEL = 0.05
FEWEST = 20  # users; the bootstrap says nothing of fewer
GROUPINGS = ("", "activity", "popularity", "slice")
COLUMNS = (
    *("group", "model", "other", "users", "value", "other_value", "difference", "low", "high", "p", "effect_size"),
    *("better_for", "worse_for", "verdict"),
)


def compare(
    reports: Mapping[str, Report],
    metric: str,
    *,
    by: str = "",
    activity_edges: Sequence[int] = ACTIVITY_EDGES,
    n_resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Every pair of models, the better one first.

    Args:
        reports: name -> Report on the same held-out rows, two or more.
        metric: e.g. "recall@10". By "popularity" and by "slice" it must be a recall: there it is the share of a user's
            held-out rows of that kind that are found.
        by: "": all users. "activity": by what was seen of a user. "popularity": by that of the held-out items. "slice": warm,
            sparse and cold users, cold items.
        activity_edges: of the groups by activity, e.g. (0, 20, 80, 101).
    Returns:
        a row a group and pair: group, model, other, users, value, other_value, difference, low, high (simultaneous 95 %),
        p (corrected), effect_size, better_for and worse_for (shares of the users), verdict: "better", "no difference
        shown", or "too few users".
    Raises:
        ValueError: fewer than two reports, other held-out rows, an unknown grouping or metric.
    """
    _check(reports, metric, by)
    groups = _groups(reports, metric, by, activity_edges)
    generator = np.random.default_rng(seed)
    rows, largest = [], np.zeros(n_resamples)
    for group, values in groups.items():
        order = sorted(values, key=lambda name: -values[name].mean())
        for model, other in combinations(order, 2):
            rows.append({"group": group, "model": model, "other": other} | _difference(values[model], values[other]))
        of_group = rows[-(len(order) * (len(order) - 1) // 2) :]
        if of_group[0]["users"] >= FEWEST:
            differences = np.stack([values[row["model"]] - values[row["other"]] for row in of_group], 1)
            largest = np.maximum(largest, _largest_of_draws(differences, n_resamples, generator))
    return _judged(rows, largest)


def overlap(reports: Mapping[str, Report], k: int) -> pd.DataFrame:
    """How alike the lists of two models are: (M, M), the mean over users of the share of k places that both give to one item.

    Raises: ValueError where a report has shorter lists, or other users.
    """
    _check(reports, "", "")
    names, lists = list(reports), {}
    for name, report in reports.items():
        if report.ranked.shape[1] < k:
            raise ValueError(f"the lists of {name} have {report.ranked.shape[1]} places; {k} were asked for")
        ranked = report.ranked[:, :k].astype(np.int64)
        keys = np.arange(len(ranked))[:, None] * report.held_out.n_items + ranked
        lists[name] = keys[ranked >= 0]
    n_users = len(reports[names[0]].users)
    shared = [[np.intersect1d(lists[a], lists[b], assume_unique=True).size / (n_users * k) for b in names] for a in names]
    return pd.DataFrame(shared, index=pd.Index(names, name="model"), columns=names)


def _check(reports: Mapping[str, Report], metric: str, by: str) -> None:
    if len(reports) < 2:
        raise ValueError(f"to compare takes two reports or more; got {', '.join(reports) or 'none'}")
    if by not in GROUPINGS:
        raise ValueError(f"by must be one of {', '.join(map(repr, GROUPINGS))}; got {by!r}")
    if by in ("popularity", "slice") and not metric.startswith("recall@"):
        raise ValueError(
            f"by {by} a user's held-out rows are counted, so the metric must be a recall, e.g. 'recall@10'; got {metric!r}"
        )
    first_name, first = next(iter(reports.items()))
    for name, report in reports.items():
        if not np.array_equal(report.held_out.pair_keys, first.held_out.pair_keys):
            raise ValueError(f"{name} was asked for other rows than {first_name}; evaluate all models with one Evaluator")
        if report.kind != first.kind or not np.array_equal(report.seen.pair_keys, first.seen.pair_keys):
            raise ValueError(
                f"{name} ({report.kind}) and {first_name} ({first.kind}) answered different questions: other candidates, or another mask; "
                "evaluate all models with one Evaluator"
            )
        if metric and metric not in report.values:
            raise ValueError(f"no metric {metric!r} in the report of {name}; there are {', '.join(report.values)}")


def _groups(reports: Mapping[str, Report], metric: str, by: str, edges: Sequence[int]) -> dict[str, dict[str, np.ndarray]]:
    """group -> model -> (U,) values of the same users."""
    of_model: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for name, report in reports.items():
        if by == "activity":
            of_model[name] = report.activity_groups(metric, edges)
        elif by:
            k = int(metric.split("@")[1])
            of_model[name] = report.slices(k) if by == "slice" else report.popularity_groups(k)
        else:
            of_model[name] = {"all users": (report.users, report.values[metric])}
    groups = next(iter(of_model.values()))
    return {group: {name: of_model[name][group][1] for name in reports} for group in groups}


def _difference(values: np.ndarray, others: np.ndarray) -> dict[str, float]:
    difference = values - others
    deviation = float(difference.std(ddof=1)) if len(difference) > 1 else 0.0
    mean = float(difference.mean())
    return {
        "users": len(values),
        "value": float(values.mean()),
        "other_value": float(others.mean()),
        "difference": mean,
        "error": deviation / np.sqrt(len(values)),
        "effect_size": mean / deviation if deviation else 0.0,
        "better_for": float((difference > 0).mean()),
        "worse_for": float((difference < 0).mean()),
    }


def _largest_of_draws(differences: np.ndarray, n_resamples: int, generator: np.random.Generator) -> np.ndarray:
    """(n_resamples,) the largest |t*| of (U, P) differences, users drawn together for all P."""
    n_users = len(differences)
    centred = differences - differences.mean(0)
    error = centred.std(0, ddof=1) / np.sqrt(n_users)
    centred = (centred / np.where(error > 0, error, np.inf)).astype(np.float32)
    largest = np.empty(n_resamples)
    step = max(1, 2**24 // n_users)  # a draw is a row of counts, so many draws are one product in bounded memory
    for start in range(0, n_resamples, step):
        n = min(step, n_resamples - start)
        drawn = generator.integers(0, n_users, size=(n, n_users)) + np.arange(n)[:, None] * n_users
        counts = np.bincount(drawn.ravel(), minlength=n * n_users).reshape(n, n_users).astype(np.float32)
        largest[start : start + n] = np.abs(counts @ centred).max(1) / n_users
    return largest


def _judged(rows: list[dict], largest: np.ndarray) -> pd.DataFrame:
    width = float(np.quantile(largest, 1 - LEVEL))
    for row in rows:
        error = row.pop("error")
        t = abs(row["difference"]) / error if error else np.inf if row["difference"] else 0.0
        row["p"] = float((1 + (largest >= t).sum()) / (1 + len(largest)))  # with the sample itself, so that no p is 0
        row["low"], row["high"] = row["difference"] - width * error, row["difference"] + width * error
        row["verdict"] = "better" if row["p"] < LEVEL else "no difference shown"
        if row["users"] < FEWEST:
            row["p"] = row["low"] = row["high"] = np.nan
            row["verdict"] = "too few users"
    return pd.DataFrame(rows, columns=list(COLUMNS))
