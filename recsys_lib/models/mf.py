"""MF: a dot product of user and item vectors with biases, learned with the logistic loss and many negatives.

    s_ui = b + b_u + b_i + p_u·q_i
    loss = Σ_{(u,i) in S} [ softplus(-s_ui) + r(u, i) + Σ over n drawn items j that u did not choose of softplus(s_uj) + r(u, j) ]
    r(u, i) = ½ λ (b² + b_u² + b_i² + |p_u|² + |q_i|²),   a penalty each time that a vector is used

S are the rows of train. The draw is uniform, so its expectation is a sum over the whole catalogue, in which each item that
u did not choose weighs n |I_u| / (n_items - |I_u|): that is what is minimised here, a block of users at a time. It costs one
product of (B, d) and (d, n_items), less than looking up the vectors of the drawn pairs wherever a history with its
negatives is more than about a tenth of the catalogue, and has no noise of drawing. b and b_u change no user's order and
are left out of the scores. Source: Rendle, Krichene, Zhang and Anderson, Neural Collaborative Filtering vs. Matrix
Factorization Revisited, RecSys 2020; there with SGD and drawn negatives, n = 8, d = 192, λ = .005, vectors from N(0, .1).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender, option
from recsys_lib.models.multi_dae import UserRows
from recsys_lib.models.popularity_correction import LOSS_HELP, SCORE_HELP, check_powers, logit_discount, loss_weights


@dataclass(frozen=True)
class MFConfig:
    factors: int = option(192, "d, size of the user and item vectors")
    negatives_per_positive: float = option(6.0, "n, how much all items that a user did not choose weigh beside those he chose")
    regularisation: float = option(0.007, "λ, for each time that a vector is used; scan it: short histories want more, 0.02 and above")
    loss_popularity_power: float = option(0.0, LOSS_HELP)
    score_popularity_power: float = option(0.0, SCORE_HELP)

    def __post_init__(self) -> None:
        if self.factors < 1:
            raise ValueError(f"factors must be 1 or more; got {self.factors}")
        if not self.negatives_per_positive > 0:  # NaN too
            raise ValueError(f"negatives_per_positive must be above 0; got {self.negatives_per_positive}")
        if not self.regularisation >= 0:
            raise ValueError(f"regularisation must not be negative; got {self.regularisation}")
        check_powers(self)


class MF(Recommender):
    name = "mf"
    Config = MFConfig
    # Ten epochs at ten times this rate find most of it, and never the rest.
    training_defaults = {
        "epochs": 120,
        "batch_size": 256,
        "learning_rate": 0.003,
        "evaluate_every": 2,
        "plateau_patience": 1,
        "early_stopping_patience": 4,
    }

    def __init__(self, catalogue, config: MFConfig) -> None:
        super().__init__(catalogue, config)
        self.users = nn.Embedding(catalogue.n_users, config.factors)
        self.items = nn.Embedding(catalogue.n_items, config.factors)
        for embedding in (self.users, self.items):
            nn.init.normal_(embedding.weight, std=0.1)
        self.user_bias = nn.Embedding.from_pretrained(torch.zeros(catalogue.n_users, 1), freeze=False)
        self.item_bias = nn.Parameter(torch.zeros(catalogue.n_items))
        self.bias = nn.Parameter(torch.zeros(()))
        self.register_buffer("loss_weights", None, persistent=False)  # (n_items,) or None, as is the other
        self.register_buffer("discount", None, persistent=False)

    # ---- learning

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        self._history = train.history(self.device)
        self.loss_weights = loss_weights(train, self.config.loss_popularity_power, self.device)
        self.discount = logit_discount(train, self.config.score_popularity_power, self.device)

    def batches(self, train: Interactions, generator: torch.Generator, *, batch_size: int, epoch: int) -> Iterator[UserRows]:
        """`batch_size` counts users."""
        lengths = self._history.lengths
        users = torch.nonzero((lengths > 0) & (lengths < train.n_items)).flatten()  # who has everything compares nothing
        order = users[torch.randperm(len(users), generator=generator, device=self.device)]
        # All batch sizes at once, so that the loop never waits for the device.
        totals = lengths[order].cpu().split(batch_size)
        for part, total in zip(order.split(batch_size), totals):
            yield UserRows(part, self._history.take(part, int(total.sum())))

    def loss(self, batch: UserRows) -> tuple[Tensor, int]:
        """Over chosen pairs and negatives; the count is that of the chosen pairs."""
        users, history, n = batch.users, batch.history, self.config.negatives_per_positive
        n_items, chosen = self.catalogue.n_items, (history.rows, history.items)
        lengths = history.lengths.to(torch.float32)
        of_negatives = n * lengths / (n_items - lengths)  # (B,) the weight of each item that was not chosen
        vectors, user_bias = self.users(users), self.user_bias(users)
        logits = (vectors @ self.items.weight.T).float() + (self.bias + user_bias + self.item_bias)  # (B, n_items)
        at_chosen = logits[chosen]
        weight = 1.0 if self.loss_weights is None else self.loss_weights[history.items]
        of_chosen = weight * F.softplus(-at_chosen) - of_negatives[chosen[0]] * F.softplus(at_chosen)
        # sums, not products of vectors: autocast would make these bfloat16
        total = (F.softplus(logits).sum(1) * of_negatives).sum() + of_chosen.sum()
        of_users = self._squares(vectors, user_bias[:, 0]) + self.bias.square()
        used = (1 - of_negatives)[chosen[0]]  # chosen once, and no negative
        used = torch.zeros(n_items, device=users.device).index_add_(0, chosen[1], used) + of_negatives.sum()  # how often each is
        of_items = self._squares(self.items.weight, self.item_bias)
        penalty = (of_users * (1 + n) * lengths).sum() + (of_items * used).sum()
        return total + self.config.regularisation / 2 * penalty, len(history.items)

    @staticmethod
    def _squares(vectors: Tensor, biases: Tensor) -> Tensor:
        return vectors.square().sum(1) + biases.square()

    # ---- scoring

    def item_vectors(self) -> tuple[Tensor, Tensor]:
        return self.items.weight, self.item_bias if self.discount is None else self.item_bias - self.discount

    def user_vectors(self, users: Tensor, history: History) -> Tensor:
        return self.users(users)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return self.known_users[users]  # the vector of a user without train rows was never learned
