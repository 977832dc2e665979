"""Predicting files: read in worker processes, predicted in batches, written as table or folders."""

import csv
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from baseline.features.backbone import batch_items
from baseline.use.crops import ImagePart, PartReader
from baseline.use.model import ImagePrediction, Model
from gleanset.db.classes import normalize_class_name
from gleanset.errors import UsageError
from gleanset.files.atomic import atomic_file
from gleanset.files.names import assign_folder_names, format_path, make_safe_name
from gleanset.files.store import hash_file
from gleanset.platform import count_cores
from gleanset.records import Box, Rejection
from gleanset.work.pool import Outcome, Processes, Threads, run_over

STAGE = "predict"
BATCH_SIZE = 16
"""Parts in a batch; small, so that predictions are yielded soon."""

ReadOutcome = Outcome[tuple[int, str], list[ImagePart]]
"""The parts of a file that was read, by its number and path."""


class FilePrediction(NamedTuple):
    """The predictions of the parts of a file (the image, or its faces), or the rejection."""

    path: str
    parts: tuple[tuple[ImagePart, ImagePrediction], ...] = ()
    rejection: Rejection | None = None

    def to_json(self) -> dict[str, object]:
        """Return JSON values; `answer` is null for unknown and unsure."""
        if self.rejection is not None:
            return {
                "path": self.path,
                "reason": self.rejection.reason,
                "detail": self.rejection.detail,
            }

        return {
            "path": self.path,
            "parts": [part_to_json(part, answer) for part, answer in self.parts],
        }


@dataclass(frozen=True)
class _NumberedReader:
    read: PartReader

    def __call__(self, item: tuple[int, str]) -> list[ImagePart]:
        _, path = item
        return self.read(path)


def predict_files(
    model: Model, paths: Iterable[str], read: PartReader, top: int
) -> Iterator[FilePrediction]:
    """Yield the prediction of each file in the order of `paths`.

    An unreadable file, or one without a detected face, is a rejection.
    """
    remaining = iter(paths)
    # A single file is read in a thread: starting a process takes longer than reading many files.
    # `first` has at most one file per core, so its length is also the number of processes.
    first = list(islice(remaining, count_cores()))
    items = enumerate(chain(first, remaining))
    workers = Processes(len(first)) if len(first) > 1 else Threads(1)
    outcomes = run_over(_NumberedReader(read), items, workers)
    batches = batch_items(
        _sort_outcomes(outcomes),
        BATCH_SIZE,
        count_images=lambda outcome: len(outcome.result or ()),
    )
    for batch in batches:
        yield from _predict_batch(model, batch, top)


def _sort_outcomes(outcomes: Iterable[ReadOutcome]) -> Iterator[ReadOutcome]:
    """Yield outcomes by number; those that come too early wait."""
    waiting: dict[int, ReadOutcome] = {}
    next_number = 0
    for outcome in outcomes:
        number, _ = outcome.item
        waiting[number] = outcome
        while next_number in waiting:
            yield waiting.pop(next_number)
            next_number += 1


def _predict_batch(
    model: Model, outcomes: list[ReadOutcome], top: int
) -> Iterator[FilePrediction]:
    parts = chain.from_iterable(outcome.result or () for outcome in outcomes)
    pixels = [part.pixels for part in parts]
    answers = iter(model.predict_pixels(np.stack(pixels), top) if pixels else ())

    for outcome in outcomes:
        _, path = outcome.item
        if outcome.result is None:
            rejection = Rejection(
                STAGE,
                path,
                outcome.reason or "?",
                outcome.detail,
            )
            yield FilePrediction(path, rejection=rejection)
        else:
            # `zip` stops after the last part of the file, before it takes the next answer.
            yield FilePrediction(
                path, tuple(zip(outcome.result, answers, strict=False))
            )


def part_to_json(part: ImagePart, answer: ImagePrediction) -> dict[str, object]:
    """Return the prediction of a part as JSON values.

    `answer` is null for unknown, and if `best` is `unsure`, below a confidence of 50 %.
    """
    return {
        "box": list(part.box) if part.box else None,
        "score": part.score,
        "found_by": part.found_by,
        "answer": answer.label,
        "unsure": answer.unsure,
        "best": answer.best,
        "confidence": answer.confidence,
        "similarity": answer.similarity,
        "has_unknown_rule": answer.has_unknown_rule,
        "predictions": list(map(asdict, answer.predictions)),
        "nearest": list(map(asdict, answer.nearest)),
    }


COLUMNS = (
    "path",
    "answer",
    "best",
    "confidence",
    "similarity",
    *Box._fields,
    "score",
    "rejected",
)


