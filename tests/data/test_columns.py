import gzip

import numpy as np
import pandas as pd
import pytest

from recsys_lib.data.columns import Column, file_or_gzip, read_table

COLUMNS = (
    Column("user", "id", key=True),
    Column("age", "integer"),
    Column("pay", "number"),
    Column("since", "date"),
    Column("words", "text", required=False),
)
GOOD = "user,age,pay,since,words\n007,31,2.5,2020-03-04,가;나\n010,45,,2019-12-31,\n"


def table(tmp_path, content, columns=COLUMNS, **options):
    """Write `content` to csv/t.csv and read it."""
    path = tmp_path / "csv" / "t.csv"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return read_table(path, columns, **options)


# ---- as wanted


def test_kinds_and_leading_zeros(tmp_path):
    frame, notes = table(tmp_path, GOOD)
    assert notes == []
    assert frame["user"].tolist() == ["007", "010"]
    assert pd.api.types.is_string_dtype(frame["user"])
    assert frame["age"].dtype == np.int64
    assert frame["pay"].iloc[0] == 2.5 and np.isnan(frame["pay"].iloc[1])
    assert frame["since"].tolist() == [pd.Timestamp(2020, 3, 4), pd.Timestamp(2019, 12, 31)]
    assert frame["words"].iloc[0] == "가;나" and pd.isna(frame["words"].iloc[1])


def test_an_integer_column_with_a_gap_is_float(tmp_path):
    frame, _ = table(tmp_path, GOOD.replace("31,", ","))
    assert frame["age"].dtype == np.float64 and np.isnan(frame["age"].iloc[0]) and frame["age"].iloc[1] == 45


def test_columns_keep_the_order_of_the_file(tmp_path):
    frame, _ = table(tmp_path, "b,a\n1,2\n", (Column("a", "integer"), Column("b", "integer")))
    assert list(frame.columns) == ["b", "a"]


def test_gzip_is_read_as_it_is(tmp_path):
    plain, _ = table(tmp_path, GOOD)
    zipped, _ = table(tmp_path, gzip.compress(GOOD.encode("utf-8")))
    pd.testing.assert_frame_equal(plain, zipped)
    (tmp_path / "x.csv.gz").write_bytes(b"")
    assert file_or_gzip(tmp_path, "x.csv") == tmp_path / "x.csv.gz"
    assert file_or_gzip(tmp_path, "y.csv") is None


def test_separator_of_several_characters_without_a_header(tmp_path):
    columns = (Column("item", "integer"), Column("title", "text"), Column("stars", "number"))
    frame, _ = table(tmp_path, '1::"Star: A" 2::4\n2::B|C::3.5\n', columns, separator="::", header=False, quoted=False)
    assert frame["title"].tolist() == ['"Star: A" 2', "B|C"]
    assert frame["stars"].tolist() == [4, 3.5]


def test_a_quoted_separator_and_line_ends_of_windows(tmp_path):
    frame, notes = table(tmp_path, GOOD.replace("가;나", '"가,나"').replace("\n", "\r\n"))
    assert frame["words"].iloc[0] == "가,나" and notes == []
    assert list(frame.columns) == ["user", "age", "pay", "since", "words"]


def test_a_file_without_a_last_line_end(tmp_path):
    frame, _ = table(tmp_path, GOOD.rstrip("\n"))
    assert len(frame) == 2


# ---- repaired, and said


def test_cp949_is_read_and_reported(tmp_path):
    frame, notes = table(tmp_path, GOOD.encode("cp949"))
    assert frame["words"].iloc[0] == "가;나"
    assert notes == ["t.csv: read as cp949 (utf-8-sig does not fit)"]


def test_byte_order_mark_is_left_out_and_reported(tmp_path):
    frame, notes = table(tmp_path, GOOD.encode("utf-8-sig"))
    assert frame.columns[0] == "user"
    assert len(notes) == 1 and "byte-order mark" in notes[0]


