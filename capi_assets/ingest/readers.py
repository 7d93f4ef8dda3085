"""Bytes of one landing file to a table, each row with its line; no meaning, no types yet.

A line that cannot be read becomes a `BadLine`, the rest goes on. A file that cannot be read at all
raises `UnreadableFile`. CSV and JSON values come as text, Parquet values as they are.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from dataclasses import dataclass, field

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

EXTENSIONS = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")
NULL_WORDS = ["", "\\N"]
_NO_LINES = pa.array([], pa.int64())


class UnreadableFile(ValueError):
    """A file as a whole cannot be read; `reason` is a short code, the text says more."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class BadLine:
    """A line that is not a row; `shape` describes it without showing it."""

    line: int
    reason: str
    shape: str


@dataclass(frozen=True)
class RawRows:
    """Rows of one file; `lines` holds each row's line in the file, from 1 (Parquet: row number)."""

    table: pa.Table
    lines: pa.Array
    bad_lines: list[BadLine] = field(default_factory=list)
    # Rows whose value in a column is not UTF-8, by column: the value itself is null in `table`.
    not_utf8: dict[str, list[int]] = field(default_factory=dict)


def read_rows(name: str, data: bytes) -> RawRows:
    """The rows of a file, by the extension of its name.

    Raises:
        UnreadableFile: not a file of that format at all.
    """
    if name.endswith(".gz"):
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error) as error:
            raise UnreadableFile("broken_gzip", f"not a whole gzip file ({error})") from None
        name = name.removesuffix(".gz")
    if name.endswith(".parquet"):
        return _read_parquet(data)
    if not data.strip():
        return RawRows(pa.table({}), _NO_LINES)
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UnreadableFile("not_utf8", "the file is UTF-16; save it as UTF-8")
    return _read_csv(data) if name.endswith(".csv") else _read_jsonl(data)


def _read_parquet(data: bytes) -> RawRows:
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise UnreadableFile("broken_parquet", f"not a whole Parquet file ({error})") from None
    return RawRows(table, pa.array(np.arange(1, table.num_rows + 1)))


def _read_csv(data: bytes) -> RawRows:
    head = data.split(b"\n", 1)[0].rstrip(b"\r")
    try:
        header = head.decode()
    except UnicodeDecodeError:
        raise UnreadableFile("not_utf8", "the header is not UTF-8") from None
    delimiter = max(",;\t|", key=header.count)
    names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter))]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise UnreadableFile("repeated_column", f"columns named twice: {', '.join(twice)}")

    if b"\n" not in data:
        return RawRows(pa.table({n: pa.array([], pa.string()) for n in names}), _NO_LINES)
    skipped: list[tuple[int, int, str]] = []

    def skip(row: pacsv.InvalidRow) -> str:
        blank = not row.text.strip()
        shape = "" if blank else f"{row.actual_columns} of {row.expected_columns} columns"
        skipped.append((row.number, row.text.count("\n"), shape))
        return "skip"

    try:
        table = pacsv.read_csv(
            pa.py_buffer(data),
            # One block: a value may be larger than the default block. Row numbers need one thread.
            read_options=pacsv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=names, skip_rows=1
            ),
            parse_options=pacsv.ParseOptions(
                delimiter=delimiter,
                newlines_in_values=True,
                # Counted, so that line numbers hold; `_csv_lines` passes over them.
                ignore_empty_lines=False,
                invalid_row_handler=skip,
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.binary()),
                null_values=NULL_WORDS,
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid:
        raise UnreadableFile("broken_csv", "not readable as CSV; is a quote left open?") from None

    newlines = np.zeros(table.num_rows, np.int64)
    for column in table.columns:
        counts = pc.fill_null(pc.count_substring(column, "\n"), 0)
        newlines += counts.to_numpy().astype(np.int64)
    lines, bad_lines = _csv_lines(newlines, skipped)
    return _decoded(table, lines, bad_lines)


def _csv_lines(
    newlines: np.ndarray, skipped: list[tuple[int, int, str]]
) -> tuple[pa.Array, list[BadLine]]:
    """Line of each row, given the newlines inside each and the skipped (row number, newlines)."""
    total = len(newlines) + len(skipped)
    # pyarrow numbers rows from 1 with the header as row 1.
    bad = {number - 2: (inside, shape) for number, inside, shape in skipped if number is not None}
    height = np.ones(total, np.int64)
    good = np.ones(total, bool)
    for index, (inside, _) in bad.items():
        if 0 <= index < total:
            good[index] = False
            height[index] += inside
    good_index = np.flatnonzero(good)[: len(newlines)]
    height[good_index] += newlines
    starts = 2 + np.concatenate([[0], np.cumsum(height)[:-1]]) if total else height
    bad_lines = [
        BadLine(int(starts[index]), "not_a_row", shape)
        for index, (_, shape) in sorted(bad.items())
        if 0 <= index < total and shape
    ]
    return pa.array(starts[good_index]), bad_lines


