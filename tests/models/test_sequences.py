"""SASRec, BERT4Rec and what they share, against the same written out."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from recsys_lib.data.interactions import History, Interactions
from recsys_lib.data.splits import leave_one_out
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.models import build_model
from recsys_lib.models.sequences import _STRIPE, Sequences, SoftmaxLoss, side_by_side
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import catalogue_of


def history_of(*rows):
    lengths = torch.tensor([len(row) for row in rows])
    return History(torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)]), torch.tensor([item for row in rows for item in row], dtype=torch.int64))


def built(name, catalogue, log, **options):
    model = build_model(name, catalogue, seed=3, **{"size": 8, "max_length": 5, "dropout": 0.0} | options)
    Trainer(train_config(name, device="cpu")).repeat(model, log, [])
    with torch.no_grad():  # as built, items and places hardly differ
        for parameter in (model.item_embeddings, model.places):
            parameter.normal_(generator=torch.Generator().manual_seed(1))
    return model


# ---- shared


def test_the_newest_items_lie_side_by_side_oldest_first():
    items, lengths = side_by_side(history_of([1, 2, 3, 4], [], [7], [5, 6]), 3)
    assert lengths.tolist() == [3, 0, 1, 2]
    assert items.tolist() == [[2, 3, 4], [0, 0, 0], [7, 0, 0], [5, 6, 0]]
    nothing, lengths = side_by_side(history_of([], []), 3)
    assert nothing.shape == (2, 3) and lengths.tolist() == [0, 0]


@pytest.mark.parametrize("positions", [1, 7, _STRIPE, 2 * _STRIPE + 3])
def test_the_loss_and_its_gradients_are_those_of_cross_entropy(positions):
    torch.manual_seed(0)
    tensors = [torch.randn(shape, requires_grad=True) for shape in ((positions, 6), (11, 6), (11,))]
    targets = torch.randint(0, 11, (positions,))
    ours = SoftmaxLoss.apply(*tensors, targets)
    theirs = F.cross_entropy(tensors[0] @ tensors[1].T + tensors[2], targets, reduction="sum")
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    for one, other in zip(torch.autograd.grad(3 * ours, tensors), torch.autograd.grad(3 * theirs, tensors)):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-4)


def test_without_a_bias_it_is_the_loss_of_a_bias_of_zeros():
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(9, 6, requires_grad=True), torch.randn(11, 6, requires_grad=True), torch.randint(0, 11, (9,))
    ours, with_zeros = (SoftmaxLoss.apply(hidden, weight, bias, targets) for bias in (None, torch.zeros(11)))
    assert torch.equal(ours, with_zeros)
    for one, other in zip(torch.autograd.grad(ours, [hidden, weight]), torch.autograd.grad(with_zeros, [hidden, weight])):
        assert torch.equal(one, other)


def test_a_hopeless_target_leaves_the_loss_finite_and_its_gradient_right():
    weight = torch.tensor([[0.0], [500.0]])
    hidden = torch.ones(1, 1, requires_grad=True)
    ours = SoftmaxLoss.apply(hidden, weight, None, torch.tensor([0]))
    assert float(ours.detach()) == 500.0
    assert float(torch.autograd.grad(ours, hidden)[0]) == 500.0


@pytest.mark.parametrize("name", ["sas_rec", "bert4rec"])
def test_a_training_step_in_bfloat16_is_near_that_in_float32(name, market_catalogue, market_log):
    """On a CPU, attention is then another code."""
    model = built(name, market_catalogue, market_log, heads=2)
    batch = next(model.batches(market_log, torch.Generator().manual_seed(0), batch_size=16, epoch=1))
    gradients = []
    for low in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=low):
            total, _ = model.loss(batch)
        gradients.append(torch.cat([part.flatten() for part in torch.autograd.grad(total, list(model.blocks.parameters()))]))
    assert 0 < float((gradients[0] - gradients[1]).norm() / gradients[0].norm()) < 0.05


def test_in_bfloat16_it_is_near():
    torch.manual_seed(0)
    tensors = [torch.randn(shape, requires_grad=True) for shape in ((300, 16), (40, 16), (40,))]
    targets = torch.randint(0, 40, (300,))
    with torch.autocast("cpu", torch.bfloat16):
        ours = SoftmaxLoss.apply(*tensors, targets)
    theirs = F.cross_entropy(tensors[0] @ tensors[1].T + tensors[2], targets, reduction="sum")
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=0.01)
    for one, other in zip(torch.autograd.grad(ours, tensors), torch.autograd.grad(theirs, tensors)):
        assert float((one - other).norm() / other.norm()) < 0.02


@pytest.mark.parametrize("name", ["sas_rec", "bert4rec"])
def test_an_epoch_visits_each_user_with_enough_rows_once(name, toy_catalogue, toy_log):
    model = built(name, toy_catalogue, toy_log)
    batches = list(model.batches(toy_log, torch.Generator().manual_seed(0), batch_size=2, epoch=1))
    rows = sorted(batch.history.items[a:b].tolist() for batch in batches for a, b in zip(batch.history.indptr, batch.history.indptr[1:]))
    whole = toy_log.history()
    expected = [whole.items[a:b].tolist() for a, b in zip(whole.indptr, whole.indptr[1:]) if b - a >= 2]
    assert rows == sorted(expected)


def test_batches_hold_about_equal_numbers_of_items(market_catalogue):
    """400 users of 2 to 40 rows: of those of short histories there are many in a batch, and an item counts the same everywhere."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(2, 41, 400)
    items = np.concatenate([generator.permutation(40)[:n] for n in lengths])
    log = Interactions(np.repeat(np.arange(400), lengths), items, 400, 40)
    model = build_model("sas_rec", catalogue_of(400, 40), seed=0, size=8, max_length=30)
    model.prepare(log, torch.Generator())
    batches = list(model.batches(log, torch.Generator().manual_seed(0), batch_size=20, epoch=1))
    read = np.array([float(batch.history.lengths.clamp(max=31).sum()) for batch in batches])
    users = np.array([len(batch.history) for batch in batches])
    assert 18 <= len(batches) <= 22 and users.sum() == 400 and users.max() > 2.5 * users.min()
    assert np.quantile(read, 0.9) < 1.5 * np.quantile(read, 0.1)
    for batch_size in (1, 7):  # what is asked for is kept
        sizes = [len(batch.history) for batch in model.batches(log, torch.Generator().manual_seed(0), batch_size=batch_size, epoch=1)]
        assert sum(sizes) == 400 and min(sizes) > 0 and np.mean(sizes) == pytest.approx(batch_size, rel=0.25)


