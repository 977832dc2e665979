"""A grid that takes gestures: what keys do on it; what the mouse does is in `TileMouse`.

A key acts on the selection, else on the tile that is pointed at; with neither it does nothing and
says so. Keys never act while an input method is composing.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from PySide6.QtCore import QEvent, QItemSelectionModel, QPoint, Qt, QTimer, Signal
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
from PySide6.QtWidgets import QAbstractItemView

from labeler.qt.classes.keys import ClassKeyReader
from labeler.qt.grid.model import TileMark, TileModel, TileState
from labeler.qt.grid.mouse import TileDrag, TileMouse
from labeler.qt.grid.tile_view import ZOOM, TileView
from labeler.qt.images import ThumbnailLoader
from labeler.qt.session_worker import SessionWorker
from labeler.qt.translations import counted

Select = QItemSelectionModel.SelectionFlag
Key = Qt.Key
Cursor = QAbstractItemView.CursorAction

REPEAT_MS = 30
"""Milliseconds in which X11's release and press of a key that is held come one after the other. Qt
takes them for what they are only where both wait already, which on a busy machine they do not."""
MOVES = {
    Key.Key_Left: Cursor.MoveLeft,
    Key.Key_Right: Cursor.MoveRight,
    Key.Key_Up: Cursor.MoveUp,
    Key.Key_Down: Cursor.MoveDown,
    Key.Key_Home: Cursor.MoveHome,
    Key.Key_End: Cursor.MoveEnd,
}


class GridCommand(StrEnum):
    """What a key or a click on a grid asks for; each view carries out those that it knows."""

    REJECT = "reject"
    LATER = "later"
    OTHER = "other"
    QUEUE = "queue"
    SPLIT = "split"
    ENTER = "enter"
    NEXT_PAGE = "next_page"
    PREVIOUS_PAGE = "previous_page"
    BLINK = "blink"
    KEEP_ALL = "keep_all"
    NEW = "new"
    LIFT = "lift"
    OPEN = "open"
    ENLARGE = "enlarge"


COMMANDS = {
    Key.Key_Delete: GridCommand.REJECT,
    Key.Key_Backspace: GridCommand.REJECT,
    Key.Key_L: GridCommand.LATER,
    Key.Key_O: GridCommand.OTHER,
    Key.Key_Q: GridCommand.QUEUE,
    Key.Key_S: GridCommand.SPLIT,
    Key.Key_Return: GridCommand.ENTER,
    Key.Key_Enter: GridCommand.ENTER,
    Key.Key_PageDown: GridCommand.NEXT_PAGE,
    Key.Key_PageUp: GridCommand.PREVIOUS_PAGE,
    Key.Key_B: GridCommand.BLINK,
    Key.Key_K: GridCommand.KEEP_ALL,
    Key.Key_Minus: GridCommand.SPLIT,
    Key.Key_Period: GridCommand.OTHER,
    Key.Key_N: GridCommand.NEW,
}


class GestureView(TileView):
    """`keyed` (rows, key, by a sweep) asks for a class, `commanded` (`GridCommand`, rows) for more.

    `LIFT` is a click or Ctrl+Space where `mouse.lifts`, `OPEN` a double click on a stack, `ENLARGE`
    one on a face, and Space. `menu_asked` (rows, place on the screen) is the right button or the
    menu key.
    `page_key` (key) is a class key with Shift: it means the whole page.
    """

    smallest, largest = 52, 480
    """Of a tile of a page, in logical pixels."""

    keyed = Signal(list, str, bool)
    commanded = Signal(object, list)
    page_key = Signal(str)
    menu_asked = Signal(list, QPoint)

    def __init__(self, model: TileModel, thumbs: ThumbnailLoader, worker: SessionWorker) -> None:
        super().__init__(model, thumbs)
        self.codes = ClassKeyReader(worker, self)
        self.worker = worker
        self.composing = self.held_point = False
        self.held = ""
        self.stroke: list[int] = []
        self._released_key = 0
        self._ending = QTimer(self, singleShot=True, interval=REPEAT_MS)
        self._ending.timeout.connect(self.end_stroke)
        self.mouse = TileMouse(self)
        self.mouse.lifted.connect(lambda row: self.commanded.emit(GridCommand.LIFT, [row]))
        self.mouse.moved_over.connect(self._moved_over)
        self.mouse.dragged.connect(lambda rows: TileDrag.start(self, rows, worker.paths))
        model.replaced.connect(self._replaced)
        self.arranged.connect(self.point_at_mouse)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, True)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, True)

    def fit_page(self) -> None:
        """Make tiles as large as can be seen all at once."""
        self.fit(self.smallest, self.largest)

    def unmarked(self, rows: Iterable[int] | None = None) -> list[int]:
        """Return those of some tiles, or of all, with which nothing was done."""
        rows = range(self.tiles.rowCount()) if rows is None else rows
        return [row for row in rows if self.tiles.state(row).kind is TileMark.IN]

    def all_seen(self, rows: Iterable[int] | None = None) -> bool:
        """Return whether these tiles, or all, were painted; else turn to the first that was not."""
        unseen = self.unseen(rows)
        if not unseen:
            return True
        if unseen[0] in self.in_sight():
            text = self.tr("{count} images are still loading: try again in a moment")
        else:
            self.mouse.leads = False  # what is pointed at stays, though the tiles move
            self.look_from(unseen[0])
            text = self.tr("{count} faces were not shown yet: scroll to them, then try again")
        self.worker.show_message(counted(text, len(unseen)))
        return False

    # -- keys

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Act on a class key, a command or a movement; what is none of them is the window's."""
        repeated = event.isAutoRepeat() and event.key() not in MOVES
        if self._ending.isActive():
            if event.isAutoRepeat() and event.key() == self._released_key:  # it is held
                self._ending.stop()
                return
            self.end_stroke()
        if self.composing or repeated or self._of_the_grid(event):
            return
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        key = self.codes.read(event)
        if key is None:
            return
        if key:
            self.class_key(key, shift)
        elif event.key() in MOVES and not control:
            self._move(MOVES[Key(event.key())], shift)
        elif not self._command(event):
            event.ignore()

    def _command(self, event: QKeyEvent) -> bool:
        """Space, Esc and the letters of commands; whether it was one of them."""
        plain = not event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier
        if event.key() == Key.Key_Space:
            self._space(mark=bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier))
        elif event.key() in COMMANDS and plain:
            self.commanded.emit(COMMANDS[Key(event.key())], self.target_rows())
        elif event.key() == Key.Key_Escape and (self.selected_rows() or self.mouse.busy):
            self.mouse.cancel()
            self.selectionModel().clearSelection()
        else:
            return False
        return True

    def _of_the_grid(self, event: QKeyEvent) -> bool:
        """Ctrl with A, I, plus or minus; whether it was one of them."""
        if event.matches(QKeySequence.StandardKey.SelectAll):
            self.selectAll()
        elif event.matches(QKeySequence.StandardKey.ZoomIn):
            self.zoom(ZOOM)
        elif event.matches(QKeySequence.StandardKey.ZoomOut):
            self.zoom(1 / ZOOM)
        elif event.key() == Key.Key_I and event.modifiers() == Qt.KeyboardModifier.ControlModifier:
            self.invert_selection()
        else:
            return False
        if event.key() in (Key.Key_A, Key.Key_I):
            count = sum(last - first + 1 for first, last in self.selected_ranges())
            self.worker.show_message(self.tr("{count} selected").format(count=f"{count:,}"))
        return True

    def class_key(self, key: str, shift: bool) -> None:
        """Begin a stroke for what is meant; with Shift the whole page is."""
        if shift and not self.selected_rows():
            self.page_key.emit(key)
            return
        rows = self.target_rows()
        if not rows:
            self.worker.show_message(
                self.tr("Point at a face first: {key} did nothing").format(key=key)
            )
            return
        if not self.all_seen(rows):
            return
        self.held, self.stroke = key, rows
        self.tiles.set_state(rows, TileState(TileMark.SENT, key))

    def sweep(self, row: int) -> None:
        """Add a tile that the mouse came over while a class key is held: it goes the same way."""
        if self.held and row >= 0 and row not in self.stroke:
            rows = self.meant([row])
            if not self.unseen(rows):
                self.stroke += rows
                self.tiles.set_state(rows, TileState(TileMark.SENT, self.held))

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """End a sweep with its key: one step for all of it."""
        if not event.isAutoRepeat() and self.held and self.codes.ends(event, self.held):
            if QGuiApplication.platformName() != "xcb":
                self.end_stroke()
            else:
                self._released_key = event.key()
                self._ending.start()
        else:
            super().keyReleaseEvent(event)

    def end_stroke(self) -> None:
        self._ending.stop()
        if self.held:
            rows, key = self.stroke, self.held
            self.held, self.stroke = "", []
            swept = len(rows) > 1 and rows != self.selected_rows()
            self.keyed.emit(rows, key, swept)

    def _replaced(self) -> None:
        self.end_stroke()
        self.mouse.forget()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        self.end_stroke()
        self.codes.forget()
        self.composing = False
        super().focusOutEvent(event)

    def _move(self, action: QAbstractItemView.CursorAction, extend: bool) -> None:
        before = self.currentIndex().row()
        if before < 0 and self.point >= 0:
            self.selectionModel().setCurrentIndex(self.tiles.index(self.point), Select.NoUpdate)
        self.mouse.leads = False
        index = self.moveCursor(action, Qt.KeyboardModifier.NoModifier)
        if not index.isValid():
            return
        if extend:
            self.mouse.anchor = before if self.mouse.anchor < 0 else self.mouse.anchor
            self.mouse.extend_to(index.row())
        else:
            self.mouse.anchor = index.row()
        self.selectionModel().setCurrentIndex(index, Select.NoUpdate)
        self.set_point(index.row())
        self.scrollTo(index)

    def _space(self, *, mark: bool) -> None:
        """Enlarge the face that is pointed at; with Ctrl select it, or lift it."""
        rows = self.selected_rows() or [self.point] * (self.point >= 0)
        if not rows:
            self.worker.show_message(self.tr("Point at a face first"))
        elif not mark:
            self.commanded.emit(GridCommand.ENLARGE, [self.point if self.point >= 0 else rows[0]])
        elif self.mouse.lifts:
            self.commanded.emit(GridCommand.LIFT, rows)
        elif self.point >= 0:
            self.select_ranges([(self.point, self.point)], Select.Toggle)

    # -- the input method

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        """Leave keys to the input method while it composes."""
        self.composing = bool(event.preeditString())
        event.accept()

    # -- the mouse

    def _moved_over(self, row: int) -> None:
        self.point_at_mouse()
        self.sweep(row)

    def point_at_mouse(self) -> None:
        """Point at the tile that lies under a mouse at rest, where the mouse has moved last."""
        if self.mouse.leads and self.mouse.at is not None and not self.held_point:
            self.point_at(self.mouse.at)

    def point_at(self, place: QPoint) -> None:
        self.set_point(self.indexAt(place).row())

    def hold_point(self, hold: bool) -> None:
        """Keep pointing at the same tile wherever the mouse goes; or follow it again."""
        self.held_point = hold
        self.point_at_mouse()

    def enterEvent(self, event: QEnterEvent) -> None:
        """Point at what the mouse comes in over, or is found over when the view appears."""
        super().enterEvent(event)
        self.mouse.at = self.viewport().mapFrom(self, event.position().toPoint())
        self.mouse.leads = True
        self.point_at_mouse()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self.mouse.press(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        self.mouse.move(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self.mouse.release(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Open a stack, or enlarge a face: what the first click lifted is put back."""
        row = self.indexAt(event.position().toPoint()).row()
        if row < 0 or event.button() != Qt.MouseButton.LeftButton or event.modifiers():
            self.mouse.press(event)
        elif len(self.tiles.ids([row])) > 1:
            self.commanded.emit(GridCommand.OPEN, [row])
        else:
            if self.mouse.lifts:
                self.commanded.emit(GridCommand.LIFT, [row])
            self.commanded.emit(GridCommand.ENLARGE, [row])

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Ask for the menu of the selection, or of the face that is pointed at: nothing else."""
        rows, point = self.target_rows(), event.pos()
        if event.reason() == QContextMenuEvent.Reason.Mouse:
            row = self.indexAt(point).row()
            rows = rows if row in self.selected_rows() else [row]
            rows = [row, *(one for one in rows if one != row)] if row >= 0 else []
        elif rows:
            point = self.visualRect(self.tiles.index(rows[0])).center()
        if rows:
            self.menu_asked.emit(rows, self.viewport().mapToGlobal(point))

    def leaveEvent(self, event: QEvent) -> None:
        self.mouse.at = None
        if not self.held and not self.held_point:
            self.set_point(-1)
        super().leaveEvent(event)
