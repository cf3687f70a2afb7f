import gzip
import time
from pathlib import Path

import numpy as np
import pytest

from recsys_lib.datasets import movielens, read_dataset
from recsys_lib.datasets.movielens import matches, read

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"  # beside the repository; not part of it


def real(name):
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"no {name} beside the repository (GroupLens does not allow passing it on)")
    return folder


def note_with(dataset, words):
    found = [note for note in dataset.notes if words in note]
    assert len(found) == 1, (words, dataset.notes)
    return found[0]


def labels(feature):
    return [{feature.labels[code] for code in row} for row in np.split(feature.codes, feature.indptr[1:-1])]


@pytest.fixture
def one_m(tmp_path):
    """3 users, 3 rated films of 4; film 20 is rated and not listed."""
    folder = tmp_path / "ml"
    folder.mkdir()
    ratings = "2::10::5::300\n1::30::1::100\n1::10::3::200\n3::20::4::50\n"
    (folder / "ratings.dat.gz").write_bytes(gzip.compress(ratings.encode()))
    movies = "10::Amélie: \"Le Film\" (2001)::Comedy|Romance\n30::Film (1984) (1995)::Drama\n40::Unseen (1990)::War\n"
    (folder / "movies.dat").write_bytes(movies.encode("iso-8859-1"))
    (folder / "users.dat").write_bytes(b"1::F::1::10::01234\n2::M::56::16::70072\n3::M::25::0::55117\n")
    return folder


@pytest.fixture
def hundred_k(tmp_path):
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    (folder / "u.data").write_bytes(b"2\t1\t3\t881250949\n1\t2\t3\t891717742\n1\t1\t1\t878887116\n")
    flags = {1: [1, 5], 2: [0]}
    rows = [
        f"{item}|{title}|01-Jan-1995||http://x/{item}|" + "|".join(str(int(place in flags[item])) for place in range(19))
        for item, title in ((1, "Café (1995)"), (2, "unknown"))
    ]
    (folder / "u.item").write_bytes("\n".join(rows).encode("iso-8859-1"))
    (folder / "u.user").write_bytes(b"1|24|M|technician|85711\n2|53|F|other|T8H1N\n")
    (folder / "README").write_bytes(b"a text")
    return folder


def test_1m_every_rating_is_an_interaction_in_file_order_with_its_time(one_m):
    dataset = read(one_m)
    log, catalogue = dataset.interactions, dataset.catalogue
    assert dataset.name == "movielens_1m" and dataset.template is None
    assert catalogue.users.ids.tolist() == [1, 2, 3] and catalogue.items.ids.tolist() == [10, 20, 30]
    assert log.users.tolist() == [1, 0, 0, 2] and log.items.tolist() == [0, 2, 0, 1]
    assert log.timestamps.tolist() == [300, 100, 200, 50]
    assert set(dataset.sources) == {"ratings.dat.gz", "movies.dat", "users.dat"}


def test_1m_features(one_m):
    catalogue = read(one_m).catalogue
    users, items = catalogue.user_features, catalogue.item_features
    assert labels(items["genres"]) == [{"Comedy", "Romance"}, set(), {"Drama"}]
    np.testing.assert_array_equal(items["year"].values, np.float32([2001, np.nan, 1995]))
    age = users["age"]
    assert [age.labels[code] for code in age.codes] == ["1", "56", "25"]
    occupation = users["occupation"]
    assert [occupation.labels[code] for code in occupation.codes] == ["K-12 student", "self-employed", "other"]
    assert users["gender"].labels == ("", "F", "M")


def test_1m_titles_are_readable_and_zip_codes_keep_their_zeros(one_m):
    tables = read(one_m).tables
    assert tables["movies"]["title"].iloc[0] == 'Amélie: "Le Film" (2001)'
    assert tables["users"]["zip_code"].iloc[0] == "01234"
    assert list(tables["ratings"].columns) == ["user_id", "item_id", "rating", "timestamp"]


