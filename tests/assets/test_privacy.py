"""Tokens and people's data: nowhere but on the wire to Meta, and there only as digests."""

from __future__ import annotations

import pytest
from dagster_shared.serdes import serialize_value
from pydantic import SecretStr

from capi_assets.definitions import build_definitions
from capi_assets.defs.dagster_private import RepositorySnap
from capi_assets.defs.resources import build_resources
from capi_assets.settings import Settings
from tests.helpers.asset_harness import TOKEN, AssetHarness


@pytest.mark.dagster_in_files
def test_no_token_and_no_contact_data_is_ever_written_down(world: AssetHarness) -> None:
    hour = world.hour(3)
    world.land_orders(
        hour,
        first_name="Zinaida",
        last_name="Kowalczyk-Unmistakable",
        event_source_url="https://shop.example/thanks?email=stray.buyer%40mail.example&size=4",
        custom_data='{"search_string": "stray.buyer@mail.example"}',
    )
    world.land(
        "orders",
        hour,
        "broken.csv",
        "order_id,occurred_at,email,phone,value,currency\n"
        f"x1,{hour.isoformat()},broken.person.example.com,+1 650 555 0199,oops,EUR\n",
    )
    world.meta.expire_token(TOKEN)
    world.run(hour)
    world.meta.renew_token(TOKEN)
    world.run(hour)
    secrets = [
        b"person.",
        b"7700900123",
        b"7700 900123",
        b"zinaida",
        b"kowalczyk",
        b"broken.person",
        b"555 0199",
        b"stray.buyer",
    ]
    seen = 0
    for path in world.root.rglob("*"):
        if path.is_file() and "landing" not in path.parts:
            seen += 1
            content = path.read_bytes().lower()
            for secret in secrets:
                assert secret not in content, (path, secret)
    assert seen > 10


def test_no_secret_is_in_what_dagster_is_told_of_the_definitions() -> None:
    settings = Settings(
        access_token=f"{TOKEN}1",
        access_token_command=f"print {TOKEN}9",
        app_secret=f"{TOKEN}2",
        ledger_url=f"postgresql://me:{TOKEN}3@host/ledger",
        visits_url=f"postgresql://me:{TOKEN}4@host/visits",
        orders_url=f"postgresql://me:{TOKEN}5@host/orders",
        alert_webhook=f"https://hooks.example/{TOKEN}6",
        alert_json_url=f"https://hooks.example/{TOKEN}7",
        smtp_url=f"smtps://me:{TOKEN}8@mail.example",
        alert_email_to=f"{TOKEN}10@shop.example",
        alert_email_from=f"{TOKEN}11@shop.example",
        engine=f"sc://spark.example:443/;token={TOKEN}12",
        start_date="2026-10-03",
    )
    secrets = [name for name, value in settings if isinstance(value, SecretStr)]
    assert sum(TOKEN in getattr(settings, name).get_secret_value() for name in secrets) == 12
    assert len(secrets) == 12, "a new secret belongs in this test"
    repository = build_definitions(settings).get_repository_def()
    told = serialize_value(RepositorySnap.from_def(repository))
    assert "2026-10-03" in told or str(int(settings.start_date.timestamp())) in told
    assert TOKEN not in told
    for job in repository.get_all_jobs():
        assert TOKEN not in serialize_value(job.get_job_snapshot())
    assert TOKEN not in f"{settings!r} {build_resources(settings)!r}"


@pytest.mark.parametrize(
    ("graph_url", "clock"), [("https://graph.facebook.com", []), ("http://127.0.0.1:8026", ["at"])]
)
def test_only_the_clock_of_a_sandbox_can_be_configured_at_launch(
    graph_url: str, clock: list[str]
) -> None:
    repository = build_definitions(Settings(graph_url=graph_url)).get_repository_def()
    snapshot = RepositorySnap.from_def(repository)
    configurable = {
        each.name: [field.name for field in each.config_field_snaps] for each in snapshot.resources
    }
    assert configurable == {"capi_clock": clock, "capi_duckdb": [], "io_manager": []}
