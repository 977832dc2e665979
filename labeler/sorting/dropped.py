"""What was dropped or lies in a folder: how many of what, and how all of it is taken in.

Pictures that are samples as they are, the window takes in itself (`drop_import`). What faces are
to be found in is taken in by our own commands, one after the other: each knows what it has done
already, so that a list of them that was stopped goes on when it is begun again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from gleanset.dataset import is_dataset
from gleanset.db.statistics import CUT_SHAPE, CUT_SIDE
from gleanset.errors import Unreadable
from gleanset.files.names import ARCHIVES, VIDEOS, class_folder, visible_files
from gleanset.tree import splits_below

LOOK_SECONDS = 0.5
"""So long is looked into folders at most: a person waits."""

LOOKED_AT = 24
"""So many pictures are asked for their size."""

MOST_LETTERS = 20_000
"""Letters of paths in one command: Windows takes some 32,000."""


class HowTaken(StrEnum):
    """What becomes of what was dropped."""

    FIND = "find"
    FACES = "faces"
    WHOLE = "whole"


class DroppedPath(NamedTuple):
    """One path, and how many pictures, videos and archives it is or holds."""

    path: Path
    pictures: int = 0
    videos: int = 0
    archives: int = 0
    is_folder: bool = False


class DropResult(NamedTuple):
    """What a drop gave: its step (0 for none), samples, files that were no pictures."""

    step: int
    samples: int
    rejected: int


class DroppedFiles(NamedTuple):
    """All that was dropped. `folders` are names of class folders, the fullest first.

    `cut` says that the pictures look like faces that are cut already, `complete` that there was
    time to look at all of it.
    """

    paths: tuple[DroppedPath, ...] = ()
    folders: tuple[str, ...] = ()
    cut: bool = False
    complete: bool = True

    @property
    def pictures(self) -> int:
        """How many pictures there are, by their names."""
        return sum(one.pictures for one in self.paths)

    @property
    def videos(self) -> int:
        """How many videos there are, by their names."""
        return sum(one.videos for one in self.paths)

    @property
    def archives(self) -> int:
        """How many archives were dropped themselves."""
        return sum(one.archives for one in self.paths)

    def __bool__(self) -> bool:
        return bool(self.pictures or self.videos or self.archives)

    @property
    def guess(self) -> HowTaken:
        """What a person most likely wants."""
        return HowTaken.FACES if self.cut else HowTaken.FIND

    @property
    def by_class(self) -> bool:
        """Whether the folders look like one for each class."""
        return len(self.folders) > 1


def look_at(paths: Sequence[Path], seconds: float = LOOK_SECONDS) -> DroppedFiles:
    """Count what was dropped, by the names of the files; datasets and hidden files are left out."""
    end = time.monotonic() + seconds
    dropped: list[DroppedPath] = []
    folders: Counter[str] = Counter()
    some: list[Path] = []
    complete = True
    for path in paths:
        here = DroppedPath(path, is_folder=path.is_dir())
        hinted = folder_hints(path)
        for file in files_in(path):
            kind = _kind(file, file == path)
            if kind is None:
                continue
            here = here._replace(**{kind: getattr(here, kind) + 1})
            if kind == "pictures":
                some.append(file)
                if (name := hinted(file)) is not None:
                    folders[name] += 1
            if time.monotonic() > end:
                complete = False
                break
        dropped.append(here)
    names = tuple(name for name, _ in folders.most_common())
    return DroppedFiles(tuple(dropped), names, _look_cut(some), complete)


def folder_hints(path: Path) -> Callable[[Path], str | None]:
    """Return what hints at the class of a file in a dropped folder: its class folder.

    A folder without folders is one itself; the folder that a single file comes from was not
    dropped, and its name hints at nothing.
    """
    if not path.is_dir():
        return lambda file: None
    loose = () if any(map(_may_be_class, path.iterdir())) else (path.name,)
    splits = splits_below(path)
    return lambda file: class_folder(file.relative_to(path).parts[:-1] or loose, splits=splits)


def _may_be_class(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".") and not is_dataset(path)


def files_in(path: Path) -> Iterator[Path]:
    """Yield the files in a folder and below it in a fixed order, or the one file that it is.

    What is hidden and what is a dataset is left out.
    """
    if not path.is_dir():
        yield path
        return
    for folder, folders, files in visible_files(path):
        if is_dataset(folder):
            folders.clear()
            continue
        yield from (folder / name for name in files)


def _kind(file: Path, dropped_itself: bool) -> str | None:
    # What reads pictures takes a while to load, and a window is there before the first drop.
    from gleanset.images.decode import ENDINGS

    ending = file.suffix.lower()
    if ending in ENDINGS:
        return "pictures"
    if ending in VIDEOS:
        return "videos"
    return "archives" if dropped_itself and ending in ARCHIVES else None


def _look_cut(pictures: Sequence[Path]) -> bool:
    """Return whether most of some pictures are as small, and about as square, as cut faces."""
    from gleanset.images.decode import size_said

    step = max(len(pictures) // LOOKED_AT, 1)
    votes = []
    for path in pictures[::step][:LOOKED_AT]:
        try:
            short, long = sorted(size_said(path))
        except Unreadable:
            continue
        votes.append(long <= CUT_SIDE and long <= CUT_SHAPE * short)
    return 4 * sum(votes) >= 3 * len(votes) > 0


class TakePlan(NamedTuple):
    """What is to be taken in, and how.

    With `hints` the name of a folder is what is hinted for the pictures in it; `label` is the
    class that it was dropped on.
    """

    dropped: DroppedFiles
    how: HowTaken
    hints: bool = False
    label: str | None = None

    @property
    def direct(self) -> list[Path]:
        """The paths that the window takes in itself."""
        if self.how is HowTaken.FIND:
            return []
        paths = self.dropped.paths
        return [one.path for one in paths if one.pictures or not (one.videos or one.archives)]

    def commands(self, root: Path) -> list[list[str]]:
        """Return the commands that take in the rest, in their order."""
        paths, find = self.dropped.paths, self.how is HowTaken.FIND
        pictures = [path for path in paths if path.archives or (find and path.pictures)]
        videos = [str(path.path) for path in paths if path.videos]
        search = ["facecrop", "run", "--new"]
        whole = [*search, "--detector", "whole"]
        stills, frames = [*self._harvest_pictures(pictures)], [*self._harvest("frames", videos)]
        after_stills = search if find else whole
        after_frames = whole if self.how is HowTaken.WHOLE else search
        if stills and (after_stills != after_frames or not frames):
            stills.append(after_stills)
        if frames:
            frames.append(after_frames)
        return [[*words, "-d", str(root.absolute())] for words in (*stills, *frames)]

    def _harvest_pictures(self, pictures: Sequence[DroppedPath]) -> Iterator[list[str]]:
        # The folder that a single file comes from was not dropped: its name hints at nothing.
        folders = [str(one.path) for one in pictures if one.is_folder]
        files = [str(one.path) for one in pictures if not one.is_folder]
        hints = ["--hints-from-folders"] if self.hints and self.label is None else []
        yield from self._harvest("folder", folders, *hints)
        yield from self._harvest("folder", files)

    def _harvest(self, command: str, paths: Sequence[str], *options: str) -> Iterator[list[str]]:
        label = [] if self.label is None else ["--label", self.label]
        for part in _parts(paths):
            yield ["harvest", command, *part, *options, *label]


def _parts(paths: Sequence[str]) -> Iterator[list[str]]:
    """Yield the paths in parts, none with more letters than a command may have."""
    part: list[str] = []
    for path in paths:
        if part and sum(map(len, part)) + len(path) > MOST_LETTERS:
            yield part
            part = []
        part.append(path)
    if part:
        yield part
