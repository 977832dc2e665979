"""What every view of the window is, what it is given, and the tuple of all views."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from importlib import import_module
from typing import NamedTuple

from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QTabBar, QWidget

from labeler.qt.pictures import DetailPanel, ThumbnailLoader
from labeler.qt.session_worker import Measuring, SessionWorker
from labeler.qt.translations import tr


class WindowActs(NamedTuple):
    """What a view can ask of its window."""

    name_class: Callable[[], object]
    """Show the field in which a class is named."""
    show_place: Callable[[str], object]
    """Show a class or a place."""
    show_view: Callable[[str], object]
    show_moment: Callable[[int, str], object]
    """Show all faces of the moment of a sample (row) with a title."""
    choose_files: Callable[[], object]
    choose_folder: Callable[[], object]
    find_faces: Callable[[], object]
    takes_in: Callable[[], bool]
    """Whether pictures are being imported, or faces looked for."""
    learn: Callable[[], object]


class ViewContext(NamedTuple):
    """What every view gets: the session's worker, thumbnails, the panel at the right, what
    measures new samples, and what the window does for it.
    """

    worker: SessionWorker
    thumbs: ThumbnailLoader
    details: DetailPanel
    measuring: Measuring
    acts: WindowActs


class LabelerView(QWidget):
    """One view: a widget in the middle of the window; `home` is where keys act.

    The window calls `enter` whenever the view is shown, `send` when something was dropped on or
    chosen in the class list, and asks `settled` before it takes a picture of itself.
    """

    place_shown = Signal(str)
    """Another class or place is shown; empty for none."""

    shown_place = ""
    shows_details = True
    """Whether it shows faces in the panel at the right."""

    def __init__(self, context: ViewContext) -> None:
        super().__init__()
        self.context, self.worker, self.acts = context, context.worker, context.acts
        self.home: QWidget = self

    def enter(self) -> None:
        """Read what the view needs, and put the focus where keys act: it is shown."""

    def open_place(self, place: str) -> bool:
        """Show a class, or a place such as `:later`; False where the view cannot."""
        return False

    def note_place(self, place: str) -> None:
        """Tell the class list which of its rows is shown."""
        self.shown_place = place
        self.place_shown.emit(place)

    def send(self, target: str) -> bool:
        """Send what is selected or pointed at to a place of the class list; False for nothing."""
        return False

    def undo(self) -> bool:
        """Undo something of the view's own (a lost selection); False where there is nothing."""
        return False

    def take_focus(self) -> None:
        self.home.setFocus()

    def touch(self) -> None:
        """Note that a person is about to do something: a key or a button comes next."""

    def hold_targets(self, hold: bool) -> None:
        """Keep pointing at the same faces while a name is typed for them."""

    def looks(self) -> Hashable:
        """Return what a key may change in the view, to compare before and after."""
        return None

    def settled(self) -> bool:
        """Return whether everything is there that is to be seen."""
        return not self.context.worker.busy and not self.context.thumbs.waiting

    def flush(self) -> None:
        """Hand over to the worker what a person did and is not saved yet."""


class ViewKind(NamedTuple):
    """A view that can be chosen: `name` on the command line, `title` in the window, a key.

    `view` is its class, as `module:name` under `labeler.qt.views`: it is imported when it is
    shown first.
    """

    name: str
    title: str
    key: str
    view: str

    def load(self) -> type[LabelerView]:
        """Load what the view is made of, which takes longer than making it."""
        module, _, name = self.view.partition(":")
        found: type[LabelerView] = getattr(import_module(f"labeler.qt.views.{module}"), name)
        return found

    def shown_title(self) -> str:
        return tr(self.title)


VIEWS: tuple[ViewKind, ...] = (
    ViewKind("sorting", "Grid", "F2", "sorting:SortingView"),
    ViewKind("pages", "Class pages", "G", "class_pages:ClassPagesView"),
    ViewKind("duplicates", "Duplicates", "F3", "duplicates:DuplicatesView"),
    ViewKind("crop", "Crop", "F4", "crop:CropView"),
    ViewKind("review", "Review", "F5", "review:ReviewView"),
    ViewKind("numbers", "Numbers", "F6", "numbers:NumbersView"),
)


def view_named(name: str) -> ViewKind | None:
    """Return a view by the name that `--view` takes."""
    return next((kind for kind in VIEWS if kind.name == name), None)


class ViewTabs(QTabBar):
    """A tab for each view, in their order. Where there is no room for keys, tooltips say them."""

    def __init__(self) -> None:
        super().__init__()
        self.setExpanding(False)
        self.setDrawBase(False)
        self.setUsesScrollButtons(False)
        self.setElideMode(Qt.TextElideMode.ElideRight)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(self.tr("Views"))
        for number, kind in enumerate(VIEWS):
            self.addTab(kind.shown_title())
            self.setTabToolTip(number, f"{kind.shown_title()}  {kind.key}")
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show keys where all titles have room beside them."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        for with_keys in (True, False):
            for number, kind in enumerate(VIEWS):
                key = f"  {kind.key}" if with_keys else ""
                self.setTabText(number, kind.shown_title() + key)
            if self.sizeHint().width() <= self.width():
                break
