"""Room 3: the contract (base.py) and one model a file, found by scanning this folder."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pandas as pd
import torch

from recsys_lib.data.catalogue import Catalogue
from recsys_lib.data.names import did_you_mean
from recsys_lib.models.base import Recommender, checked, options_table


def _registry() -> dict[str, type[Recommender]]:
    found: dict[str, type[Recommender]] = {}
    for module_info in pkgutil.iter_modules(__path__):
        module = importlib.import_module(f"{__name__}.{module_info.name}")
        for value in vars(module).values():
            # Only the class that this file defines itself, not what it imports to build on.
            if (
                isinstance(value, type)
                and issubclass(value, Recommender)
                and value.__module__ == module.__name__
                and "name" in vars(value)
            ):
                if value.name in found:
                    raise ValueError(f"two models are named {value.name!r}: {found[value.name].__module__} and {module.__name__}")
                found[value.name] = value
    return dict(sorted(found.items()))


def model_names() -> list[str]:
    """Every registered model, sorted."""
    return list(_registry())


def model_class(name: str) -> type[Recommender]:
    """The class behind a registry name.

    Raises:
        ValueError: there is none; the message suggests the nearest.
    """
    registry = _registry()
    if name not in registry:
        raise ValueError(f"no model {name!r}{did_you_mean(name, registry)} Registered: {', '.join(registry)}.")
    return registry[name]


def model_config(name: str, **config: Any) -> Any:
    """The options of a model, checked: names, types and values.

    Raises:
        ValueError: an unknown model or option ("did you mean"), a wrong type or value.
    """
    return checked(model_class(name).Config, config, f"option of {name}")


def build_model(name: str, catalogue: Catalogue, *, seed: int, **config: Any) -> Recommender:
    """A fresh model, its weights drawn from a private generator.

    Args:
        name: in the registry, see model_names().
        config: the model's options, see its Config.
    Raises:
        ValueError: an unknown model or option, a wrong type or value.
    """
    options = model_config(name, **config)
    with torch.random.fork_rng(devices=[]):  # the global state is put back
        torch.default_generator.manual_seed(seed)  # the CPU's alone: torch.manual_seed would reseed a GPU's too, for good
        return model_class(name)(catalogue, options)


def model_options(model: Recommender | str) -> pd.DataFrame:
    """The options of a model, or of a registry name with its defaults: value, default, meaning."""
    return options_table(model_config(model) if isinstance(model, str) else model.config)
