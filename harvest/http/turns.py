"""Downloads in an order that lets no host hold up the others.

What a host may not be asked for yet (it said so in `Retry-After`, its robots.txt wants a delay, or
as many requests as it may see are under way) is held back, and comes back when the host may
be asked; the threads serve the other hosts meanwhile. So does what must rest after a broken
connection. So the order is not that of the list.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count
from typing import Generic, TypeVar
from urllib.parse import urlsplit

from gleanset.records import Candidate
from gleanset.work.pool import Outcome, Threads, run_batches
from harvest.http.client import Client
from harvest.http.supply import Bell, Supply
from harvest.http.throttle import Waiting, leaving

Result = TypeVar("Result")
# Held back at most: what stands behind so many of one host in a list must wait.
MOST_HELD = 1000
# More of one host than it may see at a time, so that the next is there when one ends: what has
# come is measured and written for a third of the time that it took to come.
_SPARE = 0.75


def in_turns(
    download: Callable[[Candidate], Result],
    supply: Supply,
    threads: Threads,
    client: Client,
    bell: Bell | None = None,
) -> Generator[list[Outcome[Candidate, Result]], None, None]:
    """Download what `supply` gives and yield the outcomes as they come, as `run_batches` does.

    What is held back or under way is in memory and counts as taken; it is settled when the
    caller asks for the next batch. `bell` is the one that rings for the supply.
    """
    turns = _Turns(download, supply, client, bell or Bell())
    for batch in run_batches(turns.download, turns, threads, turns.may_start):
        if finished := turns.sort_out(batch):
            yield finished
            for outcome in finished:
                supply.settled(outcome.item)
    if turns.trouble is not None:
        raise turns.trouble


@dataclass(eq=False, slots=True)
class _Ticket:
    """A candidate on its way; `host` is the one it has to wait for."""

    candidate: Candidate
    host: str
    attempts: int = 0
    begun: bool = False


@dataclass(frozen=True, slots=True)
class _Back:
    """What a download gives that left its thread because of a host."""

    waiting: Waiting


class _Turns(Generic[Result]):
    """What is held back, by host, and what runs."""

    def __init__(
        self, download: Callable[[Candidate], Result], supply: Supply, client: Client, bell: Bell
    ) -> None:
        self._download = download
        self._supply = supply
        self._bell = bell
        self._hosts = client.hosts
        self._retries = client.limits.retries
        self._most = self._hosts.per_host + max(2, int(self._hosts.per_host * _SPARE))
        self._held: dict[str, deque[_Ticket]] = {}
        self._resting: list[tuple[float, int, _Ticket]] = []  # a heap by the time of its end
        self._order = count()
        self._number = 0  # of those held or resting
        self._running: Counter[str] = Counter()
        self._to_look_at: deque[str] = deque()
        self._look_again_at = math.inf
        self._next: _Ticket | None = None
        self._finished = 0
        self._lock = threading.Lock()
        self.trouble: Exception | None = None

    def download(self, ticket: _Ticket) -> Result | _Back:
        """In a thread: the download itself, or why it has to come back."""
        try:
            last = ticket.attempts >= self._retries
            with leaving(ticket.attempts, last=last, stays=ticket.begun):
                return self._download(ticket.candidate)
        except Waiting as waiting:
            return _Back(waiting)
        finally:
            with self._lock:
                self._finished += 1
            self._bell.ring()

    def __iter__(self) -> Iterator[_Ticket]:
        while self._next is not None:
            ticket, self._next = self._next, None
            self._running[ticket.host] += 1
            yield ticket

    def may_start(self, in_flight: int) -> bool:
        """Whether there is one to begin with; waits for one, or until another has finished."""
        while True:
            self._bell.silence()
            self._next = self._next or self._from_held() or self._from_supply()
            if self._next is not None:
                return True
            asking = self.trouble is None and self._supply.asking
            if self._finished or not (asking or self._number or self._bell.rung):
                return False
            self._bell.wait(self._patience())

    def sort_out(
        self, batch: list[Outcome[_Ticket, Result | _Back]]
    ) -> list[Outcome[Candidate, Result]]:
        """Put back what has to wait; the rest is finished."""
        with self._lock:
            self._finished -= len(batch)
        return [done for outcome in batch if (done := self._sorted_out(outcome)) is not None]

    def _sorted_out(
        self, outcome: Outcome[_Ticket, Result | _Back]
    ) -> Outcome[Candidate, Result] | None:
        ticket, result = outcome.item, outcome.result
        self._leave(ticket.host)
        if isinstance(result, _Back):
            self._put_back(ticket, result.waiting)
            return None
        return Outcome(ticket.candidate, result, outcome.reason, outcome.detail)

    def _put_back(self, ticket: _Ticket, waiting: Waiting) -> None:
        ticket.host = waiting.host
        ticket.attempts += waiting.spent
        ticket.begun = ticket.begun or (waiting.begun and not waiting.spent)
        self._number += 1
        if waiting.rest:
            until = time.monotonic() + waiting.rest
            heappush(self._resting, (until, next(self._order), ticket))
            self._look_again_at = min(self._look_again_at, until)
        else:
            self._hold_first(ticket)

    def _hold_first(self, ticket: _Ticket) -> None:
        self._held.setdefault(ticket.host, deque()).appendleft(ticket)
        self._to_look_at.append(ticket.host)

    def _leave(self, host: str) -> None:
        self._running[host] -= 1
        if not self._running[host]:
            del self._running[host]
        if host in self._held:
            self._to_look_at.append(host)

    def _from_held(self) -> _Ticket | None:
        if (now := time.monotonic()) >= self._look_again_at:
            while self._resting and self._resting[0][0] <= now:
                self._hold_first(heappop(self._resting)[2])
            self._look_again_at = self._resting[0][0] if self._resting else math.inf
            self._to_look_at.extend(self._held)
        while self._to_look_at:
            host = self._to_look_at.popleft()
            if host in self._held and self._is_free(host):
                # To the end of the row, so that hosts take turns.
                self._to_look_at.append(host)
                return self._released(host)
        return None

    def _released(self, host: str) -> _Ticket:
        tickets = self._held[host]
        ticket = tickets.popleft()
        self._number -= 1
        if not tickets:
            del self._held[host]
        return ticket

    def _from_supply(self) -> _Ticket | None:
        while self._number < MOST_HELD and (candidate := self._taken()) is not None:
            ticket = _Ticket(candidate, _host(candidate.url))
            if ticket.host not in self._held and self._is_free(ticket.host):
                return ticket
            self._held.setdefault(ticket.host, deque()).append(ticket)
            self._number += 1
        return None

    def _taken(self) -> Candidate | None:
        try:
            return None if self.trouble else self._supply.take()
        except Exception as error:  # raised again when all that was taken is downloaded
            self.trouble = error
            return None

    def _is_free(self, host: str) -> bool:
        """Whether the host may be asked; notes when to look again where it wants a pause."""
        pause = self._hosts.pause(host)
        if pause > 0:
            self._look_again_at = min(self._look_again_at, time.monotonic() + pause)
        return pause <= 0 and self._running[host] < self._most

    def _patience(self) -> float | None:
        if math.isinf(self._look_again_at):
            return None
        return max(self._look_again_at - time.monotonic(), 0.0)


def _host(url: str) -> str:
    """The host as `HostSlots` knows it; of no use to whoever is no address at all."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