def test_spaces_around_headers_and_ids(tmp_path):
    frame, notes = table(tmp_path, GOOD.replace("user,age", " user , age").replace("010", " 010 "))
    assert frame["user"].tolist() == ["007", "010"] and frame["age"].tolist() == [31, 45]
    assert any("spaces around column names" in note for note in notes)
    assert any("spaces around 1 values of user" in note for note in notes)


def test_numbers_with_spaces(tmp_path):
    frame, _ = table(tmp_path, GOOD.replace("31,2.5", " 31 , 2.5 "))
    assert frame["age"].tolist() == [31, 45] and frame["pay"].iloc[0] == 2.5


def test_rows_without_a_key_are_left_out_and_counted(tmp_path):
    frame, notes = table(tmp_path, GOOD + ",1,1,2020-01-01,\n")
    assert len(frame) == 2 and frame["age"].dtype == np.int64
    assert notes == ["t.csv: 1 rows without user left out (the first is row 4)"]


def test_empty_rows_are_left_out_and_counted(tmp_path):
    frame, notes = table(tmp_path, GOOD.replace("010", ",,,,\n\n010"))
    assert frame["user"].tolist() == ["007", "010"] and frame.index.tolist() == [0, 1]
    assert notes == ["t.csv: 2 empty rows left out"]


def test_unknown_columns_are_kept_and_reported(tmp_path):
    frame, notes = table(tmp_path, GOOD.replace("words\n", "words,note\n").replace("나\n", "나,x\n"))
    assert frame["note"].iloc[0] == "x"
    assert notes == ["t.csv: columns that nobody asked for, kept: note"]


def test_columns_that_excel_left_behind(tmp_path):
    frame, notes = table(tmp_path, GOOD.replace("\n", ",,\n"))
    assert list(frame.columns) == ["user", "age", "pay", "since", "words"]
    assert notes == ["t.csv: 2 empty columns without a name left out"]


def test_an_optional_column_may_be_absent(tmp_path):
    frame, notes = table(tmp_path, "user,age,pay,since,word\n1,2,3,2020-01-01,x\n")
    assert "words" not in frame.columns
    assert "no column 'words' (did you mean 'word'?); read without it" in notes[0]


def test_dates_that_are_none_become_missing(tmp_path):
    frame, notes = table(tmp_path, GOOD.replace("2019-12-31", "0000-00-00"))
    assert frame["since"].isna().tolist() == [False, True]
    assert "1 values of since are no dates" in notes[0] and "'0000-00-00' in row 3" in notes[0]


# ---- refused: what was wanted, what came, the next step


def refuses(tmp_path, content, *words, **options):
    with pytest.raises(ValueError) as caught:
        table(tmp_path, content, **options)
    for word in ("csv/t.csv", *words):
        assert word in str(caught.value), str(caught.value)


def test_no_such_file(tmp_path):
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "apply.csv").write_text("x", encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="no t.csv in csv/; found apply.csv"):
        read_table(tmp_path / "csv" / "t.csv", COLUMNS)


def test_an_empty_file(tmp_path):
    refuses(tmp_path, b"", "is empty (0 bytes)", "again")
    refuses(tmp_path, b"\xef\xbb\xbf\r\n", "is empty (5 bytes)")


def test_a_header_and_no_rows(tmp_path):
    refuses(tmp_path, "user,age,pay,since,words\n", "header (user, age, pay, since, words) but no rows")
    refuses(tmp_path, "user,age,pay,since,words", "no rows")


def test_a_missing_column_names_the_likely_one_and_those_that_came(tmp_path):
    refuses(
        tmp_path, GOOD.replace("age", "Agee"), "no column 'age' (did you mean 'Agee'?)", "It has: user, Agee, pay, since"
    )


def test_a_missing_header(tmp_path):
    refuses(tmp_path, GOOD.split("\n", 1)[1], "no column 'user'", "Is the header missing")


def test_two_columns_of_one_name(tmp_path):
    refuses(tmp_path, GOOD.replace("pay", "age"), "several columns named age")


