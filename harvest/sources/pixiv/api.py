"""Pixiv's app API through pixivpy3: a login that renews itself, pages of a search.

pixivpy3 knows what the app sends. It imitates a browser and ignores statuses, so all its requests
go through `PixivApi._request`: to any endpoint, by our session, which checks every response. Pixiv
uses several statuses for one error: the message in the body decides first, then the status.
"""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

from gleanset.errors import Changed, GleansetError, MissingComponent, NeedsLogin
from harvest.http import Client, Page, parse_retry_after
from harvest.http.throttle import RetryableError
from harvest.http.urls import get_host
from harvest.secrets import LOGIN_HELP
from harvest.sources.base import Endpoint, no_data_error, redact_site_text, status_error

if TYPE_CHECKING:
    from pixivpy3 import AppPixivAPI
    from requests import Response

HOST = "https://app-api.pixiv.net"
AUTH_HOST = "https://oauth.secure.pixiv.net"
_APP = {
    "app-os": "ios",
    "app-os-version": "14.6",
    "user-agent": "PixivIOSApp/7.13.3 (iOS 14.6; iPhone13,2)",
}
# An access token is valid for an hour; it is renewed this many seconds before its end.
_RENEWAL_MARGIN_SECONDS = 120.0
_TOKEN_LIFETIME_SECONDS = 3600.0
_TEMPORARY_STATUSES = frozenset({500, 502, 503, 504})
_TOKEN_ERRORS = ("invalid_grant", "invalid refresh token", "access token", "oauth process")

SearchTarget = Literal["partial_match_for_tags", "exact_match_for_tags", "title_and_caption"]
SearchOrder = Literal["date_desc", "date_asc"]


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The endpoints of the API and its token service."""

    api: Endpoint
    auth: Endpoint

    def url(self, url: str) -> str:
        """Return a URL of Pixiv with its host replaced by the endpoint."""
        for host, endpoint in ((HOST, self.api), (AUTH_HOST, self.auth)):
            if url.startswith(f"{host}/"):
                return endpoint.url(url.removeprefix(host))
        return url


@dataclass(frozen=True, slots=True)
class PixivSearch:
    """One search in the terms of the API; both days are included."""

    word: str
    target: SearchTarget
    order: SearchOrder
    since: date | None = None
    until: date | None = None


@dataclass(frozen=True, slots=True)
class PixivPage:
    """The works of one response as JSON values, and the offset of the next page, if any."""

    works: list[Any]
    next_offset: int | None


class _TokenRefused(Exception):
    """The access token, the refresh token or the login code is wrong or expired."""


class _OffsetCap(Exception):
    """The offset is beyond the results that one search lists."""


class PixivApi:
    """The app API with a login that renews itself. Thread-safe. `token`: latest refresh token.

    Every method raises `NeedsLogin`, `RateLimited`, `Blocked`, `Changed`, `Unreachable`; the
    constructor `MissingComponent` without pixivpy3, and `UsageError` when a certificate file of
    the environment is unusable.
    """

    def __init__(self, endpoints: Endpoints, client: Client, token: str, pace: float) -> None:
        self._app = _open_app(self._request)
        from harvest.sources.sessions import open_session

        self._session = open_session(client, pace, _check_response)
        self._endpoints = endpoints
        self._client = client
        self.token = token
        self._renew_at = 0.0
        self._logins = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the session."""
        self._session.close()

    def log_in(self) -> str:
        """Exchange the refresh token for an access token; return the name of the account."""
        try:
            answer = self._authorized()
        except _TokenRefused:
            text = "Pixiv rejected the refresh token: it is wrong or expired"
            raise NeedsLogin(text, LOGIN_HELP["pixiv"]) from None
        self.token = self._app.refresh_token or self.token
        lifetime = _TOKEN_LIFETIME_SECONDS
        with suppress(KeyError, TypeError, ValueError):
            lifetime = float(answer["expires_in"])
        self._renew_at = time.monotonic() + lifetime - _RENEWAL_MARGIN_SECONDS
        user = answer.get("user") or answer["response"]["user"]
        return str(user.get("name") or user.get("account") or "")

    def exchange(self, code: str, verifier: str) -> str | None:
        """Return the refresh token for a login code (RFC 7636), None for an expired code."""
        data = {
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret,
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "include_policy": "true",
            "redirect_uri": f"{HOST}/web/v1/users/auth/pixiv/callback",
        }
        try:
            answer = self._request("POST", f"{AUTH_HOST}/auth/token", _APP, data=data).json()
        except _TokenRefused:
            return None
        token = answer.get("refresh_token") or (answer.get("response") or {}).get("refresh_token")
        if not isinstance(token, str) or not token:
            raise changed_error("a login without its refresh token")
        return token

    def search(self, search: PixivSearch, offset: int) -> PixivPage | None:
        """Return the works from `offset` on, None beyond the results that one search lists."""
        try:
            answer = self._call(
                lambda: self._app.search_illust(
                    search.word,
                    search_target=search.target,
                    sort=search.order,
                    start_date=_iso(search.since),
                    end_date=_iso(search.until),
                    offset=offset,
                )
            )
        except _OffsetCap:
            return None
        works = answer.get("illusts")
        if not isinstance(works, list):
            raise changed_error("a search without its list of works")
        return PixivPage(works, _next_offset(answer.get("next_url"), offset))

    def frames(self, work: int) -> int:
        """Return the number of frames of a ugoira; 0 when the work is deleted or has none."""
        try:
            answer = self._call(lambda: self._app.ugoira_metadata(work))
            return len(answer["ugoira_metadata"]["frames"])
        except (Changed, KeyError, TypeError):
            # A work deleted since must not end the whole search.
            return 0

    def _call(self, call: Callable[[], Any]) -> Any:
        login = self._current_login()
        try:
            return call()
        except _TokenRefused:
            self._current_login(refused=login)
        try:
            return call()
        except _TokenRefused:
            text = "Pixiv rejects the access token that it just issued"
            raise NeedsLogin(text, LOGIN_HELP["pixiv"]) from None

    def _current_login(self, refused: int | None = None) -> int:
        with self._lock:
            # Another thread may have renewed it while this one waited.
            if self._logins == refused or time.monotonic() >= self._renew_at:
                self.log_in()
                self._logins += 1
            return self._logins

    def _authorized(self) -> Mapping[str, Any]:
        with warnings.catch_warnings():
            # pixivpy3 3.7.5 calls datetime.utcnow, which Python 3.12 deprecates.
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                answer = self._app.auth(refresh_token=self.token)
            except AttributeError:
                # It reads response.user.id of any JSON.
                raise changed_error("a login without its account") from None
        if not self._app.access_token:
            raise changed_error("a login without its access token")
        return dict(answer)

    def _request(
        self, method: str, url: str, headers: Any = None, params: Any = None, data: Any = None
    ) -> Response:
        address = self._endpoints.url(url)
        headers = {**self._app.additional_headers, **(headers or {})}
        return self._client.call_with_retries(
            get_host(address), lambda: self._session.request(method, address, params, data, headers)
        )


