"""SASRec: from the items so far, the next one; each position looks back with self-attention.

    h_t = transformer(e_1 + p_1, ..., e_t + p_t)_t,  score of item i next: h_t · e_i (input and output share the vectors)
    loss = Σ_t - log softmax(h_t E')_{x_{t+1}}: every position of every history, over the whole catalogue

Protocol of the figures to hold it to: MovieLens-1M, the last item of each user held out, the whole catalogue ranked, what
was seen left out: HR@10 .315, ndcg@10 .182 with this loss, .250 and .134 with the paper's binary loss on one negative.
The order of a history is that of time; of a log without times that of its rows, in which there may be nothing to learn.
Source: Kang & McAuley, Self-Attentive Sequential Recommendation, ICDM 2018; the loss: Klenitskiy & Vasilev, RecSys 2023.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from recsys_lib.data.interactions import History
from recsys_lib.models.sequences import SequenceConfig, SequenceModel, Sequences, SoftmaxLoss, side_by_side


@dataclass(frozen=True)
class SASRecConfig(SequenceConfig):
    pass


class SASRec(SequenceModel):
    name = "sas_rec"
    Config = SASRecConfig

    def __init__(self, catalogue, config: SASRecConfig) -> None:
        super().__init__(catalogue, config, width=config.size, activation=F.relu)

    def loss(self, batch: Sequences) -> tuple[Tensor, int]:
        items, lengths = side_by_side(batch.history, self.config.max_length + 1)
        inputs, targets, n = items[:, :-1], items[:, 1:], lengths - 1
        there = torch.arange(inputs.shape[1], device=n.device) < n[:, None]
        states = self._states(inputs, n)[there]
        return SoftmaxLoss.apply(states, self.item_embeddings, None, targets[there]), len(states)

    def item_vectors(self) -> tuple[Tensor, Tensor]:
        return self.item_embeddings, self.item_embeddings.new_zeros(len(self.item_embeddings))

    def newest_states(self, history: History) -> Tensor:
        items, lengths = side_by_side(history, self.config.max_length)
        return self._states(items, lengths, (lengths - 1).clamp(min=0))

    def _states(self, items: Tensor, lengths: Tensor, newest: Tensor | None = None) -> Tensor:
        """(B, L) items -> (B, L, size); a position sees those before it, so what follows the end changes nothing."""
        places = self.config.max_length - lengths[:, None] + torch.arange(items.shape[1], device=items.device)
        places = places.clamp(max=self.config.max_length - 1)
        return self.states(F.embedding(items, self.item_embeddings), places, None, newest)
