"""The views of the window, registered by hand in one tuple."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from PySide6.QtCore import QCoreApplication

from labeler.qt.views.base import LabelerView


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
        """Return the title in the person's language."""
        return QCoreApplication.translate("views", self.title)


VIEWS: tuple[ViewKind, ...] = (
    ViewKind("sorting", "Grid", "F2", "sorting:SortingView"),
    ViewKind("pages", "Class pages", "G", "class_pages:ClassPagesView"),
    ViewKind("duplicates", "Duplicates", "F3", "duplicates:DuplicatesView"),
    ViewKind("crop", "Crop", "F4", "crop:CropView"),
    ViewKind("review", "Review", "F5", "review:ReviewView"),
    ViewKind("numbers", "Numbers", "F6", "numbers:NumbersView"),
    ViewKind("reports", "Reports", "F7", "reports:ReportsView"),
)


def view_named(name: str) -> ViewKind | None:
    """Return a view by the name that `--view` takes."""
    return next((kind for kind in VIEWS if kind.name == name), None)
