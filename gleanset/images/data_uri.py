"""Small images as JPEG data URIs, so that an HTML page needs no other file."""

import base64
import io
from typing import NamedTuple

from PIL import Image

SIDE = 160
JPEG_QUALITY = 78


class Thumbnail(NamedTuple):
    """A thumbnail; `src` is the data URI for an `<img>`."""

    src: str
    width: int
    height: int


def shrink(pixels: Image.Image, side: int = SIDE) -> Thumbnail:
    """Return a thumbnail of RGB pixels of any size, never enlarged."""
    small = pixels.copy()
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Thumbnail(f"data:image/jpeg;base64,{data}", *small.size)
