"""Tokens and people's data: nowhere but on the wire to Meta, and there only as digests."""

from __future__ import annotations

from tests.helpers.asset_harness import TOKEN, AssetHarness


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


def test_a_token_set_by_variable_is_shown_as_the_variable(world: AssetHarness) -> None:
    from capi_assets.defs.resources import resources_from
    from capi_assets.settings import read_settings

    settings = read_settings(
        {"CAPI_ACCESS_TOKEN": TOKEN, "CAPI_ALERT_WEBHOOK": "https://x/" + TOKEN}
    )
    assert TOKEN not in repr(settings)
    for resource in resources_from(settings).values():
        assert TOKEN not in repr(resource)
        assert TOKEN not in str(resource)
