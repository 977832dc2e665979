"""The window: class list, views, details panel, status bar; undo, view keys and closing."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from PySide6.QtCore import QCoreApplication, QObject, Qt, QTimer
from PySide6.QtGui import (
    QCloseEvent,
    QContextMenuEvent,
    QKeyEvent,
    QKeySequence,
    QResizeEvent,
)
from PySide6.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QLineEdit,
    QMainWindow,
    QSplitter,
    QStackedWidget,
    QToolButton,
    QWidget,
)

from gleanset import Dataset
from gleanset.db.faces import are_whole_images
from labeler.qt.class_list import ClassPanel
from labeler.qt.file_import import (
    AddButton,
    BackgroundImport,
    FileDropHandler,
    ImportBar,
)
from labeler.qt.grid.gesture_view import COMMAND_LETTERS
from labeler.qt.images import DetailPanel, ThumbnailLoader
from labeler.qt.keyboard import (
    MODIFIER_KEYS,
    InputFilter,
    ShortcutsPopup,
    key_name,
    open_menu,
)
from labeler.qt.session_worker import EmbeddingTask, SessionWorker
from labeler.qt.settings import SettingsDialog, WindowState
from labeler.qt.status_bar import Learning, LearningButton, MessageBar
from labeler.qt.theme import SPACE_L, SPACE_M, SPACE_S
from labeler.qt.translations import Words, step_words, tr
from labeler.qt.views.base import VIEWS, LabelerView, ViewContext, ViewKind, ViewTabs
from labeler.qt.views.labeling import LabelingView
from labeler.qt.views.review import FilteredView
from labeler.qt.widgets import (
    ENTER,
    keep_focus,
    row_layout,
    set_column,
    tab_last,
)
from labeler.sorting.session import StepKind

CLOSE_TIMEOUT_SECONDS = 0.5
CLOSE_RETRY_MS = 100


class CloseRequest(QObject):
    """Closes the window as soon as everything is saved, or at once if asked a second time.

    An error in the meantime, such as a refused decision or a failed export, keeps the window open.
    """

    def __init__(self, window: "LabelerWindow"):
        super().__init__(window)
        self._window = window
        self._error_count = 0
        self._timer = QTimer(self, interval=CLOSE_RETRY_MS)
        self._timer.timeout.connect(self._retry)
        window.worker.message.connect(self._note_message)

    def may_close(self) -> bool:
        """Return whether the window may close now; otherwise show a message."""
        # The second request within the wait: close without what is unfinished.
        if self._timer.isActive():
            return True

        errors_before = self._error_count
        self._window.flush()
        worker = self._window.worker
        worker.wait_until_saved(CLOSE_TIMEOUT_SECONDS)
        if self._error_count > errors_before:
            return False
        if unfinished := worker.describe_unfinished_work():
            text = tr(
                "Please wait: {why}. The window then closes; close it again to close at once",
                why=unfinished,
            )
            worker.show_error(text)
            self._timer.start()

        return not unfinished

    def _retry(self) -> None:
        if not self._window.worker.describe_unfinished_work():
            self._window.close()

    def _note_message(self, text: str, bad: bool) -> None:
        if bad:
            self._error_count += 1
            self._timer.stop()


EMBEDDING_DELAY_MS = 1500
TEXT_END_KEYS = (*ENTER, Qt.Key.Key_Escape)
"""Keys that end the input of a text and do nothing else."""

SIZE = (1440, 900)
NARROW_WIDTH = 1100
"""In a narrower window (logical pixels) the details panel is hidden until F9 is pressed."""


class LabelerWindow(QMainWindow):
    """The window of one dataset. `view` is by default the last one shown."""

    def __init__(self, root: Path, view: str | None = None):
        super().__init__()
        self.shown_name = ""
        with Dataset.open(root) as dataset:  # raises at once if it cannot be opened
            self.thumbs = ThumbnailLoader(dataset)
            Words.call_images(are_whole_images(dataset.db))
        self.worker = SessionWorker(root)
        self.embedding_task = EmbeddingTask(self.worker)
        self._state = WindowState(root)
        self.details = DetailPanel(self.thumbs)
        self._details_wanted = True
        self._wide = True
        self.class_panel = ClassPanel(self.worker, self.thumbs)
        self.tabs = ViewTabs()
        self.stack = QStackedWidget()
        self._views: dict[str, LabelerView] = {}
        self.setWindowTitle(tr("{name} – Gleanset labeler", name=root.absolute().name))
        self.imports = BackgroundImport(self.worker)
        self.drops = FileDropHandler(self, self.worker, self.imports)
        self._lay_out()
        self.learning = Learning(self.worker)
        self._learning_button = LearningButton(self.learning, self.worker)
        self.context = ViewContext(
            self.worker,
            self.thumbs,
            self.details,
            self.embedding_task,
            self.imports,
            self.drops,
            self._show_in_grid,
            self.show_view,
        )

        self.status = MessageBar(self.worker)
        self.status.insertPermanentWidget(0, self._learning_button)
        self.setStatusBar(self.status)
        self.sheet = ShortcutsPopup(self)
        self._close_request = CloseRequest(self)
        self._input = InputFilter(self, self._is_key)
        self._forwarding = self._was_importing = False
        self._add_actions()
        self._connect()
        self._state.restore(self, self.split)
        keep_focus(self)
        self.show_view(view or self._state.view())
        QTimer.singleShot(EMBEDDING_DELAY_MS, self, self.embedding_task.begin)

    def _lay_out(self) -> None:
        middle = QWidget()
        add = AddButton(self.drops)
        settings = QToolButton()
        bar = ImportBar(self.imports)
        settings.setAutoRaise(True)
        settings.setText(tr("Settings"))
        settings.setToolTip(tr("Language, colours, key hints (Ctrl+,)"))
        settings.clicked.connect(self.show_settings)
        buttons = (add, settings)
        self._tab_after_view = (*buttons, *bar.buttons)
        head = row_layout(
            self.tabs, *buttons, grows=self.tabs, margins=(0, SPACE_S, SPACE_M, 0)
        )
        set_column(middle, head, self.stack, grows=self.stack)
        left = QWidget()
        set_column(
            left,
            self.class_panel,
            row_layout(bar, grows=bar, margins=(SPACE_L, SPACE_S, SPACE_M, SPACE_S)),
            grows=self.class_panel,
        )

        self.split = QSplitter()
        for part, stretch in ((left, 0), (middle, 1), (self.details, 0)):
            self.split.addWidget(part)
            self.split.setStretchFactor(
                self.split.count() - 1,
                stretch,
            )
        self.resize(*SIZE)
        # Widths in pixels, until a user changes them.
        self.split.setSizes([260, 940, 240])
        self.setCentralWidget(self.split)

    def _add_action(
        self,
        text: str,
        act: Callable[[], object],
        *keys: str | QKeySequence.StandardKey,
    ) -> None:
        action = self.addAction(text)
        action.setAutoRepeat(False)
        action.setShortcuts([QKeySequence(key) for key in keys])
        action.triggered.connect(lambda checked=False: act())

    def _add_actions(self) -> None:
        self._add_action(
            tr("Undo"),
            self.undo,
            QKeySequence.StandardKey.Undo,
        )
        self._add_action(
            tr("Redo"),
            self.redo,
            "Ctrl+Shift+Z",
            "Ctrl+Y",
        )
        self._add_action(tr("Quit"), self.close, "Ctrl+Q")
        self._add_action(
            tr("Keyboard shortcuts"),
            self.sheet.toggle,
            "F1",
            "?",
        )
        self._add_action(tr("Find a class"), self._name_class, "/")
        self._add_action(tr("Details panel"), self._toggle_details, "F9")
        self._add_action(tr("Settings"), self.show_settings, "Ctrl+,")
        self._add_action(
            tr("Context menu"),
            partial(open_menu, self),
            "Shift+F10",
        )
        for kind in VIEWS:
            self._add_action(
                tr(kind.title), partial(self._press_view_key, kind.name), kind.key
            )

    def _connect(self) -> None:
        text = tr("Taken for a name and ignored · /: type a name")
        self._input.typed_name.connect(lambda: self.worker.show_message(text))
        self.class_panel.field.left.connect(lambda: self.view.focus_home())
        self.class_panel.field.unfocused.connect(
            lambda: self.view.freeze_targets(False)
        )
        self.class_panel.list.itemDelegate().closeEditor.connect(self._leave_rename)
        self.tabs.currentChanged.connect(
            lambda number: self.show_view(VIEWS[number].name)
        )
        self.class_panel.selected.connect(self._open_place)
        self.class_panel.name_entered.connect(self._create_or_send)
        self.class_panel.list.tiles_dropped.connect(self._tiles_dropped)
        self.class_panel.list.files_dropped.connect(self.drops.offer)
        self.imports.images_added.connect(self.embedding_task.begin)
        self.imports.changed.connect(self._import_changed)
        self.worker.changed_outside.connect(self._refresh_empty_view)
        self.worker.progressed.connect(self._show_place)
        self.status.undo.clicked.connect(self.undo)
        self.embedding_task.left.connect(self._learning_button.show_left)

    @property
    def view(self) -> LabelerView:
        view = self.stack.currentWidget()
        assert isinstance(view, LabelerView)
        return view

    def show_view(self, name: str) -> None:
        """Show a view, which is made when it is first shown."""
        kind = next((kind for kind in VIEWS if kind.name == name), VIEWS[0])
        if kind.name not in self._views:
            self._make_view(kind)
        self.shown_name = kind.name
        if self.tabs.currentIndex() != VIEWS.index(kind):
            self.tabs.setCurrentIndex(VIEWS.index(kind))  # calls this method again
        # The first view is the current one of the stack at once: it still has to be entered, which
        # is before the window is visible.
        elif (
            self.stack.currentWidget() is not self._views[kind.name]
            or not self.isVisible()
        ):
            self.stack.setCurrentWidget(self._views[kind.name])
            self.details.setVisible(self._details_wanted and self.view.shows_details)
            self.class_panel.model.acts = self.view.acts
            self.view.enter()
            self.view.focus_home()
            self._show_place()

    def _leave_rename(self) -> None:
        if not self.class_panel.list.keeps_focus:
            self.view.focus_home()

    def _show_place(self) -> None:
        self.class_panel.list.show_place(self.view.current_place)
        step = self.worker.progress.undo if self.worker.progress else None
        self.status.name_undo(
            self.view.undo_name() or (step_words(step.operation) if step else "")
        )

    def _make_view(self, kind: ViewKind) -> None:
        view = self._views[kind.name] = kind.load()(self.context)
        view.changed.connect(self._show_place)
        self.stack.addWidget(view)
        keep_focus(view)
        for part in (*self._tab_after_view, self._learning_button, self.status.undo):
            tab_last(part)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Hide the details panel when a window becomes narrow, show it when it becomes wide."""
        super().resizeEvent(event)
        wide = event.size().width() >= NARROW_WIDTH
        if wide != self._wide:
            self._wide = self._details_wanted = wide
            self.details.setVisible(wide and self.view.shows_details)

    def _toggle_details(self) -> None:
        self._details_wanted = not self.details.isVisible()
        self.details.setVisible(self._details_wanted)

    def _press_view_key(self, name: str) -> None:
        place = self.view.current_place if isinstance(self.view, FilteredView) else ""
        # F2 shows the grid, and renames the class that the grid shows.
        if name == "grid" and place and not place.startswith(":"):
            self.class_panel.rename(place)
        elif self.stack.currentWidget() is not self._views.get(name):
            self.show_view(name)
        elif name == "pages":  # its key pressed again leads back
            self.show_view("grid")
        else:
            self.worker.show_message(tr("Already shown"))

    def _is_key(self, letter: str) -> bool:
        letters = COMMAND_LETTERS | {kind.key for kind in VIEWS}
        return letter.upper() in letters or letter.lower() in self.worker.keys.values()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Forward unhandled keys to the faces."""
        home = self.view.home
        focus = self.focusWidget()
        ends_text = event.key() in TEXT_END_KEYS and isinstance(
            focus, QLineEdit | QAbstractSpinBox
        )
        if event.key() in MODIFIER_KEYS:
            return
        if ends_text:
            self.view.focus_home()
        elif event.key() in ENTER and isinstance(focus, QAbstractButton):
            focus.click()
        elif focus is not home and not self._forwarding:
            self._forward(home, event)
        else:  # the faces have ignored it already
            self.worker.show_message(
                tr("{key} does nothing here · F1: all shortcuts", key=key_name(event))
            )
            event.ignore()  # the focus stays in a field

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Open the menu of the shown class, by a key, if there is no face for it."""
        classes = self.class_panel
        place = self.view.current_place
        if (
            event.reason() is QContextMenuEvent.Reason.Keyboard
            and place in self.worker.keys
        ):
            classes.list.setCurrentIndex(
                classes.model.index(classes.model.row_of(place))
            )
            QCoreApplication.sendEvent(classes.list, event)
        else:
            self.worker.show_message(tr("Point at a face first"))

    def _forward(self, home: QWidget, event: QKeyEvent) -> None:
        self._forwarding = True
        try:
            # An overlay on the faces is their focus proxy.
            QCoreApplication.sendEvent(home.focusProxy() or home, event)
        finally:
            self._forwarding = False
        if event.isAccepted() and self.focusWidget() is not self.class_panel.field:
            self.view.focus_home()

    def _name_class(self) -> None:
        self.class_panel.field.setFocus()
        self.view.freeze_targets(True)

    def show_settings(self) -> None:
        SettingsDialog(self).open()

    def undo(self) -> None:
        """Undo in the view first, then the last step."""
        self.view.take_back(StepKind.UNDO)

    def redo(self) -> None:
        self.view.take_back(StepKind.REDO)

    def _open_place(self, target: str) -> None:
        if not self.view.open_place(target):
            self._show_in_grid(target)
        self.view.focus_home()

    def _show_in_grid(self, target: str) -> None:
        self.show_view("grid")
        self.view.open_place(target)

    def _create_or_send(self, name: str) -> None:
        if name and not self.view.send(name):
            self.worker.decide(lambda session: session.add_class(name))
        self.view.focus_home()

    def _tiles_dropped(self, ids: list[int], target: str) -> None:
        if isinstance(self.view, LabelingView) and self.view.model.row_of(ids[0]) >= 0:
            self.view.send_ids(ids, target)
        else:
            self.worker.decide(
                lambda session: session.decide(ids, target), classes=[target]
            )

    def _import_changed(self) -> None:
        # An empty view explains itself differently while an import runs.
        before = self._was_importing
        self._was_importing = self.imports.running
        if before != self._was_importing:
            self._refresh_empty_view()

    def _refresh_empty_view(self) -> None:
        # Show faces that another process adds, unless a name is being typed.
        view = self.view
        counts = self.worker.counts
        # The first images decide whether the window speaks of faces or of images.
        if counts is None or not counts.total:
            self.worker.ask(
                lambda s: are_whole_images(s.dataset.db),
                Words.call_images,
            )
        is_empty = isinstance(view, LabelingView) and not view.model.rowCount()
        if is_empty and not isinstance(self.focusWidget(), QLineEdit):
            view.enter()

    def closeEvent(self, event: QCloseEvent) -> None:
        """Close once everything is saved or discarded; remember the state of the window."""
        if not self._close_request.may_close():
            event.ignore()
            return
        self._state.save(self, self.split, self.shown_name)
        self.shut_down(give_up=True)
        for part in (self.worker, self.thumbs):
            part.deleteLater()  # connections to them would keep the window in memory
        super().closeEvent(event)

    def flush(self) -> None:
        for view in self._views.values():
            view.flush()

    def shut_down(self, give_up: bool = False) -> None:
        """End the threads after saving all decisions, or discard them with `give_up`."""
        self.learning.end()
        self.drops.close_dialog()
        self.imports.queue.stop()
        self.flush()  # hands them to the worker, which saves or discards them
        self.worker.close(give_up)
        self.thumbs.close()
