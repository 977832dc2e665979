"""Who finds the faces, and boxes of one detector as another one would have drawn them.

A model learnt from faces that one detector boxed, and a visitor's browser finds them with a small
one of its own, which sees other faces and draws other boxes. Where both differ the server finds
them as long as it can be reached (docs/webapp.md has what is lost otherwise), and what the browser
finds is fitted to what the model knows. The figures are medians over faces that both
have found, once each: drawnface's over 125 faces of four sets, each set counting alike (then they
share .75 to .81 with animeface's); the cascade's over 22.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal, NamedTuple

from facecrop.detectors import Detector, Pixels, detector_named
from facecrop.detectors.drawnface import DrawnFace
from facecrop.detectors.tiling import is_same_face
from gleanset.images.cut import within
from gleanset.records import Box, Face

BROWSER = DrawnFace.name
"""The detector that a browser has."""


class BoxStyle(NamedTuple):
    """Another box of the same face, as parts of the one that is known.

    Its size, and by how much its middle lies further right and down.
    """

    width: float = 1.0
    height: float = 1.0
    right: float = 0.0
    down: float = 0.0


_ANIMEFACE = BoxStyle(1.01, 1.1, 0.03, -0.04)
BOX_STYLES = {
    "animeface": _ANIMEFACE,
    "animeface-docker": _ANIMEFACE,
    "lbpcascade": BoxStyle(1.376, 1.499, 0.03, -0.04),
}
"""Boxes of other detectors beside drawnface's."""


def finder_for(wanted: str) -> Literal["browser", "server"]:
    """Return who is to find faces for a model that learnt from those of the detector `wanted`."""
    return "browser" if wanted == BROWSER else "server"


_BIAS, _OWN, _SCORE, _LEAST_SCORE = -0.1, 1.0, 1.4, 0.15
"""A logistic regression on the candidates of both finders in 76 pictures with 124 marked faces."""


def faces_by_both(detector: Detector, pixels: Pixels) -> list[Face]:
    """Return the faces that a model's detector and the browser's finder see, left to right.

    A face that both see has the detector's box. Scores are how likely a face is there; what the
    browser's alone sees is left out where that is less likely than not.
    """
    faces = detector.detect(pixels)
    if detector.name != BROWSER:
        style = BOX_STYLES.get(detector.name, BoxStyle())
        height, width = pixels.shape[:2]
        seen = [(face, True, _LEAST_SCORE) for face in faces]
        for face in detector_named(BROWSER).detect(pixels):
            box = within(_styled(face.box, style), width, height) or face.box
            same = (i for i, (other, _, _) in enumerate(seen) if is_same_face(box, other.box))
            if (place := next(same, None)) is None:
                seen.append((replace(face, box=box), False, face.score))
            else:
                other, own, score = seen[place]
                seen[place] = other, own, max(score, face.score)
        faces = [replace(face, score=_probability(own, score)) for face, own, score in seen]
        faces = [
            face for face, (_, own, _) in zip(faces, seen, strict=True) if own or face.score >= 0.5
        ]
    return sorted(faces, key=lambda face: face.box)


def _probability(own: bool, score: float) -> float:
    """Return how likely a face is where a model's detector sees one or not, and the browser's is
    so sure of it.
    """
    odds = [math.log(part / (1 - part)) for part in (min(score, 0.999), _LEAST_SCORE)]
    return 1 / (1 + math.exp(-(_BIAS + _OWN * own + _SCORE * (odds[0] - odds[1]))))


def _styled(box: Box, style: BoxStyle) -> Box:
    width, height = box.width * style.width, box.height * style.height
    x = box.x + box.width * (0.5 + style.right) - width / 2
    y = box.y + box.height * (0.5 + style.down) - height / 2
    return Box(round(x), round(y), round(width), round(height))
