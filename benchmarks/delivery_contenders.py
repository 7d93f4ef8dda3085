"""Who delivers in `delivery.py`, each as its own users run it, over the same made-up purchases.

`python -m benchmarks.delivery_contenders NAME URL EVENTS FLIGHTS FOLDER AT` delivers once and
prints what it did. The token is in the environment variable `BENCH_TOKEN`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from benchmarks.measure import Result, Stopwatch, tell

DATASET = "1234567890123456"
PER_REQUEST = 1_000
POISON_EVERY = 5 * PER_REQUEST
"""Purchases without a value, which Meta refuses (2804009) with all that travel with them."""

TRIES = 3
FIRST_WAIT = 0.5  # seconds, doubling, as tenacity's wait_exponential(multiplier=0.5)

BATCH = 20_000


def is_poison(number: int) -> bool:
    """Whether this purchase has no value; never the first of a request."""
    return number % POISON_EVERY == PER_REQUEST // 3


def purchase(number: int, at: int, poisoned: bool) -> dict[str, Any]:
    """One purchase, raw, with the fields that all contenders can send."""
    return {
        "order_id": str(number),
        "event_id": f"Purchase:{number}",
        "occurred_at": at - 3_600 - number % 3_000,
        "email": f"person.{number}@example.com",
        "page_url": "https://shop.example/thanks",
        "ip": f"203.0.113.{number % 250 + 1}",
        "user_agent": "Mozilla/5.0 (X11; Linux x86_64)",
        "fbp": f"fb.1.1596403881668.{number}",
        "value": None if poisoned else 10.0 + number % 90,
    }


def purchases(count: int, at: int) -> Iterator[dict[str, Any]]:
    """So many of them; whole fives of thousands hold one poisoned each."""
    poisoned = os.environ.get("BENCH_POISON") == "1"
    return (purchase(n, at, poisoned and is_poison(n)) for n in range(count))


def ours(url: str, count: int, flights: int, folder: str, at: datetime) -> Result:
    """Plan and deliver, a batch of events in memory at a time; says what a person must decide."""
    from dataclasses import replace

    import pyarrow as pa
    import pyarrow.compute as pc

    from capi_assets.delivery.ledger.ledger import Ledger
    from capi_assets.delivery.plan import plan, to_send
    from capi_assets.delivery.policy import Policy
    from capi_assets.delivery.sending.access import DatasetAccess, clients_for
    from capi_assets.delivery.sending.sender import deliver

    held, base = 0, int(os.environ["BENCH_BASE"])
    policy = replace(Policy(), requests_in_flight=flights, time_budget=timedelta(hours=2))
    begun = time.monotonic()

    def now() -> datetime:
        return at + timedelta(seconds=time.monotonic() - begun)

    with Ledger(f"sqlite:///{folder}/ledger.db") as ledger:

        def sends() -> Iterator[pa.Table]:
            nonlocal held
            for start in range(0, count, BATCH):
                events = matched(start, min(start + BATCH, count), base)
                planned = plan(events, ledger.state_of(events), now(), policy)
                held += pc.sum(pc.equal(planned["action"], "hold_unknown")).as_py()
                yield to_send(events, planned)

        access = DatasetAccess(DATASET, os.environ["BENCH_TOKEN"], graph_url=url)
        with clients_for([access], policy) as clients:
            done = deliver(sends(), ledger, clients, now, policy, run_id="bench")
    return {"delivered": done.delivered, "held": held}


def matched(first: int, end: int, base: int) -> Any:
    """Purchases as the rows of matched_events that delivery reads, their payloads ready."""
    import hashlib

    import orjson
    import pyarrow as pa

    poisoned = os.environ.get("BENCH_POISON") == "1"
    rows = [purchase(n, base, poisoned and is_poison(n)) for n in range(first, end)]
    payloads = [orjson.dumps(_server_event(row)) for row in rows]
    seconds = pa.array([row["occurred_at"] for row in rows], pa.int64())
    moments = pa.array([row["occurred_at"] * 1_000_000 for row in rows], pa.int64())
    deadline = pa.array([(row["occurred_at"] + 7 * 86_400 - 1_800) * 1_000_000 for row in rows])
    of_time = pa.timestamp("us", tz="UTC")

    def everywhere(value: str | None) -> pa.Array:
        return pa.array([value] * len(rows), pa.string())

    return pa.table(
        {
            "dataset_id": everywhere(DATASET),
            "event_name": everywhere("Purchase"),
            "event_id": [row["event_id"] for row in rows],
            "order_id": [row["order_id"] for row in rows],
            "occurred_at": moments.cast(of_time),
            "event_time": seconds,
            "value": pa.array([row["value"] for row in rows], pa.float64()),
            "currency": everywhere("EUR"),
            "deliver_until": deadline.cast(of_time),
            "verdict": everywhere("ready"),
            "reason": everywhere(None),
            "pixel_reported_at": pa.nulls(len(rows), of_time),
            "person": everywhere(None),
            "payload_sha256": [hashlib.sha256(payload).hexdigest() for payload in payloads],
            "payload": pa.array(payloads, pa.binary()).cast(pa.string()),
        }
    )


def _server_event(row: dict[str, Any]) -> dict[str, Any]:
    import hashlib

    event = {
        "event_name": "Purchase",
        "event_time": row["occurred_at"],
        "event_id": row["event_id"],
        "action_source": "website",
        "event_source_url": row["page_url"],
        "user_data": {
            "em": [hashlib.sha256(row["email"].encode()).hexdigest()],
            "client_ip_address": row["ip"],
            "client_user_agent": row["user_agent"],
            "fbp": row["fbp"],
        },
    }
    if row["value"] is not None:
        event["custom_data"] = {"value": row["value"], "currency": "EUR"}
    return event


def facebook_business(url: str, count: int, flights: int, folder: str, at: datetime) -> Result:
    """EventRequest per 1,000 events, each tried three times; what fails then is logged only."""
    from facebook_business.adobjects.serverside.action_source import ActionSource
    from facebook_business.adobjects.serverside.custom_data import CustomData
    from facebook_business.adobjects.serverside.event import Event
    from facebook_business.adobjects.serverside.event_request import EventRequest
    from facebook_business.adobjects.serverside.user_data import UserData
    from facebook_business.api import FacebookAdsApi
    from facebook_business.exceptions import FacebookError

    api = FacebookAdsApi.init(access_token=os.environ["BENCH_TOKEN"], crash_log=False, timeout=30)
    api._session.GRAPH = url

    def event(row: dict[str, Any]) -> Any:
        priced = row["value"] is not None
        return Event(
            event_name="Purchase",
            event_time=row["occurred_at"],
            event_id=row["event_id"],
            event_source_url=row["page_url"],
            action_source=ActionSource.WEBSITE,
            user_data=UserData(
                emails=[row["email"]],
                client_ip_address=row["ip"],
                client_user_agent=row["user_agent"],
                fbp=row["fbp"],
            ),
            custom_data=CustomData(value=row["value"], currency="eur") if priced else None,
        )

    delivered, waiting = 0, [event(row) for row in purchases(count, int(os.environ["BENCH_BASE"]))]
    for start in range(0, len(waiting), PER_REQUEST):
        some = waiting[start : start + PER_REQUEST]
        for attempt in range(TRIES):
            try:
                answer = EventRequest(pixel_id=DATASET, events=some).execute()
                delivered += answer.events_received
                break
            except (FacebookError, OSError):
                if attempt < TRIES - 1:
                    time.sleep(FIRST_WAIT * 2**attempt)
    return {"delivered": delivered}


def drt_core(url: str, count: int, flights: int, folder: str, at: datetime) -> Result:
    """drt's Meta destination with its own defaults for batches, retries and rate."""
    from drt.config.models import (  # type: ignore[import-untyped]
        MetaConversionsDestinationConfig,
        SyncOptions,
    )
    from drt.destinations import meta_conversions  # type: ignore[import-untyped]

    meta_conversions._BASE_URL = url
    config = MetaConversionsDestinationConfig(
        type="meta_conversions",
        pixel_id=DATASET,
        event_name="Purchase",
        event_time_field="occurred_at",
        event_id_field="event_id",
        event_source_url_field="page_url",
        client_user_agent_field="user_agent",
        client_ip_address_field="ip",
        email_field="email",
        fbp_field="fbp",
        value_field="value",
        currency="EUR",
        access_token_env="BENCH_TOKEN",
    )
    rows = list(purchases(count, int(os.environ["BENCH_BASE"])))
    options = SyncOptions(on_error="skip")
    done: int = meta_conversions.MetaConversionsDestination().load(rows, config, options).success
    return {"delivered": done}


CONTENDERS = {"ours": ours, "facebook-business": facebook_business, "drt-core": drt_core}


def main() -> None:
    name, url, count, flights, folder, at = sys.argv[1:]
    began, watch = time.monotonic(), Stopwatch()
    with watch:
        done = CONTENDERS[name](url, int(count), int(flights), folder, datetime.fromisoformat(at))
    tell({"held": 0, **done, "seconds": time.monotonic() - began, "cpu": watch.seconds})


if __name__ == "__main__":
    main()
