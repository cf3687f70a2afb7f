"""The form starts the very training that 02_train's cells start; the explorer shows what explain() finds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

ipywidgets = pytest.importorskip("ipywidgets")
pytest.importorskip("jinja2")

from recsys_lib.data.splits import leave_one_out  # noqa: E402
from recsys_lib.datasets.base import Dataset  # noqa: E402
from recsys_lib.display import widgets  # noqa: E402
from recsys_lib.evaluation.evaluator import Evaluator, cut_offs  # noqa: E402
from recsys_lib.evaluation.explain import explain  # noqa: E402
from recsys_lib.models import build_model, model_class, model_config, model_names  # noqa: E402
from recsys_lib.runs.folder import RunFolder, all_runs  # noqa: E402
from recsys_lib.runs.trained import load_model  # noqa: E402
from recsys_lib.runs.training_form import train_run, training_form  # noqa: E402
from recsys_lib.runs.user_explorer import N_HISTORY, example_users, explanation_tables, user_explorer  # noqa: E402
from recsys_lib.training.config import train_config  # noqa: E402
from recsys_lib.training.trainer import Trainer  # noqa: E402
from tests.display.test_widgets import control, every, text_of  # noqa: E402

QUICK = {"epochs": 3, "batch_size": 64, "learning_rate": 0.02, "evaluate_every": 1, "tensorboard": False}


@pytest.fixture
def dataset(market_log, market_catalogue):
    return Dataset(market_log, market_catalogue, {}, None, "toy", synthetic=True)


@pytest.fixture
def split(dataset):
    return leave_one_out(dataset.interactions, seed=0)


@pytest.fixture
def ws(tmp_path):
    return SimpleNamespace(runs_dir=tmp_path / "runs", publish_to=None, member="mina")


@pytest.fixture
def shown(monkeypatch):
    monkeypatch.setenv("RECSYS_BATCH", "0")
    monkeypatch.setattr("recsys_lib.display.progress.is_batch", lambda: True)  # plain lines instead of a bar
    displayed = []
    monkeypatch.setattr(widgets, "_display", displayed.append)
    return displayed


@pytest.fixture
def displayed(monkeypatch):
    """What the work itself displays."""
    import IPython.display

    taken = []
    monkeypatch.setattr(IPython.display, "display", lambda *things: taken.extend(things))
    return taken


def parameters(**changed):
    return {"SEED": 4, "SPLIT": "leave_one_out_random", "K": 5, "MODEL": "multi_dae", "MODEL_CONFIG": {}, "TRAIN_CONFIG": QUICK} | changed


def test_one_call_does_what_the_cells_of_02_train_do(dataset, split, ws, displayed, capsys):
    options = {"layers": [16], "dropout": 0.3}
    run = train_run(dataset, split, ws, model="multi_dae", model_config=options, train_config=QUICK, seed=4, k=5)
    assert run.is_finished and run.kind == "training" and run.member == "mina" and run.model == "multi_dae"
    assert run.record["parameters"]["MODEL_CONFIG"] == options and run.record["train_config"]["epochs"] == 3
    assert run.record["monitor"] == "recall@5" and run.record["seed"] == 4 and run.record["train_config"]["seed"] == 4
    assert {path.stem for path in (run.path / "figures").iterdir()} == {"training_curves", "loss_against_recall"}
    said = capsys.readouterr().out
    assert run.record["verdict"] in said and f"run {run.name}" in said and "s in evaluation" in said
    assert len(displayed) == 3  # the table of validation, two figures

    model = build_model("multi_dae", dataset.catalogue, seed=4, **options)
    config = train_config("multi_dae", **{"monitor": "recall@5", "seed": 4} | QUICK)
    validate = Evaluator(split.validation, seen=split.known_before_validation, ks=cut_offs(5, 40)).evaluate
    record = Trainer(config).fit(model, split.train, validate)
    assert list(run.history()["loss"]) == list(record.history["loss"]) and run.record["best"] == record.best
    assert load_model(RunFolder.open(run.path), dataset, split).config == model.config


def test_a_closed_form_and_publishing(dataset, split, ws, displayed, tmp_path, capsys):
    ws.publish_to = tmp_path / "shared"
    run = train_run(dataset, split, ws, model="ease", model_config={"regularisation": 5.0}, train_config={}, seed=0, k=5)
    assert "published to the shared folder" in capsys.readouterr().out
    assert RunFolder(ws.publish_to / run.name).is_finished and len(displayed) == 1


def test_a_wrong_setting_leaves_no_folder_behind(dataset, split, ws, displayed):
    for wrong in ({"model_config": {"layer": [8]}}, {"train_config": {"epochs": 0}}, {"model": "multi_da"}):
        given = {"model": "multi_dae", "model_config": {}, "train_config": {}} | wrong
        with pytest.raises(ValueError, match="did you mean|must be 1 or more"):
            train_run(dataset, split, ws, **given, seed=0, k=5)
    assert not ws.runs_dir.exists()


def test_start_makes_one_run_with_what_the_controls_say(dataset, split, ws, shown, displayed, capsys):
    training_form(dataset, split, ws, seed=4, k=5, parameters=parameters(MODEL_CONFIG={"layers": [24]}))
    root = shown[0]
    assert control(root, "layers").value == "[24]" and control(root, "epochs").value == 3
    assert control(root, "dropout").value == 0.5 and all_runs(ws.runs_dir) == []
    control(root, "layers").value = "[16, 8]"
    control(root, "epochs").value = 2
    control(root, "weight_decay").value = 0.01
    control(root, "Start · 시작").click()
    (run,) = all_runs(ws.runs_dir)
    assert run.is_finished and len(run.history()) == 2
    assert run.record["model_config"] == vars(model_config("multi_dae")) | {"layers": [16, 8], "dropout": 0.5}
    assert (run.record["train_config"]["weight_decay"], run.record["train_config"]["tensorboard"]) == (0.01, False)
    assert run.record["parameters"]["SPLIT"] == "leave_one_out_random" and run.record["monitor"] == "recall@5"
    said = capsys.readouterr().out
    assert "MODEL = 'multi_dae'\nMODEL_CONFIG = {'layers': [16, 8]}\nTRAIN_CONFIG = {" in said and "'weight_decay': 0.01" in said
    assert "plateau_factor" not in said  # a default says nothing

    control(root, "model").value = "ease"
    control(root, "regularisation").value = 7.0
    control(root, "Start · 시작").click()
    newest = all_runs(ws.runs_dir)[-1]
    assert newest.model == "ease" and newest.record["model_config"] == vars(model_config("ease", regularisation=7.0))


def test_a_wrong_value_is_a_line_in_the_form(dataset, split, ws, shown, displayed):
    training_form(dataset, split, ws, seed=4, k=5, parameters=parameters())
    control(shown[0], "layers").value = "[8.5]"
    control(shown[0], "Start · 시작").click()
    assert "option of multi_dae" in text_of(shown[0]) and "must be of type int" in text_of(shown[0])
    assert not ws.runs_dir.exists()


@pytest.mark.parametrize("name", model_names())
def test_every_model_has_a_form_with_its_defaults(name, dataset, split, ws, shown):
    training_form(dataset, split, ws, seed=4, k=5, parameters=parameters(MODEL=name, TRAIN_CONFIG={}))
    there = {one.description: getattr(one, "value", None) for one in every(shown[0]) if getattr(one, "description", "")}
    for option, value in vars(model_class(name).Config()).items():
        assert there[option] == (repr(list(value)) if isinstance(value, tuple) else value)
    if model_class(name).needs_training:
        assert there["learning_rate"] == train_config(name).learning_rate and there["evaluate_every"] == train_config(name).evaluate_every
        assert {"plateau_factor", "plateau_patience", "min_learning_rate", "batch_size", "evaluate_below_loss"} <= there.keys()
    else:
        assert "learning_rate" not in there
    assert "monitor" not in there and "seed" not in there


def test_neumf_shows_what_the_notes_speak_of(dataset, split, ws, shown):
    training_form(dataset, split, ws, seed=4, k=5, parameters=parameters(MODEL="neumf", TRAIN_CONFIG={}))
    there = {getattr(one, "description", "") for one in every(shown[0])}
    assert {"factors", "embedding_size", "layers", "dropout", "negatives_per_positive", "resample_every"} <= there
    assert "epochs that one draw of negatives serves" in text_of(shown[0])


def test_a_wrong_parameters_cell_is_said_in_a_batch_too(dataset, split, ws, shown, monkeypatch):
    monkeypatch.setenv("RECSYS_BATCH", "1")
    training_form(dataset, split, ws, seed=4, k=5, parameters=parameters())
    assert not shown
    with pytest.raises(ValueError, match="no model 'neumff'; did you mean 'neumf'"):
        training_form(dataset, split, ws, seed=4, k=5, parameters=parameters(MODEL="neumff"))


# ---- the explorer


@pytest.fixture
def ease(dataset):
    model = build_model("ease", dataset.catalogue, seed=0)
    Trainer(train_config("ease")).repeat(model, dataset.interactions, learning_rates=[])
    return model


def test_the_explorer_shows_three_tables_of_who_is_typed(dataset, ease, shown, displayed):
    user_explorer(ease, dataset, 4)
    control(shown[0], "user id · 사용자").value = "u7"
    control(shown[0], "Show · 보기").click()
    about, *tables = displayed
    assert about.data.startswith("<b>u7</b> degree: ") and len(tables) == 3
    pages = [table.to_html() for table in tables]
    wanted = explain(ease, dataset.interactions, "u7", 4)
    assert all(item in pages[1] for item in wanted.recommendations["item_id"]) and "사용자에게 추천하는" in pages[1]
    assert all(item in pages[0] for item in wanted.history["item_id"]) and "What u7 chose: 6" in pages[0]
    assert all(user in pages[2] for user in wanted.nearest_users["user_id"]) and "Users most like u7" in pages[2]

    control(shown[0], "user id · 사용자").value = "u-7"
    control(shown[0], "Show · 보기").click()
    assert "no user &#x27;u-7&#x27;; did you mean" in text_of(shown[0]) and len(displayed) == 4


def test_texts_of_the_data_cannot_be_markup(dataset, ease):
    found = explain(ease, dataset.interactions, "u7", 4, item_names={item: "<script>x</script>" for item in dataset.catalogue.items.ids})
    assert all("<script>" not in table.to_html() for table in explanation_tables(found))


def test_a_long_history_is_cut_and_says_so(dataset, ease):
    found = explain(ease, dataset.interactions, "u7", 4)
    assert "the first" not in explanation_tables(found)[0].to_html()
    object.__setattr__(found, "history", found.history.loc[np.zeros(N_HISTORY + 5, dtype=int)].reset_index(drop=True))
    page = explanation_tables(found)[0].to_html()
    assert page.count("<tr>") == N_HISTORY + 1 and "25" in page and f"the first {N_HISTORY}" in page


def test_examples_go_from_the_most_active_to_the_least(toy_catalogue, toy_log, market_log, market_catalogue):
    assert example_users(toy_log, toy_catalogue.users) == ["u2", "u0", "u1", "u3"]
    many = example_users(market_log, market_catalogue.users)
    assert len(many) == 20 and many[0] == "u0" and many[-1] == "u59" and len(set(many)) == 20
