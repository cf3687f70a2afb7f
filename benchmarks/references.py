"""What one would write otherwise: the notes' own way, and plain PyTorch as a good user of it writes it.

None of it uses the library's models, trainer or evaluator, so an equal recall or loss says something of both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from recsys_lib.data.interactions import History
from recsys_lib.models.ncf import NCF

# ---- evaluation


@torch.no_grad()
def notes_loop(
    model: nn.Module,
    user_features: np.ndarray,
    item_features: np.ndarray,
    user_item_matrix: np.ndarray,
    k: int = 10,
    seen: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """predict_all_scores_and_recall of the notes: user after user, each repeated once an item.

    Args:
        model: (user ids, user features, item ids, item features), all of n_items rows -> (n_items, 1) scores.
        user_features: (U, a), item_features: (n_items, b) int64 codes.
        user_item_matrix: (U, n_items) float32, 1 where an item is held out; row u is user u.
        seen: (U, n_items) bool, never recommended. The notes do not mask; a comparison with an evaluation must.
    Returns:
        (U, n_items) scores and (U,) recall, 0 where nothing is held out.
    """
    device = next(model.parameters()).device
    user_features = torch.from_numpy(user_features).to(device)
    item_features = torch.from_numpy(item_features).to(device)
    user_item_matrix = torch.from_numpy(user_item_matrix).to(device)
    model.eval()
    user_num, item_num = user_item_matrix.shape
    all_scores = torch.zeros(user_num, item_num).to(device)
    recall_scores = torch.zeros(user_num).to(device)
    for user_id in range(user_num):
        user_feature_repeated = user_features[user_id].repeat(item_num, 1).to(device)
        user_id_tensor = torch.tensor([user_id] * item_num).to(device)
        items = torch.arange(item_num).to(device)
        scores = model(user_id_tensor, user_feature_repeated, items, item_features).squeeze()
        if seen is not None:
            scores[seen[user_id]] = -torch.inf
        all_scores[user_id] = scores
        _, top_indices = torch.topk(scores, k)
        true_items = user_item_matrix[user_id] == 1
        num_relevant_items = true_items.sum()
        hits = true_items[top_indices].sum()
        recall_scores[user_id] = hits.float() / num_relevant_items.float() if num_relevant_items > 0 else torch.tensor(0.0)
    return all_scores, recall_scores


class ConcatenatedTower(nn.Module):
    """The notes' model: user, its features, item and its features side by side, then the tower. Carries the weights of ours."""

    def __init__(self, ours: NCF) -> None:
        super().__init__()
        self.user_embedding, self.item_embedding = ours.user_embedding, ours.item_embedding
        self.user_parts, self.item_parts = (
            nn.ModuleList(
                nn.Embedding.from_pretrained(part) for part in encoder.categories.weight.detach().split(_labels(encoder))
            )
            for encoder in (ours.user_features, ours.item_features)
        )
        self.tower, self.output = ours.tower, ours.output  # the first layer reads [user | item] in this very order

    def forward(self, users: Tensor, user_codes: Tensor, items: Tensor, item_codes: Tensor) -> Tensor:
        """(n,), (n, a), (n,), (n, b) -> (n, 1)."""
        of_users = [part(codes) for part, codes in zip(self.user_parts, user_codes.unbind(1))]
        of_items = [part(codes) for part, codes in zip(self.item_parts, item_codes.unbind(1))]
        hidden = torch.cat([self.user_embedding(users), *of_users, self.item_embedding(items), *of_items], 1)
        for layer in self.tower:
            hidden = F.relu(layer(hidden))
        return self.output(hidden)


def _labels(encoder) -> list[int]:
    return [len(encoder.labels[name]) for name in encoder.parts]


class GatheredProduct(nn.Module):
    """A dot product as a module of the notes' shape: the vectors of each pair are looked up and multiplied."""

    def __init__(self, user_factors: Tensor, item_factors: Tensor) -> None:
        super().__init__()
        self.user_factors = nn.Embedding.from_pretrained(user_factors)
        self.item_factors = nn.Embedding.from_pretrained(item_factors)

    def forward(self, users: Tensor, user_codes: Tensor, items: Tensor, item_codes: Tensor) -> Tensor:
        return (self.user_factors(users) * self.item_factors(items)).sum(1, keepdim=True)


