"""The faces of a stack, one after the other on its tile while it is pointed at.

They come once around and end at the first: nothing moves for longer than a person looks.
"""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QObject, Signal

from gleanset.db.sorting import SampleTile
from labeler.qt.grid.model import TileModel
from labeler.qt.widgets import timer

TURN_MS = 400
MOST = 40
"""Faces of a stack that are shown: of more, so many at even distances."""


class StackPlayer(QObject):
    """`turned` (row) comes when a tile shows another face."""

    turned = Signal(int)

    def __init__(self, model: TileModel, parent: QObject) -> None:
        super().__init__(parent)
        self._model, self._row = model, -1
        self._faces: Sequence[SampleTile] = ()
        self._timer = timer(self, self._turn, TURN_MS)

    def point_at(self, row: int) -> None:
        """Show the faces of this tile's stack; -1 for none."""
        self._timer.stop()
        self._row, self._faces = row, ()
        if row >= 0 and len(samples := sorted(self._model.ids([row]))) > 1:
            every = -(-len(samples) // MOST)
            self._model.read_stack(samples[::every], lambda faces: self._begin(row, faces))

    def face(self, row: int) -> SampleTile | None:
        """Return the face that a tile shows now; None for its own."""
        return self._faces[0] if self._faces and row == self._row else None

    def _begin(self, row: int, faces: Sequence[SampleTile]) -> None:
        if row == self._row and len(faces) > 1:
            self._faces = faces
            self.turned.emit(row)
            self._timer.start()

    def _turn(self) -> None:
        self._faces = self._faces[1:]
        self.turned.emit(self._row)
        if self._faces:
            self._timer.start()
