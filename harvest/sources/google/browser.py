"""A real Chrome or Chromium with a page in it, driven by selenium.

The browser has its own user agent and does not hide automation. It gets a fresh profile that is
removed with it, and a supervisor (`run_chromedriver.py`) that ends it with this process.
"""

import json
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from selenium.common.exceptions import TimeoutException, WebDriverException
from selenium.webdriver import ChromeOptions, Remote
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.driver_finder import DriverFinder
from selenium.webdriver.common.proxy import Proxy, ProxyType
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.remote_connection import RemoteConnection
from urllib3.exceptions import HTTPError

from gleanset.errors import MissingComponent, Unreachable, UsageError
from harvest.http import Closed, unreachable_error
from harvest.sources.base import OptionValues
from harvest.sources.google.page import GooglePage

_SUPERVISOR = Path(__file__).with_name("run_chromedriver.py")
# The path of a socket may have 107 bytes, most of which Chromium needs.
_MAX_PARENT_BYTES = 36
_APT = "sudo apt-get install chromium chromium-driver"
# Chromium first: the driver of a distribution fits its Chromium.
_CHROME_PATHS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "/usr/bin/chromium",
    "/snap/bin/chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
)
_DRIVER_PATHS = (
    "chromedriver",
    "/usr/bin/chromedriver",
    "/usr/lib/chromium-browser/chromedriver",
    "/snap/bin/chromium.chromedriver",
)
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


# Events in the browser's log.
_LOADING_FAILED = "Network.loadingFailed"
_LOADING_FINISHED = "Network.loadingFinished"
_SCRIPT_REQUESTS = ("Fetch", "XHR")
_DEVTOOLS = "executeDevToolsCommand"
# Requests of the page that count visits bring no results.
_COUNTER_PATHS = ("/gen_204", "/client_204", "/log")


