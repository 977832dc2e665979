"""Adding images to the gallery of a run, and removing classes from it.

The files of added images are stored in the run's `gallery/`, named by content, and
`gallery/changes.jsonl` logs all changes, so that a removed class can be added again.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from baseline.data.pixels import read_bytes
from baseline.data.runs import find_run_class, read_current_names
from baseline.train.trained_net import (
    add_images,
    build_head,
    images_by_class,
    load_model,
    save_model,
)
from baseline.use.crops import PartReader
from baseline.use.model import Model
from gleanset.arrays import Pixels
from gleanset.command_result import CommandResult
from gleanset.db.rows import now
from gleanset.errors import InputUnusable, UsageError
from gleanset.files.atomic import disk_errors, write_atomic
from gleanset.files.store import hash_bytes
from gleanset.named_files import shorten_list
from gleanset.platform import count_cores
from gleanset.terminal import escape_name
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from gleanset.work.stage import stage

GALLERY_FOLDER = "gallery"
CHANGES_FILE = "changes.jsonl"
KEY_LENGTH = 32
"""Hex digits of the SHA-256 in the names of added images."""


class GalleryList(CommandResult, kw_only=True):
    """The number of gallery images of a run by class."""

    run: str
    classes: dict[str, int]


class GalleryAddition(CommandResult, kw_only=True):
    """Images that were added to a class, and all that it has now (`known`).

    Others had been added before or are repeated (`duplicate`), are `left_out` because they are not
    among the most representative images of a full class, or were rejected.
    """

    WORDS = {"known": "images in class"}

    label: str = msgspec.field(name="class")
    added: int
    duplicate: int = 0
    left_out: int = 0
    known: int
    rejected: int
    rejections: list[dict[str, str]]
    ignored: int | None = None
    ignored_reasons: dict[str, int] = {}
    cropping: dict[str, Any] = {}

    def summary(self) -> dict[str, Any]:
        """Return the result with a line for each of the first rejected files."""
        lines = [
            f"{escape_name(file['path'])}: {file['reason']}" for file in self.rejections
        ]
        # How images are cropped was said before.
        return {
            **super().summary(),
            "rejections": shorten_list(lines),
            "cropping": "",
        }


class GalleryRemoval(CommandResult, kw_only=True):
    """A class that was removed with its images, and the number of classes left."""

    removed: str
    images: int
    classes: int


def count_images(folder: Path) -> dict[str, int]:
    """Return the number of gallery images by current name of the class.

    Raises `UsageError` without a gallery.
    """
    net, _, classes = load_model(folder)
    images = images_by_class(net, classes)
    current_names = read_current_names(folder, classes)
    return {
        current_names.get(name, name): len(keys) for name, (keys, _) in images.items()
    }


def add_files(
    folder: Path,
    name: str,
    paths: Iterable[str],
    read: PartReader,
    progress: Progress,
) -> GalleryAddition:
    """Add the images in files to the gallery as class `name`; return the counts and rejections.

    `name` may be that of the run, the current one or an alias. With a detector, images with
    several faces are rejected as ambiguous. Raises `UsageError` without a gallery,
    `InputUnusable` if nothing is added.
    """
    if not name.strip():
        raise UsageError("missing class name", "name it: --class NAME")
    from baseline.use.run_engine import RunEngine

    with stage(folder / "cache", GALLERY_FOLDER):
        engine = RunEngine.from_folder(folder)
        images = images_by_class(engine.net, engine.facts.classes)
        # `own_name` is the name in the run, `name` from here on the current one.
        own_name, name = find_run_class(folder, engine.facts.classes, name)
        files = _read_files(folder, paths, read, progress)
        if not files.keys:
            reasons = sorted({rejection["reason"] for rejection in files.rejections})
            raise InputUnusable(
                f"none of {len(files.rejections)} images can be used: "
                f"{', '.join(reasons) or 'no files'}",
                "name other images",
            )

        embeddings = Model(engine).embed_pixels(np.stack(files.pixels))
        _append_change(
            folder,
            {
                "action": "add",
                "class": own_name,
                "images": list(dict.fromkeys(files.keys)),
            },
        )

        images_before = images.get(
            own_name, ((), np.zeros((0, embeddings.shape[1]), np.float32))
        )
        images[own_name] = add_images(images_before, files.keys, embeddings)
        engine.net.head = build_head([*images.values()])
        save_model(
            folder,
            engine.net,
            engine.settings,
            tuple(images),
        )

    new_keys = set(files.keys).difference(images_before[0])
    keys, _ = images[own_name]
    added = len(new_keys.intersection(keys))
    return GalleryAddition(
        label=name,
        added=added,
        known=len(keys),
        duplicate=len(files.keys) - len(new_keys),
        left_out=len(new_keys) - added,
        rejected=len(files.rejections),
        rejections=files.rejections,
    )


def remove_class(folder: Path, name: str) -> GalleryRemoval:
    """Remove a class from the gallery; its files are kept.

    Raises `UsageError` if there is no such class, or fewer than two would be left.
    """
    with stage(folder / "cache", GALLERY_FOLDER):
        net, settings, classes = load_model(folder)
        images = images_by_class(net, classes)
        own_name, name = find_run_class(folder, classes, name)
        if own_name not in classes or len(classes) < 3:
            raise UsageError(
                f"cannot remove '{name}' from the classes {', '.join(classes)}",
                "choose a class of the run; two must remain",
            )

        keys, _ = images.pop(own_name)
        net.head = build_head([*images.values()])
        save_model(folder, net, settings, tuple(images))
        change = {
            "action": "remove",
            "class": own_name,
            "images": list(keys),
        }
        _append_change(folder, change)

    return GalleryRemoval(removed=name, images=len(keys), classes=len(images))


class _FilesRead(NamedTuple):
    """Keys and pixels of images, which may be repeated, and the other files."""

    keys: list[str]
    pixels: list[Pixels]
    rejections: list[dict[str, str]]


def _read_files(
    folder: Path,
    paths: Iterable[str],
    read: PartReader,
    progress: Progress,
) -> _FilesRead:
    """Read images, and store their files in the gallery's folder."""
    files = _FilesRead([], [], [])
    outcomes = run_over(read, paths, Processes(count_cores()))
    for outcome in progress.over(outcomes, "images"):
        path = Path(outcome.item)
        parts = outcome.result or []
        # Without a part, the outcome has the reason. With several faces it has none.
        if len(parts) != 1:
            files.rejections.append(
                {
                    "path": outcome.item,
                    "reason": outcome.reason or "several faces",
                    "detail": outcome.detail,
                }
            )
            continue

        data = read_bytes(path)
        key = hash_bytes(data)[:KEY_LENGTH]
        write_atomic(folder / GALLERY_FOLDER / f"{key}{path.suffix.lower()}", data)
        files.keys.append(key)
        files.pixels.append(parts[0].pixels)

    return files


def _append_change(folder: Path, change: Mapping[str, object]) -> None:
    path = folder / GALLERY_FOLDER / CHANGES_FILE
    with disk_errors(path):
        before = path.read_bytes() if path.is_file() else b""
    line = json.dumps({"at": now(), **change}, ensure_ascii=False) + "\n"
    write_atomic(path, before + line.encode())
