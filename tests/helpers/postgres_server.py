"""A PostgreSQL of our own, for tests and benchmarks, on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError


def programs() -> Path | None:
    """Where the programs of the newest installed PostgreSQL are."""
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    found = shutil.which("initdb")
    return Path(found).parent if found else None


@contextmanager
def postgres_server(bin_folder: Path, host: str = "127.0.0.1") -> Iterator[str]:
    """Starts it; the address to which the name of a database is added. It is gone afterwards.

    Nobody needs a password: another `host` must be in a network namespace of the test.

    Raises:
        RuntimeError: it did not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="capi-postgres-"))
    # PostgreSQL refuses to run as root, which containers like to be.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    data = folder / "data"
    with socket.create_server((host, 0)) as free:
        port = free.getsockname()[1]
    subprocess.run(
        [*user, bin_folder / "initdb", "-D", data, "-A", "trust", "-U", "capi", "-N"],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    with (data / "pg_hba.conf").open("a") as access:
        access.write(f"host all all {host}/24 trust\n")
    server = subprocess.Popen(
        [
            *(*user, bin_folder / "postgres", "-D", data, "-p", str(port), "-k", folder),
            *("-h", host, "-F", "-c", "max_connections=50"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
    )
    try:
        ready = [bin_folder / "pg_isready", "-q", "-h", host, "-p", str(port), "-t", "1"]
        if not any(subprocess.run(ready, check=False).returncode == 0 for _ in _seconds(20)):
            raise RuntimeError("PostgreSQL did not start")
        yield f"postgresql+psycopg2://capi@{host}:{port}/"
    finally:
        stop = [*user, bin_folder / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop"]
        subprocess.run(stop, check=False, capture_output=True, cwd=folder)
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def database(server: str, name: str, timezone: str = "UTC") -> Iterator[str]:
    """Creates a database on the server; its address. It is gone afterwards.

    `server` is an address of `postgres_server`; `timezone` that of the database's sessions.
    """
    admin = create_engine(server + "postgres", isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
        connection.execute(text(f"ALTER DATABASE {name} SET timezone = '{timezone}'"))
    try:
        yield server + name
    finally:
        with suppress(OperationalError), admin.connect() as connection:  # a test may have killed it
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        admin.dispose()


def _seconds(count: int) -> Iterator[int]:
    for second in range(count * 10):
        yield second
        time.sleep(0.1)