class PredictionTable:
    """Writes predictions as CSV rows.

    `answer` is empty for unknown, and if the `confidence` of `best` is below 50 %; `label_1`,
    `confidence_1` … are the most likely classes, and `rejected` has the reason for an unusable
    file.
    """

    def __init__(self, file: TextIO, top: int):
        columns = list(COLUMNS)
        for rank in range(1, top + 1):
            columns += [f"label_{rank}", f"confidence_{rank}"]
        self._rows = csv.DictWriter(file, columns, extrasaction="ignore")
        self._rows.writeheader()

    def add(self, prediction: FilePrediction) -> None:
        """Write the rows of one file."""
        path = format_path(prediction.path)
        if prediction.rejection is not None:
            reason = f"{prediction.rejection.reason}: {prediction.rejection.detail}"
            # The detail may be a path, too.
            self._rows.writerow(
                {"path": path, "rejected": format_path(reason.removesuffix(": "))}
            )
        for part, answer in prediction.parts:
            self._rows.writerow({"path": path, **_row_cells(part, answer)})


def _row_cells(part: ImagePart, answer: ImagePrediction) -> dict[str, object]:
    # Keys that are not columns are left out.
    cells = part_to_json(part, answer)
    if part.box is not None:
        cells |= part.box._asdict()
    for rank, prediction in enumerate(answer.predictions, 1):
        cells[f"label_{rank}"] = prediction.label
        cells[f"confidence_{rank}"] = prediction.confidence
    return cells


@contextmanager
def open_prediction_table(out: Path, top: int) -> Iterator[PredictionTable]:
    """Open a table that is moved to `out` when the block succeeds.

    It is UTF-8 with a byte order mark, which spreadsheets need.
    """
    with (
        atomic_file(out) as partial,
        partial.open("w", encoding="utf-8-sig", newline="") as file,
    ):
        yield PredictionTable(file, top)


# Folders of images without an answer.
UNKNOWN = "unknown"
UNSURE = "unsure"


class ClassFolders:
    """Copies files to `root`/<class>, with a suffix if the name is in use.

    An image with faces of several classes is copied to each, one without an answer to the folder
    for unsure or unknown images.
    Existing files are not written again, so that an interrupted run can continue. `classes` are
    those of the model.
    """

    def __init__(self, root: Path, classes: Iterable[str]):
        self.root = root
        names = [*classes]
        self._others = {
            kind: _find_free_name(kind, names) for kind in (UNKNOWN, UNSURE)
        }
        self._folders = _folder_names([*names, *self._others.values()])
        self.counts: Counter[str] = Counter()

    def put(self, prediction: FilePrediction) -> None:
        """Copy a file unless it was rejected. Raises `DiskFull` or `NotWritable`."""
        if prediction.rejection is not None:
            return
        source = Path(prediction.path)
        answers = [answer for _, answer in prediction.parts]
        labels = [answer.label for answer in answers if answer.label is not None]
        if not labels:
            is_unsure = any(answer.unsure for answer in answers)
            labels = [self._others[UNSURE if is_unsure else UNKNOWN]]

        for label in dict.fromkeys(labels):
            _copy(
                source,
                self.root / self._folder(label) / source.name,
            )
            self.counts[label] += 1

    def _folder(self, label: str) -> str:
        # A gallery may have classes that were not trained.
        if label not in self._folders:
            self._folders |= _folder_names([*self._folders, label])
        return self._folders[label]

    def outside(self, paths: Iterable[str]) -> Iterator[str]:
        """Yield the paths that are not below `root`, so that sorted files are not sorted again."""
        root = self.root.resolve()
        return (path for path in paths if not Path(path).resolve().is_relative_to(root))


def _find_free_name(kind: str, names: Sequence[str]) -> str:
    while kind in names:
        kind = f"_{kind}"
    return kind


def _folder_names(labels: Iterable[str]) -> dict[str, str]:
    """Return a folder name for each label, different for different labels."""
    safe_names = {
        label: label if _is_class_name(label) else make_safe_name(label)
        for label in labels
    }
    folders = assign_folder_names(safe_names.values())
    return {label: folders[name] for label, name in safe_names.items()}


def _is_class_name(label: str) -> bool:
    try:
        return normalize_class_name(label) == label
    except UsageError:
        return False


def _copy(source: Path, target: Path) -> None:
    """Copy a file unless it is there; if its name is taken, add its hash."""
    digest = hash_file(source)
    target_with_hash = target.with_name(f"{target.stem}-{digest[:8]}{target.suffix}")
    for path in (target, target_with_hash):
        if not path.exists():
            with atomic_file(path) as partial:
                shutil.copy2(source, partial)
            return
        if path.is_file() and hash_file(path) == digest:
            return

    raise UsageError(f"{target} exists with other content", "name another folder")
