"""Base class of the views, their context, and the list of all views."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QTabBar, QWidget

from labeler.qt.file_import import BackgroundImport, FileDropHandler
from labeler.qt.images import DetailPanel, ThumbnailLoader
from labeler.qt.session_worker import EmbeddingTask, SessionWorker
from labeler.qt.translations import tr

MAX_SORTED_FOR_HINTS = 100


class ViewContext(NamedTuple):
    """What every view gets from its window, and can ask of it."""

    worker: SessionWorker
    thumbs: ThumbnailLoader
    details: DetailPanel
    embedding_task: EmbeddingTask
    imports: BackgroundImport
    drops: FileDropHandler
    name_class: Callable[[], object]
    """Focus the field in which a class is named."""
    show_place: Callable[[str], object]
    """Show a class, or a place such as `:later`."""
    show_view: Callable[[str], object]
    show_group: Callable[[int, str], object]
    """Show all faces of the group of a sample (row), under a title."""


class LabelerView(QWidget):
    """One view in the middle of the window; keys act in its widget `home`.

    The window calls `enter` when the view is shown, `send` for drops on and choices in the class
    list, and waits for `is_settled` before a screenshot.
    """

    place_changed = Signal(str)
    """The class or place that is shown; '' for none."""

    current_place = ""
    shows_details = True
    """Whether the details panel is shown next to the view."""

    def __init__(self, context: ViewContext) -> None:
        super().__init__()
        self.context, self.worker = context, context.worker
        self.home: QWidget = self

    def enter(self) -> None:
        """Read what the view shows, and focus `home`."""

    def open_place(self, place: str) -> bool:
        """Show a class, or a place such as `:later`; return False if the view cannot."""
        return False

    def set_current_place(self, place: str) -> None:
        self.current_place = place
        self.place_changed.emit(place)

    def send(self, target: str) -> bool:
        """Send the selected faces, or the one pointed at, to a class or place."""
        return False

    def undo(self) -> bool:
        """Undo something in the view itself (a lost selection); return False for nothing."""
        return False

    def focus_home(self) -> None:
        self.home.setFocus()

    def note_input(self) -> None:
        """React to input that is about to arrive: a key or a mouse button."""

    def freeze_targets(self, frozen: bool) -> None:
        """Keep pointing at the same faces while a name is typed for them."""

    def needs_hints(self) -> bool:
        """Return whether so little is sorted that the keys may still be new to the user."""
        progress = self.worker.progress
        return progress is None or progress.counts.sorted < MAX_SORTED_FOR_HINTS

    def is_settled(self) -> bool:
        """Return whether everything visible is loaded."""
        return not self.context.worker.busy and not self.context.thumbs.is_loading

    def flush(self) -> None:
        """Pass unsaved changes to the worker."""


class ViewKind(NamedTuple):
    """A view: its name on the command line, title, key and class (`module:name`).

    The module is imported when the view is first shown.
    """

    name: str
    title: str
    key: str
    view: str

    def load(self) -> type[LabelerView]:
        """Import the class, which takes longer than making the view."""
        module, _, name = self.view.partition(":")
        view: type[LabelerView] = getattr(import_module(f"labeler.qt.views.{module}"), name)
        return view

    def translated_title(self) -> str:
        return tr(self.title)


VIEWS: tuple[ViewKind, ...] = (
    ViewKind("grid", "Grid", "F2", "grid:GridView"),
    ViewKind("pages", "Class pages", "G", "class_pages:ClassPagesView"),
    ViewKind("duplicates", "Duplicates", "F3", "duplicates:DuplicatesView"),
    ViewKind("crop", "Crop", "F4", "crop:CropView"),
    ViewKind("review", "Review", "F5", "review:ReviewView"),
    ViewKind("statistics", "Statistics", "F6", "statistics:StatisticsView"),
)


class ViewTabs(QTabBar):
    """One tab for each view, with its key in the tooltip."""

    def __init__(self) -> None:
        super().__init__()
        self.setExpanding(False)
        self.setDrawBase(False)
        self.setUsesScrollButtons(False)
        self.setElideMode(Qt.TextElideMode.ElideRight)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(self.tr("Views"))
        for kind in VIEWS:
            number = self.addTab(kind.translated_title())
            self.setTabToolTip(number, f"{kind.translated_title()}  {kind.key}")
