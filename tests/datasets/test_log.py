import gzip
import math
from datetime import date, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys_lib.datasets import log as log_module
from recsys_lib.datasets.log import read_log

# Four users and six items, not in the order of their ids; rows[r] is what data row r says.
ROWS = [(20, 105, 400), (3, 101, 100), (20, 101, 300), (100, 106, 50), (4, 102, 70), (3, 103, 80), (4, 104, 90)]
HEADER = ("user_id", "item_id", "timestamp")


def text_of(rows, separator=",", header=HEADER):
    return "".join(separator.join(map(str, row)) + "\n" for row in ([header] if header else []) + list(rows))


@pytest.fixture
def write(tmp_path):
    """Writes text or bytes under a name, and gives the path."""

    def write(content, name="log.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def write_parquet(tmp_path):
    def write(columns, **how):
        path = tmp_path / "log.parquet"
        pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **how)
        return path

    return write


def rows_of(log):
    """The rows as the file says them: external ids, and the time if there is one."""
    interactions = log.interactions
    columns = [log.users.ids_of(interactions.users), log.items.ids_of(interactions.items)]
    if interactions.timestamps is not None:
        columns.append(interactions.timestamps)
    return [tuple(row) for row in zip(*(column.tolist() for column in columns))]


def oracle(frame):
    """The slow way: missing rows left out, the first of every pair stays, ids are sorted."""
    frame = frame.dropna(subset=["user_id", "item_id"]).drop_duplicates(["user_id", "item_id"])
    users, items = sorted(frame["user_id"].unique()), sorted(frame["item_id"].unique())
    user_codes = [users.index(user) for user in frame["user_id"]]
    item_codes = [items.index(item) for item in frame["item_id"]]
    return users, items, user_codes, item_codes, frame["timestamp"].tolist()


def assert_same(one, other):
    assert one.interactions.fingerprint == other.interactions.fingerprint
    assert one.users.ids.equals(other.users.ids) and one.items.ids.equals(other.items.ids)


# ---- laws


