"""Labelled images as returned by the readers of all layouts."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self
from urllib.parse import unquote

import msgspec

from gleanset.credit import NO_CREDIT, Credit
from gleanset.errors import InputUnusable
from gleanset.files.encodings import FolderNames, TextEncoding, decode_text
from gleanset.labelled_images import MAX_COORDINATE, Frame, LabelledImage
from gleanset.named_files import format_short_path
from gleanset.records import Rectangle
from gleanset.source_table import is_source_table
from gleanset.tree import NOT_AN_IMAGE, SOURCE_TABLE, get_ignored_reason, walk_tree

MAX_TEXT_BYTES = 500_000_000


class SourceInfo(NamedTuple):
    """Credit, names and set of an image in a table."""

    credit: Credit = NO_CREDIT
    title: str | None = None
    original_path: str | None = None
    collection: str | None = None


class ImportTree(msgspec.Struct, dict=True):
    """The files below a folder: `images`, `others` that may contain labels, and `ignored` ones.

    `encoding` is that of names and texts that are not UTF-8, None to guess it.
    """

    root: Path
    encoding: str | None = None
    images: list[Path] = []
    others: list[Path] = []
    ignored: Counter[str] = msgspec.field(default_factory=Counter)
    unreadable: list[OSError] = []
    _encodings: dict[Path, TextEncoding] = {}

    @classmethod
    def from_folder(cls, root: Path, encoding: str | None = None) -> Self:
        """List the files of a folder, including linked folders."""
        tree = cls(root, encoding)
        for folder, _, names in walk_tree(
            root, tree.ignored, tree.unreadable.append, links=True
        ):
            for name in names:
                tree._add(folder / name)
        tree.images.sort()
        tree.others.sort()
        return tree

    def _add(self, path: Path) -> None:
        """Add a file to the images, the others or the ignored ones."""
        # The credits of a source table are read for each image, not as labels.
        reason = SOURCE_TABLE if is_source_table(path) else get_ignored_reason(path)
        if reason is None:
            self.images.append(path)
        elif reason == NOT_AN_IMAGE:
            self.others.append(path)
        else:
            self.ignored[reason] += 1

    @cached_property
    def folder_names(self) -> FolderNames:
        """The names of its folders as text."""
        return FolderNames(self.root, self.encoding)

    def read_text(self, file: Path) -> str:
        """Read a text in UTF-8 or the encoding that is set or guessed. Raises `InputUnusable`.

        A guess is printed by `report_encodings`.
        """
        try:
            if file.stat().st_size > MAX_TEXT_BYTES:
                raise InputUnusable(
                    f"{file} is larger than {MAX_TEXT_BYTES} bytes",
                    "split it",
                )
            data = file.read_bytes()
        except OSError as error:
            raise InputUnusable(
                f"cannot read {file}: {error.strerror}",
                "chmod u+r it",
            ) from error

        text, self._encodings[file] = decode_text(
            data,
            str(file),
            self.encoding,
        )
        if "\0" in text:
            raise InputUnusable(
                f"cannot read {file}: not UTF-8 text",
                "save it as UTF-8",
            )
        return text

    def report_encodings(self, files: Iterable[Path]) -> None:
        """Print the encodings of texts that were guessed."""
        for file in sorted(files):
            if file in self._encodings:
                self._encodings[file].report(str(file))

    def count(self) -> int:
        """Return the number of files."""
        return len(self.images) + len(self.others) + self.ignored.total()

    def count_ignored(self) -> Counter[str]:
        """Return the number of files other than images, by reason."""
        return self.ignored + Counter({NOT_AN_IMAGE: len(self.others)})

    def iter_files(self, *endings: str) -> Iterator[Path]:
        """Yield other files with such lower-case endings, those nearest to the root first."""
        for path in sorted(self.others, key=lambda path: len(path.parts)):
            if path.name.lower().endswith(endings):
                yield path

    @cached_property
    def _paths_by_name(self) -> dict[str, list[Path]]:
        return _group_paths(self.images, lambda path: path.name)

    @cached_property
    def _paths_by_stem(self) -> dict[str, list[Path]]:
        return _group_paths(self.images, lambda path: path.stem)

    def find_by_path(self, name: str, table: Path) -> Path | None:
        """Return the image that matches a path best, which may be of another computer.

        None if no image has that name, or several match equally well.
        """
        # Some tools write names as in a URL.
        for text in (name, unquote(name)):
            # Paths of Windows and of other systems; `..` cannot be followed in them.
            parts = [
                part for part in re.split(r"[/\\]", text) if part not in ("", ".", "..")
            ]
            last = _fold_name("".join(parts[-1:]))
            paths = self._paths_by_name.get(last) or self._paths_by_stem.get(last)
            if paths:
                return self._find_best_match(paths, parts, table)
        return None

    def find_sibling(self, table: Path) -> Path | None:
        """Return the image with the stem of a file, in the same folder or one called images."""
        parts = table.relative_to(self.root).with_suffix("").parts
        return self._find_best_match(
            self._paths_by_stem.get(_fold_name(table.stem), []), parts, table
        )

    def _find_best_match(
        self, paths: Sequence[Path], parts: Sequence[str], table: Path
    ) -> Path | None:
        """Return the path with the best score; None if several have it."""
        scores = {path: self._score(path, parts, table) for path in paths}
        best_score = max(scores.values(), default=None)
        matches = [path for path, score in scores.items() if score == best_score]
        return matches[0] if len(matches) == 1 else None

    def _score(self, path: Path, parts: Sequence[str], table: Path) -> tuple[int, ...]:
        """Return how well an image matches the parts of a path in a table.

        What counts most comes first: the end of the path, the exact name, folders that the name
        of the table names (such as train), the folder of the table, folders called images (a copy
        may be in one of crops), and nearness to the root.
        """
        *folders, name = path.relative_to(self.root).parts
        folded_folders = list(map(_fold_name, folders))
        table_folders = table.relative_to(self.root).parts[:-1]
        table_words = set(re.split(r"[\W_]+", _fold_name(table.stem)))

        # A table may name images without their extension.
        last = parts[-1]
        if _fold_name(last) == _fold_name(name):
            last = PurePosixPath(last).stem

        return (
            _common_length(
                reversed((*folders, path.stem)),
                reversed((*parts[:-1], last)),
            ),
            name == parts[-1],
            sum(folder in table_words for folder in folded_folders),
            _common_length((*folders, name), table_folders),
            any("images" in folder for folder in folded_folders),
            -len(folders),
        )


def _group_paths(
    paths: Iterable[Path], get_name: Callable[[Path], str]
) -> dict[str, list[Path]]:
    """Return the paths by their folded name or stem."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        groups[_fold_name(get_name(path))].append(path)
    return groups


