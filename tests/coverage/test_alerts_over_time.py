"""Whatever happens to hours, alerts keep their order: hypothesis plays outages and repairs."""

from __future__ import annotations

from datetime import timedelta

import pyarrow as pa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.alerts import ENDS, decide
from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.gaps import gaps
from capi_assets.coverage.incidents import is_related
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.sensor_state import SensorState
from capi_assets.coverage.waterfall import ATTRIBUTION_HEALTH
from capi_assets.delivery.causes import Cause
from tests.helpers.gap_samples import through_cursor
from tests.helpers.order_records import health_row, hour

HOURS = range(12)
CAUSES = [Cause.TOKEN, Cause.META_DOWN, Cause.PAYLOAD]


class Outages(RuleBasedStateMachine):
    """Twelve hours whose losses come and go; the sensor looks whenever it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: dict[int, tuple[Cause, int]] = {}
        self.now = hour(20)
        self.state = AlertState()
        self.open: set[str] = set()
        self.over: set[str] = set()
        self.flagged: dict[int, Cause] = {}

    @rule(
        first=st.sampled_from(HOURS),
        length=st.integers(1, 4),
        cause=st.sampled_from(CAUSES),
        orders=st.integers(1, 40),
    )
    def lose(self, first: int, length: int, cause: Cause, orders: int) -> None:
        for n in range(first, min(first + length, len(HOURS))):
            self.lost[n] = (cause, orders)

    @rule(first=st.sampled_from(HOURS), length=st.integers(1, 12))
    def mend(self, first: int, length: int) -> None:
        for n in range(first, first + length):
            self.lost.pop(n, None)

    @rule(minutes=st.sampled_from([5, 30, 90, 60 * 24 * 3]))
    def look(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        flags = flag_hours(self.health(), CoveragePolicy(), self.now)
        found = gaps(flags)
        alerts, state = decide(self.state, found, self.now)
        self.state = through_cursor(state)
        assert self.state == state
        reported = [alert.incident_id for alert in alerts]
        assert len(reported) == len(set(reported)), "one alert per incident and tick"
        for alert in alerts:
            if alert.kind == "opened":
                assert alert.incident_id not in self.open, "opened twice without an end between"
                self.open.add(alert.incident_id)
            elif alert.kind == "reopened":
                assert alert.incident_id in self.over, "reopened without an end before"
                self.over.remove(alert.incident_id)
                self.open.add(alert.incident_id)
            else:
                assert alert.incident_id in self.open, f"{alert.kind} was never opened"
            if alert.kind in ENDS:
                self.open.remove(alert.incident_id)
                self.over.add(alert.incident_id)
            if alert.kind == "recovered" and not alert.other_causes:
                # Nothing may be wrong in the hours that are called recovered.
                assert not any(
                    alert.first_hour <= bad <= alert.last_hour
                    for gap in found
                    for bad in gap.missing
                )
        open_ids = {known.id for known in state.open}
        # Incidents that grew together are one now.
        self.open &= open_ids | {known.id for known in state.incidents}
        assert open_ids <= self.open, "what is open was reported"
        for gap in found:
            assert any(
                is_related(gap, turn) and turn.first_hour <= gap.first_hour <= turn.last_hour
                for known in state.incidents
                for turn in known.causes
            ), "every gap was reported"
        again, same = decide(state, found, self.now)
        assert (again, same) == ([], state), "evaluating twice reports nothing"

    @invariant()
    def the_state_is_bounded(self) -> None:
        assert len(SensorState(alerts=self.state).to_json()) < 8_000

    def health(self) -> pa.Table:
        rows = []
        for n in HOURS:
            cause, orders = self.lost.get(n, (None, 0))
            saved = cause is not Cause.PAYLOAD
            rows.append(
                health_row(
                    hour(n),
                    orders=20 + orders,
                    eligible=20 + orders,
                    delivered=20,
                    pending=orders if saved else 0,
                    rejected=0 if saved else orders,
                    first_deadline=hour(n) + timedelta(days=6, hours=23, minutes=30)
                    if cause and saved
                    else None,
                    main_reason=cause and "reason",
                    main_reason_kind=cause and str(cause),
                )
            )
        return pa.Table.from_pylist(rows, schema=ATTRIBUTION_HEALTH)


Outages.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestAlertsKeepTheirOrder = Outages.TestCase
