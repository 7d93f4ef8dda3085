"""Casts columns and checks that each value is cast or has a problem: shared by tests of casting."""

from __future__ import annotations

from typing import Any

import duckdb
import pyarrow as pa

from capi_assets.contracts.base import UTC_MICROSECONDS, Column
from capi_assets.ingest.casting import CastColumn, cast_column

TYPES = {
    "text": pa.string(),
    "time": UTC_MICROSECONDS,
    "money": pa.float64(),
    "count": pa.int64(),
    "flag": pa.bool_(),
}


def column(kind: str, **metadata: Any) -> Column:
    allowed = metadata.pop("allowed", ())
    return Column("it", kind, "", False, TYPES[kind], metadata, allowed)


class Caster:
    """Casts one column."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def __call__(self, kind: str, values: Any, type_: Any = None, **metadata: Any) -> CastColumn:
        array = values if isinstance(values, pa.Array) else pa.array(values, type_)
        cast = cast_column(array, column(kind, **metadata), self._connection)
        assert cast.values.type == TYPES[kind]
        assert len(cast.values) == len(cast.problems) == len(array)
        return cast

    def values(self, kind: str, values: Any, type_: Any = None, **metadata: Any) -> list[Any]:
        """Cast values; every one must fit."""
        cast = self(kind, values, type_, **metadata)
        assert cast.problems.null_count == len(cast.problems), cast.problems.to_pylist()
        return list(cast.values.to_pylist())

    def problems(self, kind: str, values: Any, type_: Any = None, **metadata: Any) -> list[Any]:
        """Problem codes; no value has one."""
        cast = self(kind, values, type_, **metadata)
        for value, problem in zip(cast.values, cast.problems, strict=True):
            assert not (value.is_valid and problem.is_valid)
        return list(cast.problems.to_pylist())
