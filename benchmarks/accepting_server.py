"""A stand-in for Meta that accepts everything at once and keeps nothing, in a process of its own.

The sandbox would fill the memory, and use the core of what is measured.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@contextmanager
def accepting_server() -> Iterator[str]:
    """The address of the server, which ends with the block."""
    command = [sys.executable, "-m", "benchmarks.accepting_server"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


class _Accepting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        events = len(re.findall(rb'"event_id":', body))
        answer = b'{"events_received":%d,"messages":[],"fbtrace_id":"A1"}' % events
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: only the address is to be read."""


def main() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Accepting)
    Thread(target=server.serve_forever, daemon=True).start()
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    sys.stdin.read()  # until the parent closes it, or ends
    server.shutdown()


if __name__ == "__main__":
    main()
