"""Canary secrets and people, and the search for them in everything that is written.

A secret, and what is known of a person, has `kanari` in it and the name of its place; phone number,
birth date and postal code, which cannot, are the same for everybody. What the lake stores of a
visitor as it is (address of the page, browser, click id) has `papagei` in it, and the addresses
that alerts go to have `sittich`.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import hmac
import io
import re
import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import duckdb
import pyarrow.parquet as pq

PHONE = "+49 163 9995501"
MAX_DEPTH = 8  # packed within packed: a cursor in a tick in a database has four


def token(place: str) -> str:
    """An access token as long as Meta's."""
    return f"EAAkanari{place.replace('_', '')}".ljust(190, "Z")


def password(place: str) -> str:
    """A password that may stand in a URL as it is."""
    return f"kanari{place}"


def email(place: str) -> str:
    return f" Kanari.{place}@Mail.example"


def person(place: str) -> dict[str, str]:
    """The contact data of a person by landing column, each value with the place in it."""
    return {
        "email": email(place),
        "phone": PHONE,
        "first_name": f"Kanari-Fn{place}",
        "last_name": f"von Kanari{place}",
        "date_of_birth": "1931-02-17",
        "city": f"Kanarict{place}",
        "state": f"Kanarist{place}",
        "zip": "KA9 7ZQ",
        "external_id": f"Kanariid{place}",
    }


@dataclass(frozen=True)
class Canaries:
    """What is searched for: words in any case, in hexadecimal and in base64; patterns; digests."""

    words: tuple[str, ...] = ()
    patterns: tuple[re.Pattern[bytes], ...] = ()
    digests: tuple[str, ...] = ()

    def places_in(self, text: bytes) -> Iterator[int]:
        """Where they are."""
        lower = text.lower()
        for word in self.words:
            yield from _all_of(lower, word.encode())
            yield from _all_of(lower, word.encode().hex().encode())
            for code in _base64(word):
                yield from _all_of(text, code)
        for digest in self.digests:
            yield from _all_of(lower, digest.encode())
        for pattern in self.patterns:
            yield from (hit.start() for hit in pattern.finditer(text))


def _all_of(text: bytes, word: bytes) -> Iterator[int]:
    place = text.find(word)
    while place >= 0:
        yield place
        place = text.find(word, place + 1)