class Asked:
    """Users to be ranked, as tensors: what they hold out and what they have seen.

    Args:
        users: (U,) rising user indexes.
        held_out: (m,) int64 sorted pair keys, user * n_items + item. seen: (n_users, n_items) CSR.
    """

    def __init__(self, users: np.ndarray, held_out: np.ndarray, seen: sp.csr_matrix, device: torch.device) -> None:
        rows = seen[users].tocoo()
        self.n_items = seen.shape[1]
        self.users = torch.from_numpy(users).to(device)
        self.held_out = torch.from_numpy(held_out.copy()).to(device)
        self.starts = np.searchsorted(rows.row, np.arange(len(users) + 1)).tolist()
        self.rows = torch.from_numpy(rows.row.astype(np.int64)).to(device)
        self.items = torch.from_numpy(rows.col.astype(np.int64)).to(device)


@torch.inference_mode()
def chunked_hits(score: Callable[[Tensor], Tensor], asked: Asked, ks: list[int], chunk: int) -> Tensor:
    """(U, len(ks)) int64 hits: scores of a chunk of users, mask by index, torch.topk, a binary search for the hits.

    score: (b,) users -> (b, n_items), which may be changed.
    """
    hits = []
    for start in range(0, len(asked.users), chunk):
        users = asked.users[start : start + chunk]
        scores = score(users)
        seen = slice(asked.starts[start], asked.starts[start + len(users)])
        scores.index_put_((asked.rows[seen] - start, asked.items[seen]), torch.tensor(-torch.inf, device=scores.device))
        keys = users[:, None] * asked.n_items + scores.topk(max(ks), 1).indices
        places = torch.searchsorted(asked.held_out, keys).clamp(max=len(asked.held_out) - 1)
        found = asked.held_out[places] == keys
        hits.append(torch.stack([found[:, :k].sum(1) for k in ks], 1))
    return torch.cat(hits)


def sorted_hits(scores: np.ndarray, users: np.ndarray, held_out: sp.csr_matrix, seen: sp.csr_matrix, ks: list[int]) -> np.ndarray:
    """(U, len(ks)) int64 hits the slow way, with a full sort and sets; (U, n_items) scores, row u belongs to users[u]."""
    hits = []
    for row, user in zip(scores, users):
        row = row.copy()
        row[seen[user].indices] = -np.inf
        ranked = np.argsort(-row, kind="stable")
        hits.append([len(set(ranked[:k].tolist()) & set(held_out[user].indices.tolist())) for k in ks])
    return np.array(hits)


# ---- NeuMF


class PlainNeuMF(nn.Module):
    """NeuMF with a table an embedding and the concatenated input. Source: He et al., WWW 2017."""

    def __init__(self, n_users: int, n_items: int, factors: int, embedding_size: int, layers: list[int]) -> None:
        super().__init__()
        self.user_factors, self.item_factors = nn.Embedding(n_users, factors), nn.Embedding(n_items, factors)
        self.user_embedding, self.item_embedding = nn.Embedding(n_users, embedding_size), nn.Embedding(n_items, embedding_size)
        widths = [2 * embedding_size, *layers]
        self.tower = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.output = nn.Linear(factors + layers[-1], 1)
        for embedding in (self.user_factors, self.item_factors, self.user_embedding, self.item_embedding):
            nn.init.normal_(embedding.weight, std=0.01)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """(n,), (n,) -> (n,) logits."""
        product = self.user_factors(users) * self.item_factors(items)
        hidden = torch.cat([self.user_embedding(users), self.item_embedding(items)], 1)
        for layer in self.tower:
            hidden = F.relu(layer(hidden))
        return self.output(torch.cat([product, hidden], 1)).squeeze(1)


