"""The first command on a copy of the tree: small real-form data in, table, figures and an acceptable submission out."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from recsys_lib import check_submission, read_dataset
from recsys_lib.datasets.sample import SampleConfig, write_sample

ROOT = Path(__file__).parents[1]


def readme_example() -> str:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "tests" / "test_readme.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.example("README.md")


@pytest.mark.notebook
@pytest.mark.slow
def test_run_goes_from_csv_to_submission_with_a_model_added_as_one_file(tmp_path):
    lab = tmp_path / "lab"
    lab.mkdir()
    for name in ("recsys_lib", "notebooks"):
        shutil.copytree(ROOT / name, lab / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("colab_bootstrap.py", "requirements.txt"):
        shutil.copy(ROOT / name, lab / name)
    (lab / "recsys_lib" / "models" / "recent_popularity.py").write_text(readme_example(), encoding="utf-8")
    data = write_sample(tmp_path / "data", SampleConfig(n_resumes=300, n_postings=200, n_applications=2000))
    # The tests run inside an environment that has the packages; the command may not look for another one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("RECSYS", "PYTHONPATH"))}
    done = subprocess.run(
        [sys.executable, "-c", "import colab_bootstrap as b, sys; b.ensure_environment = lambda root: sys.executable; sys.exit(b.main(sys.argv[1:]))",
         "run", "--data", str(data), "--out", str(tmp_path / "out"), "--models", "recent_popularity,ease,multi_dae"],
        cwd=lab, env=environment, capture_output=True, text=True, encoding="utf-8", timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    runs = sorted((tmp_path / "out" / "runs").iterdir())
    records = [json.loads((run / "run.json").read_text(encoding="utf-8")) for run in runs]
    assert [record["kind"] for record in records] == ["eda", "training", "training", "training", "evaluation"]
    assert all((run / "notebook.ipynb").is_file() for run in runs)
    assert records[-1]["parents"] == [run.name for run in runs[1:4]]

    metrics = json.loads((runs[-1] / "metrics.json").read_text(encoding="utf-8"))
    table = pd.DataFrame(metrics["table"])
    assert set(table["model"]) == {"recent_popularity", "ease", "multi_dae"}
    assert table.set_index("model").loc["ease", "recall@5"] > table.set_index("model").loc["recent_popularity", "recall@5"]
    for word in ("recent_popularity", "submission.csv", "notebook.ipynb", "figures"):
        assert word in done.stdout

    dataset = read_dataset(data)
    submission = runs[-1] / "submission.csv"
    assert check_submission(submission, dataset.template, seen=dataset.interactions, catalogue=dataset.catalogue) == []
    assert sum(1 for _ in submission.open(encoding="utf-8")) == 1 + 300 * 5
    assert len(list((tmp_path / "out" / "eda_outputs").rglob("*.png"))) == 13
    text = "".join(path.read_text(encoding="utf-8") for run in runs for path in run.rglob("*") if path.suffix in (".json", ".jsonl", ".ipynb"))
    assert str(tmp_path) not in text, "no absolute path enters a file"
