"""The report's numbers as files: `attribution_health` with columns of the report."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from capi_assets.commands.report.facts import Report
from capi_assets.hours import HOUR, hours_between

_ADDED = pa.schema(
    {
        **dict.fromkeys(("judged", "flagged"), pa.bool_()),
        "coverage_of_hour": pa.float64(),
        **dict.fromkeys(("delivered_late_in_hour", "gap"), pa.int64()),
        "cause": pa.string(),
    }
)


def numbers(report: Report) -> pa.Table:
    """`attribution_health` of the report's hours, with facts of each row's whole hour added.

    Columns added: judged, flagged, coverage_of_hour, delivered_late_in_hour, gap (its number in
    the report, null where there is none) and cause.
    """
    flags = {row["hour"]: row for row in report.flags.to_pylist()}
    late: Counter[datetime] = Counter()
    for row in report.late.to_pylist():
        late[row["hour"]] += row["orders"]
    gaps = {
        hour: (number, str(history.gap.cause))
        for number, history in enumerate(report.histories, 1)
        for hour in hours_between(history.gap.first_hour, history.gap.last_hour + HOUR)
    }
    rows = []
    for hour in report.health["hour"].to_pylist():
        flag = flags.get(hour, {})
        number, cause = gaps.get(hour, (None, None))
        state = (flag.get("judged"), flag.get("flagged"), flag.get("coverage"))
        rows.append(dict(zip(_ADDED.names, (*state, late[hour], number, cause), strict=True)))
    table = report.health
    for name, column in zip(_ADDED.names, pa.Table.from_pylist(rows, _ADDED).columns, strict=True):
        table = table.append_column(name, column)
    return table


def write_numbers(report: Report, page: Path) -> list[Path]:
    """Writes the numbers next to the page, as CSV (times ISO 8601 in UTC) and as Parquet."""
    table = numbers(report)
    paths = [page.with_suffix(suffix) for suffix in (".csv", ".parquet")]
    pacsv.write_csv(table, paths[0])
    pq.write_table(table, paths[1], compression="zstd")
    return paths
