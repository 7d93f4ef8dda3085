"""People whom shops of five countries put into free text are nowhere but in the landing zone."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.helpers.asset_harness import AssetHarness
from tests.helpers.canaries import Canaries, find_below

# Keys as these shops name them; every value is of a person made up for this test.
KEYS = {
    "de": ("vorname", "nachname", "kundenname", "straße", "geburtsdatum", "handynummer", "anrede"),
    "fr": ("prénom", "nom_de_famille", "adresse_livraison", "téléphone", "date_naissance"),
    "es": ("nombre", "apellidos", "correo", "dirección", "teléfono_móvil", "fecha_nacimiento"),
    "pt": ("nome", "sobrenome", "endereço", "celular", "data_nascimento", "cpf_cliente"),
    "tr": ("ad", "soyadı", "müşteri_adı", "adres", "cep_telefonu", "doğum_tarihi"),
}  # fmt: skip
CANARY = "planted"


def _people(language: str) -> dict[str, str]:
    return {key: f"{CANARY.title()} {language} {key}" for key in KEYS[language]}


def _nested(people: dict[str, str]) -> dict[str, Any]:
    return {"value": 9.5, **people, "kunde": people, "notes": [people, *people.values()]}


def _order(hour: datetime, language: str, number: int) -> dict[str, Any]:
    people = _people(language)
    mailbox = quote(f"{CANARY}@{language}.example")
    page = f"https://shop.example/{mailbox}/ok?{urlencode(people)}&fbclid=IwAR1"
    return {
        "order_id": f"o-{language}-{number}",
        "occurred_at": hour.isoformat(),
        "value": 9.5,
        "currency": "EUR",
        "email": f"buyer.{language}@mail.example",
        "client_user_agent": "Mozilla/5.0",
        "event_source_url": page,
        "referrer_url": f"{page}#{'&'.join(people.values())}",
        "custom_data": json.dumps(_nested(people)),
        "contents": json.dumps([{"id": "A", "quantity": 1, **people}]),
        "app_data": json.dumps({"vendor_id": "x", **people}),
        "user_data": json.dumps({"page_id": 1, **people}),
        **people,  # columns that no contract knows
    }


@pytest.mark.dagster_in_files
@pytest.mark.parametrize("fault", [None, "server_error", "not_linked"])
def test_nobody_planted_in_free_text_is_stored_logged_or_sent(
    world: AssetHarness, fault: str | None
) -> None:
    hour = world.hour(3)
    orders = [_order(hour, language, 1) for language in KEYS]
    # A refused row of each goes to quarantine with its reason.
    orders += [{**_order(hour, language, 2), "value": "many"} for language in KEYS]
    visits = [
        {
            "visit_id": f"v-{language}",
            "occurred_at": hour.isoformat(),
            "page_url": order["event_source_url"],
            "referrer_url": order["referrer_url"],
            **_people(language),
        }
        for language, order in zip(KEYS, orders, strict=False)
    ]
    for table, rows in (("orders", orders), ("visits", visits)):
        world.land(table, hour, f"{table}.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
    if fault:
        world.meta.set_fault(fault)
    world.run(hour)
    statuses = {row["order_id"]: row["status"] for row in world.read("delivery_results", [hour])}
    assert len(statuses) == len(KEYS)
    sent = world.meta.state.inbox.rows("select payload from volatile.payloads")
    assert len(sent) == (0 if fault else len(KEYS))
    assert not any(CANARY.encode() in bytes(payload).lower() for (payload,) in sent)
    assert len(world.read("quarantined_orders", [hour])) == len(KEYS)

    found, searched = find_below(
        world.root, Canaries((CANARY,)), lambda path: "landing" not in path.parts
    )
    assert found == []
    assert searched > 10
