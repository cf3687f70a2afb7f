"""The works that speed.py measures: for each what ours does, what others do for it, the floor, and that the answers agree."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.utils.extmath import randomized_svd
from torch import Tensor

from benchmarks.references import (
    Asked, ConcatenatedTower, GatheredProduct, PairDataset, PlainMultiDAE, PlainNeuMF, PlainSASRec, TensorPairs,
    chunked_hits, dataset_epoch, dense_epoch, notes_loop, padded, sequence_epoch, sorted_hits, tensor_epoch,
)  # fmt: skip
from benchmarks.synthetic import Size, synthetic_catalogue, synthetic_log
from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.interactions import History
from recsys_lib.data.splits import Split, fraction_split, leave_one_out
from recsys_lib.evaluation.evaluator import Evaluator, Report
from recsys_lib.models import build_model
from recsys_lib.models.base import NoOptions, Recommender
from recsys_lib.training.config import TrainConfig, train_config
from recsys_lib.training.trainer import Trainer, choose_device

ROOT = Path(__file__).parents[1]
KS = [5, 10, 20]
FACTORS, TOWER = 64, (128, 64, 32)
PEERS = ("rectools", "implicit")
# Parts for those who are too slow for the whole.
SOME_USERS, SOME_BATCHES = 200, 20
HAS_PRECISION = any(setting.name == "precision" for setting in fields(TrainConfig))


@dataclass(frozen=True)
class Competitor:
    """One way to do a work.

    Attributes:
        what: in words. run: does it, or a part of it; may return a Told.
        share: of the whole that `run` does; its seconds are divided by it. part: in words, e.g. "200 of 8,482 users".
    """

    what: str
    run: Callable[[], Any]
    share: float = 1.0
    part: str = ""


@dataclass(frozen=True)
class Told:
    """Seconds and memory that a process of its own has measured; content: what it has read."""

    seconds: float
    peak_mib: float | None
    content: dict[str, int]


@dataclass(frozen=True)
class Rates:
    """What this machine does at best; measured in turn with the competitors, since a shared machine changes its pace."""

    fp32_gflops: float
    bf16_gflops: float
    copy_gbs: float


@dataclass(frozen=True)
class Work:
    """A row: ours and its competitors.

    Attributes:
        ours: what `run` returns is given to `check`, which says what it compared, or raises ValueError.
        floor: a competitor that is measured in turn, or seconds from the rates. floor_words: what it is.
        also: further entries of the row, given the rates, the seconds of ours and what it returned.
    """

    ours: Competitor
    check: Callable[[Any], str]
    reference: Competitor | None = None
    plain: Competitor | None = None
    floor: Competitor | Callable[[Rates], float] | None = None
    floor_words: str = ""
    also: Callable[[Rates, float, Any], dict[str, Any]] = lambda rates, seconds, result: {}


class Data:
    """Data of one size, each part made when it is first asked for."""

    def __init__(self, name: str, size: Size) -> None:
        self.name, self.size = name, size
        self.device = choose_device("auto")

    @cached_property
    def catalogue(self) -> Catalogue:
        return synthetic_catalogue(self.size)

    @cached_property
    def split(self) -> Split:
        log = synthetic_log(self.size)
        return leave_one_out(log, held_out="random", seed=0) if self.name == "S" else fraction_split(log, seed=0)

    @cached_property
    def users(self) -> np.ndarray:
        """(U,) users that hold something out for test."""
        return np.flatnonzero(self.split.test.user_counts)

    def asked(self, users: np.ndarray) -> Asked:
        return Asked(users, self.split.test.pair_keys, self.split.known_before_test.user_items(), self.device)

    @cached_property
    def evaluator(self) -> Evaluator:
        """Made once, as for a training; what the others are asked is made beforehand too."""
        return Evaluator(self.split.test, seen=self.split.known_before_test, ks=KS, list_length=max(KS))

    def evaluate(self, model: Recommender) -> Report:
        return self.evaluator.evaluate(model)

    def part(self, n_users: int, note: str = "users") -> tuple[np.ndarray, float, str]:
        """The first users that are asked; which share of all they are; and that in words, empty for all of them."""
        n = min(n_users, len(self.users))
        return self.users[:n], n / len(self.users), "" if n == len(self.users) else f"{n:,} of {len(self.users):,} {note}"


# ---- evaluation


class DotProduct(Recommender):
    """user_factors[u] · item_factors[i]: the cheapest score there is, so that all else of an evaluation shows."""

    name = "dot_product"
    needs_training = False

    def __init__(self, catalogue: Catalogue, user_factors: Tensor, item_factors: Tensor) -> None:
        super().__init__(catalogue, NoOptions())
        self.register_buffer("user_factors", user_factors)
        self.register_buffer("item_factors", item_factors)

        self.register_buffer("bias", torch.zeros(len(item_factors)))

    def item_vectors(self) -> tuple[Tensor, Tensor]:
        return self.item_factors, self.bias

    def user_vectors(self, users: Tensor, history: History) -> Tensor:
        return self.user_factors[users]


def ncf_catalogue(data: Data) -> Work:
    """The notes' model with eight features a side over the whole catalogue."""
    model = _trained("mlp", data, embedding_size=FACTORS, layers=list(TOWER), feature_embedding_size=8)
    n_items, catalogue = data.size.n_items, data.catalogue
    codes = [
        np.stack([feature.codes for feature in table], 1).astype(np.int64)
        for table in (catalogue.user_features, catalogue.item_features)
    ]
    tower = ConcatenatedTower(model).to(data.device).eval()
    some, share, part = data.part(SOME_USERS)
    rows = some[-1] + 1  # the loop takes the users from the first on
    held_out = data.split.test.user_items()[:rows].toarray()
    user_codes, item_codes = (torch.from_numpy(side).to(data.device) for side in codes)

    def score(users: Tensor) -> Tensor:
        pairs = users.repeat_interleave(n_items), torch.arange(n_items, device=users.device).repeat(len(users))
        return tower(pairs[0], user_codes[pairs[0]], pairs[1], item_codes[pairs[1]]).view(len(users), n_items)

    def check(report: Report) -> str:
        hidden = torch.from_numpy(data.split.known_before_test.user_items()[:rows].toarray() > 0).to(data.device)
        recalls = [notes_loop(tower, *codes, held_out, k, seen=hidden)[1].cpu().numpy() for k in KS]
        theirs = np.stack(recalls, 1)[some] * data.split.test.user_counts[some, None]
        return _same_hits(_hits(report)[: len(some)], theirs, "the notes' loop with the same mask")

    flop = 2 * len(data.users) * n_items * (_tower_products(TOWER) + TOWER[-1])
    asked = data.asked(some)
    return Work(
        ours=Competitor("Evaluator(...).evaluate(mlp)", lambda: data.evaluate(model)),
        reference=Competitor("the notes' predict_all_scores_and_recall, one k", lambda: notes_loop(tower, *codes, held_out, 20),
                             rows / len(data.users), part and f"{rows:,} of {len(data.users):,} users"),
        plain=Competitor("PyTorch, 8 users x all items a pass, concatenated input",
                         lambda: chunked_hits(score, asked, KS, 8), share, part),
        floor=lambda rates: flop / rates.bf16_gflops / 1e9,
        floor_words="the tower's products after the split of the first layer, at the bf16 GEMM rate",
        check=check,
        also=lambda rates, *_: {"floor_fp32_seconds": flop / rates.fp32_gflops / 1e9},
    )  # fmt: skip


