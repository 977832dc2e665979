"""A real Chrome or Chromium with a page in it, driven by selenium.

The browser has its own user agent and does not hide automation. It gets a fresh profile that is
removed with it, and a supervisor (`run_chromedriver.py`) that ends it with this process.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Self
from urllib.parse import urlsplit

from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver import ChromeOptions, Remote
from selenium.webdriver.common.proxy import Proxy, ProxyType
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection
from urllib3.exceptions import HTTPError

from gleanset.errors import MissingComponent, Unreachable
from harvest.http import Closed, unreachable_error
from harvest.sources.chrome import (
    SupervisedDriver,
    find_chrome,
    find_driver,
    make_browser_folder,
    proxy_switches,
)
from harvest.sources.google.page import GooglePage

_LOAD_TIMEOUT_SECONDS = 60.0
_DRIVER_TIMEOUT_SECONDS = 60
_POLL_SECONDS = 0.2
_NET_ERROR = re.compile(r"\b(ERR_[A-Z_]+)")
_SNAPSHOT = """return {
    html: document.documentElement ? document.documentElement.outerHTML : '',
    text: document.body ? document.body.innerText : '',
    failed: location.protocol === 'chrome-error:',
    status: (performance.getEntriesByType('navigation')[0] || {}).responseStatus || 0,
}"""
# At the end scroll one page up and down again: pages load more when they reach their end.
_SCROLL = """
const end = document.documentElement.scrollHeight, seen = window.scrollY + window.innerHeight;
window.scrollTo(0, seen >= end - 2 ? end - 2 * window.innerHeight : end);
const more = document.querySelector("input[value='Show more results']");
if (more && more.offsetParent) more.click();
"""


# Events in the browser's log. Requests of the page that count visits bring no results.
_FAILED, _FINISHED = "Network.loadingFailed", "Network.loadingFinished"
_SCRIPT_REQUESTS = ("Fetch", "XHR")
_COUNTER_PATHS = ("/gen_204", "/client_204", "/log")


class GoogleBrowser:
    """One window; a context manager that always ends the browser.

    `settings` are the options of the source: `chrome`, `chromedriver`, `profile` and `window`.
    `wait` waits some seconds and returns whether the search was stopped. Raises `MissingComponent`
    if it does not start, `Unreachable` when a page cannot be loaded or the browser is gone.
    """

    def __init__(self, settings: Mapping[str, str], wait: Callable[[float], bool]) -> None:
        self._wait = wait
        self._options = _options(settings)
        driver = find_driver(settings["chromedriver"], self._options)
        try:
            self._folder = make_browser_folder()
        except OSError as error:
            raise _start_error(error) from error
        profile = settings["profile"] or f"{self._folder}/profile"
        self._options.add_argument(f"--user-data-dir={profile}")
        self._service = SupervisedDriver(driver, self._folder)
        self._page: Remote | None = None
        self._pending: set[str] = set()
        self._has_failed_request = False

    def __enter__(self) -> Self:
        try:
            self._service.start()
            self._page = self._connect()
            self._page.set_page_load_timeout(_LOAD_TIMEOUT_SECONDS)
        except (WebDriverException, HTTPError, OSError) as error:
            self.close()
            raise _start_error(error) from error
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser and remove its files."""
        try:
            if self._page is not None:
                with suppress(WebDriverException, HTTPError, OSError):
                    self._page.quit()
        finally:
            self._page = None
            if getattr(self._service, "process", None) is not None:
                self._service.stop()
            shutil.rmtree(self._folder, ignore_errors=True)

    def open(self, url: str) -> None:
        """Open a URL and wait until the page can be read."""
        with _errors():
            self._note_requests()
            self._pending.clear()
            self._driver.get(url)

    def page(self) -> GooglePage:
        """Return a snapshot of the page."""
        with _errors():
            snapshot = self._driver.execute_script(_SNAPSHOT)
            url = self._driver.current_url
        page = GooglePage(url, snapshot["html"], snapshot["text"], snapshot["status"])
        # Not every failure is raised by `open`.
        if snapshot["failed"] and not page.status:
            raise _unreachable(page.text)
        return page

    @property
    def failed_request(self) -> str:
        """How the last request of the page failed; empty if it did not."""
        if self._pending:
            return (
                f"a request of the page was not answered within {_LOAD_TIMEOUT_SECONDS:.0f} seconds"
            )
        return "a request of the page failed" if self._has_failed_request else ""

    def scroll(self) -> None:
        """Scroll towards the end of the page, and press its button for more results."""
        with _errors():
            self._driver.execute_script(_SCROLL)

    def watch(
        self,
        is_done: Callable[[GooglePage], bool],
        quiet_seconds: float,
        max_seconds: float,
        *,
        scroll: bool = False,
    ) -> GooglePage:
        """Return the first snapshot that `is_done`, else the last one.

        Ends after `quiet_seconds` without a change or a running request of the page, or after
        `max_seconds`. Quiet time is counted in polls, so that a busy machine does not use it up.
        """
        start = time.monotonic()
        self._has_failed_request = False
        last: GooglePage | None = None
        unchanged = 0
        while True:
            page = self.page()
            if last is None or page.html != last.html:
                last, unchanged = page, 0
                if is_done(page):
                    return page
            with _errors():
                self._note_requests()
            # The results of a request may be in the page only at the next poll.
            unchanged = 0 if self._pending else unchanged + 1
            if unchanged * _POLL_SECONDS > quiet_seconds or time.monotonic() - start > max_seconds:
                return page
            if scroll:
                self.scroll()
            if self._wait(_POLL_SECONDS):
                raise Closed("the search was stopped")

    def _note_requests(self) -> None:
        host = urlsplit(self._driver.current_url).netloc
        for entry in self._driver.execute("getLog", {"type": "performance"})["value"]:
            event = json.loads(entry["message"])["message"]
            params = event["params"]
            number = str(params.get("requestId"))
            if event["method"] == "Network.requestWillBeSent":
                url = urlsplit(params["request"]["url"])
                is_own = params.get("type") in _SCRIPT_REQUESTS and url.netloc == host
                if is_own and not url.path.startswith(_COUNTER_PATHS):
                    self._pending.add(number)
            elif number in self._pending:
                is_error = params.get("response", {}).get("status", 0) >= 400
                self._has_failed_request |= is_error or (
                    event["method"] == _FAILED and not params["canceled"]
                )
                if event["method"] in (_FAILED, _FINISHED):
                    self._pending.discard(number)

    @property
    def _driver(self) -> Remote:
        if self._page is None:
            raise Unreachable("the browser is closed")
        return self._page

    def _connect(self) -> Remote:
        # Direct: selenium would use a proxy of the environment for its own driver.
        config = ClientConfig(
            self._service.service_url,
            proxy=Proxy({"proxyType": ProxyType.DIRECT}),
            timeout=_DRIVER_TIMEOUT_SECONDS,
        )
        return Remote(RemoteConnection(client_config=config), options=self._options)


