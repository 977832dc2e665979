"""Inputs of `harvest frames`: files, folders, glob patterns and URLs.

Each input is opened only in its turn and yields its videos. A bad file is a result as well and
does not end the run.
"""

from __future__ import annotations

import glob
import os
import re
import struct
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from PIL import Image

from gleanset.errors import GleansetError, InputUnusable
from gleanset.files.names import VIDEO_EXTENSIONS, format_path
from gleanset.files.store import hash_file
from gleanset.records import Origin
from gleanset.tree import walk_tree

_URL = re.compile(r"https?://", re.IGNORECASE)
_WILDCARD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class LocalVideo:
    """Video that is available as a local file; `sha256` is the hash of its bytes.

    `origin` holds what all its frames have in common: where the video was found, its title,
    URL and author. Key, time, frame and scene are set for each frame. If `downloaded`, the file
    is removed after sampling.
    """

    path: Path
    sha256: str
    origin: Origin
    downloaded: bool = False

    @property
    def display_name(self) -> str:
        """Name for users: a URL or a path."""
        return self.origin.url or self.origin.path or str(self.path)


@dataclass(frozen=True, slots=True)
class KnownVideo:
    """Online video that was sampled before, so that it is not downloaded."""

    display_name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class UnusableInput:
    """Input without a usable video; `error` is set if the site caused the failure."""

    display_name: str
    reason: str
    detail: str
    error: GleansetError | None = None


InputResult = LocalVideo | KnownVideo | UnusableInput


class VideoInput(Protocol):
    """Interface of an input that may hold several videos."""

    @property
    def display_name(self) -> str:
        """Name for users."""

    def iter_videos(self, folder: Path) -> Iterator[InputResult]:
        """Yield the videos one by one; downloads go to `folder`."""


@dataclass(frozen=True, slots=True)
class VideoFile:
    """Video file on disk."""

    path: Path

    @property
    def display_name(self) -> str:
        """Printable path."""
        return format_path(self.path)

    def iter_videos(self, folder: Path) -> Iterator[InputResult]:
        """Yield the file, identified by its content."""
        try:
            sha256 = hash_file(self.path)
        except OSError as error:
            yield UnusableInput(self.display_name, "cannot be read", error.strerror or str(error))
            return
        title = format_path(Path(self.path.name))
        origin = Origin("video", "", path=self.display_name, video=sha256, title=title)
        yield LocalVideo(self.path, sha256, origin)


def is_url(name: str | Path) -> bool:
    """Return whether an input is a URL (never a `Path`)."""
    return isinstance(name, str) and bool(_URL.match(name))


def find_inputs(
    paths: Iterable[str | Path], open_url: Callable[[str], VideoInput] | None = None
) -> list[VideoInput]:
    """Return the inputs in the order given, without repeats.

    Files of a folder or pattern are in natural order; datasets in folders are skipped. `open_url`
    creates the input for a URL; without it, all are paths. Raises `InputUnusable` for a
    path that does not exist, and for a folder or pattern without videos.
    """
    inputs: dict[str | Path, VideoInput] = {}
    for name in paths:
        if open_url is not None and is_url(name):
            inputs.setdefault(str(name), open_url(str(name)))
        else:
            for file in _files(Path(name)):
                inputs.setdefault(file.resolve(), VideoFile(file))
    return list(inputs.values())


def _files(path: Path) -> Iterator[Path]:
    # Unlike `Path.exists`, this is False for a name that is too long.
    for file in [path] if os.path.exists(path) else _expand_pattern(path):  # noqa: PTH110
        if file.is_dir():
            yield from _find_videos(file)
        elif file.is_file():
            yield _normalize(file)
        else:
            raise InputUnusable(f"{format_path(file)} is not a file", "name a file or a folder")


def _normalize(path: Path) -> Path:
    # The path must be the same in every run, and readable; so links are kept if possible.
    return path.resolve() if ".." in path.parts else path.absolute()


