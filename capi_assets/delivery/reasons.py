"""The words for why an event stands where it stands, as far as delivery decides it.

Reasons of `withheld` and `invalid` events come with the event, and those of rejected ones are
Meta's subcodes by name (`meta.graph.error_subcodes`). One word per thing: results, plan, ledger,
and alerts all use these. What each means and asks for is in `causes`.
"""

from __future__ import annotations

from capi_assets.meta.graph.error_reasons import *  # noqa: F403  Meta's are words of ours, too

# Pending: nothing was accepted; the next materialization sends it.
NOT_ATTEMPTED = "not_attempted"
NO_ACCESS = "no_access_configured"
TIME_BUDGET = "time_budget"
BISECTION_BUDGET = "bisection_budget"
NOTHING_ACCEPTED = "nothing_accepted"
CLAIMED_ELSEWHERE = "claimed_elsewhere"
INTERRUPTED = "interrupted"
CORRECTED = "corrected"
RESEND_DECIDED = "resend_decided"

# Unknown: Meta may have accepted it.
IN_FLIGHT = "in_flight"
HELD = "held_after_48_hours"
HELD_TOO_LATE = "held_past_deliver_until"
HELD_FORMER_ID = "held_under_former_event_id"

# Settled without sending.
TOO_LATE = "too_late"
UNSTORABLE = "id_holds_nul"
DUPLICATE = "duplicate_event_id"
OTHER_HOUR = "counted_in_another_hour"
PIXEL_REPORTED = "pixel_reported"
PIXEL_ASSUMED = "pixel_assumed"
WRITTEN_OFF = "written_off"
PAYLOAD_CHANGED = "payload_changed_since"
FORMER_ID = "delivered_under_former_event_id"
