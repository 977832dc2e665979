"""One GET with all its manners: turns, retries, redirects by hand, bounds of time and size."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from gleanset.errors import Unreadable
from harvest.http.deadline import Deadline, DeadlineWatch
from harvest.http.failures import WAIT, Transient, failure
from harvest.http.limits import Limits
from harvest.http.proxies import ConnectionPools
from harvest.http.ssrf import spelled_private
from harvest.http.throttle import Closed, HostSlots, attempts_made, backoff, retry_after
from harvest.http.urls import host_of, redirected, tidy

_CHUNK = 262_144
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Answer:
    """The last answer of a chain of redirects. `headers` ignore case."""

    status: int
    headers: Mapping[str, str]
    data: bytes
    url: str


class Manners(Protocol):
    """What hosts ask for. Both raise `Unreadable` for what is not wanted by them."""

    def may_ask(self, url: str) -> None:
        """Before each request of a chain of redirects."""

    def may_keep(self, url: str, tags: Sequence[str]) -> None:
        """Before the body is read; `tags` are the lines of `X-Robots-Tag`."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What to send, which statuses to try again, whether the body of an error is wanted.

    `clipped`: of a body over `limits.max_bytes` the beginning (and a little more) will do.
    """

    headers: Mapping[str, str]
    passing: frozenset[int]
    errors_too: bool
    limits: Limits
    clipped: bool = False
    manners: Manners | None = None


class Fetcher:
    """The shared state of all requests of one client. Thread-safe."""

    def __init__(self, limits: Limits, allow_private: bool) -> None:
        self.hosts = HostSlots(limits.per_host, limits.delay)
        self._allow_private = allow_private
        self._routes = ConnectionPools(limits.per_host)
        self._watch = DeadlineWatch()

    def close(self) -> None:
        """Stop what waits and what is under way, drop kept connections."""
        self.hosts.close()
        self._watch.cut_all()
        self._routes.close()

    def fetch(self, url: str, wish: Wish) -> Answer:
        """The answer after redirects and retries. Raises `Unreadable`, `Closed` after `close`.

        A status of `wish.passing` that stays after the last retry is returned like any other.
        """
        start = tidy(url)
        with self._call(wish.limits.total) as call:
            for attempt in count(attempts_made()):
                answer: Answer | None = None
                try:
                    answer = self._follow(start, wish, call)
                    trouble = _passing(answer, wish)
                except Transient as error:
                    trouble = error
                if trouble is None or attempt >= wish.limits.retries:
                    return _given(answer, trouble)
                self._wait(trouble, attempt, wish)
        raise AssertionError("count() has no end")

    @contextmanager
    def _call(self, seconds: float) -> Iterator[Deadline]:
        call = Deadline(seconds, self._allow_private)
        self._watch.add(call)
        try:
            yield call
        finally:
            self._watch.remove(call)

    def _wait(self, trouble: Transient, attempt: int, wish: Wish) -> None:
        asked = backoff(attempt, wish.limits.backoff) if trouble.wait is None else trouble.wait
        wait = min(asked, wish.limits.max_wait)
        if trouble.hold:
            # The next turn on this host comes only then, for us and for all the others.
            self.hosts.hold(trouble.host, wait)
        elif wish.manners is not None:
            self.hosts.rest(trouble.host, wait)
        else:
            # A robots.txt: all who want something of that host wait for this one answer.
            self.hosts.sleep(wait)

    def _follow(self, url: str, wish: Wish, call: Deadline) -> Answer:
        most = wish.limits.max_redirects
        for _ in range(most + 1):
            self._raise_unless_welcome(url, wish)
            answer = self._hop(url, wish, call)
            location = answer.headers.get("Location")
            if answer.status not in _REDIRECTS or location is None:
                return answer
            url = redirected(url, location)
        raise Unreadable("bad redirect", f"more than {most} in a row, at last to {url}")

    def _raise_unless_welcome(self, url: str, wish: Wish) -> None:
        if not self._allow_private and spelled_private(host_of(url)):
            raise Unreadable("private address", url)
        if wish.manners is not None:
            wish.manners.may_ask(url)

    def _hop(self, url: str, wish: Wish, call: Deadline) -> Answer:
        host = host_of(url)
        in_body = False
        with self.hosts.turn(host), call:
            try:
                with self._open(url, wish, call) as response:
                    in_body = True
                    data = self._wanted_body(response, url, wish, call)
                    return Answer(response.status, response.headers, data, url)
            except (HTTPError, OSError, UnicodeError) as error:
                self._raise_if_over(call, url, wish, error)
                raise failure(error, url, host, in_body) from error

    @contextmanager
    def _open(self, url: str, wish: Wish, call: Deadline) -> Iterator[BaseHTTPResponse]:
        limits = wish.limits
        response = self._routes.manager_for(url).request(
            "GET",
            url,
            headers=wish.headers,
            timeout=Timeout(connect=min(limits.connect, call.left), read=limits.read),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            yield response
        finally:
            # Keeps the connection if the body was read to its end, drops it otherwise.
            response.close()

    def _wanted_body(
        self, response: BaseHTTPResponse, url: str, wish: Wish, call: Deadline
    ) -> bytes:
        if response.status >= 300:
            return self._body(response, url, wish, call) if wish.errors_too else b""
        if wish.manners is not None:
            wish.manners.may_keep(url, response.headers.getlist("X-Robots-Tag"))
        return self._body(response, url, wish, call)

    def _body(self, response: BaseHTTPResponse, url: str, wish: Wish, call: Deadline) -> bytes:
        most = wish.limits.max_bytes
        announced = "" if wish.clipped else response.headers.get("Content-Length", "")
        data, size = io.BytesIO(), 0
        # read1 returns what has come; read would wait for a whole chunk of a slow drip.
        while not _too_large(announced, size, most):
            chunk = response.read1(_CHUNK, decode_content=True)
            # A socket that was shut down looks like an honest end.
            self._raise_if_over(call, url, wish, None)
            if not chunk:
                return data.getvalue()
            size += data.write(chunk)
        if wish.clipped:
            return data.getvalue()
        raise Unreadable("too large", f"{url}: more than {most} bytes")

    def _raise_if_over(self, call: Deadline, url: str, wish: Wish, cause: Exception | None) -> None:
        if self.hosts.closed:
            raise Closed("The download was stopped.") from cause
        if call.over:
            raise Unreadable("too slow", f"{url}: more than {wish.limits.total:g} s") from cause


def _too_large(announced: str, size: int, most: int) -> bool:
    return size > most or (announced.isdecimal() and int(announced) > most)


def _passing(answer: Answer, wish: Wish) -> Transient | None:
    if answer.status not in wish.passing:
        return None
    return Transient(
        f"http {answer.status}",
        answer.url,
        host_of(answer.url),
        retry_after(answer.headers),
        hold=answer.status in WAIT,
    )


def _given(answer: Answer | None, trouble: Transient | None) -> Answer:
    if answer is not None:
        return answer
    assert trouble is not None
    raise trouble
