"""Engine for exported ONNX files, what every engine returns, and cards."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, Self

import msgspec
import numpy as np

from baseline.data.runs import decode_versioned
from baseline.evaluation.decision_rule import DecisionRule, FeatureScale
from baseline.settings import Fit
from gleanset.arrays import Float32Array, Pixels
from gleanset.db.faces import CropMethod
from gleanset.errors import InputUnusable
from gleanset.work.onnx_session import open_onnx_session


class NetworkOutputs(NamedTuple):
    """Outputs of a network for N images.

    Calibrated `probabilities` (N x classes), `embedding` (N x D), `similarity` (N x classes x K),
    the cosine similarity to the images of a gallery, and `membership` (N), the probability that an
    image is of one of the classes; None if the model has no gallery or no membership.
    """

    probabilities: Float32Array
    embedding: Float32Array
    similarity: Float32Array | None = None
    membership: Float32Array | None = None


class ModelFacts(NamedTuple):
    """Everything needed to use a model.

    `run` is the name of its run, `gallery` the keys of gallery images by class, `crops` how its
    training images were cropped (None if not recorded). `scale` are the statistics of training
    embeddings for the rule for unknown (None for a gallery and a model with a membership), `fit`
    how images become squares.
    """

    run: str
    size: int
    classes: tuple[str, ...]
    rule: DecisionRule
    gallery: tuple[tuple[str, ...], ...] | None = None
    crops: tuple[CropMethod, ...] | None = None
    scale: FeatureScale | None = None
    fit: Fit = "stretch"

    def with_names(self, names: Mapping[str, str]) -> Self:
        """Return the facts with new names of classes."""

        def rename(values: Mapping[str, float]) -> dict[str, float]:
            return {names.get(name, name): value for name, value in values.items()}

        rule = self.rule.but(
            thresholds=rename(self.rule.thresholds),
            offsets=rename(self.rule.offsets),
            unfamiliar_by_class=rename(self.rule.unfamiliar_by_class),
        )
        classes = tuple(names.get(name, name) for name in self.classes)
        return self._replace(classes=classes, rule=rule)


class InferenceEngine(Protocol):
    """Computes the outputs of a model."""

    facts: ModelFacts

    def __call__(self, images: Pixels) -> NetworkOutputs:
        """Return the outputs for images, uint8 N x size x size x 3."""


KEY = "gleanset"
"""The name of the JSON in an ONNX file's metadata."""
EXPORT_AGAIN = "export it again: baseline export"
FORMAT = 8
"""Version of a card's format."""
SQUARES: dict[Fit, str] = {
    "stretch": "scaled to size x size, ignoring the aspect ratio",
    "crop": "cropped to a square (the middle of a wide image, the top of a tall one) and "
    "scaled to size x size",
}
INPUT = (
    "uint8 N x size x size x 3, RGB, {square} "
    "(bilinear with antialiasing); scaling to 0..1, normalization and grayscale are done inside"
)
SHARED = ("run", "size", "classes", "gallery", "crops", "scale", "fit")
RULE = (
    "temperature",
    "unknown_below",
    "thresholds",
    "offsets",
    "unfamiliar_below",
    "unfamiliar_by_class",
)
"""Fields of a card that are those of `ModelFacts` and of its decision rule."""
OUTPUTS = {
    "probabilities": "float32 N x classes, in the order of classes, calibrated: they sum to 1",
    "embedding": "float32 N x D, input of the classifier",
    "similarity": "float32 N x classes x K, cosine similarity to the gallery images of each class",
    "membership": "float32 N, probability that an image is of one of the classes",
}


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Description of an exported file for other programs.

    Scores are divided by `temperature` and `offsets` are added, both inside the model. Below the
    probability `unknown_below` the prediction is "unknown"; a class in `thresholds` is predicted
    unless all others together have more than that probability. The prediction is also "unknown" if
    the similarity to the training data is below the value of its class in `unfamiliar_by_class`, or
    `unfamiliar_below` for other classes. That is the output `membership`, by which confidences are
    multiplied. For a model with a gallery, it is the largest similarity to its images. For models
    without either it is the largest of the probabilities
    to the power of 1 / (2 x distance), divided by their sum, where distance is the root mean square
    of (embedding - mean) / deviation, both of `scale`. `crops` are the ways in which training
    images were cropped, most frequent first, and `crops_note` describes them; None if not recorded.
    `weights` are the ONNX files inside: source, SHA-256 and input of each. `checked` compares the
    predictions with those of the run, whose files had the hash `run_sha256`.
    """

    format: int
    run: str
    precision: str
    classes: tuple[str, ...]
    size: int
    input: str
    outputs: dict[str, str]
    temperature: float
    unknown_below: float | None
    thresholds: dict[str, float]
    gallery: tuple[tuple[str, ...], ...] | None = None
    checked: dict[str, float | int | str] = {}
    crops_note: str | None = None
    crops: tuple[CropMethod, ...] | None = None
    offsets: dict[str, float] = {}
    unfamiliar_below: float | None = None
    unfamiliar_by_class: dict[str, float] = {}
    scale: FeatureScale | None = None
    fit: Fit = "stretch"
    weights: tuple[str, ...] = ()
    run_sha256: str = ""

    @property
    def facts(self) -> ModelFacts:
        """What is needed to use the model; its calibration is inside."""
        return ModelFacts(
            rule=DecisionRule(**_get_fields(RULE, self)), **_get_fields(SHARED, self)
        )

    def to_json(self) -> str:
        """Return the text that is stored."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode()


