"""Safe decoding of untrusted bytes to upright RGB pixels.

The format is detected from the content, never the name, and must be one of `FORMATS`, or HEIC if
its plugin is installed. The size is checked before any pixel is decoded. EXIF orientation is
applied to the pixels, never to the stored bytes. Animated files yield their first frame and the
number of frames. Colors with an embedded profile are converted to sRGB, unless gray is requested
(`gleanset.images.rgb`). Transparency is composited on white, or on gray for white drawings; 16-bit
values are scaled; CMYK and palettes are converted. Files that lack only an end marker, or have too
long metadata, are repaired first (`gleanset.images.repair`).
"""

import io
import math
import struct
import warnings
import zlib
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Literal, NamedTuple

from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from gleanset import own_process
from gleanset.errors import Unreadable
from gleanset.images.embedded_metadata import iter_png_chunks
from gleanset.images.plugin_formats import (
    CAMERA_RAW,
    HEIF,
    UNUSUAL_TIFF,
    check_tiff,
    detect_heic,
    guess_kind,
    is_camera_raw,
)
from gleanset.images.repair import iter_repairs
from gleanset.images.rgb import (
    convert_to_rgb,
    convert_to_srgb,
    drop_unused_alpha,
)

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF")
_PLUGINS = {"WEBP": "WebP"}
MAX_PIXELS = 100_000_000
# Phones take photos of 200 megapixels, and a JPEG is measured at an eighth of its size.
MAX_JPEG_PIXELS = 250_000_000
MAX_BYTES = 100_000_000
MAX_FRAMES = 10_000
_HEADER_BYTES = 65_536
_INFLATE_STEP_BYTES = 1_000_000
# `Unreadable.reason` of files that browsers may show: only metadata or their end is damaged.
_REPAIRABLE_REASONS = ("damaged", "truncated", "too large")

Mode = Literal["RGB", "L"]
_OTHER_EXTENSIONS = ("jpg", "jpe", "jfif", "tif", "heic", "heif")
IMAGE_EXTENSIONS = tuple(f".{name.lower()}" for name in (*FORMATS, *_OTHER_EXTENSIONS))
"""File extensions of images, in lower case: only a first guess, the content decides."""

for _name in FORMATS:
    import_module(f"PIL.{_PLUGINS.get(_name, _name.title())}ImagePlugin")


def limit_pillow() -> None:
    """Set Pillow's process-wide limits; only for Gleanset's own programs and workers.

    They cover images nested in images, which the size check of `decode` does not see. A program
    that imports Gleanset as a library keeps its own limits and Pillow's warnings.
    """
    Image.MAX_IMAGE_PIXELS = MAX_JPEG_PIXELS
    warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


if own_process.owns_process:
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
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\xd0\xcf\x11\xe0", "OLE document"),
    (b"II*\0", UNUSUAL_TIFF),
    (b"MM\0*", UNUSUAL_TIFF),
)

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


class DecodedImage(NamedTuple):
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
    max_pixels: int = MAX_JPEG_PIXELS,
) -> DecodedImage:
    """Decode untrusted bytes. Raises only `Unreadable`.

    With `min_side`, a JPEG may be decoded at reduced size, with at least that many pixels on the
    longer side: several times faster, and enough to measure an image. With mode "L" the pixels are
    gray, and the colors of a JPEG are not decoded. Images with more than `max_pixels`, and others
    than JPEG with more than `MAX_PIXELS`, are refused before any pixel is decoded.
    """
    if not data:
        raise Unreadable("empty", "0 bytes")
    if len(data) > MAX_BYTES:
        raise Unreadable(
            "too large",
            f"{len(data)} bytes, at most {MAX_BYTES}",
        )
    try:
        return _decode_once(data, min_side, mode, max_pixels)
    except Unreadable as error:
        if error.reason not in _REPAIRABLE_REASONS:
            raise
        for candidate in iter_repairs(data, min(max_pixels, MAX_PIXELS)):
            with suppress(Unreadable):
                return _decode_once(candidate, min_side, mode, max_pixels)
        raise


def _decode_once(
    data: bytes, min_side: int | None, mode: Mode, max_pixels: int
) -> DecodedImage:
    formats = _possible_formats(data)
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if image.format not in ("JPEG", "MPO"):
                max_pixels = min(max_pixels, MAX_PIXELS)
            _check_size(*image.size, max_pixels)

            decoded = _decode_opened(image, data, min_side, mode)
            if decoded.format == "PNG":
                _check_rows(image, data)
            return decoded
    except UnidentifiedImageError as error:
        if formats == (HEIF,):
            raise Unreadable("damaged", "a broken HEIC") from error
        raise _explain_unidentified(data) from error
    except MemoryError as error:
        raise Unreadable("too large", "not enough memory to decode it") from error
    except Exception as error:  # Pillow's decoders raise any exception
        raise _translate_error(error) from error


