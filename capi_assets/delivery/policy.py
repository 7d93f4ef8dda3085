"""What an operator may choose about delivery, with defaults and their reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from capi_assets.meta.limits import DEDUP_WINDOW, DELIVERY_MARGIN, MAX_EVENTS_PER_REQUEST


@dataclass(frozen=True)
class Policy:
    """How delivery behaves. Counts are per dataset unless the comment says otherwise.

    `unknown`: an event with unknown outcome, once Meta no longer removes duplicates, is held until
    a person resolves it, or sent again at the risk of counting twice.
    `pixel_redundant`: the browser's Pixel reports every order too, so an order without
    `pixel_reported_at` counts as reported at its own time.
    """

    unknown: Literal["hold", "resend"] = "hold"
    pixel_redundant: bool = False

    # A resend must *arrive* inside Meta's window, so ours is shorter by the delivery margin.
    dedup_window: timedelta = DEDUP_WINDOW - DELIVERY_MARGIN

    # Every attempt renews the claims of its events, and no attempt lasts longer than the client's
    # deadline (45 s), so a claim outlives its run by two minutes at most. A run waits a little
    # longer for another's claims, so that it takes over from a dead one.
    lease: timedelta = timedelta(minutes=2)
    claim_patience: timedelta = timedelta(minutes=2, seconds=15)

    events_per_request: int = MAX_EVENTS_PER_REQUEST
    bytes_per_request: int = 8 * 1024 * 1024  # no page names a limit; gateways usually do
    # Four carry some 4,000 events a second; more would only leave more unknown in an outage.
    requests_in_flight: int = 4
    requests_per_second: float | None = None  # all datasets together: requests begun
    requests_per_second_of: Mapping[str, float] = field(default_factory=dict)  # by dataset id

    # Waits of up to 1, 2, 4 and 8 s in all 15 s: longer outages are for the next run.
    tries: int = 5  # of one request in one run
    backoff_base: timedelta = timedelta(seconds=1)
    backoff_cap: timedelta = timedelta(seconds=60)
    longest_pause: timedelta = timedelta(minutes=2)  # Meta asks to wait longer: stop, stay pending
    time_budget: timedelta = timedelta(minutes=15)  # so that an hourly run ends before the next
    # Per run, to find invalid events in rejected requests: about 20 among 20,000 in some minutes.
    bisection_requests: int = 300
    failures_before_stop: int = 3  # requests in a row without a delivery: not chance, an outage
