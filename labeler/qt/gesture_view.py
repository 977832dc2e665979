"""What keys do on a grid, and how its mouse (see `tile_mouse`) is told to it.

A key acts on the selection, else on the tile that is pointed at; with neither it does nothing and
says so. Keys never act while an input method is composing.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QItemSelectionModel, Qt, Signal
from PySide6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QInputMethodEvent,
    QKeyEvent,
    QKeySequence,
    QMouseEvent,
)
from PySide6.QtWidgets import QAbstractItemView, QWidget

from labeler.qt.class_keys import class_key
from labeler.qt.desk import Desk
from labeler.qt.thumbs import ThumbLoader
from labeler.qt.tile_model import State, TileModel
from labeler.qt.tile_mouse import TileMouse
from labeler.qt.tile_view import ZOOM, TileView

Select = QItemSelectionModel.SelectionFlag
Key = Qt.Key
Cursor = QAbstractItemView.CursorAction

MOVES = {
    Key.Key_Left: Cursor.MoveLeft,
    Key.Key_Right: Cursor.MoveRight,
    Key.Key_Up: Cursor.MoveUp,
    Key.Key_Down: Cursor.MoveDown,
    Key.Key_Home: Cursor.MoveHome,
    Key.Key_End: Cursor.MoveEnd,
}
COMMANDS = {
    Key.Key_Delete: "reject",
    Key.Key_Backspace: "reject",
    Key.Key_L: "later",
    Key.Key_O: "other",
    Key.Key_Q: "queue",
    Key.Key_S: "split",
    Key.Key_Return: "enter",
    Key.Key_Enter: "enter",
    Key.Key_PageDown: "next_page",
    Key.Key_PageUp: "previous_page",
    Key.Key_B: "blink",
    Key.Key_G: "groups",
    Key.Key_K: "keep_all",
    Key.Key_C: "check",
    Key.Key_N: "new",
}


class GestureView(TileView):
    """`keyed` (rows, key, by a sweep) asks for a class, `commanded` (command, rows) for more.

    Commands are those of `COMMANDS`, `lift` (a click or Space on a page), `open` (a double click)
    and `page_to` with the key as its rows' place. `lifts`: a click lifts, rather than selects.
    """

    keyed = Signal(list, str, bool)
    commanded = Signal(str, list)
    page_key = Signal(str)

    def __init__(
        self, model: TileModel, thumbs: ThumbLoader, desk: Desk, parent: QWidget | None = None
    ) -> None:
        super().__init__(model, thumbs, parent)
        self.desk = desk
        self.lifts = False
        self.composing = False
        self.held = ""
        self.stroke: list[int] = []
        self.mouse = TileMouse(self)
        model.replaced.connect(self._replaced)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, True)
        self.setAttribute(Qt.WidgetAttribute.WA_InputMethodEnabled, True)

    # -- keys

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """A class key, a command or a movement; what is none of them is the window's."""
        repeated = event.isAutoRepeat() and event.key() not in MOVES
        if self.composing or repeated or self._of_the_grid(event):
            return
        shift = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        if key := class_key(event):
            self._class_key(key, shift)
        elif event.key() in MOVES and not control:
            self._move(MOVES[Key(event.key())], shift)
        elif not self._command(event):
            event.ignore()

    def _command(self, event: QKeyEvent) -> bool:
        """Space, Esc and the letters of commands; whether it was one of them."""
        plain = event.modifiers() in (
            Qt.KeyboardModifier.NoModifier,
            Qt.KeyboardModifier.KeypadModifier,
        )
        if event.key() == Key.Key_Space:
            self._space()
        elif event.key() in COMMANDS and plain:
            self.desk.gesture()
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
            self.set_side(round(self.side * ZOOM))
        elif event.matches(QKeySequence.StandardKey.ZoomOut):
            self.set_side(round(self.side / ZOOM))
        elif event.key() == Key.Key_I and event.modifiers() == Qt.KeyboardModifier.ControlModifier:
            self.invert_selection()
        else:
            return False
        self.desk.gesture()
        return True

    def _class_key(self, key: str, shift: bool) -> None:
        self.desk.gesture()
        if shift and not self.selected_rows():
            self.page_key.emit(key)
            return
        rows = self.target_rows()
        if not rows:
            self.desk.say(self.tr("Point at a face first: key {key} did nothing").format(key=key))
            return
        self.held, self.stroke = key, rows
        self.tiles.set_state(rows, State("sent", key))

    def sweep(self, row: int) -> None:
        """The mouse came over a tile while a class key is held: it goes the same way."""
        if self.held and row >= 0 and row not in self.stroke:
            self.stroke.append(row)
            self.tiles.set_state([row], State("sent", self.held))

    def keyReleaseEvent(self, event: QKeyEvent) -> None:
        """The end of a key is the end of a sweep: one step for all of it."""
        if not event.isAutoRepeat() and self.held and class_key(event) in (self.held, ""):
            self.end_stroke()
        else:
            super().keyReleaseEvent(event)

    def end_stroke(self) -> None:
        """Hand the swept tiles on."""
        if self.held:
            rows, key = self.stroke, self.held
            self.held, self.stroke = "", []
            swept = len(rows) > 1 and rows != self.selected_rows()
            self.keyed.emit(rows, key, swept)

    def _replaced(self) -> None:
        """What was begun on these tiles does not go on with others."""
        self.end_stroke()
        self.mouse.forget()

    def focusOutEvent(self, event: QFocusEvent) -> None:
        """A key that is released elsewhere still ends its sweep."""
        self.end_stroke()
        self.composing = False
        super().focusOutEvent(event)

    def _move(self, action: QAbstractItemView.CursorAction, extend: bool) -> None:
        before = self.currentIndex().row()
        if before < 0 and self.point >= 0:
            self.selectionModel().setCurrentIndex(self.tiles.index(self.point), Select.NoUpdate)
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

    def _space(self) -> None:
        self.desk.gesture()
        rows = self.target_rows()
        if self.lifts:
            self.commanded.emit("lift", rows)
        elif self.point >= 0:
            self.select_ranges([(self.point, self.point)], Select.Toggle)

    # -- the input method

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        """While something is being composed, keys are its own."""
        self.composing = bool(event.preeditString())
        event.accept()

    # -- the mouse

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """See `TileMouse`."""
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        self.mouse.press(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """See `TileMouse`."""
        self.mouse.move(event)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """See `TileMouse`."""
        self.mouse.release(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Open: a stack, or whatever a view makes of it. Else it is two clicks."""
        row = self.indexAt(event.position().toPoint()).row()
        if row >= 0 and (not self.lifts or len(self.tiles.ids([row])) > 1):
            self.commanded.emit("open", [row])
        else:
            self.mouse.press(event)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """The right button does nothing by accident."""
        event.ignore()

    def leaveEvent(self, event: QEvent) -> None:
        """Nothing is pointed at from outside."""
        if not self.held:
            self.set_point(-1)
        super().leaveEvent(event)
