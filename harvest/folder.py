"""Existing folders of images."""

import hashlib
import json
import os
import shlex
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path, PurePath
from typing import NamedTuple

from gleanset import Dataset
from gleanset.credit import NO_CREDIT, Credit, clean_credit_text, clean_page_url
from gleanset.errors import InputUnusable, Unreadable
from gleanset.files.atomic import disk_errors
from gleanset.files.encodings import FolderNames
from gleanset.files.names import find_class_folder, format_path
from gleanset.images.embedded_credit import read_embedded_credit
from gleanset.images.embedded_opt_outs import find_opt_outs
from gleanset.images.staging import StageBytes, read_image_file
from gleanset.named_files import format_origin, format_short_path
from gleanset.records import Measured, Origin
from gleanset.source_table import SourceTables, is_source_table
from gleanset.tree import (
    PACKED,
    READ_OTHERWISE,
    SOURCE_TABLE,
    TABLE_SUFFIXES,
    VIDEO,
    count_files,
    count_tags,
    find_splits,
    get_ignored_reason,
    summarize_ignored,
    walk_tree,
)
from gleanset.work.pool import Outcome, Processes, run_over
from harvest.importer import Importer, ImportOptions, SimulatedImporter
from harvest.results import HarvestCounts

EXCLUDED = "excluded"
# Of metadata that img2dataset writes for each image, in a KEY.json next to KEY.jpg, in its formats
# `webdataset` and `files`: https://github.com/rom1504/img2dataset.
METADATA_SUFFIX = ".json"


class ImageFile(NamedTuple):
    """A file that may be an image, its origin, and a stamp that changes with the file.

    `credit` is from a `sources.csv` or metadata. `read` returns the bytes of a member of an
    archive, which is copied to a temporary file; `rejection`: reason and detail if that failed.
    """

    path: Path
    origin: Origin
    stamp: str
    credit: Credit = NO_CREDIT
    read: Callable[[], bytes] | None = None
    is_temporary: bool = False
    rejection: tuple[str, str] | None = None

    @property
    def content_stamp(self) -> str:
        """Size and time, which begin the stamp; '' for a member, whose key follows its bytes."""
        if self.read:
            return ""
        size_and_time = self.stamp.split(":")[:2]
        return f"{':'.join(size_and_time)}:"

    @property
    def display_name(self) -> str:
        """Path; of a member that of its archive, and the name in it."""
        if not self.read:
            return str(self.origin.path)
        _, _, member = self.origin.key.partition(":")
        return f"{self.origin.path}:{member}"


# Finds the files of a folder or archive, and counts those that it ignores.
Finder = Callable[[Path, ImportOptions, Counter[str]], Iterator[ImageFile]]


class StagedImage(NamedTuple):
    """A staged image, with the credit and the opt-out signal in its file.

    A user's own files are imported despite an opt-out signal; it is only reported.
    """

    measured: Measured
    credit: Credit
    opt_out: str | None = None


@dataclass
class TreeRules:
    """Weak labels, groups and credit of the files of one folder or archive.

    `tables` are its `sources.csv`, `splits` the outermost folders that are not classes. Files
    outside of all folders have the class folders `top`.
    """

    options: ImportOptions
    tables: SourceTables
    splits: frozenset[str] | None = None
    top: Sequence[str] = ()

    def __post_init__(self) -> None:
        self._names = FolderNames(self.tables.top, self.options.encoding)

    def complete(
        self,
        path: Path,
        origin: Origin,
        inside: Sequence[str],
        folder: str,
    ) -> tuple[Origin, Credit]:
        """Return the origin of a file with weak label, group and tags, and its credit.

        `inside` are the folders above the file, `folder` is the name of the last one as a group.
        """
        options = self.options
        row = self.tables.get_row(path)
        # The weak label: the class folder on `level`, if requested and there is one, else `label`.
        level = options.class_level if options.hints else None
        hint = options.label
        if level is not None:
            hint = find_class_folder(inside or self.top, level, self.splits) or hint
        group = row.group
        if group is None and options.groups:
            group = options.groups.get_group(
                path.name, folder, inside, level, self.splits
            )

        # Names of folders can be bytes in an old encoding, see `FolderNames`; on macOS letters and
        # their accents are separate characters.
        if hint:
            hint = unicodedata.normalize("NFC", self._names.decode(hint))
        origin = replace(origin, hint=hint, post=group, tags=row.tags)
        metadata = parse_metadata(
            self.tables.read_sidecar(path.with_suffix(METADATA_SUFFIX))
        )
        if not metadata:
            return origin, row.credit

        title = metadata.caption or origin.title
        origin = replace(origin, url=metadata.url, title=title)
        return origin, row.credit.fill_from(metadata.credit)


