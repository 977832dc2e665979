"""What the polish tests look at: pixels of a window, in luminance and contrast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QApplication, QWidget

from labeler.qt.theme import show_theme
from labeler.qt.views.registry import VIEWS

VIEW_NAMES = [kind.name for kind in VIEWS]
PALETTES = ("light", "dark")


@contextmanager
def palette_of(application: QApplication, name: str) -> Iterator[None]:
    """The whole program light or dark, as a person chooses it, for a while."""
    show_theme(name)
    application.processEvents()
    try:
        yield
    finally:
        show_theme("")


def pixels(picture: QImage) -> NDArray[np.uint8]:
    """RGB, height x width x 3."""
    picture = picture.convertToFormat(QImage.Format.Format_RGB32)
    rows = np.frombuffer(picture.constBits(), np.uint8)
    shaped = rows.reshape(picture.height(), picture.bytesPerLine() // 4, 4)
    return shaped[:, : picture.width(), 2::-1].copy()


def seen(widget: QWidget) -> NDArray[np.uint8]:
    """A widget as it looks in its window."""
    corner = widget.mapTo(widget.window(), widget.rect().topLeft())
    return pixels(widget.window().grab(widget.rect().translated(corner)).toImage())


def luminance(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """WCAG 2.2, relative luminance."""
    part = colours / 255.0
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    found: NDArray[np.float64] = linear @ np.array((0.2126, 0.7152, 0.0722))
    return found


def kinds_of(colours: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.intp]]:
    """The different colours, and how often each is there."""
    red, green, blue = colours.reshape(-1, 3).astype(np.uint32).T
    numbers, counts = np.unique(red << 16 | green << 8 | blue, return_counts=True)
    kinds = np.stack((numbers >> 16, numbers >> 8 & 255, numbers & 255), axis=1)
    return kinds.astype(np.uint8), counts


def ground(colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The commonest colour: what text is written on."""
    kinds, counts = kinds_of(colours)
    commonest: NDArray[np.uint8] = kinds[counts.argmax()]
    return commonest


def text_contrast(colours: NDArray[np.uint8]) -> float:
    """The best contrast with the ground: that of the strokes that are not thinned by smoothing."""
    under, all_of = luminance(ground(colours)), luminance(kinds_of(colours)[0])
    high, low = np.maximum(under, all_of), np.minimum(under, all_of)
    return float(((high + 0.05) / (low + 0.05)).max())
