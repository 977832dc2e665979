"""One request, and what becomes of it: an answer, a failure, or another request later.

`fetch_once` makes a single request and never waits: whoever calls it holds a slot of the host, and
waits, or does something else, where it returns `RetryLater`. The state that lives from one request
to the next (address, attempts, redirects, network time) is in the `Fetch` itself.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from gleanset.errors import Unreadable
from gleanset.work.pool import failed_outcome
from harvest.http.deadline import Deadline, DeadlineWatch
from harvest.http.failures import HOST_WIDE, TransientFailure, classify
from harvest.http.policy import DownloadLimits, FetchPolicy
from harvest.http.proxies import ConnectionPools
from harvest.http.robots import RobotsPolicy
from harvest.http.ssrf import spelled_private
from harvest.http.throttle import Closed, HostSlots, backoff, retry_after
from harvest.http.urls import host_of, redirected, tidy

_CHUNK = 262_144
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The answer to a request, after content decoding. `headers` ignore case."""

    status: int
    headers: Mapping[str, str]
    data: bytes
    url: str


@dataclass(frozen=True, slots=True)
class RetryLater:
    """The fetch goes on at `host`, not before `seconds` have passed.

    After a passing trouble with the same address again, after a redirect with the next one.
    """

    host: str
    seconds: float


@dataclass(eq=False, slots=True)
class Fetch:
    """What is to be fetched, and how far that has come: `url` is what to ask for next.

    `attempts` counts those that failed; a new one begins with the first address of a chain of
    redirects.
    """

    start: str
    policy: FetchPolicy
    deadline: Deadline
    url: str
    attempts: int = 0
    redirects: int = 0

    @property
    def host(self) -> str:
        """The host to be asked next."""
        return host_of(self.url)


