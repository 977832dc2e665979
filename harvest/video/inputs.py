"""Inputs of `harvest frames`: files, folders, glob patterns and URLs.

Each input is opened only in its turn and yields its videos.
"""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gleanset.errors import InputUnusable, Unreadable
from gleanset.files.names import VIDEO_EXTENSIONS, format_path
from gleanset.files.store import hash_file
from gleanset.records import Origin
from gleanset.tree import walk_tree

_URL = re.compile(r"https?://", re.IGNORECASE)
_WILDCARD = re.compile(r"[*?\[]")
# With extensions that are not only of videos: TypeScript has one of them.
_EXTENSIONS = VIDEO_EXTENSIONS | {".ts", ".mts", ".vob", ".rm"}


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


class VideoInput(Protocol):
    """Interface of an input that may hold several videos."""

    @property
    def display_name(self) -> str:
        """Name for users."""

    def iter_videos(self, folder: Path) -> Iterator[LocalVideo]:
        """Yield the videos one by one; downloads go to `folder`.

        Raises `Unreadable` without a usable video, from the error of a site if that is the cause.
        """


@dataclass(frozen=True, slots=True)
class VideoFile:
    """Video file on disk."""

    path: Path

    @property
    def display_name(self) -> str:
        """Printable path."""
        return format_path(self.path)

    def iter_videos(self, folder: Path) -> Iterator[LocalVideo]:
        """Yield the file, identified by its content."""
        try:
            sha256 = hash_file(self.path)
        except OSError as error:
            raise Unreadable("cannot be read", error.strerror or str(error)) from error
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
    videos = [path for path in paths if path.is_dir() or _is_video(path)]
    return sorted(videos or paths, key=_natural_order)


def _find_videos(folder: Path) -> Iterator[Path]:
    errors: list[OSError] = []
    tree = walk_tree(_normalize(folder), Counter(), errors.append)
    videos = [
        parent / name for parent, _, files in tree for name in files if _is_video(parent / name)
    ]
    # Unreadable folders are included, so that they are reported in their turn.
    videos += [Path(os.fsdecode(error.filename)) for error in errors]
    if not videos:
        raise InputUnusable(
            f"there is no video in {format_path(folder)}", "name the folder that holds them"
        )
    return iter(sorted(videos, key=_natural_order))


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in _EXTENSIONS


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", os.fspath(path).casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
