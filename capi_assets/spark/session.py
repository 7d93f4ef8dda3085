"""A session of Spark Connect, and what its errors say."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies

from capi_assets.web_addresses import spark_label

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_OPTIONS = {
    "spark.sql.session.timeZone": "UTC",
    # Rows that a Python function gets at a time; fewer make its fixed cost felt.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "50000",
    # The text of an error has the values of rows in it otherwise, and the code of our functions.
    "spark.sql.connect.serverStacktrace.enabled": "false",
}

_TRIES = 5  # with growing pauses, together a quarter of a minute

# One for all steps of a process: the workers load our functions once for each session.
_sessions: dict[str, SparkSession] = {}


class SparkError(RuntimeError):
    """The cluster cannot be reached, or its work failed; the message has the remedy and no data."""


@contextmanager
def open_session(url: str) -> Iterator[SparkSession]:
    """The session of this process at `url` (`sc://host:15002`); after an error a new one is opened.

    Raises:
        SparkError: the client is not installed, the cluster cannot be reached, or work fails in it.
    """
    try:
        from pyspark.sql import SparkSession
        from pyspark.sql.connect.client.retries import DefaultPolicy
    except ImportError:
        raise SparkError(
            "CAPI_ENGINE names a Spark cluster, and its client is not installed. Install it with:"
            " pip install 'capi_assets[spark]'"
        ) from None
    label = spark_label(url)
    _reach(label)
    try:
        if url not in _sessions:
            _sessions[url] = SparkSession.builder.remote(url).create()
            # By default it would look for a server that died for ten minutes, twice.
            _sessions[url].client.set_retry_policies([DefaultPolicy(max_retries=_TRIES)])
            for name, value in _OPTIONS.items():
                _sessions[url].conf.set(name, value)
        with _active(_sessions[url]) as session:
            yield session
    except Exception as error:
        close_sessions()
        if type(error).__module__.startswith(("grpc", "pyspark")):
            raise SparkError(_text(label, error)) from None
        raise


@contextmanager
def _active(session: SparkSession) -> Iterator[SparkSession]:
    """Pyspark 4.2 takes the result of a checkpoint for one of the thread's active session, and a
    new session becomes it only where there is none: a team may have one of its own."""
    thread = type(session)._active_session
    former = getattr(thread, "session", None)
    thread.session = session
    try:
        yield session
    finally:
        thread.session = former


def close_sessions() -> None:
    """Ends the sessions of this process; the next step opens a new one."""
    while _sessions:
        _, session = _sessions.popitem()
        with suppress(Exception):  # the first error is the one to see
            session.stop()


def _reach(label: str) -> None:
    """The client itself would try for ten minutes. Through a proxy only it can try."""
    if getproxies().keys() & {"grpc", "https", "http", "all"}:
        return
    address = urlsplit(label)
    try:
        socket.create_connection((address.hostname or "", address.port or 15002), 10).close()
    except (OSError, ValueError) as error:
        raise SparkError(
            f"The Spark cluster at {label} cannot be reached ({type(error).__name__}). Start its"
            " Connect server, or correct CAPI_ENGINE; then materialize the hours again."
        ) from None


def _text(label: str, error: Exception) -> str:
    """What failed, by its kind only: the message may quote rows."""
    condition = getattr(error, "getCondition", lambda: None)() or type(error).__name__
    return (
        f"The Spark cluster at {label} failed: {condition}. Its logs say more. Its workers need"
        " this version of capi_assets, and the landing folder and the lake at the same addresses."
        " Then materialize the hours again."
    )
