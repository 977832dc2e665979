"""The class list at the left with its field and its button."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, Signal
from PySide6.QtWidgets import QPushButton, QVBoxLayout, QWidget

from labeler.qt.classes.model import ClassListModel
from labeler.qt.classes.rail import ClassListView
from labeler.qt.grid.thumbnails import ThumbnailLoader
from labeler.qt.name_field import NameField
from labeler.qt.session_worker import SessionWorker

Index = QModelIndex | QPersistentModelIndex


class ClassPanel(QWidget):
    """The list with a field that finds a class by name, or makes one."""

    chosen = Signal(str)
    named = Signal(str)

    def __init__(self, worker: SessionWorker, thumbs: ThumbnailLoader) -> None:
        super().__init__()
        self.model = ClassListModel(worker, self)
        self.list = ClassListView(self.model, thumbs)
        self.field = NameField()
        self.field.setPlaceholderText(self.tr("Find or name a class (/)"))
        self.field.setAccessibleName(self.tr("Find a class, or name a new one"))
        self.field.setClearButtonEnabled(True)
        self.add = QPushButton(self.tr("+ New class"))
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 0, 6)
        for part in (self.field, self.list, self.add):
            column.addWidget(part)
        self.field.textChanged.connect(self.model.find)
        self.field.named.connect(self._name)
        self.add.clicked.connect(self._add)
        self.list.activated.connect(self._choose)
        self.list.clicked.connect(self._choose)

    def _choose(self, index: QModelIndex) -> None:
        row = self.model.row(index.row())
        if row is not None:
            self.chosen.emit(row.target)

    def _add(self) -> None:
        """Make exactly the class that stands in the field; ask for a name where none does."""
        text = self.field.text().strip()
        self.field.clear()
        if text:
            self.named.emit(text)
        else:
            self.field.setFocus()

    def rename(self, target: str) -> None:
        """Begin to edit the name of a class in its row."""
        for number in range(self.model.rowCount()):
            if (row := self.model.row(number)) and row.target == target:
                index = self.model.index(number)
                self.list.scrollTo(index)
                self.list.edit(index)

    def _name(self, text: str) -> None:
        """Enter takes the one class that is left, or makes one of this name."""
        found = [
            row for n in range(self.model.rowCount()) if (row := self.model.row(n)) and row.is_class
        ]
        exact = next((row.target for row in found if row.name.casefold() == text.casefold()), None)
        name = exact or (found[0].target if len(found) == 1 else text)
        self.field.clear()
        self.named.emit(name)