class PairDataset(Dataset):
    """The notes' Dataset, "one case at a time": (user, item, label) as tensors a call, as the tutorials write it;
    negatives by rejection, one after the other.

    Args:
        pairs: (n, 2) int64. known: every pair that is chosen, as a set of tuples.
    """

    def __init__(self, pairs: np.ndarray, known: set[tuple[int, int]], n_items: int, n_negatives: int, seed: int = 0) -> None:
        self.pairs, self.known, self.n_items, self.n_negatives = pairs.tolist(), known, n_items, n_negatives
        self.rng = np.random.default_rng(seed)
        self.columns: tuple[Tensor, Tensor, Tensor] = ()

    def draw(self) -> None:
        rows = [(user, item, 1.0) for user, item in self.pairs]
        for user, _ in self.pairs:
            for _ in range(self.n_negatives):
                item = int(self.rng.integers(self.n_items))
                while (user, item) in self.known:
                    item = int(self.rng.integers(self.n_items))
                rows.append((user, item, 0.0))
        users, items, labels = zip(*rows)
        self.columns = torch.tensor(users), torch.tensor(items), torch.tensor(labels)

    def __len__(self) -> int:
        return (1 + self.n_negatives) * len(self.pairs)

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor, Tensor]:
        users, items, labels = self.columns
        return users[place], items[place], labels[place]


def dataset_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, dataset: PairDataset, batch_size: int) -> None:
    """An epoch as in the notes: negatives anew, then a DataLoader that asks for one pair after the other."""
    device = next(model.parameters()).device
    dataset.draw()
    for users, items, labels in DataLoader(dataset, batch_size=batch_size, shuffle=True, num_workers=0):
        _step(model, optimizer, users.to(device), items.to(device), labels.float().to(device))


