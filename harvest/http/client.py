"""The client that every source and every download goes through.

A fetch is a generator that never waits: it yields the `Turn` of its next request, and makes that
request when the caller, which waits or serves other hosts, has a slot of the host.

A failed item is an `Unreadable` with a countable reason; a failed search page an `Unreachable`.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import quote, urlencode

from urllib3 import BaseHTTPResponse, HTTPHeaderDict
from urllib3.exceptions import HTTPError
from urllib3.util import Timeout

from gleanset import __version__
from gleanset.errors import Unreadable, UsageError
from gleanset.work.pool import make_failure
from harvest.http.connections import (
    ConnectionPools,
    Deadline,
    DeadlineWatcher,
    is_private_literal,
)
from harvest.http.content_encoding import decode_content
from harvest.http.cookies import FetchCookies
from harvest.http.policy import (
    HOST_WIDE_STATUSES,
    PRIVATE_ADDRESS,
    RETRY_STATUSES,
    DownloadLimits,
    FetchPolicy,
    TransientFailure,
    classify_error,
    looks_like_html,
    unreachable_error,
)
from harvest.http.robots import RobotsPolicy
from harvest.http.throttle import (
    Closed,
    HostSlots,
    RetryableError,
    backoff_seconds,
    parse_retry_after,
)
from harvest.http.urls import (
    get_host,
    get_required_referer,
    normalize_url,
    resolve_redirect,
)

Answer = TypeVar("Answer")
_CHUNK_BYTES = 262_144
_REDIRECT_STATUSES = frozenset({301, 302, 303, 307, 308})
# Failures of a call of an API that may not occur again, but are final for a download.
_TEMPORARY_REASONS = ("timed out", "too slow", "too large", "cut off")


class Page(NamedTuple):
    """One response of a search site. `headers` ignore case."""

    status: int
    text: str
    url: str
    headers: Mapping[str, str]


class HttpResponse(NamedTuple):
    """A response after content decoding. `headers` ignore case."""

    status: int
    headers: HTTPHeaderDict
    data: bytes
    url: str


class Turn(NamedTuple):
    """The next request of a fetch: to `url` at `host`, not before `seconds` have passed."""

    url: str
    host: str
    seconds: float = 0.0


Fetch = Generator[Turn, None, HttpResponse]


class Client:
    """The polite downloader: thread-safe, and a context manager that closes itself.

    `contact` (an address or a URL) goes into the user agent. `ignore_robots` names the opt-out
    signals to ignore (docs/legal.md). Raises `UsageError` for an unknown signal, and when a proxy
    or certificate setting of the environment is unusable.
    """

    def __init__(
        self,
        limits: DownloadLimits | None = None,
        allow_private: bool = False,
        contact: str | None = None,
        ignore_robots: frozenset[str] = frozenset(),
    ):
        self.limits = limits or DownloadLimits()
        self.allow_private = allow_private
        if contact and not (contact.isascii() and contact.isprintable()):
            raise UsageError(
                f"the contact {contact!r} cannot be sent", "use plain ASCII for it"
            )

        self.user_agent = f"gleanset/{__version__}"
        if contact:
            self.user_agent += f" (+{contact})"
        self.robots = RobotsPolicy(
            self.limits, self._headers("text/plain,*/*;q=0.5"), ignore_robots
        )
        self.slots = HostSlots(self.limits.per_host, self.limits.delay)
        # Logins of sources by a key of theirs, to be shared by all searches of this client.
        self.logins: dict[object, Any] = {}
        self._pools = ConnectionPools(self.limits.per_host)
        self._watcher = DeadlineWatcher()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop all waiting and running requests (they raise `Closed`), drop connections."""
        self.slots.close()
        self._watcher.cancel_all()
        self._pools.close()

    def fetch_image(self, url: str, referer: str | None) -> Fetch:
        """Fetch an image; see `fetch`.

        Raises `Unreadable` if only this image fails; so does `extract_image`. Reasons: `http NNN`,
        `timed out`, `too slow`, `too large`, `connection failed`, `cut off`, `empty`, `private
        address`, `bad redirect`, `bad url`, `not an image`, `robots tag <directive>`, and those of
        `robots.RobotsPolicy`.
        """
        headers = self._headers("image/*,*/*;q=0.5")
        # Images hardly compress, and some servers only announce that they did it.
        headers["Accept-Encoding"] = "identity"
        # A broken page address must not cost the image that was found on it.
        with suppress(Unreadable):
            page = get_required_referer(url) or referer
            if page:
                headers["Referer"] = normalize_url(page)

        policy = FetchPolicy(headers, RETRY_STATUSES, self.limits, robots=True)
        return self.fetch(url, policy)

    def fetch(self, url: str, policy: FetchPolicy) -> Fetch:
        """Make one request after each `Turn`; return the last response.

        After a temporary failure the first address is requested again, after a redirect the next
        one. After the last retry a response is returned whatever its status. Statuses that concern
        the whole host (429, 503) hold all requests to it. Raises `Unreadable`, and `Closed` after
        `close`.
        """
        limits = policy.limits
        deadline = Deadline(limits.total_timeout, self.allow_private)
        cookies = FetchCookies()
        url = normalize_url(url)
        turn = Turn(url, get_host(url))

        for attempt in range(limits.retries):
            response = None
            with suppress(TransientFailure):
                response = yield from self._follow(turn, policy, deadline, cookies)
            if response and response.status not in policy.retry_statuses:
                return response

            # What the site asks for, else a growing delay; neither may exceed the limit.
            seconds = parse_retry_after(response.headers) if response else None
            if seconds is None:
                seconds = backoff_seconds(attempt, limits.backoff)
            seconds = min(seconds, limits.max_wait)
            if response and response.status in HOST_WIDE_STATUSES:
                self.slots.hold(get_host(response.url), seconds)
            turn = turn._replace(seconds=seconds)
        return (yield from self._follow(turn, policy, deadline, cookies))

    def _follow(
        self, turn: Turn, policy: FetchPolicy, deadline: Deadline, cookies: FetchCookies
    ) -> Fetch:
        """Yield before each request, to be resumed at its turn; return the response."""
        limit = policy.limits.max_redirects
        for _ in range(limit + 1):
            if not self.allow_private and is_private_literal(turn.host):
                raise Unreadable(PRIVATE_ADDRESS, turn.url)
            yield turn
            own_policy = policy._replace(
                headers=cookies.add_to(policy.headers, turn.url)
            )
            response = self._request(turn.url, own_policy, deadline)
            cookies.record(response.headers, turn.url)
            is_refusal = response.status in HOST_WIDE_STATUSES
            self.slots.record_response(turn.host, is_refusal=is_refusal)

            location = response.headers.get("Location")
            is_redirect = response.status in _REDIRECT_STATUSES
            if location is None or not (is_redirect and policy.follow_redirects):
                return response
            target = resolve_redirect(turn.url, location)
            turn = Turn(target, get_host(target))

        raise Unreadable(
            "bad redirect", f"more than {limit} redirects, the last one to {turn.url}"
        )

    def extract_image(self, response: HttpResponse) -> bytes:
        """Return the image file in a response. Raises `Unreadable` if there is none."""
        if response.status >= 300:
            raise Unreadable(f"http {response.status}", response.url)
        if not response.data:
            raise Unreadable("empty", response.url)
        if looks_like_html(response.data):
            raise Unreadable("not an image", f"{response.url}: a web page")
        self.robots.check_image_bytes(response.url, response.data)
        return response.data

    def page(
        self,
        url: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        pace: float = 0.0,
    ) -> Page:
        """Return the page at `url`, whatever its status.

        `pace`: seconds between two requests to its host. Raises `Unreachable`, and `Closed` after
        `close`. 5xx responses are retried; a 429 never, because the source decides whether to
        continue. robots.txt is not read, as for a page opened in a browser.
        """
        if params:
            url += ("&" if "?" in url else "?") + urlencode(params, quote_via=quote)
        policy = FetchPolicy(
            self._headers("*/*") | dict(headers or {}),
            RETRY_STATUSES - {429},
            self.limits,
            error_bodies=True,
        )

        try:
            return self._fetch_page(url, policy, pace)
        except Unreadable as error:
            raise unreachable_error(
                url, error.reason, error.detail.removeprefix(f"{url}: ")
            ) from error

    def _fetch_page(self, url: str, policy: FetchPolicy, pace: float) -> Page:
        """Fetch in this thread, waiting as the host demands, and `pace` seconds between requests.

        Robots rules are not read.
        """
        fetch = self.fetch(url, policy)
        turn = next(fetch)
        self.slots.slow_down(turn.host, pace)
        while True:
            if self.slots.wait(turn.seconds):
                raise Closed("the download was stopped")
            with self.slots.wait_for_slot(turn.host):
                try:
                    turn = next(fetch)
                except StopIteration as end:
                    response: HttpResponse = end.value
                    break
        return Page(
            response.status, _decode_text(response), response.url, response.headers
        )

    def call_api(
        self,
        url: str,
        check: Callable[[Page], None],
        *,
        headers: Mapping[str, str] | None,
        form: Mapping[str, Any] | str | bytes | None = None,
        pace: float,
        retry: bool = True,
    ) -> Page:
        """Return the response to a call of a site's API; a POST if there is a `form`.

        Keys belong into `headers` or `form`: the address without its query is in errors. `check`
        raises the error of a bad response. A `RetryableError` holds the host and calls again, as
        often as the limits allow, unless the site demands a longer pause; without `retry` it is
        raised. Raises `Unreachable` without a response, and `Closed` after `close`. Redirects are
        not followed.
        """
        all_headers = self._headers("*/*") | dict(headers or {})
        if isinstance(form, Mapping):
            all_headers["Content-Type"] = "application/x-www-form-urlencoded"
            form = urlencode(form)
        public_url = url.partition("?")[0]
        policy = FetchPolicy(
            all_headers,
            retry_statuses=frozenset(),
            limits=replace(self.limits, retries=0),
            error_bodies=True,
            follow_redirects=False,
            body=form,
        )

        def call() -> Page:
            try:
                page = self._fetch_page(url, policy, pace)
            except Unreadable as error:
                failure = unreachable_error(
                    public_url,
                    error.reason,
                    error.detail.removeprefix(url).removeprefix(": "),
                )
                is_transient = isinstance(error, TransientFailure)
                if is_transient or error.reason in _TEMPORARY_REASONS:
                    raise RetryableError(failure) from None
                raise failure from None

            page = page._replace(url=public_url)
            check(page)
            return page

        return self.call_with_retries(get_host(url), call) if retry else call()

    def call_with_retries(self, host: str, call: Callable[[], Answer]) -> Answer:
        """Return the result of `call`; on `RetryableError` hold the host and call again.

        Raises the wrapped error after the last retry, or when the site demands a longer pause than
        the limits allow.
        """
        attempt = 0
        while True:
            try:
                return call()
            except RetryableError as failure:
                wait = failure.wait
                if wait is None:
                    wait = backoff_seconds(attempt, self.limits.backoff)
                if attempt >= self.limits.retries or wait > self.limits.max_wait:
                    raise failure.error from failure.__cause__
                self.slots.hold(host, wait)
                attempt += 1

    def record_host_rules(self, file: str, response: HttpResponse | Exception) -> None:
        """Record the rules in a robots.txt or tdmrep.json, or why it was not read.

        Raises errors that end the run, as `make_failure` does.
        """
        if isinstance(response, Exception):
            self.robots.record_failure(file, make_failure(file, response))
            return

        try:
            delay = self.robots.record_rules(file, response.status, response.data)
        except Exception as error:
            # Rules that cannot be parsed count as not read.
            self.record_host_rules(file, error)
        else:
            # A crawl delay applies from now on, and already between this request and the next.
            self.slots.slow_down(get_host(file), delay or 0.0)
            self.slots.hold(get_host(file), delay or 0.0)

    def _request(
        self, url: str, policy: FetchPolicy, deadline: Deadline
    ) -> HttpResponse:
        in_body = False  # whether the response has begun
        self._watcher.add(deadline)
        try:
            with deadline, self._open(url, policy, deadline) as response:
                in_body = True
                data = self._read_body(url, response, policy, deadline)
                return HttpResponse(response.status, response.headers, data, url)
        except (HTTPError, OSError, UnicodeError, zlib.error) as error:
            # The watcher shuts down sockets: its reason is the true one, not the socket's error.
            self._raise_if_over(url, deadline)
            raise classify_error(error, url, in_body) from error
        finally:
            self._watcher.remove(deadline)

    @contextmanager
    def _open(
        self, url: str, policy: FetchPolicy, deadline: Deadline
    ) -> Iterator[BaseHTTPResponse]:
        connect_timeout = min(policy.limits.connect_timeout, deadline.remaining)
        response = self._pools.manager_for(url).request(
            "GET" if policy.body is None else "POST",
            url,
            body=policy.body,
            headers=policy.headers,
            timeout=Timeout(connect=connect_timeout, read=policy.limits.read_timeout),
            retries=False,
            redirect=False,
            preload_content=False,
        )

        try:
            yield response
        finally:
            # Keeps the connection if the body was read to its end, drops it otherwise.
            response.close()

    def _read_body(
        self,
        url: str,
        response: BaseHTTPResponse,
        policy: FetchPolicy,
        deadline: Deadline,
    ) -> bytes:
        if response.status >= 300 and not policy.error_bodies:
            return b""
        if response.status < 300 and policy.robots:
            self.robots.check_headers(url, response.headers)
        max_bytes = policy.limits.max_bytes
        length = response.headers.get("Content-Length", "")
        # float takes any number of digits, int does not.
        is_too_large = length.isdecimal() and float(length) > max_bytes
        if is_too_large and not policy.may_clip:
            raise _too_large(url, max_bytes)

        data = io.BytesIO()
        size = 0
        while size <= max_bytes:
            # read1 returns the bytes received so far; read would wait for a whole chunk.
            chunk = response.read1(_CHUNK_BYTES, decode_content=False)
            # A socket that was shut down looks like a regular end.
            self._raise_if_over(url, deadline)
            if not chunk:
                break
            size += data.write(chunk)

        encodings = response.headers.get("Content-Encoding", "")
        content = decode_content(data.getvalue(), encodings, max_bytes)
        if max(size, len(content)) > max_bytes and not policy.may_clip:
            raise _too_large(url, max_bytes)
        return content

    def _raise_if_over(self, url: str, deadline: Deadline) -> None:
        if self.slots.is_closed:
            raise Closed("the download was stopped")
        if deadline.is_over:
            raise Unreadable("too slow", f"{url}: more than {deadline.total:g} s")

    def _headers(self, accept: str) -> dict[str, str]:
        return {
            "User-Agent": self.user_agent,
            "Accept": accept,
            "Accept-Encoding": "gzip",
        }


def _too_large(url: str, max_bytes: int) -> Unreadable:
    return Unreadable(
        "too large",
        f"{url}: more than {max_bytes} bytes",
    )


def _decode_text(response: HttpResponse) -> str:
    content_type = response.headers.get("Content-Type", "").lower()
    _, _, parameter = content_type.partition("charset=")
    charset = parameter.partition(";")[0].strip(" \"'")
    try:
        return response.data.decode(charset or "utf-8", "replace")
    except (LookupError, ValueError):  # the codecs idna and undefined raise ValueError
        return response.data.decode("utf-8", "replace")