def _check_rows(image: Image.Image, data: bytes) -> None:
    """Raise `Unreadable` for a PNG without all of its rows, which Pillow fills with 0."""
    width, height = image.size
    # Two, because the end of an interlaced image has every other row.
    last_rows = (
        image.crop((0, row, width, row + 1))
        for row in range(max(0, height - 2), height)
    )
    # Counting inflates the whole file again: only where one of the last two rows is 0.
    if any(row.getbbox() is None for row in last_rows) and _is_missing_rows(data):
        raise Unreadable("truncated", "rows are missing")


# Samples of a pixel by color type.
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Left, top, horizontal and vertical step of each interlace pass (PNG, 8.2).
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)


def _is_missing_rows(data: bytes) -> bool:
    """Return whether a PNG has less pixel data than its header announces."""
    missing_bytes = _count_png_bytes(data)
    inflate = zlib.decompressobj()
    with suppress(Unreadable, zlib.error):
        for part in iter_png_chunks(data):
            if part.kind != b"IDAT":
                continue

            # In steps: a hostile file of a few kilobytes may inflate to gigabytes.
            compressed = data[part.body_begin : part.body_end]
            while compressed and missing_bytes > 0:
                missing_bytes -= len(
                    inflate.decompress(compressed, _INFLATE_STEP_BYTES)
                )
                compressed = inflate.unconsumed_tail
    return missing_bytes > 0


def _count_png_bytes(data: bytes) -> int:
    """Return the size of the inflated pixels that the header of a PNG announces."""
    # After signature, length and type: width, height, bits, color type, compression, filter and
    # interlace method.
    width, height = struct.unpack_from(">II", data, 16)
    bits, color_type, is_interlaced = data[24], data[25], data[28]
    bits_per_pixel = bits * _PNG_CHANNELS[color_type]

    passes = _ADAM7 if is_interlaced else [(0, 0, 1, 1)]
    count = 0
    for left, top, across, down in passes:
        columns = math.ceil((width - left) / across)
        rows = math.ceil((height - top) / down)
        if columns > 0 and rows > 0:
            # Each row begins with a byte that names its filter.
            count += rows * (1 + math.ceil(columns * bits_per_pixel / 8))
    return count


def _possible_formats(data: bytes) -> tuple[str, ...]:
    """Return the possible formats. Raises `Unreadable` for RAW, or if the plugin is missing."""
    if is_camera_raw(data):
        raise Unreadable("unsupported format", CAMERA_RAW)
    return (HEIF,) if detect_heic(data) else FORMATS


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise Unreadable(
            "too large", f"{width} x {height} pixels, at most {max_pixels}"
        )


def read_image_size(source: Path | io.BytesIO) -> tuple[int, int]:
    """Return width and height as stored, decoding only images to repair.

    Raises only `Unreadable`.
    """
    try:
        with source.open("rb") if isinstance(source, Path) else source as file:
            head = file.read(_HEADER_BYTES)
            file.seek(0)
            try:
                with Image.open(file, formats=_possible_formats(head)) as image:
                    return image.size
            except Exception:
                # `decode` repairs some files that Pillow does not open.
                file.seek(0)
                decoded = decode(file.read(MAX_BYTES))
                size = decoded.width, decoded.height
                # It was decoded upright: turn it back if it was rotated by 90 degrees.
                return size if decoded.orientation < 5 else size[::-1]
    except Exception as error:  # Pillow's plugins raise any exception
        raise _translate_error(error) from error


def _decode_opened(
    image: ImageFile.ImageFile, data: bytes, min_side: int | None, mode: Mode
) -> DecodedImage:
    width, height = image.size
    # An MPO (multi-image) JPEG is one image with previews, not an animation.
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    if min_side and kind == "JPEG":
        scale = min(1.0, min_side / max(width, height))
        image.draft(
            mode,
            (math.ceil(width * scale), math.ceil(height * scale)),
        )

    if isinstance(image, TiffImageFile):
        check_tiff(image.tag_v2)

    # Pillow rotates a TIFF upright when loading and then removes the orientation tag.
    tiff_orientation = _read_orientation(image) if kind == "TIFF" else 1
    frames = _load_first_frame(image, kind)
    # Only after loading: reading the EXIF of a PNG loads it and would hide damaged data.
    orientation = _read_orientation(image)

    pixels = _convert(image, data, mode)
    if orientation in _UPRIGHT:
        pixels = pixels.transpose(_UPRIGHT[orientation])
    if orientation >= 5:  # rotated by 90 degrees
        width, height = height, width
    # One of the two orientations is 1.
    return DecodedImage(
        pixels, kind, width, height, frames, max(orientation, tiff_orientation)
    )


