"""What views of faces share: keys, drops and commands that send tiles somewhere; their pages."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterable, Sequence

from PySide6.QtCore import QEvent, QObject, QPoint

from gleanset.db.sorting import SampleTile
from gleanset.errors import GleansetError
from gleanset.operations import Operation
from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.model import UNMARKED, TileMark, TileModel, TileState
from labeler.qt.views.base import LabelerView, ViewContext
from labeler.qt.views.empty import EmptyNotice
from labeler.qt.views.enlarged import EnlargedFace
from labeler.qt.views.tile_menu import TileMenu
from labeler.qt.widgets import timer
from labeler.sorting.session import BY_HAND, BY_SWEEP, Place, SortingSession, StepKind, StepResult

PLACES = {
    GridCommand.REJECT: Place.REJECT,
    GridCommand.LATER: Place.LATER,
    GridCommand.OTHER: Place.OTHER,
    GridCommand.QUEUE: Place.QUEUE,
}
OF_CLASSES = ("rename-class", "merge-class", "delete-class")
"""Operations that change the labels that faces are shown with, wherever they are."""

ENTER_DEAD = 0.3
"""Seconds for which Enter does nothing after a page has appeared by itself."""

REFIT_MS = 120
"""So long the size of a window stands still before its page is fitted to it."""

PAGES = {GridCommand.NEXT_PAGE: 1, GridCommand.PREVIOUS_PAGE: -1}
UNDECIDED = (Place.LATER.target, Place.QUEUE.target)
"""Places that decide nothing: faces may go there unseen."""

LETTERS = {Place.REJECT: "⌫", Place.LATER: "L", Place.OTHER: "O", Place.QUEUE: "Q"}


class SendingView(LabelerView):
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
        self.enlarged = EnlargedFace(self.view)
        context.worker.outside.connect(self.model.refresh)
        context.worker.stepped.connect(self._stepped)

    def _keyed(self, rows: list[int], key: str, swept: bool) -> None:
        target = self.worker.class_of(key)
        if target is None:
            self.model.set_state(rows, UNMARKED)
            self.worker.say(self.tr("No class has the key {key}").format(key=key.upper()))
            return
        self.send_rows(rows, target, BY_SWEEP if swept else BY_HAND)

    def key_of(self, target: str) -> str:
        """Return the letter of a class or a place; empty for none."""
        if target.startswith(":"):
            return LETTERS[Place(target[1:])]
        return self.worker.keys.get(target, "")

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        """Carry out a command of the grid; subclasses know more of them."""
        if command is GridCommand.ENLARGE:
            self.enlarged.show_row(rows[0])
        elif command in PLACES:
            if rows:
                self.send_rows(rows, PLACES[command].target, BY_HAND)
            else:
                self.worker.say(self.tr("Point at a face first"))
        elif command in PAGES:
            self._turn_pages(PAGES[command])
        elif command is GridCommand.NEW:
            self.acts.name_class()
        else:
            self._say_where(command)

    def _turn_pages(self, pages: int) -> None:
        """Scroll by what is seen at once."""
        bar = self.view.verticalScrollBar()
        before = bar.value()
        bar.setValue(before + pages * bar.pageStep())
        if bar.value() == before:
            ends = (self.tr("This is the beginning"), self.tr("This is the end"))
            self.worker.say(ends[pages > 0])

    def _say_where(self, command: GridCommand) -> None:
        """Say where a key means something that does nothing here."""
        where = {
            GridCommand.SPLIT: self.tr("S opens a stack on class pages (G)"),
            GridCommand.BLINK: self.tr("B shows two copies in turn, in Duplicates (F3)"),
            GridCommand.KEEP_ALL: self.tr("K is for Duplicates (F3) and Review (F5)"),
        }
        if command in where:
            self.worker.say(where[command])

    def send(self, target: str) -> bool:
        """Send what is selected or pointed at."""
        rows = self.view.target_rows()
        if rows:
            self.send_rows(rows, target, BY_HAND)
        return bool(rows)

    def send_ids(self, ids: Sequence[int], target: str) -> None:
        """Send what was dropped on the class list."""
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
            self.worker.say(str(error), bad=True)

        self.worker.decide(decision, done, failed, of)

    def _shown_ids(self, rows: Iterable[int]) -> list[int]:
        """Return the samples that tiles are known by, wherever those stand later."""
        return [self.model.id(row) for row in rows]

    def _show_menu(self, rows: list[int], point: QPoint) -> None:
        """Show what can be done with faces; the first row is the one that is pointed at."""
        shown = self._shown_ids(rows)
        tiles = [tile for row in rows if (tile := self.model.tile(row)) is not None]
        menu = TileMenu(self.view, self.worker, tiles)
        if self.sends:
            menu.add_sending(lambda target: self._send_shown(shown, target))
        menu.add_looking(
            lambda: self._enlarge(shown[0]), self.acts.show_place, self.acts.show_moment
        )
        menu.show_at(point)

    def _send_shown(self, shown: list[int], target: str) -> None:
        if rows := self._rows_of(shown):
            self.send_rows(rows, target, BY_HAND)

    def _enlarge(self, sample: int) -> None:
        if (row := self.model.row_of(sample)) >= 0:
            self.enlarged.show_row(row)

    def _rows_of(self, shown: Iterable[int]) -> list[int]:
        return sorted(row for sample in shown if (row := self.model.row_of(sample)) >= 0)

    def _stepped(self, done: StepResult) -> None:
        """An undo or a redo of something that is still on the screen shows there."""
        operation = done.operation.first()
        if operation.kind in OF_CLASSES:
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
        self.taken_back(done)

    def class_changed(self, operation: Operation) -> None:
        """React to a class that was renamed, merged or deleted, or to an undo of that."""

    def names_now(self, operation: Operation) -> dict[str, str]:
        """Return the names that are gone with such an operation, and how these classes are called
        now.
        """
        keys = self.worker.keys
        arguments = (operation.arguments.get(name) for name in ("new", "old", "into"))
        names = [str(name) for name in arguments if name is not None]
        now = next((name for name in names if name in keys), None)
        return {} if now is None else {name: now for name in names if name not in keys}

    def taken_back(self, done: StepResult) -> None:
        """React to a step that was undone or redone; subclasses may turn to its page."""

    def forget_sent(self) -> None:
        """Forget what was sent: something else is shown now."""
        self._sent.clear()

    def flush(self) -> None:
        """Count a class key that is still held."""
        self.view.end_stroke()

    def undo(self) -> bool:
        """Bring back a selection that a slip has cost."""
        return self.view.mouse.restore_lost()

    def hold_targets(self, hold: bool) -> None:
        """Keep pointing at the same face while a name is typed for it."""
        self.view.hold_point(hold)

    def looks(self) -> Hashable:
        """Return what is pointed at, chosen and seen, and what is enlarged."""
        return self.view.looks(), self.enlarged.looks()

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
        """Show a tile in the detail panel."""
        self.context.details.point(tile)


class PagedView(SendingView):
    """Pages of as many tiles as the window has room for, which Enter files: not before they could
    be looked at. A click lifts a tile rather than selects it.
    """

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.view.set_lifts()
        self._shown_at, self._asked = 0.0, False
        self._refit = timer(self, self.fit_page, REFIT_MS)
        self.view.viewport().installEventFilter(self)

    def settled(self) -> bool:
        """Return False until a page that was asked for is there, and fits the window."""
        return super().settled() and not self._refit.isActive() and not self._asked

    def _failed(self, error: GleansetError) -> None:
        """Say why no other page comes."""
        self._asked = False
        self.worker.say(str(error), bad=True)

    def fit_page(self) -> None:
        """Make the tiles of the page as large as there is room."""
        self.view.fit_page()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Fit the page where it has more or less room, once that stays."""
        if watched is self.view.viewport() and event.type() == QEvent.Type.Resize:
            self._refit.start(REFIT_MS)
        return super().eventFilter(watched, event)

    def note_shown(self) -> None:
        """Note that another page has come."""
        self._shown_at = time.monotonic()

    def only_just_shown(self) -> bool:
        """Return whether nobody can have looked at the page yet, and say so."""
        just = time.monotonic() - self._shown_at < ENTER_DEAD
        if just:
            self.worker.say(self.tr("This page has only just come: look at it, then once more"))
        return just
