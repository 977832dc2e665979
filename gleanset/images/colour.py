"""Colours of pictures whose file says what it means by its numbers: ICC profiles, made sRGB.

Phones and cameras save Display P3 or Adobe RGB. Shown as if they were sRGB such pictures are
pale, and a net would learn the camera.
"""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image, ImageCms

# Profiles of printers have half a megabyte and more; pictures have no use for larger ones.
MOST_BYTES = 5_000_000
_SPACES = {"RGB": "RGB", "CMYK": "CMYK", "L": "GRAY"}


def as_srgb(image: Image.Image) -> Image.Image:
    """Return the picture in sRGB, with its transparency where it has any.

    Itself where it has no profile, one of sRGB, or one that is broken or of another kind of
    picture: a profile never costs us the picture.
    """
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
    made = ImageCms.applyTransform(image, transform)
    assert made is not None, "it is not done in place"
    # Pillow would write sRGB's own profile into every file that is saved from it.
    made.info.pop("icc_profile", None)
    return made


@lru_cache(maxsize=16)
def _to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        if "sRGB" in ImageCms.getProfileDescription(source):
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, AttributeError):
        return None
