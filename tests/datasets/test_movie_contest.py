import gzip

import numpy as np
import pytest

from recsys_lib.data.files import fingerprint_of_file
from recsys_lib.datasets import read_dataset
from recsys_lib.datasets.movie_contest import matches, read

# 3 users, 4 films that somebody watched; film 9 was watched by nobody, film 8 is in no list.
FILES = {
    "train_ratings.csv": "user,item,time\n11,5,300\n14,7,100\n11,8,200\n3,5,50\n3,6,60\n",
    "titles.tsv": "item\ttitle\n5\t\"Amélie\", the Film (2001)\n6\tSeries (1984) (2007- )\n7\tNo Year\n9\tUnseen (1990)\n",
    "years.tsv": "item\tyear\n5\t2002\n7\t1999\n",
    "genres.tsv": "item\tgenre\n5\tComedy\n5\tRomance\n5\tDrama\n6\tDrama\n9\tWar\n",
    "directors.tsv": "item\tdirector\n5\tnm0000108\n7\tnm0000108\n7\tnm0000005\n",
    "writers.tsv": "item\twriter\n6\tnm0000001\n6\tnm0000002\n6\tnm0000001\n",
}
SUBMISSION = "user,item\n" + "".join(f"{user},0\n" for user in (14, 3, 11) for _ in range(2))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "data" / "train"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def labels(feature):
    return [{feature.labels[code] for code in row} for row in np.split(feature.codes, feature.indptr[1:-1])]


def test_the_log_in_file_order_with_its_times(folder):
    dataset = read_dataset(folder)
    log, catalogue = dataset.interactions, dataset.catalogue
    assert dataset.name == "movie_contest"
    assert catalogue.users.ids.tolist() == [3, 11, 14] and catalogue.items.ids.tolist() == [5, 6, 7, 8]
    assert log.users.tolist() == [1, 2, 1, 0, 0] and log.items.tolist() == [0, 2, 3, 0, 1]
    assert log.timestamps.tolist() == [300, 100, 200, 50, 60]
    assert dataset.sources == {name: fingerprint_of_file(folder / name) for name in FILES}


def test_every_genre_director_and_writer_of_a_film_is_kept(folder):
    features = read(folder).catalogue.item_features
    assert features.names == ("genres", "directors", "writers", "year")
    assert labels(features["genres"]) == [{"Comedy", "Romance", "Drama"}, {"Drama"}, set(), set()]
    assert labels(features["directors"]) == [{"nm0000108"}, set(), {"nm0000108", "nm0000005"}, set()]
    assert labels(features["writers"]) == [set(), {"nm0000001", "nm0000002"}, set(), set()]
    assert features["writers"].indptr[-1] == 2  # the row that stands there twice counts once


def test_the_list_of_years_comes_before_the_title(folder):
    year = read(folder).catalogue.item_features["year"]
    #                                               listed, title, listed, neither
    np.testing.assert_array_equal(year.values, np.float32([2002, 2007, 1999, np.nan]))


@pytest.mark.parametrize(
    "absent, years", [("years.tsv", [2001, 2007, np.nan, np.nan]), ("titles.tsv", [2002, np.nan, 1999, np.nan])]
)
def test_either_list_of_years_is_enough(folder, absent, years):
    (folder / absent).unlink()
    np.testing.assert_array_equal(read(folder).catalogue.item_features["year"].values, np.float32(years))


def test_titles_are_readable(folder):
    titles = read(folder).tables["titles"].set_index("item")["title"]
    assert titles[5] == '"Amélie", the Film (2001)' and titles[9] == "Unseen (1990)"
    assert set(read(folder).tables) == {"titles", "years", "genres", "directors", "writers"}


def test_side_tables_may_be_absent(folder):
    for name in FILES:
        if name.endswith(".tsv"):
            (folder / name).unlink()
    dataset = read(folder)
    assert len(dataset.catalogue.item_features) == 0 and not dataset.tables
    for name in ("titles", "years", "genres", "directors", "writers"):
        assert f"{name}.tsv is not there; read without it" in dataset.notes


