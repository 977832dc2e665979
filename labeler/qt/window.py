"""The window: class list, views, detail panel, status bar; undo, redo, the keys of views; closing.

Closing waits until everything is saved: nothing is lost without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QObject, Qt, QTimer, Signal
from PySide6.QtGui import QAction, QCloseEvent, QKeyEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QLineEdit,
    QMainWindow,
    QSplitter,
    QStackedWidget,
    QToolButton,
    QWidget,
)

from gleanset import Dataset
from labeler.qt.classes.keys import ALONE
from labeler.qt.classes.panel import ClassPanel
from labeler.qt.keyboard import InputFilter, KeySheet, KeyWitness
from labeler.qt.name_field import ENTER
from labeler.qt.pictures import DetailPanel, ThumbnailLoader
from labeler.qt.session_worker import Measuring, SessionWorker
from labeler.qt.settings import SettingsSheet, WindowState
from labeler.qt.status_bar import Learning, LearningButton, MessageBar, StatusTexts
from labeler.qt.taking import AddButton, FileDrops, Taking, TakingBar
from labeler.qt.views.base import VIEWS, LabelerView, ViewContext, ViewKind, ViewTabs, WindowActs
from labeler.qt.views.sending import SendingView
from labeler.qt.views.sorting import SortingView
from labeler.qt.widgets import beside, enlarge_targets, keep_focus, pile, tab_last

CLOSE_WAIT_SECONDS = 0.5
RETRY_MS = 100


class CloseRequest(QObject):
    """Asked once, the window closes as soon as it may; asked again, it gives up what is not saved.

    Bad news meanwhile, a decision that is refused or an export that fails, keep it open: a person
    has to see that. `flush` hands over what is not saved yet.
    """

    def __init__(self, window: QWidget, worker: SessionWorker, flush: Callable[[], object]) -> None:
        super().__init__(window)
        self._window, self._worker, self._flush = window, worker, flush
        self._bad = 0
        self._timer = QTimer(self, interval=RETRY_MS)
        self._timer.timeout.connect(self._try_again)
        worker.message.connect(self._said)

    def may_close(self) -> bool:
        """Return whether the window may close now; otherwise it is said why not."""
        if self._timer.isActive():
            return True
        before = self._bad
        self._flush()
        self._worker.settle(CLOSE_WAIT_SECONDS)
        if self._bad > before:
            return False
        why = self._worker.under_way()
        if why:
            text = self.tr(
                "Please wait: {why}. The window then closes; close again to discard unsaved changes"
            )
            self._worker.say(text.format(why=why), bad=True)
            self._timer.start()
        return not why

    def _try_again(self) -> None:
        if not self._worker.under_way():
            self._window.close()

    def _said(self, text: str, bad: bool) -> None:
        self._bad += bad
        if bad:
            self._timer.stop()


MEASURE_MS = 1500
PRELOAD_VIEW_MS = 300
ENDS_TEXT = (*ENTER, Qt.Key.Key_Escape)
"""Keys that end the typing of a text; whatever else they mean, they mean it the next time."""

SIZE = (1440, 900)
NARROW_WIDTH = 1100
"""A window of fewer logical pixels begins without the look panel: F9 shows it."""


class LabelerWindow(QMainWindow):
    """One dataset in one window. `root` must be a dataset; `view` is by default the last one.

    `anew` (a dataset's folder) asks for another window in its place.
    """

    anew = Signal(object)

    def __init__(self, root: Path, view: str | None = None) -> None:
        super().__init__()
        self.shown_name = ""
        with Dataset.open(root) as dataset:  # says at once what cannot be opened
            self.thumbs = ThumbnailLoader.of(dataset)
        self.worker = SessionWorker(root)
        self.measuring = Measuring(self.worker)
        self._state = WindowState(root)
        self.details, self._details_wanted, self._wide = DetailPanel(self.thumbs), True, True
        self.class_panel = ClassPanel(self.worker, self.thumbs)
        self.tabs, self.stack = ViewTabs(), QStackedWidget()
        self._made: dict[str, LabelerView] = {}
        self.setWindowTitle(self.tr("{name} – Gleanset labeler").format(name=root.absolute().name))
        self.taking = Taking(self.worker)
        self.drops = FileDrops(self, self.worker, self.taking)
        self._lay_out()
        self.learning = Learning(self.worker, self._state)
        self._learns = LearningButton(self.learning)
        acts = WindowActs(
            self._name_class,
            self._choose,
            self.show_view,
            self._show_moment,
            self.drops.choose_files,
            self.drops.choose_folder,
            self.taking.find_faces,
            lambda: self.taking.running,
            self.learning.learn_now,
        )
        self.context = ViewContext(self.worker, self.thumbs, self.details, self.measuring, acts)
        self.setStatusBar(MessageBar())
        self.statusBar().addPermanentWidget(self._learns)
        self.status = StatusTexts(self.statusBar(), self.worker, self.undo)
        self.sheet = KeySheet(self)
        self._closing = CloseRequest(self, self.worker, self.flush)
        self._input = InputFilter(self)
        self.witness = KeyWitness(self, self.worker, self.looks)
        self._handing_on = self._untouched = self._takes = False
        self._actions()
        self._connect()
        self._state.restore(self, self.split)
        enlarge_targets(self)
        keep_focus(self)
        self.show_view(view or self._state.view())
        QTimer.singleShot(MEASURE_MS, self, self.measuring.begin)
        QTimer.singleShot(PRELOAD_VIEW_MS, self, self._load_views)

    def _lay_out(self) -> None:
        middle = QWidget()
        add, settings, bar = AddButton(self.drops), QToolButton(), TakingBar(self.taking)
        settings.setText(self.tr("Settings"))
        settings.setToolTip(self.tr("Language, colours, dataset (Ctrl+,)"))
        settings.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        settings.clicked.connect(self.show_settings)
        buttons = (add, settings)
        self._after_view = (*buttons, bar.again, bar.stop, bar.close_button)
        head = beside(self.tabs, *buttons, grows=self.tabs, margins=(0, 4, 6, 0))
        pile(middle, head, self.stack, bar, grows=self.stack)
        self.split = QSplitter()
        for part, share in ((self.class_panel, 0), (middle, 1), (self.details, 0)):
            self.split.addWidget(part)
            self.split.setStretchFactor(self.split.count() - 1, share)
        self.resize(*SIZE)
        self.split.setSizes([260, 940, 240])
        self.setCentralWidget(self.split)

    def _action(
        self, text: str, keys: str | QKeySequence.StandardKey, do: Callable[[], object], *more: str
    ) -> None:
        made = QAction(text, self)
        made.setShortcuts([QKeySequence(keys), *map(QKeySequence, more)])
        made.setAutoRepeat(False)
        made.triggered.connect(lambda checked=False: do())
        self.addAction(made)

    def _actions(self) -> None:
        self._action(self.tr("Undo"), QKeySequence.StandardKey.Undo, self.undo)
        self._action(self.tr("Redo"), "Ctrl+Shift+Z", self.worker.redo, "Ctrl+Y")
        self._action(self.tr("Quit"), "Ctrl+Q", self.close)
        self._action(self.tr("Keyboard shortcuts"), "F1", self.sheet.toggle)
        self._action(self.tr("Keyboard shortcuts"), "?", self.sheet.toggle)
        self._action(self.tr("Find a class"), "/", self._name_class)
        self._action(self.tr("Details panel"), "F9", self._toggle_details)
        self._action(self.tr("Settings"), "Ctrl+,", self.show_settings)
        for kind in VIEWS:
            self._action(kind.shown_title(), kind.key, partial(self._view_key, kind.name))

    def _connect(self) -> None:
        self._input.touched.connect(self._touched)
        self._input.key_pressed.connect(self.witness.pressed)
        self.class_panel.field.left.connect(self._back_to_faces)
        self.class_panel.field.unfocused.connect(lambda: self.view.hold_targets(False))
        self.class_panel.list.itemDelegate().closeEditor.connect(self._back_to_faces)
        self.tabs.currentChanged.connect(lambda number: self.show_view(VIEWS[number].name))
        self.class_panel.chosen.connect(self._choose)
        self.class_panel.named.connect(self._named)
        self.class_panel.list.tiles_dropped.connect(self._tiles_dropped)
        self.class_panel.list.files_dropped.connect(self.drops.on_row)
        self.taking.came.connect(self.measuring.begin)
        self.taking.changed.connect(self._taking_changed)
        self.worker.outside.connect(self._show_first)
        self.measuring.left.connect(self.status.measuring)

    # -- views

    @property
    def view(self) -> LabelerView:
        shown = self.stack.currentWidget()
        assert isinstance(shown, LabelerView)
        return shown

    def show_view(self, name: str) -> None:
        """Show a view, made when it is shown first."""
        kind = next((k for k in VIEWS if k.name == name), VIEWS[0])
        if kind.name not in self._made:
            self._make(kind)
        self.shown_name = kind.name
        if self.tabs.currentIndex() != VIEWS.index(kind):
            self.tabs.setCurrentIndex(VIEWS.index(kind))  # comes back here
        elif self.stack.currentWidget() is not self._made[kind.name] or not self.isVisible():
            self.stack.setCurrentWidget(self._made[kind.name])
            self.details.setVisible(self._details_wanted and self.view.shows_details)
            self.view.enter()
            self._show_place()

    def _show_place(self) -> None:
        self.class_panel.list.show_place(self.view.shown_place)

    def _make(self, kind: ViewKind) -> None:
        made = self._made[kind.name] = kind.load()(self.context)
        made.place_shown.connect(self._show_place)
        self.stack.addWidget(made)
        enlarge_targets(made)
        keep_focus(made)
        for part in (*self._after_view, self._learns, self.status.undo):
            tab_last(part)
        if isinstance(made, SortingView):
            self._state.restore_grid(made)

    def _load_views(self, number: int = 0) -> None:
        """Load one view after the other: together they would hold up who asks for one."""
        VIEWS[number].load()
        if number + 1 < len(VIEWS):
            QTimer.singleShot(PRELOAD_VIEW_MS, self, partial(self._load_views, number + 1))

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fold the look panel as a window becomes narrow, and unfold it as it becomes wide."""
        super().resizeEvent(event)
        wide = event.size().width() >= NARROW_WIDTH
        if wide != self._wide:
            self._wide = self._details_wanted = wide
            self.details.setVisible(wide and self.view.shows_details)

    def _toggle_details(self) -> None:
        self._details_wanted = not self.details.isVisible()
        self.details.setVisible(self._details_wanted)

    def _view_key(self, name: str) -> None:
        """The key of the view that is shown leads back to the grid; there it renames a class."""
        if name != "sorting" or not isinstance(self.view, SortingView):
            shown = self.stack.currentWidget() is self._made.get(name)
            self.show_view("sorting" if shown else name)
        elif self.view.place.startswith(":"):
            self.worker.say(self.tr("F2 renames a class that the grid shows"))
        else:
            self.class_panel.rename(self.view.place)

    # -- keys

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Hand on to the faces what nobody took, and let N name a class."""
        home, focus = self.view.home, self.focusWidget()
        ends_text = event.key() in ENDS_TEXT and isinstance(focus, QLineEdit | QAbstractSpinBox)
        if event.key() in ALONE:
            return
        if ends_text:
            self.view.take_focus()
        elif focus is not home and not self._handing_on:
            self._hand_on(home, event)
        elif event.key() == Qt.Key.Key_N and not event.modifiers():
            self._name_class()

    def _hand_on(self, home: QWidget, event: QKeyEvent) -> None:
        self._handing_on = True
        try:
            # What covers the faces has their keys.
            QCoreApplication.sendEvent(home.focusProxy() or home, event)
        finally:
            self._handing_on = False
        if event.isAccepted() and self.focusWidget() is not self.class_panel.field:
            self.view.take_focus()

    def _name_class(self) -> None:
        self.class_panel.field.setFocus()
        self.view.hold_targets(True)

    def _back_to_faces(self) -> None:
        self.view.take_focus()

    def looks(self) -> Hashable:
        shown = (self.shown_name, self.sheet.isVisible(), self.details.isVisible())
        return (*shown, self.view.looks())

    def show_settings(self) -> None:
        sheet = SettingsSheet(self, self.worker.root)
        sheet.wanted.connect(self.anew)
        sheet.open()

    # -- undo and places

    def undo(self) -> None:
        """Take back what the view has lost first, then the last step."""
        if not self.view.undo():
            self.worker.undo()

    def _choose(self, target: str) -> None:
        if not self.view.open_place(target):
            self.show_view("sorting")
            self.view.open_place(target)
        self.view.take_focus()

    def _show_moment(self, sample: int, title: str) -> None:
        self.show_view("sorting")
        if isinstance(self.view, SortingView):
            self.view.show_moment(sample, title)

    def _named(self, name: str) -> None:
        if name and not self.view.send(name):
            self.worker.decide(lambda session: session.add_class(name))
        self.view.take_focus()

    # -- drops

    def _tiles_dropped(self, ids: list[int], target: str) -> None:
        if isinstance(self.view, SendingView) and self.view.model.row_of(ids[0]) >= 0:
            self.view.send_ids(ids, target)
        else:
            self.worker.decide(lambda session: session.to(ids, target), of=[target])

    def _taking_changed(self) -> None:
        """Say anew why nothing is shown, once an import begins or ends."""
        before, self._takes = self._takes, self.taking.running
        view, typing = self.view, isinstance(self.focusWidget(), QLineEdit)
        shows_why = isinstance(view, SendingView) and view.empty.isVisible()
        if before != self._takes and shows_why and not typing:
            view.enter()

    def _show_first(self) -> None:
        """Show the first faces that another program adds, until a person does something."""
        view, typing = self.view, isinstance(self.focusWidget(), QLineEdit)
        if isinstance(view, SendingView) and not typing:
            self._untouched |= not view.model.rowCount()
            if self._untouched:
                view.enter()

    def _touched(self) -> None:
        self._untouched = False
        self.view.touch()

    # -- coming and going

    def closeEvent(self, event: QCloseEvent) -> None:
        """Remember the place and end; not before everything is saved, unless it is given up."""
        if not self._closing.may_close():
            event.ignore()
            return
        grid = self._made.get("sorting")
        self._state.keep(
            self, self.split, self.shown_name, grid if isinstance(grid, SortingView) else None
        )
        self.shut_down(give_up=True)
        for part in (self.worker, self.thumbs):
            part.deleteLater()  # what is connected to them keeps the window in memory
        super().closeEvent(event)

    def flush(self) -> None:
        for view in self._made.values():
            view.flush()

    def shut_down(self, give_up: bool = False) -> None:
        """End the threads; every decision is saved first, unless they are given up."""
        self.learning.end()
        self.drops.end()
        self.taking.queue.stop()
        self.flush()
        self.worker.close(give_up)
        self.thumbs.close()
