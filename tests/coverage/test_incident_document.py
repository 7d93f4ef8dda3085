"""`gaps --json` and alerts describe an incident with the same fields and values."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from capi_assets.coverage.alerting.alert_message import incident_document, message
from capi_assets.coverage.alerting.alerts import Alert
from capi_assets.coverage.incidents import incident
from capi_assets.delivery.causes import Cause
from tests.helpers.gap_samples import sample_gap
from tests.helpers.order_records import H

UI = "http://127.0.0.1:3000"


@pytest.mark.parametrize("cause", [Cause.TOKEN, Cause.VISITS_MISSING])
def test_a_document_has_the_values_of_the_alert(cause: Cause) -> None:
    gap = sample_gap(
        cause, missing={H: 3}, money={"EUR": 30.0}, recoverable=2,
        first_deadline=H + timedelta(days=7),
    )  # fmt: skip
    found = incident([gap])
    document = incident_document(found, False, UI)
    alert = message(Alert("opened", gap.id, found, found.ranges), H, UI).document
    assert document == {name: alert[name] for name in document}
    assert set(alert) - set(document) == {
        *("schema", "version", "sent_at", "kind", "good", "gap_id", "text"),
        *("still_missing", "other_causes", "automatic"),
    }
    assert document["orders"] == 3
    assert json.loads(json.dumps(document)) == document
