"""A grid that handles keys; the mouse is handled by `TileMouse`.

A key acts on the selection, or else on the tile under the pointer; without either it does nothing
and reports that. Keys are ignored while an input method composes.
"""

import time
from collections.abc import Iterable
from enum import Enum

from PySide6.QtCore import QEvent, QPoint, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QEnterEvent,
    QFocusEvent,
    QGuiApplication,
    QInputMethodEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
)

from labeler.qt.grid.model import UNMARKED, TileMark, TileModel, TileState
from labeler.qt.grid.mouse import TileMouse
from labeler.qt.grid.tile_view import ZOOM_FACTOR, Select, TileView
from labeler.qt.images import ThumbnailLoader
from labeler.qt.keyboard import ClassKeyReader
from labeler.qt.session_worker import SessionWorker
from labeler.qt.translations import tr
from labeler.qt.widgets import timer
from labeler.sorting.session import MIN_LOOK_SECONDS

Key = Qt.Key

REPEAT_TIMEOUT_MS = 30
"""X11 sends a release and a press for each repeat of a held key. Qt recognizes repeats only if both
are queued, which on a busy machine they are not, so a release counts after this time.
"""
ARROWS = {
    Key.Key_Left: (-1, 0),
    Key.Key_Right: (1, 0),
    Key.Key_Up: (0, -1),
    Key.Key_Down: (0, 1),
}
"""Steps across and down."""

CURSOR_KEYS = (*ARROWS, Key.Key_Home, Key.Key_End)


class GridCommand(Enum):
    """What a grid requests; each view handles the commands that it knows. The values are keys."""

    REJECT = (Key.Key_Delete,)
    LATER = (Key.Key_L,)
    OTHER = (Key.Key_O, Key.Key_Period)
    QUEUE = (Key.Key_Q,)
    SPLIT = (Key.Key_S, Key.Key_Minus)
    ENTER = (Key.Key_Return, Key.Key_Enter)
    NEXT_PAGE = (Key.Key_PageDown,)
    PREVIOUS_PAGE = (Key.Key_PageUp,)
    KEEP_ALL = (Key.Key_K,)
    LIFT = frozenset[Key]()  # Enum of Python 3.11.2 replaces ()
    ENLARGE = (Key.Key_Space,)


COMMAND_BY_KEY = {key: command for command in GridCommand for key in command.value}
COMMAND_LETTERS = {chr(key) for key in COMMAND_BY_KEY if key < 0x7F}


