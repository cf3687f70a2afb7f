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
HELPS, HURTS, NO_EVIDENCE, NOT_JUDGED = "helps", "hurts", "no evidence", "not judged"
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
        training added; this one difference alone); p; p_corrected (Holm); verdict ("helps", "no evidence", "hurts",
        "not judged": retrained under one seed only); drop, drop_of_shadow (permutation: the two costs).
        """
        return self.rows.copy()

    def verdicts(self) -> pd.DataFrame:
        """A row a feature or group: feature, side, verdict, helps, hurts (slices), rests_on, sentence.

        The verdict is that of retraining where it could be judged, else that of permutation.
        """
        rows = []
        for feature, of_feature in self.rows.groupby("feature", sort=False):
            judged = of_feature[of_feature["verdict"] != NOT_JUDGED]
            kind = RETRAINING if (judged["kind"] == RETRAINING).any() else PERMUTATION
            found = judged[judged["kind"] == kind]
            helps, hurts = (found[found["verdict"] == verdict] for verdict in (HELPS, HURTS))
            verdict = " and ".join([HELPS] * bool(len(helps)) + [HURTS] * bool(len(hurts))) or NO_EVIDENCE
            rows.append(
                {
                    "feature": feature,
                    "side": of_feature["side"].iloc[0],
                    "verdict": verdict,
                    "helps": list(helps["slice"]),
                    "hurts": list(hurts["slice"]),
                    "rests_on": kind if len(found) else "nothing",
                    "sentence": self._sentence(feature, kind, found, of_feature),
                }
            )
        columns = ["feature", "side", "verdict", "helps", "hurts", "rests_on", "sentence"]
        return pd.DataFrame(rows, columns=columns)

    def headline(self) -> str:
        """The main finding in a sentence."""
        verdicts = self.verdicts()
        model, single = self.about["model"], verdicts[~verdicts["feature"].isin(GROUPS)]
        if not len(verdicts):
            return f"The minutes did not allow to ask {model} anything about its features"
        parts = []
        for verdict, column in ((HELPS, "helps"), (HURTS, "hurts")):
            found = single[single[column].str.len() > 0]
            named = [f"{row.feature} ({', '.join(map(in_words, getattr(row, column)))})" for row in found.head(3).itertuples()]
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            if named:
                parts.append(f"{', '.join(named)}{more} {verdict if len(found) == 1 else verdict[:-1]}")
        what = (
            f"Of {len(single)} features of {model}, {'; '.join(parts)}"
            if parts
            else f"No single one of {len(single)} features is shown to help or hurt {model}"
        )
        groups = verdicts[verdicts["feature"].isin(GROUPS) & (verdicts["verdict"] != NO_EVIDENCE)]
        for row in groups.head(1).itertuples():
            who = [
                f"{verb} {', '.join(map(in_words, slices))}"
                for verb, slices in (("help", row.helps), ("hurt", row.hurts))
                if slices
            ]
            what += f"; {row.feature} together {' and '.join(who)}"
        return what

    def figure(self) -> plots.Plot:
        """One picture: each feature's difference with its interval, a panel a slice. Raises: ValueError where nothing was asked."""
        if not len(self.rows):
            raise ValueError(f"{self.headline()}, so there is nothing to draw")
        about = self.about
        kinds = {row.feature: row.rests_on for row in self.verdicts().itertuples()}
        shown = self.rows[[kinds[row.feature] == row.kind for row in self.rows.itertuples()]]
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

    def _sentence(self, feature: str, kind: str, found: pd.DataFrame, of_feature: pd.DataFrame) -> str:
        model, metric, many = self.about["model"], f"recall@{self.about['k']}", feature in GROUPS
        if not len(found):
            return f"{feature}: neither asked by permutation nor judged by retraining."
        if kind == RETRAINING:
            verbs = ("help", "hurt") if many else ("helps", "hurts")
            basis = f"retrained without {'them' if many else 'it'}"
        else:
            verbs = (("are" if many else "is") + f" what {model} relies on for",)  # that it hurts, permutation never says
            basis = "by permutation beside shadows; what it is worth, only retraining would say"
        parts = []
        for verb, verdict in zip(verbs, (HELPS, HURTS)):
            rows = found[found["verdict"] == verdict]
            who = [f"{in_words(row.slice)} ({row.difference:+.4f} {metric}, with {row.recall:.4f})" for row in rows.itertuples()]
            parts += [f"{verb} {', '.join(who)}"] if who else []
        rest = [in_words(name) for name in found.loc[found["verdict"] == NO_EVIDENCE, "slice"]]
        if not parts:
            parts = ["no evidence that " + ("they matter to" if many else "it matters to") + " anybody"]
            relied = of_feature[(of_feature["kind"] == PERMUTATION) & (of_feature["verdict"] == HELPS)]
            if kind == RETRAINING and len(relied):
                parts.append(f"though {model}, where it has {'them' if many else 'it'}, relies on {'them' if many else 'it'}")
            return f"{feature}: {', '.join(parts)} ({basis})."
        if rest:
            parts.append(f"no evidence for {', '.join(rest)}")
        return f"{feature} {'; '.join(parts)} ({basis})."


def in_words(slice_name: str) -> str:
    return "warm users" if slice_name == "warm" else slice_name