def dot_product(data: Data) -> Work:
    model = _factored(data, FACTORS)
    P, Q = model.user_factors, model.item_factors
    some, share, part = data.part(SOME_USERS)
    rows = some[-1] + 1
    product = GatheredProduct(P, Q).to(data.device)
    held_out = data.split.test.user_items()
    dense = held_out[:rows].toarray()
    nothing = np.zeros((rows, 0), dtype=np.int64), np.zeros((data.size.n_items, 0), dtype=np.int64)
    asked = data.asked(data.users)

    def plain() -> Tensor:
        return chunked_hits(lambda users: P[users] @ Q.T, asked, KS, 128)

    def check(report: Report) -> str:
        scores = P[some].cpu().numpy() @ Q.cpu().numpy().T
        slow = sorted_hits(scores, some, held_out, data.split.known_before_test.user_items(), KS)
        same = [
            _same_hits(_hits(report), plain().cpu().numpy(), "plain PyTorch"),
            _same_hits(_hits(report)[: len(some)], slow, "a full sort in NumPy"),
        ]
        means = ", ".join(f"{report.mean(f'recall@{k}'):.5f}" for k in KS)
        return f"{same[0]}; {same[1]}: {means}"

    flop = 2 * len(data.users) * data.size.n_items * FACTORS
    return Work(
        ours=Competitor("Evaluator(...).evaluate(dot product of 64 factors)", lambda: data.evaluate(model)),
        reference=Competitor("the notes' predict_all_scores_and_recall, one k", lambda: notes_loop(product, *nothing, dense, 20),
                             rows / len(data.users), part and f"{rows:,} of {len(data.users):,} users"),
        plain=Competitor("PyTorch, 128 users a chunk, mask by index, topk, binary search", plain),
        floor=lambda rates: flop / rates.fp32_gflops / 1e9,
        floor_words="the product at the fp32 GEMM rate",
        check=check,
    )  # fmt: skip


