"""Parallel runs over many items: results, errors, dead workers, slow items, bounded reading."""

import logging
import multiprocessing
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from threading import Event, Thread
from types import FrameType
from typing import Any

import pool_jobs
import pytest
from tools_for_tests import eventually, is_running, python

from gleanset.errors import Blocked, DiskFull, RateLimited, Unreadable
from gleanset.work.pool import (
    IN_FLIGHT_PER_WORKER,
    Outcome,
    Processes,
    Threads,
    run_batches,
    run_over,
)

Workers = Processes | Threads


@pytest.fixture(scope="module")
def processes() -> Iterator[Processes]:
    """Yield two workers, for all tests that kill none."""
    with Processes(2).keep("pool_jobs") as workers:
        yield workers


@pytest.fixture(params=["processes", "threads"])
def workers(request: pytest.FixtureRequest, processes: Processes) -> Workers:
    return processes if request.param == "processes" else Threads(4)


def test_run_over_yields_every_result(workers: Workers) -> None:
    result = list(run_over(pool_jobs.double, range(50), workers))
    assert sorted((o.item, o.result) for o in result) == [(n, 2 * n) for n in range(50)]
    assert all(o.reason is None for o in result)
    assert list(run_over(pool_jobs.double, [], workers)) == []


def test_failed_item_does_not_stop_the_run(
    workers: Workers, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        result = {
            o.item: o for o in run_over(pool_jobs.fail_sometimes, range(6), workers)
        }
    assert result[1] == Outcome(1, None, "truncated", "at byte 9")
    assert result[2] == Outcome(2, None, "internal error", "ZeroDivisionError: oh")
    assert [result[n].result for n in (0, 3, 4, 5)] == [0, 3, 4, 5]
    # Bugs in our code are not hidden: the traceback is in the log.
    assert "ZeroDivisionError" in caplog.text
    assert "pool_jobs.py" in caplog.text
    assert "truncated" not in caplog.text


def test_user_error_stops_the_run(workers: Workers) -> None:
    with pytest.raises(DiskFull, match="no space left for x") as caught:
        list(run_over(pool_jobs.out_of_space, range(10_000_000), workers))
    assert caught.value.fix == "free some"


def test_errors_keep_attributes_across_processes(processes: Processes) -> None:
    with pytest.raises(RateLimited) as caught:
        list(run_over(pool_jobs.rate_limited, [1], processes))
    assert (caught.value.what, caught.value.fix) == ("site said no", "wait")


def test_item_of_killed_worker_is_retried(tmp_path: Path) -> None:
    job = pool_jobs.DiesOnce(tmp_path, (3, 7))
    result = list(run_over(job, range(12), Processes(2)))
    assert [o for o in result if o.reason is not None] == []
    assert sorted((o.item, o.result) for o in result) == [(n, n) for n in range(12)]


def test_item_that_kills_worker_twice_fails(tmp_path: Path) -> None:
    job = pool_jobs.DiesOnce(tmp_path, (3,), times=2)
    result = {o.item: o for o in run_over(job, range(8), Processes(2))}
    assert result[3].reason == "crashed"
    assert sorted(n for n, o in result.items() if o.result == n) == [
        0,
        1,
        2,
        4,
        5,
        6,
        7,
    ]


@pytest.mark.slow
def test_deaths_are_noticed_while_the_interpreter_is_busy() -> None:
    """Pebble's threads then take turns at random: one may see a death before its messages."""
    is_over = Event()

    def compute() -> None:
        while not is_over.is_set():
            sum(range(200_000))

    thread = Thread(target=compute)
    thread.start()
    try:
        result = list(run_over(pool_jobs.die, range(12), Processes(3, 10.0)))
    finally:
        is_over.set()
        thread.join()
    assert [o.reason for o in result] == ["crashed"] * 12


@pytest.mark.timed
def test_slow_item_times_out() -> None:
    start = time.monotonic()
    result = {o.item: o for o in run_over(pool_jobs.slow, range(5), Processes(2, 0.5))}
    assert result[1].reason == "too slow"
    assert sorted(n for n, o in result.items() if o.result == n) == [0, 2, 3, 4]
    assert time.monotonic() - start < 50


@pytest.mark.parametrize(
    ("job", "reason"),
    [(pool_jobs.unpicklable, "crashed"), (pool_jobs.runaway, "internal error")],
)
def test_unpicklable_and_runaway_jobs_fail(
    job: Callable[[int], object], reason: str
) -> None:
    result = list(run_over(job, [1], Processes(1)))
    assert [o.reason for o in result] == [reason]


def test_large_results_are_returned(processes: Processes) -> None:
    result = run_over(pool_jobs.big, range(6), processes)
    assert [len(o.result or b"") for o in result] == [5_000_000] * 6


def test_c_library_output_is_suppressed(
    processes: Processes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert len(list(run_over(pool_jobs.noisy, range(3), processes))) == 3
    assert "libtiff" not in capfd.readouterr().err


def test_items_are_read_lazily(workers: Workers) -> None:
    read = 0

    def endless() -> Iterator[int]:
        nonlocal read
        while True:
            read += 1
            yield read

    outcomes = run_over(pool_jobs.double, endless(), workers)
    for count, _ in enumerate(outcomes, start=1):
        assert read - count <= workers.number * IN_FLIGHT_PER_WORKER
        if count == 60:
            break
    outcomes.close()  # type: ignore[attr-defined]


def test_batches_contain_each_outcome_once(workers: Workers) -> None:
    batches = list(run_batches(pool_jobs.double, range(200), workers))
    assert sorted(o.unwrap() for batch in batches for o in batch) == list(
        range(0, 400, 2)
    )
    assert 0 < len(batches) < 100
    assert all(batches)


def test_may_start_limits_submitted_items(workers: Workers) -> None:
    done = 0
    in_flight_counts: list[int] = []

    def may_start(in_flight: int) -> bool:
        in_flight_counts.append(in_flight)
        return done + in_flight < 7

    for outcome in run_over(pool_jobs.double, range(1000), workers, may_start):
        done += outcome.result is not None
    assert done == 7
    assert max(in_flight_counts) <= 7


def test_error_in_iterator_keeps_running_items(workers: Workers) -> None:
    def source() -> Iterator[int]:
        yield from range(3)
        raise Blocked("captcha", "wait")

    result: list[int | None] = []
    with pytest.raises(Blocked, match="captcha"):
        result.extend(
            o.result for o in run_over(pool_jobs.sleep_briefly, source(), workers)
        )
    assert sorted(r for r in result if r is not None) == [0, 1, 2]
    batches = run_batches(pool_jobs.double, source(), workers)
    outcomes: list[Outcome[int, int]] = []
    with pytest.raises(Blocked, match="captcha"):
        outcomes.extend(chain.from_iterable(batches))
    assert sorted(o.unwrap() for o in outcomes) == [0, 2, 4]


def test_closing_early_stops_waiting_threads() -> None:
    stopped = Event()
    started = Counter[str]()

    def wait(number: int) -> int:
        started["begun"] += 1
        if number and not stopped.wait(60):
            raise Unreadable("too slow")
        return number

    start = time.monotonic()
    outcomes = run_over(wait, range(100), Threads(3, stop=stopped.set))
    assert next(outcomes).item == 0
    outcomes.close()  # type: ignore[attr-defined]
    assert stopped.is_set()
    assert time.monotonic() - start < 50
    assert started["begun"] <= 3 * IN_FLIGHT_PER_WORKER


@pytest.mark.parametrize("workers", [Processes(1), Threads(1)])
def test_ctrl_c_while_lock_is_held_ends_the_run(workers: Workers) -> None:
    def press(frame: FrameType, event: str, function: Any) -> None:
        if (
            event == "c_return"
            and frame.f_code.co_name == function.__name__ == "__enter__"
        ):
            sys.setprofile(None)
            signal.raise_signal(signal.SIGINT)

    def items() -> Iterator[int]:
        yield from range(2)
        sys.setprofile(press)
        yield from range(9)

    with pytest.raises(KeyboardInterrupt):
        list(run_over(pool_jobs.double, items(), workers))


def test_consumer_error_ends_all_workers() -> None:
    before = set(multiprocessing.active_children())

    def consume() -> None:
        for _ in run_over(pool_jobs.sleep_briefly, range(100), Processes(2)):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        consume()
    assert eventually(lambda: set(multiprocessing.active_children()) <= before)


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent(
    tmp_path: Path, signal_number: signal.Signals
) -> None:
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import pool_jobs; from gleanset.work.pool import *\n"
        "if __name__ == '__main__':\n"
        "    for _ in run_over(pool_jobs.write_pid_and_sleep, [sys.argv[1]] * 6, Processes(2)):\n"
        "        pass"
    )
    # Workers import the main module again, so it must be a file.
    script = tmp_path / "main_script.py"
    script.write_text(code)
    pids = tmp_path / "pids"
    pids.mkdir()
    process = python(
        f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", pids
    )
    try:
        assert eventually(lambda: len(list(pids.iterdir())) == 2)
        process.send_signal(signal_number)
        workers = [int(path.name) for path in pids.iterdir()]
        assert eventually(lambda: not any(is_running(pid) for pid in workers))
    finally:
        process.kill()
        process.communicate()
