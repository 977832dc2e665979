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
_RAW_BEGINS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\x00", b"FOVb", b"\x00MRM")
_PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 262, 330, 50706
# Photometric values of sensor data: color filter array (TIFF/EP), and linear raw (DNG).
_OF_SENSORS = (32803, 34892)
_MOST_IFDS = 16
_LEAST_TIFF = 26


def detect_plugin_format(data: bytes) -> str | None:
    """Return a format read by plugins. Raises `Unreadable`, also for RAW."""
    if is_camera_raw(data):
        raise Unreadable(
            "unsupported format", "camera RAW: export it as JPEG or TIFF from your RAW program"
        )
    named = HEIF if _is_heic(data) else JXL if data.startswith((_CODESTREAM, _CONTAINER)) else None
    if named is not None and not _loaded(named):
        raise Unreadable(
            "unsupported format",
            f"{WITH_PLUGINS[named]}: needs [formats], see gleanset doctor",
        )
    return named


@cache
def _loaded(format_: str) -> bool:
    try:
        if format_ == HEIF:
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
    if data.startswith(_RAW_BEGINS) or data[4:12] == b"ftypcrx ":
        return True
    if data[:4] not in (b"II*\0", b"MM\0*") or len(data) < _LEAST_TIFF:
        return False
    if data[8:10] == b"CR":
        return True
    tags = list(_tags(data))
    return any(
        tag == _DNG_VERSION or (tag == _PHOTOMETRIC and value in _OF_SENSORS) for tag, value in tags
    )


def _tags(data: bytes) -> Iterator[tuple[int, int]]:
    order = "<" if data[:2] == b"II" else ">"
    waiting, seen = [int(struct.unpack_from(f"{order}I", data, 4)[0])], set[int]()
    while waiting and len(seen) < _MOST_IFDS:
        at = waiting.pop()
        if at in seen or at + 2 > len(data):
            continue
        seen.add(at)
        (number,) = struct.unpack_from(f"{order}H", data, at)
        for entry in range(at + 2, min(at + 2 + 12 * number, len(data) - 11), 12):
            tag, kind, count = struct.unpack_from(f"{order}HHI", data, entry)
            (value,) = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", data, entry + 8)
            yield tag, value
            if tag == _SUB_IFDS and count == 1:
                waiting.append(value)
            elif tag == _SUB_IFDS and value + 4 * min(count, _MOST_IFDS) <= len(data):
                waiting += struct.unpack_from(f"{order}{min(count, _MOST_IFDS)}I", data, value)


def read_jxl_size(data: bytes) -> tuple[int, int]:
    """Return JPEG XL width and height (ISO/IEC 18181-1). Raises `Unreadable`."""
    bits = _Bits(_codestream(data)[2:16])
    small = bits.take(1)
    height = _side(bits, small)
    ratio = bits.take(3)
    if not ratio:
        return _side(bits, small), height
    wide, high = _RATIOS[ratio]
    return height * wide // high, height


def _side(bits: _Bits, small: int) -> int:
    if small:
        return 8 * (1 + bits.take(5))
    return 1 + bits.take((9, 13, 18, 30)[bits.take(2)])


def _codestream(data: bytes) -> bytes:
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
    raise Unreadable("damaged", "a JPEG XL without a picture")


class _Bits:
    def __init__(self, data: bytes) -> None:
        self._left, self._number = int.from_bytes(data, "little"), 8 * len(data)

    def take(self, number: int) -> int:
        """Return the next bits as a number. Raises `Unreadable` at the end."""
        if number > self._number:
            raise Unreadable("truncated", "its header is cut off")
        value = self._left & ((1 << number) - 1)
        self._left, self._number = self._left >> number, self._number - number
        return value
