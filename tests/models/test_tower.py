"""The compiled tower says what torch says: scores, loss, gradients; and its rough scores never decide a list."""

from __future__ import annotations

import pytest
import torch

from recsys_lib.data.splits import leave_one_out
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.models import build_model, ncf
from recsys_lib.models.tower import tower_library
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer
from tests.conftest import catalogue_of, markets_of

pytestmark = pytest.mark.skipif(tower_library() is None, reason="no compiler here")
N_USERS, N_ITEMS = 150, 700
SHAPES = {
    "as in the notes": ("neumf", {"layers": [128, 64, 32], "factors": 64, "embedding_size": 64}),
    "default": ("neumf", {}),
    "odd widths, four layers": ("neumf", {"factors": 5, "layers": [40, 20, 10, 5], "features": "none"}),
    "one layer": ("mlp", {"layers": [24]}),
    "groups longer than a tile": ("mlp", {"layers": [33, 97], "negatives_per_positive": 60}),
}
of_every_shape = pytest.mark.parametrize("shape", SHAPES)


@pytest.fixture(scope="module")
def log():
    return markets_of(N_USERS, N_ITEMS, 7, 12)


def trained(shape, log, epochs=2):
    name, options = SHAPES[shape]
    model = build_model(name, catalogue_of(N_USERS, N_ITEMS), seed=1, **options)
    Trainer(train_config(name, batch_size=512, tensorboard=False, device="cpu")).repeat(model, log, [5e-3] * epochs)
    return model.eval()


@pytest.fixture
def torch_alone(monkeypatch):
    """Switches the compiled tower off, as on a machine without a compiler."""

    def switch(model):
        monkeypatch.setattr(ncf, "tower_library", lambda: None)
        model.train().eval()  # forgets what was prepared

    return switch


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@of_every_shape
def test_scores_are_those_of_torch(log, shape, torch_alone, threads):
    model, users = trained(shape, log), torch.arange(0, N_USERS, 2)
    with torch.inference_mode():
        compiled = model.score(users, log.history().take(users))
        torch_alone(model)
        assert torch.allclose(compiled, model.score(users, log.history().take(users)), rtol=1e-5, atol=1e-5)


@of_every_shape
def test_a_pair_has_one_score_bit_for_bit(log, shape):
    """Alone, among candidates or in the whole catalogue, in whatever tile: rescored candidates rank as all items do."""
    model, users = trained(shape, log), torch.arange(N_USERS)
    history = log.history()
    with torch.inference_mode():
        scores = model.score(users, history)
        items = torch.randint(0, N_ITEMS, (N_USERS, 101), generator=torch.Generator().manual_seed(0))
        assert torch.equal(model.score_items(users, history, items), scores.gather(1, items))
        assert torch.equal(model.score(users[7:8], history.take(users[7:8])), scores[7:8])


@of_every_shape
def test_loss_and_every_gradient_are_those_of_torch(log, shape, torch_alone, threads):
    model = trained(shape, log, epochs=1).train()
    batch = next(model.batches(log, torch.Generator().manual_seed(0), batch_size=1003, epoch=1))
    losses, gradients = [], []
    for _ in range(2):
        model.zero_grad()
        total, count = model.loss(batch)
        (total / count).backward()
        losses.append(float(total.detach()))
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
        torch_alone(model)
        model.train()
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], rtol=1e-4, atol=1e-5 * float(gradients[1][name].abs().max())), name


@of_every_shape
def test_rough_scores_are_near_and_the_lists_are_exact(log, shape):
    split = leave_one_out(log, seed=3)
    model = trained(shape, split.train, epochs=6)
    users = torch.arange(N_USERS)
    with torch.inference_mode():
        rough, scores = model.score_roughly(users, split.train.history()), model.score(users, split.train.history())
    one_layer = len(SHAPES[shape][1].get("layers", [0, 0])) == 1
    assert (rough is None) == (one_layer or not tower_library().tower_has_rough())
    if rough is not None:
        assert float((rough - scores).std()) < 0.02 * float(scores.std())
    reports = [
        Evaluator(split.test, seen=split.known_before_test, ks=[5, 10], list_length=20, precision=precision).evaluate(model)
        for precision in ("auto", "float32")
    ]
    assert (reports[0].ranked == reports[1].ranked).all()
    assert (reports[0].scores == reports[1].scores).all()
    assert reports[0].mean("recall@10") == reports[1].mean("recall@10")


def test_without_a_compiler_all_goes_on(log, torch_alone):
    split = leave_one_out(log, seed=3)
    model = trained("default", split.train, epochs=6)
    evaluate = Evaluator(split.test, seen=split.known_before_test, ks=[10], list_length=20).evaluate
    compiled = evaluate(model)
    torch_alone(model)
    assert model.score_roughly(torch.arange(3), split.train.history()) is None
    assert evaluate(model).mean("recall@10") == pytest.approx(compiled.mean("recall@10"), abs=0.02)


def test_changed_weights_and_features_are_scored_anew(log):
    model, users = trained("default", log), torch.arange(4)
    history = log.history().take(users)
    with torch.inference_mode():
        before = model.score(users, history)
        state = {name: value * 1.5 for name, value in model.state_dict().items()}
        model.load_state_dict(state)
        assert not torch.allclose(before, model.score(users, history))
