"""Neural collaborative filtering: what gmf.py, mlp.py and neumf.py share.

    product  p_u ⊙ q_i                                                       (GMF)
    tower    ReLU(W_l ... ReLU(W_1 [e_u | features of u | e_i | features of i] + b_1) ...)   (MLP)
    score    w · [product | tower] + b,  a logit                             (NeuMF: both)

Learning: each interaction of train with n drawn items that the user did not choose; binary cross-entropy on the
logits, summed over the pairs. Source: He et al., Neural Collaborative Filtering, WWW 2017; features in the tower are
ours, trained from scratch together (no pre-training).

Users without rows in train are ranked, where features of users are asked for, by a map from their features to what is expected of known users (newcomers.py);
items without rows by what the tower made of their features.

Three facts make it fast. The first layer of [user | item] splits into a user half and an item half, each computed once
and added by broadcasting: over the whole catalogue that saves the widest multiplication; in training the user half
serves the 1 + n candidates of its row. On a CPU the rest of the tower runs tile by tile in the cache (tower.py). And
negatives for a whole epoch come from one exact draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lib.data.features import FeatureTable
from recsys_lib.data.interactions import History, Interactions
from recsys_lib.data.sampling import NegativeSampler
from recsys_lib.models.base import Recommender, option
from recsys_lib.models.feature_encoder import SCALES, FeatureEncoder
from recsys_lib.models.newcomers import WIDEST, MapOfUsers
from recsys_lib.models.popularity_correction import LOSS_HELP, SCORE_HELP, check_powers, logit_discount, loss_weights
from recsys_lib.models.side_information import FEATURES_HELP, SideInformation, check_choice
from recsys_lib.models.tower import Tower, TowerLoss, tower_library


@dataclass(frozen=True)
class NCFConfig:
    factors: int = option(32, "model factors: size of the product's user and item vectors (GMF part)")
    embedding_size: int = option(32, "size of the tower's user and item embeddings (MLP part)")
    layers: tuple[int, ...] = option((64, 32, 16), "widths of the tower's layers")
    dropout: float = option(0.0, "dropout after each layer of the tower")
    negatives_per_positive: int = option(4, "items that the user did not choose, drawn for each interaction")
    resample_every: int = option(1, "epochs that one draw of negatives serves")
    features: tuple[str, ...] | str = option("all", FEATURES_HELP)
    numeric_scale: str = option("z-score", "how numbers come into the tower: z-score, quantile or log")
    feature_embedding_size: int = option(8, "size of the embedding of a feature's label")
    loss_popularity_power: float = option(0.0, LOSS_HELP)
    score_popularity_power: float = option(0.0, SCORE_HELP)

    def __post_init__(self) -> None:
        for name in ("factors", "embedding_size", "negatives_per_positive", "resample_every", "feature_embedding_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more; got {getattr(self, name)}")
        if not self.layers or min(self.layers) < 1:
            raise ValueError(f"layers must be one or more positive widths, e.g. [64, 32, 16]; got {list(self.layers)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); got {self.dropout}")
        check_choice(self.features)
        if self.numeric_scale not in SCALES:
            raise ValueError(f"numeric_scale must be one of {', '.join(SCALES)}; got {self.numeric_scale!r}")
        check_powers(self)


@dataclass(frozen=True)
class Candidates:
    """users (G,) int64; items (G, 1 + n) int64, the chosen one first."""

    users: Tensor
    items: Tensor

    def split(self, n: int) -> list[Candidates]:
        pairs = zip(self.users.tensor_split(n), self.items.tensor_split(n))
        return [Candidates(users, items) for users, items in pairs if len(users)]


@dataclass(frozen=True)
class ItemSide:
    """What every user is scored against: (n_items, f), (n_items, layers[0]), and both once more as tower.c wants them."""

    factors: Tensor | None
    half: Tensor | None
    tower: Tower | None


class NCF(Recommender):
    """The base of the family; which parts it has is said by the subclasses."""

    Config = NCFConfig
    has_product: ClassVar[bool]
    has_tower: ClassVar[bool]
    # Scoring all pairs costs more than an epoch, so it looks every second one; the patience counts evaluations.
    training_defaults = {
        "batch_size": 4096,
        "learning_rate": 2e-3,
        "evaluate_every": 2,
        "plateau_patience": 1,
        "early_stopping_patience": 3,
    }

    def __init__(self, catalogue, config: NCFConfig) -> None:
        super().__init__(catalogue, config)
        n_users, n_items = catalogue.n_users, catalogue.n_items
        width = 0
        self.side = SideInformation(catalogue, config.features, WIDEST)  # what newcomers are mapped from
        if not self.has_tower and self.side.item.names:
            raise ValueError(
                f"{self.name} has no tower to use features of items in ({', '.join(self.side.item.names)}); "
                "ask for features='user', which rank users without history, or take mlp or neumf"
            )
        if self.has_product:
            self.user_factors = nn.Embedding(n_users, config.factors)
            self.item_factors = nn.Embedding(n_items, config.factors)
            width += config.factors
        if self.has_tower:
            self.user_embedding = nn.Embedding(n_users, config.embedding_size)
            self.item_embedding = nn.Embedding(n_items, config.embedding_size)
            self.user_features = FeatureEncoder(self.side.user.first, config.feature_embedding_size, config.numeric_scale)
            self.item_features = FeatureEncoder(self.side.item.first, config.feature_embedding_size, config.numeric_scale)
            self.user_width = config.embedding_size + self.user_features.width
            widths = [self.user_width + config.embedding_size + self.item_features.width, *config.layers]
            self.tower = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
            width += config.layers[-1]
        self.output = nn.Linear(width, 1)
        for embedding in (m for m in self.children() if isinstance(m, nn.Embedding)):
            nn.init.normal_(embedding.weight, std=0.01)
        self.register_buffer("loss_weights", None, persistent=False)  # (n_items,) or None, as is the other
        self.register_buffer("discount", None, persistent=False)
        self._negatives: tuple[int, Tensor] | None = None
        self._user_map = MapOfUsers(self.side.user, self._expected_rows, block=128, users_a_column=32)
        self._forget()

    # ---- features

    @property
    def uses_features(self) -> frozenset[str]:
        return self.side.names if self.has_tower else frozenset(self.side.user.names)

    def set_features(self, *, user: FeatureTable | None = None, item: FeatureTable | None = None) -> None:
        self._user_map.fit(self.device)  # while the known users still have the values that it learns from
        self.side.swap(user=user, item=item)  # checks both before it takes one
        if self.has_tower:
            for encoder, table in ((self.user_features, user), (self.item_features, item)):
                if table is not None:
                    encoder.set_table(table)
        self._item_side = None

    def _forget(self) -> None:
        """Of what was made once: the weights may be others now."""
        self._item_side: ItemSide | None = None
        self._user_map.forget()

    # ---- learning

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        self._history = history = train.history(self.device)
        self._sampler = NegativeSampler(train, self.device)
        users, items = history.rows, history.items  # users in rising order: the sampler's searches stay in cache
        comparable = self._sampler.has_negatives[users]  # who has everything cannot be asked what he did not choose
        self._positives = users[comparable], items[comparable]
        self.loss_weights = loss_weights(train, self.config.loss_popularity_power, self.device)
        self.discount = logit_discount(train, self.config.score_popularity_power, self.device)
        self._seed = generator.initial_seed()
        self._item_side = None
        self._user_map.prepare(train)
        self._negatives = None

    def draws_negatives(self, epoch: int) -> bool:
        return (epoch - 1) % self.config.resample_every == 0

    def batches(
        self, train: Interactions, generator: torch.Generator, *, batch_size: int, epoch: int
    ) -> Iterator[Candidates]:
        """`batch_size` counts pairs, the negatives among them."""
        users, items = self._positives
        negatives = self._drawn(users, epoch)
        order = torch.randperm(len(users), generator=generator, device=self.device)
        for rows in order.split(max(1, batch_size // (1 + negatives.shape[1]))):
            yield Candidates(users[rows], torch.cat([items[rows, None], negatives[rows]], 1))

    def _drawn(self, users: Tensor, epoch: int) -> Tensor:
        # Seeded by the number of the draw, so that a resumed training sees the negatives that it left.
        draw = (epoch - 1) // self.config.resample_every
        if self._negatives is None or self._negatives[0] != draw:
            generator = torch.Generator(self.device).manual_seed((self._seed * 1_000_003 + draw) % 2**63)
            self._negatives = draw, self._sampler.draw(users, self.config.negatives_per_positive, generator)
        return self._negatives[1]

    def loss(self, batch: Candidates) -> tuple[Tensor, int]:
        users, items = batch.users, batch.items
        weights = None if self.loss_weights is None else self.loss_weights[items[:, 0]]  # (G,) of the chosen ones
        native = tower_library() if self._fits_tower() and not self.config.dropout else None
        if native is not None:
            product_weight, tower_weight = self._output_weights()
            product, factors = None, None
            if self.has_product:
                product, factors = self.user_factors(users) * product_weight, self.item_factors(items)
            layers = [part for layer in self.tower[1:] for part in (layer.weight, layer.bias)]
            halves = self._user_half(users), self._candidate_half(items)
            output = tower_weight, self.output.bias
            return TowerLoss.apply(native, weights, *halves, product, factors, *output, *layers), items.numel()
        logits = self._logits(batch.users, batch.items)  # (G, 1 + n)
        labels = torch.zeros_like(logits)
        labels[:, 0] = 1.0
        pos_weight = None if weights is None else weights[:, None]
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum", pos_weight=pos_weight), logits.numel()

    # ---- scoring

    def item_vectors(self) -> tuple[Tensor, Tensor] | None:
        if self.has_tower:
            return None
        return self.item_factors.weight, self._lowered(self.output.bias.expand(self.catalogue.n_items))

    def user_vectors(self, users: Tensor, history: History) -> Tensor:
        return self.user_factors(users) * self._output_weights()[0]

    def score(self, users: Tensor, history: History) -> Tensor:
        if not self.has_tower:
            return super().score(users, history)
        side = self._items_once()
        if side.tower is not None:
            return self._lowered(side.tower.scores(users))
        scores = torch.zeros(len(users), self.catalogue.n_items, device=users.device) + self.output.bias
        if self.has_product:
            scores += self.user_vectors(users, history) @ side.factors.T
        user_half, tower_weight = self._user_half(users), self._output_weights()[1]  # (B, layers[0])
        # A tile of users whose widest layer stays in the cache; a GPU is better fed with more.
        width = self.config.layers[0] * self.catalogue.n_items
        tile = max(1, (2**28 if users.is_cuda else 2**20) // width)
        for start in range(0, len(users), tile):
            hidden = self._after_first(user_half[start : start + tile, None, :] + side.half)  # (b, n_items, layers[-1])
            scores[start : start + tile] += hidden @ tower_weight
        return self._lowered(scores)

    def score_roughly(self, users: Tensor, history: History) -> Tensor | None:
        tower = self._items_once().tower
        return self._lowered(tower.rough_scores(users)) if tower is not None and tower.has_rough else None

    def score_items(self, users: Tensor, history: History, items: Tensor) -> Tensor:
        tower = self._items_once().tower
        return self._lowered(self._logits(users, items) if tower is None else tower.scores(users, items), items)

    def _lowered(self, scores: Tensor, items: Tensor | slice = slice(None)) -> Tensor:
        """Of logits of all items, or of (B, C) `items`, the discount of popular ones is subtracted."""
        return scores if self.discount is None else scores - self.discount[items]

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return self.known_users[users]  # the embedding of a user without train rows was never learned

    def score_newcomers(self, users: Tensor) -> Tensor | None:
        return self._user_map.mapped(users)

    def _expected_rows(self, users: Tensor, history: History) -> Tensor:
        scores = self.score_roughly(users, history)  # averages of hundreds of users need no last digit
        # With so many negatives drawn for a row, the odds are in proportion to rows.
        return torch.sigmoid(self.score(users, history) if scores is None else scores)

    def _items_once(self) -> ItemSide:
        if self._item_side is None or self.training:
            factors = self.item_factors.weight if self.has_product else None
            half = self._item_half(torch.arange(self.catalogue.n_items, device=self.device)) if self.has_tower else None
            self._item_side = ItemSide(factors, half, self._tower(factors, half))
        return self._item_side

    def _fits_tower(self) -> bool:
        return self.has_tower and self.device.type == "cpu" and self.output.weight.dtype == torch.float32

    def _tower(self, factors: Tensor | None, half: Tensor | None) -> Tower | None:
        if not self._fits_tower() or self.training:  # while it trains there is dropout
            return None
        native = tower_library()
        if native is None:
            return None
        product_weight, tower_weight = self._output_weights()
        users = self._user_half(torch.arange(self.catalogue.n_users))
        product = self.user_factors.weight * product_weight if self.has_product else None
        layers = [(layer.weight, layer.bias) for layer in self.tower[1:]]
        return Tower(native, users, half, product, factors, layers, tower_weight, self.output.bias)

    def _output_weights(self) -> tuple[Tensor, Tensor]:
        size = self.config.factors if self.has_product else 0
        return self.output.weight[0, :size], self.output.weight[0, size:]

    def _logits(self, users: Tensor, items: Tensor) -> Tensor:
        """(G,), (G, C) -> (G, C)."""
        product_weight, tower_weight = self._output_weights()
        logits = self.output.bias
        if self.has_product:
            weighted = self.user_factors(users) * product_weight  # (G, f)
            logits = logits + torch.einsum("gf,gcf->gc", weighted, self.item_factors(items))
        if self.has_tower:
            logits = logits + self._after_first(self._user_half(users)[:, None, :] + self._candidate_half(items)) @ tower_weight
        return logits

    def _candidate_half(self, items: Tensor) -> Tensor:
        # Many more candidates than items: each item once and then look up, instead of the same item again and again.
        if items.numel() >= (1 if self.item_features.width else 4) * self.catalogue.n_items:
            # embedding, not an index: its gradient is added up in one order, so two threads give the same digits twice;
            # in float32, also under autocast: an item's many small gradients would stop adding up in bfloat16
            return F.embedding(items, self._item_half(torch.arange(self.catalogue.n_items, device=items.device)).float())
        return self._item_half(items.flatten()).view(*items.shape, -1)

    def _user_half(self, users: Tensor) -> Tensor:
        first = self.tower[0]
        inputs = torch.cat([self.user_embedding(users), self.user_features(users)], 1)
        return F.linear(inputs, first.weight[:, : self.user_width], first.bias)

    def _item_half(self, items: Tensor) -> Tensor:
        inputs = torch.cat([self.item_embedding(items), self.item_features(items)], 1)
        return F.linear(inputs, self.tower[0].weight[:, self.user_width :])

    def _after_first(self, hidden: Tensor) -> Tensor:
        hidden = F.dropout(torch.relu_(hidden), self.config.dropout, self.training)
        for layer in self.tower[1:]:
            hidden = F.dropout(torch.relu_(layer(hidden)), self.config.dropout, self.training)
        return hidden
