"""Faces that nobody has touched come in groups once they are measured, and in better ones once a
network has seen them.

The first groups are made of descriptors, for a network takes some seconds more. Once a person has
done anything, what is seen stays; nor does it change under a mouse that has only just moved over
it.
"""

from __future__ import annotations

import time
from typing import Protocol

from PySide6.QtCore import QCoreApplication, QObject, QTimer

from labeler.qt.intake import Intake
from labeler.qt.session_worker import SessionWorker
from labeler.qt.views.page_grid import PageGrid
from labeler.qt.views.page_header import PageHeader
from labeler.qt.views.sending import ENTER_DEAD
from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.pages import Pages
from labeler.sorting.session import SortingSession

LOOK_MS = 500
AT_REST = 1.5
"""So many seconds a mouse that was over the faces has to stand still."""


class ShowsOverview(Protocol):
    """The view that shows the overview."""

    page: ClassPage | None
    worker: SessionWorker
    view: PageGrid
    header: PageHeader

    def work(self, session: SortingSession) -> Pages:
        """Return the pages of a session."""

    def show_page(self, page: ClassPage | None) -> None:
        """Show a page."""


class UntouchedOverview(QObject):
    """Watches the page of a view, from `shown` until somebody does something."""

    def __init__(self, shown_by: ShowsOverview, intake: Intake, parent: QObject) -> None:
        super().__init__(parent)
        intake.measuring.connect(self._measuring)
        self._by = shown_by
        self._page: ClassPage | None = None
        self._gestures = 0
        self._moved_at = self._made_at = 0.0
        self._asked = False
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)
        shown_by.view.mouse.moved_over.connect(self._moved)

    def shown(self, page: ClassPage | None) -> None:
        """Note that a page has come."""
        self._page = page
        self._gestures = self._by.worker.gestures
        if page is not None and page.kind in (PageKind.GROUPS, PageKind.PLAIN):
            self._timer.start(LOOK_MS)
        else:
            self._timer.stop()

    def _measuring(self, left: int) -> None:
        """Say how many faces are still to be measured; what is left at the end cannot be read."""
        self._by.header.show_left(left)
        if not left:
            self._by.worker.ask(lambda session: self._by.work(session).all_measured())

    @property
    def only_just_made(self) -> bool:
        """Whether other groups have come so lately that a key was meant for those before."""
        return time.monotonic() - self._made_at < ENTER_DEAD

    def _moved(self) -> None:
        self._moved_at = time.monotonic()

    def _touched(self) -> bool:
        return self._by.page is not self._page or self._by.worker.gestures != self._gestures

    def _rests(self) -> bool:
        return time.monotonic() - self._moved_at >= AT_REST

    def _look(self) -> None:
        page, room = self._page, self._by.view.room()
        if self._touched() or page is None:
            self._timer.stop()
        elif self._rests() and not self._asked and self._by.view.isVisible():
            self._asked = True
            self._by.worker.ask(
                lambda session: self._by.work(session).anew(page, room),
                lambda better: self._offer(page, better),
                lambda error: self._offer(page, None),
            )

    def _offer(self, page: ClassPage, better: ClassPage | None) -> None:
        """Show a better page in place of this one, unless a hand was quicker."""
        self._asked = False
        if better is None or page is not self._page or self._touched() or not self._rests():
            return
        self._made_at = time.monotonic()
        self._by.show_page(better)
        if page.kind is PageKind.GROUPS:
            self._by.worker.say(
                QCoreApplication.translate(
                    "UntouchedOverview",
                    "The groups were made anew: a network has seen the faces by now",
                )
            )
