"""What normalising free text saved, and which words go with which choices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from recsys_lib.data.features import Feature, FeatureTable, MultiLabel
from recsys_lib.data.interactions import Interactions
from recsys_lib.eda.statistics.labels import labelled, lift

FEWEST_LABELS = 10  # of a feature with several labels a row, to be called text
FEWEST_EXPECTED = 5
MOST_LABELS = 200


def before_and_after(spellings: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What normalising did: one row a feature: feature, rows, spellings, labels, merged (rows whose spelling is not their
    label's commonest), rare_before, rare_after (share of the rows with a spelling, a label, that has fewer than 5 rows).

    Args:
        spellings: Dataset.spellings.
    """
    rows = []
    for feature, table in spellings.items():
        labels = table.groupby("label")["rows"]
        rows.append(
            (
                feature,
                int(table["rows"].sum()),
                table["typed"].nunique(),
                table["label"].nunique(),
                int((labels.sum() - labels.max()).sum()),
                *(_rare(table.groupby(column)["rows"].sum()) for column in ("typed", "label")),
            )
        )
    return pd.DataFrame(rows, columns=["feature", "rows", "spellings", "labels", "merged", "rare_before", "rare_after"])


def _rare(rows: pd.Series) -> float:
    return float(rows[rows < 5].sum() / max(rows.sum(), 1))


def most_spelt(spellings: Mapping[str, pd.DataFrame], n: int = 6) -> pd.DataFrame:
    """The labels that most rows joined: feature, label, rows, spellings (the texts as typed, the commonest first)."""
    rows = []
    for feature, table in spellings.items():
        for label, part in table.sort_values("rows", ascending=False, kind="stable").groupby("label", sort=False):
            if len(part) > 1:
                rows.append((feature, label, int(part["rows"].sum()), tuple(part["typed"]), int(part["rows"].iloc[1:].sum())))
    table = pd.DataFrame(rows, columns=["feature", "label", "rows", "spellings", "joined"])
    return table.sort_values("joined", ascending=False, kind="stable", ignore_index=True).head(n)


def telling_words(
    interactions: Interactions,
    user_features: FeatureTable,
    item_features: FeatureTable,
    *,
    text: tuple[str, ...] = (),
    n: int = 14,
) -> pd.DataFrame:
    """The words that separate what is chosen, each with the label on the other side that it goes with most clearly.

    Words are the labels of the features named in `text`, and of features with several of ten or more labels a row.
    A pair counts where 5 or more are expected. How clear it is: the residual of `lift`, divided by the root of the mean
    length of a history (of an item's list, for words of items): rows of one user are not so many witnesses.

    Returns:
        one row a word, the clearest first: feature, word, side, other_feature, label, lift, count, expected, clear.
    """
    found = []
    for side, words, others, counts in (
        ("user", user_features, item_features, interactions.user_counts),
        ("item", item_features, user_features, interactions.item_counts),
    ):
        cluster = (counts.astype(np.float64) ** 2).sum() / max(counts.sum(), 1)
        for feature in words:
            if not _is_text(feature, text):
                continue
            word = labelled(feature, max_labels=MOST_LABELS)
            for other in others:
                label = labelled(other)
                table = lift(interactions, *((word, label) if side == "user" else (label, word)))
                table.columns = [*(("word", "label") if side == "user" else ("label", "word")), *table.columns[2:]]
                table = table[(table["expected"] >= FEWEST_EXPECTED) & (table["word"] != "(other)") & (table["label"] != "(other)")]
                table["clear"] = table["residual"] / np.sqrt(max(cluster, 1))
                found.append(table.assign(feature=feature.name, side=side, other_feature=other.name))
    columns = ["feature", "word", "side", "other_feature", "label", "lift", "count", "expected", "clear"]
    if not found:
        return pd.DataFrame(columns=columns)
    table = pd.concat(found, ignore_index=True).sort_values("clear", ascending=False, kind="stable")
    return table.drop_duplicates(["feature", "word"])[columns].head(n).reset_index(drop=True)


def _is_text(feature: Feature, text: tuple[str, ...]) -> bool:
    return isinstance(feature, MultiLabel) and (feature.name in text or len(feature.labels) >= FEWEST_LABELS)
