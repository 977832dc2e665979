"""What tests of the page in a real browser share; their fixtures are in conftest.py."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

from webapp.npm_parts import are_current

CHROMIUM = shutil.which("chromium")
NEEDS_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium"),
    pytest.mark.skipif(find_spec("playwright") is None, reason="needs playwright"),
    pytest.mark.skipif(not are_current(), reason="needs the page's parts: webapp/npm_parts.py"),
]
Open = Callable[..., Any]
SERIOUS = ("serious", "critical")
_PARTS = ["vendor/drawnface.onnx"] + [
    f"vendor/onnxruntime-web/{name}"
    for name in (
        "ort.wasm.min.mjs",
        "ort-wasm-simd-threaded.mjs",
        "ort-wasm-simd-threaded.wasm",
    )
]
# The browser's finder, kept for when there is no network: each part when it has come, the largest
# last. Before that, a page that loses its network logs the part that fails.
KEPT = f"""caches.open('page')
    .then((cache) => Promise.all({_PARTS}.map((part) => cache.match(part))))
    .then((found) => found.every(Boolean))"""


def until(page: Any, script: str, seconds: float = 30) -> Any:
    """Wait for a script to give something true; a page's policy forbids other ways to wait."""
    for _ in range(int(seconds * 10)):
        if found := page.evaluate(script):
            return found
        time.sleep(0.1)
    raise AssertionError(f"never: {script}")


def card_of(page: Any) -> None:
    """Go from the page to the page about the model."""
    page.click("footer a[href='card.html']")
    page.wait_for_url("**/card.html")
    until(page, "document.querySelector('#removal-told').textContent")


def findings(axe: Any, page: Any) -> list[tuple[str, str]]:
    """What is wrong and where, as far as it keeps people out."""
    found = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        (one["id"], node["html"])
        for one in found
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


BOXES = "[...document.querySelectorAll('.box')]"
ANSWERS = "document.querySelectorAll('.bars').length"
