"""Conversion of every pixel mode to RGB, and of colors with an ICC profile to sRGB.

Values of more than 8 bits are scaled, transparency is composited on a background. Phones and
cameras save Display P3 or Adobe RGB: read as sRGB such images are pale, and a network would learn
the camera.
"""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from PIL import ImageCms

WHITE, GRAY = (255, 255, 255), (128, 128, 128)
Color = tuple[int, int, int]
# Minimum difference from white, and share of the opaque area, for a drawing to be visible on white.
_MIN_CONTRAST, _MIN_OPAQUE_SHARE = 32, 0.05
_SAMPLE_SIDE = 128
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_SIGNED = 2


def fix_transparency(image: Image.Image, raw_mode: str) -> Image.Image:
    """Return a loaded image with the transparency that its file intends.

    `raw_mode` is Pillow's raw mode of a PNG, whose transparent color has its bit depth. Many
    programs write alpha 0 everywhere in a BMP that is meant to be opaque.
    """
    transparent = image.info.get("transparency")
    if image.format == "BMP" and image.mode == "RGBA":
        return image if image.getchannel("A").getextrema()[1] else image.convert("RGB")
    if isinstance(transparent, int) and raw_mode in ("L;2", "L;4"):
        image.info["transparency"] = transparent * (85 if raw_mode == "L;2" else 17)
    elif isinstance(transparent, tuple) and ";16" in raw_mode:
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    return image


def convert_to_rgb(image: Image.Image, *, negative: bool = False) -> Image.Image:
    """Convert any mode to RGB; `negative` deep images have 0 as white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        gray = _scale_to_8_bit(image, negative=negative)
        transparent = image.info.get("transparency")
        if not isinstance(transparent, int):
            return gray.convert("RGB")
        import numpy as np

        alpha = Image.fromarray(((np.asarray(image) != transparent) * 255).astype(np.uint8))
        return composite_on_background(Image.merge("RGBA", (gray, gray, gray, alpha)))
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


def relabel_negative_tiff(data: bytes) -> tuple[bytes, bool]:
    """Relabel a deep TIFF to 0 as black; return whether it changed."""
    if data[:4] not in (b"II*\0", b"MM\0*") or len(data) < 10:
        return data, False
    order = "<" if data[:2] == b"II" else ">"
    (begin,) = struct.unpack_from(f"{order}I", data, 4)
    offsets: dict[int, int] = {}
    if begin + 2 <= len(data):
        (number,) = struct.unpack_from(f"{order}H", data, begin)
        for entry in range(begin + 2, min(begin + 2 + 12 * number, len(data) - 11), 12):
            offsets.setdefault(struct.unpack_from(f"{order}H", data, entry)[0], entry + 8)
    values = [
        struct.unpack_from(f"{order}H", data, offsets[tag])[0] if tag in offsets else 1
        for tag in (_PHOTOMETRIC, _BITS)
    ]
    if values[0] != 0 or values[1] <= 8:
        return data, False
    changed = bytearray(data)
    struct.pack_into(f"{order}H", changed, offsets[_PHOTOMETRIC], 1)
    return bytes(changed), True


def _scale_to_8_bit(image: Image.Image, *, negative: bool) -> Image.Image:
    # Few images have over 8 bits, and a window opens faster without numpy.
    import numpy as np

    tags: Any = getattr(image, "tag_v2", {})
    bits, signed = tags.get(_BITS, (16,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED
    values = np.asarray(image)
    maximum = 65535.0
    if image.mode == "F":
        # In 64 bits: the difference of two 32-bit floats may overflow.
        finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        span = float(np.ptp(finite)) or 1.0
        values = (finite - finite.min()) / span * maximum
    elif bits == 32 and image.mode == "I" and not signed:
        values = values.view(np.uint32)
        maximum = maximum if values.max() <= maximum else 2.0**32 - 1
    elif signed and values.min() < 0:
        values = values.astype(np.float64) + 2.0 ** (bits - 1)
        maximum = 2.0**bits - 1
    elif bits < 16:
        maximum = 2.0**bits - 1
    gray = (np.clip(values, 0, maximum) / (maximum / 255)).round().astype(np.uint8)
    return Image.fromarray(255 - gray if negative else gray)


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
