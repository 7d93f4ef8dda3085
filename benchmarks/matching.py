"""Orders find their visits: ours beside the scan it cannot do without, and beside a pandas merge.

The floor is DuckDB reading the columns that visits are found by, and doing nothing with them. The
pandas contender finds the winners and no more; ours also lends the order what it lacks.

`python -m benchmarks.matching FOLDER CONTENDER ORDERS` measures one.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Result, Stopwatch, in_child, in_turns, stay_on_one_core, table, tell

KEYS = ("visit_id", "external_id", "em", "ph", "fbclid", "fbp")
FLOOR = "scan of the key columns"
SMALLER = 8
"""The pandas merge is measured on this part of the visits and orders: more would not fit."""


def report(visits: int, orders: int, rounds: int) -> str:
    """Runs every contender and says how they compare."""
    module = "benchmarks.matching"
    few, part = orders // 10, orders // SMALLER
    with tempfile.TemporaryDirectory() as large, tempfile.TemporaryDirectory() as small:
        in_child("benchmarks.traffic", large, visits, orders)
        in_child("benchmarks.traffic", small, visits // SMALLER, part)
        whole = in_turns(
            rounds,
            {
                FLOOR: (module, large, "floor", 0),
                f"capi_assets, {few:,} orders": (module, large, "ours", few),
                f"capi_assets, {orders:,} orders": (module, large, "ours", orders),
            },
        )
        eighth = in_turns(
            rounds,
            {
                FLOOR: (module, small, "floor", 0),
                f"capi_assets, {part:,} orders": (module, small, "ours", part),
                f"pandas merge, {part:,} orders": (module, small, "pandas", part),
            },
        )
    _, ours, theirs = eighth.values()
    if ours["winners"] != theirs["winners"]:
        raise SystemExit("pandas finds other visits: no comparison")
    return "\n\n".join(
        [
            f"Matching: {visits:,} visits of a week, one core, CPU time",
            _table(whole),
            f"The same with {visits // SMALLER:,} visits, where pandas finds the same"
            f" {ours['found']:,} visits",
            _table(eighth),
        ]
    )


def _table(found: dict[str, Result]) -> str:
    floor = float(found[FLOOR]["cpu"])
    rows = [
        (
            name,
            f"{result['cpu']:.2f}",
            f"{result['cpu'] / floor:.2f} x",
            f"{result['peak_mb']:,.0f}",
        )
        for name, result in found.items()
    ]
    return table(("contender", "CPU s", "to the scan", "peak MB"), rows)


def floor(folder: Path, orders: int) -> Result:
    """Every byte of the key columns read, none of them used."""
    connection, files = _connection(), _files(folder)
    columns = [*KEYS, "client_ip_address", "client_user_agent"]
    lengths = ", ".join(f"max(strlen({name}))" for name in columns)
    clock = Stopwatch()
    with clock:
        connection.from_parquet([str(file) for file in files]).aggregate(
            f"{lengths}, max(occurred_at)"
        ).fetchall()
    return {"cpu": clock.seconds}


def ours(folder: Path, orders: int) -> Result:
    """What `matched_events` does before it builds events."""
    import pyarrow.parquet as pq
    from upath import UPath

    from benchmarks.traffic import LOOKBACK
    from capi_assets.engine import DuckDBEngine
    from capi_assets.matching import match

    placed = pq.read_table(folder / "orders.parquet").slice(0, orders)
    files = [UPath(file) for file in _files(folder)]
    connection = _connection()
    clock = Stopwatch()
    with clock:
        matched = match(placed, files, LOOKBACK, DuckDBEngine(connection))
    columns = (matched.column(name).to_pylist() for name in ("order_id", "visit_id", "matched_by"))
    found = [(order, visit) for order, visit, by in zip(*columns, strict=True) if by]
    return {"cpu": clock.seconds, **_digest(found)}


def pandas(folder: Path, orders: int) -> Result:
    """One merge per key, the candidates stacked, sorted and cut to the first of each order."""
    import pandas as pd

    from benchmarks.traffic import LOOKBACK

    placed = pd.read_parquet(folder / "orders.parquet").head(orders)
    columns = [*KEYS, "client_ip_address", "client_user_agent", "occurred_at"]
    clock = Stopwatch()
    with clock:
        came = pd.concat([pd.read_parquet(file, columns=columns) for file in _files(folder)])
        joins = [[key] for key in KEYS[:4]] + [["fbclid"], ["fbp"]]
        joins += [["client_ip_address", "client_user_agent"]]
        stacked = []
        for rank, keys in enumerate(joins):
            wanted = placed[["order_id", "occurred_at", *keys]].dropna()
            near = came[list({"visit_id", "occurred_at", *keys})].dropna()
            near = near.assign(visit=near["visit_id"])
            pairs = wanted.merge(near, on=keys, suffixes=("", "_visit"))
            age = pairs["occurred_at"] - pairs["occurred_at_visit"]
            pairs = pairs[(age >= pd.Timedelta(0)) & (age <= LOOKBACK)]
            stacked.append(pairs[["order_id", "visit", "occurred_at_visit"]].assign(rank=rank))
        best = (
            pd.concat(stacked)
            .sort_values(
                ["order_id", "rank", "occurred_at_visit", "visit"],
                ascending=[True, True, False, True],
            )
            .drop_duplicates("order_id")
        )
    return {
        "cpu": clock.seconds,
        **_digest(list(zip(best["order_id"], best["visit"], strict=True))),
    }


def _digest(found: list[tuple[str, str]]) -> Result:
    """A digest of who found what, so that two processes can compare."""
    text = "\n".join(f"{order} {visit}" for order, visit in sorted(found))
    return {"found": len(found), "winners": hashlib.sha256(text.encode()).hexdigest()}


def _files(folder: Path) -> list[Path]:
    return sorted((folder / "lake" / "visits").glob("date=*/hour=*/part.parquet"))


def _connection() -> Any:
    import duckdb

    return duckdb.connect(":memory:", config={"threads": 1})


CONTENDERS = {"floor": floor, "ours": ours, "pandas": pandas}

if __name__ == "__main__":
    place, contender, number = sys.argv[1:]
    stay_on_one_core()
    tell(CONTENDERS[contender](Path(place), int(number)))
