"""Existing folders of pictures."""

from __future__ import annotations

import hashlib
import os
import shlex
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePath
from typing import NamedTuple

from gleanset import Dataset
from gleanset.credit import NOTHING, Credit
from gleanset.errors import InputUnusable, Unreadable
from gleanset.file_groups import FileGroups
from gleanset.files.names import class_folder, printable
from gleanset.images.embedded_credit import credit_of
from gleanset.images.embedded_reservation import reservations_in
from gleanset.images.staging import StageBytes, StageFile
from gleanset.named_files import short_name
from gleanset.records import Measured, Origin
from gleanset.source_table import SourceTables, is_source_table
from gleanset.tree import (
    PACKED,
    TABLE,
    VIDEO,
    count_files,
    ignored_reason,
    ignored_summary,
    splits_below,
    walk_tree,
)
from gleanset.work.pool import Outcome, Processes, run_over
from gleanset.work.progress import Progress
from harvest.img2dataset import SUFFIX, read_metadata
from harvest.importer import FileNotes, Importer

STAGE = "harvest-folder"
EXCLUDED = "excluded"


class ImageFile(NamedTuple):
    """A file worth trying, its origin, and a stamp that changes when the file does.

    `credit` is what a `sources.csv` says of it. A `copied` one is removed when it was tried; in
    the place of one that could not be copied stands why it was `refused`.
    """

    path: Path
    origin: Origin
    stamp: str
    credit: Credit = NOTHING
    copied: bool = False
    refused: tuple[str, str] | None = None


class StagedImage(NamedTuple):
    """A picture that was staged, what its file says of who made it, and why it would be kept back.

    Pictures of one's own are not: whoever has them knows what they may do.
    """

    measured: Measured
    credit: Credit
    reserved: str | None = None