def test_full_histories_of_one_length_make_batches_of_the_size_asked_for():
    n_users, n_items = 64, 30
    log = Interactions(np.repeat(np.arange(n_users), n_items), np.tile(np.arange(n_items), n_users), n_users, n_items)
    model = build_model("sas_rec", catalogue_of(n_users, n_items), seed=0, size=8, max_length=20)  # all are cut to 21 items
    model.prepare(log, torch.Generator())
    for batch_size in (1, 8, 64):
        sizes = [len(batch.history) for batch in model.batches(log, torch.Generator().manual_seed(0), batch_size=batch_size, epoch=1)]
        assert sum(sizes) == n_users and max(sizes) <= 2 * batch_size and np.mean(sizes) == pytest.approx(batch_size, rel=0.1)


def test_no_batch_is_many_times_another_where_a_few_histories_are_long():
    """Zipf's lengths: what rounding leaves to the longest histories, and padding, stay bounded."""
    generator = np.random.default_rng(0)
    lengths = np.minimum(generator.zipf(1.6, 3000) + 1, 200)
    items = np.concatenate([generator.permutation(400)[:n] for n in lengths])
    log = Interactions(np.repeat(np.arange(3000), lengths), items, 3000, 400)
    model = build_model("sas_rec", catalogue_of(3000, 400), seed=0, size=8, max_length=200)
    model.prepare(log, torch.Generator())
    batches = list(model.batches(log, torch.Generator().manual_seed(0), batch_size=32, epoch=1))
    read = np.array([float(batch.history.lengths.sum()) for batch in batches])
    padded = np.array([len(batch.history) * int(batch.history.lengths.max()) for batch in batches])
    assert sum(len(batch.history) for batch in batches) == 3000
    assert read.max() < 3 * np.median(read) and padded.max() <= 2 * 32 * 201