class TensorPairs:
    """The same rows as tensors; negatives of an epoch drawn at once, and those that were chosen drawn again.

    Args:
        users, items: (n,) int64. chosen: (m,) int64 sorted pair keys, user * n_items + item.
    """

    def __init__(self, users: Tensor, items: Tensor, chosen: Tensor, n_items: int, n_negatives: int) -> None:
        self.users, self.items, self.chosen, self.n_items, self.n_negatives = users, items, chosen, n_items, n_negatives
        self.generator = torch.Generator(users.device).manual_seed(0)

    def draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Users, items, labels, ((1 + n_negatives) n,) each."""
        users = self.users.repeat_interleave(self.n_negatives)
        items = torch.randint(self.n_items, users.shape, generator=self.generator, device=users.device)
        again = torch.nonzero(self._was_chosen(users, items)).flatten()
        while len(again):
            items[again] = torch.randint(self.n_items, again.shape, generator=self.generator, device=users.device)
            again = again[self._was_chosen(users[again], items[again])]
        labels = torch.zeros(len(self.users) + len(users), device=users.device)
        labels[: len(self.users)] = 1
        return torch.cat([self.users, users]), torch.cat([self.items, items]), labels

    def _was_chosen(self, users: Tensor, items: Tensor) -> Tensor:
        keys = users * self.n_items + items
        return self.chosen[torch.searchsorted(self.chosen, keys).clamp(max=len(self.chosen) - 1)] == keys


def tensor_epoch(model: nn.Module, optimizer: torch.optim.Optimizer, pairs: TensorPairs, batch_size: int) -> None:
    users, items, labels = pairs.draw()
    for rows in torch.randperm(len(users), generator=pairs.generator, device=users.device).split(batch_size):
        _step(model, optimizer, users[rows], items[rows], labels[rows])


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, users: Tensor, items: Tensor, labels: Tensor) -> None:
    optimizer.zero_grad()
    F.binary_cross_entropy_with_logits(model(users, items), labels).backward()
    optimizer.step()


# ---- Multi-DAE


class PlainMultiDAE(nn.Module):
    """Multi-DAE over dense rows. Source: Liang et al., WWW 2018."""

    def __init__(self, n_items: int, layers: list[int], dropout: float) -> None:
        super().__init__()
        widths = [n_items, *layers, *reversed(layers[:-1]), n_items]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
        self.dropout = dropout

    def forward(self, rows: Tensor) -> Tensor:
        """(B, n_items) of ones and zeros -> (B, n_items) logits."""
        hidden = F.dropout(F.normalize(rows), self.dropout, self.training)
        for layer in self.layers[:-1]:
            hidden = torch.tanh(layer(hidden))
        return self.layers[-1](hidden)

    def loss(self, rows: Tensor) -> Tensor:
        return -(F.log_softmax(self(rows), 1) * rows).sum(1).mean()


def dense_epoch(
    model: PlainMultiDAE, optimizer: torch.optim.Optimizer, user_items: sp.csr_matrix, batch_size: int, n_batches: int, seed: int
) -> None:
    """The first n_batches of an epoch; (n_users, n_items) CSR, a batch of it made dense at a time."""
    device = next(model.parameters()).device
    model.train()
    order = np.random.default_rng(seed).permutation(np.flatnonzero(np.diff(user_items.indptr)))
    for start in range(0, min(len(order), n_batches * batch_size), batch_size):
        rows = torch.from_numpy(user_items[order[start : start + batch_size]].toarray()).to(device)
        optimizer.zero_grad()
        model.loss(rows).backward()
        optimizer.step()


# ---- SASRec


class PlainSASRec(nn.Module):
    """PyTorch's own transformer over histories padded to one length. Source: Kang and McAuley, ICDM 2018; the loss over the whole catalogue."""

    def __init__(self, n_items: int, size: int, blocks: int, heads: int, max_length: int, dropout: float) -> None:
        super().__init__()
        self.items, self.places = nn.Embedding(n_items, size), nn.Embedding(max_length, size)
        layer = nn.TransformerEncoderLayer(size, heads, size, dropout, F.relu, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, blocks, nn.LayerNorm(size), enable_nested_tensor=False)
        self.dropout = dropout
        for one in self.encoder.layers:
            one.self_attn.dropout = 0.0  # ours has none there
        self.register_buffer("later", torch.ones(max_length, max_length, dtype=torch.bool).triu(1))

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """(B, max_length) items, oldest first and 0 after the end, and (B,) lengths -> (B, max_length, size)."""
        places = (len(self.later) - lengths[:, None] + torch.arange(len(self.later), device=items.device)).clamp(max=len(self.later) - 1)
        x = self.items(items) * self.items.embedding_dim**0.5 + self.places(places)
        return self.encoder(F.dropout(x, self.dropout, self.training), mask=self.later)

    def loss(self, items: Tensor, lengths: Tensor) -> Tensor:
        """(B, max_length + 1) items: each place is asked for the next one."""
        targets = items[:, 1:].masked_fill(torch.arange(1, items.shape[1], device=items.device) >= lengths[:, None], -100)
        logits = self(items[:, :-1], lengths - 1) @ self.items.weight.T  # (B, max_length, n_items)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    def score(self, items: Tensor, lengths: Tensor) -> Tensor:
        """(B, n_items)."""
        newest = self(items, lengths)[torch.arange(len(items), device=items.device), lengths - 1]
        return newest @ self.items.weight.T


def padded(history: History, length: int) -> tuple[Tensor, Tensor]:
    """The newest items of each row: (B, length) with 0 after the end, and (B,) lengths."""
    lengths = history.lengths.clamp(max=length)
    rows = [history.items[end - n : end] for end, n in zip(history.indptr[1:].tolist(), lengths.tolist())]
    return torch.stack([F.pad(row, (0, length - len(row))) for row in rows]), lengths


def sequence_epoch(
    model: PlainSASRec, optimizer: torch.optim.Optimizer, items: Tensor, lengths: Tensor, batch_size: int, n_batches: int, dtype: torch.dtype
) -> None:
    """The first n_batches of an epoch over (n_users, max_length + 1) items; the products in dtype."""
    model.train()
    for rows in torch.randperm(len(items))[: n_batches * batch_size].split(batch_size):
        optimizer.zero_grad()
        with torch.autocast(items.device.type, dtype, enabled=dtype != torch.float32):
            loss = model.loss(items[rows], lengths[rows])
        loss.backward()
        optimizer.step()
