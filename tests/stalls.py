"""Timing tests on a machine that sometimes stalls: they are repeated."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

# Seconds of stall that a timing test must tolerate, and how often it is run at most.
BORNE = 0.1
TRIES = 5


class StallWatch:
    """A monitor of the longest delay, in seconds, of this process."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> StallWatch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        last = time.monotonic()
        while not self._ended.wait(0.01):
            now = time.monotonic()
            self.longest = max(self.longest, now - last - 0.01)
            last = now


def run_until_calm(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Run a test; repeat it where it failed while the machine stalled."""
    hook = item.ihook
    started = {"nodeid": item.nodeid, "location": item.location}
    hook.pytest_runtest_logstart(**started)
    for _ in range(TRIES):
        _with_new_fixtures(item)
        with StallWatch() as watch:
            reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if watch.longest < BORNE or not any(report.failed for report in reports):
            break
    for report in reports:
        hook.pytest_runtest_logreport(report=report)
    hook.pytest_runtest_logfinish(**started)


def _with_new_fixtures(item: Any) -> None:
    item._initrequest()
