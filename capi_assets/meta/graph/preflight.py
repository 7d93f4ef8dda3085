"""The canary: one event that is too old to be taken, which proves token and permission.

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

from capi_assets.meta.graph.client import Answer, DatasetAccess, RequestOutcome
from capi_assets.meta.graph.error_subcodes import is_payload_subcode
from capi_assets.meta.graph.errors import ErrorKind, error_suffix, remedy_without_rerun

EVENT_NAME = "capi_assets_preflight"
"""A custom event's name: should Meta ever take the event, it is no standard conversion."""

EVENT_ID_PREFIX = "capi-assets-preflight-"
"""What the canary's `event_id` begins with; its `event_time` follows."""

AGE = timedelta(days=30)
"""Older than the 7 days that Meta takes, and young enough to be a plausible time."""

# Addresses under .invalid belong to no one, now and always (RFC 2606).
_NOBODY = hashlib.sha256(b"nobody@capi-assets.invalid").hexdigest()
_NO_ID = hashlib.sha256(b"capi-assets-preflight").hexdigest()


class CanaryClient(Protocol):
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
    """What the canary met.

    Attributes:
        kind: None if token and permission are proven, else what stands in the way. Never
            `UNKNOWN_OUTCOME` or `EXPIRED`: nothing is at stake, so no answer means `TRANSIENT`.
        api_version: the Graph version that answered, which is not always the one asked.
    """

    dataset_id: str
    kind: ErrorKind | None
    http_status: int | None = None
    code: int | None = None
    subcode: int | None = None
    trace_id: str | None = None
    api_version: str | None = None

    @property
    def ok(self) -> bool:
        """Whether events for this dataset can be delivered now, as far as Meta is asked."""
        return self.kind is None

    @property
    def was_accepted(self) -> bool:
        """Whether Meta took the event, which it has promised not to."""
        return self.kind is None and self.code is None

    @property
    def words(self) -> str:
        """One sentence, and what to do where something is to be done."""
        if self.was_accepted:
            return (
                f"Meta accepts the token for dataset {self.dataset_id}, but it took the preflight's"
                f" event of {AGE.days} days ago, which it should refuse: one {EVENT_NAME} event is"
                " counted. Set CAPI_PREFLIGHT=off, and look whether the address is Meta's."
            )
        if self.kind is None:
            return f"Meta accepts the token and lets it send to dataset {self.dataset_id}."
        said = error_suffix(self.code, self.subcode, self.http_status)
        return f"{_SENTENCES[self.kind].format(self.dataset_id)}{said}. {self._helps}"

    @property
    def _helps(self) -> str:
        assert self.kind is not None
        if self.kind is ErrorKind.TRANSIENT and self.http_status is None:
            return "Check network, proxy, firewall, certificates and CAPI_GRAPH_URL."
        if self.kind is ErrorKind.TRANSIENT and 300 <= (self.http_status or 0) < 400:
            return "Meta does not redirect: check CAPI_GRAPH_URL and any proxy in between."
        own = _REMEDIES.get(self.kind)
        return own or remedy_without_rerun(self.kind, self.code, self.subcode)


_SENTENCES = {
    ErrorKind.TRANSIENT: "Meta does not answer for dataset {} as it should",
    ErrorKind.THROTTLED: "Meta limits our calls for dataset {}",
    ErrorKind.TOKEN: "Meta does not accept the access token of dataset {}",
    ErrorKind.PERMISSION: "The token may not send to dataset {}, or there is no such dataset",
    ErrorKind.PAYLOAD: "Meta refuses the preflight's event for dataset {} in an unexpected way",
    ErrorKind.UNRECOGNISED: "Meta answers for dataset {} with a code that is not known here",
}

_REMEDIES = {
    ErrorKind.TRANSIENT: "Wait; if it lasts, look at metastatus.com and at any proxy in between.",
    ErrorKind.PAYLOAD: "Look at the version (CAPI_GRAPH_VERSION) and at Meta's error reference.",
    ErrorKind.UNRECOGNISED: "Look it up in Meta's error reference.",
}


def preflight(client: CanaryClient, now: datetime) -> Preflight:
    """Asks Meta, with one event that it must refuse, whether events would be taken.

    One request and no second try. Never raises.
    """
    answer = client.post(client.body([preflight_event(now)]))
    error = answer.error
    return Preflight(
        client.access.dataset_id,
        _kind(answer),
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


def _kind(answer: Answer) -> ErrorKind | None:
    error = answer.error
    if answer.arrival is not RequestOutcome.ANSWERED or answer.http_status is None:
        return ErrorKind.TRANSIENT
    if 200 <= answer.http_status < 300 and error.code is None:
        return None if answer.events_received == 1 else ErrorKind.TRANSIENT
    # A rule about the event itself is read only after token and permission were found good.
    if error.code == 100 and is_payload_subcode(error.subcode):
        return None
    kind = error.kind(answer.http_status)
    return ErrorKind.TRANSIENT if kind is ErrorKind.UNKNOWN_OUTCOME else kind
