"""What views of faces share: keys, drops, menus and commands that send tiles; their pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, QUrl
from PySide6.QtGui import QDesktopServices, QGuiApplication
from PySide6.QtWidgets import QLabel, QMenu, QWidget, QWidgetAction

from gleanset.db.sorting import SampleTile
from gleanset.errors import GleansetError
from gleanset.operations import Operation
from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.model import UNMARKED, TileMark, TileModel, TileState
from labeler.qt.session_worker import SessionWorker
from labeler.qt.views.base import LabelerView, ViewContext
from labeler.qt.views.notices import DetectionState, EmptyNotice, no_faces
from labeler.qt.views.overlays import EnlargedFaceOverlay
from labeler.qt.widgets import timer
from labeler.sorting.sample_images import originals_at_hand
from labeler.sorting.session import BY_HAND, BY_SWEEP, Place, SortingSession, StepKind, StepResult

if TYPE_CHECKING:
    from labeler.sorting.proposals import ProposalReasons


class FaceMenu(QMenu):
    """The menu of some faces; `tiles` are those that are known, the first is the one pointed at."""

    def __init__(self, parent: QWidget, worker: SessionWorker, tiles: list[SampleTile]) -> None:
        super().__init__(parent)
        self._worker, self._tiles = worker, tiles
        self._why: QMenu | None = None

    def show_at(self, point: QPoint) -> None:
        self.aboutToHide.connect(self.deleteLater)
        self.popup(point)

    def add_sending(self, send: Callable[[str], object]) -> None:
        keys = self._worker.keys
        classes = self.addMenu(self.tr("Label as"))
        classes.setEnabled(bool(keys))
        for name, key in keys.items():
            text = f"{name}\t{key.upper()}".replace("&", "&&")
            classes.addAction(text, partial(send, name))
        places = (
            (self.tr("Skip"), "L", Place.LATER),
            (self.tr("Unlisted person"), "O", Place.OTHER),
            (self.tr("Not a face"), "Del", Place.REJECT),
            (self.tr("Back to queue"), "Q", Place.QUEUE),
        )
        for text, key, place in places:
            self.addAction(f"{text}\t{key}", partial(send, place.target))
        self.addSeparator()

    def add_looking(
        self,
        enlarge: Callable[[], object],
        show_class: Callable[[str], object],
        show_moment: Callable[[int, str], object],
    ) -> None:
        self.addAction(self.tr("Enlarge") + "\t" + self.tr("Space"), enlarge)
        if not self._tiles:
            return
        first = self._tiles[0]
        self.addAction(self.tr("Open full image"), lambda: self._files(open_file))
        if first.label:
            text = self.tr("Show class {label}").format(label=first.label).replace("&", "&&")
            self.addAction(text, lambda: show_class(str(first.label)))
        title = first.title or first.key[:8]
        self.addAction(self.tr("Show its group"), lambda: show_moment(first.id, title))
        self._why = self.addMenu(self.tr("Why this suggestion?"))
        self._why.aboutToShow.connect(self._ask_why)
        self._line("…")
        self.addSeparator()
        names, copy = (
            [tile.title or tile.key for tile in self._tiles],
            partial(copy_text, self._worker),
        )
        self.addAction(self.tr("Copy name"), lambda: copy(names))
        self.addAction(self.tr("Copy path"), lambda: self._files(copy))

    # -- files

    def _files(self, then: Callable[[list[str]], None]) -> None:
        seen = [tile.seen for tile in self._tiles]
        self._worker.ask(lambda session: originals_at_hand(session.dataset, seen), then)

    # -- why

    def _ask_why(self) -> None:
        sample = self._tiles[0].id
        from labeler.sorting.proposals import reasons_for

        self._worker.ask(lambda session: reasons_for(session, sample), self._tell_why)

    def _tell_why(self, reasons: ProposalReasons) -> None:
        if self._why is None:
            return
        self._why.clear()
        for name, sure in reasons.presorted:
            text = self.tr("Model: {label}, {percent} %")
            self._line(text.format(label=name, percent=round(sure * 100)))
        if reasons.hint:
            self._line(self.tr("Weak label: {hint}").format(hint=reasons.hint))
        for name, alike in reasons.alike:
            text = self.tr("Similar to a face of {label} ({similarity})")
            self._line(text.format(label=name, similarity=f"{alike:.2f}"))
        for name in reasons.refused:
            self._line(self.tr("Marked as not {label}").format(label=name))
        if self._why.isEmpty():
            self._line(self.tr("No information yet"))

    def _line(self, text: str) -> None:
        """Add a line that is read, and not chosen: not a greyed entry either."""
        assert self._why is not None
        words, line = QLabel(text), QWidgetAction(self._why)
        words.setMargin(6)
        words.setTextFormat(Qt.TextFormat.PlainText)
        line.setText(text)
        line.setDefaultWidget(words)
        self._why.addAction(line)


def open_file(paths: list[str]) -> None:
    """Open the first of some files with the desktop's own program."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(paths[0]))


