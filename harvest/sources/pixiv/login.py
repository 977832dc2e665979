"""Pixiv's login: the code from its login page, exchanged for a refresh token.

The page is that of Pixiv's app (OAuth 2 with PKCE, RFC 7636). It finally redirects to
`pixiv://account/login?code=…`, which no browser can open; the code is valid for half a minute. So
it is read from the log of a browser, or exchanged as soon as it is pasted.
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

MAX_ATTEMPTS = 5
BROWSER_TIMEOUT_SECONDS = 600.0
# In the log, which is JSON in JSON, a quote ends the URL.
_REDIRECT = re.compile(r"pixiv://account/login\?[^\s\"\\]*?\bcode=([\w.~-]+)", re.ASCII)
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
    catch_code: Callable[[str], str | None] | None = None,
) -> dict[str, object]:
    """Log in to Pixiv and store the refresh token; return the command's result.

    With an existing refresh `token` nothing is asked. Otherwise `catch_code` (default:
    `catch_code_in_browser`) opens the login page in a browser and waits for the code; if it cannot,
    `open_browser` opens the page, and the user is asked to copy the code. Raises `NeedsLogin`,
    `RateLimited`, `Blocked`, `Unreachable`, `Changed`, `MissingComponent`.
    """
    endpoints = Endpoints(Endpoint(endpoint), Endpoint(auth_endpoint))
    # An endpoint given by the user may be on this machine.
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

    def token_from_browser(
        self,
        ask: Ask,
        open_browser: Callable[[str], bool],
        catch_code: Callable[[str], str | None],
    ) -> str:
        """Return a refresh token, by a code from a browser, else by a pasted code."""
        code = catch_code(self.url)
        if code and (token := self._exchange(code)):
            return token
        return self._ask_for_token(ask, open_browser)

    def verify(self, token: str) -> str:
        """Verify a refresh token; return its account. Raises `NeedsLogin` for a bad one.

        The site may replace the token: the one to store is then `api.token`.
        """
        self._api.token = token
        return self._api.log_in()

    def _ask_for_token(self, ask: Ask, open_browser: Callable[[str], bool]) -> str:
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


def catch_code_in_browser(
    url: str, *, timeout: float = BROWSER_TIMEOUT_SECONDS, arguments: tuple[str, ...] = ()
) -> str | None:
    """Open `url` in Chrome or Chromium and return the code at the end of the login.

    The user logs in as in any window; only the browser's log of redirects is read. Returns None
    without browser, selenium or display, when the window was closed, and after `timeout` seconds.
    """
    if not ("--headless=new" in arguments or _has_display()):
        return None
    try:
        from selenium.common.exceptions import WebDriverException
    except ImportError:
        return None
    try:
        with _open_window(arguments) as driver:
            driver.get(url)
            return _wait_for_code(driver, time.monotonic() + timeout)
    except (MissingComponent, WebDriverException):
        # No browser or driver, or the user closed the window.
        return None


def _wait_for_code(driver: Chrome, end: float) -> str | None:
    # Selenium has no types for this method.
    log: Callable[[], list[dict[str, str]]] = partial(driver.get_log, "performance")
    while time.monotonic() < end:
        for entry in log():
            if match := _REDIRECT.search(entry["message"]):
                return match[1]
        # Raises if the window was closed; the log alone would not.
        _ = driver.current_window_handle
        time.sleep(0.2)
    return None


@contextmanager
def _open_window(arguments: tuple[str, ...]) -> Iterator[Chrome]:
    from selenium import webdriver

    from harvest.sources.chrome import find_chrome, find_driver

    # It logs every response of the browser, including the code.
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


def _has_display() -> bool:
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
