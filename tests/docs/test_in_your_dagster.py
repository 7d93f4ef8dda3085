"""The code of docs/in-your-dagster.md and examples/dbt loads and delivers as it is written."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import pytest

from capi_assets.hours import hour_key
from tests.assets.conftest import instance as instance
from tests.assets.conftest import world as world
from tests.helpers.asset_harness import DATASET, TOKEN, AssetHarness
from tests.helpers.dg_project import load_project, write_project

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "in-your-dagster.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "dbt"
WAREHOUSE = """
import dagster as dg
import duckdb


@dg.asset
def visits() -> None:
    duckdb.sql("COPY ({visits}) TO '{folder}/visits.parquet'")


@dg.asset(deps=[visits])
def orders() -> None:
    duckdb.sql("COPY ({orders}) TO '{folder}/orders.parquet'")
"""


def blocks(language: str) -> list[str]:
    """The page's blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_the_function_is_merged_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    names: dict[str, dg.Definitions] = {"__name__": "team"}
    exec(code, names)
    dg.Definitions.validate_loadable(names["defs"])
    keys = {
        key.to_user_string() for key in names["defs"].resolve_asset_graph().get_all_asset_keys()
    }
    assert {"revenue", "shop/visits", "shop/delivery_results"} <= keys


def test_the_shops_of_the_page_load_in_one_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("META_TOKEN_OF_BERLIN", TOKEN)
    monkeypatch.setenv("WAREHOUSE_URL", "postgresql+psycopg2://reader@warehouse/shop")
    files = {f"shop_{n}/defs.yaml": text for n, text in enumerate(blocks("yaml"))}
    definitions = load_project(write_project(tmp_path / "team", "team_c", files), monkeypatch)
    dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    assert graph.get(dg.AssetKey(["shop", "orders"])).parent_keys == {
        dg.AssetKey(["analytics", "orders"]), dg.AssetKey(["analytics", "refunds"]),
    }  # fmt: skip
    assert graph.has(dg.AssetKey(["berlin", "orders"]))


def test_the_shop_of_the_example_delivers_what_the_models_return(
    world: AssetHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With plain assets in place of dagster-dbt, which is no dependency: they run the models."""
    warehouse = tmp_path / "warehouse"
    warehouse.mkdir()
    models = {
        path.stem: " ".join(re.sub("--.*", "", path.read_text()).split())
        for path in (EXAMPLE / "dbt" / "models").glob("*.sql")
    }
    orders = models["orders"].replace("{{ ref('visits') }}", f"'{warehouse}/visits.parquet'")
    assets = WAREHOUSE.format(folder=warehouse, visits=models["visits"], orders=orders)
    files = {"warehouse.py": assets, "shop/defs.yaml": (EXAMPLE / "shop.yaml").read_text()}
    project = write_project(tmp_path / "team", "team_d", files)
    (project / "sql").symlink_to(EXAMPLE / "sql")
    for name, value in {
        "SQL_WAREHOUSE": warehouse, "MODEL_FOLDERS": warehouse, "GRAPH_URL": world.meta.url,
        "ACCESS_TOKEN": TOKEN,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"SHOP_{name}", str(value))
    definitions = load_project(project, monkeypatch)
    assert f'"{DATASET}"' in files["shop/defs.yaml"]
    theirs = [definitions.get_assets_def(name) for name in ("visits", "orders")]
    assert dg.materialize(theirs, instance=world.instance).success
    definitions.resolve_job_def("shop__deliver_hour").execute_in_process(
        instance=world.instance, partition_key=hour_key(world.hour(2))
    )
    assert world.received()["accepted"] == 5
