"""Boxes of one detector as another one would have drawn them around the same face.

A model learnt from faces that one detector boxed, and a visitor's browser finds them with another:
the cascade's boxes are wider than animeface's, drawnface's are flatter. The figures are medians
over faces that two detectors both found, once each, in 76 annotated pictures and 28 drawings (22
to 28 faces a pair; half of them are within .1 of the median).
"""

from __future__ import annotations

from typing import NamedTuple


class BoxStyle(NamedTuple):
    """Another box of the same face, as parts of the one that is known.

    Its size, and by how much its middle lies further right and down.
    """

    width: float = 1.0
    height: float = 1.0
    right: float = 0.0
    down: float = 0.0


# animeface's box beside that of each detector.
_ANIMEFACE = {
    "animeface": BoxStyle(),
    "animeface-docker": BoxStyle(),
    "drawnface": BoxStyle(1.11, 1.27, 0.02, -0.06),
    "lbpcascade": BoxStyle(0.734, 0.734),
}


def style_between(found_by: str, wanted: str) -> BoxStyle:
    """Return how the detector `wanted` boxes a face that another one has found.

    As that one, where one of both is not known.
    """
    one, other = _ANIMEFACE.get(found_by), _ANIMEFACE.get(wanted)
    if one is None or other is None or one == other:
        return BoxStyle()
    width, height = one.width / other.width, one.height / other.height
    return BoxStyle(width, height, one.right - width * other.right, one.down - height * other.down)
