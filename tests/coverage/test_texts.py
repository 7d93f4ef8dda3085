"""Texts say what, since when, how many, how much, why, until when and what to do, and no more."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import orjson
import pyarrow as pa
import pytest

from capi_assets.coverage.alerting.alert_message import message
from capi_assets.coverage.alerting.alert_state import AlertState
from capi_assets.coverage.alerting.alert_text import alert_text
from capi_assets.coverage.alerting.alerts import Alert, decide
from capi_assets.coverage.flags import flag_hours
from capi_assets.coverage.formatting import (
    count,
    deadline,
    format_amounts,
    format_duration,
    format_utc,
    money,
    percent,
)
from capi_assets.coverage.gap_text import hour_sentence, incident_sentence, incidents_sentence
from capi_assets.coverage.gaps import gaps
from capi_assets.coverage.incidents import incident, incidents
from capi_assets.coverage.links import backfill_link, partition_ranges_text
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.tables import (
    event_table,
    incidents_table,
    remedies_table,
    waterfall_table,
)
from capi_assets.delivery.causes import Cause
from capi_assets.settings import Settings
from tests.helpers.gap_samples import sample_gap
from tests.helpers.order_records import H, OrderRecords, hour

NOW = hour(3)
LATER = hour(6)  # three good hours after


def outage() -> OrderRecords:
    books = OrderRecords().order(H, times=1_206)
    books.order(H, status="pending", reason="token_expired", times=400, value=30.10)
    books.order(hour(1), status="pending", reason="token_expired", times=12, value=25.0)
    return books.order(hour(1), status="pending", reason="token_expired", currency="JPY", value=5e3)


def flags_of(books: OrderRecords, now: datetime = NOW, **more: Any) -> pa.Table:
    return flag_hours(books.health(), CoveragePolicy(), now, **more)


@pytest.mark.parametrize(
    ("currency", "value", "words"),
    [
        ("EUR", 12345.6, "EUR 12,345.60"),
        ("JPY", 12345.6, "JPY 12,346"),
        ("KWD", 1.2345, "KWD 1.234"),
        (None, 7, "no currency 7.00"),
        ("", 7, "no currency 7.00"),
    ],
)
def test_money_has_the_decimals_of_its_currency(
    currency: str | None, value: float, words: str
) -> None:
    assert money(currency, value) == words


def test_several_currencies_are_never_added() -> None:
    assert format_amounts({"USD": 3, "EUR": 1, "": 2}) == "no currency 2.00, EUR 1.00 and USD 3.00"
    assert format_amounts({}) == ""


@pytest.mark.parametrize(
    ("length", "words"),
    [
        (timedelta(days=3, hours=4, minutes=59), "3 d 4 h"),
        (timedelta(days=2), "2 d"),
        (timedelta(hours=4, minutes=5), "4 h 5 min"),
        (timedelta(hours=1), "1 h"),
        (timedelta(minutes=12, seconds=59), "12 min"),
        (timedelta(seconds=59), "less than a minute"),
    ],
)
def test_spans_are_short(length: timedelta, words: str) -> None:
    assert format_duration(length) == words


def test_times_are_utc_whatever_zone_they_came_in() -> None:
    assert format_utc(H.astimezone(timezone(timedelta(hours=5)))) == "2026-11-20 13:00 UTC"
    assert deadline(H, H - timedelta(hours=76)) == "2026-11-20 13:00 UTC (in 3 d 4 h)"
    assert deadline(H, H + timedelta(hours=4)) == "2026-11-20 13:00 UTC (4 h ago)"


def test_a_share_that_is_not_whole_is_never_shown_as_whole() -> None:
    assert percent(0.99999) == "99.9 %"
    assert (percent(1.0), percent(0.934), percent(None)) == ("100.0 %", "93.4 %", "–")


def test_counts_agree_with_their_noun() -> None:
    assert (count(1, "order"), count(1204, "order")) == ("1 order", "1,204 orders")


def test_an_alert_is_one_paragraph_that_says_it_all() -> None:
    ((alert,), _) = decide(AlertState(), gaps(flags_of(outage())), NOW)
    assert alert_text(alert, NOW) == (
        "New incident (error), 2026-11-20 13:00 to 15:00 UTC: 413 orders (EUR 12,340.00 and"
        " JPY 5,000) are missing, because the access token has expired. Reasons: token_expired."
        " 413 orders (EUR 12,340.00 and JPY 5,000) can still be delivered, the first until"
        " 2026-11-27 12:30 UTC (in 6 d 20 h). Create an access token without expiry in Events"
        " Manager (system user) and set CAPI_ACCESS_TOKEN (or the file CAPI_ACCESS_TOKEN_FILE"
        " names, or the dataset's variable in CAPI_DATASETS). Then materialize the range."
        " Range: [2026-11-20-13:00...2026-11-20-14:00]"
    )
    assert message(alert, NOW).severity == "error"


def test_good_news_names_the_cause() -> None:
    _, state = decide(AlertState(), gaps(flags_of(outage())), NOW)
    ((alert,), _) = decide(state, [], LATER)
    assert alert_text(alert, NOW) == (
        "Recovered: the access token has expired (2026-11-20 13:00 to 15:00 UTC)."
        " Peak: 413 orders (EUR 12,340.00 and JPY 5,000) missing. Coverage of these hours is good"
        " again."
    )
    assert message(alert, NOW).good


def test_good_news_admits_what_keeps_fewer_match_keys() -> None:
    _, state = decide(AlertState(), [sample_gap(Cause.VISITS_MISSING, missing={H: 4})], NOW)
    ((over,), _) = decide(state, [], LATER)
    assert alert_text(over, NOW).endswith(
        "Coverage of these hours is good again, but orders sent in the meantime lack the match keys"
        " of their visits, and Meta keeps them so."
    )


def test_recovery_is_reported_from_its_launch_to_its_end() -> None:
    (gap,) = gaps(flags_of(outage()))
    ranges = (gap.partition_range,)
    launched = Alert("recovery_launched", gap.id, incident([gap]), ranges, automatic=True)
    assert alert_text(launched, NOW) == (
        "Recovery launched: the access token has expired (2026-11-20 13:00 to 15:00 UTC)."
        " 413 orders (EUR 12,340.00 and JPY 5,000) can still be delivered, the first until"
        " 2026-11-27 12:30 UTC (in 6 d 20 h). These hours are being materialized, most urgent"
        " first: [2026-11-20-13:00...2026-11-20-14:00]"
    )
    assert message(launched, NOW).good
    stopped = alert_text(Alert("recovery_stopped", gap.id, incident([gap]), ranges), NOW)
    assert stopped.startswith(
        "Automatic recovery stopped (error), 2026-11-20 13:00 to 15:00 UTC: its last runs delivered"
        " nothing more, because the access token has expired. Reasons: token_expired."
    )
    _, state = decide(AlertState(), [gap], NOW)
    ((over,), _) = decide(state.recovering({gap.id}), [], LATER)
    assert "Its hours were materialized again automatically." in alert_text(over, NOW)


def test_an_alert_links_to_the_backfill_where_the_ui_is_known() -> None:
    ((alert,), _) = decide(AlertState(), gaps(flags_of(outage())), NOW)
    page = Settings(ui_url="https://dagster.example/").backfill_url
    address = (
        "https://dagster.example/guess/deliver_hour/partitions"
        "?default_range=%5B2026-11-20-13:00...2026-11-20-14:00%5D"
    )
    assert alert_text(alert, NOW, page).endswith(f" {address}")


def test_ranges_can_be_pasted_into_the_field_of_partitions() -> None:
    ranges = ["2026-11-20-13:00...2026-11-20-14:00", "2026-11-20-17:00...2026-11-20-17:00"]
    assert (
        partition_ranges_text(ranges) == "[2026-11-20-13:00...2026-11-20-14:00], 2026-11-20-17:00"
    )
    link = backfill_link("http://127.0.0.1:3000/guess/deliver_hour", ranges)
    assert link is not None
    assert link.endswith("=%5B2026-11-20-13:00...2026-11-20-14:00%5D,2026-11-20-17:00")
    assert backfill_link(None, ranges) is None


def test_programs_get_every_field_always() -> None:
    ((opened,), state) = decide(AlertState(), gaps(flags_of(outage())), NOW)
    ((over,), _) = decide(state, [], LATER)
    documents = [orjson.loads(orjson.dumps(message(a, NOW).document)) for a in (opened, over)]
    assert documents[0].keys() == documents[1].keys()
    first, last = documents
    assert (first["schema"], first["version"]) == ("capi_assets.alert", 1)
    assert (first["kind"], last["kind"]) == ("opened", "recovered")
    for name in ("incident_id", "gap_id"):
        assert first[name] == last[name] == "token-2026-11-20T13"
    assert (first["is_over"], last["is_over"]) == (False, True)
    turn = {
        "cause": "token",
        "headline": "the access token has expired",
        "from": "2026-11-20T13:00:00+00:00",
        "to": "2026-11-20T15:00:00+00:00",
    }
    assert first["causes"] == last["causes"] == [turn]
    assert first["sent_at"] == "2026-11-20T16:00:00+00:00"
    assert (first["from"], first["to"]) == (
        "2026-11-20T13:00:00+00:00",
        "2026-11-20T15:00:00+00:00",
    )
    assert (first["cause"], first["severity"], first["hours"]) == ("token", "error", 2)
    assert first["money"] == {"EUR": 12340.0, "JPY": 5000.0}
    assert first["recoverable"]["orders"] == first["orders"] == 413
    assert first["deadline"] == "2026-11-27T12:30:00+00:00"
    assert first["ranges"] == ["2026-11-20-13:00...2026-11-20-14:00"]
    assert first["evidence"] == {"reasons": {"token_expired": 413}, "text": None}
    assert first["text"] == alert_text(opened, NOW)
    assert last["good"]
    assert (last["ranges"], last["remedy"], last["hours"], last["orders"]) == ([], None, 0, 413)


def test_a_mails_subject_says_what_happened() -> None:
    ((alert,), _) = decide(AlertState(), gaps(flags_of(outage())), NOW)
    assert message(alert, NOW).subject == (
        "New incident: 413 orders (EUR 12,340.00 and JPY 5,000) are missing"
        " (2026-11-20 13:00 to 15:00 UTC)"
    )


def test_an_incident_names_its_causes_in_turn_and_what_to_do_about_each() -> None:
    gap = replace(sample_gap(Cause.TOKEN, missing={H: 9}, recoverable=9), first_deadline=LATER)
    other = sample_gap(
        Cause.META_DOWN,
        id="meta_down-2026-11-20T14",
        first_hour=hour(1),
        last_hour=hour(1),
        missing={hour(1): 4},
    )
    ((alert,), _) = decide(AlertState(), [other, gap], NOW)
    text = alert_text(alert, NOW)
    assert text.startswith(
        "New incident (warn), 2026-11-20 13:00 to 15:00 UTC: 13 orders are missing, because"
        " the access token is not accepted, then Meta does not answer as it should (from"
        " 2026-11-20 14:00). "
    )
    assert f"{Cause.TOKEN.remedy} Range: [2026-11-20-13:00...2026-11-20-14:00]" in text
    assert text.endswith(
        "Meta does not answer as it should: Wait; if it lasts, check metastatus.com and any proxy"
        " in between."
    )
    (row,) = incidents_table(incidents([gap, other]), NOW).rows
    assert row[1] == "token, then meta_down"


def test_a_gap_with_another_cause_now_does_not_sound_like_good_news() -> None:
    gap = sample_gap(Cause.TOKEN, missing={H: 9})
    other = sample_gap(Cause.PAYLOAD, missing={H: 9})
    _, state = decide(AlertState(), [gap, other], NOW)
    alerts, _ = decide(state, [other], LATER)
    (over,) = [alert for alert in alerts if alert.incident_id == gap.id]
    assert alert_text(over, LATER) == (
        "Closed: the access token is not accepted (2026-11-20 13:00 to 14:00 UTC)."
        " Peak: 9 orders missing. 9 orders of these hours are still missing, because"
        f" {Cause.PAYLOAD.headline}: see the incident of that cause."
    )
    assert not message(over, NOW).good


@pytest.mark.parametrize(
    ("cause", "fields", "final"),
    [
        (
            Cause.VISITS_MISSING,
            {"unmatched": 34},
            "34 orders have no visit, because visits are missing. These visits will not come back"
            " and Meta keeps the orders as they were sent.",
        ),
        (
            Cause.PAYLOAD,
            {"missing": {H: 3}},
            "3 orders are missing, because events are refused because of their content. Nothing"
            " that is missing can be delivered any more.",
        ),
    ],
)
def test_an_incident_that_nothing_can_fix_says_so_when_it_ends(
    cause: Cause, fields: dict[str, Any], final: str
) -> None:
    gap = sample_gap(cause, **fields)
    _, state = decide(AlertState(), [gap], NOW)
    ((alert,), _) = decide(state, [gap], LATER)
    assert alert_text(alert, LATER) == (
        f"Closed: {cause.headline} (2026-11-20 13:00 to 14:00 UTC). {final}"
    )
    document = message(alert, LATER).document
    assert (document["is_over"], document["good"], document["remedy"]) == (True, False, None)


def test_hours_that_were_not_materialized_claim_no_number() -> None:
    (gap,) = gaps(
        flag_hours(OrderRecords().health(), CoveragePolicy(), hour(9), expected_hours=[H])
    )
    assert incident_sentence(incident([gap]), hour(9)) == (
        "2026-11-20 13:00 to 14:00 UTC: the orders of 1 hour are not counted yet, because the"
        " hours were not materialized. Evidence: attribution_health has no data for this hour. They"
        " can be delivered until 2026-11-27 12:30 UTC (in 6 d 14 h). If the schedule should have"
        " done it, check that it and the Dagster daemon run. Materialize the range."
        " Range: 2026-11-20-13:00"
    )


def test_what_is_too_late_is_said_plainly() -> None:
    books = OrderRecords().order(status="expired", reason="too_late", times=3)
    (gap,) = gaps(flags_of(books))
    text = incident_sentence(incident([gap]), NOW)
    assert "Nothing can be recovered." in text
    assert "Range" not in text


def test_an_hours_sentence_fits_its_state() -> None:
    flags = flags_of(outage())
    assert hour_sentence(H, flags, NOW) == (
        "2026-11-20-13:00: 1,206 of 1,606 eligible orders delivered (75.1 %), because the access"
        " token has expired; 400 can still be delivered until 2026-11-27 12:30 UTC (in 6 d 20 h)."
    )
    good = flags_of(OrderRecords().order(times=3))
    assert hour_sentence(H, good, NOW) == (
        "2026-11-20-13:00 is OK: 3 of 3 eligible orders delivered (100.0 %)."
    )
    early = flags_of(OrderRecords().order(times=3), H + timedelta(minutes=30))
    assert "is not evaluated yet" in hour_sentence(H, early, NOW)
    assert hour_sentence(hour(5), good, NOW) == "2026-11-20-18:00 was not evaluated."
    empty = flag_hours(OrderRecords().health(H), CoveragePolicy(), NOW)
    assert hour_sentence(H, empty, NOW) == "2026-11-20-13:00 is OK: no orders."


def test_an_hours_waterfall_has_a_column_per_currency() -> None:
    books = (
        OrderRecords().order(times=3).order(currency="USD", status="pending", reason="throttled")
    )
    books.quarantine(H, dataset_id="d1", event_name="Purchase", currency="EUR", value=1.5)
    books.order(name="Lead", currency=None, value=None, status="withheld", verdict="withheld")
    rows = books.health().to_pylist()
    waterfall = waterfall_table(rows)
    # The lead has no money, so no column of zeros.
    assert waterfall.columns == ["stage", "orders", "EUR", "USD"]
    assert waterfall.rows == [
        ["orders", "6", "31.50", "10.00"],
        ["quarantined", "1", "1.50", "0.00"],
        ["withheld", "1", "0.00", "0.00"],
        ["delivered", "3", "30.00", "0.00"],
        ["pending", "1", "0.00", "10.00"],
        ["eligible", "5", "31.50", "10.00"],
        ["coverage", "60.0 %", "95.2 %", "0.0 %"],
    ]
    paid = OrderRecords().order(currency=None, value=4.0).health().to_pylist()
    assert waterfall_table(paid).columns == ["stage", "orders", "no currency"]
    assert event_table(rows).rows == [
        ["d1", "Purchase", 5, 3, 2, "60.0 %"],
        ["d1", "Lead", 1, 0, 0, "–"],
    ]
    assert waterfall_table([]).rows == []


def test_the_list_of_open_gaps_counts_all_and_the_most_urgent_come_first() -> None:
    books = OrderRecords()
    for n in range(30):
        books.order(hour(2 * n), status="pending", reason="token_expired", times=n + 1)
        books.order(hour(2 * n + 1), times=3)
    found = gaps(flag_hours(books.health(), CoveragePolicy(), hour(90)))
    assert len(found) == 30
    (one,) = incidents(found)
    (row,) = incidents_table([one], hour(90)).rows
    assert row[1:5] == ["token", "2026-11-20 13:00 UTC", 30, "465"]
    apart = [incident([gap]) for gap in found]
    assert incidents_sentence(apart, hour(90)).startswith(
        "30 incidents in 30 hours: 465 orders (EUR 4,650.00) missing, 465 can"
    )
    starts = [row[2] for row in incidents_table(apart, hour(90)).rows]
    assert starts == sorted(starts)
    assert len(starts) == 30
    ((headline, remedy, partitions),) = remedies_table(found, hour(90)).rows
    assert headline == "The access token has expired"
    assert remedy == Cause.TOKEN.remedy_for(["token_expired"])
    assert str(partitions).startswith("2026-11-20-13:00, 2026-11-20-15:00, ")


def test_the_list_of_open_gaps_admits_what_is_not_counted() -> None:
    books = OrderRecords().order(hour(4), status="expired", reason="too_late", times=4)
    flags = flag_hours(books.health(), CoveragePolicy(), hour(9), expected_hours=[H, hour(1)])
    found = gaps(flags)
    both = incidents(found)
    assert "4 orders (EUR 40.00) missing (2 hours not counted yet), 0 can" in incidents_sentence(
        both, hour(9)
    )
    assert incidents_table(both, hour(9)).rows[0][3:7] == [2, "not counted", "–", "not counted"]
    partitions = [row[2] for row in remedies_table(found, hour(9)).rows]
    assert partitions == ["[2026-11-20-13:00...2026-11-20-14:00]", ""], "nothing to materialize"


def test_no_gaps_is_said_in_so_many_words() -> None:
    assert incidents_sentence([], NOW) == "No gaps."
    assert incidents_table([], NOW).rows == remedies_table([], NOW).rows == []
