"""The windows of one program: which is open, and what takes its place."""

from __future__ import annotations

from pathlib import Path

import shiboken6
from PySide6.QtCore import QObject, Qt
from PySide6.QtWidgets import QApplication, QWidget

from gleanset.dataset import is_dataset
from gleanset.errors import GleansetError
from labeler.qt.preferences import Preferences
from labeler.qt.theme import show_theme
from labeler.qt.translations import FontWarning, install
from labeler.qt.welcome import Welcome
from labeler.qt.window import LabelerWindow
from labeler.sorting.dropped import ImportPlan

SIZE = (1000, 680)
LATER = Qt.ConnectionType.QueuedConnection


class Program(QObject):
    """Opens a window on a dataset, or a welcome where there is none.

    `language` and `theme` are shown instead of those that are preferred until others are chosen,
    and windows are of a `size`, where one is given.
    """

    def __init__(
        self,
        application: QApplication,
        language: str | None = None,
        *,
        theme: str | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(application)
        self._application = application
        self._wanted, self._size = language, size
        self.shown = ""
        self.window: LabelerWindow | None = None
        self.welcome: Welcome | None = None
        self._lost = 0
        self.speak()
        show_theme(Preferences().theme().value if theme is None else theme)

    def speak(self) -> None:
        """Show what comes in the language that is wanted now."""
        self.shown = install(self._application, self._wanted or Preferences().language())

    def begin(self, root: Path, view: str | None = None) -> None:
        """Open a dataset, or say welcome where there is none."""
        if is_dataset(root):
            self.open(root, view)
        else:
            self.greet(root)

    def greet(self, folder: Path) -> None:
        """Show the welcome of a folder without a dataset."""
        before, self.welcome = self.welcome, Welcome(folder)
        self.welcome.resize(*SIZE)
        # Not while a button of it is still at its click: it is put away.
        self.welcome.opened.connect(self._chosen, LATER)
        self.welcome.renewed.connect(self._greet_anew, LATER)
        self.welcome.show()
        _put_away(before)

    def open(self, root: Path, view: str | None = None) -> LabelerWindow:
        """Open a window on a dataset. Raises what opening it raises."""
        window = LabelerWindow(root, view)
        Preferences().note_opened(root)
        FontWarning(window.worker, self.shown, window)
        window.anew.connect(self._instead, LATER)
        self.window = window
        if self._size is not None:
            window.resize(*self._size)
        window.show()
        window.learning.begin()
        return window

    def shut_down(self) -> int:
        """Close everything; return how many decisions could not be saved."""
        if self.window is not None:
            if shiboken6.isValid(self.window.worker):
                self.window.shut_down()
            self._lost += self.window.worker.lost
            self.window = None
        return self._lost

    def _chosen(self, root: Path, plan: ImportPlan | None) -> None:
        welcome = self.welcome
        assert welcome is not None
        try:
            window = self.open(root)
        except GleansetError as error:
            welcome.complain(str(error))
            return
        self.welcome = None
        _put_away(welcome)
        if plan is not None:
            window.taking.take(plan)

    def _greet_anew(self) -> None:
        self._wanted = None
        self.speak()
        assert self.welcome is not None
        self.greet(self.welcome.folder)

    def _instead(self, root: Path) -> None:
        """Open a dataset in the place of the window that asks; the same one in another language."""
        before = self.window
        assert before is not None
        if why := before.worker.under_way():
            before.worker.say(self.tr("Not now: {why}").format(why=why), bad=True)
            return
        self._application.setQuitOnLastWindowClosed(False)
        try:
            if before.close():
                self._lost += before.worker.lost
                self._wanted = None
                self.speak()
                self._open_or(root, before.worker.root)
        finally:
            self._application.setQuitOnLastWindowClosed(True)

    def _open_or(self, root: Path, before: Path) -> None:
        """Open a dataset, or where that cannot be, the one before."""
        try:
            self.open(root)
        except GleansetError as error:
            self.open(before).worker.say(str(error), bad=True)


def _put_away(widget: QWidget | None) -> None:
    if widget is not None:
        widget.close()
        widget.deleteLater()
