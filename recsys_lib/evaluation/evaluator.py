"""Every user, the whole catalogue, seen items out: one Evaluator for every model.

With `candidates` it ranks fixed lists instead, as some papers did; their figures are not those of the whole catalogue.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch

from recsys_lib.data.candidates import Candidates
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import count_shared, rank_in_user
from recsys_lib.evaluation.intervals import bootstrap_intervals
from recsys_lib.evaluation.metrics import METRICS, coverage_at_k, novelty_at_k
from recsys_lib.evaluation.ranking import Ranking, rank, rank_candidates
from recsys_lib.models.base import Recommender

ACTIVITY_EDGES = (0, 1, 2, 3, 6, 11, 21, 51, 101)
FIT_RECALL = "fit recall (not a validation)"
FEW = 2  # interactions of a user of whom little is known
SLICES = ("warm", "sparse users", "cold users", "cold items")
POPULARITY_EDGES = (0.0, 0.01, 0.05, 0.20, 1.0)
POPULARITIES = ("top 1 %", "1–5 %", "5–20 %", "other 80 %", "never seen")


@dataclass(frozen=True, eq=False)
class Report:
    """What an evaluation found.

    Attributes:
        users: (U,) indexes of the users that hold something out; all others are skipped.
        values: "recall@10" -> (U,) float64, one value a user.
        whole: figures that belong to all lists together: "coverage@10", "novelty@10" (bits).
        n_held_out: (U,) held-out items of each user.
        ranked, scores: (U, K) int64 item indexes (-1 = none left) and float32, best first.
        hits: (U, K) bool.
        fallback: (U,) bool: ranked by popularity because the model could not score the user (cold).
        newcomers: (U,) bool: ranked by their features alone (cold too).
        n_skipped: users of the catalogue that hold nothing out.
        kind: "evaluation", "evaluation among 99 candidates", or "fit recall (not a validation)".
        rows: what the figure rests on: rows the model was fitted on, asked with, masked, and held out.
        seconds: of the whole evaluation.
        held_out, seen: what was asked for, and what was masked.
    """

    users: np.ndarray
    values: dict[str, np.ndarray]
    whole: dict[str, float]
    n_held_out: np.ndarray
    ranked: np.ndarray
    scores: np.ndarray
    hits: np.ndarray
    fallback: np.ndarray
    newcomers: np.ndarray
    n_skipped: int
    kind: str
    rows: dict[str, int]
    seconds: float
    held_out: Interactions
    seen: Interactions

    @property
    def n_cold(self) -> int:
        """Users whom the model could not score by history: they got popular items, or what their features say."""
        return int((self.fallback | self.newcomers).sum())

    def mean(self, metric: str) -> float:
        """The mean over users of e.g. "recall@10"; coverage and novelty are what they are.

        Raises: KeyError listing the metrics there are.
        """
        if metric in self.whole:
            return self.whole[metric]
        return float(self._column(metric).mean(dtype=np.float64))

    def interval(self, metric: str) -> tuple[float, float]:
        """The 95 % bootstrap interval over users of the mean."""
        self._column(metric)
        return self._intervals[metric]

    @cached_property
    def _intervals(self) -> dict[str, tuple[float, float]]:
        ends = bootstrap_intervals(np.stack(list(self.values.values()), 1))
        return {name: (float(low), float(high)) for name, (low, high) in zip(self.values, ends)}

    def _column(self, metric: str) -> np.ndarray:
        if metric not in self.values:
            raise KeyError(f"no metric {metric!r} in this report; there are {', '.join([*self.values, *self.whole])}")
        return self.values[metric]

    def table(self) -> pd.DataFrame:
        """Index `metric`; columns `mean`, `low`, `high` (95 % interval over users; NaN for coverage and novelty)."""
        rows = [(name, self.mean(name), *self.interval(name)) for name in self.values]
        rows += [(name, value, np.nan, np.nan) for name, value in self.whole.items()]
        return pd.DataFrame(rows, columns=["metric", "mean", "low", "high"]).set_index("metric")

    def by_activity(self, metric: str) -> pd.DataFrame:
        """The mean of a metric for groups of users by how much was seen of them.

        Columns: group, users, value, low, high.
        """
        return _means(self.activity_groups(metric))

    def activity_groups(self, metric: str, edges: Sequence[int] = ACTIVITY_EDGES) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Users by how much was seen of them: group -> (users, their values of the metric); the last edge has no end.

        Raises: ValueError for edges that do not rise from 0 or more.
        """
        values, groups = self._column(metric), by_rows_seen(self.seen.user_counts[self.users], edges)
        return {name: (self.users[inside], values[inside]) for name, inside in groups.items()}

    def by_popularity(self, k: int) -> pd.DataFrame:
        """Share of the held-out rows that stand in the first k places, by how popular their item is in `seen`.

        Columns: group, rows (held-out rows of such items), value (share of them found).
        """
        group, names = popularity_of_items(self.seen.item_counts), POPULARITIES
        held = np.bincount(group[self.held_out.items], minlength=len(names))
        found = np.bincount(group[self.ranked[:, :k][self.hits[:, :k]]], minlength=len(names))
        rows = [(name, n, found[i] / n) for i, (name, n) in enumerate(zip(names, held)) if n]
        return pd.DataFrame(rows, columns=["group", "rows", "value"])

    def slices(self, k: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Recall at k where there is much, little or nothing to go by: slice -> (users, their values).

        Each held-out row is in one slice: "cold items" when its item is not in `seen`, whoever asks; else "cold users",
        "sparse users" or "warm" as the user has 0, 1 to 2, or more rows there. A user's value is the share of his
        rows in the slice that stand in the first k places. Users without such rows are not in it; an empty slice is left out.

        Returns:
            users (U',) int64 indexes rising, values (U',) float64, in the order of SLICES.
        """
        held, known = self.held_out, self.seen.user_counts
        of_user, of_item = np.divmod(held.pair_keys, held.n_items)
        slice_of = np.select([self.seen.item_counts[of_item] == 0, known[of_user] == 0, known[of_user] <= FEW], [3, 2, 1], 0)
        return self._recall_of_rows(slice_of, SLICES, k)

    def popularity_groups(self, k: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Recall at k of the held-out rows whose item is of one popularity (as by_popularity, a value a user); as slices()."""
        group_of = popularity_of_items(self.seen.item_counts)
        return self._recall_of_rows(group_of[self.held_out.pair_keys % self.held_out.n_items], POPULARITIES, k)

    def _recall_of_rows(self, group_of: np.ndarray, names: Sequence[str], k: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """group_of: of each held-out row, in the order of the pair keys."""
        held = self.held_out
        found = np.zeros(len(held), dtype=bool)
        users, places = np.nonzero(self.hits[:, :k])
        hit_keys = self.users[users] * held.n_items + self.ranked[users, places]
        found[np.searchsorted(held.pair_keys, hit_keys)] = True
        of_user = held.pair_keys // held.n_items
        values = {}
        for place, name in enumerate(names):
            inside = group_of == place
            asked = np.bincount(of_user[inside], minlength=held.n_users)
            there = np.flatnonzero(asked)
            if len(there):
                values[name] = there, np.bincount(of_user[inside & found], minlength=held.n_users)[there] / asked[there]
        return values

    def by_slice(self, k: int) -> pd.DataFrame:
        """The means of slices(k). Columns: group, users, value, low, high."""
        return _means(self.slices(k))

    def summary(self) -> dict[str, Any]:
        """Everything but the per-user values, ready for metrics.json; the slices at the first k."""
        k = min(int(name.split("@")[1]) for name in self.values)
        return {
            "kind": self.kind,
            "metrics": {name: {"mean": row["mean"], "low": row["low"], "high": row["high"]} for name, row in self.table().iterrows()},
            "slices": {f"recall@{k}": {row.pop("group"): row for row in self.by_slice(k).to_dict("records")}},
            "users_scored": len(self.users),
            "users_cold": self.n_cold,
            "users_by_features": int(self.newcomers.sum()),
            "users_skipped": self.n_skipped,
            "rows": self.rows,
            "seconds": self.seconds,
        }

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {self.mean(name):.4f}" for name in list(self.values)[:3])
        return f"Report({self.kind}: {len(self.users):,} users, {figures}, ...)"


def by_rows_seen(counts: np.ndarray, edges: Sequence[int] = ACTIVITY_EDGES) -> dict[str, np.ndarray]:
    """Users by how many rows were seen of them, counts (n,): group, e.g. "3–5" -> (n,) bool; an empty group is left out.

    Raises: ValueError for edges that do not rise from 0 or more.
    """
    edges = list(edges)
    if not edges or edges[0] < 0 or any(low >= high for low, high in zip(edges, edges[1:])):
        raise ValueError(f"edges are numbers of interactions that rise, e.g. (0, 20, 80, 100); got {edges}")
    place_of = np.searchsorted(edges, counts, side="right") - 1
    found = {}
    for place in np.unique(place_of[place_of >= 0]):
        low, *after = edges[place:]
        name = f"{low}+" if not after else str(low) if after[0] == low + 1 else f"{low}–{after[0] - 1}"
        found[name] = place_of == place
    return found


def popularity_of_items(counts: np.ndarray) -> np.ndarray:
    """(n_items,) places in POPULARITIES of items with counts (n_items,) rows each."""
    share = np.empty(len(counts))
    share[np.argsort(-counts, kind="stable")] = (np.arange(len(counts)) + 0.5) / len(counts)
    group = np.clip(np.searchsorted(POPULARITY_EDGES, share, side="right") - 1, 0, len(POPULARITY_EDGES) - 2)
    group[counts == 0] = len(POPULARITIES) - 1
    return group


def _means(groups: dict[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """group -> (users, values). Columns: group, users, value, low, high."""
    rows = [(name, len(users), float(v.mean(dtype=np.float64)), *bootstrap_intervals(v[:, None])[0]) for name, (users, v) in groups.items()]
    return pd.DataFrame(rows, columns=["group", "users", "value", "low", "high"])


class Evaluator:
    """Ranks the whole catalogue for every user who holds something out, and measures.

    Args:
        held_out: the rows to be found.
        seen: never recommended (−inf); normally everything known before `held_out`.
        history: what the model may know when it is asked; None: the same as `seen`.
        ks: cut-offs.
        candidates: rank the held-out items among these alone (the NCF paper's 99); None: the whole catalogue.
        list_length: items kept a user in the report (for lists.parquet and blending); at least max(ks).
        precision: auto or float32, see rank(); the lists are the same.
    Raises:
        ValueError: held-out rows are among `seen` or `history`, the parts have different catalogues, nothing is held out,
            or the candidates do not cover the held-out users or hold seen items.
    """

    def __init__(
        self,
        held_out: Interactions,
        *,
        seen: Interactions,
        history: Interactions | None = None,
        ks: Sequence[int] = (5, 10, 20),
        candidates: Candidates | None = None,
        list_length: int = 100,
        precision: str = "auto",
    ) -> None:
        self.held_out, self.seen, self.precision = held_out, seen, precision
        self.history = seen if history is None else history
        self.ks = tuple(sorted(set(ks)))
        _check_parts(held_out, seen, self.history, self.ks)
        for name, rows in (("seen", seen), *([] if self.history is seen else [("history", self.history)])):
            shared = count_shared(held_out, rows.pair_keys)
            if shared:
                raise ValueError(
                    f"{shared:,} of {len(held_out):,} held-out rows are among `{name}`: the model would be shown the very "
                    "answers that it is asked for. Pass the parts of one split, e.g. Evaluator(split.validation, seen=split.train)."
                )
        length = held_out.n_items
        self.candidate_items: np.ndarray | None = None
        if candidates is not None:
            self.candidate_items = _candidate_lists(candidates, held_out, seen)
            length = self.candidate_items.shape[1]
            if self.ks[-1] > length:
                raise ValueError(f"ks must lie in 1..{length} (the longest list of candidates); got {list(self.ks)}")
        self.n_candidates = None if candidates is None else candidates.n
        self.list_length = min(max(self.ks[-1], list_length), length)
        self._without_leak: np.ndarray | None = None  # trained_on of the last model: the same array at every epoch

    def evaluate(self, model: Recommender) -> Report:
        """Raises: ValueError when the model was trained on held-out rows, was not trained, or gives NaN."""
        if model.trained_on is None:
            raise ValueError(f"this {model.name} was never trained; fit it first: Trainer(config, run).fit(model, split.train, validate)")
        leaked = 0 if model.trained_on is self._without_leak else count_shared(self.held_out, model.trained_on)
        if leaked:
            raise ValueError(
                f"{leaked:,} of {len(self.held_out):,} held-out rows are among the rows that this {model.name} was trained on. "
                "It has already been told these answers, so the score would look far better than the real test "
                "(35 % here, 13.8 % on the leaderboard). Train on split.train alone."
            )
        self._without_leak = model.trained_on
        started = time.perf_counter()
        users = torch.from_numpy(np.flatnonzero(self.held_out.user_counts))
        if self.candidate_items is None:
            ranking = rank(model, users, history=self.history, seen=self.seen, k=self.list_length, precision=self.precision)
            kind = "evaluation"
        else:
            items = torch.from_numpy(self.candidate_items)
            ranking = rank_candidates(model, users, items, history=self.history, k=self.list_length)
            kind = f"evaluation among {self.n_candidates} candidates"
        if bool((ranking.fallback | ranking.newcomers).all()):
            self._refuse_if_all_are_strangers(model)
        report = _report(model, ranking, self.held_out, self.seen, self.history, self.ks, kind, started)
        # Lists among given candidates say nothing of the catalogue's coverage.
        return report if self.candidate_items is None else replace(report, whole={})

    def _refuse_if_all_are_strangers(self, model: Recommender) -> None:
        users = np.flatnonzero(self.held_out.user_counts)
        on_device = torch.from_numpy(users).to(model.device)
        can = model.can_score(on_device, self.history.history(model.device).take(on_device))
        if not bool(can.any()) and self.history.user_counts[users].any():
            raise ValueError(
                f"{model.name} cannot score new users: it was trained on rows of none of the {len(users):,} users asked, so each "
                "would get the popular items, or what his features say, and none of his history would count. Users that training did not see "
                "are for models that read a history, such as ease, multi_dae, user_knn and item_knn."
            )


def among_new_items(held_out: Interactions, *, seen: Interactions, ks: Sequence[int]) -> Evaluator | None:
    """Are the right newcomers put first? The held-out rows of items that `seen` does not hold, ranked among such items alone.

    In the whole catalogue new items stand behind known ones, and rightly so where nothing but their features is known:
    recall there says how bold a model is. Here it says what it makes of the features; chance is k / their number.
    None where nothing of the kind is held out, or there are fewer new items than the largest k.
    """
    new = np.flatnonzero(seen.item_counts == 0)
    rows = held_out.take(np.isin(held_out.items, new))
    if not len(rows) or len(new) < max(ks):
        return None
    users = np.flatnonzero(rows.user_counts)
    candidates = Candidates(users, np.broadcast_to(new, (len(users), len(new))).copy())
    return Evaluator(rows, seen=seen, ks=ks, candidates=candidates)


def recall_of_new(report: Report, among_new: Evaluator, k: int) -> np.ndarray:
    """(U,) recall at k of a report of among_new_items; chance for users whose new items all have one score.

    Equal scores rank by the item's number, and numbers may know something: the older films have the lower ones.
    """
    return np.where(report.fallback, k / among_new.n_candidates, report.values[f"recall@{k}"])


def cut_offs(k: int, n_items: int) -> list[int]:
    """The ks of a report: k itself, and the usual 10 and 20 where the catalogue is that large."""
    return sorted({k, *(usual for usual in (10, 20) if usual <= n_items)})


def fit_recall(
    model: Recommender, train: Interactions, *, ks: Sequence[int], held_per_user: np.ndarray | None = None, seed: int = 0
) -> Report:
    """How well a model remembers what it was trained on. Not a validation: the answers were shown to it.

    Without `held_per_user` it is recall over the full matrix without a split: every row must be found again, nothing is
    masked. A user with n > k rows cannot get beyond recall@k = k/n; truncated_recall has no such ceiling. It tells
    whether a model has learned anything at all, and says nothing of new rows: the higher, the more it may have learned
    by heart.

    With it, a probe of training rows is drawn, as many of each user as it says; the history still holds them, and they
    alone are not masked. That is the same task as validation, so the two may be compared: a wide gap is overfitting.

    Args:
        train: rows that the model was trained on; they are the history that it is asked with.
        held_per_user: (n_users,) int: normally the held-out rows that validation has.
    Raises:
        ValueError: the model was not trained on all of these rows: that would be an evaluation under a wrong name.
    """
    started = time.perf_counter()
    ks = tuple(sorted(set(ks)))
    n_known = 0 if model.trained_on is None else count_shared(train, model.trained_on)
    if n_known < len(train):
        raise ValueError(
            f"fit_recall asks for rows that the model was trained on; this {model.name} has seen {n_known:,} of these {len(train):,}. "
            "Pass split.train, or use an Evaluator for the others."
        )
    if held_per_user is None:
        probe, seen = train, train.take(np.zeros(len(train), dtype=bool))
    else:
        generator = np.random.default_rng(seed)
        place, _ = rank_in_user(train.users, generator.random(len(train)), train.user_counts)
        probe = train.take(place < held_per_user[train.users])
        seen = train.without(probe)
    _check_parts(probe, seen, train, ks)
    ranking = rank(model, torch.from_numpy(np.flatnonzero(probe.user_counts)), history=train, seen=seen, k=ks[-1])
    return _report(model, ranking, probe, seen, train, ks, FIT_RECALL, started)


def _check_parts(held_out: Interactions, seen: Interactions, history: Interactions, ks: tuple[int, ...]) -> None:
    shapes = {(part.n_users, part.n_items) for part in (held_out, seen, history)}
    if len(shapes) > 1:
        raise ValueError(f"held_out, seen and history must share one catalogue; got {sorted(shapes)} (users, items)")
    if not len(held_out):
        raise ValueError("nothing is held out; is the split's part empty? A validation row needs users with 3 or more rows")
    if not ks or ks[0] < 1 or ks[-1] > held_out.n_items:
        raise ValueError(f"ks must lie in 1..{held_out.n_items} (the catalogue's size); got {list(ks)}")


def _candidate_lists(candidates: Candidates, held_out: Interactions, seen: Interactions) -> np.ndarray:
    """(U, L) int64 for the U users of held_out: candidates and held-out items, each once, rising, then -1."""
    users = np.flatnonzero(held_out.user_counts)
    row_of = np.full(held_out.n_users, -1)
    row_of[users] = np.arange(len(users))
    missing = np.setdiff1d(users, candidates.users)
    if len(missing):
        raise ValueError(f"{len(missing):,} of {len(users):,} held-out users have no candidates, the first is user {missing[0]}")
    if candidates.items.min() < 0 or candidates.items.max() >= held_out.n_items:
        raise ValueError(
            f"candidates must lie in 0..{held_out.n_items - 1}; got {candidates.items.min()}..{candidates.items.max()}"
        )
    asked = row_of[candidates.users] >= 0
    keys = (candidates.users[asked, None].astype(np.int64) * held_out.n_items + candidates.items[asked]).ravel()
    n_seen = int(np.isin(keys, seen.pair_keys).sum())
    if n_seen:
        raise ValueError(f"{n_seen:,} candidates are among `seen`; a candidate is an item that the user did not have before")
    keys = np.union1d(keys, held_out.pair_keys)
    rows, items = row_of[keys // held_out.n_items], keys % held_out.n_items
    counts = np.bincount(rows, minlength=len(users))
    place = np.arange(len(keys)) - (np.cumsum(counts) - counts)[rows]
    lists = np.full((len(users), counts.max()), -1, dtype=np.int64)
    lists[rows, place] = items
    return lists


def _report(
    model: Recommender,
    ranking: Ranking,
    held_out: Interactions,
    seen: Interactions,
    history: Interactions,
    ks: tuple[int, ...],
    kind: str,
    started: float,
) -> Report:
    users = np.flatnonzero(held_out.user_counts)
    items, device = ranking.items, ranking.items.device
    keys = torch.from_numpy(held_out.pair_keys.copy()).to(device)
    asked = torch.from_numpy(users).to(device)[:, None] * held_out.n_items + items
    places = torch.searchsorted(keys, asked).clamp(max=len(keys) - 1)
    hits = (keys[places] == asked) & (items >= 0)  # (U, K)
    n_held_out = torch.from_numpy(held_out.user_counts[users]).to(device)
    item_counts = torch.from_numpy(history.item_counts).to(device)
    numbers = hits.double()  # once, not for every metric and k
    values = {
        f"{name}@{k}": metric(numbers, n_held_out, k).cpu().numpy() for k in ks for name, metric in METRICS.items()
    }
    whole = {f"coverage@{k}": coverage_at_k(items, held_out.n_items, k) for k in ks}
    whole |= {f"novelty@{k}": novelty_at_k(items, item_counts, k) for k in ks}
    return Report(
        users=users,
        values=values,
        whole=whole,
        n_held_out=held_out.user_counts[users],
        ranked=items.cpu().numpy(),
        scores=ranking.scores.cpu().numpy(),
        hits=hits.cpu().numpy(),
        fallback=ranking.fallback.cpu().numpy(),
        newcomers=ranking.newcomers.cpu().numpy(),
        n_skipped=held_out.n_users - len(users),
        kind=kind,
        rows={
            "fit": 0 if model.trained_on is None else len(model.trained_on),
            "query": len(history),
            "mask": len(seen),
            "held_out": len(held_out),
        },
        seconds=time.perf_counter() - started,
        held_out=held_out,
        seen=seen,
    )
