"""From a table of who chose what to Interactions. Every reader ends here.

`interactions_from` codes a frame that was read and checked before; `read_log` reads a large file straight into codes:
a few megabytes at a time, ids as numbers or as dictionaries, so that twenty million rows are never twenty million
Python objects.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from recsys_lib.data.columns import ENCODINGS, fields_of, refuse_what_is_no_text
from recsys_lib.data.ids import IdMap
from recsys_lib.data.interactions import Interactions, RepeatedPairs, pair_keys_of
from recsys_lib.data.names import did_you_mean
from recsys_lib.datasets.base import Template

# How people call them, compared without case, spaces and underscores. The first that is there is taken.
USER_NAMES = ("userid", "user", "uid", "memberid", "memberno", "customerid", "visitorid", "sessionid", "reviewerid")
ITEM_NAMES = ("itemid", "item", "iid", "movieid", "productid", "goodsid", "contentid", "articleid", "trackid", "asin", "sku")
TIME_NAMES = ("timestamp", "time", "ts", "datetime", "date", "createdat", "unixreviewtime")
PARQUET = (".parquet", ".pq")
BLOCK_BYTES, BLOCK_ROWS = 1 << 22, 1 << 20  # read at once, of a text and of a Parquet file
FIRST_BLOCKS = 4  # of a text, looked at to find out in which way times are written
SMALL = 1 << 24  # ids below are looked up in a table, of at most 64 MB
_WITHOUT_TIMES = "read the log without a time (timestamp=False, or 'timestamp: false' in log.yaml)"


@dataclass(frozen=True, eq=False)
class Log:
    """What read_log returns: interactions, the ids behind their codes, and notes."""

    interactions: Interactions
    users: IdMap
    items: IdMap
    notes: tuple[str, ...]


def interactions_from(
    frame: pd.DataFrame,
    users: IdMap,
    items: IdMap,
    *,
    user: str,
    item: str,
    timestamp: str | None = None,
) -> tuple[Interactions, list[str]]:
    """Code the log and merge duplicate pairs; of several rows the first in the file stays.

    Args:
        frame: the log in file order. user, item, timestamp: its columns.
    Returns:
        The interactions in file order; a note if rows were merged.
    Raises:
        KeyError: an id that the catalogue lacks.
    """
    times = None if timestamp is None else frame[timestamp].to_numpy(dtype=np.int64)
    return _merged(users.indexes(frame[user]), items.indexes(frame[item]), len(users), len(items), times)


def first_row_each(frame: pd.DataFrame, key: str, file_name: str, notes: list[str]) -> pd.DataFrame:
    """One row a key, the first; the others are counted in `notes`."""
    again = frame[key].duplicated()
    if again.any():
        notes.append(f"{file_name}: {int(again.sum()):,} further rows of a {key} that came before left out")
    return frame[~again]


def template_from(rows: pd.DataFrame, users: IdMap, user: str, item: str, file_name: str) -> Template:
    """What the host's sample file asks for: whose lists, in which order, how long.

    Args:
        rows: the sample file; the order of its columns is the header's. user, item: its columns.
    Raises:
        ValueError: users have different numbers of rows. KeyError: a user that the catalogue lacks.
    """
    rows_each = rows.groupby(user, sort=False).size()
    k = int(rows_each.mode().iloc[0])
    odd = rows_each[rows_each != k]
    if len(odd):
        raise ValueError(
            f"{file_name}: every {user} must have as many rows; most have {k}, but {len(odd):,} of "
            f"{len(rows_each):,} have not, e.g. {odd.index[0]} has {odd.iloc[0]}. Use the host's file unchanged."
        )
    user_column, item_column = (name for name in rows.columns if name in (user, item))
    return Template(user_column, item_column, users.indexes(rows_each.index), k)


def read_log(
    path: str | Path,
    *,
    user: str | None = None,
    item: str | None = None,
    timestamp: str | bool | None = None,
    separator: str | None = None,
    names: Sequence[str] | None = None,
    quoted: bool = True,
) -> Log:
    """Read a delimited or Parquet log, plain or gzipped, with any column names.

    Ids stay what they are: "007" and "7" are two users. Only where every id of a column is a plain whole number does it
    become a number. Rows without a user or an item are left out, repeated pairs merged (the first row stays), both
    with a note. A timestamp may be seconds, milliseconds or finer (told by its size), or an ISO date; it becomes whole
    seconds, and where that loses the order within a second, the rows are put in order first.

    Args:
        user, item, timestamp: columns; None finds them by their usual names (user_id, movieId, timestamp, ...). A log
            without a timestamp is read without one; timestamp=False leaves one that is there alone.
        separator: None finds it in the first row: a comma, tab, semicolon, bar or "::".
        names: of the columns, for a file without a header. quoted: double quotes protect a separator.
    Raises:
        FileNotFoundError: no such file.
        ValueError: a column cannot be found or holds something else than wanted; the message says what is there.
    """
    import pyarrow as pa

    path = Path(path)
    where = f"{path.parent.name}/{path.name}"
    if not path.is_file():
        raise FileNotFoundError(f"no {path.name} in {path.parent.name}/")
    chosen = {"user": user, "item": item, "timestamp": timestamp}
    is_parquet = path.suffix.lower() in PARQUET
    if is_parquet:
        found, stream = _parquet_batches(path, chosen, where)
    else:
        found, stream = _delimited_batches(path, chosen, where, separator=separator, names=names, quoted=quoted)
    users, items, moments = _Ids("user", where), _Ids("item", where), []
    for batch in _one_ahead(stream):  # only the codes of the whole file are ever held
        users.add(batch.column(found["user"]))
        items.add(batch.column(found["item"]))
        if found["timestamp"]:
            moments.append(batch.column(found["timestamp"]))
    notes: list[str] = []
    user_codes, users = users.finish(notes)
    item_codes, items = items.finish(notes)
    if not len(user_codes):
        raise _no_rows(where)
    pa.default_memory_pool().release_unused()  # arrow keeps what it has read into, here 300 MB, until it is told
    kept = (user_codes >= 0) & (item_codes >= 0)
    if not kept.any():
        raise ValueError(f"{where}: no row has both a user and an item; are these the right columns?")
    if not kept.all():
        row = int(np.argmin(kept))
        notes.append(
            f"{path.name}: {int((~kept).sum()):,} rows without user or item left out (the first is data row {row + 1:,})"
        )
        user_codes, item_codes = user_codes[kept], item_codes[kept]
    times, unit = _times(moments, kept, where) if moments else (None, 1)  # leaves `moments` empty
    pa.default_memory_pool().release_unused()
    if is_parquet or not kept.all():
        user_codes, users = _of_these_rows(user_codes, users)
        item_codes, items = _of_these_rows(item_codes, items)
    del kept
    if times is not None and unit > 1:
        if (times % unit != 0).any():  # two rows of one second keep their order only as their places
            order = np.argsort(times, kind="stable")
            user_codes, item_codes, times = user_codes[order], item_codes[order], times[order]
            notes.append(f"{path.name}: timestamps are finer than a second; rows are put in order of time")
        times = times // unit
    interactions, merged = _merged(
        _frozen(user_codes), _frozen(item_codes), len(users), len(items), None if times is None else _frozen(times)
    )
    return Log(interactions, users, items, (*notes, *(f"{path.name}: {note}" for note in merged)))


# ---- batches of arrow columns


def _one_ahead(stream: Iterator) -> Iterator:
    """The same, while a thread already reads the next: one core reads, the other codes."""
    with ThreadPoolExecutor(1) as thread:
        coming = thread.submit(next, stream, None)
        while (batch := coming.result()) is not None:
            coming = thread.submit(next, stream, None)
            yield batch


def _parquet_batches(path: Path, chosen: dict[str, str | None], where: str) -> tuple[dict[str, str | None], Iterator]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def broken(error: Exception) -> ValueError:
        return ValueError(f"{where} cannot be read as Parquet ({error}). Copy or download it again.")

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise broken(error) from error
    found = _find_columns(file.schema_arrow.names, chosen, where)

    def batches() -> Iterator:
        try:
            yield from file.iter_batches(columns=[name for name in found.values() if name], batch_size=BLOCK_ROWS)
        except (pa.ArrowInvalid, OSError) as error:
            raise broken(error) from error

    return found, batches()


def _delimited_batches(
    path: Path,
    chosen: dict[str, str | None],
    where: str,
    *,
    separator: str | None,
    names: Sequence[str] | None,
    quoted: bool,
) -> tuple[dict[str, str | None], Iterator]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    rows, encoding, is_gzip = _beginning(path, where)
    n_blank = next((n for n, row in enumerate(rows) if row.strip()), 0)
    first = rows[n_blank]
    separator = separator or _separator_of(first, where)
    if set(separator) != {separator[0]}:
        raise ValueError(f"{where}: separator {separator!r} must be one character, or the same one several times")
    header = [name.strip() for name in fields_of(first, separator, quoted)]
    if names is None:
        given = header
        if not any(row.strip() for row in rows[n_blank + 1 :]):
            raise _no_rows(where)
    else:
        given = list(names)
        if len(given) != len(header):
            raise ValueError(f"{where} has {len(header)} fields a row; wanted {len(given)}: {', '.join(given)}")
        if given == header:
            raise ValueError(f"{where} has a header that says the names of its columns; do not give them a second time")
    found = _find_columns(given, chosen, where)
    columns = given
    if len(separator) > 1:  # arrow takes one character: "a::b" is then a, an empty field, b
        columns = [f"{name} {n}" if n else name for name in given for n in range(len(separator))][: 1 - len(separator)]

    def source():
        return pa.input_stream(str(path), compression="gzip" if is_gzip else None)

    def opened(stream, wanted: list[str], types: dict, block_size: int):
        return arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(
                column_names=columns,
                skip_rows=n_blank + 1 if names is None else 0,
                encoding=encoding,
                block_size=block_size,
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=separator[0], quote_char='"' if quoted else False, newlines_in_values=quoted
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=wanted, column_types=types, null_values=[""], strings_can_be_null=True
            ),
        )

    def batches() -> Iterator:
        try:
            types = {found["user"]: pa.string(), found["item"]: pa.string()}  # "007" and "7" as they stand there
            if found["timestamp"]:  # times of a type that is known are read in half the time
                size = FIRST_BLOCKS * BLOCK_BYTES
                start = bytes(source().read(size))
                if len(start) == size:  # up to the end of a row: a letter of cp949 has two bytes, neither of them this
                    start = start[: start.rfind(b"\n") + 1] or start
                start = pa.BufferReader(start)
                types |= {field.name: field.type for field in opened(start, [found["timestamp"]], {}, size).schema}
            yield from opened(source(), list(types), types, BLOCK_BYTES)
        except OSError as error:
            if not is_gzip:
                raise
            raise _broken_gzip(where, error) from error
        except (pa.ArrowInvalid, UnicodeDecodeError) as error:
            message = re.sub(r"\s+", " ", str(error))[:300]
            raise ValueError(
                f"{where} cannot be read as {len(given)} columns ({', '.join(given)}) with separator {separator!r} in "
                f"{encoding}: {message}. Correct that row, name the separator, or save it as 'CSV UTF-8'."
            ) from error

    return found, batches()


def _beginning(path: Path, where: str) -> tuple[list[str], str, bool]:
    """The rows of the first megabyte, the encoding, and whether the file is gzipped."""
    with path.open("rb") as stream:
        is_gzip = stream.read(2) == b"\x1f\x8b"
    try:
        with (gzip.open if is_gzip else open)(path, "rb") as stream:
            start = stream.read(1 << 20)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _broken_gzip(where, error) from error
    if start.startswith(b"PAR1"):
        raise ValueError(f"{where} is a Parquet file; call it {' or '.join(f'NAME{end}' for end in PARQUET)}, not gzipped")
    refuse_what_is_no_text(start, where)
    for encoding in ENCODINGS:
        try:
            text = codecs.getincrementaldecoder(encoding)().decode(start)  # its end may be half a letter
        except UnicodeDecodeError:
            continue
        return re.split("\r\n|\r|\n", text), "utf8" if encoding.startswith("utf-8") else encoding, is_gzip
    raise ValueError(f"{where} is in none of {', '.join(ENCODINGS)}. Save it as 'CSV UTF-8'.")


def _broken_gzip(where: str, error: Exception) -> ValueError:
    return ValueError(f"{where} is a broken gzip file ({error}). Copy or download it again.")


def _no_rows(where: str) -> ValueError:
    return ValueError(f"{where} has a header but no rows. Was it written to the end?")


def _separator_of(first: str, where: str) -> str:
    counts = {separator: first.count(separator) for separator in ("::", "\t", ",", ";", "|")}
    best = max(counts, key=counts.get)
    if not counts[best]:
        raise ValueError(
            f"{where}: no comma, tab, semicolon, bar or '::' in the first row ({first[:80]!r}); name the separator"
        )
    return best


def _find_columns(names: list[str], chosen: dict[str, str | None], where: str) -> dict[str, str | None]:
    """Which column is the user, the item, the timestamp (or None)."""
    plain = {re.sub(r"[\s_.\-]", "", name).casefold(): name for name in names}
    usual = {"user": USER_NAMES, "item": ITEM_NAMES, "timestamp": TIME_NAMES}
    found: dict[str, str | None] = {}
    for what, name in chosen.items():
        if name is False:
            found[what] = None
            continue
        if name is not None and name not in names:
            raise ValueError(f"{where} has no column {name!r}{did_you_mean(name, names)} It has: {', '.join(names)}.")
        found[what] = name or next((plain[known] for known in usual[what] if known in plain), None)
    missing = [what for what in ("user", "item") if found[what] is None]
    if missing:
        others = [name for name in names if name not in found.values()]
        example = ", ".join(f"'{what}: {name}'" for what, name in zip(missing, others))
        raise ValueError(
            f"{where}: which column is the {' and which the '.join(missing)}? It has: {', '.join(names)}. "
            f"Say so, e.g. in log.yaml beside it: {example}. A file without a header needs all names: 'columns: [...]'."
        )
    if found["user"] == found["item"]:
        raise ValueError(f"{where}: user and item are both {found['user']!r}; name one column for each")
    twice = [name for name in found.values() if names.count(name) > 1]
    if twice:
        raise ValueError(f"{where} has several columns named {', '.join(twice)}; rename or remove all but one")
    return found


# ---- arrow arrays -> codes


class _Ids:
    """One column of ids, batch after batch.

    As long as every id is a small whole number, its code is the number itself and a table marks which there are. The first
    batch with any other makes a dictionary of them: codes in order of appearance, and the distinct ids behind them.
    """

    def __init__(self, what: str, where: str) -> None:
        self.what, self.where = what, where
        self.codes: list[np.ndarray] = []  # int32, -1 where an id is missing
        self._there = np.zeros(SMALL + 1, dtype=bool)  # its last place, -1, is no number; memory once it is written to
        self._code_of: dict[str | int, int] | None = None
        self._waiting: list = []  # several batches have fewer distinct ids together than one by one

    def add(self, column) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        with self._refusing_what_is_no_id():
            if pa.types.is_floating(column.type):  # whole numbers, some of them missing, come so from pandas
                column = pc.cast(pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column), pa.int64())
            numbers = _small_numbers(column) if self._code_of is None else None
        if numbers is not None:
            self._there[numbers] = True
            self.codes.append(numbers)
            return
        if self._code_of is None:
            self._start_dictionary(str if pa.types.is_string(column.type) else int)
        self._waiting.append(column)
        if sum(map(len, self._waiting)) >= BLOCK_ROWS or pa.types.is_dictionary(column.type):
            self._code_waiting()

    def _code_waiting(self) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        if not self._waiting:
            return
        column = pa.concat_arrays(self._waiting)
        self._waiting.clear()
        if not pa.types.is_dictionary(column.type):
            with self._refusing_what_is_no_id():
                column = pc.dictionary_encode(column)
        codes = [self._code_of.setdefault(value, len(self._code_of)) for value in column.dictionary.to_pylist()]
        codes = np.array([*codes, -1], dtype=np.int32)  # the last stands for a missing id
        self.codes.append(codes[column.indices.fill_null(len(codes) - 1).to_numpy(zero_copy_only=False)])

    @contextmanager
    def _refusing_what_is_no_id(self) -> Iterator[None]:
        import pyarrow as pa

        try:
            yield
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise ValueError(f"{self.where}: the {self.what} column wants ids: {error}. Is it the right column?") from error

    def _start_dictionary(self, kind: type) -> None:
        """The numbers until here were written in the one plain way, so that what the file says is known from them."""
        distinct, place = self._numbers()
        self._code_of = {kind(number): code for code, number in enumerate(distinct.tolist())}
        self.codes = [place[numbers] for numbers in self.codes]

    def finish(self, notes: list[str]) -> tuple[np.ndarray, IdMap]:
        """(n,) int32 codes into the sorted ids, -1 where missing."""
        self._code_waiting()
        distinct, place = self._numbers() if self._code_of is None else self._sorted(notes)
        result = np.empty(sum(map(len, self.codes)), dtype=np.int32)
        end = len(result)
        while self.codes:  # a batch is let go before the next: the whole is never there twice
            codes = self.codes.pop()
            result[end - len(codes) : end] = place[codes]
            end -= len(codes)
        return result, IdMap(distinct, self.what)

    def _numbers(self) -> tuple[np.ndarray, np.ndarray]:
        """The distinct numbers, sorted; and the place of each number among them. The last place, -1, stays -1."""
        distinct = np.flatnonzero(self._there[:-1])
        place = np.full(distinct.max(initial=-1) + 2, -1, dtype=np.int32)
        place[distinct] = np.arange(len(distinct), dtype=np.int32)
        return distinct, place

    def _sorted(self, notes: list[str]) -> tuple[pd.Index, np.ndarray]:
        """The distinct ids, sorted; and the place of each code's id among them. The last place, -1, stays -1."""
        ids = pd.Series(list(self._code_of), dtype=None if self._code_of else object)
        if not pd.api.types.is_integer_dtype(ids):
            texts = ids.astype(str).str.strip()
            n_changed = int((texts != ids.astype(str)).sum())
            if n_changed:
                notes.append(f"{self.where.rsplit('/', 1)[-1]}: spaces around {n_changed:,} {self.what} ids left out")
            ids = texts.where(texts != "")
            if ids.dropna().str.fullmatch("(?:0|-?[1-9][0-9]{0,17})").all():  # "007" is a name, not the number 7
                ids = pd.to_numeric(ids).astype("Int64")
        distinct = pd.Index(ids.dropna().unique()).sort_values()
        if distinct.dtype == "Int64":
            distinct = distinct.astype(np.int64)
        return distinct, np.append(distinct.get_indexer(ids), -1).astype(np.int32)


