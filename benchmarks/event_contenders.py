"""Who builds the events that `events.py` compares, each as its own documentation would have it.

All begin with the same Arrow columns; those that go by rows make a dict of each order first. Each
is measured twice: to the bytes of every event, and to the body of a request of 1,000 events.

`python -m benchmarks.event_contenders FILE CONTENDER ORDERS` measures one.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.measure import Result, Stopwatch, stay_on_one_core, tell

Row = dict[str, Any]

SAMPLE = 500
"""Events of each contender whose match keys are compared."""

PER_REQUEST = 1_000


def ours(file: str, limit: int) -> Result:
    """Arrow columns in, Arrow columns out, a group of rows at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from benchmarks.purchases import CONTACTS, OTHERS, ROWS_PER_GROUP
    from capi_assets.meta.events.build import build_events
    from capi_assets.meta.match_keys.hashed_keys import hash_column

    events, hashing, bodies = Stopwatch(), Stopwatch(), Stopwatch()
    size, sample = 0, list[Row]()
    for raw in _raw(file, limit, ROWS_PER_GROUP):
        with events:
            with hashing:
                digests = {
                    key: hash_column(key, raw.column(field), country=raw.column("country")).digests
                    for field, key in CONTACTS.items()
                }
            others = {name: raw.column(name) for name in OTHERS}
            payloads = build_events(pa.table({**others, **digests})).column("payload")
        assert payloads.null_count == 0
        size += pc.sum(pc.binary_length(payloads)).as_py()
        sample = sample or [_user_data(text) for text in payloads[:SAMPLE].to_pylist()]
        with bodies:
            for start in range(0, len(payloads), PER_REQUEST):
                _body(payloads.slice(start, PER_REQUEST).cast(pa.binary()).to_pylist())
    seconds = {"events": events.seconds, "bodies": events.seconds + bodies.seconds}
    return {**seconds, "hashing": hashing.seconds, "bytes": size, "sample": sample}


def sdk(file: str, limit: int) -> Result:
    """Meta's documented classes, an Event each; the request goes as far as the socket."""
    from facebook_business.adobjects.serverside.action_source import ActionSource
    from facebook_business.adobjects.serverside.content import Content
    from facebook_business.adobjects.serverside.custom_data import CustomData
    from facebook_business.adobjects.serverside.event import Event
    from facebook_business.adobjects.serverside.event_request import EventRequest
    from facebook_business.adobjects.serverside.user_data import UserData

    def event(row: Row) -> Any:
        return Event(
            event_name=row["event_name"],
            event_time=int(row["occurred_at"].timestamp()),
            event_id=row["event_id"],
            event_source_url=row["event_source_url"],
            action_source=ActionSource.WEBSITE,
            user_data=UserData(
                emails=[row["email"]],
                phones=[row["phone"]],
                first_names=[row["first_name"]],
                last_names=[row["last_name"]],
                dates_of_birth=[row["date_of_birth"]],
                cities=[row["city"]],
                states=[row["state"]],
                zip_codes=[row["zip"]],
                country_codes=[row["country"]],
                client_ip_address=row["client_ip_address"],
                client_user_agent=row["client_user_agent"],
                fbc=row["fbc"],
                fbp=row["fbp"],
            ),
            custom_data=CustomData(
                order_id=row["order_id"],
                value=row["value"],
                currency=row["currency"],
                contents=[
                    Content(
                        product_id=item["id"],
                        quantity=item["quantity"],
                        item_price=item["item_price"],
                    )
                    for item in json.loads(row["contents"])
                ],
                content_type=row["content_type"],
                num_items=row["num_items"],
            ),
        )

    def request(rows: list[Row]) -> Any:
        return EventRequest(pixel_id="1", events=[event(row) for row in rows])

    def payloads(rows: list[Row]) -> list[bytes]:
        return [text.encode() for text in request(rows).normalize()]

    _answer_at_once()
    return _row_by_row(file, limit, payloads, lambda rows: request(rows).execute())


