"""Pixiv's app API: the login, which renews itself, and pages of a search.

The app's identity is that of pixivpy3, whose requests are not used: they imitate a browser and
ignore statuses. Pixiv uses several statuses for one error: the message in the body decides first,
then the status.

The login page is that of the app (OAuth 2 with PKCE, RFC 7636). It finally redirects to
`pixiv://account/login?code=…`, which no browser can open; the code is valid for half a minute. So
the user copies it, and it is exchanged as soon as it is pasted.
"""

import base64
import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import msgspec

from gleanset.command_result import JsonDict
from gleanset.errors import Blocked, Changed, GleansetError, NeedsLogin
from harvest.http import Client, Page, parse_retry_after
from harvest.http.policy import RETRY_STATUSES
from harvest.http.throttle import RetryableError
from harvest.results import LoginResult
from harvest.secrets import LOGIN_HELP, Ask, check_pasted_secret, store_login
from harvest.sources.base import (
    Endpoint,
    no_data_error,
    redact_site_text,
    require_package,
    status_error,
)

HOST = "https://app-api.pixiv.net"
AUTH_HOST = "https://oauth.secure.pixiv.net"
# With English translations of tags.
_APP = {
    "accept-language": "en-us",
    "app-os": "ios",
    "app-os-version": "14.6",
    "user-agent": "PixivIOSApp/7.13.3 (iOS 14.6; iPhone13,2)",
}
# An access token is valid for an hour; it is renewed this many seconds before its end.
_RENEWAL_MARGIN_SECONDS = 120.0
_TOKEN_LIFETIME_SECONDS = 3600.0
_TEMPORARY_STATUSES = RETRY_STATUSES - {429}
# Refusals of everything, not of one work: by the firewall, or of the account.
_GENERAL_REFUSALS = (
    "block_waf",
    "your access",
    "account is",
    "account has been",
    "アカウントが",
    "アカウントは",
)
_TOKEN_ERRORS = (
    "invalid_grant",
    "invalid refresh token",
    "access token",
    "oauth process",
)


class Endpoints(NamedTuple):
    """The endpoints of the API and its token service."""

    api: Endpoint
    auth: Endpoint


class PixivSearch(NamedTuple):
    """One search in the terms of the API; both days are included."""

    word: str
    target: str
    order: str
    since: date | None
    until: date | None


CheckResponse = Callable[[Page], None]
"""Raises the error of a response, if it is one."""


class _Account(msgspec.Struct):
    name: str | None = None
    account: str | None = None


class _TokenAnswer(msgspec.Struct):
    access_token: str | None = None
    refresh_token: str | None = None
    expires_in: float = _TOKEN_LIFETIME_SECONDS
    user: _Account | None = None


class _TokenRefused(Exception):
    """The access token, the refresh token or the login code is wrong or expired."""


class _WorkRefused(Exception):
    """This account may not see the work; other works and searches are not concerned."""


class _OffsetCap(Exception):
    """The offset is beyond the results that one search lists."""


