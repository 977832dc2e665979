"""What one decoding pass tells of a picture: size, format, perceptual hash, sharpness."""

from __future__ import annotations

import imagehash
import numpy as np
from PIL import Image

from gleanset.files.store import sha256_of
from gleanset.images.decode import Picture, decode
from gleanset.records import Measured

WORKING_SIZE = 512


def measure(data: bytes) -> Measured:
    """Decode untrusted bytes once and measure them. Raises `Unreadable`."""
    picture = decode(data, at_least=WORKING_SIZE)
    return measured(picture, sha256_of(data), len(data))


def measured(picture: Picture, sha256: str, size: int) -> Measured:
    """The record of a picture that is decoded already; `size` in bytes."""
    return Measured(
        sha256=sha256, format=picture.format, bytes=size, width=picture.width,
        height=picture.height, frames=picture.frames, orientation=picture.orientation,
        phash=perceptual_hash(picture.pixels), sharpness=sharpness(picture.pixels),
    )  # fmt: skip


def perceptual_hash(pixels: Image.Image) -> int:
    """64-bit DCT hash of an RGB picture (pHash as `imagehash` computes it), unsigned."""
    return int(str(imagehash.phash(pixels)), 16)


def sharpness(pixels: Image.Image) -> float:
    """Variance of the Laplacian of the grey picture, at most 512 pixels on the longer side.

    Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (2000). Measured at
    one working size so that pictures of different size can be compared; 0 is a flat field.
    """
    grey = pixels.convert("L")
    grey.thumbnail((WORKING_SIZE, WORKING_SIZE), Image.Resampling.BOX)
    values = np.asarray(grey, dtype=np.float32)
    if min(values.shape) < 3:
        return 0.0
    middle = values[1:-1, 1:-1]
    around = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:]
    return round(float((around - 4 * middle).var()), 3)