def _get_fields(names: tuple[str, ...], source: object) -> dict[str, Any]:
    return {name: getattr(source, name) for name in names}


def make_card(
    facts: ModelFacts, precision: str, *, has_membership: bool = False
) -> Card:
    """Return the card of a model before the comparison with its run."""
    outputs = dict(OUTPUTS)
    if facts.gallery is None:
        del outputs["similarity"]
    if not has_membership:
        del outputs["membership"]

    crops_note = "how the training images were cropped is not recorded"
    if facts.crops is not None:
        methods = ", ".join(method.description for method in facts.crops)
        crops_note = (
            f"trained on {methods}: crop images in the same way before scaling them"
        )

    return Card(
        format=FORMAT,
        precision=precision,
        input=INPUT.format(square=SQUARES[facts.fit]),
        outputs=outputs,
        crops_note=crops_note,
        **_get_fields(SHARED, facts),
        **_get_fields(RULE, facts.rule),
    )


def read_card(text: str | bytes | None, path: Path) -> Card:
    """Parse the card of a file. Raises `InputUnusable` if it is not valid."""
    data = text.encode() if isinstance(text, str) else text or b""
    try:
        return decode_versioned(
            data,
            path,
            Card,
            FORMAT,
            EXPORT_AGAIN,
        )
    except msgspec.DecodeError as error:
        raise InputUnusable(
            f"not a model exported by Gleanset: {path}: {error}",
            "export one: baseline export model.onnx",
        ) from error


class OnnxEngine:
    """Engine for an ONNX file of `baseline export`."""

    def __init__(
        self, model: Path | bytes, threads: int = 0, source: Path | None = None
    ):
        """Load a model; `threads` is for each call, 0 for the default of onnxruntime.

        `source` is the file that errors name, if `model` is a copy. Raises `InputUnusable` for a
        file of another program, and for one that does not match its card.
        """
        name = source or (model if isinstance(model, Path) else Path("model.onnx"))
        try:
            data = model if isinstance(model, bytes) else model.read_bytes()
            self._session = open_onnx_session(data, threads)
        except OSError as error:
            raise InputUnusable(
                f"{name} cannot be read: {error.strerror}", "check its name"
            ) from error
        except ValueError as error:
            raise InputUnusable(
                f"{name} cannot be loaded: {error}", EXPORT_AGAIN
            ) from error

        card = read_card(
            self._session.get_modelmeta().custom_metadata_map.get(KEY), name
        )
        self.facts = card.facts
        self._input = self._session.get_inputs()[0].name
        self._outputs = list(card.outputs)
        self._check_shapes(name)

    def __call__(self, images: Pixels) -> NetworkOutputs:
        """Return the outputs for images, uint8 N x size x size x 3."""
        inputs = {self._input: np.ascontiguousarray(images)}
        values = self._session.run(self._outputs, inputs)
        return NetworkOutputs(**dict(zip(self._outputs, values, strict=True)))

    def _check_shapes(self, name: Path) -> None:
        """Raise `InputUnusable` if the output shapes do not match the card."""
        facts = self.facts
        size = facts.size
        try:
            outputs = self(np.zeros((1, size, size, 3), np.uint8))
        except Exception as error:  # onnxruntime has many exception classes
            raise _mismatch_error(
                name, f"it fails for an image of {size} x {size}: {error}"
            ) from error

        columns = outputs.probabilities.shape[1]
        labels = len(facts.classes)
        if columns != labels:
            raise _mismatch_error(
                name,
                f"it has {columns} outputs and {labels} labels",
            )

        # The similarities of one image, 1 x classes x K.
        expected_gallery = None if facts.gallery is None else (1, labels)
        gallery = None if outputs.similarity is None else outputs.similarity.shape[:2]
        width = outputs.embedding.shape[1]
        has_other_scale = facts.scale is not None and len(facts.scale.mean) != width
        if gallery != expected_gallery or has_other_scale:
            raise _mismatch_error(
                name, "its gallery or its scale belongs to another model"
            )


def _mismatch_error(name: Path, problem: str) -> InputUnusable:
    return InputUnusable(f"{name} does not match its card: {problem}", EXPORT_AGAIN)
