"""How often a host is asked: slots for simultaneous requests, delays between starts, pauses.

A thread with a single request waits in `wait_for_slot`. A scheduler with requests for many hosts
never waits for one of them: it calls `acquire` and gives the slot back with `release`.
"""

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

# Refusals in a row, for each slot, after which a host is not asked any more: as many as the
# attempts of one download.
_MAX_REFUSALS_PER_SLOT = 4


class Closed(GleansetError):
    """The client was closed during a request or a wait."""

    exit_code = 130


@dataclass(slots=True)
class _Slots:
    delay: float
    active_count: int = 0
    not_before: float = 0.0
    refusals: int = 0


class HostSlots:
    """The slots of all hosts. Thread-safe; all waiting ends with `Closed` on `close`.

    A host has at most `per_host` requests under way, their starts `delay` seconds apart, or more
    after `slow_down`. `changed` is notified of every slot that becomes free for a scheduler, and of
    `close`; its lock guards everything.
    """

    def __init__(self, per_host: int, delay: float):
        self.per_host = per_host
        self.is_closed = False
        self._delay = delay
        self._hosts: dict[str, _Slots] = {}
        self._lock = threading.RLock()
        self.changed = threading.Condition(self._lock)
        # Of the few threads that wait for a slot or for `close`.
        self._waking = threading.Condition(self._lock)

    @contextmanager
    def wait_for_slot(self, host: str) -> Iterator[None]:
        """Wait for a slot of a host and hold it within the block. Raises `Closed`."""
        with self._lock:
            while not self.is_closed and (seconds := self.acquire(host)):
                self._waking.wait(None if seconds == math.inf else seconds)
            if self.is_closed:
                raise Closed("the download was stopped")
        try:
            yield
        finally:
            self.release(host)

    def acquire(self, host: str) -> float:
        """Take a slot if there is one: return 0.0, else the seconds to wait for one.

        The wait is infinite when all slots are taken: `release` notifies of the next one.
        """
        with self._lock:
            slots = self._slots(host)
            if slots.active_count >= self.per_host:
                return math.inf
            now = time.monotonic()
            if slots.not_before > now:
                return slots.not_before - now
            slots.active_count += 1
            slots.not_before = now + slots.delay
            return 0.0

    def release(self, host: str) -> None:
        """Give a slot back."""
        with self._lock:
            self._slots(host).active_count -= 1
            self._waking.notify_all()
            self.changed.notify()

    def record_response(self, host: str, *, is_refusal: bool) -> None:
        """Count the refusals of a host in a row; any other response resets the count.

        A host that `is_refusing` stays so: a response to a search says nothing about downloads.
        """
        with self._lock:
            slots = self._slots(host)
            if not self.is_refusing(host):
                slots.refusals = slots.refusals + 1 if is_refusal else 0

    def is_refusing(self, host: str) -> bool:
        """Return whether a host refused too many requests in a row."""
        with self._lock:
            return self._slots(host).refusals >= _MAX_REFUSALS_PER_SLOT * self.per_host

    def hold(self, host: str, seconds: float) -> None:
        """Start no request to this host for that long."""
        with self._lock:
            slots = self._slots(host)
            slots.not_before = max(slots.not_before, time.monotonic() + seconds)

    def slow_down(self, host: str, delay: float) -> None:
        """Keep starts on this host at least `delay` seconds apart from now on."""
        with self._lock:
            slots = self._slots(host)
            slots.delay = max(slots.delay, delay)

    def wait(self, seconds: float) -> bool:
        """Wait that long, or until `close`; return whether the client is closed."""
        with self._lock:
            return self._waking.wait_for(lambda: self.is_closed, seconds)

    def close(self) -> None:
        """Wake all waiting threads; no request starts any more."""
        with self._lock:
            self.is_closed = True
            self._waking.notify_all()
            self.changed.notify_all()

    def _slots(self, host: str) -> _Slots:
        return self._hosts.setdefault(host, _Slots(self._delay))


def parse_retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds from now in `Retry-After` (RFC 9110, 10.2.3), or None."""
    value = headers.get("Retry-After", "").strip()
    if value.isdecimal():
        return float(value)

    try:
        time_of_retry = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None

    if time_of_retry.tzinfo is None:
        time_of_retry = time_of_retry.replace(tzinfo=UTC)
    return max((time_of_retry - datetime.now(UTC)).total_seconds(), 0.0)


def backoff_seconds(attempt: int, base: float) -> float:
    """Return the wait after failed attempt 0, 1, …: doubling, with up to 50 % jitter."""
    # Jitter keeps threads that failed together from returning together.
    return base * 2.0**attempt * random.uniform(1.0, 1.5)  # noqa: S311


class RetryableError(Exception):
    """Wraps the `error` of a call that may succeed later; `wait`: seconds the site asked for."""

    def __init__(self, error: GleansetError, wait: float | None = None):
        super().__init__(str(error))
        self.error = error
        self.wait = wait
