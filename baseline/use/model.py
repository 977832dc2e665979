"""The Python API: `baseline.load(path).predict(image)`.

An image is a path, the bytes of a file, a Pillow image, or a numpy array (uint8, H x W x 3, RGB).
It is cropped as in training, so a model of faces detects faces first. A model can be used from
several threads.
"""

import functools
import math
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from baseline.data.pixels import ImageInput, to_rgb_image
from baseline.data.runs import find_finished_run, find_run_dataset
from baseline.evaluation.decision_rule import (
    MIN_ANSWER_CONFIDENCE,
    UNKNOWN,
    compute_training_similarity,
    decide,
)
from baseline.features.backbone import batch_items, batch_slices
from baseline.use.crops import CropPlan, ImagePart, make_crop_plan
from baseline.use.engines import (
    InferenceEngine,
    ModelFacts,
    NetworkOutputs,
    OnnxEngine,
)
from gleanset import Dataset
from gleanset.arrays import Float32Array, Float64Array, Pixels
from gleanset.errors import InputUnusable
from gleanset.records import Box

BATCH_SIZE = 32
"""Images in a forward pass, which limits memory."""
MAX_NEAREST = 3
"""Gallery images in a prediction."""


@dataclass(frozen=True)
class Prediction:
    """A class and its calibrated probability, which falls with the similarity to training data."""

    label: str
    confidence: float


@dataclass(frozen=True)
class GalleryImage:
    """An image of the gallery with its class, sample, and cosine similarity."""

    label: str
    sample: str
    similarity: float


@dataclass(frozen=True)
class ImagePrediction:
    """Prediction for one image or face.

    `best` is the class that the rule chooses, None for unknown, and `confidence` its probability.
    `label`, the answer, is None where that is below 50 %, too: then it is `unsure`.
    `predictions` are sorted by probability, `nearest` are the most similar gallery images. `box` is
    the face in pixels of the upright image, None for the whole image. `similarity` is that to the
    training data (`baseline.evaluation.decision_rule`), None for older models. A model that
    `has_unknown_rule` can predict unknown: below `unfamiliar_below`, which depends on the class.
    """

    best: str | None
    predictions: tuple[Prediction, ...]
    nearest: tuple[GalleryImage, ...] = ()
    box: Box | None = None
    similarity: float | None = None
    has_unknown_rule: bool = False
    unfamiliar_below: float | None = None
    confidence: float | None = None

    @property
    def unsure(self) -> bool:
        """Whether the best class is more likely wrong than right."""
        return self.confidence is not None and self.confidence < MIN_ANSWER_CONFIDENCE

    @property
    def label(self) -> str | None:
        """The answer; None for unknown and unsure."""
        return None if self.unsure else self.best

    @property
    def outcome(self) -> str:
        """The answer, or "unsure" or "unknown", for people."""
        return self.label or ("unsure" if self.unsure else "unknown")


