"""`capi-assets plan`: a range as alerts write it in, a range as the UI takes it out."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from capi_assets.cli import main
from capi_assets.delivery.ledger.ledger import Ledger
from capi_assets.hours import HOUR, floor_hour, hour_key
from capi_assets.lake import Lake
from tests.helpers.delivery_harness import NOW, event, table

FIRST = floor_hour(NOW) - 10 * HOUR
KEYS = [hour_key(FIRST + n * HOUR) for n in range(6)]


@pytest.fixture(autouse=True)
def stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six hours: two with events, one withheld, one whose events are too late, two empty."""
    monkeypatch.setenv("CAPI_LAKE", str(tmp_path / "lake"))
    monkeypatch.setenv("CAPI_LEDGER_URL", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("CAPI_NOW", NOW.isoformat())
    lake = Lake(tmp_path / "lake")
    hours: list[list[dict[str, Any]]] = [
        [event("a", occurred_at=FIRST), event("b", occurred_at=FIRST, value=5.0)],
        [event("c", occurred_at=FIRST + HOUR)],
        [event("d", occurred_at=FIRST + 2 * HOUR, verdict="withheld", reason="cancelled")],
        [event("e", occurred_at=FIRST + 3 * HOUR, deliver_until=NOW - timedelta(seconds=1))],
        [],
    ]
    for number, rows in enumerate(hours):
        lake.write("matched_events", FIRST + number * HOUR, table(rows))


def asked(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["plan", *arguments])


def test_it_counts_what_can_be_saved_and_what_cannot() -> None:
    found = json.loads(asked(f"{KEYS[0]}...{KEYS[5]}", "--json").output)
    recoverable, late, withheld = (
        found["total"][n] for n in ("recoverable", "too_late", "withheld")
    )
    assert (recoverable, late, withheld) == (3, 1, 1)
    assert found["hours"][KEYS[0]]["recoverable"] == {"events": 2, "money": {"EUR": 15.0}}
    assert found["requests"] == 1
    assert found["not_materialized"] == [KEYS[5]]
    assert found["ranges"] == f"[{KEYS[0]}...{KEYS[1]}]"


@pytest.mark.parametrize("written", [f"[{KEYS[0]}...{KEYS[1]}]", f" {KEYS[0]} ... {KEYS[1]} "])
def test_a_range_may_be_written_in_any_way_it_is_shown(written: str) -> None:
    assert asked(written, "--json").output == asked(f"{KEYS[0]}...{KEYS[1]}", "--json").output


def test_one_hour_is_a_range() -> None:
    found = json.loads(asked(KEYS[1], "--json").output)
    assert list(found["hours"]) == [KEYS[1]]
    assert found["ranges"] == KEYS[1]


def test_what_to_paste_into_the_ui_is_printed_whole_on_one_line() -> None:
    lines = asked(f"{KEYS[0]}...{KEYS[5]}").output.splitlines()
    assert f"To launch in the UI, as custom partitions: [{KEYS[0]}...{KEYS[1]}]" in lines


def test_it_plans_by_what_the_ledger_knows_and_changes_nothing(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    rows = table([event("c", occurred_at=FIRST + HOUR)])
    with Ledger(url) as ledger:
        ledger.claim(rows, "another run", NOW, HOUR)
        before = ledger.state_of(rows)
    found = json.loads(asked(KEYS[1], "--json").output)
    assert (found["total"]["recoverable"], found["requests"], found["claimed"]) == (1, 0, 1)
    words = " ".join(asked(KEYS[1]).output.split())
    assert "0 requests to Meta. 1 more event is claimed by another run" in words
    with Ledger(url) as ledger:
        assert ledger.state_of(rows).equals(before)
        assert ledger.state_of(table([event("a", occurred_at=FIRST)])).num_rows == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument 'RANGE'"),
        (["some day"], "write an hour like"),
        ([f"{KEYS[1]}...{KEYS[0]}"], "before its first"),
        ([f"{KEYS[1]}..."], "write an hour like"),
    ],
)
def test_a_range_that_is_none_is_a_usage_error(arguments: list[str], words: str) -> None:
    result = asked(*arguments)
    assert result.exit_code == 2
    assert words in result.output