class GestureView(TileView):
    """A grid that emits class keys and commands.

    `keyed` (rows, key, whether it was a sweep) requests a class, `commanded` (`GridCommand`, rows)
    anything else. `LIFT` is a click or Ctrl+Space if `is_page` is set, `SPLIT` also a double
    click on a stack, `ENLARGE` one on a face, or Space. `menu_asked` (rows, screen position) is the
    right button or the menu key. `page_key` (key) is a class key with Shift, for the whole page.
    """

    keyed = Signal(list, str, bool)
    commanded = Signal(object, list)
    page_key = Signal(str)
    menu_asked = Signal(list, QPoint)
    is_page = False
    """Whether tiles fit the window: a click lifts one, and Enter needs a look at them first."""
    labels_page = False
    """Whether Shift and a class key label the whole page."""

    def __init__(
        self, model: TileModel, thumbs: ThumbnailLoader, worker: SessionWorker
    ):
        super().__init__(model, thumbs)
        self.codes = ClassKeyReader(worker, self)
        self.worker = worker
        self.is_composing = self.is_point_held = False
        self.held_key = ""
        self.stroke: dict[int, TileState] = {}
        """The rows of the held key, with their states before."""
        self._released_key = 0
        self._release_timer = timer(self, self.end_stroke, REPEAT_TIMEOUT_MS)
        self.mouse = TileMouse(self)
        model.replaced.connect(self.end_stroke)
        model.replaced.connect(self.mouse.forget)
        self.arranged.connect(self.point_at_mouse)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, True)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, True)

    def list_unmarked(self, rows: Iterable[int] | None = None) -> list[int]:
        """Return the tiles, of these or all, that were neither lifted nor sent."""
        rows = range(self.tiles.rowCount()) if rows is None else rows
        return [row for row in rows if self.tiles.state(row).mark is TileMark.IN]

    def all_seen(self, rows: Iterable[int] | None = None) -> bool:
        """Return whether tiles were painted; if not, scroll to the first that was not."""
        rows = [*range(self.tiles.rowCount())] if rows is None else [*rows]
        unseen = self.unseen(rows)
        if not unseen:
            times = (self.seen_samples[self.tiles.id(row)] for row in rows)
            looked_for = time.monotonic() - max(times, default=0.0)
            is_new = self.is_page and looked_for < MIN_LOOK_SECONDS
            if is_new:
                self.worker.show_message(
                    tr("This has just appeared: look at it, then press the key again")
                )

            return not is_new

        if unseen[0] in self.in_sight():
            text = tr(
                "{count} images are still loading: try again in a moment",
                count=len(unseen),
            )
        else:
            self.mouse.leads = False  # keep the pointer on its tile while tiles move
            self.look_from(unseen[0])
            text = tr(
                "{count} faces were not shown yet: scroll to them, then try again",
                count=len(unseen),
            )

        self.worker.show_message(text)
        return False

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Handle class keys, commands and cursor keys; leave other keys to the window."""
        repeated = event.isAutoRepeat() and event.key() not in CURSOR_KEYS
        if self._release_timer.isActive():
            if event.isAutoRepeat() and event.key() == self._released_key:  # it is held
                self._release_timer.stop()
                return
            self.end_stroke()

        if self.is_composing or repeated or self._handle_grid_shortcut(event):
            return
        has_shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        for_page = has_shift and not self.selected_rows()
        key = self.codes.read(event)
        if key is None:
            return
        if key and (self.labels_page or not for_page):
            self.class_key(key, for_page)
        elif event.key() in CURSOR_KEYS:
            self._move_cursor(Key(event.key()), event.modifiers())
        elif not self._handle_command(event):
            event.ignore()

    def _handle_command(self, event: QKeyEvent) -> bool:
        """Handle Space, Esc and the letters of commands; return whether it was one."""
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if event.key() == Key.Key_Space:
            self._handle_space(
                mark=bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
            )
        elif event.key() in COMMAND_BY_KEY and plain:
            self.commanded.emit(
                COMMAND_BY_KEY[Key(event.key())],
                self.target_rows(),
            )
        elif event.key() == Key.Key_Escape and (
            self.selected_rows() or self.mouse.busy
        ):
            self.mouse.cancel()
            self.selectionModel().clearSelection()
        else:
            return False

        return True

    def _handle_grid_shortcut(self, event: QKeyEvent) -> bool:
        """Handle Ctrl with A, plus or minus; return whether it was one."""
        if event.matches(QKeySequence.StandardKey.SelectAll):
            self.selectAll()
            self.worker.show_message(
                tr("{count} selected", count=len(self.selected_rows()))
            )
        elif event.matches(QKeySequence.StandardKey.ZoomIn):
            self.zoom(ZOOM_FACTOR)
        elif event.matches(QKeySequence.StandardKey.ZoomOut):
            self.zoom(1 / ZOOM_FACTOR)
        else:
            return False

        return True

    def class_key(self, key: str, for_page: bool) -> None:
        """Begin a stroke for the target tiles, or emit `page_key`."""
        if for_page:
            self.page_key.emit(key)
            return
        rows = self.target_rows()
        if not rows:
            self.worker.show_message(
                tr("Point at a face first: {key} did nothing", key=key)
            )
            return

        if not self.all_seen(rows):
            return
        self.held_key = key
        self._extend_stroke(rows)

    def sweep(self, row: int) -> None:
        """Add a tile that the mouse crosses while a class key is held.

        A busy window gets the release of the key and later moves at once. While the release waits
        (see `keyReleaseEvent`), moves are later ones, which are not of the sweep.
        """
        is_held = self.held_key and not self._release_timer.isActive()
        if is_held and row >= 0 and row not in self.stroke:
            rows = self.expand_targets(row)
            if not self.unseen(rows):
                self._extend_stroke(rows)

    def move_over(self, row: int) -> None:
        """Point at the tile under the mouse, and label it while a class key is held."""
        self.point_at_mouse()
        self.sweep(row)

    def click_tile(self, row: int) -> None:
        """Select a tile, or lift or restore it."""
        if self.is_page:
            self.commanded.emit(GridCommand.LIFT, [row])
        else:
            super().click_tile(row)

    def _extend_stroke(self, rows: list[int]) -> None:
        # A tile that was sent there already keeps its state, which says so.
        others = [row for row in rows if self.tiles.state(row).key != self.held_key]
        self.stroke |= {row: self.tiles.states.get(row, UNMARKED) for row in rows}
        self.tiles.set_state(
            others,
            TileState(TileMark.SENT, self.held_key),
        )

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """End a sweep with its key, as one step."""
        if (
            not event.isAutoRepeat()
            and self.held_key
            and self.codes.ends(event, self.held_key)
        ):
            if QGuiApplication.platformName() != "xcb":
                self.end_stroke()
            else:
                # On X11 a held key arrives as pairs of release and press: a press that follows at
                # once takes the release back.
                self._released_key = event.key()
                self._release_timer.start()
        else:
            super().keyReleaseEvent(event)

    def end_stroke(self) -> None:
        """Emit the class of the tiles swept so far."""
        self._release_timer.stop()
        if self.held_key:
            rows = [*self.stroke]
            key = self.held_key
            # The view marks them again if it labels them: a refused label leaves no mark.
            self.tiles.set_states(self.stroke)
            self.held_key = ""
            self.stroke = {}
            # One tile, or the selection, is labelled by a plain press of the key.
            swept = len(rows) > 1 and rows != self.selected_rows()
            self.keyed.emit(rows, key, swept)

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self.end_stroke()
        self.codes.forget()
        self.is_composing = False
        super().focusOutEvent(event)

    def _move_cursor(self, key: Key, modifiers: Qt.KeyboardModifier) -> None:
        # From the tile that is pointed at; but if the mouse moved last, from the last cursor.
        if self.point >= 0 and not (self.mouse.leads and self.currentIndex().isValid()):
            self.selectionModel().setCurrentIndex(
                self.tiles.index(self.point), Select.NoUpdate
            )

        before = self.currentIndex().row()
        self.mouse.leads = False
        is_by_card = bool(modifiers & Qt.KeyboardModifier.ControlModifier)
        index = self.tiles.index(self._next_row(max(before, 0), key, is_by_card))
        if not index.isValid() or index.row() == before == self.point:
            self.worker.show_message(tr("No other face there"))
            return
        if modifiers & Qt.KeyboardModifier.ShiftModifier:
            self.mouse.anchor = before if self.mouse.anchor < 0 else self.mouse.anchor
            self.mouse.extend_to(index.row())
        else:
            self.mouse.anchor = index.row()

        self.selectionModel().setCurrentIndex(index, Select.NoUpdate)
        self.set_point(index.row())
        self.scrollTo(index)

    def _next_row(self, row: int, key: Key, is_by_card: bool) -> int:
        last = self.tiles.rowCount() - 1
        if key not in ARROWS:
            return 0 if key == Key.Key_Home else last
        across, down = ARROWS[key]
        if is_by_card:
            card = self.section_rows(row)
            neighbor = min(card.stop, last) if across + down > 0 else card.start - 1
            return self.section_rows(neighbor).start

        # Without a cursor yet, the first press of an arrow key shows it where it begins.
        if not self.currentIndex().isValid():
            return row
        return self._grid.neighbour(row, across, down)

    def _handle_space(self, *, mark: bool) -> None:
        """Enlarge the tile under the pointer; with Ctrl select it, or on a page lift it.

        What is lifted is not labelled with its page.
        """
        rows = self.selected_rows() or [self.point] * (self.point >= 0)
        if not rows:
            self.worker.show_message(tr("Point at a face first"))
        elif not mark:
            self.commanded.emit(
                GridCommand.ENLARGE, [self.point if self.point >= 0 else rows[0]]
            )
        elif self.is_page:
            self.commanded.emit(GridCommand.LIFT, rows)
        elif self.point >= 0:
            self.select_ranges(
                [(self.point, self.point)],
                Select.Toggle,
            )

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        """Leave keys to the input method while it composes."""
        self.is_composing = bool(event.preeditString())
        event.accept()

    def point_at_mouse(self) -> None:
        """Point at the tile under the mouse, unless a key moved last."""
        if self.mouse.leads and self.mouse.at is not None and not self.is_point_held:
            self.point_at(self.mouse.at)

    def point_at(self, place: QPoint) -> None:
        self.set_point(self.indexAt(place).row())

    def lead_to(self, row: int) -> None:
        """Point at a tile and scroll there, unless the mouse points at one."""
        at = self.mouse.at if self.mouse.leads else None
        if not self.is_point_held and (at is None or not self.indexAt(at).isValid()):
            self.set_point(row)
            if row >= 0:
                self.scrollTo(self.tiles.index(row))

    def hold_point(self, hold: bool) -> None:
        """Keep pointing at the same tile wherever the mouse goes, or follow it again."""
        self.is_point_held = hold
        self.point_at_mouse()

    def enterEvent(self, event: QEnterEvent) -> None:
        """Point at the tile under the mouse when it enters or the view appears."""
        super().enterEvent(event)
        self.mouse.follow(self.viewport().mapFrom(self, event.position().toPoint()))
        self.point_at_mouse()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self.mouse.press(event)
        self.point_at_mouse()

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self.mouse.move(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.mouse.release(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Open a stack, or enlarge a face, which stays as it was before the first click."""
        row = self.indexAt(event.position().toPoint()).row()
        if row < 0 or event.button() != Qt.MouseButton.LeftButton or event.modifiers():
            self.mouse.press(event)
        else:
            # On a class page the first click excluded the face: a second one takes that back.
            if self.is_page:
                self.click_tile(row)
            is_stack = len(self.tiles.ids([row])) > 1
            self.commanded.emit(
                GridCommand.SPLIT if is_stack else GridCommand.ENLARGE, [row]
            )

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Request the menu of the selection, or of the tile under the pointer, if there is one."""
        rows = self.target_rows()
        row = self.point
        point = event.pos()
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            row = self.indexAt(point).row()
            # Otherwise those of the whole card.
            single = [row] if row >= 0 else self.movable_rows(point)
            rows = rows if row in self.selected_rows() else single
        elif rows:
            row = row if row in rows else rows[0]
            point = self.visualRect(self.tiles.index(row)).center()

        rows.sort(key=lambda other: other != row)  # the one pointed at is the first
        if rows:
            self.menu_asked.emit(
                rows,
                self.viewport().mapToGlobal(point),
            )
        else:
            event.ignore()

    def leaveEvent(self, event: QEvent) -> None:
        self.mouse.at = None
        if not self.held_key and not self.is_point_held:
            self.set_point(-1)
        super().leaveEvent(event)
