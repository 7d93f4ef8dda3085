"""`capi-assets preflight` as a person calls it: what it says, and its exit status."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from capi_assets.cli import main
from capi_assets.sandbox.reports import totals
from capi_assets.sandbox.run import SandboxServer

TOKEN = "EAABcommandToken"


@pytest.fixture
def meta(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SandboxServer]:
    """A sandbox, and a working directory without settings."""
    for name in [name for name in os.environ if name.startswith("CAPI_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    with SandboxServer(tokens=[TOKEN], datasets={"42": "Shop", "43": "Other"}) as running:
        monkeypatch.setenv("CAPI_GRAPH_URL", running.url)
        yield running


def call(*options: str, **env: str) -> Result:
    return CliRunner().invoke(main, ["preflight", *options], env={"COLUMNS": "200", **env})


def test_all_is_well(meta: SandboxServer) -> None:
    done = call(CAPI_DATASET_ID="42", CAPI_ACCESS_TOKEN=TOKEN)
    assert done.exit_code == 0, done.output
    assert "lets it send to dataset 42" in done.output
    assert "does not expire" in done.output
    assert totals(meta.inbox)["events"]["accepted"] == 0


@pytest.mark.parametrize("fault", ["permission_lost", "expired_token", "throttled", "html"])
def test_what_would_stop_delivery_ends_with_status_one(meta: SandboxServer, fault: str) -> None:
    meta.set_fault(fault)
    done = call("--json", CAPI_DATASET_ID="42", CAPI_ACCESS_TOKEN=TOKEN)
    assert done.exit_code == 1
    (told,) = json.loads(done.output)
    assert told["stops_delivery"] is True
    assert TOKEN not in done.output


@pytest.mark.parametrize(
    ("fault", "remedy"),
    [
        ("app_secret_required", "Set CAPI_APP_SECRET"),
        ("permission_missing", "the permission ads_management"),
        ("unknown_path", "Check CAPI_GRAPH_URL"),
    ],
)
def test_what_to_do_about_the_set_up_is_named(meta: SandboxServer, fault: str, remedy: str) -> None:
    meta.set_fault(fault)
    done = call("--json", CAPI_DATASET_ID="42", CAPI_ACCESS_TOKEN=TOKEN)
    assert done.exit_code == 1
    assert remedy in done.output


def test_an_old_version_is_told_but_stops_nothing(meta: SandboxServer) -> None:
    done = call("--json", CAPI_DATASET_ID="42", CAPI_ACCESS_TOKEN=TOKEN, CAPI_GRAPH_VERSION="v20.0")
    (told,) = json.loads(done.output)
    assert done.exit_code == 0
    assert (told["verdict"], told["answered_version"]) == ("error", "v21.0")


def test_every_dataset_or_one(meta: SandboxServer, tmp_path: Path) -> None:
    (tmp_path / "datasets.yaml").write_text(
        "datasets:\n- {id: '42', token_variable: A}\n- {id: '43', token_variable: B}\n"
    )
    env = {"CAPI_DATASETS": "datasets.yaml", "A": TOKEN}
    both = call("--json", **env)
    assert both.exit_code == 1
    assert [told["stops_delivery"] for told in json.loads(both.output)] == [False, True]
    assert "token_variable B is not set" in both.output
    one = call("--json", "--dataset", "42", **env)
    assert one.exit_code == 0
    assert [told["dataset_id"] for told in json.loads(one.output)] == ["42"]


@pytest.mark.parametrize(
    ("options", "env", "words"),
    [
        ((), {}, "CAPI_DATASET_ID"),
        (("--dataset", "7"), {"CAPI_DATASET_ID": "42"}, "dataset 7"),
        ((), {"CAPI_DATASETS": "nowhere.yaml"}, "nowhere.yaml"),
    ],
)
def test_what_is_not_set_up_is_named(
    meta: SandboxServer, options: tuple[str, ...], env: dict[str, str], words: str
) -> None:
    done = call(*options, **env)
    assert done.exit_code == 1
    assert words in done.output
    assert "Traceback" not in done.output
