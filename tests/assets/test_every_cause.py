"""Every cause end to end: its trouble is made, Dagster materializes the hour against the sandbox,
and the hour's own check and the standing list of gaps name that cause."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from capi_assets.contracts.attribution_health import AttributionHealth
from capi_assets.contracts.base import arrow_schema
from capi_assets.coverage.gaps import Gap
from capi_assets.coverage.stored_health import find_gaps
from capi_assets.defs.conversions import delivery_results
from capi_assets.delivery.causes import Cause
from capi_assets.delivery.policy import Policy
from capi_assets.hours import HOUR, hour_key
from capi_assets.policies import coverage_policy, delivery_policy
from capi_assets.settings import Settings
from tests.helpers.asset_harness import AssetHarness

LATELY = {cause: back for back, cause in enumerate(Cause, 2)}
"""Which hour each cause strikes, counted back from the open one."""

BACK = {**LATELY, Cause.UNKNOWN_OUTCOME: 60, Cause.TOO_LATE: 7 * 24 + 6}
"""Two are causes only after days: after the 48 hours of deduplication, and after the window."""

HISTORY = 24 * 14
"""Hours of an ordinary shop: what is missing is seen by comparison only."""


@dataclass
class Staging:
    """Makes one trouble after the other in one world; a run each, so that each has its own."""

    world: AssetHarness

    def hour(self, cause: Cause) -> datetime:
        return self.world.hour(BACK[cause])

    def faulty(self, cause: Cause, kind: str, **settings: Any) -> None:
        """An hour that meets a fault of Meta's."""
        self.world.land_orders(self.hour(cause), count=4)
        self.world.meta.set_fault(kind, **settings)
        self.world.run(self.hour(cause))
        self.world.meta.clear_faults()

    def token(self) -> None:
        self.faulty(Cause.TOKEN, "expired_token")

    def permission(self) -> None:
        self.faulty(Cause.PERMISSION, "permission_lost")

    def blocked(self) -> None:
        self.faulty(Cause.BLOCKED, "error", http_status=400, code=368)

    def throttled(self) -> None:
        self.faulty(Cause.THROTTLED, "throttled")

    def meta_down(self) -> None:
        self.faulty(Cause.META_DOWN, "server_error")

    def payload(self) -> None:
        hour = self.hour(Cause.PAYLOAD)
        self.world.land_orders(hour, count=4, contents=[{"quantity": 1}])  # an item without id
        self.world.run(hour)

    def unexplained(self) -> None:
        """Meta answers with a code that nobody has seen before."""
        self.faulty(Cause.UNEXPLAINED, "error", http_status=400, code=987654)

    def time_budget(self) -> None:
        """Meta is slow, and a second request would begin when the run's time is over."""
        hour = self.hour(Cause.TIME_BUDGET)
        self.world.land("orders", hour, "orders.jsonl", _many_orders(hour, 1_200))
        self.world.land("visits", hour, "visits.jsonl", _many_visits(hour, 40))
        self.world.meta.set_fault("slow", latency_ms=1_500)
        self.world.overrides = {"time_budget_seconds": 1, "requests_in_flight": 1}
        self.world.run(hour)
        self.world.overrides = {}
        self.world.meta.clear_faults()

    def unknown_outcome(self) -> None:
        """Meta confirms fewer events than were sent, and nobody looks for 48 hours."""
        hour = self.hour(Cause.UNKNOWN_OUTCOME)
        self.world.land_orders(hour, count=4)
        then = hour + HOUR
        self.world.meta.set_clock(then)
        self.world.meta.set_fault("too_few_received")
        self.world.run(hour, at=then)
        self.world.meta.clear_faults()
        self.world.meta.set_clock(self.world.now)
        self.world.run(hour)

    def too_late(self) -> None:
        """Orders land after Meta's seven days."""
        hour = self.hour(Cause.TOO_LATE)
        self.world.land_orders(hour, count=4)
        self.world.run(hour)

    def quarantine(self) -> None:
        """The export writes amounts that are none."""
        hour = self.hour(Cause.QUARANTINE)
        self.world.land_orders(hour, count=4, value="a lot")
        self.world.run(hour)

    def match_keys_lost(self) -> None:
        """All that orders carry is a country, which Meta does not take alone."""
        hour = self.hour(Cause.MATCH_KEYS_LOST)
        self.world.land_orders(
            hour, count=4, email=None, phone=None, visit_id=None, country="gb",
            action_source="system_generated",
        )  # fmt: skip
        self.world.run(hour)

    def visits_missing(self) -> None:
        """The tracker writes nothing, and orders find no visit."""
        hour = self.hour(Cause.VISITS_MISSING)
        self.world.land_orders(hour, count=4)
        (visits,) = (self.world.root / "landing" / "visits" / f"{hour:%Y-%m-%d/%H}").iterdir()
        visits.unlink()
        self.world.run(hour)

    def not_materialized(self) -> None:
        """Its neighbours are materialized, it is not."""


