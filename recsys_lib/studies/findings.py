"""What a study of features found: a table, verdicts in words, a figure, a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from recsys_lib.data.files import write_text
from recsys_lib.display import plots

LEVEL = 0.05
USER, ITEM, ALL = "user features", "item features", "all features"
GROUPS = (ALL, USER, ITEM)
PERMUTATION, RETRAINING = "permutation", "retraining"
HELPS, HURTS, RELIED_ON, NO_EVIDENCE, NOT_JUDGED = "helps", "hurts", "relied on", "no evidence", "not judged"
_NUMBERS = ("recall", "difference", "low", "high", "p", "p_corrected", "drop", "drop_of_shadow")
COLUMNS = (
    *("feature", "side", "kind", "slice", "users", "seeds", "recall", "difference", "low", "high"),
    *("p", "p_corrected", "verdict", "drop", "drop_of_shadow"),
)


def rows_as_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """COLUMNS in their order; a number that is None is NaN."""
    return pd.DataFrame(list(rows), columns=list(COLUMNS)).astype(dict.fromkeys(_NUMBERS, float))


@dataclass(frozen=True, eq=False)
class FeatureWorth:
    """What a study found.

    Attributes:
        about: what was asked and on what: model, data set, split, seeds, k, fingerprints, seconds, package versions.
        rows: as table().
        left_out: what the minutes did not allow, or what could not be asked, a sentence each.
    """

    about: dict[str, Any]
    rows: pd.DataFrame
    left_out: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """A row a feature or group, kind and slice.

        Columns: feature; side ("user", "item", "both"); kind ("retraining", "permutation"); slice; users; seeds;
        recall (mean recall at k with the feature); difference (recall that it brings; of a permutation: what dealing the
        feature costs beyond what dealing its shadow costs); low, high (95 %, bootstrap over users with the noise of the
        training added; this one difference alone); p; p_corrected (Holm); verdict ("helps", "hurts": of retraining;
        "relied on": of permutation; "no evidence"; "not judged": retrained under one seed only); drop, drop_of_shadow (permutation: the two costs).
        """
        return self.rows.copy()

    def verdicts(self) -> pd.DataFrame:
        """A row a feature or group: feature, side, verdict, helps, hurts, relied_on (slices), rests_on, sentence.

        What retraining shows comes first: "helps", "hurts", or both for different slices. Where it shows nothing or was not
        done, permutation may show that the model relies on the feature: "relied on", which is less. Else "no evidence".
        """
        rows = []
        for feature, of_feature in self.rows.groupby("feature", sort=False):
            slices = {
                verdict: list(of_feature.loc[of_feature["verdict"] == verdict, "slice"]) for verdict in (HELPS, HURTS, RELIED_ON)
            }
            judged = of_feature[of_feature["verdict"] != NOT_JUDGED]
            by_retraining = (judged["kind"] == RETRAINING).any()
            verdict = " and ".join(one for one in (HELPS, HURTS) if slices[one])
            rests_on = (
                RETRAINING if verdict or by_retraining and not slices[RELIED_ON] else PERMUTATION if len(judged) else "nothing"
            )
            rows.append(
                {
                    "feature": feature,
                    "side": of_feature["side"].iloc[0],
                    "verdict": verdict or (RELIED_ON if slices[RELIED_ON] else NO_EVIDENCE),
                    "helps": slices[HELPS],
                    "hurts": slices[HURTS],
                    "relied_on": slices[RELIED_ON],
                    "rests_on": rests_on,
                    "sentence": self._sentence(feature, judged),
                }
            )
        return pd.DataFrame(rows, columns=["feature", "side", "verdict", "helps", "hurts", "relied_on", "rests_on", "sentence"])

    def headline(self) -> str:
        """The main finding in a sentence."""
        verdicts, model = self.verdicts(), self.about["model"]
        if not len(verdicts):
            return f"The minutes did not allow to ask {model} anything about its features"
        grouped = verdicts["feature"].isin(GROUPS)
        n, told = int((~grouped).sum()), self._told(verdicts[~grouped])
        text = (
            f"Of {n} features of {model}, {told}" if told else f"No single one of {n} features is shown to help or hurt {model}"
        )
        group = verdicts[grouped & (verdicts["verdict"] != NO_EVIDENCE)].head(1)
        return f"{text}; together, {self._told(group, verb_of_many=True)}" if len(group) else text

    def _told(self, verdicts: pd.DataFrame, *, verb_of_many: bool = False) -> str:
        """The features of each verdict with their slices, at most three each."""
        parts = []
        for column, verbs in (
            ("helps", ("helps", "help")),
            ("hurts", ("hurts", "hurt")),
            ("relied_on", ("is relied on", "are relied on")),
        ):
            found = verdicts[verdicts[column].str.len() > 0]
            if column == "relied_on":  # said of those of which nothing better can be said
                found = found[found["verdict"] == RELIED_ON]
            named = [f"{row.feature} ({', '.join(map(in_words, getattr(row, column)))})" for row in found.head(3).itertuples()]
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            if named:
                parts.append(f"{', '.join(named)}{more} {verbs[verb_of_many or len(found) > 1]}")
        return "; ".join(parts)

    def figure(self) -> plots.Plot:
        """One picture: each feature's difference with its interval, a panel a slice. Raises: ValueError where there is no verdict."""
        about, shown = self.about, self._judged_rows()
        if not len(shown):
            raise ValueError("the minutes did not allow a single verdict, so there is nothing to draw; give it more, or more seeds")
        footer = (
            f"{about['dataset']} · {about['split']}, split seed {about['seed']}, its test part untouched · {about['model']}, seeds "
            f"{', '.join(map(str, about['seeds']))} · coloured: Holm at the level {LEVEL} over features and slices; lines: 95 % over "
            "users and trainings, one at a time"
        )
        if self.left_out:
            footer += f" · not everything could be asked, see left_out ({len(self.left_out)})"
        return plots.feature_worth(
            shown, f"recall@{about['k']}", groups=GROUPS, title=self.headline(), footer=footer, synthetic=about["synthetic"]
        )

    @property
    def can_be_drawn(self) -> bool:
        """Whether there is a verdict that figure() could show."""
        return len(self._judged_rows()) > 0

    def _judged_rows(self) -> pd.DataFrame:
        """The rows on which a verdict rests."""
        kinds = {row.feature: row.rests_on for row in self.verdicts().itertuples()}
        return self.rows[[kinds[row.feature] == row.kind for row in self.rows.itertuples()]]

    def to_json(self) -> str:
        """Everything but the pictures; FeatureWorth.from_json brings it back."""
        rows = self.rows.astype(object).where(self.rows.notna(), None).to_dict("records")
        whole = {
            "about": self.about,
            "left_out": list(self.left_out),
            "rows": rows,
            "verdicts": self.verdicts().to_dict("records"),
        }
        return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> FeatureWorth:
        whole = json.loads(text)
        return cls(whole["about"], rows_as_table(whole["rows"]), tuple(whole["left_out"]))

    def save(self, path: str | Path) -> None:
        """to_json into a file, whole or not at all."""
        write_text(path, self.to_json())

    def _sentence(self, feature: str, judged: pd.DataFrame) -> str:
        """judged: the feature's rows that have a verdict."""
        model, metric, many = self.about["model"], f"recall@{self.about['k']}", feature in GROUPS
        it, retrained = "them" if many else "it", judged[judged["kind"] == RETRAINING]
        if not len(judged):
            return f"{feature}: neither asked by permutation nor judged by retraining."
        parts = []
        for verb, verdict in (("help" if many else "helps", HELPS), ("hurt" if many else "hurts", HURTS)):
            rows = retrained[retrained["verdict"] == verdict]
            who = [f"{in_words(row.slice)} ({row.difference:+.4f} {metric}, with {row.recall:.4f})" for row in rows.itertuples()]
            parts += [f"{verb} {', '.join(who)}"] if who else []
        relied = judged[judged["verdict"] == RELIED_ON]
        if parts:
            rest = [in_words(name) for name in retrained.loc[retrained["verdict"] == NO_EVIDENCE, "slice"]]
            parts += [f"no evidence for {', '.join(rest)}"] if rest else []
            return f"{feature} {'; '.join(parts)} (retrained without {it})."
        if not len(relied):
            basis = f"retrained without {it}" if len(retrained) else "by permutation beside shadows; not retrained"
            return f"{feature}: no evidence that {'they matter' if many else 'it matters'} to anybody ({basis})."
        who = [f"{in_words(row.slice)} ({row.difference:+.4f} {metric} beyond a shadow)" for row in relied.itertuples()]
        worth = retrained[retrained["slice"].isin(relied["slice"])]
        found = [f"{in_words(row.slice)} {row.difference:+.4f} ({row.low:+.4f} to {row.high:+.4f})" for row in worth.itertuples()]
        rest = (
            f"retrained without {it}, nothing outlasts the correction for many tests: {', '.join(found)}"
            if found
            else f"what {'they are' if many else 'it is'} worth, only retraining would say"
        )
        return f"{feature} {'are' if many else 'is'} what {model} relies on for {', '.join(who)}; {rest}."


def in_words(slice_name: str) -> str:
    return "warm users" if slice_name == "warm" else slice_name
