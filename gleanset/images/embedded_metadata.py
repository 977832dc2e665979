"""Metadata in image files: their parts, and detection of GPS positions.

JPEG is parsed by segments (ITU-T T.81, annex B), PNG by chunks (PNG, third edition, section 5),
WebP by RIFF chunks (RFC 9649). Files may be hostile: lengths are checked, and compressed text is
inflated only up to a limit.
"""

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

Bytes = bytes | mmap

_GPS = 0x8825
_LATITUDE = 2
_MAX_TEXT_BYTES = 1_000_000
_HEADER_BYTES = 65_536
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_EXIF_BEGINNINGS = (b"Exif\0\0", b"II*\0", b"MM\0*")

_SOS = 0xDA
_EOI = 0xD9
_MARKERS_WITHOUT_SEGMENT = (0x01, *range(0xD0, 0xD9))
"""JPEG markers without a segment: TEM, RST, SOI."""
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
PNG_PIXEL_CHUNKS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT pHYs bKGD cICP mDCV cLLI "
    b"acTL fcTL fdAT".split()
)
"""PNG chunks that affect how the image looks; all others are text, times or private chunks."""
PNG_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
_METADATA_KINDS = (b"\xe1", b"eXIf", *PNG_TEXT_CHUNKS, b"EXIF", b"XMP ")


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
    # Damage raises all kinds of errors.
    with suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not detect_kind(data):
            return _has_position_in_pillow(data)

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


def detect_kind(data: Bytes) -> Literal["JPEG", "PNG", "WEBP"] | None:
    """Return the format by signature; None if not parsed here."""
    if data[:3] == _JPEG:
        return "JPEG"
    if data[:8] == _PNG:
        return "PNG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def iter_parts(data: Bytes) -> Iterator[FilePart]:
    """Yield the segments of a JPEG before its pixels, or the chunks of a PNG or WebP."""
    match detect_kind(data):
        case "JPEG":
            return iter_jpeg_segments(data, until_scan=True)
        case "PNG":
            return iter_png_chunks(data)
    return iter_webp_chunks(data)


def _has_position_in_pillow(data: Bytes) -> bool:
    from PIL import Image

    from gleanset.images.xmp import get_packet

    detect_heic(data[:_HEADER_BYTES])  # loads its plugin
    with Image.open(io.BytesIO(data)) as image:
        latitude = image.getexif().get_ifd(_GPS).get(_LATITUDE)
        return bool(latitude) or _has_latitude(get_packet(image))


def _has_latitude(payload: bytes) -> bool:
    if not payload.startswith(_EXIF_BEGINNINGS):
        # XMP may be UTF-16: without the zero bytes the name reads as in UTF-8.
        return b"GPSLatitude" in payload.replace(b"\0", b"")

    # Imported here: most downloads are checked without loading Pillow.
    from PIL import Image

    # Damage raises all kinds of errors; the next payload may be intact.
    with suppress(Exception):
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

        # Marker and length take four bytes.
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


def _read_png_text(kind: bytes, body: bytes) -> bytes:
    keyword, _, text = body.partition(b"\0")
    if kind == b"zTXt":
        text = _inflate(text[1:])
    elif kind == b"iTXt":
        is_compressed = text[:1] == b"\x01"
        # Two bytes, the language, the keyword in that language, the text.
        *_, text = text[2:].split(b"\0", 2)
        if is_compressed:
            text = _inflate(text)

    if keyword.startswith(b"Raw profile type "):
        # ImageMagick writes EXIF and XMP in hex, after a line with the name and one with the size.
        *_, digits = text.split(b"\n", 3)
        return bytes.fromhex(digits.decode("ascii"))
    return text


def _inflate(compressed: bytes) -> bytes:
    return zlib.decompressobj().decompress(compressed, _MAX_TEXT_BYTES)


def iter_webp_chunks(data: Bytes) -> Iterator[FilePart]:
    """Yield the chunks within the RIFF container of a WebP. Raises `Unreadable`."""
    at = 12
    last = 8 + int.from_bytes(data[4:8], "little")
    while at + 8 <= min(last, len(data)):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size
        if end > len(data):
            raise Unreadable("damaged", f"a chunk of WebP at byte {at} is cut off")

        yield FilePart(data[at : at + 4], at, end, at + 8, end)
        at = end + size % 2  # padded to an even size
