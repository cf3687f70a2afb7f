"""Multi-DAE: a history with holes goes in, a multinomial over the whole catalogue comes out.

    h_0 = dropout(x_u / |x_u|),  h_l = tanh(W_l h_{l-1} + b_l),  logits = W_out h + b_out
    loss(u) = - Σ_{i in x_u} log softmax(logits)_i, summed over the items of the history; mean over users

The first layer never sees a dense row: it is a weighted sum of the embeddings of the row's items, with the dropout on
those items. The loss is |x_u| logsumexp(logits) - Σ logits at the items, so that no second (B, n_items) tensor of
targets exists. Source: Liang et al., Variational Autoencoders for Collaborative Filtering, WWW 2018 (Mult-DAE).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
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
        logits = self._logits(history)  # (B, n_items)
        at_items = logits[history.rows, history.items]  # (nnz,)
        return (history.lengths * logits.logsumexp(1)).sum() - at_items.sum(), len(history)

    def score(self, users: Tensor, history: History) -> Tensor:
        return self._logits(history)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0

    def _logits(self, history: History) -> Tensor:
        # x_u / |x_u| has the value |items|^-½ at each item of the row.
        weights = history.lengths.clamp(min=1).to(torch.float32).rsqrt()[history.rows]  # (nnz,)
        weights = F.dropout(weights, self.config.dropout, self.training)
        hidden = F.embedding_bag(
            history.items, self.item_embeddings, history.indptr, mode="sum", per_sample_weights=weights, include_last_offset=True
        )  # (B, widths[0])
        hidden = torch.tanh(hidden + self.first_bias)
        for layer in self.hidden:
            hidden = torch.tanh(layer(hidden))
        return self.output(hidden)  # (B, n_items)
