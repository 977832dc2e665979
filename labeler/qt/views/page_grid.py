"""The grid of one class page, and the input of a name for it."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QEvent, QObject, QPoint, QRect, Qt, Signal
from PySide6.QtGui import QDropEvent, QInputMethodEvent, QKeyEvent, QPainter
from PySide6.QtWidgets import QLineEdit

from labeler.qt.grid.gesture_view import GestureView
from labeler.qt.grid.layout import HEADING_HEIGHT, INSET, PlacedSection
from labeler.qt.grid.model import UNMARKED, TileMark, TileModel, TilePrediction
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.grid.tile_view import TileAppearance
from labeler.qt.images import ThumbnailLoader
from labeler.qt.keyboard import TEXT_MODIFIERS
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import (
    CONTROL_RADIUS,
    SPACE_M,
    SPACE_S,
    Role,
    blend,
    edge,
    muted_text,
)
from labeler.qt.translations import target_name
from labeler.qt.views.page_header import PageDescription, PageHeader, describe_page
from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.session import Place

USUAL_SIDE = 56
"""Size in logical pixels that decides how many faces make a page; they are then fitted to it."""

MIN_PAGE_FACES, MAX_PAGE_FACES = 24, 240


class PageGrid(GestureView):
    """The grid of one page.

    Letters always begin a name here: `typed` (text). So do digits that are the key of no class.
    """

    typed = Signal(str)
    dropped_on_card = Signal(list, int)
    """Tiles, and one of the card that they were dropped on."""

    page: ClassPage | None = None
    description: PageDescription | None = None
    waits = is_left = False
    """Whether the first page is being prepared, or the next one: this one takes no more names."""

    name_until = 0.0
    cluster = range(0)
    """Rows of the cluster that is pointed at, anywhere in its box, or of a card to be named."""

    drop_card = range(0)
    """Rows of the card under a drag."""

    heading_clicked = Signal()
    """The card that is pointed at is to be named."""

    _highlighted = range(0)
    _swept_name: str | None = None

    def __init__(
        self, model: TileModel, thumbs: ThumbnailLoader, worker: SessionWorker
    ):
        super().__init__(model, thumbs, worker)
        self.setAcceptDrops(True)
        self.viewport().setAcceptDrops(True)
        self._names: dict[int, str] = {}
        """The names of the cards by their first rows, as far as they were asked for."""
        self.mouse.clicked_outside.connect(self._click_outside)
        for changed in (
            model.dataChanged,
            model.sections_changed,
            worker.classes_changed,
        ):
            changed.connect(self._forget_names)

    def event(self, event: QEvent) -> bool:
        """Keep letters of a name from the shortcuts of the window."""
        if event.type() == QEvent.Type.ShortcutOverride and isinstance(
            event, QKeyEvent
        ):
            event.setAccepted(self._is_name_key(event))
            if event.isAccepted():
                return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Pass letters of a name to its field, other keys to the grid."""
        if not self.is_composing and self._is_name_key(event):
            self.typed.emit(event.text())
        else:
            super().keyPressEvent(event)

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        super().inputMethodEvent(event)
        if event.commitString() and self._expects_name():
            self.typed.emit(event.commitString())

    def _expects_name(self) -> bool:
        is_first = self.waits and not self.worker.keys
        return is_first or self.page is not None or time.monotonic() < self.name_until

    def _is_name_key(self, event: QKeyEvent) -> bool:
        is_key = event.text().isdigit() and event.text() in self.worker.keys.values()
        is_key = (
            is_key and time.monotonic() >= self.name_until
        )  # else it may be part of a name
        is_text = event.text().isalnum() and not (
            is_key or event.modifiers() & ~TEXT_MODIFIERS
        )
        return is_text and not self.codes.first and self._expects_name()

    def show_page(self, page: ClassPage | None) -> None:
        places = self.places()
        took_names = self.takes_names
        self._set_page(page)
        if took_names and not self.takes_names:
            self.name_until = time.monotonic() + NAME_GRACE_SECONDS
        self.waits = self.is_left = False
        self.tiles.only_waiting = True
        tiles = page.tiles if page is not None else ()
        self.tiles.show(
            [tile.rows[0] for tile in tiles],  # of each stack the first sample
            self.description.sections if self.description is not None else (),
            suggestions_by_sample(page) if page is not None else {},
            {tile.rows[0]: tile.rows for tile in tiles},
        )
        self.fit_page()
        self.slide_from(places)
        if self.has_clusters and not self.cluster:
            self.point_at_next()

    def rename(self, page: ClassPage) -> None:
        self._set_page(page)
        sections = self.description.sections if self.description else ()
        self.tiles.set_titles(sections, suggestions_by_sample(page))
        self.lay_out()

    def _set_page(self, page: ClassPage | None) -> None:
        self.page = page
        self.description = (
            None if page is None else describe_page(page, self.worker.keys)
        )

    def room(self) -> int:
        """Return how many faces make a page that fills the window."""
        return min(max(self.capacity(USUAL_SIDE), MIN_PAGE_FACES), MAX_PAGE_FACES)

    @property
    def has_clusters(self) -> bool:
        """Whether this is a clusters page, on which a gesture acts on a whole cluster."""
        return self.description is not None and self.description.has_clusters

    @property
    def takes_names(self) -> bool:
        """Whether letters are a name, of the cluster or the uncompared face that is pointed at."""
        return self.page is not None and self.page.kind in (
            PageKind.CLUSTERS,
            PageKind.PLAIN,
        )

    @property
    def has_cards(self) -> bool:
        """Whether each section is a cluster or a class: a card to be named, moved or dropped on."""
        return self.page is not None and self.page.kind in (
            PageKind.CLUSTERS,
            PageKind.MIXED,
        )

    # -- the cluster that is pointed at

    def point_at(self, place: QPoint) -> None:
        """Point at a tile; on the heading or a gap of a cluster, at the cluster alone."""
        super().point_at(place)
        if self.point < 0 and self.has_clusters:
            self.cluster = self.section_at(place)
            self._highlight()

    def set_point(self, row: int) -> None:
        """Point at a tile and its cluster; -1 for none."""
        super().set_point(row)
        self.cluster = (
            self.section_rows(row) if row >= 0 and self.has_clusters else range(0)
        )
        self._highlight()

    def point_past(self, rows: list[int]) -> None:
        """Point at the next card after some tiles, unless the mouse is on one without a name."""
        at = self.mouse.at if self.mouse.leads else None
        under = self.indexAt(at).row() if at is not None else -1
        if under < 0 or under in rows or self._name_of_tile(under) is not None:
            self.mouse.leads = False  # a second name is for the next card
            self.set_point(rows[-1])
            self.point_at_next()

    def target_rows(self) -> list[int]:
        """Return the rows a key acts on; without tiles, the rows of the cluster pointed at."""
        return (
            []
            if self.is_left
            else super().target_rows() or self.open_rows(self.cluster)
        )

    def named_rows(self) -> list[int]:
        """Return the rows a typed name is for: those of the card that is pointed at."""
        rows = self.target_rows()
        if rows != [self.point] or not self.has_clusters:
            return rows
        if self.tiles.state(self.point).mark is TileMark.LIFTED:
            return self.unmarked(self.cluster) or rows
        name = self._name_of_tile(self.point)
        return (
            [row for row in self.cluster if self._name_of_tile(row) == name]
            if name
            else rows
        )

    def expand_targets(self, rows: list[int]) -> list[int]:
        """Extend rows to the unmarked tiles of their clusters; a named or excluded one is alone."""
        if not self.has_clusters:
            return rows
        extended: dict[int, None] = {}
        for row in rows:
            is_open = bool(self.unmarked([row]))
            extended |= dict.fromkeys(
                self.unmarked(self.section_rows(row)) if is_open else [row]
            )
        return [*extended]

    def sweep(self, row: int) -> None:
        """Add the tile under the mouse, unless it has another name than the first one had."""
        if row < 0 or self._name_of_tile(row) in (None, self._swept_name):
            super().sweep(row)

    def _name_of_tile(self, row: int) -> str | None:
        state = self.tiles.state(row)
        return state.target if state.mark in (TileMark.SENT, TileMark.DONE) else None

    def open_rows(self, cluster: range) -> list[int]:
        """Return the unmarked tiles; if there are none, those with the most frequent name."""
        return self.unmarked(cluster) or self._rows_with_name(cluster)

    def _rows_with_name(self, cluster: range) -> list[int]:
        name = self.name_of(cluster.start) if cluster else ""
        return [row for row in cluster if self._name_of_tile(row) == name]

    def drop_section(self) -> range:
        """Return the card that a drop or a key would change as a whole."""
        is_part = (
            self.point >= 0
            and self.target_rows() == [self.point]
            and len(self.cluster) > 1
        )
        return self.drop_card or (
            range(0) if is_part or self.selected_ranges() else self.cluster
        )

    def _highlight(self) -> None:
        if (section := self.drop_section()) != self._highlighted:
            self._highlighted = section
            self.viewport().update()

    def class_key(self, key: str, shift: bool) -> None:
        """Label what is pointed at, or with Shift the page if one class is suggested."""
        self._swept_name = next(map(self._name_of_tile, self.target_rows()), None)
        super().class_key(
            key, shift and not (self.description and self.description.first_step)
        )

    def name_of(self, row: int) -> str:
        """Return the name of the card of a tile: of all its faces, or its class; '' for none."""
        cluster = self.section_rows(row)
        if (name := self._names.get(cluster.start)) is None:
            sent = Counter(filter(None, map(self._name_of_tile, cluster)))
            name = max(
                sent, key=lambda name: (name not in list(Place), sent[name]), default=""
            )
            if not name or self.unmarked(cluster):
                name = self.tiles.prediction(row).label or ""
            self._names[cluster.start] = name
        return name

    def caption(self, row: int) -> str:
        target = self.tiles.state(row).target
        return "" if target in list(Place) else target

    def appearance(self, row: int) -> TileAppearance:
        """Show a tile with the name of its card as it is: the heading says the name."""
        tile = super().appearance(row)
        has_name = bool(tile.caption) and tile.caption == self.name_of(row)
        if has_name and self._is_named(self.section_rows(row)):
            return tile._replace(state=UNMARKED, caption="")
        return tile

    def _is_named(self, card: range) -> bool:
        return self.has_cards and not self.unmarked(card) and bool(self.open_rows(card))

    # -- the headings of cards: a field for the name

    def paint_heading(
        self, painter: QPainter, line: QRect, placed: PlacedSection
    ) -> None:
        if not (self.has_clusters or self._is_named(placed.rows)):
            super().paint_heading(painter, line, placed)
            return
        name = self.name_of(placed.first)
        palette = self.palette()
        centre = Qt.AlignmentFlag.AlignVCenter
        rows = self._rows_with_name(placed.rows) or self.open_rows(placed.rows)
        count = f"{len(self.tiles.ids(rows)):,}"
        painter.setFont(self.font())
        painter.setPen(muted_text(palette))
        painter.drawText(line, Qt.AlignmentFlag.AlignRight | centre, count)
        line.setRight(
            line.right() - painter.fontMetrics().horizontalAdvance(count) - SPACE_M
        )
        if name:
            title = f"{target_name(name)} ✓"
            key = self.worker.keys.get(name, "")
            section = replace(placed.section, title=title, key=key)
            super().paint_heading(painter, line, placed._replace(section=section))
            return
        frame = line.adjusted(-2, SPACE_S, 0, -SPACE_S)
        painter.setBrush(palette.base())
        painter.setPen(blend(edge(palette), palette.color(Role.Text), 0.1))
        painter.drawRoundedRect(frame, CONTROL_RADIUS, CONTROL_RADIUS)
        painter.setPen(muted_text(palette))
        painter.drawText(
            frame.adjusted(SPACE_M, 0, 0, 0), centre, self.tr("Who is this?")
        )

    def name_field_rect(self) -> QRect:
        """Return where the field for the card pointed at belongs, in the viewport; or empty."""
        placed = self._grid.section_of(self.cluster.start) if self.cluster else None
        if placed is None:
            return QRect()
        box = placed.box.translated(0, -self.verticalOffset())
        top = box.top() + SPACE_S
        height = HEADING_HEIGHT - 2 * SPACE_S
        return QRect(box.left() + INSET, top, box.width() - 2 * INSET, height)

    def _forget_names(self) -> None:
        self._names.clear()
        if self.has_cards:
            self.viewport().update()  # the headings of cards

    def _click_outside(self, point: QPoint) -> None:
        # A click on the heading of a card names it.
        place = point + QPoint(0, self.verticalOffset())
        card = self._grid.section_at(place)
        if self.has_cards and card is not None and place.y() < card.top:
            self.set_point(-1)
            self.cluster = card.rows
            self._highlight()
            self.heading_clicked.emit()

    def movable_rows(self, point: QPoint) -> list[int]:
        """Return the open tiles of a card, all of which a drag from its heading or gaps moves."""
        return self.open_rows(self.section_at(point)) if self.has_cards else []

    # -- dropping on a card

    def dragEnterEvent(self, event: QDropEvent) -> None:
        event.setAccepted(self.has_cards and isinstance(event.mimeData(), TileMimeData))

    def dragMoveEvent(self, event: QDropEvent) -> None:
        """Highlight the card under the mouse, if it would get new tiles."""
        card = self.section_at(event.position().toPoint())
        self._highlight_drop(
            card if set(self._dragged_rows(event)) - set(card) else range(0)
        )
        event.setAccepted(bool(self.drop_card))

    def dragLeaveEvent(self, event: QEvent) -> None:
        self._highlight_drop(range(0))

    def dropEvent(self, event: QDropEvent) -> None:
        card = self.drop_card
        self._highlight_drop(range(0))
        event.setAccepted(bool(card))
        self.mouse.at = event.position().toPoint()
        if card:
            self.dropped_on_card.emit(self._dragged_rows(event), card[0])

    def _dragged_rows(self, event: QDropEvent) -> list[int]:
        mime = event.mimeData()
        ids = mime.ids if isinstance(mime, TileMimeData) else ()
        return sorted(
            {row for sample in ids if (row := self.tiles.row_of(sample)) >= 0}
        )

    def _highlight_drop(self, cluster: range) -> None:
        self.drop_card = cluster
        self._highlight()


