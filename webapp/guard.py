"""What a request must pass before it reaches the API, and what answers carry."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.compute_queue import ComputeQueue
from webapp.problems import RefusedRequest, busy
from webapp.rate_limit import RateLimit, network_of
from webapp.settings import RequestLimits, ServeSettings

API = "/api/"
OWNER_API = "/api/v1/owner"
"""What asks for a token of its own."""
UNCOUNTED = ("/api/v1/health", "/api/v1/ping")
COOKIE, OWNER_COOKIE = "gleanset-token", "gleanset-owner"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("permissions-policy", "camera=(self), microphone=(), geolocation=()"),
    # A page that shares nothing with other sites may compute in several threads.
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
)


def visitor_of(scope: Scope) -> str:
    """Return who asks: an address, or of IPv6 its network."""
    return network_of((scope.get("client") or ("?",))[0])


def token_in(headers: Headers, cookie: str) -> str:
    """Return the token that a request says, in its header or in a cookie; "" for none."""
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    return bearer or cookie_parser(headers.get("cookie", "")).get(cookie, "")


class Guard:
    """Checks host, origin, rate, token and size around an application, in this order.

    Who goes before the answer has come has it worked on no longer.
    """

    def __init__(
        self, app: ASGIApp, settings: ServeSettings, rate: RateLimit, queue: ComputeQueue
    ) -> None:
        self._app, self._settings, self._rate, self._queue = app, settings, rate, queue
        self._under_way: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        answer = _GuardedAnswer(send)
        body = _BoundedBody(receive, visitor_of(scope), self._settings.limits, self._under_way)
        try:
            await self._answer(scope, body, answer)
        except RefusedRequest as refused:
            await refused.response()(scope, receive, answer)
        except Exception:
            if not answer.begun:
                bug = RefusedRequest(500, "our fault", "this is a bug in Gleanset")
                await bug.response()(scope, receive, answer)
            raise
        finally:
            body.forget()
        return None

    async def _answer(self, scope: Scope, body: _BoundedBody, answer: _GuardedAnswer) -> None:
        """Let the application answer. Raises `RefusedRequest`, and what the application raises."""
        headers = Headers(scope=scope)
        counted = self._is_counted(scope, headers)
        if counted:
            answer.rate_headers = partial(self._rate.headers, visitor_of(scope))
        self._check(scope, headers, counted=counted)
        if scope["method"] == "HEAD" and scope["path"].startswith(API):
            # Routes of the API know GET alone; the server sends no body of an answer to HEAD.
            scope = {**scope, "method": "GET"}
        try:
            async with asyncio.timeout(None) as body.patience:
                body.patience.reschedule(_later(self._settings.limits.seconds))
                gone = asyncio.ensure_future(body.gone())
                try:
                    await self._app(scope, body, answer)
                finally:
                    gone.cancel()
        except TimeoutError:
            if not body.patience.expired():
                raise  # not of the patience: a bug
            if not body.complete.is_set():  # else the user has gone
                raise RefusedRequest(
                    408, "too slow", "the request did not arrive in time"
                ) from None

    def _is_counted(self, scope: Scope, headers: Headers) -> bool:
        path = scope["path"]
        if not path.startswith(API) or path in UNCOUNTED:
            # A token that is sent with a page may be a guess. The name may be percent-encoded.
            return "token" in QueryParams(scope["query_string"])
        # A page of reports has many faces.
        own = path.startswith(f"{OWNER_API}/")
        return not (own and self._settings.is_owner(token_in(headers, OWNER_COOKIE)))

    def _check(self, scope: Scope, headers: Headers, *, counted: bool) -> None:
        self._check_host(headers)
        changes = scope["method"] not in ("GET", "HEAD", "OPTIONS")
        if changes:
            self._check_origin(headers)
        if counted:  # before the token is looked at, so that nobody guesses it quickly
            self._check_rate(scope)
        if not scope["path"].startswith(API) or scope["path"] in UNCOUNTED:
            return
        if not scope["path"].startswith(f"{OWNER_API}/"):
            self._check_token(headers)
        length = headers.get("content-length", "0")
        # float takes any number of digits, int does not.
        if length.isdecimal() and float(length) > self._settings.limits.body_bytes:
            raise too_large(self._settings.limits.body_bytes)
        if changes:
            self._queue.refuse_if_busy(visitor_of(scope))

    def _check_host(self, headers: Headers) -> None:
        """Refuse a name that is not ours: a foreign page that points its name at this machine."""
        host = _host_in(f"//{headers.get('host', '')}")
        if host is None:
            raise RefusedRequest(400, "wrong host", "that is no name of a server")
        if self._settings.hosts and host not in self._settings.hosts:
            raise RefusedRequest(
                421, "wrong host", "this server has another name", "start it with --host-name NAME"
            )

    def _check_origin(self, headers: Headers) -> None:
        """Refuse what a page of another site sends in a visitor's name."""
        origin = headers.get("origin")
        if origin is None or origin in self._settings.origins:
            return
        if origin.partition("://")[2] != headers.get("host"):
            raise RefusedRequest(403, "another site", "sent by a page of another site")

    def _check_token(self, headers: Headers) -> None:
        if not self._settings.lets_in(token_in(headers, COOKIE)):
            raise RefusedRequest(
                401,
                "token needed",
                "this server answers only those who know its token",
                "open the address that `webapp serve` printed",
                {"www-authenticate": "Bearer"},
            )

    def _check_rate(self, scope: Scope) -> None:
        wait = self._rate.wait(visitor_of(scope))
        if wait:
            seconds = str(math.ceil(wait))
            raise RefusedRequest(
                429,
                "too many requests",
                f"at most {self._settings.limits.per_minute} a minute",
                f"ask again in {seconds} s",
                {"retry-after": seconds},
            )


