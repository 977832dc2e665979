"""Pixiv's login: the code from its login page, exchanged for a refresh token.

The page is that of Pixiv's app (OAuth 2 with PKCE, RFC 7636). It finally redirects to
`pixiv://account/login?code=…`, which no browser can open; the code is valid for half a minute. So
the user copies it, and it is exchanged as soon as it is pasted.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlencode

from gleanset.errors import NeedsLogin
from harvest.http import Client
from harvest.secrets import Ask, check_pasted_secret, store_login
from harvest.sources.base import Endpoint
from harvest.sources.pixiv.api import AUTH_HOST, HOST, Endpoints, PixivApi

MAX_ATTEMPTS = 5
_CODE = re.compile(r"[?&]code=([\w.~-]+)", re.ASCII)
_STEPS = """\
Log in to Pixiv in your browser, and copy one line out of it:
  1. Open {url}
     (it {opened} opened automatically)
  2. Before you log in press F12, choose "Network" and tick "Preserve log" (in Firefox
     "Persist Logs", behind the cog wheel).
  3. Log in. The page then stays white or cannot be opened: this is expected.
  4. Type "code=" into the filter of the network list. Copy the address of the entry that
     begins with pixiv://account/login?code= (or of the one with callback?…code=), and
     paste it here within half a minute of the login. If it took longer, you can try again.
You can also paste an existing refresh token.
"""
_RETRY = """\
Pixiv rejected the code: it was older than half a minute, already used, or incomplete.
Reload {url} in the browser, with the network list open, and paste the new line.
"""


def log_in_to_pixiv(
    ask: Ask,
    open_browser: Callable[[str], bool],
    token: str | None = None,
    *,
    endpoint: str = HOST,
    auth_endpoint: str = AUTH_HOST,
) -> dict[str, object]:
    """Log in to Pixiv and store the refresh token; return the command's result.

    With an existing refresh `token` nothing is asked. Otherwise `open_browser` opens the login
    page, and the user is asked to copy the code. Raises `NeedsLogin`, `RateLimited`, `Blocked`,
    `Unreachable`, `Changed`, `MissingComponent`.
    """
    endpoints = Endpoints(Endpoint(endpoint), Endpoint(auth_endpoint))
    # An endpoint given by the user may be on this machine.
    with Client(allow_private=(endpoint, auth_endpoint) != (HOST, AUTH_HOST)) as client:
        api = PixivApi(endpoints, client, "", pace=0)
        login = PixivLogin(api, endpoints)
        if token is None:
            token = login.ask_for_token(ask, open_browser)
        account = login.verify(check_pasted_secret(token, "refresh token"))
        return store_login("pixiv", {"pixiv.refresh_token": api.token}, account=account)


class PixivLogin:
    """One login with its own code verifier."""

    def __init__(self, api: PixivApi, endpoints: Endpoints) -> None:
        self._api = api
        self._verifier = secrets.token_urlsafe(32)
        digest = hashlib.sha256(self._verifier.encode()).digest()
        self.url = endpoints.api.url("/web/v1/login?") + urlencode(
            {
                # RFC 7636, 4.2
                "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
                "code_challenge_method": "S256",
                "client": "pixiv-android",
            }
        )

    def ask_for_token(self, ask: Ask, open_browser: Callable[[str], bool]) -> str:
        """Return the refresh token for a code, or token, that the user pastes."""
        opened = "was" if open_browser(self.url) else "could not be"
        question = _STEPS.format(url=self.url, opened=opened)
        for _ in range(MAX_ATTEMPTS):
            answer = ask(question + "The line", hidden=True).strip()
            if answer and (token := self._read_token(answer)):
                return token
            question = _RETRY.format(url=self.url)
        raise NeedsLogin(
            f"the login to Pixiv failed {MAX_ATTEMPTS} times",
            "run harvest login pixiv again, or paste an existing refresh token",
        )

    def verify(self, token: str) -> str:
        """Verify a refresh token; return its account. Raises `NeedsLogin` for a bad one.

        The site may replace the token: the one to store is then `api.token`.
        """
        self._api.token = token
        return self._api.log_in()

    def _read_token(self, answer: str) -> str | None:
        if match := _CODE.search(answer):
            return self._exchange(match[1])
        # A bare code and a refresh token look alike; the code, which expires soon, is tried first.
        return self._exchange(answer) or self._renew(answer)

    def _exchange(self, code: str) -> str | None:
        return self._api.exchange(code, self._verifier)

    def _renew(self, token: str) -> str | None:
        with suppress(NeedsLogin):
            self.verify(token)
            return self._api.token
        return None
