"""What `harvest frames` is given, as videos: files, folders, globs, addresses of the web.

Nothing is opened before its turn. Each input gives the videos in it, or says what is
wrong with one: a bad file never ends a run.
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

from gleanset.errors import GleansetError, InputUnusable
from gleanset.files.names import printable
from gleanset.files.store import sha256_of_file
from gleanset.records import Origin
from gleanset.tree import walk_tree
from harvest.video.file_types import is_video

_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class VideoAtHand:
    """One video at hand. `path` is where its bytes lie now, `sha256` names them.

    `origin` is what all its frames have in common: where the video was found, its title,
    its address and author. Its key, time, frame and scene are for each frame to fill in.
    """

    path: Path
    sha256: str
    origin: Origin

    @property
    def shown(self) -> str:
        """What a person knows it by: a path or an address."""
        return self.origin.url or self.origin.path or str(self.path)


@dataclass(frozen=True, slots=True)
class SampledBefore:
    """A video of the web that needs no download: its bytes were sampled before."""

    shown: str
    sha256: str


@dataclass(frozen=True, slots=True)
class UnusableInput:
    """An input that gives no video. `error` where a site or a login is to blame."""

    shown: str
    reason: str
    detail: str
    error: GleansetError | None = None


InputResult = VideoAtHand | SampledBefore | UnusableInput


class VideoInput(Protocol):
    """One thing to look for videos in."""

    @property
    def shown(self) -> str:
        """What a person knows it by."""

    def videos(self, folder: Path) -> Iterator[InputResult]:
        """Return its videos, one after another. What has to be downloaded lies in `folder`.

        A download is removed when the next video is asked for.
        """


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A file on disk."""

    path: Path

    @property
    def shown(self) -> str:
        """Its path, printable."""
        return printable(self.path)

    def videos(self, folder: Path) -> Iterator[InputResult]:
        """Yield the file itself, known by its content."""
        try:
            sha256 = sha256_of_file(self.path)
        except OSError as error:
            yield UnusableInput(self.shown, "cannot be read", error.strerror or str(error))
            return
        title = printable(Path(self.path.name))
        origin = Origin("video", "", path=self.shown, video=sha256, title=title)
        yield VideoAtHand(self.path, sha256, origin)


def is_address(place: str | Path) -> bool:
    """Return whether that is meant as an address of the web; pathlib folds `//` into one."""
    return isinstance(place, str) and bool(_ADDRESS.match(place))


def find_inputs(
    places: Iterable[str | Path], own: Path, address: Callable[[str], VideoInput] | None = None
) -> list[VideoInput]:
    """Return every input once, in the order given; those of a folder or pattern in reading order.

    `own` is the dataset, whose files are not found again; `address` makes the input of a
    URL, where there may be some. Raises `InputUnusable` for a path that is not there and
    where no video is found.
    """
    inputs: dict[str | Path, VideoInput] = {}
    for one in places:
        if address is not None and is_address(one):
            inputs.setdefault(str(one), address(str(one)))
        else:
            for path in _files(Path(one), own):
                inputs.setdefault(path.resolve(), VideoFile(path))
    return list(inputs.values())


def _files(path: Path, own: Path) -> Iterator[Path]:
    for file in [path] if _is_there(path) else _matching(path):
        if file.is_dir():
            yield from _videos_below(file, own)
        elif file.is_file():
            yield _plain(file)
        else:
            raise InputUnusable(f"{printable(file)} is not a file", "name a file or a folder")


def _plain(path: Path) -> Path:
    # The same file must have the same path in every run, and be readable to a person.
    return path.resolve() if ".." in path.parts else path.absolute()


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # such as a name that is too long
        return False


def _matching(path: Path) -> list[Path]:
    """Return what a pattern stands for that the shell left alone, as in quotes or on Windows."""
    text = os.fspath(path)
    if not _WILD.search(text):
        raise InputUnusable(f"there is no file {printable(path)}", "check its name")
    # A home is the shell's to spell out as well.
    names = glob.glob(str(path.expanduser()), recursive=True)  # noqa: PTH207
    found = [Path(name) for name in names]
    if not found:
        raise InputUnusable(f"nothing matches {printable(path)}", "check the pattern")
    # Whoever writes videos/* means the videos in it.
    meant = [one for one in found if one.is_dir() or is_video(one)]
    return sorted(meant or found, key=_reading_order)


def _videos_below(folder: Path, own: Path) -> Iterator[Path]:
    closed: list[OSError] = []
    tree = walk_tree(_plain(folder), Counter(), closed.append)
    videos = [here / name for here, _, files in tree for name in files if is_video(here / name)]
    # A folder that may not be listed comes along, to be reported in its turn.
    videos += [Path(os.fsdecode(error.filename)) for error in closed]
    if not videos:
        raise InputUnusable(
            f"there is no video in {printable(folder)}", "name the folder that holds them"
        )
    return iter(sorted(videos, key=_reading_order))


def _reading_order(path: Path) -> list[tuple[int, int, str]]:
    """Episode 2 before episode 10."""
    parts = re.split(r"(\d+)", os.fspath(path).casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts]
