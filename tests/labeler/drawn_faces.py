"""Sets of drawn faces with their true classes, made by the real stores and measurements."""

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from shared_folder import make_shared_folder
from tools_for_tests import encode

from gleanset import Dataset, Face, Origin
from gleanset.db.proposals import PrelabelledSample, Proposal, Proposals
from gleanset.db.sorting import SampleTiles
from gleanset.images.cropping import FaceCropper
from gleanset.images.staging import StageBytes
from gleanset.settings import CropGeometry
from labeler.sorting.descriptor_queue import measure_in_batches
from tools.sample.character import CAST, random_character
from tools.sample.scene import Scene, face_box, paint_scene, plan_scene

SIZE = (112, 96)


@dataclass(frozen=True)
class FaceSet:
    """A dataset folder and the true class of each sample key."""

    root: Path
    truth: dict[str, str]

    @property
    def names(self) -> list[str]:
        return sorted(set(self.truth.values()))


def draw_set(
    root: Path, number: int, classes: int = 10, frames: int = 1, seed: int = 7
) -> FaceSet:
    """Draw faces of characters whose frequencies follow a Zipf law (0.8).

    With `frames` > 1 each scene is that many frames of one video, a third of a second apart.
    """
    cast = [*CAST, *(random_character(seed) for seed in range(classes))][:classes]
    weights = [1 / (place + 1) ** 0.8 for place in range(classes)]
    dice = random.Random(seed)
    truth: dict[str, str] = {}
    with Dataset.create(root) as dataset, dataset.stage("test") as scratch:
        keep = StageBytes(dataset.originals(scratch))
        cutter = FaceCropper(CropGeometry(), dataset.crops(scratch))
        for shot in range(-(-number // frames)):
            character = dice.choices(cast, weights)[0]
            scene = plan_scene([character], shot, SIZE)
            for frame in range(min(frames, number - shot * frames)):
                key = _add(dataset, keep, cutter, scene, shot, frame, frames > 1)
                truth[key] = character.name
        measure(dataset)
    return FaceSet(root, truth)


def drawn_once(
    factory: pytest.TempPathFactory, number: int, classes: int = 10, frames: int = 1
) -> FaceSet:
    """Return a set drawn once for all tests of a run; read-only."""

    def draw(folder: Path) -> None:
        faces = draw_set(folder / "d", number, classes, frames)
        (folder / "truth.json").write_text(json.dumps(faces.truth), encoding="utf-8")

    folder = make_shared_folder(factory, f"faces-{number}-{classes}-{frames}", draw)
    truth = json.loads((folder / "truth.json").read_text(encoding="utf-8"))
    return FaceSet(folder / "d", truth)


def copied(faces: FaceSet, to: Path, *, named: bool = True) -> FaceSet:
    """Copy a set for one test and, with `named`, add its classes."""
    shutil.copytree(faces.root, to)
    if named:
        add_classes(to, faces.names)
    return FaceSet(to, faces.truth)


def _add(
    dataset: Dataset,
    keep: StageBytes,
    cutter: FaceCropper,
    scene: Scene,
    shot: int,
    frame: int,
    film: bool,
) -> str:
    pixels = np.asarray(paint_scene(scene)).copy()
    pixels[:2, :2] = (frame * 20, shot % 256, shot // 256)  # all files differ
    measured = keep(encode(Image.fromarray(pixels), "PNG"))
    name = f"{shot:04}-{frame}.png"
    video = {"video": "film", "time": shot * 60 + frame / 3} if film else {}
    with dataset.db.transaction():
        dataset.take_original(
            keep.store, measured, Origin("folder", name, title=name, **video)
        )
        cut = cutter.crop(
            measured.sha256, pixels, Face("drawn", face_box(scene.figures[0]), 0.9)
        )
        dataset.faces.replace(measured.sha256, "drawn", "test", [cut])
    return cut.key


def measure(dataset: Dataset) -> None:
    sum(measure_in_batches(dataset))


def add_classes(root: Path, names: Sequence[str]) -> None:
    """Add classes without samples, in this order."""
    from labeler.sorting.session import SortingSession

    with Dataset.open(root) as dataset:
        session = SortingSession(dataset)
        for name in names:
            session.add_class(name)


def guesses(
    faces: FaceSet, right: float, *, together: int = 1
) -> Iterator[tuple[str, str]]:
    """Yield each key with a guess that is right with probability `right`.

    All `together` consecutive samples (frames of a scene) are right or wrong alike.
    """
    dice = random.Random(1)
    names = faces.names
    guess = ""
    for place, (key, truth) in enumerate(faces.truth.items()):
        if place % together == 0:
            others = [name for name in names if name != truth]
            similar = others[names.index(truth) % len(others)]
            guess = truth
            if dice.random() >= right:
                guess = similar if dice.random() < 0.6 else dice.choice(others)
        yield key, guess


def propose(faces: FaceSet, right: float) -> None:
    """Store predictions that are right with probability `right`, their confidence."""
    predictions = [
        PrelabelledSample(key, place, (Proposal(guess, right),))
        for place, (key, guess) in enumerate(guesses(faces, right))
    ]
    with Dataset.open(faces.root) as dataset:
        Proposals(dataset.db).replace(predictions, {})


def hint(faces: FaceSet, right: float, *, together: int = 1) -> None:
    """Store weak labels that are right with probability `right`."""
    hints = [(guess, key) for key, guess in guesses(faces, right, together=together)]
    with Dataset.open(faces.root) as dataset, dataset.db.transaction():
        dataset.db.execute_many(
            "UPDATE origin SET hint=? WHERE image=(SELECT image FROM sample WHERE key=?)",
            hints,
        )


def step_texts(root: Path) -> list[str]:
    """Return the texts of all steps, oldest first."""
    with Dataset.open(root) as dataset:
        return [step.operation.text() for step in SampleTiles(dataset.db).list_steps()]


def labels(root: Path) -> dict[str, str | None]:
    """Return the current label of every sample."""
    with Dataset.open(root) as dataset:
        return {sample.key: sample.label for sample in dataset.samples.iterate()}


def assigned_labels(root: Path) -> dict[str, str]:
    """Return the current label of every labelled sample."""
    return {key: name for key, name in labels(root).items() if name is not None}
