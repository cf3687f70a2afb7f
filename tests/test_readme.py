"""What the README shows is tried: its model in one file, its commands and its files."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import contest_validation, eda, feature_worth, line_up, popularity, quality, side_information, speed
from recsys_lib import Evaluator, Trainer, build_model, fraction_split, model_names, models, train_config
from recsys_lib.datasets.sample import SampleConfig, write_sample

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "README.ko.md"]


def example(page: str) -> str:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.search(r"<!-- example: recent_popularity -->\n```python\n(.*?)```", text, re.DOTALL)[1]


def test_the_model_of_the_readme_works_as_one_file(tmp_path, monkeypatch, market_log, market_catalogue):
    (tmp_path / "recent_popularity.py").write_text(example("README.md"), encoding="utf-8")
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    assert "recent_popularity" in model_names()
    split = fraction_split(market_log, fractions=(0.6, 0.2, 0.2), seed=0)
    model = build_model("recent_popularity", market_catalogue, seed=0, share=0.5)
    validate = Evaluator(split.validation, seen=split.train, ks=[5]).evaluate
    record = Trainer(train_config("recent_popularity", monitor="recall@5")).fit(model, split.train, validate)
    latest = split.train.items[len(split.train) // 2 :]
    assert model.counts[int(latest[0])] == (latest == latest[0]).sum()
    assert record.report.mean("recall@5") > 0


@pytest.mark.parametrize("page", PAGES)
def test_the_two_commands_open_the_page(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert text.index("python colab_bootstrap.py run") < text.index("python colab_bootstrap.py test") < 600


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)\)", text)
    assert len(links) > 5
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_the_tables_of_the_benchmarks_are_those_that_the_commands_wrote(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    shown = dict(re.findall(r"<!-- (benchmarks/results/\S+\.md) -->\n\n(.*?)\n<!-- end -->", text, re.DOTALL))
    written = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "benchmarks" / "results").glob("*.md")}
    assert set(shown) == set(written) and len(shown) >= 3
    for name, path in written.items():
        assert shown[name] == path.read_text(encoding="utf-8"), f"python -m benchmarks readme puts {name} into {page}"
        results = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        if "work" in results[0]:
            table = speed.markdown(results)
        elif "figure" in results[0]:
            table = eda.markdown(results)
        elif "variant" in results[0]:
            table = side_information.markdown(results)
        elif "key" in results[0]:
            table = feature_worth.markdown(results)
        elif "contest" in results[0]:
            table = contest_validation.markdown(results)
        elif "weights" in results[0]:
            table = line_up.markdown(results)
        elif "power" in results[0]:
            table = popularity.markdown(results)
        else:
            table = quality.markdown(results, results[0]["metric"])
        assert table == path.read_text(encoding="utf-8")
        assert f"--json {path.with_suffix('.json').relative_to(ROOT).as_posix()}" in text, "the command that wrote it"


def test_both_pages_show_the_same_figures():
    texts = [(ROOT / page).read_text(encoding="utf-8") for page in PAGES]
    names = "|".join(model_names())
    tables = [re.findall(rf"^\| (?:{names}) .*$", text, re.M) for text in texts]
    assert tables[0] and tables[0] == tables[1]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_same_from_python_runs_as_it_stands(page, tmp_path, monkeypatch, capsys):
    write_sample(tmp_path / "csv", SampleConfig(n_resumes=120, n_postings=100, n_applications=800))
    monkeypatch.chdir(tmp_path)
    text = (ROOT / page).read_text(encoding="utf-8")
    straight, folds = re.findall(r"```python\n((?:from recsys_lib import \*|reports = ).*?)```", text, re.DOTALL)
    names = {}
    exec(straight, names)
    said = capsys.readouterr().out
    assert "recall@5" in said and "On rows it was trained on" in said
    exec(folds, names)
    assert "deviation" in capsys.readouterr().out
