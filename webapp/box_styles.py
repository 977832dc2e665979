"""Who finds the faces, and boxes of one detector as another one would have drawn them.

A model learnt from faces that one detector boxed, and a visitor's browser finds them with a small
one of its own, which sees other faces and draws other boxes. Where both differ the server finds
them as long as it can be reached (`benchmarks/web_page.py` has what is lost otherwise), and what
the browser finds is fitted to what the model knows. The figures are medians over faces that both
have found, once each: drawnface's over 108 faces of pictures that nothing is judged by, half of
them within .1; the cascade's over 22.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from facecrop.detectors.drawnface import DrawnFace

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


# animeface's box beside that of each detector.
_ANIMEFACE = {
    "animeface": BoxStyle(),
    "animeface-docker": BoxStyle(),
    "drawnface": BoxStyle(1.25, 1.45, 0.05, -0.07),
    "lbpcascade": BoxStyle(0.734, 0.734),
}


def finder_for(wanted: str) -> Literal["browser", "server"]:
    """Return who is to find faces for a model that learnt from those of the detector `wanted`."""
    return "browser" if wanted == BROWSER else "server"


def style_between(found_by: str, wanted: str) -> BoxStyle:
    """Return how the detector `wanted` boxes a face that another one has found.

    As that one, where one of both is not known.
    """
    one, other = _ANIMEFACE.get(found_by), _ANIMEFACE.get(wanted)
    if one is None or other is None or one == other:
        return BoxStyle()
    width, height = one.width / other.width, one.height / other.height
    return BoxStyle(width, height, one.right - width * other.right, one.down - height * other.down)