def copy_text(worker: SessionWorker, lines: list[str]) -> None:
    """Put lines on the clipboard, and say so."""
    QGuiApplication.clipboard().setText("\n".join(lines))
    worker.show_message(lines[0] if len(lines) == 1 else f"{lines[0]} … ({len(lines):,})")


PLACES = {
    GridCommand.REJECT: Place.REJECT,
    GridCommand.LATER: Place.LATER,
    GridCommand.OTHER: Place.OTHER,
    GridCommand.QUEUE: Place.QUEUE,
}
CLASS_OPERATIONS = ("rename-class", "merge-class", "delete-class")
ENTER_DEAD_SECONDS = 0.3
REFIT_AFTER_MS = 120
PAGES = {GridCommand.NEXT_PAGE: 1, GridCommand.PREVIOUS_PAGE: -1}
UNDECIDED = (Place.LATER.target, Place.QUEUE.target)
"""Places that decide nothing: faces may go there unseen."""

LETTERS = {Place.REJECT: "⌫", Place.LATER: "L", Place.OTHER: "O", Place.QUEUE: "Q"}


class LabelingView(LabelerView):
    """Point and press, drag, sweep: each is saved at once, and the tile stays where it was."""

    grids: type[GestureView] = GestureView
    """What shows the tiles."""

    sends = True
    """Whether faces can be sent to classes here."""

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.model = TileModel(self.worker, self)
        self.view = self.grids(self.model, context.thumbs, self.worker)
        self.home = self.view
        self.empty = EmptyNotice(self.view)
        self._sent: dict[int, list[int]] = {}
        self.view.keyed.connect(self._keyed)
        self.view.commanded.connect(self.commanded)
        self.view.pointed.connect(self._pointed)
        self._untold = False
        self.model.dataChanged.connect(self._details_came)
        self.model.sections_changed.connect(self._others_shown)
        self.view.menu_asked.connect(self._show_menu)
        self.enlarged = EnlargedFaceOverlay(self.view)
        context.worker.changed_outside.connect(self.model.refresh)
        context.worker.stepped.connect(self._stepped)

    def _keyed(self, rows: list[int], key: str, swept: bool) -> None:
        target = self.worker.class_for_key(key)
        if target is None:
            self.model.set_state(rows, UNMARKED)
            self.worker.show_message(self.tr("No class has the key {key}").format(key=key.upper()))
            return
        self.send_rows(rows, target, BY_SWEEP if swept else BY_HAND)

    def key_of(self, target: str) -> str:
        if target.startswith(":"):
            return LETTERS[Place(target[1:])]
        return self.worker.keys.get(target, "")

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        if command is GridCommand.ENLARGE:
            self.enlarged.show_row(rows[0])
        elif command in PLACES:
            if rows:
                self.send_rows(rows, PLACES[command].target, BY_HAND)
            else:
                self.worker.show_message(self.tr("Point at a face first"))
        elif command in PAGES:
            self._turn_pages(PAGES[command])
        elif command is GridCommand.NEW:
            self.window_actions.name_class()
        else:
            self._say_where(command)

    def _turn_pages(self, pages: int) -> None:
        bar = self.view.verticalScrollBar()
        before = bar.value()
        bar.setValue(before + pages * bar.pageStep())
        if bar.value() == before:
            ends = (self.tr("Already at the top"), self.tr("Already at the end"))
            self.worker.show_message(ends[pages > 0])

    def _say_where(self, command: GridCommand) -> None:
        where = {
            GridCommand.SPLIT: self.tr("S unstacks faces on class pages (G)"),
            GridCommand.BLINK: self.tr("B blinks between two images in Duplicates (F3)"),
            GridCommand.KEEP_ALL: self.tr("K works in Duplicates (F3) and Review (F5)"),
        }
        if command in where:
            self.worker.show_message(where[command])

    def send(self, target: str) -> bool:
        rows = self.view.target_rows()
        if rows:
            self.send_rows(rows, target, BY_HAND)
        return bool(rows)

    def send_ids(self, ids: Sequence[int], target: str) -> None:
        """Send samples, wherever their tiles are by now."""
        if rows := self._rows_of(set(ids)):
            self.send_rows(rows, target, BY_HAND)

    def send_rows(self, rows: Sequence[int], target: str, how: str) -> None:
        """Send tiles that were seen: marked now, saved at once, moved only at the next page."""
        if target in UNDECIDED or self.view.all_seen(rows):
            ids = self.model.ids(rows)
            state = TileState(TileMark.SENT, self.key_of(target), target.lstrip(":"))
            self.model.set_state(rows, state)
            self.decide_rows(rows, lambda session: session.to(ids, target, how), [target])

    def decide_rows(
        self,
        rows: Iterable[int],
        decision: Callable[[SortingSession], StepResult],
        of: Sequence[str] = (),
    ) -> None:
        """Carry out what was decided of tiles that are marked so: an undo puts them back, and where
        it cannot be saved they stand as before.
        """
        shown = self._shown_ids(rows)
        self.view.selectionModel().clearSelection()

        def done(step: StepResult) -> None:
            self._sent[step.root] = shown

        def failed(error: GleansetError) -> None:
            self.model.set_state(self._rows_of(shown), UNMARKED)
            self.worker.show_message(str(error), bad=True)

        self.worker.decide(decision, done, failed, of)

    def _shown_ids(self, rows: Iterable[int]) -> list[int]:
        return [self.model.id(row) for row in rows]

    def _show_menu(self, rows: list[int], point: QPoint) -> None:
        shown = self._shown_ids(rows)
        tiles = [tile for row in rows if (tile := self.model.tile(row)) is not None]
        menu = FaceMenu(self.view, self.worker, tiles)
        if self.sends:
            menu.add_sending(partial(self.send_ids, shown))
        enlarge = partial(self._enlarge, shown[0])
        menu.add_looking(enlarge, self.window_actions.show_place, self.window_actions.show_group)
        menu.show_at(point)

    def _enlarge(self, sample: int) -> None:
        if (row := self.model.row_of(sample)) >= 0:
            self.enlarged.show_row(row)

    def _rows_of(self, shown: Iterable[int]) -> list[int]:
        return sorted(row for sample in shown if (row := self.model.row_of(sample)) >= 0)

    def _stepped(self, done: StepResult) -> None:
        """An undo or a redo of something that is still on the screen shows there."""
        operation = done.operation.first()
        if operation.kind in CLASS_OPERATIONS:
            self.model.refresh()
            self.class_changed(operation)
        if done.kind is StepKind.STEP or not self.isVisible():
            return
        if rows := self._rows_of(self._sent.get(done.root, ())):
            self.model.set_state(
                rows, UNMARKED if done.kind is StepKind.UNDO else TileState(TileMark.SENT, "→")
            )
            self.view.scrollTo(self.model.index(rows[0]))
        self.model.refresh()
        self.step_reverted(done)

    def class_changed(self, operation: Operation) -> None:
        """React to a class that was renamed, merged or deleted, or to an undo of that."""

    def show_no_faces(self) -> None:
        """Say what to do next in a dataset without samples."""

        def explain(search: DetectionState) -> None:
            if not self.model.rowCount():
                self.empty.show_notice(no_faces(self, search))

        self.worker.ask(lambda session: DetectionState.of(session.dataset), explain)

    def current_names(self, operation: Operation) -> dict[str, str]:
        """Return the names that are gone with such an operation, and how these classes are called
        now.
        """
        keys = self.worker.keys
        arguments = (operation.arguments.get(name) for name in ("new", "old", "into"))
        names = [str(name) for name in arguments if name is not None]
        now = next((name for name in names if name in keys), None)
        return {} if now is None else {name: now for name in names if name not in keys}

    def step_reverted(self, done: StepResult) -> None:
        """React to a step that was undone or redone; subclasses may turn to its page."""

    def clear_sent(self) -> None:
        self._sent.clear()

    def flush(self) -> None:
        self.view.end_stroke()

    def undo(self) -> bool:
        """Bring back a selection that a slip has cost."""
        return self.view.mouse.restore_lost()

    def freeze_targets(self, hold: bool) -> None:
        self.view.hold_point(hold)

    def key_state(self) -> Hashable:
        return self.view.key_state(), self.enlarged.key_state()

    def _pointed(self, row: int) -> None:
        """Show in the panel what is pointed at, once it is known; what the mouse left stays."""
        tile = self.model.tile(row) if row >= 0 else None
        self._untold = row >= 0 and tile is None
        if tile is not None and self.isVisible():
            self.show_details(row, tile)
        elif self._untold:
            self._show_nothing()

    def _details_came(self) -> None:
        if self._untold:
            self._pointed(self.view.point)

    def _others_shown(self) -> None:
        """Leave no face of before in the panel where nothing is pointed at any more."""
        if self.view.point < 0:
            self._show_nothing()

    def _show_nothing(self) -> None:
        if self.isVisible():
            self.context.details.point(None)

    def show_details(self, row: int, tile: SampleTile) -> None:
        self.context.details.point(tile)


