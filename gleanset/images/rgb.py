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

WHITE = (255, 255, 255)
GRAY = (128, 128, 128)
Color = tuple[int, int, int]
# Minimum difference from white, and share of the opaque area, for a drawing to be visible on white.
_MIN_CONTRAST = 32
_MIN_OPAQUE_SHARE = 0.05
_SAMPLE_SIDE = 128
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")


def drop_unused_alpha(image: Image.Image) -> Image.Image:
    """Return an image without the alpha of a BMP that is 0 everywhere.

    Many programs write such a BMP, which is meant to be opaque.
    """
    if image.format != "BMP" or image.mode != "RGBA":
        return image
    _, highest_alpha = image.getchannel("A").getextrema()
    return image if highest_alpha else image.convert("RGB")


def convert_to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _scale_to_8_bit(image).convert("RGB")
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return composite_on_background(image.convert("RGBA"))
    return image.convert("RGB")


def composite_on_background(
    layer: Image.Image, ground: Color | None = None
) -> Image.Image:
    """Composite RGBA on a background, by default on the one from `choose_background`."""
    below = Image.new(
        "RGBA",
        layer.size,
        ground or choose_background(layer) or WHITE,
    )
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
    visible_area = alpha[contrast > _MIN_CONTRAST].sum()
    return WHITE if visible_area >= _MIN_OPAQUE_SHARE * alpha.sum() else GRAY


# Tags of a TIFF (TIFF 6.0).
_BITS = 258
_PHOTOMETRIC = 262
_SAMPLE_FORMAT = 339
_WHITE_IS_ZERO = 0
_UNSIGNED = 1
# Smaller maxima would make all of an image black, where 1.0 is white.
_MIN_WHITE = 1 / 255


def _scale_to_8_bit(image: Image.Image) -> Image.Image:
    """Scale gray values of more than 8 bits.

    By their bit depth up to 16 bits, floats from 0..1 if all are within it, all others by their own
    range.
    """
    # Few images have over 8 bits, and a window opens faster without numpy.
    import numpy as np

    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})
    if image.mode.startswith("I;16"):
        white = 2 ** min(max(tags.get(_BITS, (16,))), 16) - 1
        table = (np.arange(65536) * (255 / white)).clip(0, 255)
        scaled = table.round().astype(np.uint8)[values]
    else:
        if image.mode == "I" and _UNSIGNED in tags.get(_SAMPLE_FORMAT, (_UNSIGNED,)):
            values = values.view(np.uint32)  # Pillow reads them as signed
        # In 64 bits: the difference of two 32-bit floats may overflow.
        numbers = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
        low, peak = float(numbers.min()), float(numbers.max())
        if image.mode == "F" and low >= 0 and _MIN_WHITE <= peak <= 1:
            low = 0.0
            peak = 1.0
        value_range = (peak - low) or 1.0  # 0 in a uniform image
        scaled = ((numbers - low) * (255 / value_range)).round().astype(np.uint8)

    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        scaled = 255 - scaled
    return Image.fromarray(scaled)


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

    # Palettes and transparency: the colors alone are converted.
    if image.mode not in ("P", "PA", "RGB", "RGBA"):
        return image
    transform = _build_transform(profile, "RGB")
    if not transform:
        return image
    layer = image.convert("RGBA")
    converted = _apply_transform(transform, layer.convert("RGB"))
    converted.putalpha(layer.getchannel("A"))
    return converted


def _apply_transform(
    transform: ImageCms.ImageCmsTransform, image: Image.Image
) -> Image.Image:
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
        return ImageCms.buildTransform(
            source, ImageCms.createProfile("sRGB"), mode, "RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None
