"""Chrome or Chromium and its driver: finding, supervising and configuring them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.driver_finder import DriverFinder

from gleanset.errors import MissingComponent, UsageError

_SUPERVISOR = Path(__file__).with_name("run_chromedriver.py")
_SCHEMES = ("http", "https")
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


def find_chrome(path: str = "") -> str:
    """Return the path of the browser. Raises `MissingComponent`."""
    if path:
        return _check_path(path, "browser", "chrome")
    if program := next(filter(None, map(shutil.which, _CHROME_PATHS)), None):
        return program
    raise MissingComponent(
        "neither Chrome nor Chromium is installed",
        f"{_APT}; or name its path: -o google.chrome=PATH",
    )


def find_driver(path: str, options: ChromeOptions) -> str:
    """Return the path of the driver. Raises `MissingComponent`.

    If none is installed, selenium may download the one that fits the browser of `options`.
    """
    if path:
        return _check_path(path, "chromedriver", "chromedriver")
    if program := next(filter(None, map(shutil.which, _DRIVER_PATHS)), None):
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

    def __init__(self, driver: str, folder: str) -> None:
        is_supervised = os.name == "posix"
        self._prefix = ["-I", str(_SUPERVISOR), folder, driver] if is_supervised else []
        homes = dict.fromkeys(("TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), folder)
        super().__init__(
            sys.executable if is_supervised else driver,
            env={**os.environ, **homes},
            # selenium lets a variable replace the program, which here is the supervisor.
            driver_path_env_key="GLEANSET_NO_SUCH_VARIABLE",
            # Signals to our process group, such as Ctrl-C, must not end the supervisor first.
            popen_kw={"start_new_session": True},
        )

    def command_line_args(self) -> list[str]:
        """Return the arguments of the supervisor, then those of the driver."""
        return [*self._prefix, *super().command_line_args()]

    def send_remote_shutdown_command(self) -> None:
        """Do nothing: selenium would use a proxy of the environment; ending it is enough."""


def proxy_switches(environment: Mapping[str, str]) -> list[str]:
    """Return the proxies of the environment as switches of Chrome.

    `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are read, lower case first, as by curl.
    Raises `UsageError` for a proxy with a login, which Chrome does not support.
    """

    def variable(name: str) -> str:
        return environment.get(name.lower()) or environment.get(name.upper()) or ""

    proxies = {scheme: variable(f"{scheme}_proxy") or variable("all_proxy") for scheme in _SCHEMES}
    servers = ";".join(f"{scheme}={_proxy_server(url)}" for scheme, url in proxies.items() if url)
    no_proxy = variable("no_proxy")
    if not servers or no_proxy.strip() == "*":
        return ["--no-proxy-server"]
    return [f"--proxy-server={servers}", f"--proxy-bypass-list={_bypass_list(no_proxy)}"]


def _proxy_server(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.username:
        raise UsageError(
            f"Chrome cannot log in to the proxy {parts.hostname}",
            "use a proxy without a login for google, or another source",
        )
    return f"{parts.scheme}://{parts.netloc}"


def _bypass_list(no_proxy: str) -> str:
    # A name in NO_PROXY includes its subdomains; Chrome wants both listed. By default it uses no
    # proxy for this machine; curl and our client do.
    rules = ["<-loopback>"]
    for entry in filter(None, (part.strip() for part in no_proxy.split(","))):
        name = entry.lstrip("*.")
        rules += [name] if name[0].isdigit() or ":" in name else [name, f"*.{name}"]
    return ";".join(rules)


def _check_path(path: str, program_name: str, option: str) -> str:
    if program := shutil.which(str(Path(path).expanduser())):
        return program
    raise MissingComponent(
        f"there is no {program_name} at {path}",
        f"correct -o google.{option}=PATH, or leave it out; to install it: {_APT}",
    )
