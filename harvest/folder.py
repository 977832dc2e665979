"""Existing folders of pictures."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from gleanset import Dataset
from gleanset.credit import NOTHING, Credit
from gleanset.dataset import is_dataset
from gleanset.errors import InputUnusable
from gleanset.file_groups import FileGroups
from gleanset.files.class_folder import class_folder
from gleanset.files.names import printable
from gleanset.images.decode import ENDINGS
from gleanset.images.embedded_credit import credit_of
from gleanset.images.staging import StageBytes, StageFile
from gleanset.records import Measured, Origin
from gleanset.source_table import NAME, SourceTables
from gleanset.work.pool import Outcome, Processes, run_over
from gleanset.work.progress import Progress
from harvest.importer import Importer

STAGE = "harvest-folder"


class Found(NamedTuple):
    """A file worth trying, its origin, and a stamp that changes when the file does.

    `credit` is what a `sources.csv` says of it.
    """

    path: Path
    origin: Origin
    stamp: str
    credit: Credit = NOTHING


class CreditedPicture(NamedTuple):
    """A picture that was staged, and what its file says of who made it."""

    measured: Measured
    credit: Credit


class FolderHints(NamedTuple):
    """What pictures are hinted to be: the class folder on `level`, or without it one label.

    `groups` says which of them belong together.
    """

    label: str | None = None
    level: int | None = None
    groups: FileGroups | None = None

    def of(self, folders: Sequence[str]) -> str | None:
        """Return the hint of a picture that these folders lead to, None where it has none."""
        return self.label if self.level is None else class_folder(folders, self.level)

    def group_of(self, name: str, folder: str, inside: Sequence[str]) -> str | None:
        """Return the group of a file in a `folder`, to which the folders `inside` lead."""
        return self.groups.of(name, folder, inside, self.level) if self.groups else None


def harvest_folders(
    dataset: Dataset,
    folders: Iterable[Path],
    *,
    hints: bool = False,
    class_level: int = 1,
    label: str | None = None,
    credit: Credit = NOTHING,
    groups: FileGroups | None = None,
    refused: list[str] | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Add every picture under some folders, and pictures named themselves; the counts.

    With `hints` the class folder on that level is the hint (see `walk`), else `label`. Who made a
    picture says a `sources.csv`, else the file itself, else `credit`; what belongs together says
    that table, else `groups`. Files seen before are skipped unless they, or what is said of them,
    changed. Raises `InputUnusable` for a folder that is not there.
    """
    roots = [checked_folder(folder, dataset.root) for folder in folders]
    hinting = FolderHints(label, class_level if hints else None, groups)
    with dataset.stage(STAGE) as scratch:
        store = dataset.originals(scratch)
        intake = Importer(dataset, STAGE, store, groups=groups, refused=refused, by_folder=hints)
        keep = StageFile(StageBytes(store))
        new = (
            found
            for root in roots
            for found in walk(root, hinting, leave_out=dataset.root, credit=credit)
            if not intake.knows(found.origin, found.stamp)
        )
        outcomes = run_over(_Keep(keep), new, Processes(workers))
        for outcome in (progress or Progress()).over(outcomes, "files", unit=" files"):
            found = outcome.item
            take_credited(intake, outcome, found.origin, found.stamp, found.credit, credit)
        intake.finish()
    return intake.result()


class _Keep:
    """Unpacks a `Found` in the worker."""

    def __init__(self, keep: StageFile) -> None:
        self._keep = keep

    def __call__(self, found: Found) -> CreditedPicture:
        return staged_with_credit(self._keep, found.path)


def staged_with_credit(keep: StageFile, path: Path) -> CreditedPicture:
    """Stage a file, and read who made it, in a worker. Raises `Unreadable`."""
    data = keep.read(path)
    return CreditedPicture(keep.keep(data), credit_of(data))


def take_credited(
    intake: Importer,
    outcome: Outcome[Any, CreditedPicture],
    origin: Origin,
    stamp: str,
    told: Credit,
    given: Credit,
) -> None:
    """Take what a worker made of a file, with who made the picture in its origin.

    That says what was `told` of this one, else its file, else what was `given` for all.
    """
    picture = outcome.result
    credit = told.completed(picture.credit if picture else NOTHING).completed(given)
    measured = Outcome(
        outcome.item, picture.measured if picture else None, outcome.reason, outcome.detail
    )
    origin = replace(origin, author=credit.author, licence=credit.licence, page_url=credit.page)
    intake.take(origin, measured, stamp)


