"""What a file says of a picture beside its pixels: where it was taken; and all of it taken out.

JPEG is walked by its segments (ITU-T T.81, annex B), PNG by its chunks (PNG, third edition, 5),
WebP by those of RIFF (RFC 9649). Files are hostile: lengths are checked, and compressed text is
read up to a limit.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Literal, NamedTuple

from gleanset.errors import Unreadable
from gleanset.images.plugin_formats import plugin_format

STRIPPED = ("JPEG", "PNG", "WEBP", "BMP")
"""Formats of which metadata can be taken out without touching the pixels; BMP has none."""

Bytes = bytes | mmap

_GPS, _LATITUDE, _ORIENTATION = 0x8825, 2, 0x0112
_MOST_TEXT = 1_000_000
_HEAD = 65_536
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"
_EXIF, _ICC = b"Exif\0\0", b"ICC_PROFILE\0"
_BEGINS_OF_EXIF = (_EXIF, b"II*\0", b"MM\0*")

_LEAST_ICC, _LEAST_ADOBE = 18, 16

_SOS, _EOI, _COM = 0xDA, 0xD9, 0xFE
_APP0, _APP2, _APP14, _APP15 = 0xE0, 0xE2, 0xEE, 0xEF
_ALONE = (0x01, *range(0xD0, 0xD9))
"""Markers of JPEG that nothing follows: TEM, RST, SOI."""
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_OF_PIXELS = frozenset(
    b"IHDR PLTE IDAT IEND tRNS gAMA cHRM sRGB iCCP sBIT pHYs bKGD cICP mDCV cLLI "
    b"acTL fcTL fdAT".split()
)
"""Chunks of PNG that say how it looks; all others are text, times, or somebody's own."""
_OF_WEBP = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_HAS_EXIF, _HAS_XMP = 0x08, 0x04


class FilePart(NamedTuple):
    """A segment or chunk: its kind, and where it begins and ends in the file."""

    kind: bytes
    begin: int
    end: int


def says_where(data: Bytes) -> bool:
    """Return whether a file has a latitude in EXIF or XMP; a damaged one has none."""
    with suppress(Exception), warnings.catch_warnings():  # damage is of every kind
        warnings.simplefilter("ignore")
        payloads = _payloads_of(data)
        return _opened_says(data) if payloads is None else any(map(_has_latitude, payloads))
    return False


def file_says_where(path: Path) -> bool:
    """Return the same of a file, of which little more than the metadata is read."""
    with (
        suppress(OSError, ValueError),  # ValueError: nothing in it
        path.open("rb") as file,
        mmap(file.fileno(), 0, access=ACCESS_READ) as data,
    ):
        return says_where(data)
    return False


def without_metadata(data: bytes, orientation: int) -> bytes:
    """Return a file without EXIF, XMP, IPTC, comments and what lies behind its end.

    Pixels stay as they are encoded, and colour profiles; of EXIF the `orientation` (1..8) alone.
    Raises `Unreadable` for damaged files, and for formats that are not `STRIPPED`.
    """
    if data.startswith(b"BM"):
        return data
    if (kind := file_kind(data)) is None:
        raise Unreadable("metadata cannot be taken out", "not of this format")
    return _STRIPPERS[kind](data, orientation)


def file_kind(data: Bytes) -> Literal["JPEG", "PNG", "WEBP"] | None:
    """Return which of the formats a file is whose parts are told apart here."""
    if data[:3] == _JPEG:
        return "JPEG"
    if data[:8] == _PNG:
        return "PNG"
    return "WEBP" if (data[:4], data[8:12]) == (b"RIFF", b"WEBP") else None


def _payloads_of(data: Bytes) -> Iterator[bytes] | None:
    kind = file_kind(data)
    return _PAYLOADS[kind](data) if kind else None


def _payloads_of_jpeg(data: Bytes) -> Iterator[bytes]:
    for part in segments_of_jpeg(data, until_scan=True):
        if part.kind == b"\xe1":
            yield data[part.begin + 4 : part.end]


def _payloads_of_png(data: Bytes) -> Iterator[bytes]:
    for part in chunks_of_png(data):
        if part.kind == b"eXIf":
            yield data[part.begin + 8 : part.end - 4]
        elif part.kind in (b"tEXt", b"zTXt", b"iTXt"):
            with suppress(zlib.error, ValueError):
                yield png_text(part.kind, data[part.begin + 8 : part.end - 4])


def _payloads_of_webp(data: Bytes) -> Iterator[bytes]:
    for part in chunks_of_webp(data):
        if part.kind in (b"EXIF", b"XMP "):
            yield data[part.begin + 8 : part.end]


def _opened_says(data: Bytes) -> bool:
    from PIL import Image

    plugin_format(data[:_HEAD])
    with Image.open(io.BytesIO(data)) as image:
        packet = image.info.get("xmp", b"")
        text = packet.encode() if isinstance(packet, str) else packet
        return bool(image.getexif().get_ifd(_GPS).get(_LATITUDE)) or _has_latitude(text)


def _has_latitude(payload: bytes) -> bool:
    if not payload.startswith(_BEGINS_OF_EXIF):
        # XMP may be UTF-16: without its zeros the name reads alike.
        return b"GPSLatitude" in payload.replace(b"\0", b"")
    # Here alone: downloads are looked through before anything of Pillow is needed.
    from PIL import Image

    with suppress(Exception):  # damage is of every kind, and the next one may be whole
        exif = Image.Exif()
        exif.load(payload)
        return bool(exif.get_ifd(_GPS).get(_LATITUDE))
    return False


