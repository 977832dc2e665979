"""Import plans: the commands for dropped files, and for searches."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gleanset.files.names import ARCHIVE_EXTENSIONS, VIDEO_EXTENSIONS
from gleanset.records import SPLITS
from gleanset.tree import DATASET, VIDEO

_NOT_A_NAME = re.compile(
    r"([\W\d_]*(all|cop(y|ies)|crop(s|ped)?|data|(data)?sets?|detected|downloads?|faces?|files?|"
    r"folders?|frames?|images?|imgs?|misc|more|my|new|old|others?|photos?|pics?|pictures?|raw|"
    r"samples?|screenshots?|(un)?sorted|temp|tmp|test|train|val|untitled|videos?|"
    r"新しいフォルダー?|画像|写真|顔|新建文件夹|图片|照片|人脸))*[\W\d_]*",
    re.IGNORECASE,
)
"""Matches names of folders that say what is in them, but not who."""

MAX_COMMAND_CHARACTERS = 20_000
"""Characters of paths in one command; the limit of Windows is about 32,000."""


class DroppedPaths(NamedTuple):
    """Dropped paths by kind; `files` are images and archives."""

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
        # The folder of a single file was not dropped, so its name is not a weak label.
        parts += [(part, []) for part in _split_into_commands(self.files)]
        return [
            ["harvest", "folder", *part, *options, *_common_options(root, label)]
            for part, options in parts
        ]


def _common_options(root: Path, label: str | None = None) -> list[str]:
    return [
        *([] if label is None else ["--label", label]),
        "-d",
        str(root.absolute()),
    ]


def sort_paths(paths: Sequence[Path]) -> DroppedPaths:
    """Sort paths by kind; other files are left out."""
    # Imported here, because image codecs are slow to load and not needed to start a window.
    from gleanset.images.decode import IMAGE_EXTENSIONS

    kinds: dict[str, list[Path]] = {
        "folders": [],
        "files": [],
        "videos": [],
    }
    for path in dict.fromkeys(paths):
        ending = path.suffix.lower()
        if path.is_dir():
            kinds["folders"].append(path)
        elif ending in VIDEO_EXTENSIONS:
            kinds["videos"].append(path)
        elif ending in IMAGE_EXTENSIONS or ending in ARCHIVE_EXTENSIONS:
            kinds["files"].append(path)

    return DroppedPaths(
        **{kind: tuple(kind_paths) for kind, kind_paths in kinds.items()}
    )


class NamedFiles(msgspec.Struct, frozen=True):
    """The first files of a kind, as a result names them."""

    files: list[str] = []


class CommandFacts(msgspec.Struct, frozen=True):
    """What the window reads of the result of any command; what a result lacks is empty.

    The names are those of `--json`. `faces` is None if no faces were searched. `train`, `val` and
    `test` are sizes after a split; after a training, the last two are metrics.
    """

    added: int = 0
    candidates: int = 0
    known: int = 0
    duplicate: int = 0
    faces: int | None = None
    without_face: int = 0
    looked_at: int | None = None
    exported: int = 0
    train: int | None = None
    val: int | dict[str, Any] | None = None
    test: int | dict[str, Any] | None = None
    splits: dict[str, int] = {}
    left_out: dict[str, int] = {}
    hints: dict[str, int] = {}
    ignored_reasons: dict[str, int] = {}
    uneven: list[str] = []
    short: list[str] = []
    few_test_images: list[str] = []
    warnings: list[str] = []
    rejected_files: NamedFiles = NamedFiles()
    unreadable_videos: NamedFiles = NamedFiles()
    no_results: bool = False
    to: str | None = None
    timeline: str | None = None
    report: str | None = None

    @property
    def unreadable(self) -> list[str]:
        """Files that could not be read, with the reasons."""
        return self.rejected_files.files + self.unreadable_videos.files

    @property
    def split_sizes(self) -> dict[str, int]:
        """The number of samples in each split, after a split or an export."""
        own = {
            "train": self.train,
            "val": self.val,
            "test": self.test,
        }
        sizes: dict[str, Any] = self.splits or own
        return {
            name: sizes[name] for name in SPLITS if isinstance(sizes.get(name), int)
        }

    @property
    def split_warnings(self) -> tuple[list[str], ...]:
        """Lists of warnings of a split; an export would repeat them."""
        is_split = self.train is not None
        return (self.uneven, self.short, self.few_test_images) if is_split else ()


@dataclass
class SimulatedImport:
    """Results of `harvest folder --simulate`, summed over several commands.

    `hints` counts images by weak label, `videos` counts the videos in each folder; `error` is the
    error with its fix.
    """

    images: int = 0
    known_images: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    hints: Counter[str] = field(default_factory=Counter)
    videos: Counter[Path] = field(default_factory=Counter)
    error: str = ""

    @property
    def has_class_folders(self) -> bool:
        """Whether there are several folders with names, and no image outside of them."""
        return (
            len(self.hints) > 1
            and self.hints.total() >= self.images + self.known_images
            and not any(map(_NOT_A_NAME.fullmatch, self.hints))
        )

    def add(self, path: Path, facts: CommandFacts) -> None:
        """Add the result of a command for a path."""
        ignored = Counter(facts.ignored_reasons)
        if path.is_dir() and (videos := ignored.pop(VIDEO, 0)):
            self.videos[path] += videos
        # Files of a dataset are not mentioned. A Counter ignores a missing key here.
        del ignored[DATASET]
        self.images += facts.candidates
        self.known_images += facts.known + facts.duplicate
        self.ignored.update(ignored)
        self.hints.update(facts.hints)
        # Images without a weak label.
        del self.hints["none"]


def import_commands(
    root: Path,
    dropped: DroppedPaths,
    *,
    whole_images: bool = False,
    hints: bool = False,
    label: str | None = None,
    video_folders: Iterable[Path] = (),
) -> list[list[str]]:
    """Return the commands that import dropped files, in order.

    With `whole_images` each image is a sample as it is, otherwise faces are detected. With `hints`
    folder names are weak labels; `label` is the weak label of everything. `video_folders` are the
    folders that contain videos.
    """
    videos = _split_into_commands((*video_folders, *dropped.videos))
    sampling = ["gleanset", "episodes"]
    if whole_images or label is not None:
        sampling = ["harvest", "frames"]
    return [
        *dropped.harvest(root, hints=hints, label=label),
        *([*sampling, *part, *_common_options(root, label)] for part in videos),
        _make_samples(root, whole_images),
    ]


def search_commands(
    root: Path, words: str, site: str, limit: int, *, whole_images: bool
) -> list[list[str]]:
    """Return the commands that import `limit` images, found on a site by words, in order."""
    options = [
        "--limit",
        str(limit),
        "--source",
        site,
        *_common_options(root),
    ]
    # The space is removed again; without it, -words would be an option.
    return [
        ["harvest", "keyword", f" {words}", *options],
        _make_samples(root, whole_images),
    ]


def _make_samples(root: Path, whole_images: bool) -> list[str]:
    detector = ["--detector", "whole"] if whole_images else []
    return [
        "facecrop",
        "run",
        "--new",
        *detector,
        *_common_options(root),
    ]


def _split_into_commands(paths: Sequence[Path]) -> Iterator[list[str]]:
    part: list[str] = []
    for path in map(str, paths):
        if part and sum(map(len, part)) + len(path) > MAX_COMMAND_CHARACTERS:
            yield part
            part = []
        part.append(path)
    if part:
        yield part