def _expand_pattern(path: Path) -> list[Path]:
    if not _WILDCARD.search(os.fspath(path)):
        raise InputUnusable(f"there is no file {format_path(path)}", "check its name")
    # A quoted pattern reaches us with ~ unexpanded.
    paths = [Path(p) for p in glob.glob(str(path.expanduser()), recursive=True)]  # noqa: PTH207
    if not paths:
        raise InputUnusable(f"nothing matches {format_path(path)}", "check the pattern")
    # videos/* is meant to match the videos, not every file next to them.
    videos = [path for path in paths if path.is_dir() or is_video(path)]
    return sorted(videos or paths, key=_natural_order)


def _find_videos(folder: Path) -> Iterator[Path]:
    errors: list[OSError] = []
    tree = walk_tree(_normalize(folder), Counter(), errors.append)
    videos = [
        parent / name for parent, _, files in tree for name in files if is_video(parent / name)
    ]
    # Unreadable folders are included, so that they are reported in their turn.
    videos += [Path(os.fsdecode(error.filename)) for error in errors]
    if not videos:
        raise InputUnusable(
            f"there is no video in {format_path(folder)}", "name the folder that holds them"
        )
    return iter(sorted(videos, key=_natural_order))


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", os.fspath(path).casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]


# Suffixes of audio in the same containers, and of unfinished downloads.
_IGNORED_SUFFIXES = (
    *(".m4a", ".m4b", ".mka", ".oga", ".ogg", ".opus", ".spx", ".wma", ".mp3", ".flac", ".wav"),
    *(".aac", ".ac3", ".dts", ".mks"),
    *(".part", ".partial", ".crdownload", ".download", ".tmp", ".ytdl", ".aria2"),
)
_HEADER_BYTES = 1024
_IMAGE_BRANDS = (b"heic", b"heix", b"heif", b"mif1", b"avif", b"crx ", b"M4A ", b"M4B ", b"jp2 ")
_SIGNATURES = (
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
_TS_SYNC_BYTE, _TS_PACKETS = 0x47, ((0, 188), (4, 192))
# Pillow's names of image formats that may be animated.
ANIMATED_FORMATS = ("GIF", "WEBP", "PNG")
# Exceptions that Pillow raises for broken images.
IMAGE_ERRORS = (
    *(OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, RuntimeError),
    *(OverflowError, TypeError, MemoryError, struct.error),
    *(Image.DecompressionBombError, Image.DecompressionBombWarning),
)


def is_video(path: Path) -> bool:
    """Return whether a file is a video or an animated image.

    Reads the first bytes (also of GIF, WebP, APNG); an unreadable file is judged by its suffix.
    """
    suffix = path.suffix.lower()
    if suffix in _IGNORED_SUFFIXES:
        return False
    try:
        header = read_header(path)
    except OSError:
        return suffix in VIDEO_EXTENSIONS
    is_moving = is_animated(path) if has_image_signature(header) else _is_container(header)
    return is_moving or suffix in VIDEO_EXTENSIONS


def read_header(path: Path) -> bytes:
    """Return the bytes that identify the file type. Raises `OSError`."""
    with path.open("rb") as file:
        return file.read(_HEADER_BYTES)


def has_image_signature(head: bytes) -> bool:
    """Return whether a file begins like a GIF, PNG or WebP."""
    return head.startswith((b"GIF8", b"\x89PNG")) or (head[:4], head[8:12]) == (b"RIFF", b"WEBP")


def is_animated(path: Path) -> bool:
    """Return whether an image is animated; False for a broken one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=ANIMATED_FORMATS) as image:
                return bool(getattr(image, "is_animated", False))
    except IMAGE_ERRORS:
        return False


def _is_container(header: bytes) -> bool:
    if header[:4] == b"RIFF":
        return header[8:12] == b"AVI "
    if header[4:8] == b"ftyp":
        return not header[8:12].startswith(_IMAGE_BRANDS)
    return (
        header.startswith(_SIGNATURES)
        or header[4:8] in (b"moov", b"mdat", b"wide")
        or _is_ts(header)
    )


def _is_ts(header: bytes) -> bool:
    # Packets of 188 bytes, or of 192 on Blu-ray, each with the same sync byte.
    return any(
        len(header) > start + 3 * size
        and all(header[start + n * size] == _TS_SYNC_BYTE for n in range(4))
        for start, size in _TS_PACKETS
    )
