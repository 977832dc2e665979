"""Safe decoding of untrusted bytes to upright RGB pixels.

The format is detected from the content, never the name, and must be one of `FORMATS`, or HEIC or
JPEG XL if their plugins are installed. The size is checked before any pixel is decoded. EXIF
orientation is applied to the pixels, never to the stored bytes. Animated files yield their first
frame and the number of frames. Colors with an embedded profile are converted to sRGB, unless gray
is requested (`gleanset.images.rgb`). Transparency is composited on white, or on gray for white
drawings; 16-bit values are scaled; CMYK and palettes are converted. Files with damage outside the
pixel data are still decoded (`gleanset.images.repair`).
"""

from __future__ import annotations

import io
import math
import warnings
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from PIL import Image, ImageFile, UnidentifiedImageError

from gleanset import start
from gleanset.errors import Unreadable
from gleanset.images.embedded_metadata import detect_kind
from gleanset.images.plugin_formats import JXL, WITH_PLUGINS, detect_plugin_format, read_jxl_size
from gleanset.images.repair import is_missing_rows, iter_repaired
from gleanset.images.rgb import (
    convert_to_rgb,
    convert_to_srgb,
    fix_transparency,
    relabel_negative_tiff,
)

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
_PLUGINS = {"WEBP": "WebP"}
MAX_PIXELS = 100_000_000
MAX_BYTES = 100_000_000
MAX_FRAMES = 10_000
_HEADER_BYTES = 65_536

Mode = Literal["RGB", "L"]
_OTHER_EXTENSIONS = ("jpg", "jpe", "jfif", "tif", "heic", "heif", "jxl")
IMAGE_EXTENSIONS = tuple(f".{name.lower()}" for name in (*FORMATS, *_OTHER_EXTENSIONS))
"""File extensions of images, in lower case: only a first guess, the content decides."""

for _name in FORMATS:
    import_module(f"PIL.{_PLUGINS.get(_name, _name.title())}ImagePlugin")


def limit_pillow() -> None:
    """Set Pillow's process-wide limits; only for Gleanset's own programs and workers.

    They cover images nested in images, which the size check of `decode` does not see. A program
    that imports Gleanset as a library keeps its own limits and Pillow's warnings.
    """
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


if start.owns_process:
    limit_pillow()

_UNSUPPORTED_MAGICS = (
    (b"8BPS", "PSD"),
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x1f\x8b", "GZIP"),
    (b"<svg", "SVG"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"\xd7\xcd\xc6\x9a", "WMF"),
    (b"\x00\x00\x00\x0cjP", "JPEG 2000"),
    (b"\xd0\xcf\x11\xe0", "OLE document"),
)

_AVIF = (b"ftypavif", b"ftypavis")

# EXIF orientation to the transposition that makes the image upright (EXIF 2.3, tag 0x0112).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION_TAG = 0x0112


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """Upright `pixels`, RGB or gray; may be smaller than the full `width` and `height`."""

    pixels: Image.Image
    format: str
    width: int
    height: int
    frames: int
    orientation: int


def decode(
    data: bytes,
    min_side: int | None = None,
    mode: Mode = "RGB",
    max_pixels: int = MAX_PIXELS,
) -> DecodedImage:
    """Decode untrusted bytes. Raises only `Unreadable`.

    With `min_side`, a JPEG may be decoded at reduced size, with at least that many pixels on the
    longer side: several times faster, and enough to measure an image. With mode "L" the pixels are
    gray, and the colors of a JPEG are not decoded. Images with more than `max_pixels` are refused
    before any pixel is decoded.
    """
    if not data:
        raise Unreadable("empty", "0 bytes")
    if len(data) > MAX_BYTES:
        raise Unreadable("too large", f"{len(data)} bytes, at most {MAX_BYTES}")
    try:
        return _decode_once(data, min_side, mode, max_pixels)
    except Unreadable as refused:
        # Browsers show files whose metadata or end is damaged.
        if detect_kind(data) is not None and refused.reason in (
            "damaged",
            "truncated",
            "too large",
        ):
            for candidate in iter_repaired(data, min(max_pixels, MAX_PIXELS)):
                with suppress(Unreadable):
                    return _decode_once(candidate, min_side, mode, max_pixels)
        raise


def _decode_once(data: bytes, min_side: int | None, mode: Mode, max_pixels: int) -> DecodedImage:
    formats = _possible_formats(data, max_pixels)
    positive, negative = relabel_negative_tiff(data)
    try:
        with Image.open(io.BytesIO(positive), formats=formats) as image:
            _check_size(*image.size, min(max_pixels, MAX_PIXELS))
            decoded = _decode_opened(image, min_side, mode, negative=negative)
            if decoded.format == "PNG":
                _check_rows(image, data)
            return decoded
    except Unreadable:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unreadable("too large", str(error)) from error
    except UnidentifiedImageError as error:
        raise _explain_unidentified(data, formats) from error
    except MemoryError as error:
        raise Unreadable("too large", "not enough memory to decode it") from error
    except Exception as error:  # Pillow's decoders raise any exception
        raise Unreadable(_classify_error(str(error)), f"{type(error).__name__}: {error}") from error


