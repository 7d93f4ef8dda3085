"""What Meta refuses of one event, by Meta's pages and worked vectors."""

from __future__ import annotations

from itertools import chain, combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capi_assets.sandbox.rules.person import TOO_WEAK
from capi_assets.sandbox.rules.validate import validate_event, validate_events
from tests.helpers.sandbox_samples import DAY, NOW, NOW_S, PERSON, purchase, sha

DIGEST = sha("x")
EXTINFO = ["a2", "app", "1.0", "1.0.1", "15", "Pixel", "en_US", *[""] * 9]
SAMPLE_VALUES = {"client_user_agent": "Mozilla/5.0"}


def subcode(event: Any) -> int | None:
    refusal = validate_event(event, NOW)
    assert refusal is not None, "the judge let it pass"
    return refusal.subcode


def details(**custom: Any) -> dict[str, Any]:
    return {"custom_data": custom}


def whatsapp(**ids: Any) -> dict[str, Any]:
    return {
        "action_source": "business_messaging",
        "messaging_channel": "whatsapp",
        "user_data": {**PERSON, **ids},
    }


def app_event(**app_data: Any) -> dict[str, Any]:
    good = {"advertiser_tracking_enabled": 1, "extinfo": EXTINFO}
    return purchase(action_source="app", app_data={**good, **app_data})


def test_a_good_purchase_passes() -> None:
    assert validate_event(purchase(), NOW) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"event_time": NOW_S - 7 * DAY},
        {"event_time": NOW_S + 60},
        {"event_time": str(NOW_S - 5)},
        {"event_time": NOW_S - 30 * DAY, "action_source": "physical_store"},
        {"event_time": NOW_S - 62 * DAY, "action_source": "physical_store"},
        {"event_source_url": None},
        {"event_id": None},
        {"event_name": "MyOwnName", "custom_data": None},
        {"event_name": "Lead", "custom_data": {"anything": [1, {"free": True}]}},
        details(value="142.52", currency="usd"),
        details(value=0, currency="EUR"),
        details(value=1, currency="EUR", contents=[{"id": "a"}, {"id": 7, "quantity": 2}]),
        {"user_data": {"fn": [DIGEST], "ln": [DIGEST]}},
        {"user_data": {"fbp": "fb.1.1596403881668.1116446470", "client_user_agent": "M"}},
        {"user_data": {"em": DIGEST}},
        {"user_data": {"em": [DIGEST, None], "ph": None}},
        {"user_data": {"em": [f"{DIGEST}.AQQCAQIB"], "ph": [f"{DIGEST}.Ag"]}},
        {"user_data": {"external_id": "plain-customer-7"}},
        {"user_data": {"lead_id": 525645896321548}},
        {"user_data": {"lead_id": "5256458963215481"}},
        {"data_processing_options": []},
        {
            "data_processing_options": ["LDU"],
            "data_processing_options_country": 1,
            "data_processing_options_state": 1000,
        },
        {
            "data_processing_options": ["LDU"],
            "data_processing_options_country": 0,
            "data_processing_options_state": 0,
        },
        {"opt_out": True, "referrer_url": "https://a.example", "original_event_data": {}},
        {"action_source": "business_messaging", "messaging_channel": "messenger"},
        whatsapp(page_id="1053", ctwa_clid="ARAkLkA8rmlFeiCktEJQ"),
        whatsapp(whatsapp_business_account_id=1053, ctwa_clid="ARAkLkA8rmlFeiCktEJQ"),
    ],
)
def test_what_meta_accepts_passes(changed: dict[str, Any]) -> None:
    assert validate_event(purchase(**changed), NOW) is None


def test_a_website_event_without_user_agent_passes_as_observed_live() -> None:
    person = {key: value for key, value in PERSON.items() if key != "client_user_agent"}
    assert validate_event(purchase(user_data=person), NOW) is None


