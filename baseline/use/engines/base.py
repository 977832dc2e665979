"""Interface of engines, and the card of an exported file: JSON inside of and next to the file.

Engines take images as uint8 N x size x size x 3 (RGB) and are thread-safe.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from baseline.data.pixels import Pixels
from baseline.evaluation.decision_rule import DecisionRule, FeatureScale
from baseline.settings import Fit
from gleanset.db.faces import CropMethod
from gleanset.errors import InputUnusable
from gleanset.installation import update_command

Floats = npt.NDArray[np.float32]


class NetworkOutputs(NamedTuple):
    """Outputs of a network for N images.

    Calibrated `probabilities` (N x classes), `embeddings` (N x D), and `likeness` (N x classes x
    K), the cosine similarity to the images of a gallery, None without one.
    """

    probabilities: Floats
    embeddings: Floats
    likeness: Floats | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """Everything needed to use a model.

    `known` are the gallery images by class, `run` the name of its run, `crops` how its training
    images were cropped (None if not recorded). `scale` are the statistics of training embeddings
    for familiarity (None for a gallery), `fit` how images become squares.
    """

    run: str
    size: int
    classes: tuple[str, ...]
    answers: DecisionRule
    known: tuple[tuple[str, ...], ...] | None = None
    crops: tuple[CropMethod, ...] | None = None
    scale: FeatureScale | None = None
    fit: Fit = "stretch"


class InferenceEngine(Protocol):
    """Computes the outputs of a model."""

    facts: ModelFacts

    def __call__(self, pictures: Pixels) -> NetworkOutputs:
        """Return the outputs for images, uint8 N x size x size x 3."""


KEY = "gleanset"
"""The name of the JSON in an ONNX file's metadata."""
FILE = f"{KEY}.json"
"""The name of the same JSON in the zip behind a LiteRT file."""
FORMAT = 5
"""Since 2 a card says how pictures were cut, since 3 what is unfamiliar, since 4 how a picture
becomes a square, since 5 which ONNX files are inside."""
SQUARES: dict[Fit, str] = {
    "stretch": "scaled to size x size without keeping its proportions",
    "crop": "cut to a square (the middle of a wide picture, the upper end of a tall one) and "
    "scaled to size x size",
}
INPUT = (
    "uint8 N x size x size x 3, RGB, {square} "
    "(bilinear with antialiasing); scaling to 0..1, normalising and greying are done inside"
)
SHARED = ("run", "size", "classes", "known", "crops", "scale", "fit")
RULE = ("temperature", "unknown_below", "thresholds", "offsets", "unfamiliar_below")
"""Fields of a card that are those of `ModelFacts` and of its decision rule."""
OUTPUTS = {
    "probabilities": "float32 N x classes, in the order of classes, calibrated: they sum to 1",
    "embedding": "float32 N x D, what the classes are told apart by",
    "likeness": "float32 N x classes x K, cosine likeness to the known pictures of each class",
}


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Description of an exported file for other programs.

    Scores are divided by `temperature` and `offsets` are added, both inside the model. Below
    `unknown_below` the answer is "unknown"; a class in `thresholds` is answered unless all others
    together have more than that probability. Below a familiarity of `unfamiliar_below` the answer
    is "unknown" as well: that is the greatest likeness of a model with known pictures, and else the
    greatest of the probabilities to the power of 1 / (2 x distance), divided by their sum, where
    distance is the root of the mean square of (embedding - mean) / deviation, both of `scale`.
    `crops` are the ways in which the pictures that it learnt from were cut, the commonest first,
    and `pictures` says it in words; None where that is not recorded. `weights` are the ONNX files
    inside: where each is from, its SHA-256, and what it is given. `checked` tells how far the
    answers were from the run's when it was written.
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
    known: tuple[tuple[str, ...], ...] | None = None
    checked: dict[str, float | int | str] = {}
    pictures: str | None = None
    crops: tuple[CropMethod, ...] | None = None
    offsets: dict[str, float] = {}
    unfamiliar_below: float | None = None
    scale: FeatureScale | None = None
    fit: Fit = "stretch"
    weights: tuple[str, ...] = ()

    @property
    def facts(self) -> ModelFacts:
        """What is needed to use the model; its calibration is inside."""
        return ModelFacts(answers=DecisionRule(**_named(RULE, self)), **_named(SHARED, self))

    def to_json(self) -> str:
        """Return the text that is stored."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode()


def _named(names: tuple[str, ...], source: object) -> dict[str, Any]:
    return {name: getattr(source, name) for name in names}


def card_of(facts: ModelFacts, precision: str) -> Card:
    """Return the card of a model before the comparison with its run."""
    outputs = [name for name in OUTPUTS if name != "likeness" or facts.known is not None]
    return Card(
        format=FORMAT,
        precision=precision,
        input=INPUT.format(square=SQUARES[facts.fit]),
        outputs={name: OUTPUTS[name] for name in outputs},
        pictures=_pictures(facts),
        **_named(SHARED, facts),
        **_named(RULE, facts.answers),
    )


def _pictures(facts: ModelFacts) -> str:
    if facts.crops is None:
        return "how the pictures that it learnt from were cut is not recorded"
    return (
        f"it learnt from {', '.join(method.description for method in facts.crops)}: cut pictures "
        "alike before they are scaled"
    )


def read_card(text: str | bytes | None, path: Path) -> Card:
    """Parse the card of a file. Raises `InputUnusable` if it is not valid."""
    try:
        if msgspec.json.decode(text or b"", type=_Version).format > FORMAT:
            raise InputUnusable(f"{path} was written by a newer Gleanset", update_command())
        return msgspec.json.decode(text or b"", type=Card)
    except msgspec.DecodeError as error:
        raise InputUnusable(
            f"not a model exported by Gleanset: {path}: {error}", "export one: baseline export"
        ) from error


class _Version(msgspec.Struct, frozen=True):
    """The format version of a card, whose other fields may be unknown."""

    format: int
