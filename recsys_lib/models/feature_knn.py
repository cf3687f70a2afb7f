"""Neighbours seen from several sides at once: what they chose, and every feature that is known of them.

Cosine similarity made multi-dimensional: one cosine a view, and a weight for each of them.

    known users     s(u, v) = Σ over views w_view cos_view(u, v),   views: "history" and the features of users
                    score(u, i) = Σ over the k nearest v of s(u, v) [v chose i]
                                + Σ over views a_view Σ over the items j of u's history of cos_view(i, j),
                                  views: "choosers" (the likeness of item_knn.py) and the features of items
    newcomers       users without history: s and votes over features alone, with weights of their own
    unchosen items  score(u, i) = Σ over the k nearest chosen j of t(i, j) score(u, j)  /  Σ over them of t(i, j),
                    t a sum over features of items with weights of their own

With history=1 and no other weight it is user_knn. What helps a newcomer is not what helps a known user, so `prepare`
finds weights for each of the four sums on rows that it hides from itself: a fifth of the rows of some users, all rows of
some users, all rows of some items. A view comes in, the best first, if the NDCG of hidden rows gains more than two
standard errors over users (for unchosen items: over items), and as much beside the same view with users or items
shuffled; of many views some do by luck. What a feature adds to known users is little where histories say enough.

A feature whose weights all end at 0 was looked at and is not used: uses_features leaves it out once prepare is done. Users
without history whom no weighted feature describes get the popular items. `view_weights` says what was found.
Features as vectors whose product is a cosine: data/vectors.py. Source of neighbours by several cosines: the hybrid kNN of
Ferrari Dacrema et al., A Troubling Analysis of Reproducibility and Progress in Recommender Systems Research, TOIS 2021.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from recsys_lib.data.features import FeatureTable
from recsys_lib.data.interactions import History, Interactions
from recsys_lib.data.names import did_you_mean
from recsys_lib.data.splits import rank_in_user
from recsys_lib.data.vectors import FeatureVectors
from recsys_lib.models.base import Recommender, option
from recsys_lib.models.item_knn import ItemKNN
from recsys_lib.models.neighbours import NeighbourConfig, SparseRows, likeness, nearest
from recsys_lib.models.side_information import FEATURES_HELP, check_choice, chosen_features

HISTORY, CHOOSERS = "history", "choosers"
_GRID = (0.03, 0.1, 0.3, 1.0, 3.0)
_COARSE = (0.1, 1.0)  # tried first: most views are of no use at any weight
_LIKELY, _SURE = 1.0, 2.0  # standard errors
_JUDGES = 100, 1000  # users whose rows are hidden: at least and at most, between them as many as fit a block
_HIDDEN_OF_KNOWN = 0.2  # share of a known user's rows that is hidden, at least one
_MOST_ROWS = 5  # hidden rows of one judge that are asked for
_HIDDEN_ITEMS = 0.2  # share of the items
_CELLS = 2**22  # of a block of likenesses: 16 MB


@dataclass(frozen=True)
class FeatureKNNConfig:
    features: tuple[str, ...] | str = option("all", FEATURES_HELP)
    weights: tuple[str, ...] | str = option(
        "auto",
        "'auto': found on hidden rows; or a list of view=number, the others 0: history=1, choosers=0.5, age=0.1. "
        "With features='all' they choose the features; any other choice of features wants a weight for each",
    )
    k: int = option(100, "nearest users that vote for a known user; 0 = all of them")
    newcomer_k: int = option(300, "nearest users that vote for a user without history; 0 = all of them")
    item_k: int = option(100, "nearest items that count, as choosers and for an unchosen item; 0 = all of them")

    def __post_init__(self) -> None:
        check_choice(self.features)
        for k in (self.k, self.newcomer_k, self.item_k):
            if k < 0:
                raise ValueError(f"k, newcomer_k and item_k must be 0 (all neighbours) or more; got {k}")
        given_weights(self.weights)


def given_weights(weights: tuple[str, ...] | str) -> dict[str, float] | None:
    """view -> weight; None for "auto". Raises: ValueError for what is no list of view=number."""
    if weights == "auto":
        return None
    given = {}
    for text in (weights,) if isinstance(weights, str) else weights:
        view, _, number = text.partition("=")
        try:
            given[view] = float(number)
        except ValueError:
            given[view] = math.nan
        if not 0 <= given[view] < math.inf:
            raise ValueError(f"weights must be 'auto' or a list of view=number, no number below 0; got {text!r}")
    return given


class Side:
    """The features of users or of items, one view each.

    Attributes:
        names: of the views.
    """

    def __init__(self, table: FeatureTable) -> None:
        self.first, self.names = table, table.names
        self._rule = FeatureVectors(table)
        self.set_table(table)

    def set_table(self, table: FeatureTable) -> None:
        self._vectors = self._rule.of(table)

    def rows(self, weights: dict[str, float]) -> sp.csr_matrix:
        """(n, width) whose products are the weighted sums of cosines; of no width where every weight is 0."""
        parts = [self._block(name) * np.float32(math.sqrt(w)) for name, w in weights.items() if name in self.names and w > 0]
        return (
            sp.hstack(parts, format="csr", dtype=np.float32) if parts else sp.csr_matrix((self.first.n_rows, 0), dtype=np.float32)
        )

    def _block(self, name: str) -> sp.csr_matrix:
        start, end = self._rule.blocks[name]
        return self._vectors[:, start:end]


class FeatureKNN(Recommender):
    name = "feature_knn"
    Config = FeatureKNNConfig
    needs_training = False

    def __init__(self, catalogue, config: FeatureKNNConfig) -> None:
        super().__init__(catalogue, config)
        self.user, self.item = (Side(table) for table in chosen_features(catalogue, config.features))
        views = (HISTORY, *self.user.names, CHOOSERS, *self.item.names)
        given = given_weights(config.weights)
        for view in given or ():
            if view not in views:
                raise ValueError(f"no view {view!r}{did_you_mean(view, views)} There are: {', '.join(views)}.")
        unused = [name for name in (*self.user.names, *self.item.names) if given is not None and not given.get(name)]
        if unused and config.features != "all":
            raise ValueError(
                f"features that are asked for have no weight and would not be used: {', '.join(unused)}. "
                f"Say for example weights=[..., '{unused[0]}=0.1'], or leave them out of features"
            )
        self._known = self._new = given  # view -> weight, for known and for new users and items; None: not found yet

    @property
    def uses_features(self) -> frozenset[str]:
        """Before prepare those that were asked for, then those with a weight."""
        names = (*self.user.names, *self.item.names)
        if self._known is None:
            return frozenset(names)
        return frozenset(name for name in names if self._known.get(name) or self._new.get(name))

    @property
    def view_weights(self) -> pd.DataFrame:
        """Index `view`; columns `side` (user, item), `known`, `newcomers`: the weight there, NaN where the view cannot be.

        Raises: ValueError before prepare.
        """
        if self._known is None:
            raise ValueError("the weights of feature_knn are found by prepare; fit it first")
        sides = [("user", HISTORY, *self.user.names), ("item", CHOOSERS, *self.item.names)]
        rows = [
            (view, side, self._known.get(view, 0.0), math.nan if view in (HISTORY, CHOOSERS) else self._new.get(view, 0.0))
            for side, *views in sides
            for view in views
        ]
        return pd.DataFrame(rows, columns=["view", "side", "known", "newcomers"]).set_index("view")

    def set_features(self, *, user: FeatureTable | None = None, item: FeatureTable | None = None) -> None:
        given = [(side, table) for side, table in ((self.user, user), (self.item, item)) if table is not None]
        for side, table in given:
            side.first.check_fits(table)
        for side, table in given:
            side.set_table(table)
        if self.trained_on is not None:
            self._fit_features()

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        self.register_buffer("known_items", torch.from_numpy(train.item_counts > 0).to(self.device), persistent=False)
        if given_weights(self.config.weights) is None:
            self._find_weights(train, generator)
        self._fit_history(train)
        self._fit_features()

    def _find_weights(self, train: Interactions, generator: torch.Generator) -> None:
        self._known, self._new = {}, {}
        search, new = WeightSearch(self, train, generator), {}
        known = search.of_known()
        if self.user.names and not train.user_counts.all():
            new |= search.of_new_users()
        if self.item.names and not train.item_counts.all():
            new |= search.of_new_items(known)
        self._known, self._new = known, new

    def _fit_history(self, train: Interactions) -> None:
        user_items = train.user_items()
        self.histories = SparseRows(user_items, self.device)  # (n_users, n_items)
        self.choosers = SparseRows(user_items.T, self.device)  # (n_items, n_users)
        self.by_choosers = None
        if self._known.get(CHOOSERS):
            self.by_choosers = ItemKNN(self.catalogue, NeighbourConfig(self.config.item_k)).to(self.device)
            self.by_choosers.prepare(train, torch.Generator())

    def _fit_features(self) -> None:
        voters = sp.diags_array(self.known_users.cpu().numpy().astype(np.float32))  # who chose nothing votes for nothing
        self._asking, self._voting = [], []
        for weights in (self._known, self._new):
            rows = self.user.rows(weights)
            self._asking.append(rows)
            self._voting.append(SparseRows(voters @ rows, self.device))
        rows = self.item.rows(self._known)
        self.item_rows, self.item_columns = SparseRows(rows, self.device), SparseRows(rows.T, self.device)
        self.new_items = torch.nonzero(~self.known_items).flatten()
        self.of_known_items = self._of_known_items(self.item.rows(self._new), self.new_items)

    def _of_known_items(self, rows: sp.csr_matrix, new: Tensor) -> SparseRows | None:
        """(n_new, n_items): how much of each known item's score a new item gets; None without a view to tell."""
        if not rows.shape[1] or not len(new):
            return None
        chosen = sp.diags_array(self.known_items.cpu().numpy().astype(np.float32)) @ rows
        voters, parts = SparseRows(chosen, self.device), []
        for part in new.split(max(1, _CELLS // len(self.known_items))):
            parts.append(mean_of_nearest(product(voters, rows[part.cpu().numpy()]), self.config.item_k))
        return SparseRows(sp.vstack(parts), self.device)

    def score(self, users: Tensor, history: History) -> Tensor:
        # A few at a time: each needs a row of n_users, and there may be many more users than items.
        parts = torch.arange(len(users), device=self.device).split(max(1, _CELLS // self.catalogue.n_users))
        scores = torch.cat([self._scores_of_known_items(users[part], history.take(part)) for part in parts])
        if self.of_known_items is not None:
            scores[:, self.new_items] = self.of_known_items.times_dense(scores)
        return scores  # (B, n_items)

    def _scores_of_known_items(self, users: Tensor, history: History) -> Tensor:
        config, is_new = self.config, history.lengths == 0
        scores = torch.zeros(len(users), self.catalogue.n_items, device=self.device)
        for rows, k, new in ((~is_new, config.k, 0), (is_new, config.newcomer_k, 1)):
            places = torch.nonzero(rows).flatten()
            if not len(places):
                continue
            asked = users[places]
            found = product(self._voting[new], self._asking[new][asked.cpu().numpy()])  # (b, n_users)
            if not new and (weight := self._known.get(HISTORY, 0.0)):
                found = found + weight * self._alike(history.take(places))
            found[torch.arange(len(asked), device=self.device), asked] = 0.0  # nobody is his own neighbour
            scores[places] = votes(self.choosers, found, k)
        if self.item_rows.shape[1]:
            scores += self.item_rows.times_dense(self.item_columns.times(history.indptr, history.items))
        if self.by_choosers is not None:
            scores += self._known[CHOOSERS] * self.by_choosers.score(users, history)
        return scores

    def _alike(self, history: History) -> Tensor:
        """(B, n_users) cosines of histories."""
        common = self.histories.times(history.indptr, history.items)
        return likeness(common, history.lengths, self.histories.sizes, self.catalogue.n_items, "cosine", 0.0)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        described = np.diff(self._asking[1].indptr)[users.cpu().numpy()] > 0
        return (history.lengths > 0) | torch.from_numpy(described).to(self.device)


def product(rows: SparseRows, block: sp.csr_matrix) -> Tensor:
    """(m, n) rows and (B, n) block -> (B, m)."""
    device = rows.in_column.device
    if not block.shape[1]:
        return torch.zeros(block.shape[0], rows.shape[0], device=device)
    indptr, indices = (torch.from_numpy(part.astype(np.int64)).to(device) for part in (block.indptr, block.indices))
    return rows.times(indptr, indices, torch.from_numpy(block.data).to(device))


def votes(choosers: SparseRows, found: Tensor, k: int) -> Tensor:
    """Σ over the k largest of each row of `found` (B, n_users) of it times what that user chose: (B, n_items)."""
    if 0 < k < found.shape[1]:
        return choosers.times(*nearest(settled(found), k))
    return choosers.times_dense(found)


def settled(found: Tensor) -> Tensor:
    """Without the last bits: sums of the same numbers in another order are equally near, whoever else is asked for."""
    return (found * 2**20).round_().div_(2**20)


def mean_of_nearest(found: Tensor, k: int) -> sp.csr_matrix:
    """(B, m) likenesses -> CSR of the k largest of each row, divided by their sum."""
    found = settled(found)
    if 0 < k < found.shape[1]:
        indptr, indices, values = (part.cpu().numpy() for part in nearest(found, k))
        kept = sp.csr_matrix((values, indices, indptr), shape=found.shape)
    else:
        kept = sp.csr_matrix(found.cpu().numpy())
    totals = np.asarray(kept.sum(1)).ravel()
    return (sp.diags_array(1 / np.maximum(totals, 1e-12)) @ kept).astype(np.float32)


class WeightSearch:
    """Finds the weights of a model's views on rows of train that are hidden from it. It fits the model on what is left."""

    def __init__(self, model: FeatureKNN, train: Interactions, generator: torch.Generator) -> None:
        self.model, self.train, self.device = model, train, model.device
        self.draws = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator, device=generator.device)))
        self.most = min(max(_JUDGES[0], _CELLS // max(train.n_users, train.n_items)), _JUDGES[1])

    def of_known(self) -> dict[str, float]:
        """A fifth of the rows of each judge is hidden. First what makes users alike, then what the items add."""
        train, model = self.train, self.model
        judges = self._some(train.user_counts >= 2)
        hidden = self._rows(train.users, np.isin(train.users, judges), _HIDDEN_OF_KNOWN)
        left = train.take(~np.isin(np.arange(len(train)), hidden))
        model._fit_history(left)
        users, seen = self._on_device(judges), left.history(self.device).take(self._on_device(judges))
        value = self._value(judges, hidden, hide=(seen.rows, seen.items))

        def scores(found: Tensor) -> Tensor:
            return votes(model.choosers, without_self(found, users), model.config.k)

        alike = model._alike(seen)
        parts = self._user_views(judges, train.user_counts > 0)
        weights = ascent(lambda found: value(scores(found)), alike, parts, self.draws)
        for view, weight in weights.items():
            alike = alike + weight * parts[view]()
        own = left.user_items()[judges]

        def from_choosers() -> Tensor:
            by_choosers = ItemKNN(model.catalogue, NeighbourConfig(model.config.item_k)).to(self.device)
            by_choosers.prepare(left, torch.Generator())
            return by_choosers.score(users, seen)

        def profile(view: str) -> Tensor:
            rows = model.item.rows({view: 1.0})
            return product(SparseRows(rows, self.device), own @ rows)

        item_parts = {CHOOSERS: from_choosers} | {view: partial(profile, view) for view in model.item.names}
        return {HISTORY: 1.0} | weights | ascent(value, scores(alike), item_parts, self.draws)

    def of_new_users(self) -> dict[str, float]:
        """All rows of each judge are hidden. No view at all would mean the popular items."""
        train, model = self.train, self.model
        judges = self._some(train.user_counts > 0)
        model._fit_history(train)
        value = self._value(judges, self._rows(train.users, np.isin(train.users, judges)))
        users = self._on_device(judges)
        popular = train.item_counts - train.user_items()[judges].toarray()  # their own rows are hidden from the count too
        popular = torch.from_numpy(popular.astype(np.float32)).to(self.device)

        def of_likeness(found: Tensor) -> Tensor:
            return value(votes(model.choosers, without_self(found, users), model.config.newcomer_k))

        nothing = torch.zeros(len(judges), train.n_users, device=self.device)
        parts = self._user_views(judges, train.user_counts > 0)
        return ascent(of_likeness, nothing, parts, self.draws, now=value(popular))

    def of_new_items(self, known: dict[str, float]) -> dict[str, float]:
        """All rows of some items are hidden, and must be told from each other."""
        train, model = self.train, self.model
        chosen = np.flatnonzero(train.item_counts)
        items = np.sort(self.draws.permutation(chosen)[: round(_HIDDEN_ITEMS * len(chosen))])
        is_hidden = np.isin(train.items, items)
        left = train.take(~is_hidden)
        judges = self._some((left.user_counts > 0) & (np.bincount(train.users[is_hidden], minlength=train.n_users) > 0))
        hidden = self._rows(train.users, is_hidden & np.isin(train.users, judges))
        model._known = known
        model._fit_history(left)
        model._fit_features()
        users = self._on_device(judges)
        scores = model.score(users, left.history(self.device).take(users))
        value = self._value(judges, hidden, among=items)
        voters = sp.diags_array((left.item_counts > 0).astype(np.float32))

        def of_likeness(found: Tensor) -> Tensor:
            return value(SparseRows(mean_of_nearest(found, model.config.item_k), self.device).times_dense(scores))

        def cosines(view: str) -> Tensor:
            rows = model.item.rows({view: 1.0})
            return product(SparseRows(voters @ rows, self.device), rows[items])

        nothing = torch.zeros(len(items), train.n_items, device=self.device)
        return ascent(of_likeness, nothing, {view: partial(cosines, view) for view in model.item.names}, self.draws)

    def _some(self, among: np.ndarray) -> np.ndarray:
        return np.sort(self.draws.permutation(np.flatnonzero(among))[: self.most])

    def _rows(self, users: np.ndarray, among: np.ndarray, share: float = 1.0) -> np.ndarray:
        """Indexes of random rows of each user: that share of them, at least one and at most _MOST_ROWS."""
        place, count = rank_in_user(users, np.where(among, self.draws.random(len(users)), 2.0), np.bincount(users))
        return np.flatnonzero(among & (place < (share * count).round().clip(1, _MOST_ROWS)))

    def _user_views(self, judges: np.ndarray, voters: np.ndarray) -> dict[str, Callable[[], Tensor]]:
        def cosines(view: str) -> Tensor:
            rows = self.model.user.rows({view: 1.0})
            return product(SparseRows(sp.diags_array(voters.astype(np.float32)) @ rows, self.device), rows[judges])

        return {view: partial(cosines, view) for view in self.model.user.names}

    def _value(
        self, judges: np.ndarray, rows: np.ndarray, *, hide: tuple[Tensor, Tensor] | None = None, among: np.ndarray | None = None
    ) -> Callable[[Tensor], Tensor]:
        """From scores, a row a judge, to the NDCG of hidden rows, each ranked alone: 1 / log2(1 + its place).

        A mean for each judge; where items were hidden for each of these: judges do not err there one by one.

        Args:
            rows: of train. hide: cells that are not ranked. among: the items of the columns, rising; None: all.
        """
        users, items = self.train.users[rows], self.train.items[rows]
        _, of_unit, per_unit = np.unique(users if among is None else items, return_inverse=True, return_counts=True)
        columns = items if among is None else np.searchsorted(among, items)
        of_judge, columns, of_unit = map(self._on_device, (np.searchsorted(judges, users), columns, of_unit))
        per_unit = self._on_device(per_unit)

        def value(scores: Tensor) -> Tensor:
            if hide is not None:
                scores = scores.index_put(hide, torch.tensor(-torch.inf, device=self.device))
            total = torch.zeros(len(per_unit), device=self.device)
            for part, wanted, unit in zip(of_judge.split(512), columns.split(512), of_unit.split(512)):
                found = scores[part]
                above = found.sub_(found.gather(1, wanted[:, None])).sign_().sum(1)  # better ones less worse ones
                place = (found.shape[1] + 1 + above) / 2  # among equal scores: in the middle
                total.index_add_(0, unit, 1 / torch.log2(1 + place))
            return total / per_unit

        return value

    def _on_device(self, indexes: np.ndarray) -> Tensor:
        return torch.from_numpy(indexes.astype(np.int64)).to(self.device)


def without_self(found: Tensor, users: Tensor) -> Tensor:
    found = found.clone()
    found[torch.arange(len(users), device=users.device), users] = 0.0
    return found


def ascent(
    value: Callable[[Tensor], Tensor],
    total: Tensor,
    parts: dict[str, Callable[[], Tensor]],
    draws: np.random.Generator,
    now: Tensor | None = None,
) -> dict[str, float]:
    """Weights of those parts that surely raise value(total + Σ weight part): the best first, given those before it.

    A part must also beat itself with its columns shuffled: anything that fills up short lists or breaks ties gains a
    little, noise too.

    Args:
        value: from a sum (n, m) to (n',) values, one a judge or hidden item.
        now: the values to beat at first; None: those of `total`.
    """
    weights: dict[str, float] = {}
    now = value(total) if now is None else now
    left = list(parts) if len(now) > 1 else []
    shuffled = torch.from_numpy(draws.permutation(total.shape[1])).to(total.device)

    def tried(name: str, grid: tuple[float, ...], sure: float) -> tuple[float, str, float] | None:
        part = parts[name]()
        values, weight = max(((value(total + w * part), w) for w in grid), key=lambda one: float(one[0].mean()))
        if not surely_above(values, now, sure) or not surely_above(values, value(total + weight * part[:, shuffled]), sure):
            return None
        return float((values - now).mean()), name, weight

    if total.any():
        left = [name for name in left if tried(name, _COARSE, _LIKELY)]
    while left:
        grid = _GRID if total.any() else (1.0,)  # with nothing beside it a weight is only a scale
        gains = [found for name in left if (found := tried(name, grid, _SURE))]
        if not gains:
            break
        _, best, weights[best] = max(gains)
        total = total + weights[best] * parts[best]()
        now = value(total)
        left = [name for _, name, _ in gains if name != best]  # who did not help will not help later
    return weights


def surely_above(values: Tensor, others: Tensor, errors: float) -> bool:
    """Whether the mean of the differences lies more than that many of its standard errors above 0."""
    gain = values - others
    return bool(gain.mean() > errors * gain.std() / math.sqrt(len(gain)))
