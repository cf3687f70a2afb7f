"""How far does validation lie from the hidden score of a contest, and which split comes nearest?

    python -m benchmarks contest-validation --contests 20 --data DIR --json FILE

A contest takes rows of every user away: the last n, n random ones, or the last and n - 1 random ones (mixed). Its rule and
its n, 1 to 10, are drawn by a generator of its own; a team has the rows that are left and believes something of both.

    hidden        truncated recall at 10 on the rows taken away, of models fitted on all that are left: the leaderboard
    validation    the same on a split's validation part, of models fitted on its train part
    test          the same on its test part, fitted on train and validation
    error         validation - hidden, or test - hidden, in points of per cent

The splits guess the right n by three rules, or a wrong n (1, 20, a tenth of each user's rows); last comes the wound itself,
a fifth of each user's rows asked of models that were trained on them, which is what fit_recall measures and names so.
Several options of a model make the other question: is the one that validation would choose the best one on the hidden rows?
Every contest goes into the JSON file at once, so that a run that was cut off goes on where it stopped.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from benchmarks.quality import ModelSpec
from benchmarks.synthetic import drifting_log
from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable
from recsys_lib.data.files import replacing, write_text
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import make_split, rank_in_user
from recsys_lib.datasets import Dataset, read_dataset
from recsys_lib.display.plots import BLUE, GREEN, GREY, INK, ORANGE, PALE, Plot, theme
from recsys_lib.evaluation.evaluator import Evaluator, fit_recall
from recsys_lib.models import build_model
from recsys_lib.models.base import Recommender
from recsys_lib.runs.trained import data_fingerprint
from recsys_lib.training.trainer import Trainer

MODELS = "popularity,item_knn,ease:regularisation=10,ease:regularisation=100,ease:regularisation=300,ease:regularisation=1000,ease:regularisation=5000"
RULES = {"random": "n random rows", "mixed": "the last and n − 1 random", "last": "the last n rows"}
MOST = 10  # rows that a contest hides of a user
TOO_MANY = 20
K = 10
METRIC = f"truncated_recall@{K}"
RIGHT, WRONG, TRAINED_ON = "right n", "wrong n", "trained on"
PROBED = 0.2  # of each user's rows
# What a team validates on -> the group it is shown in, and the rule of the contest that it guesses right.
KINDS = {
    "n random": (RIGHT, "random"),
    "the last + n − 1 random": (RIGHT, "mixed"),
    "n last": (RIGHT, "last"),
    "1 random": (WRONG, "random"),
    "1 last": (WRONG, "last"),
    f"{TOO_MANY} random": (WRONG, "random"),
    "10 % of the rows": (WRONG, "random"),
    "rows trained on": (TRAINED_ON, ""),
}
GROUPS = {RIGHT: "as many as are hidden", WRONG: "a wrong number", TRAINED_ON: "no validation at all"}
COLOURS = {"random": BLUE, "mixed": GREEN, "last": ORANGE}


@dataclass(frozen=True)
class Contest:
    """What the host knows: its number, rule and n."""

    number: int
    rule: str
    n: int

    @classmethod
    def drawn(cls, number: int) -> Contest:
        generator = _of_the_host(number)
        rule = str(generator.choice(list(RULES)))
        return cls(number, rule, int(generator.integers(2 if rule == "mixed" else 1, MOST + 1)))

    def hide(self, log: Interactions) -> tuple[Interactions, Interactions]:
        """The visible and the hidden rows; half of a history at least stays visible."""
        first = _of_the_host(self.number, 1).random(len(log))
        if self.rule != "random":
            place, counts = rank_in_user(log.users, log.timestamps, log.user_counts)
            first = np.where(place == counts - 1, 2.0, first) if self.rule == "mixed" else place
        place, counts = rank_in_user(log.users, first, log.user_counts)
        hidden = counts - 1 - place < np.minimum(self.n, counts // 2)
        return log.take(~hidden), log.take(hidden)


def _of_the_host(number: int, stream: int = 0) -> np.random.Generator:
    return np.random.default_rng([2_361_70, number, stream])  # never a split's seed alone


def run_contest_validation(data: Path | None, models: str, n_contests: int, file: Path) -> pd.DataFrame:
    """Hold the contests that the file does not hold yet; write the file, its table and its figure; return the summary.

    Args:
        data: folder of a data set with timestamps; None: a SYNTHETIC log in which tastes drift.
    Raises:
        ValueError: an unknown model, fewer than 2 of them, no contest, data without timestamps, or a file of something else.
    """
    specs = [ModelSpec.of(text) for text in re.split(r",(?![^\[]*\])", models)]
    if n_contests < 1 or len(specs) < 2:
        raise ValueError(
            f"a contest takes two models or more to choose from, and --contests 1 or more; got {len(specs)} and {n_contests}"
        )
    dataset = _drifting() if data is None else read_dataset(data)
    if dataset.interactions.timestamps is None:
        raise ValueError(f"{dataset.title} has no timestamps, so no contest can hide its last rows; give another --data, or none")
    about = {"data": dataset.title, "data_fingerprint": data_fingerprint(dataset), "models": [str(spec) for spec in specs]}
    results = _kept(file, about)
    done = {result["contest"] for result in results}
    for number in (number for number in range(n_contests) if number not in done):
        contest = Contest.drawn(number)
        print(f"contest {number}: hides {contest.n}, {contest.rule} · {dataset.title}", flush=True)
        results += [about | row for row in _measure(contest, dataset, specs)]
        write_text(file, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    text = markdown(results)
    write_text(file.with_suffix(".md"), text)
    with replacing(file.with_suffix(".png")) as part:
        part.write_bytes(figure(results).png())
    print("\n" + text)
    return summary(results)


def _drifting() -> Dataset:
    log = drifting_log()
    users, items = IdMap(np.arange(log.n_users), "user"), IdMap(np.arange(log.n_items), "item")
    catalogue = Catalogue(users, items, FeatureTable(log.n_users, ()), FeatureTable(log.n_items, ()))
    return Dataset(log, catalogue, {}, None, "drifting", synthetic=True)


def _kept(file: Path, about: dict[str, Any]) -> list[dict[str, Any]]:
    if not file.exists():
        return []
    try:
        results = json.loads(file.read_text(encoding="utf-8"))
        _ = [result[name] for result in results for name in ("contest", "rule", "n", "kind", "part", "scores", "hidden")]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file.name} does not hold results of this benchmark ({error!r}); give another --json") from error
    if any(result.get(name) != value for result in results for name, value in about.items()):
        raise ValueError(f"{file.name} holds no contests of {about['data']} with these models; give another --json")
    return results


def splits_of(n: int) -> dict[str, str]:
    """What a team may validate on -> the split's name, where the hidden n is `n`; a guess that cannot be wrong is left out."""
    names = {
        "n random": f"contest_{n}_random",
        "the last + n − 1 random": f"contest_last_plus_{n - 1}_random",
        "n last": f"leave_{n}_out_last",
        "1 random": "leave_one_out_random",
        "1 last": "leave_one_out_last",
        f"{TOO_MANY} random": f"contest_{TOO_MANY}_random",
        "10 % of the rows": "fraction",
    }
    useless = ("the last + n − 1 random", "1 random", "1 last") if n == 1 else ()
    return {kind: name for kind, name in names.items() if kind not in useless}