@pytest.mark.parametrize(
    ("expected", "changed"),
    [
        (2804003, {"event_time": NOW_S - 7 * DAY - 1}),
        (2804003, {"event_time": 0}),
        (2804003, {"event_time": NOW_S - 8 * DAY, "action_source": "app"}),
        (2804003, {"event_time": NOW_S - 62 * DAY - 1, "action_source": "physical_store"}),
        (2804004, {"event_time": NOW_S + 61}),
        (2804004, {"event_time": (NOW_S - 60) * 1000}),
        (2804008, details(value=1, currency="EUR", contents=[{"id": "a"}, {"quantity": 1}])),
        (2804008, details(value=1, currency="EUR", contents=[{"id": ""}])),
        (2804009, {"custom_data": None}),
        (2804009, details(currency="EUR")),
        (2804009, details(value="", currency="EUR")),
        (2804010, details(value=1)),
        (2804010, details(value=1, currency="")),
        (2804011, details(value=1, currency="MRU")),
        (2804011, details(value=1, currency="ZZZ")),
        (2804011, details(value=1, currency="XAU")),
        (2804011, details(value=1, currency="US$")),
        (2804011, details(value=1, currency="ıdr")),
        (2804011, details(value=1, currency=978)),
        (2804016, {"user_data": {**PERSON, "em": ["user@example.com"]}}),
        (2804016, {"user_data": {**PERSON, "ct": [""]}}),
        (2804016, {"user_data": {**PERSON, "em": DIGEST.upper()}}),
        (2804016, {"user_data": {**PERSON, "ph": [DIGEST, "16505551212"]}}),
        (2804016, {"user_data": {**PERSON, "zp": 94035}}),
        (2804016, {"user_data": {**PERSON, "em": "d41d8cd98f00b204e9800998ecf8427e"}}),
        (2804019, details(value="much", currency="EUR")),
        (2804019, details(value=True, currency="EUR")),
        (2804023, {"event_name": "Lead", "custom_data": {"value": 5}}),
        (2804036, {"user_data": {"lead_id": 12345}}),
        (2804036, {"user_data": {"lead_id": "52564589632154x"}}),
        (2804050, {"user_data": {}}),
        (2804050, {"user_data": {"email": "x"}}),
        (2804050, {"user_data": {"em": [], "fbc": ""}}),
        (2804066, {"event_name": "Lead", "action_source": "business_messaging"}),
        (2804066, {"event_name": "MyOwn", "action_source": "business_messaging"}),
        (2804071, whatsapp(page_id="1053")),
        (2804071, whatsapp(page_id="1053", ctwa_clid="")),
        (2804116, whatsapp(ctwa_clid="ARAkLkA8rmlFeiCktEJQ")),
        (2804116, whatsapp(ctwa_clid="ARAkLkA8rmlFeiCktEJQ", page_id=None)),
    ],
)
def test_what_meta_refuses_carries_its_subcode(expected: int, changed: dict[str, Any]) -> None:
    assert subcode(purchase(**changed)) == expected


SUBSETS = sorted(
    {
        subset
        for named in TOO_WEAK
        for subset in chain.from_iterable(
            combinations(sorted(named), size) for size in range(len(named) + 1)
        )
    }
)


@pytest.mark.parametrize("keys", SUBSETS, ids=" ".join)
def test_every_subset_of_a_weak_set_is_refused(keys: tuple[str, ...]) -> None:
    person = {key: SAMPLE_VALUES.get(key, [DIGEST]) for key in keys}
    assert subcode(purchase(user_data=person)) == 2804050


@given(st.sampled_from(SUBSETS), st.sampled_from(["em", "ph", "external_id", "fbc", "fbp"]))
def test_one_strong_key_lifts_any_weak_set(keys: tuple[str, ...], strong: str) -> None:
    person: dict[str, Any] = {key: SAMPLE_VALUES.get(key, [DIGEST]) for key in keys}
    person[strong] = "fb.1.1596403881668.1116446470" if strong.startswith("fb") else [DIGEST]
    assert validate_event(purchase(user_data=person), NOW) is None


