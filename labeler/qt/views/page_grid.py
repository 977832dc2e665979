"""The grid of one class page: what its tiles are, how large, and how a name is typed for them."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

from PySide6.QtCore import QEvent, QObject, QPoint, Qt, Signal
from PySide6.QtGui import (
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QInputMethodEvent,
    QKeyEvent,
)
from PySide6.QtWidgets import QLineEdit

from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.layout import PlacedSection
from labeler.qt.grid.model import TileMark, TileModel, TileProposal
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.images import ThumbnailLoader
from labeler.qt.name_field import NameCompletion, NameField
from labeler.qt.session_worker import SessionWorker
from labeler.qt.views.page_header import ShownPage, shown_page
from labeler.sorting.names import known_names
from labeler.sorting.page_layout import ClassPage
from labeler.sorting.session import Place

USUAL = 56
"""Of a face in logical pixels: a page has as many as there is room for in the usual size; doubtful
ones make the others smaller, few faces are shown larger."""

MIN_PAGE_FACES, MAX_PAGE_FACES = 24, 240
PLAIN = Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier


class PageGrid(GestureView):
    """The grid of one page. `keys` are those of the classes.

    Where nobody knows who is shown, letters and digits are a name and no commands: `typed` (text);
    a class key is pressed with Shift there.
    """

    typed = Signal(str)
    dropped_on_group = Signal(list, int)
    """Tiles, and one of the group that they were dropped on."""

    page: ClassPage | None = None
    shown: ShownPage | None = None
    """What the page is in the window."""

    keys: Mapping[str, str] = MappingProxyType({})
    waits = False
    """Whether the first page is not there yet."""

    name_until = 0.0
    group = range(0)
    """The group that is pointed at, anywhere in its box."""

    drop_group = range(0)
    """The group that a drop goes to."""

    _lit = range(0)

    def __init__(self, model: TileModel, thumbs: ThumbnailLoader, worker: SessionWorker) -> None:
        super().__init__(model, thumbs, worker)
        self.setAcceptDrops(True)
        self.viewport().setAcceptDrops(True)
        model.dataChanged.connect(self._light)

    def event(self, event: QEvent) -> bool:
        """Take letters of a name before any shortcut of the window does."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            event.setAccepted(self._is_of_name(event))
            if event.isAccepted():
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Hand letters of a name to its field; all else is a key of the grid."""
        if not self.composing and self._is_of_name(event):
            self.typed.emit(event.text())
        elif event.isAutoRepeat():
            super().keyPressEvent(event)
        elif self._is_nobody(event):
            self.commanded.emit(GridCommand.OTHER, self.target_rows())
        else:
            super().keyPressEvent(event)

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        super().inputMethodEvent(event)
        if event.commitString() and self._expects_name():
            self.typed.emit(event.commitString())

    def _expects_name(self) -> bool:
        first = self.page is None and self.waits and not self.worker.keys
        unknown = first or self.has_groups
        return unknown or time.monotonic() < self.name_until

    def _is_of_name(self, event: QKeyEvent) -> bool:
        """Return whether a key is a letter or a digit where a name is expected."""
        plain = not event.modifiers() & ~PLAIN
        return plain and event.text().isalnum() and not self.codes.waits and self._expects_name()

    def _is_nobody(self, event: QKeyEvent) -> bool:
        """Return whether a full stop says of a group that nobody collects it: where it is not the
        first key of a class.
        """
        stop = event.key() == Qt.Key.Key_Period and not event.modifiers()
        first = any(key.startswith(".") for key in self.worker.keys.values())
        return stop and self.has_groups and not (first or self.codes.waits or self.composing)

    def show_page(self, page: ClassPage | None, keys: dict[str, str]) -> None:
        self._take(page, keys)
        self.waits = False
        self.tiles.only_waiting = True
        tiles = page.tiles if page is not None else ()
        self.tiles.show(
            [tile.rows[0] for tile in tiles],  # each stands for the samples of its stack
            self.shown.sections if self.shown is not None else (),
            proposals_of(page) if page is not None else {},
            {tile.rows[0]: tile.rows for tile in tiles},
        )
        self.fit_page()
        self.point_at_next_group()

    def rename(self, page: ClassPage, keys: dict[str, str]) -> None:
        self._take(page, keys)
        self.tiles.retitle(shown_page(page, keys).sections, proposals_of(page))
        self.lay_out()

    def _take(self, page: ClassPage | None, keys: dict[str, str]) -> None:
        self.page, self.keys = page, keys
        self.shown = None if page is None else shown_page(page, keys)

    def room(self) -> int:
        """Return how many faces make a page that fills the window."""
        return min(max(self.room_for(USUAL), MIN_PAGE_FACES), MAX_PAGE_FACES)

    @property
    def has_groups(self) -> bool:
        """Whether the page is an overview, on which a gesture means the whole of a group."""
        return self.shown is not None and self.shown.has_groups

    @property
    def files(self) -> bool:
        return self.shown is None or self.shown.files

    # -- the group that is pointed at

    def point_at(self, place: QPoint) -> None:
        """Point at a tile; on the heading of a group, a gap or its empty end at the group alone."""
        super().point_at(place)
        if self.point < 0 and self.has_groups:
            self.group = self.section_at(place)
            self._light()

    def set_point(self, row: int) -> None:
        """Point at a tile and its group; -1 for none."""
        super().set_point(row)
        self.group = self.section_rows(row) if row >= 0 and self.has_groups else range(0)
        self._light()

    def target_rows(self) -> list[int]:
        """Return what a key acts on: as in every grid, or the group that is pointed at."""
        return super().target_rows() or self._left_of(self.group)

    def meant(self, rows: list[int]) -> list[int]:
        """Return the rest of the group of each tile; of a tile that was named, all of the group
        that have its name. A tile that was lifted is meant alone.
        """
        if not self.has_groups:
            return rows
        meant: dict[int, None] = {}
        for row in rows:
            group, name = self.section_rows(row), self._named(row)
            if name is not None:
                meant |= dict.fromkeys(other for other in group if self._named(other) == name)
            else:
                meant |= dict.fromkeys(self.unmarked(group) if self.unmarked([row]) else [row])
        return [*meant]

    def sweep(self, row: int) -> None:
        """Add what the mouse came over; a group that has a name keeps it."""
        if row < 0 or self._named(row) is None:
            super().sweep(row)

    def _named(self, row: int) -> str | None:
        """Return the class or place that a tile was sent to; None for a tile without a name."""
        state = self.tiles.state(row)
        return state.target if state.kind in (TileMark.SENT, TileMark.DONE) else None

    def _left_of(self, group: range) -> list[int]:
        """Return the tiles of a group without a mark; where none is left, most of those named."""
        names = Counter(name for row in group if (name := self._named(row)) is not None)
        most = names.most_common(1)[0][0] if names else ""
        return self.unmarked(group) or [row for row in group if self._named(row) == most]

    def lit_section(self) -> range:
        """Return the group that a drop or a key would change as a whole."""
        alone = self.point >= 0 and self.target_rows() == [self.point] and len(self.group) > 1
        return self.drop_group or (range(0) if alone or self.selected_ranges() else self.group)

    def _light(self) -> None:
        if (lit := self.lit_section()) != self._lit:
            self._lit = lit
            self.viewport().update()

    def class_key(self, key: str, shift: bool) -> None:
        """Take a class key for what is pointed at, with Shift or without; for a whole page only
        where one class is proposed.
        """
        super().class_key(key, shift and self.files)

    def point_at_next_group(self) -> None:
        """Point at the next group without a name, unless the mouse points at something."""
        if not self.has_groups or (self.mouse.leads and self.mouse.at is not None):
            return
        unmarked = self.unmarked()
        row = next((row for row in unmarked if row > self.point), unmarked[0] if unmarked else -1)
        self.set_point(row)
        if row >= 0:
            self.scrollTo(self.tiles.index(row))

    def name_of(self, row: int) -> str:
        """Return the class or place that most of the group of a tile were sent to; '' for none."""
        sent = Counter(filter(None, map(self._named, self.section_rows(row))))
        return sent.most_common(1)[0][0] if sent else ""

    def heading(self, place: PlacedSection) -> str:
        name = self.name_of(place.first) if self.has_groups else ""
        if not name:
            return super().heading(place)
        return f"{self.worker.keys.get(name, '').upper()}  {name}".strip()

    def caption(self, row: int) -> str:
        target = self.tiles.state(row).target
        return "" if target in list(Place) else target

    # -- a group dropped on another one

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        mime = event.mimeData()
        if self.has_groups and isinstance(mime, TileMimeData):
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()
        else:
            event.ignore()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        self._light_drop(self._dropped_on(event))
        event.setDropAction(Qt.DropAction.CopyAction)
        event.setAccepted(bool(self.drop_group))

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        self._light_drop(range(0))

    def dropEvent(self, event: QDropEvent) -> None:
        group, mime = self.drop_group or self._dropped_on(event), event.mimeData()
        self._light_drop(range(0))
        event.setAccepted(bool(group))
        if group and isinstance(mime, TileMimeData):
            event.setDropAction(Qt.DropAction.CopyAction)
            self.dropped_on_group.emit(self._carried(mime), group[0])

    def _carried(self, mime: TileMimeData) -> list[int]:
        return sorted({row for one in mime.ids if (row := self.tiles.row_of(one)) >= 0})

    def _dropped_on(self, event: QDropEvent) -> range:
        """Return the group under the mouse; none where nothing would come to it."""
        mime, group = event.mimeData(), self.section_at(event.position().toPoint())
        if not self.has_groups or not isinstance(mime, TileMimeData):
            return range(0)
        return group if set(self._carried(mime)) - set(group) else range(0)

    def _light_drop(self, group: range) -> None:
        self.drop_group = group
        self._light()


def proposals_of(page: ClassPage) -> dict[int, TileProposal]:
    """Return what is proposed for the tiles of a page, by their first sample."""
    return {
        t.rows[0]: TileProposal(t.proposal.label, t.proposal.confidence or None, len(t.rows))
        for t in page.tiles
    }


NAME_MOMENT = 0.7
"""Seconds for which letters still belong to a name after a page has taken the focus from it."""


class PageNaming(QObject):
    """Takes a name for the page of a grid, in a field; `then` is called with what it means.

    A name is for the page that was shown when it was begun, and for what was pointed at then.
    """

    def __init__(self, grid: PageGrid, field: NameField, then: Callable[[str], None]) -> None:
        super().__init__(field)
        self._grid, self._field, self._then = grid, field, then
        self.completion = NameCompletion(field)
        self._text = ""
        self._typed_for: ClassPage | None = None
        field.named.connect(self._named)
        field.textChanged.connect(self._changed)
        field.left.connect(self._left)
        field.unfocused.connect(lambda: grid.hold_point(False))
        grid.typed.connect(self.typed)

    def offer_known(self) -> None:
        self._grid.worker.ask(lambda session: known_names(session.dataset), self.completion.offer)

    def write(self) -> None:
        """Let a name be typed, for what is pointed at now, wherever the mouse goes meanwhile."""
        self._grid.hold_point(bool(self._grid.target_rows()))
        self._field.setVisible(True)
        self._field.setFocus()

    def typed(self, text: str) -> None:
        """Put letters that were pressed over the faces where a name is written."""
        if self._grid.has_groups and not self._grid.target_rows():
            self.say_no_group()
            return
        self.write()
        self._field.insert(text)

    def say_no_group(self) -> None:
        self._grid.worker.show_message(self.tr("Point at a cluster first, then type its name"))

    def clear(self) -> None:
        self._field.clear()

    @property
    def under_way(self) -> bool:
        """Whether a name is being typed, or what is typed before the next page is one."""
        return self._field.hasFocus() or self._grid.name_until == math.inf

    def page_filed(self) -> None:
        """Take what is typed before the next page as a name, where the field was empty."""
        if self._field.hasFocus() and not self._field.text():
            self._grid.setFocus()
            self._grid.name_until = math.inf

    def page_renamed(self, before: ClassPage) -> None:
        """Know the page that is shown by its new name."""
        if self._typed_for is before:
            self._typed_for = self._grid.page

    def page_came(self, writing: bool) -> None:
        """Bring the keys to the faces, unless a name is being typed; `writing`: until now."""
        if writing and self._field.text():
            self._field.setFocus()
        else:
            writes_elsewhere = isinstance(self._grid.window().focusWidget(), QLineEdit)
            if writing or (self._grid.isVisible() and not writes_elsewhere):
                self._grid.setFocus()
        if writing:
            self._grid.name_until = time.monotonic() + NAME_MOMENT

    def _changed(self, text: str) -> None:
        if not self._text:
            self._typed_for = self._grid.page
        self._text = text

    def _left(self) -> None:
        self._grid.worker.show_message(self.tr("No name was typed"))
        self._grid.setFocus()

    def _named(self, name: str) -> None:
        if self._typed_for is not self._grid.page:
            self._typed_for = self._grid.page
            text = self.tr(
                "Typed before this page appeared: press Enter again to name these faces {name}"
            )
            self._grid.worker.show_message(text.format(name=name))
        else:
            self._then(self.completion.meant(name))
