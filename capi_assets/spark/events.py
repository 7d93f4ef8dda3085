"""Matching by SQL on a cluster, and the events of each hour built and stored by a worker.

The orders never leave the cluster: each worker reads those of its hour from the lake. What comes
back are ids that too many people share, and numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from capi_assets.contracts.base import arrow_schema
from capi_assets.contracts.orders import Orders
from capi_assets.contracts.visits import Visits
from capi_assets.delivery.consent import REFUSED_VISITS
from capi_assets.delivery.ledger.schema import WITHDRAWAL
from capi_assets.hours import HOUR, floor_hour, hours_between
from capi_assets.lake import Lake
from capi_assets.matching import (
    best_sql,
    candidate_visits_sql,
    in_order,
    wanted_of,
    wanted_schema,
)
from capi_assets.order_identity import marks_of
from capi_assets.shared_ids import SharedIds, shared_ids, without_shared_ids
from capi_assets.spark.engine import SparkEngine, spark_schema
from capi_assets.spark.over_hours import REPORT, numbers_of, read_reports, report_of
from capi_assets.stages.events import EventHour, EventStage, Known

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_HOUR_BITS = 32
"""A row number is the place of the order's hour, and below these bits its place in that hour."""

_KEYS = pa.schema([*wanted_schema(), pa.field("shared_keys", pa.string())])
_EVENT_HOUR = TypeAdapter(EventHour)
_MARKS = pa.schema([pa.field("id", pa.int64()), pa.field("mark", pa.string())])