def test_without_a_template_every_user_gets_ten_films(folder):
    dataset = read(folder)
    template = dataset.template
    assert (template.user_column, template.item_column, template.k) == ("user", "item", 10)
    assert dataset.catalogue.users.ids_of(template.users).tolist() == [3, 11, 14]
    assert any(note.startswith("no sample_submission.csv: the submission has 10 films") for note in dataset.notes)


@pytest.mark.parametrize("place", [".", "../eval"])
def test_the_template_says_who_in_which_order_and_how_many(folder, place):
    (folder / place).mkdir(exist_ok=True)
    (folder / place / "sample_submission.csv").write_text(SUBMISSION, encoding="utf-8")
    dataset = read(folder)
    assert dataset.template.k == 2
    assert dataset.catalogue.users.ids_of(dataset.template.users).tolist() == [14, 3, 11]
    assert "sample_submission.csv" in dataset.sources and not any("no sample_submission" in note for note in dataset.notes)


def test_the_template_beside_the_log_comes_before_the_one_in_eval(folder):
    (folder / "../eval").mkdir()
    (folder / "../eval/sample_submission.csv").write_text(SUBMISSION, encoding="utf-8")
    (folder / "sample_submission.csv").write_text("user,item\n3,0\n", encoding="utf-8")
    assert read(folder).template.k == 1


def test_an_uneven_template_is_refused(folder):
    (folder / "sample_submission.csv").write_text(SUBMISSION + "11,0\n", encoding="utf-8")
    with pytest.raises(ValueError, match="most have 2, but 1 of 3 have not, e.g. 11 has 3. Use the host's file"):
        read(folder)


def test_a_user_of_the_template_who_is_not_in_the_log(folder):
    (folder / "sample_submission.csv").write_text("user,item\n3,0\n99,0\n", encoding="utf-8")
    with pytest.raises(KeyError, match="1 unknown user id"):
        read(folder)


def test_a_second_title_of_a_film_is_counted_and_left_out(folder):
    with (folder / "titles.tsv").open("a", encoding="utf-8") as stream:
        stream.write("6\tAnother (1950)\n")
    dataset = read(folder)
    assert dataset.catalogue.item_features["year"].values[1] == 2007
    assert "titles.tsv: 1 further rows of a item that came before left out" in dataset.notes


def test_gzipped_files(folder):
    wanted = read(folder)
    for name in FILES:
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes()))
        (folder / name).unlink()
    dataset = read_dataset(folder)
    assert dataset.interactions.fingerprint == wanted.interactions.fingerprint
    assert dataset.catalogue.item_features.fingerprint() == wanted.catalogue.item_features.fingerprint()
    assert set(dataset.sources) == {f"{name}.gz" for name in FILES}


def test_which_folders_are_meant(folder):
    assert matches({"train_ratings.csv"}) and not matches({"ratings.csv", "titles.tsv"})
    (folder / "train_ratings.csv").unlink()
    with pytest.raises(FileNotFoundError, match="no train_ratings.csv in train/; found directors.tsv, genres.tsv, "):
        read(folder)


def test_a_misspelt_column_of_the_log(folder):
    (folder / "train_ratings.csv").write_text("user,items,time\n1,2,3\n", encoding="utf-8")
    with pytest.raises(ValueError, match="train_ratings.csv has no column 'item'; did you mean 'items'"):
        read(folder)


def test_the_words_of_titles_are_there_for_the_eda_alone(folder):
    dataset = read(folder)
    assert "title_words" not in dataset.catalogue.item_features.names
    assert labels(dataset.all_item_features["title_words"]) == [{"amélie", "the", "film"}, {"series"}, {"year"}, set()]
    assert dataset.spellings["title_words"]["label"].tolist().count("film") == 1
    (folder / "titles.tsv").unlink()
    assert read(folder).further_item_features is None and not read(folder).spellings