class GoogleBrowser:
    """One window; a context manager that always ends the browser.

    `settings` are the options of the source: `chrome`, `chromedriver`, `profile` and `window`.
    `wait` waits some seconds and returns whether the search was stopped. Raises `MissingComponent`
    if it does not start, `Unreachable` when a page cannot be loaded or the browser is gone.
    """

    def __init__(self, settings: OptionValues, wait: Callable[[float], bool]):
        self._wait = wait
        self._options = _make_options(settings)
        driver = find_driver(settings["chromedriver"], self._options)
        try:
            self._folder = make_browser_folder()
        except OSError as error:
            raise _start_error(error) from error

        profile = settings["profile"] or f"{self._folder}/profile"
        self._options.add_argument(f"--user-data-dir={profile}")
        self._service = SupervisedDriver(driver, self._folder)
        self._page: Remote | None = None
        # URLs of requests of the page, by their ids.
        self._pending: dict[str, str] = {}
        self._failed_urls = set[str]()
        self._answers: list[str] = []

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
            if self._page:
                with suppress(WebDriverException, HTTPError, OSError):
                    self._page.quit()
        finally:
            self._page = None
            if getattr(self._service, "process", None) is not None:
                self._service.stop()
            shutil.rmtree(self._folder, ignore_errors=True)

    def open(self, url: str) -> None:
        """Open a URL and wait until the page can be read."""
        with _translate_errors():
            # Reads, and so empties, the browser's log of the page before; what it notes is cleared.
            self._note_requests()
            self._pending.clear()
            self._failed_urls.clear()
            self._answers.clear()
            self._driver.get(url)

    def page(self) -> GooglePage:
        """Return a snapshot of the page."""
        with _translate_errors():
            snapshot = self._driver.execute_script(_SNAPSHOT)
            url = self._driver.current_url

        page = GooglePage(
            url,
            snapshot["html"],
            snapshot["text"],
            snapshot["status"],
            tuple(self._answers),
        )
        # Not every failure is raised by `open`.
        if snapshot["failed"] and not page.status:
            raise _load_error(page.text)
        return page

    @property
    def request_failure(self) -> str:
        """How a request of the page failed; empty if none did, or the page repeated it."""
        if self._pending:
            return (
                "a request of the page was not answered "
                f"within {_LOAD_TIMEOUT_SECONDS:.0f} seconds"
            )
        return "a request of the page failed" if self._failed_urls else ""

    def scroll(self) -> None:
        """Scroll towards the end of the page, and press its button for more results."""
        with _translate_errors():
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
        end = time.monotonic() + max_seconds
        content: tuple[object, ...] = ()
        quiet_polls = 0
        while True:
            page = self.page()
            if (page.html, page.answers) != content:
                content = (page.html, page.answers)
                quiet_polls = 0
                if is_done(page):
                    return page

            with _translate_errors():
                self._note_requests()
            # The results of a request may be in the page only at the next poll.
            quiet_polls = 0 if self._pending else quiet_polls + 1
            is_quiet = quiet_polls * _POLL_SECONDS > quiet_seconds
            if is_quiet or time.monotonic() > end:
                return page
            if scroll:
                self.scroll()
            if self._wait(_POLL_SECONDS):
                raise Closed("the search was stopped")

    def _note_requests(self) -> None:
        """Read the browser's log since the last call: requests of scripts, and their ends."""
        host = urlsplit(self._driver.current_url).netloc
        for entry in self._driver.execute("getLog", {"type": "performance"})["value"]:
            event = json.loads(entry["message"])["message"]
            params = event["params"]
            request = str(params.get("requestId"))
            if event["method"] == "Network.requestWillBeSent":
                url = urlsplit(params["request"]["url"])
                is_own = params.get("type") in _SCRIPT_REQUESTS and url.netloc == host
                if is_own and not url.path.startswith(_COUNTER_PATHS):
                    self._pending[request] = url.geturl()
                    self._failed_urls.discard(url.geturl())
            elif request in self._pending:
                self._note_response(event["method"], request, params)

    def _note_response(
        self, event: str, request: str, params: Mapping[str, Any]
    ) -> None:
        is_error = params.get("response", {}).get("status", 0) >= 400
        if is_error or (event == _LOADING_FAILED and not params["canceled"]):
            self._failed_urls.add(self._pending[request])
        if event in (_LOADING_FAILED, _LOADING_FINISHED):
            del self._pending[request]
        if event == _LOADING_FINISHED:
            self._read_answer(request)

    def _read_answer(self, request: str) -> None:
        """Keep the answer to a request; the browser drops large and old ones."""
        call = {"cmd": "Network.getResponseBody", "params": {"requestId": request}}
        with suppress(WebDriverException):
            body = self._driver.execute(_DEVTOOLS, call)["value"]
            if not body["base64Encoded"]:
                self._answers.append(body["body"])

    @property
    def _driver(self) -> Remote:
        if not self._page:
            raise Unreachable("the browser is closed")
        return self._page

    def _connect(self) -> Remote:
        # Direct: selenium would use a proxy of the environment for its own driver.
        config = ClientConfig(
            self._service.service_url,
            proxy=Proxy({"proxyType": ProxyType.DIRECT}),
            timeout=_DRIVER_TIMEOUT_SECONDS,
        )
        connection = RemoteConnection(client_config=config)
        path = "/session/$sessionId/goog/cdp/execute"
        connection.add_command(_DEVTOOLS, "POST", path)
        return Remote(connection, options=self._options)


