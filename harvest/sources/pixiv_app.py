"""pixivpy3 made plain: any endpoint, no imitated browser, every answer looked at."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from pixivpy3 import AppPixivAPI
from requests import RequestException, Response

from gleanset.errors import Unreachable
from harvest.http import Client, Page, retry_after
from harvest.sources.base import Endpoint
from harvest.sources.pacing import Pace, Refused
from harvest.sources.pixiv_errors import changed, complaint, speakable

HOST = "https://app-api.pixiv.net"
AUTH_HOST = "https://oauth.secure.pixiv.net"
_CALLBACK = f"{HOST}/web/v1/users/auth/pixiv/callback"
_APP = {
    "app-os": "ios",
    "app-os-version": "14.6",
    "user-agent": "PixivIOSApp/7.13.3 (iOS 14.6; iPhone13,2)",
}
_PASSING = frozenset({500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the API and its token service are asked."""

    api: Endpoint
    auth: Endpoint

    def through(self, url: str) -> str:
        """An address of Pixiv's, at the endpoint that takes its host's place."""
        for host, door in ((HOST, self.api), (AUTH_HOST, self.auth)):
            if url.startswith(f"{host}/"):
                return door.url(url.removeprefix(host))
        return url


class App(AppPixivAPI):
    """pixivpy3 through a plain session, to any endpoint, with the status looked at.

    Its calls begin `pause` seconds apart.
    """

    def __init__(self, doors: Doors, client: Client, pause: float = 0.0) -> None:
        # The client is not kept: logins are remembered for as long as it lives.
        self._limits = client.limits
        self._pace = Pace(pause)
        super().__init__(timeout=(self._limits.connect, self._limits.read))
        # In English the translations of tags help whoever reads no Japanese.
        self.set_accept_language("en-us")
        # pixivpy3 brings a session that passes itself off as a browser. We do not.
        self.requests.close()
        self.requests = self._pace.session(client)
        self._doors = doors

    def requests_call(
        self,
        method: str,
        url: str,
        headers: Any = None,
        params: Any = None,
        data: Any = None,
        stream: bool = False,
    ) -> Response:
        """Every request of pixivpy3 goes through here; only good answers come back."""
        where = self._doors.through(url)
        sent = {**self.additional_headers, **(headers or {})}
        for attempt in count():
            try:
                # A redirect could carry the token elsewhere; the API sends none.
                answer: Response = self.requests.request(
                    method,
                    where,
                    params=params,
                    data=data,
                    headers=sent,
                    allow_redirects=False,
                    **self.requests_kwargs,
                )
            except Refused as refused:
                page = refused.page
                if page.status not in _PASSING or not self._again(where, attempt, page):
                    raise (
                        complaint(page.status, page.headers, page.text, where)
                        or changed("a refusal that says nothing")
                    ) from None
            except RequestException as error:
                if not self._again(where, attempt):
                    raise _unreachable(where, error) from None
            else:
                return _good(answer, where)
        raise AssertionError("count() has no end")

    def _again(self, where: str, attempt: int, page: Page | None = None) -> bool:
        asked = retry_after(page.headers) if page else None
        return self._pace.back_off(where, attempt, asked, self._limits)

    def log_in(self, token: str) -> Mapping[str, Any]:
        """The answer to a refresh token. Raises `TokenRefused` and what `complaint` names."""
        with warnings.catch_warnings():
            # pixivpy3 3.7.5 calls datetime.utcnow, which Python 3.12 deprecates.
            warnings.simplefilter("ignore", DeprecationWarning)
            try:
                answer = self.auth(refresh_token=token)
            except AttributeError:
                # It reads response.user.id of whatever JSON it was given.
                raise changed("a login without its account") from None
        if not self.access_token:
            raise changed("a login without its access token")
        return dict(answer)

    def exchange(self, code: str, verifier: str) -> Any:
        """What the token service gives as refresh token for a login code."""
        data = {
            "client_id": self.client_id,
            "client_secret": self.client_secret,
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "include_policy": "true",
            "redirect_uri": _CALLBACK,
        }
        answer = self.requests_call("POST", f"{AUTH_HOST}/auth/token", headers=_APP, data=data)
        told = answer.json()
        return told.get("refresh_token") or (told.get("response") or {}).get("refresh_token")


def _good(answer: Response, where: str) -> Response:
    # Without a charset requests guesses.
    answer.encoding = "utf-8"
    if (error := complaint(answer.status_code, answer.headers, answer.text, where)) is not None:
        raise error
    return answer


def _unreachable(where: str, error: RequestException) -> Unreachable:
    # The outermost text begins with the whole address and hides the reason behind it.
    inner = error.args[0] if error.args else error
    cause = speakable(str(getattr(inner, "reason", None) or inner))
    return Unreachable(
        f"{where} could not be asked: {cause}.",
        "Check the network and HTTP_PROXY/HTTPS_PROXY, or try again later.",
    )
