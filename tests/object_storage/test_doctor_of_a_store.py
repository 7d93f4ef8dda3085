"""`doctor` says what an object store lacks to be used."""

from __future__ import annotations

from upath import UPath

from capi_assets.commands.doctor import Finding, examine
from capi_assets.commands.trials import TRIALS
from tests.helpers.object_store import ObjectStore, driver_with

NOTHING = {
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def found(bucket: str) -> dict[str, Finding]:
    env = {
        "CAPI_LAKE": f"{bucket}/lake",
        "CAPI_LANDING": f"{bucket}/landing",
        "CAPI_GRAPH_URL": "http://127.0.0.1:9",
    }
    trials = {name: TRIALS[name] for name in ("lake", "landing")}
    return {each.name: each for each in examine(env, {}, trials)}


def test_a_store_is_written_read_back_and_left_as_it_was(store: ObjectStore) -> None:
    bucket = store.bucket("doctor")
    (UPath(bucket) / "landing/orders/2026-11-20/13/a.csv").write_bytes(b"order_id\n")
    findings = found(bucket)
    assert (findings["CAPI_LAKE"].verdict, findings["CAPI_LAKE"].text) == (
        "ok",
        "written and read back",
    )
    assert "no visits/ folder" in findings["CAPI_LANDING"].text
    assert UPath(bucket).fs.find("doctor") == ["doctor/landing/orders/2026-11-20/13/a.csv"]


def test_what_is_missing_is_named(store: ObjectStore, one_try: None) -> None:
    bucket = store.bucket("named")
    cases = {
        "AWS_ACCESS_KEY_ID": NOTHING,
        "signature": {"AWS_SECRET_ACCESS_KEY": "wrong"},
        "does not answer": {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"},
    }
    for text, variables in cases.items():
        with driver_with(**variables):
            findings = found(bucket)
        for name in ("CAPI_LAKE", "CAPI_LANDING", "CAPI_LEDGER_URL"):
            # The answer to a HEAD request has no text.
            known = text in findings[name].text or "Forbidden" in findings[name].text
            assert (findings[name].verdict, known) == ("error", True), (name, text)
            assert "testing" not in findings[name].text
    lake = found("s3://no-such-bucket")["CAPI_LAKE"]
    assert (lake.verdict, "bucket does not exist" in lake.text) == ("error", True)