def multi_dae_evaluation(data: Data) -> Work:
    layers = [600, 200]
    model = _trained("multi_dae", data, batch_size=500, n_batches=20, layers=layers)
    some, share, part = data.part(10_000)
    asked, seen = data.asked(some), data.split.known_before_test.user_items()[some]
    other = _same_multi_dae(model, data, layers).eval()
    hidden = torch.rand(1024, layers[0], device=data.device)
    decoder = other.layers[-1]

    def score(users: Tensor) -> Tensor:
        start = int(np.searchsorted(some, int(users[0])))
        return other(torch.from_numpy(seen[start : start + len(users)].toarray()).to(data.device))

    def plain() -> Tensor:
        return chunked_hits(score, asked, KS, 512)

    def decode() -> None:
        with torch.inference_mode():
            for rows in range(0, len(some), len(hidden)):
                decoder(hidden[: len(some) - rows])

    flop = 2 * len(data.users) * layers[0] * data.size.n_items
    return Work(
        ours=Competitor("Evaluator(...).evaluate(multi_dae)", lambda: data.evaluate(model)),
        plain=Competitor("PyTorch, 512 dense rows a chunk, topk, binary search", plain, share, part),
        floor=Competitor(f"the decoder's product alone, fp32, users x {layers[0]} x items, 1,024 users at a time", decode, share, part),
        check=lambda report: _same_hits(_hits(report)[: len(some)], plain().cpu().numpy(), "dense PyTorch"),
        also=lambda rates, *_: {"product_at_gemm_rate_seconds": flop / rates.fp32_gflops / 1e9},
    )


def sas_rec_evaluation(data: Data) -> Work:
    model = _trained("sas_rec", data, batch_size=128, n_batches=10)
    other, length = _same_sas_rec(model, data).eval(), model.config.max_length
    some, share, part = data.part(1000)
    asked, known = data.asked(some), data.split.known_before_test.history(data.device)

    def score(users: Tensor) -> Tensor:
        return other.score(*padded(known.take(users), length))

    def plain() -> Tensor:
        return chunked_hits(score, asked, KS, 128)

    lengths = np.minimum(data.split.known_before_test.user_counts[data.users], length)
    flop = 2 * (int(lengths.sum()) * _layers_of(model) + len(data.users) * model.config.size * data.size.n_items)
    return Work(
        ours=Competitor("Evaluator(...).evaluate(sas_rec)", lambda: data.evaluate(model)),
        plain=Competitor(f"PyTorch's transformer, 128 histories padded to {length} a chunk, topk, binary search", plain, share, part),
        floor=lambda rates: flop / rates.fp32_gflops / 1e9,
        floor_words="the layers' products for every item that is read, without attention, and that with the catalogue, at the fp32 GEMM rate",
        check=lambda report: _same_hits(_hits(report)[: len(some)], plain().cpu().numpy(), "PyTorch's transformer"),
    )


