"""Whole images for a screen: decoded on any thread, never larger than is shown."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtGui import QImage

from gleanset.errors import Unreadable
from gleanset.images.decode import decode

LARGEST = 2048
"""Pixels of the longer side that are shown at most."""


def load(path: str) -> QImage | str:
    """The pixels of a file, not larger than a screen; or why there are none."""
    try:
        picture = decode(Path(path).read_bytes(), at_least=LARGEST).pixels
    except OSError as error:
        return f"⚠ {error.strerror}"
    except Unreadable as error:
        return f"⚠ {error.reason}"
    picture.thumbnail((LARGEST, LARGEST))
    return QImage(
        picture.tobytes(),
        picture.width,
        picture.height,
        3 * picture.width,
        QImage.Format.Format_RGB888,
    ).copy()
