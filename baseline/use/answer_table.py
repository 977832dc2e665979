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

    def add(self, one: Predicted) -> None:
        """Write the rows of one file."""
        # Bytes of a path that are no UTF-8 are spelled out.
        path = one.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if one.rejection is not None:
            why = f"{one.rejection.reason}: {one.rejection.detail}".removesuffix(": ")
            self._rows.writerow({"path": path, "rejected": why})
        for part, answer in one.parts:
            self._rows.writerow({"path": path, **_cells(part, answer)})


def _cells(part: PicturePart, answer: PictureAnswer) -> dict[str, object]:
    found: dict[str, object] = {"familiarity": answer.familiarity, "score": part.score}
    found |= dict(zip(BOX, part.box or (), strict=False))
    for rank, one in enumerate(answer.predictions, 1):
        found |= {f"label_{rank}": one.label, f"confidence_{rank}": one.confidence}
        if one.label == answer.label:
            found |= {"answer": one.label, "confidence": one.confidence}
    return found


@contextmanager
def answer_table(out: Path, top: int) -> Iterator[AnswerTable]:
    """A table that takes its place at `out` when the block ends well.

    It is UTF-8 with a mark at its beginning, by which spreadsheets know that.
    """
    with whole_file(out) as partial, partial.open("w", encoding="utf-8-sig", newline="") as file:
        yield AnswerTable(file, top)
