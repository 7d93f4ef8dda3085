"""Everything that the pages name exists: links, pictures, files, commands, targets, settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from capi_assets.cli import main
from capi_assets.contracts.delivery_results import STATUSES
from capi_assets.definitions import build_definitions
from capi_assets.delivery.causes import Cause
from capi_assets.sandbox.faults import KINDS
from capi_assets.settings import SQL_PARAMETER_PREFIX, Settings, variable
from tools.settings_table import README, rewritten

PROJECT = README.parent
BACKFILL = PROJECT / "docs" / "backfill.md"
ARCHITECTURE = PROJECT / "docs" / "architecture.md"
SANDBOX = PROJECT / "docs" / "sandbox.md"
PAGES = [
    README,
    PROJECT / "CONTRIBUTING.md",
    PROJECT / "CHANGELOG.md",
    BACKFILL,
    PROJECT / "docs" / "monitoring.md",
    PROJECT / "docs" / "alerts.md",
    ARCHITECTURE,
    PROJECT / "docs" / "anomaly-detection.md",
    PROJECT / "docs" / "events.md",
    SANDBOX,
    PROJECT / "docs" / "landing-files.md",
    PROJECT / "docs" / "sql-models.md",
    PROJECT / "examples" / "sources" / "README.md",
    PROJECT / "docs" / "command-line.md",
    PROJECT / "docs" / "in-your-dagster.md",
    PROJECT / "docs" / "erasure.md",
    PROJECT / "docs" / "privacy.md",
    PROJECT / "docs" / "production.md",
    PROJECT / "docs" / "object-storage.md",
    PROJECT / "docs" / "spark.md",
    PROJECT / "docs" / "scale.md",
    PROJECT / "docs" / "pixel.md",
    PROJECT / "docs" / "match-quality.md",
    PROJECT / "docs" / "faq.md",
    PROJECT / "docs" / "security.md",
    PROJECT / "SECURITY.md",
]
ROUTE = PROJECT / "docs" / "images" / "route-of-an-order.svg"
MAX_LINES = 280
MAX_PICTURE_BYTES = 200_000

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
_FIRST_CELL = re.compile(r"^\| ([^|]+) \|", re.MULTILINE)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def code_of(page: Path) -> str:
    """What is marked as code, in blocks and in lines."""
    return "\n".join(_CODE.findall(page.read_text(encoding="utf-8")))


def section_of(page: Path, heading: str) -> str:
    """The text under a heading, up to the next of its kind."""
    text = page.read_text(encoding="utf-8")
    assert f"\n## {heading}\n" in text
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def first_cells(text: str) -> set[str]:
    """The code in the first cells of a page's tables."""
    return {word for cell in _FIRST_CELL.findall(text) for word in re.findall(r"`([^`]+)`", cell)}


