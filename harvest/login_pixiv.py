"""Pixiv's login: the code that its page gives a browser, exchanged for a refresh token.

The page is the one of Pixiv's app (OAuth 2 with PKCE, RFC 7636). At its end it redirects to
`pixiv://account/login?code=…`, which no browser can open; the code in it is good for half a
minute. So it is read from a browser that we watch, or exchanged the moment it is pasted.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from gleanset.errors import MissingComponent, NeedsLogin
from harvest.http import Client
from harvest.login_browser import catch_in_browser
from harvest.sources.base import Endpoint
from harvest.sources.pixiv_errors import TokenRefused

if TYPE_CHECKING:
    from harvest.login import Ask
    from harvest.sources.pixiv_app import Doors

PIXIV = "https://app-api.pixiv.net"
PIXIV_AUTH = "https://oauth.secure.pixiv.net"
ATTEMPTS = 5
_CODE = re.compile(r"[?&]code=([\w.~-]+)", re.ASCII)
_STEPS = """\
Log in to Pixiv in your browser, and copy one line out of it:
  1. Open {url}
     (it {opened} opened by itself)
  2. Before you log in press F12, choose "Network" and tick "Preserve log" (in Firefox
     "Persist Logs", behind the cog wheel).
  3. Log in. The page then stays white or says that it cannot be opened: that is right.
  4. Type "code=" into the filter of the network list. Copy the address of the entry that
     begins with pixiv://account/login?code= (or of the one with callback?…code=), and
     paste it here. Do so within half a minute of the login; if it took longer, nothing is
     lost: you are asked again.
A refresh token that you already have may be pasted instead.
"""
_TOO_OLD = """\
Pixiv refused that code: it was older than half a minute, used already, or not copied whole.
Reload {url} in the browser, with the network list still open, and paste the new line.
"""


class PixivLogin:
    """One login: its own secret, its page, and what becomes of the code."""

    def __init__(self, endpoint: Endpoint, auth_endpoint: Endpoint) -> None:
        self._doors = _doors(endpoint, auth_endpoint)
        # An endpoint that the person wrote may well be on this machine.
        self._own = (endpoint.base, auth_endpoint.base) != (PIXIV, PIXIV_AUTH)
        self._verifier = secrets.token_urlsafe(32)
        self.url = endpoint.url("/web/v1/login?") + urlencode(
            {
                "code_challenge": challenge(self._verifier),
                "code_challenge_method": "S256",
                "client": "pixiv-android",
            }
        )

    def token_from_browser(
        self,
        ask: Ask,
        open_browser: Callable[[str], bool],
        catch_code: Callable[[str], str | None],
    ) -> str:
        """A refresh token: by a code caught in a browser, else by one that is pasted."""
        code = catch_code(self.url)
        if code and (token := self._exchanged(code)):
            return token
        return self._pasted(ask, open_browser)

    def verified(self, token: str) -> tuple[str, str]:
        """The refresh token to keep, and its account. Raises `NeedsLogin` for a bad one."""
        from harvest.sources.pixiv_api import PixivApi

        client = Client(allow_private=self._own)
        with client, closing(PixivApi(self._doors, client, token)) as api:
            account = api.log_in()
            return api.token, account

    def _pasted(self, ask: Ask, open_browser: Callable[[str], bool]) -> str:
        opened = "was" if open_browser(self.url) else "could not be"
        question = _STEPS.format(url=self.url, opened=opened)
        for _ in range(ATTEMPTS):
            answer = ask(question + "The line", hidden=True).strip()
            if answer and (token := self._token_in(answer)):
                return token
            question = _TOO_OLD.format(url=self.url)
        raise NeedsLogin(
            f"Pixiv gave no login after {ATTEMPTS} tries.",
            "Run harvest login pixiv again, or give it a refresh token that you have.",
        )

    def _token_in(self, answer: str) -> str | None:
        """The refresh token that a pasted line leads to, None when Pixiv refuses it."""
        if code := code_in(answer):
            return self._exchanged(code)
        # A bare code and a refresh token look alike; only the code is in a hurry.
        return self._exchanged(answer) or self._renewed(answer)

    def _exchanged(self, code: str) -> str | None:
        from harvest.sources.pixiv_api import exchange_code

        with Client(allow_private=self._own) as client, suppress(TokenRefused):
            return exchange_code(self._doors, client, code, self._verifier)
        return None

    def _renewed(self, token: str) -> str | None:
        with suppress(NeedsLogin):
            return self.verified(token)[0]
        return None


def challenge(verifier: str) -> str:
    """The S256 challenge of a verifier (RFC 7636, 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def code_in(line: str) -> str | None:
    """The login code in an address such as `pixiv://account/login?code=…&via=login`."""
    found = _CODE.search(line)
    return found[1] if found else None


def _doors(endpoint: Endpoint, auth_endpoint: Endpoint) -> Doors:
    try:
        from harvest.sources.pixiv_app import Doors
    except ImportError as error:
        raise MissingComponent(
            f"Pixiv is asked through pixivpy3, which is not there ({error}).",
            "Run pip install pixivpy3.",
        ) from error
    return Doors(endpoint, auth_endpoint)


__all__ = ["PixivLogin", "catch_in_browser", "challenge", "code_in"]
