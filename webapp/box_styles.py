"""Detection in the browser or on the server, and conversion between the boxes of detectors.

The detector of the training images may differ from the small one in the browser, which finds other
faces and draws other boxes. Then the server detects faces while it is reachable (docs/webapp.md
says what is lost otherwise), and boxes from the browser are converted. The factors are medians
over faces that both found in four sets: 107 for animeface (IoU .79 afterwards), 69 for lbpcascade
(.82).
"""

from dataclasses import replace
from typing import NamedTuple

from facecrop.detectors import Detector, DetectorSpec
from facecrop.detectors.drawnface import DrawnFace
from facecrop.detectors.tiling import sort_in_reading_order
from gleanset.arrays import Pixels
from gleanset.images.cropping import clip_box
from gleanset.records import Box, Face

BROWSER = DrawnFace.name
"""The detector of browsers."""


class BoxStyle(NamedTuple):
    """A detector's box relative to drawnface's: size, and offset of its center."""

    width: float = 1.0
    height: float = 1.0
    right: float = 0.0
    down: float = 0.0


_ANIMEFACE = BoxStyle(0.94, 0.91, 0.02, 0.03)
BOX_STYLES = {
    "animeface": _ANIMEFACE,
    "animeface-docker": _ANIMEFACE,
    "lbpcascade": BoxStyle(1.2, 1.17, 0.01, 0.06),
}
"""Boxes of other detectors, relative to drawnface's."""


def detect_for_page(detector: Detector, pixels: Pixels) -> list[Face]:
    """Detect faces with a model's detector, else with the browser's, in reading order.

    The browser's often finds a face where the other finds none: then 82 % of the images are
    predicted right instead of 71 % (docs/webapp.md, "Quality and speed"). Its boxes are converted.
    """
    faces = detector.detect(pixels)
    if not faces and detector.name != BROWSER:
        style = BOX_STYLES.get(detector.name, BoxStyle())
        height, width = pixels.shape[:2]
        for face in DetectorSpec.create(BROWSER).build().detect(pixels):
            box = clip_box(_convert_box(face.box, style), width, height) or face.box
            faces.append(replace(face, box=box))
    return sort_in_reading_order(faces)


def _convert_box(box: Box, style: BoxStyle) -> Box:
    """Return the box that a detector of this style would draw for a face of drawnface.

    drawnface is the browser's detector. `right` and `down` of a style are in sides of its box.
    """
    width = box.width * style.width
    height = box.height * style.height
    center_x = box.x + box.width * (0.5 + style.right)
    center_y = box.y + box.height * (0.5 + style.down)
    return Box(
        round(center_x - width / 2),
        round(center_y - height / 2),
        round(width),
        round(height),
    )
