"""Which columns are wanted, and tables as they come: read strictly, repaired where that is safe, refused in words.

What is repaired gets a note: a byte-order mark, a fallback encoding, spaces around headers and ids, empty rows,
rows without a key, dates that cannot be read. Anything else that is not as wanted raises, with the file, the row
as a spreadsheet counts it, what came, and the next step.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import re
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from recsys_lib.data.names import closest

Kind = Literal["id", "text", "integer", "number", "date"]
ENCODINGS = ("utf-8-sig", "utf-8", "cp949")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars (|)", "::": "double colons (::)"}


@dataclass(frozen=True)
class Column:
    """One column that a table should have.

    Attributes:
        name: as the header says it.
        kind: "id" and "text" stay strings (leading zeros kept; an id loses the spaces around it), "integer" becomes
            int64 (float64 with NaN where something is missing), "number" float64, "date" datetime64.
        required: its absence is an error; an absent optional column gets a note.
        key: a row that lacks it means nothing and is left out, with a note.
        zero_is_missing: 0 stands for "not given". The table keeps it; features made of it see a missing value.
        about: what it means.
    """

    name: str
    kind: Kind
    required: bool = True
    key: bool = False
    zero_is_missing: bool = False
    about: str = ""


def file_or_gzip(directory: str | Path, name: str) -> Path | None:
    """The file `name` of a directory, or `name`.gz, or None."""
    for candidate in (name, f"{name}.gz"):
        path = Path(directory) / candidate
        if path.is_file():
            return path
    return None


def read_table(
    path: str | Path,
    columns: Sequence[Column],
    *,
    separator: str = ",",
    encodings: Sequence[str] = ENCODINGS,
    header: bool = True,
    quoted: bool = True,
) -> tuple[pd.DataFrame, list[str]]:
    """Read a delimited file, plain or gzipped, and check every column.

    Args:
        columns: what is wanted. Other columns are kept and get a note. Without a header these are all, in order.
        separator: one character or several ("::").
        encodings: tried in order, strictly.
        header: the first row names the columns.
        quoted: double quotes protect a separator; False where they are ordinary characters (MovieLens titles).
    Returns:
        The table, columns in the file's order, rows numbered 0..n-1; and notes, a sentence each.
    Raises:
        FileNotFoundError: no such file. ValueError: the file is not what was wanted; the message says how.
    """
    path = Path(path)
    where = f"{path.parent.name}/{path.name}"
    content = _content(path, where)
    encoding = _encoding_of(content, encodings, where)
    notes = [] if encoding == encodings[0] else [f"{path.name}: read as {encoding} ({encodings[0]} does not fit)"]
    if encoding == "utf-8-sig":
        encoding = "utf-8"
        if content.startswith(codecs.BOM_UTF8):
            notes.append(f"{path.name}: begins with a byte-order mark (Excel's UTF-8); left out")
            content = content[len(codecs.BOM_UTF8) :]

    n_header_rows = 0
    if header:
        first, n_header_rows, content = _split_first_row(content, encoding)
        names = _header_names(first, columns, separator, quoted, where, notes)
        if not content.strip():
            raise ValueError(f"{where} has a header ({', '.join(names)}) but no rows. Was it written to the end?")
    else:
        first, _, _ = _split_first_row(content, encoding)
        names = [column.name for column in columns]
        n_fields = len(fields_of(first, separator, quoted))
        if n_fields != len(names):
            _refuse_separator(first, n_fields, len(columns), separator, where)
            raise ValueError(f"{where} has {n_fields} fields a row; wanted {len(names)}: {', '.join(names)}")

    frame = _parse(content, names, columns, separator, encoding, quoted, where, n_header_rows)
    frame = _without_empty_rows(frame, columns, path.name, where, notes)
    frame = _without_empty_columns(frame, columns, path.name, notes)
    for column in columns:
        if column.name in frame.columns:
            frame[column.name] = _as_kind(frame[column.name], column, where, notes)
    return frame.reset_index(drop=True), notes


# ---- bytes -> text


def _content(path: Path, where: str) -> bytes:
    if not path.exists():
        beside = sorted(p.name for p in path.parent.iterdir() if p.is_file()) if path.parent.is_dir() else []
        found = f"found {', '.join(beside)}" if beside else "there are no files"
        raise FileNotFoundError(f"no {path.name} in {path.parent.name}/; {found}")
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        try:
            content = gzip.decompress(content)
        except (EOFError, OSError, zlib.error) as error:
            raise ValueError(f"{where} is a broken gzip file ({error}). Copy or download it again.") from error
    if b"\r" in content and b"\n" not in content:
        content = content.replace(b"\r", b"\n")  # line ends of an old Mac; like \r\n they are not content
    refuse_what_is_no_text(content, where)
    return content


def refuse_what_is_no_text(start: bytes, where: str) -> None:
    """Raises: ValueError that says what a file is which is no delimited text. start: its bytes, or the first of them."""
    if not start.strip(codecs.BOM_UTF8 + b"\r\n\t "):
        raise ValueError(f"{where} is empty ({len(start)} bytes). Copy or download it again.")
    if start.startswith(b"PK\x03\x04"):
        raise ValueError(f"{where} is an Excel workbook or a zip archive. Save it as 'CSV UTF-8', or unpack it.")
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ValueError(f"{where} is UTF-16 (Excel's 'Unicode text'). Save it as 'CSV UTF-8'.")
    if start[:200].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise ValueError(f"{where} is a web page, not a table: the download went wrong. Download it again.")


def _encoding_of(content: bytes, encodings: Sequence[str], where: str) -> str:
    """The first encoding in which every byte has a meaning."""
    furthest = -1
    for encoding in encodings:
        decoder = codecs.getincrementaldecoder(encoding)()
        place = 0
        try:
            for place in range(0, len(content), 1 << 22):  # in pieces: no second copy of a large file
                decoder.decode(content[place : place + (1 << 22)])
            decoder.decode(b"", final=True)
            return encoding
        except UnicodeDecodeError as error:
            furthest = max(furthest, min(place + error.start, len(content) - 1))
    row = content.count(b"\n", 0, furthest) + 1
    raise ValueError(
        f"{where} is in none of {', '.join(encodings)}: byte 0x{content[furthest]:02x} in row {row:,} has no meaning. "
        "Save it as 'CSV UTF-8', or name its encoding."
    )


# ---- the header


def _split_first_row(content: bytes, encoding: str) -> tuple[str, int, bytes]:
    """The first row that is not blank, the number of rows up to and with it, and the rest."""
    start = len(content) - len(content.lstrip(b"\r\n"))
    end = content.find(b"\n", start)
    end = len(content) if end < 0 else end + 1
    return content[start:end].decode(encoding).strip("\r\n"), content.count(b"\n", 0, start) + 1, content[end:]


def fields_of(row: str, separator: str, quoted: bool) -> list[str]:
    """The values of one row of text."""
    if len(separator) > 1 or not quoted:
        return row.split(separator)
    return next(csv.reader([row], delimiter=separator), [])


def _header_names(
    first: str, columns: Sequence[Column], separator: str, quoted: bool, where: str, notes: list[str]
) -> list[str]:
    file_name = where.rsplit("/", 1)[-1]
    as_they_came = fields_of(first, separator, quoted)
    _refuse_separator(first, len(as_they_came), len(columns), separator, where)
    names = [name.strip().strip("\ufeff") for name in as_they_came]
    if names != as_they_came:
        notes.append(f"{file_name}: spaces around column names left out")
    names = [name or f"unnamed_{place}" for place, name in enumerate(names, start=1)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{where} has several columns named {', '.join(twice)}; rename or remove all but one")

    wanted = [column.name for column in columns]
    unknown = [name for name in names if name not in wanted]
    missing = [column for column in columns if column.name not in names]
    required = [column.name for column in missing if column.required]
    if required:
        raise ValueError(
            f"{where} has no column {', '.join(_with_likely(name, unknown) for name in required)}. "
            f"It has: {', '.join(names)}."
            + (" Is the header missing, so that the first row is data?" if len(unknown) == len(names) else "")
        )
    for column in missing:
        notes.append(f"{file_name}: no column {_with_likely(column.name, unknown)}; read without it")
    return names


def _with_likely(name: str, candidates: Sequence[str]) -> str:
    likely = closest(name, candidates)
    return repr(name) if likely is None else f"{name!r} (did you mean {likely!r}?)"


def _refuse_separator(first: str, n_fields: int, n_wanted: int, separator: str, where: str) -> None:
    if n_fields > 1 or n_wanted == 1:
        return
    likely = max(_SEPARATORS, key=lambda other: (first.count(other), len(other)))
    if first.count(likely):
        name, wanted = _SEPARATORS[likely], _SEPARATORS.get(separator, repr(separator))
        raise ValueError(f"{where} looks separated by {name}, not by {wanted}: {first[:60]!r}. Save it with {wanted}.")


# ---- rows and values


def _parse(
    content: bytes,
    names: list[str],
    columns: Sequence[Column],
    separator: str,
    encoding: str,
    quoted: bool,
    where: str,
    n_header_rows: int,
) -> pd.DataFrame:
    """All rows; numbers as float64, ids, texts and dates as strings. The index is the row as a spreadsheet counts."""
    if len(separator) > 1:
        # One pass over the bytes, then pandas' fast parser: its slow one takes ten times as long on a million rows.
        content, separator = content.replace(separator.encode(), b"\x1f"), "\x1f"
    numeric = [column.name for column in columns if column.kind in ("integer", "number") and column.name in names]
    strings = [column.name for column in columns if column.name in names and column.name not in numeric]

    def parse(dtypes: dict[str, type]) -> pd.DataFrame:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.BytesIO(content),
                sep=separator,
                header=None,
                names=names,
                dtype=dtypes,
                index_col=False,
                skip_blank_lines=False,  # so that rows can be counted
                quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
                encoding=encoding,
                encoding_errors="strict",
                low_memory=False,
            )
        frame.index = pd.RangeIndex(n_header_rows + 1, n_header_rows + 1 + len(frame))
        return frame

    try:
        try:
            return parse(dict.fromkeys(strings, str) | dict.fromkeys(numeric, float))
        except (pd.errors.ParserError, pd.errors.ParserWarning):
            raise
        except ValueError:
            # Some value is not a number. Read it all as text to find out which.
            return _numbers_from_text(parse(dict.fromkeys(strings + numeric, str)), numeric, where)
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        raise ValueError(_ragged(str(error), names, separator, where, n_header_rows)) from error


def _numbers_from_text(frame: pd.DataFrame, names: Sequence[str], where: str) -> pd.DataFrame:
    for name in names:
        text = frame[name].str.strip().replace("", np.nan)
        numbers = pd.to_numeric(text, errors="coerce")
        bad = numbers.isna() & text.notna()
        if bad.any():
            row = bad.idxmax()
            raise ValueError(
                f"{where}: column {name!r} wants numbers; {int(bad.sum()):,} of {len(frame):,} values are none, "
                f"the first {text[row]!r} in row {row:,}. Correct it, or leave it empty."
            )
        frame[name] = numbers.astype(float)
    return frame


def _ragged(message: str, names: list[str], separator: str, where: str, n_header_rows: int) -> str:
    shown = {"\x1f": "::", "\t": "tab"}.get(separator, separator)
    place = re.search(r"Expected \d+ fields in line (\d+), saw (\d+)", message)
    if place:
        row, came = int(place[1]) + n_header_rows, f"{place[2]} fields"
    elif "header or names does not match" in message:
        row, came = n_header_rows + 1, "more fields"
    else:
        return f"{where} cannot be read as a table: {message}. Is a double quote never closed?"
    return (
        f"{where}: row {row:,} has {came}, wanted {len(names)} ({', '.join(names)}). "
        f"A value that contains {shown!r} must stand in double quotes."
    )


def _without_empty_rows(
    frame: pd.DataFrame, columns: Sequence[Column], file_name: str, where: str, notes: list[str]
) -> pd.DataFrame:
    empty = frame.isna().all(axis=1)
    if empty.any():
        frame = frame[~empty]
        notes.append(f"{file_name}: {int(empty.sum()):,} empty rows left out")
    for column in columns:
        if column.key and column.name in frame.columns:
            missing = frame[column.name].isna()
            if missing.all():
                raise ValueError(f"{where}: {column.name!r} is empty in all {len(frame):,} rows; every row needs it")
            if missing.any():
                notes.append(
                    f"{file_name}: {int(missing.sum()):,} rows without {column.name} left out "
                    f"(the first is row {missing.idxmax():,})"
                )
                frame = frame[~missing]
    return frame


def _without_empty_columns(
    frame: pd.DataFrame, columns: Sequence[Column], file_name: str, notes: list[str]
) -> pd.DataFrame:
    wanted = {column.name for column in columns}
    unknown = [name for name in frame.columns if name not in wanted]
    # Excel writes a separator for every column that ever held something.
    empty = [name for name in unknown if name.startswith("unnamed_") and frame[name].isna().all()]
    kept = [name for name in unknown if name not in empty]
    if empty:
        notes.append(f"{file_name}: {len(empty)} empty columns without a name left out")
    if kept:
        notes.append(f"{file_name}: columns that nobody asked for, kept: {', '.join(kept)}")
    return frame.drop(columns=empty)


def _as_kind(values: pd.Series, column: Column, where: str, notes: list[str]) -> pd.Series:
    file_name = where.rsplit("/", 1)[-1]
    if column.kind == "id":
        stripped = values.str.strip()
        n_changed = int((stripped != values)[values.notna()].sum())
        if n_changed:
            notes.append(f"{file_name}: spaces around {n_changed:,} values of {column.name} left out")
        return stripped
    if column.kind == "date":
        dates = pd.to_datetime(values, format="ISO8601", errors="coerce")
        lost = dates.isna() & values.notna()
        if lost.any():
            notes.append(
                f"{file_name}: {int(lost.sum()):,} values of {column.name} are no dates (YYYY-MM-DD), such as "
                f"{values[lost.idxmax()]!r} in row {lost.idxmax():,}; taken as missing"
            )
        return dates
    if column.kind in ("integer", "number"):
        whole = column.kind == "integer"
        # beyond 2**53 a float64 skips whole numbers: two ids could become one
        good = (values == values.round()) & (values.abs() <= 2**53) if whole else np.isfinite(values)
        broken = values.notna() & ~good
        if broken.any():
            row = broken.idxmax()
            wanted = "whole numbers up to 2**53" if whole else "finite numbers"
            raise ValueError(f"{where}: column {column.name!r} wants {wanted}; row {row:,} has {values[row]}")
        return values.astype(np.int64) if whole and values.notna().all() else values
    return values