def anchors_of(page: Path) -> set[str]:
    """The anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def relative_links(page: Path) -> Iterator[tuple[Path, str]]:
    """File and anchor of every link that is not a URL."""
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", link):
            path, _, anchor = link.partition("#")
            yield (page.parent / path if path else page), anchor


def test_the_table_of_settings_is_the_settings() -> None:
    page = README.read_text(encoding="utf-8")
    assert page == rewritten(page), "run `python -m tools.settings_table`"


def test_the_generator_rejects_a_page_without_its_markers() -> None:
    with pytest.raises(ValueError, match="must both stand"):
        rewritten("# a page\n")


def test_the_readme_is_short_enough_to_be_read() -> None:
    text = README.read_text(encoding="utf-8")
    table = text[text.index("<!-- settings") : text.index("<!-- end of settings")]
    assert len(text.splitlines()) - len(table.splitlines()) < MAX_LINES


@every_page
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target, anchor in relative_links(page):
        assert target.exists(), target
        assert not anchor or anchor in anchors_of(target), (target.name, anchor)


def test_every_picture_is_small_and_shown_on_a_page() -> None:
    shown = {target.resolve() for page in PAGES for target, _ in relative_links(page)}
    pictures = {path.resolve() for path in (PROJECT / "docs" / "images").iterdir()}
    assert pictures
    assert pictures <= shown
    for picture in pictures:
        assert picture.stat().st_size < MAX_PICTURE_BYTES, picture.name


def test_the_page_of_the_sandbox_lists_every_fault() -> None:
    assert first_cells(section_of(SANDBOX, "Faults")) == set(KINDS) - {"error"}


def test_every_file_on_the_route_of_an_order_has_the_function_that_is_named() -> None:
    route = ROUTE.read_text(encoding="utf-8")
    files, names = (
        re.findall(rf'class="{kind}"[^>]*>([^<]+)</text>', route) for kind in ("name", "code")
    )
    assert len(files) >= 15
    for file, name in zip(files, names, strict=True):
        paths = list((PROJECT / "capi_assets").glob(file.replace("…", "*")))
        assert paths, file
        last = re.split(r"[ ./]", name)[-1]  # of `asset orders`, `Ledger.record`, `POST /events`
        text = paths[0].read_text(encoding="utf-8")
        assert re.search(rf'def {last}\(|/{last}"|name="{last}"', text), (file, name)


def test_every_floor_of_the_package_is_in_the_layout() -> None:
    layout = section_of(ARCHITECTURE, "Package layout").split("```")[1]
    package = PROJECT / "capi_assets"
    folders = {path.parent for path in package.glob("*/__init__.py")}
    modules = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    for name in {f"{folder.name}/" for folder in folders} | modules:
        assert re.search(rf"\b{re.escape(name)}", layout), name


@every_page
def test_every_make_target_that_is_named_exists(page: Path) -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z]+)", code_of(page))) <= targets


@every_page
def test_every_command_that_is_named_exists_with_its_options(page: Path) -> None:
    # A command may go on in the next line after a backslash.
    code = code_of(page).replace("\\\n", " ")
    for name, rest in re.findall(r"capi-assets ([a-z]+)\b([^`\n]*)", code):
        command = main.commands.get(name)
        assert command, name
        known = {
            flag
            for parameter in command.params
            if isinstance(parameter, click.Option)
            for flag in parameter.opts
        }
        assert set(re.findall(r"--[a-z-]+", rest)) <= known, (name, rest)


def test_the_readme_names_every_command() -> None:
    assert first_cells(section_of(README, "Commands")) - {"capi-assets …"} == set(main.commands)


@every_page
def test_every_setting_that_is_named_exists(page: Path) -> None:
    known = {variable(name) for name in Settings.model_fields}
    named = set(re.findall(r"\bCAPI_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8")))
    assert {name for name in named if not name.startswith(SQL_PARAMETER_PREFIX)} <= known


def test_every_status_of_an_event_is_explained() -> None:
    assert first_cells(section_of(README, "What each status means")) == set(STATUSES)


def test_every_cause_of_a_gap_has_a_remedy() -> None:
    assert first_cells(section_of(BACKFILL, "2. Fix the cause")) == {str(c) for c in Cause}


def test_assets_checks_jobs_and_automation_are_named_as_they_are() -> None:
    definitions = build_definitions(Settings())
    graph = definitions.resolve_asset_graph()
    repository = definitions.get_repository_def()
    readme = README.read_text(encoding="utf-8")
    assets = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert assets <= first_cells(readme)
    automation = {each.name for each in repository.schedule_defs}
    automation |= {each.name for each in repository.sensor_defs}
    checks = {key.name for key in graph.asset_check_keys}
    for name in checks | automation | {"deliver_hour"}:
        assert f"`{name}`" in readme, name
    jobs = {job.name for job in repository.get_all_jobs()}
    for page in (README, BACKFILL):
        named = set(re.findall(r"`([a-z]+_hour)`", page.read_text(encoding="utf-8")))
        assert named <= jobs | automation, page.name