def _small_numbers(column) -> np.ndarray | None:
    """(n,) int32, -1 where missing: the ids, if all are whole numbers below SMALL, written the one plain way; or None."""
    import pyarrow as pa
    import pyarrow.compute as pc

    is_text = pa.types.is_string(column.type)
    if not (is_text or pa.types.is_integer(column.type)):
        return None
    if is_text:
        _, ends, texts = column.buffers()
        ends = np.frombuffer(ends, dtype=np.int32)[column.offset :][: len(column) + 1]
        texts = np.frombuffer(texts or b"", dtype=np.uint8)[ends[0] : ends[-1]]  # of all rows, one behind the other
        if len(texts) and not ord("0") <= texts.min() <= texts.max() <= ord("9"):
            return None  # a sign, a space, a letter: arrow would read even 0x1F as a number
    try:
        numbers = pc.cast(column, pa.int32())
    except pa.ArrowInvalid:  # too large for int32, or no digit at all
        return None
    if numbers.null_count < len(numbers):
        least, largest = pc.min_max(numbers).as_py().values()
        if not 0 <= least <= largest < SMALL:
            return None
    numbers = numbers.fill_null(-1).to_numpy(zero_copy_only=False)
    if is_text:  # only leading zeros make digits longer than the number needs: a single one changes the sum
        powers = [0] + [10**n for n in range(1, len(str(SMALL)))]
        if len(texts) != sum(np.count_nonzero(numbers >= power) for power in powers):
            return None
    return numbers


