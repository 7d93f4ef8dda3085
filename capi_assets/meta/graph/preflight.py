"""The preflight: one event that is too old to be accepted, which proves token and permission.

Meta checks the token and its right to the dataset before it reads `event_time`. So an event of 30
days ago is refused with 2804003 where all is well, and with 190, 200 or 100/33 where it is not;
either way nothing is ingested (page "Using the API": events older than 7 days fail the request;
seen live on v26.0). Whether such refusals show under Diagnostics in Events Manager is not known.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from capi_assets.meta.graph import error_reasons as reasons
from capi_assets.meta.graph.client import Answer, DatasetAccess
from capi_assets.meta.graph.error_subcodes import is_payload_subcode
from capi_assets.meta.graph.errors import ErrorKind, Problem

EVENT_NAME = "capi_assets_preflight"
"""A custom event's name: should Meta ever take the event, it is no standard conversion."""

EVENT_ID_PREFIX = "capi-assets-preflight-"
"""What the canary's `event_id` begins with; its `event_time` follows."""

AGE = timedelta(days=30)
"""Older than the 7 days that Meta takes, and young enough to be a plausible time."""

# Addresses under .invalid belong to no one, now and always (RFC 2606).
_NOBODY = hashlib.sha256(b"nobody@capi-assets.invalid").hexdigest()
_NO_ID = hashlib.sha256(b"capi-assets-preflight").hexdigest()


class PreflightClient(Protocol):
    """What a preflight needs; `meta.graph.client.MetaClient` and the sender's clients have it."""

    @property
    def access(self) -> DatasetAccess:
        """The dataset it sends to."""

    def body(self, events: Sequence[bytes]) -> bytes:
        """A request's bytes, with appsecret_proof and test code where they are set."""

    def post(self, body: bytes) -> Answer:
        """Sends them; never raises."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """How Meta answered the preflight's event; what it means for people is `delivery.causes`'.

    Attributes:
        problem: None if token and permission are proven, else what stands in the way. Its kind is
            never `UNKNOWN_OUTCOME`: nothing is at stake, so no answer means `TRANSIENT`.
        api_version: the Graph version that answered, which is not always the one asked.
    """

    dataset_id: str
    problem: Problem | None
    http_status: int | None = None
    code: int | None = None
    subcode: int | None = None
    trace_id: str | None = None
    api_version: str | None = None

    @property
    def ok(self) -> bool:
        """Whether events for this dataset can be delivered now, as far as Meta is asked."""
        return self.problem is None

    @property
    def was_accepted(self) -> bool:
        """Whether Meta accepted the event, which it has promised not to."""
        return self.problem is None and self.code is None


def preflight(client: PreflightClient, now: datetime) -> Preflight:
    """Asks Meta, with one event that it must refuse, whether events would be taken.

    One request and no second try. Never raises.
    """
    answer = client.post(client.body([preflight_event(now)]))
    error = answer.error
    return Preflight(
        client.access.dataset_id,
        _problem(answer),
        http_status=answer.http_status,
        code=error.code,
        subcode=error.subcode,
        trace_id=error.fbtrace_id,
        api_version=answer.api_version,
    )


def preflight_event(now: datetime) -> bytes:
    """The event's bytes: `AGE` old, with match keys that belong to no one."""
    at = int((now - AGE).timestamp())
    event = {
        "event_name": EVENT_NAME,
        "event_time": at,
        "event_id": f"{EVENT_ID_PREFIX}{at}",
        "action_source": "system_generated",
        "user_data": {"em": [_NOBODY], "external_id": [_NO_ID]},
    }
    return json.dumps(event, separators=(",", ":")).encode()


def _problem(answer: Answer) -> Problem | None:
    problem = answer.problem(1)
    # A rule about the event itself is read only after token and permission were found good.
    if problem is None or (answer.error.code == 100 and is_payload_subcode(answer.error.subcode)):
        return None
    if problem.kind is ErrorKind.UNKNOWN_OUTCOME:
        return Problem(ErrorKind.TRANSIENT, problem.reason)
    if problem.kind is ErrorKind.PAYLOAD:  # of an event that is made here
        return Problem(ErrorKind.UNRECOGNISED, reasons.UNRECOGNISED)
    return problem
