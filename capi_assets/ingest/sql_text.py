"""The text of SQL models: which `$names` it asks for, and the same text with SQLAlchemy's `:names`.

Comments, quoted text and quoted identifiers are left alone: what stands there is no parameter.
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
    """The names that `sql` asks for."""
    return {found["name"] for found in _PIECE.finditer(sql) if found["name"]}


def with_colons(sql: str) -> str:
    """`sql` for SQLAlchemy's `text()`: `$name` becomes `:name`, and no other colon means one."""
    pieces, end = [], 0
    for found in _PIECE.finditer(sql):
        if name := found["name"]:
            # text() sees no parameter beside another colon, as in `:a::date`.
            beside = sql[found.start() - 1 : found.start()] + sql[found.end() : found.end() + 1]
            pieces.append(_escaped(sql[end : found.start()]))
            pieces.append(f"(:{name})" if {":", "\\"} & {*beside} else f":{name}")
            end = found.end()
    return "".join([*pieces, _escaped(sql[end:])])


def _escaped(sql: str) -> str:
    return _COLON.sub(r"\\:", sql)
