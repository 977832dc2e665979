"""Repair of intact images that Pillow refuses: PNG with odd metadata, JPEG without end marker.

Browsers and ffmpeg show such files.
"""

import io
import zlib
from collections.abc import Iterator
from contextlib import suppress

from PIL import Image

from gleanset.errors import Unreadable
from gleanset.images.embedded_metadata import (
    PNG_PIXEL_CHUNKS,
    FilePart,
    detect_kind,
    iter_jpeg_segments,
    iter_png_chunks,
)

_PNG_KEPT_CHUNKS = PNG_PIXEL_CHUNKS | {b"eXIf"}
_PNG_CRITICAL_CHUNKS = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_PNG_ANIMATION_CHUNKS = frozenset({b"acTL", b"fcTL", b"fdAT"})
# Pillow's limit of a profile.
_MAX_PROFILE_BYTES = 1_000_000
_END_OF_IMAGE = b"\xff\xd9"
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN = 0xDA
# Arbitrary coded data, with every restart marker that a decoder may wait for.
_CODED_BYTES = bytes((149 * number + 7) % 255 for number in range(1024))
_MORE_DATA = _CODED_BYTES + b"".join(
    bytes((0xFF, 0xD0 + n)) + _CODED_BYTES for n in range(8)
)


def iter_repairs(data: bytes, max_pixels: int) -> Iterator[bytes]:
    """Yield a PNG with ever fewer ancillary chunks, or a JPEG with its missing end marker.

    Nothing for other formats, or if pixels of a JPEG are missing. To check that, it is decoded if
    it has at most `max_pixels`.
    """
    match detect_kind(data):
        case "PNG":
            yield from _iter_png_repairs(data)
        case "JPEG":
            if (repaired := _add_end_marker(data, max_pixels)) is not None:
                yield repaired


def _iter_png_repairs(data: bytes) -> Iterator[bytes]:
    """Yield a PNG without texts and damaged chunks, then without all that a viewer may skip.

    A wrong checksum costs the chunk (PNG, third edition, 13.2), unless the pixels need it.
    """
    parts: list[FilePart] = []
    with suppress(Unreadable):  # truncated chunk
        parts.extend(iter_png_chunks(data))
    is_palette = data[25:26] == b"\3"
    droppable = [part for part in parts if _may_be_dropped(part, is_palette)]
    damaged = {part for part in droppable if _is_damaged(part, data)}
    damaged_kinds = {part.kind for part in damaged}
    kept = _PNG_KEPT_CHUNKS
    if damaged_kinds & _PNG_ANIMATION_CHUNKS:
        kept -= _PNG_ANIMATION_CHUNKS
    intact = [part for part in parts if part not in damaged]
    for kinds in (kept, _PNG_CRITICAL_CHUNKS | {b"tRNS"}, _PNG_CRITICAL_CHUNKS):
        chunks = [data[part.begin : part.end] for part in intact if part.kind in kinds]
        yield b"".join([data[:8], *chunks])


def _may_be_dropped(part: FilePart, is_palette: bool) -> bool:
    # Of an image without a palette PLTE only suggests colors.
    return part.kind not in _PNG_CRITICAL_CHUNKS or (
        part.kind == b"PLTE" and not is_palette
    )


def _is_damaged(part: FilePart, data: bytes) -> bool:
    checksum = int.from_bytes(data[part.body_end : part.end])
    if zlib.crc32(data[part.begin + 4 : part.body_end]) != checksum:
        return True
    if part.kind != b"iCCP":
        return False
    profile = zlib.decompressobj()
    with suppress(zlib.error):
        profile.decompress(
            part.read_body(data).partition(b"\0")[2][1:], _MAX_PROFILE_BYTES
        )
        return bool(profile.unconsumed_tail)
    return True


def _add_end_marker(data: bytes, max_pixels: int) -> bytes | None:
    segments = [data[:2]]
    header = b""
    scans: list[bytes] = []
    with suppress(Unreadable):  # truncated segment
        for part in iter_jpeg_segments(data):
            segment = data[part.begin : part.end]
            marker = part.kind[0]
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
            missing -= {
                (number, at) for number in numbers for at in range(first, last + 1)
            }
    return bool(header and scans) and not missing


def _has_all_pixels(data: bytes, max_pixels: int) -> bool:
    """Return whether a JPEG is complete: more data, whatever it is, changes no pixel."""
    checks = set()
    for extra in (b"", _MORE_DATA, b"\xd5" + _MORE_DATA):
        try:
            with Image.open(
                io.BytesIO(data + extra + _END_OF_IMAGE), formats=("JPEG",)
            ) as image:
                if image.width * image.height > max_pixels:
                    return False
                checks.add(zlib.crc32(image.tobytes()))
        except Exception:  # Pillow plugins raise any exception
            return False
    return len(checks) == 1
