"""The grid of one class page: what its tiles are, how large, and which letters are a name."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain, count
from types import MappingProxyType

from PySide6.QtCore import QEvent, QPoint, Qt, Signal
from PySide6.QtGui import (
    QDragEnterEvent,
    QDragLeaveEvent,
    QDragMoveEvent,
    QDropEvent,
    QInputMethodEvent,
    QKeyEvent,
)

from labeler.qt.grid.drag import TileMimeData
from labeler.qt.grid.gesture_view import GestureView, GridCommand
from labeler.qt.grid.layout import PlacedSection
from labeler.qt.grid.model import TileMark, TileModel, TileProposal
from labeler.qt.pictures import ThumbnailLoader
from labeler.qt.session_worker import SessionWorker
from labeler.qt.views.page_kinds import ShownPage, shown_page
from labeler.sorting.page_layout import ClassPage
from labeler.sorting.session import Place

USUAL = 56
"""Of a face in logical pixels: a page has as many as there is room for in the usual size; doubtful
ones make the others smaller, few faces are shown larger."""

FEWEST, MOST = 24, 240
"""Faces on a page, however small or large the window is."""
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
        self._namings: dict[int, int] = {}
        """The number of the gesture that named each sample."""
        self._numbers = count()
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
        """Hand what an input method has composed to the field as well."""
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
        """Show a page, or nothing."""
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
        """Show the page under other names of classes: no tile moves."""
        self._take(page, keys)
        self.tiles.retitle(shown_page(page, keys).sections, proposals_of(page))
        self.lay_out()

    def _take(self, page: ClassPage | None, keys: dict[str, str]) -> None:
        self.page, self.keys = page, keys
        self.shown = None if page is None else shown_page(page, keys)

    def room(self) -> int:
        """Return how many faces make a page that fills the window."""
        return min(max(self.room_for(USUAL), FEWEST), MOST)

    @property
    def has_groups(self) -> bool:
        """Whether the page is an overview, on which a gesture means the whole of a group."""
        return self.shown is not None and self.shown.has_groups

    @property
    def files(self) -> bool:
        """Whether Enter files the page."""
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
        """Return the rest of the group of each tile; of a tile that was named, all that were named
        with it. A tile that was lifted is meant alone.
        """
        if not self.has_groups:
            return rows
        groups = (
            self.unmarked(self.section_rows(row)) if self.unmarked([row]) else self._named_with(row)
            for row in rows
        )
        return [*dict.fromkeys(chain.from_iterable(groups))]

    def sweep(self, row: int) -> None:
        """Add what the mouse came over; a group that has a name keeps it."""
        if row < 0 or self._naming(row) < 0:
            super().sweep(row)

    def note_naming(self, rows: Sequence[int], group: range = range(0)) -> None:
        """Note that tiles were named at once; `group`: under the name that this group has."""
        number = max(map(self._naming, group), default=-1)
        number = number if number >= 0 else next(self._numbers)
        self._namings |= dict.fromkeys((self.tiles.id(row) for row in rows), number)

    def _naming(self, row: int) -> int:
        """Return which naming a tile is of; -1 for none that is still in force."""
        named = self.tiles.state(row).kind in (TileMark.SENT, TileMark.DONE)
        return self._namings.get(self.tiles.id(row), -1) if named else -1

    def _named_with(self, row: int) -> list[int]:
        naming, group = self._naming(row), self.section_rows(row)
        return [other for other in group if self._naming(other) == naming] if naming >= 0 else [row]

    def _left_of(self, group: range) -> list[int]:
        """Return the tiles of a group without a mark; where none is left, most of those named."""
        namings = Counter(naming for row in group if (naming := self._naming(row)) >= 0)
        most = namings.most_common(1)[0][0] if namings else -1
        return self.unmarked(group) or [row for row in group if 0 <= most == self._naming(row)]

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
        targets = (self.tiles.state(tile).target for tile in self.section_rows(row))
        sent = Counter(filter(None, targets))
        return sent.most_common(1)[0][0] if sent else ""

    def heading(self, place: PlacedSection) -> str:
        """Return a group's name once it has one."""
        name = self.name_of(place.first) if self.has_groups else ""
        if not name:
            return super().heading(place)
        return f"{self.worker.keys.get(name, '').upper()}  {name}".strip()

    def caption(self, row: int) -> str:
        """Return the class that a tile was sent to; what Enter gives stands above the tiles."""
        target = self.tiles.state(row).target
        return "" if target in list(Place) else target

    # -- a group dropped on another one

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take tiles of an overview, for another of its groups, and nothing else."""
        mime = event.mimeData()
        if self.has_groups and isinstance(mime, TileMimeData):
            event.setDropAction(Qt.DropAction.CopyAction)
            event.accept()
        else:
            event.ignore()

    def dragMoveEvent(self, event: QDragMoveEvent) -> None:
        """Light the group below, which a drop goes to."""
        self._light_drop(self._dropped_on(event))
        event.setDropAction(Qt.DropAction.CopyAction)
        event.setAccepted(bool(self.drop_group))

    def dragLeaveEvent(self, event: QDragLeaveEvent) -> None:
        """Light nothing any more."""
        self._light_drop(range(0))

    def dropEvent(self, event: QDropEvent) -> None:
        """Put what was dropped together with the group that is lit."""
        group, mime = self.drop_group or self._dropped_on(event), event.mimeData()
        self._light_drop(range(0))
        event.setAccepted(bool(group))
        if group and isinstance(mime, TileMimeData):
            event.setDropAction(Qt.DropAction.CopyAction)
            self.dropped_on_group.emit(self._carried(mime), group[0])

    def _carried(self, mime: TileMimeData) -> list[int]:
        """Return the tiles that are dragged."""
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
