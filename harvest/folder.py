"""Existing folders of images."""

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
from gleanset.credit import NO_CREDIT, Credit
from gleanset.errors import InputUnusable, Unreadable
from gleanset.file_groups import FileGroups
from gleanset.files.names import find_class_folder, format_path
from gleanset.images.embedded_credit import read_embedded_credit
from gleanset.images.embedded_opt_outs import find_opt_outs
from gleanset.images.staging import StageBytes, StageFile
from gleanset.named_files import format_short_path
from gleanset.records import Measured, Origin
from gleanset.source_table import SourceTables, is_source_table
from gleanset.tree import (
    PACKED,
    SOURCE_TABLE,
    VIDEO,
    count_files,
    find_splits,
    get_ignored_reason,
    summarize_ignored,
    walk_tree,
)
from gleanset.work.pool import Outcome, Processes, run_over
from gleanset.work.progress import Progress
from harvest.img2dataset import SUFFIX, read_metadata
from harvest.importer import FileNotes, Importer

STAGE = "harvest-folder"
EXCLUDED = "excluded"


class ImageFile(NamedTuple):
    """A file that may be an image, its origin, and a stamp that changes with the file.

    `credit` is from a `sources.csv` or metadata. A temporary file is removed after the import.
    `rejection`: reason and detail for a file that could not be copied.
    """

    path: Path
    origin: Origin
    stamp: str
    credit: Credit = NO_CREDIT
    is_temporary: bool = False
    rejection: tuple[str, str] | None = None


class StagedImage(NamedTuple):
    """A staged image, with the credit and the opt-out signal in its file.

    A user's own files are imported despite an opt-out signal; it is only reported.
    """

    measured: Measured
    credit: Credit
    opt_out: str | None = None


