"""Labelled images, as the readers of other tools' files return them."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self

from gleanset.credit import NOTHING, Credit
from gleanset.errors import InputUnusable
from gleanset.files.names import leads_out
from gleanset.named_files import short_name
from gleanset.records import Rectangle
from gleanset.source_table import is_source_table
from gleanset.tree import NOT_AN_IMAGE, TABLE, ignored_reason, walk_tree

MAX_TEXT_BYTES = 500_000_000
MAX_COORDINATE = 1e9
_NUMBER = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?")
_MIN_NUMBERS = 3
FRACTIONS = (1.0, 1.0)
"""The frame of boxes in fractions of the image."""

Frame = tuple[float, float]
"""Width and height of the image in whose pixels boxes are given."""


class PictureSource(NamedTuple):
    """What a table says of an image: where it came from, and its split in an export of ours."""

    credit: Credit = NOTHING
    title: str | None = None
    original_path: str | None = None
    split: str | None = None


@dataclass(frozen=True, slots=True)
class LabelledPicture:
    """An image with its labels: each of a box, or of the whole image (None).

    Boxes are in pixels of `frame`; without one in pixels of the upright image. `original_path` is
    its path below the folder that was named.
    """

    path: Path
    labels: tuple[tuple[Rectangle | None, str], ...]
    frame: Frame | None = None
    credit: Credit = NOTHING
    group: str | None = None
    title: str | None = None
    original_path: str | None = None


@dataclass
class ImportTree:
    """The files below a folder: `images`, `others` that may hold labels, and what is ignored."""

    root: Path
    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    ignored: Counter[str] = field(default_factory=Counter)
    unreadable: list[OSError] = field(default_factory=list)

    @classmethod
    def of(cls, root: Path) -> Self:
        """Walk a folder; linked folders are entered."""
        tree = cls(root)
        walk = walk_tree(root, tree.ignored, tree.unreadable.append, links=True)
        for path in (folder / name for folder, _, files in walk for name in files):
            if (reason := ignored_reason(path)) is None:
                tree.images.append(path)
            elif reason == NOT_AN_IMAGE and not is_source_table(path):
                tree.others.append(path)
            else:
                tree.ignored[TABLE if is_source_table(path) else reason] += 1
        tree.images.sort()
        tree.others.sort()
        return tree

    def count(self) -> int:
        """Return how many files there are."""
        return len(self.images) + len(self.others) + self.ignored.total()

    def ending(self, *endings: str) -> Iterator[Path]:
        """Yield the other files whose lower-case names end so, those nearest to the root first."""
        for path in sorted(self.others, key=lambda path: len(path.parts)):
            if path.name.lower().endswith(endings):
                yield path


class ImageFinder:
    """Finds the image that a table names, only among those below a folder."""

    def __init__(self, tree: ImportTree) -> None:
        self._root = tree.root
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self._by_stem: dict[str, list[Path]] = defaultdict(list)
        for path in tree.images:
            self._by_name[_folded(path.name)].append(path)
            self._by_stem[_folded(path.stem)].append(path)

    def named(self, name: str, table: Path) -> Path | None:
        """Return the image that fits a path best; a part of the path may be elsewhere.

        Separators may be those of Windows, and the path one of another computer. None where no
        image has that name, or several fit as well.
        """
        parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")]
        if not parts:
            return None
        last = _folded(parts[-1])
        paths = self._by_name.get(last) or self._by_stem.get(last) or []
        return self._best(paths, parts, table)

    def beside(self, table: Path) -> Path | None:
        """Return the image with the stem of a file, in its folder or one called images."""
        below = PurePosixPath(*table.relative_to(self._root).parts).with_suffix("")
        return self._best(self._by_stem.get(_folded(table.stem), ()), below.parts, table)

    def _best(self, paths: Sequence[Path], parts: Sequence[str], table: Path) -> Path | None:
        scores = [(self._score(path, parts, table), path) for path in paths]
        best = max((score for score, _ in scores), default=None)
        chosen = [path for score, path in scores if score == best]
        return chosen[0] if len(chosen) == 1 else None

    def _score(self, path: Path, parts: Sequence[str], table: Path) -> tuple[int, ...]:
        inside = path.relative_to(self._root).parts
        above = table.relative_to(self._root).parts[:-1]
        words = set(re.split(r"[\W_]+", _folded(table.stem)))
        is_name = _folded(parts[-1]) == _folded(path.name)
        last = PurePosixPath(parts[-1]).stem if is_name else parts[-1]
        return (
            _common(reversed((*inside[:-1], path.stem)), reversed((*parts[:-1], last))),
            int(path.name == parts[-1]),
            sum(_folded(part) in words for part in inside[:-1]),
            _common(inside, above),
            int(any("images" in _folded(part) for part in inside[:-1])),
            -len(inside),
        )


def _common(first: Iterable[str], second: Iterable[str]) -> int:
    number = 0
    for a, b in zip(first, second, strict=False):
        if _folded(a) != _folded(b):
            break
        number += 1
    return number


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def visible_images(root: Path, ignored: Counter[str]) -> Iterator[Path]:
    """Yield the images below a folder by their paths; the other files are counted by reason."""
    walk = walk_tree(root, ignored)
    for path in sorted(folder / name for folder, _, files in walk for name in files):
        if (reason := ignored_reason(path)) is None:
            yield path
        else:
            ignored[reason] += 1


@dataclass
class LabelledFiles:
    """What a reader made of a folder. `unlabelled` says why any other image has no label.

    `refused` has the reason and the detail of images whose label cannot be used, `missing` names
    without an image, and `dropped` annotations that were left out, with the reason of each.
    """

    kind: str
    tree: ImportTree
    unlabelled: str
    tables: set[Path] = field(default_factory=set)
    refused: dict[Path, tuple[str, str]] = field(default_factory=dict)
    ignored: dict[Path, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    dropped: list[tuple[str, str]] = field(default_factory=list)
    splits: frozenset[str] = frozenset()
    note: str = ""
    sources: dict[Path, PictureSource] = field(default_factory=dict)
    _labels: dict[Path, dict[tuple[Rectangle | None, str], None]] = field(default_factory=dict)
    _frames: dict[Path, Frame] = field(default_factory=dict)

    def label(
        self, path: Path, label: str, box: Rectangle | None = None, frame: Frame | None = None
    ) -> None:
        """Add a label of an image, or of a box in it; twice the same is one."""
        self._labels.setdefault(path, {})[box, label] = None
        if frame is not None:
            self._frames[path] = frame

    def annotate(
        self,
        path: Path,
        label: str | None,
        read_box: Callable[[], Rectangle | None],
        frame: Frame | None,
    ) -> None:
        """Add a label of a box; an annotation that cannot be used is dropped."""
        try:
            box = read_box()
        except ValueError as error:
            self.drop(path, str(error))
        else:
            if label is None:
                self.drop(path, "annotation without a known class")
            else:
                self.label(path, label, box, frame)

    def drop(self, path: Path, reason: str) -> None:
        """Note an annotation of an image, or in a table, that is left out."""
        self.ignored[path] = "no annotation can be used"
        self.dropped.append((short_name(str(path)), reason))

    @property
    def pictures(self) -> list[LabelledPicture]:
        """The images with labels, in the order of their paths."""
        return [
            LabelledPicture(path, tuple(labels), self._frames.get(path))
            for path, labels in sorted(self._labels.items())
            if path not in self.refused
        ]

    def listed(self) -> list[Path]:
        """Return the images that a table names, with a label or without."""
        return [path for path in self.tree.images if path in self._labels or path in self.ignored]

    def classes(self) -> Counter[str]:
        """Return how many labels there are of each class."""
        return Counter(label for picture in self.pictures for _, label in picture.labels)

    def ignored_counts(self) -> Counter[str]:
        """Return how many files of the folder are neither labelled nor refused, by reason."""
        counts = Counter(self.tree.ignored)
        for path in self.tree.images:
            if path not in self._labels and path not in self.refused:
                counts[self.ignored.get(path, self.unlabelled)] += 1
        for path in self.tree.others:
            counts["file with labels" if path in self.tables else NOT_AN_IMAGE] += 1
        return counts


def text_of(file: Path) -> str:
    """Return a text in UTF-8, or in UTF-16 with a mark. Raises `InputUnusable`."""
    try:
        if file.stat().st_size > MAX_TEXT_BYTES:
            raise InputUnusable(f"{file} is larger than {MAX_TEXT_BYTES} bytes", "split it")
        data = file.read_bytes()
        marked = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = data.decode("utf-16" if marked else "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputUnusable(f"cannot read {file}: {error}", "save it as UTF-8") from error
    if "\0" in text:
        raise InputUnusable(f"cannot read {file}: not a text in UTF-8", "save it as UTF-8")
    return text


def has_coordinates(line: str) -> bool:
    """Return whether a line is mostly numbers, as in label files of many forms."""
    parts = [part for part in re.split(r"[\s,;]+", line) if part]
    numbers = sum(_NUMBER.fullmatch(part) is not None for part in parts)
    return numbers >= _MIN_NUMBERS and 2 * numbers > len(parts)


def rectangle(values: Any) -> Rectangle:
    """Return `[x, y, width, height]` as numbers. Raises `ValueError` with what is wrong."""
    try:
        x, y, width, height = map(float, values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("not a box of x, y, width, height") from error
    if not all(abs(number) <= MAX_COORDINATE for number in (x, y, width, height)):
        raise ValueError("not a box of x, y, width, height")
    if width <= 0 or height <= 0:
        raise ValueError("box without area")
    return x, y, width, height


def corners(values: Sequence[Any]) -> Rectangle:
    """Return the box of its left, top, right and bottom. Raises `ValueError` as `rectangle`."""
    try:
        left, top, right, bottom = map(float, values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("not a box of xmin, ymin, xmax, ymax") from error
    return rectangle((left, top, right - left, bottom - top))


def around(points: Sequence[float]) -> Rectangle:
    """Return the box around points, given as x, y, x, y, …. Raises `ValueError`."""
    if len(points) < 2 or len(points) % 2:
        raise ValueError("not a polygon")
    across, down = points[::2], points[1::2]
    return corners((min(across), min(down), max(across), max(down)))


def frame_of(row: Mapping[str, Any]) -> Frame | None:
    """Return the width and height that a row says of its image; None where it does not."""
    try:
        width, height = float(row["width"]), float(row["height"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    good = 1 <= width <= MAX_COORDINATE and 1 <= height <= MAX_COORDINATE
    return (width, height) if good else None


def class_text(value: Any) -> str | None:
    """Return a class name; None for what is not one: nothing, a list, a record, a fraction."""
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def refuse_leading_out(name: str, folder: Path) -> None:
    """Raise `InputUnusable` for a name that leads out of its folder."""
    if leads_out(name):
        raise InputUnusable(
            f"{name!r} leads out of {folder}", "name images by their path below that folder"
        )