def segments_of_jpeg(data: Bytes, *, until_scan: bool = False) -> Iterator[FilePart]:
    """Yield segments of a JPEG, coded data with its start of scan. Raises `Unreadable`."""
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
            found = _NEXT_MARKER.search(data, end)
            end = found.start() if found else len(data)
        yield FilePart(bytes((marker,)), at, end)
        if marker == _EOI or (marker == _SOS and until_scan):
            return
        at = end


def _end_of_segment(data: Bytes, at: int, marker: int) -> int:
    if marker == _EOI or marker in _ALONE:
        return at + 2
    length = int.from_bytes(data[at + 2 : at + 4], "big")
    end = at + 2 + length
    if length < 2 or end > len(data):
        raise Unreadable("damaged", f"a segment of JPEG at byte {at} is cut off")
    return end


def _stripped_jpeg(data: bytes, orientation: int) -> bytes:
    kept, turned = [data[:2]], _turned_exif(orientation)
    if turned:
        size = 2 + len(_EXIF) + len(turned)
        turned = b"\xff\xe1" + size.to_bytes(2, "big") + _EXIF + turned
    for part in segments_of_jpeg(data):
        if turned and part.kind[0] != _APP0:  # behind JFIF, which comes first
            kept.append(turned)
            turned = b""
        kept.append(kept_of_jpeg(part.kind[0], data[part.begin : part.end]))
    return b"".join(kept)


def kept_of_jpeg(marker: int, segment: bytes) -> bytes:
    """Return what a segment tells of the pixels; nothing of one that tells something else."""
    if marker == _APP0:  # JFIF, without its thumbnail
        there = segment[4:9] == b"JFIF\0" and len(segment) >= 18
        return segment[:2] + b"\0\x10" + segment[4:16] + b"\0\0" if there else b""
    of_colours = (
        marker == _APP2 and segment[4:].startswith(_ICC) and len(segment) > _LEAST_ICC
    ) or (marker == _APP14 and segment[4:9] == b"Adobe" and len(segment) >= _LEAST_ADOBE)
    return b"" if marker == _COM or (_APP0 < marker <= _APP15 and not of_colours) else segment


def chunks_of_png(data: Bytes) -> Iterator[FilePart]:
    """Yield the chunks of a PNG until its end. Raises `Unreadable`."""
    at = len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if end > len(data):
            raise Unreadable("damaged", f"a chunk of PNG at byte {at} is cut off")
        part = FilePart(data[at + 4 : at + 8], at, end)
        yield part
        if part.kind == b"IEND":
            return
        at = end


def _stripped_png(data: bytes, orientation: int) -> bytes:
    kept, turned = [data[: len(_PNG)]], _turned_exif(orientation)
    for part in chunks_of_png(data):
        if part.kind == b"IDAT" and turned:
            check = zlib.crc32(b"eXIf" + turned).to_bytes(4, "big")
            kept.append(len(turned).to_bytes(4, "big") + b"eXIf" + turned + check)
            turned = b""
        if part.kind in _OF_PIXELS:
            kept.append(data[part.begin : part.end])
    return b"".join(kept)


def png_text(kind: bytes, body: bytes) -> bytes:
    """Return a text with its keyword, or the EXIF that it spells out; of packed ones the start."""
    keyword, _, text = body.partition(b"\0")
    if kind == b"zTXt":
        text = _inflated(text[1:])
    elif kind == b"iTXt":
        packed, text = text[:1] == b"\x01", text[2:].split(b"\0", 2)[-1]  # behind two languages
        text = _inflated(text) if packed else text
    if keyword.startswith(b"Raw profile type "):  # ImageMagick's exif, xmp, APP1
        return bytes.fromhex(b"".join(text.split(b"\n", 3)[-1].split()).decode("ascii"))
    return text


def _inflated(packed: bytes) -> bytes:
    return zlib.decompressobj().decompress(packed, _MOST_TEXT)


def chunks_of_webp(data: Bytes) -> Iterator[FilePart]:
    """Yield the chunks of a WebP within its RIFF. Raises `Unreadable`."""
    at, last = 12, 8 + int.from_bytes(data[4:8], "little")
    while at + 8 <= min(last, len(data)):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        end = at + 8 + size
        if end > len(data):
            raise Unreadable("damaged", f"a chunk of WebP at byte {at} is cut off")
        yield FilePart(data[at : at + 4], at, end)
        at = end + size % 2


def _stripped_webp(data: bytes, orientation: int) -> bytes:
    turned = _turned_exif(orientation)
    kept = []
    for part in chunks_of_webp(data):
        if part.kind in _OF_WEBP:
            chunk = data[part.begin : part.end]
            if part.kind == b"VP8X":
                flags = chunk[8] & ~(_HAS_EXIF | _HAS_XMP) | (_HAS_EXIF if turned else 0)
                chunk = chunk[:8] + bytes((flags,)) + chunk[9:]
            kept.append(chunk + b"\0" * (len(chunk) % 2))
    if turned:
        kept.append(b"EXIF" + len(turned).to_bytes(4, "little") + turned)
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


def _turned_exif(orientation: int) -> bytes:
    if orientation == 1:
        return b""
    entry = b"".join(
        number.to_bytes(size, "little")
        for number, size in ((_ORIENTATION, 2), (3, 2), (1, 4), (orientation, 4))
    )
    return b"II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"


_PAYLOADS: dict[str, Callable[[Bytes], Iterator[bytes]]] = {
    "JPEG": _payloads_of_jpeg,
    "PNG": _payloads_of_png,
    "WEBP": _payloads_of_webp,
}
_STRIPPERS: dict[str, Callable[[bytes, int], bytes]] = {
    "JPEG": _stripped_jpeg,
    "PNG": _stripped_png,
    "WEBP": _stripped_webp,
}