@pytest.mark.parametrize("name", ["sas_rec", "bert4rec"])
def test_where_nobody_has_two_rows_there_is_no_batch(name):
    log = Interactions(np.arange(4), np.arange(4), 4, 6)
    model = build_model(name, catalogue_of(4, 6), seed=0)
    model.prepare(log, torch.Generator())
    assert list(model.batches(log, torch.Generator(), batch_size=2, epoch=1)) == []


def test_parts_keep_what_was_hidden():
    whole = Sequences(history_of([1, 2, 3], [4], [5, 6]), torch.tensor([True, False, True, True, False, True]))
    parts = whole.split(2)
    assert [part.history.items.tolist() for part in parts] == [[1, 2, 3, 4], [5, 6]]
    assert [part.hidden.tolist() for part in parts] == [[True, False, True, True], [False, True]]


@pytest.mark.parametrize("name", ["sas_rec", "bert4rec"])
def test_what_comes_before_the_newest_items_and_who_else_is_asked_change_nothing(name, market_catalogue, market_log):
    model = built(name, market_catalogue, market_log).eval()
    with torch.no_grad():
        alone = model.score(torch.tensor([0]), history_of([3, 1, 4, 1, 5]))
        longer = model.score(torch.tensor([0]), history_of([9, 2, 6, 3, 1, 4, 1, 5]))
        beside = model.score(torch.tensor([1, 0]), history_of([8, 9, 7, 9, 3, 2], [3, 1, 4, 1, 5]))[1:]
        turned = model.score(torch.tensor([0]), history_of([5, 1, 4, 1, 3]))
    assert torch.allclose(alone, longer, atol=1e-5) and torch.allclose(alone, beside, atol=1e-5)
    assert not torch.allclose(alone, turned, atol=1e-2)  # the order counts


@pytest.mark.parametrize("name", ["sas_rec", "bert4rec"])
def test_it_learns_what_comes_next(name):
    """Everybody walks round a circle of 20 items from a place of his own: the next item is certain, and no count tells it."""
    generator = np.random.default_rng(0)
    users, n = 200, 8
    starts = generator.integers(0, 20, users)
    items = (starts[:, None] + np.arange(n)) % 20
    log = Interactions(np.repeat(np.arange(users), n), items.ravel(), users, 20, np.tile(np.arange(n), users))
    split = leave_one_out(log, seed=0)
    validate = Evaluator(split.validation, seen=split.train, ks=[1]).evaluate
    model = build_model(name, catalogue_of(users, 20), seed=0, size=16, max_length=10, blocks=1, heads=1)
    epochs = {"sas_rec": 60, "bert4rec": 150}[name]  # one learns from every place of an epoch, the other from a fifth
    config = train_config(name, epochs=epochs, batch_size=64, learning_rate=0.01, monitor="recall@1", device="cpu", evaluate_every=5)
    Trainer(config).fit(model, split.train, validate)
    assert validate(model).mean("recall@1") > 0.9
    ease = build_model("ease", catalogue_of(users, 20), seed=0)
    ease.prepare(split.train, torch.Generator())
    assert validate(ease).mean("recall@1") < 0.7


@pytest.mark.parametrize(
    "options, message",
    [({"size": 7, "heads": 2}, "multiple of heads"), ({"blocks": 0}, "1 or more"), ({"dropout": -0.1}, r"\[0, 1\)")],
)
def test_options_that_mean_nothing_are_refused(market_catalogue, options, message):
    for name in ("sas_rec", "bert4rec"):
        with pytest.raises(ValueError, match=message):
            build_model(name, market_catalogue, seed=0, **options)


# ---- SASRec


def plain_states(model, vectors, mask):
    """(L, size) -> (L, size): one history, no batch; mask: (L, L) which position sees which."""
    x = vectors
    for block in model.blocks:
        q, k, v = block.queries_keys_values(block.before_attention(x)).chunk(3, dim=1)
        heads = []
        for q, k, v in zip(q.chunk(block.heads, 1), k.chunk(block.heads, 1), v.chunk(block.heads, 1)):
            weights = (q @ k.T / q.shape[1] ** 0.5).masked_fill(~mask, -torch.inf).softmax(1)
            heads.append(weights @ v)
        x = x + block.mix(torch.cat(heads, 1))
        x = x + block.outer(block.activation(block.inner(block.before_layers(x))))
    return model.last_norm(x)


