"""Naming who is on a page: letters over the faces, the field above them, what a name means."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QLineEdit

from labeler.qt.name_field import NameCompletion, NameField
from labeler.qt.views.page_grid import PageGrid
from labeler.sorting.names import known_names
from labeler.sorting.page_layout import ClassPage

NAME_MOMENT = 0.7
"""Seconds for which letters still belong to a name after a page has taken the focus from it."""


class PageNaming(QObject):
    """Takes a name for the page of a grid, in a field; `then` is called with what it means.

    A name is for the page that was shown when it was begun, and for what was pointed at then.
    """

    def __init__(self, grid: PageGrid, field: NameField, then: Callable[[str], None]) -> None:
        super().__init__(field)
        self._grid, self._field, self._then = grid, field, then
        self.completion = NameCompletion(field)
        self._text = ""
        self._typed_for: ClassPage | None = None
        field.named.connect(self._named)
        field.textChanged.connect(self._changed)
        field.left.connect(self._left)
        field.unfocused.connect(lambda: grid.hold_point(False))
        grid.typed.connect(self.typed)

    def offer_known(self) -> None:
        """Complete to the names that may be meant now."""
        self._grid.worker.ask(lambda session: known_names(session.dataset), self.completion.offer)

    def write(self) -> None:
        """Let a name be typed, for what is pointed at now, wherever the mouse goes meanwhile."""
        self._grid.hold_point(bool(self._grid.target_rows()))
        self._field.setVisible(True)
        self._field.setFocus()

    def typed(self, text: str) -> None:
        """Put letters that were pressed over the faces where a name is written."""
        if self._grid.has_groups and not self._grid.target_rows():
            self.say_no_group()
            return
        self.write()
        self._field.insert(text)

    def say_no_group(self) -> None:
        """Say that a name has no group to go to."""
        self._grid.worker.say(self.tr("No group is pointed at: point at one, then type its name"))

    def clear(self) -> None:
        """Forget what was typed: it was taken."""
        self._field.clear()

    @property
    def under_way(self) -> bool:
        """Whether a name is being typed, or what is typed before the next page is one."""
        return self._field.hasFocus() or self._grid.name_until == math.inf

    def page_filed(self) -> None:
        """Take what is typed before the next page as a name, where the field was empty."""
        if self._field.hasFocus() and not self._field.text():
            self._grid.setFocus()
            self._grid.name_until = math.inf

    def page_renamed(self, before: ClassPage) -> None:
        """Know the page that is shown by its new name."""
        if self._typed_for is before:
            self._typed_for = self._grid.page

    def page_came(self, writing: bool) -> None:
        """Bring the keys to the faces, unless a name is being typed; `writing`: until now."""
        if writing and self._field.text():
            self._field.setFocus()
        elif writing or (self._grid.isVisible() and not self._writes_elsewhere()):
            self._grid.setFocus()
        if writing:
            self._grid.name_until = time.monotonic() + NAME_MOMENT

    def _writes_elsewhere(self) -> bool:
        return isinstance(self._grid.window().focusWidget(), QLineEdit)

    def _changed(self, text: str) -> None:
        """Remember for which page a name was begun."""
        if not self._text:
            self._typed_for = self._grid.page
        self._text = text

    def _left(self) -> None:
        self._grid.worker.say(self.tr("No name was typed"))
        self._grid.setFocus()

    def _named(self, name: str) -> None:
        """Give a name, exactly as it was typed, to what it was typed for."""
        if self._typed_for is not self._grid.page:
            self._typed_for = self._grid.page
            text = self.tr("Typed before this page came: Enter again names these faces {name}")
            self._grid.worker.say(text.format(name=name))
        else:
            self._then(self.completion.meant(name))
