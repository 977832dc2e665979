"""The Python API: `baseline.load(path).predict(picture)`.

A picture is a path, the bytes of a file, an image of Pillow, or a numpy array (uint8,
H x W x 3, RGB). It is cut as those were that the model learnt from, so a model of faces looks
for the faces. A model may be asked from several threads at once.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from baseline.data.pixels import ImageInput, Pixels, to_rgb_image
from baseline.data.runs import find_run_dataset
from baseline.evaluation.decision_rule import UNKNOWN, compute_familiarity, decide
from baseline.features.backbone import batches_of
from baseline.use.crops import CropPlan, PicturePart, crop_plan_for
from baseline.use.engines.base import Floats, InferenceEngine, ModelFacts, NetworkOutputs
from gleanset.errors import InputUnusable
from gleanset.records import Box

BATCH = 32
"""Pictures a forward pass: a bound on memory."""
NEAREST = 3
"""Known pictures that an answer names."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A class, and the calibrated probability 0..1 that it is right."""

    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class KnownPicture:
    """A picture of the gallery: its class, its sample, and its cosine likeness up to 1."""

    label: str
    sample: str
    likeness: float


@dataclass(frozen=True, slots=True)
class PictureAnswer:
    """What a model says of one picture.

    `label` is None where it does not know; `predictions` come surest first, `nearest` are the
    most similar known pictures of a model with a gallery. `box` is the face that was judged, in
    pixels of the upright picture; None where that is the whole picture. `familiarity` says how much
    the picture looks like what was learnt from (`baseline.evaluation.decision_rule`); None where
    the model is of a time before that was kept. A model that `tells_strangers` answers None to
    what is not familiar enough; another names a class whatever it is shown.
    """

    label: str | None
    predictions: tuple[Prediction, ...]
    nearest: tuple[KnownPicture, ...] = ()
    box: Box | None = None
    familiarity: float | None = None
    tells_strangers: bool = False


