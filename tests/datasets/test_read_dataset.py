import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recsys_lib import datasets
from recsys_lib.datasets import read_dataset, readers, source_files
from recsys_lib.datasets.log import interactions_from
from recsys_lib.data.ids import IdMap


@pytest.fixture
def small_sample(tmp_path, monkeypatch):
    """A cache of its own, and a sample that is written quickly."""
    from recsys_lib.datasets import sample

    small = sample.SampleConfig(n_resumes=60, n_postings=80, n_applications=400)
    monkeypatch.setattr(sample, "SampleConfig", lambda: small)
    monkeypatch.setenv("RECSYS_CACHE", str(tmp_path / "cache"))
    return sample


def test_the_files_choose_the_reader(csv_folder, tmp_path):
    assert read_dataset(csv_folder).name == "job_postings"
    assert read_dataset(str(csv_folder)).name == "job_postings"  # as the notebooks' parameter
    (tmp_path / "ml").mkdir()
    (tmp_path / "ml" / "u.data").write_bytes(b"2\t1\t3\t881250949\n1\t2\t3\t891717742\n")
    assert read_dataset(tmp_path / "ml").name == "movielens_100k"


def test_every_reader_says_what_it_wants():
    assert set(readers()) == {"delimited", "job_postings", "movie_contest", "movielens", "ncf_split"}
    for reader in readers().values():
        assert isinstance(reader.WANTS, str) and not reader.matches(set())


def test_a_missing_directory(tmp_path):
    with pytest.raises(FileNotFoundError, match="no directory .*csv; make it and put the data there"):
        read_dataset(tmp_path / "csv")


def test_a_file_for_a_directory(csv_folder):
    with pytest.raises(NotADirectoryError, match="give the directory that holds it"):
        read_dataset(csv_folder / "resume.csv")


def test_no_match_lists_what_was_found_and_what_is_wanted(tmp_path):
    (tmp_path / "b.txt").write_text("x", encoding="utf-8")
    (tmp_path / "a.csv").write_text("x", encoding="utf-8")
    with pytest.raises(FileNotFoundError) as caught:
        read_dataset(tmp_path)
    message = str(caught.value)
    assert "found a.csv, b.txt" in message
    assert "apply_train.csv, resume.csv, recruitment.csv" in message and "MovieLens 1M: ratings.dat" in message


def test_no_match_says_how_to_describe_any_other_log(tmp_path):
    (tmp_path / "orders.csv").write_text("member,goods\n7,1\n7,2\n8,1\n", encoding="utf-8")
    with pytest.raises(FileNotFoundError) as caught:
        read_dataset(tmp_path)
    assert "with a log.yaml beside it that says 'log: FILE', 'user: COLUMN' and 'item: COLUMN'" in str(caught.value)
    (tmp_path / "log.yaml").write_text("log: orders.csv\nuser: member\nitem: goods\n", encoding="utf-8")  # what it says
    assert len(read_dataset(tmp_path).interactions) == 3


def test_the_files_of_each_reader_are_its_own():
    files = {
        "delimited": {"interactions.csv"},
        "job_postings": {"apply_train.csv", "resume.csv", "recruitment.csv"},
        "movie_contest": {"train_ratings.csv", "titles.tsv", "genres.tsv"},
        "movielens": {"ratings.csv", "movies.csv", "links.csv", "tags.csv"},
        "ncf_split": {"a.train.rating", "a.test.rating", "a.test.negative"},
    }
    for name, present in files.items():
        assert [other for other, reader in readers().items() if reader.matches(present)] == [name]


def test_data_one_level_deeper_is_pointed_out(tmp_path):
    (tmp_path / "ml-1m").mkdir()
    with pytest.raises(FileNotFoundError, match="found no files, and the folders ml-1m: is the data one level deeper?"):
        read_dataset(tmp_path)


def test_two_matches_list_what_was_found(csv_folder):
    (csv_folder / "u.data").write_bytes(b"2\t1\t3\t881250949\n")
    with pytest.raises(ValueError, match=r"2 data sets \(job_postings, movielens\): apply_train.csv, .*u.data. Keep one"):
        read_dataset(csv_folder)


