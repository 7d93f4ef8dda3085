"""`capi-assets doctor`: every setting with its value, its source, and any problem.

    for finding in examine(environment, dotenv, TRIALS):
        finding.name, finding.value, finding.origin, finding.verdict, finding.text

Values are judged here, what can only be tried is in trials.py, and what is no setting in
surroundings.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pycountry
import requests
from dotenv import dotenv_values
from pydantic import SecretStr
from upath import UPath

from capi_assets.commands.surroundings import Verdict, clock, ui_port, unknown_names
from capi_assets.commands.trials import TRIALS
from capi_assets.coverage.alerting.channels import smtp_address
from capi_assets.coverage.formatting import count, format_duration
from capi_assets.delivery.datasets import read_datasets
from capi_assets.delivery.ledger.ledger import HEAD, LedgerError, stored_revision
from capi_assets.delivery.ledger_from_lake import lost_events
from capi_assets.hours import HOUR, hour_key, hours_between
from capi_assets.ingest.column_map import ColumnMap
from capi_assets.ingest.landing_folder import ignored_text, misplaced_text
from capi_assets.ingest.sources import SourceError
from capi_assets.ingest.tombstones import TombstoneError
from capi_assets.ingest.withdrawals import read_withdrawals, unusable_text
from capi_assets.lake import Lake, LakeError
from capi_assets.meta.graph.versions import NEWEST, version_outlook
from capi_assets.meta.limits import WINDOW
from capi_assets.meta.match_keys.hashed_keys import hash_column
from capi_assets.object_store import driver_errors, reason_text
from capi_assets.policies import (
    hash_policy,
    landing_folder,
    landing_needs,
    open_ledger,
    orders_columns,
    secret,
    stored_tombstones,
    token_source,
    visits_columns,
)
from capi_assets.settings import (
    Settings,
    SettingsError,
    as_variable_text,
    environment,
    read_settings,
    split,
    sql_parameters,
    variable,
)
from capi_assets.web_addresses import database_label, graph_url_problem, open_session


@dataclass(frozen=True)
class Finding:
    """One setting: `verdict` is `ok`, `warning` or `error`; secrets are masked in `value`."""

    name: str
    value: str
    origin: str
    verdict: str
    text: str


Check = Callable[[Settings], Verdict | None]


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
        verdict = _quoted(env.get(key, "")) or _verdict(_CHECKS.get(name), settings)
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
    if path.exists() and (verdict := _open_to_others(path)):
        findings.append(Finding(".env", str(path), "file", *verdict))
    return findings + examine_around(read_settings(env))


def examine_stage(env: Mapping[str, str]) -> list[Finding]:
    """All findings for the workspace of a demo, whose settings are `env`."""
    return examine(env, {}, TRIALS) + examine_around(read_settings(env))


def _masked(name: str, value: Any) -> str:
    if isinstance(value, SecretStr):
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
    return value.strip()[1:-1] if _quoted(value) else value


def _quoted(value: str) -> Verdict | None:
    """Quotes that a shell or a `.env` file removes, and that `docker --env-file` keeps."""
    text = value.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        return "error", "the value contains quotes; write it without them"
    return None


def _disagreement(
    name: str, env: Mapping[str, str], dotenv: Mapping[str, str | None]
) -> Verdict | None:
    theirs, ours = (dotenv.get(name) or "").strip(), env.get(name, "").strip()
    if not theirs or not ours or theirs == ours:
        return None
    return "warning", (
        ".env differs: here the environment wins, under `dagster dev` .env does; keep one"
    )


def _landing(s: Settings) -> Verdict | None:
    if s.visits_sql and s.orders_sql:
        return "ok", "not used: both tables come from SQL models"
    if not UPath(s.landing).exists():
        return "error", (
            "does not exist; create it, or set CAPI_LANDING to the folder where files land"
        )
    from_files = [name for name in ("visits", "orders") if not getattr(s, f"{name}_sql")]
    missing = [name for name in from_files if not (UPath(s.landing) / name).exists()]
    if missing:
        return "warning", f"has no {' and no '.join(missing)}/ folder: those hours will be empty"
    now = s.now or datetime.now(UTC)
    hours = hours_between(now - WINDOW, now + HOUR)
    misplaced = {
        name
        for table in from_files
        for names in landing_folder(s, table).misplaced(hours).values()
        for name in names
    }
    try:
        unusable = read_withdrawals(UPath(s.landing), hash_policy(s), now).unusable
    except SourceError as error:
        return "error", str(error)
    if unusable:
        return "warning", unusable_text(unusable)
    return ("warning", misplaced_text(sorted(misplaced))) if misplaced else None


def _ignored(s: Settings) -> Verdict | None:
    """The files of the last days that the patterns leave out: a pattern may match too much."""
    if not s.ignore_files:
        return None
    now = s.now or datetime.now(UTC)
    hours = hours_between(now - WINDOW, now + HOUR)
    folders = [
        landing_folder(s, name) for name in ("visits", "orders") if not getattr(s, f"{name}_sql")
    ]
    listed = [names for folder in folders for names in folder.listing(hours).ignored.values()]
    names = [name for found in listed for name in found]
    return "ok", ignored_text(names) if names else "no file of the last days matches"


def _columns(path: str | None, read: Callable[[], ColumnMap]) -> Verdict | None:
    if path is None:
        return None
    try:
        found = read()
    except SettingsError as error:
        return "error", str(error).partition(": ")[2]
    return "ok", f"maps {count(len(found.sources), 'column')}"


def _model(path: str | None) -> Verdict | None:
    if path is None:
        return None
    if not Path(path).is_file():
        return "error", "no such file"
    names = sorted(sql_parameters())
    return "ok", f"parameters from CAPI_SQL_*: {', '.join(names)}" if names else ""


def _ledger(s: Settings) -> Verdict | None:
    lake, now = Lake(s.lake), s.now or datetime.now(UTC)
    hours = [hour for hour in lake.hours("delivery_results") if hour >= now - WINDOW]
    if not hours:
        return None
    try:
        if _is_of_another_version(s):
            return None
        with open_ledger(s) as ledger:
            lost = sum(rows.num_rows for rows in lost_events(lake, ledger, hours))
    except (LakeError, LedgerError) as error:
        return "error", str(error)
    if not lost:
        return None
    return "warning", (
        f"does not know the attempts of {lost} events of the last 7 days that delivery_results"
        " knows; `capi-assets ledger rebuild` or the next run restores them"
    )


def _is_of_another_version(s: Settings) -> bool:
    """Whether opening the ledger would migrate it, which is not the doctor's to do."""
    return stored_revision(s.ledger_url.get_secret_value()) not in (None, HEAD)


