"""Multi-VAE: Multi-DAE whose code is a distribution, held near a standard normal by a term that grows from 0.

    (m, log v) = W_c tanh(W_1 dropout(x_u / |x_u|) + b_1) + b_c,  z = m + sqrt(v) ε in training, m when it is asked
    logits = W_out tanh(W_2 z + b_2) + b_out
    loss(u) = - Σ_{i in x_u} log softmax(logits)_i + β KL(N(m, v) | N(0, 1)),   KL = ½ Σ (m² + v - log v - 1)

With one width, the default, the code is as wide as the layer before it and the decoder is linear: on MovieLens 100K and 1M
better than the paper's [600, 200], which wants more users. β = 1 would be the evidence bound; for ranking less is better, so β rises step by step from 0 to a cap that validation
chooses, and stays there. Protocol of the paper: MovieLens-20M, held-out users, cap .2 after 200,000 steps, ndcg@100 .426
(Multi-DAE .419). Everything else, side information and newcomers too, is Multi-DAE's (multi_dae.py).
Source: Liang et al., Variational Autoencoders for Collaborative Filtering, WWW 2018 (Mult-VAE-PR).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from recsys_lib.data.interactions import Interactions
from recsys_lib.models.base import option
from recsys_lib.models.multi_dae import MultiDAE, MultiDAEConfig, MultinomialLoss, UserRows


@dataclass(frozen=True)
class MultiVAEConfig(MultiDAEConfig):
    layers: tuple[int, ...] = option((200,), "widths of the encoder, the code last, mirrored by the decoder; one: the code's too")
    beta: float = option(0.2, "cap of the weight of the KL term")
    anneal_epochs: int = option(60, "epochs in which the weight rises from 0 to its cap, a little each step")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.beta >= 0 or self.anneal_epochs < 0:  # NaN too
            raise ValueError(f"beta and anneal_epochs must not be negative; got {self.beta} and {self.anneal_epochs}")


@dataclass(frozen=True)
class AnnealedRows(UserRows):
    """The same with the step's β."""

    beta: float

    def split(self, n: int) -> list[AnnealedRows]:
        return [AnnealedRows(part.users, part.history, self.beta) for part in super().split(n)]


class MultiVAE(MultiDAE):
    name = "multi_vae"
    Config = MultiVAEConfig
    training_defaults = MultiDAE.training_defaults | {"batch_size": 64}  # noise in the code wants more and smaller steps

    def __init__(self, catalogue, config: MultiVAEConfig) -> None:
        super().__init__(catalogue, config)
        self._code = max(len(config.layers) - 2, 0)  # the layer of `hidden` that gives the code
        *_, width, code = [config.layers[0], *config.layers]
        gives_code = nn.Linear(width, 2 * code)  # m and log v
        self.hidden = nn.ModuleList([*self.hidden[: self._code], gives_code, *self.hidden[self._code + 1 :]])
        nn.init.xavier_uniform_(self.hidden[self._code].weight)
        nn.init.trunc_normal_(self.hidden[self._code].bias, std=0.001)

    def batches(self, train: Interactions, generator: torch.Generator, *, batch_size: int, epoch: int) -> Iterator[AnnealedRows]:
        # From the epoch and not from a counter of its own: a training that is taken up again goes on where it stood.
        n_steps = -(-int((self._history.lengths > 0).sum()) // batch_size)
        rise = self.config.anneal_epochs * n_steps
        for step, rows in enumerate(super().batches(train, generator, batch_size=batch_size, epoch=epoch)):
            done = (epoch - 1) * n_steps + step
            yield AnnealedRows(rows.users, rows.history, self.config.beta * (min(1.0, done / rise) if rise else 1.0))

    def loss(self, batch: AnnealedRows) -> tuple[Tensor, int]:
        of_items = self._of_item_features()
        mean, log_variance = self._encoded(self._first(batch.users, batch.history, self._first_rows(of_items)))
        code = mean + torch.exp(log_variance / 2) * torch.randn_like(mean) if self.training else mean
        output = self._output_weight(of_items), self.output.bias
        likelihood = MultinomialLoss.apply(self._decoded(code), *output, batch.history, self.loss_weights)
        divergence = (mean.square() + log_variance.exp() - log_variance - 1).sum() / 2
        return likelihood + batch.beta * divergence, len(batch.history)

    def _after_first(self, first: Tensor) -> Tensor:
        return self._decoded(self._encoded(first)[0])

    def _encoded(self, first: Tensor) -> tuple[Tensor, Tensor]:
        """m and log v, (B, layers[-1]) each."""
        hidden = torch.tanh(first)
        for layer in self.hidden[: self._code]:
            hidden = torch.tanh(layer(hidden))
        return self.hidden[self._code](hidden).chunk(2, dim=1)

    def _decoded(self, code: Tensor) -> Tensor:
        """(B, layers[0]): all of the decoder but the output."""
        for layer in self.hidden[self._code + 1 :]:
            code = torch.tanh(layer(code))
        return code
