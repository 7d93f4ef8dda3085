"""The workspace of a demo or drill: a folder with its own data, settings, sandbox and instance."""

from __future__ import annotations

import os
import shutil
import socket
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
import orjson
import yaml

from capi_assets.commands.init.folder import FILES
from capi_assets.sandbox.run import SandboxServer
from capi_assets.sandbox.shop.files import write_landing
from capi_assets.sandbox.shop.outages import Outage
from capi_assets.sandbox.shop.shop import Shop
from capi_assets.settings import Settings, read_settings, variable

CURRENCY = "EUR"
_DATASET_ID = "1234567890123456"
_TOKEN = "sample-shop-token"
_FILE = "stage.json"
UI_PORT = 3000
"""The port of Dagster's UI, where nobody chooses another."""


@dataclass(frozen=True)
class Workspace:
    """A folder `root` with the sample shop that opened at `first`, and its sandbox's port.

    `outages` are what the shop's tracking loses, `ui_port` is where Dagster's UI listens: links
    in checks and alerts lead there.
    """

    root: Path
    first: datetime
    seed: int
    visits_per_day: int
    port: int
    outages: tuple[Outage, ...] = ()
    ui_port: int = UI_PORT

    @property
    def ui_url(self) -> str:
        """Address of the UI that `capi-assets ui` starts."""
        return f"http://127.0.0.1:{self.ui_port}"

    def settings(self) -> Settings:
        """Settings of this workspace; the user's own environment and `.env` do not count."""
        return read_settings(self._variables())

    def environment(self) -> dict[str, str]:
        """The environment of a process that works in this workspace.

        A variable that is empty means its default, and hides what a `.env` says of it.
        """
        empty = dict.fromkeys(map(variable, Settings.model_fields), "")
        return {**os.environ, **empty, **self._variables()}

    def _variables(self) -> dict[str, str]:
        root = self.root.absolute()
        return {
            "CAPI_LANDING": str(root / "landing"),
            "CAPI_LAKE": str(root / "lake"),
            "CAPI_LEDGER_URL": f"sqlite:///{root / 'ledger.db'}",
            "CAPI_ERASURE_KEY_FILE": str(root / "erasure.key"),
            "CAPI_VIEWS": str(root / "capi.duckdb"),
            "CAPI_START_DATE": self.first.isoformat(),
            "CAPI_DATASET_ID": _DATASET_ID,
            "CAPI_ACCESS_TOKEN_FILE": str(root / "token"),
            "CAPI_GRAPH_URL": f"http://127.0.0.1:{self.port}",
            "CAPI_UI_URL": self.ui_url,
            "CAPI_DEFAULT_COUNTRY": "US",
            "CAPI_AUTOSTART": "true",
            "DAGSTER_HOME": str(root / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }

    def sandbox(self) -> SandboxServer:
        """The workspace's sandbox, which listens in a `with` block."""
        return SandboxServer(
            tokens=[_TOKEN],
            datasets={_DATASET_ID: "Sample shop"},
            state_path=self.root / "sandbox.sqlite",
            port=self.port,
        )

    def instance(self) -> dg.DagsterInstance:
        """The Dagster instance whose runs the UI shows; close it or use it in a `with`."""
        return dg.DagsterInstance.from_config(str(self.root.absolute() / "dagster"))

    def land(self, start: datetime, end: datetime, until: datetime) -> None:
        """Writes what the shop has landed by `until` for the hours of `[start, end)`."""
        shop = Shop(
            self.seed,
            self.visits_per_day,
            opened=self.first,
            outages=self.outages,
            currency=CURRENCY,
        )
        write_landing(self.root / "landing", start, end, shop, until=until)

    def create(self) -> None:
        """Creates the workspace, empty, in place of an earlier one in the same folder.

        Raises:
            FileExistsError: the folder holds something else; nothing is deleted then.
        """
        if self.root.exists():
            if any(self.root.iterdir()) and load_workspace(self.root) is None:
                raise FileExistsError(f"{self.root} is not a demo's folder; move it away first")
            shutil.rmtree(self.root)
        for folder in ("landing", "dagster"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "token").write_text(_TOKEN, encoding="utf-8")
        (self.root / "dagster" / "dagster.yaml").write_text(
            yaml.safe_dump(_instance_config(self.root / "dagster")), encoding="utf-8"
        )
        shutil.copyfile(FILES / "workspace.yaml", self.root / "workspace.yaml")
        self.save()

    def save(self) -> None:
        """Writes the workspace to its folder, for `load_workspace`."""
        values = {
            "first": self.first.isoformat(),
            "seed": self.seed,
            "visits_per_day": self.visits_per_day,
            "port": self.port,
            "ui_port": self.ui_port,
            "outages": [[outage.kind, outage.start, outage.end] for outage in self.outages],
        }
        (self.root / _FILE).write_bytes(orjson.dumps(values))


class WorkspaceError(RuntimeError):
    """A folder of a demo cannot be read; the message names it."""


def load_workspace(root: Path) -> Workspace | None:
    """The workspace that was created in `root`, if any.

    Raises:
        WorkspaceError: its record is damaged.
    """
    try:
        saved = orjson.loads((root / _FILE).read_bytes())
        outages = [
            Outage(kind, datetime.fromisoformat(start), datetime.fromisoformat(end))
            for kind, start, end in saved["outages"]
        ]
        return Workspace(
            root,
            datetime.fromisoformat(saved["first"]),
            saved["seed"],
            saved["visits_per_day"],
            saved["port"],
            tuple(outages),
            saved.get("ui_port", UI_PORT),
        )
    except OSError:
        return None
    except (ValueError, KeyError, TypeError):
        raise WorkspaceError(
            f"{root / _FILE} is damaged: remove the folder and run the demo or drill again."
        ) from None


def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _instance_config(home: Path) -> dict[str, object]:
    """The `dagster.yaml` of `capi-assets init`, with its storage moved to `home`."""
    config = yaml.safe_load((FILES / "dagster.yaml").read_text(encoding="utf-8"))
    for name in ("storage", "compute_logs", "local_artifact_storage"):
        del config[name]
    return {**config, "storage": {"sqlite": {"base_dir": str(home.absolute())}}}
