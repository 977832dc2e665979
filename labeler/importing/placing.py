"""Boxes that other tools wrote, in pixels of the upright image."""

from __future__ import annotations

from gleanset.errors import Unreadable
from gleanset.images.cut import within
from gleanset.images.decode import DecodedImage
from gleanset.records import Box, Rectangle
from labeler.importing.labelled import FRACTIONS, Frame


def place_box(box: Rectangle, frame: Frame | None, image: DecodedImage) -> Box:
    """Return a box of an image whose size was `frame`, in whole pixels of the upright image.

    Raises `Unreadable` for a box outside, and for a frame that the image was not scaled from.
    """
    size: Frame = (image.width, image.height)
    stored: Frame = size if image.orientation < 5 else (image.height, image.width)
    if frame is None or frame == size:
        placed = box
    elif frame == stored:
        placed = _upright(box, frame, image.orientation)
    elif frame == FRACTIONS or _same_shape(frame, size):
        placed = _scaled(box, frame, size)
    elif _same_shape(frame, stored):
        placed = _upright(_scaled(box, frame, stored), stored, image.orientation)
    else:
        raise Unreadable(
            "another size than annotated",
            f"{image.width} x {image.height}, annotated at {frame[0]:g} x {frame[1]:g}",
        )
    x, y, width, height = map(round, placed)
    part = within(Box(x, y, width, height), image.width, image.height)
    if part is None:
        raise Unreadable(
            "box outside", f"{(x, y, width, height)} in {image.width} x {image.height} pixels"
        )
    return part


def _same_shape(frame: Frame, size: Frame) -> bool:
    """Return whether an image may be scaled from a frame, its sides rounded to whole pixels."""
    return abs(frame[0] * size[1] - frame[1] * size[0]) <= frame[0] + frame[1]


def _scaled(box: Rectangle, frame: Frame, size: Frame) -> Rectangle:
    across, down = size[0] / frame[0], size[1] / frame[1]
    return box[0] * across, box[1] * down, box[2] * across, box[3] * down


def _upright(box: Rectangle, frame: Frame, orientation: int) -> Rectangle:
    """Turn a box of the stored pixels as EXIF orientations 5 to 8 turn these."""
    x, y, width, height = box
    right, bottom = frame[0] - x - width, frame[1] - y - height
    left = {5: y, 6: bottom, 7: bottom, 8: y}[orientation]
    top = {5: x, 6: x, 7: right, 8: right}[orientation]
    return left, top, height, width