@pytest.mark.parametrize("heads", [1, 2])
def test_sas_rec_is_the_written_out_forward_pass(market_catalogue, market_log, heads):
    model = built("sas_rec", market_catalogue, market_log, heads=heads).eval()
    row = torch.tensor([7, 3, 9])
    with torch.no_grad():
        vectors = model.item_embeddings[row] * 8**0.5 + model.places[2:]  # three items at the last three of five places
        expected = plain_states(model, vectors, torch.ones(3, 3).tril().bool())[-1] @ model.item_embeddings.T
        assert torch.allclose(model.score(torch.tensor([0]), history_of(row.tolist()))[0], expected, rtol=1e-4, atol=1e-4)


def test_sas_recs_loss_asks_each_position_for_the_next_item(market_catalogue, market_log):
    model = built("sas_rec", market_catalogue, market_log)
    rows = [[7, 3, 9], [1, 2, 3, 4, 5, 6, 8, 0], [4, 4]]
    total, count = model.loss(Sequences(history_of(*rows)))
    expected, n = 0.0, 0
    for row in rows:
        row = torch.tensor(row[-6:])  # five places, and the newest item is asked for
        vectors = model.item_embeddings[row[:-1]] * 8**0.5 + model.places[5 - (len(row) - 1) :]
        states = plain_states(model, vectors, torch.ones(len(row) - 1, len(row) - 1).tril().bool())
        expected += float(F.cross_entropy(states @ model.item_embeddings.T, row[1:], reduction="sum").detach())
        n += len(row) - 1
    assert count == n == 8 and float(total.detach()) == pytest.approx(expected, rel=1e-4)


# ---- BERT4Rec


def test_bert4rec_is_the_written_out_forward_pass(market_catalogue, market_log):
    model = built("bert4rec", market_catalogue, market_log).eval()
    row = torch.tensor([7, 3, 9])
    with torch.no_grad():
        model.item_bias.normal_()
        vectors = torch.cat([model.item_embeddings[row], model.mask]) * 8**0.5 + model.places[1:]
        state = plain_states(model, vectors, torch.ones(4, 4).bool())[-1]
        expected = F.gelu(model.head(state)) @ model.item_embeddings.T + model.item_bias
        assert torch.allclose(model.score(torch.tensor([0]), history_of(row.tolist()))[0], expected, rtol=1e-4, atol=1e-4)


def test_bert4recs_loss_asks_for_what_is_hidden_and_for_nothing_else(market_catalogue, market_log):
    model = built("bert4rec", market_catalogue, market_log)
    rows, hidden = [[7, 3, 9], [4, 6]], torch.tensor([False, True, False, False, True])
    total, count = model.loss(Sequences(history_of(*rows), hidden))
    expected = 0.0
    for row, at in ((torch.tensor([7, 3, 9]), 1), (torch.tensor([4, 6]), 1)):
        vectors = model.item_embeddings[row].clone()
        vectors[at] = model.mask[0]
        states = plain_states(model, vectors * 8**0.5 + model.places[5 - len(row) :], torch.ones(len(row), len(row)).bool())
        scores = F.gelu(model.head(states[at])) @ model.item_embeddings.T + model.item_bias
        expected += float(F.cross_entropy(scores, row[at], reduction="sum").detach())
    assert count == 2 and float(total.detach()) == pytest.approx(expected, rel=1e-4)


def test_everybody_has_something_hidden_among_what_is_read_and_about_the_share(market_catalogue, market_log):
    model = built("bert4rec", market_catalogue, market_log, max_length=3, hidden_share=0.3)
    hidden = read = 0
    for epoch in range(1, 30):
        for batch in model.batches(market_log, torch.Generator().manual_seed(epoch), batch_size=16, epoch=epoch):
            for first, last in zip(batch.history.indptr.tolist(), batch.history.indptr.tolist()[1:]):
                assert batch.hidden[max(first, last - 3) : last].any()
            hidden, read = hidden + int(batch.hidden.sum()), read + len(batch.hidden)
    assert 0.28 < hidden / read < 0.40  # a little more than the share: nobody has none
