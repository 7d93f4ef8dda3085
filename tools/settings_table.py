"""README.md's table of settings, written from the fields of `settings.Settings`.

`python -m tools.settings_table` rewrites it between its two markers; `test_readme.py` fails
while it differs. What a setting means is said in settings.py, not here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import SecretStr

from capi_assets.settings import Settings, as_variable_text, variable

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- settings: written by `python -m tools.settings_table` -->"
END = "<!-- end of settings -->"


def table() -> str:
    """The settings in their order, with their defaults, as a Markdown table."""
    rows = [
        f"| `{variable(name)}` | {_shown(field.default)} | {_cell(field.description or '')} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def rewritten(page: str) -> str:
    """`page` with the table of now between the markers.

    Raises:
        ValueError: a marker is missing.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{BEGIN} and {END} must both stand in the page")
    return f"{head}{begin}\n{table()}\n{end}{tail}"


def _shown(default: Any) -> str:
    if isinstance(default, SecretStr):  # a default is no secret
        default = default.get_secret_value()
    text = as_variable_text(default)
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    README.write_text(rewritten(README.read_text(encoding="utf-8")), encoding="utf-8")
