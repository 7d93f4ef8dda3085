"""The demo's stage: a folder of its own, apart from anything real, and its settings."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import orjson
import yaml

from capi_assets.sandbox.shop.files import write_landing
from capi_assets.sandbox.shop.outages import Outage
from capi_assets.sandbox.shop.shop import Shop
from capi_assets.settings import Settings, variable

DATASET_ID = "1234567890123456"
CURRENCY = "EUR"
_MARK = "stage.json"
_PROJECT = Path(__file__).parents[3]
# As the project's own workspace.yaml; the demo may be started from anywhere.
_WORKSPACE = {
    "load_from": [
        {
            "python_module": {
                "module_name": "capi_assets.definitions",
                "location_name": "capi_assets",
            }
        }
    ]
}


@dataclass(frozen=True)
class Workspace:
    """A rehearsal in `root`: the sample shop that plays, since `first`, and its sandbox's port.

    `outages` are what the shop's tracking loses; their factor and delay are the usual ones.
    `token_ends` is when the token that it was set up with stops being taken; None: never.
    """

    root: Path
    first: datetime
    seed: int
    visits_per_day: int
    port: int
    outages: tuple[Outage, ...] = ()
    token_ends: datetime | None = None

    @property
    def landing(self) -> Path:
        return self.root / "landing"

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def token_file(self) -> Path:
        return self.root / "token"

    @property
    def sandbox_state(self) -> Path:
        return self.root / "sandbox.sqlite"

    @property
    def workspace(self) -> Path:
        return self.root / "workspace.yaml"

    @property
    def shop(self) -> Shop:
        return Shop(
            self.seed,
            self.visits_per_day,
            opened=self.first,
            outages=self.outages,
            currency=CURRENCY,
        )

    def land(self, start: datetime, end: datetime, until: datetime) -> None:
        """What the shop has landed by `until` for the hours of `[start, end)`."""
        write_landing(self.landing, start, end, self.shop, until=until)

    def environment(self) -> dict[str, str]:
        """The variables that make this stage the one that settings and Dagster see."""
        root = self.root.absolute()
        return {
            "CAPI_LANDING": str(root / "landing"),
            "CAPI_LAKE": str(root / "lake"),
            "CAPI_LEDGER_URL": f"sqlite:///{root / 'ledger.db'}",
            "CAPI_VIEWS": str(root / "capi.duckdb"),
            "CAPI_START_DATE": self.first.isoformat(),
            "CAPI_DATASET_ID": DATASET_ID,
            "CAPI_ACCESS_TOKEN_FILE": str(root / "token"),
            "CAPI_GRAPH_URL": f"http://127.0.0.1:{self.port}",
            "CAPI_DEFAULT_COUNTRY": "US",
            "CAPI_AUTOSTART": "true",
            "DAGSTER_HOME": str(root / "dagster"),
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }

    def activate(self) -> None:
        """Makes this process see the stage, and nothing of the user's own settings.

        A variable that is empty means its default, and hides what a `.env` says of it.
        """
        os.environ.update(dict.fromkeys(map(variable, Settings.model_fields), ""))
        os.environ.update(self.environment())

    def save(self) -> None:
        """Remembers the stage in its folder."""
        values = {
            "root": str(self.root),
            "first": self.first.isoformat(),
            "seed": self.seed,
            "visits_per_day": self.visits_per_day,
            "port": self.port,
            "outages": [[each.kind, each.start, each.end] for each in self.outages],
            "token_ends": self.token_ends,
        }
        (self.root / _MARK).write_bytes(orjson.dumps(values))


def load_stage(root: Path) -> Workspace | None:
    """The stage that was set up in `root`, if any."""
    try:
        saved = orjson.loads((root / _MARK).read_bytes())
    except OSError:
        return None
    first = datetime.fromisoformat(saved.pop("first"))
    token_ends = saved.pop("token_ends", None)
    outages = tuple(
        Outage(kind, datetime.fromisoformat(start), datetime.fromisoformat(end))
        for kind, start, end in saved.pop("outages", [])
    )
    return Workspace(
        **{**saved, "root": root, "first": first, "outages": outages},
        token_ends=datetime.fromisoformat(token_ends) if token_ends else None,
    )


def set_up(stage: Workspace, token: str) -> None:
    """An empty stage, in place of the one that stood there.

    Raises:
        FileExistsError: the folder holds something that is not a stage; nothing is deleted then.
    """
    if stage.root.exists():
        if any(stage.root.iterdir()) and load_stage(stage.root) is None:
            raise FileExistsError(f"{stage.root} is not a demo's folder; move it away first")
        shutil.rmtree(stage.root)
    for folder in (stage.landing, stage.root / "dagster"):
        folder.mkdir(parents=True)
    stage.token_file.write_text(token, encoding="utf-8")
    (stage.root / "dagster" / "dagster.yaml").write_text(
        yaml.safe_dump(_instance(_PROJECT / "dagster.yaml", stage.root / "dagster")),
        encoding="utf-8",
    )
    stage.workspace.write_text(yaml.safe_dump(_WORKSPACE), encoding="utf-8")
    stage.save()


def _instance(config: Path, home: Path) -> dict[str, object]:
    """The project's instance settings, with its storage moved to `home`."""
    settings: dict[str, object] = {}
    if config.exists():
        settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    for name in ("storage", "compute_logs", "local_artifact_storage"):
        settings.pop(name, None)
    settings["storage"] = {"sqlite": {"base_dir": str(home.absolute())}}
    return settings
