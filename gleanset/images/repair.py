"""Repair of intact images that Pillow refuses: PNG with long metadata, JPEG without end marker.

Browsers and ffmpeg show such files.
"""

import io
import zlib
from contextlib import suppress

from PIL import Image

from gleanset.errors import Unreadable
from gleanset.images.embedded_metadata import (
    PNG_PIXEL_CHUNKS,
    detect_kind,
    iter_jpeg_segments,
    iter_png_chunks,
)

_PNG_KEPT_CHUNKS = PNG_PIXEL_CHUNKS - {b"iCCP"} | {b"eXIf"}
_END_OF_IMAGE = b"\xff\xd9"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
# Arbitrary coded data, with every restart marker that a decoder may wait for.
_CODED_BYTES = bytes((149 * number + 7) % 255 for number in range(1024))
_MORE_DATA = _CODED_BYTES + b"".join(bytes((0xFF, 0xD0 + n)) + _CODED_BYTES for n in range(8))


def repair_image(data: bytes, max_pixels: int) -> bytes | None:
    """Return a PNG without texts and profile, or a JPEG with its missing end marker.

    None for other formats, or if pixels of a JPEG are missing. To check that, it is decoded if it
    has at most `max_pixels`.
    """
    match detect_kind(data):
        case "PNG":
            return _strip_png_texts(data)
        case "JPEG":
            return _add_end_marker(data, max_pixels)
    return None


def _strip_png_texts(data: bytes) -> bytes:
    chunks = [data[:8]]
    with suppress(Unreadable):  # truncated chunk
        chunks.extend(
            data[part.begin : part.end]
            for part in iter_png_chunks(data)
            if part.kind in _PNG_KEPT_CHUNKS
        )
    return b"".join(chunks)


def _add_end_marker(data: bytes, max_pixels: int) -> bytes | None:
    segments = [data[:2]]
    header = b""
    scans: list[bytes] = []
    with suppress(Unreadable):  # truncated segment
        for part in iter_jpeg_segments(data):
            segment, marker = data[part.begin : part.end], part.kind[0]
            if marker == _END_OF_IMAGE[1]:
                return None
            if marker in _FRAME_HEADERS:
                header = segment
            elif marker == _SCAN:
                scans.append(segment)
            segments.append(segment)
    body = b"".join(segments).rstrip(b"\xff")
    is_complete = _has_all_scans(header, scans) and _has_all_pixels(body, max_pixels)
    return body + _END_OF_IMAGE if is_complete else None


def _has_all_scans(header: bytes, scans: list[bytes]) -> bool:
    """Return whether the scans contain all coefficients in full precision.

    Decoders show a progressive JPEG that lacks some scans (ITU-T T.81, B.2.2 and B.2.3).
    """
    missing = {(number, at) for number in header[10::3] for at in range(64)}
    for scan in scans:
        count = scan[4] if len(scan) > 4 else 0
        if len(scan) < 8 + 2 * count:
            return False
        first, last, precision = scan[5 + 2 * count : 8 + 2 * count]
        if precision & 15 == 0:
            numbers = scan[5 : 5 + 2 * count : 2]
            missing -= {(number, at) for number in numbers for at in range(first, last + 1)}
    return bool(header and scans) and not missing


def _has_all_pixels(data: bytes, max_pixels: int) -> bool:
    """Return whether a JPEG is complete: more data, whatever it is, changes no pixel."""
    checks = set()
    for extra in (b"", _MORE_DATA, b"\xd5" + _MORE_DATA):
        try:
            with Image.open(io.BytesIO(data + extra + _END_OF_IMAGE), formats=("JPEG",)) as image:
                if image.width * image.height > max_pixels:
                    return False
                checks.add(zlib.crc32(image.tobytes()))
        except Exception:  # Pillow plugins raise any exception
            return False
    return len(checks) == 1
