"""What may be said of a database's error: its class, SQLSTATE and place, never its message.

A message may quote the row that it is about, the database's address, or a password.
"""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa

_SQLSTATE = re.compile(r"[0-9A-Z]{5}")
# How drivers without a field for it write the place: Snowflake, MySQL, Databricks and ClickHouse
# with "line 3", BigQuery with "[3:8]".
_PLACE = re.compile(r"\bline (\d{1,4})\b|\[(\d{1,4}):\d{1,4}\]")
_WORD = re.compile(r'[A-Za-z_]\w*|"[A-Za-z_][\w ]*"')


def database_error_text(error: sa.exc.SQLAlchemyError, sql: str) -> str:
    """The error of a database for people; `sql` is the model's text as it was run.

    database_error_text(error, sql)  # ProgrammingError (UndefinedTable, 42P01) in line 3 at nowhere
    """
    cause: Any = getattr(error, "orig", None)
    if cause is None:
        return type(error).__name__
    facts = [type(cause).__name__, _code(cause)]
    named = ", ".join(fact for fact in facts if fact and fact != type(error).__name__)
    text = f"{type(error).__name__} ({named})" if named else type(error).__name__
    return f"{text}{_place(cause, sql)}"


def _code(cause: Any) -> str:
    """The SQLSTATE, or the database's own number."""
    for name in ("pgcode", "sqlstate", "sqlite_errorname", "errno", "code"):
        value = getattr(cause, name, None)
        if isinstance(value, str) and (_SQLSTATE.fullmatch(value) or value.startswith("SQLITE_")):
            return value
        if isinstance(value, int) and value > 0:
            return str(value)
    number = cause.args[0] if cause.args else None
    return str(number) if isinstance(number, int) else ""


def _place(cause: Any, sql: str) -> str:
    """Line of the model, and the word there if it is the model's own."""
    position = getattr(getattr(cause, "diag", None), "statement_position", None)
    query = getattr(getattr(cause, "cursor", None), "query", None)
    if position is None or not isinstance(query, bytes):
        found = _PLACE.search(str(cause))
        return f" in line {found[1] or found[2]}" if found else ""
    # psycopg2 writes parameters into the text: that moves columns, lines only if one has breaks.
    sent, start = query.decode(errors="replace"), int(position) - 1
    word = _WORD.match(sent, start)
    own = re.search(rf"(?<!\w){re.escape(word[0])}(?!\w)", sql) if word else None
    return f" in line {sent.count(chr(10), 0, start) + 1}{f' at {own[0]}' if own else ''}"
