"""Work on the nodes of a real Ray cluster on loopback: as in processes here, whatever dies."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pool_jobs
import pytest
from ray_nodes import NEEDS_RAY, RayCluster, ray_cluster
from tools_for_tests import ROOT, eventually, is_running

from gleanset import Dataset
from gleanset.errors import DiskFull, GleansetError, InputUnusable, MissingComponent, RateLimited
from gleanset.installation import install_command
from gleanset.work.cluster import Cluster
from gleanset.work.pool import Outcome, run_over


def on(cluster: RayCluster, *folders: Path) -> Cluster:
    return Cluster(cluster.address.removeprefix("ray://"), folders)


@pytest.mark.posix("an alarm for an item that is too slow")
@NEEDS_RAY
@pytest.mark.slow
def test_items_are_done_on_a_cluster(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with ray_cluster(2) as cluster, on(cluster, tmp_path).keep("") as workers:
        found = {o.item: o for o in run_over(pool_jobs.sometimes, range(20), workers)}
        threads = [o.unwrap() for o in run_over(pool_jobs.opencv_threads, range(2), workers)]
        job = pool_jobs.DiesOnce(tmp_path, (3,))
        after_death = list(run_over(job, range(6), workers))
        with pytest.raises(DiskFull, match="no space left for x"):
            list(run_over(pool_jobs.out_of_space, range(10_000_000), workers))
    # A node has as many workers as cores: threads of their own would wait for each other.
    assert threads == [1, 1]
    assert found[1] == Outcome(1, None, "truncated", "at byte 9")
    assert found[2] == Outcome(2, None, "internal error", "ZeroDivisionError: oh")
    assert [found[n].result for n in range(3, 20)] == list(range(3, 20))
    # Where a bug of ours struck on a node is in the log here.
    assert "pool_jobs.py" in caplog.text
    assert sorted((o.item, o.result) for o in after_death) == [(n, n) for n in range(6)]
    # Nothing is left behind by the question what the nodes see.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["3-0"]


def test_without_ray_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingComponent) as caught:
        list(run_over(pool_jobs.double, [1], Cluster("127.0.0.1:9", (tmp_path,))))
    assert caught.value.mend == install_command("cluster")


@NEEDS_RAY
def test_where_no_cluster_answers_it_is_said_at_once(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(InputUnusable, match="no cluster answers") as caught:
        list(run_over(pool_jobs.double, [1], Cluster("127.0.0.1:9", (tmp_path,))))
    assert "ray start --head --port=9" in caught.value.mend
    assert time.monotonic() - start < 30


def test_nothing_to_do_needs_no_cluster(tmp_path: Path) -> None:
    assert list(run_over(pool_jobs.double, [], Cluster("127.0.0.1:9", (tmp_path,)))) == []


def test_where_work_runs_is_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Dataset.create(tmp_path / "made") as dataset:
        assert not isinstance(dataset.workers(), Cluster)
    (tmp_path / "made" / "dataset.toml").write_text('[work]\non = "ray://10.0.0.5:6379"\n')
    monkeypatch.chdir(tmp_path)
    with Dataset.open("made") as dataset:
        workers = dataset.workers(4)
        assert isinstance(workers, Cluster)
        assert (workers.address, workers.number) == ("10.0.0.5:6379", 4)
        # Another machine has another current folder.
        assert workers.folders == (tmp_path / "made" / "cache",)
        dataset.work_on("here")
        assert not isinstance(dataset.workers(), Cluster)


# At length


@pytest.fixture(scope="module")
def three() -> Iterator[RayCluster]:
    """Two nodes that stay, and whatever else a test begins."""
    with ray_cluster(1, 1) as cluster:
        yield cluster


@NEEDS_RAY
@pytest.mark.long
def test_an_item_that_kills_twice_is_a_failure_and_costs_no_other(
    three: RayCluster, tmp_path: Path
) -> None:
    job = pool_jobs.DiesOnce(tmp_path, (3,), times=2)
    outcomes = {o.item: o for o in run_over(job, range(8), on(three, tmp_path))}
    assert outcomes.pop(3) == Outcome(3, None, "crashed", "the worker died on it twice")
    assert {n: o.result for n, o in outcomes.items()} == {n: n for n in (0, 1, 2, 4, 5, 6, 7)}


@NEEDS_RAY
@pytest.mark.long
def test_errors_and_large_results_come_through(three: RayCluster, tmp_path: Path) -> None:
    with on(three, tmp_path).keep("") as workers:
        with pytest.raises(RateLimited) as caught:
            list(run_over(pool_jobs.limited, [1], workers))
        assert (caught.value.what, caught.value.retry_after) == ("site said no", 12.5)
        large = run_over(pool_jobs.big, range(6), workers)
        assert [len(o.result or b"") for o in large] == [5_000_000] * 6
        [odd] = run_over(pool_jobs.runaway, [1], workers)
        assert odd.reason == "internal error"


@NEEDS_RAY
@pytest.mark.long
@pytest.mark.parametrize("job", [pool_jobs.slow, pool_jobs.slow_and_deaf])
def test_an_item_that_takes_too_long_on_two_nodes_is_a_failure(
    three: RayCluster, tmp_path: Path, job: Callable[[int], int]
) -> None:
    workers = replace(on(three, tmp_path), seconds_per_item=1.0)
    outcomes = {o.item: o for o in run_over(job, range(5), workers)}
    # Code that cannot be interrupted ends with its process.
    assert outcomes.pop(1).reason == {"slow": "too slow"}.get(job.__name__, "crashed")
    assert {n: o.result for n, o in outcomes.items()} == {n: n for n in (0, 2, 3, 4)}


@NEEDS_RAY
@pytest.mark.long
@pytest.mark.parametrize("how", ["kill", "freeze"])
def test_nodes_that_die_and_join_cost_time_and_nothing_else(
    three: RayCluster, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    doomed, joining = three.add(), threading.Thread(target=three.add)
    places, outcomes = set[str](), list[Outcome[int, str]]()
    # Two that stay, one that dies, one that joins.
    items = itertools.takewhile(lambda _: len(places) < 4, itertools.count())
    for outcome in run_over(pool_jobs.where_am_i, items, on(three, tmp_path)):
        outcomes.append(outcome)
        places.add(str(outcome.result))
        if len(places) == 3 and joining.ident is None:
            getattr(doomed, how)()
            joining.start()
    joining.join()
    assert sorted(o.item for o in outcomes) == list(range(len(outcomes)))
    assert [o for o in outcomes if o.reason is not None] == []
    assert len(places) == 4
    assert "left out" not in caplog.text
    doomed.kill()
    three.nodes[-1].kill()


@NEEDS_RAY
@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_nothing_runs_on_when_the_driver_ends(
    three: RayCluster, tmp_path: Path, how: signal.Signals
) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    code = (
        "import sys, pool_jobs; from pathlib import Path\n"
        "from gleanset.work.pool import run_over; from gleanset.work.cluster import Cluster\n"
        "workers = Cluster(sys.argv[1], (Path(sys.argv[2]),))\n"
        "list(run_over(pool_jobs.write_pid_and_sleep, [sys.argv[2]] * 6, workers))\n"
    )
    driver = subprocess.Popen(
        [sys.executable, "-c", code, three.address.removeprefix("ray://"), str(pids)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert eventually(lambda: sum(path.name.isdigit() for path in pids.iterdir()) == 2, 60)
        workers = [int(path.name) for path in pids.iterdir() if path.name.isdigit()]
        driver.send_signal(how)
        driver.communicate(timeout=30)
        assert eventually(lambda: not any(map(is_running, workers)))
    finally:
        driver.kill()


@NEEDS_RAY
@pytest.mark.long
@pytest.mark.skipif(os.name != "posix" or os.getuid() != 0, reason="mounts: sudo")
def test_a_node_that_sees_another_folder_is_told_before_any_work(
    three: RayCluster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unshare = shutil.which("unshare")
    if unshare is None:
        pytest.skip("needs util-linux")
    mount = f'mount -t tmpfs none {tmp_path} && exec "$@"'
    blind = three.add(prefix=(unshare, "-m", "sh", "-c", mount, "sh"))
    try:
        begun = tmp_path / "begun"
        with pytest.raises(InputUnusable, match="1 of 3 nodes cannot work") as caught:
            list(run_over(pool_jobs.touch, [str(begun)], on(three, tmp_path)))
        assert f"{blind.address}: does not see {tmp_path}" in str(caught.value)
        assert "under the same paths" in caught.value.mend
        assert not begun.exists()
    finally:
        blind.kill()


@NEEDS_RAY
@pytest.mark.long
def test_what_a_node_has_not_installed_ends_the_run(three: RayCluster, tmp_path: Path) -> None:
    (tmp_path / "only_here.py").write_text("def job(number):\n    return number\n")
    sys.path.insert(0, str(tmp_path))
    try:
        from only_here import job  # type: ignore[import-not-found]

        with pytest.raises(GleansetError, match="No module named 'only_here'"):
            list(run_over(job, range(5), on(three, tmp_path)))
    finally:
        sys.path.remove(str(tmp_path))


@pytest.fixture(autouse=True)
def _as_commands_log() -> Iterator[None]:
    """Ray changes how the root logger speaks."""
    root = logging.getLogger()
    before = root.level
    yield
    root.setLevel(before)
