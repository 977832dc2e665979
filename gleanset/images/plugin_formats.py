"""HEIC through a Pillow plugin (extra `formats`), and rejection of camera RAW.

The format is detected from the first bytes. The plugin is loaded with the first such image.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache

from gleanset.errors import Unreadable

HEIF = "HEIF"
"""Pillow's name of HEIC."""

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_RAW_BEGINNINGS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\x00", b"FOVb", b"\x00MRM")
_PHOTOMETRIC, _SUB_IFDS, _DNG_VERSION = 262, 330, 50706
# Photometric values of sensor data: color filter array (TIFF/EP), and linear raw (DNG).
_SENSOR_PHOTOMETRIC = (32803, 34892)
_MAX_IFDS = 16
_MIN_TIFF_BYTES = 26


def detect_heic(data: bytes) -> bool:
    """Return whether a file is HEIC. Raises `Unreadable` if its plugin is not installed."""
    brands = data[16 : int.from_bytes(data[:4], "big")][:128] + data[8:12]
    avif = any(brands[at : at + 4] in (b"avif", b"avis") for at in range(0, len(brands), 4))
    is_heic = data[4:8] == b"ftyp" and data[8:12] in _HEIC_BRANDS and not avif
    if is_heic and not _is_plugin_loaded():
        raise Unreadable("unsupported format", "HEIC: needs [formats], see gleanset doctor")
    return is_heic


@cache
def _is_plugin_loaded() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


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
