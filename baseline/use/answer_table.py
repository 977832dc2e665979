"""Answers as a table for scripts and spreadsheets: CSV, a row for each part of each picture."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from baseline.use.model import PictureAnswer
from baseline.use.picture_parts import PicturePart
from baseline.use.predict import Predicted
from gleanset.files.atomic import whole_file

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