def import_images(
    dataset: Dataset,
    stage: str,
    roots: Iterable[Path],
    find: Finder,
    options: ImportOptions,
) -> HarvestCounts:
    """Import the new files that `find` finds in some roots; return the counts."""
    ignored = Counter[str]()
    files = (file for root in roots for file in find(root, options, ignored))
    if options.simulate:
        simulated = SimulatedImporter(dataset, options=options)
        for file in files:
            if not simulated.is_known_file(file.origin, file.stamp, file.content_stamp):
                simulated.add(file.display_name, file.origin)
        return simulated.result().with_facts(summarize_ignored(ignored))

    # Files are closed here: an error would keep the archive open that they are in.
    with dataset.stage(stage) as scratch, closing(files):
        store = dataset.originals(scratch)
        importer = Importer(dataset, stage, store, options=options)
        new = (file for file in files if not importer.is_known(file.origin, file.stamp))
        files_on_disk = _copy_members(new, scratch, ignored)
        outcomes = run_over(
            _StageImage(StageBytes(store)), files_on_disk, Processes(options.workers)
        )
        for outcome in options.progress.over(outcomes, "files", unit=" files"):
            _record(importer, outcome, options)
            if outcome.item.is_temporary:
                outcome.item.path.unlink(missing_ok=True)
        importer.finish()
    return importer.result().with_facts(summarize_ignored(ignored))


def _copy_members(
    files: Iterable[ImageFile], scratch: Path, ignored: Counter[str]
) -> Iterator[ImageFile]:
    """Yield files on disk: members of archives as numbered files, unless they are not images."""
    for number, file in enumerate(files):
        if not file.read:
            yield file
            continue
        path = scratch / str(number)
        try:
            data = file.read()
        except Unreadable as error:
            yield file._replace(read=None, rejection=(error.reason, error.detail))
            continue

        with disk_errors(path):
            path.write_bytes(data)
        reason = get_ignored_reason(path, file.path.name)
        if not reason:
            yield file._replace(path=path, read=None, is_temporary=True)
        else:
            ignored[reason] += 1
            path.unlink()


@dataclass(frozen=True)
class _StageImage:
    stage: StageBytes

    def __call__(self, image: ImageFile) -> StagedImage:
        if image.rejection:
            raise Unreadable(*image.rejection)
        data = read_image_file(image.path)
        measured = self.stage(data)
        opt_out = next((signal.reason for signal in find_opt_outs(data)), None)
        return StagedImage(measured, read_embedded_credit(data), opt_out)


def _record(
    importer: Importer, outcome: Outcome[ImageFile, StagedImage], options: ImportOptions
) -> None:
    item = outcome.item
    credit = item.credit
    measured = None
    image = outcome.result
    if image:
        measured = image.measured
        credit = credit.fill_from(image.credit)
        if image.opt_out:
            options.opted_out_files.append(
                f"{format_origin(item.origin)}: {image.opt_out}"
            )

    credit = credit.fill_from(options.credit)
    origin = replace(
        item.origin, author=credit.author, licence=credit.licence, page_url=credit.page
    )
    importer.record(
        origin, Outcome(item, measured, outcome.reason, outcome.detail), item.stamp
    )


def resolve_folder(folder: Path, root: Path) -> Path:
    """Return the absolute path of a folder or image. Raises `InputUnusable`."""
    if not folder.exists():
        fix = "check its name"
        if folder == Path("DIR"):
            fix = "replace DIR by the name of a folder with images"
        raise InputUnusable(f"there is no folder {folder}", fix)
    reason = get_ignored_reason(folder) if folder.is_file() else None
    if reason:
        fix = "name a folder, an image, a zip, or a tar (plain, gz, bz2 or xz)"
        if reason == VIDEO:
            fix = f"harvest frames {shlex.quote(str(folder))}"
        elif reason == PACKED:
            fix = "unpack it first, then name its folder"
        raise InputUnusable(f"{folder} is not a folder, an image, a zip or a tar", fix)
    if folder.resolve() == root.resolve():
        raise InputUnusable(
            f"{folder} is the dataset itself",
            "name another folder for the dataset with -d DIR",
        )
    # A weak label must be a name, and the same file must have the same path in every run.
    return folder.resolve() if ".." in folder.parts else folder.absolute()


