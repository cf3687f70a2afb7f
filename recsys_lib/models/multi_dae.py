"""Multi-DAE: a history with holes goes in, a multinomial over the whole catalogue comes out.

    h_0 = dropout(x_u / |x_u|),  h_l = tanh(W_l h_{l-1} + b_l),  logits = W_out h + b_out
    loss(u) = - Σ_{i in x_u} log softmax(logits)_i, summed over the items of the history; mean over users

The first layer never sees a dense row: it is a weighted sum of the embeddings of the row's items, with the dropout on
those items. The loss and its gradient take one (B, n_items) tensor, in which logits become probabilities and these
the gradient: neither targets nor copies of that size exist. Source: Liang et al., Variational Autoencoders for
Collaborative Filtering, WWW 2018 (Mult-DAE).

Side information, all of it at 0 in the first epoch, which is then that of plain Multi-DAE:

    items   f_i V is added to item i's embedding in the first layer and to its row of the output (tied), so that a
            history brings the profile of its items' features along; or the profile alone, beside the clicks (prepended)
    users   g_u U is added to the first layer

f and g are the features as vectors of length about 1 (data/vectors.py: TF-IDF and bins, truncated SVD), times a weight
that says how fast they are learned. hide_history trains some users on their features alone, without clicks.
Users without history get what the first layer would see from a map of their features (where hide_history has not taught
the network to do without), and items that nobody chose their row of the output (newcomers.py): neither changes what
known users get of known items.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from recsys_lib.data.features import FeatureTable
from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender, option
from recsys_lib.models.newcomers import WIDEST, MapOfItems, MapOfUsers, some_of
from recsys_lib.models.popularity_correction import LOSS_HELP, SCORE_HELP, check_powers, logit_discount, loss_weights
from recsys_lib.models.side_information import FEATURES_HELP, SideInformation, check_choice

_JUDGES = 64  # known users who say, at every evaluation, how far left-out items are misjudged


@dataclass(frozen=True)
class MultiDAEConfig:
    layers: tuple[int, ...] = option((200,), "widths of the hidden layers, encoder to code; the decoder mirrors them")
    dropout: float = option(0.5, "share of a history's items that are hidden from the encoder")
    features: tuple[str, ...] | str = option("none", FEATURES_HELP)
    feature_size: int = option(64, "columns of the features of a side, after a truncated SVD")
    feature_weight: float = option(0.1, "length of a feature vector beside a click's 1: how fast features are learned")
    tie_features: bool = option(True, "item features in the output too; False: prepended to the encoder's input alone")
    hide_history: float = option(0.0, "share of the users of a batch who are asked for by their features alone")
    loss_popularity_power: float = option(0.0, LOSS_HELP)
    score_popularity_power: float = option(0.0, SCORE_HELP)

    def __post_init__(self) -> None:
        if not self.layers or min(self.layers) < 1:
            raise ValueError(f"layers must be one or more positive widths, e.g. [200] or [600, 200]; got {list(self.layers)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); got {self.dropout}")
        check_choice(self.features)
        if self.feature_size < 1:
            raise ValueError(f"feature_size must be 1 or more; got {self.feature_size}")
        if not self.feature_weight > 0:
            raise ValueError(f"feature_weight must be above 0; got {self.feature_weight}; for no features say features='none'")
        if not 0 <= self.hide_history < 1:
            raise ValueError(f"hide_history must lie in [0, 1); got {self.hide_history}")
        check_powers(self)


@dataclass(frozen=True)
class UserRows:
    """B users and their histories."""

    users: Tensor
    history: History

    def split(self, n: int) -> list[UserRows]:
        rows = torch.arange(len(self.history), device=self.history.items.device)
        return [UserRows(self.users[part], self.history.take(part)) for part in rows.tensor_split(n) if len(part)]


@dataclass(frozen=True)
class ItemSide:
    """What all users share: the first layer's rows and the output's weight and bias, (n_items, ...) each."""

    first: Tensor
    weight: Tensor
    bias: Tensor


class MultinomialLoss(torch.autograd.Function):
    """The output layer and the multinomial loss in one: Σ_u (|x_u| logsumexp(z_u) - Σ_{i in x_u} z_ui), z = h W' + b.

    Its gradient by z_u is |x_u| (softmax(z_u) - x_u / |x_u|). Under autocast the three products with W are in its dtype.
    With weights w of the items, z_ui counts w_i times and |x_u| becomes Σ_{i in x_u} w_i: x_u is a row of weights then.
    """

    @staticmethod
    def forward(
        ctx, hidden: Tensor, weight: Tensor, bias: Tensor, history: History, item_weights: Tensor | None = None
    ) -> Tensor:
        """(B, h), (n_items, h), (n_items,), the histories, (n_items,) w -> ()."""
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        low_hidden, low_weight = hidden.to(dtype), weight.to(dtype)
        rows, items, lengths = history.rows, history.items, history.lengths.to(torch.float32)
        logits = hidden.new_empty(len(hidden), len(weight), dtype=dtype)  # (B, n_items)
        # On a CPU in stripes that its cache can hold: a product of this shape is up to 1.7 times as fast.
        stripe = 512 if device == "cpu" else len(weight)
        for part, part_bias, out in zip(low_weight.split(stripe), bias.to(dtype).split(stripe), logits.split(stripe, dim=1)):
            torch.addmm(part_bias, low_hidden, part.T, out=out)
        at_items = logits[rows, items]
        shares = (1 / lengths.clamp(min=1))[rows]  # (nnz,) of each item in its row
        if item_weights is not None:
            weights = item_weights[items]
            at_items = at_items.float() * weights
            # embedding_bag adds in one order, so two threads give the same digits twice
            of_rows = F.embedding_bag(items, item_weights[:, None], history.indptr, mode="sum", include_last_offset=True)
            lengths = of_rows[:, 0]
            shares = weights / lengths[rows]
        at_items = at_items.sum(dtype=torch.float32)
        largest = logits.amax(1).float()
        change = torch.softmax(logits, 1, out=logits)
        logsumexp = largest - change.amax(1).float().log()  # the largest probability is no less than 1 / n_items
        change[rows, items] -= shares.to(dtype)  # an item stands once in a row
        ctx.save_for_backward(change, low_hidden, low_weight, lengths)
        return (lengths * logsumexp).sum() - at_items  # not a product of vectors: autocast would make it bfloat16

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        change, low_hidden, low_weight, lengths = ctx.saved_tensors
        scale = (lengths * gradient)[:, None]  # on the narrow side of each product
        weighted = (low_hidden * scale).to(change.dtype)
        of_hidden = (change @ low_weight).float() * scale
        of_weight = (change.T @ weighted).float()
        of_bias = (scale.T.to(change.dtype) @ change)[0].float()
        return of_hidden, of_weight, of_bias, None, None


class Autoencoder(Recommender):
    """What models that learn from users' rows share: how they are fed, and the first layer."""

    # An epoch of a thousand users is four steps: with the general patience, training would end while it still learns.
    training_defaults = {"epochs": 100, "batch_size": 256, "plateau_patience": 5, "early_stopping_patience": 12}

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        self._history = train.history(self.device)

    def batches(self, train: Interactions, generator: torch.Generator, *, batch_size: int, epoch: int) -> Iterator[UserRows]:
        users = torch.nonzero(self._history.lengths > 0).flatten()  # users without rows teach nothing
        order = users[torch.randperm(len(users), generator=generator, device=self.device)]
        # All batch sizes at once, so that the loop never waits for the device.
        totals = self._history.lengths[order].cpu().split(batch_size)
        for part, total in zip(order.split(batch_size), totals):
            yield UserRows(part, self._history.take(part, int(total.sum())))

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0

    def _embedded(self, history: History, embeddings: Tensor, dropout: float, keep: Tensor | None = None) -> Tensor:
        """dropout(x_u / |x_u|) times (n_items, d) embeddings: (B, d). keep: (B,) bool, False: nothing of the user is seen."""
        # x_u / |x_u| has the value |items|^-½ at each item of the row.
        weights = history.lengths.clamp(min=1).to(torch.float32).rsqrt()[history.rows]  # (nnz,)
        weights = F.dropout(weights, dropout, self.training)
        if keep is not None:
            weights = weights * keep[history.rows]
        return F.embedding_bag(
            history.items, embeddings, history.indptr, mode="sum", per_sample_weights=weights, include_last_offset=True
        )


