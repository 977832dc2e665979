"""Headless Chromium, shared by the scripts that take screenshots for the docs; not a script.

Needs playwright and Debian's chromium.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless Chromium until the body ends."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield browser
        browser.close()


def wait_for(page: Page, script: str, seconds: float = 60) -> Any:
    """Poll a script, as the page's policy forbids Playwright's own waiting."""
    ended = time.monotonic() + seconds
    while time.monotonic() < ended:
        if found := page.evaluate(script):
            return found
        time.sleep(0.02)
    raise TimeoutError(script)
