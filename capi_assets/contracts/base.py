"""Column types, Arrow schemas and validation that all contracts share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pandera.pandas as pap
import pyarrow as pa

from capi_assets.meta.limits import UTC_MICROSECONDS as UTC_MICROSECONDS

# pandas' Arrow dtypes: one null, no float promotion of whole numbers, no copy to or from Arrow.
Text = Annotated[pd.ArrowDtype, pa.string()]
Time = Annotated[pd.ArrowDtype, UTC_MICROSECONDS]
Money = Annotated[pd.ArrowDtype, pa.float64()]
Count = Annotated[pd.ArrowDtype, pa.int64()]
Flag = Annotated[pd.ArrowDtype, pa.bool_()]

Rows = npt.NDArray[np.intp]

DIGESTS = r"[0-9a-f]{64}(\.[A-Za-z0-9_-]{2}|\.[A-Za-z0-9_-]{8})?"
DIGEST_LIST = rf"^{DIGESTS}( {DIGESTS})*$"


class ContractError(ValueError):
    """A table breaks its contract; the message names column and check, never a value."""


class Contract(pap.DataFrameModel):
    """A table: exactly these columns, of exactly these types."""

    class Config:
        strict = True
        ordered = False
        coerce = False


def optional(description: str, metadata: dict[str, Any] | None = None, **checks: Any) -> Any:
    """A field that may be null, with its description and Meta's page."""
    return pap.Field(nullable=True, description=description, metadata=metadata, **checks)


@dataclass(frozen=True)
class Column:
    """One column of a contract, as the UI and the data dictionary show it.

    `allowed` is its closed list of values, empty if there is none.
    """

    name: str
    type: str
    description: str
    required: bool
    arrow_type: pa.DataType
    metadata: dict[str, Any]
    allowed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Breach:
    """A check that fails; `rows` are the numbers of the failing rows, from 0, ascending."""

    column: str
    check: str
    rows: Rows


_TYPE_LABELS = {
    pa.string(): "text",
    UTC_MICROSECONDS: "timestamp (UTC)",
    pa.float64(): "number",
    pa.int64(): "integer",
    pa.bool_(): "boolean",
}


def columns(contract: type[Contract]) -> list[Column]:
    """The columns of a contract in order; for validation, the UI and the data dictionary."""
    result = []
    for name, column in contract.to_schema().columns.items():
        arrow_type = column.dtype.type.pyarrow_dtype
        result.append(
            Column(
                name=name,
                type=_TYPE_LABELS[arrow_type],
                description=column.description or "",
                required=not column.nullable,
                arrow_type=arrow_type,
                metadata=dict(column.metadata or {}),
                allowed=tuple(
                    value
                    for check in column.checks
                    if check.name == "isin"
                    for value in check.statistics["allowed_values"]
                ),
            )
        )
    return result


def arrow_schema(contract: type[Contract]) -> pa.Schema:
    """The Arrow schema of a contract's tables, in the lake and between functions.

    lake.read("orders", hours, arrow_schema(Orders))
    """
    return pa.schema([pa.field(c.name, c.arrow_type) for c in columns(contract)])


def breaches(table: pa.Table, contract: type[Contract]) -> list[Breach]:
    """Every failing check with its rows. The table must have the contract's columns and types.

    A check over several columns is reported under the column that its name begins with
    (`value_missing` under `value`).
    """
    return [*column_breaches(table, contract), *row_breaches(table, contract)]


# pandera's own report has a row per failed value, and one per column for a check over rows: 20,000
# orders without a value took 5 s. Its checks alone take milliseconds.
def column_breaches(table: pa.Table, contract: type[Contract]) -> list[Breach]:
    """The failing checks over one column."""
    if not table.num_rows:
        return []
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    failing = []
    for name, column in contract.to_schema().columns.items():
        values = frame[name]
        if not column.nullable:
            failing.append(Breach(name, "not_nullable", _true(values.isna())))
        if column.unique:
            failing.append(Breach(name, "unique", _true(values.duplicated())))
        for check in column.checks:
            failing.append(Breach(name, check.name, _failed(check(values).check_output)))
    return [breach for breach in failing if len(breach.rows)]


def row_breaches(table: pa.Table, contract: type[Contract]) -> list[Breach]:
    """The failing checks over several columns."""
    schema = contract.to_schema()
    if not table.num_rows or not (schema.checks or schema.unique):
        return []
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    failing = []
    for check in schema.checks:
        owner = next(name for name in schema.columns if check.name.startswith(f"{name}_"))
        reason = check.name.removeprefix(f"{owner}_")
        failing.append(Breach(owner, reason, _failed(check(frame).check_output)))
    if schema.unique:
        repeated = frame.duplicated(list(schema.unique))
        failing.append(Breach(" ".join(schema.unique), "unique", _true(repeated)))
    return [breach for breach in failing if len(breach.rows)]


def _failed(passed: pd.Series) -> Rows:
    """Row numbers where a check fails; pandera leaves out the rows without a value."""
    ok = passed.to_numpy(dtype=bool, na_value=True)
    numbers: Rows = passed.index.to_numpy()[~ok]
    return numbers


def _true(flags: pd.Series) -> Rows:
    numbers: Rows = np.flatnonzero(flags.to_numpy(dtype=bool))
    return numbers


def conform(table: pa.Table, contract: type[Contract]) -> pa.Table:
    """`table` with the contract's columns in its order and types, validated.

    Ingestion and matching call it before a table is stored.

    Raises:
        ContractError: a column is missing, cannot be cast, or a check fails.
    """
    schema = arrow_schema(contract)
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise ContractError(f"{contract.__name__}: missing columns {', '.join(missing)}")
    try:
        conformed = table.select(schema.names).cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ContractError(f"{contract.__name__}: {type(error).__name__} in a cast") from None
    if broken := breaches(conformed, contract):
        text = "; ".join(
            f"column {b.column} fails {b.check} in {len(b.rows)} rows, first in row {b.rows[0]}"
            for b in broken
        )
        raise ContractError(f"{contract.__name__}: {text}")
    return conformed