class PixivApi:
    """The app API with a login that renews itself. Thread-safe. `token`: latest refresh token.

    Every method raises `NeedsLogin`, `RateLimited`, `Blocked`, `Changed`, `Unreachable`; the
    constructor `MissingComponent` without pixivpy3.
    """

    def __init__(self, endpoints: Endpoints, client: Client, token: str, pace: float):
        with require_package("Pixiv", "pip install pixivpy3"):
            from pixivpy3 import AppPixivAPI
        self._app = AppPixivAPI
        self.endpoints = endpoints
        self._client = client
        self._pace = pace
        self.token = token
        self._access_token = ""
        # When to renew the login, on the monotonic clock.
        self._renew_at = 0.0
        self._login_count = 0
        self._lock = threading.Lock()

    def log_in(self) -> str:
        """Exchange the refresh token for an access token; return the name of the account."""
        try:
            answer = self._request_token(
                grant_type="refresh_token", refresh_token=self.token
            )
        except _TokenRefused:
            raise NeedsLogin(
                "Pixiv rejected the refresh token: it is wrong or expired",
                LOGIN_HELP["pixiv"],
            ) from None

        if not answer.access_token or not answer.user:
            raise format_error("a login without its account or access token")
        self._access_token = answer.access_token
        self.token = answer.refresh_token or self.token
        self._renew_at = time.monotonic() + answer.expires_in - _RENEWAL_MARGIN_SECONDS
        return answer.user.name or answer.user.account or ""

    def exchange(self, code: str, verifier: str) -> str | None:
        """Return the refresh token for a login code (RFC 7636), None for an expired code."""
        try:
            answer = self._request_token(
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
                redirect_uri=f"{HOST}/web/v1/users/auth/pixiv/callback",
            )
        except _TokenRefused:
            return None

        if not answer.refresh_token:
            raise format_error("a login without its refresh token")
        return answer.refresh_token

    def search(
        self, search: PixivSearch, offset: int
    ) -> tuple[list[Any], int | None] | None:
        """Return works from `offset` on as JSON values, and the offset of the next page, if any.

        None beyond the results that one search lists.
        """
        try:
            answer = self._call(
                "/v1/search/illust",
                _check_response,
                word=search.word,
                search_target=search.target,
                sort=search.order,
                filter="for_ios",
                start_date=search.since,
                end_date=search.until,
                offset=offset or None,
            )
        except _OffsetCap:
            return None

        works = answer.get("illusts")
        if not isinstance(works, list):
            raise format_error("a search without its list of works")
        return works, _next_offset(answer.get("next_url"), offset)

    def count_frames(self, work: int) -> int | None:
        """Return the number of frames of a ugoira.

        0 when the work is deleted or has none, None when this account may not see it.
        """
        try:
            answer = self._call(
                "/v1/ugoira/metadata", _check_work_response, illust_id=work
            )
            return len(answer["ugoira_metadata"]["frames"])
        except _WorkRefused:
            return None
        except (Changed, KeyError, TypeError):
            # A work deleted since must not end the whole search.
            return 0

    def _call(self, path: str, check: CheckResponse, **params: object) -> JsonDict:
        login = self._ensure_login()
        try:
            return self._get(path, params, check)
        except _TokenRefused:
            self._ensure_login(refused=login)

        try:
            return self._get(path, params, check)
        except _TokenRefused:
            raise NeedsLogin(
                "Pixiv rejects the access token that it just issued",
                LOGIN_HELP["pixiv"],
            ) from None

    def _get(
        self, path: str, params: Mapping[str, object], check: CheckResponse
    ) -> JsonDict:
        params = {name: value for name, value in params.items() if value is not None}
        query = urlencode(params, quote_via=quote)
        page = self._client.call_api(
            self.endpoints.api.url(f"{path}?{query}"),
            check,
            headers={**_APP, "Authorization": f"Bearer {self._access_token}"},
            pace=self._pace,
        )
        answer: JsonDict = json.loads(page.text)
        return answer

    def _ensure_login(self, refused: int | None = None) -> int:
        """Log in if there is no login, or its number was `refused`; return its number."""
        with self._lock:
            # Another thread may have renewed it while this one waited.
            is_refused = self._login_count == refused
            if is_refused or time.monotonic() >= self._renew_at:
                self.log_in()
                self._login_count += 1
            return self._login_count

    def _request_token(self, **fields: str) -> _TokenAnswer:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S+00:00}"
        # The signature of the app.
        text = now + self._app.hash_secret
        digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
        form = {
            "client_id": self._app.client_id,
            "client_secret": self._app.client_secret,
            "get_secure_url": "1",
            "include_policy": "true",
            **fields,
        }
        page = self._client.call_api(
            self.endpoints.auth.url("/auth/token"),
            _check_response,
            headers={**_APP, "x-client-time": now, "x-client-hash": digest},
            form=form,
            pace=self._pace,
        )
        try:
            return msgspec.json.decode(page.text, type=_TokenAnswer, strict=False)
        except msgspec.DecodeError as error:
            raise format_error(f"a login in another format: {error}") from None


def format_error(answer: str) -> Changed:
    """Return the error for a response in an unknown format."""
    return Changed(
        f"Pixiv answered with {answer}",
        "pip install -U pixivpy3 and update Gleanset, or use another source",
    )


def _next_offset(next_url: object, offset: int) -> int | None:
    if not next_url:
        return None
    next_offset, *_ = parse_qs(urlsplit(str(next_url)).query).get("offset", [""])
    if not next_offset.isdecimal() or int(next_offset) <= offset:
        raise format_error("a next page that is not ahead")
    return int(next_offset)


def _check_response(page: Page) -> None:
    """Raise the error of a response, if it is one."""
    try:
        body = json.loads(page.text)
    except (ValueError, RecursionError):
        body = None

    if isinstance(body, dict):
        error = _api_error(body, page)
    else:
        error = no_data_error("Pixiv", "a call of its app API", page)

    # `_TokenRefused` and `_OffsetCap` are not errors of the site: the caller logs in again, or
    # stops at the last page.
    if isinstance(error, GleansetError) and page.status in _TEMPORARY_STATUSES:
        raise RetryableError(error, parse_retry_after(page.headers))
    if error:
        raise error


def _check_work_response(page: Page) -> None:
    """Raise the error of a response about one work, `_WorkRefused` if only that is refused.

    A restricted work has a message of the API ("公開制限エラーです。"); the bot protection has
    a page of its own.
    """
    try:
        _check_response(page)
    except Blocked:
        if not page.text.lstrip().startswith("{"):
            raise
        # Without the escapes of other scripts.
        body = json.dumps(json.loads(page.text), ensure_ascii=False).casefold()
        if any(mark in body for mark in _GENERAL_REFUSALS):
            raise
        raise _WorkRefused from None


