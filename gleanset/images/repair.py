"""Repair of image files whose pixels are intact but whose other parts are damaged.

Browsers and ffmpeg show such files: a text or profile that is too long, a wrong checksum outside
the pixel data, a segment that is too short, a missing last animation frame or end marker.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

from PIL import Image

from gleanset.errors import Unreadable
from gleanset.images.embedded_metadata import (
    FilePart,
    detect_kind,
    iter_jpeg_segments,
    iter_png_chunks,
    iter_webp_chunks,
    strip_jpeg_segment,
)

_PNG_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
_PNG_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_PNG_OTHERS = (b"tRNS", b"eXIf", b"iCCP")
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_MAX_PROFILE_BYTES = 1_000_000
_INFLATE_STEP_BYTES = 1_000_000
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
# Left, top, horizontal and vertical step of each interlace pass (PNG, 8.2).
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_WEBP_IMAGE = (b"VP8 ", b"VP8L", b"ANMF")
_WEBP_KEPT = (*_WEBP_IMAGE, b"VP8X", b"ALPH", b"ANIM", b"ICCP", b"EXIF")
_WEBP_EXIF, _WEBP_XMP = 0x08, 0x04
_END_OF_IMAGE = b"\xff\xd9"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
# Arbitrary coded data, with every restart marker that a decoder may wait for.
_CODED_BYTES = bytes((149 * number + 7) % 255 for number in range(1024))
_MORE_DATA = _CODED_BYTES + b"".join(bytes((0xFF, 0xD0 + n)) + _CODED_BYTES for n in range(8))


def iter_repaired(data: bytes, max_pixels: int) -> Iterator[bytes]:
    """Yield repaired versions of a file, the most complete first.

    Yields nothing for other formats, or if pixels are missing. To check that, a JPEG without an
    end marker is decoded if it has at most `max_pixels`.
    """
    kind = detect_kind(data)
    if kind == "PNG":
        yield _repair_png(data, (*_PNG_OTHERS, *_PNG_ANIMATION))
        yield _repair_png(data, _PNG_OTHERS)
        yield _repair_png(data, ())
    elif kind == "WEBP":
        yield from _repair_webp(data)
    elif kind == "JPEG":
        yield from _repair_jpeg(data, max_pixels)


def is_missing_rows(data: bytes) -> bool:
    """Return whether a PNG lacks rows, which Pillow accepts."""
    width, height = struct.unpack_from(">II", data, 16)
    bits, color, interlaced = data[24], data[25], data[28]
    missing = 0
    for left, top, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:
            missing += rows * (1 + -(-columns * bits * _CHANNELS[color] // 8))
    inflate = zlib.decompressobj()
    with suppress(Unreadable, zlib.error):
        for part in iter_png_chunks(data):
            packed = data[part.begin + 8 : part.end - 4] if part.kind == b"IDAT" else b""
            while packed and missing > 0:
                missing -= len(inflate.decompress(packed, _INFLATE_STEP_BYTES))
                packed = inflate.unconsumed_tail
    return missing > 0


def _repair_png(data: bytes, optional: tuple[bytes, ...]) -> bytes:
    chunks = [data[:8]]
    with suppress(Unreadable):  # truncated chunk
        for part in iter_png_chunks(data):
            chunk = data[part.begin : part.end]
            if part.kind in _PNG_CRITICAL or (part.kind in optional and _is_intact(part, chunk)):
                chunks.append(chunk)
    return b"".join([*chunks, _PNG_END])


def _is_intact(part: FilePart, chunk: bytes) -> bool:
    if zlib.crc32(chunk[4:-4]).to_bytes(4, "big") != chunk[-4:]:
        return False
    if part.kind != b"iCCP":
        return True
    inflate = zlib.decompressobj()
    with suppress(zlib.error):
        inflate.decompress(chunk[8:-4].partition(b"\0")[2][1:], _MAX_PROFILE_BYTES)
        return inflate.eof
    return False


def _repair_webp(data: bytes) -> Iterator[bytes]:
    parts: list[FilePart] = []
    with suppress(Unreadable):
        parts.extend(part for part in iter_webp_chunks(data) if part.kind in _WEBP_KEPT)
    kinds = {part.kind for part in parts}
    if not kinds.intersection(_WEBP_IMAGE):
        return
    chunks = []
    for part in parts:
        chunk = bytearray(data[part.begin : part.end])
        if part.kind == b"VP8X" and len(chunk) > 8:
            exif = _WEBP_EXIF if b"EXIF" in kinds else 0
            chunk[8] = chunk[8] & ~(_WEBP_EXIF | _WEBP_XMP) | exif
        chunks.append(bytes(chunk) + b"\0" * (len(chunk) % 2))
    body = b"WEBP" + b"".join(chunks)
    yield b"RIFF" + len(body).to_bytes(4, "little") + body


def _repair_jpeg(data: bytes, max_pixels: int) -> Iterator[bytes]:
    segments, ended = [data[:2]], False
    scans: list[bytes] = []
    header = b""
    with suppress(Unreadable):
        for part in iter_jpeg_segments(data):
            segment, marker = data[part.begin : part.end], part.kind[0]
            ended = marker == _END_OF_IMAGE[1]
            if marker in _FRAME_HEADERS:
                header = segment
            elif marker == _SCAN:
                scans.append(segment)
            is_exif = segment[1:2] == b"\xe1" and segment[4:8] == b"Exif"
            segments.append(segment if is_exif else strip_jpeg_segment(marker, segment))
    repaired = b"".join(segments)
    if ended:
        yield repaired
        return
    repaired = repaired.rstrip(b"\xff")
    if _has_all_scans(header, scans) and _has_all_pixels(repaired, max_pixels):
        yield repaired + _END_OF_IMAGE


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
    """Return whether a JPEG is complete: more data changes no pixel."""
    checks = set()
    for extra in (b"", _MORE_DATA):
        try:
            with Image.open(io.BytesIO(data + extra + _END_OF_IMAGE), formats=("JPEG",)) as image:
                if image.width * image.height > max_pixels:
                    return False
                checks.add(zlib.crc32(image.tobytes()))
        except Exception:  # Pillow plugins raise any exception
            return False
    return len(checks) == 1
