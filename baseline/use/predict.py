"""Predicting files: read in worker processes, answered in batches, given back in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from baseline.features.batching import gathered
from baseline.use.model import Model, PictureAnswer
from baseline.use.picture_parts import PicturePart, ReadParts
from gleanset.platform import cores
from gleanset.records import Rejection
from gleanset.work.pool import Outcome, Processes, Threads, run_over

STAGE = "predict"
BATCH = 16
"""Parts that wait at most before they are answered: few, so that answers come as a stream."""

Read = Outcome[tuple[int, str], list[PicturePart]]


class Predicted(NamedTuple):
    """One file: its parts (the picture, or the faces in it) with their answers, or why not."""

    path: str
    parts: tuple[tuple[PicturePart, PictureAnswer], ...] = ()
    rejection: Rejection | None = None

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values; `answer` is null where it is unknown."""
        if self.rejection is not None:
            return {
                "path": self.path,
                "reason": self.rejection.reason,
                "detail": self.rejection.detail,
            }
        return {"path": self.path, "parts": [part_to_json(*one) for one in self.parts]}


@dataclass(frozen=True, slots=True)
class _Numbered:
    """The same reading of numbered files, so that their order can be put back."""

    read: ReadParts

    def __call__(self, item: tuple[int, str]) -> list[PicturePart]:
        return self.read(item[1])


def predict_files(
    model: Model, paths: Iterable[str], read: ReadParts, top: int = 5
) -> Iterator[Predicted]:
    """Yield what the model says of each file, in the order of `paths`, as soon as it is known.

    A file that cannot be read, or without a face where faces are looked for, is a rejection.
    """
    most, rest = cores(), iter(paths)
    # A process takes longer to start than to read many files: a file alone needs none, as no
    # other one is lost with it.
    first = list(islice(rest, most))
    numbered = enumerate(chain(first, rest))
    workers = Processes(len(first)) if len(first) > 1 else Threads(1)
    outcomes = run_over(_Numbered(read), numbered, workers)
    for waiting in gathered(_in_order(outcomes), BATCH, lambda one: len(one.result or ())):
        yield from _answered(model, waiting, top)


def _in_order(outcomes: Iterable[Read]) -> Iterator[Read]:
    early: dict[int, Read] = {}
    number = 0
    for outcome in outcomes:
        early[outcome.item[0]] = outcome
        while number in early:
            yield early.pop(number)
            number += 1


def _answered(model: Model, outcomes: list[Read], top: int) -> Iterator[Predicted]:
    parts = [part for outcome in outcomes for part in outcome.result or ()]
    pixels = [part.pixels for part in parts]
    answers = iter(model.answers_to(np.stack(pixels), top) if pixels else ())
    for outcome in outcomes:
        path = outcome.item[1]
        if outcome.result is None:
            why = Rejection(STAGE, path, outcome.reason or "?", outcome.detail)
            yield Predicted(path, rejection=why)
        else:
            yield Predicted(path, tuple((part, next(answers)) for part in outcome.result))


def part_to_json(part: PicturePart, answer: PictureAnswer) -> dict[str, object]:
    """Return the answer to one part as JSON values; `answer` is null where it is unknown."""
    return {
        "box": list(part.box) if part.box else None,
        "score": part.score,
        "found_by": part.found_by,
        "answer": answer.label,
        "familiarity": answer.familiarity,
        "tells_strangers": answer.tells_strangers,
        "predictions": [
            {"label": one.label, "confidence": one.confidence} for one in answer.predictions
        ],
        "nearest": [
            {"label": one.label, "sample": one.sample, "likeness": one.likeness}
            for one in answer.nearest
        ],
    }
