"""Metadata in image files: detection of GPS positions, and removal of all metadata.

JPEG is parsed by segments (ITU-T T.81, annex B), PNG by chunks (PNG, third edition, section 5),
WebP by RIFF chunks (RFC 9649). Files may be hostile: lengths are checked, and compressed text is
inflated only up to a limit.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Literal, NamedTuple

from gleanset.errors import Unreadable
from gleanset.images.plugin_formats import detect_heic

STRIPPABLE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Formats whose metadata can be removed without touching the pixels; BMP has none."""

Bytes = bytes | mmap

_GPS, _LATITUDE, _ORIENTATION = 0x8825, 2, 0x0112
_MAX_TEXT_BYTES = 1_000_000
_HEADER_BYTES = 65_536
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"
_EXIF_BEGINNINGS = (_EXIF, b"II*\0", b"MM\0*")

_MIN_ICC_BYTES, _MIN_ADOBE_BYTES = 18, 16

_SOS, _EOI, _COM = 0xDA, 0xD9, 0xFE
_APP0, _APP2, _APP14, _APP15 = 0xE0, 0xE2, 0xEE, 0xEF
_MARKERS_WITHOUT_SEGMENT = (0x01, *range(0xD0, 0xD9))
"""JPEG markers without a segment: TEM, RST, SOI."""
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
PNG_PIXEL_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT pHYs bKGD cICP mDCV cLLI "
    b"acTL fcTL fdAT".split()
)
"""PNG chunks that affect how the image looks; all others are text, times or private chunks."""
_WEBP_PIXEL_CHUNKS = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
PNG_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_METADATA_KINDS = (b"\xe1", b"eXIf", *PNG_TEXT_CHUNKS, b"EXIF", b"XMP ")
_HAS_EXIF, _HAS_XMP = 0x08, 0x04


class FilePart(NamedTuple):
    """A segment or chunk: its kind, and where it and its body are in the file (ends exclusive)."""

    kind: bytes
    begin: int
    end: int
    body_begin: int
    body_end: int

    def read_body(self, data: Bytes) -> bytes:
        """Return its content; the text of a text chunk, empty if it is damaged."""
        body = data[self.body_begin : self.body_end]
        if self.kind not in PNG_TEXT_CHUNKS:
            return body
        with suppress(zlib.error, ValueError):
            return _read_png_text(self.kind, body)
        return b""


def has_gps_position(data: Bytes) -> bool:
    """Return whether EXIF or XMP contains a latitude; False for damaged files."""
    with suppress(Exception), warnings.catch_warnings():  # damage raises all kinds of errors
        warnings.simplefilter("ignore")
        if detect_kind(data) is None:
            return _opened_has_position(data)
        parts = (part for part in iter_parts(data) if part.kind in _METADATA_KINDS)
        return any(_has_latitude(part.read_body(data)) for part in parts)
    return False


def file_has_gps_position(path: Path) -> bool:
    """Apply `has_gps_position` to a file, reading little more than the metadata."""
    with (
        suppress(OSError, ValueError),  # ValueError: empty file
        path.open("rb") as file,
        mmap(file.fileno(), 0, access=ACCESS_READ) as data,
    ):
        return has_gps_position(data)
    return False


def strip_metadata(data: bytes, orientation: int) -> bytes:
    """Return a file without EXIF, XMP, IPTC, comments and trailing data.

    Encoded pixels and color profiles are unchanged. EXIF keeps only the `orientation` (1..8).
    Raises `Unreadable` for damaged files and for other formats than JPEG, PNG, WebP and BMP.
    """
    if data.startswith(b"BM"):
        return data
    match detect_kind(data):
        case "JPEG":
            return _strip_jpeg(data, orientation)
        case "PNG":
            return _strip_png(data, orientation)
        case "WEBP":
            return _strip_webp(data, orientation)
    raise Unreadable("metadata cannot be removed", "not of this format")


def detect_kind(data: Bytes) -> Literal["JPEG", "PNG", "WEBP"] | None:
    """Return the format by signature; None if not parsed here."""
    if data[:3] == _JPEG:
        return "JPEG"
    if data[:8] == _PNG:
        return "PNG"
    return "WEBP" if (data[:4], data[8:12]) == (b"RIFF", b"WEBP") else None


def iter_parts(data: Bytes) -> Iterator[FilePart]:
    """Yield the segments of a JPEG before its pixels, or the chunks of a PNG or WebP."""
    match detect_kind(data):
        case "JPEG":
            return iter_jpeg_segments(data, until_scan=True)
        case "PNG":
            return iter_png_chunks(data)
    return iter_webp_chunks(data)


def _opened_has_position(data: Bytes) -> bool:
    from PIL import Image

    detect_heic(data[:_HEADER_BYTES])  # loads its plugin
    with Image.open(io.BytesIO(data)) as image:
        packet = image.info.get("xmp", b"")
        text = packet.encode() if isinstance(packet, str) else packet
        return bool(image.getexif().get_ifd(_GPS).get(_LATITUDE)) or _has_latitude(text)


def _has_latitude(payload: bytes) -> bool:
    if not payload.startswith(_EXIF_BEGINNINGS):
        # XMP may be UTF-16: without the zero bytes the name reads as in UTF-8.
        return b"GPSLatitude" in payload.replace(b"\0", b"")
    # Imported here: most downloads are checked without loading Pillow.
    from PIL import Image

    with suppress(Exception):  # damage raises all kinds of errors; the next payload may be intact
        exif = Image.Exif()
        exif.load(payload)
        return bool(exif.get_ifd(_GPS).get(_LATITUDE))
    return False


