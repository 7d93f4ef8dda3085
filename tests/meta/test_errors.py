from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capi_assets.meta.events.refusals import REFUSALS
from capi_assets.meta.graph.error_subcodes import SUBCODES, subcode_name
from capi_assets.meta.graph.errors import Body, ErrorKind, MetaError, classify, parse_error


def body(**error: Any) -> bytes:
    return json.dumps({"error": {"message": "m", "type": "OAuthException", **error}}).encode()


@pytest.mark.parametrize(
    ("status", "code", "subcode", "kind"),
    [
        # META's own Graph and Marketing codes
        (400, 1, None, ErrorKind.TRANSIENT),
        (400, 1, 99, ErrorKind.PERMISSION),
        (400, 2, None, ErrorKind.TRANSIENT),
        (400, 3, None, ErrorKind.PERMISSION),
        (400, 4, None, ErrorKind.THROTTLED),
        (400, 4, 1504022, ErrorKind.THROTTLED),
        (400, 10, None, ErrorKind.PERMISSION),
        (403, 200, None, ErrorKind.PERMISSION),
        (403, 294, None, ErrorKind.PERMISSION),
        (403, 299, None, ErrorKind.PERMISSION),
        (400, 17, 2446079, ErrorKind.THROTTLED),
        (400, 32, None, ErrorKind.THROTTLED),
        (400, 100, None, ErrorKind.PERMISSION),
        (400, 100, 33, ErrorKind.PERMISSION),
        (400, 102, None, ErrorKind.TOKEN),
        (400, 104, None, ErrorKind.TOKEN),
        (401, 190, None, ErrorKind.TOKEN),
        *((400, 190, sub, ErrorKind.TOKEN) for sub in (458, 459, 460, 463, 464, 467, 492)),
        (400, 341, None, ErrorKind.THROTTLED),
        (400, 368, None, ErrorKind.PERMISSION),
        (400, 613, None, ErrorKind.THROTTLED),
        (400, 613, 1487742, ErrorKind.THROTTLED),
        (400, 2500, None, ErrorKind.PERMISSION),
        (400, 5000, None, ErrorKind.TRANSIENT),
        (400, 21009, None, ErrorKind.TRANSIENT),
        *((400, code, None, ErrorKind.THROTTLED) for code in (80000, 80003, 80004, 80009, 80014)),
        (400, -3, None, ErrorKind.TRANSIENT),
        # subcodes of the Conversions API
        (400, 100, 2804003, ErrorKind.EXPIRED),
        (400, 100, 2804004, ErrorKind.NOT_YET),
        *((400, 100, sub, ErrorKind.NOT_YET) for sub in (2804065, 2804131, 2804132, 2804133)),
        (400, 100, 2804050, ErrorKind.PAYLOAD),
        (400, 100, 2809999, ErrorKind.PAYLOAD),
        (400, 1, 2804001, ErrorKind.PAYLOAD),
        # a code nobody has seen is neither the payload's fault nor the token's
        (400, 987654, None, ErrorKind.UNRECOGNISED),
        # a fault of the server's may come after it took the events
        (500, 1, None, ErrorKind.UNKNOWN_OUTCOME),
        (500, 1, 99, ErrorKind.UNKNOWN_OUTCOME),
        (503, 2, None, ErrorKind.UNKNOWN_OUTCOME),
        (500, 987654, None, ErrorKind.UNKNOWN_OUTCOME),
        # but a refusal stays a refusal whatever the status
        (500, 190, None, ErrorKind.TOKEN),
        (500, 100, 2804050, ErrorKind.PAYLOAD),
        (503, 4, None, ErrorKind.THROTTLED),
        (429, 1, None, ErrorKind.THROTTLED),
    ],
)
def test_codes_decide(status: int, code: int, subcode: int | None, kind: ErrorKind) -> None:
    assert classify(status, MetaError(Body.ERROR, code, subcode)).kind is kind


@pytest.mark.parametrize(
    ("status", "shape", "kind"),
    [
        (None, Body.EMPTY, ErrorKind.UNKNOWN_OUTCOME),
        (200, Body.JSON, ErrorKind.UNKNOWN_OUTCOME),
        (200, Body.TEXT, ErrorKind.UNKNOWN_OUTCOME),
        (200, Body.TRUNCATED, ErrorKind.UNKNOWN_OUTCOME),
        (302, Body.HTML, ErrorKind.TRANSIENT),
        (500, Body.JSON, ErrorKind.UNKNOWN_OUTCOME),
        (502, Body.HTML, ErrorKind.UNKNOWN_OUTCOME),
        (503, Body.EMPTY, ErrorKind.UNKNOWN_OUTCOME),
        (408, Body.EMPTY, ErrorKind.TRANSIENT),
        (425, Body.EMPTY, ErrorKind.TRANSIENT),
        (429, Body.HTML, ErrorKind.THROTTLED),
        (413, Body.HTML, ErrorKind.PAYLOAD),
        (400, Body.HTML, ErrorKind.TRANSIENT),
        (403, Body.HTML, ErrorKind.TRANSIENT),
        (400, Body.TRUNCATED, ErrorKind.TRANSIENT),
        (401, Body.JSON, ErrorKind.TOKEN),
        (403, Body.JSON, ErrorKind.PERMISSION),
        (404, Body.JSON, ErrorKind.PERMISSION),
        (400, Body.JSON, ErrorKind.UNRECOGNISED),
    ],
)
def test_without_a_code_the_status_and_the_shape_of_the_body_decide(
    status: int | None, shape: Body, kind: ErrorKind
) -> None:
    assert classify(status, MetaError(shape)).kind is kind


