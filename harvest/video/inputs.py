"""Inputs of `harvest frames`: files, folders and glob patterns; each is opened in its turn."""

import glob
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.files.names import VIDEO_EXTENSIONS, format_path
from gleanset.files.store import hash_file
from gleanset.records import Origin
from gleanset.tree import walk_tree

_URL = re.compile(r"https?://", re.IGNORECASE)
_WILDCARD = re.compile(r"[*?\[]")
# With extensions that are not only of videos: TypeScript has one of them.
_EXTENSIONS = VIDEO_EXTENSIONS | {".ts", ".mts", ".vob", ".rm"}


class LocalVideo(NamedTuple):
    """Readable video; `name` is its printable path, `sha256` the hash of its bytes.

    `origin` holds what all its frames have in common: where the video was found, and its title.
    Key, time, frame and scene are set for each frame.
    """

    path: Path
    name: str
    sha256: str
    origin: Origin


def open_video(path: Path) -> LocalVideo:
    """Return a video, identified by its content. Raises `Unreadable`."""
    try:
        sha256 = hash_file(path)
    except OSError as error:
        raise Unreadable(
            "cannot be read",
            error.strerror or str(error),
        ) from error
    name = format_path(path)
    title = format_path(Path(path.name))
    # The key is that of a frame, by its time.
    origin = Origin(source="video", key="", path=name, video=sha256, title=title)
    return LocalVideo(path, name, sha256, origin)


def find_inputs(paths: Iterable[str | Path]) -> list[Path]:
    """Return the videos in the order given, without repeats.

    Files of a folder or pattern are in natural order; datasets in folders are skipped. Raises
    `UsageError` for a URL, and `InputUnusable` for a path that does not exist, and for a folder or
    pattern without videos.
    """
    videos: dict[Path, Path] = {}  # by the file that a link leads to
    for name in paths:
        if isinstance(name, str) and _URL.match(name):
            raise UsageError(
                f"videos are not downloaded: {name}",
                f"use: yt-dlp -f bv {shlex.quote(name)}; then name the file",
            )
        for file in _iter_files(Path(name)):
            videos.setdefault(file.resolve(), file)
    return list(videos.values())


def _iter_files(path: Path) -> Iterator[Path]:
    """Yield the videos that a path, or a pattern, names."""
    # Unlike `Path.exists`, this is False for a name that is too long.
    exists = os.path.exists(path)  # noqa: PTH110
    for file in [path] if exists else _expand_pattern(path):
        if file.is_dir():
            yield from _find_videos(file)
        elif file.is_file():
            yield _normalize(file)
        else:
            raise InputUnusable(
                f"{format_path(file)} is not a file", "name a file or a folder"
            )


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
    return sorted(videos or paths, key=_make_natural_key)


def _find_videos(folder: Path) -> Iterator[Path]:
    errors: list[OSError] = []
    tree = walk_tree(_normalize(folder), Counter(), errors.append)
    videos: list[Path] = []
    for parent, _, names in tree:
        videos += filter(
            _is_video,
            [parent / name for name in names],
        )
    # Folders that cannot be listed are included as if they were videos, so that they are rejected
    # with a reason.
    videos += [Path(os.fsdecode(error.filename)) for error in errors]
    if not videos:
        raise InputUnusable(
            f"there is no video in {format_path(folder)}",
            "name a video, or a folder with videos",
        )
    return iter(sorted(videos, key=_make_natural_key))


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in _EXTENSIONS


def _make_natural_key(path: Path) -> list[tuple[int, int, str]]:
    """Return a key by which numbers are sorted by value, and before letters."""
    parts = re.split(r"(\d+)", os.fspath(path).casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
