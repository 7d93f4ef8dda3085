"""Searches everything that this project writes for what is left of a person.

Files are decoded: Parquet value by value, databases table by table. SQLite files are searched as
bytes as well, since deleted rows may stay in free pages and journals.
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from sqlalchemy import Connection, MetaData, String, Text, create_engine, inspect, select
from sqlalchemy import Table as SqlTable
from upath import UPath

from capi_assets.delivery.erasure.person import Named, Person
from capi_assets.storage.listing import files_below

SHORTEST_IN_TEXT = 8
"""Shorter ids, such as the order 1042, are compared with whole values only: inside other text and
in bytes they would be found by chance."""

_DIGEST_LIKE = 20  # characters from which on a value is never a part of a longer number
_MAX_DEPTH = 12  # levels of folders; Dagster's compute logs have five
_FETCH_ROWS = 1_000
_NOTHING = r"[^\s\S]"


@dataclass
class Findings:
    """What was searched, and by place how often the person was found there."""

    files: int = 0
    tables: int = 0
    found: dict[str, int] = field(default_factory=dict)

    def add(self, place: str, times: int) -> None:
        if times:
            self.found[place] = max(times, self.found.get(place, 0))


class Needles:
    """The person's values, digests and ids, to be found in texts and bytes and removed from them.

    `written` are further forms of the ids, such as with escaped characters.
    """

    def __init__(self, person: Person, named: Named, written: Collection[str] = ()) -> None:
        values = {each.split(":", 1)[1] for each in person.ids}
        self.whole = {
            *values,
            *person.own_ids,
            *named.texts,
            *named.orders,
            *person.marks,
            *written,
        }
        long = [each for each in self.whole if len(each) >= SHORTEST_IN_TEXT]
        short = [each for each in self.whole if 0 < len(each) < SHORTEST_IN_TEXT]
        edge = r"[^0-9A-Za-z_-]"
        self._arrow = rf"(?i)(?:^|{edge}){_any(long)}(?:$|{edge})"
        # The check all_events_resolved names ids, "1042 (another order 1042 was sent from …)".
        in_check = rf"(?:{_any(short)}(?= \(another order)|(?<=another order ){_any(short)})"
        self._text = re.compile(rf"(?i)(?<![\w-])(?:{_any(long)}|{in_check})(?![\w-])")
        digests = [each for each in long if len(each) >= _DIGEST_LIKE]
        numbers = rf"(?<![0-9]){_any(set(long) - set(digests))}(?![0-9])"
        self._bytes = re.compile(rf"(?i)(?:{_any(digests)}|{numbers})".encode())

    def in_column(self, values: pa.ChunkedArray) -> int:
        """In how many values of a text column."""
        whole = pc.is_in(values, value_set=pa.array(sorted(self.whole), pa.string()))
        inside = pc.fill_null(pc.match_substring_regex(values, self._arrow), False)
        return int(pc.sum(pc.or_(whole, inside)).as_py() or 0)

    def in_text(self, text: str) -> bool:
        return text in self.whole or bool(self._text.search(text))

    def spans(self, content: bytes) -> list[tuple[int, int]]:
        """Where bytes have them, as first and last place."""
        return [match.span() for match in self._bytes.finditer(content)]

    def redact(self, text: str) -> str:
        """The text with `erased` in their place."""
        return "erased" if text in self.whole else self._text.sub("erased", text)


def _any(texts: Collection[str]) -> str:
    return f"(?:{'|'.join(map(re.escape, sorted(texts, key=len, reverse=True))) or _NOTHING})"


def search_files(root: UPath, needles: Needles, findings: Findings) -> None:
    """Every file below `root`, also hidden and temporary ones, or the file `root`.

    Raises:
        OSError, pa.ArrowException, sqlalchemy.exc.SQLAlchemyError: a file cannot be read.
    """
    below = (root.joinpath(*file.parts) for file in files_below(root, _MAX_DEPTH))
    for path in [root] if root.is_file() else below:
        try:
            content = path.read_bytes()
        except FileNotFoundError:  # replaced since it was listed
            continue
        findings.files += 1
        if content[:4] == b"PAR1" == content[-4:]:
            findings.add(str(path), _in_parquet(content, needles))
            continue
        findings.add(str(path), len(needles.spans(content)))
        if content.startswith(b"SQLite format 3\0"):
            engine = create_engine(f"sqlite:///{path.path}")
            with engine.connect() as connection:
                search_database(connection, str(path), needles, findings)
            engine.dispose()


def _in_parquet(content: bytes, needles: Needles) -> int:
    table = pq.read_table(io.BytesIO(content))
    texts = [field.name for field in table.schema if pa.types.is_string(field.type)]
    return sum(needles.in_column(table[name]) for name in texts)


def search_database(
    connection: Connection, place: str, needles: Needles, findings: Findings
) -> None:
    """Every text of every table of a database.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: a table cannot be read.
    """
    for name in inspect(connection).get_table_names():
        table = SqlTable(name, MetaData(), autoload_with=connection)
        texts: list[Any] = [c for c in table.columns if isinstance(c.type, (String, Text))]
        if texts:
            findings.tables += 1
            rows = connection.execution_options(yield_per=_FETCH_ROWS).execute(select(*texts))
            hits = sum(needles.in_text(text) for row in rows for text in row if text is not None)
            findings.add(f"{place}, table {name}", hits)