def checked_folder(folder: Path, own: Path) -> Path:
    """Return an absolute path that `walk` can begin at. Raises `InputUnusable`."""
    if not folder.exists():
        placeholder = "write the name of a folder with your pictures for DIR"
        mend = placeholder if folder == Path("DIR") else "check its name"
        raise InputUnusable(f"there is no folder {folder}", mend)
    if not folder.is_dir() and folder.suffix.lower() not in ENDINGS:
        raise InputUnusable(
            f"{folder} is neither a picture nor an archive that can be read",
            "name a folder, a picture, a zip, or a tar (plain, gz, bz2 or xz)",
        )
    if folder.resolve() == own.resolve():
        raise InputUnusable(
            f"{folder} is the dataset itself", "name another folder for the dataset with -d DIR"
        )
    # A hint must be a name, and the same file must have the same path in every run.
    return folder.resolve() if ".." in folder.parts else folder.absolute()


def walk(
    root: Path, hinting: FolderHints, *, leave_out: Path, credit: Credit = NOTHING
) -> Iterator[Found]:
    """Yield all files under `root` in a fixed order, without hidden ones and without datasets.

    A `root` without folders is a class folder itself, and so is the folder of a `root` that is a
    file, which is all there is. Folders that may not be listed come last, so that they are rejected
    and not forgotten. `credit` is what is said of all where nothing else is; with another one the
    files count as changed. Raises `InputUnusable` for a `sources.csv` that cannot be read.
    """
    own = leave_out.resolve()
    closed: list[OSError] = []
    tables = SourceTables(root.parent if root.is_file() else root)

    def found(path: Path, hint: str | None, inside: Sequence[str] = ()) -> Found:
        told = tables.of(path)
        group = told.group or hinting.group_of(path.name, printable(path.parent), inside)
        below = path.relative_to(root) if path != root else Path(path.name)
        return _found(path, below, hint, group, told.credit, credit)

    if root.is_file():
        yield found(root, hinting.of((root.parent.name,)))
        return
    loose: tuple[str, ...] = ()
    for folder, folders, files in _open_folders(root, own, closed):
        if folder == root and not folders:
            loose = (root.name,)
        inside = folder.relative_to(root).parts
        for name in files:
            yield found(folder / name, hinting.of(inside or loose), inside)
    yield from (found(Path(os.fsdecode(error.filename)), hinting.label) for error in closed)


def names_in(root: Path, leave_out: Path) -> Iterator[str]:
    """Yield the name of every file that `walk` gives."""
    if root.is_file():
        yield root.name
        return
    for _, _, files in _open_folders(root, leave_out.resolve(), []):
        yield from files


def _open_folders(
    root: Path, own: Path, closed: list[OSError]
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Yield each folder with the names of those in it and of its files; `closed` are the others."""
    for here, folders, files in os.walk(root, onerror=closed.append):
        folder = Path(here)
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not _is_left_out(folder / name, own)
        )
        if folder.resolve() == own:
            folders.clear()
            continue
        names = (name for name in files if not name.startswith(".") and name != NAME)
        yield folder, folders, sorted(names)


def _is_left_out(folder: Path, own: Path) -> bool:
    """Return whether a folder is our dataset or another one: its images are not found again."""
    return folder.resolve() == own or is_dataset(folder)


def _found(
    path: Path, below: Path, hint: str | None, group: str | None, told: Credit, given: Credit
) -> Found:
    text, title = printable(path), printable(Path(path.name))
    hint = hint and printable(Path(hint))
    origin = Origin(
        "folder",
        text,
        path=text,
        title=title,
        hint=hint,
        post=group,
        original_path=printable(below).replace(os.sep, "/"),
    )
    try:
        status = path.stat()
    except OSError:
        return Found(path, origin, "")
    stamp = f"{status.st_size}:{status.st_mtime_ns}:{hint or ''}{said_stamp(group, told, given)}"
    return Found(path, origin, stamp, told)


def said_stamp(group: str | None, *parts: Credit) -> str:
    """Return a stamp that changes with what is said of a picture; empty where nothing is."""
    said = [text or "" for one in parts for text in one] + ([group] if group else [])
    return ":" + hashlib.sha256("\0".join(said).encode()).hexdigest()[:12] if any(said) else ""
