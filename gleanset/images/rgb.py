"""Pixels of every mode as RGB, and colours with an ICC profile as sRGB.

Deep values are scaled to 8 bits, transparency is laid on a ground. Phones and cameras save Display
P3 or Adobe RGB: shown as if they were sRGB such images are pale, and a net would learn the
camera.
"""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from PIL import ImageCms

WHITE, GREY = (255, 255, 255), (128, 128, 128)
Ground = tuple[int, int, int]
# A drawing shows on white where so much of it differs so far from white.
_MIN_CONTRAST, _MIN_SHARE = 32, 0.05
_SAMPLE_SIDE = 128
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_SIGNED = 2


def with_true_alpha(image: Image.Image, coded: str) -> Image.Image:
    """Return a loaded image with the transparency that its file means.

    `coded` is how the pixels of a PNG were coded (Pillow's raw mode): its transparent colour has
    their depth. Many programs leave alpha 0 everywhere in a BMP, and mean an opaque image.
    """
    transparent = image.info.get("transparency")
    if image.format == "BMP" and image.mode == "RGBA":
        return image if image.getchannel("A").getextrema()[1] else image.convert("RGB")
    if isinstance(transparent, int) and coded in ("L;2", "L;4"):
        image.info["transparency"] = transparent * (85 if coded == "L;2" else 17)
    elif isinstance(transparent, tuple) and ";16" in coded:
        image.info["transparency"] = tuple(value >> 8 for value in transparent)
    return image


def as_rgb(image: Image.Image, *, negative: bool = False) -> Image.Image:
    """Return an image of any mode as RGB; the deep values of a `negative` one are 0 for white."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = _scaled_to_8_bit(image, negative=negative)
        transparent = image.info.get("transparency")
        if not isinstance(transparent, int):
            return grey.convert("RGB")
        import numpy as np

        alpha = Image.fromarray(((np.asarray(image) != transparent) * 255).astype(np.uint8))
        return on_ground(Image.merge("RGBA", (grey, grey, grey, alpha)))
    if image.mode in _WITH_ALPHA or "transparency" in image.info:
        return on_ground(image.convert("RGBA"))
    return image.convert("RGB")


def on_ground(layer: Image.Image, ground: Ground | None = None) -> Image.Image:
    """Return RGBA laid on a ground, by default on the one on which it shows."""
    below = Image.new("RGBA", layer.size, ground or ground_of(layer) or WHITE)
    return Image.alpha_composite(below, layer).convert("RGB")


def ground_of(layer: Image.Image) -> Ground | None:
    """Return white, or grey for a drawing (RGBA) of hardly anything but white; None for nothing."""
    import numpy as np

    size = (min(layer.width, _SAMPLE_SIDE), min(layer.height, _SAMPLE_SIDE))
    values = np.asarray(layer.resize(size, Image.Resampling.BOX))
    alpha = values[..., 3].astype(np.float64)
    if not alpha.any():
        return None
    contrast = 255 - values[..., :3].min(axis=2)
    shows = float(alpha[contrast > _MIN_CONTRAST].sum()) >= _MIN_SHARE * float(alpha.sum())
    return WHITE if shows else GREY


def positive_tiff(data: bytes) -> tuple[bytes, bool]:
    """Return a deep TIFF with 0 as black, and whether 0 was white, which Pillow may not read."""
    if data[:4] not in (b"II*\0", b"MM\0*") or len(data) < 10:
        return data, False
    order = "<" if data[:2] == b"II" else ">"
    (begin,) = struct.unpack_from(f"{order}I", data, 4)
    places: dict[int, int] = {}
    if begin + 2 <= len(data):
        (number,) = struct.unpack_from(f"{order}H", data, begin)
        for entry in range(begin + 2, min(begin + 2 + 12 * number, len(data) - 11), 12):
            places.setdefault(struct.unpack_from(f"{order}H", data, entry)[0], entry + 8)
    values = [
        struct.unpack_from(f"{order}H", data, places[tag])[0] if tag in places else 1
        for tag in (_PHOTOMETRIC, _BITS)
    ]
    if values[0] != 0 or values[1] <= 8:
        return data, False
    changed = bytearray(data)
    struct.pack_into(f"{order}H", changed, places[_PHOTOMETRIC], 1)
    return bytes(changed), True


def _scaled_to_8_bit(image: Image.Image, *, negative: bool) -> Image.Image:
    # Few images are so deep, and a window shows its first one sooner without numpy.
    import numpy as np

    tags: Any = getattr(image, "tag_v2", {})
    bits, signed = tags.get(_BITS, (16,))[0], tags.get(_SAMPLE_FORMAT, (1,))[0] == _SIGNED
    values = np.asarray(image)
    most = 65535.0
    if image.mode == "F":
        # In 64 bits, where the span of two 32-bit numbers has room.
        finite = np.nan_to_num(values.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
        span = float(np.ptp(finite)) or 1.0
        values = (finite - finite.min()) / span * most
    elif bits == 32 and image.mode == "I" and not signed:
        values = values.view(np.uint32)
        most = most if values.max() <= most else 2.0**32 - 1
    elif signed and values.min() < 0:
        values = values.astype(np.float64) + 2.0 ** (bits - 1)
        most = 2.0**bits - 1
    elif bits < 16:
        most = 2.0**bits - 1
    grey = (np.clip(values, 0, most) / (most / 255)).round().astype(np.uint8)
    return Image.fromarray(255 - grey if negative else grey)


# Profiles of printers have half a megabyte and more; pictures have no use for larger ones.
MOST_BYTES = 5_000_000
_SPACES = {"RGB": "RGB", "CMYK": "CMYK", "L": "GRAY"}


def as_srgb(image: Image.Image) -> Image.Image:
    """Return an image in sRGB; unchanged with a broken profile, which must not cost the image."""
    profile = image.info.get("icc_profile")
    if not isinstance(profile, bytes) or not 0 < len(profile) <= MOST_BYTES:
        return image
    if image.mode in _SPACES and "transparency" not in image.info:
        transform = _to_srgb(profile, image.mode)
        return _applied(transform, image) if transform else image
    if image.mode not in ("P", "PA", "RGB", "RGBA") or not (transform := _to_srgb(profile, "RGB")):
        return image
    layer = image.convert("RGBA")
    made = _applied(transform, layer.convert("RGB"))
    made.putalpha(layer.getchannel("A"))
    return made


def _applied(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    made = ImageCms.applyTransform(image, transform)
    assert made is not None, "it is not done in place"
    # Pillow would write sRGB's own profile into every file that is saved from it.
    made.info.pop("icc_profile", None)
    return made


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    from PIL import ImageCms  # most harvests see no colour profile

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None