@dataclass(frozen=True)
class EventWork:
    """Matches and builds `hours`, whose orders are stored, with visits of `lookback` before them.

    `visit_hours` are stored. `known` is what the ledger knows, whose `refused` is found here; None
    if it cannot be read.
    """

    stage: EventStage
    hours: Sequence[datetime]
    visit_hours: Sequence[datetime]
    lookback: timedelta
    known: Known | None

    def run(self, session: SparkSession) -> list[EventHour]:
        """Replaces each hour; what was stored, in time order.

        If the cluster fails, all of it is done once more: with its workers it may have lost what it
        had kept of earlier steps, which Spark cannot compute again.

        Raises:
            LakeError: the lake cannot be read or written.
            SparkError: the cluster failed.
        """
        from pyspark.errors import PySparkException

        try:
            return self._run(session)
        except PySparkException:
            return self._run(session)

    def _run(self, session: SparkSession) -> list[EventHour]:
        lake, engine = Lake(self.stage.lake), SparkEngine(session)
        files = [lake.path("visits", hour) for hour in self.visit_hours]
        engine.register("visits", files, arrow_schema(Visits))
        self._register_wanted(engine)
        engine.materialize("best", best_sql())
        # One row per order with a visit or a shared id, and one per visit that refused consent.
        found = session.table("wanted").select("row_number", "shared_keys")
        found = found.join(session.table("best"), "row_number", "left")
        rows = found.where("match_rank IS NOT NULL OR shared_keys IS NOT NULL").selectExpr(
            f"shiftright(row_number, {_HOUR_BITS}) AS id", "*"
        )
        if self.known is not None and (refused := self._refused(engine, lake)) is not None:
            rows = rows.unionByName(refused, allowMissingColumns=True)

        def build(number: pa.Table, found: pa.Table) -> pa.Table:
            return self._build(number.column("id")[0].as_py(), found)

        hours = numbers_of(session, self.hours).groupBy("id")
        built = hours.cogroup(rows.groupBy("id")).applyInArrow(build, REPORT)
        reports = read_reports(built.toArrow(), _EVENT_HOUR)
        return sorted(reports, key=lambda report: report.hour)

    def _register_wanted(self, engine: SparkEngine) -> None:
        """`wanted`, without shared ids, and `near`, as of `matching`."""

        def keys(hour: int) -> pa.Table:
            wanted = wanted_of(self._orders(hour), self.lookback)
            return wanted.append_column("shared_keys", pa.nulls(wanted.num_rows, pa.string()))

        engine.keep("wanted", self._of_orders(engine.session, keys, _KEYS))
        engine.materialize("near", candidate_visits_sql())
        if shared := shared_ids(engine):
            wanted = engine.session.table("wanted")
            engine.keep("wanted", wanted.mapInArrow(_clearing(shared), spark_schema(_KEYS)))

    def _of_orders(
        self, session: SparkSession, of_hour: Callable[[int], pa.Table], schema: pa.Schema
    ) -> DataFrame:
        """The rows that `of_hour` makes of the orders of each hour, read by the workers."""

        def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for batch in batches:
                for hour in batch.column("id").to_pylist():
                    yield from of_hour(hour).cast(schema).to_batches()

        return numbers_of(session, self.hours).mapInArrow(run, spark_schema(schema))

    def _orders(self, hour: int) -> pa.Table:
        """The orders of an hour with their row numbers."""
        orders = Lake(self.stage.lake).read("orders", [self.hours[hour]], arrow_schema(Orders))
        first = hour << _HOUR_BITS
        numbers = pa.array(np.arange(first, first + orders.num_rows, dtype=np.int64))
        return orders.append_column("row_number", numbers)

    def _refused(self, engine: SparkEngine, lake: Lake) -> DataFrame | None:
        """The marks of visits with consent false that any order of an hour has, with their times;
        None if there are no such visits."""
        since = hours_between(min(self.hours), floor_hour(self.stage.now) + HOUR)
        engine.register("visits", lake.paths("visits", since), arrow_schema(Visits))
        if not engine.query("SELECT 1 FROM visits WHERE consent = false LIMIT 1").num_rows:
            return None

        def own_marks(hour: int) -> pa.Table:
            orders = self._orders(hour)
            # What is stored of the person may be more than what the columns still say.
            marks = [marks_of(orders), marks_of(orders.drop_columns("person"))]
            of_orders = pa.concat_tables(marks)["mark"]
            return pa.table([np.full(len(of_orders), hour), of_orders], names=_MARKS.names)

        of_orders = self._of_orders(engine.session, own_marks, _MARKS)
        lent = engine.session.sql(
            f"SELECT shiftright(row_number, {_HOUR_BITS}) AS id, visit_id,"
            " visit_external_id AS external_id, visit_fbp AS fbp,"
            " CAST(NULL AS string) AS em, CAST(NULL AS string) AS ph FROM best"
        ).mapInArrow(_marks_with("id"), spark_schema(_MARKS))
        of_orders.union(lent).distinct().createOrReplaceTempView("order_marks")
        visits = engine.session.sql(REFUSED_VISITS)
        visits.mapInArrow(
            _marks_with("occurred_at"), "occurred_at timestamp, mark string"
        ).createOrReplaceTempView("refused")
        refused = engine.session.sql(
            "SELECT o.id, r.mark, MAX(r.occurred_at) AS withdrawn_at FROM order_marks o"
            " JOIN refused r ON r.mark = o.mark GROUP BY o.id, r.mark"
        )
        return refused

    def _build(self, place: int, rows: pa.Table) -> pa.Table:
        """On a worker: an hour's events, stored; its report."""

        def work(hour: datetime) -> bytes:
            orders, known = self._orders(place), self.known
            if known is not None and "mark" in rows.column_names:
                refused = rows.filter(pc.is_valid(rows["mark"])).select(WITHDRAWAL.names)
                known = replace(known, refused=refused.cast(WITHDRAWAL))
            best = _best_visits(orders, rows)
            orders = orders.drop_columns("row_number")
            [stored] = self.stage.run([hour], orders, best, lambda events: known)
            return _EVENT_HOUR.dump_json(stored)

        return pa.Table.from_batches([report_of(self.hours[place], work)])


def _best_visits(orders: pa.Table, rows: pa.Table) -> pa.Table:
    """`matching.best_visits` of the rows that the cluster found for an hour."""
    lost = rows.filter(pc.is_valid(rows["shared_keys"]))
    place = pc.index_in(orders["row_number"], value_set=lost["row_number"].combine_chunks())
    numbered = orders.append_column("shared_keys", lost["shared_keys"].take(place))
    found = rows.filter(pc.is_valid(rows["match_rank"]))
    others = {"id", "shared_keys", *_MARKS.names, *WITHDRAWAL.names} & {*found.column_names}
    return in_order(numbered, found.drop_columns(sorted(others)))


def _clearing(shared: SharedIds) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """`without_shared_ids` of batches of `_KEYS`."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            wanted = pa.Table.from_batches([batch]).cast(_KEYS).drop_columns("shared_keys")
            wanted, lost = without_shared_ids(wanted, shared)
            yield from wanted.append_column("shared_keys", lost).cast(_KEYS).to_batches()

    return run


def _marks_with(column: str) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """The marks of batches of visits, each with the value that its visit has in `column`."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            visits = pa.Table.from_batches([batch])
            marks = marks_of(visits)
            values = visits[column].take(marks["row"])
            yield from pa.table([values, marks["mark"]], names=[column, "mark"]).to_batches()

    return run