def _measure(contest: Contest, dataset: Dataset, specs: Sequence[ModelSpec]) -> Iterator[dict[str, Any]]:
    """A row for every split and part: the estimate and the hidden score of each model."""
    visible, rows = contest.hide(dataset.interactions)
    judge = Evaluator(rows, seen=visible, ks=[K])
    # The splits' seed is the team's own.
    splits = {kind: make_split(name, visible, seed=contest.number) for kind, name in splits_of(contest.n).items()}
    asked: dict[tuple[str, str], tuple[Interactions, Evaluator]] = {}
    for kind, split in splits.items():
        asked[kind, "validation"] = split.train, Evaluator(split.validation, seen=split.train, ks=[K])
        asked[kind, "test"] = split.known_before_test, Evaluator(split.test, seen=split.known_before_test, ks=[K])
    probed = np.round(PROBED * visible.user_counts).astype(np.int64)
    hidden, scores = {}, {key: {} for key in (*asked, ("rows trained on", "fit recall"))}
    for spec in specs:
        final = _fitted(spec, dataset, visible)
        hidden[str(spec)] = judge.evaluate(final).mean(METRIC)
        probe = fit_recall(final, visible, ks=[K], held_per_user=probed, seed=contest.number)
        scores["rows trained on", "fit recall"][str(spec)] = probe.mean(METRIC)
        for key, (known, evaluator) in asked.items():
            scores[key][str(spec)] = evaluator.evaluate(_fitted(spec, dataset, known)).mean(METRIC)
    facts = {"contest": contest.number, "rule": contest.rule, "n": contest.n, "hidden_rows": len(rows)}
    for (kind, part), of_models in scores.items():
        split = splits[kind].protocol if kind in splits else ""
        yield facts | {"kind": kind, "split": split, "part": part, "scores": of_models, "hidden": hidden}
        if part != "test":
            error = 100 * np.mean([of_models[name] - hidden[name] for name in hidden])
            print(f"    {kind:24} {error:+6.1f} points", flush=True)


