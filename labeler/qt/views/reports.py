"""Reports of wrong answers from the web page: Enter accepts all that are not marked.

A click leaves one out, Del refuses it, a class key says that it is somebody else. What is decided
stays in place until the next page, and nothing comes under the hand meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import shiboken6
from PySide6.QtCore import QPoint, QTimer
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from gleanset import Dataset
from gleanset.db.sorting import SampleTile
from gleanset.errors import GleansetError
from labeler.qt.grid.gesture_view import GridCommand
from labeler.qt.grid.model import UNMARKED, TileMark, TileState
from labeler.qt.grid.thumbnails import ThumbnailLoader
from labeler.qt.views.base import ViewContext
from labeler.qt.views.empty import EmptyNotice
from labeler.qt.views.notices import no_reports
from labeler.qt.views.report_grid import EnlargedReport, ReportGrid, ReportModel
from labeler.qt.views.report_panel import ReportPanel
from labeler.qt.views.sending import ENTER_DEAD, PAGES, SendingView
from labeler.qt.views.tile_menu import TileMenu
from labeler.review.reports import (
    START,
    ReportPage,
    ReportPictures,
    ReportPlace,
    accept_page,
    earlier_reports,
    next_reports,
    place_of,
    refuse_page,
)
from labeler.sorting.session import Place, SortingSession, StepKind, StepResult

REFIT_MS = 120
OF_REPORTS = ("accept-reports", "refuse-reports")
"""Operations after which other reports wait than before."""

ELSEWHERE = (GridCommand.LATER, GridCommand.OTHER, GridCommand.QUEUE)


class ReportsView(SendingView):
    """Pages of reports, in the order of the classes that are claimed."""

    view: ReportGrid
    model: ReportModel
    shows_details = True

    def __init__(self, context: ViewContext) -> None:
        self.thumbs = ThumbnailLoader(ReportPictures.at(context.worker.root))
        super().__init__(context)
        self.view.set_lifts()
        self.panel = ReportPanel(self.thumbs)
        self.empty = EmptyNotice(self.view)
        self.title, self.hint = QLabel(), QLabel()
        self.accept_button = QPushButton(self.tr("Enter: accept these"))
        self.accept_button.clicked.connect(self.accept_page)
        self._shown_at = 0.0
        self._saved = 0
        self._asked = False
        self._settled: dict[int, TileState] = {}
        self._left_out: set[int] = set()
        self._decided: dict[int, ReportPlace] = {}
        """Where the first report of each step was, by the step."""
        self._refit = QTimer(self)
        self._refit.setSingleShot(True)
        self._refit.timeout.connect(self.view.fit_page)
        self._lay_out()
        self.worker.progressed.connect(self._say)
        self.model.dataChanged.connect(self._say)

    def _lay_out(self) -> None:
        head, middle, whole = QHBoxLayout(), QVBoxLayout(), QHBoxLayout(self)
        head.setContentsMargins(6, 4, 6, 4)
        head.addWidget(self.title, 1)
        head.addWidget(self.accept_button)
        self.hint.setText(
            self.tr(
                "Click: leave one out · Del: refuse · class key: somebody else · "
                "Space: whole picture · PgDn: other reports"
            )
        )
        self.hint.setMargin(6)
        self.hint.setWordWrap(True)
        for layout in (middle, whole):
            layout.setContentsMargins(0, 0, 0, 0)
            layout.setSpacing(0)
        middle.addLayout(head)
        middle.addWidget(self.view, 1)
        middle.addWidget(self.hint)
        whole.addLayout(middle, 1)
        whole.addWidget(self.panel)

    def made_model(self) -> ReportModel:
        """Make a model of reports."""
        return ReportModel(self.worker, self)

    def made_view(self) -> ReportGrid:
        """Make a grid of reports, with their own pictures."""
        return ReportGrid(self.model, self.thumbs, self.worker)

    @property
    def look_panel(self) -> QWidget:
        """The panel with the note."""
        return self.panel

    def made_enlarged(self) -> EnlargedReport:
        """Make what shows a report in its whole picture."""
        return EnlargedReport(self.view)

    # -- pages

    def enter(self) -> None:
        """Show the same page as before, anew where something was decided since."""
        self.take_focus()
        saved = self.worker.last.saved if self.worker.last else 0
        if not self.model.rowCount():
            self._show_after(START)
        elif saved != self._saved:
            self._show_after(self._before(0))
        else:
            self.model.refresh()

    def settled(self) -> bool:
        """Return False until the page and its pictures are there."""
        return super().settled() and not self._asked and not self.thumbs.waiting

    def _before(self, row: int) -> ReportPlace:
        """Return the place after which a tile's report is the first."""
        claimed, number = place_of(self.model.report(row))
        return claimed, number - 1

    def _show_after(self, place: ReportPlace) -> None:
        """Show the reports after a place, from the beginning where none is."""
        self._ask(lambda dataset, room: next_reports(dataset, place, room))

    def _ask(self, read: Callable[[Dataset, int], ReportPage], turned: bool = False) -> None:
        """Show what is read, as soon as the window has its size."""
        self._asked = True

        def show(page: ReportPage) -> None:
            self._asked = False
            if turned and list(page.reports) == list(self.model.reports):
                self.worker.say(self.tr("These are all reports that wait"))
            else:
                self._show(page)

        def ask() -> None:
            room = self.view.room()
            self.worker.ask(lambda session: read(session.dataset, room), show, self._failed)

        QTimer.singleShot(0, self, ask)

    def _failed(self, error: GleansetError) -> None:
        self._asked = False
        self.worker.say(str(error), bad=True)

    def _show(self, page: ReportPage) -> None:
        self.forget_sent()
        self._settled.clear()
        self.model.show_page(page)
        self.model.set_state(self._rows_of(self._left_out), TileState(TileMark.LIFTED))
        self._shown_at = time.monotonic()
        self._saved = self.worker.last.saved if self.worker.last else 0
        for part in (self.hint, self.accept_button):
            part.setVisible(bool(page.reports))
        self.empty.show_notice(None if page.reports else no_reports(self.worker.root))
        self.panel.show_report(None, None)
        self._refit.start(0)  # once the hint has its room
        self._say()

    def _say(self) -> None:
        waiting = self.worker.last.reports if self.worker.last else 0
        words = self.tr("Reports that wait: {count}").format(count=f"{waiting:,}")
        if shown := self.model.rowCount():
            going = self.tr("Enter accepts {count} of {shown}")
            words += "   ·   " + going.format(count=len(self._clear()), shown=shown)
        self.title.setText(words)

    def _turn_pages(self, pages: int) -> None:
        if not self.model.rowCount():
            self.worker.say(self.tr("No reports wait"))
            return
        first, last = (place_of(self.model.report(row)) for row in (0, self.model.rowCount() - 1))
        if pages > 0:
            self._ask(lambda dataset, room: next_reports(dataset, last, room), turned=True)
        else:
            self._ask(lambda dataset, room: earlier_reports(dataset, first, room), turned=True)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Fit the tiles to another size of the window, once it stands still."""
        super().resizeEvent(event)
        self._refit.start(REFIT_MS)

    # -- decisions

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        """Carry out Enter, a click, and what all grids know."""
        if command is GridCommand.ENTER:
            self.accept_page()
        elif command is GridCommand.LIFT:
            self._lift(rows)
        elif command in PAGES:
            self._turn_pages(PAGES[command])
        elif command in ELSEWHERE:
            self._say_what_can_be()
        else:
            super().commanded(command, rows)

    def _say_what_can_be(self) -> None:
        self.worker.say(
            self.tr("A report is accepted (Enter, a class key), refused (Del) or left out (click)")
        )

    def _lift(self, rows: list[int]) -> None:
        """Leave reports out of the page, or take them in again."""
        waiting = [row for row in rows if self.model.id(row) not in self._settled]
        for row in waiting:
            lifted = self.model.state(row).kind is TileMark.LIFTED
            self.model.set_state([row], UNMARKED if lifted else TileState(TileMark.LIFTED))
            self._left_out ^= {self.model.id(row)}
        if len(waiting) < len(rows):
            self._say_settled()

    def _say_settled(self) -> None:
        self.worker.say(self.tr("That report is decided already: Ctrl+Z takes it back"))

    def accept_page(self) -> None:
        """Accept all that are not marked, once all of them have been seen, and show the next."""
        if not self.model.rowCount():
            self.worker.say(self.tr("No reports wait"))
        elif time.monotonic() - self._shown_at < ENTER_DEAD or self._asked:
            self.worker.say(self.tr("This page has only just come: look at it, then once more"))
        elif not (rows := self.view.unmarked()):
            self._turn_pages(1)
        elif self.view.all_seen(rows):
            self._accept()

    def _accept(self) -> None:
        if not (clear := self._clear()):
            self.worker.say(
                self.tr(
                    "Where visitors disagree (⚠) press the key of a class; Del refuses a "
                    "report without a picture"
                )
            )
            return
        before, after = (
            self._before(clear[0]),
            place_of(self.model.report(len(self.model.reports) - 1)),
        )
        self._settle(clear, None, lambda: self._show_after(before))
        self._show_after(after)

    def _clear(self) -> list[int]:
        """Return the reports that Enter accepts."""
        return [row for row in self.view.unmarked() if not self._is_doubtful(row)]

    def _is_doubtful(self, row: int) -> bool:
        """Return whether Enter does not decide it: others claim another class of the same face, or
        it cannot be seen.
        """
        return bool(self.model.rivals.get(self.model.id(row))) or self.view.is_broken(row)

    def send_rows(self, rows: Sequence[int], target: str, how: str) -> None:
        """Accept reports as another class, or refuse them: saved at once, and left in place."""
        settled = [row for row in rows if self.model.id(row) in self._settled]
        for row in settled:
            self.model.set_state([row], self._settled[self.model.id(row)])
        rows = [row for row in rows if row not in settled]
        if not rows:
            self._say_settled()
        elif target.startswith(":") and target != Place.REJECT.target:
            self.model.set_state(rows, UNMARKED)
            self._say_what_can_be()
        elif self.view.all_seen(rows):
            self._settle(rows, target)
        else:
            self.model.set_state(rows, UNMARKED)

    def _settle(
        self,
        rows: Sequence[int],
        target: str | None,
        otherwise: Callable[[], object] = lambda: None,
    ) -> None:
        """Accept reports as a class (None: as claimed) or refuse them; `otherwise` is for where
        that cannot be done.
        """
        tiles, place = self._shown_ids(rows), self._before(rows[0])
        for row in rows:
            name = target or self.model.report(row).claim.claimed
            state = TileState(TileMark.SENT, self.key_of(name) or "✓", name.lstrip(":"))
            self.model.set_state([row], state)
            self._settled[self.model.id(row)] = state
        self._left_out.difference_update(tiles)
        self.view.selectionModel().clearSelection()
        undone = self.not_sent(rows)

        def carry_out(session: SortingSession) -> StepResult:
            if target == Place.REJECT.target:
                return refuse_page(session, tiles)
            return accept_page(session, dict.fromkeys(tiles, target))

        def done(step: StepResult) -> None:
            self._decided[step.root] = place
            self._note_sent(step, tiles)

        def failed(error: GleansetError) -> None:
            self._wait_again(tiles)
            undone(error)
            otherwise()

        self.worker.decide(carry_out, done, failed, of=[target] if target else ())

    def _wait_again(self, tiles: Iterable[int]) -> None:
        for tile in tiles:
            self._settled.pop(tile, None)

    def taken_back(self, done: StepResult) -> None:
        """Show reports that wait again, or those after such as are decided again."""
        rows = self._rows_of(self._sent.get(done.root, ()))
        if rows and done.kind is StepKind.UNDO:
            self._wait_again(self._shown_ids(rows))
        elif rows:
            self._settled |= {self.model.id(row): self.model.state(row) for row in rows}
        elif (place := self._decided.get(done.root)) is not None:
            self._show_after(place)
        elif done.operation.first().kind in OF_REPORTS:
            self._show_after(self._before(0) if self.model.rowCount() else START)

    # -- what is pointed at

    def _show_menu(self, rows: list[int], point: QPoint) -> None:
        shown = self._shown_ids(rows)
        menu = TileMenu(self.view, self.worker, [])
        menu.addAction(self.tr("Accept as claimed"), lambda: self._accept_as(shown))
        menu.add_classes(lambda target: self._send_shown(shown, target))
        refuse = self.tr("Refuse") + "\tDel"
        menu.addAction(refuse, lambda: self._send_shown(shown, Place.REJECT.target))
        menu.addSeparator()
        menu.add_looking(lambda: self._enlarge(shown[0]), lambda place: None, lambda a, b: None)
        menu.show_at(point)

    def _accept_as(self, shown: Sequence[int]) -> None:
        """Accept reports as claimed."""
        rows = self._rows_of(set(shown) - set(self._settled))
        if not rows:
            self._say_settled()
        elif self.view.all_seen(rows):
            self._settle(rows, None)

    def show_details(self, row: int, tile: SampleTile) -> None:
        """Show a report in the panel."""
        rivals = self.model.rivals.get(self.model.id(row), ())
        self.panel.show_report(tile, self.model.report(row), rivals)

    def shut_down(self) -> None:
        """End the threads that read pictures."""
        self.thumbs.close()
        if shiboken6.isValid(self.thumbs):
            self.thumbs.deleteLater()  # what is connected to it keeps the window in memory
