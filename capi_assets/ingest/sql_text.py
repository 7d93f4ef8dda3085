"""The text of SQL models: its `$name` parameters, and the same text with SQLAlchemy's `:name`.

Comments, quoted text and quoted identifiers stay unchanged: they contain no parameters.
"""

from __future__ import annotations

import re

_PIECE = re.compile(
    r"""
      '(?:[^']|'')*'                                  # text
    | "(?:[^"]|"")*"                                  # an identifier
    | --[^\n]*                                        # a comment to the end of the line
    | /\*.*?\*/                                       # a comment
    | (?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)       # text in dollars
    | (?<![\w$])\$(?P<name>[A-Za-z_]\w*)              # a parameter
    """,
    re.VERBOSE | re.DOTALL,
)
# Where SQLAlchemy's text() would see a parameter: a colon before a word, unless doubled.
_COLON = re.compile(r"(?<![:\w\\]):(?=\w)")


def parameters_of(sql: str) -> set[str]:
    """The names of the parameters in `sql`."""
    return {match["name"] for match in _PIECE.finditer(sql) if match["name"]}


def is_one_statement(sql: str) -> bool:
    """Whether no statement follows a semicolon; drivers such as PostgreSQL's would run it too."""
    return ";" not in _PIECE.sub("", sql).strip().rstrip(";")


def with_colons(sql: str) -> str:
    """`sql` for SQLAlchemy's `text()`: `$name` becomes `:name`; other colons are escaped."""
    pieces, end = [], 0
    for match in _PIECE.finditer(sql):
        if name := match["name"]:
            # text() recognises no parameter next to another colon, as in `:a::date`.
            beside = sql[match.start() - 1 : match.start()] + sql[match.end() : match.end() + 1]
            pieces.append(_escaped(sql[end : match.start()]))
            pieces.append(f"(:{name})" if {":", "\\"} & {*beside} else f":{name}")
            end = match.end()
    return "".join([*pieces, _escaped(sql[end:])])


def _escaped(sql: str) -> str:
    return _COLON.sub(r"\\:", sql)