def _fitted(spec: ModelSpec, dataset: Dataset, rows: Interactions) -> Recommender:
    """On all of the rows, for as many epochs as its options say: the estimates shall differ by their splits alone."""
    model = build_model(spec.name, dataset.catalogue, seed=0, **spec.model_options)
    config = spec.train_config(METRIC, 0)
    Trainer(config).repeat(model, rows, [config.learning_rate] * config.epochs)
    return model.eval()


def errors(results: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a contest, kind and part.

    Columns: contest, rule, n, kind, part, hidden (per cent, mean over models), error (points, mean over models), furthest
    (points, of the model with the largest), spearman (of estimates and hidden scores over the models), lost (points that
    the model which is estimated best lies below the best one).
    """
    rows = []
    for result in results:
        estimate, hidden = (np.array([result[name][model] for model in result["models"]]) for name in ("scores", "hidden"))
        error = 100 * (estimate - hidden)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scores that are all equal have no order: NaN
            order = float(spearmanr(estimate, hidden).statistic)
        rows.append(
            {name: result[name] for name in ("contest", "rule", "n", "kind", "part")}
            | {
                "hidden": 100 * hidden.mean(),
                "error": error.mean(),
                "furthest": error[np.abs(error).argmax()],
                "spearman": order,
                "lost": 100 * (hidden.max() - hidden[estimate.argmax()]),
            }
        )
    return pd.DataFrame(rows)


def summary(results: list[dict[str, Any]]) -> pd.DataFrame:
    """A row a kind, in the order of KINDS.

    Columns: kind, group, contests, error (points, mean), right_rule and wrong_rule (mean sizes of the errors where the kind
    guesses the contest's rule, and where not), all three of the test part as test_..., spearman, lost.
    """
    table, rows = errors(results), []
    for kind, (group, rule) in KINDS.items():
        own = table[table["kind"] == kind]
        row = {"kind": kind, "group": group, "contests": own["contest"].nunique()}
        for prefix, part in (("", own[own["part"] != "test"]), ("test_", own[own["part"] == "test"])):
            right = part["rule"] == rule
            row |= {f"{prefix}error": part["error"].mean(), f"{prefix}right_rule": part.loc[right, "error"].abs().mean()}
            row[f"{prefix}wrong_rule"] = part.loc[~right, "error"].abs().mean()
        chosen = own[own["part"] != "test"]
        if len(own):
            rows.append(row | {"spearman": chosen["spearman"].mean(), "lost": chosen["lost"].mean()})
    return pd.DataFrame(rows)


def markdown(results: list[dict[str, Any]]) -> str:
    """The table for the README: a row a kind of split."""
    table, contests = summary(results), _contests(results)
    rules = ", ".join(f"{(contests['rule'] == rule).sum()} hide {words}" for rule, words in RULES.items())
    lines = [
        f"{results[0]['data']}, {len(contests)} contests ({rules}; n drawn from 1 to {MOST}); {METRIC}, means over {len(results[0]['models'])} "
        f"models ({', '.join(results[0]['models'])}). Hidden score: on the rows taken away, fitted on all that are left, "
        f"{contests['hidden'].mean():.1f} % on average. Validation part: fitted on train; test part: fitted on train + validation. Error: "
        "estimate − hidden in points of per cent; off: its size, where the split guesses the contest's rule and where not. Lost: points "
        "that the model which validation puts first lies below the best one.",
        "",
        "| validated on | contests | validation: error | off, right rule | off, wrong rule | test: error | off, right rule | off, wrong rule "
        "| order of models (Spearman) | lost |",
        "|" + "---|" * 10,
    ]
    for row in table.to_dict("records"):
        group = f" ({row['group']})" if row["group"] != TRAINED_ON else ""
        cells = [
            _signed(row[f"{prefix}{name}"], name == "error")
            for prefix in ("", "test_")
            for name in ("error", "right_rule", "wrong_rule")
        ]
        if not group:  # it guesses no rule
            cells[1:] = [""] * 5
        lines.append(
            f"| {row['kind']}{group} | {row['contests']} | {' | '.join(cells)} | {row['spearman']:.2f} | {row['lost']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def _signed(points: float, sign: bool) -> str:
    return "" if np.isnan(points) else f"{points:+.1f}" if sign else f"{points:.1f}"


def _contests(results: list[dict[str, Any]]) -> pd.DataFrame:
    return errors(results).drop_duplicates("contest").sort_values("contest", ignore_index=True)


def figure(results: list[dict[str, Any]]) -> Plot:
    """Left: how far the estimates lie from the hidden scores, a dot a contest; right: whether they put the models in its order."""
    table, found = errors(results), summary(results)
    contests = _contests(results)
    plot = Plot(
        _sentence(found),
        height=6.6,
        footer=f"{results[0]['data']}, {len(contests)} contests, n drawn from 1 to {MOST} · {METRIC}, means over {len(results[0]['models'])} "
        "models · a dot a contest; right: of the validation part, a line their mean, and what its first choice loses",
        synthetic="SYNTHETIC" in results[0]["data"],
        alt_text=f"{_sentence(found)}. Left: errors of each way to validate, a dot a contest. Right: the order of models it gives.",
    )
    heights, headers, place = {}, {}, 0.0
    for group, kinds in found.groupby("group", sort=False)["kind"]:
        headers[GROUPS[group]] = place + 0.62
        for kind in kinds:
            heights[kind] = place
            place -= 1.0
        place -= 0.6  # the next group's header
    jitter = np.random.default_rng(0).uniform(-0.1, 0.1, len(table))
    with theme():
        distances, orders = plot.subplots(1, 2, sharey=True, width_ratios=[2.3, 1])
        for kind, height in heights.items():
            for part, shift in (("validation", 0.2), ("test", -0.2)):
                own = table[(table["kind"] == kind) & ((table["part"] == "test") == (part == "test"))]
                if not len(own):
                    continue
                at = height + (shift if kind != "rows trained on" else 0.0)
                colours = own["rule"].map(COLOURS)
                filled = {"facecolor": colours if part == "validation" else "white", "edgecolor": colours, "linewidth": 1.1}
                distances.scatter(own["error"], at + jitter[own.index], s=17, zorder=3, **filled)
                if part == "validation":
                    orders.scatter(own["spearman"], height + 1.6 * jitter[own.index], s=17, alpha=0.75, zorder=3, **filled)
                    orders.vlines(own["spearman"].mean(), height - 0.3, height + 0.3, color=INK, linewidth=2, zorder=4)
            row = found[found["kind"] == kind].iloc[0]
            orders.annotate(
                f"{row['lost']:.1f}", (1, height), xycoords=orders.get_yaxis_transform(), xytext=(9, 0), textcoords="offset points",
                va="center", fontsize=8.5, color=INK if row["lost"] < 1 else ORANGE, annotation_clip=False,
            )  # fmt: skip
        distances.axvline(0, color=GREY, linewidth=1.2, zorder=1)
        distances.set_yticks(list(heights.values()), list(heights), color=INK)
        distances.set_ylim(min(heights.values()) - 0.6, 0.9)
        for group, height in headers.items():
            distances.annotate(
                group, (0, height), xycoords=distances.get_yaxis_transform(), xytext=(-4, 0), textcoords="offset points", ha="right",
                va="center", fontsize=8.5, fontweight="bold", color=INK,
            )  # fmt: skip
        distances.set_title("Estimate − hidden score")
        distances.set_xlabel("points of per cent; right of the line: promised too much")
        orders.set_title("Order of the models")
        orders.set_xlabel("Spearman with the hidden order")
        orders.set_xlim(min(-0.05, table["spearman"].min() - 0.05), 1.05)
        orders.annotate(
            "points lost", (1, 0.62), xycoords=orders.get_yaxis_transform(), xytext=(9, 0), textcoords="offset points", va="center",
            fontsize=8.5, fontweight="bold", color=INK, annotation_clip=False,
        )  # fmt: skip
        for axes in (distances, orders):
            axes.grid(False, axis="y")
            axes.tick_params(length=0)
            axes.spines["left"].set_visible(False)
            for height in heights.values():
                axes.axhspan(height - 0.44, height + 0.44, color=PALE, alpha=0.16, linewidth=0, zorder=0)
        _legend(distances)
    return plot


def _legend(axes) -> None:
    handles = [axes.scatter([], [], s=24, color=COLOURS[rule], label=f"contest hides {words}") for rule, words in RULES.items()]
    handles.append(axes.scatter([], [], s=24, color=GREY, label="validation part"))
    handles.append(axes.scatter([], [], s=24, facecolor="white", edgecolor=GREY, label="test part"))
    legend = axes.legend(
        handles=handles, loc="lower left", bbox_to_anchor=(-0.34, 1), borderaxespad=2.2, borderpad=0, ncols=len(handles), handletextpad=0.1,
        columnspacing=1.0,
    )  # fmt: skip
    legend.set_in_layout(False)  # it is wider than its panel, which would shrink
    axes.set_title("\n" + axes.get_title(loc="left"), loc="left")  # the empty line is the legend's place


def _sentence(found: pd.DataFrame) -> str:
    """Of the wound, and of splits with the right n: the rule is what they may get wrong."""
    promised, right = found.set_index("kind").loc["rows trained on", "error"], found[found["group"] == RIGHT]
    said = f"Rows that a model was trained on promise {abs(promised):.0f} points too {'much' if promised > 0 else 'little'}"
    guessed, not_guessed = right["test_right_rule"].mean(), right["test_wrong_rule"].mean()
    if np.isfinite(guessed + not_guessed):
        said += f"; the test part with the right n is {guessed:.1f} points off where the split guesses the contest's rule, {not_guessed:.1f} where not"
    return said
