"""ASGI middleware: access checks of requests, and security headers of responses."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gleanset.web.problems import RefusedRequest, busy_error
from gleanset.web.rate_limit import RateLimit, get_network
from gleanset.web.settings import AccessSettings, TransferLimits

POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
log = logging.getLogger(__name__)
HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("permissions-policy", "camera=(self), microphone=(), geolocation=()"),
    # Isolated pages may use threads (SharedArrayBuffer).
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-embedder-policy", "require-corp"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
)


def get_client(scope: Scope) -> str:
    """Return the client's address, or its network for IPv6."""
    address, *_ = scope.get("client") or ("?",)
    return get_network(address)


def get_token(headers: Headers, cookie: str) -> str:
    """Return the token of a request from its header or a cookie; "" for none."""
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    return bearer or cookie_parser(headers.get("cookie", "")).get(cookie, "")


def token_error(token: str, reason: str, detail: str, hint: str) -> RefusedRequest:
    """Return the error for a wrong token, or for none with `reason` and `detail`."""
    if token:
        reason = "wrong token"
        detail = "this token is not right"
    return RefusedRequest(401, reason, detail, hint, {"www-authenticate": "Bearer"})


@dataclass(eq=False)
class Guard:
    """Checks host, origin, rate, token and size, in this order.

    Work on a request stops when the client disconnects. Subclasses check tokens.
    """

    # What to do about a request that a page of another site sends.
    ORIGIN_HINT = "start the server with --allow-origin ORIGIN"

    app: ASGIApp
    settings: AccessSettings
    rate: RateLimit
    headers: Sequence[tuple[str, str]] = HEADERS
    """Headers that each response has unless it sets them itself."""
    _bytes_in_flight: Counter[str] = field(default_factory=Counter)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        client = get_client(scope)
        answer = _GuardedAnswer(send, self.headers)
        body = _BoundedBody(
            receive,
            client,
            self.settings.limits,
            self._bytes_in_flight,
        )
        try:
            await self._answer(scope, body, answer)
        except RefusedRequest as refused:
            await refused.response()(scope, receive, answer)
        except ClientDisconnect:
            pass  # during the upload: no client waits for the answer
        except Exception:
            if not answer.status:  # no response has begun
                bug = RefusedRequest(
                    500,
                    "our fault",
                    "this is a bug in Gleanset",
                    "try again, or tell the operator of this server",
                )
                await bug.response()(scope, receive, answer)
            raise
        finally:
            body.release()
            if not answer.status:
                log.debug(
                    "the client left before the response: %s %r",
                    scope["method"],
                    scope["path"],
                )

        return None

    async def _answer(
        self, scope: Scope, body: _BoundedBody, answer: _GuardedAnswer
    ) -> None:
        """Check the request and pass it on. Raises `RefusedRequest`."""
        headers = Headers(scope=scope)
        self.check(scope, headers)
        try:
            # The body ends this limit itself, when it is complete.
            async with asyncio.timeout(self.settings.limits.seconds) as body.timeout:
                disconnect = asyncio.ensure_future(body.expire_on_disconnect())
                try:
                    await self.app(scope, body, answer)
                finally:
                    disconnect.cancel()
        except TimeoutError:
            if not body.timeout.expired():
                raise  # a bug, not our timeout
            # The limit ends when the body is complete. After that `expire_on_disconnect` lets the
            # time run out, so that no work is done for a client that has gone.
            if not body.complete.is_set():
                raise RefusedRequest(
                    408,
                    "too slow",
                    f"limit: {self.settings.limits.seconds:g} s per request",
                    "send smaller images",
                ) from None

    def is_counted(self, scope: Scope, headers: Headers) -> bool:
        """Return whether a request counts against the rate of its client.

        Here all do; subclasses decide by the arguments.
        """
        return True

    def check_token(self, scope: Scope, headers: Headers) -> None:
        """Raise `RefusedRequest` unless the token admits this request."""
        raise NotImplementedError

    def check(self, scope: Scope, headers: Headers) -> None:
        """Raise `RefusedRequest` unless a request may be passed on."""
        self._check_host(headers)
        if is_change(scope):
            self._check_origin(headers)
        # Before the token, so that guessing is limited.
        if self.is_counted(scope, headers):
            self._check_rate(scope)
        self.check_token(scope, headers)

        length = headers.get("content-length", "0")
        # float() accepts any number of digits, int() does not.
        if length.isdecimal() and float(length) > self.settings.limits.body_bytes:
            raise too_large_error(self.settings.limits.body_bytes)

    def _check_host(self, headers: Headers) -> None:
        """Refuse other host names, against DNS rebinding."""
        host = _host_in(f"//{headers.get('host', '')}")
        if host is None:
            raise RefusedRequest(
                400,
                "wrong host",
                "not a host name",
                "correct the header Host",
            )
        if self.settings.hosts and host not in self.settings.hosts:
            raise RefusedRequest(
                421,
                "wrong host",
                "not a name of this server",
                "start it with --host-name NAME",
            )

    def _check_origin(self, headers: Headers) -> None:
        """Refuse requests from pages of other sites (CSRF)."""
        origin = headers.get("origin")
        if origin is None or origin in self.settings.origins:
            return
        if origin.partition("://")[2] != headers.get("host"):
            raise RefusedRequest(
                403,
                "another site",
                "sent by a page of another site",
                self.ORIGIN_HINT,
            )

    def _check_rate(self, scope: Scope) -> None:
        wait = self.rate.wait(get_client(scope))
        if wait:
            seconds = str(math.ceil(wait))
            raise RefusedRequest(
                429,
                "too many requests",
                f"limit: {self.settings.limits.per_minute} requests per minute",
                f"try again in {seconds} s",
                {"retry-after": seconds},
            )