@pytest.fixture
def random_frame():
    """20,000 rows, 300 users and 700 items, 100 users missing, many pairs several times."""
    rng = np.random.default_rng(3)
    users = pd.Series(rng.integers(1, 301, 20_000)).astype("Int64")
    users[rng.choice(20_000, 100, replace=False)] = pd.NA
    items, times = rng.integers(5, 705, 20_000), rng.integers(0, 10**9, 20_000)
    return pd.DataFrame({"user_id": users, "item_id": items, "timestamp": times})


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("ids", ["numbers", "texts"])
def test_many_small_blocks_give_what_pandas_gives(random_frame, tmp_path, monkeypatch, kind, ids):
    monkeypatch.setattr(log_module, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(log_module, "BLOCK_ROWS", 300)
    if ids == "texts":
        for name in ("user_id", "item_id"):
            random_frame[name] = (name[0] + random_frame[name].astype("string")).astype(object)
    path = tmp_path / f"log.{kind}"
    if kind == "csv":
        random_frame.to_csv(path, index=False)
    else:
        random_frame.to_parquet(path, index=False, row_group_size=1000)
    log = read_log(path)
    users, items, user_codes, item_codes, times = oracle(random_frame)
    assert log.users.ids.tolist() == users and log.items.ids.tolist() == items
    assert log.interactions.users.tolist() == user_codes and log.interactions.items.tolist() == item_codes
    assert log.interactions.timestamps.tolist() == times
    assert any("100 rows without user or item" in note for note in log.notes)


def test_the_size_of_a_block_changes_nothing(random_frame, tmp_path, monkeypatch):
    path = tmp_path / "log.csv"
    random_frame.to_csv(path, index=False)
    whole = read_log(path)
    monkeypatch.setattr(log_module, "BLOCK_BYTES", 1000)
    assert_same(read_log(path), whole)
    assert read_log(path).notes == whole.notes


def test_nothing_of_the_length_of_the_log_is_an_object(random_frame, tmp_path):
    random_frame.to_csv(tmp_path / "log.csv", index=False)
    log = read_log(tmp_path / "log.csv")
    assert log.interactions.users.dtype == log.interactions.items.dtype == np.int32
    assert log.interactions.timestamps.dtype == np.int64
    assert log.users.ids.dtype == log.items.ids.dtype == np.int64
    assert len(log.users) == 300 and len(log.items) == 700


# ---- text files


@pytest.mark.parametrize("is_gzip", [False, True])
@pytest.mark.parametrize("separator", [",", "\t", ";", "|", "::"])
def test_the_separator_is_found(write, separator, is_gzip):
    text = text_of(ROWS, separator).encode()
    log = read_log(write(gzip.compress(text), "log.csv.gz") if is_gzip else write(text))
    assert rows_of(log) == ROWS and log.notes == ()
    assert log.users.ids.tolist() == [3, 4, 20, 100] and log.items.ids.tolist() == [101, 102, 103, 104, 105, 106]
    assert log.interactions.users.tolist() == [2, 0, 2, 3, 1, 0, 1]
    assert (log.interactions.n_users, log.interactions.n_items) == (4, 6)


def test_gzip_is_told_by_the_content_not_by_the_name(write):
    assert rows_of(read_log(write(gzip.compress(text_of(ROWS).encode()), "log.csv"))) == ROWS
    assert rows_of(read_log(write(text_of(ROWS), "log.csv.gz"))) == ROWS


def test_a_gzip_file_of_several_parts_is_read_to_its_end(write):
    text = text_of(ROWS).encode()
    assert rows_of(read_log(write(gzip.compress(text[:40]) + gzip.compress(text[40:]), "log.csv.gz"))) == ROWS


@pytest.mark.parametrize("separator", [",", "::"])
def test_a_file_without_a_header(write, separator):
    path = write(text_of([(20, 5, 3.5, 100), (3, 4, 1.0, 50)], separator, header=None))
    log = read_log(path, names=["user_id", "item_id", "rating", "timestamp"])
    assert rows_of(log) == [(20, 5, 100), (3, 4, 50)]


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_of_windows_and_of_an_old_mac(write, end):
    assert rows_of(read_log(write(text_of(ROWS).replace("\n", end)))) == ROWS


def test_no_newline_at_the_end(write):
    assert rows_of(read_log(write(text_of(ROWS).rstrip("\n")))) == ROWS


def test_empty_lines_do_not_count(write):
    assert rows_of(read_log(write("\n\r\n" + text_of(ROWS).replace("\n", "\n\n")))) == ROWS


@pytest.mark.parametrize("names", [None, ["user_id", "item_id", "timestamp"]])
def test_a_byte_order_mark_is_no_part_of_the_first_field(write, names):
    log = read_log(write(b"\xef\xbb\xbf" + text_of(ROWS, header=None if names else HEADER).encode()), names=names)
    assert rows_of(log) == ROWS


def test_korean_in_cp949(write):
    path = write("회원,상품\n김철수,사과\n이영희,배\n김철수,배\n".encode("cp949"))
    log = read_log(path, user="회원", item="상품")
    assert rows_of(log) == [("김철수", "사과"), ("이영희", "배"), ("김철수", "배")]


def test_quotes_protect_a_separator_and_a_line_end(write, monkeypatch):
    rows = [(f'"user, {n}"', f'"a ""good"" item {n % 7}"', f'"two\nlines {n}"') for n in range(500)]
    path = write(text_of(rows, header=('"user_id"', '"item_id"', '"note"')))
    wanted = [(f"user, {n}", f'a "good" item {n % 7}') for n in range(500)]
    assert rows_of(read_log(path)) == wanted
    monkeypatch.setattr(log_module, "BLOCK_BYTES", 997)  # now some blocks end between the two lines
    assert rows_of(read_log(path)) == wanted


def test_quotes_are_ordinary_characters_where_they_protect_nothing(write):
    log = read_log(write('user_id,item_id\n"a,b\n5" disk,"c"\n'), quoted=False)
    assert rows_of(log) == [('"a', "b"), ('5" disk', '"c"')]


# ---- ids


def test_leading_zeros_make_another_id(write):
    log = read_log(write("user_id,item_id\n007,2\n7,10\n007,10\n"))
    assert log.users.ids.tolist() == ["007", "7"] and len(log.interactions) == 3
    assert log.items.ids.tolist() == [2, 10] and log.items.ids.dtype == np.int64  # as numbers: as texts 10 comes first


@pytest.mark.parametrize("odd", ["07", "-0", "+7", "1.0", "1e3", "x", "１", "1234567890123456789"])
def test_one_id_that_is_no_plain_whole_number_keeps_all_as_texts(write, odd):
    log = read_log(write(f"user_id,item_id\n10,1\n{odd},2\n9,3\n"))
    assert log.users.ids.tolist() == sorted(["10", odd, "9"])


def test_zero_and_negative_numbers_are_whole_numbers(write):
    log = read_log(write("user_id,item_id\n0,1\n-7,2\n123456789012345678,3\n"))
    assert log.users.ids.tolist() == [-7, 0, 123456789012345678] and log.users.ids.dtype == np.int64


def test_spaces_around_ids_are_no_part_of_them(write):
    log = read_log(write("user_id,item_id\n a,1\na , 2\nb,1 \n"))
    assert rows_of(log) == [("a", 1), ("a", 2), ("b", 1)]
    assert log.notes == ("log.csv: spaces around 2 user ids left out", "log.csv: spaces around 2 item ids left out")


def test_rows_without_user_or_item_are_left_out_and_so_are_ids_that_only_they_have(write):
    log = read_log(write('user_id,item_id,timestamp\na,1,10\n,2,20\nb,,30\n"",3,40\n  ,4,50\nc,1,60\n'))
    assert rows_of(log) == [("a", 1, 10), ("c", 1, 60)]
    assert log.users.ids.tolist() == ["a", "c"] and log.items.ids.tolist() == [1]
    assert "log.csv: 4 rows without user or item left out (the first is data row 2)" in log.notes


def test_of_a_repeated_pair_the_first_row_stays_with_its_time(write):
    log = read_log(write("user_id,item_id,timestamp\na,1,500\nb,1,20\na,1,10\na,2,30\na,1,600\n"))
    assert rows_of(log) == [("a", 1, 500), ("b", 1, 20), ("a", 2, 30)]
    assert log.notes == ("log.csv: 2 of 5 rows repeat a pair and were merged",)


# ---- ids that are small whole numbers take a shorter way, without texts; what comes out is the same


@pytest.fixture
def read_as_texts(monkeypatch):
    """Reads as if no number were small: every id goes the long way."""

    def read(path):
        with monkeypatch.context() as patch:
            patch.setattr(log_module, "SMALL", 0)
            return read_log(path)

    return read


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(log_module, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(log_module, "BLOCK_ROWS", 60)


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize("order", ["as it comes", "by user", "by user and item"])
def test_both_ways_give_the_same(random_frame, tmp_path, small_blocks, read_as_texts, kind, order):
    by = {"as it comes": "timestamp", "by user": "user_id", "by user and item": ["user_id", "item_id"]}[order]
    frame = random_frame.sort_values(by, kind="stable")
    path = tmp_path / f"log.{kind}"
    frame.to_parquet(path, index=False) if kind == "parquet" else frame.to_csv(path, index=False)
    log, long_way = read_log(path), read_as_texts(path)
    assert_same(log, long_way)
    assert log.notes == long_way.notes and any("repeat a pair" in note for note in log.notes)
    users, items, user_codes, item_codes, times = oracle(frame)
    assert log.users.ids.tolist() == users and log.users.ids.dtype == np.int64
    assert (log.interactions.users.tolist(), log.interactions.items.tolist()) == (user_codes, item_codes)
    assert log.interactions.timestamps.tolist() == times


# Hexadecimal 0xFFFFF is as long as the number that it is, 1048575.
NAMES = ["007", "00", "+7", "-0", "7.0", "1e3", "0x1F", "0xFFFFF", "0xffffffff", "x", "١", '"012"', "NA", "9" * 19, "9" * 40]
NUMBERS = ["-7", " 7", "7 ", '"12"', '""', "", "16777215", "16777216", "2147483648", "123456789012345678"]


@pytest.mark.parametrize("odd", NAMES + NUMBERS)
@pytest.mark.parametrize("row", [0, 700, 1499])
def test_an_odd_id_after_many_plain_ones(write, small_blocks, read_as_texts, odd, row):
    users = [str(n * 7919 % 1_048_576) for n in range(1500)]
    users[5], users[row] = "1048575", odd
    path = write(text_of([(user, n % 60, n) for n, user in enumerate(users)]))
    log, long_way = read_log(path), read_as_texts(path)
    assert_same(log, long_way)
    assert log.notes == long_way.notes
    texts = [str(user) for user in log.users.ids_of(log.interactions.users)]
    assert texts == [user.strip().strip('"') for user in users if user.strip('"')]
    assert (log.users.ids.dtype == np.int64) == (odd in NUMBERS)
    assert log.items.ids.dtype == np.int64  # the other column stays on its way


@pytest.mark.parametrize("ids", [["1", "01", "10"], ["0", "00"], ["12", "012", "12"]])
def test_zeros_in_front_are_found_among_ids_of_the_same_number(write, ids):
    log = read_log(write(text_of([(user, n, n) for n, user in enumerate(ids)])))
    assert [row[0] for row in rows_of(log)] == ids


def test_large_and_far_apart_numbers_need_no_table(write, write_parquet):
    users = [10**17, 5, 10**12 + 1, 16_777_216, -3, 10**17]
    rows = [(user, n, n) for n, user in enumerate(users)]
    for path in (write(text_of(rows)), write_parquet(pd.DataFrame(rows, columns=HEADER).to_dict("list"))):
        log = read_log(path)
        assert rows_of(log) == rows and log.users.ids.tolist() == [-3, 5, 16_777_216, 10**12 + 1, 10**17]


@pytest.mark.parametrize("kind", [pa.int16(), pa.int64(), pa.uint32(), pa.string()])
def test_parquet_numbers_that_grow_large_in_a_later_batch(write_parquet, small_blocks, kind):
    users = [n % 50 for n in range(500)] + [300, 7]
    if kind != pa.int16():
        users[400] = 2**31 + 5
    column = pa.array([None if n == 450 else user for n, user in enumerate(users)]).cast(kind)
    log = read_log(write_parquet({"user_id": column, "item_id": np.arange(502)}))
    assert rows_of(log) == [(user, n) for n, user in enumerate(users) if n != 450]
    assert log.users.ids.dtype == np.int64


def test_parquet_columns_that_are_slices_of_longer_ones(write_parquet, small_blocks):
    users = pa.array([f"{n % 37}" for n in range(1000)])
    log = read_log(write_parquet({"user_id": users.slice(333), "item_id": np.arange(667)}, row_group_size=100))
    assert [row[0] for row in rows_of(log)] == [n % 37 for n in range(333, 1000)]


def test_a_text_column_in_memory_is_read_between_its_ends():
    column = pa.array(["x", "007", "12", None, "5", "0008"])
    assert log_module._small_numbers(column.slice(2, 3)).tolist() == [12, -1, 5]
    assert log_module._small_numbers(column.slice(1, 3)) is None and log_module._small_numbers(column.slice(4)) is None
    assert log_module._small_numbers(column.slice(3, 1)).tolist() == [-1]
    assert log_module._small_numbers(column.slice(6)).tolist() == []


@pytest.mark.parametrize("order", ["in order", "shuffled"])
def test_repeated_pairs_of_numbers_in_any_order(write, small_blocks, order):
    rng = np.random.default_rng(1)
    rows = [(n // 30, n % 30, n) for n in range(3000)]
    rows += [(user, item, time + 5000) for user, item, time in rows[::10]]
    rows = sorted(rows) if order == "in order" else [rows[n] for n in rng.permutation(len(rows))]
    log = read_log(write(text_of(rows)))
    first = pd.DataFrame(rows, columns=HEADER).drop_duplicates(["user_id", "item_id"])
    assert rows_of(log) == list(first.itertuples(index=False, name=None))
    assert log.notes == ("log.csv: 300 of 3,300 rows repeat a pair and were merged",)


# ---- Parquet


@pytest.mark.parametrize("kind", [pa.int32(), pa.int64(), pa.uint64(), pa.string(), pa.large_string(), pa.float64()])
def test_parquet_ids_of_any_kind(write_parquet, kind):
    users = pa.array([10, 9, 10]).cast(kind) if kind != pa.string() else pa.array(["10", "9", "10"])
    log = read_log(write_parquet({"user_id": users, "item_id": ["b", "a", "a"], "timestamp": [3, 2, 1]}))
    assert rows_of(log) == [(10, "b", 3), (9, "a", 2), (10, "a", 1)]
    assert log.users.ids.tolist() == [9, 10] and log.users.ids.dtype == np.int64


def test_parquet_categories_and_only_those_that_a_row_has(write_parquet):
    frame = pd.DataFrame(
        {
            "user_id": pd.Categorical(["b", "a", "b"], categories=["z", "b", "never", "a"]),
            "item_id": pd.Categorical([30, 4, 4], categories=[1, 30, 4]),
        }
    )
    log = read_log(write_parquet(pa.Table.from_pandas(frame)))
    assert rows_of(log) == [("b", 30), ("a", 4), ("b", 4)]
    assert log.users.ids.tolist() == ["a", "b"] and log.items.ids.tolist() == [4, 30]


@pytest.mark.parametrize("missing", [None, math.nan])
def test_parquet_whole_numbers_as_floats_with_some_missing(write_parquet, missing):
    log = read_log(write_parquet({"user_id": pa.array([3.0, missing, 1.0], pa.float64()), "item_id": [1, 2, 2]}))
    assert rows_of(log) == [(3, 1), (1, 2)] and log.users.ids.dtype == np.int64
    assert log.notes == ("log.parquet: 1 rows without user or item left out (the first is data row 2)",)


def test_parquet_hashes_beyond_int64_stay_what_they_are(write_parquet):
    log = read_log(write_parquet({"user_id": pa.array([2**64 - 1, 5], pa.uint64()), "item_id": [1, 2]}))
    assert rows_of(log) == [(2**64 - 1, 1), (5, 2)] and log.users.ids.tolist() == [5, 2**64 - 1]


def test_parquet_codes_agree_across_batches_whose_dictionaries_differ(write_parquet, monkeypatch):
    monkeypatch.setattr(log_module, "BLOCK_ROWS", 700)  # not a divisor of the row groups
    users, items = [f"u{(n * 7) % 11}" for n in range(5000)], list(range(5000))
    columns = {"user_id": pa.array(users).dictionary_encode(), "item_id": items}
    assert rows_of(read_log(write_parquet(columns, row_group_size=1000))) == list(zip(users, items))


@pytest.mark.parametrize("column, words", [([1.5, 2.0], "Float value 1.5"), ([[1], [2]], "list")])
def test_parquet_columns_that_are_no_ids(write_parquet, column, words):
    with pytest.raises(ValueError, match=rf"log.parquet: the user column wants ids: .*{words}.*Is it the right column\?"):
        read_log(write_parquet({"user_id": column, "item_id": [1, 2]}))


def test_parquet_that_is_none_and_parquet_broken_in_the_middle(write, write_parquet):
    with pytest.raises(ValueError, match="log.parquet cannot be read as Parquet .* Copy or download it again"):
        read_log(write(text_of(ROWS), "log.parquet"))
    path = write_parquet({"user_id": np.arange(50_000), "item_id": np.arange(50_000)})
    content = bytearray(path.read_bytes())
    content[2000:9000] = bytes(7000)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="log.parquet cannot be read as Parquet .* Copy or download it again"):
        read_log(path)


def test_parquet_without_rows(write_parquet):
    with pytest.raises(ValueError, match="log.parquet has a header but no rows"):
        read_log(write_parquet({"user_id": pa.array([], pa.int64()), "item_id": pa.array([], pa.int64())}))


def test_parquet_by_another_name(write, write_parquet):
    content = write_parquet({"user_id": [1], "item_id": [2]}).read_bytes()
    for path in (write(content, "log.csv"), write(gzip.compress(content), "log.parquet.gz")):
        with pytest.raises(ValueError, match="is a Parquet file; call it NAME.parquet or NAME.pq, not gzipped"):
            read_log(path)


# ---- timestamps


@pytest.mark.parametrize(
    "written, seconds",
    [
        ("1697448600", 1697448600),
        ("1697448600.0", 1697448600),
        ("1697448600000", 1697448600),
        ("1697448600000000", 1697448600),
        ("1697448600000000000", 1697448600),
        ("-86400", -86400),
        ("1970-01-03", 2 * 86400),
        ("1970-01-01 00:01", 60),
        ("1970-01-01 00:01:05", 65),
        ("1970-01-01T01:00:00Z", 3600),
        ("1970-01-01T12:00:00+09:00", 3 * 3600),  # noon in Seoul is three o'clock in Greenwich
        ("1970-01-01 00:00:07.000", 7),
    ],
)
def test_a_time_in_any_of_these_ways_is_seconds_since_1970(write, written, seconds):
    log = read_log(write(text_of([("a", 1, written), ("b", 2, written), ("a", 3, written)])))
    assert log.interactions.timestamps.tolist() == [seconds] * 3
    assert rows_of(log)[0] == ("a", 1, seconds) and log.notes == ()  # the order of the file stays


@pytest.mark.parametrize(
    "times",
    [
        (1697448600900, 1697448601500, 1697448600100, 1697448600100),
        (1697448600.9, 1697448601.5, 1697448600.1, 1697448600.1),
        ("2023-10-16 09:30:00.9", "2023-10-16 09:30:01.5", "2023-10-16 09:30:00.1", "2023-10-16 09:30:00.1"),
        ("2023-10-16T09:30:00.9Z", "2023-10-16T09:30:01.5Z", "2023-10-16T09:30:00.1Z", "2023-10-16T09:30:00.1Z"),
    ],
)
def test_the_order_within_a_second_is_kept_as_the_order_of_rows(write, times):
    log = read_log(write(text_of(zip("aaab", (1, 2, 3, 3), times))))
    second = 1697448600  # 2023-10-16 09:30:00 UTC
    assert rows_of(log) == [("a", 3, second), ("b", 3, second), ("a", 1, second), ("a", 2, second + 1)]
    assert log.notes == ("log.csv: timestamps are finer than a second; rows are put in order of time",)


def test_before_1970_a_part_of_a_second_belongs_to_the_second_before(write):
    assert read_log(write(text_of([("a", 1, -0.5), ("a", 2, 0.5)]))).interactions.timestamps.tolist() == [-1, 0]


def test_parquet_times(write_parquet):
    at = datetime(1970, 1, 2, 0, 0, 1)
    for column in (
        pa.array([at, at]),
        pa.array([at, at], pa.timestamp("ms")),
        pa.array([at, at], pa.timestamp("ns", "Asia/Seoul")),
        pa.array([86401, 86401]),
        pa.array([86401.0, 86401.0]),
        pa.array([86401000] * 2, pa.int64()).cast(pa.timestamp("ms")),
    ):
        log = read_log(write_parquet({"user_id": [1, 2], "item_id": [3, 4], "timestamp": column}))
        assert log.interactions.timestamps.tolist() == [86401, 86401], column.type
    for kind in (pa.date32(), pa.date64()):
        days = pa.array([date(1970, 1, 2), date(1970, 1, 3)], kind)
        log = read_log(write_parquet({"user_id": [1, 2], "item_id": [3, 4], "timestamp": days}))
        assert log.interactions.timestamps.tolist() == [86400, 2 * 86400], kind


@pytest.mark.parametrize(
    "given, missing",
    [("100", ""), ("100", "nan"), ("100.5", ""), ("100.5", "inf"), ("2023-10-16", ""), ("2023-10-16 09:30:00", "")],
)
def test_a_missing_time_is_refused(write, given, missing):
    with pytest.raises(ValueError, match=r"log.csv: 1 of 3 timestamps are missing. .*fill them, leave those rows out"):
        read_log(write(text_of([("a", 1, given), ("a", 2, missing), ("b", 2, given)])))


def test_a_row_that_is_left_out_needs_no_time(write):
    log = read_log(write("user_id,item_id,timestamp\na,1,100\n,2,\n,,\nb,3,50\n"))  # Excel leaves rows of commas
    assert rows_of(log) == [("a", 1, 100), ("b", 3, 50)]
    with pytest.raises(ValueError, match="data row 3 has 'soon'"):
        read_log(write("user_id,item_id,timestamp\na,1,100\n,2,later\nb,3,soon\n"))


def test_a_missing_time_in_parquet_is_refused(write_parquet):
    for values in ([1, None], [1.5, None], [1.5, math.nan], [None, datetime(2023, 1, 1)]):
        column = pa.array(values)
        with pytest.raises(ValueError, match="1 of 2 timestamps are missing"):
            read_log(write_parquet({"user_id": [1, 2], "item_id": [3, 4], "timestamp": column}))


@pytest.mark.parametrize(
    "given, bad", [("100", "soon"), ("2023-10-16", "soon"), ("2023-10-16 09:30:00", "nan"), ("1.5", "1,5")]
)
def test_a_text_that_is_no_date_is_shown_with_its_row(write, given, bad):
    with pytest.raises(ValueError, match=rf"wants seconds since 1970 or ISO dates .*data row 3 has '{bad}'. Convert it"):
        read_log(write(text_of([("a", 1, given), ("a", 2, given), ("b", 2, f'"{bad}"'), ("b", 1, given)])))


def test_times_get_a_fraction_after_the_first_block(write, monkeypatch):
    monkeypatch.setattr(log_module, "BLOCK_BYTES", 100)
    times = [1000] * 20 + [1000.5]  # in the third block
    log = read_log(write(text_of([(n, 1, time) for n, time in enumerate(times)])))
    assert log.interactions.timestamps.tolist() == [1000] * 21


def test_a_time_of_another_kind_in_a_later_block_is_shown(write, monkeypatch):
    monkeypatch.setattr(log_module, "BLOCK_BYTES", 100)
    with pytest.raises(ValueError, match="log.csv cannot be read as .*invalid value 'soon'"):
        read_log(write(text_of([("a", n, 100 + n) for n in range(50)] + [("a", 50, "soon")])))


def test_a_time_of_day_is_no_time(write):
    with pytest.raises(ValueError, match=r"data row 1 has datetime.time\(9, 30\)"):
        read_log(write(text_of([("a", 1, "09:30:00"), ("b", 2, "09:31:00")])))


def test_without_a_time_the_log_has_none(write):
    log = read_log(write("user_id,item_id,rating\na,1,5\nb,2,4\n"))
    assert log.interactions.timestamps is None and rows_of(log) == [("a", 1), ("b", 2)]


# ---- which column is what


@pytest.mark.parametrize(
    "header",
    [
        ("userId", "movieId", "timestamp"),
        ("User ID", "Item ID", "Time"),
        ("user", "movie_id", "ts"),
        ("customer-id", "product.id", "created_at"),
        (" visitorid ", "itemid", "date"),
        ("reviewerID", "asin", "unixReviewTime"),
    ],
)
def test_usual_names_are_found_wherever_they_stand(write, header):
    header = (header[2], "rating", header[0], header[1])
    log = read_log(write(text_of([(time, 5, user, item) for user, item, time in ROWS], header=header)))
    assert rows_of(log) == ROWS


def test_the_more_usual_name_is_taken(write):
    log = read_log(write("session_id,user_id,item_id,product_id\ns,a,1,9\n"))
    assert rows_of(log) == [("a", 1)]


def test_named_columns_are_taken_before_the_usual_ones(write):
    path = write("user_id,member,item_id,goods_cd,timestamp,clicked\na,x,1,8,10,70\nb,y,2,9,20,60\n")
    log = read_log(path, user="member", item="goods_cd", timestamp="clicked")
    assert rows_of(log) == [("x", 8, 70), ("y", 9, 60)]


def test_unusual_names_are_listed_with_the_next_step(write):
    with pytest.raises(ValueError) as caught:
        read_log(write("who,what,item_id\na,b,c\n"))
    message = str(caught.value)
    assert "log.csv: which column is the user? It has: who, what, item_id." in message
    assert "e.g. in log.yaml beside it: 'user: who'." in message
    with pytest.raises(ValueError, match="which column is the user and which the item.*'user: u1', 'item: i1'.*'columns: "):
        read_log(write("u1,i1,5\nu2,i2,4\n"))  # the header is missing


def test_a_misspelt_column(write):
    with pytest.raises(ValueError, match="log.csv has no column 'usr_id'; did you mean 'user_id'\\? It has: user_id, "):
        read_log(write(text_of(ROWS)), user="usr_id")


def test_columns_that_are_not_told_apart(write, write_parquet):
    with pytest.raises(ValueError, match="user and item are both 'item_id'; name one column for each"):
        read_log(write(text_of(ROWS)), user="item_id")
    with pytest.raises(ValueError, match="log.csv has several columns named user_id; rename or remove all but one"):
        read_log(write("user_id,user_id,item_id\n1,2,3\n"))
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2]), pa.array([3])], names=["user_id", "item_id", "item_id"])
    with pytest.raises(ValueError, match="log.parquet has several columns named item_id"):
        read_log(write_parquet(twice))


