"""Which files of a folder are worth giving to ffmpeg: told by their first bytes, then by name."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

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


def is_video(path: Path) -> bool:
    """Return whether a file looks like a video, or like a picture that moves (GIF, WebP, APNG).

    Reads a few bytes. A file that cannot be read counts by its name.
    """
    suffix = path.suffix.lower()
    if suffix in _LEFT_OUT:
        return False
    try:
        with path.open("rb") as file:
            return moves(file) or suffix in VIDEOS
    except OSError:
        return suffix in VIDEOS


def moves(file: BinaryIO) -> bool:
    """Return whether the content is a video container or an animated picture."""
    head = file.read(_HEAD)
    if head.startswith((b"GIF87a", b"GIF89a")):
        return _gif_moves(file, head)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png_moves(file)
    if head[:4] == b"RIFF":
        return head[8:12] == b"AVI " or _webp_moves(head)
    if head[4:8] == b"ftyp":
        return not head[8:12].startswith(_STILLS)
    return head.startswith(_STARTS) or head[4:8] in (b"moov", b"mdat", b"wide") or _is_ts(head)


def _is_ts(head: bytes) -> bool:
    # 188 bytes a packet, or 192 on Blu-ray, each beginning with the same byte.
    return any(
        len(head) > start + 3 * size and all(head[start + n * size] == _SYNC for n in range(4))
        for start, size in _PACKETS
    )


def _webp_moves(head: bytes) -> bool:
    # The extended header's second flag bit says so (WebP Container Specification).
    return head[8:16] == b"WEBPVP8X" and len(head) > 20 and bool(head[20] & 2)


def _png_moves(file: BinaryIO) -> bool:
    """An APNG has its `acTL` chunk before the first `IDAT`."""
    file.seek(8)
    while len(chunk := file.read(8)) == 8:
        if chunk[4:] in (b"acTL", b"IDAT"):
            return chunk[4:] == b"acTL"
        file.seek(int.from_bytes(chunk[:4], "big") + 4, 1)
    return False


def _gif_moves(file: BinaryIO, head: bytes) -> bool:
    """A GIF with a second picture (GIF89a, sections 18 to 24)."""
    file.seek(13 + _colours(head[10:11]))
    pictures = 0
    while (kind := file.read(1)) in (b"\x2c", b"\x21"):
        if kind == b"\x2c":
            pictures += 1
            if pictures == 2:
                return True
            file.seek(_colours(file.read(9)[8:9]), 1)
        file.seek(1, 1)
        while size := file.read(1)[:1]:
            if size == b"\0":
                break
            file.seek(size[0], 1)
    return False


def _colours(flags: bytes) -> int:
    """Bytes of the colour table that a packed field announces."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0