class Model:
    """A trained model. Obtained by `baseline.load`.

    `place` is where it lies; its pictures are cut as `detector` says, whatever it learnt from:
    one by its name, or `whole`. At most `at_once` pictures go through the network together.
    """

    def __init__(
        self,
        engine: InferenceEngine,
        place: Path | None = None,
        detector: str | None = None,
        at_once: int = BATCH,
    ) -> None:
        self._engine = engine
        self._at_once = at_once
        self._place = place
        self._detector = detector
        # Detectors need not bear two threads at once.
        self._one_search = threading.Lock()

    @functools.cached_property
    def cropping(self) -> CropPlan:
        """How pictures are cut before they are judged; `cropping.words` says it.

        Raises `UsageError` where no detector finds again what the model learnt from: `load` it
        with a detector, or `whole`.
        """
        dataset = find_run_dataset(self._place) if self._place else None
        return crop_plan_for(self.facts, dataset, self._detector)

    @property
    def facts(self) -> ModelFacts:
        """Its classes, the size of its pictures, its thresholds and its gallery."""
        return self._engine.facts

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes it tells apart, in alphabetical order."""
        return self.facts.classes

    def predict(self, picture: ImageInput, top: int = 5) -> list[Prediction]:
        """Return the `top` likeliest classes, surest first, as in `answer`. Raises `Unreadable`."""
        return list(self.answer(picture, top).predictions)

    def predict_many(
        self, pictures: Iterable[ImageInput], top: int = 5
    ) -> Iterator[list[Prediction]]:
        """Return the same for many pictures, in their order, a batch in memory at a time."""
        return (list(answer.predictions) for answer in self.answers(pictures, top))

    def answer(self, picture: ImageInput, top: int = 5) -> PictureAnswer:
        """Return the class or None for "unknown", the likeliest classes, the nearest known.

        Of several faces the largest answers. Raises `Unreadable`, also where a face is looked
        for and none is found.
        """
        return next(self.answers([picture], top))

    def faces(self, picture: ImageInput, top: int = 5) -> list[PictureAnswer]:
        """Return an answer for each face, in reading order; one for a picture judged whole."""
        parts = self._parts(picture)
        told = self.answers_to(np.stack([part.pixels for part in parts]), top)
        return [replace(one, box=part.box) for one, part in zip(told, parts, strict=True)]

    def answers(self, pictures: Iterable[ImageInput], top: int = 5) -> Iterator[PictureAnswer]:
        """Return the same for many pictures, in their order. Raises `Unreadable` at a bad one."""
        for batch in self._batches(pictures):
            told = self.answers_to(np.stack([part.pixels for part in batch]), top)
            yield from (replace(one, box=p.box) for one, p in zip(told, batch, strict=True))

    def answers_to(self, pixels: Pixels, top: int = 5) -> list[PictureAnswer]:
        """Return the answers to pixels that were read already: uint8 N x size x size x 3."""
        outputs = self._forward(pixels)
        # The temperature is inside the engine, so here the scores are logarithms.
        scores = np.log(np.maximum(outputs.probabilities, np.finfo(np.float32).tiny))
        familiarity = self._familiarity(outputs, scores)
        rule = self.facts.answers.but(temperature=1.0, offsets={})
        decided = decide(scores, self.classes, rule, familiarity)
        answers = [
            self._answer(outputs, row, int(label), top) for row, label in enumerate(decided.classes)
        ]
        if familiarity is None:
            return answers
        return [
            replace(answer, familiarity=float(known))
            for answer, known in zip(answers, familiarity, strict=True)
        ]

    def embed(self, pictures: Iterable[ImageInput]) -> Floats:
        """Return what the classes are told apart by: float32 N x D, of length 1 from triplet."""
        parts = [
            self.embed_pixels(np.stack([part.pixels for part in batch]))
            for batch in self._batches(pictures)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def embed_pixels(self, pixels: Pixels) -> Floats:
        """Return the same of pixels that were read already: uint8 N x size x size x 3."""
        return self._forward(pixels).embeddings

    def _forward(self, pixels: Pixels) -> NetworkOutputs:
        parts = [self._engine(pixels[part]) for part in batches_of(len(pixels), self._at_once)]
        likeness = [part.likeness for part in parts if part.likeness is not None]
        return NetworkOutputs(
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.embeddings for part in parts]),
            np.concatenate(likeness) if likeness else None,
        )

    def _batches(self, pictures: Iterable[ImageInput]) -> Iterator[list[PicturePart]]:
        rest = iter(pictures)
        while batch := [max(self._parts(one), key=_area) for one in islice(rest, BATCH)]:
            yield batch

    def _parts(self, picture: ImageInput) -> list[PicturePart]:
        read = self.cropping.read
        with self._one_search if read.detector else nullcontext():
            return read.parts(to_rgb_image(picture))

    def _answer(self, outputs: NetworkOutputs, row: int, label: int, top: int) -> PictureAnswer:
        sure = outputs.probabilities[row]
        best = np.argsort(-sure, kind="stable")[:top]
        return PictureAnswer(
            None if label == UNKNOWN else self.classes[label],
            tuple(Prediction(self.classes[c], float(sure[c])) for c in best),
            () if outputs.likeness is None else self._nearest(outputs.likeness[row]),
            tells_strangers=self.facts.answers.unfamiliar_below is not None,
        )

    def _familiarity(self, outputs: NetworkOutputs, scores: Floats) -> NDArray[np.float64] | None:
        if outputs.likeness is not None:
            nearest: NDArray[np.float64] = outputs.likeness.max((1, 2)).astype(np.float64)
            return nearest
        if self.facts.scale is None:
            return None
        return compute_familiarity(scores, self.facts.scale.distances(outputs.embeddings))

    def _nearest(self, likeness: Floats) -> tuple[KnownPicture, ...]:
        known = self.facts.known or ()
        named = [
            KnownPicture(self.classes[c], sample, float(likeness[c, k]))
            for c, samples in enumerate(known)
            for k, sample in enumerate(samples)
        ]
        return tuple(sorted(named, key=lambda one: (-one.likeness, one.sample))[:NEAREST])


def _area(part: PicturePart) -> int:
    return part.box.width * part.box.height if part.box else 0


def load(path: str | Path, detector: str | None = None) -> Model:
    """Return the model in a run's folder, or in an exported `.onnx` or `.tflite` file.

    Pictures are cut as it learnt them, or as `detector` says: one by its name, or `whole`.

    Raises `InputUnusable` where there is none, `MissingComponent` without its runtime.
    """
    return Model(engine_of(Path(path)), Path(path), detector)


def engine_of(path: Path) -> InferenceEngine:
    """Return the engine for a run's folder, an `.onnx` or a `.tflite` file.

    Raises `InputUnusable` for what is none of them, `MissingComponent` without its runtime.
    """
    if path.suffix == ".onnx":
        from baseline.use.engines.exported_engines import OnnxEngine

        return OnnxEngine(path)
    if path.suffix == ".tflite":
        from baseline.use.engines.exported_engines import LiteRtEngine

        return LiteRtEngine(path)
    if not path.is_dir():
        raise InputUnusable(
            f"there is no model in {path}", "name a run's folder, an .onnx or a .tflite file"
        )
    from baseline.use.engines.run_engine import RunEngine

    return RunEngine.of(path)
