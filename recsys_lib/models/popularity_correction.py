"""Popularity divided out, for a log that was given biased: what was shown often was chosen often.

    popularity of item i   c_i + 1, its rows in train and one more: an item without rows is divided by 1
    in a loss              the term of a chosen item is weighted w_i ∝ (c_i + 1)^-power, on average 1 over train's rows
    in scores              s(u, i) / (c_i + 1)^power; of a logit, s(u, i) - power · log(c_i + 1)

Power 0 changes nothing, 1 takes the propensity of an item to be observed as proportional to its popularity, and between
them is damped: full inverse weights let a few rare rows decide. Propensities as a power of the counts: Saito et al.,
Unbiased Recommender Learning from Missing-Not-At-Random Implicit Feedback, WSDM 2020 (power ½), and for evaluation Yang et
al., Unbiased Offline Recommender Evaluation for Missing-Not-At-Random Implicit Feedback, RecSys 2018. Saito et al. correct
the negative term of a pointwise loss as well; here the chosen items alone are weighted. On logits: Menon et al., Long-tail
Learning via Logit Adjustment, ICLR 2021.

Who takes what, and why:

    loss_popularity_power    multi_dae, mf, gmf, mlp, neumf: losses that are a sum over chosen items
    score_popularity_power   ease, slim, ials, item_knn, user_knn, user_item_knn: linear in a matrix that has a row or column an
                             item, and this is divided once, in prepare. An item that was ahead of nothing (a score above 0)
                             still is; scores of ease and ials below 0, worse than nothing, move towards 0 and stay below it.
                             multi_dae, mf, gmf, mlp, neumf: a logit's bias. The softmax of multi_dae is divided exactly; of mf
                             and NCF, whose negatives are drawn evenly, the odds are, and they are what is proportional to p(i | u)

Both at once would divide twice. The order that a user without features gets because nothing is known of him stays that of
popularity. An item whose place is mapped from its features has no rows and is divided by 1: with a large power such items
come far ahead of all others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from recsys_lib.data.interactions import Interactions

LOSS_HELP = "chosen items weigh (rows + 1)^-power in the loss: 0 = all alike, 1 = inverse popularity, between = damped"
SCORE_HELP = "scores are divided by (rows of the item + 1)^power: 0 = as they are, 1 = by popularity, between = damped"


def check_powers(config: Any) -> None:
    """Raises: ValueError for a power outside [0, 1]."""
    for name in ("loss_popularity_power", "score_popularity_power"):
        power = getattr(config, name, 0.0)
        if not 0 <= power <= 1:  # NaN too
            raise ValueError(f"{name} must lie in [0, 1]: 0 changes nothing, 1 divides by popularity; got {power}")


def divisors(train: Interactions, power: float) -> np.ndarray:
    """(n_items,) float64: (c_i + 1)^power."""
    return (train.item_counts + 1.0) ** power


def loss_weights(train: Interactions, power: float, device: torch.device) -> Tensor | None:
    """(n_items,) float32 w_i, whose mean over train's rows is 1; None for power 0, so that nothing is computed there."""
    if not power:
        return None
    weights = 1 / divisors(train, power)
    return _on(weights * (len(train) / (train.item_counts @ weights)), device)


def logit_discount(train: Interactions, power: float, device: torch.device) -> Tensor | None:
    """(n_items,) float32 power · log(c_i + 1), to be subtracted from logits; None for power 0."""
    return _on(np.log(divisors(train, power)), device) if power else None


def divided_rows(matrix: sp.csr_matrix, train: Interactions, power: float) -> sp.csr_matrix:
    """A matrix with a row an item, (n_items, m), each row divided; as it is for power 0."""
    return sp.diags(1 / divisors(train, power)) @ matrix if power else matrix


def _on(values: np.ndarray, device: torch.device) -> Tensor:
    return torch.from_numpy(values.astype(np.float32)).to(device)
