"""The states of a dataset in which a person meets a command, each made once and copied."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from drawn_dataset import CLASSES, patterns
from PIL import Image
from tools_for_tests import run_here

from gleanset import Dataset

NUMBER = 12
"""Images per class: enough for a split with 2 for val and test each."""

SMALL_TRAINING = (
    "-o",
    "size=32",
    "-o",
    "epochs=30",
    "-o",
    "blocks=8,16",
    "-o",
    "dense=16",
)
NAME = "shapes"
"""Folder of the dataset; images to import are in `new`, classes of images in `sorted`."""


def write_images(folder: Path, seed: int, number: int) -> None:
    """Write drawn images into a folder for each class."""
    drawn = patterns((number,) * len(CLASSES), seed)
    for index, (pixels, kind) in enumerate(zip(drawn.x, drawn.y, strict=True)):
        path = folder / CLASSES[int(kind)] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[0]).resize((96, 96)).convert("RGB").save(path)


def run(home: Path, line: str) -> None:
    """Run a command in a folder; it has to succeed."""
    program, *words = line.split()
    package = {"gleanset": "pipeline"}.get(program, program)
    run_here(f"{package}.cli", *words, "-q", cwd=home).checked()


def nothing(home: Path) -> None:
    """Only folders of images: no dataset."""
    write_images(home / "sorted", 0, NUMBER)
    write_images(home / "new", 1, 2)


def empty(home: Path) -> None:
    """A dataset without images."""
    nothing(home)
    run(home, f"gleanset init {NAME}")


def collected(home: Path) -> None:
    """Images with weak labels, without faces or samples."""
    empty(home)
    run(home, f"harvest folder sorted --hints-from-folders -d {NAME}")


def unlabelled(home: Path) -> None:
    """Whole images as samples, none labelled."""
    collected(home)
    run(home, f"facecrop run --detector whole -d {NAME}")


def half_labelled(home: Path) -> None:
    """Half of the images of two classes labelled."""
    unlabelled(home)
    with Dataset.open(home / NAME) as dataset:
        samples = {sample.key: sample.image for sample in dataset.samples.iterate()}
        names = {
            image.sha256: image.origins[0].hint for image in dataset.images.iterate()
        }
    for name in ("disc", "cross"):
        ids = sorted(
            sample for sample, image in samples.items() if names[image] == name
        )
        run(home, f"labeler label {name} {' '.join(ids[: NUMBER // 2])} -d {NAME}")


def labelled(home: Path) -> None:
    """All images labelled, none compared or split."""
    unlabelled(home)
    run(home, f"labeler accept hints -d {NAME}")


def split(home: Path) -> None:
    """De-duplicated and split."""
    labelled(home)
    run(home, f"labeler dedup -d {NAME}")
    run(home, f"labeler split -d {NAME}")


def trained(home: Path) -> None:
    """With a model."""
    split(home)
    run(home, f"baseline train {' '.join(SMALL_TRAINING)} -d {NAME}")


STATES: dict[str, Callable[[Path], None]] = {
    state.__name__: state
    for state in (
        nothing,
        empty,
        collected,
        unlabelled,
        half_labelled,
        labelled,
        split,
        trained,
    )
}


class States:
    """Makes each state once, in a folder with a long name: lines wrap the same everywhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ("long-name-of-a-folder-" * 4)
        self._copies = 0

    def copy(self, name: str) -> Path:
        """Return a new copy of a state."""
        origin = self.folder / name
        if not origin.exists():
            origin.mkdir(parents=True)
            STATES[name](origin)
        return self.copy_of(origin)

    def copy_of(self, folder: Path) -> Path:
        """Return a new copy of a folder."""
        self._copies += 1
        target = self.folder / f"{self._copies:04}"
        return Path(shutil.copytree(folder, target, copy_function=_copy_file))


def _copy_file(source: str, target: str) -> None:
    """Copy a file; images, which no command changes, are linked."""
    if source.endswith(".png"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)
