"""The bytes of one landing file to a table with line numbers; types and meaning come later.

A line that cannot be read becomes a `BadLine`, and the others are read. A file that cannot be read
at all raises `UnreadableFile`. CSV and JSON values are returned as text, Parquet values unchanged.
No message shows the content of a file: it may be personal data.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from dataclasses import dataclass, field

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from capi_assets.engine import open_cursor

_JSON = (".json", ".jsonl", ".ndjson")
EXTENSIONS = (".parquet", ".csv", ".csv.gz", *_JSON, *(f"{name}.gz" for name in _JSON))
NULL_VALUES = ["", "\\N"]

MAX_BYTES = 2**31 - 2
"""Of one file, decompressed: the limit of Arrow's text columns and CSV blocks."""

MAX_COLUMNS = 2_000
"""Columns, or different keys of JSON objects: with more, the names are data and not columns."""

MAX_ROWS = 5_000_000
"""Of one file, and values of a list column; a busy hour has 300,000 orders with ten items at most,
and every row costs memory, also a blank one."""

MAX_HEADER_BYTES = 2**20
"""Of a CSV header: 2,000 columns with names of 500 bytes."""

MAX_RATIO = 100
SMALL_BYTES = 64 * 2**20
"""A compressed file may unpack to SMALL_BYTES, or to MAX_RATIO times its size: exports shrink to
a tenth or a thirtieth, and a file made to fill the memory to a thousandth."""

_NO_LINES = pa.array([], pa.int64())
_NOT_UTF8 = "\ufffd"
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")


