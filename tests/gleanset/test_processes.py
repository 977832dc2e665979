"""Worker processes and the handling of Ctrl-C."""

import multiprocessing.forkserver
import multiprocessing.spawn
import os
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pool_jobs
import pytest
from tools_for_tests import (
    ROOT,
    Ran,
    python_path,
    run_to_its_end,
    start_server_of_workers,
)

from gleanset.errors import GleansetError
from gleanset.work import processes
from gleanset.work.pool import Processes, run_over

INTERRUPTED = 130
SCRIPT = """
import sys; sys.path.insert(0, {here!r})
import pool_jobs
from gleanset.work.pool import Processes, run_over
if __name__ == "__main__":
    try:
        print("begun", flush=True)
        list(run_over(pool_jobs.sleep_briefly, range(200), Processes(4)))
    except KeyboardInterrupt:
        sys.exit(130)
"""


def python_with_broken_workers(folder: Path, shell_code: str) -> str:
    """Write a Python that runs the shell code `wanted` for workers."""
    file = folder / "python"
    file.write_text(
        f'#!/bin/sh\ncase "$*" in *spawn_main*|*forkserver*) {shell_code};; esac\n'
        f'exec {sys.executable} "$@"\n'
    )
    file.chmod(0o755)
    return str(file)


@pytest.fixture(scope="module", autouse=True)
def _server_for_later_tests() -> Iterator[None]:
    """Start again, in a parallel run, the server that these tests stop."""
    yield
    if "PYTEST_XDIST_WORKER" in os.environ:
        multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]
        start_server_of_workers()


@pytest.fixture
def _no_server() -> Iterator[None]:
    """Stop the fork server, so that the test starts its own."""
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]
    yield
    multiprocessing.forkserver._forkserver._stop()  # type: ignore[attr-defined]


@pytest.mark.usefixtures("_no_server")
def test_worker_uses_one_matrix_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """One worker per core: more threads would only wait for each other."""
    for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(variable, raising=False)
    with Processes(1).keep("pool_jobs") as workers:
        (numpy,) = run_over(pool_jobs.matrix_threads, [0], workers)
        (opencv,) = run_over(pool_jobs.opencv_threads, [0], workers)
    assert (numpy.unwrap(), opencv.unwrap()) == ({1}, 1)


@pytest.fixture(params=["not started", "dies at start"])
def fail_start(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    _no_server: None,
) -> Callable[[bool], Path]:
    """Return a function that makes the first or every worker fail to start."""

    def fail(only_first: bool) -> Path:
        marker = tmp_path / "marker"
        marker.touch()
        if request.param == "not started":
            condition = f"rm {marker} 2>/dev/null && " if only_first else ""
            python = python_with_broken_workers(tmp_path, f"{condition}exit 1")
            monkeypatch.setattr(
                multiprocessing.spawn, "_python_exe", os.fsencode(python)
            )
        else:
            begin = (
                pool_jobs.DiesOnceAtStart(marker)
                if only_first
                else pool_jobs.die_at_start
            )
            monkeypatch.setattr(processes, "begin_worker", begin)
        return marker

    return fail


@pytest.mark.parametrize("count", [1, 30])
def test_workers_that_cannot_start_raise_error(
    count: int, fail_start: Callable[[bool], Path]
) -> None:
    fail_start(False)
    with pytest.raises(GleansetError, match="end as soon as they begin") as caught:
        list(run_over(pool_jobs.double, range(count), Processes(2)))
    assert "--workers 1" in caught.value.fix


def test_worker_that_could_not_start_is_restarted(
    fail_start: Callable[[bool], Path],
) -> None:
    marker = fail_start(True)
    result = list(run_over(pool_jobs.double, range(9), Processes(1)))
    assert sorted(o.result or 0 for o in result) == [2 * n for n in range(9)]
    assert not marker.exists()


def test_script_without_main_guard_raises_error(tmp_path: Path) -> None:
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


def test_workers_get_current_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("one", "two"):
        monkeypatch.setenv("GLEANSET_TEST", value)
        [result] = run_over(pool_jobs.variable, ["GLEANSET_TEST"], Processes(1))
        assert result.result == value
    monkeypatch.delenv("GLEANSET_TEST")
    [result] = run_over(pool_jobs.variable, ["GLEANSET_TEST"], Processes(1))
    assert result.result == ""


@pytest.mark.slow
def test_ending_during_worker_start_is_silent(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):
        assert [o.result for o in run_over(pool_jobs.double, [4], Processes(6))] == [8]
    assert capfd.readouterr().err == ""


@pytest.mark.posix("the terminal of a group of processes")
@pytest.mark.skipif(
    not hasattr(os, "killpg"), reason="process groups are a thing of POSIX"
)
@pytest.mark.slow
def test_ctrl_c_is_silent_at_any_time(tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent)))
    for delay in (0.0, 0.1):
        process = subprocess.Popen(
            [sys.executable, script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert process.stdout.readline() == "begun\n"
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGINT)
        _, message = process.communicate(timeout=60)
        assert (process.returncode, message) == (INTERRUPTED, ""), delay


SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
# Interrupts itself at the moment when this module is imported.
INTERRUPTED_IMPORT = """
import os, signal, sys

class Press:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Press())
sys.argv = ["command", "--help"]
from {module} import {function}
{function}()
"""


def run_interrupted(script: str, before: str = "") -> subprocess.CompletedProcess[str]:
    module, function = SCRIPTS[script].split(":")
    code = before + INTERRUPTED_IMPORT.format(module=module, function=function)
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("script", ["gleanset", "labeler"])
def test_ctrl_c_during_import_prints_no_traceback(script: str) -> None:
    done = run_interrupted(script)
    assert (done.returncode, done.stderr.strip()) == (
        130,
        "interrupted; nothing was done",
    )
    assert done.stdout == ""


def test_ignored_ctrl_c_stays_ignored() -> None:
    ignoring = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    done = run_interrupted("harvest", ignoring)
    assert done.returncode == 0
    assert "Usage" in done.stdout
