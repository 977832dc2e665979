"""Conversion of every pixel mode to RGB, and of colors with an ICC profile to sRGB.

Values of more than 8 bits are scaled, transparency is composited on a background. Phones and
cameras save Display P3 or Adobe RGB: read as sRGB such images are pale, and a network would learn
the camera.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from PIL import ImageCms

WHITE, GRAY = (255, 255, 255), (128, 128, 128)
Color = tuple[int, int, int]
# Minimum difference from white, and share of the opaque area, for a drawing to be visible on white.
_MIN_CONTRAST, _MIN_OPAQUE_SHARE = 32, 0.05
_SAMPLE_SIDE = 128
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def drop_unused_alpha(image: Image.Image) -> Image.Image:
    """Return an image without the alpha of a BMP that is 0 everywhere.

    Many programs write such a BMP, which is meant to be opaque.
    """
    if image.format == "BMP" and image.mode == "RGBA" and not image.getchannel("A").getextrema()[1]:
        return image.convert("RGB")
    return image


def convert_to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _scale_to_8_bit(image).convert("RGB")
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return composite_on_background(image.convert("RGBA"))
    return image.convert("RGB")


def composite_on_background(layer: Image.Image, ground: Color | None = None) -> Image.Image:
    """Composite RGBA on a background, by default on the one from `choose_background`."""
    below = Image.new("RGBA", layer.size, ground or choose_background(layer) or WHITE)
    return Image.alpha_composite(below, layer).convert("RGB")


def choose_background(layer: Image.Image) -> Color | None:
    """Return white, gray for white drawings, None if fully transparent."""
    import numpy as np

    size = (min(layer.width, _SAMPLE_SIDE), min(layer.height, _SAMPLE_SIDE))
    values = np.asarray(layer.resize(size, Image.Resampling.BOX))
    alpha = values[..., 3].astype(np.float64)
    if not alpha.any():
        return None
    contrast = 255 - values[..., :3].min(axis=2)
    is_visible = float(alpha[contrast > _MIN_CONTRAST].sum()) >= _MIN_OPAQUE_SHARE * float(
        alpha.sum()
    )
    return WHITE if is_visible else GRAY


def _scale_to_8_bit(image: Image.Image) -> Image.Image:
    """Scale 16-bit values by their maximum, and others by the range of the image."""
    # Few images have over 8 bits, and a window opens faster without numpy.
    import numpy as np

    # In 64 bits: the difference of two 32-bit floats may overflow.
    values = np.nan_to_num(np.asarray(image).astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = 0.0, 65535.0
    if image.mode == "F" or values.min() < low or values.max() > high:
        low, high = float(values.min()), float(values.max())
    gray = ((values - low) * (255 / ((high - low) or 1.0))).round().astype(np.uint8)
    return Image.fromarray(gray)


# Printer profiles have half a megabyte and more; images do not need larger ones than this.
MAX_PROFILE_BYTES = 5_000_000
_SPACES = {"RGB": "RGB", "CMYK": "CMYK", "L": "GRAY"}


def convert_to_srgb(image: Image.Image) -> Image.Image:
    """Convert an image to sRGB, if its profile is usable."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 0 < len(profile) <= MAX_PROFILE_BYTES:
        return image
    if image.mode in _SPACES and "transparency" not in image.info:
        transform = _build_transform(profile, image.mode)
        return _apply_transform(transform, image) if transform else image
    if image.mode not in ("P", "PA", "RGB", "RGBA") or not (
        transform := _build_transform(profile, "RGB")
    ):
        return image
    layer = image.convert("RGBA")
    converted = _apply_transform(transform, layer.convert("RGB"))
    converted.putalpha(layer.getchannel("A"))
    return converted


def _apply_transform(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None, "applied in place"
    # Otherwise Pillow writes the sRGB profile into every file saved from this image.
    converted.info.pop("icc_profile", None)
    return converted


@lru_cache(maxsize=16)
def _build_transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    from PIL import ImageCms  # most harvests have no color profile

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None