class Model:
    """A trained model, see `baseline.load`.

    `path` is its file or folder, and `detector` overrides how images are cropped (a name, or
    `whole`).
    """

    def __init__(
        self,
        engine: InferenceEngine,
        path: Path | None = None,
        detector: str | None = None,
        batch_size: int = BATCH_SIZE,
    ):
        self._engine = engine
        self._batch_size = batch_size
        self._path = path
        self._detector = detector
        # Detectors need not be thread-safe.
        self._detector_lock = threading.Lock()

    @functools.cached_property
    def cropping(self) -> CropPlan:
        """How images are cropped; `cropping.description` says it for users.

        Raises `UsageError` if the model was trained on manual boxes: `load` it with a detector, or
        `whole`.
        """
        dataset = find_run_dataset(self._path) if self._path else None
        return make_crop_plan(self.facts, dataset, self._detector)

    @property
    def facts(self) -> ModelFacts:
        """Its classes, input size, thresholds and gallery."""
        return self._engine.facts

    @property
    def classes(self) -> tuple[str, ...]:
        """Its classes, in alphabetical order."""
        return self.facts.classes

    def rename_classes(self, names: Mapping[str, str]) -> None:
        """Predict classes by their new `names`."""
        self._engine.facts = self.facts.with_names(names)

    def predict(self, image: ImageInput, top: int = 5) -> list[Prediction]:
        """Return the `top` most likely classes in descending order. Raises `Unreadable`."""
        return list(self.predict_image(image, top).predictions)

    def predict_image(self, image: ImageInput, top: int = 5) -> ImagePrediction:
        """Return the prediction for an image, or for its largest face.

        Raises `Unreadable`, also if a model of faces finds none.
        """
        return next(self.predict_images([image], top))

    def predict_faces(self, image: ImageInput, top: int = 5) -> list[ImagePrediction]:
        """Return the prediction for each face, from left to right, or for the whole image."""
        return self._predict_parts(self._parts(image), top)

    def predict_images(
        self, images: Iterable[ImageInput], top: int = 5
    ) -> Iterator[ImagePrediction]:
        """Yield the prediction for each of many images, with one batch in memory.

        Raises `Unreadable` at a bad one.
        """
        for batch in self._batches(images):
            yield from self._predict_parts(batch, top)

    def _predict_parts(self, parts: list[ImagePart], top: int) -> list[ImagePrediction]:
        predictions = self.predict_pixels(
            np.stack([part.pixels for part in parts]), top
        )
        return [
            replace(prediction, box=part.box)
            for prediction, part in zip(predictions, parts, strict=True)
        ]

    def predict_pixels(self, pixels: Pixels, top: int = 5) -> list[ImagePrediction]:
        """Return predictions for prepared pixels: uint8 N x size x size x 3."""
        outputs = self.forward(pixels)
        # The engine applies the temperature, so the scores are log-probabilities.
        scores = np.log(np.maximum(outputs.probabilities, np.finfo(np.float32).tiny))
        similarity = self._training_similarity(outputs, scores)
        rule = self.facts.rule.but(temperature=1.0, offsets={})
        decisions = decide(
            scores,
            self.classes,
            rule,
            similarity,
            outputs.membership,
        )

        confidences = decisions.confidences
        likeliest = np.argsort(-confidences, axis=1, kind="stable")[:, :top]

        predictions = []
        for row, number in enumerate(decisions.classes.tolist()):
            is_unknown = number == UNKNOWN
            limit = float(decisions.limits[row])
            prediction = ImagePrediction(
                best=None if is_unknown else self.classes[number],
                predictions=tuple(
                    Prediction(self.classes[column], float(confidences[row, column]))
                    for column in likeliest[row]
                ),
                nearest=self._list_nearest(outputs, row),
                similarity=None if similarity is None else float(similarity[row]),
                has_unknown_rule=rule.unfamiliar_below is not None,
                confidence=None if is_unknown else float(confidences[row, number]),
                unfamiliar_below=None if math.isinf(limit) else limit,
            )
            predictions.append(prediction)
        return predictions

    def embed(self, images: Iterable[ImageInput]) -> Float32Array:
        """Return embeddings: float32 N x D, of unit length for triplet models."""
        batches = [
            self.embed_pixels(np.stack([part.pixels for part in batch]))
            for batch in self._batches(images)
        ]
        return np.concatenate(batches) if batches else np.zeros((0, 0), np.float32)

    def embed_pixels(self, pixels: Pixels) -> Float32Array:
        """Return embeddings of prepared pixels: uint8 N x size x size x 3."""
        return self.forward(pixels).embedding

    def forward(self, pixels: Pixels) -> NetworkOutputs:
        """Return the outputs for prepared pixels, computed in batches."""
        slices = batch_slices(len(pixels), self._batch_size)
        batches = [self._engine(pixels[batch]) for batch in slices]
        # The outputs of all batches, field by field; a model lacks some (None).
        fields = zip(*batches, strict=True)
        return NetworkOutputs._make(
            None if values[0] is None else np.concatenate(values) for values in fields
        )

    def _batches(self, images: Iterable[ImageInput]) -> Iterator[list[ImagePart]]:
        """Return batches of the largest face of each image, or of the whole image."""
        largest = (max(self._parts(image), key=_area) for image in images)
        return batch_items(largest, BATCH_SIZE)

    def _parts(self, image: ImageInput) -> list[ImagePart]:
        """Return the faces of an image, or the whole image."""
        reader = self.cropping.reader
        with self._detector_lock if reader.detector else nullcontext():
            return reader.parts(to_rgb_image(image))

    def _training_similarity(
        self, outputs: NetworkOutputs, scores: Float32Array
    ) -> Float64Array | None:
        """Return what the rule for "unknown" compares (N); None for an older model."""
        if outputs.membership is not None:
            return outputs.membership.astype(np.float64)
        if outputs.similarity is not None:
            # To the nearest image of any class of a gallery.
            return np.asarray(outputs.similarity.max((1, 2)), np.float64)
        if self.facts.scale is None:
            return None
        return compute_training_similarity(
            scores, self.facts.scale.distances(outputs.embedding)
        )

    def _list_nearest(
        self, outputs: NetworkOutputs, row: int
    ) -> tuple[GalleryImage, ...]:
        if outputs.similarity is None:
            return ()
        images = []
        for number, keys in enumerate(self.facts.gallery or ()):
            # A class with fewer images than others repeats them.
            similarity = outputs.similarity[row, number, : len(keys)].tolist()
            for key, value in zip(keys, similarity, strict=True):
                images.append(GalleryImage(self.classes[number], key, value))
        images.sort(key=lambda image: (-image.similarity, image.sample))
        return tuple(images[:MAX_NEAREST])


def _area(part: ImagePart) -> int:
    if part.box is None:
        return 0
    return part.box.width * part.box.height


def load(path: str | Path | Dataset, detector: str | None = None) -> Model:
    """Load the model of a run's folder, an exported file, or the latest run of a dataset.

    Images are cropped as in training, or with `detector` (a name, or `whole`). Raises
    `InputUnusable` if there is no model, `MissingComponent` without its runtime.
    """
    if isinstance(path, Dataset):
        path = find_finished_run(path, None)[1]
    return Model(open_engine(Path(path)), Path(path), detector)


def open_engine(path: Path) -> InferenceEngine:
    """Open a run's folder, or an `.onnx` file.

    Raises `InputUnusable` for anything else, `MissingComponent` without its runtime.
    """
    if path.suffix == ".onnx":
        return OnnxEngine(path)

    if not path.is_dir():
        raise InputUnusable(
            f"there is no model in {path}",
            "name a run's folder, or an .onnx file",
        )

    from baseline.use.run_engine import RunEngine

    return RunEngine.from_folder(path)
