"""Reads a call of `/events`: the three body formats in use, and where the token may be.

JSON document, url-encoded form, multipart form; `data` as an array of objects or JSON texts, as
one JSON text, or as repeated fields. Meta documents the forms; its SDK sends a JSON array of JSON
texts in a form field; Meta accepts the JSON document too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qsl

import orjson

from capi_assets.sandbox.responses import GraphError

is_data_field = re.compile(r"data(?:\[[0-9]*\])?").fullmatch


@dataclass(frozen=True)
class Call:
    """A call as Meta reads it: its plain parameters, and `data` still undecoded (None: absent)."""

    params: Mapping[str, Any] = field(repr=False)
    data: Any = field(repr=False)

    @property
    def proof(self) -> str | None:
        proof = self.params.get("appsecret_proof")
        return proof if isinstance(proof, str) else None

    def token(self, authorization: str | None) -> str | None:
        """The access token: of the Authorization header, else a parameter of query or body."""
        scheme, _, credentials = (authorization or "").partition(" ")
        if scheme.lower() in ("bearer", "oauth") and credentials.strip():
            return credentials.strip()
        token = self.params.get("access_token")
        return token if isinstance(token, str) else None


def read_call(body: bytes, content_type: str, query: Mapping[str, str]) -> Call:
    """Decodes a request's body.

    Raises:
        GraphError: 100 where Meta could not read it.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return _from_fields(_multipart(body, content_type), query)
    if kind == "application/json" or body.lstrip()[:1] in (b"{", b"["):
        return _from_document(body, query)
    try:
        fields = parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict")
    except (UnicodeDecodeError, ValueError) as wrong:
        raise GraphError("(#100) The request body is not a readable form", 100) from wrong
    return _from_fields(fields, query)


def events_of(call: Call) -> list[Any]:
    """The events of `data`, decoded. An element that is not JSON stays as it is: validation rejects
    it with its index.

    Raises:
        GraphError: 100 if `data` is no list of events.
    """
    if call.data is None:
        raise GraphError("(#100) The parameter data is required", 100)
    data = _decoded(call.data) if isinstance(call.data, str) else call.data
    if not isinstance(data, list):
        raise GraphError("(#100) param data must be an array.", 100)
    if not data:
        raise GraphError("(#100) param data must be non-empty.", 100)
    return [_decoded(event) if isinstance(event, str) else event for event in data]


def _from_document(body: bytes, query: Mapping[str, str]) -> Call:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as wrong:
        raise GraphError("(#100) The request body is not valid JSON", 100) from wrong
    if not isinstance(document, dict):
        raise GraphError("(#100) The request body must be a JSON object", 100)
    data = document.pop("data", query.get("data"))
    return Call({**query, **document}, data)


def _from_fields(fields: Sequence[tuple[str, str]], query: Mapping[str, str]) -> Call:
    params = dict(query)
    data: list[str] = []
    for name, value in fields:
        if is_data_field(name):
            data.append(value)
        else:
            params[name] = value
    if len(data) == 1:
        # One field may hold the whole array, or be the only event of a repeated field.
        decoded = _decoded(data[0])
        return Call(params, [decoded] if isinstance(decoded, dict) else decoded)
    return Call(params, data or params.pop("data", None))


def _multipart(body: bytes, content_type: str) -> list[tuple[str, str]]:
    head = b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n"
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    fields = []
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        payload = part.get_payload(decode=True)
        if not isinstance(name, str) or not isinstance(payload, bytes):
            continue
        try:
            fields.append((name, payload.decode("utf-8")))
        except UnicodeDecodeError as wrong:
            raise GraphError("(#100) The request body is not valid UTF-8", 100) from wrong
    return fields


def _decoded(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
