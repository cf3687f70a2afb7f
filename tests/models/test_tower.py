"""The compiled tower says what torch says: scores, loss, gradients; and its rough scores never decide a list."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recsys_lib.data import native
from recsys_lib.data.splits import leave_one_out
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.models import build_model, ncf, tower
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
        told = rough.isfinite()  # of the others it says that it does not know
        assert float(told.float().mean()) > 0.98
        assert float((rough - scores)[told].std()) < 0.02 * float(scores.std())
    reports = [
        Evaluator(split.test, seen=split.known_before_test, ks=[5, 10], list_length=20, precision=precision).evaluate(model)
        for precision in ("auto", "float32")
    ]
    assert (reports[0].ranked == reports[1].ranked).all()
    assert (reports[0].scores == reports[1].scores).all()
    assert reports[0].mean("recall@10") == reports[1].mean("recall@10")


def test_values_that_do_not_fit_eight_bits_are_never_trusted(log, monkeypatch):
    """Scales from a sample that is far too small: most pairs have larger values, and still no list changes."""
    split = leave_one_out(log, seed=3)
    model = trained("as in the notes", split.train, epochs=6)
    if not tower_library().tower_has_rough():
        pytest.skip("no products in 8 bits on this processor")
    monkeypatch.setattr(tower, "_SAMPLED", 2)
    with torch.inference_mode():
        rough = model.train().eval().score_roughly(torch.arange(N_USERS), split.train.history())
    assert 0 < float(rough.isinf().float().mean()) < 1
    lists = [
        Evaluator(split.test, seen=split.known_before_test, ks=[5], list_length=20, precision=precision).evaluate(model)
        for precision in ("auto", "float32")
    ]
    assert (lists[0].ranked == lists[1].ranked).all() and (lists[0].scores == lists[1].scores).all()


@pytest.mark.parametrize("where", ["item_embedding.weight", "tower.1.weight", "output.weight"])
def test_what_is_no_number_shows(log, where):
    model = trained("default", log)
    with torch.no_grad():
        dict(model.named_parameters())[where][0] = torch.nan
    with pytest.raises(ValueError, match="gives NaN scores"):
        Evaluator(log.take(np.arange(len(log)) % 9 == 0), seen=log.take(np.arange(len(log)) % 9 != 0), ks=[5]).evaluate(
            forgetting(model)
        )
    batch = next(model.train().batches(log, torch.Generator().manual_seed(0), batch_size=20_000, epoch=1))
    assert model.loss(batch)[0].isnan()


def forgetting(model):
    """Without the rows it was trained on, so that the Evaluator asks it about them."""
    model.trained_on = model.trained_on[:0]
    return model


def test_gradients_are_handed_out_once(log):
    model = trained("default", log).train()
    total, _ = model.loss(next(model.batches(log, torch.Generator().manual_seed(0), batch_size=500, epoch=1)))
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="handed out before; compute the loss again"):
        total.backward()


def test_double_precision_goes_the_way_of_torch(log):
    model = trained("default", log).double()
    with torch.inference_mode():
        assert model.score_roughly(torch.arange(3), log.history()) is None
        assert model.score(torch.arange(3), log.history().take(torch.arange(3))).isfinite().all()


@pytest.mark.parametrize("flags", [[], ["-mavx2", "-mfma"]])
def test_other_processors_say_the_same(log, flags, monkeypatch, tmp_path):
    """The code for fewer and narrower registers, compiled and run here."""
    if flags and "avx2" not in native._processor():
        pytest.skip("this processor has no AVX2")
    model, users = trained("odd widths, four layers", log), torch.arange(9)
    history = log.history().take(users)
    batch = next(model.batches(log, torch.Generator().manual_seed(0), batch_size=500, epoch=1))

    def asked():
        with torch.inference_mode():
            scores = model.train().eval().score(users, history)
        return scores, float(model.train().loss(batch)[0].detach())

    scores, loss = asked()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(native, "_FLAGS", (flags,))
    native._library.cache_clear()
    try:
        others, other_loss = asked()
        assert tower_library().tower_has_rough() == 0
    finally:
        native._library.cache_clear()
    assert torch.allclose(scores, others, rtol=1e-5, atol=1e-5)
    assert other_loss == pytest.approx(loss, rel=1e-6)


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