class Fetcher:
    """What all fetches of one client share: slots, connections, robots rules. Thread-safe."""

    def __init__(self, limits: DownloadLimits, allow_private: bool, robots: RobotsPolicy) -> None:
        self.slots = HostSlots(limits.per_host, limits.delay)
        self.robots = robots
        self._allow_private = allow_private
        self._pools = ConnectionPools(limits.per_host)
        self.watch = DeadlineWatch()

    def close(self) -> None:
        """Stop what waits and what is under way, drop kept connections."""
        self.slots.close()
        self.watch.cut_all()
        self._pools.close()

    def prepare(self, url: str, policy: FetchPolicy) -> Fetch:
        """Return a fetch that has not begun. Raises `Unreadable` for an address not to be asked."""
        start = self._checked(tidy(url))
        return Fetch(start, policy, Deadline(policy.limits.total, self._allow_private), start)

    def fetch(self, url: str, policy: FetchPolicy, pace: float = 0.0) -> HttpAnswer:
        """Fetch in this thread, and wait wherever a host wants it: the last answer.

        Robots rules are not asked for. `pace`: seconds between two requests to the host. Raises
        `Unreadable`, `Closed` after `close`.
        """
        fetch = self.prepare(url, policy)
        self.slots.slow_down(fetch.host, pace)
        while True:
            with self.slots.turn(fetch.host):
                outcome = self.fetch_once(fetch)
            if isinstance(outcome, HttpAnswer):
                return outcome
            self.slots.sleep(outcome.seconds)

    def fetch_once(self, fetch: Fetch) -> HttpAnswer | RetryLater:
        """Make the next request of a fetch; the caller holds a slot of its host.

        A status to be retried that stays after the last retry is returned like any other. What a
        host asks for itself (`Retry-After`, 429, 503) holds all requests to it. Raises
        `Unreadable` for this fetch, `Closed` after `close`.
        """
        self.watch.add(fetch.deadline)
        try:
            answer = self._request(fetch)
        except TransientFailure:
            if fetch.attempts >= fetch.policy.limits.retries:
                raise
            return self._again(fetch, None)
        finally:
            self.watch.remove(fetch.deadline)
        self.slots.note_answer(fetch.host, is_refusal=answer.status in HOST_WIDE)
        location = answer.headers.get("Location")
        follows = fetch.policy.follow_redirects and answer.status in _REDIRECTS
        if follows and location is not None:
            return self._follow(fetch, location)
        tries_left = fetch.attempts < fetch.policy.limits.retries
        if answer.status in fetch.policy.retry_statuses and tries_left:
            return self._again(fetch, answer)
        return answer

    def _again(self, fetch: Fetch, answer: HttpAnswer | None) -> RetryLater:
        limits = fetch.policy.limits
        asked = retry_after(answer.headers) if answer else None
        seconds = backoff(fetch.attempts, limits.backoff) if asked is None else asked
        seconds = min(seconds, limits.max_wait)
        if answer and answer.status in HOST_WIDE:
            self.slots.hold(fetch.host, seconds)
        fetch.attempts += 1
        fetch.redirects = 0
        fetch.url = fetch.start
        return RetryLater(fetch.host, seconds)

    def _follow(self, fetch: Fetch, location: str) -> RetryLater:
        most = fetch.policy.limits.max_redirects
        fetch.url = redirected(fetch.url, location)
        fetch.redirects += 1
        if fetch.redirects > most:
            raise Unreadable("bad redirect", f"more than {most} in a row, at last to {fetch.url}")
        self._checked(fetch.url)
        return RetryLater(fetch.host, 0.0)

    def _checked(self, url: str) -> str:
        if not self._allow_private and spelled_private(host_of(url)):
            raise Unreadable("private address", url)
        return url

    def learn_robots(self, file: str, answer: HttpAnswer | Exception) -> None:
        """Note what a file says in which a host says what it allows, or why it was not read.

        Raises an error again that ends the run, as `failed_outcome` does.
        """
        if isinstance(answer, Exception):
            self.robots.learn_failure(file, failed_outcome(file, answer))
            return
        try:
            delay = self.robots.learn(file, answer.status, answer.data)
        except Exception as error:
            self.learn_robots(file, error)
        else:
            # The rules were a request, too.
            self.slots.slow_down(host_of(file), delay or 0.0)
            self.slots.hold(host_of(file), delay or 0.0)

    def _request(self, fetch: Fetch) -> HttpAnswer:
        """Make one request, whatever its answer means. Raises `Unreadable`, `Closed`."""
        url, in_body = fetch.url, False
        with fetch.deadline:
            try:
                with self._open(fetch) as response:
                    in_body = True
                    data = self._body(response, fetch)
                    return HttpAnswer(response.status, response.headers, data, url)
            except (HTTPError, OSError, UnicodeError) as error:
                self._raise_if_over(fetch, error)
                raise classify(error, url, in_body) from error

    @contextmanager
    def _open(self, fetch: Fetch) -> Iterator[BaseHTTPResponse]:
        limits = fetch.policy.limits
        response = self._pools.manager_for(fetch.url).request(
            fetch.policy.method,
            fetch.url,
            body=fetch.policy.body,
            headers=fetch.policy.headers,
            timeout=Timeout(connect=min(limits.connect, fetch.deadline.left), read=limits.read),
            retries=False,
            redirect=False,
            preload_content=False,
        )
        try:
            yield response
        finally:
            # Keeps the connection if the body was read to its end, drops it otherwise.
            response.close()

    def _body(self, response: BaseHTTPResponse, fetch: Fetch) -> bytes:
        if response.status >= 300 and not fetch.policy.error_bodies:
            return b""
        if response.status < 300 and fetch.policy.robots:
            self.robots.check_headers(fetch.url, response.headers)
        most, clipped = fetch.policy.limits.max_bytes, fetch.policy.clipped
        announced = "" if clipped else response.headers.get("Content-Length", "")
        # float takes any number of digits, int does not.
        too_large = announced.isdecimal() and float(announced) > most
        data, size = io.BytesIO(), 0
        # read1 returns what has come; read would wait for a whole chunk of a slow drip.
        while not too_large and size <= most:
            chunk = response.read1(_CHUNK, decode_content=True)
            # A socket that was shut down looks like an honest end.
            self._raise_if_over(fetch, None)
            if not chunk:
                return data.getvalue()
            size += data.write(chunk)
        if clipped:
            return data.getvalue()
        raise Unreadable("too large", f"{fetch.url}: more than {most} bytes")

    def _raise_if_over(self, fetch: Fetch, cause: Exception | None) -> None:
        if self.slots.closed:
            raise Closed("The download was stopped.") from cause
        if fetch.deadline.over:
            most = fetch.policy.limits.total
            raise Unreadable("too slow", f"{fetch.url}: more than {most:g} s") from cause
