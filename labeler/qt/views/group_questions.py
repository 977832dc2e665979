"""What a person says of groups besides names: whether two are one, and that one is two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Protocol

from PySide6.QtCore import QCoreApplication

from gleanset.errors import GleansetError
from labeler.qt.grid.model import TileMark, TileModel
from labeler.qt.session_worker import SessionWorker
from labeler.qt.views.page_grid import PageGrid
from labeler.sorting.groups import moved
from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.pages import Pages
from labeler.sorting.session import WITH_PAGE, SortingSession, StepResult


class PagedView(Protocol):
    """The view that shows the pages these questions are about."""

    page: ClassPage | None
    worker: SessionWorker
    model: TileModel
    view: PageGrid

    def work(self, session: SortingSession) -> Pages:
        """Return the pages of a session."""

    def show_page(self, page: ClassPage | None) -> None:
        """Show a page."""

    def send_rows(self, rows: Sequence[int], target: str, how: str) -> None:
        """Send tiles."""

    def await_page(self, waits: bool) -> None:
        """Note that something else is asked for, or that it will not come."""

    def failed(self, error: GleansetError) -> None:
        """Say why nothing else comes."""

    def next_page(self) -> None:
        """Show another page."""

    def marked(self, *marks: TileMark) -> list[int]:
        """Return the tiles that are marked so."""

    def keeping(self, page: ClassPage) -> Callable[[StepResult], None]:
        """Return what to do once a page is filed."""


class GroupQuestions:
    """Same or different, and apart: asked and answered in a view of pages."""

    def __init__(self, view: PagedView) -> None:
        self._view = view

    def turn(self) -> None:
        """Ask for =; where a question is shown, leave it for the pages, as Esc does."""
        page = self._view.page
        if page is not None and page.kind is PageKind.PAIR:
            self._view.next_page()
        else:
            self.ask()

    def ask(self) -> None:
        """Show a group beside the class or the group that it may be the same as."""
        view = self._view

        def show(page: ClassPage | None) -> None:
            if page is not None:
                view.show_page(page)
            elif view.page is None or view.page.kind is PageKind.PAIR:
                view.next_page()
            else:
                view.await_page(False)
                view.worker.say(
                    QCoreApplication.translate("GroupQuestions", "There is no pair to ask about")
                )

        view.await_page(True)
        view.worker.ask(lambda session: view.work(session).pair(), show, view.failed)

    def answer(self, same: bool) -> None:
        """Keep whether the two sides are the same, and show the next pair."""
        view, page = self._view, self._view.page
        if page is None or page.kind is not PageKind.PAIR:
            return
        lifted = view.marked(TileMark.LIFTED, TileMark.SENT)
        view.page = None
        view.worker.decide(
            lambda session: view.work(session).ties.answer(page, lifted, same=same),
            view.keeping(page),
        )
        self.ask()

    def put_together(self, rows: list[int], onto: int) -> None:
        """Join what was dropped to the group of another tile: under its name where it has one."""
        view, page = self._view, self._view.page
        if page is None or page.kind is not PageKind.GROUPS:
            return
        if name := view.view.name_of(onto):
            view.send_rows(rows, name, WITH_PAGE)
            return
        both = {*view.view.unmarked(view.view.section_rows(onto)), *rows}
        if not view.view.all_seen(sorted(both)):
            return
        done = {
            view.model.id(row): state for row, state in view.model.states.items() if row not in rows
        }
        keep = view.keeping(page)

        def show(bound: StepResult) -> None:
            keep(bound)
            if view.page is page:
                view.show_page(moved(page, rows, onto))
                for one, state in done.items():
                    view.model.set_state([view.model.row_of(one)], state)

        view.worker.decide(lambda session: view.work(session).ties.put_together(page, both), show)

    def divide(self, rows: list[int]) -> None:
        """Take the group that is pointed at apart; what was done with its faces stays."""
        view, page = self._view, self._view.page
        if page is None or not rows:
            view.worker.say(QCoreApplication.translate("GroupQuestions", "Point at a group first"))
            return
        ends = accumulate(group.size for group in page.groups)
        number = next(n for n, end in enumerate(ends) if rows[0] < end)
        done = {view.model.id(row): state for row, state in view.model.states.items()}

        def show(parted: ClassPage) -> None:
            view.await_page(False)
            if view.page is page:
                view.show_page(parted)
                for one, state in done.items():
                    view.model.set_state([view.model.row_of(one)], state)

        view.await_page(True)
        view.worker.ask(lambda session: view.work(session).divide(page, number), show, view.failed)
