"""`capi-assets doctor`: every setting with its value, its source, and any problem.

    for finding in examine(environment, dotenv, TRIALS):
        finding.name, finding.value, finding.origin, finding.verdict, finding.text

Values are judged in setting_checks.py, what can only be tried in trials.py, and what is no setting
in surroundings.py.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dotenv import dotenv_values
from pydantic import SecretStr

from capi_assets.commands.setting_checks import SETTING_CHECKS, Check, open_to_others, quoted
from capi_assets.commands.surroundings import Verdict, clock, ui_port, unknown_names
from capi_assets.commands.trials import TRIALS
from capi_assets.lake import LakeError
from capi_assets.settings import (
    Settings,
    as_variable_text,
    read_settings,
    variable,
)
from capi_assets.storage.object_store import driver_errors, reason_text
from capi_assets.web_addresses import database_label, spark_label


@dataclass(frozen=True)
class Finding:
    """One setting: `verdict` is `ok`, `warning` or `error`; secrets are masked in `value`."""

    name: str
    value: str
    origin: str
    verdict: str
    text: str


def examine(
    env: Mapping[str, str],
    dotenv: Mapping[str, str | None],
    trials: Mapping[str, Check] | None = None,
) -> list[Finding]:
    """A finding per setting, in the order of the settings, and one per name that is no setting.

    `trials`, by field, are run where nothing is wrong with the value itself.

    Raises:
        SettingsError: a setting cannot be read at all.
    """
    # Read without their quotes, so that the other settings can still be checked.
    settings = read_settings({name: _unquoted(value) for name, value in env.items()})
    findings = []
    for name in Settings.model_fields:
        key = variable(name)
        verdict = quoted(env.get(key, "")) or _verdict(SETTING_CHECKS.get(name), settings)
        if verdict[0] != "error" and trials:
            verdict = _both(verdict, _verdict(trials.get(name), settings))
        if verdict[0] != "error":
            verdict = _disagreement(key, env, dotenv) or verdict
        value = _masked(name, getattr(settings, name))
        findings.append(Finding(key, value, _origin(key, env, dotenv), *verdict))
    for key, text in unknown_names(env, settings).items():
        # Its value may be a secret in the wrong place.
        findings.append(Finding(key, "", _origin(key, env, dotenv), "warning", text))
    return findings


def _verdict(check: Check | None, settings: Settings) -> Verdict:
    try:
        with driver_errors():
            return (check and check(settings)) or ("ok", "")
    except ImportError as error:
        return "error", f"its driver is not installed: {error}"
    except OSError as error:
        return "error", f"cannot be used: {reason_text(error) or type(error).__name__}"
    except LakeError as error:
        return "error", str(error)


def _both(first: Verdict, second: Verdict) -> Verdict:
    """The worse verdict, with both texts."""
    ranks = ("ok", "warning", "error")
    worse = max(first[0], second[0], key=ranks.index)
    return worse, "; ".join(text for _, text in (first, second) if text)


def examine_around(settings: Settings) -> list[Finding]:
    """Findings about this machine: its clock and the port of Dagster's UI."""
    findings = []
    if settings.now is None and (verdict := clock(settings)):
        findings.append(Finding("clock", as_variable_text(datetime.now(UTC)), "machine", *verdict))
    port, free = ui_port(settings)
    findings.append(Finding("port of the UI", port, "machine", *free))
    return findings


def as_json(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """The findings for programs; secrets are masked as in the table."""
    return [asdict(finding) for finding in findings]


def examine_here() -> list[Finding]:
    """All findings for this process and the `.env` of the working directory; of that, its mode."""
    path = Path.cwd() / ".env"
    dotenv = dotenv_values(path)
    env = {**{k: v for k, v in dotenv.items() if v is not None}, **os.environ}
    findings = examine(env, dotenv, TRIALS)
    if path.exists() and (verdict := open_to_others(path)):
        findings.append(Finding(".env", str(path), "file", *verdict))
    return findings + examine_around(read_settings(env))


def examine_stage(env: Mapping[str, str]) -> list[Finding]:
    """All findings for the workspace of a demo, whose settings are `env`."""
    return examine(env, {}, TRIALS) + examine_around(read_settings(env))


def _masked(name: str, value: Any) -> str:
    if isinstance(value, SecretStr):
        if name == "engine":
            return spark_label(value.get_secret_value())
        if name in _DATABASES:
            return database_label(value.get_secret_value())
        return f"set ({len(value.get_secret_value())} characters)"
    return as_variable_text(value)


_DATABASES = ("ledger_url", "visits_url", "orders_url")


def _origin(name: str, env: Mapping[str, str], dotenv: Mapping[str, str | None]) -> str:
    if not env.get(name, "").strip():
        return "default"
    return ".env" if dotenv.get(name) == env[name] else "environment"


def _unquoted(value: str) -> str:
    return value.strip()[1:-1] if quoted(value) else value


def _disagreement(
    name: str, env: Mapping[str, str], dotenv: Mapping[str, str | None]
) -> Verdict | None:
    theirs, ours = (dotenv.get(name) or "").strip(), env.get(name, "").strip()
    if not theirs or not ours or theirs == ours:
        return None
    return "warning", (
        ".env differs: here the environment wins, under `dagster dev` .env does; keep one"
    )
