"""Several machines on this one: network namespaces at a bridge, each with a host name of its own.

They share the file system, as machines with a shared folder do. Needs root and Debian's iproute2.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_NETWORK = 0x40000000  # CLONE_NEWNET of Linux
_NAMED = 'hostname "$0" && exec "$@"'


@dataclass(frozen=True)
class Machine:
    """A host: its network namespace, its host name and its address at the bridge."""

    namespace: str
    name: str
    address: str

    def command(self, command: Sequence[object]) -> list[str]:
        """The command as it runs on this machine, with the same process id."""
        host = ["ip", "netns", "exec", self.namespace, "unshare", "--uts"]
        return [*host, "sh", "-c", _NAMED, self.name, *map(str, command)]

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Until the block ends, this thread and what it starts use the machine's network."""
        setns = ctypes.CDLL(None, use_errno=True).setns
        with open("/proc/thread-self/ns/net") as own, open(f"/run/netns/{self.namespace}") as its:
            try:
                assert setns(its.fileno(), _NETWORK) == 0, os.strerror(ctypes.get_errno())
                yield
            finally:
                assert setns(own.fileno(), _NETWORK) == 0, os.strerror(ctypes.get_errno())

    def power_off(self) -> None:
        """kill -9 of every process on the machine."""
        for pid in _ip("netns", "pids", self.namespace).split():
            if int(pid) != os.getpid():
                os.kill(int(pid), signal.SIGKILL)


def missing() -> str | None:
    """Why there can be no machines here; None if there can."""
    if shutil.which("ip") is None:
        return "network namespaces need `ip` (apt: iproute2)"
    return None if os.geteuid() == 0 else "network namespaces need root"


@contextmanager
def machines(*names: str) -> Iterator[list[Machine]]:
    """Machines with these host names, which reach one another and nothing else; gone afterwards."""
    hosts = [
        Machine(f"capi-{os.getpid()}-{name}", name, f"10.77.0.{number}")
        for number, name in enumerate(names, 1)
    ]
    first = hosts[0].namespace
    try:
        for number, host in enumerate(hosts):
            where = host.namespace
            _ip("netns", "add", where)
            _ip("-n", where, "link", "set", "lo", "up")
            if host is hosts[0]:
                _ip("-n", where, "link", "add", "lan", "type", "bridge")
            else:
                port = f"port{number}"
                ends = ["link", "add", port, "netns", first, "type", "veth"]
                _ip(*ends, "peer", "name", "lan", "netns", where)
                _ip("-n", first, "link", "set", port, "master", "lan", "up")
            _ip("-n", where, "addr", "add", f"{host.address}/24", "dev", "lan")
            _ip("-n", where, "link", "set", "lan", "up")
        yield hosts
    finally:
        for host in hosts:
            if Path("/run/netns", host.namespace).exists():
                host.power_off()
                _ip("netns", "del", host.namespace)


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
