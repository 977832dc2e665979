"""How often a host is asked: slots for requests under way, delays between their starts, pauses.

Two ways lead to a slot, and both keep the same limits: a thread that has one request to make waits
in `turn`; a scheduler, which has requests for many hosts, never waits for one of them but asks
`acquire` and gives the slot back with `release`.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from gleanset.errors import GleansetError

# Hosts remembered: more than robots rules are kept of, so that no delay is forgotten before them.
MAX_HOSTS = 4096
# A host that refuses so many requests in a row, for each that may be under way, is left alone: as
# often as one download is tried.
_REFUSALS_PER_SLOT = 4


class Closed(GleansetError):
    """The client was closed while a request waited or was under way."""

    exit_code = 130


@dataclass(slots=True)
class _Slots:
    delay: float
    freed: threading.Condition
    under_way: int = 0
    waiting: int = 0
    not_before: float = 0.0
    refusals: int = 0

    @property
    def is_idle(self) -> bool:
        return not (self.under_way or self.waiting) and self.not_before <= time.monotonic()


class HostSlots:
    """The slots of every host. Thread-safe; all waiting ends with `Closed` on `close`.

    At most `per_host` requests are under way on one host, their starts `delay` seconds apart, or
    more where `slow_down` was called. `changed` is told of every slot that becomes free for a
    scheduler, and of `close`; its lock guards all of this. Of more than `MAX_HOSTS` hosts, the
    idle one that was not asked for the longest time is forgotten, but none that is left alone.
    """

    def __init__(self, per_host: int, delay: float) -> None:
        self.per_host = per_host
        self.closed = False
        self._delay = delay
        self._hosts: dict[str, _Slots] = {}
        self._lock = threading.RLock()
        self.changed = threading.Condition(self._lock)
        self._ended = threading.Condition(self._lock)

    @contextmanager
    def turn(self, host: str) -> Iterator[None]:
        """Wait until this host may be asked, and keep the slot until left. Raises `Closed`."""
        with self._lock:
            self._wait_for(host)
        try:
            yield
        finally:
            self.release(host)

    def acquire(self, host: str) -> float:
        """Take a slot if there is one now: 0.0 when taken, else the seconds to wait for one.

        They are infinite where all slots are taken: `release` tells of the next one.
        """
        with self._lock:
            slots = self._slots(host)
            seconds = self._until_free(slots)
            if not seconds:
                self._take(slots)
            return seconds

    def release(self, host: str) -> None:
        """Give a slot back."""
        with self._lock:
            slots = self._slots(host)
            slots.under_way -= 1
            slots.freed.notify()
            self.changed.notify()

    def pause(self, host: str) -> float:
        """Return the seconds until this host may be asked, as far as time goes; 0 or less: now."""
        with self._lock:
            return self._slots(host).not_before - time.monotonic()

    def note_answer(self, host: str, *, is_refusal: bool) -> None:
        """Count the refusals of a host in a row; any other answer ends the row.

        Once a host is left alone it stays so: an answer to a search says nothing of downloads.
        """
        with self._lock:
            slots = self._slots(host)
            if not self._is_left_alone(slots):
                slots.refusals = slots.refusals + 1 if is_refusal else 0

    def refuses(self, host: str) -> bool:
        """Return whether a host refused so many requests in a row that it is left alone."""
        with self._lock:
            slots = self._hosts.get(host)
            return slots is not None and self._is_left_alone(slots)

    def _is_left_alone(self, slots: _Slots) -> bool:
        return slots.refusals >= _REFUSALS_PER_SLOT * self.per_host

    def hold(self, host: str, seconds: float) -> None:
        """Let nobody start on this host for so long: it asked for it."""
        with self._lock:
            slots = self._slots(host)
            slots.not_before = max(slots.not_before, time.monotonic() + seconds)

    def slow_down(self, host: str, delay: float) -> None:
        """Keep starts on this host at least so many seconds apart, from now on."""
        with self._lock:
            slots = self._slots(host)
            slots.delay = max(slots.delay, delay)

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until `close`; return whether it is closed."""
        with self._lock:
            return self._ended.wait_for(lambda: self.closed, seconds)

    def sleep(self, seconds: float) -> None:
        """Wait so long. Raises `Closed` at once when the client is closed meanwhile."""
        if self.wait(seconds):
            raise Closed("The download was stopped.")

    def close(self) -> None:
        """Wake everyone who waits; nobody starts any more."""
        with self._lock:
            self.closed = True
            self._ended.notify_all()
            self.changed.notify_all()
            for slots in self._hosts.values():
                slots.freed.notify_all()

    def _wait_for(self, host: str) -> None:
        slots = self._slots(host)
        slots.waiting += 1
        try:
            while not self.closed and (seconds := self._until_free(slots)):
                slots.freed.wait(None if seconds == math.inf else seconds)
            if self.closed:
                raise Closed("The download was stopped.")
            self._take(slots)
        finally:
            slots.waiting -= 1
            # Whoever was told of a slot and found a second one, or none any more, tells the next.
            if slots.under_way < self.per_host:
                slots.freed.notify()

    def _until_free(self, slots: _Slots) -> float:
        if slots.under_way >= self.per_host:
            return math.inf
        return max(slots.not_before - time.monotonic(), 0.0)

    def _take(self, slots: _Slots) -> None:
        slots.under_way += 1
        slots.not_before = max(slots.not_before, time.monotonic() + slots.delay)

    def _slots(self, host: str) -> _Slots:
        slots = self._hosts.pop(host, None)
        if slots is None:
            slots = _Slots(self._delay, threading.Condition(self._lock))
            if len(self._hosts) >= MAX_HOSTS:
                self._forget_idle_host()
        self._hosts[host] = slots  # the last one: that used most recently
        return slots

    def _forget_idle_host(self) -> None:
        for name, slots in self._hosts.items():
            if slots.is_idle and not self._is_left_alone(slots):
                del self._hosts[name]
                return


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds from now that `Retry-After` asks for (RFC 9110, 10.2.3), or None."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)


def backoff(attempt: int, base: float) -> float:
    """Return the seconds to wait after failed attempt 0, 1, …: doubling, with jitter of a half."""
    # Jitter keeps threads that failed together from coming back together.
    return base * 2.0**attempt * random.uniform(1.0, 1.5)  # noqa: S311


class RetryableError(Exception):
    """A call failed in a way that may be over soon.

    `error` is what to raise if it is not; `wait` are the seconds that the site asked for.
    """

    def __init__(self, error: GleansetError, wait: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.wait = wait
