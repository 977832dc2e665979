"""What a drop runs: `harvest folder`, `harvest frames` and `facecrop run`, in this order."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gleanset.db.statistics import MAX_CROP_ASPECT, MAX_CROP_SIDE
from gleanset.errors import Unreadable
from gleanset.files.names import ARCHIVES, VIDEOS, visible_files
from gleanset.tree import VIDEO

LOOK_SECONDS = 0.5
"""Time limit for reading image sizes: a person waits."""

SAMPLED_IMAGES = 24
"""Images whose size is read."""

MAX_COMMAND_LETTERS = 20_000
"""Letters of paths in one command: Windows takes some 32,000."""


class DroppedPaths(NamedTuple):
    """What was dropped, by kind; `files` are images and archives."""

    folders: tuple[Path, ...] = ()
    files: tuple[Path, ...] = ()
    videos: tuple[Path, ...] = ()

    def __bool__(self) -> bool:
        return any(self)

    def harvest(
        self, root: Path, *, hints: bool = False, label: str | None = None
    ) -> list[list[str]]:
        """Return the commands that import folders, images and archives."""
        hinted = ["--hints-from-folders"] if hints and label is None else []
        parts = [([str(folder)], hinted) for folder in self.folders]
        # The folder of a single file was not dropped: its name hints at nothing.
        parts += [(part, []) for part in _parts(self.files)]
        return [
            ["harvest", "folder", *part, *options, *_last_words(root, label)]
            for part, options in parts
        ]


def _last_words(root: Path, label: str | None = None) -> list[str]:
    return [*([] if label is None else ["--label", label]), "-d", str(root.absolute())]


def sort_paths(paths: Sequence[Path]) -> DroppedPaths:
    """Sort paths by kind; files that are neither an image, an archive nor a video are left out."""
    # What reads images takes a while to load, and a window is there before the first drop.
    from gleanset.images.decode import ENDINGS

    kinds: dict[str, list[Path]] = {"folders": [], "files": [], "videos": []}
    for path in dict.fromkeys(paths):
        ending = path.suffix.lower()
        if path.is_dir():
            kinds["folders"].append(path)
        elif ending in VIDEOS:
            kinds["videos"].append(path)
        elif ending in ENDINGS or ending in ARCHIVES:
            kinds["files"].append(path)
    return DroppedPaths(**{kind: tuple(some) for kind, some in kinds.items()})


def look_like_faces(dropped: DroppedPaths, seconds: float = LOOK_SECONDS) -> bool:
    """Return whether most images are as small, and about as square, as cut faces."""
    from gleanset.images.decode import size_said

    end = time.monotonic() + seconds
    images = []
    for path in _images(dropped):
        images.append(path)
        if time.monotonic() > end:
            break
    step = max(len(images) // SAMPLED_IMAGES, 1)
    votes = []
    for path in images[::step][:SAMPLED_IMAGES]:
        try:
            short, long = sorted(size_said(path))
        except Unreadable:
            continue
        votes.append(long <= MAX_CROP_SIDE and long <= MAX_CROP_ASPECT * short)
    return 4 * sum(votes) >= 3 * len(votes) > 0


def _images(dropped: DroppedPaths) -> Iterator[Path]:
    from gleanset.images.decode import ENDINGS

    every = (
        here / name
        for folder in dropped.folders
        for here, _, names in visible_files(folder)
        for name in names
    )
    for path in (*dropped.files, *every):
        if path.suffix.lower() in ENDINGS:
            yield path


@dataclass
class SimulatedImport:
    """What `harvest folder --simulate` reports, summed over its commands.

    `hints` counts images by the class that a folder or a label hints at; `videos` counts the videos
    in each folder; `error` says why it failed, with the hint.
    """

    images: int = 0
    known: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    hints: Counter[str] = field(default_factory=Counter)
    videos: Counter[Path] = field(default_factory=Counter)
    error: str = ""

    def add(self, path: Path, result: Mapping[str, object]) -> None:
        """Add the result of a command that begins with this path."""
        ignored = Counter(_counts(result.get("ignored_reasons")))
        if path.is_dir() and (videos := ignored.pop(VIDEO, 0)):
            self.videos[path] += videos
        self.images += _number(result.get("candidates"))
        self.known += _number(result.get("known"))
        self.ignored.update(ignored)
        self.hints.update(_counts(result.get("hints")))
        del self.hints["none"]


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _counts(value: object) -> dict[str, int]:
    items = value.items() if isinstance(value, dict) else ()
    return {str(name): _number(count) for name, count in items}


class ImportPlan(NamedTuple):
    """What is imported, and how.

    With `whole` each image is a sample as it is, else faces are searched. With `hints` the name of
    a folder is the hint of the images in it; `label` is the class that all of it hints at.
    `video_folders` are the folders that hold videos.
    """

    dropped: DroppedPaths
    whole: bool = False
    hints: bool = False
    label: str | None = None
    video_folders: tuple[Path, ...] = ()

    def commands(self, root: Path) -> list[list[str]]:
        """Return the commands in their order."""
        videos = _parts((*self.video_folders, *self.dropped.videos))
        return [
            *self.dropped.harvest(root, hints=self.hints, label=self.label),
            *(["harvest", "frames", *part, *_last_words(root, self.label)] for part in videos),
            [
                *("facecrop", "run", "--new"),
                *(["--detector", "whole"] if self.whole else []),
                *_last_words(root),
            ],
        ]


def _parts(paths: Sequence[Path]) -> Iterator[list[str]]:
    part: list[str] = []
    for path in map(str, paths):
        if part and sum(map(len, part)) + len(path) > MAX_COMMAND_LETTERS:
            yield part
            part = []
        part.append(path)
    if part:
        yield part
