import gzip

import pandas as pd
import pytest

from recsys_lib.data.files import fingerprint_of_file
from recsys_lib.datasets import read_dataset
from recsys_lib.datasets.delimited import matches, read

TEXT = "user_id,item_id,timestamp\nb,30,300\na,10,200\nb,20,100\nc,30,50\nb,10,70\n"
ROWS = [("b", 30, 300), ("a", 10, 200), ("b", 20, 100), ("c", 30, 50), ("b", 10, 70)]


@pytest.fixture
def folder(tmp_path):
    """shop/ with the file of no usual name, whose columns have no usual names, and the log.yaml that describes it."""
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "clicks 2026.csv").write_text("no|goods|when|stars\n007|30|300|5\n7|10|200|4\n", encoding="utf-8")
    describe(folder, "log: clicks 2026.csv", "user: 'no'", "item: goods", "timestamp: when", 'separator: "|"')
    return folder


@pytest.fixture
def bare(tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()
    return folder


def describe(folder, *lines):
    (folder / "log.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def rows_of(dataset):
    log = dataset.interactions
    columns = [dataset.catalogue.users.ids_of(log.users), dataset.catalogue.items.ids_of(log.items)]
    columns += [] if log.timestamps is None else [log.timestamps]
    return [tuple(row) for row in zip(*(column.tolist() for column in columns))]


# ---- without a description


@pytest.mark.parametrize(
    "name",
    ["interactions.csv", "interactions.tsv", "interactions.txt", "interactions.csv.gz", "interactions.parquet", "interactions.pq"],
)
def test_a_file_of_a_usual_name_is_read_without_a_description(bare, name):
    if name.endswith((".parquet", ".pq")):
        pd.DataFrame(ROWS, columns=["user_id", "item_id", "timestamp"]).to_parquet(bare / name, index=False)
    else:
        text = (TEXT.replace(",", "\t") if ".tsv" in name else TEXT).encode()
        (bare / name).write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    dataset = read_dataset(bare)
    assert rows_of(dataset) == ROWS
    assert dataset.name == name.split(".")[0]
    assert dataset.sources == {name: fingerprint_of_file(bare / name)}


def test_the_data_set_has_a_log_and_ids_and_nothing_else(bare):
    (bare / "interactions.csv").write_text(TEXT + "b,30,999\n", encoding="utf-8")
    dataset = read(bare)
    catalogue = dataset.catalogue
    assert (catalogue.n_users, catalogue.n_items) == (3, 3) == (dataset.interactions.n_users, dataset.interactions.n_items)
    assert len(catalogue.user_features) == len(catalogue.item_features) == 0
    assert dataset.template is None and dataset.split is None and dataset.candidates is None and not dataset.tables
    assert dataset.notes == ("every row is an interaction", "interactions.csv: 1 of 6 rows repeat a pair and were merged")
    assert not dataset.synthetic and "3 (0 without interactions)" in dataset.describe()["value"].tolist()


def test_two_files_of_usual_names_are_refused(bare):
    (bare / "interactions.csv").write_text(TEXT, encoding="utf-8")
    (bare / "interactions.tsv.gz").write_bytes(gzip.compress(TEXT.encode()))
    with pytest.raises(ValueError, match="shop/: which file is the log\\? there are interactions.csv, interactions.tsv. Say it in"):
        read_dataset(bare)
    describe(bare, "log: interactions.tsv.gz")
    assert set(read_dataset(bare).sources) == {"interactions.tsv.gz", "log.yaml"}


def test_which_folders_are_meant():
    assert matches({"log.yaml"}) and matches({"interactions.parquet", "readme.md"})
    assert not matches({"clicks.csv", "log.json", "interactions", "train_ratings.csv"})


# ---- with one


def test_every_key_of_the_description(folder):
    dataset = read_dataset(folder)
    assert rows_of(dataset) == [("007", 30, 300), ("7", 10, 200)]
    assert dataset.name == "clicks_2026"  # fit for the name of a folder
    assert dataset.sources == {name: fingerprint_of_file(folder / name) for name in ("clicks 2026.csv", "log.yaml")}


def test_columns_name_those_of_a_file_without_a_header(folder):
    (folder / "clicks 2026.csv").write_text("a,30,5,300\nb,10,4,200\n", encoding="utf-8")
    describe(folder, "log: clicks 2026.csv", "columns: ['no', goods, stars, timestamp]", "user: 'no'", "item: goods")
    assert rows_of(read(folder)) == [("a", 30, 300), ("b", 10, 200)]
    describe(folder, "log: clicks 2026.csv", "columns: [user, item, stars, time]")  # usual names need no more lines
    assert rows_of(read(folder)) == [("a", 30, 300), ("b", 10, 200)]
    describe(folder, "log: clicks 2026.csv", "columns: [user, item]")
    with pytest.raises(ValueError, match="clicks 2026.csv has 4 fields a row; wanted 2: user, item"):
        read(folder)


@pytest.mark.parametrize("line", [r'separator: "\t"', r"separator: '\t'", r"separator: \t"])
def test_a_tab_however_it_is_written(folder, line):
    (folder / "clicks 2026.csv").write_text("user\titem\na,b\t1\n", encoding="utf-8")
    describe(folder, "log: clicks 2026.csv", line)
    assert rows_of(read(folder)) == [("a,b", 1)]


def test_a_description_may_leave_the_usual_to_be_found(bare):
    (bare / "interactions.csv").write_text(TEXT.replace("user_id", "member"), encoding="utf-8")
    describe(bare, "user: member")
    assert rows_of(read(bare)) == ROWS


def test_a_description_saved_by_windows(folder):
    text = (folder / "log.yaml").read_text(encoding="utf-8").replace("\n", "\r\n")
    (folder / "log.yaml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(read(folder).interactions) == 2


def test_the_file_it_names_may_be_gzipped_in_the_meantime(folder):
    path = folder / "clicks 2026.csv"
    (folder / "clicks 2026.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    dataset = read(folder)
    assert len(dataset.interactions) == 2 and set(dataset.sources) == {"clicks 2026.csv.gz", "log.yaml"}


def test_the_file_it_names_is_not_there(folder):
    describe(folder, "log: orders.csv")
    with pytest.raises(FileNotFoundError, match="no orders.csv in shop/, of which log.yaml speaks; found clicks 2026.csv, "):
        read(folder)


def test_it_names_no_file_and_none_has_a_usual_name(folder):
    describe(folder, "user: 'no'")
    with pytest.raises(FileNotFoundError, match="which file is the log\\? found clicks 2026.csv, .*Say it in log.yaml"):
        read(folder)


@pytest.mark.parametrize(
    "line, words",
    [
        ("usr: no", "no key 'usr'; did you mean 'user'\\? There are log, user, item, timestamp, separator, columns."),
        ("format: csv", "no key 'format'. There are log, "),
        ("user: 7", "user must be a text; got 7. A name such as no or 7 must stand in quotes"),
        ("user: no", "user must be a text; got False. A name such as no or 7 must stand in quotes"),
        ("timestamp:", "timestamp must be a text; got None"),
        ("item: [a, b]", "item must be a text; got \\['a', 'b'\\]"),
        ("columns: user, item", "columns must be a list of names; got 'user, item'"),
        ("columns: [user, 2]", "columns must be a list of names; got \\['user', 2\\]"),
    ],
)
def test_a_line_that_is_not_as_wanted(folder, line, words):
    describe(folder, "log: clicks 2026.csv", line)
    with pytest.raises(ValueError, match=f"shop/log.yaml: {words}"):
        read(folder)


@pytest.mark.parametrize("text", ["", "- user\n- item", "user_id"])
def test_a_description_that_is_no_list_of_keys(folder, text):
    describe(folder, text)
    with pytest.raises(ValueError, match="shop/log.yaml must be lines such as 'user: member_no'; got "):
        read(folder)


@pytest.mark.parametrize("content", [b"user: [no", "user: 회원".encode("cp949")])
def test_a_description_that_cannot_be_read(folder, content):
    (folder / "log.yaml").write_bytes(content)
    with pytest.raises(ValueError, match="shop/log.yaml is not YAML in UTF-8"):
        read(folder)


def test_a_column_that_the_log_lacks(folder):
    describe(folder, "log: clicks 2026.csv", "user: 'no'", "item: good")
    with pytest.raises(ValueError, match="clicks 2026.csv has no column 'good'; did you mean 'goods'\\? It has: no, "):
        read(folder)


def test_timestamp_false_reads_without_a_time(bare):
    (bare / "interactions.csv").write_text("user_id,item_id,time\na,10,soon\n", encoding="utf-8")
    describe(bare, "timestamp: false")
    assert read_dataset(bare).interactions.timestamps is None


@pytest.mark.parametrize("log", ["sub/clicks.csv", "../clicks.csv", ".clicks.csv"])
def test_a_log_elsewhere_is_refused(tmp_path, log):
    """Its bytes would not be among the files by which a folder is known."""
    describe(tmp_path, f"log: {log}", "user: who", "item: what")
    with pytest.raises(ValueError, match="must be the name of a file in the same folder"):
        read(tmp_path)
