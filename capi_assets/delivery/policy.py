"""The choices of delivery that an operator may turn, with their defaults and why they are so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from capi_assets.meta.limits import DEDUP_WINDOW, DELIVERY_MARGIN, MAX_EVENTS_PER_REQUEST


@dataclass(frozen=True)
class Policy:
    """How far delivery goes. Times are spans; counts are per dataset unless said otherwise.

    `unknown`: what becomes of an event whose fate is unknown once Meta no longer removes
    duplicates: held for a person, or sent again at the risk of counting twice.
    `pixel_redundant`: the browser's Pixel reports every order too, so an order without
    `pixel_reported_at` is taken as reported at its own time.
    """

    unknown: Literal["hold", "resend"] = "hold"
    pixel_redundant: bool = False

    # A resend must *arrive* inside Meta's window, so ours is shorter by the delivery margin.
    dedup_window: timedelta = DEDUP_WINDOW - DELIVERY_MARGIN

    # Every attempt renews the claims it carries, and no attempt lasts longer than the client's
    # deadline (45 s), so a claim outlives its run by two minutes at most.
    lease: timedelta = timedelta(minutes=2)
    claim_patience: timedelta = timedelta(minutes=2, seconds=15)

    events_per_request: int = MAX_EVENTS_PER_REQUEST
    bytes_per_request: int = 8 * 1024 * 1024  # no page names a limit; gateways usually do
    requests_in_flight: int = 4
    requests_per_second: float | None = None  # all datasets together: requests begun
    requests_per_second_of: Mapping[str, float] = field(default_factory=dict)  # by dataset id

    tries: int = 5  # of one request in one run
    backoff_base: timedelta = timedelta(seconds=1)
    backoff_cap: timedelta = timedelta(seconds=60)
    longest_pause: timedelta = timedelta(minutes=2)  # asked to wait longer: stop, stay pending
    time_budget: timedelta = timedelta(minutes=15)
    bisection_requests: int = 100  # per refused request; isolates about five events of 1,000
    failures_before_stop: int = 3  # requests in a row that ended without one delivered event