class HintRule(NamedTuple):
    """How files get their weak label: the class folder on `level`, or without it `label`.

    `groups` assigns files to groups; `splits` are outermost folders that are not classes.
    """

    label: str | None = None
    level: int | None = None
    groups: FileGroups | None = None
    splits: frozenset[str] | None = None

    def hint_for(self, folders: Sequence[str]) -> str | None:
        """Return the weak label of an image below these folders, if any."""
        return (
            self.label
            if self.level is None
            else find_class_folder(folders, self.level, self.splits)
        )

    def group_for(self, name: str, folder: str, inside: Sequence[str]) -> str | None:
        """Return the group of a file in `folder`, which is below the folders `inside`."""
        groups = self.groups
        return groups.get_group(name, folder, inside, self.level, self.splits) if groups else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How files are imported.

    With `hints` the class folder on `class_level` is the weak label, else `label`. `credit` and
    `groups` apply where a `sources.csv` and the file itself say nothing. The import appends to
    `rejected_files`, `opted_out_files` and `unmatched_rows` (rows of a `sources.csv` without a
    file).
    """

    hints: bool = False
    class_level: int = 1
    label: str | None = None
    credit: Credit = NO_CREDIT
    groups: FileGroups | None = None
    exclude: tuple[str, ...] = ()
    rejected_files: list[str] = field(default_factory=list)
    opted_out_files: list[str] = field(default_factory=list)
    unmatched_rows: list[str] = field(default_factory=list)
    workers: int = 0
    progress: Progress | None = None

    @property
    def hint_rule(self) -> HintRule:
        """How files get their weak label."""
        return HintRule(self.label, self.class_level if self.hints else None, self.groups)


DEFAULT_OPTIONS = ImportOptions()


def harvest_folders(
    dataset: Dataset, folders: Iterable[Path], options: ImportOptions = DEFAULT_OPTIONS
) -> dict[str, object]:
    """Import all images below some folders, and single image files; return the counts.

    The credit of an image comes from a `sources.csv`, else from its file, else from the options.
    Files imported before are skipped unless they or their credit changed. Raises `InputUnusable`
    for a folder that does not exist.
    """
    roots = [resolve_folder(folder, dataset.root) for folder in folders]
    ignored: Counter[str] = Counter()

    def find_new(importer: Importer, _: Path) -> Generator[ImageFile, None, None]:
        for root in roots:
            for image in find_images(root, options, ignored):
                if not importer.is_known(image.origin, image.stamp):
                    yield image

    return import_images(dataset, STAGE, find_new, options) | summarize_ignored(ignored)


def import_images(
    dataset: Dataset,
    stage: str,
    find_new: Callable[[Importer, Path], Generator[ImageFile, None, None]],
    options: ImportOptions,
) -> dict[str, object]:
    """Import the files that `find_new(importer, scratch folder)` yields; return the counts."""
    notes = FileNotes(options.groups, options.rejected_files, options.hints)
    with dataset.stage(stage) as scratch:
        store = dataset.originals(scratch)
        importer = Importer(dataset, stage, store, notes=notes)
        stage_file = _StageImage(StageFile(StageBytes(store)))
        # Closed here: an error would keep the archive open that it reads.
        with closing(find_new(importer, scratch)) as images:
            outcomes = run_over(stage_file, images, Processes(options.workers))
            for outcome in (options.progress or Progress()).over(outcomes, "files", unit=" files"):
                _record(importer, outcome, options)
                if outcome.item.is_temporary:
                    outcome.item.path.unlink(missing_ok=True)
        importer.finish()
    return importer.result()


class _StageImage:
    def __init__(self, stage: StageFile) -> None:
        self._stage = stage

    def __call__(self, image: ImageFile) -> StagedImage:
        if image.rejection is not None:
            raise Unreadable(*image.rejection)
        data = self._stage.read(image.path)
        measured = self._stage.keep(data)
        opt_out = next((signal.reason for signal in find_opt_outs(data)), None)
        return StagedImage(measured, read_embedded_credit(data), opt_out)


def _record(
    importer: Importer, outcome: Outcome[ImageFile, StagedImage], options: ImportOptions
) -> None:
    item, image = outcome.item, outcome.result
    credit = item.credit.completed(image.credit if image else NO_CREDIT)
    credit = credit.completed(options.credit)
    if image and image.opt_out:
        options.opted_out_files.append(f"{format_short_path(item.origin.key)}: {image.opt_out}")
    measured = Outcome(item, image.measured if image else None, outcome.reason, outcome.detail)
    origin = replace(
        item.origin, author=credit.author, licence=credit.licence, page_url=credit.page
    )
    importer.record(origin, measured, item.stamp)


def resolve_folder(folder: Path, root: Path) -> Path:
    """Return the absolute path of a folder or image. Raises `InputUnusable`."""
    if not folder.exists():
        placeholder = "replace DIR by the name of a folder with images"
        fix = placeholder if folder == Path("DIR") else "check its name"
        raise InputUnusable(f"there is no folder {folder}", fix)
    if folder.is_file() and (reason := get_ignored_reason(folder)) is not None:
        fixes = {
            VIDEO: f"harvest frames {shlex.quote(str(folder))}",
            PACKED: "unpack it first, then name its folder",
        }
        raise InputUnusable(
            f"{folder} is not a folder, an image, a zip or a tar",
            fixes.get(reason, "name a folder, an image, a zip, or a tar (plain, gz, bz2 or xz)"),
        )
    if folder.resolve() == root.resolve():
        raise InputUnusable(
            f"{folder} is the dataset itself", "name another folder for the dataset with -d DIR"
        )
    # A weak label must be a name, and the same file must have the same path in every run.
    return folder.resolve() if ".." in folder.parts else folder.absolute()


def find_images(root: Path, options: ImportOptions, ignored: Counter[str]) -> Iterator[ImageFile]:
    """Yield every file under `root` that may be an image, in a fixed order; count the others.

    A `root` without folders is a class folder itself, and so is the folder of a `root` that is a
    file. Folders that cannot be listed come last, to be rejected. With another `credit` the files
    count as changed. Raises `InputUnusable` for a `sources.csv` that cannot be read.
    """
    unlisted: list[OSError] = []
    hint_rule = options.hint_rule
    tables = SourceTables(root.parent if root.is_file() else root)

    def image_file(
        path: Path, hint: str | None, inside: Sequence[str] = (), siblings: Set[str] = frozenset()
    ) -> ImageFile:
        row = tables.get_row(path)
        group = row.group or hint_rule.group_for(path.name, format_path(path.parent), inside)
        relative = path.relative_to(root) if path != root else Path(path.name)
        origin, credit = _with_metadata(
            path, siblings, _origin(path, relative, hint, group), row.credit
        )
        stamp = _stamp(path, origin, make_credit_stamp(group, credit, options.credit))
        return ImageFile(path, origin, stamp, credit if stamp else NO_CREDIT)

    if root.is_file():
        yield image_file(root, hint_rule.hint_for((root.parent.name,)))
        return
    if hint_rule.level is not None:
        hint_rule = hint_rule._replace(splits=find_splits(root))
    root_folders: tuple[str, ...] = ()
    for folder, folders, files in _walk_included(root, options.exclude, ignored, unlisted):
        if folder == root and not folders:
            root_folders = (root.name,)
        inside = folder.relative_to(root).parts
        tables.read(folder)
        siblings = frozenset(files)
        for path in map(folder.joinpath, files):
            if reason := SOURCE_TABLE if is_source_table(path) else get_ignored_reason(path):
                ignored[reason] += 1
            else:
                yield image_file(path, hint_rule.hint_for(inside or root_folders), inside, siblings)
    options.unmatched_rows.extend(tables.unmatched())
    yield from (image_file(Path(os.fsdecode(e.filename)), hint_rule.label) for e in unlisted)


def _with_metadata(
    path: Path, siblings: Set[str], origin: Origin, credit: Credit
) -> tuple[Origin, Credit]:
    if path.stem + SUFFIX not in siblings or (metadata := read_metadata(path)) is None:
        return origin, credit
    return metadata.complete(origin), credit.completed(metadata.credit)


def is_excluded(relative: PurePath, exclude: Sequence[str]) -> bool:
    """Return whether a pattern matches a file or folder, by its name or its path below the root."""
    return any(
        fnmatchcase(text, p) for p in exclude for text in (relative.name, relative.as_posix())
    )


def _walk_included(
    root: Path, exclude: Sequence[str], ignored: Counter[str], unlisted: list[OSError]
) -> Iterator[tuple[Path, list[str], list[str]]]:
    for folder, folders, files in walk_tree(root, ignored, unlisted.append):
        relative = folder.relative_to(root)
        for name in [name for name in folders if is_excluded(relative / name, exclude)]:
            folders.remove(name)
            ignored[EXCLUDED] += count_files(folder / name)
        included = [name for name in files if not is_excluded(relative / name, exclude)]
        ignored[EXCLUDED] += len(files) - len(included)
        yield folder, folders, included


def iter_image_names(root: Path, exclude: Sequence[str] = ()) -> Iterator[str]:
    """Yield the name of every file that may be an image."""
    if root.is_file():
        yield root.name
        return
    for folder, _, files in _walk_included(root, exclude, Counter(), []):
        yield from (name for name in files if get_ignored_reason(folder / name) is None)


def _origin(path: Path, relative: Path, hint: str | None, group: str | None) -> Origin:
    text = format_path(path)
    return Origin(
        "folder",
        text,
        path=text,
        title=format_path(Path(path.name)),
        hint=hint and format_path(Path(hint)),
        post=group,
        original_path=format_path(relative).replace(os.sep, "/"),
    )


def _stamp(path: Path, origin: Origin, credits_stamp: str) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_size}:{status.st_mtime_ns}:{origin.hint or ''}{credits_stamp}"


def make_credit_stamp(group: str | None, *parts: Credit) -> str:
    """Return a stamp that changes with the group and the credits; empty without any."""
    texts = [text or "" for credit in parts for text in credit] + ([group] if group else [])
    return ":" + hashlib.sha256("\0".join(texts).encode()).hexdigest()[:12] if any(texts) else ""