def sas_rec_epoch(data: Data, precision: str) -> Work:
    batch_size, train = 128, data.split.train
    ours = Epochs("sas_rec", data, batch_size=batch_size, precision=precision)
    length, size = ours.model.config.max_length, ours.model.config.size
    n_users = int((train.user_counts > 1).sum())
    n_batches = -(-n_users // batch_size)
    some, share, part = _batches_part(8, n_batches)
    items, lengths = padded(train.history(data.device).take(torch.from_numpy(np.flatnonzero(train.user_counts > 1)).to(data.device)), length + 1)
    plain_model = _same_sas_rec(ours.model, data)
    optimizer = torch.optim.Adam(plain_model.parameters(), lr=1e-3)

    def check(_: Any) -> str:
        batch, other = ours.a_batch(), _same_sas_rec(ours.model, data).eval()
        with torch.no_grad():
            return _same_loss(ours.model, batch, float(other.loss(*padded(batch.history, length + 1))))

    read = int((np.minimum(train.user_counts[train.user_counts > 1], length + 1) - 1).sum())
    flop = 3 * 2 * read * (_layers_of(ours.model) + size * data.size.n_items)
    dtype = getattr(torch, precision)
    return Work(
        ours=Competitor(f"an epoch of the Trainer, {precision}", ours),
        plain=Competitor(
            f"PyTorch's transformer, histories padded to {length}, cross_entropy over the catalogue, Adam, {precision}",
            lambda: sequence_epoch(plain_model, optimizer, items, lengths, batch_size, some, dtype), share, part,
        ),
        floor=lambda rates: flop / _rate(rates, precision) / 1e9,
        floor_words=f"the products forward and backward for every item that is read, without attention, at the {_short(precision)} GEMM rate",
        check=check,
    )  # fmt: skip


def _layers_of(model: Recommender) -> int:
    """Multiplications an item that is read, in the layers of the blocks."""
    return sum(parameter.numel() for name, parameter in model.blocks.named_parameters() if name.endswith("weight") and parameter.ndim == 2)


def _same_sas_rec(ours: Recommender, data: Data) -> PlainSASRec:
    """PyTorch's transformer with the weights of ours."""
    config = ours.config
    other = PlainSASRec(data.size.n_items, config.size, config.blocks, config.heads, config.max_length, config.dropout).to(data.device)
    with torch.no_grad():
        other.items.weight.copy_(ours.item_embeddings)
        other.places.weight.copy_(ours.places)
        for its, mine in zip(other.encoder.layers, ours.blocks):
            its.self_attn.in_proj_weight.copy_(mine.queries_keys_values.weight)
            its.self_attn.in_proj_bias.copy_(mine.queries_keys_values.bias)
            pairs = ((its.self_attn.out_proj, mine.mix), (its.linear1, mine.inner), (its.linear2, mine.outer))
            for layer, same in (*pairs, (its.norm1, mine.before_attention), (its.norm2, mine.before_layers)):
                layer.load_state_dict(same.state_dict())
    other.encoder.norm.load_state_dict(ours.last_norm.state_dict())
    return other


def _factored(data: Data, factors: int) -> DotProduct:
    """A truncated singular value decomposition of train: scores as a real model's."""
    left, values, right = randomized_svd(data.split.train.user_items(), factors, n_iter=2, random_state=0)
    rng = np.random.default_rng(0)
    # A little noise: without it all items of too few rows score 0 but for rounding, which each competitor does its own way.
    sides = (side + 0.01 * side.std() * rng.standard_normal(side.shape) for side in (left * values, right.T))
    model = DotProduct(data.catalogue, *(torch.from_numpy(side.astype(np.float32, order="C")) for side in sides))
    model.to(data.device).prepare(data.split.train, torch.Generator())
    return model


def _trained(name: str, data: Data, *, batch_size: int = 4096, n_batches: int = 300, **options: Any) -> Recommender:
    """A short training, three times the first batches: weights that are not random, and the Evaluator's lock is set."""
    model = build_model(name, data.catalogue, seed=0, **options)
    _first_batches(model, n_batches)
    config = train_config(name, batch_size=batch_size, tensorboard=False)
    Trainer(config).repeat(model, data.split.train, [config.learning_rate] * 3)
    return model


def _hits(report: Report) -> np.ndarray:
    """(U, len(KS)) hits, from recall."""
    return np.stack([report.values[f"recall@{k}"] * report.n_held_out for k in KS], 1)


def _same_hits(ours: np.ndarray, theirs: np.ndarray, whom: str) -> str:
    """In words; two ways to add up may change places of equal scores, so one user of a thousand may differ."""
    differ = int((np.rint(ours) != np.rint(theirs)).any(1).sum())
    if differ > len(ours) / 1000:
        raise ValueError(f"recall@{'/'.join(map(str, KS))} of {differ:,} of {len(ours):,} users is not that of {whom}")
    equal = "equal to" if not differ else f"but for {differ} users (scores within rounding) equal to"
    return f"recall@{'/'.join(map(str, KS))} of {len(ours):,} users {equal} {whom}"


def _tower_products(layers: Sequence[int]) -> int:
    """Multiplications a pair after the first layer, without the output."""
    return sum(a * b for a, b in zip(layers, layers[1:]))


# ---- training


class Epochs:
    """Our Trainer's epochs one after the other; what it does once is done before.

    Args:
        n_batches: the first so many of each epoch; None: all.
        precision: of the Trainer, where it has that setting.
    """

    def __init__(
        self,
        name: str,
        data: Data,
        *,
        batch_size: int,
        n_batches: int | None = None,
        precision: str = "float32",
        **options: Any,
    ) -> None:
        config = train_config(
            name, batch_size=batch_size, tensorboard=False, **({"precision": precision} if HAS_PRECISION else {})
        )
        self.data, self.trainer, self.epoch = data, Trainer(config), 0
        self.model = build_model(name, data.catalogue, seed=0, **options).to(data.device)
        if n_batches is not None:
            _first_batches(self.model, n_batches)
        self.model.prepare(data.split.train, self.trainer._generator(0))
        self.optimizer = self.trainer._optimizer(self.model)

    def __call__(self) -> None:
        self.epoch += 1
        with torch.random.fork_rng():  # dropout draws from the global generator
            rate = self.trainer.config.learning_rate
            self.trainer._epoch(self.model, self.data.split.train, self.optimizer, self.epoch, rate)

    def a_batch(self) -> Any:
        self.model.eval()
        size = self.trainer.config.batch_size
        return next(iter(self.model.batches(self.data.split.train, self.trainer._generator(1), batch_size=size, epoch=1)))


def neumf_epoch(data: Data) -> Work:
    n_negatives, batch_size, train = 4, 4096, data.split.train
    options = {"factors": FACTORS, "embedding_size": FACTORS, "layers": list(TOWER)}
    ours = Epochs(
        "neumf", data, batch_size=batch_size, features="none", negatives_per_positive=n_negatives, **options
    )
    n_batches = -(-len(train) * (1 + n_negatives) // batch_size)
    # The first batches of an epoch: as many rows with their negatives, so that drawing is scaled with the rest.
    few, few_share, few_part = _batches_part(SOME_BATCHES, n_batches)
    many, share, part = _batches_part(5 * SOME_BATCHES, n_batches)
    rows = {n: slice(0, len(train) if n == n_batches else n * batch_size // (1 + n_negatives)) for n in (few, many)}
    pairs = np.stack([train.users, train.items], 1)
    dataset = PairDataset(pairs[rows[few]], set(map(tuple, pairs.tolist())), train.n_items, n_negatives)
    arrays = (train.users, train.items, train.pair_keys)
    users, items, chosen = (torch.from_numpy(array.astype(np.int64)).to(data.device) for array in arrays)
    tensors = TensorPairs(users[rows[many]], items[rows[many]], chosen, train.n_items, n_negatives)
    models = [PlainNeuMF(train.n_users, train.n_items, **options).to(data.device) for _ in range(2)]
    optimizers = [torch.optim.Adam(model.parameters(), lr=1e-3) for model in models]

    def check(_: Any) -> str:
        batch, other = ours.a_batch(), PlainNeuMF(train.n_users, train.n_items, **options).to(data.device)
        _copy_neumf(ours.model, other)
        labels = torch.zeros(batch.items.shape, device=data.device)
        labels[:, 0] = 1
        with torch.no_grad():
            logits = other(batch.users.repeat_interleave(batch.items.shape[1]), batch.items.flatten())
            theirs = torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.flatten())
            return _same_loss(ours.model, batch, float(theirs))

    # The user half of the first layer once for a row and its negatives; forward, and twice that backward.
    candidates = 1 + n_negatives
    products = FACTORS * TOWER[0] + candidates * (FACTORS * TOWER[0] + _tower_products(TOWER) + TOWER[-1] + FACTORS)
    flop = 3 * 2 * len(train) * products
    return Work(
        ours=Competitor("an epoch of the Trainer", ours),
        reference=Competitor("a Dataset of pairs and a DataLoader, negatives one by one, plain modules, Adam",
                             lambda: dataset_epoch(models[0], optimizers[0], dataset, batch_size), few_share, few_part),
        plain=Competitor("PyTorch, batches of tensors, negatives at once, plain modules, Adam",
                         lambda: tensor_epoch(models[1], optimizers[1], tensors, batch_size), share, part),
        floor=lambda rates: flop / rates.fp32_gflops / 1e9,
        floor_words="the products forward and backward, the first layer split, at the fp32 GEMM rate",
        check=check,
    )  # fmt: skip


def multi_dae_epoch(data: Data, layers: list[int], precision: str = "float32") -> Work:
    batch_size, train = 500, data.split.train
    n_users = int((train.user_counts > 0).sum())
    n_batches = -(-n_users // batch_size)
    some, share, part = _batches_part(10 if n_batches > 100 else n_batches, n_batches)
    ours = Epochs("multi_dae", data, batch_size=batch_size, precision=precision, layers=layers, n_batches=some)
    plain_model = PlainMultiDAE(train.n_items, layers, 0.5).to(data.device)
    optimizer, user_items = torch.optim.Adam(plain_model.parameters(), lr=1e-3), train.user_items()
    plain = Competitor(
        "PyTorch in fp32, dense rows, log_softmax, Adam",
        lambda: dense_epoch(plain_model, optimizer, user_items, batch_size, some, seed=0), share, part,
    )  # fmt: skip

    def check(_: Any) -> str:
        batch, other = ours.a_batch(), _same_multi_dae(ours.model, data, layers).eval()
        rows = torch.zeros(len(batch.history), train.n_items, device=data.device)
        rows[batch.history.rows, batch.history.items] = 1
        with torch.no_grad():
            return _same_loss(ours.model, batch, float(other.loss(rows)))

    widths = [*layers, *reversed(layers[:-1]), train.n_items]
    flop = 3 * 2 * n_users * sum(a * b for a, b in zip(widths, widths[1:]))
    return Work(
        ours=Competitor(f"an epoch of the Trainer, {precision}", ours, share, part),
        reference=plain,
        plain=plain,
        floor=lambda rates: flop / _rate(rates, precision) / 1e9,
        floor_words=f"the products forward and backward without the first layer, at the {_short(precision)} GEMM rate",
        check=check,
    )


def _first_batches(model: Recommender, n: int) -> None:
    batches = model.batches
    model.batches = lambda *arguments, **named: islice(batches(*arguments, **named), n)


def _batches_part(n: int, n_batches: int) -> tuple[int, float, str]:
    n = min(n, n_batches)
    return n, n / n_batches, "" if n == n_batches else f"{n:,} of {n_batches:,} batches"


def _copy_neumf(ours: Recommender, other: PlainNeuMF) -> None:
    with torch.no_grad():
        for name in ("user_factors", "item_factors", "user_embedding", "item_embedding"):
            getattr(other, name).weight.copy_(getattr(ours, name).weight)
    other.tower.load_state_dict(ours.tower.state_dict())
    other.output.load_state_dict(ours.output.state_dict())  # both read [product | tower]


def _same_multi_dae(ours: Recommender, data: Data, layers: list[int]) -> PlainMultiDAE:
    """A plain Multi-DAE with the weights of ours."""
    other = PlainMultiDAE(data.size.n_items, layers, 0.5).to(data.device)
    with torch.no_grad():
        other.layers[0].weight.copy_(ours.item_embeddings.T)
        other.layers[0].bias.copy_(ours.first_bias)
    for mine, its in zip([*ours.hidden, ours.output], other.layers[1:]):
        its.load_state_dict(mine.state_dict())
    return other


def _same_loss(model: Recommender, batch: Any, theirs: float) -> str:
    with torch.no_grad():
        total, count = model.loss(batch)
    mine = float(total) / count
    if abs(mine - theirs) > 1e-4 * abs(theirs):
        raise ValueError(f"the loss of a batch with the same weights is {mine:.6f}, that of plain PyTorch {theirs:.6f}")
    return f"loss of a batch with the same weights equal to plain PyTorch: {mine:.5f}"


def _rate(rates: Rates, precision: str) -> float:
    return rates.bf16_gflops if precision == "bfloat16" else rates.fp32_gflops


def _short(precision: str) -> str:
    return {"float32": "fp32", "bfloat16": "bf16"}[precision]


# ---- loading


def load_ratings(path: Path, size: Size) -> Work:
    def check(told: Told) -> str:
        others = {way: in_a_process(way, path).content for way in ("pandas_and_unique", "pandas_and_factorize")}
        for way, content in others.items():
            if content != told.content:
                raise ValueError(f"read_log found {told.content}, {way} {content}")
        found = told.content
        counts = f"{found['rows']:,} rows, {found['users']:,} users, {found['items']:,} items"
        return f"{counts} and a sum over all pairs equal in the three"

    def competitor(way: str, what: str) -> Competitor:
        return Competitor(what, lambda: in_a_process(way, path))

    return Work(
        ours=competitor("ours", f"read_log of a ratings.csv of {path.stat().st_size / 2**20:,.0f} MiB, {size}"),
        reference=competitor("pandas_and_unique", "pandas.read_csv, np.unique of both columns, scipy CSR"),
        plain=competitor("pandas_and_factorize", "pandas.read_csv, pd.factorize of both columns, scipy CSR"),
        floor=competitor("read_bytes", "reading the bytes, from the page cache"),
        check=check,
    )


def begin(way: str, what: str, folder: Path) -> Work:
    """What a person waits for before anything else: an import, the first cell."""
    return Work(
        ours=Competitor(what, lambda: in_a_process(way, folder)),
        check=lambda told: "nothing to compare",
    )


def in_a_process(way: str, path: Path) -> Told:
    """Run one of loading.WAYS in a fresh process."""
    found = _last_line([sys.executable, "-m", "benchmarks.loading", way, path])
    return Told(found.pop("seconds"), found.pop("peak_mib"), found)


def _last_line(command: list[Any]) -> dict[str, Any]:
    """The JSON that a command prints last. Raises: ValueError with its last word, where it fails."""
    done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]
        raise ValueError(f"{Path(str(command[-2])).name} failed: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


# ---- scaling


@dataclass(frozen=True)
class Point:
    """One place of the scaling curves; `varied` is what differs from the base."""

    varied: str
    users: int = 6_000
    items: int = 4_000
    factors: int = 64
    k: int = 20
    rows_each: int = 20  # interactions of a user

    @property
    def value(self) -> int:
        return getattr(self, self.varied)

    @property
    def base(self) -> str:
        """Of all points of a run the same."""
        base = Point(self.varied)
        return f"{base.users:,} users x {base.items:,} items, {base.rows_each} rows a user, {base.factors} factors, k {base.k}"


AXES = {
    "users": (1_500, 3_000, 6_000, 12_000, 24_000),
    "items": (1_000, 2_000, 4_000, 8_000, 16_000),
    "factors": (16, 32, 64, 128, 256),
    "k": (5, 10, 20, 40, 80),
}
CURVES = ("evaluation", "multi_dae epoch", "neumf epoch")  # of a dot product


def scaling_points(axes: dict[str, Sequence[int]] = AXES, **base: int) -> list[Point]:
    return [Point(**base | {"varied": name, name: value}) for name, values in axes.items() for value in values]


def scaling_works(point: Point) -> Iterator[tuple[str, Callable[[], Work]]]:
    """The curves that go through this point; k matters to an evaluation alone."""
    data = Data("scaling", Size(point.users, point.items, point.users * point.rows_each))
    layers = [2 * point.factors, point.factors, point.factors // 2]

    def evaluation() -> Work:
        model = _factored(data, point.factors)
        evaluator = Evaluator(data.split.test, seen=data.split.known_before_test, ks=[point.k], list_length=point.k)
        return Work(Competitor("Evaluator.evaluate", lambda: evaluator.evaluate(model)), lambda report: "nothing to compare")

    def epochs(name: str, **options: Any) -> Work:
        return Work(Competitor("an epoch of the Trainer", Epochs(name, data, **options)), lambda _: "nothing to compare")

    yield CURVES[0], evaluation
    if point.varied != "k":
        yield CURVES[1], lambda: epochs("multi_dae", batch_size=500, layers=[point.factors])
        sizes = {"factors": point.factors, "embedding_size": point.factors, "layers": layers}
        yield CURVES[2], lambda: epochs("neumf", batch_size=4096, features="none", **sizes)


# ---- all of them


@dataclass(frozen=True)
class Entry:
    """A work and the sizes that it has."""

    group: str
    name: str
    sizes: str
    make: Callable[[Data], Work]


def entries() -> list[Entry]:
    entries = [
        Entry("evaluation", "ncf catalogue", "SM", ncf_catalogue),
        Entry("evaluation", "dot product", "SML", dot_product),
        Entry("evaluation", "multi_dae evaluation [600, 200]", "ML", multi_dae_evaluation),
    ]
    entries.append(Entry("training", "neumf epoch", "SM", neumf_epoch))
    for precision in ("float32", "bfloat16") if HAS_PRECISION else ("float32",):
        end = " bfloat16" if precision == "bfloat16" else ""
        entries += [
            Entry("training", f"multi_dae epoch [200]{end}", "SML", lambda data, p=precision: multi_dae_epoch(data, [200], p)),
            Entry(
                "training", f"multi_dae epoch [600, 200]{end}", "SM",
                lambda data, p=precision: multi_dae_epoch(data, [600, 200], p),
            ),  # fmt: skip
        ]
    entries.append(Entry("sequences", "sas_rec evaluation", "M", sas_rec_evaluation))
    for precision in ("float32", "bfloat16"):
        end = " bfloat16" if precision == "bfloat16" else ""
        entries.append(Entry("sequences", f"sas_rec epoch{end}", "M", lambda data, p=precision: sas_rec_epoch(data, p)))
    return entries


# ---- peers


def with_peers(work: Work, data: Data) -> Work:
    """The same dot product by RecTools and implicit, each in a process of an environment of their own, after ours."""

    def also(rates: Rates, seconds: float, report: Report) -> dict[str, Any]:
        try:
            found = _ask_peers(data)
        except (ValueError, OSError, subprocess.SubprocessError) as error:
            return {"peer_seconds": {}, "peers": f"not measured ({error})"}
        versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
        told = ", ".join(f"{name} {took:.3g} s ({took / seconds:.1f} x ours)" for name, took in found["seconds"].items())
        ours = np.array([report.mean(f"recall@{k}") for k in KS])
        off = {name: float(np.abs(ours - values).max()) for name, values in found["recall"].items()}
        same = ", ".join(f"{name}'s recall {'equal to ours' if gap < 1e-4 else f'differs by {gap:.4f}'}" for name, gap in off.items())
        return {"peer_seconds": found["seconds"], "peers": f"{told}, in a process of their own, on the CPU; {same} ({versions})"}

    return replace(work, also=also)


def _ask_peers(data: Data) -> dict[str, Any]:
    python = _peers_python()
    model, seen, test = _factored(data, FACTORS), data.split.known_before_test, data.split.test
    large = data.size.n_users * data.size.n_items > 10**9  # there RecTools takes 15 GB
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "factors.npz"
        np.savez(
            path, names=["implicit"] if large else ["rectools", "implicit"],
            user_factors=model.user_factors.cpu().numpy(), item_factors=model.item_factors.cpu().numpy(),
            seen_users=seen.users, seen_items=seen.items, test_users=test.users, test_items=test.items,
        )  # fmt: skip
        return _last_line([python, ROOT / "benchmarks" / "peers.py", path, "1" if large else "3"])


def _peers_python() -> Path:
    """An environment with both, made once and kept in the folder for temporary files. Raises: ValueError, where pip fails."""
    torch_version = torch.__version__.partition("+")[0]
    home = Path(tempfile.gettempdir()) / f"recsys_lib-peers-torch-{torch_version}"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if not (home / "complete").is_file():
        venv.create(home, with_pip=True, clear=True)
        pip = [python, "-m", "pip", "install", "--quiet", "--only-binary=:all:"]
        done = subprocess.run([*pip, *PEERS, f"torch=={torch_version}"], capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            raise ValueError(f"pip could not install {' and '.join(PEERS)}: {last}")
        (home / "complete").touch()
    return python
