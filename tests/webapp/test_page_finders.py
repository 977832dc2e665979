"""Who finds the faces: the server where the model learnt from those of its detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from in_browser import BOXES, KEPT, NEEDS_BROWSER, Open, until

from facecrop.detectors import detector_named
from facecrop.detectors.tiling import overlap
from gleanset.images.decode import decode
from gleanset.records import Box

pytestmark = NEEDS_BROWSER
SAID = "document.querySelector('.picture .small')?.textContent"
PLACES = f"""{BOXES}.map(({{style}}) => ["left", "top", "width", "height"].map(
    (key) => Math.round(Number.parseFloat(style[key]) * ({{left: 7.2, width: 7.2}}[key] ?? 4))))"""


def test_the_server_finds_them_and_without_it_the_browser_stands_in(
    opened: Open, animeface_address: str, drawn: Path
) -> None:
    wanted = detector_named("animeface").detect(np.asarray(decode(drawn.read_bytes()).pixels))
    page = opened(at=animeface_address)
    page.set_input_files("#files", [str(drawn)])
    assert until(page, f"{BOXES}.length") == 2
    assert page.evaluate(SAID) == "faces found by the server"
    assert sorted(page.evaluate(PLACES)) == sorted(list(face.box) for face in wanted)
    page.click("#clear")
    until(page, KEPT)
    page.context.set_offline(True)
    page.set_input_files("#files", [str(drawn)])
    assert until(page, f"{BOXES}.length") == 2
    assert "found in the browser" in page.evaluate(SAID)
    for face, box in zip(
        sorted(face.box for face in wanted), sorted(page.evaluate(PLACES)), strict=True
    ):
        assert overlap(face, Box(*box)) > 0.4
    page.context.set_offline(False)
    page.click("text=Let the server look")
    until(page, f"{SAID} === 'faces found by the server'")
    assert sorted(page.evaluate(PLACES)) == sorted(list(face.box) for face in wanted)
