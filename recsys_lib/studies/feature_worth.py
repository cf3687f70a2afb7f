"""Which features help a model, by how much, and for whom?

Two questions to each feature, and to the groups "user features", "item features" and "all features":

    retraining    the model is trained without it, and what it finds compared: what the feature is worth
    permutation   its values are dealt anew among users (or items) when the fitted model is asked: whether the model relies
                  on it. Two features that say the same are both relied on, and neither need be worth anything; and that a
                  feature hurts, permutation cannot show.

Both compare recall at k user by user on the same held-out rows, apart for warm users, sparse users, cold users and cold
items (evaluation.evaluator.SLICES; cold items are ranked among themselves, since in the whole catalogue hardly any is
reached), under several seeds. Permutation is compared with that of a shadow (shadows.py), or a
network that learns noise by heart would seem to need it. How luck is kept out: paired.py.

The rows: the test part of `split` is never touched. What is known before it is split once more in the same way, a tenth
of the users and of the items there are made cold (data.splits.cold_start), and all models are trained on its train, have
their epoch chosen on its validation, and are judged on its test. Nothing is tuned.

Many tests: Holm at the level .05 over all slices of all features (of all groups) of a kind, so each of these four families
raises a false alarm in at most one study of twenty. Features that the minutes left out count as tested: which ones were
retrained was chosen on these very users.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable, categorical
from recsys_lib.data.ids import IdMap
from recsys_lib.data.names import did_you_mean
from recsys_lib.data.splits import Split, cold_start, make_split
from recsys_lib.datasets.base import Dataset
from recsys_lib.evaluation.evaluator import Evaluator, among_new_items, recall_of_new
from recsys_lib.models import build_model, model_class, model_names
from recsys_lib.models.base import Recommender
from recsys_lib.runs.folder import package_versions
from recsys_lib.runs.trained import data_fingerprint
from recsys_lib.studies.findings import (
    ALL,
    GROUPS,
    HELPS,
    HURTS,
    ITEM,
    LEVEL,
    NO_EVIDENCE,
    NOT_JUDGED,
    PERMUTATION,
    RELIED_ON,
    RETRAINING,
    USER,
    FeatureWorth,
    in_words,
    rows_as_table,
)
from recsys_lib.studies.paired import NO_NOISE, UNKNOWN_NOISE, TrainingNoise, holm, paired_differences, training_noise
from recsys_lib.studies.shadows import dealt_table, shadow_name, with_shadows
from recsys_lib.training.config import TrainConfig, train_config
from recsys_lib.training.trainer import Trainer

COLD = 0.1  # share of the tested users, and of the items, of which nothing is known
MOST_DEALS = 3  # of a feature, a seed
SHARE_OF_DEALS = 0.1  # of the minutes, that more deals than one a seed may take


def feature_worth(
    model: str,
    dataset: Dataset,
    *,
    split: str = "leave_one_out_random",
    seed: int = 0,
    n_seeds: int = 3,
    minutes: float = 10.0,
    k: int = 10,
    features: str | Sequence[str] = "all",
    model_options: Mapping[str, Any] | None = None,
    train_options: Mapping[str, Any] | None = None,
    say: Callable[[str], None] | None = None,
) -> FeatureWorth:
    """Ask a model for the worth of its features, by permutation and, as far as the minutes go, by retraining without them.

    Args:
        model: a registry name whose options include `features`.
        split: a split by its name; the study works on what is known before its test part.
        seed: of the split; seed, seed + 1, ... are those of the models (a closed form has one, and n_seeds deals).
        minutes: wall time. One training is always done; none is begun that is expected to end after the minutes are over.
        features: "all", or those to ask about; the model is then given these alone.
        model_options, train_options: what is not the default; the same for all models of the study.
        say: is called with a line of progress, e.g. print.
    Raises:
        ValueError: an unknown model, split, option or feature; a model that takes no features, or does not use one that was
            asked for; no features in the data; minutes, n_seeds or k out of range; or what the split says of these rows.
    """
    if not minutes > 0 or not np.isfinite(minutes):
        raise ValueError(f"minutes must be above 0; got {minutes}. One training is always done")
    if n_seeds < 1:
        raise ValueError(f"n_seeds must be 1 or more; got {n_seeds}")
    if not 1 <= k <= dataset.catalogue.n_items:
        raise ValueError(f"k must lie in 1..{dataset.catalogue.n_items} (the catalogue's size); got {k}")
    options = dict(model_options or {})
    if "features" in options:
        raise ValueError("name the features with features=, not among the model's options: the study itself leaves some out")
    names, unused = _asked(model, dataset.catalogue, features, options)
    for unit in _units(dataset.catalogue, names):  # an option that rests on a feature is refused now, not after an hour
        build_model(model, dataset.catalogue, seed=0, **options, features=[name for name in names if name not in unit.members])
    judged_on = _inner_split(dataset, split, seed)
    config = train_config(model, **{"monitor": f"recall@{k}", "tensorboard": False} | dict(train_options or {}))
    study = _Study(model, dataset, judged_on, names, options, config, seed, n_seeds, k, 60 * minutes, say or (lambda line: None))
    if unused:
        study.left_out.append(f"{', '.join(unused)}: {model} does not use such features")
    return study.run(split)


def models_with_features() -> list[str]:
    """Registered models that take features, tried on a catalogue of two users and two items."""
    return [name for name in model_names() if _takes_features(name)]


def _takes_features(name: str) -> bool:
    if "features" not in {field.name for field in dataclasses.fields(model_class(name).Config)}:
        return False
    users, items = (IdMap([f"{side}0", f"{side}1"], side) for side in ("user", "item"))
    tables = (FeatureTable(2, [categorical(f"of {ids.what}", ids, ids.ids, ["x", "y"])]) for ids in (users, items))
    return bool(_usable(name, Catalogue(users, items, *tables), {}))


def _usable(model: str, catalogue: Catalogue, options: Mapping[str, Any]) -> frozenset[str]:
    """All features, or those of one side where the model refuses the other's. Raises: ValueError where it refuses both."""
    refusals = []
    for choice in ("all", "user", "item"):
        try:
            return build_model(model, catalogue, seed=0, **options, features=choice).uses_features
        except ValueError as refusal:
            refusals.append(refusal)
    raise refusals[0]


