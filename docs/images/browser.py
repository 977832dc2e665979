"""Headless Chromium for screenshots; needs playwright and Debian's chromium. Not a script."""

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
    """Poll a script: the page's policy forbids Playwright's own wait."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if result := page.evaluate(script):
            return result
        time.sleep(0.02)
    raise TimeoutError(script)
