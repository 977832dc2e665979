"""The Python API: `baseline.load(path).predict(image)`.

An image is a path, the bytes of a file, a Pillow image, or a numpy array (uint8, H x W x 3, RGB).
It is cropped as in training, so a model of faces detects faces first. A model can be used from
several threads.
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
from baseline.features.backbone import batch_slices
from baseline.use.crops import CropPlan, ImagePart, make_crop_plan
from baseline.use.engines.base import Floats, InferenceEngine, ModelFacts, NetworkOutputs
from gleanset.errors import InputUnusable
from gleanset.records import Box

BATCH_SIZE = 32
"""Images in a forward pass, which limits memory."""
MAX_NEAREST = 3
"""Gallery images in a prediction."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A class and its calibrated probability."""

    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class GalleryImage:
    """An image of the gallery with its class, sample, and cosine similarity."""

    label: str
    sample: str
    likeness: float


@dataclass(frozen=True, slots=True)
class PictureAnswer:
    """Prediction for one image or face.

    `label` is None for unknown; `predictions` are sorted by probability, `nearest` are the most
    similar gallery images. `box` is the face in pixels of the upright image, None for the whole
    image. `familiarity` is the similarity to training data (`baseline.evaluation.decision_rule`),
    None for older models. A model that `tells_strangers` can predict unknown.
    """

    label: str | None
    predictions: tuple[Prediction, ...]
    nearest: tuple[GalleryImage, ...] = ()
    box: Box | None = None
    familiarity: float | None = None
    tells_strangers: bool = False


class Model:
    """A trained model, see `baseline.load`.

    `place` is its path, `detector` overrides how images are cropped (a name, or `whole`), and
    `at_once` is the batch size.
    """

    def __init__(
        self,
        engine: InferenceEngine,
        place: Path | None = None,
        detector: str | None = None,
        at_once: int = BATCH_SIZE,
    ) -> None:
        self._engine = engine
        self._at_once = at_once
        self._place = place
        self._detector = detector
        # Detectors need not be thread-safe.
        self._detector_lock = threading.Lock()

    @functools.cached_property
    def cropping(self) -> CropPlan:
        """How images are cropped; `cropping.words` describes it.

        Raises `UsageError` if the model was trained on manual boxes: `load` it with a detector, or
        `whole`.
        """
        dataset = find_run_dataset(self._place) if self._place else None
        return make_crop_plan(self.facts, dataset, self._detector)

    @property
    def facts(self) -> ModelFacts:
        """Its classes, input size, thresholds and gallery."""
        return self._engine.facts

    @property
    def classes(self) -> tuple[str, ...]:
        """Its classes, in alphabetical order."""
        return self.facts.classes

    def predict(self, picture: ImageInput, top: int = 5) -> list[Prediction]:
        """Return the `top` most likely classes in descending order. Raises `Unreadable`."""
        return list(self.answer(picture, top).predictions)

    def predict_many(
        self, pictures: Iterable[ImageInput], top: int = 5
    ) -> Iterator[list[Prediction]]:
        """Yield the same for many images, with one batch in memory."""
        return (list(answer.predictions) for answer in self.answers(pictures, top))

    def answer(self, picture: ImageInput, top: int = 5) -> PictureAnswer:
        """Return the prediction for an image, or for its largest face.

        Raises `Unreadable`, also if a model of faces finds none.
        """
        return next(self.answers([picture], top))

    def faces(self, picture: ImageInput, top: int = 5) -> list[PictureAnswer]:
        """Return the prediction for each face, in reading order, or for the whole image."""
        parts = self._parts(picture)
        answers = self.answer_pixels(np.stack([part.pixels for part in parts]), top)
        return [replace(answer, box=p.box) for answer, p in zip(answers, parts, strict=True)]

    def answers(self, pictures: Iterable[ImageInput], top: int = 5) -> Iterator[PictureAnswer]:
        """Yield the prediction for each of many images. Raises `Unreadable` at a bad one."""
        for batch in self._batches(pictures):
            answers = self.answer_pixels(np.stack([part.pixels for part in batch]), top)
            yield from (replace(a, box=p.box) for a, p in zip(answers, batch, strict=True))

    def answer_pixels(self, pixels: Pixels, top: int = 5) -> list[PictureAnswer]:
        """Return predictions for prepared pixels: uint8 N x size x size x 3."""
        outputs = self._forward(pixels)
        # The engine applies the temperature, so the scores are log-probabilities.
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
        """Return embeddings: float32 N x D, of unit length for triplet models."""
        parts = [
            self.embed_pixels(np.stack([part.pixels for part in batch]))
            for batch in self._batches(pictures)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def embed_pixels(self, pixels: Pixels) -> Floats:
        """Return embeddings of prepared pixels: uint8 N x size x size x 3."""
        return self._forward(pixels).embeddings

    def _forward(self, pixels: Pixels) -> NetworkOutputs:
        parts = [self._engine(pixels[part]) for part in batch_slices(len(pixels), self._at_once)]
        likeness = [part.likeness for part in parts if part.likeness is not None]
        return NetworkOutputs(
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.embeddings for part in parts]),
            np.concatenate(likeness) if likeness else None,
        )

    def _batches(self, pictures: Iterable[ImageInput]) -> Iterator[list[ImagePart]]:
        remaining = iter(pictures)
        while batch := [max(self._parts(p), key=_area) for p in islice(remaining, BATCH_SIZE)]:
            yield batch

    def _parts(self, picture: ImageInput) -> list[ImagePart]:
        read = self.cropping.read
        with self._detector_lock if read.detector else nullcontext():
            return read.parts(to_rgb_image(picture))

    def _answer(self, outputs: NetworkOutputs, row: int, label: int, top: int) -> PictureAnswer:
        probabilities = outputs.probabilities[row]
        best = np.argsort(-probabilities, kind="stable")[:top]
        return PictureAnswer(
            None if label == UNKNOWN else self.classes[label],
            tuple(Prediction(self.classes[c], float(probabilities[c])) for c in best),
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

    def _nearest(self, likeness: Floats) -> tuple[GalleryImage, ...]:
        known = self.facts.known or ()
        images = [
            GalleryImage(self.classes[c], sample, float(likeness[c, k]))
            for c, samples in enumerate(known)
            for k, sample in enumerate(samples)
        ]
        return tuple(sorted(images, key=lambda i: (-i.likeness, i.sample))[:MAX_NEAREST])


def _area(part: ImagePart) -> int:
    return part.box.width * part.box.height if part.box else 0


def load(path: str | Path, detector: str | None = None) -> Model:
    """Load the model of a run's folder, or of an exported `.onnx` or `.tflite` file.

    Images are cropped as in training, or with `detector` (a name, or `whole`). Raises
    `InputUnusable` if there is no model, `MissingComponent` without its runtime.
    """
    return Model(open_engine(Path(path)), Path(path), detector)


def open_engine(path: Path) -> InferenceEngine:
    """Open a run's folder, an `.onnx` or a `.tflite` file.

    Raises `InputUnusable` for anything else, `MissingComponent` without its runtime.
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
