"""Measures of an image from one decoding pass: size, format, perceptual hash, sharpness."""

import numpy as np
from PIL import Image

from gleanset.files.store import hash_bytes
from gleanset.images.decode import MAX_JPEG_PIXELS, decode
from gleanset.records import Measured

WORKING_SIZE = 512
HASHED_SIZE = 128
# Hashes of all images of one color: black, and any other.
FLAT_HASHES = (0, 1 << 63)
# Size for whole images on import: decoding and measuring them is half the work of a harvest.
IMPORT_MEASURE_SIZE = 256
# A JPEG decoder scales by halves: asking for slightly less often avoids decoding twice the size.
DECODED_SIZE = IMPORT_MEASURE_SIZE * 7 // 8

_DCT_SIZE = 32
# The first 8 rows of the DCT-II of 32 values (Ahmed, Natarajan, Rao, "Discrete cosine
# transform", 1974): 2 cos(pi k (2n + 1) / 64).
_DCT = 2 * np.cos(
    np.pi / (2 * _DCT_SIZE) * np.outer(np.arange(8), 2 * np.arange(_DCT_SIZE) + 1)
)


def measure(data: bytes, max_pixels: int = MAX_JPEG_PIXELS) -> Measured:
    """Decode untrusted bytes and measure them at `IMPORT_MEASURE_SIZE`. Raises `Unreadable`."""
    image = decode(data, min_side=DECODED_SIZE, mode="L", max_pixels=max_pixels)
    phash, sharpness = compute_phash_and_sharpness(image.pixels, IMPORT_MEASURE_SIZE)

    return Measured(
        sha256=hash_bytes(data),
        format=image.format,
        bytes=len(data),
        width=image.width,
        height=image.height,
        frames=image.frames,
        orientation=image.orientation,
        phash=phash,
        sharpness=sharpness,
    )


def compute_phash_and_sharpness(
    pixels: Image.Image, size: int = WORKING_SIZE
) -> tuple[int, float]:
    """Return perceptual hash and sharpness of an RGB or gray image.

    The hash is the unsigned 64-bit DCT hash (pHash) with the bit order of `imagehash.phash`. The
    sharpness is the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in
    brightfield microscopy", 2000), 0 for a uniform image. Both are computed on the gray image with
    at most `size` pixels on the longer side, so that images of different sizes are comparable.
    """
    grey = pixels.convert("L")
    grey.thumbnail((size, size), Image.Resampling.BOX)
    sharpness = _measure_sharpness(grey)

    # The hash uses 32 x 32 pixels: a cheap intermediate resize halves its time.
    grey.thumbnail((HASHED_SIZE, HASHED_SIZE), Image.Resampling.BOX)
    return compute_dct_hash(grey), sharpness


def compute_dct_hash(grey: Image.Image) -> int:
    """Return the DCT hash of a gray image, as `imagehash.phash`."""
    small = grey.resize(
        (_DCT_SIZE, _DCT_SIZE),
        Image.Resampling.LANCZOS,
    )
    values = np.asarray(small, dtype=np.float64)
    # The 8 x 8 lowest frequencies. Rounded, so that rounding errors around 0 do not determine the
    # hash of a uniform image.
    frequencies = np.round(_DCT @ values @ _DCT.T, 6)

    # The median of 64 values: `np.median` is twenty times slower for so few.
    middle = np.sort(frequencies, axis=None)[31:33]
    is_above = frequencies > (middle[0] + middle[1]) / 2
    return int.from_bytes(np.packbits(is_above).tobytes(), "big")


def _measure_sharpness(grey: Image.Image) -> float:
    """Return the variance of the Laplacian."""
    values = np.asarray(grey, dtype=np.int16)
    if min(values.shape) < 3:
        return 0.0
    # The four neighbors of each pixel but those at the border, less four times the pixel.
    vertical = values[:-2, 1:-1] + values[2:, 1:-1]
    horizontal = values[1:-1, :-2] + values[1:-1, 2:]
    laplacian = vertical + horizontal - 4 * values[1:-1, 1:-1]

    # E[x^2] - E[x]^2 with one dot product: several times faster than `var`, which copies.
    flat = laplacian.ravel().astype(np.float32)
    mean_square = float(np.dot(flat, flat)) / flat.size
    variance = mean_square - float(flat.mean()) ** 2
    return round(max(0.0, variance), 3)