def _make_options(settings: OptionValues) -> ChromeOptions:
    options = ChromeOptions()
    options.binary_location = find_chrome(settings["chrome"])
    options.page_load_strategy = "eager"
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    switches = [
        "--no-first-run",
        "--disable-component-update",
        "--disable-dev-shm-usage",
        "--window-size=1366,900",
        *list_proxy_switches(),
    ]
    if settings["window"] != "yes":
        switches.append("--headless=new")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # Chromium's sandbox does not work for root.
        switches.append("--no-sandbox")

    for switch in switches:
        options.add_argument(switch)
    return options


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Turn errors of selenium and of the connection to the driver into `Unreachable`."""
    try:
        yield
    except TimeoutException as error:
        raise Unreachable(
            f"the page did not load within {_LOAD_TIMEOUT_SECONDS:.0f} seconds",
            "try again later",
        ) from error
    except (WebDriverException, HTTPError, OSError) as error:
        if _NET_ERROR.search(str(error)):
            raise _load_error(str(error)) from error
        raise Unreachable(
            f"the browser is gone or does not respond: {_first_line(error)}",
            "run the same command again, without closing its window",
        ) from error


def _load_error(text: str) -> Unreachable:
    reason = _NET_ERROR.search(text)
    return unreachable_error("the site", reason[1] if reason else "unknown reason")


def _start_error(error: Exception) -> MissingComponent:
    return MissingComponent(
        f"the browser does not start: {_first_line(error)}",
        "install browser and driver in the same version: sudo apt-get install chromium "
        "chromium-driver, or -o google.chromedriver=PATH and -o google.chrome=PATH",
    )


def _first_line(error: Exception) -> str:
    # As text, an error of selenium also has the word "Message" and a stack trace.
    line, _, _ = str(getattr(error, "msg", None) or error).strip().partition("\n")
    return line[:300]


def find_chrome(path: str) -> str:
    """Return the path of the browser. Raises `MissingComponent`."""
    program = _find_program(path, "chrome", _CHROME_PATHS)
    if program:
        return program
    raise MissingComponent(
        "neither Chrome nor Chromium is installed",
        f"{_APT}; or name its path: -o google.chrome=PATH",
    )


def find_driver(path: str, options: ChromeOptions) -> str:
    """Return the path of the driver. Raises `MissingComponent`.

    If none is installed, selenium may download the one that fits the browser of `options`.
    """
    program = _find_program(path, "chromedriver", _DRIVER_PATHS)
    if program:
        return program
    # selenium's manager reports each use to its makers by default.
    os.environ.setdefault("SE_AVOID_STATS", "true")

    try:
        return DriverFinder(Service(), options).get_driver_path()
    except (WebDriverException, OSError) as error:
        raise MissingComponent(
            "chromedriver is not installed and could not be downloaded",
            f"{_APT}; or name its path: -o google.chromedriver=PATH",
        ) from error


def make_browser_folder() -> str:
    """Create a temporary folder for the files of a browser. Raises `OSError`."""
    parent = tempfile.gettempdir()
    if os.name == "posix" and len(os.fsencode(parent)) > _MAX_PARENT_BYTES:
        parent = "/tmp"  # noqa: S108
    return tempfile.mkdtemp(prefix="gleanset-google-", dir=parent)


class SupervisedDriver(Service):
    """chromedriver under its supervisor, with every file of the browser in one folder."""

    def __init__(self, driver: str, folder: str):
        is_supervised = os.name == "posix"
        self._prefix = ["-I", str(_SUPERVISOR), folder, driver] if is_supervised else []
        homes = dict.fromkeys(("TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), folder)
        super().__init__(
            sys.executable if is_supervised else driver,
            env={**os.environ, **homes},
            # selenium lets a variable replace the program, which here is the supervisor.
            driver_path_env_key="GLEANSET_NO_SUCH_VARIABLE",
            # Ctrl-C signals our whole process group. The supervisor is not in it, so that it can
            # end the browser after us.
            popen_kw={"start_new_session": True},
        )

    def command_line_args(self) -> list[str]:
        """Return the arguments of the supervisor, then those of the driver."""
        return [*self._prefix, *super().command_line_args()]

    def send_remote_shutdown_command(self) -> None:
        """Do nothing: selenium would use a proxy of the environment; ending it is enough."""


def list_proxy_switches() -> list[str]:
    """Return the proxies of the environment, as the client reads them, as switches of Chrome.

    Raises `UsageError` for a proxy with a login, which Chrome does not support.
    """
    proxies = getproxies_environment()
    servers = []
    for scheme in ("http", "https"):
        url = proxies.get(scheme) or proxies.get("all")
        if url:
            servers.append(f"{scheme}={_format_proxy(url)}")
    no_proxy = proxies.get("no", "")
    if not servers or no_proxy.strip() == "*":
        return ["--no-proxy-server"]

    return [
        f"--proxy-server={';'.join(servers)}",
        f"--proxy-bypass-list={_format_bypass_list(no_proxy)}",
    ]


def _format_proxy(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.username:
        raise UsageError(
            f"Chrome cannot log in to the proxy {parts.hostname}",
            "use a proxy without a login for google, or another source",
        )
    return f"{parts.scheme}://{parts.netloc}"


def _format_bypass_list(no_proxy: str) -> str:
    # By default Chrome uses no proxy for this machine; curl and our client do.
    rules = ["<-loopback>"]
    for entry in no_proxy.split(","):
        name = entry.strip().lstrip("*.")
        if not name:
            continue
        rules.append(name)
        # A name in NO_PROXY includes its subdomains; Chrome wants both listed.
        is_address = name[0].isdigit() or ":" in name
        if not is_address:
            rules.append(f"*.{name}")
    return ";".join(rules)


def _find_program(path: str, option: str, usual_paths: Iterable[str]) -> str | None:
    paths = [str(Path(path).expanduser())] if path else usual_paths
    for name in paths:
        program = shutil.which(name)
        if program:
            return program
    if path:
        raise MissingComponent(
            f"there is no {option} at {path}",
            f"correct -o google.{option}=PATH, or leave it out; to install it: {_APT}",
        )
    return None
