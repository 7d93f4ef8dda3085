"""Two datasets with tokens of their own in one run: the dead one never stops the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from capi_assets.commands.doctor import examine
from capi_assets.coverage.policy import CoveragePolicy
from capi_assets.coverage.stored_health import find_gaps
from capi_assets.delivery.causes import Cause
from capi_assets.policies import datasets_of, delivery_policy
from capi_assets.settings import read_settings
from tests.helpers.asset_harness import DATASET, TOKEN, AssetHarness

OTHER = "9876543210987654"
OTHER_TOKEN = "EAAanotherTokenOfAnotherShop"


@pytest.fixture
def file(world: AssetHarness, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two datasets in a file; the settings name neither token."""
    assert world.meta.state.datasets is not None
    world.meta.state.datasets[OTHER] = "Other shop"
    world.meta.renew_token(OTHER_TOKEN)
    monkeypatch.setenv("SHOP_A_TOKEN", TOKEN)
    monkeypatch.setenv("SHOP_B_TOKEN", OTHER_TOKEN)
    path = world.root / "datasets.yaml"
    path.write_text(
        f"datasets:\n  - id: {DATASET}\n    token_variable: SHOP_A_TOKEN\n"
        f"  - id: {OTHER}\n    token_variable: SHOP_B_TOKEN\n"
    )
    world.overrides = {"datasets": str(path), "access_token": "EAAnotUsed"}
    return path


def land(world: AssetHarness, back: int = 3) -> None:
    world.land_orders(world.hour(back))
    world.land_orders(world.hour(back), count=4, name="other.jsonl", dataset_id=OTHER)


def standing(world: AssetHarness, dataset: str) -> set[tuple[str, str | None]]:
    rows = world.read("delivery_results", [world.hour(3)])
    return {(row["status"], row["reason"]) for row in rows if row["dataset_id"] == dataset}


def test_both_are_delivered_each_with_its_own_token(world: AssetHarness, file: Path) -> None:
    land(world)
    world.overrides["requests_per_second"] = 50.0
    assert world.run(world.hour(3))
    assert world.received() == {"received": 7, "accepted": 7, "duplicates": 0, "doubled": 0}


@pytest.mark.parametrize(
    ("dead", "alive", "token"), [(DATASET, OTHER, TOKEN), (OTHER, DATASET, OTHER_TOKEN)]
)
def test_a_dead_token_never_stops_the_other_dataset(
    world: AssetHarness, file: Path, dead: str, alive: str, token: str
) -> None:
    land(world)
    world.meta.expire_token(token)
    assert not world.run(world.hour(3))
    assert standing(world, dead) == {("pending", "token_expired")}
    assert standing(world, alive) == {("delivered", None)}
    assert world.requests() == 2

    world.meta.renew_token(token)
    assert world.run(world.hour(3))
    assert world.received() == {"received": 7, "accepted": 7, "duplicates": 0, "doubled": 0}


def test_a_token_that_is_not_set_never_stops_the_other_dataset(
    world: AssetHarness, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(world)
    monkeypatch.delenv("SHOP_B_TOKEN")
    assert not world.run(world.hour(3))
    assert standing(world, OTHER) == {("pending", "no_access_configured")}
    assert standing(world, DATASET) == {("delivered", None)}
    found = find_gaps(world.lake, CoveragePolicy(), world.now).gaps
    (gap,) = [gap for gap in found if world.hour(3) in gap.missing]
    assert (gap.cause, gap.headline) == (Cause.TOKEN, "no access token is set up for the dataset")


def test_settings_fill_the_policy_and_the_way_to_meta(world: AssetHarness, file: Path) -> None:
    env = {
        "CAPI_DATASETS": str(file),
        "CAPI_PIXEL": "redundant",
        "CAPI_REQUESTS_PER_SECOND": "2.5",
    }
    settings = read_settings(env)
    policy = delivery_policy(settings)
    assert policy.pixel_redundant
    assert policy.requests_per_second == 2.5
    assert set(datasets_of(settings).accesses) == {DATASET, OTHER}
    assert not delivery_policy(read_settings({})).pixel_redundant


def test_the_doctor_names_the_dataset_without_a_token(
    world: AssetHarness, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told() -> tuple[str, str]:
        findings = examine({"CAPI_DATASETS": str(file), "CAPI_GRAPH_URL": world.meta.url}, {})
        return next((f.verdict, f.text) for f in findings if f.name == "CAPI_DATASETS")

    assert told() == ("ok", "2 datasets with tokens")
    monkeypatch.delenv("SHOP_A_TOKEN")
    verdict, words = told()
    assert verdict == "error"
    assert f"dataset {DATASET}: token_variable SHOP_A_TOKEN is not set" in words
