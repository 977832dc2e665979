"""The grid of one class page: what its tiles are, how large, and which letters are a name."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from PySide6.QtCore import QCoreApplication, QEvent, Qt, Signal
from PySide6.QtGui import QInputMethodEvent, QKeyEvent

from labeler.qt.classes.keys import plain_key
from labeler.qt.grid.gesture_view import GestureView
from labeler.qt.grid.layout import PlacedSection, Section
from labeler.qt.grid.model import TileMark, TileModel, TileProposal
from labeler.sorting.page_layout import ClassPage, PageKind

SMALLEST, USUAL, LARGEST = 72, 80, 480
"""Of a face in logical pixels: a page has as many as there is room for in the usual size; doubtful
ones make the others smaller, few faces are shown larger."""

SMALLEST_ALIKE = 56
"""Faces of an overview may be smaller: they lie beside others that look like them."""

FEWEST, MOST = 24, 240
"""Faces on a page, however small or large the window is."""

LARGER = 1.5


PLAIN = Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier


class PageGrid(GestureView):
    """The grid of one page. `keys` are those of the classes.

    Where nobody knows who is shown, letters are a name and no commands: `typed` (text). Where two
    sides are shown, Y and N are `answered` (whether they are the same).
    """

    typed = Signal(str)
    answered = Signal(bool)

    page: ClassPage | None = None
    keys: Mapping[str, str] = MappingProxyType({})
    name_until = 0.0

    def event(self, event: QEvent) -> bool:
        """Take letters of a name before any shortcut of the window does."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(event, QKeyEvent):
            event.setAccepted(self._is_of_name(event))
            if event.isAccepted():
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Hand letters of a name to its field; all else is a key of the grid."""
        answer = {Qt.Key.Key_Y: True, Qt.Key.Key_N: False}.get(Qt.Key(event.key()))
        if not self.composing and self._is_of_name(event):
            self.typed.emit(event.text())
        elif self.has_pair and answer is not None and not self.composing:
            if not event.isAutoRepeat():
                self.answered.emit(answer)
        else:
            super().keyPressEvent(event)

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        """Hand what an input method has composed to the field as well."""
        super().inputMethodEvent(event)
        if event.commitString() and self._expects_name():
            self.typed.emit(event.commitString())

    def _expects_name(self) -> bool:
        unknown = self.page is not None and self.page.kind is PageKind.GROUPS
        return unknown or time.monotonic() < self.name_until

    def _is_of_name(self, event: QKeyEvent) -> bool:
        """Return whether a key is a letter where a name is expected, or a digit of no class."""
        text = event.text()
        plain = not event.modifiers() & ~PLAIN
        keys = self.worker.last.keys.values() if self.worker.last else ()
        letter = text.isalpha() or (text.isdigit() and plain_key(event) not in keys)
        return plain and letter and not self.codes.waits and self._expects_name()

    def show_page(self, page: ClassPage | None, keys: dict[str, str]) -> None:
        """Show a page, or nothing."""
        self.page, self.keys = page, keys
        self.tiles.blind = page is not None and page.kind is PageKind.CHECK
        self.tiles.only_waiting = not self.tiles.blind and not self.has_pair
        fill(self.tiles, page, keys)
        self.fit_page()

    def fit_page(self) -> None:
        """Make tiles as large as can be seen all at once."""
        self.fit(SMALLEST_ALIKE if self.has_groups else SMALLEST, LARGEST)

    def room(self) -> int:
        """Return how many faces make a page that fills the window."""
        return min(max(self.room_for(USUAL), FEWEST), MOST)

    @property
    def has_pair(self) -> bool:
        """Whether a class is shown beside a group that may be of it."""
        return self.page is not None and self.page.kind is PageKind.PAIR

    @property
    def has_groups(self) -> bool:
        """Whether the page is an overview, on which a gesture means the whole of a group."""
        return self.page is not None and self.page.kind is PageKind.GROUPS

    def meant(self, rows: list[int]) -> list[int]:
        """Return what is left of the group of each tile; what was marked in it is meant alone."""
        if not self.has_groups:
            return rows
        found: list[int] = []
        for row in rows:
            whole = self.unmarked(self.section_rows(row)) if self.unmarked([row]) else [row]
            found += [one for one in whole if one not in found]
        return found

    def unmarked(self, rows: Iterable[int]) -> list[int]:
        """Return those of some tiles with which nothing was done."""
        return [row for row in rows if self.tiles.state(row).kind is TileMark.IN]

    def group_to_name(self) -> list[int]:
        """Return the group that a name is for: that pointed at, else the first without a name."""
        rows = self.target_rows()
        return rows or self.meant(self.unmarked(range(self.tiles.rowCount()))[:1])

    def heading(self, place: PlacedSection) -> str:
        """Return a group's name once it has one."""
        rows = range(place.first, place.first + place.section.count)
        sent = Counter(state.target for row in rows if (state := self.tiles.state(row)).target)
        if not self.has_groups or not sent:
            return super().heading(place)
        name = sent.most_common(1)[0][0]
        keys = self.worker.last.keys if self.worker.last else {}
        return f"{keys.get(name, '').upper()}  {name}".strip()


def fill(model: TileModel, page: ClassPage | None, keys: Mapping[str, str]) -> None:
    """Show the tiles of a page in a model; each stands for the samples of its stack."""
    tiles = page.tiles if page else ()
    proposed = {
        t.rows[0]: TileProposal(t.proposal.label, t.proposal.confidence or None, len(t.rows))
        for t in tiles
    }
    model.show(
        [t.rows[0] for t in tiles],
        sections_of(page, keys) if page else (),
        proposed,
        {t.rows[0]: t.rows for t in tiles},
    )


def sections_of(page: ClassPage, keys: Mapping[str, str]) -> list[Section]:
    """Return the doubtful ones first and larger; a page of several classes class by class, an
    overview group by group, side by side.
    """
    if page.kind is PageKind.PAIR:
        same = QCoreApplication.translate("PageGrid", "The same?  {count} waiting")
        one, other = page.groups
        return [
            Section(page.label or "", one.size),
            Section(same.format(count=other.size), other.size),
        ]
    if page.kind is PageKind.GROUPS:
        alike = QCoreApplication.translate("PageGrid", "{count} alike")
        return [
            Section(
                f"{group.label}?  {group.size}" if group.label else alike.format(count=group.size),
                group.size,
                beside=len(page.groups) > 1,
            )
            for group in page.groups
        ]
    if page.kind is PageKind.LEFT:
        counts: dict[str, int] = {}
        for tile in page.tiles:
            label = tile.proposal.label or ""
            counts[label] = counts.get(label, 0) + 1
        return [
            Section(f"{keys.get(label, '').upper()}  {label}?".strip(), count)
            for label, count in counts.items()
        ]
    if not page.doubtful:
        return [Section("", len(page.tiles))]
    words = (
        QCoreApplication.translate("PageGrid", "Doubtful first"),
        QCoreApplication.translate("PageGrid", "Sure"),
    )
    return [
        Section(words[0], page.doubtful, LARGER),
        Section(words[1], len(page.tiles) - page.doubtful),
    ]
