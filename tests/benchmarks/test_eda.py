"""The benchmark of the EDA: its files can be read, every figure draws something, and the table says what the rows say."""

import json

import pytest

from benchmarks.__main__ import main
from benchmarks.eda import markdown, run_eda
from benchmarks.synthetic import Size, synthetic_log, write_with_features
from recsys_lib.datasets import read_dataset
from recsys_lib.eda import figures

TINY = Size(300, 120, 6_000)


def test_the_files_are_those_of_movielens_1m(tmp_path):
    write_with_features(tmp_path, TINY)
    dataset = read_dataset(tmp_path)
    log = dataset.interactions
    assert dataset.name == "movielens_1m" and (log.n_users, len(log)) == (TINY.n_users, TINY.n_rows)
    expected = synthetic_log(TINY)
    assert set(zip(dataset.catalogue.users.ids[log.users] - 1, dataset.catalogue.items.ids[log.items] - 1)) == set(
        zip(expected.users.tolist(), expected.items.tolist())
    )
    assert dataset.all_user_features.names == ("gender", "age", "occupation", "zip_code")
    assert len(dataset.catalogue.item_features["genres"].labels) == 18 and dataset.spellings["title_words"]["rows"].sum() > 200


@pytest.mark.slow
def test_every_figure_is_drawn_once_and_the_table_says_so(tmp_path, capsys):
    rows = run_eda(["S"], tmp_path / "eda.json", known={"S": TINY})
    assert rows[0]["pictures"] == len(figures.__all__) and set(rows[0]["seconds"]) == {"reading", *figures.__all__}
    assert json.loads((tmp_path / "eda.json").read_text(encoding="utf-8")) == rows
    table = (tmp_path / "eda.md").read_text(encoding="utf-8")
    assert table == markdown(rows) and "300 users x 120 items, 6,000 rows" in table and table in capsys.readouterr().out


def test_an_unknown_size(capsys, tmp_path):
    assert main(["eda", "--size", "XL", "--json", str(tmp_path / "eda.json")]) == 2
    assert "no size 'XL'" in capsys.readouterr().err
