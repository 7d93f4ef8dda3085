"""A real standalone cluster of Spark: a master, two workers, and the Connect server."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from capi_assets.commands.demo.workspace import free_port
from tests.helpers.processes import running

WORKERS = 2
_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


@dataclass(frozen=True)
class Cluster:
    """The address of the Connect server, and process ids: of the workers, and of all."""

    url: str
    workers: list[int]
    processes: list[int]


# Beside the environment, for pandera imports Spark's client wherever it finds it: 0.4 s of each of
# the many processes of other tests.
PACKAGES = Path(sys.prefix) / "spark"


def add_client() -> None:
    """Makes Spark's client importable; skips the test if Spark is not here, or Java is not."""
    if not (PACKAGES / "pyspark" / "jars").is_dir():
        pytest.skip("Spark is not installed: make spark")
    if not shutil.which("java"):
        pytest.skip("Java is not installed: apt-get install openjdk-17-jre-headless")
    if str(PACKAGES) not in sys.path:
        sys.path.append(str(PACKAGES))


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """A cluster on 127.0.0.1 whose files and logs are in `folder`, until the block ends."""
    add_client()
    spark = PACKAGES / "pyspark"
    port, connect = free_port(), free_port()
    own = {k: v for k, v in os.environ.items() if not k.startswith(("CAPI_", "SPARK_"))}
    options = {
        "cwd": folder,
        "env": own
        | {
            "SPARK_HOME": str(spark),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(folder / "local"),
            "SPARK_DAEMON_MEMORY": "768m",
            "SPARK_DAEMON_JAVA_OPTS": _JAVA,
            "PYSPARK_PYTHON": sys.executable,
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[2]), str(PACKAGES)]),
        },
    }
    master = f"spark://127.0.0.1:{port}"
    run = str(spark / "bin" / "spark-class")
    deploy = "org.apache.spark.deploy"
    processes: list[int] = []
    with ExitStack() as stack:

        def start(name: str, command: list[str], ready: str) -> int:
            log = folder / f"{name}.log"
            process = stack.enter_context(
                running(command, lambda: ready in log.read_text(), log=log, **options)
            )
            processes.append(process.pid)
            return process.pid

        command = [run, f"{deploy}.master.Master", "--host", "127.0.0.1", "--port", str(port)]
        start("master", [*command, "--webui-port", "0"], "I have been elected leader")
        command = [run, f"{deploy}.worker.Worker", "--host", "127.0.0.1", "--webui-port", "0"]
        command += ["--cores", "1", "--memory", "1g", "--work-dir", str(folder / "work"), master]
        workers = [
            start(f"worker-{number}", command, "Successfully registered with master")
            for number in range(WORKERS)
        ]
        settings = {
            "spark.connect.grpc.binding.port": connect,
            "spark.connect.grpc.binding.address": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.executor.cores": 1,
            "spark.executor.memory": "768m",
            # Little data and one short life: to compile it well takes longer than to run it.
            "spark.driver.extraJavaOptions": _JAVA,
            "spark.executor.extraJavaOptions": _JAVA,
            "spark.sql.codegen.wholeStage": "false",
            "spark.sql.codegen.factoryMode": "NO_CODEGEN",
            "spark.ui.enabled": "false",
            "spark.sql.shuffle.partitions": 4,
            "spark.sql.warehouse.dir": folder / "warehouse",
        }
        command = [str(spark / "bin" / "spark-submit"), "--master", master]
        for name, value in settings.items():
            command += ["--conf", f"{name}={value}"]
        service = "org.apache.spark.sql.connect.service.SparkConnectServer"
        command += ["--class", service, "spark-internal"]
        start("connect", command, "Spark Connect server started at")
        yield Cluster(f"sc://127.0.0.1:{connect}", workers, processes)
