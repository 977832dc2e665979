"""Selecting by ranges: all of 100,000 tiles is one range, whoever asks which are selected."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QItemSelection, QItemSelectionModel
from PySide6.QtWidgets import QListView

Select = QItemSelectionModel.SelectionFlag


class RangeSelection(QListView):
    """A list whose rows are selected by (first, last)."""

    def select_ranges(self, ranges: Iterable[tuple[int, int]], command: Select) -> None:
        """Select rows by ranges; each end is included."""
        selection, model = QItemSelection(), self.model()
        for first, last in ranges:
            selection.select(model.index(first, 0), model.index(last, 0))
        self.selectionModel().select(selection, command)

    def selected_ranges(self) -> list[tuple[int, int]]:
        """What is selected, as ranges."""
        chosen = self.selectionModel().selection()
        parts = (chosen.at(number) for number in range(chosen.size()))
        return [(part.top(), part.bottom()) for part in parts if part.isValid()]

    def selected_rows(self) -> list[int]:
        """The selected rows, in order."""
        rows: set[int] = set()
        for first, last in self.selected_ranges():
            rows.update(range(first, last + 1))
        return sorted(rows)

    def selectAll(self) -> None:
        """Select everything."""
        if self.model().rowCount():
            self.select_ranges([(0, self.model().rowCount() - 1)], Select.ClearAndSelect)

    def invert_selection(self) -> None:
        """Select what is not selected, and the other way round."""
        if self.model().rowCount():
            self.select_ranges([(0, self.model().rowCount() - 1)], Select.Toggle)