def _api_error(body: Mapping[str, Any], page: Page) -> Exception | None:
    """Return the error that a response states; None for one with data."""
    if page.status == 200 and not body.get("error") and not body.get("has_error"):
        return None
    message = " ".join(_iter_messages(body))
    text = message.casefold()
    if any(mark in text for mark in _TOKEN_ERRORS) or page.status == 401:
        return _TokenRefused()
    if "offset" in text and "no more than" in text:
        return _OffsetCap()
    if "invalid_client" in text:
        return Changed(
            f"Pixiv no longer accepts the app whose identity is used ({page.url})",
            "pip install -U pixivpy3",
        )

    # Whatever its status is.
    if "rate limit" in text:
        page = page._replace(status=429)
    answer = f"Pixiv answered {page.status}"
    if message:
        answer += f": {redact_site_text(message)}"
    return status_error(f"{answer} ({page.url})", page)


def _iter_messages(body: Mapping[str, Any]) -> Iterator[str]:
    # {"error": {"message": …, "user_message": …}}, {"error": "invalid_grant", "errors":
    # {"system": {"message": …}}} and other forms.
    for key in ("error", "errors", "system", "message", "user_message", "reason"):
        value = body.get(key)
        if isinstance(value, str) and value:
            yield value
        elif isinstance(value, dict):
            yield from _iter_messages(value)


MAX_ATTEMPTS = 5
_CODE = re.compile(r"[?&]code=([\w.~-]+)", re.ASCII)
_STEPS = """\
Log in to Pixiv in your browser, and copy one line out of it:
  1. Open {url}
     (it {opened} opened automatically)
  2. Before you log in press F12, choose "Network" and tick "Preserve log"
     (in Firefox "Persist Logs", behind the cog wheel).
  3. Log in. The page then stays white or cannot be opened: this is expected.
  4. Type "code=" into the filter of the network list. Copy the address of the
     entry that begins with pixiv://account/login?code= (or of the one with
     callback?…code=), and paste it here within half a minute of the login.
     If it took longer, you can try again.
You can also paste an existing refresh token.
"""
_RETRY = """\
Pixiv rejected the code: it was older than half a minute, already used, or
incomplete. With the network list open reload this page, and paste the new line:
  {url}
"""


def log_in_to_pixiv(
    ask: Ask,
    open_browser: Callable[[str], bool],
    *,
    endpoint: str = HOST,
    auth_endpoint: str = AUTH_HOST,
) -> LoginResult:
    """Log in to Pixiv and store the refresh token; return the command's result.

    `open_browser` opens the login page, and the user is asked to copy the code. Raises
    `NeedsLogin`, `RateLimited`, `Blocked`, `Unreachable`, `Changed`, `MissingComponent`.
    """
    endpoints = Endpoints(Endpoint(endpoint), Endpoint(auth_endpoint))
    # An endpoint given by the user may be on this machine.
    with Client(allow_private=(endpoint, auth_endpoint) != (HOST, AUTH_HOST)) as client:
        # Without pauses: a login is two or three requests.
        api = PixivApi(endpoints, client, token="", pace=0)
        token = _ask_for_token(api, ask, open_browser)
        api.token = check_pasted_secret(token, "refresh token")
        account = api.log_in()
        # The site may have replaced the token.
        return store_login("pixiv", {"pixiv.refresh_token": api.token}, account=account)


def _ask_for_token(api: PixivApi, ask: Ask, open_browser: Callable[[str], bool]) -> str:
    """Return the refresh token for a code, or token, that the user pastes."""
    verifier = secrets.token_urlsafe(32)
    digest = hashlib.sha256(verifier.encode()).digest()
    params = {
        # RFC 7636, 4.2
        "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
        "code_challenge_method": "S256",
        "client": "pixiv-android",
    }
    url = api.endpoints.api.url(f"/web/v1/login?{urlencode(params)}")
    opened = "was" if open_browser(url) else "could not be"
    question = _STEPS.format(url=url, opened=opened)

    for _ in range(MAX_ATTEMPTS):
        answer = ask(question + "The line", hidden=True).strip()
        token = _exchange_answer(api, verifier, answer) if answer else None
        if token:
            return token
        question = _RETRY.format(url=url)

    raise NeedsLogin(
        f"the login to Pixiv failed {MAX_ATTEMPTS} times",
        "paste an existing refresh token, or log in again: harvest login pixiv",
    )


def _exchange_answer(api: PixivApi, verifier: str, answer: str) -> str | None:
    """Return the refresh token for what the user pasted, if it is valid."""
    match = _CODE.search(answer)
    if match:
        return api.exchange(match[1], verifier)
    # A bare code and a refresh token look alike; the code, which expires soon, is tried first.
    token = api.exchange(answer, verifier)
    if token:
        return token

    api.token = answer
    try:
        api.log_in()
    except NeedsLogin:
        return None
    return api.token
