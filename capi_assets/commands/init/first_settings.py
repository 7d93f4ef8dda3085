"""The settings that a person chooses first, as options, questions and a `.env` with comments.

Names, descriptions and defaults come from `Settings`; only the choice is made here.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping

from dotenv import dotenv_values

from capi_assets.settings import SECRETS, Settings, SettingsError, as_variable_text, variable

FIRST = (
    "dataset_id", "access_token_file", "access_token_command", "start_date", "default_country",
    "site_url", "consent_required", "graph_url", "alert_webhook", "autostart",
)  # fmt: skip
"""Fields of `Settings` that `.env` lists, in this order."""

OPTIONS = tuple(name for name in FIRST if name != "alert_webhook")
"""Those that are options of the command. A webhook's address is a secret, which a command line
would leave in the shell's history; the command that prints a token is not."""

QUESTIONS = ("dataset_id", "access_token_file", "start_date", "default_country")
"""Those that are asked on a terminal."""

_HEADER = """\
# Settings of capi_assets, read by `capi-assets` and Dagster in this folder. `capi-assets doctor`
# shows every setting with its value and any problem, also those that are not listed here.
"""


def description(name: str) -> str:
    """What a setting means, in one line."""
    return " ".join((Settings.model_fields[name].description or "").split())


def dotenv_text(values: Mapping[str, str], further: Mapping[str, str]) -> str:
    """The text of `.env`: `values` by field, the others as comments, then `further` variables.

    Raises:
        SettingsError: a value cannot be written in a `.env`.
    """
    parts = [_HEADER]
    for name in (*FIRST, *(name for name in values if name not in FIRST)):
        comment = textwrap.fill(description(name), 98, initial_indent="# ", subsequent_indent="# ")
        key = variable(name)
        if values.get(name):
            parts.append(f"{comment}\n{_line(key, values[name])}\n")
        else:
            default = Settings.model_fields[name].default
            shown = "" if name in SECRETS else as_variable_text(default)
            parts.append(f"{comment}\n# {key}={shown}\n")
    if further:
        lines = "\n".join(_line(key, value) for key, value in further.items())
        parts.append(f"# Parameters of the SQL models.\n{lines}\n")
    return "\n".join(parts)


def _line(key: str, value: str) -> str:
    quoted = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    for text in (value, quoted):
        line = f"{key}={text}"
        if "\n" not in line and dotenv_values(stream=io.StringIO(line)) == {key: value}:
            return line
    raise SettingsError(f"{key}: cannot be written in a .env; set it in the environment")
