"""Predicting files: read in worker processes, answered in batches, written as a table or sorted."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from baseline.features.backbone import gathered
from baseline.use.crops import PicturePart, ReadParts
from baseline.use.model import Model, PictureAnswer
from gleanset.db.classes import normalize_class_name
from gleanset.errors import UsageError
from gleanset.files.atomic import whole_file
from gleanset.files.names import folder_names, safe_name
from gleanset.files.store import sha256_of_file
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


BOX = ("x", "y", "width", "height")
COLUMNS = ("path", "answer", "confidence", "familiarity", *BOX, "score", "rejected")


class AnswerTable:
    """Writes rows. `answer` is empty for unknown; `label_1`, `confidence_1` ... are what it may be.

    What could not be used has its reason in `rejected`. Cells are empty where nothing is known.
    """

    def __init__(self, file: TextIO, top: int) -> None:
        ranks = range(1, top + 1)
        others = (f"{name}_{rank}" for rank in ranks for name in ("label", "confidence"))
        self._rows = csv.DictWriter(file, [*COLUMNS, *others])
        self._rows.writeheader()

    def add(self, predicted: Predicted) -> None:
        """Write the rows of one file."""
        # Bytes of a path that are no UTF-8 are spelled out.
        path = predicted.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if predicted.rejection is not None:
            why = f"{predicted.rejection.reason}: {predicted.rejection.detail}".removesuffix(": ")
            self._rows.writerow({"path": path, "rejected": why})
        for part, answer in predicted.parts:
            self._rows.writerow({"path": path, **_cells(part, answer)})


def _cells(part: PicturePart, answer: PictureAnswer) -> dict[str, object]:
    cells: dict[str, object] = {"familiarity": answer.familiarity, "score": part.score}
    cells |= dict(zip(BOX, part.box or (), strict=False))
    for rank, likely in enumerate(answer.predictions, 1):
        cells |= {f"label_{rank}": likely.label, f"confidence_{rank}": likely.confidence}
        if likely.label == answer.label:
            cells |= {"answer": likely.label, "confidence": likely.confidence}
    return cells


@contextmanager
def answer_table(out: Path, top: int) -> Iterator[AnswerTable]:
    """A table that takes its place at `out` when the block ends well.

    It is UTF-8 with a mark at its beginning, by which spreadsheets know that.
    """
    with whole_file(out) as partial, partial.open("w", encoding="utf-8-sig", newline="") as file:
        yield AnswerTable(file, top)


UNKNOWN = "unknown"


class ClassFolders:
    """Copies files to `root`/<class>; a name that is taken gets digits.

    A picture with faces of several classes goes to each of them, one of which nothing is known to
    the folder of the unknown. What is there already is not written again, so that a run that was
    stopped goes on. `classes` are those of the model.
    """

    def __init__(self, root: Path, classes: Iterable[str]) -> None:
        self.root = root
        names = [*classes]
        unknown = UNKNOWN
        while unknown in names:
            unknown = f"_{unknown}"
        self._unknown = unknown
        self._folders = _folders([*names, unknown])
        self.counts: Counter[str] = Counter()

    def put(self, predicted: Predicted) -> None:
        """Copy one file that could be read. Raises `DiskFull` or `NotWritable`."""
        if predicted.rejection is not None:
            return
        source = Path(predicted.path)
        labels = dict.fromkeys(
            answer.label for _, answer in predicted.parts if answer.label is not None
        )
        for label in labels or [self._unknown]:
            _copy(source, self.root / self._folder(label) / source.name)
            self.counts[label] += 1

    def _folder(self, label: str) -> str:
        if label not in self._folders:  # a gallery may know more classes than the network learnt
            self._folders |= _folders([*self._folders, label])
        return self._folders[label]

    def outside(self, paths: Iterable[str]) -> Iterator[str]:
        """Yield the paths that do not lie below `root`: what was sorted is not sorted again."""
        root = self.root.resolve()
        return (path for path in paths if not Path(path).resolve().is_relative_to(root))


def _folders(labels: Iterable[str]) -> dict[str, str]:
    tidy = {label: label if _is_class(label) else safe_name(label) for label in labels}
    folders = folder_names(tidy.values())
    return {label: folders[name] for label, name in tidy.items()}


def _is_class(label: str) -> bool:
    try:
        return normalize_class_name(label) == label
    except UsageError:
        return False


def _copy(source: Path, target: Path) -> None:
    content = sha256_of_file(source)
    for path in (target, target.with_name(f"{target.stem}-{content[:8]}{target.suffix}")):
        if not path.exists():
            with whole_file(path) as partial:
                shutil.copy2(source, partial)
            return
        if path.is_file() and sha256_of_file(path) == content:
            return
    raise UsageError(f"{target} is taken by something else", "name another folder")