class PagedView(LabelingView):
    """Pages of as many tiles as the window has room for, which Enter files: not before they could
    be looked at. A click lifts a tile rather than selects it.
    """

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.view.mouse.lifts = True
        self._shown_at, self._asked = 0.0, False
        self._refit = timer(self, self.fit_page, REFIT_AFTER_MS)
        self.view.viewport().installEventFilter(self)

    def is_settled(self) -> bool:
        return super().is_settled() and not self._refit.isActive() and not self._asked

    def _failed(self, error: GleansetError) -> None:
        self._asked = False
        self.worker.show_message(str(error), bad=True)

    def fit_page(self) -> None:
        self.view.fit_page()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Fit the page where it has more or less room, once that stays."""
        if watched is self.view.viewport() and event.type() == QEvent.Type.Resize:
            self._refit.start(REFIT_AFTER_MS)
        return super().eventFilter(watched, event)

    def record_shown(self) -> None:
        self._shown_at = time.monotonic()

    def is_too_recent(self) -> bool:
        """Return whether nobody can have looked at the page yet, and say so."""
        just = time.monotonic() - self._shown_at < ENTER_DEAD_SECONDS
        if just:
            self.worker.show_message(
                self.tr("This page has just appeared: check it, then press Enter again")
            )
        return just