@pytest.mark.parametrize(("other", "name"), [(";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_another_separator(tmp_path, other, name):
    refuses(tmp_path, GOOD.replace(";", "/").replace(",", other), f"looks separated by {name}", "not by commas")


def test_another_separator_without_a_header(tmp_path):
    columns = (Column("user", "id"), Column("item", "id"))
    options = {"columns": columns, "separator": "::", "header": False}
    refuses(tmp_path, "1,2\n", "looks separated by commas, not by double colons", **options)
    refuses(tmp_path, "1::2::3\n", "3 fields a row; wanted 2: user, item", **options)


def test_bytes_that_mean_nothing(tmp_path):
    content = GOOD.encode("utf-8").replace("나".encode(), b"\xff\xff")
    refuses(tmp_path, content, "none of utf-8-sig, utf-8, cp949", "byte 0xff in row 2", "CSV UTF-8")


def test_what_is_no_csv(tmp_path):
    refuses(tmp_path, GOOD.encode("utf-16"), "UTF-16")
    refuses(tmp_path, b"PK\x03\x04 workbook", "Excel workbook")
    refuses(tmp_path, b"<!DOCTYPE html><html>", "web page")
    refuses(tmp_path, gzip.compress(GOOD.encode())[:40], "broken gzip")
    damaged = bytearray(gzip.compress(GOOD.encode() * 50))
    damaged[20:40] = bytes(20)
    refuses(tmp_path, bytes(damaged), "broken gzip")


def test_a_value_that_is_no_number(tmp_path):
    refuses(tmp_path, GOOD.replace("45", "forty"), "column 'age' wants numbers", "'forty' in row 3")
    refuses(tmp_path, GOOD.replace("2.5", "3500만원"), "column 'pay'", "'3500만원' in row 2")


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path):
    refuses(tmp_path, GOOD.replace("010,45", "\n,,,,\n010,forty"), "'forty' in row 5")


def test_numbers_that_the_kind_does_not_allow(tmp_path):
    refuses(tmp_path, GOOD.replace("45", "4.5"), "'age' wants whole numbers", "row 3 has 4.5")
    refuses(tmp_path, GOOD.replace("45", "9007199254740994"), "'age' wants whole numbers up to 2**53", "row 3")
    refuses(tmp_path, GOOD.replace("2.5", "inf"), "'pay' wants finite numbers", "row 2 has inf")


@pytest.mark.parametrize("row", [2, 3])
def test_a_row_with_too_many_fields(tmp_path, row):
    lines = GOOD.splitlines()
    lines[row - 1] += ",x"
    came = "6 fields" if row == 3 else "more fields"
    refuses(tmp_path, "\n".join(lines), f"row {row} has {came}, wanted 5", "double quotes")


def test_a_quote_that_is_never_closed(tmp_path):
    refuses(tmp_path, GOOD.replace("가", '"가'), "cannot be read as a table", "double quote")


def test_a_key_that_is_always_missing(tmp_path):
    refuses(tmp_path, GOOD.replace("007", "").replace("010", ""), "'user' is empty in all 2 rows")


def test_many_rows_are_quick(tmp_path):
    import time

    content = b"".join(b"%d::%d::5::978300760\n" % (i % 6040, i % 3706) for i in range(300_000))
    columns = tuple(Column(name, "integer") for name in ("user", "item", "stars", "when"))
    started = time.perf_counter()
    frame, _ = table(tmp_path, content, columns, separator="::", header=False, quoted=False)
    assert len(frame) == 300_000 and time.perf_counter() - started < 3  # the slow parser takes far longer


def test_the_line_ends_of_an_old_mac_are_read(tmp_path):
    path = tmp_path / "log.csv"
    path.write_bytes(b"user,item\ru1,i1\ru2,i2\r")
    frame, _ = read_table(path, [Column("user", "id"), Column("item", "id")])
    assert frame["item"].tolist() == ["i1", "i2"]
