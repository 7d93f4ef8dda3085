"""The report's numbers as files: `attribution_health` with columns of the report."""

from __future__ import annotations

from datetime import UTC
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from capi_assets.commands.report.facts import Report
from capi_assets.hours import HOUR


def numbers(report: Report) -> pa.Table:
    """`attribution_health` of the report's hours, with facts of each row's whole hour added.

    Columns added: judged, flagged, coverage_of_hour, delivered_late_in_hour, gap (its number in
    the report, null where there is none) and cause.
    """
    flags = {row["hour"].astimezone(UTC): row for row in report.flags.to_pylist()}
    late: dict[object, int] = {}
    for row in report.late.to_pylist():
        hour = row["hour"].astimezone(UTC)
        late[hour] = late.get(hour, 0) + row["orders"]
    gaps = {}
    for number, history in enumerate(report.histories, 1):
        hour = history.gap.first_hour
        while hour <= history.gap.last_hour:
            gaps[hour] = (number, str(history.gap.cause))
            hour += HOUR
    hours = [hour.astimezone(UTC) for hour in report.health["hour"].to_pylist()]
    added = {
        "judged": pa.array([_flag(flags.get(h), "judged") for h in hours], pa.bool_()),
        "flagged": pa.array([_flag(flags.get(h), "flagged") for h in hours], pa.bool_()),
        "coverage_of_hour": pa.array(
            [flags[h]["coverage"] if h in flags else None for h in hours], pa.float64()
        ),
        "delivered_late_in_hour": pa.array([late.get(h, 0) for h in hours], pa.int64()),
        "gap": pa.array([gaps[h][0] if h in gaps else None for h in hours], pa.int64()),
        "cause": pa.array([gaps[h][1] if h in gaps else None for h in hours], pa.string()),
    }
    table = report.health
    for name, column in added.items():
        table = table.append_column(name, column)
    return table


def write_numbers(report: Report, page: Path) -> list[Path]:
    """Writes the numbers next to the page, as CSV (times ISO 8601 in UTC) and as Parquet."""
    table = numbers(report)
    paths = [page.with_suffix(suffix) for suffix in (".csv", ".parquet")]
    pacsv.write_csv(table, paths[0])
    pq.write_table(table, paths[1], compression="zstd")
    return paths


def _flag(row: dict[str, object] | None, name: str) -> bool | None:
    return bool(row[name]) if row is not None else None
