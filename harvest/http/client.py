"""The client that every source and every download goes through.

`fetch_step` makes a single request and never waits: the caller holds a slot of the host, and waits,
or does something else, where it returns `RetryLater`. The state that lives from one request to the
next (address, attempts, redirects, network time) is in the `Fetch` itself.

One item that cannot be had is an `Unreadable` with a countable reason; a search page that cannot
be had is an `Unreachable`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

from urllib3 import BaseHTTPResponse
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from gleanset import __version__
from gleanset.errors import Unreadable, UsageError
from gleanset.work.pool import failed_outcome
from harvest.http.connections import ConnectionPools, Deadline, DeadlineWatcher, is_private_literal
from harvest.http.policy import (
    HOST_WIDE_STATUSES,
    RETRY_STATUSES,
    DownloadLimits,
    FetchPolicy,
    TransientFailure,
    classify_error,
    looks_like_html,
    unreachable_error,
)
from harvest.http.robots import RobotsPolicy
from harvest.http.throttle import Closed, HostSlots, RetryableError, backoff, parse_retry_after
from harvest.http.urls import get_host, normalize_url, resolve_redirect

Answer = TypeVar("Answer")
_CHUNK = 262_144
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Page:
    """One response of a search site. `headers` ignore case."""

    status: int
    text: str
    url: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class HttpResponse:
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
        return get_host(self.url)


class Client:
    """The polite downloader: thread-safe, and a context manager that closes itself.

    `contact` (an address or a URL) goes into the user agent.
    `ignore_robots` are the `robots_words` that hosts and pictures may say in vain (docs/legal.md).
    Raises `UsageError` for another word there, and when a proxy or certificate setting of the
    environment is unusable.
    """

    def __init__(
        self,
        limits: DownloadLimits | None = None,
        allow_private: bool = False,
        contact: str | None = None,
        ignore_robots: frozenset[str] = frozenset(),
    ) -> None:
        self.limits = limits or DownloadLimits()
        self.allow_private = allow_private
        self.user_agent = _user_agent(contact)
        self.robots = RobotsPolicy(self.limits, self.user_agent, ignore_robots)
        self.slots = HostSlots(self.limits.per_host, self.limits.delay)
        self.logins: dict[object, Any] = {}  # what sources remember while the client lives
        self._pools = ConnectionPools(self.limits.per_host)
        self._watch = DeadlineWatcher()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop what waits and what is under way (they raise `Closed`), drop connections."""
        self.slots.close()
        self._watch.cut_all()
        self._pools.close()

    def wait(self, seconds: float) -> bool:
        """Wait so long, or until `close`; return whether it is closed.

        For a source that must pause between requests of its own.
        """
        return self.slots.wait(seconds)

    def heeds(self, word: str) -> bool:
        """Return whether one of the `robots_words` is heeded."""
        return word in self.robots.heeded

    def prepare(self, url: str, referer: str | None = None, page: str | None = None) -> Fetch:
        """Return the download of an image, found on a page, as a fetch to be scheduled.

        Raises `Unreadable`, as do its requests and `accept`, for this item alone. Reasons:
        `http NNN`, `timed out`, `too slow`, `too large`, `connection failed`, `cut off`, `empty`,
        `private address`, `bad redirect`, `bad url`, `not an image`, `robots.txt disallows`,
        `robots.txt could not be read`, `robots tag <directive>`, `page says <directive>`, and what
        `robots.RobotsPolicy` and `reservations_in` name.
        """
        self.robots.check_page(page)
        headers = self._headers("image/*,*/*;q=0.5")
        if referer:
            # A broken page address must not cost the image that was found on it.
            with suppress(Unreadable):
                headers["Referer"] = normalize_url(referer)
        return self._prepare(url, FetchPolicy(headers, RETRY_STATUSES, self.limits, robots=True))

    def prepare_rules_fetch(self, file: str) -> Fetch:
        """Return the fetch of a file in which a host says what it allows."""
        return self._prepare(file, self.robots.policy)

    def accept(self, answer: HttpResponse) -> bytes:
        """Return the file that an answer brings. Raises `Unreadable` where it brings none."""
        if answer.status >= 300:
            raise Unreadable(f"http {answer.status}", answer.url)
        if not answer.data:
            raise Unreadable("empty", answer.url)
        if looks_like_html(answer.data):
            raise Unreadable("not an image", f"{answer.url}: a web page")
        self.robots.check_image_bytes(answer.url, answer.data)
        return answer.data

    def page(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        pace: float = 0.0,
    ) -> Page:
        """Return the page at `url`, whatever its status.

        `pace` is the time between two requests to its host in seconds. Raises `Unreachable`, and
        `Closed` after `close`. 5xx responses are retried; a 429 never, because the source decides
        whether to go on. robots.txt is not read, as for a page opened in a browser.
        """
        if params:
            url += ("&" if "?" in url else "?") + urlencode(params, quote_via=quote)
        sent = self._headers("*/*") | dict(headers or {})
        policy = FetchPolicy(sent, RETRY_STATUSES - {429}, self.limits, error_bodies=True)
        try:
            answer = self.fetch(url, policy, pace)
        except Unreadable as error:
            detail = error.detail.removeprefix(f"{url}: ")
            raise unreachable_error(url, f"{error.reason} ({detail})") from error
        page = Page(answer.status, _text(answer), answer.url, answer.headers)
        self.robots.note_page(page.url, page.text)
        return page

    def fetch(self, url: str, policy: FetchPolicy, pace: float = 0.0) -> HttpResponse:
        """Fetch in this thread, and wait wherever a host wants it: the last answer.

        Robots rules are not asked for. `pace`: seconds between two requests to the host. Raises
        `Unreadable`, `Closed` after `close`.
        """
        fetch = self._prepare(url, policy)
        self.slots.slow_down(fetch.host, pace)
        while True:
            with self.slots.turn(fetch.host):
                outcome = self.fetch_step(fetch)
            if isinstance(outcome, HttpResponse):
                return outcome
            self.slots.sleep(outcome.seconds)

    def call_with_retries(self, host: str, call: Callable[[], Answer]) -> Answer:
        """Return what `call` returns; where it raises `RetryableError`, hold its host and repeat.

        Raises the trouble's error after the last retry, or when the site wants a longer pause than
        the limits allow: to come back earlier would be rude.
        """
        attempt = 0
        while True:
            try:
                return call()
            except RetryableError as trouble:
                wait = trouble.wait
                if wait is None:
                    wait = backoff(attempt, self.limits.backoff)
                if attempt >= self.limits.retries or wait > self.limits.max_wait:
                    raise trouble.error from trouble.__cause__
                self.slots.hold(host, wait)
                attempt += 1

    def fetch_step(self, fetch: Fetch) -> HttpResponse | RetryLater:
        """Make the next request of a fetch; the caller holds a slot of its host.

        A status to be retried that stays after the last retry is returned like any other. What a
        host asks for itself (`Retry-After`, 429, 503) holds all requests to it. Raises
        `Unreadable` for this fetch, `Closed` after `close`.
        """
        self._watch.add(fetch.deadline)
        try:
            answer = self._request(fetch)
        except TransientFailure:
            if fetch.attempts >= fetch.policy.limits.retries:
                raise
            return self._again(fetch, None)
        finally:
            self._watch.remove(fetch.deadline)
        self.slots.note_answer(fetch.host, is_refusal=answer.status in HOST_WIDE_STATUSES)
        location = answer.headers.get("Location")
        follows = fetch.policy.follow_redirects and answer.status in _REDIRECTS
        if follows and location is not None:
            return self._follow(fetch, location)
        tries_left = fetch.attempts < fetch.policy.limits.retries
        if answer.status in fetch.policy.retry_statuses and tries_left:
            return self._again(fetch, answer)
        return answer

    def _again(self, fetch: Fetch, answer: HttpResponse | None) -> RetryLater:
        limits = fetch.policy.limits
        asked = parse_retry_after(answer.headers) if answer else None
        seconds = backoff(fetch.attempts, limits.backoff) if asked is None else asked
        seconds = min(seconds, limits.max_wait)
        if answer and answer.status in HOST_WIDE_STATUSES:
            self.slots.hold(fetch.host, seconds)
        fetch.attempts += 1
        fetch.redirects = 0
        fetch.url = fetch.start
        return RetryLater(fetch.host, seconds)

    def _follow(self, fetch: Fetch, location: str) -> RetryLater:
        most = fetch.policy.limits.max_redirects
        fetch.url = resolve_redirect(fetch.url, location)
        fetch.redirects += 1
        if fetch.redirects > most:
            raise Unreadable("bad redirect", f"more than {most} in a row, at last to {fetch.url}")
        self._checked(fetch.url)
        return RetryLater(fetch.host, 0.0)

    def _checked(self, url: str) -> str:
        if not self.allow_private and is_private_literal(get_host(url)):
            raise Unreadable("private address", url)
        return url

    def record_host_rules(self, file: str, answer: HttpResponse | Exception) -> None:
        """Note what a file says in which a host says what it allows, or why it was not read.

        Raises an error again that ends the run, as `failed_outcome` does.
        """
        if isinstance(answer, Exception):
            self.robots.record_failure(file, failed_outcome(file, answer))
            return
        try:
            delay = self.robots.learn(file, answer.status, answer.data)
        except Exception as error:
            self.record_host_rules(file, error)
        else:
            # The rules were a request, too.
            self.slots.slow_down(get_host(file), delay or 0.0)
            self.slots.hold(get_host(file), delay or 0.0)

    def _request(self, fetch: Fetch) -> HttpResponse:
        url, in_body = fetch.url, False
        with fetch.deadline:
            try:
                with self._open(fetch) as response:
                    in_body = True
                    data = self._body(response, fetch)
                    return HttpResponse(response.status, response.headers, data, url)
            except (HTTPError, OSError, UnicodeError) as error:
                self._raise_if_over(fetch, error)
                raise classify_error(error, url, in_body) from error

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

    def _prepare(self, url: str, policy: FetchPolicy) -> Fetch:
        start = self._checked(normalize_url(url))
        return Fetch(start, policy, Deadline(policy.limits.total, self.allow_private), start)

    def _headers(self, accept: str) -> dict[str, str]:
        return {
            "User-Agent": self.user_agent,
            "Accept": accept,
            "Accept-Encoding": "gzip, deflate",
        }


def _user_agent(contact: str | None) -> str:
    name = f"gleanset/{__version__}"
    if not contact:
        return name
    if not (contact.isascii() and contact.isprintable()):
        raise UsageError(f"The contact {contact!r} cannot be sent.", "Use plain ASCII for it.")
    return f"{name} (+{contact})"


def _text(answer: HttpResponse) -> str:
    _, _, charset = answer.headers.get("Content-Type", "").lower().partition("charset=")
    try:
        return answer.data.decode(charset.partition(";")[0].strip(" \"'") or "utf-8", "replace")
    except (LookupError, ValueError):  # idna and undefined raise the second, whatever the bytes
        return answer.data.decode("utf-8", "replace")
