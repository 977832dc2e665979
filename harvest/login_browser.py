"""A browser window for a login, watched for the address that the login ends with.

The person logs in, as in any window; we only read the browser's log of where it was sent.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PATIENCE = 600.0
_BROWSERS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
_PROGRAMS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "C:/Program Files/Google/Chrome/Application/chrome.exe",
    "C:/Program Files (x86)/Google/Chrome/Application/chrome.exe",
)
# Inside the log, which is JSON in JSON, a quote ends the address.
_REDIRECT = re.compile(r"pixiv://account/login\?[^\s\"\\]*?\bcode=([\w.~-]+)", re.ASCII)


def catch_in_browser(
    url: str, *, patience: float = PATIENCE, arguments: tuple[str, ...] = ()
) -> str | None:
    """Open `url` in a visible Chrome or Chromium and wait for the code of Pixiv's login.

    None where that cannot be done (no such browser, no selenium, no screen), when the
    window was closed, and after `patience` seconds: then the code is to be copied by hand.
    """
    browser = _browser()
    if browser is None or not ("--headless=new" in arguments or _has_screen()):
        return None
    try:
        from selenium.common.exceptions import WebDriverException
    except ImportError:
        return None
    try:
        with _window(browser, arguments) as driver:
            driver.get(url)
            return _watch(driver, time.monotonic() + patience)
    except WebDriverException:
        # No driver for it, or the person closed the window.
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
def _window(browser: str, arguments: tuple[str, ...]) -> Iterator[Chrome]:
    from selenium import webdriver

    # It logs every answer of the browser, the code among them.
    logging.getLogger("selenium").setLevel(logging.CRITICAL)
    options: Any = webdriver.ChromeOptions()
    options.binary_location = browser
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    for argument in arguments:
        options.add_argument(argument)
    # One that is installed fits the browser beside it; otherwise selenium finds one.
    driver_path = shutil.which("chromedriver")
    service = webdriver.ChromeService(executable_path=driver_path)
    driver = webdriver.Chrome(options=options, service=service)
    try:
        yield driver
    finally:
        driver.quit()


def _browser() -> str | None:
    named = (shutil.which(name) for name in _BROWSERS)
    placed = (path for path in _PROGRAMS if Path(path).exists())
    return next((path for path in (*named, *placed) if path), None)


def _has_screen() -> bool:
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
