"""docs/events.md says what the rules say."""

from __future__ import annotations

from capi_assets.eligibility import WITHHELD_TEXTS
from capi_assets.meta.events.build import EVENT_FIELDS
from capi_assets.meta.events.refusals import REFUSALS
from capi_assets.meta.limits import (
    ACTION_SOURCES,
    MAX_EVENT_NAME_LENGTH,
    MESSAGING_EVENTS,
    WINDOW,
    WINDOW_PHYSICAL_STORE,
)
from tools.events_page import PAGE, written

TEXT = PAGE.read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, list[str]]:
    """The rows of the first table under a heading, by the code in their first cell."""
    section = TEXT.split(f"## {heading}")[1].split("\n## ")[0]
    cells = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:3] == "| `"]
    return {row[0].split("`")[1]: row for row in cells}


def test_the_refusals_are_written_from_the_rules() -> None:
    assert written(TEXT) == TEXT, "run `python -m tools.events_page`"
    table = rows("Rules applied before Meta applies them")
    assert list(table) == [refusal.reason for refusal in REFUSALS]
    assert table["weak_match_keys"][2].startswith("2804050; ")


def test_every_action_source_is_there_with_its_window() -> None:
    table = rows("What each action source requires")
    assert table.keys() == ACTION_SOURCES
    for source, (_, _, window) in table.items():
        span = WINDOW_PHYSICAL_STORE if source == "physical_store" else WINDOW
        assert window == f"{span.days} days"
    assert f"{len(MESSAGING_EVENTS)}" == "14"
    assert "one of fourteen event names" in table["business_messaging"][1]
    assert f"up to {MAX_EVENT_NAME_LENGTH} characters" in TEXT


def test_every_field_of_an_event_is_explained() -> None:
    explained = TEXT.split("## Which column becomes which field")[1].split("\n## ")[0]
    places = {"data_processing_options_country", "data_processing_options_state"}
    assert not [name for name in set(EVENT_FIELDS) - places if f"`{name}`" not in explained]


def test_the_words_of_the_refund_policy_are_those_in_the_books() -> None:
    policy = TEXT.split("## Refunds, cancellations and changes of value")[1].split("\n## ")[0]
    for word in ("cancelled", "refunded"):
        assert f"`{word}`" in policy
        assert word in WITHHELD_TEXTS
