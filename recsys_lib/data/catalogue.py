"""Who and what exists: id maps and features. No interactions."""

from __future__ import annotations

from dataclasses import dataclass

from recsys_lib.data.features import FeatureTable
from recsys_lib.data.ids import IdMap


@dataclass(frozen=True, eq=False)
class Catalogue:
    """All users and items: the union of the log, the side tables and the submission template.

    Raises:
        ValueError: a FeatureTable has not as many rows as its IdMap has ids, or a user and an item feature share a name.
    """

    users: IdMap
    items: IdMap
    user_features: FeatureTable
    item_features: FeatureTable

    def __post_init__(self) -> None:
        for ids, table in ((self.users, self.user_features), (self.items, self.item_features)):
            if len(ids) != table.n_rows:
                raise ValueError(f"{len(ids):,} {ids.what} ids but {table.n_rows:,} rows of {ids.what} features")

        shared = set(self.user_features.names) & set(self.item_features.names)
        if shared:
            raise ValueError(f"{', '.join(sorted(shared))}: a feature of users and one of items; a name must say which")

    @property
    def n_users(self) -> int:
        return len(self.users)

    @property
    def n_items(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return (
            f"Catalogue({self.n_users:,} users with {len(self.user_features)} features, "
            f"{self.n_items:,} items with {len(self.item_features)} features)"
        )
