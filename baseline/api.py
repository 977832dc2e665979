"""The Python API: `baseline.load(path).predict(picture)`.

A picture is a path, the bytes of a file, an image of Pillow, or a numpy array (uint8,
H x W x 3, RGB). A model may be asked from several threads at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from baseline.engines import Engine, Facts, Floats, Told, engine_of
from baseline.evaluation.answers import UNKNOWN, Answers, decide
from baseline.pictures import Picture, model_pixels
from baseline.pixels import Pixels

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
class Known:
    """A picture of the gallery: its class, its sample, and its cosine likeness up to 1."""

    label: str
    sample: str
    likeness: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of one picture.

    `label` is None where it does not know; `predictions` come surest first, `nearest` are the
    most similar known pictures of a model with a gallery.
    """

    label: str | None
    predictions: tuple[Prediction, ...]
    nearest: tuple[Known, ...] = ()


class Model:
    """A trained model. Obtained by `baseline.load`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def facts(self) -> Facts:
        """Its classes, the size of its pictures, its thresholds and its gallery."""
        return self._engine.facts

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes it tells apart, in alphabetical order."""
        return self.facts.classes

    def predict(self, picture: Picture, top: int = 5) -> list[Prediction]:
        """The `top` likeliest classes, surest first. Raises `Unreadable`."""
        return list(self.answer(picture, top).predictions)

    def predict_many(self, pictures: Iterable[Picture], top: int = 5) -> Iterator[list[Prediction]]:
        """The same for many pictures, in their order, a batch in memory at a time."""
        return (list(answer.predictions) for answer in self.answers(pictures, top))

    def answer(self, picture: Picture, top: int = 5) -> Answer:
        """The class or None for "unknown", the likeliest classes, the nearest known pictures."""
        return next(self.answers([picture], top))

    def answers(self, pictures: Iterable[Picture], top: int = 5) -> Iterator[Answer]:
        """The same for many pictures, in their order. Raises `Unreadable` at a bad one."""
        for batch in self._batches(pictures):
            yield from self.answers_to(batch, top)

    def answers_to(self, pixels: Pixels, top: int = 5) -> list[Answer]:
        """The answers to pixels that were read already: uint8 N x size x size x 3."""
        told = self._engine(pixels)
        # The temperature is inside the engine, so here the scores are logarithms.
        scores = np.log(np.maximum(told.probabilities, np.finfo(np.float32).tiny))
        decided = decide(scores, self.classes, _unscaled(self.facts.answers))
        return [self._answer(told, row, int(label), top)
                for row, label in enumerate(decided.classes)]  # fmt: skip

    def embed(self, pictures: Iterable[Picture]) -> Floats:
        """What the classes are told apart by: float32 N x D, of length 1 from a triplet run."""
        parts = [self.embed_pixels(batch) for batch in self._batches(pictures)]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def embed_pixels(self, pixels: Pixels) -> Floats:
        """The same of pixels that were read already: uint8 N x size x size x 3."""
        parts = [self._engine(pixels[at : at + BATCH]).embeddings
                 for at in range(0, len(pixels), BATCH)]  # fmt: skip
        return np.concatenate(parts)

    def _batches(self, pictures: Iterable[Picture]) -> Iterator[Pixels]:
        rest = iter(pictures)
        while batch := [model_pixels(one, self.facts.size) for one in islice(rest, BATCH)]:
            yield np.stack(batch)

    def _answer(self, told: Told, row: int, label: int, top: int) -> Answer:
        sure = told.probabilities[row]
        best = np.argsort(-sure, kind="stable")[:top]
        return Answer(
            None if label == UNKNOWN else self.classes[label],
            tuple(Prediction(self.classes[c], float(sure[c])) for c in best),
            () if told.likeness is None else self._nearest(told.likeness[row]),
        )

    def _nearest(self, likeness: Floats) -> tuple[Known, ...]:
        known = self.facts.known or ()
        named = [
            Known(self.classes[c], sample, float(likeness[c, k]))
            for c, samples in enumerate(known)
            for k, sample in enumerate(samples)
        ]
        return tuple(sorted(named, key=lambda one: (-one.likeness, one.sample))[:NEAREST])


def _unscaled(answers: Answers) -> Answers:
    """The same thresholds, where the temperature is applied already."""
    return Answers(1.0, answers.unknown_below, answers.thresholds)


def load(path: str | Path) -> Model:
    """The model in a run's folder, or in an exported `.onnx` or `.tflite` file.

    Raises `InputUnusable` where there is none, `MissingComponent` without its runtime.
    """
    return Model(engine_of(Path(path)))