def _load_first_frame(image: ImageFile.ImageFile, kind: str) -> int:
    """Decode the first frame; return the number of frames."""
    frames = 1 if kind == "JPEG" else int(getattr(image, "n_frames", 1))
    if frames > MAX_FRAMES:
        raise Unreadable("too large", f"{frames} frames, at most {MAX_FRAMES}")
    if getattr(image, "default_image", False):
        # Of an animated PNG: for viewers that show no animation, and not part of it.
        image.seek(1)
        frames -= 1
    image.load()
    return frames


def _convert(image: ImageFile.ImageFile, data: bytes, mode: Mode) -> Image.Image:
    pixels = drop_unused_alpha(image)
    # Not with a separate default image: the frame that was decoded is another one.
    if image.format == "PNG" and not getattr(image, "default_image", False):
        pixels = _apply_transparent_color(pixels, data)
    if mode == "RGB" and "icc_profile" in pixels.info:
        pixels = convert_to_srgb(pixels)

    is_opaque_gray = pixels.mode == "L" and "transparency" not in pixels.info
    if mode == "L" and is_opaque_gray:
        return pixels
    rgb = convert_to_rgb(pixels)
    return rgb if mode == "RGB" else rgb.convert(mode)


def _apply_transparent_color(image: Image.Image, data: bytes) -> Image.Image:
    """Return a loaded PNG whose transparent color (tRNS) is alpha, or fits its 8-bit samples.

    Pillow scales samples to 8 bits and leaves the color as it is in the file, so that none or
    another one would become transparent (PNG, third edition, 11.3.2.1).
    """
    key = image.info.get("transparency")
    # The bit depth in the header (IHDR).
    bits = data[24]
    if key is None:
        return image

    if bits == 16:
        del image.info["transparency"]
        layer = convert_to_rgb(image)
        layer.putalpha(_find_opaque(data, key))
        return layer

    if image.mode == "L":
        levels = 2**bits - 1
        image.info["transparency"] = (key & levels) * 255 // levels
    # Palettes and 8-bit colors are right as they are.
    return image


def _find_opaque(data: bytes, key: object) -> Image.Image:
    """Return the alpha of a PNG of 16 bits: 0 where all bits are those of `key`, else 255."""
    import cv2  # few images are such
    import numpy as np

    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        raise Unreadable("damaged", "a broken PNG")
    # OpenCV turns a transparent color into alpha, but not a transparent gray.
    is_opaque = values != key if values.ndim == 2 else values[..., 3] > 0
    return Image.fromarray(np.asarray(is_opaque))


def _read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1..8; broken EXIF must not cost the image."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # damaged EXIF counts as not rotated
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _translate_error(error: Exception) -> Unreadable:
    if isinstance(error, Unreadable):
        return error
    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    if isinstance(error, bombs):
        # Without the end of Pillow's text: "…, could be decompression bomb DOS attack."
        return Unreadable(
            "too large",
            str(error).partition(", could")[0],
        )

    # Pillow raises the same types for all of these: only its texts differ.
    text = str(error).lower()
    if "too large" in text or "exceeds" in text:
        return Unreadable("too large", "it needs too much memory")
    if "truncated" in text or "broken data stream" in text:
        return Unreadable("truncated", "some of its data is missing or broken")
    return Unreadable("damaged", "it begins like an image, but its data is broken")


def _explain_unidentified(data: bytes) -> Unreadable:
    head = data[:256]
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        return Unreadable("not an image", "HTML or XML")
    for magic, name in _UNSUPPORTED_MAGICS:
        if head.startswith(magic):
            return Unreadable("unsupported format", name)

    match guess_kind(head):
        case "image":
            return Unreadable(
                "damaged", "it begins like an image, but its header is broken"
            )
        case "video":
            return Unreadable("not an image", "a video: use harvest frames")
    # In quotes, without the b of bytes.
    return Unreadable(
        "not an image",
        f"begins with {repr(head[:12])[1:]}",
    )
