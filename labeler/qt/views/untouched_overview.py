"""Faces that nobody has touched come in groups once they are measured, and in better ones once a
network has seen them.

The first groups are made of descriptors, for a network takes some seconds more. Once a person has
done anything, what is seen stays; nor does it change under a mouse that has only just moved over
it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from PySide6.QtCore import QObject, QTimer, Signal

from labeler.qt.views.page_grid import PageGrid
from labeler.qt.views.sending import ENTER_DEAD
from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.session import SortingSession

LOOK_MS = 500
AT_REST = 1.5
"""So many seconds a mouse that was over the faces has to stand still."""


Anew = Callable[[SortingSession, ClassPage, int], ClassPage | None]
"""What makes a better page of one that is shown, for so many faces."""


class UntouchedOverview(QObject):
    """Watches the page of a grid, from `shown` until somebody does something; `better` (a page)
    comes where there is one by then.
    """

    better = Signal(object)

    def __init__(self, grid: PageGrid, anew: Anew) -> None:
        super().__init__(grid)
        self._grid, self._worker, self._anew = grid, grid.worker, anew
        self._page: ClassPage | None = None
        self._touched = False
        self._moved_at = self._made_at = 0.0
        self._asked = False
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        grid.mouse.moved_over.connect(self._moved)

    def shown(self, page: ClassPage | None) -> None:
        """Note that a page has come."""
        self._page = page
        self._touched = False
        if page is not None and page.kind in (PageKind.GROUPS, PageKind.PLAIN):
            self._timer.start(LOOK_MS)
        else:
            self._timer.stop()

    @property
    def only_just_made(self) -> bool:
        """Whether other groups have come so lately that a key was meant for those before."""
        return time.monotonic() - self._made_at < ENTER_DEAD

    def _moved(self) -> None:
        self._moved_at = time.monotonic()

    def touch(self) -> None:
        """Note that a person did something: the page stays as it is."""
        self._touched = True

    def _is_left(self) -> bool:
        return self._touched or self._grid.page is not self._page

    def _rests(self) -> bool:
        return time.monotonic() - self._moved_at >= AT_REST

    def _look(self) -> None:
        page, room = self._page, self._grid.room()
        if self._is_left() or page is None:
            self._timer.stop()
        elif self._rests() and not self._asked and self._grid.isVisible():
            self._asked = True
            self._worker.ask(
                lambda session: self._anew(session, page, room),
                lambda better: self._offer(page, better),
                lambda error: self._offer(page, None),
            )

    def _offer(self, page: ClassPage, better: ClassPage | None) -> None:
        """Show a better page in place of this one, unless a hand was quicker."""
        self._asked = False
        if better is None or page is not self._page or self._is_left() or not self._rests():
            return
        self._made_at = time.monotonic()
        self.better.emit(better)
        if page.kind is PageKind.GROUPS:
            self._worker.say(
                self.tr("The groups were made anew: a network has seen the faces by now")
            )
