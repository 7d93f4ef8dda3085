"""The component in a team's project: found, documented, checked, loaded, delivered."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster.components.core.package_entry import discover_package_objects
from pydantic import ValidationError

from capi_assets.component import ConversionsPipeline
from capi_assets.defs.dagster_private import RepositorySnap
from capi_assets.hours import hour_key
from capi_assets.settings import (
    SECRETS,
    Settings,
    SettingsError,
    read_settings,
    sql_parameters,
)
from tests.helpers.asset_harness import DATASET, TOKEN, AssetHarness
from tests.helpers.dg_project import load_project, write_project

ROOT = Path(__file__).parents[2]
SHOP = """\
type: capi_assets.ConversionsPipeline
attributes:
  key_prefix: shops/berlin
  env_prefix: BERLIN_
  settings:
    landing: {root}/landing
    lake: {root}/lake
    ledger_url: sqlite:///{root}/ledger.db
    erasure_key_file: {root}/erasure.key
    dataset_id: "{dataset}"
    access_token: "{{{{ env.META_TOKEN_OF_BERLIN }}}}"
    settle_minutes: 7
    start_date: 2026-11-02
"""


def test_dg_finds_the_component_by_the_entry_point() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (module,) = project["entry-points"]["dagster_dg_cli.registry_modules"].values()
    (key,) = (key for key in discover_package_objects([module]))
    assert key.to_typename() == "capi_assets.ConversionsPipeline"
    assert importlib.metadata.version("capi_assets") == project["version"]


def test_every_attribute_and_every_setting_is_described_for_dg() -> None:
    schema = ConversionsPipeline.get_model_cls().model_json_schema()
    for name, attribute in schema["properties"].items():
        assert len(attribute["description"]) > 40, name
    settings = schema["$defs"]["SettingsAttributes"]["properties"]
    assert set(settings) == set(Settings.model_fields) - {"key_prefix", "group"}
    assert all(setting["description"] for setting in settings.values())


def test_a_shop_delivers_from_its_defs_yaml(
    world: AssetHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("META_TOKEN_OF_BERLIN", TOKEN)
    monkeypatch.setenv("BERLIN_GRAPH_URL", world.meta.url)
    monkeypatch.setenv("BERLIN_LAKE", str(tmp_path / "not this one"))
    monkeypatch.setenv("CAPI_DATASET_ID", "1")  # of somebody else: not read
    text = SHOP.format(root=world.root, dataset=DATASET)
    project = write_project(tmp_path / "team", "team_a", {"berlin/defs.yaml": text})
    definitions = load_project(project, monkeypatch)
    hour = world.hour(3)
    world.land_orders(hour, 4)
    definitions.resolve_job_def("shops__berlin__deliver_hour").execute_in_process(
        instance=world.instance, partition_key=hour_key(hour)
    )
    assert world.received()["accepted"] == 4
    repository = definitions.get_repository_def()
    assert repository.get_schedule_def("shops__berlin__deliver_hourly").cron_schedule == "7 * * * *"
    assert TOKEN not in dg.serialize_value(RepositorySnap.from_def(repository))


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_is_not_written_into_a_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = f"postgresql://me:{TOKEN}@host/db" if name.endswith("_url") else TOKEN
    text = f"type: capi_assets.ConversionsPipeline\nattributes: {{settings: {{{name}: '{value}'}}}}"
    project = write_project(tmp_path / "team", "team_b", {"shop/defs.yaml": text})
    with pytest.raises(Exception, match="Error while building definitions") as error:
        load_project(project, monkeypatch)
    chain: list[BaseException] = [error.value]
    while cause := chain[-1].__cause__:
        chain.append(cause)
    assert f"settings.{name} is a secret" in str(chain[-1])
    assert TOKEN not in " ".join(map(str, chain))


def test_a_secret_from_the_environment_is_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("META_TOKEN", TOKEN)
    component = resolve({"settings": {"access_token": "{{ env.META_TOKEN }}"}})
    assert component.settings["access_token"].get_secret_value() == TOKEN
    assert TOKEN not in repr(component)


def resolve(attributes: dict[str, Any]) -> ConversionsPipeline:
    """The component of these attributes."""
    component: ConversionsPipeline = ConversionsPipeline.resolve_from_dict(attributes)
    return component


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValidationError, match="lakes"):
        resolve({"settings": {"lakes": "data/lake"}})


def test_an_invalid_setting_is_named_by_its_variable() -> None:
    component = resolve({"env_prefix": "BERLIN_", "settings": {"settle_minutes": 70}})
    with pytest.raises(SettingsError, match="BERLIN_SETTLE_MINUTES"):
        dg.component_defs(component=component)


def test_parameters_of_sql_models_have_the_prefix_of_their_shop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, shop in (("BERLIN_SQL_SHOP", "berlin"), ("CAPI_SQL_SHOP", "all")):
        monkeypatch.setenv(name, shop)
    settings = read_settings(prefix="BERLIN_")
    assert sql_parameters(prefix=settings.sql_parameter_prefix) == {"shop": "berlin"}


@pytest.mark.parametrize("address", ["duckdb", "sc://spark.internal:15002"])
def test_a_cluster_without_a_token_may_be_written(address: str) -> None:
    component = resolve({"settings": {"engine": address}})
    assert component.settings["engine"].get_secret_value() == address
