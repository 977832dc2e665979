"""Reports of wrong answers from the web page: Enter accepts all that are not marked.

A click leaves one out, Del refuses it, a class key says that it is somebody else. What is decided
stays in place until the next page, and nothing comes under the hand meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

import shiboken6
from PySide6.QtCore import QDateTime, QPoint, Qt, QTimer
from PySide6.QtGui import QTextOption
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QPushButton, QWidget

from curation.web_reports import ReportPictures
from gleanset import Dataset
from gleanset.db.sorting import SampleTile
from gleanset.db.visitors import Report
from labeler.qt.detail_panel import SQUARE, SamplePicture
from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.model import UNMARKED, Index, TileMark, TileModel, TileProposal, TileState
from labeler.qt.grid.painter import TileAppearance
from labeler.qt.pictures import BrokenThumbnail, ThumbnailLoader
from labeler.qt.theme import em
from labeler.qt.translations import tr
from labeler.qt.views.base import ViewContext
from labeler.qt.views.enlarged import EnlargedFace
from labeler.qt.views.notices import no_reports
from labeler.qt.views.sending import PAGES, PagedView
from labeler.qt.views.tile_menu import TileMenu
from labeler.qt.widgets import HEAD, below, beside, hint_label, pile, title_label
from labeler.review.reports import (
    START,
    ReportPage,
    ReportPlace,
    accept_page,
    earlier_reports,
    next_reports,
    place_of,
    refuse_page,
    report_tiles,
    shown_text,
    walk_of_report,
)
from labeler.sorting.sample_images import PictureWalk
from labeler.sorting.session import Place, SortingSession, StepKind, StepResult

SMALLEST, USUAL, LARGEST = 9.0, 12.0, 18.0
"""Of a tile, in heights of a line of text: some of these are below the face."""

FEWEST, MOST = 6, 120
"""Reports on a page, however small or large the window is."""


class ReportModel(TileModel):
    """Tiles are reports, by negative numbers; what does not wait any more is shown as done."""

    reports: Mapping[int, Report] = MappingProxyType({})
    rivals: Mapping[int, Sequence[str]] = MappingProxyType({})

    def read(self, session: SortingSession, ids: Sequence[int]) -> dict[int, SampleTile]:
        """Return the details of reports."""
        return report_tiles(session.dataset, ids)

    def show_page(self, page: ReportPage) -> None:
        """Show reports."""
        self.only_waiting = True
        self.reports, self.rivals = page.reports, page.rivals
        proposed = {
            tile: TileProposal(shown_text(report.claim.claimed))
            for tile, report in page.reports.items()
        }
        self.show(list(page.reports), proposed=proposed)

    def report(self, row: int) -> Report:
        """Return the report of a tile."""
        return self.reports[self.id(row)]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return texts for screen readers, and no tool tip: Qt would take a note for markup."""
        return None if role == Qt.ItemDataRole.ToolTipRole else super().data(index, role)

    def spoken(self, row: int) -> str:
        """Return what is claimed and said, and what became of it."""
        words = (super().spoken(row), *words_of(self.report(row))[1:])
        return ", ".join(word for word in words if word)


class ReportGrid(GestureView):
    """A page of reports. A click leaves one out, or takes it in again."""

    @property
    def tiles(self) -> ReportModel:
        """The model."""
        model = super().tiles
        assert isinstance(model, ReportModel)
        return model

    def room(self) -> int:
        """Return how many reports make a page that fills the window."""
        return min(max(self.room_for(em(self, USUAL)), FEWEST), MOST)

    def fit_page(self) -> None:
        """Make tiles as large as can be seen all at once."""
        self.fit(em(self, SMALLEST), em(self, LARGEST))

    def appearance(self, row: int) -> TileAppearance:
        """Return it with what is told of the report below the face."""
        return super().appearance(row)._replace(below=self.words(row))

    def words(self, row: int) -> tuple[str, ...]:
        """Return the lines below a face."""
        claim, answer, note, when = words_of(self.tiles.report(row))
        rivals = self.tiles.rivals.get(self.tiles.id(row), ())
        if rivals:
            note = "⚠ " + " / ".join(map(shown_text, rivals))
        return claim, answer, note, when

    def is_broken(self, row: int) -> bool:
        """Return whether the picture cannot be shown."""
        return isinstance(super().appearance(row).picture, BrokenThumbnail)


class EnlargedReport(EnlargedFace):
    """A report in its whole picture; of a long note the beginning."""

    def walk(self, dataset: Dataset, shown: int) -> PictureWalk:
        """Return the picture of a report."""
        return walk_of_report(dataset, shown)

    def words(self) -> str:
        """Return what is claimed, what the model said, when, and the note."""
        row, tiles = self.row, self._view.tiles
        if row < 0 or not isinstance(tiles, ReportModel):
            return ""
        state = tiles.state(row)
        gone = f"→ {state.target}" if state.kind in (TileMark.SENT, TileMark.DONE) else ""
        claim, answer, note, when = words_of(tiles.report(row))
        return "   ·   ".join(part for part in (gone, claim, answer, when, note) if part)


