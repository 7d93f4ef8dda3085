"""`capi-assets preflight`: asks Meta by hand whether every dataset's events would be taken."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.table import Table
from rich.text import Text

from capi_assets.coverage.access_health import findings as foresight
from capi_assets.coverage.access_health.findings import AccessStatus, Finding
from capi_assets.delivery.datasets import Datasets
from capi_assets.policies import datasets_of
from capi_assets.settings import Settings


def run_preflight(settings: Settings, only: Sequence[str], now: datetime) -> list[AccessStatus]:
    """Sends every dataset, or `only` those, the event that Meta must refuse.

    Raises:
        DatasetsError: the file of datasets cannot be understood.
        LookupError: no dataset is set up, or one of `only` is not; the message names it.
    """
    found = datasets_of(settings)
    known = {*found.accesses, *found.missing}
    if not known:
        raise LookupError("No dataset is set up: set CAPI_DATASET_ID, or CAPI_DATASETS.")
    strange = [dataset for dataset in only if dataset not in known]
    if strange:
        raise LookupError(f"Not set up: dataset {', '.join(strange)}.")
    wanted = set(only) or known
    chosen = Datasets(
        {name: access for name, access in found.accesses.items() if name in wanted},
        {},
        {name: why for name, why in found.missing.items() if name in wanted},
    )
    return foresight.check_access(chosen, now, canary=True, version=settings.graph_version)


_COLOURS = {"ok": "green", "unknown": "white", "warning": "yellow", "error": "red"}


def as_table(outlooks: Sequence[AccessStatus]) -> Table:
    """A row per dataset and question, for people."""
    table = Table()
    for name in ("dataset", "question", "answer"):
        table.add_column(name, overflow="fold")
    for outlook in outlooks:
        for question, said in _answers(outlook).items():
            words = Text.assemble((said.verdict, _COLOURS[said.verdict]), " ", said.words)
            table.add_row(outlook.dataset_id, question, words)
        table.add_section()
    return table


def _answers(outlook: AccessStatus) -> dict[str, Finding]:
    found = {"token accepted?": foresight.access(outlook)}
    if outlook.missing is None:
        found["until when?"] = foresight.token_end(outlook)
    return {**found, "version?": foresight.version(outlook)}


def as_json(outlooks: Sequence[AccessStatus]) -> list[dict[str, Any]]:
    """The columns of table `meta_access`, and `stops_delivery`; times in ISO 8601."""
    documents = []
    for outlook in outlooks:
        row = foresight.row(outlook)
        del row["told"]
        told = {k: v.isoformat() if isinstance(v, datetime) else v for k, v in row.items()}
        documents.append({**told, "stops_delivery": outlook.stops_delivery})
    return documents
