"""What a request must pass before it reaches the API, how it is refused, what answers carry."""

from __future__ import annotations

import asyncio
import hmac
import math
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webapp.rate_limit import RateLimit
from webapp.settings import ServeSettings

API = "/api/"
UNCOUNTED = ("/api/v1/health", "/api/v1/ping")
COOKIE = "gleanset-token"
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; worker-src 'self'; manifest-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
    # A page that shares nothing with other sites may compute in several threads.
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-embedder-policy", b"require-corp"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class RefusedRequest(Exception):
    """A request that is refused, by a JSON that is always of one form.

    `reason` is one of few, `detail` and `mend` are for a person.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        detail: str = "",
        mend: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, reason, detail)
        self.status, self.reason, self.detail, self.mend = status, reason, detail, mend
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """Return the answer."""
        error = {"reason": self.reason, "detail": self.detail, "mend": self.mend}
        return JSONResponse({"error": error}, self.status, self.headers)


class Guard:
    """Checks host, origin, rate, token and size around an application, in this order."""

    def __init__(self, app: ASGIApp, settings: ServeSettings) -> None:
        self._app, self._settings = app, settings
        self._rate = RateLimit(Path(settings.counters), settings.limits.per_minute)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        body = _BoundedBody(receive, self._settings.limits.body_bytes)

        async def answered(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = {name for name, _ in message["headers"]}
                more = (one for one in HEADERS if one[0] not in told)
                message["headers"] = [*message["headers"], *more]
            await send(message)

        try:
            self._check(scope, Headers(scope=scope))
            async with asyncio.timeout(None) as body.patience:
                body.patience.reschedule(_later(self._settings.limits.seconds))
                await self._app(scope, body, answered)
        except RefusedRequest as refused:
            await refused.response()(scope, receive, answered)
        except TimeoutError:
            late = RefusedRequest(408, "too slow", "the request did not arrive in time")
            await late.response()(scope, receive, answered)
        return None

    def _check(self, scope: Scope, headers: Headers) -> None:
        """Raise `RefusedRequest` for what is not let in."""
        self._check_host(headers)
        if scope["method"] not in ("GET", "HEAD"):
            _check_origin(headers)
        if not scope["path"].startswith(API) or scope["path"] in UNCOUNTED:
            return
        # Before the token, so that nobody guesses it quickly.
        self._check_rate(scope)
        self._check_token(headers)
        length = headers.get("content-length", "0")
        # float takes any number of digits, int does not.
        if length.isdecimal() and float(length) > self._settings.limits.body_bytes:
            raise too_large(self._settings.limits.body_bytes)

    def _check_host(self, headers: Headers) -> None:
        """Refuse a name that is not ours: a foreign page that points its name at this machine."""
        host = _split(f"//{headers.get('host', '')}").hostname
        if self._settings.hosts and host not in self._settings.hosts:
            raise RefusedRequest(
                421, "wrong host", "this server has another name", "start it with --host-name NAME"
            )

    def _check_token(self, headers: Headers) -> None:
        if self._settings.token is None:
            return
        given = headers.get("authorization", "").removeprefix("Bearer ") or _cookie(headers)
        if not hmac.compare_digest(given.encode(), self._settings.token.encode()):
            raise RefusedRequest(
                401,
                "token needed",
                "this server answers only those who know its token",
                "open the address that `webapp serve` printed",
                {"www-authenticate": "Bearer"},
            )

    def _check_rate(self, scope: Scope) -> None:
        wait = self._rate.wait((scope.get("client") or ("?",))[0])
        if wait:
            seconds = str(math.ceil(wait))
            raise RefusedRequest(
                429,
                "too many requests",
                f"at most {self._settings.limits.per_minute} a minute",
                f"ask again in {seconds} s",
                {"retry-after": seconds},
            )


class _BoundedBody:
    """Receives a body of at most `most` bytes, and lets the answer take its time after that."""

    def __init__(self, receive: Receive, most: int) -> None:
        self._receive, self._most, self._got = receive, most, 0
        self.patience: asyncio.Timeout

    async def __call__(self) -> Message:
        message = await self._receive()
        self._got += len(message.get("body", b""))
        if self._got > self._most:
            raise too_large(self._most)
        if not message.get("more_body", False):
            self.patience.reschedule(None)
        return message


def too_large(most: int) -> RefusedRequest:
    """Return the refusal of a request with too many bytes."""
    return RefusedRequest(
        413, "too large", f"at most {most / 1e6:g} MB a request", "send fewer or smaller pictures"
    )


def _later(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def _check_origin(headers: Headers) -> None:
    """Refuse what a page of another site sends in a visitor's name."""
    origin = headers.get("origin")
    if origin is not None and _split(origin).netloc != headers.get("host"):
        raise RefusedRequest(403, "another site", "sent by a page of another site")


def _split(address: str) -> SplitResult:
    """Return the parts of an address; of what is none, as of one that names no host."""
    try:
        return urlsplit(address)
    except ValueError:
        return urlsplit("")


def _cookie(headers: Headers) -> str:
    try:
        jar = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return ""
    return jar[COOKIE].value if COOKIE in jar else ""
