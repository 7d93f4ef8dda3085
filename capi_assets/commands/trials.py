"""What `capi-assets doctor` tries, by setting: connect, write and read back, open, list, run.

Nothing is sent, and what a trial writes it removes. Web addresses of alerts are connected and not
posted to; the ledger is opened and not migrated.

    for name, trial in TRIALS.items():
        trial(settings)   # ("warning", "does not connect from here (timeout)") or None
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa
from requests.utils import get_environ_proxies, select_proxy

from capi_assets.commands.surroundings import Verdict
from capi_assets.coverage.alerting.channels import smtp_address
from capi_assets.coverage.formatting import count
from capi_assets.delivery.ledger.ledger import HEAD, LedgerError, stored_revision
from capi_assets.hours import HOUR, floor_hour, hour_key, hours_between
from capi_assets.ingest.sources import SourceError
from capi_assets.meta.limits import WINDOW
from capi_assets.policies import landing_folder, orders_source, secret, visits_source
from capi_assets.settings import Settings, split, variable
from capi_assets.storage.object_store import (
    folder_at,
    is_local,
    read_whole,
    reason_text,
    remove_file,
    write_whole,
)
from capi_assets.web_addresses import is_loopback

_TIMEOUT_SECONDS = 3.0


def _now(s: Settings) -> datetime:
    return s.now or datetime.now(UTC)


def _landing(s: Settings) -> Verdict | None:
    tables = [name for name in ("visits", "orders") if not getattr(s, f"{name}_sql")]
    hours = hours_between(_now(s) - WINDOW, _now(s) + HOUR)
    texts = []
    for table in tables:
        listing = landing_folder(s, table).listing(hours)
        for folder, error in listing.errors.values():
            if not isinstance(error, FileNotFoundError):
                return (
                    "error",
                    f"{folder} cannot be listed: {reason_text(error) or type(error).__name__}",
                )
        landed = [hour for hour, files in listing.files.items() if files]
        files = sum(map(len, listing.files.values()))
        newest = f", the newest of {hour_key(max(landed))}" if landed else ""
        texts.append(f"{count(files, 'file')} of {table} in seven days{newest}")
    return ("ok", "; ".join(texts)) if texts else None


def _lake(s: Settings) -> Verdict | None:
    """Writes a file, reads it back and removes it, with the folders that it needed."""
    root, content = folder_at(s.lake), uuid.uuid4().bytes
    missing = []
    if is_local(root):
        path = Path(root.path).absolute()
        missing = [each for each in (path, *path.parents) if not each.exists()]
        path.mkdir(parents=True, exist_ok=True)
    probe = root / f".doctor-{uuid.uuid4().hex}.tmp"
    try:
        write_whole(probe, content)
        if read_whole(probe) != content:
            return "error", "a file that was written is read back differently"
    finally:
        # A failure to remove what could not be written would hide the failure to write.
        with suppress(OSError):
            remove_file(probe)
            for folder in missing:
                folder.rmdir()
    return "ok", "written and read back"


def _ledger(s: Settings) -> Verdict | None:
    url = s.ledger_url.get_secret_value()
    path = Path(url.removeprefix("sqlite:///"))
    if url.startswith("sqlite:///") and not path.exists():
        return "ok", "the first run creates it"
    try:
        revision = stored_revision(url)
    except LedgerError as error:
        return "error", str(error)
    if revision is None:
        return "ok", "opened; the first run creates its tables"
    if revision == HEAD:
        return "ok", f"opened, revision {revision}"
    if revision > HEAD:
        return (
            "error",
            f"revision {revision} is of a newer capi_assets, which knows {HEAD}: upgrade",
        )
    return "ok", f"opened, revision {revision}; the next run upgrades it to {HEAD}"


def _model(table: str) -> Callable[[Settings], Verdict | None]:
    def run(s: Settings) -> Verdict | None:
        if not getattr(s, f"{table}_sql"):
            return None
        hour = floor_hour(_now(s)) - HOUR
        source = visits_source(s) if table == "visits" else orders_source(s)
        try:
            rows = sum(landed.rows.table.num_rows for landed in source.fetch([hour]).landed)
        except SourceError as error:
            return "error", str(error)
        return "ok", f"runs: {count(rows, 'row')} in {hour_key(hour)}"

    return run


def _warehouse(table: str) -> Callable[[Settings], Verdict | None]:
    def connect(s: Settings) -> Verdict | None:
        url = secret(getattr(s, f"{table}_url"))
        if url is None:
            return None
        if not getattr(s, f"{table}_sql"):
            return "warning", f"not used: {variable(f'{table}_sql')} is not set"
        dialect = sa.make_url(url).drivername
        try:
            engine = sa.create_engine(url)
        except sa.exc.NoSuchModuleError:
            return "error", f"no SQLAlchemy dialect {dialect} is installed"
        except ModuleNotFoundError as error:
            return "error", f"the driver of {dialect}, {error.name}, is not installed"
        try:
            with engine.connect():
                return "ok", f"{dialect} connects"
        except sa.exc.SQLAlchemyError as error:
            # A driver's text may show the password.
            return "error", f"{dialect} does not connect ({type(error).__name__})"
        finally:
            engine.dispose()

    return connect


def _web(urls: str | None) -> Verdict | None:
    problems = [problem for url in split(urls) if (problem := _connects(url))]
    if problems:
        return "warning", f"does not connect from here ({'; '.join(problems)})"
    return ("ok", "connects; nothing was posted") if split(urls) else None


def _connects(url: str) -> str | None:
    """Why no connection is made; None if it is. Behind a proxy, the proxy is connected."""
    try:
        parts = urlsplit(url)
        if not is_loopback(url) and (proxy := select_proxy(url, get_environ_proxies(url))):
            parts = urlsplit(proxy)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:  # its text may show the address
        return "no valid address"
    return _unreachable(parts.hostname or "", port)


def _unreachable(host: str, port: int) -> str | None:
    try:
        socket.create_connection((host, port), _TIMEOUT_SECONDS).close()
    except OSError as error:
        return error.strerror or type(error).__name__
    except ValueError:  # a name that no host can have
        return "no valid host"
    return None


def _mail(s: Settings) -> Verdict | None:
    if s.smtp_url is None or s.alert_email_to is None:
        return None
    server = smtp_address(s.smtp_url.get_secret_value())
    if problem := _unreachable(server.host, server.port):
        return "warning", f"does not connect from here ({problem})"
    return "ok", "connects; nothing was sent"


def _engine(s: Settings) -> Verdict | None:
    if s.spark_url is None:
        return None
    from capi_assets.spark.session import SparkError, open_session

    try:
        with open_session(s.spark_url) as session:
            return "ok", f"reached, Spark {session.version}"
    except SparkError as error:
        return "error", str(error)


def _start_date(s: Settings) -> Verdict | None:
    if s.start_date > _now(s):
        return "error", "in the future: no hour has a partition"
    return None


TRIALS: dict[str, Callable[[Settings], Verdict | None]] = {
    "landing": _landing,
    "visits_sql": _model("visits"),
    "orders_sql": _model("orders"),
    "visits_url": _warehouse("visits"),
    "orders_url": _warehouse("orders"),
    "lake": _lake,
    "engine": _engine,
    "ledger_url": _ledger,
    "start_date": _start_date,
    "alert_webhook": lambda s: _web(secret(s.alert_webhook)),
    "alert_json_url": lambda s: _web(secret(s.alert_json_url)),
    "smtp_url": _mail,
    "ui_url": lambda s: _web(s.ui_url),
}
"""By field of `Settings`; a trial runs if nothing is wrong with the value itself."""