def iter_jpeg_segments(data: Bytes, *, until_scan: bool = False) -> Iterator[FilePart]:
    """Yield JPEG segments; coded data belongs to its SOS segment. Raises `Unreadable`."""
    at = 2
    while at + 1 < len(data):
        if data[at] != 0xFF:
            raise Unreadable("damaged", f"no marker of JPEG at byte {at}")
        if data[at + 1] == 0xFF:  # fill bytes
            at += 1
            continue
        marker = data[at + 1]
        end = _end_of_segment(data, at, marker)
        if marker == _SOS and not until_scan:
            next_marker = _NEXT_MARKER.search(data, end)
            end = next_marker.start() if next_marker else len(data)
        yield FilePart(bytes((marker,)), at, end, at + 4, end)
        if marker == _EOI or (marker == _SOS and until_scan):
            return
        at = end


def _end_of_segment(data: Bytes, at: int, marker: int) -> int:
    if marker == _EOI or marker in _MARKERS_WITHOUT_SEGMENT:
        return at + 2
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    end = at + 2 + length
    if length < 2 or end > len(data):
        raise Unreadable("damaged", f"a segment of JPEG at byte {at} is cut off")
    return end


def _strip_jpeg(data: bytes, orientation: int) -> bytes:
    parts, exif = [data[:2]], _orientation_exif(orientation)
    if exif:
        size = 2 + len(_EXIF) + len(exif)
        exif = b"\xff\xe1" + size.to_bytes(2, "big") + _EXIF + exif
    for part in iter_jpeg_segments(data):
        if exif and part.kind[0] != _APP0:  # after JFIF, which must come first
            parts.append(exif)
            exif = b""
        parts.append(_strip_jpeg_segment(part.kind[0], data[part.begin : part.end]))
    return b"".join(parts)


def _strip_jpeg_segment(marker: int, segment: bytes) -> bytes:
    if marker == _APP0:  # JFIF, without its thumbnail
        is_jfif = segment[4:9] == b"JFIF\0" and len(segment) >= 18
        return segment[:2] + b"\0\x10" + segment[4:16] + b"\0\0" if is_jfif else b""
    is_color_profile = (
        marker == _APP2 and segment[4:].startswith(_ICC) and len(segment) > _MIN_ICC_BYTES
    ) or (marker == _APP14 and segment[4:9] == b"Adobe" and len(segment) >= _MIN_ADOBE_BYTES)
    return b"" if marker == _COM or (_APP0 < marker <= _APP15 and not is_color_profile) else segment


def iter_png_chunks(data: Bytes) -> Iterator[FilePart]:
    """Yield the chunks of a PNG up to IEND. Raises `Unreadable`."""
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise Unreadable("damaged", f"a chunk of PNG at byte {at} is cut off")
        kind = data[at + 4 : at + 8]
        yield FilePart(kind, at, end, at + 8, end - 4)
        if kind == b"IEND":
            return
        at = end


def _strip_png(data: bytes, orientation: int) -> bytes:
    chunks, exif = [data[: len(_PNG)]], _orientation_exif(orientation)
    for part in iter_png_chunks(data):
        if part.kind == b"IDAT" and exif:
            check = zlib.crc32(b"eXIf" + exif).to_bytes(4, "big")
            chunks.append(len(exif).to_bytes(4, "big") + b"eXIf" + exif + check)
            exif = b""
        if part.kind in PNG_PIXEL_CHUNKS:
            chunks.append(data[part.begin : part.end])
    return b"".join(chunks)


def _read_png_text(kind: bytes, body: bytes) -> bytes:
    keyword, _, text = body.partition(b"\0")
    if kind == b"zTXt":
        text = _inflate(text[1:])
    elif kind == b"iTXt":
        packed, text = text[:1] == b"\x01", text[2:].split(b"\0", 2)[-1]  # after the languages
        text = _inflate(text) if packed else text
    if keyword.startswith(b"Raw profile type "):  # ImageMagick writes EXIF and XMP in hex
        return bytes.fromhex(b"".join(text.split(b"\n", 3)[-1].split()).decode("ascii"))
    return text


def _inflate(packed: bytes) -> bytes:
    return zlib.decompressobj().decompress(packed, _MAX_TEXT_BYTES)


def iter_webp_chunks(data: Bytes) -> Iterator[FilePart]:
    """Yield the chunks within the RIFF container of a WebP. Raises `Unreadable`."""
    at, last = 12, 8 + int.from_bytes(data[4:8], "little")
    while at + 8 <= min(last, len(data)):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size
        if end > len(data):
            raise Unreadable("damaged", f"a chunk of WebP at byte {at} is cut off")
        yield FilePart(data[at : at + 4], at, end, at + 8, end)
        at = end + size % 2


def _strip_webp(data: bytes, orientation: int) -> bytes:
    exif = _orientation_exif(orientation)
    chunks = []
    for part in iter_webp_chunks(data):
        if part.kind in _WEBP_PIXEL_CHUNKS:
            chunk = data[part.begin : part.end]
            if part.kind == b"VP8X":
                flags = chunk[8] & ~(_HAS_EXIF | _HAS_XMP) | (_HAS_EXIF if exif else 0)
                chunk = chunk[:8] + bytes((flags,)) + chunk[9:]
            chunks.append(chunk + b"\0" * (len(chunk) % 2))
    if exif:
        chunks.append(b"EXIF" + len(exif).to_bytes(4, "little") + exif)
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _orientation_exif(orientation: int) -> bytes:
    if orientation == 1:
        return b""
    entry = b"".join(
        number.to_bytes(size, "little")
        for number, size in ((_ORIENTATION, 2), (3, 2), (1, 4), (orientation, 4))
    )
    return b"II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"
