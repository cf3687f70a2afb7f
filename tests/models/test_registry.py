"""Models are found by scanning a folder, and named without guessing."""

from __future__ import annotations

import dataclasses
import sys
from textwrap import dedent

import numpy as np
import pytest
import torch

import recsys_lib.models as models
from recsys_lib.data.splits import leave_one_out
from recsys_lib.evaluation.evaluator import Evaluator
from recsys_lib.evaluation.ranking import recommend
from recsys_lib.models import build_model, model_config, model_names, model_options
from recsys_lib.training.config import train_config
from recsys_lib.training.trainer import Trainer

TOY = '''
"""A toy: every item is as good as its number times the option `slope`."""

from dataclasses import dataclass

import torch

from recsys_lib.models.base import Recommender, option


@dataclass(frozen=True)
class ToyConfig:
    slope: float = option(1.0, "of the scores over the item numbers")


class Toy(Recommender):
    name = "toy"
    Config = ToyConfig
    needs_training = False

    def score(self, users, history):
        return (self.config.slope * torch.arange(self.catalogue.n_items, dtype=torch.float32)).repeat(len(users), 1)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of model files beside the library's own; forgotten afterwards."""
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    before = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - before:
        if module.startswith("recsys_lib.models.") and str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]
            vars(models).pop(module.rpartition(".")[2], None)


# ---- errors that help


def test_an_unknown_model_suggests_the_nearest_and_lists_all(toy_catalogue):
    with pytest.raises(ValueError, match=r"no model 'neumff'; did you mean 'neumf'\? Registered: .*ease, .*popularity") as caught:
        build_model("neumff", toy_catalogue, seed=0)
    assert all(name in str(caught.value) for name in model_names())
    with pytest.raises(ValueError, match=r"no model 'zzzzzz'\. Registered"):
        model_config("zzzzzz")


def test_an_unknown_option_suggests_the_nearest_and_lists_all(toy_catalogue):
    with pytest.raises(ValueError, match=r"no option of multi_dae 'dropuot'; did you mean 'dropout'\? There are: layers, dropout"):
        build_model("multi_dae", toy_catalogue, seed=0, dropuot=0.1)
    with pytest.raises(ValueError, match=r"no option of popularity 'k'\. There are: none"):
        model_config("popularity", k=3)


@pytest.mark.parametrize(
    "model, options, message",
    [
        ("neumf", {"factors": "32"}, r"option of neumf 'factors' must be of type int; got '32' \(str\)"),
        ("neumf", {"factors": 3.5}, r"'factors' must be of type int; got 3.5 \(float\)"),
        ("neumf", {"factors": True}, r"'factors' must be of type int; got True \(bool\)"),
        ("neumf", {"dropout": True}, r"'dropout' must be of type float; got True \(bool\)"),
        ("neumf", {"layers": 64}, r"'layers' must be of type list; got 64 \(int\)"),
        ("neumf", {"layers": [64, "32"]}, r"'layers': each element must be of type int; got '32'"),
        ("neumf", {"features": 3}, r"'features' must be of type (list|str); got 3"),
        ("multi_dae", {"dropout": None}, r"'dropout' must be of type float; got None"),
        ("neumf", {"factors": 0}, r"factors must be 1 or more; got 0"),
        ("neumf", {"dropout": 1.0}, r"dropout must lie in \[0, 1\); got 1.0"),
        ("neumf", {"layers": []}, r"layers must be one or more positive widths.*got \[\]"),
        ("neumf", {"features": "keywords"}, r"features must be 'all', 'none', 'user', 'item' or a list of names; got 'keywords'"),
        ("multi_dae", {"layers": [200, 0]}, r"layers must be .*got \[200, 0\]"),
        ("multi_dae", {"dropout": -0.1}, r"dropout must lie in"),
        ("ease", {"regularisation": 0}, r"regularisation must be above 0.*got 0"),
        ("user_knn", {"k": -1}, r"k must be 0 \(all neighbours\) or more; got -1"),
    ],
)
def test_a_wrong_type_or_value_says_what_was_wanted_and_what_came(model, options, message):
    with pytest.raises(ValueError, match=message):
        model_config(model, **options)


def test_what_json_and_yaml_give_is_taken():
    config = model_config("neumf", layers=[8, 4], dropout=0, features=["keywords"])
    assert config.layers == (8, 4) and config.features == ("keywords",)
    assert config.dropout == 0.0 and isinstance(config.dropout, float)
    assert model_config("neumf", features="none").features == "none"


def test_options_are_shown_with_value_default_and_meaning():
    default = model_options("user_knn")
    assert default.loc["k", "value"] == default.loc["k", "default"] == 100
    assert "neighbours" in default.loc["k", "meaning"]
    assert model_options("popularity").empty


# ---- a new model is one file


def test_a_new_model_is_one_file_and_goes_all_the_way(folder, toy_catalogue, toy_log):
    assert "toy" not in model_names()
    (folder / "toy_model.py").write_text(dedent(TOY), encoding="utf-8")
    assert "toy" in model_names() and model_names() == sorted(model_names())
    split = leave_one_out(toy_log, seed=0)
    validate = Evaluator(split.validation, seen=split.train, ks=[2]).evaluate
    model = build_model("toy", toy_catalogue, seed=0, slope=-1.0)
    record = Trainer(train_config("toy", monitor="recall@2")).fit(model, split.train, validate)
    assert record.stopped_because.startswith("closed form") and record.best == record.report.mean("recall@2")
    assert Evaluator(split.test, seen=split.known_before_test, ks=[2]).evaluate(model).n_cold == 0
    # the lowest numbers first, without what the user has: user 3 has nothing, user 1 has 1 and 3
    assert recommend(model, toy_log, users=np.array([3, 1]), k=2)["item_id"].tolist() == ["i0", "i1", "i0", "i2"]
    with pytest.raises(ValueError, match="no option of toy 'slop'; did you mean 'slope'"):
        build_model("toy", toy_catalogue, seed=0, slop=1.0)


def test_two_models_of_one_name_are_an_error_that_names_both_files(folder):
    (folder / "toy_model.py").write_text(dedent(TOY), encoding="utf-8")
    (folder / "toy_model_again.py").write_text(dedent(TOY), encoding="utf-8")
    with pytest.raises(ValueError, match=r"two models are named 'toy': recsys_lib.models.toy_model and recsys_lib.models.toy_model_again"):
        model_names()


def test_a_class_that_a_file_merely_imports_is_not_registered_twice(folder):
    (folder / "relative_model.py").write_text(
        "from recsys_lib.models.popularity import Popularity\n\n\nclass Relative(Popularity):\n    name = 'relative'\n", encoding="utf-8"
    )
    assert {"relative", "popularity"} <= set(model_names())


def test_a_model_that_owes_a_method_says_which(folder, toy_catalogue, toy_log):
    (folder / "lazy_model.py").write_text(
        "from recsys_lib.models.base import Recommender\n\n\nclass Lazy(Recommender):\n    name = 'lazy'\n", encoding="utf-8"
    )
    model = build_model("lazy", toy_catalogue, seed=0)
    with pytest.raises(NotImplementedError, match="lazy has needs_training = True and no batches"):
        model.batches(toy_log, torch.Generator(), batch_size=2, epoch=1)
    with pytest.raises(NotImplementedError, match="lazy has needs_training = True and no loss"):
        model.loss(None)
    with pytest.raises(NotImplementedError, match="lazy has neither score"):
        model.score(torch.arange(4), toy_log.history())


def test_a_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        model_config("ease").regularisation = 1.0
