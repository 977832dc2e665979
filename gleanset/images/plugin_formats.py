"""Kinds of files by their first bytes, HEIC through a Pillow plugin, rejection of some TIFF.

The format is detected from the first bytes. The plugin is loaded with the first such image.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from gleanset.errors import Unreadable

HEIF = "HEIF"
"""Pillow's name of HEIC."""
CAMERA_RAW = "camera RAW: export it as JPEG or TIFF from your RAW program"
# Short enough for a summary of 80 columns, which would cut off the command.
UNUSUAL_TIFF = "unusual TIFF: magick IN.tif -auto-level OUT.png"

_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")
_RAW_BEGINNINGS = (
    b"FUJIFILMCCD-RAW",
    b"IIRO",  # Olympus, as the next two
    b"IIRS",
    b"MMOR",
    b"IIU\x00",  # Panasonic
    b"FOVb",  # Sigma
    b"\x00MRM",  # Minolta
)
_IMAGE_BEGINNINGS = (
    *_RAW_BEGINNINGS,
    b"\xff\xd8\xff",  # JPEG
    b"\x89PNG",
    b"GIF8",
    b"II*\0",  # TIFF in both orders of bytes, then BigTIFF
    b"MM\0*",
    b"II+\0",
    b"MM\0+",
    b"8BPS",  # Photoshop
    b"\xff\x0a",  # JPEG XL, bare and in a container
    b"\0\0\0\x0cJXL ",
    b"\0\0\0\x0cjP",  # JPEG 2000, in a container and bare
    b"\xff\x4f\xff\x51",
)
_IMAGE_BRANDS = (*_HEIC_BRANDS, *_AVIF_BRANDS, b"crx ")
_AUDIO_BRANDS = (b"M4A ", b"M4B ", b"M4P ")
# Matroska and WebM, Flash Video, MPEG program stream.
_VIDEO_BEGINNINGS = (b"\x1aE\xdf\xa3", b"FLV\x01", b"\0\0\x01\xba")
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)
_SUBFILE_TYPE = 254
_SUB_IFDS = 330
_DNG_VERSION = 50706


def guess_kind(head: bytes) -> Literal["image", "video"] | None:
    """Return what a file is by its first 32 bytes; None for other files."""
    # What a RIFF or MP4 file contains is in its bytes 8 to 12, after an id and a size.
    content = head[8:12]
    is_riff = head[:4] == b"RIFF"
    # A text may begin with BM.
    header_size = int.from_bytes(head[14:18], "little")
    is_bmp = head[:2] == b"BM" and header_size in _BMP_HEADER_SIZES
    is_webp = is_riff and content == b"WEBP"
    if is_webp or is_bmp or head.startswith(_IMAGE_BEGINNINGS):
        return "image"

    if head[4:8] == b"ftyp" and content not in _AUDIO_BRANDS:
        return "image" if content in _IMAGE_BRANDS else "video"
    is_avi = is_riff and content == b"AVI "
    return "video" if is_avi or head.startswith(_VIDEO_BEGINNINGS) else None


def detect_heic(data: bytes) -> bool:
    """Return whether a file is HEIC. Raises `Unreadable` if its plugin is not installed."""
    if data[4:8] != b"ftyp" or data[8:12] not in _HEIC_BRANDS:
        return False

    # An AVIF may have a brand of HEIC first, and its own among the compatible ones.
    compatible = data[16 : int.from_bytes(data[:4], "big")][:128]
    brands = {compatible[at : at + 4] for at in range(0, len(compatible), 4)}
    if brands & {*_AVIF_BRANDS}:
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


# Tags of a TIFF (TIFF 6.0).
_BITS = 258
_MAX_SAMPLE = 281
_PLANES = 284
_SAMPLE_FORMAT = 339
_SEPARATE = 2
_SIGNED = 2
# White of 10, 12 and 14 bits, which cameras and microscopes store in 16 bits. Other values of
# MaxSampleValue are statistics, which must not change what is seen.
_CAMERA_WHITES = (1023, 4095, 16383)


def check_tiff(tags: Mapping[int, Any]) -> None:
    """Raise `Unreadable` for an opened TIFF of which Pillow returns wrong or black pixels.

    That is also the preview in a camera RAW.
    """
    # The first image of a RAW is a reduced one, and the sensor's is in another directory.
    is_reduced = tags.get(_SUBFILE_TYPE) == 1 and _SUB_IFDS in tags
    if is_reduced or _DNG_VERSION in tags:
        raise Unreadable("unsupported format", CAMERA_RAW)

    bits = max(tags.get(_BITS, (1,)))
    is_signed = bits == 8 and _SIGNED in tags.get(_SAMPLE_FORMAT, ())
    is_in_planes = bits > 8 and tags.get(_PLANES) == _SEPARATE
    is_padded = bits == 16 and max(tags.get(_MAX_SAMPLE, (0,))) in _CAMERA_WHITES
    if is_signed or is_in_planes or is_padded:
        raise Unreadable("unsupported format", UNUSUAL_TIFF)
