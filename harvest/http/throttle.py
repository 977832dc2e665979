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


class Waiting(Exception):
    """A host wants to be left alone for a while; raised only where a thread is `leaving`.

    `spent`: it said so to this download, whose attempt is over; `begun`: a request was made.
    `rest`: seconds that this download alone has to wait, whatever the host allows to others.
    """

    def __init__(self, host: str, *, spent: bool, begun: bool, rest: float = 0.0) -> None:
        super().__init__(f"{host} wants a pause")
        self.host = host
        self.spent = spent
        self.begun = begun
        self.rest = rest


@dataclass(slots=True)
class _Leave:
    """What `leaving` said; `begun` once this thread had a turn."""

    attempts: int
    last: bool
    stays: bool
    begun: bool = False


# A pause as short as this is waited for on the spot.
_MOMENT = 0.1
_thread = threading.local()


@contextmanager
def leaving(attempts: int = 0, *, last: bool = False, stays: bool = False) -> Iterator[None]:
    """Within it this thread raises `Waiting` rather than wait for a host.

    `attempts` were made before, see `attempts_made`; on the `last` one it waits when the host
    asks for it. With `stays` it waits as soon as a request was made: who leaves begins anew,
    and behind a redirect on a slow host that would have no end.
    """
    _thread.leave = _Leave(attempts, last, stays)
    try:
        yield
    finally:
        _thread.leave = None


def attempts_made() -> int:
    """How often the download that this thread is at was tried before it was put back."""
    leave = _leave()
    return leave.attempts if leave else 0


def _leave() -> _Leave | None:
    leave: _Leave | None = getattr(_thread, "leave", None)
    return leave


@dataclass(slots=True)
class _Host:
    """`freed` is told when one place becomes free: the others of the host need not wake."""

    delay: float
    freed: threading.Condition
    running: int = 0
    not_before: float = 0.0


class HostSlots:
    """Every host's queue. Thread-safe; all waiting ends with `Closed` on `close`.

    `per_host` requests run on one host at a time, `delay` seconds apart at their start, or more
    on a host that asked for more.
    """

    def __init__(self, per_host: int, delay: float) -> None:
        self.per_host = per_host
        self._delay = delay
        self._hosts: dict[str, _Host] = {}
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self.closed = False

    @contextmanager
    def turn(self, host: str) -> Iterator[None]:
        """Wait until this host may be asked, and keep the place until left.

        Raises `Waiting` where the thread is `leaving` and the host wants a pause.
        """
        self._enter(host)
        try:
            yield
        finally:
            with self._changed:
                state = self._hosts[host]
                state.running -= 1
                state.freed.notify()

    def pause(self, host: str) -> float:
        """Seconds until this host may be asked, as far as time goes; 0 or less: now."""
        with self._changed:
            return self._state(host).not_before - time.monotonic()

    def hold(self, host: str, seconds: float) -> None:
        """Nobody starts on this host for so long: it asked for it.

        Raises `Waiting` where the thread is `leaving`.
        """
        with self._changed:
            state = self._state(host)
            state.not_before = max(state.not_before, time.monotonic() + seconds)
        leave = _leave()
        if leave and not leave.last and seconds > _MOMENT:
            raise Waiting(host, spent=True, begun=True)

    def slow_down(self, host: str, delay: float) -> None:
        """Starts on this host are at least so many seconds apart, from now on."""
        with self._changed:
            state = self._state(host)
            state.delay = max(state.delay, delay)
            state.not_before = max(state.not_before, time.monotonic() + delay)

    def rest(self, host: str, seconds: float) -> None:
        """Wait before the next attempt of one download; the others of its host go on.

        Raises `Waiting` where the thread is `leaving`, `Closed` after `close`.
        """
        leave = _leave()
        if leave and not leave.last and seconds > _MOMENT:
            raise Waiting(host, spent=True, begun=True, rest=seconds)
        self.sleep(seconds)

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
            for state in self._hosts.values():
                state.freed.notify_all()

    def _enter(self, host: str) -> None:
        leave = _leave()
        with self._changed:
            state = self._state(host)
            try:
                self._wait_for(host, state, leave)
                state.running += 1
                state.not_before = max(state.not_before, time.monotonic() + state.delay)
            finally:
                # Who was told of a place and left, or found a second one, tells the next.
                if state.running < self.per_host:
                    state.freed.notify()
            if leave:
                leave.begun = True

    def _wait_for(self, host: str, state: _Host, leave: _Leave | None) -> None:
        while not self.closed and not self._free(state):
            pause = self._pause(state)
            if leave and pause and pause > _MOMENT and not (leave.stays and leave.begun):
                raise Waiting(host, spent=False, begun=leave.begun)
            state.freed.wait(pause)
        if self.closed:
            raise Closed("The download was stopped.")

    def _state(self, host: str) -> _Host:
        state = self._hosts.get(host)
        if state is None:
            freed = threading.Condition(self._lock)
            state = self._hosts[host] = _Host(self._delay, freed)
        return state

    def _free(self, state: _Host) -> bool:
        return state.running < self.per_host and time.monotonic() >= state.not_before

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