@pytest.mark.parametrize("code", [1, 100, 190, 200])
def test_is_transient_forces_a_retry_and_its_absence_proves_nothing(code: int) -> None:
    transient = MetaError(Body.ERROR, code, is_transient=True)
    assert classify(400, transient).kind is ErrorKind.TRANSIENT
    assert classify(500, transient).kind is ErrorKind.UNKNOWN_OUTCOME
    assert classify(400, MetaError(Body.ERROR, 2)).kind is ErrorKind.TRANSIENT


PATH = "(#100) param data[3][user_data] must be an object"
PROOF = "Invalid appsecret_proof provided in the API argument"


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"message": "(#100) Missing Permission"}, "setup_refused"),
        ({"message": PATH}, "refused_100"),
        ({"message": 'Unexpected key "x" on param "$[\'data\']"'}, "refused_100"),
        ({"error_data": {"blame_field_specs": [["event_time"]]}}, "refused_100"),
        ({"message": PATH, "type": "GraphMethodException"}, "setup_refused"),
        ({"message": PROOF, "type": "GraphMethodException"}, "app_secret_wrong"),
    ],
)
def test_code_100_is_about_events_only_where_it_names_them(
    error: dict[str, Any], reason: str
) -> None:
    assert classify(400, parse_error(body(code=100, **error))).reason == reason


def test_the_live_answer_to_an_old_event_is_read() -> None:
    answer = body(
        code=100,
        error_subcode=2804003,
        is_transient=False,
        error_user_title="Horodatage trop ancien",
        error_user_msg="…",
        fbtrace_id="AkiF9ptBcD_e-f",
    )
    error = parse_error(answer)
    assert (error.code, error.subcode, error.is_transient) == (100, 2804003, False)
    assert (error.body, error.fbtrace_id, error.type) == (
        Body.ERROR,
        "AkiF9ptBcD_e-f",
        "OAuthException",
    )
    assert classify(400, error).kind is ErrorKind.EXPIRED


BLAMED = {"blame_field_specs": [["data[7][user_data]"], "data[7][custom_data][value]"]}


@pytest.mark.parametrize("data", [BLAMED, json.dumps(BLAMED)])
def test_error_data_is_read_as_an_object_and_as_json_text(data: Any) -> None:
    error = parse_error(body(code=100, error_data=data))
    assert error.blame_fields == ("data[7][user_data]", "data[7][custom_data][value]")
    assert error.event_index == 7


def test_an_event_is_found_where_meta_names_it() -> None:
    schema = body(code=100, message='Unexpected key "x" on param "$[\'data\'][12]".')
    assert parse_error(schema).event_index == 12
    assert parse_error(body(code=100, error_data={"event_index": 3})).event_index == 3
    assert parse_error(body(code=100, error_data='{"event_index": "4"}')).event_index == 4
    assert parse_error(body(code=100)).event_index is None


@pytest.mark.parametrize(
    ("raw", "shape"),
    [
        (b"", Body.EMPTY),
        (b" \r\n", Body.EMPTY),
        (b"<!DOCTYPE html><html>", Body.HTML),
        (b"Service Unavailable", Body.TEXT),
        (b'{"error": {"message": "x", "code": 19', Body.TRUNCATED),
        (b"[" * 100_000, Body.TRUNCATED),
        (b'{"events_received": 3}', Body.JSON),
        (b'"oops"', Body.JSON),
        (b"[1]", Body.JSON),
        (b'{"error": "oops"}', Body.JSON),
        (b"\xff\xfe\x00", Body.TEXT),
        ("\ufeff{}".encode(), Body.JSON),
    ],
)
def test_bodies_of_any_shape_are_told_apart(raw: bytes, shape: Body) -> None:
    error = parse_error(raw)
    assert error.body is shape
    assert error.code is None


def test_a_code_cut_short_is_never_believed() -> None:
    assert parse_error(b'{"error":{"code":19').code is None


@pytest.mark.parametrize(
    ("given_code", "read"),
    [("190", 190), (True, None), (1.5, None), (10**30, None), ("abc", None), (-1, -1)],
)
def test_codes_are_numbers_or_nothing(given_code: object, read: int | None) -> None:
    assert parse_error(body(code=given_code)).code == read


def test_no_text_that_could_carry_a_payload_is_shown() -> None:
    secret = "john.smith@example.com"
    error = parse_error(
        body(
            code=100,
            message=f"invalid {secret}",
            error_user_title=f"bad {secret}",
            error_user_msg=secret,
            type=secret,
            fbtrace_id=f"x {secret}",
            error_data={"blame_field_specs": [[secret]], "value": secret},
        )
    )
    assert secret not in repr(error)
    assert secret not in str(error)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
error_keys = st.sampled_from(
    ["code", "error_subcode", "is_transient", "type", "fbtrace_id", "error_data", "message"]
)


@given(st.binary() | st.text())
def test_no_body_raises(raw: bytes | str) -> None:
    assert isinstance(parse_error(raw), MetaError)


@given(st.dictionaries(error_keys, json_values), st.none() | st.integers(100, 599))
def test_no_error_object_raises_and_every_one_has_a_kind(
    error: dict[str, Any], status: int | None
) -> None:
    problem = classify(status, parse_error(json.dumps({"error": error})))
    assert isinstance(problem.kind, ErrorKind)
    assert problem.reason


def test_every_subcode_has_a_name_and_unknown_ones_keep_their_number() -> None:
    assert subcode_name(2804050) == "weak_match_keys"
    assert subcode_name(2804999) == "subcode_2804999"
    assert subcode_name(None) is None
    assert all(one.name and one.meaning for one in SUBCODES.values())


def test_our_refusals_and_metas_share_one_word() -> None:
    shared = [refusal for refusal in REFUSALS if refusal.subcode]
    assert len(shared) >= 12
    for refusal in shared:
        assert subcode_name(refusal.subcode) == refusal.reason
