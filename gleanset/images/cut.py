"""Cutting samples out of upright pictures."""

from __future__ import annotations

import hashlib
import io

from PIL import Image

from gleanset.records import Box

QUALITY = 95


def sample_key(sha256: str, box: Box) -> str:
    """The key of a sample: 32 hex digits from its image and the box of its face.

    It does not depend on margin or detector, so a label survives a new cut or a new
    detection that finds the same box.
    """
    text = f"{sha256}:{box.x},{box.y},{box.width},{box.height}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def with_margin(box: Box, margin: float, width: int, height: int) -> Box:
    """The box grown by `margin` of its size on every side, clamped to the picture."""
    grow_x, grow_y = round(box.width * margin), round(box.height * margin)
    left, top = max(0, box.x - grow_x), max(0, box.y - grow_y)
    right = min(width, box.x + box.width + grow_x)
    bottom = min(height, box.y + box.height + grow_y)
    return Box(left, top, max(1, right - left), max(1, bottom - top))


def cut(pixels: Image.Image, box: Box) -> Image.Image:
    """The region of an upright picture."""
    return pixels.crop((box.x, box.y, box.x + box.width, box.y + box.height))


def encode(pixels: Image.Image) -> bytes:
    """RGB pixels as the JPEG that crops and exports are kept in: no metadata, full colour."""
    buffer = io.BytesIO()
    # Pillow carries the comment of a JPEG from picture to picture.
    pixels = pixels.copy()
    pixels.info = {}
    pixels.save(buffer, "JPEG", quality=QUALITY, subsampling=0)
    return buffer.getvalue()
