"""The window: rail, views, look panel, status bar; undo, redo, and the keys of views."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QAction, QCloseEvent, QDragEnterEvent, QDropEvent, QKeySequence
from PySide6.QtWidgets import QMainWindow, QSplitter, QStackedWidget, QTabBar, QVBoxLayout, QWidget

from gleanset import Dataset
from labeler.qt.background import Background
from labeler.qt.closing import Closing
from labeler.qt.desk import Desk
from labeler.qt.drag_out import TileMime
from labeler.qt.key_sheet import KeySheet
from labeler.qt.look_panel import LookPanel
from labeler.qt.portraits import Portraits
from labeler.qt.rail import Rail
from labeler.qt.remembered import remember, remembered_view, restore, restore_grid
from labeler.qt.sending_view import SendingView
from labeler.qt.sorting_view import SortingView
from labeler.qt.status import Status
from labeler.qt.targets import enlarge_targets, tab_last
from labeler.qt.thumbs import ThumbLoader
from labeler.qt.views import VIEWS, View, Workshop
from labeler.sorting.dropped import Taken

MEASURE_MS = 1500
SIZE = (1440, 900)


class Window(QMainWindow):
    """One dataset in one window. `root` must be a dataset; `view` is by default the last one."""

    def __init__(self, root: Path, view: str | None = None) -> None:
        super().__init__()
        self.dragging = False
        self.shown_name = ""
        with Dataset.open(root) as dataset:  # says at once what cannot be opened
            self.thumbs = ThumbLoader.of(dataset)
        self.desk = Desk(root)
        self.background = Background(root)
        self.look, self._look_wanted = LookPanel(self.thumbs), True
        self.workshop = Workshop(self.desk, self.thumbs, self.look)
        self.rail = Rail(self.desk, self.thumbs)
        self.tabs, self.stack = QTabBar(), QStackedWidget()
        self._made: dict[str, View] = {}
        self.setWindowTitle(self.tr("{name} – Gleanset labeler").format(name=root.absolute().name))
        self.setAcceptDrops(True)
        self._lay_out()
        self.status = Status(self)
        self.sheet = KeySheet(self)
        self.portraits = Portraits(self.desk, self.rail.model)
        self._closing = Closing(self)
        self._actions()
        self._connect()
        restore(self)
        enlarge_targets(self)
        self.show_view(view or remembered_view(self))
        QTimer.singleShot(MEASURE_MS, self, self.background.measure)

    def _lay_out(self) -> None:
        middle = QWidget()
        column = QVBoxLayout(middle)
        column.setContentsMargins(0, 4, 0, 0)
        column.setSpacing(0)
        self.tabs.setExpanding(False)
        self.tabs.setDrawBase(False)
        self.tabs.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.tabs.setAccessibleName(self.tr("Views"))
        for kind in VIEWS:
            self.tabs.addTab(f"{kind.shown_title()}  {kind.key}")
        column.addWidget(self.tabs)
        column.addWidget(self.stack)
        self.split = QSplitter()
        for part, share in ((self.rail, 0), (middle, 1), (self.look, 0)):
            self.split.addWidget(part)
            self.split.setStretchFactor(self.split.count() - 1, share)
        self.resize(*SIZE)
        self.split.setSizes([240, 940, 260])
        self.setCentralWidget(self.split)

    def _action(
        self, text: str, keys: str | QKeySequence.StandardKey, do: Callable[[], object]
    ) -> None:
        made = QAction(text, self)
        made.setShortcut(QKeySequence(keys))

        def act() -> None:
            self.desk.gesture()
            do()

        made.triggered.connect(act)
        self.addAction(made)

    def _actions(self) -> None:
        self._action(self.tr("Undo"), QKeySequence.StandardKey.Undo, self.undo)
        self._action(self.tr("Redo"), QKeySequence.StandardKey.Redo, self.desk.redo)
        self._action(self.tr("Keys"), "F1", self.sheet.toggle)
        self._action(self.tr("Keys"), "?", self.sheet.toggle)
        self._action(self.tr("Find a class"), "/", self.rail.field.setFocus)
        self._action(self.tr("Look panel"), "F9", self._toggle_look)
        for kind in VIEWS:
            self._action(kind.shown_title(), kind.key, partial(self._view_key, kind.name))

    def _connect(self) -> None:
        self.tabs.currentChanged.connect(lambda number: self.show_view(VIEWS[number].name))
        self.rail.chosen.connect(self._choose)
        self.rail.named.connect(self._named)
        self.rail.list.tiles_dropped.connect(self._tiles_dropped)
        self.rail.list.files_dropped.connect(self._files_dropped)
        self.background.taken.connect(self._taken)
        self.background.taking.connect(self._taking)
        self.background.measuring.connect(self.status.measuring)
        self.background.failed.connect(lambda why: self.desk.say(why, bad=True))

    # -- views

    @property
    def view(self) -> View:
        """The view that is shown."""
        shown = self.stack.currentWidget()
        assert isinstance(shown, View)
        return shown

    def show_view(self, name: str) -> None:
        """Show a view, made when it is shown first."""
        kind = next((k for k in VIEWS if k.name == name), VIEWS[0])
        if kind.name not in self._made:
            self._made[kind.name] = kind.make(self.workshop)
            self.stack.addWidget(self._made[kind.name])
            enlarge_targets(self._made[kind.name])
            tab_last(self.status.undo)
            if kind.name == "sorting" and isinstance(made := self._made[kind.name], SortingView):
                restore_grid(self, made)
        self.shown_name = kind.name
        if self.tabs.currentIndex() != VIEWS.index(kind):
            self.tabs.setCurrentIndex(VIEWS.index(kind))  # comes back here
        elif self.stack.currentWidget() is not self._made[kind.name] or not self.isVisible():
            self.stack.setCurrentWidget(self._made[kind.name])
            self.look.setVisible(self._look_wanted and self.view.looks)
            self.view.enter()

    def _toggle_look(self) -> None:
        self._look_wanted = not self.look.isVisible()
        self.look.setVisible(self._look_wanted)

    def _view_key(self, name: str) -> None:
        """The key of the view that is shown leads back to the grid."""
        shown = self.stack.currentWidget() is self._made.get(name)
        self.show_view("sorting" if shown else name)

    def undo(self) -> None:
        """What the view has lost comes first, then the last step."""
        if not self.view.undo():
            self.desk.undo()

    def _choose(self, target: str) -> None:
        if not self.view.open_place(target):
            self.show_view("sorting")
            self.view.open_place(target)

    def _named(self, name: str) -> None:
        if not self.view.send(name):
            self.desk.decide(lambda session: session.add_class(name))
        self.view.setFocus()

    # -- drops

    def _tiles_dropped(self, ids: list[int], target: str) -> None:
        if isinstance(self.view, SendingView) and self.view.model.row_of(ids[0]) >= 0:
            self.view.send_ids(ids, target)
        else:
            self.desk.decide(lambda session: session.to_ids(ids, target))

    def _files_dropped(self, paths: list[str], target: str) -> None:
        self.background.take(paths, None if target.startswith(":") else target)

    def _taking(self, count: int) -> None:
        self.desk.say(self.tr("Taking in: {count} files").format(count=count))

    def _taken(self, taken: Taken) -> None:
        if taken.step:
            self.desk.decide(lambda s: s.adopt(taken.step, taken.samples))
            self.background.measure()
        self.desk.say(
            self.tr("{count} pictures taken in, {bad} were none").format(
                count=taken.samples, bad=taken.rejected
            )
        )
        self.view.enter()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files may be dropped anywhere: elsewhere than on a class they wait to be sorted."""
        if event.mimeData().hasUrls() and not isinstance(event.mimeData(), TileMime):
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()

    def dropEvent(self, event: QDropEvent) -> None:
        """Take files in."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        event.setDropAction(Qt.DropAction.CopyAction)
        event.accept()
        self._files_dropped(paths, ":queue")

    # -- coming and going

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the place and end; not before everything is saved, unless it is given up."""
        if not self._closing.may_close():
            event.ignore()
            return
        remember(self)
        self.shut_down(give_up=True)
        for part in (self.desk, self.background, self.thumbs):
            part.deleteLater()  # what is connected to them keeps the window in memory
        super().closeEvent(event)

    def under_way(self) -> str:
        """What would be lost if the window closed now; empty for nothing."""
        if self.desk.unsaved:
            return self.tr("not everything is saved yet")
        if self.background.takes:
            return self.tr("files are being taken in")
        return next((why for view in self._made.values() if (why := view.under_way())), "")

    def flush(self) -> None:
        """Hand over what is not saved yet in any view."""
        for view in self._made.values():
            view.flush()

    def shut_down(self, give_up: bool = False) -> None:
        """End the threads; every decision is saved first, unless they are given up."""
        self.flush()
        for view in self._made.values():
            view.shut_down()
        self.background.close()
        self.desk.close(give_up)
        self.thumbs.close()
