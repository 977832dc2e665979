"""A picture without what its file has besides: what trails it, or hides in it."""

from __future__ import annotations

import io
import re
from typing import NamedTuple

from gleanset.images.cut import encode
from gleanset.images.decode import DecodedImage, decode

LOSSLESS = ("PNG", "GIF", "BMP", "TIFF")
BESIDES = 65_536
"""Bytes that a file may have over those of its pixels: profiles, dates, a small picture."""

# What ends the data of a scan: any marker but zero bytes, restarts and fill.
_JPEG_MARKER = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")


class BarePicture(NamedTuple):
    """The file of a picture and nothing else, with its size in upright pixels."""

    data: bytes
    format: str
    width: int
    height: int


def bare_picture(data: bytes, most_pixels: int) -> BarePicture:
    """Return the picture alone, which is decoded to see that it is one. Raises `Unreadable`.

    A JPEG or PNG stays as it is up to its end, so that its hash is that of the same picture
    elsewhere. Of other formats, and where a file takes more bytes than its pixels do, the pixels
    are written anew.
    """
    picture = decode(data, most_pixels=most_pixels)
    kind = picture.format
    alone = data[: _END[kind](data)] if kind in _END else b""
    if not 0 < len(alone) <= 3 * picture.width * picture.height + BESIDES:
        kind, alone = _written_anew(picture)
    return BarePicture(alone, kind, picture.width, picture.height)


def _written_anew(picture: DecodedImage) -> tuple[str, bytes]:
    if picture.format not in LOSSLESS:
        return "JPEG", encode(picture.pixels)
    picture.pixels.info = {}  # Pillow carries profiles and comments along.
    picture.pixels.save(buffer := io.BytesIO(), "PNG", compress_level=3)
    return "PNG", buffer.getvalue()


def _jpeg_end(data: bytes) -> int:
    """Return where a JPEG ends (ITU-T T.81, annex B); 0 where its markers do not lead there."""
    place = 2
    while data[place : place + 1] == b"\xff":
        marker, length = data[place + 1], int.from_bytes(data[place + 2 : place + 4], "big")
        if marker == 0xD9:
            return place + 2
        place += 2 + length
        if marker == 0xDA:
            after = _JPEG_MARKER.search(data, place)
            place = after.start() if after else len(data)
    return 0


def _png_end(data: bytes) -> int:
    """Return where a PNG ends (its chunk IEND); 0 where its chunks do not lead there."""
    place = 8
    while kind := data[place + 4 : place + 8]:
        place += 12 + int.from_bytes(data[place : place + 4], "big")
        if kind == b"IEND":
            return place
    return 0


_END = {"JPEG": _jpeg_end, "PNG": _png_end}