def _common_length(first: Iterable[str], second: Iterable[str]) -> int:
    """Return how many parts are equal before the first difference."""
    length = 0
    for a, b in zip(first, second, strict=False):
        if _fold_name(a) != _fold_name(b):
            break
        length += 1
    return length


def _fold_name(name: str) -> str:
    # macOS decomposes accents in file names; tables of Windows differ in case.
    return unicodedata.normalize("NFC", name).casefold()


FILE_KINDS = {
    "tree": "class folders",
    "export": "an export",
    "coco": "a COCO file",
    "yolo": "YOLO label files",
    "table": "tables",
}
"""Kinds of labelled files, in words."""


class LabelledFiles(msgspec.Struct):
    """Labels that a reader collected from a folder.

    Images without a label are counted with their reason in `ignored`, or else `default_reason`.
    `tables` are the files that have the labels, `missing` the names without an image, `dropped` the
    unusable annotations with their reasons. `_labels` has a box (None: the whole image) and class
    for each label of an image, as keys, so that they are unique and in order.
    """

    kind: str
    tree: ImportTree
    default_reason: str
    tables: set[Path] = set()
    ignored: dict[Path, str] = {}
    missing: list[str] = []
    dropped: list[tuple[str, str]] = []
    splits: frozenset[str] = frozenset()
    note: str = ""
    sources: dict[Path, SourceInfo] = {}
    _labels: dict[Path, dict[tuple[Rectangle | None, str], None]] = {}
    _frames: dict[Path, Frame | None] = {}

    def find_image(self, name: str, table: Path) -> Path | None:
        """Return the image that a table names; None for a missing one, which is recorded."""
        image = self.tree.find_by_path(name, table)
        if image is None:
            self.missing.append(name)
        return image

    def label(self, path: Path, label: str, box: Rectangle | None = None) -> None:
        """Add a label of an image, or of a box in it; repeated labels count once."""
        self._labels.setdefault(path, {})[box, label] = None

    def annotate(
        self,
        path: Path,
        frame: Frame | None,
        label: str | None,
        read_box: Callable[[], Rectangle | None],
    ) -> None:
        """Add a label of a box relative to `frame`; an unusable annotation is dropped."""
        try:
            box = read_box()
        except ValueError as error:
            self.drop(path, str(error))
            return

        if label is None:
            self.drop(path, "annotation without a known class")
            return

        # Counted as dropped, because it may be a mistake of the tool that wrote the file. Labels
        # are unique, so that adding it again changes nothing.
        if box is not None and (box, label) in self._labels.get(path, ()):
            self.drop(path, "repeated annotation")
        self.label(path, label, box)
        self._frames[path] = frame or self._frames.get(path)

    def drop(self, path: Path, reason: str) -> None:
        """Record an unusable annotation of an image, or in a table."""
        # The reason of an image that gets no label; of others it is not used.
        self.ignored[path] = "no annotation can be used"
        self.dropped.append((format_short_path(str(path)), reason))

    @property
    def images(self) -> list[LabelledImage]:
        """The images with labels, sorted by path."""
        return [
            LabelledImage(path, tuple(labels), self._frames.get(path))
            for path, labels in sorted(self._labels.items())
        ]

    def count_classes(self) -> Counter[str]:
        """Return the number of labels by class."""
        return Counter(label for image in self.images for _, label in image.labels)

    def count_ignored(self) -> Counter[str]:
        """Return the number of files that are not labelled, by reason."""
        counts = Counter(self.tree.ignored)
        # An image may be labelled in one file and useless in another: labels win.
        for path in self.tree.images:
            if path not in self._labels:
                counts[self.ignored.get(path, self.default_reason)] += 1
        for path in self.tree.others:
            counts["file with labels" if path in self.tables else NOT_AN_IMAGE] += 1
        return counts


def box_from_size(values: Any) -> Rectangle:
    """Parse `[x, y, width, height]`. Raises `ValueError` with the reason."""
    try:
        x, y, width, height = map(float, values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("not a box of x, y, width, height") from error
    # Also refuses NaN, which compares as False.
    if not all(abs(number) <= MAX_COORDINATE for number in (x, y, width, height)):
        raise ValueError("not a box of x, y, width, height")
    if min(width, height) <= 0:
        raise ValueError("box without area")
    return x, y, width, height


def make_bounding_box(points: Sequence[float]) -> Rectangle:
    """Return the bounding box of points x, y, x, y, …. Raises `ValueError` with the reason."""
    if len(points) < 2 or len(points) % 2:
        raise ValueError("not a polygon")

    xs = points[::2]
    ys = points[1::2]
    left = min(xs)
    top = min(ys)
    return box_from_size((left, top, max(xs) - left, max(ys) - top))


def parse_name(value: Any) -> str | None:
    """Return a name from text or an integer, also 1.0 (of pandas); None for any other value."""
    if isinstance(value, str):
        return value.strip() or None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    # In Python a bool is an int, too.
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return None
