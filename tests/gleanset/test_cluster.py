"""Work on the nodes of a real Ray cluster on loopback, compared with local processes."""

import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pool_jobs
import pytest
from tools_for_tests import ROOT, eventually, run_here

from gleanset import Dataset
from gleanset.errors import InputUnusable, MissingComponent, Unreadable
from gleanset.installation import install_command
from gleanset.work.cluster import Cluster, NodeCheck, installed_versions, run_item
from gleanset.work.pool import Outcome, run_over

SAMPLE = ROOT / "datasets" / "sample" / "pictures"
NEEDS_RAY = pytest.mark.skipif(
    find_spec("ray") is None or sys.platform != "linux",
    reason="runs a cluster at 127.0.0.2 on Linux: pip install 'gleanset[cluster]'",
)
AGENT_PORTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)
# A dead node is noticed after some seconds, and a busy one is not considered dead. Ray's workers
# have niceness 15 by default, with which they would starve beside the processes of other tests.
NODE_CONFIG = {
    "worker_niceness": 0,
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_timeout_ms": 10000,
    "health_check_failure_threshold": 3,
}


@dataclass
class Nodes:
    """A cluster of Ray's own test tools; `second` may be killed."""

    cluster: Any
    second: Any

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    def kill_second(self) -> None:
        self.cluster.remove_node(self.second, allow_graceful=False)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    # With a token, only this process can join or run anything there.
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    with pytest.MonkeyPatch.context() as patch:
        paths = os.pathsep.join([str(ROOT), *sys.path])
        Path(tempfile.gettempdir(), "ray").mkdir(exist_ok=True)  # Ray notes its address there
        for name, value in {**token, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": paths}.items():
            patch.setenv(name, value)
        from ray.cluster_utils import Cluster as LocalCluster

        # Socket paths have a limited length.
        folder = Path(tempfile.mkdtemp(prefix="gr", dir="/tmp"))
        (folder / "session").mkdir()
        head: dict[str, Any] = {"session_name": "session", "temp_dir": str(folder)}
        head |= {"_system_config": NODE_CONFIG, "include_dashboard": False, "no_monitor": True}
        cluster = LocalCluster(initialize_head=True, head_node_args=head | _node(folder))
        try:
            yield Nodes(cluster, cluster.add_node(**_node(folder)))
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def _node(folder: Path) -> dict[str, Any]:
    """Return options of a node that does not wait for its agents.

    A node exits if its agents have not written their port files within 15 s, which a busy machine
    needs to start Python: so the files are there before it starts.
    """
    import ray

    node_id = ray.NodeID.from_random().hex()
    sockets = [socket.create_server(("127.0.0.2", 0)) for _ in AGENT_PORTS]
    ports = {name: sock.getsockname()[1] for name, sock in zip(AGENT_PORTS, sockets, strict=True)}
    for sock in sockets:
        sock.close()
    for name, port in ports.items():
        (folder / "session" / f"{name}_{node_id}").write_text(str(port))
    return {
        "num_cpus": 1,
        "object_store_memory": 80 * 2**20,
        "include_log_monitor": False,
        # Ray replaces 127.0.0.1 by another address of the machine.
        "node_ip_address": "127.0.0.2",
        "env_vars": {"RAY_OVERRIDE_NODE_ID_FOR_TESTING": node_id},
        **ports,
    }


def test_missing_ray_raises_error_with_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingComponent) as caught:
        list(run_over(pool_jobs.double, [1], Cluster("127.0.0.1:9", (tmp_path,))))
    assert caught.value.fix == install_command("cluster")


def test_run_item_returns_result_or_exception(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check = NodeCheck("", (), (), installed_versions(), tmp_path)
    outcomes = [run_item(check, 60.0, pool_jobs.fail_sometimes, n) for n in range(3)]
    assert outcomes[0] == (0, None)
    assert isinstance(outcomes[1][1], Unreadable)
    assert isinstance(outcomes[2][1], ZeroDivisionError)
    assert "pool_jobs.py" in outcomes[2][1].__notes__[0]


def test_unsuitable_node_raises_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"x")
    files = ((tmp_path / "file", 2), (tmp_path / "missing", 1))
    check = NodeCheck("mark", (tmp_path,), files, (("numpy", "0.1"),), tmp_path)
    _, error = run_item(check, 60.0, pool_jobs.double, 1)
    assert isinstance(error, InputUnusable)
    for problem in (
        f"does not see {tmp_path} (",
        f"sees another file at {tmp_path}/file",
        f"does not see {tmp_path}/missing (",
        "not 0.1",
    ):
        assert problem in error.what


@NEEDS_RAY
@pytest.mark.long
def test_item_that_kills_worker_twice_fails(nodes: Nodes, tmp_path: Path) -> None:
    job = pool_jobs.DiesOnce(tmp_path, (3,), times=2)
    with Cluster(nodes.address, (tmp_path,)).keep("") as workers:
        outcomes = {o.item: o for o in run_over(job, range(5), workers)}
        rejected = {o.item: o for o in run_over(pool_jobs.fail_sometimes, range(4), workers)}
    assert outcomes.pop(3).reason == "crashed"
    assert {n: o.result for n, o in outcomes.items()} == {n: n for n in (0, 1, 2, 4)}
    assert rejected[1] == Outcome(1, None, "truncated", "at byte 9")
    assert rejected[2] == Outcome(2, None, "internal error", "ZeroDivisionError: oh")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3-0", "3-1"]


@NEEDS_RAY
@pytest.mark.long
def test_results_with_lost_node_equal_local_run(nodes: Nodes, tmp_path: Path) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for picture in sorted(SAMPLE.glob("*.jpg"))[:24]:
        shutil.copy(picture, pictures)
    local, remote = tmp_path / "here", tmp_path / "there"
    for root in (local, remote):
        run("harvest.cli", "folder", pictures, "-d", root)
    search = ("facecrop.cli", "run", "--detector", "drawnface", "-d")
    run(*search, local)
    killer = threading.Thread(target=_kill_in_the_middle, args=(nodes, remote))
    killer.start()
    run(*search, remote, "--on", f"ray://{nodes.address}")
    killer.join()
    run("labeler.cli", "dedup", "-d", local)
    run("labeler.cli", "dedup", "-d", remote, "--on", f"ray://{nodes.address}")
    for kind in ("images", "faces", "samples", "groups", "rejections"):
        rows = [rows_of(kind, root) for root in (local, remote)]
        assert rows[0] == rows[1], kind
    assert len(rows_of("faces", local)) > 5
    assert not list(remote.rglob(".cluster-*"))


def _kill_in_the_middle(nodes: Nodes, root: Path) -> None:
    def searched() -> int:
        with Dataset.open(root) as dataset:
            return dataset.images.count() - dataset.images.count_unprocessed()

    eventually(lambda: searched() > 2, 120)
    nodes.kill_second()


def run(*words: object) -> None:
    run_here(*words).checked()


def rows_of(kind: str, root: Path) -> list[Any]:
    ran = run_here("pipeline.cli", "list", kind, "-d", root)
    return [json.loads(line) for line in ran.stdout.replace(f"{root}/", "").splitlines()]