@cache
def _base64(word: str) -> list[bytes]:
    """What of a word is the same in base64 whatever stands around it, at each of three offsets."""
    found = []
    for spelling in (word, word.upper(), word.title()):
        for offset in range(3):
            code = base64.b64encode(b"\0" * offset + spelling.encode())
            first = -(-offset * 8 // 6)
            found.append(code[first : (offset + len(spelling)) * 8 // 6])
    return found


_PHONE = r"[\s()./-]{0,2}".join("1639995501")
NOWHERE = Canaries(
    ("kanari", "491639995501"),
    tuple(
        re.compile(pattern.encode(), re.IGNORECASE)
        # Each begins with a character of its own, which makes it quick.
        for pattern in (
            rf"9[\s()./-]{{0,3}}{_PHONE}(?!\d)",
            rf"0[\s()./-]{{0,2}}{_PHONE}(?!\d)",
            r"1931[-/.]?02[-/.]?17(?!\d)",
            r"17[./-]02[./-]1931(?!\d)",
            r"02[./-]17[./-]1931(?!\d)",
            r"ka9 ?7zq",
        )
    ),
    (hmac.new(password("appsecret").encode(), token("access").encode(), "sha256").hexdigest(),),
)
"""Secrets, with the appsecret_proof that is made of two of them, and people."""

ONLY_IN_THE_LAKE = Canaries(
    ("papagei",),
    digests=tuple(
        hashlib.sha256(normalised.encode()).hexdigest()
        for normalised in (
            "491639995501",
            *(
                email(f"{row}{number}").strip().lower()
                for row in ("order", "visit")
                for number in range(3)
            ),
        )
    ),
)
"""Visitors' data and digests of people: stored for Meta, and for nobody to read."""


def find(content: bytes, canaries: Canaries, where: str = "") -> list[str]:
    """Each canary with where it is and what stands around it, also packed and encoded."""
    found = []
    for name, text in _unpacked(content, where, 0):
        decoded = _decoded(text)
        for view in [text] if decoded == text else [text, decoded]:
            for place in canaries.places_in(view):
                around = view[max(0, place - 100) : place + 60]
                found.append(f"{name}: …{around.decode(errors='replace')}…")
    return sorted(set(found))


def find_below(
    folder: Path, canaries: Canaries, searched: Callable[[Path], bool]
) -> tuple[list[str], int]:
    """The canaries in the files below a folder and in their names, and how many were searched."""
    found, files = [], 0
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink() and searched(path):
            files += 1
            name = str(path.relative_to(folder))
            found += find(name.encode(), canaries, f"the name {name}")
            if path.open("rb").read(15) == _SQLITE:
                with closing(sqlite3.connect(path)) as connection:  # what its log holds still
                    connection.execute("pragma wal_checkpoint(truncate)")
            found += find(path.read_bytes(), canaries, name)
    return found, files


def _decoded(text: bytes) -> bytes:
    """Without escapes of URLs and JSON, and without the NULs of UTF-16."""
    if b"%" in text:
        for _ in range(2):
            text = unquote_to_bytes(text)
    if b"\\u00" in text:
        text = re.sub(rb"\\+u00([0-9a-fA-F]{2})", lambda m: bytes.fromhex(m[1].decode()), text)
    return text.replace(b"\0", b"")


def _unpacked(content: bytes, where: str, depth: int) -> Iterator[tuple[str, bytes]]:
    """The content, and recursively what it packs."""
    yield where, content
    if depth == MAX_DEPTH:
        return
    for kind, part in _parts(content):
        yield from _unpacked(part, f"{where} [{kind}]", depth + 1)


def _parts(content: bytes) -> Iterator[tuple[str, bytes]]:
    if content.startswith(_SQLITE):
        yield from _sqlite(content)
    elif content[8:12] == b"DUCK":
        yield from _duckdb(content)
    elif content.startswith(b"PAR1"):
        yield from _parquet(content)
    elif content.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                yield name, name.encode() + b"\n" + archive.read(name)
    elif content.startswith(b"\x1f\x8b"):
        yield "gzip", gzip.decompress(content)
    elif content[:1] == b"\x78":
        with suppress(zlib.error):
            yield "zlib", zlib.decompress(content)
    elif len(content) > 15 and re.fullmatch(rb"[A-Za-z0-9+/_-]+={0,2}", content):
        with suppress(binascii.Error):
            yield "base64", base64.b64decode(content.translate(_URL_SAFE), validate=True)


_SQLITE = b"SQLite format 3"
_URL_SAFE = bytes.maketrans(b"-_", b"+/")


def _as_bytes(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode(errors="surrogatepass")


def _sqlite(content: bytes) -> Iterator[tuple[str, bytes]]:
    # A database whose changes are still in its log is opened by neither header nor deserialize.
    content = content[:18] + b"\1\1" + content[20:]
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.text_factory = bytes
        connection.deserialize(content)
        for (table,) in connection.execute("select name from sqlite_master where type = 'table'"):
            name = table.decode()
            for row in connection.execute(f'select * from "{name}"'):
                for value in row:
                    if isinstance(value, bytes):
                        yield f"table {name}", value


def _duckdb(content: bytes) -> Iterator[tuple[str, bytes]]:
    with tempfile.NamedTemporaryFile(suffix=".duckdb") as copy:
        copy.write(content)
        copy.flush()
        with duckdb.connect(copy.name, read_only=True) as connection:
            for view in connection.execute("select sql from duckdb_views()").fetchall():
                yield "view", _as_bytes(view[0])
            tables = connection.execute("select table_name from duckdb_tables()").fetchall()
            for (table,) in tables:
                for row in connection.execute(f'select * from "{table}"').fetchall():
                    for value in row:
                        yield f"table {table}", _as_bytes(value)


def _parquet(content: bytes) -> Iterator[tuple[str, bytes]]:
    file = pq.ParquetFile(io.BytesIO(content))
    table = file.read()
    for name, values in zip(table.column_names, table.columns, strict=True):
        yield f"column {name}", b"\n".join({_as_bytes(value) for value in values.to_pylist()})
    for key, value in (file.metadata.metadata or {}).items():
        yield "metadata", key + b"=" + value