class _GuardedAnswer:
    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.rate_headers: Callable[[], Mapping[str, str]] = dict

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(raw=[*message["headers"]])
            for name, value in HEADERS:
                headers.setdefault(name, value)
            headers.update(self.rate_headers())
            message["headers"] = headers.raw
        await self._send(message)


class _BoundedBody:
    """Receives a body, of so many bytes and at most so many with others that are under way.

    The answer may take its time after that.
    """

    def __init__(
        self, receive: Receive, visitor: str, limits: RequestLimits, under_way: Counter[str]
    ) -> None:
        self._receive, self._limits = receive, limits
        self._visitor, self._under_way, self._bytes = visitor, under_way, 0
        self.complete = asyncio.Event()
        self.patience: asyncio.Timeout

    async def __call__(self) -> Message:
        message = await self._receive()
        self._count(len(message.get("body", b"")))
        if not message.get("more_body", False):
            self.patience.reschedule(None)
            self.complete.set()
        return message

    def _count(self, more: int) -> None:
        limits, under_way = self._limits, self._under_way
        self._bytes += more
        under_way[self._visitor] += more
        if self._bytes > limits.body_bytes:
            raise too_large(limits.body_bytes)
        mine, all_bytes = under_way[self._visitor], under_way.total()
        if more and (mine > limits.visitor_bytes or all_bytes > limits.server_bytes):
            raise busy("too many bytes are under way")

    def forget(self) -> None:
        """Let others send as many bytes."""
        self._under_way[self._visitor] -= self._bytes
        if not self._under_way[self._visitor]:
            del self._under_way[self._visitor]

    async def gone(self) -> None:
        """Have no more patience when the visitor has gone, after the whole request has come."""
        await self.complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.patience.reschedule(_later(0))


def too_large(most: int) -> RefusedRequest:
    """Return the refusal of a request with too many bytes."""
    return RefusedRequest(
        413, "too large", f"at most {most / 1e6:g} MB a request", "send fewer or smaller pictures"
    )


def _later(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def _host_in(address: str) -> str | None:
    """Return the name of an address, empty where there is none; None for what is no address."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # it is looked at only now
        _ = ip_address(parts.hostname or "") if "[" in address else None
    except ValueError:
        return None
    return parts.hostname or ""
