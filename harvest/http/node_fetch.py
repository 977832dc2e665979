"""One request on another machine: what goes there, and what comes back.

The scheduler deals out the turns of every host here, as ever. A node makes the one request that a
turn is for, measures and stages what comes, and has closed its connection when the turn is given
back: so a host never sees more requests, or connections, than it would from one machine alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gleanset.errors import Unreadable
from gleanset.work.pool import OpenPool
from harvest.http.client import Client
from harvest.http.deadline import Deadline
from harvest.http.fetch import Fetch, HttpAnswer
from harvest.http.policy import DownloadLimits, FetchPolicy
from harvest.http.throttle import Closed, HostSlots

_SECONDS_BETWEEN_LOOKS = 0.2


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """One request. `seconds` of network time are left; with `process` a picture is meant."""

    url: str
    policy: FetchPolicy
    seconds: float
    process: bool


@dataclass(frozen=True, slots=True)
class StagedAnswer(HttpAnswer):
    """An answer whose bytes were processed where they came: `result` is what that gave."""

    result: Any = None


@dataclass(frozen=True, slots=True)
class NodeReply:
    """What came of a request: an answer or a failure, and the seconds it was on the network."""

    answer: HttpAnswer | Unreadable
    seconds: float


@dataclass(frozen=True, slots=True)
class FetchOnNode:
    """Makes one request on a node; picklable. `process` turns the bytes of a picture into a result.

    Raises what `process` raises, but for `Unreadable`, which is a reply.
    """

    limits: DownloadLimits
    allow_private: bool
    user_agent: str
    ignored: frozenset[str]
    process: Callable[[bytes], Any]

    @classmethod
    def of(cls, client: Client, process: Callable[[bytes], Any]) -> FetchOnNode:
        """Return what fetches as this client does."""
        return cls(client.limits, client.allow_private, client.user_agent, client.ignored, process)

    def __call__(self, asked: NodeRequest) -> NodeReply:
        """Ask, and process a picture that comes."""
        client = _client(self.limits, self.allow_private, self.user_agent, self.ignored)
        deadline = Deadline(asked.seconds, self.allow_private, sees_close=True)
        begun = time.monotonic()
        try:
            answer = client.fetcher.request(Fetch(asked.url, asked.policy, deadline, asked.url))
        except Unreadable as error:
            return NodeReply(error, time.monotonic() - begun)
        finally:
            deadline.wait_for_close()
        seconds = time.monotonic() - begun
        try:
            return NodeReply(self._processed(client, asked, answer), seconds)
        except Unreadable as error:
            return NodeReply(error, seconds)

    def _processed(self, client: Client, asked: NodeRequest, answer: HttpAnswer) -> HttpAnswer:
        if not asked.process:
            return answer
        told = answer.status, answer.headers, b"", answer.url
        if answer.status >= 300:
            return HttpAnswer(*told)
        return StagedAnswer(*told, self.process(client.accept(answer)))


@lru_cache(maxsize=1)
def _client(
    limits: DownloadLimits, allow_private: bool, user_agent: str, ignored: frozenset[str]
) -> Client:
    client = Client(limits, allow_private, user_agent, ignore_robots=ignored)
    client.fetcher.keeps_connections = False
    return client


@dataclass(frozen=True, slots=True)
class NodeFetches:
    """Has the requests of a scheduler made on nodes, by a pool that does `FetchOnNode`."""

    pool: OpenPool
    slots: HostSlots

    def request(self, fetch: Fetch, *, process: bool) -> HttpAnswer:
        """Make the next request of a fetch. Raises `Unreadable`, `Closed`."""
        asked = NodeRequest(fetch.url, fetch.policy, fetch.deadline.left, process)
        future = self.pool.submit(asked)
        seconds = 0.0
        try:
            reply = self._reply(future)
            seconds = reply.seconds
        finally:
            self.slots.started(fetch.host, seconds)
        fetch.deadline.spend(seconds)
        if isinstance(reply.answer, Unreadable):
            raise reply.answer
        return reply.answer

    def _reply(self, future: Future[NodeReply]) -> NodeReply:
        while not future.done():
            if self.slots.closed:
                raise Closed("The download was stopped.")
            wait([future], _SECONDS_BETWEEN_LOOKS)
        return future.result()
