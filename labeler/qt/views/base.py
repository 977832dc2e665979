"""What every view of the window is, and what it is given."""

from __future__ import annotations

from collections.abc import Hashable
from enum import StrEnum
from typing import NamedTuple

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from labeler.qt.detail_panel import DetailPanel
from labeler.qt.measuring import Measuring
from labeler.qt.pictures import ThumbnailLoader
from labeler.qt.session_worker import SessionWorker


class WindowAct(StrEnum):
    """What a view can ask its window to do."""

    CHOOSE_FILES = "choose files"
    CHOOSE_FOLDER = "choose a folder"
    FIND_FACES = "find faces"
    LEARN = "learn"


class ViewContext(NamedTuple):
    """What every view gets: the session's worker, thumbnails, the panel at the right, and what
    measures new samples.
    """

    worker: SessionWorker
    thumbs: ThumbnailLoader
    details: DetailPanel
    measuring: Measuring


class LabelerView(QWidget):
    """One view: a widget in the middle of the window; `home` is where keys act.

    `naming` asks for the field in which a class is named. The window calls `enter` whenever the
    view is shown, `send` when something was dropped on or chosen in the class list, and asks
    `settled` before it takes a picture of itself.
    """

    naming = Signal()
    place_wanted = Signal(str)
    """A class or a place that a person asks to see."""
    view_wanted = Signal(str)
    """Another view that a person asks to see, by its name."""
    act_wanted = Signal(object)
    """A `WindowAct` that a person asks for."""
    moment_wanted = Signal(int, str)
    """A sample (row) and its title, of which a person asks to see the moment."""

    shows_details = True
    """Whether it shows faces in the panel at the right."""

    def __init__(self, context: ViewContext) -> None:
        super().__init__()
        self.context, self.worker = context, context.worker
        self.home: QWidget = self

    @property
    def look_panel(self) -> QWidget:
        """Where it shows what is pointed at: F9 hides that."""
        return self.context.details

    def enter(self) -> None:
        """Read what the view needs, and put the focus where keys act: it is shown."""

    def open_place(self, place: str) -> bool:
        """Show a class, or a place such as `:later`; False where the view cannot."""
        return False

    def send(self, target: str) -> bool:
        """Send what is selected or pointed at to a place of the class list; False for nothing."""
        return False

    def undo(self) -> bool:
        """Undo something of the view's own (a lost selection); False where there is nothing."""
        return False

    def take_focus(self) -> None:
        """Bring the keys to where they act."""
        self.home.setFocus()

    def hold_targets(self, hold: bool) -> None:
        """Keep pointing at the same faces while a name is typed for them."""

    def looks(self) -> Hashable:
        """Return what a key may change in the view, to compare before and after."""
        return None

    def settled(self) -> bool:
        """Return whether everything is there that is to be seen."""
        return not self.context.worker.busy and not self.context.thumbs.waiting

    def shut_down(self) -> None:
        """End what the view has begun on threads of its own."""

    def flush(self) -> None:
        """Hand over to the worker what a person did and is not saved yet."""
