"""Multi-DAE: a history with holes goes in, a multinomial over the whole catalogue comes out.

    h_0 = dropout(x_u / |x_u|),  h_l = tanh(W_l h_{l-1} + b_l),  logits = W_out h + b_out
    loss(u) = - Σ_{i in x_u} log softmax(logits)_i, summed over the items of the history; mean over users

The first layer never sees a dense row: it is a weighted sum of the embeddings of the row's items, with the dropout on
those items. The loss and its gradient take one (B, n_items) tensor, in which logits become probabilities and these
the gradient: neither targets nor copies of that size exist. Source: Liang et al., Variational Autoencoders for
Collaborative Filtering, WWW 2018 (Mult-DAE).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender, option


@dataclass(frozen=True)
class MultiDAEConfig:
    layers: tuple[int, ...] = option((200,), "widths of the hidden layers, encoder to code; the decoder mirrors them")
    dropout: float = option(0.5, "share of a history's items that are hidden from the encoder")

    def __post_init__(self) -> None:
        if not self.layers or min(self.layers) < 1:
            raise ValueError(f"layers must be one or more positive widths, e.g. [200] or [600, 200]; got {list(self.layers)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); got {self.dropout}")


@dataclass(frozen=True)
class UserRows:
    """Histories of B users."""

    history: History

    def split(self, n: int) -> list[UserRows]:
        rows = torch.arange(len(self.history), device=self.history.items.device)
        return [UserRows(self.history.take(part)) for part in rows.tensor_split(n) if len(part)]


class MultinomialLoss(torch.autograd.Function):
    """The output layer and the multinomial loss in one: Σ_u (|x_u| logsumexp(z_u) - Σ_{i in x_u} z_ui), z = h W' + b.

    Its gradient by z_u is |x_u| (softmax(z_u) - x_u / |x_u|). Under autocast the three products with W are in its dtype.
    """

    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, bias: Tensor, history: History) -> Tensor:
        """(B, h), (n_items, h), (n_items,) -> ()."""
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        low_hidden, low_weight = hidden.to(dtype), weight.to(dtype)
        rows, items, lengths = history.rows, history.items, history.lengths.to(torch.float32)
        logits = hidden.new_empty(len(hidden), len(weight), dtype=dtype)  # (B, n_items)
        # On a CPU in stripes that its cache can hold: a product of this shape is up to 1.7 times as fast.
        stripe = 512 if device == "cpu" else len(weight)
        for part, part_bias, out in zip(low_weight.split(stripe), bias.to(dtype).split(stripe), logits.split(stripe, dim=1)):
            torch.addmm(part_bias, low_hidden, part.T, out=out)
        at_items = logits[rows, items].sum(dtype=torch.float32)
        largest = logits.amax(1).float()
        change = torch.softmax(logits, 1, out=logits)
        logsumexp = largest - change.amax(1).float().log()  # the largest probability is no less than 1 / n_items
        change[rows, items] -= (1 / lengths.clamp(min=1)).to(dtype)[rows]  # an item stands once in a row
        ctx.save_for_backward(change, low_hidden, low_weight, lengths)
        return (lengths * logsumexp).sum() - at_items  # not a product of vectors: autocast would make it bfloat16

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        change, low_hidden, low_weight, lengths = ctx.saved_tensors
        scale = (lengths * gradient)[:, None]  # on the narrow side of each product
        weighted = (low_hidden * scale).to(change.dtype)
        of_hidden = (change @ low_weight).float() * scale
        of_weight = (change.T @ weighted).float()
        of_bias = (scale.T.to(change.dtype) @ change)[0].float()
        return of_hidden, of_weight, of_bias, None


class MultiDAE(Recommender):
    name = "multi_dae"
    Config = MultiDAEConfig
    # An epoch of a thousand users is four steps: with the general patience, training would end while it still learns.
    training_defaults = {"epochs": 100, "batch_size": 256, "plateau_patience": 5, "early_stopping_patience": 12}

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

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        self._history = train.history(self.device)

    def batches(self, train: Interactions, generator: torch.Generator, *, batch_size: int, epoch: int) -> Iterator[UserRows]:
        users = torch.nonzero(self._history.lengths > 0).flatten()  # users without rows teach nothing
        order = users[torch.randperm(len(users), generator=generator, device=self.device)]
        # All batch sizes at once, so that the loop never waits for the device.
        totals = self._history.lengths[order].cpu().split(batch_size)
        for part, total in zip(order.split(batch_size), totals):
            yield UserRows(self._history.take(part, int(total.sum())))

    def loss(self, batch: UserRows) -> tuple[Tensor, int]:
        history = batch.history
        hidden = self._hidden(history)
        return MultinomialLoss.apply(hidden, self.output.weight, self.output.bias, history), len(history)

    def item_vectors(self) -> tuple[Tensor, Tensor]:
        return self.output.weight, self.output.bias

    def user_vectors(self, users: Tensor, history: History) -> Tensor:
        return self._hidden(history)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0

    def _hidden(self, history: History) -> Tensor:
        """(B, widths[-1]): all layers but the output."""
        # x_u / |x_u| has the value |items|^-½ at each item of the row.
        weights = history.lengths.clamp(min=1).to(torch.float32).rsqrt()[history.rows]  # (nnz,)
        weights = F.dropout(weights, self.config.dropout, self.training)
        hidden = F.embedding_bag(
            history.items, self.item_embeddings, history.indptr, mode="sum", per_sample_weights=weights, include_last_offset=True
        )  # (B, widths[0])
        hidden = torch.tanh(hidden + self.first_bias)
        for layer in self.hidden:
            hidden = torch.tanh(layer(hidden))
        return hidden