BY_COMPARISON = {
    *(Cause.ORDERS_MISSING, Cause.CONSENT_MISSING, Cause.CONFIRMATIONS_MISSING),
    *(Cause.ORDERS_DOUBLED, Cause.VALUE_CHANGED, Cause.LATE_DELIVERY, Cause.TIME_SHIFT),
    Cause.LANDING_STOPPED,
}
STAGED: list[Cause] = [cause for cause in Cause if cause not in BY_COMPARISON]


def test_every_cause_is_told_by_the_hour_that_it_strikes(
    world: AssetHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One world with every trouble in an hour of its own; nothing is tried twice in a run. A cause
    that nobody stages has no method, and fails here."""

    def impatient(settings: Settings) -> Policy:
        return replace(delivery_policy(settings), tries=1)

    monkeypatch.setattr(delivery_results, "delivery_policy", impatient)
    staging = Staging(world)
    for cause in STAGED:
        getattr(staging, cause)()
    # Visits are missed where neighbours have them: judged again when all of these ran.
    world.run(staging.hour(Cause.VISITS_MISSING))

    hours = {cause: staging.hour(cause) for cause in STAGED}
    listed = {hour: gap for gap in seen_gaps(world) for hour in gap.missing}
    gaps = {cause: listed[hour] for cause, hour in hours.items()}
    assert {cause: gap.cause for cause, gap in gaps.items()} == {cause: cause for cause in STAGED}
    assert all(gap.headline and gap.remedy for gap in gaps.values())

    found = verdicts(world)
    assert hour_key(hours[Cause.NOT_MATERIALIZED]) not in found, "nothing ran to judge it"
    assert gaps[Cause.NOT_MATERIALIZED].unknown_hours
    ran = {c: found[hour_key(hours[c])] for c in STAGED if c is not Cause.NOT_MATERIALIZED}
    assert not any(verdict.passed for verdict in ran.values())
    told = {cause: verdict.metadata["cause"].value for cause, verdict in ran.items()}
    assert told == {cause: str(cause) for cause in ran}
    for cause, verdict in ran.items():
        assert gaps[cause].headline in (verdict.description or "")

    # What a run alone can save, and what needs other input first.
    assert {cause for cause, gap in gaps.items() if gap.savable} == {
        *(Cause.TOKEN, Cause.PERMISSION, Cause.BLOCKED, Cause.THROTTLED, Cause.META_DOWN),
        Cause.UNEXPLAINED,
        *(Cause.TIME_BUDGET, Cause.NOT_MATERIALIZED, Cause.UNKNOWN_OUTCOME),
    }
    assert {cause for cause, gap in gaps.items() if gap.correctable} == {
        *(Cause.PAYLOAD, Cause.MATCH_KEYS_LOST, Cause.QUARANTINE)
    }
    # Orders whose visits are missing are delivered without a browser: nothing is left to correct.
    assert (gaps[Cause.VISITS_MISSING].orders, gaps[Cause.VISITS_MISSING].unmatched) == (0, 4)


def test_orders_that_stop_while_visits_go_on_tell_it_too(world: AssetHarness) -> None:
    """By comparison with two weeks, whose verdicts are put into the lake as they would stand."""
    hour = world.hour(2)
    for back in range(3, 3 + HISTORY):
        world.lake.write("attribution_health", world.hour(back), _ordinary(world.hour(back)))
    world.land("visits", hour, "visits.jsonl", _many_visits(hour, 400))
    world.run(hour)
    verdict = verdicts(world)[hour_key(hour)]
    assert not verdict.passed
    assert verdict.metadata["cause"].value == Cause.ORDERS_MISSING
    assert "about 40 orders did not arrive" in (verdict.description or "")
    (gap,) = [gap for gap in seen_gaps(world) if hour in gap.missing]
    assert (gap.cause, gap.orders_expected_missing) == (Cause.ORDERS_MISSING, 40)


def test_a_broken_consent_column_is_told_with_money_and_what_was_expected(
    world: AssetHarness,
) -> None:
    """Nothing is sent and nothing fails: only the past says that it is not as usual."""
    hour = world.hour(2)
    for back in range(3, 3 + HISTORY):
        world.lake.write("attribution_health", world.hour(back), _ordinary(world.hour(back)))
    world.land("visits", hour, "visits.jsonl", _many_visits(hour, 400))
    world.land("orders", hour, "orders.jsonl", _many_orders(hour, 40, consent=False))
    world.run(hour)
    verdict = verdicts(world)[hour_key(hour)]
    assert not verdict.passed
    assert verdict.metadata["cause"].value == Cause.CONSENT_MISSING
    assert "far fewer orders than usual have consent" in (verdict.description or "")
    rows = [record.data for record in verdict.metadata["expected"].value.records]
    (compared,) = [row for row in rows if "consent" in str(row["signal"])]
    assert compared["seen"] == "100 %"
    (gap,) = [gap for gap in seen_gaps(world) if hour in gap.missing]
    assert gap.cause is Cause.CONSENT_MISSING
    money = gap.estimated_money["EUR"]
    assert money.low < 400.0 <= money.high
    assert money.expected == pytest.approx(400.0, rel=0.05)
    assert world.received()["accepted"] == 0


def seen_gaps(world: AssetHarness) -> list[Gap]:
    """The gaps as the sensor sees them."""
    return find_gaps(world.lake, coverage_policy(world.settings()), world.now).gaps


def _ordinary(hour: datetime) -> pa.Table:
    """`attribution_health` of 400 visits and 40 orders."""
    schema = arrow_schema(AttributionHealth)
    numbers = (pa.types.is_integer, pa.types.is_floating)
    row: dict[str, Any] = {f.name: 0 if any(of(f.type) for of in numbers) else None for f in schema}
    row |= {"hour": hour, "dataset_id": "d", "event_name": "Purchase", "visits": 400}
    row |= dict.fromkeys(("orders", "eligible", "delivered"), 40)
    row |= dict.fromkeys(("matched", "matched_eligible"), 32)
    row |= {"currency": "EUR", "withheld_reasons": "{}", "action_sources": '{"website":40}'}
    row |= dict.fromkeys(("value_orders", "value_eligible", "value_delivered"), 400.0)
    return pa.Table.from_pylist([row], schema=schema)


def _many_orders(hour: datetime, number: int, **fields: Any) -> str:
    return _lines(
        {
            **fields,
            "order_id": f"many-{n}", "occurred_at": _within(hour, n), "value": 10,
            "currency": "EUR", "email": f"person.{n}@example.com",
            "client_user_agent": "Mozilla/5.0",
            "event_source_url": "https://shop.example/thanks",
        }
        for n in range(number)
    )  # fmt: skip


def _many_visits(hour: datetime, number: int) -> str:
    return _lines({"visit_id": f"v{n}", "occurred_at": _within(hour, n)} for n in range(number))


def _within(hour: datetime, n: int) -> str:
    return (hour + n * timedelta(seconds=2)).isoformat()


def _lines(rows: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def verdicts(world: AssetHarness) -> dict[str | None, dg.AssetCheckEvaluation]:
    """The latest verdict of each hour."""
    found: dict[str | None, dg.AssetCheckEvaluation] = {}
    key = dg.AssetCheckKey(dg.AssetKey("attribution_health"), "coverage_above_threshold")
    for record in world.instance.event_log_storage.get_asset_check_execution_history(
        key, limit=100
    ):
        if isinstance(record.evaluation, dg.AssetCheckEvaluation):
            found.setdefault(record.evaluation.partition, record.evaluation)
    return found
