"""SLIM: a sparse linear layer without negative weights from the items of a history to all items.

    W = argmin ½ |X - X W|² + ½ l2 |W|² + l1 Σ W   subject to W ≥ 0, diag(W) = 0;   score(u) = x_u W

X is the (n_users, n_items) matrix of ones of train; x_u the history at the time of asking. The optimum is where, with
R = XᵀX (I - W) - l2 W - l1, every R_ij is 0 where W_ij > 0 and at most 0 elsewhere. Coordinate descent finds it:

    W_ij ← max(0, ((XᵀX)_ij - Σ_{k ≠ i} (XᵀX)_ik W_kj - l1) / ((XᵀX)_ii + l2)),   row i of all columns j at once

Rows go in blocks, popular items first: what all other rows explain is one matrix product, and inside a block each row's
change is passed on to the rest of it. Each column is a problem of its own and drops out when it is done. A sweep of all
is n_items³ multiplications, whatever the number of users; memory is that of four n_items² float32 matrices while it
solves and of one afterwards (3,706 items: 55 MB each; 20,000: 1.6 GB each). scikit-learn's ElasticNet has
alpha · l1_ratio = l1 / n_users and alpha · (1 - l1_ratio) = l2 / n_users. Source: Ning and Karypis, SLIM: Sparse Linear
Methods for Top-N Recommender Systems, ICDM 2011.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import torch
from torch import Tensor

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender, option
from recsys_lib.models.ease import gram_matrix
from recsys_lib.models.popularity_correction import SCORE_HELP, check_powers, divisors

_BLOCK = 64  # rows of W between two matrix products


@dataclass(frozen=True)
class SLIMConfig:
    l1: float = option(1.0, "penalty on the sum of the weights: how many of them are 0")
    l2: float = option(500.0, "penalty on the weights' squares, as EASE's regularisation; scan it")
    tolerance: float = option(0.01, "a column is done once a sweep changes no weight by more than this share of its largest")
    max_sweeps: int = option(100, "most sweeps; a warning says how many columns they were too few for")
    score_popularity_power: float = option(0.0, SCORE_HELP)

    def __post_init__(self) -> None:
        if not self.l1 >= 0 or not self.l2 >= 0:  # NaN too
            raise ValueError(f"l1 and l2 must not be negative; got {self.l1} and {self.l2}")
        if not self.tolerance > 0:
            raise ValueError(f"tolerance must be above 0; got {self.tolerance}")
        if self.max_sweeps < 1:
            raise ValueError(f"max_sweeps must be 1 or more; got {self.max_sweeps}")
        check_powers(self)


class SLIM(Recommender):
    name = "slim"
    Config = SLIMConfig
    needs_training = False

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        weights = self._solved(gram_matrix(train, self.device))
        if self.config.score_popularity_power:  # a column an item
            weights /= torch.from_numpy(divisors(train, self.config.score_popularity_power)).float().to(self.device)
        self.register_buffer("weights", weights, persistent=False)  # (n_items, n_items)

    def _solved(self, gram: Tensor) -> Tensor:
        """W of XᵀX, both (n_items, n_items)."""
        config = self.config
        solved = torch.zeros_like(gram)
        columns = torch.arange(len(gram), device=gram.device)  # those that still change
        weights, targets = solved.clone(), gram.clone()  # (n_items, columns)
        targets.fill_diagonal_(-torch.inf)  # an item never explains itself
        for _ in range(config.max_sweeps):
            moving = self._sweep(gram, targets, weights) > config.tolerance * weights.amax(0)
            n_moving = int(moving.sum())
            if n_moving <= 0.9 * len(columns):  # not for every single one: it copies the rest
                solved[:, columns[~moving]] = weights[:, ~moving]
                columns, targets, weights = columns[moving], targets[:, moving], weights[:, moving]
            if not n_moving:
                return solved
        solved[:, columns] = weights
        warnings.warn(
            f"slim: after {config.max_sweeps} sweeps the weights of {n_moving:,} of {len(gram):,} items still change by more "
            f"than {config.tolerance:g} of the largest; raise max_sweeps, tolerance or l2",
            stacklevel=2,
        )
        return solved

    def _sweep(self, gram: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        """One round over all rows, in place; (columns,) the largest change of a weight of each."""
        l1, l2 = self.config.l1, self.config.l2
        diagonal = gram.diagonal()
        largest = weights.new_zeros(weights.shape[1])
        for rows in diagonal.argsort(descending=True, stable=True).split(_BLOCK):
            of_rows, block = gram[rows], weights[rows]
            left = torch.addmm(targets[rows], of_rows, weights, alpha=-1)  # (b, columns) of XᵀX (I - W)
            of_rows, own = of_rows[:, rows], diagonal[rows]
            steps = 1 / (own + l2).clamp(min=1e-6)  # of an item that nobody chose XᵀX has a row of zeros, and so has W
            for place, row in enumerate(block):
                new = (row * own[place]).add_(left[place]).sub_(l1).mul_(steps[place]).clamp_(min=0)
                left[place + 1 :].addr_(of_rows[place + 1 :, place], new - row, alpha=-1)
                row.copy_(new)
            largest = torch.maximum(largest, (block - weights[rows]).abs_().amax(0))
            weights[rows] = block
        return largest

    def score(self, users: Tensor, history: History) -> Tensor:
        return history.times(self.weights)  # (B, n_items)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0
