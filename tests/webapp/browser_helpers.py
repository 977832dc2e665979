"""Helpers for tests of the page in a real browser; their fixtures are in conftest.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools_for_tests import wait_for

OpenPage = Callable[..., Any]
SERIOUS = ("serious", "critical")
_PARTS = ["vendor/drawnface.onnx", "api/v1/card"] + [
    f"vendor/onnxruntime-web/{name}"
    for name in (
        "ort.wasm.min.mjs",
        "ort-wasm-simd-threaded.mjs",
        "ort-wasm-simd-threaded.wasm",
    )
]
# Whether what the page shows, and all parts of the browser's detector, are cached. A page that
# loses its network before that logs the part that fails.
FACTS_CACHED = (
    "caches.open('page').then((cache) => cache.match('api/v1/card')).then(Boolean)"
)
DETECTOR_CACHED = f"""caches.open('page')
    .then((cache) => Promise.all({_PARTS}.map((part) => cache.match(part))))
    .then((found) => found.every(Boolean))"""


def find_faces(page: Any, image: Path) -> int:
    """Select an image and wait for boxes; return their number."""
    page.set_input_files("#files", [str(image)])
    return int(wait_for(page, f"{BOXES}.length"))


def open_card_page(page: Any) -> None:
    """Go from the main page to the page about the model."""
    page.click("footer a[href='card.html']")
    page.wait_for_url("**/card.html")
    wait_for(page, "document.querySelector('#removal-text').textContent")


def accessibility_violations(axe: Any, page: Any) -> list[tuple[str, str]]:
    """Return serious accessibility violations as (rule, HTML of the element)."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(axe.axe_script)
    violations = page.evaluate("axe.run({resultTypes: ['violations']})")["violations"]
    return [
        (violation["id"], node["html"])
        for violation in violations
        if violation["impact"] in SERIOUS
        for node in violation["nodes"]
    ]


BOXES = "[...document.querySelectorAll('.box')]"
ANSWER_COUNT = "document.querySelectorAll('.bars').length"
