"""Users and items of whom nothing is known but their features.

    users   T ≈ a ridge from features, T[v, i] = how many rows of item i the model expects of the known user v;
            a newcomer's scores are what that map says of his features
    items   what the model learned of known items (a vector each), mapped from their features in the same way

Known users and items keep their scores to the last digit: side information serves where there is no history and is
not added where there is one. Ridge and its strength: ridge.py.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.ridge import Ridge, ridge
from recsys_lib.models.side_information import SideVectors

WIDEST = 256  # columns of the features that a map starts from
_BLOCK = 128  # users scored at once
_LIST = 20  # places for which new items compete
_ROWS_A_COLUMN, _FEWEST = 32, 512  # known users that a map is learned from: for each column of their features, and at least


class MapOfUsers:
    """From features to expected rows, fitted when it is first asked and forgotten when the model learns on.

    It is learned from all known users or, where there are many more than it has columns, from some: else an evaluation
    would score everybody twice.

    Args:
        vectors: of all users. expected: (B,) users and their histories -> (B, n_items), on the scale of rows, not of logits:
            averages of logits are not those of probabilities.
        through: in place of `expected`, gives the (n_items, n_items) by which a history is multiplied. That is cheap, so
            all known users are learned from.
    """

    def __init__(
        self,
        vectors: SideVectors,
        expected: Callable[[Tensor, History], Tensor] | None = None,
        through: Callable[[], Tensor] | None = None,
    ) -> None:
        self.vectors, self._expected, self._through = vectors, expected, through
        self._train: Interactions | None = None
        self.ridge: Ridge | None = None

    def prepare(self, train: Interactions) -> None:
        """train: what the model learns from; its users are the known ones."""
        self._train, self.ridge = train, None

    def forget(self) -> None:
        self.ridge = None

    @torch.no_grad()  # set_features asks outside of an evaluation: the graph of everybody's scores would be kept
    def fit(self, device: torch.device) -> bool:
        """False where there are no features, nothing was learned yet, or fewer than two users are known."""
        if self.ridge is None and self.vectors.width and self._train is not None:
            known = torch.from_numpy(self._train.user_counts > 0).to(device)
            n = max(_ROWS_A_COLUMN * self.vectors.width, _FEWEST) if self._through is None else len(known)
            known = some_of(known, n).sort().values
            if len(known) > 1:
                history = self._train.history(device)
                # From the features that it was built with: values that are swapped later are asked, not learned from.
                features = self.vectors.rows(known, first=True)
                if self._through is None:
                    self.ridge = ridge(features, (self._expected(part, history.take(part)) for part in known.split(_BLOCK)))
                else:
                    self.ridge = ridge(features, history.take(known), self._through())
        return self.ridge is not None

    def scores(self, users: Tensor) -> Tensor | None:
        """(B, n_items), or None where fit() is False."""
        return self.ridge(self.vectors.rows(users)) if self.fit(users.device) else None


def vectors_of_new_items(vectors: SideVectors, known: Tensor, learned: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What the features of unknown items say of their learned vectors.

    Args:
        vectors: of all items. known: (n_items,) bool, two or more. learned: (n_items, d), where known.
    Returns:
        new: (n_new,) indexes; mapped: (n_new, d); left_out: (n_known, d), each known item mapped from all others.
    """
    there, new = torch.nonzero(known).flatten(), torch.nonzero(~known).flatten()
    features, targets = vectors.rows(there), learned[there]
    fitted = ridge(features, [targets])
    return new, fitted(vectors.rows(new)), fitted.left_out(features, targets)


def overrated(scores: Tensor, left_out: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """The cells with which new items would compete for a place in a list.

    Of all mapped scores those count that would reach a user's first 20 places, and there the map is too sure of itself:
    the highest of many guesses is high by luck.

    Args:
        scores: (B, n_known) as learned; left_out: the same from the map. seen: (B, n_known) bool, not to be recommended.
    Returns:
        the learned and the mapped scores of these cells.
    """
    threshold = scores.masked_fill(seen, -torch.inf).topk(min(_LIST, scores.shape[1]), dim=1).values[:, -1:]
    there = (left_out >= threshold) & ~seen
    return scores[there], left_out[there]


def some_of(known: Tensor, most: int) -> Tensor:
    """(n,) indexes of known users: all, or `most` of them, the same ones every time."""
    there = torch.nonzero(known).flatten()
    generator = torch.Generator().manual_seed(0)
    return there[torch.randperm(len(there), generator=generator)[:most].to(there.device)]
