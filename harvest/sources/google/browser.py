"""A real Chrome or Chromium with a page in it, driven by selenium.

The browser is what it is: no other browser's user agent, automation not hidden. It gets a fresh
profile that is removed with it, and a keeper (`run_chromedriver.py`) that ends it with us.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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

_LOADING = 30.0
_ANSWERING = 60
_POLL = 0.2
_NET_ERROR = re.compile(r"\b(ERR_[A-Z_]+)")
_SHOWN = """return {
    html: document.documentElement ? document.documentElement.outerHTML : '',
    text: document.body ? document.body.innerText : '',
    failed: location.protocol === 'chrome-error:',
    status: (performance.getEntriesByType('navigation')[0] || {}).responseStatus || 0,
}"""
# From the end one page up and down again: pages load more on the way to their end.
_SCROLL = """
const end = document.documentElement.scrollHeight, seen = window.scrollY + window.innerHeight;
window.scrollTo(0, seen >= end - 2 ? end - 2 * window.innerHeight : end);
const more = document.querySelector("input[value='Show more results']");
if (more && more.offsetParent) more.click();
"""


# In the browser's log; what the page sends of its own accord to count visits brings no results.
_FAILED, _FINISHED = "Network.loadingFailed", "Network.loadingFinished"
_OWN_REQUESTS = ("Fetch", "XHR")
_COUNTERS = ("/gen_204", "/client_204", "/log")


@dataclass(frozen=True, slots=True)
class BrowserOptions:
    """Which browser, and how. Empty paths are found; `profile` is a folder that is kept."""

    chrome: str = ""
    chromedriver: str = ""
    profile: str = ""
    window: bool = False


class GoogleBrowser:
    """One window; a context manager that ends the browser whatever happens.

    `wait` waits so many seconds and returns whether the search was stopped meanwhile.
    Raises `MissingComponent` where it cannot be started, `Unreachable` when a page cannot be
    had or the browser is gone.
    """

    def __init__(self, settings: BrowserOptions, wait: Callable[[float], bool]) -> None:
        self._wait = wait
        self._options = _options(settings)
        driver = find_driver(settings.chromedriver, self._options)
        try:
            self._folder = make_browser_folder()
        except OSError as error:
            raise _will_not_start(error) from error
        profile = settings.profile or f"{self._folder}/profile"
        self._options.add_argument(f"--user-data-dir={profile}")
        self._service = SupervisedDriver(driver, self._folder)
        self._page: Remote | None = None
        self._pending: set[str] = set()
        self._any_failed = False

    def __enter__(self) -> Self:
        try:
            self._service.start()
            self._page = self._connected()
            self._page.set_page_load_timeout(_LOADING)
        except (WebDriverException, HTTPError, OSError) as error:
            self.close()
            raise _will_not_start(error) from error
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
        """Go there and wait until the page can be read."""
        with _errors():
            self._note_requests()
            self._pending.clear()
            self._driver.get(url)

    def page(self) -> GooglePage:
        """Return what is shown now."""
        with _errors():
            shown = self._driver.execute_script(_SHOWN)
            url = self._driver.current_url
        page = GooglePage(url, shown["html"], shown["text"], shown["status"])
        # Not every failure to go somewhere is raised when going there.
        if shown["failed"] and not page.status:
            raise _unreachable(page.text)
        return page

    @property
    def lacks(self) -> str:
        """What became of the last request of the page itself, where it brought nothing."""
        if self._pending:
            return f"a request of the page was not answered within {_LOADING:.0f} seconds"
        return "a request of the page failed" if self._any_failed else ""

    def scroll(self) -> None:
        """Scroll towards the end of the page, and press its button for more."""
        with _errors():
            self._driver.execute_script(_SCROLL)

    def watch(
        self, done: Callable[[GooglePage], bool], quiet: float, most: float, *, scroll: bool = False
    ) -> GooglePage:
        """Return the first page that is `done`, else the last one.

        The last one is that after `quiet` seconds without any change or any request of the page
        under way, or `most` seconds in all. The quiet is counted in looks at the page, so that a
        busy machine does not use it up.
        """
        began = time.monotonic()
        self._any_failed = False
        last: GooglePage | None = None
        unchanged = 0
        while True:
            page = self.page()
            if last is None or page.html != last.html:
                last, unchanged = page, 0
                if done(page):
                    return page
            with _errors():
                self._note_requests()
            # What a request brought may be in the page only at the next look.
            unchanged = 0 if self._pending else unchanged + 1
            if unchanged * _POLL > quiet or time.monotonic() - began > most:
                return page
            if scroll:
                self.scroll()
            if self._wait(_POLL):
                raise Closed("The search was stopped.")

    def _note_requests(self) -> None:
        host = urlsplit(self._driver.current_url).netloc
        for entry in self._driver.execute("getLog", {"type": "performance"})["value"]:
            event = json.loads(entry["message"])["message"]
            params = event["params"]
            number = str(params.get("requestId"))
            if event["method"] == "Network.requestWillBeSent":
                url = urlsplit(params["request"]["url"])
                own = params.get("type") in _OWN_REQUESTS and url.netloc == host
                if own and not url.path.startswith(_COUNTERS):
                    self._pending.add(number)
            elif number in self._pending:
                bad = params.get("response", {}).get("status", 0) >= 400
                self._any_failed |= bad or (event["method"] == _FAILED and not params["canceled"])
                if event["method"] in (_FAILED, _FINISHED):
                    self._pending.discard(number)

    @property
    def _driver(self) -> Remote:
        if self._page is None:
            raise Unreachable("The browser is closed.")
        return self._page

    def _connected(self) -> Remote:
        # Straight: selenium would ask a proxy of the environment for its own driver.
        config = ClientConfig(
            self._service.service_url,
            proxy=Proxy({"proxyType": ProxyType.DIRECT}),
            timeout=_ANSWERING,
        )
        return Remote(RemoteConnection(client_config=config), options=self._options)


def _options(settings: BrowserOptions) -> ChromeOptions:
    options = ChromeOptions()
    options.binary_location = find_chrome(settings.chrome)
    options.page_load_strategy = "eager"
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    switches = ["--no-first-run", "--disable-component-update", "--disable-dev-shm-usage"]
    switches += ["--window-size=1366,900", *proxy_switches(os.environ)]
    if not settings.window:
        switches.append("--headless=new")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # Chromium's sandbox refuses to work for root.
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
            f"The page did not load within {_LOADING:.0f} seconds.", "Try again later."
        ) from error
    except (WebDriverException, HTTPError, OSError) as error:
        if _NET_ERROR.search(str(error)):
            raise _unreachable(str(error)) from error
        raise Unreachable(
            f"The browser is gone or does not answer: {_first_line(error)}",
            "Run the same command again; was its window closed, or memory short?",
        ) from error


def _unreachable(text: str) -> Unreachable:
    reason = _NET_ERROR.search(text)
    return unreachable_error("The site", reason[1] if reason else "the browser does not say why")


def _will_not_start(error: Exception) -> MissingComponent:
    return MissingComponent(
        f"The browser does not start: {_first_line(error)}",
        "Browser and driver must be of the same version: sudo apt-get install chromium "
        "chromium-driver, or -o google.chromedriver=PATH and -o google.chrome=PATH",
    )


def _first_line(error: Exception) -> str:
    said = getattr(error, "msg", None) or str(error)
    return str(said).strip().partition("\n")[0][:300]
