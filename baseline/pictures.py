"""Pictures in whatever form they come as the pixels a model takes; torch is not needed for it."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from baseline.pixels import Pixels, resized
from gleanset.errors import Unreadable
from gleanset.images.decode import decode

Picture: TypeAlias = str | Path | bytes | Image.Image | npt.NDArray[np.uint8]
"""A path, the bytes of a file, an image of Pillow, or uint8 pixels H x W x 3 (RGB) or H x W."""


def squeezed(image: Image.Image, size: int) -> Pixels:
    """An upright RGB image as size x size x 3; its proportions are given up, as in training."""
    return np.asarray(resized(image, size), dtype=np.uint8)


def as_image(picture: Picture) -> Image.Image:
    """The picture upright, RGB, transparency on white. Raises `Unreadable`."""
    if isinstance(picture, Image.Image):
        return _flat(ImageOps.exif_transpose(picture))
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    return decode(picture if isinstance(picture, bytes) else read_bytes(Path(picture))).pixels


def read_bytes(path: Path) -> bytes:
    """The bytes of an ordinary file. Raises `Unreadable`."""
    try:
        if not path.is_file():
            reason = "not a file" if path.exists() else "file is gone"
            raise Unreadable(reason, str(path))
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise Unreadable("cannot be read", str(error)) from error


def _flat(image: Image.Image) -> Image.Image:
    try:
        if "A" not in image.getbands() and "transparency" not in image.info:
            return image.convert("RGB")
        layer = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer).convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise Unreadable("damaged", str(error)) from error


def _from_array(pixels: npt.NDArray[np.uint8]) -> Image.Image:
    colour = pixels.ndim == 3 and pixels.shape[2] == 3
    if pixels.dtype != np.uint8 or not (colour or pixels.ndim == 2) or not pixels.size:
        raise Unreadable(
            "not an image", f"{pixels.dtype} {pixels.shape}; uint8 H x W x 3 (RGB) or H x W wanted"
        )
    return Image.fromarray(np.ascontiguousarray(pixels)).convert("RGB")
