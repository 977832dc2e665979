"""Pace and retries of a site that is asked through a package of its own; see `sessions`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import TypeVar

from gleanset.errors import GleansetError
from harvest.http import DownloadLimits
from harvest.http.throttle import HostSlots, backoff
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
        self._slots = HostSlots(1, seconds)

    @contextmanager
    def turn(self, host: str, check: Callable[[], None]) -> Iterator[None]:
        """Wait until the host may be asked, and keep others waiting until left.

        `check` raises what ends the waiting, because closing a client does not wake who waits
        here; it is called several times a second.
        """
        while seconds := self._slots.acquire(host):
            check()
            with self._slots.changed:
                self._slots.changed.wait(min(seconds, _STEP))
        try:
            yield
        finally:
            self._slots.release(host)

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
                self._slots.hold(host_of(url), wait)
        raise AssertionError("count() has no end")