def _options(settings: Mapping[str, str]) -> ChromeOptions:
    options = ChromeOptions()
    options.binary_location = find_chrome(settings["chrome"])
    options.page_load_strategy = "eager"
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    switches = ["--no-first-run", "--disable-component-update", "--disable-dev-shm-usage"]
    switches += ["--window-size=1366,900", *proxy_switches(os.environ)]
    if settings["window"] != "yes":
        switches.append("--headless=new")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # Chromium's sandbox does not work for root.
        switches.append("--no-sandbox")
    for switch in switches:
        options.add_argument(switch)
    return options


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except TimeoutException as error:
        raise Unreachable(
            f"the page did not load within {_LOAD_TIMEOUT_SECONDS:.0f} seconds", "try again later"
        ) from error
    except (WebDriverException, HTTPError, OSError) as error:
        if _NET_ERROR.search(str(error)):
            raise _unreachable(str(error)) from error
        raise Unreachable(
            f"the browser is gone or does not respond: {_first_line(error)}",
            "run the same command again, without closing its window",
        ) from error


def _unreachable(text: str) -> Unreachable:
    reason = _NET_ERROR.search(text)
    return unreachable_error("the site", reason[1] if reason else "unknown reason")


def _start_error(error: Exception) -> MissingComponent:
    return MissingComponent(
        f"the browser does not start: {_first_line(error)}",
        "install browser and driver in the same version: sudo apt-get install chromium "
        "chromium-driver, or -o google.chromedriver=PATH and -o google.chrome=PATH",
    )


def _first_line(error: Exception) -> str:
    text = getattr(error, "msg", None) or str(error)
    return str(text).strip().partition("\n")[0][:300]
