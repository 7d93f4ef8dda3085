"""The column map of a table: how a source's names, words, numbers and times become ours.

A TOML file, named by `CAPI_VISITS_COLUMNS` or `CAPI_ORDERS_COLUMNS`. TOML, because its names are
always text: in YAML a status `no` is false. `validate` applies it (`our_columns.py`) to files and
SQL models in the same way.

    decimal = "comma"
    time_format = "%d.%m.%Y %H:%M"
    time_zone = "Europe/Berlin"
    [columns]
    "Order No." = "order_id"        # theirs = ours; "" leaves a column out
    [values.status]
    paid = "confirmed"              # theirs = ours, in any case
    [defaults]
    currency = "EUR"                # where the source has none
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from capi_assets.contracts.base import Column, Contract, columns
from capi_assets.engine import open_cursor
from capi_assets.ingest.casting import FALSE_VALUES, TRUE_VALUES
from capi_assets.settings import SettingsError

_KEYS = ("columns", "values", "defaults", "decimal", "time_format", "time_zone")
# Not closed, but named by the advertiser: custom events, and the dataset of a shop.
_NAMED = ("event_name", "dataset_id")


@dataclass(frozen=True)
class ColumnMap:
    """What `read_column_map` read; without a file, names and words are only folded.

    Attributes:
        sources: the source's column by ours; left_out: columns of the source that are not used.
        values: by column of ours, ours by the source's folded value.
        defaults: by column, the value where the source has none.
        decimal_comma: numbers such as `1.234,50`; time_format: strptime's; time_zone: of times
            that have none.
        setting: the variable that names the file, for messages.
    """

    sources: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    decimal_comma: bool = False
    time_format: str | None = None
    time_zone: str | None = None
    setting: str = "a column map"

    def columns(self, contract: type[Contract]) -> list[Column]:
        """The contract's columns with the map's defaults."""
        return [
            replace(c, metadata=c.metadata | {"default": self.defaults[c.name]})
            if c.name in self.defaults
            else c
            for c in columns(contract)
        ]


PLAIN = ColumnMap()
"""Of a source that has our names."""


def fold(text: str) -> str:
    """A name or word as it is compared: without surrounding space, in any case."""
    return text.strip().casefold()


def read_column_map(path: str, contract: type[Contract], setting: str) -> ColumnMap:
    """The map in the file `path` for the landing `contract`; `setting` is named in messages.

    Raises:
        SettingsError: it cannot be read, or says what cannot be meant; the message has the remedy.
    """
    try:
        return _ColumnMapFile(tomllib.loads(Path(path).read_text("utf-8")), contract, setting).map()
    except OSError as error:
        problem = f"{error.strerror or type(error).__name__}; name the TOML file of the column map"
    except UnicodeDecodeError:
        problem = "it is not UTF-8; save it as UTF-8"
    except tomllib.TOMLDecodeError as error:
        problem = f'{error}; write "their name" = "our name", each in quotes'
    except ValueError as error:
        problem = str(error)
    raise SettingsError(f"{setting}: {path}: {problem}.")


class _ColumnMapFile:
    """The content of a file; every method checks a part of it. Problems are ValueErrors."""

    def __init__(self, content: dict[str, Any], contract: type[Contract], setting: str) -> None:
        self._content = content
        self._ours = {column.name: column for column in columns(contract)}
        self._setting = setting
        for key in content:
            if key not in _KEYS:
                raise ValueError(f"there is no key {key!r}{_near(key, _KEYS)}")

    def map(self) -> ColumnMap:
        sources, left_out = self._columns()
        time_format, time_zone = self._times()
        if (decimal := self._content.get("decimal", "point")) not in ("comma", "point"):
            raise ValueError('decimal must be "comma" or "point"')
        return ColumnMap(
            sources,
            frozenset(left_out),
            {name: self._values(name, words) for name, words in self._table("values").items()},
            {name: self._default(name, value) for name, value in self._table("defaults").items()},
            decimal == "comma",
            time_format,
            time_zone,
            self._setting,
        )

    def _table(self, key: str) -> dict[str, Any]:
        table = self._content.get(key, {})
        if not isinstance(table, dict):
            raise ValueError(f"{key} must be a table: begin it with a line [{key}]")
        return table

    def _columns(self) -> tuple[dict[str, str], list[str]]:
        sources: dict[str, str] = {}
        left_out: list[str] = []
        seen: dict[str, str] = {}
        for theirs, ours in self._table("columns").items():
            if not isinstance(ours, str):
                raise ValueError(f'column {theirs!r} must be a text; write "{theirs}" = "order_id"')
            if (first := seen.setdefault(fold(theirs), theirs)) != theirs:
                raise ValueError(f"columns {first!r} and {theirs!r} are one name; keep one")
            if not ours:
                left_out.append(theirs)
                continue
            self._known(ours)
            if ours in sources:
                raise ValueError(
                    f"columns {sources[ours]!r} and {theirs!r} are both {ours!r}; keep the one"
                    " that has it"
                )
            sources[ours] = theirs
        return sources, left_out

    def _values(self, name: str, words: Any) -> dict[str, str]:
        self._mappable(name)
        if not isinstance(words, dict):
            raise ValueError(f"values.{name} must be a table: begin it with [values.{name}]")
        folded: dict[str, str] = {}
        for theirs, ours in words.items():
            checked = self._value(name, ours)
            if folded.setdefault(fold(theirs), checked) != checked:
                raise ValueError(f"values.{name}: {theirs!r} is there twice; keep one")
        return folded

    def _default(self, name: str, value: Any) -> Any:
        self._mappable(name)
        checked = self._value(name, value)
        return checked in TRUE_VALUES if self._is_flag(name) else checked

    def _value(self, name: str, value: Any) -> str:
        """`value` as a closed value of the column `name`."""
        text = str(value).lower() if isinstance(value, bool) else value
        allowed = (*TRUE_VALUES, *FALSE_VALUES) if self._is_flag(name) else self._ours[name].allowed
        if not isinstance(text, str) or not text or (allowed and text not in allowed):
            some = "true, false" if self._is_flag(name) else ", ".join(allowed[:9])
            must = f"one of {some}{' …' if len(allowed) > 9 else ''}" if allowed else "a text"
            raise ValueError(f"{name}: {value!r} must be {must}")
        return text

    def _known(self, name: str) -> None:
        if name not in self._ours:
            raise ValueError(f"there is no column {name!r} of ours{_near(name, self._ours)}")

    def _mappable(self, name: str) -> None:
        self._known(name)
        if not (self._ours[name].allowed or self._is_flag(name) or name in _NAMED):
            raise ValueError(
                f"values of {name!r} cannot be mapped, since it is no closed list; use a SQL model"
            )

    def _is_flag(self, name: str) -> bool:
        return bool(self._ours[name].arrow_type == pa.bool_())

    def _times(self) -> tuple[str | None, str | None]:
        given = [self._content.get(key) for key in ("time_format", "time_zone")]
        if not all(value is None or isinstance(value, str) for value in given):
            raise ValueError('time_format and time_zone must be texts, such as "%d.%m.%Y %H:%M"')
        time_format, time_zone = given
        with open_cursor() as connection:
            try:
                if time_format:
                    connection.execute(f"SELECT try_strptime('', {quoted(time_format)})")
                if time_zone:
                    connection.execute(
                        f"SELECT timezone({quoted(time_zone)}, TIMESTAMP '2026-1-1')"
                    )
            except duckdb.Error as error:
                text = " ".join(str(error).replace("!", ";").split())
                raise ValueError(text.partition(": ")[2]) from None
        return time_format, time_zone


def quoted(text: str) -> str:
    """`text` as a literal of SQL: DuckDB wants formats and zones as constants."""
    return "'" + text.replace("'", "''") + "'"


def _near(name: str, names: Any) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    return f"; the nearest is {near[0]!r}" if near else f"; there are {', '.join(list(names)[:60])}"