def _datasets(s: Settings) -> Verdict | None:
    if s.datasets is None:
        return None
    try:
        found = read_datasets(
            s.datasets, environment(), graph_url=s.graph_url, version=s.graph_version,
            hosts_allowed=split(s.graph_hosts_allowed),
        )  # fmt: skip
    except ValueError as error:
        return "error", str(error)
    if found.missing:
        return "error", "; ".join(found.missing.values())
    return "ok", f"{len(found.accesses)} datasets with tokens"


def _token(s: Settings) -> Verdict | None:
    for name in ("access_token_command", "access_token_file"):
        if getattr(s, name):
            return "ok", f"not used: {variable(name)} takes precedence"
    if s.access_token is None and s.datasets:
        return "ok", "not needed if CAPI_DATASETS has an entry for every dataset"
    if s.access_token is None:
        return "error", (
            "set it, CAPI_ACCESS_TOKEN_FILE or CAPI_ACCESS_TOKEN_COMMAND: without a token orders"
            " stay pending"
        )
    return _TRY


def _token_file(s: Settings) -> Verdict | None:
    if not s.access_token_file:
        return None
    if s.access_token_command:
        return "ok", "not used: CAPI_ACCESS_TOKEN_COMMAND takes precedence"
    return _read_token(s) or _open_to_others(s.access_token_file) or _TRY


def _token_command(s: Settings) -> Verdict | None:
    return _read_token(s) or _TRY if s.access_token_command else None


def _read_token(s: Settings) -> Verdict | None:
    try:
        return _quoted(token_source(s)())
    except LookupError as error:
        return "error", str(error)


def _umask(s: Settings) -> Verdict | None:
    """Files of a former version keep their permissions."""
    ledger = s.ledger_url.get_secret_value().removeprefix("sqlite:///")
    shared = [
        path
        for path in (Path(s.lake), Path(ledger))
        if path.exists() and path.stat().st_mode & int(s.umask, 8) & 0o077
    ]
    if shared:
        names = " ".join(map(str, shared))
        return "warning", f"has no effect on what exists: chmod -R go= {names}"
    return None


def _open_to_others(path: str | Path) -> Verdict | None:
    """A file that other users of this machine may read."""
    if os.stat(path).st_mode & 0o044:
        return "warning", f"other users can read it: chmod 600 {path}"
    return None


_TRY = ("ok", "`capi-assets preflight` checks whether Meta accepts it")


def _version(s: Settings) -> Verdict | None:
    if not re.fullmatch(r"v\d+\.\d+", s.graph_version):
        return "error", f"must look like {NEWEST}"
    outlook = version_outlook(s.graph_version, s.now or datetime.now(UTC))
    return outlook.verdict, outlook.words


def _date_format(s: Settings) -> Verdict | None:
    try:
        hash_column("db", pa.array([], pa.string()), date_format=s.date_format)
    except ValueError as error:
        return "error", str(error)
    return None


def _graph(s: Settings) -> Verdict | None:
    other = graph_url_problem(s.graph_url) is not None
    note = "; the token is sent to this host, which is not Meta's" if other else ""
    try:
        # Any response is enough: only the connection is tested, without a token.
        with open_session(s.graph_url) as session:
            session.get(s.graph_url, timeout=3, allow_redirects=False)
    except requests.RequestException as error:
        return "warning", f"does not respond from here ({type(error).__name__}){note}"
    return "warning" if other else "ok", f"responds{note}"


