"""Existing folders of pictures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from gleanset import Dataset
from gleanset.dataset import is_dataset
from gleanset.errors import InputUnusable
from gleanset.files.names import printable
from gleanset.images.decode import ENDINGS
from gleanset.images.staging import StageBytes, StageFile
from gleanset.records import Measured, Origin
from gleanset.work.pool import Outcome, Processes, run_over
from gleanset.work.progress import Progress
from harvest.importer import Importer

STAGE = "harvest-folder"


class Found(NamedTuple):
    """A file worth trying, its origin, and a stamp that changes when the file does."""

    path: Path
    origin: Origin
    stamp: str


def harvest_folders(
    dataset: Dataset,
    folders: Iterable[Path],
    *,
    hints: bool = False,
    label: str | None = None,
    workers: int = 0,
    progress: Progress | None = None,
) -> dict[str, object]:
    """Add every picture under some folders, and pictures named themselves; the counts.

    With `hints` the immediate parent folder is the hint, else `label`. Files seen before are
    skipped unless they changed. Raises `InputUnusable` for a folder that is not there.
    """
    roots = [checked_folder(folder, dataset.root) for folder in folders]
    with dataset.stage(STAGE) as scratch:
        store = dataset.originals(scratch)
        intake = Importer(dataset, STAGE, store)
        keep = StageFile(StageBytes(store))
        new = (
            found
            for root in roots
            for found in walk(root, hints=hints, label=label, leave_out=dataset.root)
            if not intake.knows(found.origin, found.stamp)
        )
        outcomes = run_over(_Keep(keep), new, Processes(workers))
        for outcome in (progress or Progress()).over(outcomes, "files", unit=" files"):
            _take(intake, outcome)
        intake.finish()
    return intake.result()


class _Keep:
    """Unpacks a `Found` in the worker."""

    def __init__(self, keep: StageFile) -> None:
        self._keep = keep

    def __call__(self, found: Found) -> Measured:
        return self._keep(found.path)


def _take(intake: Importer, outcome: Outcome[Found, Measured]) -> None:
    intake.take(outcome.item.origin, outcome, outcome.item.stamp)


def checked_folder(folder: Path, own: Path) -> Path:
    """Return an absolute path that `walk` can begin at. Raises `InputUnusable`."""
    if not folder.exists():
        raise InputUnusable(f"there is no folder {folder}", "check its name")
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


def walk(root: Path, *, hints: bool, label: str | None, leave_out: Path) -> Iterator[Found]:
    """Yield all files under `root` in a fixed order, without hidden ones and without datasets.

    A `root` that is a file is all there is. Folders that may not be listed come last, so that
    they are rejected and not forgotten.
    """
    own = leave_out.resolve()
    closed: list[OSError] = []
    if root.is_file():
        yield _found(root, root.parent.name if hints else label)
        return
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
        for name in sorted(files):
            if not name.startswith("."):
                yield _found(folder / name, folder.name if hints else label)
    yield from (_found(Path(os.fsdecode(error.filename)), label) for error in closed)


def _is_left_out(folder: Path, own: Path) -> bool:
    """Return whether a folder is our dataset or another one: its images are not found again."""
    return folder.resolve() == own or is_dataset(folder)


def _found(path: Path, hint: str | None) -> Found:
    text = printable(path)
    hint = hint and printable(Path(hint))
    origin = Origin(
        source="folder", key=text, path=text, title=printable(Path(path.name)), hint=hint
    )
    try:
        status = path.stat()
    except OSError:
        return Found(path, origin, "")
    return Found(path, origin, f"{status.st_size}:{status.st_mtime_ns}:{hint or ''}")
