"""The class list at the left with its field and its button."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QSettings, Signal
from PySide6.QtGui import QActionGroup
from PySide6.QtWidgets import QMenu, QPushButton, QWidget

from labeler.qt.classes.model import ClassListModel, ClassOrder
from labeler.qt.classes.rail import ClassListView
from labeler.qt.name_field import NameCompletion, NameField
from labeler.qt.pictures import ThumbnailLoader
from labeler.qt.session_worker import SessionWorker
from labeler.qt.widgets import MenuButton, below, beside, name_part
from labeler.sorting.names import known_names

Index = QModelIndex | QPersistentModelIndex
SORTED = "classes/sorted"


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
        self.sort = MenuButton()
        self._offer_orders()
        line = beside(self.field, self.sort, grows=self.field)
        whole = below(line, self.list, self.add)
        whole.setContentsMargins(6, 6, 0, 6)
        self.setLayout(whole)
        self._worker, self._completion = worker, NameCompletion(self.field)
        self.field.textEdited.connect(self.model.find)  # not what was completed
        self.field.textChanged.connect(self._cleared)
        self.field.begun.connect(self._offer_names)
        worker.classes_changed.connect(self._offer_names)
        self.field.named.connect(self._name)
        self.add.clicked.connect(self._add)
        self.list.activated.connect(self._choose)
        self.list.clicked.connect(self._choose)
        self.list.shown.connect(self.chosen)

    def _offer_names(self) -> None:
        """Complete to the names that may be meant now."""
        self._worker.ask(lambda session: known_names(session.dataset), self._completion.offer)

    def _cleared(self, text: str) -> None:
        """Show all classes again where the field was emptied, whoever did it."""
        if not text:
            self.model.find("")

    def _offer_orders(self) -> None:
        """Let the classes be sorted; the way is remembered."""
        menu, group = QMenu(self.sort), QActionGroup(self)
        names = {
            ClassOrder.OWN: self.tr("In their own order"),
            ClassOrder.NAME: self.tr("By name"),
            ClassOrder.NUMBER: self.tr("By number of faces"),
            ClassOrder.RECENT: self.tr("Last used first"),
        }
        kept = str(QSettings().value(SORTED, ClassOrder.OWN))
        for order, name in names.items():
            action = menu.addAction(name)
            action.setCheckable(True)
            action.setChecked(order == kept)
            group.addAction(action)
            action.triggered.connect(lambda checked=False, order=order: self._sort_by(order))
        self.sort.setText("⇅")
        self.sort.setMenu(menu)
        name_part(self.sort, self.tr("Sort the classes"))
        if kept in list(ClassOrder):
            self.model.sort_by(ClassOrder(kept))

    def _sort_by(self, order: ClassOrder) -> None:
        QSettings().setValue(SORTED, str(order))
        self.model.sort_by(order)

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
        if (row := self.model.row_of(target)) >= 0:
            index = self.model.index(row)
            self.list.scrollTo(index)
            self.list.edit(index)

    def _name(self, text: str) -> None:
        """Enter takes the class that is meant, or makes one where nothing here is called alike."""
        alike = sum(
            bool(row and row.is_class) for row in map(self.model.row, range(self.model.rowCount()))
        )
        if self._completion.is_new(text) and alike:
            words = self.tr(
                "{name} is no class, but is in the names of {count}: Tab or a click takes one, + "
                "makes it a new class"
            )
            self._worker.say(words.format(name=text, count=alike))
            return
        self.field.clear()
        self.named.emit(self._completion.meant(text))
