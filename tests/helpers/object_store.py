"""A real object store on this machine: OpenStack Swift with its S3 interface (swift_server.py)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from upath import UPath

_PYTHON = "/usr/bin/python3"  # Debian's Swift runs on Debian's Python
_SERVER = Path(__file__).with_name("swift_server.py")
_START_SECONDS = 60  # a second of work; the machine may be busy


class ObjectStore:
    """The server, which keeps its objects between `stop` and `start`."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="swift-", dir="/var/tmp"))
        self.log = self.folder / "requests.log"
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What the driver reads by itself."""
        return {
            "AWS_ACCESS_KEY_ID": "test:tester",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def start(self) -> None:
        """Starts the server, at its former port."""
        with (self.folder / "errors.log").open("a") as errors:
            self._process = subprocess.Popen(
                [_PYTHON, str(_SERVER), str(self.folder), str(self.port)],
                stdout=subprocess.PIPE, stderr=errors, text=True,
                env={"PATH": os.environ["PATH"]},
            )  # fmt: skip
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, (self.folder / "errors.log").read_text()[-2000:]
        self.port = int(line)

    def stop(self) -> None:
        """Kills the server as a power cut would."""
        if self._process:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process.stdout and self._process.stdout.close()
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def bucket(self, name: str) -> str:
        """The address of a new bucket."""
        UPath(f"s3://{name}").fs.mkdir(name)
        return f"s3://{name}"

    def fail(self, count: int, matching: str = "", every: int = 1, status: int = 503) -> None:
        """Answers the next `count` requests that begin so, or every second or third of them, with
        `status`."""
        fault = {"requests": count, "status": status, "every": every, "matching": matching}
        requests.post(f"{self.variables['AWS_ENDPOINT_URL']}/faults", json=fault, timeout=30)

    def requests(self) -> list[str]:
        """Every request so far: method, path with query, and the status of a fault or `-`."""
        return self.log.read_text().splitlines()


@contextmanager
def driver_with(**variables: str) -> Iterator[None]:
    """New connections read these variables of the environment."""
    from s3fs import S3FileSystem

    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        S3FileSystem.clear_instance_cache()
        yield
    S3FileSystem.clear_instance_cache()


def missing() -> str | None:
    """Why no store can be started here."""
    if not Path("/usr/lib/python3/dist-packages/swift").is_dir():
        return "OpenStack Swift is not installed: apt-get install python3-swift"
    try:
        pytest.importorskip("s3fs")
    except pytest.skip.Exception:
        return "s3fs is not installed: make dev"
    return None


def upload(folder: Path, address: str) -> None:
    """Copies a local folder into a store."""
    target = UPath(address)
    root = target.path.rstrip("/")
    files = (file for file in folder.rglob("*") if file.is_file())
    target.fs.pipe({f"{root}/{f.relative_to(folder).as_posix()}": f.read_bytes() for f in files})
