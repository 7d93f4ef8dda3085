"""One word per thing that Meta's answer, or its absence, can mean for a request.

`errors.classify` and `client.Answer.problem` choose the word; the ledger stores it as the reason
of events that wait. The words for refused events are subcode names (`error_subcodes`).
"""

from __future__ import annotations

# A person has to act before anything is accepted.
TOKEN_EXPIRED = "token_expired"
TOKEN_INVALID = "token_invalid"
APP_SECRET_WRONG = "app_secret_wrong"
PERMISSION_LOST = "permission_lost"
SETUP_REFUSED = "setup_refused"
WRONG_ADDRESS = "wrong_address"
MESSAGING_NOT_LINKED = "messaging_not_linked"
APP_BLOCKED = "app_blocked"
REDIRECTED = "redirected"
UNRECOGNISED = "unrecognised_code"

# It passes.
THROTTLED = "throttled"
ABUSE_SUSPECTED = "abuse_suspected"
META_DOWN = "meta_down"
NO_CONNECTION = "no_connection"
FUTURE = "event_time_in_future"

# Meta may have accepted the events.
NO_ANSWER = "no_answer"
UNEXPECTED_ANSWER = "unexpected_answer"

REQUEST_TOO_LARGE = "request_too_large"
