"""Pace and retries of a site that is asked through a package of its own; see `sessions`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from threading import Lock
from typing import TypeVar

from gleanset.errors import GleansetError
from harvest.http import DownloadLimits
from harvest.http.throttle import backoff
from harvest.http.urls import host_of

_STEP = 0.2
_Answer = TypeVar("_Answer")


class PassingTrouble(Exception):
    """A call failed in a way that may be over soon.

    `error` is what to raise if it is not; `wait` are the seconds that the site asked for.
    """

    def __init__(self, error: GleansetError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait


class SiteThrottle:
    """One request at a time on a host, their starts `seconds` apart. Thread-safe.

    Sites count the calls of an account, so that every session of a site shares one throttle,
    which outlives them and their clients.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._busy: dict[str, Lock] = {}
        self._not_before: dict[str, float] = {}

    @contextmanager
    def turn(self, host: str, check: Callable[[], None]) -> Iterator[None]:
        """Wait until the host may be asked, and keep others waiting until left.

        `check` raises what ends the waiting, because closing a client does not wake who waits
        here; it is called several times a second.
        """
        busy = self._busy.setdefault(host, Lock())
        while not busy.acquire(timeout=_STEP):
            check()
        try:
            while (pause := self._not_before.get(host, 0.0) - time.monotonic()) > 0:
                check()
                time.sleep(min(pause, _STEP))
            self._hold(host, self._seconds)
            yield
        finally:
            busy.release()

    def retrying(self, url: str, limits: DownloadLimits, call: Callable[[], _Answer]) -> _Answer:
        """Return what `call` returns; where it raises `PassingTrouble`, wait and call again.

        Nobody asks the host of `url` meanwhile. Raises the trouble's error after the last of
        the limits' retries, or when the site wants a longer pause than they allow: to come
        back earlier would be rude.
        """
        for attempt in count():
            try:
                return call()
            except PassingTrouble as trouble:
                wait = backoff(attempt, limits.backoff) if trouble.wait is None else trouble.wait
                if attempt >= limits.retries or wait > limits.max_wait:
                    raise trouble.error from trouble.__cause__
                self._hold(host_of(url), wait)
        raise AssertionError("count() has no end")

    def _hold(self, host: str, seconds: float) -> None:
        until = time.monotonic() + seconds
        self._not_before[host] = max(self._not_before.get(host, 0.0), until)