def suggestions_by_sample(page: ClassPage) -> dict[int, TilePrediction]:
    """Return the suggestions of the tiles of a page, by their first sample."""
    return {
        rows[0]: TilePrediction(
            best.label, best.confidence or None, len(rows), best.top
        )
        for _, rows, best in page.tiles
    }


NAME_GRACE_SECONDS = 0.7
"""For so long after a page that takes names, letters still belong to a name."""


class PageNaming(QObject):
    """Input of a name for a page; `name_page` is called with the class it means.

    A name is for the page and the tiles that were current when its input began: typed on the faces
    it is for those pointed at (`is_for_faces`), in the field above them for the whole page.
    """

    def __init__(
        self, grid: PageGrid, header: PageHeader, name_page: Callable[[str], None]
    ):
        field = header.name
        super().__init__(field)
        self._grid = grid
        self._header = header
        self._field = field
        self._name_page = name_page
        self._text = self._offered = ""
        self.is_for_faces = False
        self._typed_for: ClassPage | None = None
        field.name_entered.connect(self._on_name_entered)
        field.textChanged.connect(self._changed)
        field.left.connect(grid.setFocus)
        field.unfocused.connect(self._unfocused)
        grid.typed.connect(self.typed)
        grid.arranged.connect(self._place_field)
        grid.heading_clicked.connect(self._rename)

    def write(self) -> None:
        """Start the input of a name for what is pointed at now."""
        self._move_field()
        self._field.setVisible(True)
        self._field.setFocus()
        # Without the focus nothing would release the point.
        self._grid.hold_point(self._field.hasFocus() and bool(self._grid.target_rows()))

    def _rename(self) -> None:
        # A click on the heading of a card: its name is selected, so that letters replace it.
        self.write()
        self._offered = self._grid.name_of(self._grid.cluster.start)
        self._field.setText(self._offered)
        self._field.selectAll()

    def _move_field(self) -> None:
        # The field for a card is in its heading, otherwise above the page.
        if self._grid.name_field_rect().isEmpty():
            self._header.insert_name_field()
        elif self._field.parentWidget() is not self._grid.viewport():
            self._field.blockSignals(True)  # it loses the focus for a moment
            self._field.setParent(self._grid.viewport())
            self._field.blockSignals(False)
        self._place_field()

    def _place_field(self) -> None:
        if self._field.parentWidget() is self._grid.viewport():
            self._field.setGeometry(self._grid.name_field_rect())

    def _unfocused(self) -> None:
        # A name is for the card where it was begun, so that a click elsewhere discards it.
        if self._field.window().focusWidget() is self._field:
            return  # another window has the focus for a while
        self._grid.hold_point(False)
        self.is_for_faces = False
        if self._field.text() != self._offered:
            self.discard()
        if self._field.parentWidget() is self._grid.viewport():
            self._field.clear()
            self._field.hide()

    def typed(self, text: str) -> None:
        """Insert letters that were typed on the grid into the field."""
        has_page = self._grid.page is not None and not self._grid.is_left
        has_target = bool(self._grid.target_rows())
        if has_page and not has_target:
            self.say_no_target()
        elif self._has_field or (has_page and not self._grid.has_clusters):
            self.write()
            self.is_for_faces = has_target
            self._field.insert(text)
        else:
            self._say_unused(text)

    def say_no_target(self) -> None:
        self._grid.worker.show_message(
            self.tr("Point at a face or a card, then type its name")
        )

    @property
    def is_typing(self) -> bool:
        return self._field.hasFocus()

    def page_renamed(self, before: ClassPage) -> None:
        if self._typed_for is before:
            self._typed_for = self._grid.page

    @property
    def _has_field(self) -> bool:
        description = self._grid.description
        if description is None or self._grid.is_left:
            return self._grid.waits or self._grid.is_left
        is_outside = description.has_clusters and self._grid.name_field_rect().isEmpty()
        return bool(description.placeholder) and not is_outside

    def page_changed(self, was_typing: bool) -> None:
        """Discard a name that was begun before, unless the page has a field for it."""
        if was_typing:
            self._grid.name_until = time.monotonic() + NAME_GRACE_SECONDS
        if not (was_typing and self._has_field):
            self.discard()

    def discard(self) -> None:
        """Discard a name that was begun, and say so."""
        if name := self._field.text():
            self._field.clear()
            self._say_unused(name)

    def _say_unused(self, name: str) -> None:
        self._grid.worker.show_message(
            self.tr("Typed, but not used: {name}").format(name=name)
        )

    def page_shown(self, was_typing: bool) -> None:
        """Focus the faces, unless a name is being typed."""
        if was_typing and self._field.text():
            self.write()
        else:
            types_elsewhere = isinstance(self._grid.window().focusWidget(), QLineEdit)
            if was_typing or (self._grid.isVisible() and not types_elsewhere):
                self._grid.setFocus()

    def _changed(self, text: str) -> None:
        if not self._text:
            self._typed_for = self._grid.page
        self._text = text

    def _on_name_entered(self, name: str) -> None:
        if self._typed_for != self._grid.page:
            self._typed_for = self._grid.page
            text = self.tr(
                "Typed before this page appeared: Enter again names these {name}"
            )
            self._grid.worker.show_message(text.format(name=name))
        else:
            self._name_page(self._field.resolve(name))
