"""Start and end of workers: silent, at whatever moment a run is interrupted."""

from __future__ import annotations

import multiprocessing.forkserver
import multiprocessing.spawn
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pool_jobs
import pytest
from tools_for_tests import Ran, python_path, run_to_its_end

from gleanset.errors import GleansetError
from gleanset.work import processes
from gleanset.work.pool import Processes, run_over

INTERRUPTED = 130
SCRIPT = """
import sys; sys.path.insert(0, {here!r})
import pool_jobs
from gleanset.work.pool import Processes, run_over
if __name__ == "__main__":
    print("begun", flush=True)
    try:
        list(run_over(pool_jobs.nap, range(200), Processes(4)))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def without_workers(folder: Path, wanted: str) -> str:
    """Write a Python that runs the shell code `wanted` for workers."""
    file = folder / "python"
    file.write_text(
        f'#!/bin/sh\ncase "$*" in *spawn_main*|*forkserver*) {wanted};; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    file.chmod(0o755)
    return str(file)


@pytest.fixture
def _no_server() -> Iterator[None]:
    """Stop the fork server, so that the test starts its own."""
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]
    yield
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("_no_server")
def test_a_worker_multiplies_matrices_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker per core: more threads would only wait for each other."""
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    with Processes(1).keep("pool_jobs") as workers:
        (numpy,) = run_over(pool_jobs.matrix_threads, [0], workers)
        (opencv,) = run_over(pool_jobs.opencv_threads, [0], workers)
    assert (numpy.unwrap(), opencv.unwrap()) == ({1}, 1)


@pytest.mark.usefixtures("_no_server")
@pytest.mark.parametrize("count", [1, 30])
def test_workers_that_cannot_begin_are_an_error_with_its_mend(
    count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = without_workers(tmp_path, "exit 1")
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", os.fsencode(python))
    assert_no_worker_begins(count)


@pytest.mark.parametrize("count", [1, 30])
def test_workers_that_die_at_once_are_an_error_with_its_mend(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "begin_worker", pool_jobs.dies)
    assert_no_worker_begins(count)


def assert_no_worker_begins(count: int) -> None:
    start = time.monotonic()
    with pytest.raises(GleansetError, match="end as soon as they begin") as caught:
        list(run_over(pool_jobs.double, range(count), Processes(2)))
    assert "--workers 1" in caught.value.fix
    assert time.monotonic() - start < 60


def test_a_script_that_every_worker_runs_is_told_so(tmp_path: Path) -> None:
    begin = "from gleanset.work.pool import Processes, run_over\n"
    work = "print([done.result for done in run_over(len, ['a'], Processes(1))])\n"

    def ran(text: str) -> Ran:
        (tmp_path / "script.py").write_text(text)
        line: list[str | bytes] = [sys.executable, str(tmp_path / "script.py")]
        return run_to_its_end(line, tmp_path, {"PYTHONPATH": python_path()}, 60)

    plain = ran(begin + work)
    assert plain.code == 1
    fix = plain.stderr.rstrip().rpartition("behind: ")[2]
    assert ran(f"{begin}{fix} {work}").stdout == "[1]\n"


@pytest.mark.usefixtures("_no_server")
def test_workers_that_could_not_begin_once_are_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first process removes the stone and fails; all later ones work.
    stone = tmp_path / "stone"
    stone.touch()
    python = without_workers(tmp_path, f"rm {stone} 2>/dev/null && exit 1")
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", os.fsencode(python))
    result = list(run_over(pool_jobs.double, range(9), Processes(1)))
    assert sorted(o.result or 0 for o in result) == [2 * n for n in range(9)]
    assert not stone.exists()


def test_workers_that_died_at_once_are_begun_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stone = tmp_path / "stone"
    stone.touch()
    monkeypatch.setattr(processes, "begin_worker", pool_jobs.StumblesOnce(stone))
    result = list(run_over(pool_jobs.double, range(9), Processes(1)))
    assert sorted(o.result or 0 for o in result) == [2 * n for n in range(9)]
    assert not stone.exists()


def test_workers_have_the_environment_of_now(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("one", "two"):
        monkeypatch.setenv("GLEANSET_TEST", value)
        [result] = run_over(pool_jobs.variable, ["GLEANSET_TEST"], Processes(1))
        assert result.result == value
    monkeypatch.delenv("GLEANSET_TEST")
    [result] = run_over(pool_jobs.variable, ["GLEANSET_TEST"], Processes(1))
    assert result.result == ""


@pytest.mark.slow
def test_a_run_that_ends_while_workers_begin_says_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for _ in range(3):
        assert [o.result for o in run_over(pool_jobs.double, [4], Processes(6))] == [8]
    assert capfd.readouterr().err == ""


@pytest.mark.posix("the terminal of a group of processes")
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="process groups are a thing of POSIX")
@pytest.mark.slow
def test_an_interrupt_of_the_terminal_is_silent_at_every_moment(tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent)))
    for delay in (0.0, 0.05, 0.1, 0.2):
        process = subprocess.Popen(
            [sys.executable, script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        _, message = process.communicate(timeout=60)
        assert (process.returncode, message) == (INTERRUPTED, ""), delay
