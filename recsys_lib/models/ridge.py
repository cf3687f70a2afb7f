"""Ridge regression that chooses its own strength: from features to what was learned of those who have a history.

    W = argmin Σ_r |t_r - m - (z_r - z̄) W|² + λ |W|²,   the λ with the least error of rows left out one at a time

The left-out errors need no second fit: e_r / (1 - h_r), with h_r the r-th diagonal entry of the hat matrix.
Source: Hoerl and Kennard 1970; the left-out errors: Allen, The Relationship between Variable Selection and Data
Augmentation, 1974. Mapping features to learned vectors: Gantner et al., Learning Attribute-to-Feature Mappings for
Cold-Start Recommendations, ICDM 2010.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from recsys_lib.data.interactions import History

STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 10000.0)
_BLOCK = 1024  # histories multiplied at once: dense ones take n_items cells each
_SKETCH = 16  # columns in which errors are measured, when there are more


@dataclass(frozen=True)
class Ridge:
    """A fitted map.

    Attributes:
        centre: (D,) z̄. weights: (D, d). mean: (d,). hat: (n,) h_r, how much each row decides of its own fit.
        strength: λ. explained: share of the targets' variance, of rows left out one at a time; below 0 it is worse than the mean.
    """

    centre: Tensor
    weights: Tensor
    mean: Tensor
    hat: Tensor
    strength: float
    explained: float

    def __call__(self, features: Tensor) -> Tensor:
        """(B, D) -> (B, d)."""
        return torch.addmm(self.mean, features - self.centre, self.weights)

    def left_out(self, targets: Tensor, fitted: Tensor) -> Tensor:
        """(..., n) of the rows that it was fitted on, and what it says of them -> what a fit without each row would say.

        Both may be anything linear in the targets, such as the scores of a user.
        """
        return targets - (targets - fitted) / (1 - self.hat)


class Design:
    """The rows' features and all that a fit needs of them alone: fitted again to other targets, none of it is done twice.

    Args:
        features: (n, D) float32, n at least 2.
    """

    def __init__(self, features: Tensor) -> None:
        n = len(features)
        self.centre = features.mean(0)
        inputs = (features - self.centre).double()
        values, vectors = torch.linalg.eigh(inputs.T @ inputs)
        turned = inputs @ vectors  # (n, D), its columns sum to 0
        strengths = torch.tensor(STRENGTHS, dtype=values.dtype, device=values.device)
        shrunk = 1 / (values.clamp(min=0)[:, None] + strengths)  # (D, S), a column for each strength
        self._hats = (turned.square() @ shrunk + 1 / n).clamp(max=1 - 1e-6).float()  # (n, S); the mean is fitted too
        turned = turned.float()
        self._with_ones = torch.cat([turned, turned.new_ones(n, 1)], 1)  # the last column adds up the targets
        self._vectors, self._shrunk = vectors.float(), shrunk.float()

    def fit(self, targets: Iterable[Tensor] | History, through: Tensor | None = None) -> Ridge:
        """To (n, d) targets, which come in blocks of rows and are never held together.

        through: (m, d) where the targets are n histories times it: W is linear in the targets, so they need not be made.
        """
        if through is None:
            sums, sketch = _added_up(self._with_ones, targets)
        else:
            sums = targets.times_transposed(self._with_ones, len(through)).T @ through
            directions, rows = through @ _directions(through), torch.arange(len(targets), device=through.device)
            sketch = torch.cat([targets.take(part).times(directions) for part in rows.split(_BLOCK)])
        projected, mean = sums[:-1], sums[-1] / len(sketch)
        sketch = sketch - sketch.mean(0)  # (n, s)
        turned = self._with_ones[:, :-1]
        found = self._shrunk[:, :, None] * (turned.T @ sketch)[:, None]  # (D, S, s), all strengths at once
        fitted = (turned @ found.flatten(1)).view(len(sketch), *found.shape[1:])
        errors = ((sketch[:, None] - fitted) / (1 - self._hats)[:, :, None]).square_().sum((0, 2), dtype=torch.float64)
        best, variance = int(errors.argmin()), float(sketch.square().sum())
        weights = self._vectors @ (projected * self._shrunk[:, best, None])
        explained = 1 - float(errors[best]) / variance if variance else 0.0
        return Ridge(self.centre, weights, mean, self._hats[:, best], STRENGTHS[best], explained)


def _added_up(rows: Tensor, targets: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """(n, m) rows and (n, d) targets in blocks: (m, d) rows' T, and (n, s) the targets in s directions."""
    sums, sketches, directions, start = None, [], None, 0
    for block in targets:
        if directions is None:
            directions, sums = _directions(block), block.new_zeros(rows.shape[1], block.shape[1])
        sums.addmm_(rows[start : start + len(block)].T, block)  # in place: it may be as large as a block
        start += len(block)
        sketches.append(block @ directions)
    return sums, torch.cat(sketches)


def _directions(block: Tensor) -> Tensor:
    """(d, s): errors of wide targets are measured in random directions, which keep the length of a row on average."""
    d = block.shape[1]
    if d <= _SKETCH:
        return torch.eye(d, dtype=block.dtype, device=block.device)
    generator = torch.Generator().manual_seed(0)
    return torch.randn(d, _SKETCH, generator=generator).to(block)
