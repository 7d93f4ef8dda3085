"""Writes the files of a folder of one's own; what exists is left as it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from capi_assets.commands.init.first_settings import dotenv_text
from capi_assets.settings import read_settings, variable

FILES = Path(__file__).parent / "files"
_SQL = {
    "visits_sql": "models/visits.sql",
    "orders_sql": "models/orders.sql",
}
_SQL_PARAMETERS = {"CAPI_SQL_EXPORTS": "exports"}


@dataclass
class Written:
    """Paths below the folder: those that were written, and those that existed and were kept."""

    new: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)


def write_folder(folder: Path, values: Mapping[str, str], *, use_sql: bool) -> Written:
    """Writes `.env` with `values` (by field), Dagster's files, and landing folders or SQL models.

    Raises:
        SettingsError: a value is not valid; nothing was written.
        OSError: a file cannot be written.
    """
    if use_sql:
        values = {**values, **_SQL}
    read_settings({variable(name): value for name, value in values.items()})
    contents = dict(_contents(values, use_sql))
    written = Written()
    folders = [] if use_sql else ["data/landing/visits", "data/landing/orders"]
    for name in folders:
        path = folder / name
        (written.kept if path.is_dir() else written.new).append(f"{name}/")
        path.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with path.open("x", encoding="utf-8") as file:
                file.write(content)
        except FileExistsError:
            written.kept.append(name)
        else:
            written.new.append(name)
    return written


def _contents(values: Mapping[str, str], use_sql: bool) -> Iterator[tuple[str, str]]:
    yield ".env", dotenv_text(values, _SQL_PARAMETERS if use_sql else {})
    yield ".gitignore", (FILES / "gitignore").read_text(encoding="utf-8")
    names = ["dagster.yaml", "workspace.yaml"]
    if use_sql:
        names += [*_SQL.values(), "exports/visits.csv", "exports/orders.csv"]
    for name in names:
        yield name, (FILES / name).read_text(encoding="utf-8")
