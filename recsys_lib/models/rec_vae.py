"""RecVAE: a deep encoder, a linear decoder, trained in turns; the prior remembers what the code was.

    h_l = LN(swish(W_l h_{l-1} + b_l + h_1 + ... + h_{l-1})), l = 1..5, h_0 = dropout(x_u / |x_u|)
    m, log v = two linear maps of h_5;   z = m + sqrt(v) ε in training, m when it is asked;   logits = W_out z + b_out
    loss(u) = - Σ_{i in x_u} log softmax(logits)_i + γ |x_u| (log q(z | x_u) - log p(z | x_u))
    p(z | x_u) = .15 N(0, 1) + .75 N(m', v') + .1 N(0, e^10),   m', v' of the user as the last turn left them, at first 0, 1

A turn is three epochs of the encoder on rows with holes, then one of the decoder on whole rows: the encoder needs the
noise, the decoder overfits less without it moving. γ |x_u| is a β of each user's own: who has chosen much is known better.
Protocol of the paper: MovieLens-20M, held-out users, code 200, width 600, learning rate 5e-4, batch 500, γ .005,
ndcg@100 .442 (Mult-VAE .426). Source: Shenbin et al., RecVAE, WSDM 2020.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lib.data.interactions import History
from recsys_lib.models.base import option
from recsys_lib.models.multi_dae import Autoencoder, MultinomialLoss, UserRows

_SHARES = (0.15, 0.75, 0.1)  # of the prior: standard normal, the encoder of the turn before, a wide normal
_WIDE = 10.0  # log variance of the last
_LAYERS = 5
_ENCODER_EPOCHS = 3
_BLOCK = 1024  # users encoded at once


@dataclass(frozen=True)
class RecVAEConfig:
    width: int = option(600, "of the encoder's five layers")
    code: int = option(200, "width of the code")
    dropout: float = option(0.5, "share of a history's items that are hidden from the encoder while it learns")
    gamma: float = option(0.005, "weight of the prior, for each item of a user's history")

    def __post_init__(self) -> None:
        if min(self.width, self.code) < 1:
            raise ValueError(f"width and code must be 1 or more; got {self.width} and {self.code}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); got {self.dropout}")
        if not self.gamma >= 0:  # NaN too
            raise ValueError(f"gamma must not be negative; got {self.gamma}")


class Encoder(nn.Module):
    """(B, width) of the first layer, before its activation -> m and log v, (B, code) each."""

    def __init__(self, n_items: int, width: int, code: int) -> None:
        super().__init__()
        self.item_embeddings = nn.Parameter(torch.empty(n_items, width))  # W_1, a row an item
        nn.init.xavier_uniform_(self.item_embeddings)
        self.first_bias = nn.Parameter(torch.zeros(width))
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(_LAYERS - 1))
        self.norms = nn.ModuleList(nn.LayerNorm(width, eps=0.1) for _ in range(_LAYERS))
        self.mean, self.log_variance = nn.Linear(width, code), nn.Linear(width, code)

    def forward(self, embedded: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.norms[0](F.silu(embedded + self.first_bias))
        before = hidden  # h_1 + ... + h_{l-1}
        for layer, norm in zip(self.layers, self.norms[1:]):
            hidden = norm(F.silu(layer(hidden) + before))
            before = before + hidden
        return self.mean(hidden), self.log_variance(hidden)


class RecVAE(Autoencoder):
    name = "rec_vae"
    Config = RecVAEConfig
    # Patience in turns of four epochs.
    training_defaults = {
        **{"epochs": 200, "batch_size": 256, "learning_rate": 5e-4},
        **{"plateau_patience": 11, "early_stopping_patience": 24},
    }

    def __init__(self, catalogue, config: RecVAEConfig) -> None:
        super().__init__(catalogue, config)
        self.encoder = Encoder(catalogue.n_items, config.width, config.code)
        self.output = nn.Linear(config.code, catalogue.n_items)
        # What the last turn made of each user, m' and log v': (n_users, code), kept with the weights for who goes on later.
        self.register_buffer("last_mean", torch.zeros(catalogue.n_users, config.code))
        self.register_buffer("last_log_variance", torch.zeros(catalogue.n_users, config.code))
        self._decodes = False

    def on_epoch_start(self, epoch: int) -> None:
        self._decodes = epoch % (_ENCODER_EPOCHS + 1) == 0
        if self._decodes:
            self._remember()
        # Without a gradient the optimiser leaves a weight, and its momentum, as they are.
        self.encoder.requires_grad_(not self._decodes)
        self.output.requires_grad_(self._decodes)

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.parameters())}]  # whoever's turn it is

    @torch.no_grad()
    def _remember(self) -> None:
        for users in torch.arange(self.catalogue.n_users, device=self.device).split(_BLOCK):
            self.last_mean[users], self.last_log_variance[users] = self.encoder(self._whole(self._history.take(users)))

    def loss(self, batch: UserRows) -> tuple[Tensor, int]:
        history = batch.history
        dropout = 0.0 if self._decodes else self.config.dropout
        mean, log_variance = self.encoder(self._embedded(history, self.encoder.item_embeddings, dropout))
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        code = mean + torch.exp(log_variance / 2) * noise
        likelihood = MultinomialLoss.apply(code, self.output.weight, self.output.bias, history)
        if self._decodes:
            return likelihood, len(history)
        posterior = -(noise.square() + log_variance).sum(1) / 2  # both densities without the constant
        weight = self.config.gamma * history.lengths
        return likelihood + (weight * (posterior - self._log_prior(code, batch.users))).sum(), len(history)

    def _log_prior(self, code: Tensor, users: Tensor) -> Tensor:
        """(B,) log p(z | x_u) of (B, code): a mixture in every column."""
        mean, log_variance = self.last_mean[users], self.last_log_variance[users]
        parts = (
            -code.square() / 2 + math.log(_SHARES[0]),
            -((code - mean).square() / log_variance.exp() + log_variance) / 2 + math.log(_SHARES[1]),
            -(code.square() / math.exp(_WIDE) + _WIDE) / 2 + math.log(_SHARES[2]),
        )
        return torch.logsumexp(torch.stack(parts), 0).sum(1)

    def _whole(self, history: History) -> Tensor:
        """(B, width): the first layer of rows without holes."""
        return self._embedded(history, self.encoder.item_embeddings, 0.0)

    def item_vectors(self) -> tuple[Tensor, Tensor]:
        return self.output.weight, self.output.bias

    def user_vectors(self, users: Tensor, history: History) -> Tensor:
        return self.encoder(self._whole(history))[0]
