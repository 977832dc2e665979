"""Cropping of samples from upright images.

A region is a box rotated clockwise about its center by an angle. Where it extends beyond the image,
the border pixels are repeated: this adds no artificial edge that a network could learn.
"""

import hashlib
import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from gleanset.arrays import Pixels
from gleanset.files.store import Store
from gleanset.images.decode import MAX_PIXELS
from gleanset.images.measure import compute_phash_and_sharpness
from gleanset.records import HAND, Box, Face, FaceCrop, Region
from gleanset.settings import CropGeometry

JPEG_QUALITY = 95

MIN_TILT_DEGREES = 5.0
"""Tilt from which a face is leveled: detected eyes of upright faces are off by up to 4 degrees."""
MAX_TILT_DEGREES = 45.0
"""Tilt up to which a face is leveled: our detectors do not find faces that lie on their side, so
eyes that say so are wrong."""


def make_sample_key(sha256: str, box: Box) -> str:
    """Return a sample's key: 32 hex digits from image and box."""
    text = f"{sha256}:{box.x},{box.y},{box.width},{box.height}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def compute_region(
    face: Face, settings: CropGeometry, width: int, height: int
) -> Region:
    """Return the region to crop for a face in an image of `width` x `height` pixels."""
    # There is nothing around a whole image.
    is_whole_image = face.box == Box(0, 0, width, height)
    box = expand_box(
        face.box,
        0.0 if is_whole_image else settings.margin,
    )
    if settings.square:
        side = max(box.width, box.height)
        x = box.x - (side - box.width) // 2
        y = box.y - (side - box.height) // 2
        box = Box(x, y, side, side)

    # A crop with more pixels could not be decoded again.
    if not settings.pad or box.width * box.height > MAX_PIXELS:
        if settings.square:
            box = _fit_square(box, face.box, width, height)
        else:
            box = _clamp_box(box, width, height)

    # Eyes that a person marked always level the crop.
    angle = estimate_tilt(face) if settings.level or face.detector == HAND else 0.0
    if angle:
        box = _rotate_box(box, face.box, angle)
    return Region(box, angle)


def estimate_tilt(face: Face) -> float:
    """Return the clockwise rotation of a face in degrees; 0 if unknown."""
    marks = {mark.name: mark for mark in face.landmarks}
    left = marks.get("left_eye")
    right = marks.get("right_eye")
    if not left or not right:
        return 0.0

    # The left eye is the character's: it is on the right in the image.
    angle = math.degrees(math.atan2(left.y - right.y, left.x - right.x))
    is_exact = face.detector == HAND
    if is_exact or MIN_TILT_DEGREES <= abs(angle) <= MAX_TILT_DEGREES:
        return round(angle, 1)
    return 0.0


def clip_box(box: Box, width: int, height: int) -> Box | None:
    """Return the part of a box inside an image, if any."""
    clipped = _clip_edges(box, width, height)
    return clipped if clipped.width > 0 and clipped.height > 0 else None


def expand_box_within(box: Box, margin: float, width: int, height: int) -> Box:
    """Return the box grown by `margin` and clamped to the image."""
    return _clamp_box(expand_box(box, margin), width, height)


def expand_box(box: Box, margin: float) -> Box:
    """Return the box grown on each side by `margin` times its size."""
    across = round(box.width * margin)
    down = round(box.height * margin)
    width = box.width + 2 * across
    height = box.height + 2 * down
    return Box(box.x - across, box.y - down, width, height)


def _clamp_box(box: Box, width: int, height: int) -> Box:
    """Return the part of a box inside an image, of at least one pixel."""
    part = _clip_edges(box, width, height)
    return Box(
        part.x,
        part.y,
        max(1, part.width),
        max(1, part.height),
    )


def _clip_edges(box: Box, width: int, height: int) -> Box:
    """Return a box with its edges inside an image: its sides are negative if it is outside."""
    left = max(box.x, 0)
    top = max(box.y, 0)
    right = min(box.x + box.width, width)
    bottom = min(box.y + box.height, height)
    return Box(left, top, right - left, bottom - top)


def _fit_square(box: Box, face: Box, width: int, height: int) -> Box:
    """Shrink and move a square into the image, but never to less than the face."""
    side = min(box.width, max(min(width, height), face.width, face.height))
    shrink = (box.width - side) // 2
    x = _shift_inside(box.x + shrink, side, width)
    y = _shift_inside(box.y + shrink, side, height)
    return Box(x, y, side, side)


