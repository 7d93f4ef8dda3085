"""OpenStack Swift with its S3 interface in one process, for tests; run by Debian's own Python.

    /usr/bin/python3 swift_server.py FOLDER PORT

It prints its port once it answers. `FOLDER/requests.log` gets one line per request to the store.
`POST /faults` with `{"status": 503, "requests": 3, "every": 1, "matching": "PUT /bucket/lake"}`
makes it answer so, and do nothing, to the next three requests that begin like this, or to every
second or third of them.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import eventlet

eventlet.patcher.monkey_patch()

from eventlet import wsgi  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.common.storage_policy import reload_storage_policies  # noqa: E402
from swift.common.wsgi import NullLogger, SwiftHttpProtocol, loadapp  # noqa: E402

BUSY = (
    '<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    "<Message>Please reduce your request rate.</Message></Error>"
)
BACKEND = """\
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
[app:main]
use = egg:swift#{kind}
# A listing must show what was written, however busy the machine is.
container_update_timeout = 60
"""
PROXY = """\
[DEFAULT]
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors gatekeeper listing_formats s3api tempauth copy slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 60
conn_timeout = 10
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
"""


class Cache:
    """What a memcached would remember for the only proxy."""

    def __init__(self):
        self.values = {}

    def get(self, key, **_):
        return self.values.get(key)

    def set(self, key, value, **_):
        self.values[key] = value

    def delete(self, key, **_):
        self.values.pop(key, None)


class Front:
    """Writes down each request, and answers some of them with a fault."""

    def __init__(self, app, log):
        self.app, self.log, self.cache = app, log, Cache()
        self.fault = {"requests": 0, "matching": ""}
        self.matched = 0

    def __call__(self, env, start_response):
        method, path = env["REQUEST_METHOD"], env["PATH_INFO"]
        if path == "/faults":
            self.fault = json.loads(env["wsgi.input"].read(int(env["CONTENT_LENGTH"])))
            self.matched = 0
            start_response("204 No Content", [])
            return []
        failing = False
        if self.fault["requests"] and f"{method} {path}".startswith(self.fault["matching"]):
            self.matched += 1
            failing = self.matched % self.fault["every"] == 0
            self.fault["requests"] -= failing
        status = self.fault["status"] if failing else "-"
        self.log.write(f"{method} {path}?{env.get('QUERY_STRING', '')} {status}\n")
        self.log.flush()
        if not failing:

            def start(status, headers, exc_info=None):
                # Debian's eventlet ends a HEAD response without a length by a chunk, which strict
                # clients take for the next response.
                if method == "HEAD" and "content-length" not in {k.lower() for k, _ in headers}:
                    headers = [*headers, ("Content-Length", "0")]
                return start_response(status, headers, exc_info)

            return self.app({**env, "swift.cache": self.cache}, start)
        env["wsgi.input"].read(int(env.get("CONTENT_LENGTH") or 0))
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(BUSY)))]
        start_response(f"{status} Slow Down", headers)
        return [b"" if method == "HEAD" else BUSY.encode()]


def serve(listener, app):
    """As Swift's own `run_server` does."""
    wsgi.server(
        listener,
        app,
        NullLogger(),
        protocol=SwiftHttpProtocol,
        capitalize_response_headers=False,
    )


def main(folder: Path, port: int) -> None:
    (folder / "devices" / "d1").mkdir(parents=True, exist_ok=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\n")
    utils.set_swift_dir(str(folder))
    reload_storage_policies()
    for kind in ("account", "container", "object"):
        listener = eventlet.listen(("127.0.0.1", 0))
        ring = RingBuilder(1, 1, 0)
        ring.add_dev(
            {"id": 0, "region": 1, "zone": 1, "weight": 1, "device": "d1", "ip": "127.0.0.1",
             "port": listener.getsockname()[1]}
        )  # fmt: skip
        ring.rebalance()
        ring.get_ring().save(str(folder / f"{kind}.ring.gz"))
        conf = folder / f"{kind}.conf"
        conf.write_text(BACKEND.format(folder=folder, kind=kind))
        app = loadapp(str(conf), global_conf={"log_name": kind}, allow_modify_pipeline=False)
        eventlet.spawn(serve, listener, app)
    conf = folder / "proxy.conf"
    conf.write_text(PROXY.format(folder=folder))
    app = loadapp(str(conf), global_conf={"log_name": "proxy"})
    listener = eventlet.listen(("127.0.0.1", port))
    for name in list(logging.Logger.manager.loggerDict):  # there is no syslog
        logging.getLogger(name).addHandler(logging.StreamHandler())
    print(listener.getsockname()[1], flush=True)
    with (folder / "requests.log").open("a") as log:
        serve(listener, Front(app, log))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