def words_of(report: Report) -> tuple[str, str, str, str]:
    """Return what is claimed, what the model said and how sure, the note, and when, each a line."""
    claim = report.claim
    if claim.confidence is None:
        text = tr("The model found no face")
    elif claim.answer is None:  # how sure it is of whom it holds the likeliest
        text = tr("Model: unknown, ≤ {percent} %")
    else:
        text = tr("Model: {answer}, {percent} %")
    answer, percent = shown_text(claim.answer or ""), round((claim.confidence or 0) * 100)
    when = QDateTime.fromString(report.at, Qt.DateFormat.ISODate).toLocalTime()
    return (
        f"{shown_text(claim.claimed)}?",
        text.format(answer=answer, percent=percent),
        shown_text(claim.note),
        when.toString("yyyy-MM-dd HH:mm"),
    )


WIDTH = 14
"""Of the panel, in heights of a line of text."""


class ReportPanel(QWidget):
    """Follows the report that is pointed at. Texts of visitors are plain text in a field that
    scrolls: they neither widen nor lengthen the window.
    """

    def __init__(self, thumbs: ThumbnailLoader) -> None:
        super().__init__()
        self._face = SamplePicture(thumbs, SQUARE, self.tr("The face, large"))
        self.words = QPlainTextEdit()
        self.words.setReadOnly(True)
        self.words.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.words.setFrameShape(QFrame.Shape.NoFrame)
        self.words.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.words.viewport().setAutoFillBackground(False)
        self.words.setAccessibleName(self.tr("What is told of it"))
        self.setFixedWidth(em(self, WIDTH))
        pile(self, self._face, self.words, grows=self.words).setContentsMargins(8, 8, 8, 8)
        self.show_report(None, None)

    def show_report(
        self, tile: SampleTile | None, report: Report | None, rivals: Sequence[str] = ()
    ) -> None:
        """Show one; None for nothing."""
        self._face.show_seen(tile.seen if tile else None)
        self._face.setVisible(tile is not None)
        if report is None:
            text = self.tr("Point at a report: here its face is shown large, with the whole note.")
            self.words.setPlainText(text)
            return
        claim, answer, note, when = words_of(report)
        parts = [f"{claim}\n{answer}\n{when}"]
        if rivals:
            others = " / ".join(map(shown_text, rivals))
            parts.append("⚠ " + self.tr("Others say: {names}").format(names=others))
        self.words.setPlainText("\n\n".join(part for part in (*parts, note) if part))


OF_REPORTS = ("accept-reports", "refuse-reports")
"""Operations after which other reports wait than before."""

ELSEWHERE = (GridCommand.LATER, GridCommand.OTHER, GridCommand.QUEUE)


class ReportsView(PagedView):
    """Pages of reports, in the order of the classes that are claimed."""

    models, grids, enlarging = ReportModel, ReportGrid, EnlargedReport
    view: ReportGrid
    model: ReportModel

    def __init__(self, context: ViewContext) -> None:
        self.thumbs = ThumbnailLoader(ReportPictures.at(context.worker.root))
        super().__init__(context._replace(thumbs=self.thumbs))
        self.panel = ReportPanel(self.thumbs)
        self.title = title_label()
        self.hint = hint_label(
            self.tr(
                "Click: leave one out · Del: refuse · class key: somebody else · "
                "Space: whole picture · PgDn: other reports"
            )
        )
        self.accept_button = QPushButton(self.tr("Enter: accept these"))
        self.accept_button.clicked.connect(self.accept_page)
        self._saved = 0
        self._settled: dict[int, TileState] = {}
        self._left_out: set[int] = set()
        self._decided: dict[int, ReportPlace] = {}
        """Where the first report of each step was, by the step."""
        head = beside(self.title, self.accept_button, grows=self.title, margins=HEAD)
        middle = below(head, self.view, self.hint, grows=self.view)
        middle.setSpacing(0)
        whole = beside(middle, self.panel, grows=middle)
        whole.setSpacing(0)
        self.setLayout(whole)
        self.worker.progressed.connect(self._say)
        self.model.dataChanged.connect(self._say)

    @property
    def look_panel(self) -> QWidget:
        """The panel with the note."""
        return self.panel

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

    def _show(self, page: ReportPage) -> None:
        self.forget_sent()
        self._settled.clear()
        self.model.show_page(page)
        self.model.set_state(self._rows_of(self._left_out), TileState(TileMark.LIFTED))
        self.note_shown()
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
        elif self.only_just_shown() or self._asked:
            return
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

        def carry_out(session: SortingSession) -> StepResult:
            if target == Place.REJECT.target:
                return refuse_page(session, tiles)
            return accept_page(session, dict.fromkeys(tiles, target))

        def refused() -> None:
            self._wait_again(tiles)
            otherwise()

        self.decide_rows(
            rows,
            carry_out,
            [target] if target else (),
            lambda step: self._decided.update({step.root: place}),
            refused,
        )

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
