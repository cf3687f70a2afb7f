"""LightGCN: vectors of users and items, smoothed over the graph of who chose what; nothing else is learned.

    e_u^(l+1) = Σ_{i in N_u} e_i^(l) / sqrt(|N_u| |N_i|),  and for items likewise;   e = mean of e^(0), ..., e^(K)
    score = e_u · e_i
    loss = Σ - log sigmoid(score(u, i) - score(u, j)) + λ/2 (|e_u^(0)|² + |e_i^(0)|² + |e_j^(0)|²),  j drawn evenly (BPR)

The smoothing is linear and symmetric, so its gradient is itself: a step walks the graph twice, whatever it holds. Hence the
large batches; with the paper's 2,048 rows a million interactions would be walked a thousand times an epoch.
Figures of others depend on the epochs: MovieLens-1M, 80/20, ndcg@10 of about .9 of EASE's; on the very sparse contest of
the notes a graph model is the best single one. Source: He et al., LightGCN, SIGIR 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.data.sampling import NegativeSampler
from recsys_lib.models.base import Recommender, option


@dataclass(frozen=True)
class LightGCNConfig:
    size: int = option(64, "width of the vectors")
    layers: int = option(3, "K: how many steps in the graph the vectors are smoothed over")
    regularisation: float = option(1e-4, "λ, of the vectors before smoothing")

    def __post_init__(self) -> None:
        if self.size < 1 or self.layers < 0:
            raise ValueError(f"size must be 1 or more and layers 0 or more; got {self.size} and {self.layers}")
        if not self.regularisation >= 0:  # NaN too
            raise ValueError(f"regularisation must not be negative; got {self.regularisation}")


@dataclass(frozen=True)
class Triples:
    """(P,) users, what they chose and what they did not."""

    users: Tensor
    chosen: Tensor
    others: Tensor

    def split(self, n: int) -> list[Triples]:
        parts = zip(*(column.tensor_split(n) for column in (self.users, self.chosen, self.others)))
        return [Triples(*part) for part in parts if len(part[0])]


@dataclass(frozen=True)
class Graph:
    """Both directions of the normalised graph: of each row its ends, the other side's indexes and 1 / sqrt(|N_u| |N_i|)."""

    of_users: tuple[Tensor, Tensor, Tensor]
    of_items: tuple[Tensor, Tensor, Tensor]
    n_layers: int

    @classmethod
    def of(cls, train: Interactions, n_layers: int, device: torch.device) -> Graph:
        matrix = train.user_items()
        degrees = [torch.from_numpy(counts).to(device).clamp(min=1) for counts in (train.user_counts, train.item_counts)]
        sides = []
        for rows, own, other in ((matrix, *degrees), (matrix.T.tocsr(), *reversed(degrees))):
            indptr, indices = (torch.from_numpy(part.astype("int64")).to(device) for part in (rows.indptr, rows.indices))
            of_row = torch.repeat_interleave(own.float(), indptr.diff(), output_size=len(indices))
            sides.append((indptr, indices, (of_row * other.float()[indices]).rsqrt()))
        return cls(*sides, n_layers)

    def smooth(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of what 0 to n_layers steps give: (n_users, d), (n_items, d) -> the same."""
        sums = users.clone(), items.clone()
        for _ in range(self.n_layers):
            users, items = self._step(self.of_users, items), self._step(self.of_items, users)
            sums[0].add_(users), sums[1].add_(items)
        return tuple(side.div_(self.n_layers + 1) for side in sums)

    @staticmethod
    def _step(side: tuple[Tensor, Tensor, Tensor], others: Tensor) -> Tensor:
        indptr, indices, weights = side
        return F.embedding_bag(indices, others, indptr, mode="sum", per_sample_weights=weights, include_last_offset=True)


class Smoothed(torch.autograd.Function):
    """Graph.smooth; symmetric, so the gradient is smoothed as the vectors were, and no layer need be kept."""

    @staticmethod
    def forward(ctx, users: Tensor, items: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
        ctx.graph = graph
        return graph.smooth(users, items)

    @staticmethod
    @once_differentiable
    def backward(ctx, of_users: Tensor, of_items: Tensor) -> tuple[Tensor, Tensor, None]:
        return *ctx.graph.smooth(of_users.contiguous(), of_items.contiguous()), None


class LightGCN(Recommender):
    name = "light_gcn"
    Config = LightGCNConfig
    training_defaults = {
        **{"epochs": 200, "batch_size": 16384, "learning_rate": 5e-3},
        **{"plateau_patience": 4, "early_stopping_patience": 10},
    }

    def __init__(self, catalogue, config: LightGCNConfig) -> None:
        super().__init__(catalogue, config)
        self.users = nn.Parameter(torch.empty(catalogue.n_users, config.size))
        self.items = nn.Parameter(torch.empty(catalogue.n_items, config.size))
        nn.init.normal_(self.users, std=0.1)
        nn.init.normal_(self.items, std=0.1)
        self._forget()

    def _forget(self) -> None:
        self._smoothed: tuple[Tensor, Tensor] | None = None

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        self._train = train
        self._graph = Graph.of(train, self.config.layers, self.device)
        self._sampler = NegativeSampler(train, self.device)
        history = train.history(self.device)
        users, items = history.rows, history.items
        comparable = self._sampler.has_negatives[users]  # who has everything cannot be asked what he did not choose
        self._rows = users[comparable], items[comparable]
        self._forget()

    def draws_negatives(self, epoch: int) -> bool:
        return True

    def batches(self, train: Interactions, generator: torch.Generator, *, batch_size: int, epoch: int) -> Iterator[Triples]:
        users, items = self._rows
        others = self._sampler.draw(users, 1, generator)[:, 0]
        order = torch.randperm(len(users), generator=generator, device=self.device)
        for rows in order.split(batch_size):
            yield Triples(users[rows], items[rows], others[rows])

    def _graph_here(self) -> Graph:
        """The graph where the vectors are: a model may be moved after it was trained."""
        if self._graph.of_users[0].device != self.device:
            self._graph = Graph.of(self._train, self.config.layers, self.device)
        return self._graph

    def loss(self, batch: Triples) -> tuple[Tensor, int]:
        users, items = Smoothed.apply(self.users, self.items, self._graph_here())
        at_users = F.embedding(batch.users, users)
        ahead = (at_users * (F.embedding(batch.chosen, items) - F.embedding(batch.others, items))).sum(1)
        first = F.embedding(batch.users, self.users), *(F.embedding(of, self.items) for of in (batch.chosen, batch.others))
        length = sum(vectors.square().sum() for vectors in first)
        return F.softplus(-ahead).sum() + self.config.regularisation / 2 * length, len(batch.users)

    def item_vectors(self) -> tuple[Tensor, Tensor]:
        items = self._once()[1]
        return items, items.new_zeros(len(items))

    def user_vectors(self, users: Tensor, history: History) -> Tensor:
        return self._once()[0][users]

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return self.known_users[users]  # a vector is learned, and not made of the history that is asked with

    def _once(self) -> tuple[Tensor, Tensor]:
        if self._smoothed is None or self.training:
            with torch.inference_mode(False), torch.no_grad():
                self._smoothed = self._graph_here().smooth(self.users.detach(), self.items.detach())
        return self._smoothed
