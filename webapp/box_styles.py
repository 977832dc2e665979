"""Detection in the browser or on the server, and conversion between the boxes of detectors.

The detector of the training images may differ from the small one in the browser, which finds other
faces and draws other boxes. Then the server detects faces while it is reachable (docs/webapp.md
says what is lost otherwise), and boxes from the browser are converted. The factors are medians
over faces that both found in four sets: 107 for animeface (IoU .79 afterwards), 69 for lbpcascade
(.82).
"""

import math
from dataclasses import replace
from typing import NamedTuple

from facecrop.detectors import Detector, Pixels, build_detector
from facecrop.detectors.drawnface import DrawnFace
from facecrop.detectors.tiling import is_same_face, sort_in_reading_order
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


_BIAS = -0.1
_OWN_WEIGHT = 1.0
_SCORE_WEIGHT = 1.4
_MIN_SCORE = 0.15
"""Logistic regression on the candidates of both detectors in 76 images with 124 marked faces."""


def detect_with_both(detector: Detector, pixels: Pixels) -> list[Face]:
    """Detect faces with a model's detector and the browser's, in reading order.

    Faces found by both have the box of `detector`. Scores are probabilities; faces found only by
    the browser's detector need at least 0.5.
    """
    faces = detector.detect(pixels)
    if detector.name != BROWSER:
        style = BOX_STYLES.get(detector.name, BoxStyle())
        height, width = pixels.shape[:2]
        candidates = [(face, True, _MIN_SCORE) for face in faces]
        for face in build_detector(BROWSER).detect(pixels):
            box = clip_box(_styled(face.box, style), width, height) or face.box
            same = (
                i
                for i, (other, _, _) in enumerate(candidates)
                if is_same_face(box, other.box)
            )
            if (index := next(same, None)) is None:
                candidates.append((replace(face, box=box), False, face.score))
            else:
                other, is_own, score = candidates[index]
                candidates[index] = other, is_own, max(score, face.score)
        scored = [
            (replace(face, score=_probability(is_own, score)), is_own)
            for face, is_own, score in candidates
        ]
        faces = [face for face, is_own in scored if is_own or face.score >= 0.5]
    return sort_in_reading_order(faces)


def _probability(is_own: bool, score: float) -> float:
    """Return the probability of a face; `own`: the model's detector found it, too."""
    odds = [math.log(part / (1 - part)) for part in (min(score, 0.999), _MIN_SCORE)]
    return 1 / (
        1
        + math.exp(
            -(_BIAS + _OWN_WEIGHT * is_own + _SCORE_WEIGHT * (odds[0] - odds[1]))
        )
    )


def _styled(box: Box, style: BoxStyle) -> Box:
    width, height = box.width * style.width, box.height * style.height
    x = box.x + box.width * (0.5 + style.right) - width / 2
    y = box.y + box.height * (0.5 + style.down) - height / 2
    return Box(round(x), round(y), round(width), round(height))
