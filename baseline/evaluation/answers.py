"""What a model answers: a class, or "unknown", by thresholds that are kept with the run.

`answers.json` beside the weights holds them: {"temperature": 1.3, "unknown_below": 0.6,
"thresholds": {"photo": 0.98}}. A file that is missing means none of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from baseline.evaluation.probabilities import Floats, Indices, Scores, softmax
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic

FILE = "answers.json"
UNKNOWN = -1

Share = Annotated[float, Meta(ge=0, le=1)]


class Answers(msgspec.Struct, frozen=True):
    """How scores become answers.

    Scores are divided by `temperature`, and `offsets` are added to those of the classes named,
    before softmax (`baseline.evaluation.calibration`). Where the answer's probability is below
    `unknown_below`, the answer is "unknown". A class in `thresholds` is spared: another class is
    answered only where all others together have more than that probability. `chosen` is what
    val said when the thresholds were chosen, for the report.
    """

    temperature: Annotated[float, Meta(gt=0)] = 1.0
    unknown_below: Share | None = None
    thresholds: dict[str, Share] = {}
    chosen: dict[str, Any] = {}
    offsets: dict[str, float] = {}


class Decided(NamedTuple):
    """Answers as classes' numbers, or `UNKNOWN` (int64, N), and all probabilities (N x C)."""

    classes: Indices
    probabilities: Floats


def calibrated(logits: Scores, classes: Sequence[str], answers: Answers) -> Scores:
    """Scores (N x C) whose softmax are the probabilities that are answered."""
    offsets = np.array([answers.offsets.get(name, 0.0) for name in classes])
    found: Scores = (logits.astype(np.float64) / answers.temperature + offsets).astype(np.float32)
    return found


def decide(logits: Scores, classes: Sequence[str], answers: Answers) -> Decided:
    """What is answered to each row of scores (N x C)."""
    probabilities = softmax(calibrated(logits, classes, answers))
    chosen = probabilities.argmax(1)
    spared = probabilities.copy()
    for name, threshold in answers.thresholds.items():
        if name in classes:
            number = classes.index(name)
            claimed = 1 - probabilities[:, number] <= threshold
            # Above every probability, and in their order where several classes are spared.
            spared[claimed, number] += 2
    chosen = spared.argmax(1).astype(np.int64)
    if answers.unknown_below is not None:
        sure = probabilities[np.arange(len(chosen)), chosen]
        chosen = np.where(sure < answers.unknown_below, UNKNOWN, chosen)
    return Decided(chosen, probabilities)


def without(answers: Answers) -> Answers:
    """The same without any threshold."""
    return msgspec.structs.replace(answers, unknown_below=None, thresholds={}, chosen={})


def save_answers(folder: Path, answers: Answers, *, scratch: Path | None = None) -> None:
    """Write the file, whole. Raises NotWritable or DiskFull."""
    text = json.dumps(msgspec.to_builtins(answers), ensure_ascii=False, indent=1)
    write_atomic(folder / FILE, text.encode(), scratch=scratch)


def load_answers(folder: Path) -> Answers:
    """What the run's folder says; the plain answers where it says nothing. `InputUnusable`."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=Answers)
    except FileNotFoundError:
        return Answers()
    except (OSError, msgspec.DecodeError) as error:
        raise InputUnusable(
            f"{folder / FILE} cannot be used: {error}", "choose them anew: baseline evaluate RUN"
        ) from error
