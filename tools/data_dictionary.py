"""docs/data-dictionary.md: every table and column, generated from the data contracts.

`python -m tools.data_dictionary` rewrites it; a test fails until that is done. Descriptions come
from the contracts; only the text for pandera's checks and for what an invalid value costs is here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandera.pandas as pap

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import DIGEST_LIST, Column, Contract, columns
from capi_assets.contracts.dataset_quality import DatasetQuality
from capi_assets.contracts.delivery_results import DeliveryResults
from capi_assets.contracts.landing import LandedOrders, LandedVisits, LandedWithdrawals
from capi_assets.contracts.matched_events import MatchedEvents
from capi_assets.contracts.meta_access import MetaAccess
from capi_assets.contracts.meta_stats import MetaStats
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.quarantine import Quarantine
from capi_assets.contracts.visits import Visits

PAGE = Path(__file__).parents[1] / "docs" / "data-dictionary.md"
LONGEST_LIST = 16


@dataclass(frozen=True)
class Table:
    """A section of the page: where the rows of a contract are stored."""

    heading: str
    place: str
    contract: type[Contract]
    lands: bool = False


TABLES = (
    Table(
        "visits, as they land",
        "Files under `landing/visits/`, or the result of the SQL model of visits. Hashed on read;"
        " this table is never stored.",
        LandedVisits,
        lands=True,
    ),
    Table(
        "orders, as they land",
        "Files under `landing/orders/`, or the result of the SQL model of orders. Hashed on read;"
        " this table is never stored.",
        LandedOrders,
        lands=True,
    ),
    Table(
        "withdrawals, as they land",
        "Files anywhere under `landing/withdrawals/`. Only marks of orders and people are stored,"
        " in the ledger.",
        LandedWithdrawals,
        lands=True,
    ),
    Table("visits", "Lake table `visits`, by the hour of `occurred_at`.", Visits),
    Table("orders", "Lake table `orders`, by the hour of `occurred_at`.", Orders),
    Table(
        "quarantined_visits and quarantined_orders",
        "Lake tables of these names, by the hour of the landing folder or SQL model row.",
        Quarantine,
    ),
    Table(
        "matched_events",
        "Lake table `matched_events`, by the hour of `occurred_at`.",
        MatchedEvents,
    ),
    Table(
        "delivery_results",
        "Lake table `delivery_results`, by the hour of `occurred_at`.",
        DeliveryResults,
    ),
    Table(
        "meta_stats",
        "Lake table `meta_stats`, by the hour.",
        MetaStats,
    ),
    Table(
        "dataset_quality",
        "Lake table `dataset_quality`, in hour 00 of the day it was read.",
        DatasetQuality,
    ),
    Table(
        "meta_access",
        "Lake table `meta_access`, by the hour of the access check.",
        MetaAccess,
    ),
    Table("attribution_health", "Lake table `attribution_health`, by the hour.", AttributionHealth),
)

_INTRODUCTION = """\
# Data dictionary

Every table with its columns, generated from the contracts that validate them
(`capi_assets/contracts`) by `python -m tools.data_dictionary`.

- Times are UTC with microseconds; a number is a 64-bit float, an integer has 64 bits.
- **Required** columns always have a value. A required landing column with a default may be left
  out. A row that breaks a required column, or one marked *never guessed*, goes to quarantine; any
  other invalid value is dropped and recorded in `dropped_fields`.
- A *digest* is a SHA-256 in 64 lower-case hexadecimal digits, with or without the appendix of
  Meta's parameter builder. Values are normalised first: [normalisation.md](normalisation.md).
- **Meta's page** is the page that defines the column or the rule about it. How an order becomes an
  event: [events.md](events.md)."""


def page() -> str:
    """The whole page."""
    return "\n\n".join([_INTRODUCTION, *(_section(table) for table in TABLES)]) + "\n"


def _section(table: Table) -> str:
    schema = table.contract.to_schema()
    parts = [f"## {table.heading}", f"{schema.description} {table.place}"]
    if schema.unique:
        parts.append(f"Unique: {', '.join(f'`{name}`' for name in schema.unique)} together.")
    rows = [
        f"| `{column.name}` | {column.type} | {_required(column, table)} | {column.description} |"
        f" {_format(column, schema, table.lands)} | {column.metadata.get('source', '')} |"
        for column in columns(table.contract)
    ]
    head = [
        "| column | type | required | description | format and checks | Meta's page |",
        "|---|---|---|---|---|---|",
    ]
    return "\n\n".join([*parts, "\n".join([*head, *rows])])


def _required(column: Column, table: Table) -> str:
    if "default" in column.metadata:
        return f"default `{column.metadata['default']}`"
    if column.required:
        return "yes"
    return "*never guessed*" if table.lands and column.metadata.get("binding") else ""


def _format(column: Column, schema: pap.DataFrameSchema, lands: bool) -> str:
    field = schema.columns[column.name]
    formats = [_check_text(check.name, check.statistics) for check in field.checks]
    formats += [
        check.description for check in schema.checks if check.name.startswith(f"{column.name}_")
    ]
    if field.unique:
        formats.append("unique")
    if shape := column.metadata.get("json"):
        formats.insert(0, f"JSON {shape}")
    if lands and column.allowed:
        formats.append("upper or lower case")
    return "; ".join(formats)


def _check_text(check: str, statistics: Mapping[str, Any]) -> str:
    """Text for one of pandera's checks; KeyError for one that no contract used before."""
    return _CHECKS[check](statistics)


def _length(limits: Mapping[str, Any]) -> str:
    least, most = limits["min_value"], limits["max_value"]
    return f"{least} to {most:,} characters" if least else f"at most {most:,} characters"


def _one_of(limits: Mapping[str, Any]) -> str:
    allowed = limits["allowed_values"]
    if len(allowed) > LONGEST_LIST:
        return f"one of {len(allowed)} codes, {allowed[0]} to {allowed[-1]}"
    return "one of " + ", ".join(f"`{value}`" for value in allowed)


def _pattern(limits: Mapping[str, Any]) -> str:
    pattern = limits["pattern"]
    if pattern == DIGEST_LIST:
        return "digests separated by one space"
    return f"matches `{pattern}`"


_CHECKS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "str_length": _length,
    "isin": _one_of,
    "str_matches": _pattern,
    "greater_than_or_equal_to": lambda limits: f"{limits['min_value']:g} or more",
    "less_than_or_equal_to": lambda limits: f"{limits['max_value']:g} or less",
    "less_than": lambda limits: f"less than {limits['max_value']:,.0f}",
}


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")
