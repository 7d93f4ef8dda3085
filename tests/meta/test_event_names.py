"""A custom event that was probably meant to be a standard one is noticed."""

from __future__ import annotations

from capi_assets.meta.events.event_names import meant_names
from capi_assets.meta.limits import STANDARD_EVENTS


def test_names_that_read_like_a_standard_event_are_told_with_it() -> None:
    assert meant_names(["purchase", "PURCHASE", "add_to_cart", "Add To Cart", "lead"]) == {
        "PURCHASE": "Purchase",
        "purchase": "Purchase",
        "add_to_cart": "AddToCart",
        "Add To Cart": "AddToCart",
        "lead": "Lead",
    }


def test_standard_and_other_custom_names_are_left_alone() -> None:
    assert meant_names([*STANDARD_EVENTS, "Rental", "PurchaseRefund", "", "购买"]) == {}