def test_1m_zip_codes_and_words_of_titles_are_there_for_the_eda_alone(one_m):
    dataset = read(one_m)
    assert dataset.catalogue.user_features.names == ("gender", "age", "occupation")
    assert dataset.all_user_features.names == ("gender", "age", "occupation", "zip_code")
    assert dataset.all_user_features["zip_code"].labels == ("", "01234", "55117", "70072")
    assert dataset.all_item_features.names == ("genres", "year", "title_words")
    assert labels(dataset.all_item_features["title_words"]) == [{"amélie", "film"}, set(), {"film"}]  # 10, 20 (unlisted), 30
    assert dataset.spellings["title_words"].set_index("typed")["rows"].to_dict() == {"Film": 2, "Amélie": 1, "Unseen": 1}


def test_1m_films_without_ratings_are_left_out_and_counted(one_m):
    dataset = read(one_m)
    assert note_with(dataset, "films without a rating are left out").startswith("1 ")
    assert note_with(dataset, "rated films are not in the list").startswith("1 ")
    assert 40 not in dataset.catalogue.items.ids


def test_100k(hundred_k):
    dataset = read(hundred_k)
    users, items = dataset.catalogue.user_features, dataset.catalogue.item_features
    assert dataset.name == "movielens_100k" and len(dataset.interactions) == 3
    assert labels(items["genres"]) == [{"Action", "Comedy"}, {"unknown"}]
    np.testing.assert_array_equal(items["year"].values, np.float32([1995, np.nan]))
    assert users["age"].values.tolist() == [24, 53]
    assert dataset.tables["movies"]["title"].tolist() == ["Café (1995)", "unknown"]
    assert dataset.tables["movies"]["genres"].tolist() == ["Action|Comedy", "unknown"]


def test_the_lists_may_be_absent(hundred_k):
    (hundred_k / "u.item").unlink()
    (hundred_k / "u.user").unlink()
    dataset = read(hundred_k)
    assert len(dataset.catalogue.item_features) == len(dataset.catalogue.user_features) == 0
    note_with(dataset, "u.item is not there")
    note_with(dataset, "u.user is not there")


def test_a_pair_rated_twice_is_merged_and_counted(hundred_k):
    with (hundred_k / "u.data").open("ab") as stream:
        stream.write(b"2\t1\t4\t881250999\n")
    dataset = read(hundred_k)
    assert len(dataset.interactions) == 3 and "1 of 4 rows" in note_with(dataset, "merged")


def test_a_wrong_separator_is_named(one_m):
    (one_m / "users.dat").write_bytes(b"1,F,1,10,48067\n")
    with pytest.raises(ValueError, match=r"ml/users.dat looks separated by commas, not by double colons"):
        read(one_m)


def test_neither_is_refused(tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "movies.csv").write_text("movieId,title,genres\n", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="no MovieLens in none/; wanted MovieLens 100K: .* found movies.csv"):
        read(tmp_path / "none")


def test_two_kinds_in_one_folder_are_refused(one_m, hundred_k, latest):
    (one_m / "u.data").write_bytes((hundred_k / "u.data").read_bytes())
    with pytest.raises(ValueError, match=r"ml/ holds MovieLens 100K \(u.data\) and MovieLens 1M \(.*\); keep one"):
        read(one_m)
    (one_m / "u.data").unlink()
    (one_m / "users.dat").unlink()  # without it the folder is that of 10M
    for path in latest.iterdir():
        (one_m / path.name).write_bytes(path.read_bytes())
    with pytest.raises(ValueError, match=r"MovieLens 10M \(ratings.dat\) and MovieLens 20M or later \(.*\); keep one"):
        read_dataset(one_m)