# ---- files that are not as wanted


def test_the_names_of_a_file_without_header(write):
    with pytest.raises(ValueError, match="log.csv has 3 fields a row; wanted 2: user_id, item_id"):
        read_log(write(text_of(ROWS, header=None)), names=["user_id", "item_id"])
    with pytest.raises(ValueError, match="log.csv has a header that says the names of its columns"):
        read_log(write(text_of(ROWS)), names=list(HEADER))


def test_a_separator_that_cannot_be_found_or_used(write):
    with pytest.raises(ValueError, match=r"no comma, tab, semicolon, bar or '::' in the first row \('user_id item_id'\)"):
        read_log(write("user_id item_id\n1 2\n"))
    assert rows_of(read_log(write("user_id item_id\n1 2\n"), separator=" ")) == [(1, 2)]
    with pytest.raises(ValueError, match="separator ', ' must be one character, or the same one several times"):
        read_log(write("user_id, item_id\n1, 2\n"), separator=", ")


@pytest.mark.parametrize("row", ["a,1", "a,1,2,3"])
def test_a_ragged_row_is_shown(write, row):
    with pytest.raises(ValueError, match=rf"log.csv cannot be read as 3 columns \(user_id, .*: {row}. Correct that row"):
        read_log(write(text_of(ROWS) + row + "\n"))