def _decoded(table: pa.Table, lines: pa.Array, bad_lines: list[BadLine]) -> RawRows:
    """Bytes to text; a value that is not UTF-8 becomes null and is remembered."""
    columns: dict[str, pa.ChunkedArray | pa.Array] = {}
    not_utf8: dict[str, list[int]] = {}
    for name in table.column_names:
        column = table.column(name)
        try:
            columns[name] = column.cast(pa.string())
        except pa.ArrowInvalid:
            texts = [_text_or_none(value) for value in column.to_pylist()]
            broken = [
                row
                for row, (text, value) in enumerate(zip(texts, column, strict=True))
                if text is None and value.is_valid
            ]
            not_utf8[name] = broken
            columns[name] = pa.array(texts, pa.string())
    return _without_blank_rows(RawRows(pa.table(columns), lines, bad_lines, not_utf8))


def _without_blank_rows(rows: RawRows) -> RawRows:
    """A row without any value is an empty line, not a refused row."""
    keep = np.zeros(rows.table.num_rows, bool)
    for column in rows.table.columns:
        keep |= column.is_valid().to_numpy()
    for broken in rows.not_utf8.values():
        keep[broken] = True
    if keep.all():
        return rows
    new_index = np.cumsum(keep) - 1
    return RawRows(
        rows.table.filter(pa.array(keep)),
        rows.lines.filter(pa.array(keep)),
        rows.bad_lines,
        {name: new_index[broken].tolist() for name, broken in rows.not_utf8.items()},
    )


def _text_or_none(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _read_jsonl(data: bytes) -> RawRows:
    raw = data.split(b"\n")
    texts = pa.array(raw, pa.binary())
    bad_lines: list[BadLine] = []
    try:
        lines = texts.cast(pa.string())
    except pa.ArrowInvalid:
        decoded = [_text_or_none(line) for line in raw]
        bad_lines += [
            BadLine(number, "not_utf8", f"{len(line)} bytes")
            for number, (text, line) in enumerate(zip(decoded, raw, strict=True), start=1)
            if text is None
        ]
        lines = pa.array(decoded, pa.string())
    numbered = pa.table({"line": np.arange(1, len(raw) + 1), "text": lines})
    numbered = numbered.filter(pc.fill_null(pc.not_equal(pc.utf8_trim(lines, " \r\t"), ""), False))

    with duckdb.connect(":memory:") as connection:
        connection.register("numbered", numbered)
        connection.execute(
            "CREATE TABLE objects AS SELECT line, text, CASE WHEN json_valid(text)"
            " THEN json_type(text) = 'OBJECT' ELSE false END AS good FROM numbered ORDER BY line"
        )
        bad = connection.execute(
            "SELECT line, length(text) FROM objects WHERE NOT good ORDER BY line"
        ).fetchall()
        bad_lines += [BadLine(line, "not_json", f"{length} characters") for line, length in bad]
        names = [
            name
            for (name,) in connection.execute(
                "SELECT DISTINCT unnest(json_keys(text)) AS name FROM objects WHERE good ORDER BY 1"
            ).fetchall()
        ]
        if not names:
            return RawRows(pa.table({}), _NO_LINES, bad_lines)
        # One call with every path reads each line once.
        paths = ["/" + name.replace("~", "~0").replace("/", "~1") for name in names]
        fields = ", ".join(f"v[{i}] AS c{i}" for i in range(1, len(names) + 1))
        rows = connection.sql(
            f"SELECT line, {fields} FROM (SELECT line, {_extraction(paths)} AS v"
            " FROM objects WHERE good) ORDER BY line"
        ).to_arrow_table()
    table = rows.select(range(1, rows.num_columns)).rename_columns(names)
    for index, name in enumerate(names):
        # An empty text means absent, as in CSV.
        blank = pc.fill_null(pc.equal(table.column(name), ""), False)
        table = table.set_column(
            index, name, pc.if_else(blank, pa.scalar(None, pa.string()), table.column(name))
        )
    return RawRows(table, rows.column("line").combine_chunks(), sorted(bad_lines, key=_by_line))


def _extraction(paths: list[str]) -> str:
    quoted = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    return f"json_extract_string(text, [{quoted}])"


def _by_line(bad: BadLine) -> int:
    return bad.line
