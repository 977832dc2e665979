"""Nodes of a real Ray cluster, each a process of its own on a loopback address."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from filelock import FileLock
from tools_for_tests import ROOT, eventually

NEEDS_RAY = pytest.mark.skipif(
    find_spec("ray") is None, reason="runs a cluster: pip install 'gleanset[cluster]'"
)
# A silent node is known as dead after some ten seconds instead of a minute; on a busy machine one
# that is well may be silent for a few.
_QUICK = {
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "3000",
    "RAY_health_check_failure_threshold": "3",
    "RAY_USAGE_STATS_ENABLED": "0",
}
# Nobody else on this machine may join, or run anything there.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
_MEMORY = str(100 * 1024 * 1024)


class RayNode:
    """One node. The processes that it consists of are known by its session's mark."""

    def __init__(self, address: str, process: subprocess.Popen[bytes]) -> None:
        self.address, self.process = address, process

    def processes(self) -> list[int]:
        """Those of the node and all that it started, as they are now."""
        pids, todo = [], [self.process.pid]
        while todo:
            pid = todo.pop()
            pids.append(pid)
            with suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    todo += map(int, (task / "children").read_text().split())
        return pids

    def kill(self) -> None:
        """As when the power fails: all of it is gone at once."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def freeze(self) -> None:
        """As when the net fails: nothing of it answers any more."""
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)


class RayCluster:
    """A head and nodes that join it. `address` is what `--on` takes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.nodes: list[RayNode] = []

    @property
    def address(self) -> str:
        return f"ray://127.0.0.1:{self.port}"

    def add(self, cpus: int = 1, *, prefix: tuple[str, ...] = ()) -> RayNode:
        """Begin a node and wait until it is there; the first one is the head."""
        # Two that begin at once on one machine may choose the same ports.
        with FileLock(Path(tempfile.gettempdir()) / "gleanset-ray-nodes.lock"):
            before = self._alive() if self.nodes else set()
            node = self._begin(cpus, prefix)
            # Ray itself chooses the address of the head.
            assert eventually(lambda: self._alive() - before, 180), "the node does not come"
        return node

    def _begin(self, cpus: int, prefix: tuple[str, ...]) -> RayNode:
        number = len(self.nodes) + 1
        address = f"127.0.0.{number}"
        if number == 1:
            place = ["--head", f"--port={self.port}", f"--temp-dir={self.folder}"]
            place += ["--include-dashboard=false"]
        else:
            place = [f"--address=127.0.0.1:{self.port}"]
        command = [*prefix, sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *place]
        command += [f"--node-ip-address={address}", f"--num-cpus={cpus}"]
        command += [f"--object-store-memory={_MEMORY}", "--include-log-monitor=false"]
        process = subprocess.Popen(
            [*command, "--disable-usage-stats"],
            env={**os.environ, **_QUICK, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.nodes.append(RayNode(address, process))
        return self.nodes[-1]

    def _alive(self) -> set[str]:
        from ray._raylet import GcsClient

        with suppress(Exception):
            nodes = GcsClient(address=f"127.0.0.1:{self.port}").get_all_node_info().values()
            return {node.node_manager_address for node in nodes if node.state == 0}
        time.sleep(0.2)
        return set()

    def stop(self) -> None:
        """End all nodes."""
        for node in self.nodes:
            with suppress(ProcessLookupError):
                for pid in node.processes():
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGCONT)
            node.kill()


@contextmanager
def ray_cluster(*cpus: int) -> Iterator[RayCluster]:
    """Give a cluster of nodes with so many CPUs each."""
    # The names of its sockets must be short.
    folder = Path(tempfile.mkdtemp(prefix="gr", dir="/tmp"))
    cluster = RayCluster(folder)
    try:
        for room in cpus:
            cluster.add(room)
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
