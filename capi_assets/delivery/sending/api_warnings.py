"""What is worth a person's reading in an answer, beside its outcome."""

from __future__ import annotations

from collections.abc import Iterator

from capi_assets.meta.graph.client import Answer, DatasetAccess
from capi_assets.meta.graph.errors import Body


def warnings_in(access: DatasetAccess, answer: Answer, sent: int) -> Iterator[str]:
    """Sentences about one answer; the same fault gives the same sentence."""
    dataset = f"Dataset {access.dataset_id}"
    if answer.api_version and answer.api_version != access.version:
        yield (
            f"{dataset}: asked for Graph API {access.version}, answered by {answer.api_version}. "
            "The version asked for may have expired: set CAPI_GRAPH_VERSION."
        )
    if answer.version_warning:
        yield f"{dataset}: Meta upgraded the call to a newer API version."
    if answer.messages:
        yield f"{dataset}: Meta attached remarks to an accepted request; see Diagnostics there."
    if answer.http_status is None or not 200 <= answer.http_status < 300:
        return
    if answer.error.body is Body.JSON and answer.events_received != sent:
        confirmed = "no number" if answer.events_received is None else answer.events_received
        yield (
            f"{dataset}: {confirmed} of events confirmed where {sent} were sent (trace "
            f"{answer.error.fbtrace_id}); all of them count as unknown."
        )
