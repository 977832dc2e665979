"""Pixiv's app API as the source needs it: a login that lasts, a page of a search."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gleanset.errors import Changed, NeedsLogin
from harvest.http import Client
from harvest.sources.pixiv_app import App, Doors
from harvest.sources.pixiv_errors import LOGIN, TokenRefused, changed
from harvest.sources.pixiv_search import Page, Search

# An access token lives an hour; it is renewed while it still has this many seconds.
_MARGIN = 120.0
_LIFE = 3600.0


class PixivApi:
    """The app API with a login that renews itself. Thread-safe. `token` is the newest one.

    Every method raises `NeedsLogin`, `RateLimited`, `Blocked`, `Changed`, `Unreachable`;
    `UsageError` comes at once when a certificate file of the environment is unusable.
    """

    def __init__(self, doors: Doors, client: Client, token: str, pause: float = 0.0) -> None:
        self._app = App(doors, client, pause)
        self.token = token
        self._renew_at = 0.0
        self._logins = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Drop kept connections."""
        self._app.requests.close()

    def log_in(self) -> str:
        """Exchange the refresh token for an access token; the name of the account."""
        try:
            answer = self._app.log_in(self.token)
        except TokenRefused:
            raise NeedsLogin(
                "Pixiv refused the refresh token: it is wrong or too old.", LOGIN
            ) from None
        self.token = self._app.refresh_token or self.token
        self._renew_at = time.monotonic() + _life(answer) - _MARGIN
        user = answer.get("user") or answer["response"]["user"]
        return str(user.get("name") or user.get("account") or "")

    def search(self, search: Search, offset: int) -> Page:
        """The works from `offset` on. Raises `OffsetCap` past what one search reaches."""
        answer = self._logged_in(
            lambda: self._app.search_illust(
                search.word,
                search_target=search.target,  # type: ignore[arg-type]
                sort=search.sort,  # type: ignore[arg-type]
                start_date=_iso(search.since),
                end_date=_iso(search.until),
                offset=offset,
            )
        )
        works = answer.get("illusts")
        if not isinstance(works, list):
            raise changed("a search without its list of works")
        return Page(works, _next_offset(answer.get("next_url"), offset))

    def frames(self, work: int) -> int:
        """The number of a ugoira's frames; 0 when the work is gone or has none."""
        try:
            told = self._logged_in(lambda: self._app.ugoira_metadata(work))["ugoira_metadata"]
            return len(told["frames"])
        except (Changed, KeyError, TypeError):
            # One work that was deleted since is no reason to end the whole search.
            return 0

    def _logged_in(self, call: Callable[[], Any]) -> Any:
        login = self._current_login()
        try:
            return call()
        except TokenRefused:
            self._current_login(refused=login)
        try:
            return call()
        except TokenRefused:
            raise NeedsLogin("Pixiv refuses the access token that it just gave.", LOGIN) from None

    def _current_login(self, refused: int | None = None) -> int:
        """The number of the login in force; a new one if that is too old or was refused."""
        with self._lock:
            # Another thread may have made a new one while this one waited.
            if self._logins == refused or time.monotonic() >= self._renew_at:
                self.log_in()
                self._logins += 1
            return self._logins


def exchange_code(doors: Doors, client: Client, code: str, verifier: str) -> str:
    """The refresh token for a login code (RFC 7636). Raises `TokenRefused` for an old one."""
    app = App(doors, client)
    try:
        token = app.exchange(code, verifier)
    finally:
        app.requests.close()
    if not isinstance(token, str) or not token:
        raise changed("a login without its refresh token")
    return token


def _iso(day: date | None) -> str | None:
    return day.isoformat() if day else None


def _life(answer: Mapping[str, Any]) -> float:
    try:
        return float(answer["expires_in"])
    except (KeyError, TypeError, ValueError):
        return _LIFE


def _next_offset(next_url: object, offset: int) -> int | None:
    if not next_url:
        return None
    told = parse_qs(urlsplit(str(next_url)).query).get("offset", [""])[0]
    if not told.isdecimal() or int(told) <= offset:
        raise changed("a next page that does not lie ahead")
    return int(told)
