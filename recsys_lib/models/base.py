"""What a model owes.

One Trainer and one Evaluator serve every family; masking, top-k, metrics and fallbacks are never inside a model.
A new model is one new file in this folder with one subclass of Recommender: the notebooks take it by its name, and
tests/models/test_contract.py picks it up.
"""

from __future__ import annotations

import dataclasses
import types
import typing
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.features import FeatureTable
from recsys_lib.data.interactions import History, Interactions
from recsys_lib.data.names import did_you_mean


# Said by torch once a process, wherever a sparse matrix is first made; it tells a user of a notebook nothing.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")


class Batch(Protocol):
    """What `batches` yields and `loss` takes."""

    def split(self, n: int) -> list[Batch]:
        """n parts of about equal size whose sums and counts add up to the whole: for when memory is short."""


@dataclass(frozen=True)
class NoOptions:
    """A model without options."""


class Recommender(nn.Module):
    """The contract. A subclass sets `name` and `Config`, and overrides what it needs.

    Class attributes:
        name: in the registry, on run folders and in tables.
        Config: a frozen dataclass of the model's options; every default stands there once.
        needs_training: False for a closed form, which does all its work in `prepare`.
        training_defaults: TrainConfig fields that suit this model better than the general ones.
    """

    name: ClassVar[str]
    Config: ClassVar[type] = NoOptions
    needs_training: ClassVar[bool] = True
    training_defaults: ClassVar[dict[str, Any]] = {}

    def __init__(self, catalogue: Catalogue, config: Any) -> None:
        super().__init__()
        self.catalogue = catalogue
        self.config = config
        # Sorted pair keys of every row that `prepare` has seen, read by the Evaluator's lock.
        self.trained_on: np.ndarray | None = None
        # Users that occur in train: (n_users,) bool, set by `prepare`.
        self.register_buffer("known_users", torch.zeros(catalogue.n_users, dtype=torch.bool), persistent=False)

    def _forget(self) -> None:
        """Drop what was made once from the weights; called whenever they may be others, or elsewhere."""

    def train(self, mode: bool = True) -> Recommender:
        if mode or self.training:
            self._forget()
        return super().train(mode)

    def load_state_dict(self, *arguments, **named):
        self._forget()
        return super().load_state_dict(*arguments, **named)

    def _apply(self, *arguments, **named):
        self._forget()  # .to(device)
        return super()._apply(*arguments, **named)

    @property
    def device(self) -> torch.device:
        return self.known_users.device

    @property
    def uses_features(self) -> frozenset[str]:
        """Names of the user and item features that this model really uses."""
        return frozenset()

    def set_features(self, *, user: FeatureTable | None = None, item: FeatureTable | None = None) -> None:
        """Swap feature values (permutation, cold start). A model that uses none ignores it.

        Overriding methods drop every cache that depends on features.
        Raises: ValueError naming the feature whose kind or labels do not fit.
        """

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        """Look at the training rows once. A closed form does all its work here.

        Overriding methods call super().prepare first.
        """
        if (train.n_users, train.n_items) != (self.catalogue.n_users, self.catalogue.n_items):
            raise ValueError(
                f"the model was built for {self.catalogue.n_users:,} users x {self.catalogue.n_items:,} items; "
                f"these interactions have {train.n_users:,} x {train.n_items:,}. Build it from the same data set."
            )
        self.known_users.copy_(torch.from_numpy(train.user_counts > 0))
        if self.trained_on is None or not self.needs_training:
            self.trained_on = train.pair_keys
        else:  # weights remember: what was learned before stays known, whatever is learned next
            self.trained_on = np.union1d(self.trained_on, train.pair_keys)

    def batches(
        self, train: Interactions, generator: torch.Generator, *, batch_size: int, epoch: int
    ) -> Iterator[Batch]:
        """One epoch of batches; `generator` is new each epoch, on the model's device; `epoch` counts from 1."""
        raise NotImplementedError(f"{self.name} has needs_training = True and no batches()")

    def loss(self, batch: Batch) -> tuple[Tensor, int]:
        """The sum of the loss over the batch (a scalar tensor with gradient), and over how many it sums."""
        raise NotImplementedError(f"{self.name} has needs_training = True and no loss()")

    def score(self, users: Tensor, history: History) -> Tensor:
        """Scores of the whole catalogue, higher is better.

        Args:
            users: (B,) int64. history: what is known of each of them, row b belongs to users[b].
        Returns:
            (B, n_items) float32 on the model's device; a new tensor that the caller may change.
        """
        if (items := self.item_vectors()) is None:
            raise NotImplementedError(f"{self.name} has neither score() nor item_vectors()")
        vectors, bias = items
        return torch.addmm(bias, self.user_vectors(users, history), vectors.T)

    def item_vectors(self) -> tuple[Tensor, Tensor] | None:
        """(n_items, d) vectors and (n_items,) bias of a model whose score is user vector · item vector + bias.

        Such a model need not write `score`, and rank() multiplies and chooses in one go. None: it is no such model.
        """
        return None

    def user_vectors(self, users: Tensor, history: History) -> Tensor:
        """(B, d) float32 for a model with item_vectors; row b belongs to users[b]."""
        raise NotImplementedError(f"{self.name} has no user_vectors()")

    def score_items(self, users: Tensor, history: History, items: Tensor) -> Tensor:
        """Scores of (B, C) candidate items: (B, C) float32. The default gathers them from `score`."""
        return self.score(users, history).gather(1, items)

    def score_roughly(self, users: Tensor, history: History) -> Tensor | None:
        """Like `score`, much faster and a little wrong; None where there is nothing faster.

        Good enough to choose candidates by: rank() asks score_items for the exact scores of the best of them, and
        score for a user of whom the errors leave a doubt.
        """
        return None

    def can_score(self, users: Tensor, history: History) -> Tensor:
        """(B,) bool: False rows are ranked by score_newcomers, in the evaluator and in recommend alike."""
        return torch.ones(len(users), dtype=torch.bool, device=users.device)

    def score_newcomers(self, users: Tensor) -> Tensor | None:
        """(B, n_items) scores of users that can_score refuses, from their features; None: they get popular items."""
        return None

    def on_epoch_start(self, epoch: int) -> None:
        """Called before each epoch, counted from 1."""

    def draws_negatives(self, epoch: int) -> bool:
        """Whether this epoch learns from newly drawn negatives, so that its loss may jump; marked on the curve."""
        return False

    def parameter_groups(self) -> list[dict[str, Any]]:
        """For the optimiser."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]


def checked(dataclass_type: type, values: dict[str, Any], what: str) -> Any:
    """Build an options dataclass; a misspelt name or a wrong type is an error that says what was meant.

    Args:
        what: in messages, e.g. "option of neumf".
    Raises:
        ValueError: an unknown name, a value of another type, or what the dataclass's own check says.
    """
    fields = {field.name: field for field in dataclasses.fields(dataclass_type)}
    types_of = typing.get_type_hints(dataclass_type)
    taken = {}
    for name, value in values.items():
        if name not in fields:
            raise ValueError(f"no {what} {name!r}{did_you_mean(name, fields)} There are: {', '.join(fields) or 'none'}.")
        taken[name] = _fit(value, types_of[name], f"{what} {name!r}")
    return dataclass_type(**taken)


def _fit(value: Any, wanted: Any, what: str) -> Any:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        errors = []
        for argument in arguments:
            if argument is not type(None):
                try:
                    return _fit(value, argument, what)
                except ValueError as error:
                    errors.append(error)
        raise errors[0]
    if origin is tuple and isinstance(value, (list, tuple)):
        return tuple(_fit(element, arguments[0], f"{what}: each element") for element in value)
    simple = origin or wanted
    if simple is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, simple) and not (isinstance(value, bool) and simple is not bool):
        return value
    name = getattr(simple, "__name__", str(simple))
    raise ValueError(f"{what} must be of type {'list' if simple is tuple else name}; got {value!r} ({type(value).__name__})")


def options_table(options: Any) -> pd.DataFrame:
    """Every option of a dataclass instance: its value, its default and its line of text."""
    rows = [
        {
            "option": field.name,
            "value": _shown(getattr(options, field.name)),
            "default": _shown(field.default),
            "meaning": field.metadata.get("help", ""),
        }
        for field in dataclasses.fields(options)
    ]
    return pd.DataFrame(rows, columns=["option", "value", "default", "meaning"]).set_index("option")


def _shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def option(default: Any, help: str) -> Any:
    """A dataclass field with its line of text."""
    return dataclasses.field(default=default, metadata={"help": help})
