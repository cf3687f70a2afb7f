"""RP3beta: a random walk of three steps over the graph of users and items, with a penalty on popular ends.

    from the items of the history to their choosers, to what these chose:
    W_ji = Σ_u (1 / |U_j|)^α (1 / |I_u|)^α [u chose j] [u chose i] / |U_i|^β,   W_jj = 0
    score(u, i) = Σ over the items j of u's history whose k likeliest ends hold i, of W_ji

The first step, from the user to his items, is (1 / |I_u|)^α for each of them and changes no user's order. α = 1 and β = 0 is
the walk itself; a larger α prefers choosers with short histories, β > 0 lowers popular items. Source: Paudel, Christoffel,
Newell and Bernstein, Updatable, Accurate, Diverse, and Scalable Recommendations for Interactive Applications, TiiS 2017;
Christoffel et al., Blockbusters and Wallflowers, RecSys 2015.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender, option
from recsys_lib.models.neighbours import SparseRows, nearest


@dataclass(frozen=True)
class RP3betaConfig:
    alpha: float = option(1.0, "power of the steps' probabilities: above 1 choosers with short histories count more")
    beta: float = option(0.3, "power of the popularity that ends are divided by; scan it: the denser the log, the higher, 0 to .7")
    k: int = option(200, "likeliest ends that are kept of each item; 0 = all of them")

    def __post_init__(self) -> None:
        for name in ("alpha", "beta"):
            if not 0 <= getattr(self, name) < float("inf"):  # NaN too
                raise ValueError(f"{name} must be 0 or more; got {getattr(self, name)}")
        if self.k < 0:
            raise ValueError(f"k must be 0 (all ends) or more; got {self.k}")


class RP3beta(Recommender):
    name = "rp3beta"
    Config = RP3betaConfig
    needs_training = False

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        config, n_items = self.config, train.n_items
        choosers = SparseRows(train.user_items().T, self.device)  # (n_items, n_users)
        of_users = self._powers(train.user_counts, -config.alpha)
        of_ends = self._powers(train.item_counts, -config.beta)
        parts = []
        for items, indptr, users in choosers.blocks():
            found = choosers.times(indptr, users, of_users[users]).mul_(of_ends)  # (b, n_items)
            found[torch.arange(len(items), device=self.device), items] = 0.0
            if 0 < config.k < n_items:
                part = sp.csr_matrix(tuple(t.cpu().numpy() for t in reversed(nearest(found, config.k))), (len(items), n_items))
                part.eliminate_zeros()
            else:
                part = sp.csr_matrix(found.cpu().numpy())
            parts.append(part)
        walks = sp.vstack(parts, format="csr", dtype=np.float32)
        walks = sp.diags(self._powers(train.item_counts, -config.alpha).cpu().numpy()) @ walks
        self.walks = SparseRows(walks.T, self.device)  # (n_items, n_items), row i: the items from which i is reached

    def _powers(self, counts: np.ndarray, power: float) -> Tensor:
        """counts^power, (n,) float32; where there is nothing, nothing is multiplied with it."""
        return torch.from_numpy((counts.clip(min=1.0) ** power).astype(np.float32)).to(self.device)

    def score(self, users: Tensor, history: History) -> Tensor:
        return self.walks.times(history.indptr, history.items)  # (B, n_items)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0