@pytest.mark.parametrize(
    ("named", "event"),
    [
        ("$['data'][3]", "no object"),
        ("$['data'][3]", purchase(advertiser_tracking_enabled=1)),
        ("$['data'][3]['event_time']", purchase(event_time=None)),
        ("$['data'][3]['event_time']", purchase(event_time=1.5)),
        ("$['data'][3]['event_time']", purchase(event_time="yesterday")),
        ("$['data'][3]['event_name']", purchase(event_name="")),
        ("$['data'][3]['action_source']", purchase(action_source=None)),
        ("$['data'][3]['action_source']", purchase(action_source="offline")),
        ("$['data'][3]['event_id']", purchase(event_id=["a"])),
        ("$['data'][3]['user_data']", purchase(user_data=None)),
        ("$['data'][3]['user_data']", purchase(user_data=["em"])),
        ("$['data'][3]['user_data']['fbc']", purchase(user_data={**PERSON, "fbc": ["a"]})),
        ("$['data'][3]['user_data']['em']", purchase(user_data={**PERSON, "em": [[]]})),
        ("$['data'][3]['custom_data']", purchase(custom_data=[1])),
        ("$['data'][3]['custom_data']['contents'][0]", purchase(**details(
            value=1, currency="EUR", contents=["a"]))),
        ("$['data'][3]['app_data']", purchase(action_source="app")),
        ("$['data'][3]['app_data']['advertiser_tracking_enabled']",
         app_event(advertiser_tracking_enabled=None)),
        ("$['data'][3]['opt_out']", purchase(opt_out="maybe")),
        ("$['data'][3]['data_processing_options']", purchase(data_processing_options=["X"])),
        ("$['data'][3]['data_processing_options_state']", purchase(
            data_processing_options=["LDU"], data_processing_options_country=1)),
        ("$['data'][3]['data_processing_options_state']", purchase(
            data_processing_options=["LDU"], data_processing_options_country=1,
            data_processing_options_state=999)),
        ("$['data'][3]['data_processing_options_country']", purchase(
            data_processing_options=["LDU"], data_processing_options_country=49)),
        ("$['data'][3]['data_processing_options_state']", purchase(
            data_processing_options=["LDU"], user_data={"em": DIGEST})),
    ],
)  # fmt: skip
def test_a_schema_error_names_its_place(named: str, event: Any) -> None:
    refusal = validate_event(event, NOW)
    assert refusal is not None
    told = refusal.error(3)
    assert named in told["error_user_msg"]
    assert "error_subcode" not in told
    assert told["error_data"]["blame_field_specs"][0][:2] == ["data", "3"]


def test_an_unexpected_key_is_called_by_its_name() -> None:
    refusal = validate_event(purchase(advertiser_tracking_enabled=1), NOW)
    assert refusal is not None
    assert (
        refusal.error(0)["error_user_msg"]
        == 'Unexpected key "advertiser_tracking_enabled" on param "$[\'data\'][0]".'
    )


@pytest.mark.parametrize(
    "extinfo",
    [
        None,
        EXTINFO[:15],
        [*EXTINFO, ""],
        ["x1", *EXTINFO[1:]],
        [*EXTINFO[:4], "", *EXTINFO[5:]],
        [*EXTINFO[:4], " ", *EXTINFO[5:]],
        [*EXTINFO[:15], {}],
    ],
)
def test_a_broken_extinfo_is_refused(extinfo: list[str] | None) -> None:
    assert validate_event(app_event(), NOW) is None
    assert subcode(app_event(extinfo=extinfo)) == 2804043


def test_age_is_checked_before_everything_else() -> None:
    old = purchase(event_time=NOW_S - 8 * DAY, user_data={"client_user_agent": "M"})
    assert subcode(old) == 2804003


def test_in_a_request_the_too_old_event_wins_over_an_earlier_refusal() -> None:
    weak = purchase(user_data={"ge": [DIGEST]})
    old = purchase(event_time=NOW_S - 8 * DAY)
    assert validate_events([purchase(), weak, old], NOW) == (2, validate_event(old, NOW))
    assert validate_events([purchase(), weak, purchase(event_name="")], NOW) == (
        1,
        validate_event(weak, NOW),
    )
    assert validate_events([purchase(), purchase()], NOW) is None


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
FIELDS = sorted(purchase(app_data={}, opt_out=True, data_processing_options=["LDU"]))


@given(st.sampled_from(FIELDS), JSON_VALUES)
def test_no_json_value_in_any_field_breaks_the_judge(name: str, value: Any) -> None:
    for event in (purchase(**{name: value}), app_event(**{"extinfo": value})):
        refusal = validate_event(event, NOW)
        assert refusal is None or refusal.error(0)["code"] == 100


@given(st.sampled_from(["em", "client_ip_address", "lead_id", "odd"]), JSON_VALUES)
def test_no_json_value_in_user_data_breaks_the_judge(name: str, value: Any) -> None:
    validate_event(purchase(user_data={**PERSON, name: value}), NOW)


@given(st.sampled_from(["value", "currency", "contents"]), JSON_VALUES)
def test_no_json_value_in_custom_data_breaks_the_judge(name: str, value: Any) -> None:
    validate_event(purchase(custom_data={"value": 1, "currency": "EUR", name: value}), NOW)