def changed_error(answer: str) -> Changed:
    """Return the error for a response in an unknown format."""
    return Changed(
        f"Pixiv answered with {answer}",
        "pip install -U pixivpy3 and update Gleanset, or use another source",
    )


def _open_app(request: Callable[..., Response]) -> AppPixivAPI:
    try:
        from pixivpy3 import AppPixivAPI
    except ImportError as error:
        raise MissingComponent(
            f"Pixiv needs the Python package pixivpy3, which is not installed ({error})",
            "pip install pixivpy3",
        ) from error

    class App(AppPixivAPI):
        def requests_call(self, *args: Any, **kwargs: Any) -> Response:
            return request(*args, **kwargs)

    app = App()
    # For English translations of tags.
    app.set_accept_language("en-us")
    # Its own session imitates a browser, and is never used.
    app.requests.close()
    return app


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _next_offset(next_url: object, offset: int) -> int | None:
    if not next_url:
        return None
    next_offset = parse_qs(urlsplit(str(next_url)).query).get("offset", [""])[0]
    if not next_offset.isdecimal() or int(next_offset) <= offset:
        raise changed_error("a next page that is not ahead")
    return int(next_offset)


def _check_response(page: Page) -> Exception | None:
    error = _response_error(page)
    if isinstance(error, GleansetError) and page.status in _TEMPORARY_STATUSES:
        return RetryableError(error, parse_retry_after(page.headers))
    return error


def _response_error(page: Page) -> Exception | None:
    try:
        body = json.loads(page.text)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        return no_data_error("Pixiv", "a call of its app API", page)
    if page.status == 200 and not body.get("error") and not body.get("has_error"):
        return None
    message = " ".join(_messages(body))
    lower = message.casefold()
    if any(mark in lower for mark in _TOKEN_ERRORS) or page.status == 401:
        return _TokenRefused()
    if "offset" in lower and "no more than" in lower:
        return _OffsetCap()
    if "invalid_client" in lower:
        return Changed(
            f"Pixiv no longer accepts the app that pixivpy3 imitates ({page.url})",
            "pip install -U pixivpy3",
        )
    if "rate limit" in lower:
        page = replace(page, status=429)
    words = f": {redact_site_text(message)}" if message else ""
    return status_error(f"Pixiv answered {page.status}{words} ({page.url})", page)


def _messages(body: Mapping[str, Any]) -> Iterator[str]:
    # {"error": {"message": …, "user_message": …}}, {"error": "invalid_grant", "errors":
    # {"system": {"message": …}}} and other forms.
    for key in ("error", "errors", "system", "message", "user_message", "reason"):
        value = body.get(key)
        if isinstance(value, str) and value:
            yield value
        elif isinstance(value, dict):
            yield from _messages(value)
