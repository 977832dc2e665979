"""HEIC through a Pillow plugin (extra `formats`), and rejection of camera RAW.

The format is detected from the first bytes. The plugin is loaded with the first such image.
"""

from collections.abc import Mapping
from functools import cache

from gleanset.errors import Unreadable

HEIF = "HEIF"
"""Pillow's name of HEIC."""

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_RAW_BEGINNINGS = (
    b"FUJIFILMCCD-RAW",
    b"IIRO",
    b"IIRS",
    b"MMOR",
    b"IIU\x00",
    b"FOVb",
    b"\x00MRM",
)
_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION = 254, 330, 50706


def detect_heic(data: bytes) -> bool:
    """Return whether a file is HEIC. Raises `Unreadable` if its plugin is not installed."""
    if data[4:8] != b"ftyp" or data[8:12] not in _HEIC_BRANDS:
        return False

    # An AVIF may have a brand of HEIC first, and its own among the compatible ones.
    box_end = int.from_bytes(data[:4], "big")
    compatible = data[16:box_end][:128]
    brands = {compatible[at : at + 4] for at in range(0, len(compatible), 4)}
    if brands & {b"avif", b"avis"}:
        return False

    if not _is_plugin_loaded():
        raise Unreadable(
            "unsupported format", "HEIC: needs [formats], see gleanset doctor"
        )
    return True


@cache
def _is_plugin_loaded() -> bool:
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def is_camera_raw(data: bytes) -> bool:
    """Return whether a file begins as camera RAW (Pillow reads only its preview)."""
    is_cr2 = data[:4] == b"II*\0" and data[8:10] == b"CR"
    is_cr3 = data[4:12] == b"ftypcrx "
    return is_cr2 or is_cr3 or data.startswith(_RAW_BEGINNINGS)


def is_raw_preview(tags: Mapping[int, object]) -> bool:
    """Return whether the tags of an opened TIFF are those of a preview in a camera RAW."""
    is_reduced = tags.get(_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags
    return is_reduced or _DNG_VERSION in tags
