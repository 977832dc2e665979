"""Exporting a class tree, `train|val|test/<class>/picture.jpg`, that is either whole or absent."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import InputUnusable, Unreadable
from gleanset.files.atomic import disk_errors, sync_folder
from gleanset.images.cut import cut, encode
from gleanset.images.decode import decode
from gleanset.records import Image, Rejection, Sample
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from labeler.naming import folder_names, original_name, unique_names

STAGE = "export"
MARKER = ".gleanset-export.json"


@dataclass(frozen=True, slots=True)
class Item:
    """One picture of an export: its sample, where its original lies, and its path in the tree."""

    sample: Sample
    original: Path
    crop: Path
    path: str


@dataclass(frozen=True, slots=True)
class Write:
    """Writes pictures below a folder; picklable. Crops are copied, originals cut again."""

    folder: Path

    def __call__(self, item: Item) -> None:
        """Raises `Unreadable` when neither the crop nor the original can be read."""
        target = self.folder / item.path
        with disk_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(item.crop, target)
            except FileNotFoundError:
                target.write_bytes(_from_original(item))


def _from_original(item: Item) -> bytes:
    """The sample as our own JPEG: upright, and without the metadata of its original."""
    try:
        data = item.original.read_bytes()
    except OSError as error:
        raise Unreadable("file is gone", str(error)) from error
    return encode(cut(decode(data).pixels, item.sample.box))


def plan_export(dataset: Dataset) -> list[Item]:
    """Every labelled sample that has a split, with its path. Raises `InputUnusable`."""
    chosen = list(dataset.samples.in_splits())
    if not chosen:
        raise InputUnusable(
            "there is nothing to export: no labelled sample has a split yet",
            f"run: labeler accept-hints -d {dataset.root}; labeler split -d {dataset.root}",
        )
    images: dict[str, Image] = {}
    folders = folder_names(str(sample.label) for sample in chosen)
    wanted: list[tuple[Sample, str, str]] = []
    for sample, number in _numbered(chosen):
        image = images.setdefault(sample.image, _image(dataset, sample))
        name = original_name(image.origins)
        wanted.append((sample, f"{sample.split}/{folders[str(sample.label)]}", f"{name}{number}"))
    return [
        Item(
            sample,
            dataset.image_path(sample.image, images[sample.image].format),
            dataset.crop_path(sample.key),
            path,
        )
        for (sample, _, _), path in zip(wanted, unique_names(wanted), strict=True)
    ]


def _image(dataset: Dataset, sample: Sample) -> Image:
    image = dataset.images.get(sample.image)
    assert image is not None, "a sample always has its image"
    return image


def _numbered(samples: list[Sample]) -> Iterator[tuple[Sample, str]]:
    """`_1`, `_2` … from left to right for the faces of an image; nothing for a whole image."""
    seen: Counter[str] = Counter()
    place = {}
    faces = [sample for sample in samples if sample.detector != "whole"]
    for sample in sorted(faces, key=lambda s: (s.image, s.box.x, s.box.y, s.key)):
        seen[sample.image] += 1
        place[sample.key] = seen[sample.image]
    for sample in samples:
        yield sample, "" if sample.detector == "whole" else f"_{place[sample.key]}"


def export_imagefolder(
    dataset: Dataset, target: Path, *, workers: int = 0, progress: Progress | None = None
) -> dict[str, object]:
    """Write the tree beside `target` and swap it in when it is whole; the counts.

    A folder that holds anything but an earlier export is left alone, and so is an earlier
    export when not one picture can be read: `InputUnusable`.
    """
    target = target.absolute()
    partial = target.with_name(f".{target.name}.gleanset-partial")
    old = target.with_name(f".{target.name}.gleanset-old")
    with dataset.stage(STAGE), disk_errors(target):
        _recover(target, old)
        check_ours(target)
        items = plan_export(dataset)
        try:
            failed = _write_all(items, partial, workers, progress or Progress())
            for path, why in failed.items():
                dataset.rejections.add(Rejection(STAGE, path, "cannot be read", why))
            written = sorted(item.path for item in items if item.path not in failed)
            _mark(partial, written)
            _swap(partial, target, old)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    splits = Counter(item.sample.split for item in items if item.path not in failed)
    result: dict[str, object] = {"exported": len(written), "to": str(target), "splits": splits}
    if short := missing_classes(items):
        result["short"] = short
    return result | ({"failed": failed} if failed else {})


def missing_classes(items: list[Item]) -> list[str]:
    """Classes that lack a split: readers that number folders would count them differently."""
    present = {(item.sample.split, item.sample.label) for item in items}
    return sorted(
        f"{label}: nothing in {split}"
        for split in {split for split, _ in present}
        for label in {label for _, label in present}
        if (split, label) not in present
    )


def _write_all(items: list[Item], folder: Path, workers: int, progress: Progress) -> dict[str, str]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    failed: dict[str, str] = {}
    outcomes = run_over(Write(folder), items, Processes(workers))
    for outcome in progress.over(outcomes, "export", total=len(items)):
        if outcome.reason is not None:
            failed[outcome.item.path] = f"{outcome.reason}: {outcome.detail}"
    if len(failed) == len(items):
        raise InputUnusable(
            f"none of the {len(items)} pictures can be read; the first: {min(failed.values())}",
            "put the images folder of the dataset back",
        )
    return failed


def _mark(folder: Path, written: list[str]) -> None:
    """Note what is ours, so that a later export may replace it."""
    text = json.dumps({"files": written}, ensure_ascii=False)
    (folder / MARKER).write_text(text, encoding="utf-8")


def _marked(folder: Path) -> set[str]:
    """The files of the export in `folder`; none where there is no marker of ours."""
    try:
        files = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return set()
    return {MARKER, *map(str, files)}


def check_ours(target: Path) -> None:
    """Refuse to replace what we did not write: `InputUnusable`."""
    if not target.exists():
        return
    if not target.is_dir():
        raise InputUnusable(f"{target} is a file", "name a new folder")
    found = (path for path in target.rglob("*") if path.is_symlink() or not path.is_dir())
    present = {path.relative_to(target).as_posix() for path in found}
    if foreign := sorted(present - _marked(target)):
        raise InputUnusable(
            f"{target} holds files that are not from an export, such as {foreign[0]}",
            "export into a new folder, or move them away",
        )


def _swap(partial: Path, target: Path, old: Path) -> None:
    sync_folder(partial)
    if target.exists():
        target.replace(old)
    partial.replace(target)
    sync_folder(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _recover(target: Path, old: Path) -> None:
    """After a kill between the two renames the old export is put back."""
    if old.exists() and not target.exists():
        old.replace(target)
    shutil.rmtree(old, ignore_errors=True)
