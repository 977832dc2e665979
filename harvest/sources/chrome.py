"""Chrome or Chromium and its driver: found on this machine, kept under control, behind a proxy."""

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

_KEEPER = Path(__file__).with_name("run_chromedriver.py")
_SCHEMES = ("http", "https")
# A socket's path may have 107 bytes, and Chromium's own part of it is long.
_LONGEST_PARENT = 36
_APT = "sudo apt-get install chromium chromium-driver"
# Chromium first: a distribution's driver is made for its Chromium.
_CHROMES = (
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
_DRIVERS = (
    "chromedriver",
    "/usr/bin/chromedriver",
    "/usr/lib/chromium-browser/chromedriver",
    "/snap/bin/chromium.chromedriver",
)


def find_chrome(path: str = "") -> str:
    """Return the path of the browser's program. Raises `MissingComponent`."""
    if path:
        return _given(path, "browser", "chrome")
    if found := next(filter(None, map(shutil.which, _CHROMES)), None):
        return found
    raise MissingComponent(
        "There is no Chrome or Chromium on this machine.",
        f"Install it with: {_APT}; or say where it is: -o google.chrome=PATH",
    )


def find_driver(path: str, options: ChromeOptions) -> str:
    """Return the path of the driver's program.

    Only where the machine has none, selenium may fetch the one that fits the browser of
    `options`. Raises `MissingComponent`.
    """
    if path:
        return _given(path, "chromedriver", "chromedriver")
    if found := next(filter(None, map(shutil.which, _DRIVERS)), None):
        return found
    # selenium's manager reports each use to its makers unless told not to.
    os.environ.setdefault("SE_AVOID_STATS", "true")
    try:
        return DriverFinder(Service(), options).get_driver_path()
    except (WebDriverException, OSError) as error:
        raise MissingComponent(
            "There is no chromedriver on this machine, and none could be fetched.",
            f"Install it with: {_APT}; or say where it is: -o google.chromedriver=PATH",
        ) from error


def make_browser_folder() -> str:
    """Make an empty temporary folder in which a browser can live. Raises `OSError`."""
    parent = tempfile.gettempdir()
    if os.name == "posix" and len(os.fsencode(parent)) > _LONGEST_PARENT:
        parent = "/tmp"  # noqa: S108
    return tempfile.mkdtemp(prefix="gleanset-google-", dir=parent)


class SupervisedDriver(Service):
    """chromedriver under its keeper, with every file of the browser in one folder."""

    def __init__(self, driver: str, folder: str) -> None:
        kept = os.name == "posix"
        self._before = ["-I", str(_KEEPER), folder, driver] if kept else []
        homes = dict.fromkeys(("TMPDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), folder)
        super().__init__(
            sys.executable if kept else driver,
            env={**os.environ, **homes},
            # selenium lets a variable replace the program, which here is the keeper.
            driver_path_env_key="GLEANSET_NO_SUCH_VARIABLE",
            # What is sent to our process group, such as Ctrl-C, must not end the keeper first.
            popen_kw={"start_new_session": True},
        )

    def command_line_args(self) -> list[str]:
        """Return the keeper's arguments, then the driver's."""
        return [*self._before, *super().command_line_args()]

    def send_remote_shutdown_command(self) -> None:
        """Do nothing: selenium asks through a proxy of the environment; ending it is enough."""


def proxy_switches(environment: Mapping[str, str]) -> list[str]:
    """Return the environment's proxies as switches of Chrome.

    `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are read, lower case first, as curl
    does.
    Raises `UsageError` for a proxy with a login, which Chrome does not take.
    """

    def named(name: str) -> str:
        return environment.get(name.lower()) or environment.get(name.upper()) or ""

    proxies = {scheme: named(f"{scheme}_proxy") or named("all_proxy") for scheme in _SCHEMES}
    servers = ";".join(f"{scheme}={_plain(url)}" for scheme, url in proxies.items() if url)
    spared = named("no_proxy")
    if not servers or spared.strip() == "*":
        return ["--no-proxy-server"]
    return [f"--proxy-server={servers}", f"--proxy-bypass-list={_spared(spared)}"]


def _plain(url: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.username:
        raise UsageError(
            f"Chrome cannot log in at the proxy {parts.hostname}.",
            "Use a proxy without a login for google, or another source.",
        )
    return f"{parts.scheme}://{parts.netloc}"


def _spared(no_proxy: str) -> str:
    """A name of NO_PROXY covers what is below it as well; Chrome wants both written."""
    # Chrome never asks a proxy for this machine, unless told so; curl and we do.
    rules = ["<-loopback>"]
    for entry in filter(None, (part.strip() for part in no_proxy.split(","))):
        name = entry.lstrip("*.")
        rules += [name] if name[0].isdigit() or ":" in name else [name, f"*.{name}"]
    return ";".join(rules)


def _given(path: str, what: str, option: str) -> str:
    if found := shutil.which(str(Path(path).expanduser())):
        return found
    raise MissingComponent(
        f"There is no {what} at {path}.",
        f"Mend -o google.{option}=PATH, or leave it out; to install it: {_APT}",
    )
