"""Pixiv's login: the code that its page gives a browser, exchanged for a refresh token.

The page is the one of Pixiv's app (OAuth 2 with PKCE, RFC 7636). At its end it redirects to
`pixiv://account/login?code=…`, which no browser can open; the code in it is good for half a
minute. So it is read from a browser that we watch, or exchanged the moment it is pasted.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from gleanset.errors import MissingComponent, NeedsLogin
from harvest.http import Client
from harvest.secrets import Ask, check_pasted_secret, store_login
from harvest.sources.base import Endpoint
from harvest.sources.pixiv.api import AUTH_HOST, HOST, Endpoints, PixivApi

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

ATTEMPTS = 5
PATIENCE = 600.0
# Inside the log, which is JSON in JSON, a quote ends the address.
_REDIRECT = re.compile(r"pixiv://account/login\?[^\s\"\\]*?\bcode=([\w.~-]+)", re.ASCII)
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


def log_in_to_pixiv(
    ask: Ask,
    open_browser: Callable[[str], bool],
    token: str | None = None,
    *,
    endpoint: str = HOST,
    auth_endpoint: str = AUTH_HOST,
    catch_code: Callable[[str], str | None] | None = None,
) -> dict[str, object]:
    """Log in to Pixiv once, and keep the refresh token that stands for it from then on.

    `token` is an existing refresh token: nothing is asked then. Otherwise `catch_code` (by
    default `catch_code_in_browser`) opens the login page in its own browser and watches for the
    code; where it cannot, the page is opened by `open_browser`, and the person is told how to
    copy the code. Returns the command's result. Raises `NeedsLogin`, `RateLimited`, `Blocked`,
    `Unreachable`, `Changed`, `MissingComponent`.
    """
    endpoints = Endpoints(Endpoint(endpoint), Endpoint(auth_endpoint))
    # An endpoint that the person wrote may well be on this machine.
    with (
        Client(allow_private=(endpoint, auth_endpoint) != (HOST, AUTH_HOST)) as client,
        closing(PixivApi(endpoints, client, "", pace=0)) as api,
    ):
        login = PixivLogin(api, endpoints)
        if token is None:
            token = login.token_from_browser(ask, open_browser, catch_code or catch_code_in_browser)
        account = login.verify(check_pasted_secret(token, "refresh token"))
        return store_login("pixiv", {"pixiv.refresh_token": api.token}, account=account)


class PixivLogin:
    """One login: its own secret, its page, and what becomes of the code."""

    def __init__(self, api: PixivApi, endpoints: Endpoints) -> None:
        self._api = api
        self._verifier = secrets.token_urlsafe(32)
        self.url = endpoints.api.url("/web/v1/login?") + urlencode(
            {
                "code_challenge": code_challenge(self._verifier),
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
        """Return a refresh token: by a code caught in a browser, else by one that is pasted."""
        code = catch_code(self.url)
        if code and (token := self._exchanged(code)):
            return token
        return self._pasted(ask, open_browser)

    def verify(self, token: str) -> str:
        """Try a refresh token; return its account. Raises `NeedsLogin` for a bad one.

        The token to keep, which the site may have replaced, is then that of the API.
        """
        self._api.token = token
        return self._api.log_in()

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
        if code := extract_code(answer):
            return self._exchanged(code)
        # A bare code and a refresh token look alike; only the code is in a hurry.
        return self._exchanged(answer) or self._renewed(answer)

    def _exchanged(self, code: str) -> str | None:
        return self._api.exchange(code, self._verifier)

    def _renewed(self, token: str) -> str | None:
        with suppress(NeedsLogin):
            self.verify(token)
            return self._api.token
        return None


def code_challenge(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636, 4.2)."""
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def extract_code(line: str) -> str | None:
    """Return the login code in an address such as `pixiv://account/login?code=…&via=login`."""
    found = _CODE.search(line)
    return found[1] if found else None


def catch_code_in_browser(
    url: str, *, patience: float = PATIENCE, arguments: tuple[str, ...] = ()
) -> str | None:
    """Open `url` in a visible Chrome or Chromium and return the code that Pixiv's login ends with.

    The person logs in, as in any window; only the browser's log of where it was sent is read.
    None where that cannot be done (no such browser, no selenium, no screen), when the
    window was closed, and after `patience` seconds: then the code is to be copied by hand.
    """
    if not ("--headless=new" in arguments or _has_screen()):
        return None
    try:
        from selenium.common.exceptions import WebDriverException
    except ImportError:
        return None
    try:
        with _window(arguments) as driver:
            driver.get(url)
            return _watch(driver, time.monotonic() + patience)
    except (MissingComponent, WebDriverException):
        # No such browser, no driver for it, or the person closed the window.
        return None


def _watch(driver: Chrome, end: float) -> str | None:
    # Selenium gives this one method no types.
    log: Callable[[], list[dict[str, str]]] = partial(driver.get_log, "performance")
    while time.monotonic() < end:
        for entry in log():
            if found := _REDIRECT.search(entry["message"]):
                return found[1]
        # A closed window raises here; the log alone would stay silent.
        _ = driver.current_window_handle
        time.sleep(0.2)
    return None


@contextmanager
def _window(arguments: tuple[str, ...]) -> Iterator[Chrome]:
    from selenium import webdriver

    from harvest.sources.chrome import find_chrome, find_driver

    # It logs every answer of the browser, the code among them.
    logging.getLogger("selenium").setLevel(logging.CRITICAL)
    options: Any = webdriver.ChromeOptions()
    options.binary_location = find_chrome()
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    for argument in arguments:
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=find_driver("", options))
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def _has_screen() -> bool:
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
