"""Every way in which Meta, or the way to it, can fail to confirm events, as the research names it:
how the answer looks, which reason and cause it has, and what ends it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from capi_assets.delivery.causes import Cause, EndedBy
from capi_assets.meta.graph.client import Answer, RequestOutcome
from capi_assets.meta.graph.errors import parse_error

HTML = "<!DOCTYPE html><title>Error</title>"
GRAPH_METHOD = {"type": "GraphMethodException"}


@dataclass(frozen=True)
class Case:
    answer: Answer
    reason: str
    cause: Cause
    ended_by: EndedBy

    def __str__(self) -> str:
        answer = self.answer
        codes = (answer.http_status, answer.error.code, answer.error.subcode, self.reason)
        return "-".join(str(part) for part in codes if part is not None)


def answered(status: int, body: str = "", received: int | None = None) -> Answer:
    return Answer(
        RequestOutcome.ANSWERED,
        http_status=status,
        events_received=received,
        error=parse_error(body),
        api_version="v26.0",
    )


def refusal(status: int, code: int, subcode: int | None = None, **more: Any) -> Answer:
    error = {"code": code, "error_subcode": subcode, "fbtrace_id": "Abc", **more}
    return answered(status, json.dumps({"error": error}))


def cases(*rows: tuple[Answer, str, Cause, EndedBy]) -> list[Case]:
    return [Case(*row) for row in rows]


WAITING, SETUP, PERSON, DATA = EndedBy.WAITING, EndedBy.SETUP, EndedBy.PERSON, EndedBy.DATA
SECRET = {"message": "API calls from the server require an appsecret_proof argument"}
DENIED = {"message": "(#100) Missing Permission"}
BAD_PATH = {"message": "(#100) param $['data'][2] is odd"}

SETUP_CASES = cases(
    *((refusal(400, 190, sub), "token_invalid", Cause.TOKEN, SETUP)
      for sub in (None, 458, 459, 460, 464, 467, 492)),
    (refusal(401, 190, 463), "token_expired", Cause.TOKEN, SETUP),
    (refusal(400, 102), "token_invalid", Cause.TOKEN, SETUP),
    (refusal(400, 104), "app_secret_wrong", Cause.TOKEN, SETUP),
    (refusal(400, 100, **SECRET, **GRAPH_METHOD), "app_secret_wrong", Cause.TOKEN, SETUP),
    *((refusal(403, code), "permission_lost", Cause.PERMISSION, SETUP)
      for code in (3, 10, 200, 294, 299)),
    (refusal(400, 100, 33, **GRAPH_METHOD), "permission_lost", Cause.PERMISSION, SETUP),
    (refusal(400, 100), "setup_refused", Cause.PERMISSION, SETUP),
    (refusal(403, 100, **DENIED), "setup_refused", Cause.PERMISSION, SETUP),
    (refusal(400, 100, **BAD_PATH, **GRAPH_METHOD), "setup_refused", Cause.PERMISSION, SETUP),
    (refusal(400, 2500), "wrong_address", Cause.PERMISSION, SETUP),
    (refusal(400, 1, 99), "wrong_address", Cause.PERMISSION, SETUP),
    (refusal(400, 368), "app_blocked", Cause.BLOCKED, PERSON),
    (answered(401, "{}"), "token_invalid", Cause.TOKEN, SETUP),
    (answered(403, "{}"), "permission_lost", Cause.PERMISSION, SETUP),
    (answered(302, HTML), "redirected", Cause.META_DOWN, SETUP),
)  # fmt: skip
"""The dataset stops; nothing is settled."""

PASSING_CASES = cases(
    *((refusal(400, code, sub), "throttled", Cause.THROTTLED, WAITING)
      for code, sub in ((4, None), (4, 1504022), (4, 1504039), (17, 2446079), (32, None),
                        (341, None), (613, 1487742), (613, 5044001), (80000, None), (80003, None),
                        (80004, None), (80005, None), (80014, None))),
    (refusal(400, 613), "abuse_suspected", Cause.THROTTLED, WAITING),
    (answered(429), "throttled", Cause.THROTTLED, WAITING),
    *((refusal(400, code), "meta_down", Cause.META_DOWN, WAITING)
      for code in (1, 2, 5000, 21009, -3)),
    (refusal(400, 190, is_transient=True), "meta_down", Cause.META_DOWN, WAITING),
    (refusal(500, 1, 99), "meta_down", Cause.META_DOWN, WAITING),
    (refusal(503, 2, is_transient=True), "meta_down", Cause.META_DOWN, WAITING),
    *((answered(status, HTML), "meta_down", Cause.META_DOWN, WAITING)
      for status in (200, 403, 408, 425, 500, 502, 503)),
    (answered(200, "Service Unavailable"), "meta_down", Cause.META_DOWN, WAITING),
    (answered(200, '{"events_rec'), "meta_down", Cause.META_DOWN, WAITING),
    (Answer(RequestOutcome.NOT_SENT), "no_connection", Cause.META_DOWN, WAITING),
    (Answer(RequestOutcome.NO_ANSWER), "no_answer", Cause.META_DOWN, WAITING),
    (answered(200, '{"events_received":9}', 9), "unexpected_answer", Cause.META_DOWN, SETUP),
    (refusal(400, 987654), "unrecognised_code", Cause.UNEXPLAINED, PERSON),
)  # fmt: skip
"""The request is tried again; its events stay pending or unknown."""

CONTENT_CASES = cases(
    (refusal(400, 100, 2804001), "click_id_malformed", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804008), "contents_without_id", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804009), "missing_value", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804010), "missing_currency", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804011), "unsupported_currency", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804016), "unhashed_contact_data", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804019), "invalid_parameter_value", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804023), "value_without_currency", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804030), "ldu_choice_required", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804036), "bad_lead_id", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804043), "bad_extinfo", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804050), "weak_match_keys", Cause.MATCH_KEYS_LOST, DATA),
    (refusal(400, 100, 2804066), "messaging_event_not_allowed", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804071), "missing_ctwa_clid", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804072), "foreign_messaging_page", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804081), "order_without_currency", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804087), "unknown_ctwa_clid", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804116), "missing_messaging_account", Cause.PAYLOAD, DATA),
    *((refusal(400, 100, sub), f"refused_{sub}", Cause.PAYLOAD, DATA)
      for sub in (2804007, 2804014, 2804017, 2804048, 2804117)),
    (refusal(400, 100, 2899999), "subcode_2899999", Cause.PAYLOAD, DATA),
    (refusal(400, 100, **BAD_PATH), "refused_100", Cause.PAYLOAD, DATA),
    (answered(413, HTML), "request_too_large", Cause.PAYLOAD, DATA),
    (refusal(400, 100, 2804003), "expired", Cause.TOO_LATE, EndedBy.NOTHING),
)  # fmt: skip
"""The event at fault is found and settled."""

LATER_CASES = cases(
    (refusal(400, 100, 2804004), "event_time_in_future", Cause.NOT_MATERIALIZED, EndedBy.RUN),
    *((refusal(400, 100, sub), "messaging_not_linked", Cause.PERMISSION, SETUP)
      for sub in (2804065, 2804131, 2804132, 2804133)),
)  # fmt: skip
"""The event at fault is found and stays pending."""

ALL_CASES = [*SETUP_CASES, *PASSING_CASES, *CONTENT_CASES, *LATER_CASES]