def find_images(
    root: Path, options: ImportOptions, ignored: Counter[str]
) -> Iterator[ImageFile]:
    """Yield every file under `root` that may be an image, in a fixed order; count the others.

    A `root` without folders is a class folder itself, and so is the folder of a `root` that is a
    file. Folders that cannot be listed come last, to be rejected. With another `credit` the files
    count as changed. Raises `InputUnusable` for a `sources.csv` that cannot be read.
    """
    if root.is_file():
        rules = TreeRules(
            options,
            open_tables(root.parent, options),
            top=(root.parent.name,),
        )
        yield _make_image_file(root, Path(root.name), rules, options)
        return

    unlisted: list[OSError] = []
    splits = find_splits(root) if options.hints else None
    tables = open_tables(root, options)
    rules = TreeRules(options, tables, splits)
    tree = _walk_included(root, options.exclude, ignored, unlisted)
    for folder, folders, names in tree:
        if folder == root and not folders:
            rules.top = (root.name,)
        tables.read(folder)
        for name in names:
            path = folder / name
            reason = SOURCE_TABLE if is_source_table(path) else get_ignored_reason(path)
            if reason:
                ignored[reason] += 1
                # Named in the summary, because another command can read them.
                if reason in READ_OTHERWISE or (
                    reason != SOURCE_TABLE and path.suffix.lower() in TABLE_SUFFIXES
                ):
                    options.ignored_files.append(format_short_path(str(path)))
            else:
                yield _make_image_file(path, path.relative_to(root), rules, options)

    count_tags(tables.texts, ignored)
    options.unmatched_rows.extend(tables.list_unmatched())
    for error in unlisted:
        path = Path(os.fsdecode(error.filename))
        yield _make_image_file(
            path,
            path.relative_to(root),
            rules,
            options,
        )


def _make_image_file(
    path: Path,
    relative: Path,
    rules: TreeRules,
    options: ImportOptions,
) -> ImageFile:
    text = format_path(path)
    origin = Origin(
        source="folder",
        key=text,
        path=text,
        title=format_path(Path(path.name)),
        original_path=format_path(relative).replace(os.sep, "/"),
    )
    folder = format_path(path.parent)
    origin, credit = rules.complete(
        path,
        origin,
        relative.parent.parts,
        folder,
    )
    try:
        status = path.stat()
    except OSError:
        # Without its size and time: reading it says what is wrong.
        return ImageFile(path, origin, stamp="")

    stamp = f"{status.st_size}:{status.st_mtime_ns}:{origin.hint or ''}"
    stamp += make_credit_stamp(
        origin.post,
        credit,
        options.credit,
        origin.tags,
    )
    return ImageFile(path, origin, stamp, credit)


def open_tables(top: Path, options: ImportOptions) -> SourceTables:
    """Return the tables and sidecars of a folder, without what is excluded."""
    return SourceTables(
        top,
        encoding=options.encoding,
        is_excluded=lambda path: is_excluded(path.relative_to(top), options.exclude),
    )


def is_excluded(relative: PurePath, exclude: Sequence[str]) -> bool:
    """Return whether a pattern matches a file or folder, by its name or its path below the root."""
    path = relative.as_posix()
    return any(
        fnmatchcase(relative.name, pattern) or fnmatchcase(path, pattern)
        for pattern in exclude
    )


def _walk_included(
    root: Path, exclude: Sequence[str], ignored: Counter[str], unlisted: list[OSError]
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield as `walk_tree`, without what is excluded."""
    for folder, folders, files in walk_tree(root, ignored, unlisted.append):
        relative = folder.relative_to(root)
        # `walk_tree` does not enter folders that are removed from its list.
        for name in list(folders):
            if is_excluded(relative / name, exclude):
                folders.remove(name)
                ignored[EXCLUDED] += count_files(folder / name)
        names = [name for name in files if not is_excluded(relative / name, exclude)]
        ignored[EXCLUDED] += len(files) - len(names)
        yield folder, folders, names


def make_credit_stamp(group: str | None, *parts: Iterable[str | None]) -> str:
    """Return a stamp that changes with the group, the credits and tags; empty without any."""
    texts = [text or "" for text in chain.from_iterable(parts)]
    if group:
        texts.append(group)
    if not any(texts):
        return ""
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    return f":{digest[:12]}"


class ImageMetadata(NamedTuple):
    """URL, caption and credit of an image."""

    url: str
    caption: str | None
    credit: Credit


def parse_metadata(data: bytes) -> ImageMetadata | None:
    """Return the metadata of an image, as img2dataset writes them; None for other files."""
    try:
        row = json.loads(data)
    except (ValueError, RecursionError):
        return None

    if not isinstance(row, dict) or not {"url", "key", "status"} <= row.keys():
        return None
    texts = {name.lower(): text for name, text in row.items() if isinstance(text, str)}
    url = clean_page_url(texts.get("url"))
    if not url:
        return None

    credit = Credit(
        author=clean_credit_text(texts.get("author")),
        licence=clean_credit_text(texts.get("licence") or texts.get("license")),
        page=clean_page_url(texts.get("page_url")),
    )
    return ImageMetadata(
        url,
        clean_credit_text(texts.get("caption")),
        credit,
    )


def find_shards(folder: Path) -> list[Path]:
    """Return the WebDataset shards that img2dataset wrote into a folder."""
    return [
        path
        for path in sorted(folder.glob("*.tar"))
        if path.with_name(f"{path.stem}_stats.json").is_file()
    ]
