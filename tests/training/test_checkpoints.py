from __future__ import annotations


import pytest
import torch
from safetensors import safe_open

from recsys_lib.models import build_model
from recsys_lib.training import checkpoints
from recsys_lib.training.checkpoints import load_state, load_weights, save_state, save_weights


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "a-run"
    folder.mkdir()
    return folder


def same(left, right) -> bool:
    right = right.state_dict()
    return all(torch.equal(value, right[name]) for name, value in left.state_dict().items())


def test_weights_come_back_bit_for_bit_and_the_file_says_whose_they_are(run, toy_catalogue):
    model, other = (build_model("neumf", toy_catalogue, seed=seed) for seed in (1, 2))
    assert not same(model, other)
    save_weights(run / "best.safetensors", model, epoch=7)
    load_weights(run / "best.safetensors", other)
    assert same(model, other)
    with safe_open(run / "best.safetensors", "pt") as file:
        assert file.metadata() == {"model": "neumf", "epoch": "7"}


@pytest.mark.parametrize("what", ["weights", "state"])
def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(run, toy_catalogue, monkeypatch, what):
    model = build_model("gmf", toy_catalogue, seed=1)
    path = run / ("best.safetensors" if what == "weights" else "last.state.pt")

    def save(epoch):
        if what == "weights":
            save_weights(path, model, epoch=epoch)
        else:
            save_state(path, {"epoch": epoch})

    save(1)
    before = path.read_bytes()

    def half(*given, **named):
        target = given[1]
        target.write_bytes(b"half a file")
        raise OSError("disk full, pretended")

    monkeypatch.setattr(checkpoints, "save_file", half)
    monkeypatch.setattr(checkpoints.torch, "save", half)
    with pytest.raises(OSError, match="disk full"):
        save(2)
    assert path.read_bytes() == before
    assert [file.name for file in run.iterdir()] == [path.name]


def test_no_file_says_which_run(run, toy_catalogue):
    with pytest.raises(FileNotFoundError, match="no best.safetensors in run a-run; was the training stopped before its first evaluation"):
        load_weights(run / "best.safetensors", build_model("gmf", toy_catalogue, seed=1))


@pytest.mark.parametrize("content", [b"", b"not a checkpoint at all", None])
def test_a_broken_file_says_so_and_leaves_the_model(run, toy_catalogue, content):
    model, kept = (build_model("gmf", toy_catalogue, seed=1) for _ in range(2))
    path = run / "best.safetensors"
    if content is None:  # cut off in the middle
        save_weights(path, build_model("gmf", toy_catalogue, seed=2), epoch=1)
        content = path.read_bytes()[:-100]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"best.safetensors in run a-run is broken \(.*\); train again"):
        load_weights(path, model)
    assert same(model, kept)


def test_weights_of_other_options_are_refused_with_both_shapes(run, toy_catalogue):
    save_weights(run / "best.safetensors", build_model("gmf", toy_catalogue, seed=1, factors=8), epoch=1)
    model, kept = (build_model("gmf", toy_catalogue, seed=1, factors=5) for _ in range(2))
    message = r"best.safetensors does not fit this gmf: item_factors.weight should be \(6, 5\) and is \(6, 8\) in the file. .* same MODEL_CONFIG"
    with pytest.raises(ValueError, match=message):
        load_weights(run / "best.safetensors", model)
    assert same(model, kept)


def test_weights_of_another_model_are_refused(run, toy_catalogue):
    save_weights(run / "best.safetensors", build_model("gmf", toy_catalogue, seed=1), epoch=1)
    with pytest.raises(ValueError, match=r"does not fit this neumf: .* should be .* and is nothing in the file"):
        load_weights(run / "best.safetensors", build_model("neumf", toy_catalogue, seed=1, factors=32))


def test_the_state_loads_without_unpickling_objects(run):
    state = {"rows": [{"epoch": 1, "loss": 0.5, "flag": True}], "weights": {"w": torch.arange(3.0)}, "text": "x", "none": None}
    save_state(run / "last.state.pt", state)
    loaded = load_state(run / "last.state.pt")
    assert torch.equal(loaded.pop("weights")["w"], state.pop("weights")["w"]) and loaded == state


def test_a_state_that_would_run_code_is_refused(run):
    class Trap:
        def __reduce__(self):
            return print, ("code ran",)

    torch.save({"trap": Trap()}, run / "last.state.pt")
    # Without torch's own advice, which is to load it unsafely.
    with pytest.raises(ValueError, match=r"no such state at all \(UnpicklingError\); delete it to train anew"):
        load_state(run / "last.state.pt")


def test_half_a_state_is_said_to_be_broken(run):
    (run / "last.state.pt").write_bytes(b"half")
    with pytest.raises(ValueError, match="last.state.pt in run a-run is broken"):
        load_state(run / "last.state.pt")
