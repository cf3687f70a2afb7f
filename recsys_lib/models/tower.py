"""The tower of the NCF family over many pairs at once, on a CPU: the same sums as torch's, without its detours.

    h_1 = ReLU(u + i),  h_l = ReLU(W_l h_{l-1} + b_l),  score = w · h + p_u · q_i + b

u and i are the halves of the split first layer. torch writes every layer of every pair to memory and reads it back: most
of its time. tower.c works off all layers of 48 pairs at a time, in the nearest cache; so it does when it learns.

Where the processor can, there are also rough scores, multiplied in 8 bits: h in 0..255 and W in -127..127, each input and
each output with its own scale. They choose candidates; what is reported is always the exact float32 score of those.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from recsys_lib.data.native import call, compiled

_SOURCE = Path(__file__).with_suffix(".c")
_SAMPLED = 256  # users and items whose pairs say how large a hidden value becomes


class Tower:
    """One model's weights, laid out for tower.c. Made anew when a weight or a feature changes.

    Args:
        native: from `tower_library`.
        user_half: (n_users, H), item_half: (n_items, H); H = width of the first layer.
        user_product: (n_users, f), item_product: (n_items, f); None: no product.
        layers: weight (N, K) and bias (N,) of each layer after the first.
        output: (width of the last layer,); bias: ().
    """

    def __init__(
        self,
        native: ctypes.CDLL,
        user_half: Tensor,
        item_half: Tensor,
        user_product: Tensor | None,
        item_product: Tensor | None,
        layers: Sequence[tuple[Tensor, Tensor]],
        output: Tensor,
        bias: Tensor,
    ) -> None:
        self._native = native
        self._multiple = native.tower_multiple()
        layers = [(self._filled(self._filled(weight).T).T, self._filled(b)) for weight, b in layers]  # (N, K), (N,)
        # Of all users at once: of a few at a time torch would add them up in another order, and a pair have two scores.
        self._user_half, self._item_half = self._filled(user_half), self._filled(item_half)
        self._user_product, self._item_product = (
            None if product is None else self._filled(product) for product in (user_product, item_product)
        )
        self._widths = torch.tensor([self._item_half.shape[1], *(len(b) for _, b in layers)])
        self._weights = torch.cat([part.flatten() for weight, b in layers for part in (weight.T, b)]) if layers else None
        self._output = torch.cat([self._filled(output), bias.view(1)])
        numbers = (self._user_half, self._item_half, self._user_product, self._item_product, self._weights, self._output)
        finite = all(bool(part.isfinite().all()) for part in numbers if part is not None)  # 8 bits know no NaN
        self.has_rough = bool(native.tower_has_rough()) and bool(layers) and finite  # one layer has nothing to multiply
        if self.has_rough:
            self._prepare_rough(layers)

    def scores(self, users: Tensor, items: Tensor | None = None) -> Tensor:
        """Exact: (B,) -> (B, n_items), or (B, C) of the given (B, C) items. A pair has one score, bit for bit."""
        return self._run(users, self._user_half[users], self._item_half, self._weights, items, rough=False)

    def rough_scores(self, users: Tensor) -> Tensor:
        """(B,) -> (B, n_items); the product is exact."""
        return self._run(users, _rounded(self._user_half[users] * self._steps), self._rough_items, self._rough_weights, None, rough=True)

    def _run(self, users: Tensor, user_half: Tensor, item_half: Tensor, weights: Tensor | None, items: Tensor | None, *, rough: bool) -> Tensor:
        n = len(self._item_half) if items is None else items.shape[1]
        scores = torch.empty((len(users), n), dtype=torch.float32)
        product = None if self._user_product is None else self._user_product[users]
        failed = call(
            self._native.tower,
            user_half, len(users), item_half, product, self._item_product, 0 if product is None else product.shape[1],
            len(self._widths), self._widths, weights, self._output, None if items is None else items.long().contiguous(), n, scores,
            int(rough), torch.get_num_threads(),
        )  # fmt: skip
        if failed:
            raise MemoryError("no memory for the tower's hidden values")
        return scores

    def _filled(self, values: Tensor) -> Tensor:
        return filled(values.detach(), self._multiple)

    def _prepare_rough(self, layers: list[tuple[Tensor, Tensor]]) -> None:
        users, items = self._user_half, self._item_half
        # Half of an input may be large where the other half is as much below zero: 16 bits hold four times the range.
        largest = torch.stack([users.amax(0) + items.amax(0), users.abs().amax(0) / 4, items.abs().amax(0) / 4]).amax(0)
        largest = _above_zero(largest)
        self._steps = 32 * 255 / largest  # (H,) steps of a half in 1; tower.c drops the 32 after it has added them
        self._rough_items = _rounded(items * self._steps)
        some = users[:: -(-len(users) // _SAMPLED)][:, None] + items[:: -(-len(items) // _SAMPLED)]
        hidden = torch.relu_(some.flatten(0, 1))  # (pairs, H)
        parts = []
        for place, (weight, b) in enumerate(layers):
            weight = weight * (largest / 255)
            step = _above_zero(weight.abs().amax(1) / 127)  # (N,)
            whole = (weight / step[:, None]).round().to(torch.int8)  # (N, K)
            if place < len(layers) - 1:
                hidden = torch.relu_(F.linear(hidden, *layers[place]))
                largest = _above_zero(hidden.amax(0) * 1.5)  # a pair with more is told apart by tower.c
                step, b = step * 255 / largest, b * 255 / largest
            n, k = whole.shape
            parts += [whole.view(n, k // 4, 4).transpose(0, 1).flatten(), step.view(torch.int8), b.contiguous().view(torch.int8)]
        self._rough_weights = torch.cat(parts)


class TowerLoss(torch.autograd.Function):
    """Binary cross-entropy of groups of pairs, summed, and its gradients, in one walk over the tiles of a batch.

    The first pair of each group is the chosen one, and counts chosen_weights times (None: once). Equal to torch's own up to the rounding of float32 sums; with the same
    number of threads the same digits each time.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)  # under autocast the halves come in bfloat16
    def forward(
        ctx, native: ctypes.CDLL, chosen_weights: Tensor | None, user_half: Tensor, item_half: Tensor, user_product: Tensor | None,
        item_product: Tensor | None, output: Tensor, bias: Tensor, *layers: Tensor,
    ) -> Tensor:  # fmt: skip
        """(G,), (G, H), (G, C, H), (G, f), (G, C, f), (h,), (1,), then weight (N, K) and bias (N,) of each further layer -> ()."""
        multiple = native.tower_multiple()
        shapes = [part.shape[-1] for part in (user_half, output)]
        pairs = [(filled(filled(w, multiple).T, multiple), filled(b, multiple)) for w, b in zip(layers[::2], layers[1::2])]  # (K, N)
        users, items, w = (filled(part, multiple) for part in (user_half, item_half, output))
        products, factors = (None if part is None else filled(part, multiple) for part in (user_product, item_product))
        weights = torch.cat([part.flatten() for w_in, b in pairs for part in (w_in, b)]) if pairs else None
        backwards = torch.cat([part.flatten() for w_in, _ in reversed(pairs) for part in (w_in.T, w_in.new_zeros(len(w_in)))]) if pairs else None
        widths = torch.tensor([users.shape[1], *(len(b) for _, b in pairs)])
        size, threads = sum(w_in.numel() + len(b) for w_in, b in pairs) + len(w) + 1, torch.get_num_threads()
        of_weights, losses = torch.zeros(threads, size, dtype=torch.float32), torch.zeros(threads, dtype=torch.float64)
        of_users, of_items = torch.zeros_like(users), torch.empty_like(items)
        of_products, of_factors = (None, None) if products is None else (torch.zeros_like(products), torch.empty_like(factors))
        failed = call(
            native.tower_learn,
            chosen_weights, users, items, products, factors, len(users), items.shape[1], 0 if products is None else products.shape[1],
            len(widths), widths, weights, backwards, torch.cat([w, bias]), size, of_weights,
            of_users, of_items, of_products, of_factors, losses, threads,
        )  # fmt: skip
        if failed:
            raise MemoryError("no memory for the tower's hidden values")
        gradients, start, of_weights = [], 0, of_weights.sum(0)
        for (w_in, b), weight in zip(pairs, layers[::2]):
            n, k = weight.shape
            gradients.append(of_weights[start : start + w_in.numel()].view_as(w_in).T[:n, :k])
            gradients.append(of_weights[start + w_in.numel() :][:n])
            start += w_in.numel() + len(b)
        half, last = shapes
        f = 0 if user_product is None else user_product.shape[-1]
        ctx.gradients = [
            of_users[:, :half], of_items[..., :half], None if f == 0 else of_products[:, :f], None if f == 0 else of_factors[..., :f],
            of_weights[start : start + last], of_weights[-1:], *gradients,
        ]  # fmt: skip
        return losses.sum().float()

    @staticmethod
    @once_differentiable
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("the tower's gradients were handed out before; compute the loss again")
        return None, None, *(None if part is None else part.mul_(gradient) for part in gradients)


def filled(values: Tensor, multiple: int) -> Tensor:
    """The last dimension filled up with zeros to a multiple of what tower.c wants; contiguous."""
    short = -values.shape[-1] % multiple
    return (F.pad(values, (0, short)) if short else values).contiguous()


def tower_library() -> ctypes.CDLL | None:
    """tower.c, compiled; None where that cannot be: the models then use torch."""
    native = compiled(_SOURCE)
    if native is not None:
        native.tower_multiple.restype = native.tower_has_rough.restype = ctypes.c_int64
    return native


def _rounded(values: Tensor) -> Tensor:
    return values.round().clamp(-(2**15), 2**15 - 1).to(torch.int16)


def _above_zero(values: Tensor) -> Tensor:
    return torch.where(values > 0, values, 1.0)