def test_which_folders_are_meant():
    for names in ({"u.data"}, {"ratings.dat", "users.dat"}, {"ratings.dat", "movies.dat"}, {"ratings.csv", "movies.csv"}):
        assert matches(names | {"tags.dat"})
    assert not matches({"ratings.dat"}) and not matches({"ratings.csv"}) and not matches({"movies.csv", "users.dat"})


# ---- 10M


@pytest.fixture
def ten_m(tmp_path):
    """3 users, 3 rated films of 4; ids as they stand in the file are in no order."""
    folder = tmp_path / "ml-10M100K"
    folder.mkdir()
    ratings = "20::122::5::300\n3::30::0.5::100\n3::122::3.5::200\n100::4::4::50\n"
    (folder / "ratings.dat").write_text(ratings, encoding="utf-8")
    movies = (
        "122::Mission: Impossible (1996)::Action|Sci-Fi\n"
        '30::"Great Performances": Cats (1998)::(no genres listed)\n'
        "4::Amélie: Le Film (2001)::Comedy|IMAX\n"
        "7::Unseen (1990)::War\n"
    )
    (folder / "movies.dat").write_text(movies, encoding="utf-8")
    (folder / "tags.dat").write_text("15::4973::excellent!::1215184630\n", encoding="utf-8")
    return folder


def rated(dataset):
    """(user id, film id, time) in the order of the log."""
    log, catalogue = dataset.interactions, dataset.catalogue
    users, items = catalogue.users.ids_of(log.users).tolist(), catalogue.items.ids_of(log.items).tolist()
    return list(zip(users, items, log.timestamps.tolist()))


def test_10m_every_rating_is_an_interaction_in_file_order_with_its_time(ten_m):
    dataset = read_dataset(ten_m)
    assert dataset.name == "movielens_10m" and dataset.template is None
    assert rated(dataset) == [(20, 122, 300), (3, 30, 100), (3, 122, 200), (100, 4, 50)]
    assert dataset.catalogue.users.ids.tolist() == [3, 20, 100] and dataset.catalogue.items.ids.tolist() == [4, 30, 122]
    assert set(dataset.sources) == {"ratings.dat", "movies.dat"} and set(dataset.tables) == {"movies"}
    assert len(dataset.catalogue.user_features) == 0


def test_10m_titles_have_colons_and_quotes(ten_m):
    dataset = read(ten_m)
    titles = dataset.tables["movies"].set_index("item_id")["title"]
    assert titles[122] == "Mission: Impossible (1996)" and titles[30] == '"Great Performances": Cats (1998)'
    items = dataset.catalogue.item_features
    assert labels(items["genres"]) == [{"Comedy", "IMAX"}, set(), {"Action", "Sci-Fi"}]
    assert items["year"].values.tolist() == [2001, 1998, 1996]
    assert note_with(dataset, "films without a rating are left out").startswith("1 ")


def test_10m_gzipped(ten_m):
    wanted = read(ten_m).interactions.fingerprint
    for name in ("ratings.dat", "movies.dat"):
        (ten_m / f"{name}.gz").write_bytes(gzip.compress((ten_m / name).read_bytes()))
        (ten_m / name).unlink()
    dataset = read_dataset(ten_m)
    assert dataset.interactions.fingerprint == wanted
    assert set(dataset.sources) == {"ratings.dat.gz", "movies.dat.gz"}


def test_10m_a_ragged_row_is_refused(ten_m):
    with (ten_m / "ratings.dat").open("a") as stream:
        stream.write("100::7::4\n")
    with pytest.raises(ValueError, match="ratings.dat cannot be read as 4 columns .*100::7::4. Correct that row"):
        read(ten_m)


# ---- 20M, 25M, 32M, latest