class MultiDAE(Autoencoder):
    name = "multi_dae"
    Config = MultiDAEConfig

    def __init__(self, catalogue, config: MultiDAEConfig) -> None:
        super().__init__(catalogue, config)
        widths = [*config.layers, *reversed(config.layers[:-1])]
        self.item_embeddings = nn.Parameter(torch.empty(catalogue.n_items, widths[0]))  # W_1, a row an item
        self.first_bias = nn.Parameter(torch.zeros(widths[0]))
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.output = nn.Linear(widths[-1], catalogue.n_items)
        nn.init.xavier_uniform_(self.item_embeddings)
        for layer in [*self.hidden, self.output]:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.trunc_normal_(layer.bias, std=0.001)
        self.register_buffer("known_items", torch.zeros(catalogue.n_items, dtype=torch.bool), persistent=False)
        self.register_buffer("loss_weights", None, persistent=False)  # (n_items,) or None, as is the other
        self.register_buffer("discount", None, persistent=False)
        self.side = SideInformation(catalogue, config.features, config.feature_size)  # what is learned from
        self.wide = SideInformation(catalogue, config.features, WIDEST)  # what newcomers are mapped from
        if config.hide_history and not self.side.user.names:
            raise ValueError("hide_history asks for users by their features; choose some, e.g. features='user', or leave it at 0")
        self.user_weights = self._zeros(self.side.user.width, widths[0])  # U
        self.item_weights = self._zeros(self.side.item.width, widths[0])  # V
        self._user_map, self._item_map = MapOfUsers(self.wide.user, self._seen_by_first), MapOfItems(self.wide.item)
        self._put_features()
        self._forget()

    # ---- features

    @staticmethod
    def _zeros(n: int, width: int) -> nn.Parameter | None:
        return nn.Parameter(torch.zeros(n, width)) if n else None

    def _put_features(self) -> None:
        users, items = (torch.arange(n, device=self.device) for n in (self.catalogue.n_users, self.catalogue.n_items))
        weight = self.config.feature_weight
        self.register_buffer("user_features", weight * self.side.user.rows(users), persistent=False)  # (n_users, width)
        self.register_buffer("item_features", weight * self.side.item.rows(items), persistent=False)  # (n_items, width)

    @property
    def uses_features(self) -> frozenset[str]:
        return self.side.names

    def set_features(self, *, user: FeatureTable | None = None, item: FeatureTable | None = None) -> None:
        self._user_map.fit(self.device)  # while the known users still have the values that it learns from
        self.side.swap(user=user, item=item)
        self.wide.swap(user=user, item=item)
        self._put_features()
        if item is not None:
            self._item_map.forget()
        self._item_side = None

    def _forget(self) -> None:
        """Of what was made once: the weights may be others now."""
        self._item_side: ItemSide | None = None
        self._user_map.forget()

    # ---- learning

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        self.known_items.copy_(torch.from_numpy(train.item_counts > 0))
        self.loss_weights = loss_weights(train, self.config.loss_popularity_power, self.device)
        self.discount = logit_discount(train, self.config.score_popularity_power, self.device)
        self._item_side = None
        self._user_map.prepare(train)
        self._item_map.forget()

    def loss(self, batch: UserRows) -> tuple[Tensor, int]:
        of_items = self._of_item_features()
        hidden = self._hidden(batch.users, batch.history, self._first_rows(of_items))
        output = self._output_weight(of_items), self.output.bias
        return MultinomialLoss.apply(hidden, *output, batch.history, self.loss_weights), len(batch.history)

    # ---- scoring

    def item_vectors(self) -> tuple[Tensor, Tensor]:
        side = self._items_once()
        return side.weight, side.bias if self.discount is None else side.bias - self.discount

    def user_vectors(self, users: Tensor, history: History) -> Tensor:
        return self._hidden(users, history, self._items_once().first)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        # who was trained with hidden histories needs none
        return (history.lengths > 0) | (self.config.hide_history > 0)

    @torch.no_grad()  # a map has no graph, and half of one would help nobody
    def score_newcomers(self, users: Tensor) -> Tensor | None:
        if (first := self._user_map.mapped(users)) is None:
            return None
        weight, bias = self.item_vectors()
        return torch.addmm(bias, self._after_first(first), weight.T)

    def _seen_by_first(self, users: Tensor, history: History) -> Tensor:
        built_with = self.config.feature_weight * self.side.user.rows(users, first=True)  # not what was dealt since
        return self._first(users, history, self._items_once().first, built_with)

    def _items_once(self) -> ItemSide:
        if self._item_side is None or self.training:
            with torch.inference_mode(False), torch.no_grad():  # kept: whoever asks next may want gradients of his own
                self._item_side = self._make_item_side()
        return self._item_side

    def _make_item_side(self) -> ItemSide:
        of_items = self._of_item_features()
        side = ItemSide(self._first_rows(of_items), self._output_weight(of_items), self.output.bias)
        return side if self.training else self._with_new_items(side)

    def _with_new_items(self, side: ItemSide) -> ItemSide:
        """Rows of the output for items that nobody chose: as learned, they say no more than that."""
        if not self._item_map.fit(self.known_items, lambda items: torch.cat([side.weight[items], side.bias[items, None]], 1)):
            return side
        users = some_of(self.known_users, _JUDGES)
        history = self._history.take(users)
        hidden = self._hidden(users, history, side.first)
        known, new = self._item_map.there, self._item_map.new
        as_learned = torch.addmm(side.bias[known], hidden, side.weight[known].T)
        learned, mapped = self._item_map.overrated(lambda m: torch.addmm(m[-1], hidden, m[:-1]), as_learned, history)
        weight = side.weight.clone() if side.weight is self.output.weight else side.weight
        bias = side.bias.clone()
        weight[new], bias[new] = self._item_map.mapped[:, :-1], self._item_map.mapped[:, -1]
        if len(mapped):
            bias[new] += learned.logsumexp(0) - mapped.logsumexp(0)
        return ItemSide(side.first, weight, bias)

    def _of_item_features(self) -> Tensor | None:
        """(n_items, widths[0]): what each item's features add to its embedding."""
        return None if self.item_weights is None else self.item_features @ self.item_weights

    def _output_weight(self, of_items: Tensor | None) -> Tensor:
        return self.output.weight if of_items is None or not self.config.tie_features else self.output.weight + of_items

    def _first_rows(self, of_items: Tensor | None) -> Tensor:
        return self.item_embeddings if of_items is None else self.item_embeddings + of_items

    def _hidden(self, users: Tensor, history: History, rows: Tensor) -> Tensor:
        """(B, widths[-1]): all layers but the output."""
        return self._after_first(self._first(users, history, rows))

    def _first(self, users: Tensor, history: History, rows: Tensor, user_features: Tensor | None = None) -> Tensor:
        """(B, widths[0]): the first layer, before its tanh."""
        keep = None
        if self.config.hide_history and self.training:
            keep = torch.rand(len(users), device=self.device) >= self.config.hide_history
        hidden = self._embedded(history, rows, self.config.dropout, keep)
        if self.user_weights is not None:
            hidden = hidden + (self.user_features[users] if user_features is None else user_features) @ self.user_weights
        return hidden + self.first_bias

    def _after_first(self, first: Tensor) -> Tensor:
        hidden = torch.tanh(first)
        for layer in self.hidden:
            hidden = torch.tanh(layer(hidden))
        return hidden
