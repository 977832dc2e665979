"""The states of a dataset in which a person meets a command, each made once and copied."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from drawn_dataset import CLASSES, patterns
from filelock import FileLock
from PIL import Image
from tools_for_tests import ROOT, pixels, run_here

from gleanset import Dataset

NUMBER = 12
"""Images per class: enough for a split with 2 for val and test each."""

SIZE = (96, 96)
ALIKE = 7
"""How many images, of the first class, have no background of their own."""

SMALL_TRAINING = "-o size=32 -o epochs=30 -o blocks=8,16 -o dense=16"
NAME = "shapes"
"""Folder of the dataset; images to import are in `new`, classes of images in `sorted`."""
SMALL_RECIPE = """\
title = "Shapes"

[[folder]]
path = "sorted"
hints_from_folders = true

[crop]
detector = "whole"

[split]
ratio = "8:2:2"
"""
EPISODE = ROOT / "datasets" / "sample" / "episode.mp4"


def write_images(folder: Path, seed: int, number: int) -> None:
    """Write drawn images into a folder for each class.

    Only the first ones, stripes, look alike, so that some pairs are undecided. All others have
    backgrounds of their own: a search for copies takes seconds where all images look alike.
    """
    drawn = patterns((number,) * len(CLASSES), seed)
    for index, (gray, kind) in enumerate(zip(drawn.x, drawn.y, strict=True)):
        path = folder / CLASSES[int(kind)] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(gray[0]).resize(SIZE).convert("RGB")
        if index >= ALIKE:
            background = pixels(1000 * seed + index, SIZE)
            image = Image.blend(image, background, 0.2)
        image.save(path)


def run(home: Path, line: str) -> None:
    """Run a command in a folder; it has to succeed."""
    program, *words = line.split()
    package = {"gleanset": "pipeline"}.get(program, program)
    run_here(f"{package}.cli", *words, "-q", cwd=home).checked()


class State(NamedTuple):
    """A state: the one before, and the commands and functions that lead to it."""

    before: str
    steps: tuple[str | Callable[[Path], None], ...]


def _write_folders(home: Path) -> None:
    write_images(home / "sorted", 0, NUMBER)
    write_images(home / "new", 1, 2)
    shutil.copy(EPISODE, home / "episode.mp4")
    (home / "small.toml").write_text(SMALL_RECIPE)
    (home / "list.txt").write_text("http://127.0.0.1:9/disc.png\n")


def _write_scenes(home: Path) -> None:
    """Write classes of one scene each, whose images have to stay together."""
    for folder in (home / "sorted").iterdir():
        shutil.copytree(folder, home / "scenes" / folder.name / "one")


def _label_half(home: Path) -> None:
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


def _cache_features(home: Path) -> None:
    """Keep the features of `baseline prelabel`, which each command would compute again."""
    copy = _copy_folder(home, home.with_name(f"{home.name} prelabelled"))
    run(copy, f"baseline prelabel -d {NAME}")
    features = Path(NAME, "cache", "features")
    shutil.copytree(copy / features, home / features)
    shutil.rmtree(copy)


_WHOLE = f"facecrop run --detector whole -d {NAME}"
_ACCEPT = f"labeler accept hints -d {NAME}"
_SPLIT = f"labeler split -d {NAME}"
_TRAIN = f"baseline train {SMALL_TRAINING} -d {NAME}"
STATES = {
    "nothing": State("", (_write_folders,)),
    "empty": State("nothing", (f"gleanset init {NAME}",)),
    "collected": State(
        "empty", (f"harvest folder sorted --hints-from-folders -d {NAME}",)
    ),
    "unlabelled": State("collected", (_WHOLE, _cache_features)),
    "half_labelled": State("unlabelled", (_label_half,)),
    "labelled": State("unlabelled", (_ACCEPT,)),
    "split": State("labelled", (f"labeler dedup -d {NAME}", _SPLIT)),
    "trained": State("split", (_TRAIN,)),
    "few_groups": State(
        "empty",
        (_write_scenes, f"labeler import scenes --group-by folder -d {NAME}", _SPLIT),
    ),
    "without_test": State("labelled", (f"labeler split --ratio 8:2:0 -d {NAME}",)),
    "tracked": State("empty", (f"gleanset episodes episode.mp4 --to 8s -d {NAME}",)),
}
"""By name; the first has only folders of images, without a dataset."""


class States:
    """Makes each state once, in a folder with a long name: lines wrap the same everywhere.

    The processes of a test run share the states; each has its copies in a folder of its `own`.
    """

    def __init__(self, folder: Path, process: str) -> None:
        self.folder = folder / ("long-name-of-a-folder-" * 4)
        self.own = self.folder / process
        self.own.mkdir(parents=True)
        self._copies = 0

    def copy(self, name: str) -> Path:
        """Return a new copy of a state."""
        return self.copy_of(self.make(name))

    def make(self, name: str) -> Path:
        """Return the folder of a state, which is not to be changed."""
        home = self.folder / name
        complete = self.folder / f"{name}.complete"
        with FileLock(f"{home}.lock"):
            if not complete.exists():
                # What a process left that was killed meanwhile.
                shutil.rmtree(home, ignore_errors=True)
                self._prepare(STATES[name], home)
                complete.touch()
        return home

    def _prepare(self, state: State, home: Path) -> None:
        if state.before:
            _copy_folder(self.make(state.before), home)
        else:
            home.mkdir()
        for step in state.steps:
            if isinstance(step, str):
                run(home, step)
            else:
                step(home)

    def copy_of(self, folder: Path) -> Path:
        """Return a new copy of a folder."""
        self._copies += 1
        return _copy_folder(folder, self.own / f"{self._copies:04}")


def _copy_folder(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target, copy_function=_copy_file))


def _copy_file(source: str, target: str) -> None:
    """Copy a file; images and videos, which no command changes, are linked."""
    if source.endswith((".png", ".mp4")):
        os.link(source, target)
    else:
        shutil.copy2(source, target)
