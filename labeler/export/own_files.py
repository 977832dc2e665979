"""A person's own files, moved into the folders of their classes, and back again.

The originals of a dataset are copies, named by their content, and stay as they are; what moves is
the file that a picture was taken from (`harvest folder`, `labeler import`). Where each lies is in
the catalogue: the key of its origin is the place where it was found first, which never changes,
and its path the place where it lies now. So there is no list of moves that could be lost, or
edited by somebody else: taking them back is bringing each file from its path to its key.

A file is known by its content. One that was changed, or that somebody has put elsewhere, stays; no
file is ever replaced. Killed between a file and its row, the next run finds it by its name in the
folders of the classes.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from gleanset import Dataset
from gleanset.db.images import note_moved
from gleanset.errors import InputUnusable
from gleanset.files.atomic import PARTIAL, disk_errors
from gleanset.files.names import folder_names
from gleanset.files.store import sha256_of_file
from gleanset.platform import sync_folder
from gleanset.records import Image, Origin, Sample
from gleanset.work.progress import Progress
from labeler.export.options import ExportOptions
from labeler.export.plan import may_be_passed_on
from labeler.export.tree import MARKER, mark, marked, place_of

SOURCES = ("folder", "import")
"""Sources of which each picture is a file of the person's own."""
_TOGETHER = 64
"""Moves whose rows are written in one transaction, and whose folders are synced together."""


@dataclass(frozen=True, slots=True)
class FileMove:
    """A file that belongs elsewhere; `sha256` is what it has inside, `key` that of its origin."""

    sha256: str
    key: str
    source: Path
    target: Path


@dataclass
class MovePlan:
    """What is to be moved; which files stay, and why; how many are where they belong."""

    moves: list[FileMove] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    in_place: int = 0

    def result(self, what: str, number: int) -> dict[str, Any]:
        """Return it as a command does."""
        counts = {what: number, "in_place": self.in_place, "left": len(self.left)}
        return counts | {"reasons": dict(Counter(self.left.values()).most_common())}


def checked_place(dataset: Dataset, out: str | Path) -> Path:
    """Return the folder that files are moved into. Raises `InputUnusable`."""
    out = place_of(Path(out))
    if out.is_relative_to(place_of(dataset.root)):
        raise InputUnusable(
            f"{out} lies in the dataset, where your own files do not belong",
            "name a folder of yours",
        )
    if out.exists() and not out.is_dir():
        raise InputUnusable(f"{out} is a file", "name a folder")
    if (told := marked(out)) and not told.get("moved"):
        raise InputUnusable(
            f"{out} is an export, which the next one would replace", "name another folder"
        )
    return out


def plan_moves(dataset: Dataset, out: Path, options: ExportOptions) -> MovePlan:
    """Return which files are to be moved into class folders of `out`; nothing is read of them."""
    plan, classes = MovePlan(), dict(_class_of_images(dataset))
    folders = folder_names(label for label in classes.values() if label)
    taken: set[str] = set()
    for image in dataset.images.each():
        label = classes.get(image.sha256)
        if label is None or not may_be_passed_on(image, options.licences):
            continue
        for origin in _files_of(image, dataset):
            if not label:
                plan.left[str(origin.path)] = "several classes, or one that is not decided"
                continue
            _plan_one(plan, origin, image, out / folders[label], taken)
    return plan


def _plan_one(plan: MovePlan, origin: Origin, image: Image, folder: Path, taken: set[str]) -> None:
    source = lies_at(origin, image, folder.parent)
    if source is None:
        plan.left[str(origin.path)] = "not there any more"
    elif source.is_symlink():
        plan.left[str(source)] = "a link"
    elif source.parent == folder:
        plan.in_place += 1
        if source != Path(str(origin.path)):  # it was moved, and its row not yet written
            plan.moves.append(FileMove(image.sha256, origin.key, source, source))
    else:
        target = _free(folder, source, image.sha256, taken)
        plan.moves.append(FileMove(image.sha256, origin.key, source, target))


def plan_return(dataset: Dataset, out: Path) -> MovePlan:
    """Return which files in `out` are to be brought back to where they were found first."""
    plan, seen = MovePlan(), set[Path]()
    for image in dataset.images.each():
        for origin in _files_of(image, dataset):
            home, source = Path(origin.key), lies_at(origin, image, out)
            moved = source is not None and source != home and source.is_relative_to(out)
            if source is None or not moved or source in seen:
                continue
            seen.add(source)
            if os.path.lexists(home):
                plan.left[str(source)] = "its old place is taken"
            else:
                plan.moves.append(FileMove(image.sha256, origin.key, source, home))
    return plan


def carry_out(
    dataset: Dataset, plan: MovePlan, progress: Progress, *, verb: str = "move"
) -> Iterator[FileMove]:
    """Move files one after the other, and yield those that were; others go to what is `left`."""
    moves = progress.over(plan.moves, verb, total=len(plan.moves))
    while batch := list(islice(moves, _TOGETHER)):
        refused = {move: why for move in batch if (why := _why_not(move)) is not None}
        wanted = [move for move in batch if move not in refused]
        with dataset.db.write():
            for move in wanted:
                note_moved(dataset.db, move.sha256, move.key, (move.source, move.target))
        refused |= {move: why for move in wanted if (why := _moved(move)) is not None}
        with dataset.db.write():
            for move in refused.keys() & wanted:
                note_moved(dataset.db, move.sha256, move.key, (move.target, move.source))
        for folder in {move.target.parent for move in wanted if move not in refused}:
            sync_folder(folder)
        plan.left |= {str(move.source): why for move, why in refused.items()}
        yield from (move for move in wanted if move not in refused)