@pytest.fixture
def latest(tmp_path):
    """3 users, 3 rated films of 4; film 9 is rated and not listed."""
    folder = tmp_path / "ml-latest"
    folder.mkdir()
    ratings = "userId,movieId,rating,timestamp\n20,110,4.0,300\n3,9,0.5,100\n3,110,3.5,200\n100,4,4.5,50\n"
    (folder / "ratings.csv").write_text(ratings, encoding="utf-8")
    movies = (
        "movieId,title,genres\n"
        '110,"American President, The (1995)",Comedy|Romance\n'
        '4,"""Great Performances"" Café (1998)",(no genres listed)\n'
        "7,Unseen (1990),War\n"
    )
    (folder / "movies.csv").write_text(movies, encoding="utf-8")
    return folder


def test_csv_every_rating_is_an_interaction_in_file_order_with_its_time(latest):
    dataset = read_dataset(latest)
    assert dataset.name == "movielens_latest" and dataset.template is None
    assert rated(dataset) == [(20, 110, 300), (3, 9, 100), (3, 110, 200), (100, 4, 50)]
    assert dataset.catalogue.users.ids.tolist() == [3, 20, 100] and dataset.catalogue.items.ids.tolist() == [4, 9, 110]
    assert set(dataset.sources) == {"ratings.csv", "movies.csv"} and set(dataset.tables) == {"movies"}


def test_csv_titles_are_quoted_and_no_genres_is_no_genre(latest):
    dataset = read(latest)
    titles = dataset.tables["movies"].set_index("item_id")["title"]
    assert titles[110] == "American President, The (1995)" and titles[4] == '"Great Performances" Café (1998)'
    items = dataset.catalogue.item_features
    assert labels(items["genres"]) == [set(), set(), {"Comedy", "Romance"}]
    assert "(no genres listed)" not in items["genres"].labels
    np.testing.assert_array_equal(items["year"].values, np.float32([1998, np.nan, 1995]))
    assert note_with(dataset, "films without a rating are left out").startswith("1 ")
    assert note_with(dataset, "rated films are not in the list").startswith("1 ")


def test_csv_the_release_is_told_by_its_number_of_ratings(latest, monkeypatch):
    assert movielens.RELEASES[25_000_095] == "movielens_25m"
    monkeypatch.setattr(movielens, "RELEASES", {4: "movielens_4", 5: "movielens_5"})
    assert read(latest).name == "movielens_4"


def test_csv_gzipped(latest):
    wanted = read(latest).interactions.fingerprint
    for name in ("ratings.csv", "movies.csv"):
        (latest / f"{name}.gz").write_bytes(gzip.compress((latest / name).read_bytes()))
        (latest / name).unlink()
    dataset = read_dataset(latest)
    assert dataset.interactions.fingerprint == wanted and set(dataset.sources) == {"ratings.csv.gz", "movies.csv.gz"}


def test_csv_a_misspelt_column_is_named(latest):
    (latest / "ratings.csv").write_text("userId,movieID,rating,timestamp\n1,2,3,4\n", encoding="utf-8")
    with pytest.raises(ValueError, match="ratings.csv has no column 'movieId'; did you mean 'movieID'"):
        read(latest)


# ---- the real files


def test_real_100k():
    dataset = read(real("ml-100k"))
    log = dataset.interactions
    assert (log.n_users, log.n_items, len(log)) == (943, 1682, 100_000)
    assert len(dataset.catalogue.item_features["genres"].labels) == 19
    assert (log.timestamps.min(), log.timestamps.max()) == (874724710, 893286638)


def test_real_1m():
    folder = real("ml-1m")
    started = time.perf_counter()
    dataset = read(folder)
    seconds = time.perf_counter() - started
    log = dataset.interactions
    assert (log.n_users, log.n_items, len(log)) == (6040, 3706, 1_000_209)
    assert note_with(dataset, "without a rating").startswith("177 films")
    assert len(dataset.catalogue.item_features["genres"].labels) == 18
    assert not np.isnan(dataset.catalogue.item_features["year"].values).any()
    assert log.timestamps[0] == 978300760 and dataset.catalogue.items.ids[log.items[0]] == 1193
    assert seconds < 10  # 0.7 on one core; the slow parser takes ten times that