def is_change(scope: Scope) -> bool:
    """Return whether a request may change something."""
    return scope["method"] not in ("GET", "HEAD", "OPTIONS")


@dataclass(eq=False)
class _GuardedAnswer:
    _send: Send
    _headers: Sequence[tuple[str, str]]
    status: int = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(raw=[*message["headers"]])
            for name, value in self._headers:
                headers.setdefault(name, value)
            message["headers"] = headers.raw
        await self._send(message)


@dataclass(eq=False)
class _BoundedBody:
    """Receives a body within limits of size, of bytes in flight and of time.

    The timeout ends with the body: computing the response has limits of its own.
    """

    _receive: Receive
    _client: str
    _limits: TransferLimits
    _in_flight: Counter[str]
    _bytes: int = 0
    complete: asyncio.Event = field(default_factory=asyncio.Event)
    timeout: asyncio.Timeout = field(init=False)
    """Set by `Guard` before the app reads the body."""

    async def __call__(self) -> Message:
        message = await self._receive()
        self._count(len(message.get("body", b"")))
        if not message.get("more_body", False):
            self.timeout.reschedule(None)
            self.complete.set()
        return message

    def _count(self, size: int) -> None:
        limits = self._limits
        self._bytes += size
        self._in_flight[self._client] += size
        if self._bytes > limits.body_bytes:
            raise too_large_error(limits.body_bytes)
        own = self._in_flight[self._client]
        total = self._in_flight.total()
        # A message without bytes is not refused because of the bytes of other requests.
        if size and (own > limits.client_bytes or total > limits.server_bytes):
            raise busy_error("too many uploads at once")

    def release(self) -> None:
        """Subtract the bytes of this request from the totals."""
        self._in_flight[self._client] -= self._bytes
        if not self._in_flight[self._client]:
            del self._in_flight[self._client]

    async def expire_on_disconnect(self) -> None:
        """Let the timeout expire when the client disconnects after a complete request."""
        await self.complete.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.timeout.reschedule(asyncio.get_running_loop().time())


def too_large_error(max_bytes: int) -> RefusedRequest:
    """Return the error for a request with too many bytes."""
    return RefusedRequest(
        413,
        "too large",
        f"limit: {max_bytes / 1e6:g} MB per request",
        "send less at once",
    )


def _host_in(address: str) -> str | None:
    """Return the host in an address, "" for none; None if the address is malformed."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # urlsplit checks it only here
        # Only an IPv6 address may be in brackets.
        _ = ip_address(parts.hostname or "") if "[" in address else None
    except ValueError:
        return None
    return parts.hostname or ""