def _of_these_rows(codes: np.ndarray, ids: IdMap) -> tuple[np.ndarray, IdMap]:
    """The ids that appear in these rows: not those of rows left out, nor a category that no row has."""
    used = np.zeros(len(ids), dtype=bool)
    used[codes] = True
    if used.all():
        return codes, ids
    return (np.cumsum(used, dtype=np.int32) - 1)[codes], IdMap(ids.ids[used], ids.what)


def _times(chunks: list, kept: np.ndarray, where: str) -> tuple[np.ndarray, int]:
    """The times of the rows that are kept, int64 since 1970; and how many of its units are a second."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pa.chunked_array(chunks)
    chunks.clear()
    if not kept.all():
        column = column.filter(pa.array(kept))
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    if column.null_count:
        raise ValueError(
            f"{where}: {column.null_count:,} of {len(column):,} timestamps are missing. A row without a time has no place "
            f"in the order: fill them, leave those rows out, or {_WITHOUT_TIMES}."
        )
    if pa.types.is_date(column.type):
        column = pc.cast(column, pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        unit = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[column.type.unit]
        return _joined(pc.cast(column, pa.int64())), unit
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        row = _first_that_is_no_time(column)
        raise ValueError(
            f"{where}: the timestamp column wants seconds since 1970 or ISO dates (2023-10-16 09:30:00), all of one kind; "
            f"data row {np.flatnonzero(kept)[row] + 1:,} has {column[row].as_py()!r}. Convert it, or {_WITHOUT_TIMES}."
        )
    numbers = _joined(column)
    largest = max(float(numbers.max()), -float(numbers.min()))
    # Seconds until the year 5138, then milliseconds, microseconds, nanoseconds.
    unit = next((unit for limit, unit in ((1e11, 1), (1e14, 10**3), (1e17, 10**6)) if largest < limit), 10**9)
    if np.issubdtype(numbers.dtype, np.floating):
        if unit > 1:
            return np.round(numbers).astype(np.int64), unit
        return np.round(numbers * 1e6).astype(np.int64), 10**6  # seconds with a fraction
    return numbers.astype(np.int64, copy=False), unit


def _joined(column) -> np.ndarray:
    """One array that owns its memory, of a chunked one in which nothing is missing."""
    return np.concatenate([chunk.to_numpy() for chunk in column.chunks])


def _first_that_is_no_time(column) -> int:
    """Its row, for the message; slow, and asked only where there is one."""
    texts = pd.Series(column.to_pylist()).astype(str)
    numbers = pd.to_numeric(texts, errors="coerce")
    dates = pd.to_datetime(texts, errors="coerce", format="ISO8601", utc=True)
    unread = min(numbers.isna(), dates.isna(), key=sum)  # what most of the others are is what this one should be
    return int(unread.argmax())


def _merged(
    users: np.ndarray, items: np.ndarray, n_users: int, n_items: int, timestamps: np.ndarray | None
) -> tuple[Interactions, list[str]]:
    try:
        return Interactions(users, items, n_users, n_items, timestamps), []
    except RepeatedPairs as error:
        repeated = error.keys  # not the error itself: it holds the whole attempt
    keys = pair_keys_of(users, items, n_items)
    rows = np.flatnonzero(pd.Series(keys).isin(repeated))  # mostly few
    again = np.zeros(len(keys), dtype=bool)
    again[rows] = pd.Series(keys[rows]).duplicated()
    del keys
    users, items = _frozen(users[~again]), _frozen(items[~again])
    timestamps = None if timestamps is None else _frozen(timestamps[~again])
    note = f"{int(again.sum()):,} of {len(again):,} rows repeat a pair and were merged"
    return Interactions(users, items, n_users, n_items, timestamps), [note]


def _frozen(values: np.ndarray) -> np.ndarray:
    """The same array, which nobody else holds: Interactions then takes it instead of a copy."""
    values.setflags(write=False)
    return values
