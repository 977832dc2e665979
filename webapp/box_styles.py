"""Detection in the browser or on the server, and conversion between the boxes of detectors.

The detector of the training images may differ from the small one in the browser, which finds other
faces and draws other boxes. Then the server detects faces while it is reachable (docs/webapp.md
says what is lost otherwise), and boxes from the browser are converted. The factors are medians
over faces that both found in four sets: 107 for animeface (IoU .79 afterwards), 69 for lbpcascade
(.82).
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from facecrop.detectors import Detector, DetectorSpec
from facecrop.detectors.drawnface import DrawnFace
from facecrop.detectors.tiling import is_same_face, sort_in_reading_order
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


# Logistic regression on the candidates of both detectors in 76 images with 124 marked faces.
# Rounded so that a face that only the detector of the model finds has a little more than 0.5.
_BIAS = -2.6
_OWN_WEIGHT = 2.7
_SCORE_WEIGHT = 3.1
_MIN_SCORE = 0.15
"""Score of a face that the browser's detector did not find."""
_MIN_PROBABILITY = 0.5


@dataclass
class _Candidate:
    """A face with its score in the browser's detector, 0 to 1.

    `is_own`: the detector of the model found it.
    """

    face: Face
    is_own: bool
    score: float

    def probability(self) -> float:
        """Return the probability of a face, by the odds of its score."""
        # A score of 1 would have infinite odds.
        log_odds = _log_odds(min(self.score, 0.999)) - _log_odds(_MIN_SCORE)
        own_weight = _OWN_WEIGHT if self.is_own else 0.0
        logit = _BIAS + own_weight + _SCORE_WEIGHT * log_odds
        return 1 / (1 + math.exp(-logit))


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def detect_with_both(detector: Detector, pixels: Pixels) -> list[Face]:
    """Detect faces with a model's detector and the browser's, in reading order.

    Faces found by both have the box of `detector`. Scores are probabilities; faces found only by
    the browser's detector need at least 0.5.
    """
    faces = detector.detect(pixels)
    if detector.name == BROWSER:
        return sort_in_reading_order(faces)

    style = BOX_STYLES.get(detector.name, BoxStyle())
    height, width = pixels.shape[:2]
    # The probabilities were fitted to scores of the browser's detector, whatever the own one says.
    # It found nothing there yet, so these have the lowest score.
    candidates = [_Candidate(face, is_own=True, score=_MIN_SCORE) for face in faces]
    for face in DetectorSpec.create(BROWSER).build().detect(pixels):
        box = clip_box(_convert_box(face.box, style), width, height) or face.box
        matches = (c for c in candidates if is_same_face(box, c.face.box))
        match = next(matches, None)
        if not match:
            new_face = replace(face, box=box)
            candidates.append(_Candidate(new_face, is_own=False, score=face.score))
        else:
            match.score = max(match.score, face.score)

    results = []
    for candidate in candidates:
        probability = candidate.probability()
        if candidate.is_own or probability >= _MIN_PROBABILITY:
            results.append(replace(candidate.face, score=probability))
    return sort_in_reading_order(results)


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
