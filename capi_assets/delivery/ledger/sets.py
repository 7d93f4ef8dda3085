"""Sets of values as one parameter of a statement, in SQL of SQLite and of PostgreSQL.

A list of 1,000 parameters costs more to write, send and parse than the statement does to run. Sets
go as one JSON text: both databases read it, and no driver converts value by value.

    select(EVENTS).where(EVENTS.c.ref.in_(numbers("refs")))  # refs=as_json([1, 2, 3])
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Integer,
    Select,
    Table,
    bindparam,
    cast,
    func,
    select,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


def numbers(parameter: str) -> Select[Any]:
    """The whole numbers of the parameter, which `as_json` makes, as a query for `IN`."""
    return select(cast(_elements(parameter), BigInteger))


def keys(*constants: str, last: str) -> Select[Any]:
    """The texts of the parameter `last`, which `as_json` makes, each behind the values of the
    parameters `constants`, as a query for `IN`."""
    value = _elements(last)
    return select(*(_beside(bindparam(name), value) for name in constants), value)


def as_json(values: Sequence[Any] | pa.Array | pa.ChunkedArray) -> str:
    """The values as a parameter."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        values = values.to_pylist()
    return orjson.dumps(values).decode()


def _elements(parameter: str) -> ColumnElement[Any]:
    return _json_elements(bindparam(parameter)).table_valued("value").c.value


class _json_elements(FunctionElement[Any]):
    inherit_cache = True


class _beside(FunctionElement[Any]):
    inherit_cache = True


@compiles(_json_elements, "sqlite")
def _sqlite_elements(element: _json_elements, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_json_elements, "postgresql")
def _postgresql_elements(element: _json_elements, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_elements_text({_json(compiler.process(element.clauses, **options))})"


@compiles(_beside, "sqlite")
def _sqlite_constant(element: _beside, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(next(iter(element.clauses)), **options)


@compiles(_beside, "postgresql")
def _postgresql_constant(element: _beside, compiler: SQLCompiler, **options: Any) -> str:
    # Not a constant to PostgreSQL: of one that its statistics do not have yet, such as a new
    # dataset, it expects a single row, and would then go through them all.
    constant, value = (compiler.process(clause, **options) for clause in element.clauses)
    return f"{constant} || left({value}, 0)"


def insert_numbered(connection: Connection, target: Table, rows: pa.Table) -> list[int]:
    """Inserts the rows, columns of `target` without its number, in one statement.

    Returns their numbers, in the order of the rows; they rise.
    """
    number = next(iter(target.primary_key))
    columns = [rows[name].to_pylist() for name in rows.column_names]
    names = [number.name, *rows.column_names]
    listed = ", ".join(names)
    if connection.dialect.name == "sqlite":
        # As SQLite numbers rows itself; no other transaction writes meanwhile.
        last = connection.scalar(select(func.max(number))) or 0
        given = list(range(last + 1, last + 1 + rows.num_rows))
        marks = ", ".join("?" * len(names))
        connection.exec_driver_sql(
            f"INSERT INTO {target.name} ({listed}) VALUES ({marks})",
            list(zip(given, *columns, strict=True)),
        )
        return given
    drawn = connection.execute(
        text(
            f"SELECT nextval(pg_get_serial_sequence('{target.name}', '{number.name}')), reltuples"
            " FROM generate_series(1, :count), pg_class"
            f" WHERE oid = CAST('{target.name}' AS regclass)"
        ),
        {"count": rows.num_rows},
    ).all()
    given = sorted(row.nextval for row in drawn)
    cast = ", ".join(f"CAST({name} AS {_type(target.c[name].type)})" for name in names)
    sets = ", ".join(f"json_array_elements_text({_json(f':{name}')})" for name in names)
    connection.execute(
        text(
            f"INSERT INTO {target.name} ({listed}) "
            f"SELECT {cast} FROM ROWS FROM ({sets}) AS listed ({listed})"
        ),
        {name: as_json(values) for name, values in zip(names, [given, *columns], strict=True)},
    )
    if drawn[0].reltuples <= 0:
        # Without statistics PostgreSQL may look for an event by its dataset alone.
        connection.exec_driver_sql(f"ANALYZE {target.name}")
    return given


def _json(parameter: str) -> str:
    return f"CAST({parameter} AS JSON)"


def _type(column_type: Any) -> str:
    """Wide types: a cast to VARCHAR(64) would cut a value, the column refuses it."""
    if isinstance(column_type, Integer):
        return "BIGINT"
    return "DOUBLE PRECISION" if column_type.python_type is float else "TEXT"