def test_an_incomplete_folder_is_its_readers_business(csv_folder):
    (csv_folder / "apply_train.csv").unlink()
    with pytest.raises(FileNotFoundError, match="no apply_train.csv in csv/; found company.csv, "):
        read_dataset(csv_folder)


def test_hidden_files_and_folders_do_not_count(csv_folder):
    (csv_folder / ".u.data").write_bytes(b"x")
    (csv_folder / "deeper").mkdir()
    (csv_folder / "deeper" / "u.data").write_bytes(b"x")
    assert read_dataset(csv_folder).name == "job_postings"


def test_an_empty_directory_gives_the_sample_written_once(tmp_path, small_sample, monkeypatch):
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / ".gitkeep").write_text("", encoding="utf-8")
    (tmp_path / "csv" / "desktop.ini").write_text("", encoding="utf-8")
    first = read_dataset(tmp_path / "csv")
    assert first.synthetic and first.name == "job_postings_sample"
    assert first.notes[0].startswith("SYNTHETIC: csv/ is empty") and sum("SYNTHETIC" in note for note in first.notes) == 1
    assert "SYNTHETIC" in first.describe()["value"].iloc[0]
    assert (first.catalogue.n_users, first.catalogue.n_items, len(first.interactions)) == (60, 80, 400)
    assert sorted(path.name for path in (tmp_path / "csv").iterdir()) == [".gitkeep", "desktop.ini"]  # left as it was

    def write_again(*args):
        raise AssertionError("the sample was written again")

    monkeypatch.setattr(small_sample, "write_sample", write_again)
    second = read_dataset(tmp_path / "csv")
    assert second.interactions.fingerprint == first.interactions.fingerprint
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")] == []


def test_a_home_that_cannot_be_written_falls_back(tmp_path, small_sample, monkeypatch):
    (tmp_path / "csv").mkdir()
    (tmp_path / "home").write_text("a file where the cache should be", encoding="utf-8")
    monkeypatch.setenv("RECSYS_CACHE", str(tmp_path / "home"))
    monkeypatch.setattr(datasets.tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    assert read_dataset(tmp_path / "csv").synthetic
    assert len(list((tmp_path / "tmp" / "recsys_lab").iterdir())) == 1
    monkeypatch.setattr(datasets.tempfile, "gettempdir", lambda: str(tmp_path / "home"))
    with pytest.raises(OSError, match="set RECSYS_CACHE"):
        read_dataset(tmp_path / "csv")


def test_importing_the_readers_leaves_torch_alone():
    root = Path(__file__).resolve().parents[2]
    code = "import sys, recsys_lib.datasets as d; d.readers(); sys.exit('torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(root)}
    assert subprocess.run([sys.executable, "-c", code], cwd=root, env=environment).returncode == 0


def test_reading_leaves_the_global_random_state_alone(csv_folder):
    before = np.random.get_state()[1].copy()
    read_dataset(csv_folder)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_interactions_from_names_unknown_ids():
    import pandas as pd

    frame = pd.DataFrame({"u": ["a", "z"], "i": [1, 2]})
    with pytest.raises(KeyError, match="1 unknown user id"):
        interactions_from(frame, IdMap(["a"], "user"), IdMap([1, 2], "item"), user="u", item="i")


def test_the_files_are_known_by_their_bytes_without_reading_them(csv_folder, tmp_path, small_sample):
    found = source_files(csv_folder)
    assert {name: found[name] for name in found if name != "log.csv"} == dict(read_dataset(csv_folder).sources)
    (csv_folder / ".hidden").write_text("x", encoding="utf-8")
    (csv_folder / "README.md").write_text("x", encoding="utf-8")
    assert source_files(csv_folder) == found
    (csv_folder / "SYNTHETIC.txt").write_text("x", encoding="utf-8")  # gives the data set another name
    assert set(source_files(csv_folder)) - set(found) == {"SYNTHETIC.txt"}
    (tmp_path / "empty").mkdir()
    assert list(source_files(tmp_path / "empty")) == ["synthetic sample"]
    assert not (tmp_path / "cache").exists(), "the sample is not written for it"
    with pytest.raises(FileNotFoundError, match="no directory"):
        source_files(tmp_path / "nowhere")