def _answer_at_once() -> None:
    """Gives the library a transport that takes each finished request and sends none."""
    import requests
    from facebook_business.api import FacebookAdsApi

    class Nowhere(requests.adapters.BaseAdapter):
        def send(self, request: requests.PreparedRequest, **_: object) -> requests.Response:  # type: ignore[override]
            response = requests.Response()
            response.status_code, response.request = 200, request
            response._content = b'{"events_received":1,"messages":[],"fbtrace_id":""}'
            return response

        def close(self) -> None:
            pass

    api = FacebookAdsApi.init(access_token="none", crash_log=False)
    api._session.requests.mount("https://", Nowhere())


def plain(file: str, limit: int) -> Result:
    """What one writes in an afternoon: strip, lower, hash, a dict, orjson; no rule, no list."""
    import orjson

    def sha(text: str) -> str:
        return hashlib.sha256(text.encode()).hexdigest()

    def payload(row: Row) -> bytes:
        user = {
            "em": [sha(row["email"].strip().lower())],
            "ph": [sha("".join(c for c in row["phone"] if c.isdigit()))],
            "fn": [sha(row["first_name"].strip().lower())],
            "ln": [sha(row["last_name"].strip().lower())],
            "db": [sha(row["date_of_birth"])],
            "ct": [sha(row["city"].strip().lower().replace(" ", ""))],
            "st": [sha(row["state"].strip().lower())],
            "zp": [sha(row["zip"].strip().lower())],
            "country": [sha(row["country"].strip().lower())],
            "client_ip_address": row["client_ip_address"],
            "client_user_agent": row["client_user_agent"],
            "fbc": row["fbc"],
            "fbp": row["fbp"],
        }
        event = {
            "event_name": row["event_name"],
            "event_time": int(row["occurred_at"].timestamp()),
            "event_id": row["event_id"],
            "action_source": row["action_source"],
            "event_source_url": row["event_source_url"],
            "user_data": user,
            "custom_data": {
                "order_id": row["order_id"],
                "value": row["value"],
                "currency": row["currency"],
                "contents": orjson.loads(row["contents"]),
                "content_type": row["content_type"],
                "num_items": row["num_items"],
            },
        }
        return orjson.dumps(event)

    def payloads(rows: list[Row]) -> list[bytes]:
        return [payload(row) for row in rows]

    return _row_by_row(file, limit, payloads, lambda rows: _body(payloads(rows)))


def _row_by_row(
    file: str,
    limit: int,
    payloads: Callable[[list[Row]], list[bytes]],
    send: Callable[[list[Row]], object],
) -> Result:
    """A dict of each order first; `payloads` and `send` each do the whole work."""
    reading, events, bodies = Stopwatch(), Stopwatch(), Stopwatch()
    size, sample = 0, list[Row]()
    for raw in _raw(file, limit, PER_REQUEST):
        with reading:
            rows = raw.to_pylist()
        with events:
            written = payloads(rows)
        with bodies:
            send(rows)
        size += sum(map(len, written))
        if len(sample) < SAMPLE:
            sample += [_user_data(text) for text in written[: SAMPLE - len(sample)]]
    seconds = {
        "events": reading.seconds + events.seconds,
        "bodies": reading.seconds + bodies.seconds,
    }
    return {**seconds, "reading": reading.seconds, "bytes": size, "sample": sample}


def _body(payloads: list[bytes]) -> bytes:
    return b"".join((b'{"data":[', b",".join(payloads), b"]}"))


def _raw(file: str, limit: int, at_once: int) -> Iterator[Any]:
    """The first orders of the file as Arrow tables; reading the file is nobody's time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for batch in pq.ParquetFile(file).iter_batches(at_once):
        if limit <= 0:
            return
        yield pa.table(batch).slice(0, limit)
        limit -= batch.num_rows


def _user_data(payload: bytes | str) -> Row:
    return dict(sorted(json.loads(payload)["user_data"].items()))


CONTENDERS = {"ours": ours, "sdk": sdk, "plain": plain}

if __name__ == "__main__":
    file, name, orders = sys.argv[1:]
    stay_on_one_core()
    tell(CONTENDERS[name](file, int(orders)) | {"orders": int(orders)})
