"""Screenshot of the administrator's page for the docs, with drawn faces.

    python docs/images/make_admin.py [FOLDER]

Adds reports, two of which contradict each other, to a temporary dataset, serves it, requests the
removal of an image, and writes web-admin.png to FOLDER (default: this folder). Needs the extra
[web], playwright, chromium and a font with Japanese letters.
"""

from __future__ import annotations

import io
import json
import sys
import tempfile
from pathlib import Path

sys.path.extend(
    str(Path(__file__).parents[2] / name) for name in ("", "tests", "tests/webapp")
)

import requests
from browser import chromium, wait_for
from color_model import write_model
from PIL import Image
from report_rows import WebReport, add_reports
from server_helpers import make_settings, running_server

from gleanset import Dataset
from gleanset.db.faces import CropMethod
from gleanset.db.reports import REMOVAL, Reports
from webapp.report_decisions import accept_reports

SIZE = {"width": 1060, "height": 800}
COLOURS = 192
NAMES = ("mei", "rin", "aki", "佐藤 さくら")


def main(folder: Path) -> None:
    """Add reports, serve the page, and take the screenshot."""
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch) / "dataset"
        with Dataset.create(root) as dataset:
            add_reports(
                root,
                [WebReport(NAMES[number % 4], picture=number) for number in range(8)],
            )
            accept_reports(dataset, dict.fromkeys(range(1, 9)))
            with (
                dataset.db.transaction()
            ):  # from now on other labelled faces, as of an import
                Reports(dataset.db).remove(range(1, 9))
            image = next(iter(dataset.images.iterate()))
            image_data = dataset.image_path(image.sha256, image.format).read_bytes()
        reports = [
            WebReport(NAMES[n % 4], answer=NAMES[n % 4 - 1], confidence=0.4 + n / 20)
            for n in range(8)
        ]
        other = WebReport(NAMES[2], "no, look at her hair", NAMES[0], 0.4, picture=20)
        add_reports(root, [*reports, other], 20)
        crops = (CropMethod("drawnface", "", "margin=0.3", 10),)
        settings = make_settings(
            write_model(root / "m.onnx", crops=crops), root, admin="own"
        )
        with running_server(settings) as port, chromium() as browser:
            removal = json.dumps(
                {"kind": REMOVAL, "note": "My drawing, not for training."}
            )
            address = f"http://127.0.0.1:{port}/api/v1/reports"
            files = {"file": ("drawing.png", image_data)}
            requests.post(
                address, {"report": removal}, files=files, timeout=60
            ).raise_for_status()
            page = browser.new_page(viewport=SIZE)
            page.goto(f"http://127.0.0.1:{port}/admin?token=own")
            wait_for(
                page,
                "[...document.images].length > 9 && [...document.images].every(i => i.complete)",
            )
            page.wait_for_timeout(500)
            screenshot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
        screenshot.quantize(COLOURS).save(folder / "web-admin.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent))
