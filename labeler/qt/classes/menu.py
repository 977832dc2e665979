"""What can be done with one class: its name, key and show, its place among the others, its end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from PySide6.QtCore import QPoint, Signal
from PySide6.QtWidgets import QLineEdit, QMenu, QWidget, QWidgetAction

from labeler.qt.classes.model import ClassListRow
from labeler.qt.session_worker import SessionWorker
from labeler.qt.translations import counted
from labeler.sorting.keys import KEYS, PREFIXES, SECONDS
from labeler.sorting.session import SortingSession


class ClassMenu(QMenu):
    """The menu of one class. `rename` begins to edit its name in place; `opened` asks to see it."""

    opened = Signal()

    def __init__(
        self,
        parent: QWidget,
        worker: SessionWorker,
        row: ClassListRow,
        rename: Callable[[], None],
        *,
        own_order: bool = True,
    ) -> None:
        super().__init__(parent)
        self._worker, self._name = worker, row.target
        self._keys = dict(worker.keys)
        self.addAction(self.tr("Show its faces"), self.opened.emit)
        self.addAction(self.tr("Rename (F2)"), rename)
        self._key_menu()
        self._show_menu()
        self._merge_menu()
        for text, by in ((self.tr("Move up"), -1), (self.tr("Move down"), 1)):
            action = self.addAction(text, partial(self._move, by))
            action.setEnabled(own_order)
        self.addSeparator()
        text = self.tr("Delete: {count} faces go back to the queue")
        self.addAction(counted(text, row.count), self._delete)

    def show_at(self, point: QPoint) -> None:
        """Show it; nothing waits for an answer."""
        self.aboutToHide.connect(self.deleteLater)
        self.popup(point)

    def _key_menu(self) -> None:
        menu = self.addMenu(self.tr("Key"))
        self._add_keys(menu, KEYS)
        for prefix in PREFIXES:
            codes = menu.addMenu(self.tr("{key} and another key").format(key=prefix))
            self._add_keys(codes, [prefix + second for second in SECONDS])

    def _add_keys(self, menu: QMenu, keys: str | list[str]) -> None:
        owners = {key: name for name, key in self._keys.items()}
        for key in keys:
            owner = owners.get(key, "")
            menu.addAction(f"{key.upper()}   {owner}".rstrip(), partial(self._set_key, key))

    def _merge_menu(self) -> None:
        menu = self.addMenu(self.tr("Merge into"))
        menu.setEnabled(len(self._keys) > 1)
        for other in self._keys:
            if other != self._name:
                menu.addAction(other, partial(self._merge, other))

    def _show_menu(self) -> None:
        """Offer the shows that there are, none, and a field for another one."""
        menu = self.addMenu(self.tr("Of show"))
        classes = self._worker.last.counts.classes if self._worker.last else ()
        now = next((row.show or "" for row in classes if row.name == self._name), "")
        for show in sorted({row.show for row in classes if row.show}):
            self._add_show(menu, show, show, now)
        self._add_show(menu, self.tr("none"), "", now)
        field = QLineEdit()
        field.setPlaceholderText(self.tr("Another show"))
        field.setAccessibleName(self.tr("Another show"))
        another = QWidgetAction(menu)
        another.setDefaultWidget(field)
        menu.addAction(another)
        field.returnPressed.connect(lambda: self._set_show(field.text()))

    def _add_show(self, menu: QMenu, text: str, show: str, now: str) -> None:
        action = menu.addAction(text)
        action.setCheckable(True)
        action.setChecked(show == now)
        action.triggered.connect(lambda: self._set_show(show))

    def _set_show(self, show: str) -> None:
        name = self._name
        self._worker.decide(lambda session: session.set_show(name, show))
        self.close()

    def _merge(self, into: str) -> None:
        name = self._name
        self._worker.decide(lambda session: session.merge_class(name, into))

    def _delete(self) -> None:
        name = self._name
        self._worker.decide(lambda session: session.delete_class(name))

    def _set_key(self, key: str) -> None:
        name, names = self._name, list(self._keys)
        self._change(lambda session: session.keys.set_key(names, name, key))

    def _move(self, by: int) -> None:
        names = list(self._keys)
        place = names.index(self._name)
        names.insert(max(0, place + by), names.pop(place))
        self._change(lambda session: session.keys.set_order(names))

    def _change(self, work: Callable[[SortingSession], object]) -> None:
        """Keys and order are settings: saved at once, and no step of the journal."""
        self._worker.ask(work, lambda answer: self._worker.refresh())
