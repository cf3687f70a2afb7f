"""Item-based neighbours: what is chosen by the same people as the things in the history.

    score(u, i) = Σ over the items j of u's history that are among the k nearest of i, of s(i, j);   s(i, i) = 0

s is the cosine or the correlation of the two sets of people (neighbours.py). Only the n_items × k similarities that
count are kept. Source: Sarwar et al., Item-based Collaborative Filtering Recommendation Algorithms, WWW 2001.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender
from recsys_lib.models.neighbours import NeighbourConfig, SparseRows, likeness, nearest
from recsys_lib.models.popularity_correction import divided_rows


class ItemKNN(Recommender):
    name = "item_knn"
    Config = NeighbourConfig
    needs_training = False

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        config, n_items = self.config, train.n_items
        choosers = SparseRows(train.user_items().T, self.device)  # (n_items, n_users)
        parts = []
        for items, indptr, users in choosers.blocks():
            common = choosers.times(indptr, users)  # (b, n_items)
            sizes = choosers.sizes
            found = likeness(common, sizes[items], sizes, train.n_users, config.similarity, config.shrinkage)
            found[torch.arange(len(items), device=self.device), items] = 0.0
            if 0 < config.k < n_items:
                part = sp.csr_matrix(tuple(t.cpu().numpy() for t in reversed(nearest(found, config.k))), (len(items), n_items))
                part.eliminate_zeros()
            else:
                part = sp.csr_matrix(found.cpu().numpy())
            parts.append(part)
        similar = sp.vstack(parts, format="csr", dtype=np.float32)
        similar = divided_rows(similar, train, config.score_popularity_power)
        similar.sort_indices()
        self.similar = SparseRows(similar, self.device)  # (n_items, n_items), row i: the neighbours of i

    def score(self, users: Tensor, history: History) -> Tensor:
        return self.similar.times(history.indptr, history.items)  # (B, n_items)

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0