def _erasure_key(s: Settings) -> Verdict | None:
    if not Lake(s.lake).hours("orders"):
        return None
    try:
        if _is_of_another_version(s):
            return None
        stones = stored_tombstones(s)
    except (LedgerError, TombstoneError) as error:
        return "error", str(error)
    return ("ok", "people were erased: back it up") if stones.erased_at else None


def _landing_retention(s: Settings) -> Verdict | None:
    try:
        needs = [need for _, need in landing_needs(s, s.now or datetime.now(UTC))]
    except (LakeError, OSError, SettingsError) as error:
        return "error", str(error)
    texts = [
        f"{need.table} are needed since {hour_key(need.needed_since)}, {len(need.unneeded)} older"
        " files are not"
        for need in needs
        if need.unneeded
    ]
    return ("ok", f"for backfills, files of {'; '.join(texts)}") if texts else None


def _retention(s: Settings) -> Verdict | None:
    spare = timedelta(days=s.retention_days) - s.lookback
    if spare < WINDOW:
        return "warning", (
            f"{format_duration(spare) if spare else 'no'} longer than the lookback: orders"
            " matched again later find fewer visits, while Meta accepts them for seven days"
        )
    return None


def _addresses(urls: str | None) -> Verdict | None:
    found = split(urls)
    if not all(re.fullmatch(r"https?://[^\s/?#]+\S*", url) for url in found):
        return "error", "every URL must begin with http:// or https://"
    return ("ok", f"{len(found)} URLs") if len(found) > 1 else None


def _email(s: Settings) -> Verdict | None:
    to = split(secret(s.alert_email_to))
    if not all(_MAIL.fullmatch(address) for address in to):
        return "error", "not a list of e-mail addresses"
    if to and s.smtp_url is None:
        return "error", "set CAPI_SMTP_URL too: no e-mail is sent without a server"
    return ("ok", f"{len(to)} addresses") if len(to) > 1 else None


def _smtp(s: Settings) -> Verdict | None:
    if s.smtp_url is None:
        return None
    try:
        server = smtp_address(s.smtp_url.get_secret_value())
    except ValueError as error:
        return "error", str(error)
    if s.alert_email_to is None:
        return "warning", "not used: CAPI_ALERT_EMAIL_TO is not set"
    return "ok", f"{server.host}, port {server.port}"


_MAIL = re.compile(r"[^@\s,<>]+@[^@\s,<>]+")


def _unless(is_good: object, verdict: str, text: str) -> Verdict | None:
    return None if is_good else (verdict, text)


_CHECKS: dict[str, Check] = {
    "alert_webhook": lambda s: _addresses(secret(s.alert_webhook)),
    "alert_json_url": lambda s: _addresses(secret(s.alert_json_url)),
    "alert_email_to": _email,
    "alert_email_from": lambda s: _unless(
        not s.alert_email_from or _MAIL.fullmatch(s.alert_email_from.get_secret_value()),
        "error", "not an e-mail address",
    ),
    "smtp_url": _smtp,
    "ui_url": lambda s: _unless(
        not s.ui_url or re.fullmatch(r"https?://[^\s?#]+", s.ui_url),
        "error", "must look like http://127.0.0.1:3000",
    ),
    "landing": _landing,
    "visits_sql": lambda s: _model(s.visits_sql),
    "orders_sql": lambda s: _model(s.orders_sql),
    "visits_columns": lambda s: _columns(s.visits_columns, lambda: visits_columns(s)),
    "orders_columns": lambda s: _columns(s.orders_columns, lambda: orders_columns(s)),
    "ignore_files": _ignored,
    "start_date": lambda s: _unless(
        "start_date" in s.model_fields_set,
        "warning", "default; set it to the first hour that you have data for",
    ),
    "retention_days": _retention,
    "landing_retention_days": _landing_retention,
    "erasure_key_file": _erasure_key,
    "ledger_url": _ledger,
    "dataset_id": lambda s: _unless(
        s.dataset_id, "error", "set it: orders without a dataset stay pending"
    ),
    "datasets": _datasets,
    "access_token": _token,
    "access_token_file": _token_file,
    "access_token_command": _token_command,
    "graph_url": _graph,
    "graph_version": _version,
    "preflight": lambda s: _unless(
        s.preflight != "on",
        "ok", "one event a day that Meta rejects; it may appear in Diagnostics (unverified)",
    ),
    "test_event_code": lambda s: _unless(
        not s.test_event_code,
        "warning", "events still count for targeting and measurement; unset in production",
    ),
    "default_country": lambda s: _unless(
        not s.default_country or pycountry.countries.get(alpha_2=s.default_country),
        "error", "not an ISO 3166-1 alpha-2 code, such as DE",
    ),
    "date_format": _date_format,
    "umask": _umask,
    "now": lambda s: _unless(not s.now, "warning", "fixed time; for demos and tests only"),
}  # fmt: skip