def _check_rows(image: Image.Image, data: bytes) -> None:
    # Pillow fills missing rows with 0: rows are only counted if one of the last two is 0.
    width, height = image.size
    rows = (image.crop((0, row, width, row + 1)) for row in range(max(0, height - 2), height))
    if any(row.getbbox() is None for row in rows) and is_missing_rows(data):
        raise Unreadable("truncated", "rows are missing")


def _possible_formats(data: bytes, max_pixels: int = MAX_PIXELS) -> tuple[str, ...]:
    """Return the possible formats. Raises `Unreadable` if the plugin is missing."""
    if (kind := detect_plugin_format(data)) is None:
        return FORMATS
    if kind == JXL:  # its plugin decodes on opening: check the size first
        width, height = read_jxl_size(data)
        _check_size(width, height, min(max_pixels, MAX_PIXELS))
    return (kind,)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise Unreadable("too large", f"{width} x {height} pixels, at most {max_pixels}")


def read_image_size(source: Path | io.BytesIO) -> tuple[int, int]:
    """Return width and height from the header, without decoding. Raises only `Unreadable`."""
    try:
        with source.open("rb") if isinstance(source, Path) else source as file:
            head = file.read(_HEADER_BYTES)
            file.seek(0)
            if (formats := _possible_formats(head)) == (JXL,):
                return read_jxl_size(head)
            try:
                with Image.open(file, formats=formats) as image:
                    return image.size
            except Exception:
                file.seek(0)
                for candidate in iter_repaired(file.read(MAX_BYTES), MAX_PIXELS):
                    with suppress(Exception), Image.open(io.BytesIO(candidate)) as image:
                        return image.size
                raise
    except Unreadable:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Unreadable("too large", str(error)) from error
    except Exception as error:
        raise Unreadable(_classify_error(str(error)), f"{type(error).__name__}: {error}") from error


def _decode_opened(
    image: ImageFile.ImageFile, min_side: int | None, mode: Mode, *, negative: bool
) -> DecodedImage:
    width, height = image.size
    # An MPO (multi-image) JPEG is one image with previews, not an animation.
    previews = image.format == "MPO"
    kind = "JPEG" if previews else str(image.format)
    frames = 1 if previews else int(getattr(image, "n_frames", 1))
    if frames > MAX_FRAMES:
        raise Unreadable("too large", f"{frames} frames, at most {MAX_FRAMES}")
    if min_side and kind == "JPEG":
        part = min(1.0, min_side / max(width, height))
        image.draft(mode, (math.ceil(width * part), math.ceil(height * part)))
    # Pillow rotates a TIFF upright when loading and then removes the orientation tag.
    tiff_orientation = _orientation(image) if kind == "TIFF" else 1
    raw_mode = str(image.tile[0].args) if kind == "PNG" and image.tile else ""
    image.load()
    # Only after load(): reading the EXIF of a PNG loads it and would hide damaged data.
    orientation = _orientation(image)
    loaded = fix_transparency(image, raw_mode)
    if mode == "RGB" and "icc_profile" in loaded.info:
        loaded = convert_to_srgb(loaded)
    is_gray = loaded.mode == mode == "L" and "transparency" not in loaded.info
    pixels = loaded if is_gray else convert_to_rgb(loaded, negative=negative)
    if pixels.mode != mode:
        pixels = pixels.convert(mode)
    if orientation in _UPRIGHT:
        pixels = pixels.transpose(_UPRIGHT[orientation])
    if orientation >= 5:
        width, height = height, width
    return DecodedImage(pixels, kind, width, height, frames, max(orientation, tiff_orientation))


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1..8; broken EXIF must not cost the image."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # damaged EXIF counts as not rotated
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _classify_error(text: str) -> str:
    lowered = text.lower()
    if "truncated" in lowered or "broken data stream" in lowered:
        return "truncated"
    return "too large" if "too large" in lowered or "exceeds" in lowered else "damaged"


def _explain_unidentified(data: bytes, formats: tuple[str, ...]) -> Unreadable:
    head = data[:256]
    if formats != FORMATS:
        return Unreadable("damaged", f"a broken {WITH_PLUGINS[formats[0]]}")
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return Unreadable("not an image", "HTML or XML")
    for magic, name in _UNSUPPORTED_MAGICS:
        if head.startswith(magic):
            return Unreadable("unsupported format", name)
    magics = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"II*\0", b"MM\0*")
    inside = (head[:4], head[8:12]) == (b"RIFF", b"WEBP") or head[4:12] in _AVIF
    if inside or head.startswith(magics):
        return Unreadable("damaged", "it begins like an image, but its header is broken")
    if head[4:8] == b"ftyp" or head.startswith(b"\x1aE\xdf\xa3") or head[8:12] == b"AVI ":
        return Unreadable("not an image", "a video: use harvest frames")
    return Unreadable("not an image", f"begins with {head[:12]!r}")
