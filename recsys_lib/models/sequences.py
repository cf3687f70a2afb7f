"""What models of sequences share: histories side by side, batches of about equal length, a transformer, a full softmax.

    x = LN-before blocks:  x + dropout(attention(LN(x))),  then  x + dropout(W_2 a(W_1 LN(x) + b_1) + b_2)
    places are counted from the end of the history: the newest item has the last one, however short the history is
    loss = Σ over positions of - log softmax(h E')_target, over the whole catalogue

The softmax over all items needs positions x n_items numbers, more than a batch's everything else: they are made, used for
loss and gradient, and dropped, a stripe of positions at a time. A sampled softmax or a binary loss with one negative
is what made early SASRec weak: with the full softmax HR@10 on MovieLens-1M goes from .250 to .315 (Klenitskiy & Vasilev,
Turning Dross Into Gold Loss, RecSys 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.models.base import Recommender, option

_STRIPE = 512  # positions whose softmax lies in memory at once
# Sizes of products are rounded: on a CPU each new shape of a bfloat16 product keeps some hundred kilobytes of code of its own.
_STEP, _ROWS_STEP = 8, 64
_ASKED_TOGETHER = 64  # histories, when nothing is learned
_GROUP = 16  # batches whose users are sorted by length together


@dataclass(frozen=True)
class SequenceConfig:
    size: int = option(64, "width of item vectors and of the blocks")
    blocks: int = option(2, "transformer blocks")
    heads: int = option(1, "of attention; size must be a multiple of it")
    max_length: int = option(200, "newest items of a history that are read")
    dropout: float = option(0.1, "of the embeddings and of what each block adds")

    def __post_init__(self) -> None:
        if min(self.size, self.blocks, self.heads, self.max_length) < 1 or self.size % self.heads:
            raise ValueError(
                "size, blocks, heads and max_length must be 1 or more, size a multiple of heads; "
                f"got {self.size}, {self.blocks}, {self.heads}, {self.max_length}"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1); got {self.dropout}")


def side_by_side(history: History, max_length: int) -> tuple[Tensor, Tensor]:
    """The newest items of each row, oldest first: (B, L) int64 with 0 after the end, and (B,) int64 lengths.

    L: the longest of them, rounded up to a multiple of 8 and at most max_length.
    """
    lengths = history.lengths.clamp(max=max_length)
    longest = int(lengths.max()) if len(lengths) else 0
    places = torch.arange(min(_up(longest, _STEP), max_length), device=lengths.device)
    there = places < lengths[:, None]
    at = (history.indptr[1:] - lengths)[:, None] + places
    if not len(history.items):
        return torch.zeros_like(at), lengths
    return history.items[at.clamp(max=len(history.items) - 1)].masked_fill_(~there, 0), lengths


def _up(n: int, step: int) -> int:
    """The least multiple of step that is n or more, and not 0."""
    return max(step, -(-n // step) * step)


def _roughly(n: int) -> int:
    """n to four binary digits: few different sizes, each within 7 % of what was asked for."""
    step = 1 << max(0, n.bit_length() - 4)
    return round(n / step) * step


class Block(nn.Module):
    """Attention and a feed-forward layer, each added to what it got."""

    def __init__(self, size: int, heads: int, width: int, dropout: float, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.heads, self.dropout, self.activation = heads, dropout, activation
        self.before_attention, self.before_layers = nn.LayerNorm(size), nn.LayerNorm(size)
        self.queries_keys_values, self.mix = nn.Linear(size, 3 * size), nn.Linear(size, size)
        self.inner, self.outer = nn.Linear(size, width), nn.Linear(width, size)

    def forward(self, x: Tensor, mask: Tensor | None, at: Tensor | None = None) -> Tensor:
        """(B, L, size) -> the same, or (B, 1, size) of one place of each row.

        Args:
            mask: (B, 1, 1, L) bool, which positions are there; None: each sees those before it. at: (B,) the places asked for.
        """
        queries, keys, values = self.queries_keys_values(self.before_attention(x)).chunk(3, dim=2)
        if at is not None:
            rows = torch.arange(len(x), device=x.device)
            x, queries = x[rows, at][:, None], queries[rows, at][:, None]
        queries, keys, values = (
            part.reshape(*part.shape[:2], self.heads, part.shape[2] // self.heads).transpose(1, 2)
            for part in (queries, keys, values)
        )
        # No dropout of attention weights: on a GPU they are never in memory, (B, heads, L, L) of them.
        attention = _attention_in_products if _low_precision_on_cpu(x) else F.scaled_dot_product_attention
        seen = attention(queries, keys, values, attn_mask=mask, is_causal=mask is None)
        x = x + F.dropout(self.mix(seen.transpose(1, 2).reshape(x.shape)), self.dropout, self.training)
        added = self.outer(self.activation(self.inner(self.before_layers(x))))
        return x + F.dropout(added, self.dropout, self.training)


def _low_precision_on_cpu(x: Tensor) -> bool:
    return x.device.type == "cpu" and torch.is_autocast_enabled("cpu")


def _attention_in_products(queries: Tensor, keys: Tensor, values: Tensor, *, attn_mask: Tensor | None, is_causal: bool) -> Tensor:
    """What scaled_dot_product_attention computes, two to four times as fast for vectors this short in bfloat16 on a CPU."""
    length, size = queries.shape[2:]
    unseen = torch.ones(length, length, dtype=torch.bool).triu(1) if is_causal else ~attn_mask
    bias = torch.zeros((), dtype=queries.dtype).masked_fill(unseen, -torch.inf)
    logits = (queries * size**-0.5) @ keys.transpose(2, 3) + bias  # (B, heads, L, L)
    return torch.softmax(logits, -1) @ values


class SoftmaxLoss(torch.autograd.Function):
    """Σ_p - log softmax(h_p E' + b)_target of (P, d) positions over all items, in stripes; under autocast the products are in its dtype."""

    @staticmethod
    def forward(ctx, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor) -> Tensor:
        """(P, d), (n_items, d), (n_items,) or None, (P,) int64 -> ()."""
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
        low_weight = weight.detach().to(dtype)
        low_bias = None if bias is None else bias.detach().to(dtype)
        of_hidden = torch.empty(hidden.shape, dtype=torch.float32, device=hidden.device)
        of_weight = torch.zeros(weight.shape, dtype=torch.float32, device=hidden.device)
        of_bias = None if bias is None else torch.zeros(bias.shape, dtype=torch.float32, device=hidden.device)
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        # One piece of memory for all stripes: to ask for new pages each time takes as long as the product.
        room = torch.empty(min(_STRIPE, _up(len(hidden), _ROWS_STEP)), len(weight), dtype=dtype, device=hidden.device)
        for part, wanted, out in zip(hidden.detach().split(_STRIPE), targets.split(_STRIPE), of_hidden.split(_STRIPE)):
            n, logits = len(part), room[: _up(len(part), _ROWS_STEP)]
            part = F.pad(part.to(dtype), (0, 0, 0, len(logits) - n))
            if low_bias is None:
                torch.mm(part, low_weight.T, out=logits)
            else:
                torch.addmm(low_bias, part, low_weight.T, out=logits)
            rows = torch.arange(n, device=part.device)
            if dtype != torch.bfloat16:
                at_targets, largest = logits[rows, wanted].float(), logits[:n].amax(1).float()
            change = torch.softmax(logits, 1, out=logits)
            change[n:] = 0
            if dtype == torch.bfloat16:  # its range is wide enough for the logarithm of a small probability; none at all counts as 87
                total -= change[rows, wanted].float().clamp(min=torch.finfo(torch.float32).tiny).log().sum()
            else:  # the largest probability is no less than 1 / n_items, so its logarithm is safe
                total += (largest - change[:n].amax(1).float().log() - at_targets).sum()
            change[rows, wanted] -= 1
            out.copy_((change @ low_weight)[:n])
            of_weight += change.T @ part
            if of_bias is not None:
                of_bias += change.sum(0, dtype=torch.float32)
        ctx.save_for_backward(of_hidden, of_weight, of_bias)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        of_hidden, of_weight, of_bias = ctx.saved_tensors
        return of_hidden * gradient, of_weight * gradient, None if of_bias is None else of_bias * gradient, None


@dataclass(frozen=True)
class Sequences:
    """B histories, and for models that are asked in the middle of them which items are hidden.

    Attributes: hidden: (nnz,) bool, of the history's items; None: none.
    """

    history: History
    hidden: Tensor | None = None

    def split(self, n: int) -> list[Sequences]:
        rows = torch.arange(len(self.history), device=self.history.items.device)
        parts = []
        for part in rows.tensor_split(n):
            if len(part):
                first, last = self.history.indptr[part[0]], self.history.indptr[part[-1] + 1]
                hidden = None if self.hidden is None else self.hidden[first:last]
                parts.append(Sequences(self.history.take(part), hidden))
        return parts


class SequenceModel(Recommender):
    """Item vectors, places counted from the end, blocks; what a history's last state says of every item."""

    training_defaults: dict[str, Any] = {
        **{"epochs": 100, "batch_size": 128, "plateau_patience": 9, "early_stopping_patience": 20},
    }
    least = 2  # items of a history that teaches something

    def __init__(self, catalogue, config: SequenceConfig, *, width: int, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__(catalogue, config)
        self.item_embeddings = nn.Parameter(torch.empty(catalogue.n_items, config.size))
        self.places = nn.Parameter(torch.empty(config.max_length, config.size))
        self.blocks = nn.ModuleList(
            Block(config.size, config.heads, width, config.dropout, activation) for _ in range(config.blocks)
        )
        self.last_norm = nn.LayerNorm(config.size)
        nn.init.xavier_normal_(self.item_embeddings)
        nn.init.xavier_normal_(self.places)

    def prepare(self, train: Interactions, generator: torch.Generator) -> None:
        super().prepare(train, generator)
        self._history = train.history(self.device)

    def batches(self, train: Interactions, generator: torch.Generator, *, batch_size: int, epoch: int) -> Iterator[Sequences]:
        """Users in random order; within a few batches' worth those of one length together, so that little is padding.

        `batch_size` counts users, on average: batches have about equal numbers of items that are read, many users of short
        histories or a few of long ones. With equal numbers of users an item of a short history would count ten times as much.
        """
        read = self._history.lengths.clamp(max=self.config.max_length + 1)
        users = torch.nonzero(read >= self.least).flatten()
        if not len(users):
            return
        users = users[torch.randperm(len(users), generator=generator, device=self.device)]
        batches = []
        for group in users.split(batch_size * _GROUP):
            group = group[read[group].argsort(stable=True)]
            n_batches = -(-len(group) // batch_size)
            so_far = read[group].cumsum(0)
            shares = torch.arange(1, n_batches, device=self.device) * so_far[-1] // n_batches
            start = 0
            for size in torch.searchsorted(so_far, shares).diff(prepend=shares.new_zeros(1)).tolist():
                batches.append(group[start : start + _roughly(size)])
                start += _roughly(size)
            # What the rounding has left over, the longest histories, may be several batches' worth.
            left = group[start:]
            batches += left.tensor_split(max(1, int(read[left].sum() * n_batches // so_far[-1])))
        # And where a batch goes from very short to very long ones, most of it would be padding.
        most = 2 * batch_size * (self.config.max_length + 1)
        batches = [
            part
            for users in batches
            if len(users)
            for part in users.tensor_split(-(-len(users) * int(read[users[-1]]) // most))
            if len(part)
        ]
        totals = (
            [int(self._history.lengths[part].sum()) for part in batches] if self.device.type == "cpu" else [None] * len(batches)
        )
        for number in torch.randperm(len(batches), generator=generator, device=self.device).tolist():
            yield Sequences(self._history.take(batches[number], totals[number]))

    def user_vectors(self, users: Tensor, history: History) -> Tensor:
        """What the newest state says; histories of about one length together, so that little is padding."""
        vectors = torch.empty(len(users), self.config.size, device=users.device)
        for part in history.lengths.argsort().split(_ASKED_TOGETHER if users.device.type == "cpu" else max(1, len(users))):
            vectors[part] = self.newest_states(history.take(part)).float()
        return vectors

    def newest_states(self, history: History) -> Tensor:
        """(B, size), what is held against the vectors of all items."""
        raise NotImplementedError

    def states(self, vectors: Tensor, places: Tensor, mask: Tensor | None, newest: Tensor | None = None) -> Tensor:
        """(B, L, size) item vectors and (B, L) places -> (B, L, size); of the `newest` (B,) alone: (B, size)."""
        # F.embedding, as the gradient of an index is added up by threads in any order
        x = vectors * self.config.size**0.5 + F.embedding(places, self.places)
        x = F.dropout(x, self.config.dropout, self.training)
        for block in self.blocks[:-1]:
            x = block(x, mask)
        if newest is None:
            return self.last_norm(self.blocks[-1](x, mask))
        # The last block need not say what nobody asks: half of its work and more.
        there = torch.arange(x.shape[1], device=x.device) <= newest[:, None]
        return self.last_norm(self.blocks[-1](x, there[:, None, None, :], newest)[:, 0])

    def can_score(self, users: Tensor, history: History) -> Tensor:
        return history.lengths > 0