def _asked(
    model: str, catalogue: Catalogue, features: str | Sequence[str], options: Mapping[str, Any]
) -> tuple[list[str], list[str]]:
    """The features to ask about, the users' first, and of "all" those that the model cannot use. Raises: ValueError."""
    if not _takes_features(model):
        raise ValueError(
            f"{model} takes no features, so none can be worth anything to it. Models that do: {', '.join(models_with_features())}."
        )
    there = [*catalogue.user_features.names, *catalogue.item_features.names]
    if not there:
        raise ValueError("the data set has no features of users or items, so there is nothing to ask")
    if isinstance(features, str) and features != "all":
        raise ValueError(f"features must be 'all' or a list of names; got {features!r}")
    if not isinstance(features, str):
        unknown = [name for name in features if name not in there]
        if unknown:
            raise ValueError(f"no feature {unknown[0]!r}{did_you_mean(unknown[0], there)} There are {', '.join(there)}.")
        if not len(features):
            raise ValueError("features is an empty list; name one or more, or 'all'")
    used = _usable(model, catalogue, options)
    asked = there if features == "all" else [name for name in there if name in set(features)]
    unused = [name for name in asked if name not in used]
    if unused and (features != "all" or len(unused) == len(asked)):
        raise ValueError(
            f"{model} does not use {', '.join(unused)}, so nothing can be said of it; it uses {', '.join(sorted(used)) or 'none'}"
        )
    return [name for name in asked if name in used], unused


def _inner_split(dataset: Dataset, name: str, seed: int) -> Split:
    known = make_split(name, dataset.interactions, seed=seed).known_before_test
    inner = cold_start(make_split(name, known, seed=seed), users=COLD, items=COLD, seed=seed)
    for part in ("validation", "test"):
        if not len(getattr(inner, part)):
            raise ValueError(
                f"{name} leaves no {part} rows once its own test part is put aside and split again; "
                "histories are too short for it: try another split, e.g. fraction"
            )
    return inner


@dataclass(frozen=True)
class _Unit:
    """A feature, or a group of features that go together."""

    name: str
    side: str
    members: tuple[str, ...]


