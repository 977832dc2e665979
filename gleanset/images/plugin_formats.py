"""HEIC and JPEG XL through Pillow plugins (extra `formats`), and rejection of camera RAW.

The format is detected from the first bytes. A plugin is loaded with the first such image, and the
size in the header is known before it decodes anything.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache

from gleanset.errors import Unreadable

HEIF, JXL = "HEIF", "JXL"
WITH_PLUGINS = {HEIF: "HEIC", JXL: "JPEG XL"}
"""Pillow's names of formats, and the common ones."""

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_CODESTREAM, _CONTAINER = b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n"
# ISO/IEC 18181-1, SizeHeader: width to height.
_RATIOS = {1: (1, 1), 2: (12, 10), 3: (4, 3), 4: (3, 2), 5: (16, 9), 6: (5, 4), 7: (2, 1)}
_RAW_BEGINNINGS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\x00", b"FOVb", b"\x00MRM")
_PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 262, 330, 50706
# Photometric values of sensor data: color filter array (TIFF/EP), and linear raw (DNG).
_SENSOR_PHOTOMETRIC = (32803, 34892)
_MAX_IFDS = 16
_MIN_TIFF_BYTES = 26


def detect_plugin_format(data: bytes) -> str | None:
    """Return a format read by plugins. Raises `Unreadable`, also for RAW."""
    if is_camera_raw(data):
        raise Unreadable(
            "unsupported format", "camera RAW: export it as JPEG or TIFF from your RAW program"
        )
    kind = HEIF if _is_heic(data) else JXL if data.startswith((_CODESTREAM, _CONTAINER)) else None
    if kind is not None and not _is_plugin_loaded(kind):
        raise Unreadable(
            "unsupported format",
            f"{WITH_PLUGINS[kind]}: needs [formats], see gleanset doctor",
        )
    return kind


@cache
def _is_plugin_loaded(kind: str) -> bool:
    try:
        if kind == HEIF:
            import pillow_heif

            pillow_heif.register_heif_opener(thumbnails=False)
        else:
            import pillow_jxl  # noqa: F401 - the import registers it
    except ImportError:
        return False
    return True


def _is_heic(data: bytes) -> bool:
    brands = data[16 : int.from_bytes(data[:4], "big")][:128] + data[8:12]
    avif = any(brands[at : at + 4] in (b"avif", b"avis") for at in range(0, len(brands), 4))
    return data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and not avif


def is_camera_raw(data: bytes) -> bool:
    """Return whether a file is camera RAW (Pillow reads only its preview)."""
    if data.startswith(_RAW_BEGINNINGS) or data[4:12] == b"ftypcrx ":
        return True
    if data[:4] not in (b"II*\0", b"MM\0*") or len(data) < _MIN_TIFF_BYTES:
        return False
    if data[8:10] == b"CR":
        return True
    tags = list(_iter_tags(data))
    return any(
        tag == _DNG_VERSION or (tag == _PHOTOMETRIC and value in _SENSOR_PHOTOMETRIC)
        for tag, value in tags
    )


def _iter_tags(data: bytes) -> Iterator[tuple[int, int]]:
    order = "<" if data[:2] == b"II" else ">"
    pending, visited = [int(struct.unpack_from(f"{order}I", data, 4)[0])], set[int]()
    while pending and len(visited) < _MAX_IFDS:
        offset = pending.pop()
        if offset in visited or offset + 2 > len(data):
            continue
        visited.add(offset)
        (number,) = struct.unpack_from(f"{order}H", data, offset)
        for entry in range(offset + 2, min(offset + 2 + 12 * number, len(data) - 11), 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", data, entry)
            (value,) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, entry + 8)
            yield tag, value
            if tag == _SUB_IFDS and count == 1:
                pending.append(value)
            elif tag == _SUB_IFDS and value + 4 * min(count, _MAX_IFDS) <= len(data):
                pending += struct.unpack_from(f"{order}{min(count, _MAX_IFDS)}I", data, value)


def read_jxl_size(data: bytes) -> tuple[int, int]:
    """Return JPEG XL width and height (ISO/IEC 18181-1). Raises `Unreadable`."""
    bits = _BitReader(_find_codestream(data)[2:16])
    small = bits.read(1)
    height = _read_side(bits, small)
    ratio = bits.read(3)
    if not ratio:
        return _read_side(bits, small), height
    wide, tall = _RATIOS[ratio]
    return height * wide // tall, height


def _read_side(bits: _BitReader, small: int) -> int:
    if small:
        return 8 * (1 + bits.read(5))
    return 1 + bits.read((9, 13, 18, 30)[bits.read(2)])


def _find_codestream(data: bytes) -> bytes:
    if data.startswith(_CODESTREAM):
        return data
    at = 0
    while at + 16 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        begin = at + 8
        if size == 1:
            (size,) = struct.unpack_from(">Q", data, begin)
            begin += 8
        if kind in (b"jxlc", b"jxlp"):
            return data[begin + (4 if kind == b"jxlp" else 0) :]
        if size < 8:
            break
        at += size
    raise Unreadable("damaged", "JPEG XL without an image")


class _BitReader:
    def __init__(self, data: bytes) -> None:
        self._remaining, self._count = int.from_bytes(data, "little"), 8 * len(data)

    def read(self, number: int) -> int:
        """Return the next bits as a number. Raises `Unreadable` at the end."""
        if number > self._count:
            raise Unreadable("truncated", "its header is cut off")
        value = self._remaining & ((1 << number) - 1)
        self._remaining, self._count = self._remaining >> number, self._count - number
        return value
