"""The descriptor of what a sample looks like, 320 numbers: the seam where a net may come in.

Whoever has something better (the embeddings of a trained net) puts it in the place of
`descriptor` and counts `assessment.VERSION` up; nothing else depends on how it is made.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

SIDE, BANDS = 96, 3
CELLS, DIRECTIONS = 4, 8
TONES, TINTS = 4, 4
FIRST_TINT, TINT = 96, 64 / TINTS
"""The Lab tints that are told apart begin here and are so wide; stronger ones count as the last."""


def descriptor(pixels: Image.Image) -> bytes:
    """Describe colours by height in the picture, and gradients by place; one byte a value.

    A colour histogram in Lab for each third of the picture (Stricker and Dimai, "Color indexing
    with weak spatial constraints", 1996), and histograms of oriented gradients on 4 x 4 cells
    (Dalal and Triggs, 2005), both as square roots, so that Euclidean distance is Hellinger's.
    """
    small = np.asarray(pixels.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX))
    both = [_unit(_colours(small)), _unit(_gradients(small))]
    return np.rint(np.concatenate(both) * 255).astype(np.uint8).tobytes()


def table(stored: list[bytes]) -> npt.NDArray[np.uint8]:
    """Return descriptors as rows of a table."""
    return np.frombuffer(b"".join(stored), np.uint8).reshape(len(stored), -1)


def vectors(rows: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return rows of a table as vectors of unit length."""
    found = rows.astype(np.float32)
    found /= np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)
    return found


def _colours(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.int32)
    tone = lab[..., 0] * TONES // 256
    red, yellow = (np.clip((lab[..., c] - FIRST_TINT) // TINT, 0, TINTS - 1) for c in (1, 2))
    code = ((tone * TINTS + red) * TINTS + yellow).astype(np.intp)
    bands = [
        np.bincount(band.ravel(), minlength=TONES * TINTS * TINTS) / band.size
        for band in np.split(code, BANDS)
    ]
    return np.sqrt(np.concatenate(bands))


def _gradients(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *axis, ksize=1) for axis in ((1, 0), (0, 1)))
    part = np.arctan2(down, across) % np.pi / np.pi * DIRECTIONS
    direction = np.minimum(part.astype(np.intp), DIRECTIONS - 1)
    rows, columns = np.indices(grey.shape) // (SIDE // CELLS)
    code = ((rows * CELLS + columns) * DIRECTIONS + direction).ravel()
    sums = np.bincount(code, np.hypot(across, down).ravel(), CELLS * CELLS * DIRECTIONS)
    cells = sums.reshape(-1, DIRECTIONS)
    # A cell without contrast has no direction, only noise.
    return np.asarray(np.sqrt(cells / (cells.sum(axis=1, keepdims=True) + 50)).ravel())


def _unit(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return values / max(float(np.linalg.norm(values)), 1e-6)
