"""One user's recommendations, and what of the log speaks for them: who chose what together.

A model is not opened here. An item of the list is set beside the items of the user's own history by the cosine of
their columns, cos(i, j) = c_ij / √(n_i n_j), where c_ij users chose both and n_i chose i; a user beside other users by
the cosine of their rows. It says what the log knows of a recommendation, not how the model came to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from recsys_lib.data.features import Categorical, Feature, FeatureTable, Numeric, Vectors
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions
from recsys_lib.data.names import did_you_mean
from recsys_lib.evaluation.ranking import rank
from recsys_lib.models.base import Recommender

N_REASONS = 3  # items of the history that `why` names
N_NEAREST_USERS = 10
FEATURE_LENGTH = 60  # characters of one feature in a table


@dataclass(frozen=True, eq=False)
class Explanation:
    """What explain() found; items have a column `name` too where item_names were given.

    Attributes:
        user_id: external. about: the user's features in words, "" where none is known.
        history: item_id, features, chosen_by (users who chose it), timestamp where there is one; newest first, without
            timestamps in the order of the file.
        recommendations: rank, item_id, score, features, chosen_by, why.
        nearest_users: user_id, n_shared (items in common), cosine, chose (which of the recommended items).
    """

    user_id: Any
    about: str
    history: pd.DataFrame
    recommendations: pd.DataFrame
    nearest_users: pd.DataFrame


def explain(
    model: Recommender, interactions: Interactions, user: Any, k: int = 10, *, item_names: Mapping | None = None
) -> Explanation:
    """The best k items for one user as a submission would have them, with the history and the users beside it.

    Args:
        interactions: everything known, as for recommend(): the history asked with, and none of it is recommended again.
        user: external id; its text will do where the ids are numbers.
        k: places; fewer where the user has seen almost everything.
        item_names: external item id -> readable text, see item_names(); `why` then names items by it.
    Raises:
        ValueError: an unknown user ("did you mean"), or k is more than there are items.
    """
    catalogue = model.catalogue
    index = _index_of(catalogue.users, user)
    ranking = rank(model, torch.tensor([index]), history=interactions, seen=interactions, k=k)
    items = ranking.items[0].cpu().numpy()
    scores = ranking.scores[0].cpu().numpy()[items >= 0]
    items = items[items >= 0]

    rows = np.flatnonzero(interactions.users == index)
    if interactions.timestamps is not None:
        rows = rows[np.argsort(-interactions.timestamps[rows], kind="stable")]
    chosen = interactions.items[rows]

    history = _described_items(model, interactions, chosen, item_names)
    if interactions.timestamps is not None:
        history["timestamp"] = interactions.timestamps[rows].astype("datetime64[s]")
    recommendations = _described_items(model, interactions, items, item_names)
    recommendations.insert(0, "rank", np.arange(1, len(items) + 1))
    recommendations.insert(recommendations.columns.get_loc("features"), "score", scores)
    if len(chosen):
        recommendations["why"] = _why(interactions, items, chosen, _texts(catalogue.items.ids_of(chosen), item_names))
    if bool(ranking.newcomers[0]):
        recommendations["why"] = _why_by_features(model, len(chosen))
    elif bool(ranking.fallback[0]) or not len(chosen):
        recommendations["why"] = _why_popular(model, bool(ranking.fallback[0]), len(chosen))
    return Explanation(
        user_id=catalogue.users.ids[index],
        about=described(catalogue.user_features, [index])[0],
        history=history,
        recommendations=recommendations,
        nearest_users=_nearest_users(interactions, index, chosen, items, catalogue.users, catalogue.items),
    )


def described(table: FeatureTable, rows: np.ndarray) -> list[str]:
    """Features in words, a text a row: "학위: 석사 · 경력: 36 · 키워드: 파이썬, 통계".

    Labels stand by name, what is missing is left out, and a feature takes about 60 characters at most.
    """
    rows = np.asarray(rows, dtype=np.int64)
    columns = [[_cut(f"{feature.name}: {value}") if value else "" for value in _values(feature, rows)] for feature in table]
    return [" · ".join(filter(None, texts)) for texts in zip(*columns)] if columns else [""] * len(rows)


# ---- the user and the items


def _index_of(users: IdMap, user: Any) -> int:
    found = int(users.find([user])[0])
    if found < 0:  # a text field gives "42" where the id is 42, and a table 42 where it is "42"
        found = int(users.find([_other_kind(user)])[0])
    if found < 0:
        raise ValueError(f"no user {user!r}{did_you_mean(user, users.ids)} There are {len(users):,}, the first is {users.ids[0]!s}.")
    return found


def _other_kind(user: Any) -> Any:
    if not isinstance(user, str):
        return str(user)
    return int(user) if user.strip().isdecimal() else user.strip()


def _described_items(model: Recommender, interactions: Interactions, items: np.ndarray, names: Mapping | None) -> pd.DataFrame:
    ids = model.catalogue.items.ids_of(items)
    frame = pd.DataFrame({"item_id": ids})
    if names is not None and len(names):  # a Series has no truth of its own
        frame["name"] = _texts(ids, names)
    frame["features"] = described(model.catalogue.item_features, items)
    frame["chosen_by"] = interactions.item_counts[items]
    return frame


def _texts(ids: pd.Index, names: Mapping | None) -> list[str]:
    return [str(item) if names is None else str(names.get(item, item)) for item in ids]


def _values(feature: Feature, rows: np.ndarray) -> list[str]:
    """The value of each row as text, "" where it is missing."""
    if isinstance(feature, Categorical):
        return [feature.labels[code] for code in feature.codes[rows]]
    if isinstance(feature, Numeric):
        return ["" if np.isnan(value) else f"{value:.0f}" if value == round(value) else f"{value:.4g}" for value in feature.values[rows].tolist()]
    if isinstance(feature, Vectors):
        return [""] * len(rows)  # their numbers tell a reader nothing
    return [", ".join(feature.labels[code] for code in feature.codes[feature.indptr[row] : feature.indptr[row + 1]]) for row in rows]


def _cut(text: str) -> str:
    return text if len(text) <= FEATURE_LENGTH else text[: FEATURE_LENGTH - 1].rstrip(" ,") + "…"


# ---- what the log says


def _why(interactions: Interactions, items: np.ndarray, chosen: np.ndarray, chosen_texts: list[str]) -> list[str]:
    together = _columns(interactions, items).T @ _columns(interactions, chosen)  # (k, h) users who chose both
    together = together.toarray()
    counts = interactions.item_counts
    cosine = together / np.sqrt(np.maximum(counts[items], 1)[:, None] * counts[chosen])
    nearest = np.argsort(-cosine, axis=1, kind="stable")[:, :N_REASONS]
    return [_reasons([(chosen_texts[place], together[row, place]) for place in places]) for row, places in enumerate(nearest)]


def _columns(interactions: Interactions, items: np.ndarray) -> sp.csr_matrix:
    """(n_users, len(items)) of ones: these columns alone, without the whole matrix."""
    place = np.full(interactions.n_items, -1)
    place[items] = np.arange(len(items))
    columns = place[interactions.items]
    users, columns = interactions.users[columns >= 0], columns[columns >= 0]
    return sp.csr_matrix((np.ones(len(users), dtype=np.int64), (users, columns)), (interactions.n_users, len(items)))


def _reasons(nearest: list[tuple[str, int]]) -> str:
    shared = [(text, count) for text, count in nearest if count]
    if not shared:
        return "nobody chose it together with an item of the history"
    (first, count), *others = shared
    return ", ".join([f"{first} (chosen together by {count})", *(f"{text} ({count})" for text, count in others)])


def _why_popular(model: Recommender, is_fallback: bool, n_chosen: int) -> str:
    if not is_fallback:
        return f"the user has no history: what {model.name} gives without one"
    return f"popular: {model.name} cannot tell the items apart for this user" if n_chosen else "popular: the user has no history"


def _why_by_features(model: Recommender, n_chosen: int) -> str:
    known = f"{model.name} did not learn from this user" if n_chosen else "the user has no history"
    return f"{known}: what users with such features are expected to choose"


def _nearest_users(
    interactions: Interactions, index: int, chosen: np.ndarray, items: np.ndarray, user_ids: IdMap, item_ids: IdMap
) -> pd.DataFrame:
    is_chosen = np.zeros(interactions.n_items, dtype=bool)
    is_chosen[chosen] = True
    n_shared = np.bincount(interactions.users[is_chosen[interactions.items]], minlength=interactions.n_users)
    n_shared[index] = 0
    others = np.flatnonzero(n_shared)
    cosine = n_shared[others] / np.sqrt(interactions.user_counts[others] * max(len(chosen), 1))
    best = np.lexsort((-n_shared[others], -cosine))[:N_NEAREST_USERS]
    near, cosine = others[best], cosine[best]
    have = _columns(interactions, items)[near].toarray().astype(bool)  # (n, k)
    recommended = item_ids.ids_of(items)
    return pd.DataFrame(
        {
            "user_id": user_ids.ids_of(near),
            "n_shared": n_shared[near],
            "cosine": cosine,
            "chose": [", ".join(map(str, recommended[row])) for row in have],
        }
    )