def _why_not(move: FileMove) -> str | None:
    try:
        if sha256_of_file(move.source) != move.sha256:
            return "changed since it was taken in"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if move.source != move.target and os.path.lexists(move.target):
        return "its new place is taken"
    return None


def _moved(move: FileMove) -> str | None:
    """Move one file, which may go to another disk; return why that could not be."""
    if move.source == move.target:
        return None
    try:
        move.target.parent.mkdir(parents=True, exist_ok=True)
        try:
            move.source.rename(move.target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _to_other_disk(move)
    except OSError as error:
        return f"cannot be moved: {error.strerror}"
    return None


def _to_other_disk(move: FileMove) -> None:
    """Copy a file, with its times, and remove it only when the copy is whole and on the disk."""
    partial = move.target.with_name(f"{PARTIAL}{secrets.token_hex(8)}")
    try:
        shutil.copy2(move.source, partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.rename(move.target)
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(move.target.parent)
    move.source.unlink()


def lies_at(origin: Origin, image: Image, out: Path) -> Path | None:
    """Return where the file of an origin lies: at its path, or where a killed run left it."""
    path = Path(str(origin.path))
    for place in (path, Path(origin.key)):
        if os.path.lexists(place):
            return place
    names = {path.name, Path(origin.key).name}
    names |= {_other_name(Path(name), image.sha256) for name in names}
    places = (folder / name for folder in out.glob("*/") for name in names)
    alike = (p for p in places if p.is_file() and p.stat().st_size == image.bytes)
    return next((p for p in alike if sha256_of_file(p) == image.sha256), None)


def _free(folder: Path, source: Path, sha256: str, taken: set[str]) -> Path:
    """Return a place with the file's own name; one that is taken gets a part of its hash."""
    target = folder / source.name
    if str(target).casefold() in taken or os.path.lexists(target):
        target = folder / _other_name(source, sha256)
    taken.add(str(target).casefold())
    return target


def _other_name(file: Path, sha256: str) -> str:
    return f"{file.stem}-{sha256[:8]}{file.suffix}"


def _files_of(image: Image, dataset: Dataset) -> Iterator[Origin]:
    """Yield one origin for each file that a picture was taken from, outside of the dataset."""
    seen: set[str] = set()
    # One that was moved before one that was taken in where it had been moved to.
    for origin in sorted(image.origins, key=lambda origin: origin.path == origin.key):
        path = origin.path
        if origin.source not in SOURCES or path is None or origin.video or path in seen:
            continue
        seen.add(path)
        if not Path(path).is_relative_to(dataset.root):
            yield origin


def _class_of_images(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield pictures of which something is decided, each with its class, or with none.

    None have those of several classes, and those with a face that nobody has decided on. A copy
    that was set aside has the class of the one that is kept.
    """
    label_of_group: dict[str, str] = {}
    by_image: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples.by_key():
        if sample.status == "labelled" and sample.kept and sample.group:
            label_of_group[sample.group] = str(sample.label)
        if sample.status in ("labelled", "queue"):
            by_image[sample.image].append(sample)
    for sha256, samples in by_image.items():
        labels = {_label_of(sample, label_of_group) for sample in samples}
        if labels != {None}:
            yield sha256, (labels.pop() or "") if len(labels) == 1 else ""


def _label_of(sample: Sample, label_of_group: dict[str, str]) -> str | None:
    label = sample.label if sample.status == "labelled" else None
    return label_of_group.get(sample.group, label) if sample.group and not sample.kept else label


def note_places(dataset: Dataset, out: Path) -> None:
    """Write into `out` which of its files has which class, by which `labeler import` reads it.

    Where none is left there, nothing is.
    """
    pictures: dict[str, dict[str, object]] = {}
    classes = dict(_class_of_images(dataset))
    by_image: dict[str, str] = {}
    for sample in dataset.samples.by_key():
        if sample.status == "labelled":
            by_image.setdefault(sample.image, sample.key)
    for image in dataset.images.each():
        if label := classes.get(image.sha256):
            for path in _within(out, _files_of(image, dataset)):
                pictures[path] = {
                    "sample": by_image[image.sha256],
                    "label": label,
                    "sha256": image.sha256,
                }
    with disk_errors(out):
        if not pictures:
            (out / MARKER).unlink(missing_ok=True)
            return
        facts = {"format": "imagefolder", "no_split": True, "moved": True, "pictures": pictures}
        mark(out, facts, ours=False)


def remove_empty(plan: MovePlan) -> None:
    """Remove the folders out of which the last file was moved."""
    for folder in {move.source.parent for move in plan.moves}:
        with suppress(OSError):
            folder.rmdir()


def follow_moves(dataset: Dataset, out: Path, places: dict[str, str]) -> None:
    """Note where files lie now that somebody has moved about since they were moved here."""
    for before, now in places.items():
        if before != now:
            sha256 = sha256_of_file(out / now)
            note_moved(dataset.db, sha256, "", (out / before, out / now))
    note_places(dataset, out)


def _within(out: Path, origins: Iterable[Origin]) -> Iterator[str]:
    for origin in origins:
        path = Path(str(origin.path))
        if path.is_relative_to(out) and path.is_file():
            yield path.relative_to(out).as_posix()