def _shift_inside(start: int, side: int, length: int) -> int:
    """Return the start of a side within an image's, centered if it is longer."""
    if side > length:
        return (length - side) // 2
    return min(max(start, 0), length - side)


def _rotate_box(box: Box, face: Box, angle: float) -> Box:
    """Move the box so that its rotation is about the face's center."""
    face_x = face.x + face.width / 2
    face_y = face.y + face.height / 2
    # From the center of the face to that of the box.
    across = box.x + box.width / 2 - face_x
    down = box.y + box.height / 2 - face_y

    cos = math.cos(math.radians(angle))
    sin = math.sin(math.radians(angle))
    center_x = face_x + across * cos - down * sin
    center_y = face_y + across * sin + down * cos
    left = round(center_x - box.width / 2)
    top = round(center_y - box.height / 2)
    return Box(left, top, box.width, box.height)


def crop_region(
    pixels: Image.Image | Pixels, box: Box, angle: float = 0.0
) -> Image.Image:
    """Return the region of an upright image, rotated upright."""
    if not angle:
        return _crop_padded(pixels, box)

    # A larger part, which contains the rotated box: its corners reach half the diagonal.
    diagonal = math.hypot(box.width, box.height)
    x = math.ceil((diagonal - box.width) / 2) + 1
    y = math.ceil((diagonal - box.height) / 2) + 1
    larger_box = Box(
        box.x - x,
        box.y - y,
        box.width + 2 * x,
        box.height + 2 * y,
    )
    # Pillow rotates counterclockwise, which undoes the clockwise rotation of the region.
    upright = _crop_padded(pixels, larger_box).rotate(angle, Image.Resampling.BICUBIC)
    return upright.crop((x, y, x + box.width, y + box.height))


def _crop_padded(pixels: Image.Image | Pixels, box: Box) -> Image.Image:
    size = pixels.size if isinstance(pixels, Image.Image) else pixels.shape[1::-1]
    inside = _clamp_box(box, *size)
    right = inside.x + inside.width
    bottom = inside.y + inside.height
    if isinstance(pixels, Image.Image):
        part = pixels.crop((inside.x, inside.y, right, bottom))
    else:
        rows = pixels[inside.y : bottom, inside.x : right]
        part = Image.fromarray(np.ascontiguousarray(rows))
    if inside == box:
        return part

    # Pixels to add before and after, for each axis: rows, columns, channels.
    array = np.asarray(part)
    top = inside.y - box.y
    left = inside.x - box.x
    padding = [
        (top, box.height - inside.height - top),
        (left, box.width - inside.width - left),
        (0, 0),
    ]
    return Image.fromarray(np.pad(array, padding[: array.ndim], mode="edge"))


def encode_jpeg(pixels: Image.Image) -> bytes:
    """Encode RGB pixels as JPEG without metadata and chroma subsampling."""
    # Pillow copies the comment of a JPEG to images derived from it.
    pixels = pixels.copy()
    pixels.info = {}

    buffer = io.BytesIO()
    pixels.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


class FaceCropper(NamedTuple):
    """Crops faces by `settings` and writes them to `crops`. Picklable, for workers."""

    settings: CropGeometry
    crops: Store

    def crop(self, sha256: str, pixels: Pixels, face: Face) -> FaceCrop:
        """Write and return the crop of a face. Raises as `write_atomic`."""
        height, width = pixels.shape[:2]
        region = compute_region(face, self.settings, width, height)
        key = make_sample_key(sha256, face.box)
        phash, sharpness = compute_phash_and_sharpness(self.write(key, pixels, region))
        return FaceCrop(
            face,
            key,
            region.box,
            phash,
            sharpness,
            region.angle,
        )

    def is_too_small(self, face: Face) -> bool:
        """Return whether a face is below the minimum size for a crop."""
        return min(face.box.width, face.box.height) < self.settings.min_size

    def write(self, key: str, pixels: Pixels, region: Region) -> Image.Image:
        """Write a region as a sample's crop and return its pixels."""
        height, width = pixels.shape[:2]
        crop = crop_region(pixels, region.box, region.angle)
        if region == Region(Box(0, 0, width, height)):
            # The original is the crop; an older file with a smaller margin would hide it.
            self.crops.path(key, "JPEG").unlink(missing_ok=True)
        else:
            self.crops.overwrite(key, encode_jpeg(crop))
        return crop
