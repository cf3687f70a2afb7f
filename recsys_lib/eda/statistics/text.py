"""What normalising free text saved, and which words go with which choices."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import scipy.sparse as sp

from recsys_lib.data.features import Feature, FeatureTable, MultiLabel
from recsys_lib.data.interactions import Interactions
from recsys_lib.eda.statistics.association import SURE
from recsys_lib.eda.statistics.labels import Labelled, labelled

FEWEST_LABELS = 10  # of a feature with several labels a row, to be called text
FEWEST_EXPECTED = 10
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
    seed: int,
    text: tuple[str, ...] = (),
    shuffles: int = 50,
    n: int = 14,
) -> pd.DataFrame:
    """The words that separate what is chosen, each with the label on the other side that it goes with most clearly.

    Words are the labels of the features named in `text`, and of features with several of ten or more labels a row.
    A pair of word and label counts where 10 or more are expected. How clear it is: its residual (see `lift`) over the level
    that the largest residual of all pairs stays below in 95 of 100 deals of the words among users (or items), or of the
    labels among the other side, whichever is higher. Only pairs above 1, that is above chance, are returned.

    Returns:
        one row a word, the clearest first: feature, word, side, other_feature, label, lift, count, expected, clear.
    """
    found = []
    for side, words, others in (("user", user_features, item_features), ("item", item_features, user_features)):
        spoken = [feature for feature in words if _is_text(feature, text)]
        if not spoken or not len(others):
            continue
        matrix = interactions.user_items().astype(np.float64)
        matrix = matrix if side == "user" else matrix.T.tocsr()
        pairs = _Pairs([labelled(word, max_labels=MOST_LABELS) for word in spoken], [labelled(other) for other in others], matrix)
        table = pairs.table(np.random.default_rng(seed), shuffles)
        found.append(table.assign(side=side))
    columns = ["feature", "word", "side", "other_feature", "label", "lift", "count", "expected", "clear"]
    if not found:
        return pd.DataFrame(columns=columns)
    table = pd.concat(found, ignore_index=True).sort_values("clear", ascending=False, kind="stable")
    return table.drop_duplicates(["feature", "word"])[columns].head(n).reset_index(drop=True)


def _is_text(feature: Feature, text: tuple[str, ...]) -> bool:
    return isinstance(feature, MultiLabel) and (feature.name in text or len(feature.labels) >= FEWEST_LABELS)


class _Pairs:
    """All words of one side against all labels of the other, over the interactions.

    Args:
        words, others: features as labels, of the rows and of the columns of `matrix`.
        matrix: (n_word_side, n_other_side) CSR of ones: who chose what, or what was chosen by whom.
    """

    def __init__(self, words: list[Labelled], others: list[Labelled], matrix: sp.csr_matrix) -> None:
        self.active = np.flatnonzero(np.diff(matrix.indptr))
        self.words = sp.hstack([word.matrix for word in words], format="csr")[self.active]
        self.labels = sp.hstack([other.matrix for other in others], format="csr")
        self.word_names = [(word.name, label) for word in words for label in word.labels]
        self.label_names = [(other.name, label) for other in others for label in other.labels]
        self.starts = np.cumsum([0, *(len(other.labels) for other in others)])[:-1]
        self.word_starts = np.cumsum([0, *(len(word.labels) for word in words)])[:-1]
        self.of_words = (matrix[self.active] @ self.labels).toarray()  # (active rows, labels)
        self.of_labels = (matrix[self.active].T @ self.words).toarray()  # (n_other_side, words)

    def table(self, generator: np.random.Generator, shuffles: int) -> pd.DataFrame:
        """The pairs above chance: feature, word, other_feature, label, lift, count, expected, clear."""
        counts, expected, residual = self._residuals(self.words.T @ self.of_words)
        named = np.array([label != "(other)" for _, label in self.word_names])[:, None] & [
            label != "(other)" for _, label in self.label_names
        ]
        usable = (expected >= FEWEST_EXPECTED) & named
        level = 1e-9
        for deal, size in ((self._deal_words, len(self.active)), (self._deal_labels, self.labels.shape[0])):
            # Residuals are of one scale already. (In deviations of its own fifty deals none could lie above seven.)
            highest = [self._residuals(deal(generator.permutation(size)))[2][usable].max(initial=0) for _ in range(shuffles)]
            level = max(level, float(np.quantile(highest, SURE)) if highest else 0.0)
        clear = residual / level
        row, column = np.nonzero(usable & (clear > 1))
        chosen = {"count": counts[row, column].astype(np.int64), "expected": expected[row, column], "clear": clear[row, column]}
        names = [(*self.word_names[r], *self.label_names[c]) for r, c in zip(row, column)]
        table = pd.DataFrame(names, columns=["feature", "word", "other_feature", "label"]).assign(**chosen)
        return table.assign(lift=table["count"] / table["expected"])

    def _deal_words(self, order: np.ndarray) -> np.ndarray:
        return self.words[order].T @ self.of_words

    def _deal_labels(self, order: np.ndarray) -> np.ndarray:
        return (self.labels[order].T @ self.of_labels).T

    def _residuals(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(words, labels) counts -> counts, expected, residual; each feature against each other feature by itself."""
        of_label = np.repeat(np.arange(len(self.starts)), np.diff([*self.starts, counts.shape[1]]))
        of_word = np.repeat(np.arange(len(self.word_starts)), np.diff([*self.word_starts, counts.shape[0]]))
        rows = np.add.reduceat(counts, self.starts, axis=1)  # (words, other features)
        columns = np.add.reduceat(counts, self.word_starts, axis=0)  # (word features, labels)
        whole = np.maximum(np.add.reduceat(rows, self.word_starts, axis=0), 1)[of_word][:, of_label]
        row_share, column_share = rows[:, of_label] / whole, columns[of_word] / whole
        expected = row_share * column_share * whole
        spread = np.sqrt(expected * (1 - row_share) * (1 - column_share))
        return counts, expected, np.divide(counts - expected, spread, out=np.zeros_like(expected), where=spread > 0)
