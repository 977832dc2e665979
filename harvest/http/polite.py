"""Taking turns: how many requests one host sees at a time, and when it wants none."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gleanset.errors import GleansetError


class Closed(GleansetError):
    """The client was closed while a request waited or was under way."""

    exit_code = 130


@dataclass(slots=True)
class _Host:
    delay: float
    running: int = 0
    not_before: float = 0.0


class Hosts:
    """Every host's queue. Thread-safe; all waiting ends with `Closed` on `close`.

    `per_host` requests run on one host at a time, `delay` seconds apart at their start, or more
    on a host that asked for more.
    """

    def __init__(self, per_host: int, delay: float) -> None:
        self._per_host = per_host
        self._delay = delay
        self._hosts: dict[str, _Host] = {}
        self._changed = threading.Condition()
        self.closed = False

    @contextmanager
    def turn(self, host: str) -> Iterator[None]:
        """Wait until this host may be asked, and keep the place until left."""
        self._enter(host)
        try:
            yield
        finally:
            with self._changed:
                self._hosts[host].running -= 1
                self._changed.notify_all()

    def hold(self, host: str, seconds: float) -> None:
        """Nobody starts on this host for so long: it asked for it."""
        with self._changed:
            state = self._state(host)
            state.not_before = max(state.not_before, time.monotonic() + seconds)

    def slow_down(self, host: str, delay: float) -> None:
        """Starts on this host are at least so many seconds apart, from now on."""
        with self._changed:
            state = self._state(host)
            state.delay = max(state.delay, delay)
            state.not_before = max(state.not_before, time.monotonic() + delay)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until `close`: whether it is closed."""
        with self._changed:
            return self._changed.wait_for(lambda: self.closed, seconds)

    def sleep(self, seconds: float) -> None:
        """Wait, unless the client is closed meanwhile."""
        if self.wait(seconds):
            raise Closed("The download was stopped.")

    def close(self) -> None:
        """Wake everyone who waits; nobody starts any more."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _enter(self, host: str) -> None:
        with self._changed:
            state = self._state(host)
            while not self.closed and not self._free(state):
                self._changed.wait(self._pause(state))
            if self.closed:
                raise Closed("The download was stopped.")
            state.running += 1
            state.not_before = max(state.not_before, time.monotonic() + state.delay)

    def _state(self, host: str) -> _Host:
        return self._hosts.setdefault(host, _Host(self._delay))

    def _free(self, state: _Host) -> bool:
        return state.running < self._per_host and time.monotonic() >= state.not_before

    def _pause(self, state: _Host) -> float | None:
        # None: until somebody leaves. Otherwise until the host may be asked again.
        pause = state.not_before - time.monotonic()
        return pause if pause > 0 else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from now that `Retry-After` asks for (RFC 9110, 10.2.3), None without one."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def backoff(attempt: int, base: float) -> float:
    """Seconds to wait after failed attempt 0, 1, …: doubling, with up to half as jitter."""
    # Jitter keeps threads that failed together from coming back together.
    return base * 2.0**attempt * random.uniform(1.0, 1.5)  # noqa: S311
