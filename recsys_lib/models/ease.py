"""EASE: one linear layer from the items of a history to all items, in closed form.

    B = argmin ||X - X B||² + λ ||B||²  subject to diag(B) = 0
    P = (XᵀX + λ I)⁻¹,  B = I - P / diag(P) by columns,  score(u) = x_u B

X is the (n_users, n_items) matrix of ones of train; x_u the history at the time of asking, which may be longer than
what was fitted on. Source: Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019.

Two options, off by default, that pay on dense logs, where who chose a thousand items fills XᵀX and says little of each:

    G = Σ_u (n_u / n̄)^-a x_uᵀ x_u                    user_power a: a user's n_u² pairs count for less
    P = (G + p / (1 - p) diag(G) + λ I)⁻¹            dropout p: the expectation of fits to histories of which a share p is hidden

Source of the dropout: Steck, Autoencoders that don't overfit towards the Identity, NeurIPS 2020; of such weights: Park et al.,
Why is Normalization Necessary for Linear Recommenders?, SIGIR 2025.

With features of items F (n_items, labels), each label is one more user who chose its items, w times as strong as the
average item is chosen (CEASE of Jeunen, Van Balen and Goethals, Closed-Form Models for Collaborative Filtering with
Side-Information, RecSys 2020):

    P = (XᵀX + w c FFᵀ + λ I)⁻¹,  c the mean of XᵀX's diagonal

Columns of B for items that nobody chose are mapped from the columns of the others (newcomers.py), and so are the scores
of users without history; neither changes what a known user gets of known items. Features of users do no more than that:
stacked as further items they made known users' lists worse on every data set that we tried.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recsys_lib.data.features import FeatureTable
from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender, option
from recsys_lib.models.newcomers import WIDEST, MapOfItems, MapOfUsers, some_of
from recsys_lib.models.popularity_correction import SCORE_HELP, check_powers, divisors
from recsys_lib.models.side_information import FEATURES_HELP, SideInformation, check_choice

_JUDGES = 1024  # known users who say, once, how far left-out items are misjudged


@dataclass(frozen=True)
class EASEConfig:
    regularisation: float = option(300.0, "λ, added to the diagonal of XᵀX; scan it, the best differs by data set")
    features: tuple[str, ...] | str = option("none", FEATURES_HELP)
    dropout: float = option(0.0, "p, share of each history that is thought hidden in the fit; on dense logs try 0.3")
    user_power: float = option(0.0, "a, a user of n rows counts (n / mean n)^-a in the fit; on dense logs try 0.5")
    feature_weight: float = option(0.1, "w, how strong the items' features are beside the average item's interactions")
    score_popularity_power: float = option(0.0, SCORE_HELP)

    def __post_init__(self) -> None:
        if not self.regularisation > 0:  # NaN too
            raise ValueError(f"regularisation must be above 0, or XᵀX may have no inverse; got {self.regularisation}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); got {self.dropout}")
        if not 0 <= self.user_power <= 1:
            raise ValueError(f"user_power must lie in [0, 1]; got {self.user_power}")
        check_choice(self.features)
        if not self.feature_weight >= 0:
            raise ValueError(f"feature_weight must not be negative; got {self.feature_weight}")
        check_powers(self)


class EASE(Recommender):
    name = "ease"
    Config = EASEConfig
    needs_training = False

    def __init__(self, catalogue, config: EASEConfig) -> None:
        super().__init__(catalogue, config)
        self.side = SideInformation(catalogue, config.features, WIDEST)
        self._user_map = MapOfUsers(self.side.user, through=lambda: self.weights)

    @property
    def uses_features(self) -> frozenset[str]:
        return self.side.names

    def set_features(self, *, user: FeatureTable | None = None, item: FeatureTable | None = None) -> None:
        self._user_map.fit(self.device)  # while the known users still have the values that it learns from
        self.side.swap(user=user, item=item)
        if item is not None and self.side.item.width and self.trained_on is not None:
            self._fit()

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        self._train = train
        self._user_map.prepare(train)
        self._fit()

    def _fit(self) -> None:
        gram = gram_matrix(self._train, self.device, user_power=self.config.user_power)
        if self.side.item.width:
            vectors = self.side.item.rows(torch.arange(self.catalogue.n_items, device=self.device))
            gram.addmm_(vectors, vectors.T, alpha=self.config.feature_weight * float(gram.diagonal().mean()))
        gram.diagonal().mul_(1 / (1 - self.config.dropout))
        # trace/λ bounds the condition number; where it is large, single precision would lose the small entries.
        if float(gram.diagonal().sum()) / self.config.regularisation > 1e4:
            gram = gram.double()
        gram.diagonal().add_(self.config.regularisation)
        # Symmetric, and given column by column; scores add up whole rows of it, so rows shall lie together.
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram)).mT.contiguous()  # (n_items, n_items)
        weights = inverse.div_(-inverse.diagonal().clone()).float()
        weights.fill_diagonal_(0.0)
        self.register_buffer("weights", weights, persistent=False)
        self._add_new_items(torch.from_numpy(self._train.item_counts > 0).to(self.device))
        if self.config.score_popularity_power:  # a column an item
            self.weights /= torch.from_numpy(divisors(self._train, self.config.score_popularity_power)).float().to(self.device)

    def _add_new_items(self, known: Tensor) -> None:
        """Columns of B for items that nobody chose."""
        item_map = MapOfItems(self.side.item)
        if not item_map.fit(known, lambda items: self.weights.T[items]):
            return
        users = some_of(self.known_users, _JUDGES)
        asked = self._train.history(self.device).take(users)
        as_learned = asked.times(self.weights)[:, item_map.there]
        learned, mapped = item_map.overrated(lambda m: asked.times(m.contiguous()), as_learned, asked)
        trust = float(learned.sum() / mapped.sum().clamp(min=1e-12)) if len(mapped) else 1.0
        self.weights[:, item_map.new] = min(max(trust, 0.0), 1.0) * item_map.mapped.T
        self.weights.fill_diagonal_(0.0)  # nor does a new item explain itself

    def score(self, users: Tensor, history: History) -> Tensor:
        return history.times(self.weights)  # (B, n_items)

    def score_newcomers(self, users: Tensor) -> Tensor | None:
        return self._user_map.mapped(users)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0


def gram_matrix(train: Interactions, device: torch.device, *, user_power: float = 0.0) -> Tensor:
    """XᵀX, (n_items, n_items) float32: how many users chose both; the counts are exact below 2^24.

    user_power: a of Σ_u (n_u / n̄)^-a x_uᵀ x_u, n̄ the mean of those who chose anything.
    """
    user_items = train.user_items()
    if user_power and len(train):
        counts = train.user_counts.astype(np.float64)
        weights = (np.maximum(counts, 1) / counts[counts > 0].mean()) ** -user_power
        user_items = (sp.diags_array(np.sqrt(weights)) @ user_items).astype(np.float32).tocsr()
    pairs = float((train.user_counts.astype(float) ** 2).sum())
    # A sparse product pays about a thousand times more for each pair of a row's items than a dense one for each cell.
    if 2000 * pairs < float(train.n_users) * train.n_items**2:
        return torch.from_numpy((user_items.T @ user_items).toarray()).to(device)
    gram = torch.zeros(train.n_items, train.n_items, device=device)
    for start in range(0, train.n_users, 2048):
        block = torch.from_numpy(user_items[start : start + 2048].toarray()).to(device)
        gram.addmm_(block.T, block)
    return gram
