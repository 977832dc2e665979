"""The views of the window, registered by hand in one tuple."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from PySide6.QtCore import QCoreApplication
from PySide6.QtWidgets import QWidget

from labeler.qt.desk import Desk
from labeler.qt.look_panel import LookPanel
from labeler.qt.thumbs import ThumbLoader


class Workshop(NamedTuple):
    """What every view gets: the session's desk, thumbnails, and the panel at the right."""

    desk: Desk
    thumbs: ThumbLoader
    look: LookPanel


class View(QWidget):
    """One view: a widget in the middle of the window.

    The window calls `enter` whenever the view is shown, `send` when something was dropped on or
    chosen in the rail, and asks `settled` before it takes a picture of itself.
    """

    looks = True
    """Whether it shows faces in the panel at the right."""

    def __init__(self, workshop: Workshop) -> None:
        super().__init__()
        self.workshop = workshop

    def enter(self) -> None:
        """The view is shown: read what it needs, put the focus where keys act."""

    def open_place(self, place: str) -> bool:
        """Show a place of the rail (a class, or `:queue`, `:later` …); False where it cannot."""
        return False

    def send(self, target: str) -> bool:
        """Send what is selected or pointed at to a place of the rail; False for nothing."""
        return False

    def undo(self) -> bool:
        """Undo something of the view's own (a lost selection); False where there is nothing."""
        return False

    def settled(self) -> bool:
        """Whether everything is there that is to be seen."""
        return not self.workshop.desk.busy and not self.workshop.thumbs.waiting

    def flush(self) -> None:
        """Hand over to the desk what a person did and is not saved yet."""

    def under_way(self) -> str:
        """What would be cut short if the window closed now; empty for nothing."""
        return ""

    def shut_down(self) -> None:
        """The window closes: end threads of one's own."""


class ViewKind(NamedTuple):
    """A view that can be chosen: `name` on the command line, `title` in the window, a key."""

    name: str
    title: str
    key: str
    make: Callable[[Workshop], View]

    def shown_title(self) -> str:
        """The title in the person's language."""
        return QCoreApplication.translate("views", self.title)


def _sorting(workshop: Workshop) -> View:
    from labeler.qt.sorting_view import SortingView

    return SortingView(workshop)


def _pages(workshop: Workshop) -> View:
    from labeler.qt.pages_view import PagesView

    return PagesView(workshop)


def _duplicates(workshop: Workshop) -> View:
    from labeler.qt.duplicates_view import DuplicatesView

    return DuplicatesView(workshop)


def _crop(workshop: Workshop) -> View:
    from labeler.qt.crop_view import CropView

    return CropView(workshop)


def _review(workshop: Workshop) -> View:
    from labeler.qt.review_view import ReviewView

    return ReviewView(workshop)


def _numbers(workshop: Workshop) -> View:
    from labeler.qt.numbers_view import NumbersView

    return NumbersView(workshop)


VIEWS: tuple[ViewKind, ...] = (
    ViewKind("sorting", "Grid", "F2", _sorting),
    ViewKind("pages", "Class pages", "G", _pages),
    ViewKind("duplicates", "Duplicates", "F3", _duplicates),
    ViewKind("crop", "Crop", "F4", _crop),
    ViewKind("review", "Review", "F5", _review),
    ViewKind("numbers", "Numbers", "F6", _numbers),
)


def view_named(name: str) -> ViewKind | None:
    """A view by the name that `--view` takes."""
    return next((kind for kind in VIEWS if kind.name == name), None)
