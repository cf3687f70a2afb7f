"""Nothing runs with a wrong parameter; one failing run leaves the others; the child is this very interpreter."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
import pytest
import yaml

from recsys_lib import __main__ as command_line
from recsys_lib.runs import batch as batch_module
from recsys_lib.runs.batch import BatchError, check_parameters, parameters_of, read_batch, run_batch
from recsys_lib.runs.folder import all_runs

PARAMETERS = """\
SEED = 1  # of the split
K = 5
SPLIT = "leave_one_out_random"
FRACTION = 0.5
FAST = False
KS = [5, 10]
OPTIONS = {}
ANYTHING = None
RUN_DIR = ""  # given by a batch
"""


def write_notebook(path: Path, *cells: str, parameters: str = PARAMETERS, tag: str = "parameters") -> Path:
    notebook = nbformat.v4.new_notebook()
    notebook.cells = [nbformat.v4.new_code_cell(parameters, metadata={"tags": [tag]})]
    notebook.cells += [nbformat.v4.new_code_cell(source) for source in cells]
    path.write_text(nbformat.writes(notebook), encoding="utf-8")
    return path


@pytest.fixture
def notebook(tmp_path):
    return write_notebook(tmp_path / "train.ipynb")


def test_defaults_are_read_from_the_tagged_cell(notebook):
    assert parameters_of(notebook) == {
        "SEED": 1, "K": 5, "SPLIT": "leave_one_out_random", "FRACTION": 0.5, "FAST": False,
        "KS": [5, 10], "OPTIONS": {}, "ANYTHING": None, "RUN_DIR": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"SEDE": 2}, "no parameter 'SEDE'; did you mean 'SEED'?"),
        ({"seed": 2}, "no parameter 'seed'; did you mean 'SEED'?"),
        ({"XYZ": 2}, "no parameter 'XYZ'. Known: SEED, K"),
        ({"SEED": "2"}, "SEED must be int like 1; got str '2'"),
        ({"SEED": 2.0}, "SEED must be int"),
        ({"SEED": True}, "SEED must be int like 1; got bool"),
        ({"FAST": 1}, "FAST must be bool"),
        ({"SPLIT": "tempral"}, "SPLIT: no split 'tempral'; did you mean 'temporal'?"),
        ({"SPLIT": "fold_6_of_5"}, "SPLIT: no split 'fold_6_of_5'"),
        ({"FRACTION": "0.5"}, "FRACTION must be float"),
        ({"FRACTION": True}, "FRACTION must be float"),
        ({"SPLIT": 3}, "SPLIT must be str"),
        ({"SPLIT": None}, "SPLIT must be str"),
        ({"KS": 5}, "KS must be list"),
        ({"KS": ["5"]}, "KS must be list"),
        ({"OPTIONS": []}, "OPTIONS must be dict"),
    ],
)
def test_a_misspelt_name_or_a_mistyped_value_is_named_with_its_run(notebook, given, words):
    with pytest.raises(BatchError) as raised:
        check_parameters(notebook, [{"SEED": 3}, given])
    assert f"run 2: {words}" in str(raised.value) and "run 1" not in str(raised.value)


def test_what_fits_passes(notebook):
    check_parameters(notebook, [{"FRACTION": 1, "KS": [], "OPTIONS": {"a": 1}, "ANYTHING": [1]}, {}])
    check_parameters(notebook, [{"SPLIT": name} for name in ("user_holdout", "leave_10_out_random", "fold_5_of_5")])


def test_every_wrong_parameter_is_told_before_anything_runs(notebook, tmp_path):
    with pytest.raises(BatchError) as raised:
        run_batch(notebook, [{"SEDE": 1}, {"K": "5", "KSS": []}], runs_dir=tmp_path / "runs")
    assert "3 parameter(s) are wrong" in str(raised.value)
    assert not (tmp_path / "runs").exists()


def test_model_and_training_configurations_are_asked_of_their_owners(tmp_path, monkeypatch):
    import types

    asked = []

    def model_config(name, **config):
        asked.append((name, config))
        if name == "neumff":
            raise ValueError("no model 'neumff'; did you mean 'neumf'?")

    def train_config(name, **overrides):
        if "epoch" in overrides:
            raise ValueError("no setting 'epoch'; did you mean 'epochs'?")

    monkeypatch.setitem(sys.modules, "recsys_lib.models", types.SimpleNamespace(model_config=model_config))
    monkeypatch.setitem(sys.modules, "recsys_lib.training.config", types.SimpleNamespace(train_config=train_config))
    path = write_notebook(tmp_path / "n.ipynb", parameters='MODEL = "neumf"\nMODEL_CONFIG = {"factors": 8}\nTRAIN_CONFIG = {}')
    with pytest.raises(BatchError) as raised:
        check_parameters(path, [{"MODEL": "neumff"}, {"TRAIN_CONFIG": {"epoch": 3}}, {"MODEL": "ease", "MODEL_CONFIG": {}}])
    assert "run 1 (neumff): MODEL/MODEL_CONFIG: no model 'neumff'; did you mean 'neumf'?" in str(raised.value)
    assert "run 2: TRAIN_CONFIG: no setting 'epoch'" in str(raised.value) and "run 3" not in str(raised.value)
    assert asked == [("neumff", {"factors": 8}), ("neumf", {"factors": 8}), ("ease", {})]


@pytest.mark.parametrize(
    ("parameters", "tag", "words"),
    [
        ("A = 1", "other", "one cell tagged 'parameters'; it has 0"),
        ("A = 1 + x", "parameters", "literals only"),
        ("import os", "parameters", "literals only"),
        ("A, B = 1, 2", "parameters", "literals only"),
        ("%time A = 1", "parameters", "no plain Python"),
    ],
)
def test_a_parameters_cell_holds_literals(tmp_path, parameters, tag, words):
    with pytest.raises(BatchError, match=words):
        parameters_of(write_notebook(tmp_path / "n.ipynb", parameters=parameters, tag=tag))


def test_a_missing_notebook_lists_what_is_there(notebook):
    with pytest.raises(BatchError, match="train.ipynb"):
        parameters_of(notebook.with_name("02_train.ipynb"))


def test_the_batch_file_has_defaults_and_runs(tmp_path):
    path = tmp_path / "b.yaml"
    path.write_text("defaults: {SEED: 7, RATE: 1e-3}\nruns:\n  - SEED: 1\n  - {}\n  - OPTIONS: {lr: 5E-4}\n", encoding="utf-8")
    assert read_batch(path) == [{"SEED": 1, "RATE": 0.001}, {"SEED": 7, "RATE": 0.001}, {"SEED": 7, "RATE": 0.001, "OPTIONS": {"lr": 0.0005}}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("runs: []", "needs `runs:`"),
        ("- MODEL: ease", "needs `runs:`"),
        ("default: {}\nruns: [{}]", "did you mean 'defaults'"),
        ("runs: [ease]", "are mappings"),
        ("runs:\n  - {A: 1, A: 2}", "'A' is given twice"),
        ("runs: [", "no YAML"),
    ],
)
def test_a_wrong_batch_file_says_what_is_wrong(tmp_path, text, words):
    path = tmp_path / "b.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BatchError, match=words):
        read_batch(path)


def test_every_shipped_batch_fits_its_notebook():
    notebooks = Path(__file__).parents[2] / "notebooks"
    for path in (notebooks / "batches").glob("*.yaml"):
        sets = read_batch(path)
        assert all("MODEL" in parameters for parameters in sets)
        if (notebooks / "02_train.ipynb").is_file():
            check_parameters(notebooks / "02_train.ipynb", sets)


def test_console_lines_are_prefixed_and_throttled():
    told = []
    lines = batch_module._Lines("ease", told.append, burst=3, seconds=60)
    lines.write("one\ntw")
    lines.write("o\r\n\n  \nthree\rfour\nfive\nhalf")
    lines.close()
    assert told == ["[ease] one", "[ease] two", "[ease] three", "[ease] ... 2 more line(s), all in notebook.ipynb", "[ease] half"]


WORK = """\
import os, sys
print("interpreter", sys.executable)
print("environment", os.environ["RECSYS_BATCH"], os.environ["RECSYS_MEMBER"])
from recsys_lib.runs.folder import RunFolder
run = RunFolder.open(RUN_DIR)
assert SEED != 2, "seed two is unlucky in " + RUN_DIR
run.write_metrics({"recall@5": SEED / 8})
run.finish(parameters={"SEED": SEED, "이름": OPTIONS.get("이름"), "RUN_DIR": RUN_DIR}, best_epoch=SEED)
"""


@pytest.mark.notebook
def test_a_failing_run_leaves_the_others_intact(tmp_path, monkeypatch):
    # a kernelspec that another Python once registered must not be taken
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "elsewhere"))
    spec = tmp_path / "elsewhere" / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(json.dumps({"argv": ["/nowhere/python", "{connection_file}"], "display_name": "x", "language": "python"}), encoding="utf-8")
    notebook = write_notebook(tmp_path / "train.ipynb", WORK)
    told = []
    batch = run_batch(
        notebook, [{"SEED": 1, "OPTIONS": {"이름": "민아"}}, {"SEED": 2}, {"SEED": 3}],
        runs_dir=tmp_path / "runs", member="mina", console=told.append,
    )  # fmt: skip
    first, second, third = batch.runs
    assert [run.status for run in batch.runs] == ["finished", "failed", "finished"] and batch.failed == [second]
    assert first.record["parameters"] == {"SEED": 1, "이름": "민아", "RUN_DIR": f"runs/{first.name}"}
    assert second.record["error"][-1].startswith("AssertionError: seed two is unlucky")
    executed = (second.path / "notebook.ipynb").read_text(encoding="utf-8")
    assert "An Exception was encountered" in executed
    table = batch.table()
    assert table["recall@5"].tolist()[::2] == [1 / 8, 3 / 8] and table["status"].tolist()[1] == "failed"
    assert f"[training] interpreter {sys.executable}" in told
    assert any("environment 1 mina" in line for line in told) and any("FAILED" in line for line in told)
    for run in batch.runs:
        for path in run.path.rglob("*"):
            assert path.is_dir() or str(tmp_path) not in path.read_text(encoding="utf-8"), path
        nbformat.validate(nbformat.read(run.path / "notebook.ipynb", as_version=4))


@pytest.mark.notebook
def test_the_command_runs_a_yaml_finishes_plain_notebooks_and_exits_with_1_on_failure(tmp_path, capfd):
    notebook = write_notebook(tmp_path / "plain.ipynb", "import os\nassert K < 9\nprint('K is', K, os.path.basename(DATA_DIR))",
                              parameters='K = 5\nDATA_DIR = ""')  # fmt: skip
    (tmp_path / "b.yaml").write_text(yaml.safe_dump({"runs": [{"K": 3}, {"K": 9}]}), encoding="utf-8")
    (tmp_path / "ml-1m").mkdir()
    arguments = ["batch", str(notebook), str(tmp_path / "b.yaml"), "--runs", str(tmp_path / "runs"), "--data", str(tmp_path / "ml-1m")]
    assert command_line.main(arguments) == 1
    said = capfd.readouterr().out
    assert "[training] K is 3 ml-1m" in said and "FAILED" in said
    good, bad = all_runs(tmp_path / "runs")
    assert good.record["parameters"] == {"K": 3, "DATA_DIR": "ml-1m"} and good.record["seconds_notebook"] > 0
    assert bad.status == "failed" and bad.record["error"][-1] == "AssertionError:"


def test_stopped_by_hand_the_run_says_so_and_the_rest_does_not_start(tmp_path, notebook, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(batch_module, "_execute", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_batch(notebook, [{}, {}], runs_dir=tmp_path / "runs", console=lambda line: None)
    assert [run.record["error"] for run in all_runs(tmp_path / "runs")] == [["KeyboardInterrupt: stopped by hand"]]


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("{runs}/x/notebook.ipynb", "<runs>/x/notebook.ipynb"),
        ("in {runs}.", "in <runs>."),
        ("File {root}/recsys_lib/a.py, line 3", "File <root>/recsys_lib/a.py, line 3"),
        ("DATA_DIR = '/data/secret/ml-1m'", "DATA_DIR = 'ml-1m'"),
        ("http://host{root}x and {root}-2", "http://host{root}x and {root}-2"),
    ],
)
def test_what_is_kept_names_places_not_paths(tmp_path, text, kept):
    root, runs = tmp_path / "lab", tmp_path / "lab" / "runs"
    places = batch_module._Places(root / "notebooks" / "n.ipynb", {"DATA_DIR": "/data/secret/ml-1m", "K": 5}, runs, root)
    fill = {"root": str(root), "runs": str(runs)}
    assert places.named({"text": [text.format(**fill)]}) == {"text": [kept.format(**fill)]}
    assert places.named({"image/png": str(root)}) == {"image/png": str(root)}


def test_the_command_says_what_is_wrong_and_exits_with_2(tmp_path, notebook, capsys):
    (tmp_path / "b.yaml").write_text("runs: [{SEDE: 3}]", encoding="utf-8")
    assert command_line.main(["batch", str(notebook), str(tmp_path / "b.yaml"), "--runs", str(tmp_path / "runs")]) == 2
    assert "did you mean 'SEED'?" in capsys.readouterr().err
    assert command_line.main(["batch", str(notebook), str(tmp_path / "c.yaml")]) == 2
