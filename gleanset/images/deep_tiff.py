"""TIFF with samples that Pillow misreads: 10, 12, 14 bits, 64-bit and colored floats, signed."""

import io

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from gleanset.errors import Unreadable
from gleanset.images.rgb import (
    BITS,
    PHOTOMETRIC,
    SAMPLE_FORMAT,
    WHITE_IS_ZERO,
    find_camera_white,
    scale_values,
)

_MAGICS = (b"II*\0", b"MM\0*")
_WIDTH, _HEIGHT, _PLANES = 256, 257, 284
_SIGNED, _FLOAT = 2, 3
_SEPARATE = 2
_READABLE_BITS = {"integer": (8, 10, 12, 14, 16), "float": (32, 64)}


def read_deep_tags(data: bytes) -> ImageFileDirectory_v2 | None:
    """Return the tags of a TIFF with samples of more than 8 bits; None for other files."""
    if not data.startswith(_MAGICS):
        return None
    tags = ImageFileDirectory_v2(data[:8])
    file = io.BytesIO(data)
    file.seek(tags.next)
    tags.load(file)

    is_deep = max(tags.get(BITS, (1,))) > 8 or is_misread(tags)
    return tags if is_deep and all(get_size(tags)) else None


def get_size(tags: ImageFileDirectory_v2) -> tuple[int, int]:
    """Return width and height, 0 where they are missing."""
    return int(tags.get(_WIDTH, 0)), int(tags.get(_HEIGHT, 0))


def is_misread(tags: ImageFileDirectory_v2) -> bool:
    """Return whether Pillow opens an image, but returns wrong or black pixels."""
    bits = tags.get(BITS, (1,))
    is_signed = _SIGNED in tags.get(SAMPLE_FORMAT, ())
    return (max(bits) == 8 and is_signed) or (
        len(bits) > 1 and bool(find_camera_white(tags))
    )


def check_planes(tags: ImageFileDirectory_v2) -> None:
    """Raise `Unreadable` for deep colors in planes: Pillow and OpenCV return wrong pixels."""
    if max(tags.get(BITS, (1,))) > 8 and tags.get(_PLANES) == _SEPARATE:
        raise Unreadable(
            "unsupported format", f"TIFF of {max(tags[BITS])}-bit samples in planes"
        )


def open_deep_tiff(data: bytes, tags: ImageFileDirectory_v2) -> Image.Image:
    """Decode to 8 bits, gray or RGB, not upright. Raises `Unreadable` for other bit depths."""
    import cv2  # few images are such
    import numpy as np

    check_planes(tags)
    bits = max(tags[BITS])
    is_float = _FLOAT in tags.get(SAMPLE_FORMAT, ())
    if bits not in _READABLE_BITS["float" if is_float else "integer"]:
        kind = "floating-point " if is_float else ""
        raise Unreadable("unsupported format", f"TIFF of {bits}-bit {kind}samples")

    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise Unreadable("damaged", "a broken TIFF")

    high = None
    if values.dtype == np.uint8:
        # Gray with alpha, which OpenCV reduces to gray of 8 bits.
        high = 255
    elif values.dtype == np.uint16:
        # OpenCV shifts samples to 16 bits.
        high = find_camera_white(tags) or (2**bits - 1) << (16 - bits)

    image = scale_values(values, high, invert=tags.get(PHOTOMETRIC) == WHITE_IS_ZERO)
    if image.ndim == 3:
        image = image[..., 2::-1]  # OpenCV reads BGR, and alpha last
    return Image.fromarray(np.ascontiguousarray(image))