class UnreadableFile(ValueError):
    """A file cannot be read at all; `reason` is a short code, the message explains it."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class BadLine:
    """A line that is not a row; `shape` describes it without showing it."""

    line: int
    reason: str
    shape: str
    # Of a CSV line with fewer columns than the header; in memory only, as rows are.
    cells: tuple[str, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True)
class RawRows:
    """Rows of one file; `lines` has each row's line in the file, from 1.

    In Parquet files and JSON arrays it is the number of the row.
    """

    table: pa.Table
    lines: pa.Array
    bad_lines: list[BadLine] = field(default_factory=list)
    # Rows whose value in a column is not UTF-8, by column: the value itself is null in `table`.
    not_utf8: dict[str, list[int]] = field(default_factory=dict)

    def only(self, keep: npt.NDArray[np.bool_]) -> RawRows:
        """The same with some rows; bad lines stay."""
        if keep.all():
            return self
        new_index = np.cumsum(keep) - 1
        return RawRows(
            self.table.filter(pa.array(keep)),
            self.lines.filter(pa.array(keep)),
            self.bad_lines,
            {
                name: new_index[[row for row in broken if keep[row]]].tolist()
                for name, broken in self.not_utf8.items()
            },
        )

    def part(self, start: int, rows: int) -> RawRows:
        """The same with at most so many rows from `start` on; bad lines are with the first."""
        if not start and self.table.num_rows <= rows:
            return self
        return RawRows(
            self.table.slice(start, rows),
            self.lines.slice(start, rows),
            [] if start else self.bad_lines,
            {
                name: [row - start for row in broken if start <= row < start + rows]
                for name, broken in self.not_utf8.items()
            },
        )


def read_rows(name: str, data: bytes) -> RawRows:
    """The rows of a file; its format follows from the extension of `name`.

    Sources call it for each file. An empty file has no rows; empty CSV values are null.

        read_rows("orders.csv", data).table.column("order_id")

    Raises:
        UnreadableFile: the file is not of that format, or too large.
    """
    if name.endswith(".gz"):
        data = _unpacked(data)
        name = name.removesuffix(".gz")
    if len(data) > MAX_BYTES:
        raise UnreadableFile("too_large", "more than 2 GB; land it in several files")
    if name.endswith(".parquet"):
        return _read_parquet(data)
    if data.count(b"\n") > MAX_ROWS:
        raise _too_many_rows()
    if data.startswith(_UTF16) or b"\0" in data[:4]:
        raise UnreadableFile("not_utf8", "the file is UTF-16; save it as UTF-8")
    data = data.removeprefix(_BOM)
    if not data.strip():
        return RawRows(pa.table({}), _NO_LINES)
    if b"\n" not in data:
        data = data.replace(b"\r", b"\n")  # lines end with a carriage return only
    try:
        data.decode()
        whole = True
    except UnicodeDecodeError:
        # Bytes that are not UTF-8 are marked, so that they cost a value or a line, not the file.
        data = data.decode(errors="replace").encode()
        whole = False
    return _read_csv(data, whole) if name.endswith(".csv") else _read_json(data, whole)


def _unpacked(data: bytes) -> bytes:
    broken = UnreadableFile("broken_gzip", "not a complete gzip file")
    if not data:
        raise broken
    try:
        with gzip.open(io.BytesIO(data)) as file:
            limit = _unpacked_limit(data)
            unpacked = file.read(limit + 1)
    except (OSError, EOFError, zlib.error):
        raise broken from None
    if len(unpacked) > limit:
        raise _unpacks_to_too_much()
    return unpacked


def _unpacked_limit(data: bytes) -> int:
    return min(MAX_BYTES, max(SMALL_BYTES, MAX_RATIO * len(data)))


def _unpacks_to_too_much() -> UnreadableFile:
    return UnreadableFile(
        "too_large", f"unpacked, more than {MAX_RATIO} times its size; land it uncompressed"
    )


def _too_many_rows() -> UnreadableFile:
    return UnreadableFile(
        "too_large", f"more than {MAX_ROWS:,} rows or list items; land it in several files"
    )


def _too_many_columns(number: int) -> UnreadableFile:
    return UnreadableFile("too_many_columns", f"it has {number:,} columns or different keys")


def _read_parquet(data: bytes) -> RawRows:
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        about = file.metadata
        limit = _unpacked_limit(data)
        if about.num_columns > MAX_COLUMNS:
            raise _too_many_columns(about.num_columns)
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        decoded = 0
        for i in range(about.num_columns):  # those inside lists and structs, each with its items
            items = sum(group.column(i).num_values for group in groups)
            if max(items, about.num_rows) > MAX_ROWS:
                raise _too_many_rows()
            decoded += items * max(1, about.schema.column(i).length)
        if max(decoded, sum(group.total_byte_size for group in groups)) > limit:
            raise _unpacks_to_too_much()
        # One long value may be repeated in few bytes: texts are measured before they are written
        # out.
        leaves = [groups[0].column(i) for i in range(about.num_columns)] if groups else []
        texts = [leaf.path_in_schema for leaf in leaves if leaf.physical_type == "BYTE_ARRAY"]
        table = pq.read_table(pa.BufferReader(data), read_dictionary=texts)
        encoded = (column for column in table.columns if "dictionary" in str(column.type))
        if sum(_decoded_bytes(chunk) for column in encoded for chunk in column.chunks) > limit:
            raise _unpacks_to_too_much()
        if any(map(pa.types.is_nested, file.schema_arrow.types)):  # not every one can be cast
            table = pq.read_table(pa.BufferReader(data))
        else:
            table = table.cast(file.schema_arrow)
    except (pa.ArrowException, OSError):
        raise UnreadableFile("broken_parquet", "not a complete Parquet file") from None
    return RawRows(table, pa.array(np.arange(1, table.num_rows + 1)))


def _decoded_bytes(values: pa.Array) -> int:
    """The size of a column, with its dictionaries written out, at any depth."""
    if pa.types.is_dictionary(values.type):
        return pc.sum(pc.binary_length(values.dictionary).take(values.indices)).as_py() or 0
    if not pa.types.is_nested(values.type):
        return int(values.nbytes)
    if pa.types.is_map(values.type):  # `flatten` has no kernel for maps
        return _decoded_bytes(values.keys) + _decoded_bytes(values.items)
    parts = values.flatten()
    return sum(map(_decoded_bytes, parts if pa.types.is_struct(values.type) else [parts]))


def _read_csv(data: bytes, whole: bool) -> RawRows:
    body = data.lstrip(b"\r\n")
    header_line = 1 + data[: len(data) - len(body)].count(b"\n")
    head, _, _ = body.partition(b"\n")
    if len(head) > MAX_HEADER_BYTES:
        raise UnreadableFile("broken_csv", "the first line is too long for a header")
    delimiter, names = _header(head.decode())
    if b"\n" not in body:
        return RawRows(pa.table({n: pa.array([], pa.string()) for n in names}), _NO_LINES)
    skipped: list[tuple[int, int, str, tuple[str, ...]]] = []

    def skip(row: pacsv.InvalidRow) -> str:
        blank = not row.text.strip()
        shape = "" if blank else f"{row.actual_columns} of {row.expected_columns} columns"
        is_short = row.actual_columns < row.expected_columns
        cells = (cell.strip('" \r') for cell in row.text.split(delimiter) if is_short)
        skipped.append((row.number, row.text.count("\n"), shape, tuple(cells)))
        return "skip"

    try:
        table = pacsv.read_csv(
            pa.py_buffer(body),
            # One block: a value may be larger than the default block. Row numbers need one thread.
            read_options=pacsv.ReadOptions(
                use_threads=False, block_size=len(body) + 1, column_names=names, skip_rows=1
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                # Counted, so that line numbers hold; `_csv_lines` passes over them.
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=NULL_VALUES,
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid:
        raise UnreadableFile("broken_csv", "not readable as CSV; is a quote left open?") from None

    newlines = np.zeros(table.num_rows, np.int64)
    for column in table.columns:
        newlines += pc.fill_null(pc.count_substring(column, "\n"), 0).to_numpy().astype(np.int64)
    open_at_the_end = body.rpartition(b"\n")[2].count(b'"') % 2
    if open_at_the_end or newlines.any() or any(inside for _, inside, *_ in skipped):
        _check_quotes(body.decode(), delimiter, header_line)
    lines, bad_lines = _csv_lines(newlines, skipped, header_line + 1)
    rows = RawRows(table, lines, bad_lines)
    return _without_blank_rows(rows if whole else _without_broken_text(rows))


def _header(head: str) -> tuple[str, list[str]]:
    """The delimiter and the column names; a column without a name is called `column N`."""
    delimiter = max(",;\t|", key=head.count)
    try:
        given = next(csv.reader([head.rstrip("\r")], delimiter=delimiter, strict=True))
    except csv.Error:
        raise UnreadableFile("broken_csv", "the first line is no header") from None
    names = [name.strip() or f"column {place}" for place, name in enumerate(given, start=1)]
    if len(names) > MAX_COLUMNS:
        raise _too_many_columns(len(names))
    places: dict[str, int] = {}
    for place, name in enumerate(names, start=1):
        if (first := places.setdefault(name, place)) < place:
            # Where the header is missing, the names would be personal data.
            raise UnreadableFile("repeated_column", f"columns {first} and {place} have one name")
    return delimiter, names


def _check_quotes(text: str, delimiter: str, first_line: int) -> None:
    """Raises UnreadableFile if a quote is not closed: the rows inside it would be lost.

    pyarrow takes `"a` to the next quote, however many rows later, as one value.
    """
    limit = csv.field_size_limit(MAX_BYTES)
    start = first_line
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        for _ in reader:
            start = first_line + reader.line_num
    except csv.Error:
        raise UnreadableFile(
            "broken_csv", f"a quote is left open, or not doubled, in line {start} or in its row"
        ) from None
    finally:
        csv.field_size_limit(limit)


def _csv_lines(
    newlines: npt.NDArray[np.int64],
    skipped: list[tuple[int, int, str, tuple[str, ...]]],
    first_line: int,
) -> tuple[pa.Array, list[BadLine]]:
    """Line of each row, given the newlines inside each and the skipped (row number, newlines)."""
    total = len(newlines) + len(skipped)
    # pyarrow numbers rows from 1 with the header as row 1.
    bad = {number - 2: (inside, shape, cells) for number, inside, shape, cells in skipped}
    height = np.ones(total, np.int64)
    good = np.ones(total, bool)
    for index, (inside, *_) in bad.items():
        good[index] = False
        height[index] += inside
    height[good] += newlines
    starts = first_line + np.cumsum(height) - height
    bad_lines = [
        BadLine(int(starts[index]), "not_a_row", shape, cells)
        for index, (_, shape, cells) in sorted(bad.items())
        if shape
    ]
    return pa.array(starts[good]), bad_lines


def _without_broken_text(rows: RawRows) -> RawRows:
    """Values that are not UTF-8 become null and are listed in `not_utf8`."""
    table, not_utf8 = rows.table, {}
    for place, name in enumerate(table.column_names):
        broken = pc.fill_null(pc.match_substring(table.column(name), _NOT_UTF8), False)
        where = np.flatnonzero(broken.to_numpy())
        if len(where):
            not_utf8[name] = where.tolist()
            cleared = pc.if_else(broken, pa.scalar(None, pa.string()), table.column(name))
            table = table.set_column(place, name, cleared)
    return RawRows(table, rows.lines, rows.bad_lines, not_utf8)


def _without_blank_rows(rows: RawRows) -> RawRows:
    """A row without any value is an empty line, not a refused row."""
    keep = np.zeros(rows.table.num_rows, bool)
    for column in rows.table.columns:
        keep |= column.is_valid().to_numpy()
    for broken in rows.not_utf8.values():
        keep[broken] = True
    return rows.only(keep)


def _read_json(data: bytes, whole: bool) -> RawRows:
    """One object per line, or one array of objects."""
    with open_cursor() as connection:
        objects = _elements(data, connection)
        if objects is None:
            objects = pa.array(data.split(b"\n"), pa.string())
        numbered = pa.table({"line": np.arange(1, len(objects) + 1), "text": objects})
        numbered = numbered.filter(pc.not_equal(pc.utf8_trim(objects, " \r\t"), ""))
        connection.register("numbered", numbered)
        connection.execute(
            "CREATE TEMP TABLE objects AS SELECT line, text, CASE WHEN json_valid(text)"
            " THEN json_type(text) = 'OBJECT' ELSE false END AS good FROM numbered ORDER BY line"
        )
        bad_lines = [
            BadLine(line, "not_json", f"{length} characters")
            for line, length in connection.execute(
                "SELECT line, length(text) FROM objects WHERE NOT good ORDER BY line"
            ).fetchall()
        ]
        names = [
            name
            for (name,) in connection.execute(
                "SELECT DISTINCT unnest(json_keys(text)) AS name FROM objects WHERE good ORDER BY 1"
            ).fetchall()
        ]
        if not names:
            return RawRows(pa.table({}), _NO_LINES, bad_lines)
        if len(names) > MAX_COLUMNS:
            raise _too_many_columns(len(names))
        # One call with every path reads each line once.
        paths = ["/" + name.replace("~", "~0").replace("/", "~1") for name in names]
        fields = ", ".join(f"nullif(v[{i}], '')" for i in range(1, len(names) + 1))
        rows = connection.sql(
            f"SELECT line, {fields} FROM (SELECT line, {_extraction(paths)} AS v"
            " FROM objects WHERE good) ORDER BY line"
        ).to_arrow_table()
    table = rows.select(range(1, rows.num_columns)).rename_columns(names)
    raw = RawRows(table, rows.column("line").combine_chunks(), bad_lines)
    return raw if whole else _without_broken_text(raw)


def _elements(data: bytes, connection: duckdb.DuckDBPyConnection) -> pa.Array | None:
    """The elements of a JSON array as text, None for any other file."""
    if not re.match(rb"\s*\[\s*[{\]]", data):
        return None
    try:
        found = connection.sql(
            "SELECT unnest(CAST($text AS JSON)::JSON[])::VARCHAR AS text",
            params={"text": data.decode()},
        )
        elements = found.to_arrow_table().column("text").combine_chunks()
        return pc.fill_null(elements, "null")
    except duckdb.Error:
        raise UnreadableFile(
            "broken_json",
            "begins as a JSON array and is not a valid one; write a whole array, or one object"
            " per line",
        ) from None


def _extraction(paths: list[str]) -> str:
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return f"json_extract_string(text, [{quoted}])"