def test_a_value_with_a_colon_among_double_colons_is_refused(write):
    with pytest.raises(ValueError, match="with separator '::' in utf8: .*Expected 5 columns, got 6: b:c::2::20"):
        read_log(write("user_id::item_id::timestamp\na::1::10\nb:c::2::20\n"))


@pytest.mark.parametrize("spoil", ["cut early", "cut late", "no end", "bytes early", "bytes late", "checksum"])
def test_a_broken_gzip_file(write, spoil):
    whole = gzip.compress(text_of([(n, n * 7919 % 100_003, n) for n in range(100_000)]).encode())  # 1.7 MB of text
    middle = len(whole) - 4000
    broken = {
        "cut early": whole[:100],
        "cut late": whole[:-3000],
        "no end": whole[:-8],
        "bytes early": whole[:200] + bytes(200) + whole[400:],
        "bytes late": whole[:middle] + bytes(200) + whole[middle + 200 :],
        "checksum": whole[:-8] + b"abcd" + whole[-4:],
    }[spoil]
    with pytest.raises(ValueError, match="log.csv.gz is a broken gzip file .*Copy or download it again"):
        read_log(write(broken, "log.csv.gz"))


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "is empty \\(\\d bytes\\). Copy or download it again"),
        (b"\xef\xbb\xbf\r\n \n", "is empty"),
        (gzip.compress(b""), "is empty"),
        (b"<!DOCTYPE html><html><body>Sign in", "is a web page, not a table"),
        (b"user_id,item_id\n", "has a header but no rows. Was it written to the end"),
        (b"user_id,item_id", "has a header but no rows"),
        (b"user_id,item_id\n\n\n", "has a header but no rows"),
        (b"user_id,item_id\n,\n,3\n", "no row has both a user and an item; are these the right columns"),
        (b"PK\x03\x04rest", "is an Excel workbook or a zip archive. Save it as 'CSV UTF-8', or unpack it"),
        ("user_id,item_id\n1,2\n".encode("utf-16"), "is UTF-16 .*Save it as 'CSV UTF-8'"),
        (b"user_id,item_id\n\xff\xff\xff,2\n", "is in none of utf-8-sig, utf-8, cp949. Save it as 'CSV UTF-8'"),
    ],
)
def test_a_file_that_is_no_table(write, content, words):
    with pytest.raises(ValueError, match=f"log.csv {words}|log.csv: {words}"):
        read_log(write(content))


def test_another_encoding_after_the_first_megabyte(write):
    ascii_rows = b"user_id,item_id\n" + b"a,b\n" * 300_000
    with pytest.raises(ValueError, match="log.csv cannot be read as .* in utf8: .*save it as 'CSV UTF-8'"):
        read_log(write(ascii_rows + "김,배\n".encode("cp949")))
    with pytest.raises(ValueError, match="log.csv cannot be read as .* in cp949: .*save it as 'CSV UTF-8'"):
        read_log(write("user_id,item_id\n김,배\n".encode("cp949") + ascii_rows + b"\xff\xff,b\n"))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"no log.csv in {tmp_path.name}/"):
        read_log(tmp_path / "log.csv")


def test_a_time_that_is_there_may_be_left_alone(write):
    path = write("user,item,timestamp\n1,2,soon\n3,4,\n")
    with pytest.raises(ValueError, match="timestamp=False"):
        read_log(path)
    log = read_log(path, timestamp=False)
    assert log.interactions.timestamps is None and len(log.interactions) == 2