class _Study:
    """The state of one study: what is known so far, and the clock.

    The values of a model are recall at k of every held-out user of every slice, one slice after another: (N,) float64.
    """

    def __init__(
        self,
        model: str,
        dataset: Dataset,
        split: Split,
        names: list[str],
        options: dict[str, Any],
        config: TrainConfig,
        seed: int,
        n_seeds: int,
        k: int,
        seconds: float,
        say: Callable[[str], None],
    ) -> None:
        self.started, self.seconds, self.say = perf_counter(), seconds, say
        self.model, self.dataset, self.split, self.names, self.options = model, dataset, split, names, options
        self.config, self.seed, self.k = config, seed, k
        self.seeds = [seed + n for n in range(n_seeds)]
        # Nothing of a closed form depends on a seed but the deals.
        self.trained_seeds = self.seeds if model_class(model).needs_training else self.seeds[:1]
        self.validate = Evaluator(split.validation, seen=split.known_before_validation, ks=[k], list_length=k).evaluate
        self.judge = Evaluator(split.test, seen=split.known_before_test, ks=[k], list_length=k).evaluate
        self.judge_new = among_new_items(split.test, seen=split.known_before_test, ks=[k])
        self.units = _units(dataset.catalogue, names)
        self.slices: list[tuple[str, slice]] = []
        self.trainings: list[float] = []  # seconds of each
        self.asked: list[float] = []  # seconds of each evaluation of a permuted model
        self.full: dict[int, np.ndarray] = {}  # seed -> values
        self.without: dict[str, dict[int, np.ndarray]] = {unit.name: {} for unit in self.units}
        self.drops: dict[str, dict[int, tuple[np.ndarray, np.ndarray]]] = {unit.name: {} for unit in self.units}
        self.with_shadows: dict[int, np.ndarray] = {}
        self.reached: set[str] = set()  # units whose dealing changed a score
        self.left_out: list[str] = []

    # ---- the story

    def run(self, split_name: str) -> FeatureWorth:
        groups = [unit for unit in self.units if unit.name in GROUPS]
        self.say(
            f"{self.model} on {self.dataset.title}: {len(self.names)} features, {len(groups)} groups, "
            f"{len(self.split.train):,} rows to train on, {len(self.split.test):,} to find, {self.seconds / 60:g} minutes"
        )
        first, *others = self.trained_seeds
        self._train_full(first)
        self._permute(self.seeds[0])
        for unit in groups:
            self._train_without(unit, first)
        for seed in others:
            self._train_full(seed)
            for unit in groups:
                self._train_without(unit, seed)
        for seed in self.seeds[1:]:
            self._permute(seed)
        # A feature under all seeds before the next: two half answers are none.
        for unit in self._most_telling_first([unit for unit in self.units if unit.name not in GROUPS]):
            for seed in self.trained_seeds:
                self._train_without(unit, seed)
        self._say_what_is_missing()
        return FeatureWorth(self._about(split_name), self._judged(), tuple(self.left_out))

    def _train_full(self, seed: int) -> None:
        if not self.full or self._allows(self._training_seconds):
            fitted, seconds = self._trained(self.dataset.catalogue, self.names, seed)
            self.full[seed] = self._asked_of(fitted)[0]
            self.say(self._stamp(f"all features, seed {seed}: {seconds:.1f} s; {self._means(self.full[seed])}"))
            if len(self.full) == 1:
                n = len(self.trained_seeds) * (1 + len(self.units))
                self.say(
                    f"plan: {n} trainings of about {seconds:.1f} s and {2 * len(self.units)} questions to a model with shadows a seed"
                )

    def _train_without(self, unit: _Unit, seed: int) -> None:
        if seed not in self.full or not self._allows(self._training_seconds):
            return
        fitted, seconds = self._trained(self.dataset.catalogue, [name for name in self.names if name not in unit.members], seed)
        values = self.without[unit.name][seed] = self._asked_of(fitted)[0]
        self.say(self._stamp(f"without {unit.name}, seed {seed}: {seconds:.1f} s; {self._means(values - self.full[seed], '+')}"))

    def _permute(self, seed: int) -> None:
        """Ask the model with shadows, each unit and its shadow dealt anew in turn."""
        if not self._allows(
            0.0 if not self.with_shadows else self._training_seconds + 2 * len(self.units) * self._asking_seconds
        ):
            return
        generator = np.random.default_rng([self.seed, seed, 1])
        catalogue = with_shadows(self.dataset.catalogue, self.names, generator)
        trained_seed = seed if seed in self.trained_seeds else self.trained_seeds[0]
        fitted, seconds = self._trained(catalogue, [*self.names, *map(shadow_name, self.names)], trained_seed)
        self.say(self._stamp(f"all features with their shadows, seed {seed}: {seconds:.1f} s"))
        values, scores = self._asked_of(fitted)
        self.with_shadows[seed] = values
        deals, began = 0, perf_counter()
        while deals < MOST_DEALS:
            for unit in self.units:
                costs = []
                for members in (unit.members, tuple(map(shadow_name, unit.members))):
                    if not self._allows(0.0):
                        return
                    since = perf_counter()
                    new_values, new_scores = self._dealt(fitted, catalogue, members, generator)
                    costs.append(values - new_values)
                    self.asked.append(perf_counter() - since)
                    if not all(map(np.array_equal, scores, new_scores)):
                        self.reached.add(unit.name)
                earlier = self.drops[unit.name].get(seed, (0.0, 0.0))
                self.drops[unit.name][seed] = tuple((old * deals + new) / (deals + 1) for old, new in zip(earlier, costs))
            deals += 1
            if (perf_counter() - began) * (deals + 1) / deals > SHARE_OF_DEALS * self.seconds:
                break
        self.say(self._stamp(f"permutation, seed {seed}: {deals} deals of each feature and of its shadow"))

    # ---- one model

    def _trained(self, catalogue: Catalogue, names: Sequence[str], seed: int) -> tuple[Recommender, float]:
        since = perf_counter()
        fitted = build_model(self.model, catalogue, seed=seed, **self.options, features=list(names))
        if set(names) != fitted.uses_features:
            raise ValueError(
                f"{self.model} was given {', '.join(sorted(names)) or 'none'} and uses {', '.join(sorted(fitted.uses_features)) or 'none'}"
            )
        Trainer(dataclasses.replace(self.config, seed=seed)).fit(fitted, self.split.train, self.validate)
        fitted.eval()
        self.trainings.append(perf_counter() - since)
        return fitted, self.trainings[-1]

    def _dealt(
        self, fitted: Recommender, catalogue: Catalogue, members: Sequence[str], generator: np.random.Generator
    ) -> tuple[np.ndarray, list[np.ndarray]]:
        tables = {"user": catalogue.user_features, "item": catalogue.item_features}
        swapped = {
            side: dealt_table(table, members, generator) for side, table in tables.items() if set(members) & set(table.names)
        }
        fitted.set_features(**tables | swapped)
        return self._asked_of(fitted)

    def _asked_of(self, fitted: Recommender) -> tuple[np.ndarray, list[np.ndarray]]:
        """The values, and the scores of all lists: do they change at all?"""
        reports = [self.judge(fitted)]
        found = {name: values for name, (_, values) in reports[0].slices(self.k).items()}
        if self.judge_new is None:  # too few of them for a list
            found.pop("cold items", None)
        else:
            reports.append(self.judge_new.evaluate(fitted))
            found["cold items"] = recall_of_new(reports[1], self.judge_new, self.k)
        if not self.slices:
            ends = np.cumsum([len(values) for values in found.values()]).tolist()
            self.slices = [(name, slice(start, end)) for name, start, end in zip(found, [0, *ends], ends)]
        return np.concatenate(list(found.values())), [report.scores for report in reports]

    # ---- the clock

    def _allows(self, seconds: float) -> bool:
        return perf_counter() - self.started + seconds < self.seconds

    @property
    def _training_seconds(self) -> float:
        return float(np.mean(self.trainings)) if self.trainings else 0.0

    @property
    def _asking_seconds(self) -> float:
        return float(np.mean(self.asked)) if self.asked else 0.0

    def _stamp(self, line: str) -> str:
        return f"[{(perf_counter() - self.started) / 60:5.1f} min] {line}"

    def _means(self, values: np.ndarray, sign: str = "") -> str:
        return ", ".join(f"{name} {values[part].mean():{sign}.4f}" for name, part in self.slices)

    def _most_telling_first(self, units: list[_Unit]) -> list[_Unit]:
        """By the least p of their permutation in any slice."""
        p: dict[str, float] = {}
        for row in self._tests(PERMUTATION, units).to_dict("records"):
            p[row["feature"]] = min(row["p"], p.get(row["feature"], 1.0))
        return sorted(units, key=lambda unit: p.get(unit.name, 1.0))

    def _say_what_is_missing(self) -> None:
        each = self._training_seconds
        missing = [seed for seed in self.seeds if any(seed not in self.drops[unit.name] for unit in self.units)]
        if missing:
            need = len(missing) * (each + 2 * len(self.units) * (self._asking_seconds or each / 10)) / 60
            self.left_out.append(
                f"permutation under seeds {', '.join(map(str, missing))}, not done in full: about {need:.1f} minutes more"
            )
        wanted = set(self.trained_seeds)
        absent = {unit.name: wanted - set(self.without[unit.name]) for unit in self.units}
        absent = {name: seeds for name, seeds in absent.items() if seeds}
        if absent:
            n = sum(map(len, absent.values())) + len(wanted - set(self.full))
            named = ", ".join(list(absent)[:8]) + (f" and {len(absent) - 8} more" if len(absent) > 8 else "")
            self.left_out.append(
                f"retraining without {named}, {n} trainings of about {each:.1f} s: about {n * each / 60:.1f} minutes more"
            )
        if len(self.full) == 1 and self.trained_seeds != self.seeds[:1] or (len(self.trained_seeds) == 1 and self._is_drawn):
            self.left_out.append(
                "the luck of the training: there is one seed, so retraining is not judged and verdicts rest on permutation beside shadows"
            )
        mute = [unit.name for unit in self.units if self.drops[unit.name] and unit.name not in self.reached]
        if mute:
            self.left_out.append(
                f"permutation of {', '.join(mute)}: new values change no score of the fitted {self.model}, so it says nothing of them"
            )
        differences = [one.differences for kind in (RETRAINING, PERMUTATION) for one in self._compared(kind, self.units)]
        if differences and (unmoved := [name for name, part in self.slices if not any(of_one[part].any() for of_one in differences)]):
            named = ", ".join(map(in_words, unmoved))
            self.left_out.append(f"{named}: whatever was done to its features, {self.model} found the same for each of them")
        for line in self.left_out:
            self.say(f"left out: {line}")

    # ---- the judgement

    @property
    def _is_drawn(self) -> bool:
        return model_class(self.model).needs_training

    def _judged(self) -> pd.DataFrame:
        """All tests, corrected family by family."""
        families = []
        for kind in (RETRAINING, PERMUTATION):
            for grouped in (True, False):
                units = [unit for unit in self.units if (unit.name in GROUPS) == grouped]
                tests = self._tests(kind, units)
                if not len(tests):
                    continue
                known = (tests["verdict"] != NOT_JUDGED).to_numpy()
                corrected = np.full(len(tests), np.nan)
                corrected[known] = holm(tests["p"].to_numpy()[known], n_tests=len(units) * len(self.slices))
                tests["p_corrected"] = corrected
                alarm = corrected <= LEVEL  # NaN: False
                tests.loc[alarm & (tests["difference"] > 0), "verdict"] = HELPS if kind == RETRAINING else RELIED_ON
                # Dealing may cost less than dealing the shadow because the model had no need to learn the feature: no harm shown.
                if kind == RETRAINING:
                    tests.loc[alarm & (tests["difference"] < 0), "verdict"] = HURTS
                families.append(tests)
        order = {name: place for place, name in enumerate(unit.name for unit in self.units)}
        frame = pd.concat(families, ignore_index=True) if families else rows_as_table([])
        return rows_as_table(frame.sort_values("feature", key=lambda names: names.map(order), kind="stable").to_dict("records"))

    def _tests(self, kind: str, units: Sequence[_Unit]) -> pd.DataFrame:
        """A row a unit that was asked and slice, not corrected."""
        compared, rows = self._compared(kind, units), []
        for name, part in self.slices if compared else ():
            noises = [self._noise(kind, one.unit, part) for one in compared]
            found = paired_differences([one.differences[part] for one in compared], noises, seed=self.seed)
            for one, noise, paired in zip(compared, noises, found):
                rows.append(
                    {
                        "feature": one.unit.name,
                        "side": one.unit.side,
                        "kind": kind,
                        "slice": name,
                        "users": paired.users,
                        "seeds": one.differences.shape[1],
                        "recall": one.recall[part].mean(),
                        "difference": paired.difference,
                        "low": paired.low,
                        "high": paired.high,
                        "p": paired.p,
                        "p_corrected": np.nan,
                        "verdict": NO_EVIDENCE if noise.is_known else NOT_JUDGED,
                        "drop": one.costs[0][part].mean(),
                        "drop_of_shadow": one.costs[1][part].mean(),
                    }
                )
        return rows_as_table(rows)

    def _compared(self, kind: str, units: Sequence[_Unit]) -> list[_Comparison]:
        found = []
        for unit in units:
            if kind == RETRAINING and self.without[unit.name]:
                seeds = sorted(self.without[unit.name])
                level = np.stack([self.full[seed] for seed in seeds], 1)
                nothing = np.full(len(level), np.nan)
                differences = level - np.stack([self.without[unit.name][seed] for seed in seeds], 1)
                found.append(_Comparison(unit, differences, level.mean(1), (nothing, nothing)))
            if kind == PERMUTATION and self.drops[unit.name]:
                seeds = sorted(self.drops[unit.name])
                own, of_shadow = (np.stack([self.drops[unit.name][seed][which] for seed in seeds], 1) for which in (0, 1))
                level = np.stack([self.with_shadows[seed] for seed in seeds], 1).mean(1)
                found.append(_Comparison(unit, own - of_shadow, level, (own.mean(1), of_shadow.mean(1))))
        return found

    def _noise(self, kind: str, unit: _Unit, part: slice) -> TrainingNoise:
        """How far one training's mean over the users of a slice lies from another's, where only the seed differs."""
        if kind == RETRAINING:
            if not self._is_drawn:
                return NO_NOISE
            alike = [self.full, *(values for values in self.without.values() if set(values) == set(self.full))]
            return training_noise(np.array([[of_seed[part].mean() for _, of_seed in sorted(values.items())] for values in alike]))
        # What a shadow costs has nothing to do with its feature, so the shadows of a side say how far chance goes.
        peers = [
            other
            for other in self.units
            if (other.name in GROUPS) == (unit.name in GROUPS) and (unit.name in GROUPS or other.side == unit.side)
        ]
        seeds = set.intersection(*(set(self.drops[other.name]) for other in peers if self.drops[other.name]))
        costs = np.array(
            [
                [self.drops[other.name][seed][1][part].mean() for seed in sorted(seeds)]
                for other in peers
                if self.drops[other.name]
            ]
        )
        if len(seeds) > 1 and len(costs) > 1:
            return training_noise(costs)
        # One seed: also what shadows of different kinds cost differs, which makes it rather too much.
        return TrainingNoise(float(costs.var(ddof=1)), costs.size - 1.0) if costs.size > 1 else UNKNOWN_NOISE

    def _about(self, split_name: str) -> dict[str, Any]:
        config = {name: value for name, value in vars(self.config).items() if name != "seed"}
        return {
            "model": self.model,
            "model_options": self.options,
            "train_config": config,
            "features": self.names,
            "dataset": self.dataset.title,
            "synthetic": self.dataset.synthetic,
            "data_fingerprint": data_fingerprint(self.dataset),
            "split": split_name,
            "inner_split": self.split.protocol,
            "split_fingerprint": self.split.fingerprint,
            "seed": self.seed,
            "seeds": self.seeds,
            "trained_seeds": sorted(self.full),
            "k": self.k,
            "level": LEVEL,
            "users": {name: part.stop - part.start for name, part in self.slices},
            "minutes": self.seconds / 60,
            "seconds": perf_counter() - self.started,
            "trainings": len(self.trainings),
            "seconds_a_training": self._training_seconds,
            "packages": package_versions(),
        }


@dataclass(frozen=True, eq=False)
class _Comparison:
    """A unit's differences (N, S): users of all slices by seeds; recall with it and the costs of dealing, (N,) each."""

    unit: _Unit
    differences: np.ndarray
    recall: np.ndarray
    costs: tuple[np.ndarray, np.ndarray]


def _units(catalogue: Catalogue, names: Sequence[str]) -> list[_Unit]:
    """The groups first; a group of one, or of the same features as another, is not asked twice."""
    of_user = tuple(name for name in names if name in catalogue.user_features.names)
    of_item = tuple(name for name in names if name in catalogue.item_features.names)
    units = [_Unit(ALL, "both", (*of_user, *of_item))] if of_user and of_item else []
    units += [_Unit(group, side, of) for group, side, of in ((USER, "user", of_user), (ITEM, "item", of_item)) if len(of) > 1]
    return units + [_Unit(name, side, (name,)) for side, of in (("user", of_user), ("item", of_item)) for name in of]
