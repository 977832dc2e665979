"""Which files of a folder are worth giving to ffmpeg: told by their first bytes, then by name."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

from PIL import Image

from gleanset.files.names import VIDEOS

# The same containers without pictures that move, and what a download left behind.
_LEFT_OUT = frozenset(
    {
        ".m4a",
        ".m4b",
        ".mka",
        ".oga",
        ".ogg",
        ".opus",
        ".spx",
        ".wma",
        ".mp3",
        ".flac",
        ".wav",
        ".aac",
        ".ac3",
        ".dts",
        ".mks",
        ".part",
        ".partial",
        ".crdownload",
        ".download",
        ".tmp",
        ".ytdl",
        ".aria2",
    }
)
_HEAD = 1024
_STILLS = (b"heic", b"heix", b"heif", b"mif1", b"avif", b"crx ", b"M4A ", b"M4B ", b"jp2 ")
_STARTS = (
    b"\x1aE\xdf\xa3",  # Matroska, WebM (EBML)
    b"OggS",
    b"FLV\x01",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
    b".RMF",
    b"\x00\x00\x01\xba",  # MPEG programme stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"DKIF",  # IVF
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01",  # MXF
)
_SYNC, _PACKETS = 0x47, ((0, 188), (4, 192))
# Pictures that may move, by the names that Pillow has for them.
PICTURE_FORMATS = ("GIF", "WEBP", "PNG")
# What Pillow answers broken pictures with.
BROKEN_PICTURE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    RuntimeError,
    OverflowError,
    TypeError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def is_video(path: Path) -> bool:
    """Return whether a file looks like a video, or like a picture that moves (GIF, WebP, APNG).

    Reads a few bytes. A file that cannot be read counts by its name.
    """
    suffix = path.suffix.lower()
    if suffix in _LEFT_OUT:
        return False
    try:
        head = first_bytes(path)
    except OSError:
        return suffix in VIDEOS
    moving = picture_moves(path) if is_picture(head) else _is_container(head)
    return moving or suffix in VIDEOS


def first_bytes(path: Path) -> bytes:
    """Return what tells a video from other files. Raises `OSError`."""
    with path.open("rb") as file:
        return file.read(_HEAD)


def is_picture(head: bytes) -> bool:
    """Return whether a file is a picture that may move, by its first bytes."""
    return head.startswith((b"GIF8", b"\x89PNG")) or (head[:4], head[8:12]) == (b"RIFF", b"WEBP")


def picture_moves(path: Path) -> bool:
    """Return whether such a picture has several frames; one that is broken has none."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=PICTURE_FORMATS) as image:
                return bool(getattr(image, "is_animated", False))
    except BROKEN_PICTURE:
        return False


def _is_container(head: bytes) -> bool:
    if head[:4] == b"RIFF":
        return head[8:12] == b"AVI "
    if head[4:8] == b"ftyp":
        return not head[8:12].startswith(_STILLS)
    return head.startswith(_STARTS) or head[4:8] in (b"moov", b"mdat", b"wide") or _is_ts(head)


def _is_ts(head: bytes) -> bool:
    # 188 bytes a packet, or 192 on Blu-ray, each beginning with the same byte.
    return any(
        len(head) > start + 3 * size and all(head[start + n * size] == _SYNC for n in range(4))
        for start, size in _PACKETS
    )