class HintRule(NamedTuple):
    """What pictures are hinted to be: the class folder on `level`, or without it one label.

    `groups` says which of them belong together; `splits` are outermost folders that are no classes.
    """

    label: str | None = None
    level: int | None = None
    groups: FileGroups | None = None
    splits: frozenset[str] | None = None

    def of(self, folders: Sequence[str]) -> str | None:
        """Return the hint of a picture that these folders lead to, None where it has none."""
        return self.label if self.level is None else class_folder(folders, self.level, self.splits)

    def group_of(self, name: str, folder: str, inside: Sequence[str]) -> str | None:
        """Return the group of a file in a `folder`, to which the folders `inside` lead."""
        groups = self.groups
        return groups.of(name, folder, inside, self.level, self.splits) if groups else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How pictures are taken in.

    With `hints` the class folder on that level is the hint, else `label`. `credit` is that of the
    pictures of which nothing else is said; `groups` say which belong together, where no
    `sources.csv` does. To `refused` is added which files were rejected, and why, to `reserved`
    which say that machines shall not learn from them, to `unmatched` which rows of a `sources.csv`
    match no file.
    """

    hints: bool = False
    class_level: int = 1
    label: str | None = None
    credit: Credit = NOTHING
    groups: FileGroups | None = None
    exclude: tuple[str, ...] = ()
    refused: list[str] | None = None
    reserved: list[str] | None = None
    unmatched: list[str] = field(default_factory=list)
    workers: int = 0
    progress: Progress | None = None

    @property
    def hinting(self) -> HintRule:
        """What the pictures are hinted to be."""
        return HintRule(self.label, self.class_level if self.hints else None, self.groups)


DEFAULT_OPTIONS = ImportOptions()


def harvest_folders(
    dataset: Dataset, folders: Iterable[Path], options: ImportOptions = DEFAULT_OPTIONS
) -> dict[str, object]:
    """Add every picture under some folders, and pictures named themselves; the counts.

    Who made a picture says a `sources.csv`, else the file itself, else the options. Files seen
    before are skipped unless they, or what is said of them, changed. Raises `InputUnusable` for a
    folder that is not there.
    """
    roots = [resolve_folder(folder, dataset.root) for folder in folders]
    ignored: Counter[str] = Counter()

    def new(intake: Importer, _: Path) -> Generator[ImageFile, None, None]:
        for root in roots:
            for picture in walk(root, options, ignored):
                if not intake.knows(picture.origin, picture.stamp):
                    yield picture

    return import_images(dataset, STAGE, new, options) | ignored_summary(ignored)


def import_images(
    dataset: Dataset,
    stage: str,
    new: Callable[[Importer, Path], Generator[ImageFile, None, None]],
    options: ImportOptions,
) -> dict[str, object]:
    """Take in the pictures that `new` yields, which may use a scratch folder; the counts."""
    notes = FileNotes(options.groups, options.refused, options.hints)
    with dataset.stage(stage) as scratch:
        store = dataset.originals(scratch)
        intake = Importer(dataset, stage, store, notes=notes)
        keep = _Keep(StageFile(StageBytes(store)))
        # Closed here: an error would keep the archive that it reads open.
        with closing(new(intake, scratch)) as pictures:
            outcomes = run_over(keep, pictures, Processes(options.workers))
            for outcome in (options.progress or Progress()).over(outcomes, "files", unit=" files"):
                _take(intake, outcome, options)
                if outcome.item.copied:
                    outcome.item.path.unlink(missing_ok=True)
        intake.finish()
    return intake.result()


class _Keep:
    def __init__(self, keep: StageFile) -> None:
        self._keep = keep

    def __call__(self, picture: ImageFile) -> StagedImage:
        if picture.refused is not None:
            raise Unreadable(*picture.refused)
        data = self._keep.read(picture.path)
        measured = self._keep.keep(data)
        reserved = next((wish.reason for wish in reservations_in(data)), None)
        return StagedImage(measured, credit_of(data), reserved)


def _take(
    intake: Importer, outcome: Outcome[ImageFile, StagedImage], options: ImportOptions
) -> None:
    """Take what a worker made of a file; who made it says a table, else the file, else options."""
    item, picture = outcome.item, outcome.result
    credit = item.credit.completed(picture.credit if picture else NOTHING)
    credit = credit.completed(options.credit)
    if picture and picture.reserved and options.reserved is not None:
        options.reserved.append(f"{short_name(item.origin.key)}: {picture.reserved}")
    measured = Outcome(item, picture.measured if picture else None, outcome.reason, outcome.detail)
    origin = replace(
        item.origin, author=credit.author, licence=credit.licence, page_url=credit.page
    )
    intake.take(origin, measured, item.stamp)


def resolve_folder(folder: Path, own: Path) -> Path:
    """Return an absolute path that `walk` can begin at. Raises `InputUnusable`."""
    if not folder.exists():
        placeholder = "write the name of a folder with your images for DIR"
        hint = placeholder if folder == Path("DIR") else "check its name"
        raise InputUnusable(f"there is no folder {folder}", hint)
    if folder.is_file() and (reason := ignored_reason(folder)) is not None:
        hints = {
            VIDEO: f"harvest frames {shlex.quote(str(folder))}",
            PACKED: "unpack it first, then name its folder",
        }
        raise InputUnusable(
            f"{folder} is not a folder, an image, a zip or a tar",
            hints.get(reason, "name a folder, an image, a zip, or a tar (plain, gz, bz2 or xz)"),
        )
    if folder.resolve() == own.resolve():
        raise InputUnusable(
            f"{folder} is the dataset itself", "name another folder for the dataset with -d DIR"
        )
    # A hint must be a name, and the same file must have the same path in every run.
    return folder.resolve() if ".." in folder.parts else folder.absolute()


def walk(root: Path, options: ImportOptions, ignored: Counter[str]) -> Iterator[ImageFile]:
    """Yield every file under `root` that may be an image, in a fixed order; count the others.

    A `root` without folders is a class folder itself, and so is the folder of a `root` that is a
    file, which is all there is. Folders that may not be listed come last, so that they are rejected
    and not forgotten. With another `credit` the files count as changed. Raises `InputUnusable` for
    a `sources.csv` that cannot be read.
    """
    closed: list[OSError] = []
    hinting = options.hinting
    tables = SourceTables(root.parent if root.is_file() else root)

    def picture(
        path: Path, hint: str | None, inside: Sequence[str] = (), beside: Set[str] = frozenset()
    ) -> ImageFile:
        row = tables.of(path)
        group = row.group or hinting.group_of(path.name, printable(path.parent), inside)
        below = path.relative_to(root) if path != root else Path(path.name)
        origin = _origin(path, below, hint, group)
        origin, credit = _with_metadata(path, beside, origin, row.credit)
        stamp = _stamp(path, origin, credit_stamp(group, credit, options.credit))
        return ImageFile(path, origin, stamp, credit if stamp else NOTHING)

    if root.is_file():
        yield picture(root, hinting.of((root.parent.name,)))
        return
    if hinting.level is not None:
        hinting = hinting._replace(splits=splits_below(root))
    loose: tuple[str, ...] = ()
    for folder, folders, files in _included(root, options.exclude, ignored, closed):
        if folder == root and not folders:
            loose = (root.name,)
        inside = folder.relative_to(root).parts
        tables.read(folder)
        beside = frozenset(files)
        for path in map(folder.joinpath, files):
            if reason := TABLE if is_source_table(path) else ignored_reason(path):
                ignored[reason] += 1
            else:
                yield picture(path, hinting.of(inside or loose), inside, beside)
    options.unmatched.extend(tables.unmatched())
    yield from (picture(Path(os.fsdecode(error.filename)), hinting.label) for error in closed)


def _with_metadata(
    path: Path, beside: Set[str], origin: Origin, credit: Credit
) -> tuple[Origin, Credit]:
    if path.stem + SUFFIX not in beside or (metadata := read_metadata(path)) is None:
        return origin, credit
    return metadata.complete(origin), credit.completed(metadata.credit)


def is_excluded(below: PurePath, exclude: Sequence[str]) -> bool:
    """Return whether a pattern matches a file or folder, by its name or its path below the root."""
    return any(fnmatchcase(text, p) for p in exclude for text in (below.name, below.as_posix()))


def _included(
    root: Path, exclude: Sequence[str], ignored: Counter[str], closed: list[OSError]
) -> Iterator[tuple[Path, list[str], list[str]]]:
    for folder, folders, files in walk_tree(root, ignored, closed.append):
        below = folder.relative_to(root)
        for name in [name for name in folders if is_excluded(below / name, exclude)]:
            folders.remove(name)
            ignored[EXCLUDED] += count_files(folder / name)
        kept = [name for name in files if not is_excluded(below / name, exclude)]
        ignored[EXCLUDED] += len(files) - len(kept)
        yield folder, folders, kept


def image_names(root: Path, exclude: Sequence[str] = ()) -> Iterator[str]:
    """Yield the name of every file that may be an image."""
    if root.is_file():
        yield root.name
        return
    for folder, _, files in _included(root, exclude, Counter(), []):
        yield from (name for name in files if ignored_reason(folder / name) is None)


def _origin(path: Path, below: Path, hint: str | None, group: str | None) -> Origin:
    text = printable(path)
    return Origin(
        "folder",
        text,
        path=text,
        title=printable(Path(path.name)),
        hint=hint and printable(Path(hint)),
        post=group,
        original_path=printable(below).replace(os.sep, "/"),
    )


def _stamp(path: Path, origin: Origin, credits_stamp: str) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}:{origin.hint or ''}{credits_stamp}"


def credit_stamp(group: str | None, *parts: Credit) -> str:
    """Return a stamp that changes with what is said of a picture; empty where nothing is."""
    texts = [text or "" for credit in parts for text in credit] + ([group] if group else [])
    return ":" + hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12] if any(texts) else ""
