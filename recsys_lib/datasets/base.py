"""What every reader returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from recsys_lib.data.candidates import Candidates
from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable, Vectors
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.splits import Split

ITEM_COLUMNS = ("item_id", "item")  # what the readers with titles call the item's id


@dataclass(frozen=True, eq=False)
class Template:
    """What a submission must look like, read from the host's sample file.

    Attributes:
        user_column, item_column: the header, in the file's order.
        users: (n,) int32 distinct user indexes, in the order of the file.
        k: items a user.
    """

    user_column: str
    item_column: str
    users: np.ndarray
    k: int


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a reader returns.

    Attributes:
        interactions: the log.
        catalogue: id maps and features.
        tables: the raw frames by name, for EDA and for readable names.
        template: the submission template, or None where the data set has no contest.
        name: short, fit for a folder name, e.g. "job_postings" or "movielens_1m".
        sources: file name -> fingerprint of its bytes.
        notes: what was read, merged and repaired, a sentence each.
        synthetic: generated, not collected; shown wherever the data set is shown.
        split, candidates: the publisher's own, where there are such; else None.
        further_user_features, further_item_features: columns that no model takes by itself (a zip code, the words of a
            title); the EDA looks at them beside the catalogue's.
        spellings: feature of free text -> how it was made comparable, a row a spelling: typed, label, rows.
    """

    interactions: Interactions
    catalogue: Catalogue
    tables: Mapping[str, pd.DataFrame]
    template: Template | None
    name: str
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    split: Split | None = None
    candidates: Candidates | None = None
    further_user_features: FeatureTable | None = None
    further_item_features: FeatureTable | None = None
    spellings: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def all_user_features(self) -> FeatureTable:
        """The catalogue's and the further ones, without vectors: their numbers tell nobody anything at a glance."""
        return _joined(self.catalogue.user_features, self.further_user_features)

    @property
    def all_item_features(self) -> FeatureTable:
        """The catalogue's and the further ones, without vectors."""
        return _joined(self.catalogue.item_features, self.further_item_features)

    @property
    def title(self) -> str:
        """The name for headings; a synthetic data set says so in capitals."""
        return f"{self.name} (SYNTHETIC)" if self.synthetic else self.name

    def describe(self) -> pd.DataFrame:
        """What was read, merged and repaired: columns `what` and `value`, ready to be shown in a notebook."""
        log, catalogue = self.interactions, self.catalogue
        rows = [
            ("data set", self.title),
            ("interactions", f"{len(log):,}"),
            ("users", f"{catalogue.n_users:,} ({int((log.user_counts == 0).sum()):,} without interactions)"),
            ("items", f"{catalogue.n_items:,} ({int((log.item_counts == 0).sum()):,} without interactions)"),
            ("density", f"{len(log) / max(catalogue.n_users * catalogue.n_items, 1):.4%}"),
            ("timestamps", "yes" if log.timestamps is not None else "none: the order of the rows means nothing"),
            ("user features", ", ".join(catalogue.user_features.names) or "none"),
            ("item features", ", ".join(catalogue.item_features.names) or "none"),
            ("submission", f"{len(self.template.users):,} users x {self.template.k} items" if self.template else "none"),
        ]
        if self.split is not None:
            among = "" if self.candidates is None else f", each user's among {self.candidates.n} candidates"
            rows.append(("published split", f"{self.split.protocol}: {len(self.split.test):,} test rows{among}"))
        rows += [("note", note) for note in self.notes]
        return pd.DataFrame(rows, columns=["what", "value"])


def _joined(table: FeatureTable, further: FeatureTable | None) -> FeatureTable:
    features = [feature for feature in (*table, *(further or ())) if not isinstance(feature, Vectors)]
    return table if len(features) == len(table) and not further else FeatureTable(table.n_rows, features)


def template_of(dataset: Dataset, k: int) -> Template:
    """The contest's template; for data without a contest, k items for every user, in the order of the catalogue."""
    return dataset.template or Template("user_id", "item_id", np.arange(dataset.catalogue.n_users, dtype=np.int32), k)


def item_names(dataset: Dataset) -> dict[Any, str]:
    """External item id -> title, from the raw table that has one; empty where there is none (job postings have no title)."""
    for table in dataset.tables.values():
        keys = [name for name in ITEM_COLUMNS if name in table]
        if keys and "title" in table:
            titled = table.dropna(subset=["title"]).drop_duplicates(keys[0])
            return dict(zip(titled[keys[0]], titled["title"].astype(str)))
    return {}
