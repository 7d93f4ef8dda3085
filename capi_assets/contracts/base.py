"""What every contract shares: column types, and how a table is held against its model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pandas as pd
import pandera.pandas as pap
import pyarrow as pa

UTC_MICROSECONDS = pa.timestamp("us", tz="UTC")

# pandas' Arrow dtypes: one null, no float promotion of whole numbers, no copy to or from Arrow.
Text = Annotated[pd.ArrowDtype, pa.string()]
Time = Annotated[pd.ArrowDtype, UTC_MICROSECONDS]
Money = Annotated[pd.ArrowDtype, pa.float64()]
Count = Annotated[pd.ArrowDtype, pa.int64()]
Flag = Annotated[pd.ArrowDtype, pa.bool_()]

DIGESTS = r"[0-9a-f]{64}(\.[A-Za-z0-9_-]{2}|\.[A-Za-z0-9_-]{8})?"
DIGEST_LIST = rf"^{DIGESTS}( {DIGESTS})*$"


class ContractError(ValueError):
    """A table of ours breaks its contract; the message names column and check, never a value."""


class Contract(pap.DataFrameModel):
    """A table: exactly these columns, of exactly these types."""

    class Config:
        strict = True
        ordered = False
        coerce = False


@dataclass(frozen=True)
class Column:
    """One column of a contract, as the UI and the data dictionary show it."""

    name: str
    type: str
    description: str
    required: bool
    arrow_type: pa.DataType
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Breach:
    """One check that one row fails; `row` counts from 0."""

    row: int
    column: str
    check: str


_TYPE_WORDS = {
    pa.string(): "text",
    UTC_MICROSECONDS: "timestamp (UTC)",
    pa.float64(): "number",
    pa.int64(): "integer",
    pa.bool_(): "boolean",
}


def columns(contract: type[Contract]) -> list[Column]:
    """The columns of a contract in their order."""
    found = []
    for name, column in contract.to_schema().columns.items():
        arrow_type = column.dtype.type.pyarrow_dtype
        found.append(
            Column(
                name=name,
                type=_TYPE_WORDS[arrow_type],
                description=column.description or "",
                required=not column.nullable,
                arrow_type=arrow_type,
                metadata=dict(column.metadata or {}),
            )
        )
    return found


def arrow_schema(contract: type[Contract]) -> pa.Schema:
    """The Arrow schema that tables of this contract have, in the lake and between functions."""
    return pa.schema([pa.field(c.name, c.arrow_type) for c in columns(contract)])


def breaches(table: pa.Table, contract: type[Contract]) -> list[Breach]:
    """Every failed check of every row. The table must have the contract's columns and types.

    A check over several columns is reported once per row, under the column that the check's name
    begins with (`value_missing` speaks of `value`).
    """
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    try:
        contract.validate(frame, lazy=True)
    except pap.errors.SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return []
    unplaced = cases[cases["index"].isna()]
    if len(unplaced):
        first = unplaced.iloc[0]
        raise ContractError(
            f"{contract.__name__}: {first['column']} fails {first['check']} as a whole"
        )
    # A check over the whole row fails once per column in pandera; keep one of them.
    names = contract.to_schema().columns
    found: dict[tuple[int, str, str], Breach] = {}
    for context, column, check, row in zip(
        cases["schema_context"], cases["column"], cases["check"], cases["index"], strict=True
    ):
        word = str(check).partition("(")[0]
        if context == "DataFrameSchema":
            owner = next((n for n in names if word.startswith(f"{n}_")), str(column))
            word = word.removeprefix(f"{owner}_")
        else:
            owner = str(column)
        found[(int(row), owner, word)] = Breach(int(row), owner, word)
    return sorted(found.values(), key=lambda b: (b.row, b.column, b.check))


def conform(table: pa.Table, contract: type[Contract]) -> pa.Table:
    """`table` with the contract's columns, order and types, checked.

    Raises:
        ContractError: a column is missing, cannot be cast, or a check fails.
    """
    schema = arrow_schema(contract)
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise ContractError(f"{contract.__name__}: missing columns {', '.join(missing)}")
    try:
        fitted = table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ContractError(f"{contract.__name__}: {type(error).__name__} in a cast") from None
    if broken := breaches(fitted, contract):
        first = broken[0]
        raise ContractError(
            f"{contract.__name__}: {len(broken)} failed checks, the first: row {first.row},"
            f" column {first.column}, check {first.check}"
        )
    return fitted
