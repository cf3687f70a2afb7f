"""Users and items of whom nothing is known but their features.

    users   T ≈ a ridge from features, T[v] = what the model makes of the known user v: the rows that it expects of him,
            or what a network's first layer sees of his history
    items   what the model learned of known items (a vector each), mapped from their features in the same way

Known users and items keep their scores to the last digit: side information serves where there is no history and is
not added where there is one. Ridge and its strength: ridge.py.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.ridge import Design, Ridge
from recsys_lib.models.side_information import SideVectors

WIDEST = 256  # columns of the features that a map starts from
_LIST = 20  # places for which new items compete
_FEWEST = 512  # known users that a map is learned from, where it is not all
_MOST = 2**16  # where it is all


class MapOfUsers:
    """From features to what the model makes of known users, fitted when it is first asked and forgotten when it learns on.

    Args:
        vectors: of all users. made_of: (B,) known users and their histories -> (B, d). Expected rows are on the scale of rows,
            not of logits: averages of logits are not those of probabilities.
        block: users asked at once.
        users_a_column: so many known users, chosen once, are learned from for each column of the features, 512 at least:
            for where an evaluation would else score everybody twice. None: all, up to 65,536.
        through: in place of `made_of`, gives the (n_items, d) by which a history is multiplied.
    """

    def __init__(
        self,
        vectors: SideVectors,
        made_of: Callable[[Tensor, History], Tensor] | None = None,
        *,
        block: int = 1024,
        users_a_column: int | None = None,
        through: Callable[[], Tensor] | None = None,
    ) -> None:
        self.vectors, self._made_of, self._through = vectors, made_of, through
        self._block, self._users_a_column = block, users_a_column
        self._train: Interactions | None = None
        self._known: Tensor | None = None
        self._design: Design | None = None
        self.ridge: Ridge | None = None

    def prepare(self, train: Interactions) -> None:
        """train: what the model learns from; its users are the known ones."""
        self._train, self._design, self.ridge = train, None, None

    def forget(self) -> None:
        """What the model makes of known users may be another now; their features are the same."""
        self.ridge = None

    @torch.no_grad()  # set_features asks outside of an evaluation: the graph of everybody's scores would be kept
    def fit(self, device: torch.device) -> bool:
        """False where there are no features, nothing was learned yet, or fewer than two users are known."""
        if self.ridge is not None and self.ridge.centre.device != torch.device(device):  # .to(device)
            self.ridge = None
        if self.ridge is None and self.vectors.width and self._train is not None:
            if self._design is None or self._known.device != torch.device(device):
                most = max(self._users_a_column * self.vectors.width, _FEWEST) if self._users_a_column else _MOST
                self._known = some_of(torch.from_numpy(self._train.user_counts > 0).to(device), most).sort().values
                if len(self._known) < 2:
                    return False
                # From the features that it was built with: values that are swapped later are asked, not learned from.
                self._design = Design(self.vectors.rows(self._known, first=True))
            history = self._train.history(device)
            if self._through is None:
                parts = self._known.split(self._block)
                self.ridge = self._design.fit(self._made_of(part, history.take(part)) for part in parts)
            else:
                self.ridge = self._design.fit(history.take(self._known), self._through())
        return self.ridge is not None

    def mapped(self, users: Tensor) -> Tensor | None:
        """(B, d), or None where fit() is False."""
        return self.ridge(self.vectors.rows(users)) if self.fit(users.device) else None


class MapOfItems:
    """From features to what the model learned of known items, a vector each.

    Attributes, after fit:
        there: (n_known,) indexes of known items. new: (n_new,) of the others. mapped: (n_new, d), what their features say.
    """

    def __init__(self, vectors: SideVectors) -> None:
        self.vectors = vectors
        self._design: Design | None = None

    def forget(self) -> None:
        """To be called when other items are known, or the features are others."""
        self._design = None

    def fit(self, known: Tensor, learned: Callable[[Tensor], Tensor]) -> bool:
        """False where there are no features, no new items or fewer than two known ones.

        Args:
            known: (n_items,) bool, the same ones until forget(). learned: (n,) items -> (n, d).
        """
        if not self.vectors.width:
            return False
        if self._design is None or self._design.centre.device != known.device:
            self.there, self.new = torch.nonzero(known).flatten(), torch.nonzero(~known).flatten()
            if len(self.there) < 2 or not len(self.new):
                return False
            features = self.vectors.rows(self.there)
            self._design, self._of_new = Design(features), self.vectors.rows(self.new)
            self._centred = features - self._design.centre
            self._place = torch.cumsum(known, 0) - 1  # of an item among the known ones
        self._ridge = self._design.fit([learned(self.there)])
        self.mapped = self._ridge(self._of_new)
        return True

    def overrated(self, ask: Callable[[Tensor], Tensor], as_learned: Tensor, history: History) -> tuple[Tensor, Tensor]:
        """The cells with which new items would compete for a place in a list.

        Of all mapped scores those count that would reach a user's first 20 places, and there the map is too sure of itself:
        the highest of many guesses is high by luck. So each known item is asked as a fit to all others maps it.

        Args:
            ask: (d, m) vectors in columns -> (B, m) their scores, linear in the vectors.
            as_learned: (B, n_known) what it says of those learned. history: of the B, in train; not to be recommended to them.
        Returns:
            the learned and the mapped scores of these cells.
        """
        mapped = torch.addmm(ask(self._ridge.mean[:, None]), ask(self._ridge.weights.T), self._centred.T)
        left_out = self._ridge.left_out(as_learned, mapped)
        seen = torch.zeros_like(as_learned, dtype=torch.bool)
        seen[history.rows, self._place[history.items]] = True
        return in_lists(as_learned, left_out, seen)


def in_lists(scores: Tensor, left_out: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
    """Of (B, n_known) scores and those left out, the cells whose left-out score would reach the user's first places.

    seen: (B, n_known) bool, not to be recommended.
    """
    threshold = scores.masked_fill(seen, -torch.inf).topk(min(_LIST, scores.shape[1]), dim=1).values[:, -1:]
    cells = torch.nonzero((left_out >= threshold) & ~seen, as_tuple=True)
    return scores[cells], left_out[cells]


def some_of(known: Tensor, most: int) -> Tensor:
    """(n,) indexes of known users: all, or `most` of them, the same ones every time."""
    there = torch.nonzero(known).flatten()
    generator = torch.Generator().manual_seed(0)
    return there[torch.randperm(len(there), generator=generator)[:most].to(there.device)]
