"""Weights and training state on disk: whole or not at all, and never a pickled object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from recsys_lib.data.files import replacing
from recsys_lib.models.base import Recommender


def save_weights(path: Path, model: Recommender, *, epoch: int, weights: Mapping[str, Tensor] | None = None) -> None:
    """The model's parameters as safetensors; its name and the epoch stand in the file's header.

    Args:
        weights: those of another epoch; None: those that the model has now.
    """
    weights = model.state_dict() if weights is None else weights
    weights = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    with replacing(path) as part:
        save_file(weights, part, metadata={"model": model.name, "epoch": str(epoch)})


def load_weights(path: Path, model: Recommender) -> None:
    """Into a model that was built the same way.

    Raises:
        FileNotFoundError: no such file. ValueError: it is broken, or of another model, or of other options or data.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in run {path.parent.name}; was the training stopped before its first evaluation?")
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path.name} in run {path.parent.name} is broken ({error}); train again") from error
    own = model.state_dict()
    for name in sorted(own.keys() | weights.keys()):
        wanted = tuple(own[name].shape) if name in own else "nothing"
        came = tuple(weights[name].shape) if name in weights else "nothing"
        if wanted != came:
            raise ValueError(
                f"{path.name} does not fit this {model.name}: {name} should be {wanted} and is {came} in the file. "
                "Use the same data files and the same MODEL_CONFIG as the run."
            )
    model.load_state_dict(weights)


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Tensors and plain values (loads with weights_only=True)."""
    with replacing(path) as part:
        torch.save(state, part)


def load_state(path: Path) -> dict[str, Any]:
    """What save_state wrote, on the CPU. Raises: ValueError when the file is broken."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, KeyError, UnpicklingError) as error:
        raise ValueError(
            f"{path.name} in run {path.parent.name} is broken, or no such state at all ({type(error).__name__}); delete it to train anew in this folder, or set RESUME = False"
        ) from error
