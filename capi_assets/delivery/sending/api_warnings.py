"""Warnings for the run log about a response, beside its outcome."""

from __future__ import annotations

from collections.abc import Iterator

from capi_assets.delivery.outcome import printable
from capi_assets.meta.graph.client import Answer, DatasetAccess
from capi_assets.meta.graph.errors import Body


def warnings_in(access: DatasetAccess, response: Answer, sent: int) -> Iterator[str]:
    """Sentences about one response; the same problem gives the same sentence."""
    dataset = f"Dataset {access.dataset_id}"
    if response.api_version and response.api_version != access.version:
        yield (
            f"{dataset}: Graph API {access.version} was requested, {response.api_version} "
            "responded. The requested version may have expired: set CAPI_GRAPH_VERSION."
        )
    if response.version_warning:
        yield f"{dataset}: Meta upgraded the call to a newer API version."
    if response.messages:
        yield f"{dataset}: Meta added messages to an accepted request; see Events Manager."
    if response.http_status is None or not 200 <= response.http_status < 300:
        return
    if response.error.body is Body.JSON and response.events_received != sent:
        received = response.events_received
        confirmed = "an unknown number" if received is None else received
        yield (
            f"{dataset}: Meta confirmed {confirmed} of {sent} events (trace "
            f"{printable(str(response.error.fbtrace_id))}); the outcome of all of them is unknown."
        )
