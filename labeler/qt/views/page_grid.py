"""The grid of one class page: it draws a `PageState` and sends events."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from PySide6.QtCore import QEvent, QPoint, QRect
from PySide6.QtGui import (
    QColor,
    QDropEvent,
    QIcon,
    QInputMethodEvent,
    QKeyEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPixmap,
)

from labeler.qt.grid.gesture_view import GestureView
from labeler.qt.grid.layout import INSET, PlacedSection, Section
from labeler.qt.grid.model import (
    UNMARKED,
    TileMark,
    TileModel,
    TilePrediction,
    TileState,
)
from labeler.qt.grid.mouse import TileMimeData
from labeler.qt.grid.tile_view import TileAppearance, draw_filling
from labeler.qt.images import ThumbnailLoader
from labeler.qt.keyboard import TEXT_MODIFIERS
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import (
    CONTROL_RADIUS,
    SPACE_M,
    SPACE_S,
    Role,
    blend,
    colour,
    draw_frame,
    draw_text,
    edge,
    em,
    round_corners,
)
from labeler.qt.translations import target_name, tr
from labeler.qt.widgets import LetterKeysChip
from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.page_parts import Shown
from labeler.sorting.page_state import (
    PageState,
    click_heading,
    drop,
    point_at,
    type_name,
)
from labeler.sorting.session import Place

NAME_HEIGHT = 26
FOLD_WIDTH = 20
NAME_FIELD_EM = 16
"""Greatest width of the field for a name, in heights of a line of text."""

VEIL_OPACITY = 0.6
USUAL_SIDE = 56
"""Size in logical pixels that decides how many faces make a page; they are then fitted to it."""

MIN_PAGE_FACES = 24
MAX_PAGE_FACES = 240


class PageGrid(GestureView):
    """The grid of one page; `send` takes its events."""

    is_page = True
    labels_page = True
    min_side = 40

    def __init__(
        self, model: TileModel, thumbs: ThumbnailLoader, worker: SessionWorker
    ):
        super().__init__(model, thumbs, worker)
        self.page_state = PageState()
        self.send: Callable[..., object] = lambda act, *arguments: None
        self.names: dict[str, str] = {}
        """The current names of classes that were renamed."""
        self._drop_tile = -1  # of the card under a drag
        self._swept_name = ""
        self._pointed_at = QPoint()
        self.setAcceptDrops(True)
        self.viewport().setAcceptDrops(True)

    # -- drawing

    def paintEvent(self, event: QPaintEvent) -> None:
        """Paint a page that takes no more labels paler."""
        super().paintEvent(event)
        if self.page_state.is_preparing:
            # The page stays readable, but looks as if it were behind glass.
            veil = colour(Role.Window)
            veil.setAlphaF(VEIL_OPACITY)
            QPainter(self.viewport()).fillRect(event.rect(), veil)

    def show_state(self, state: PageState) -> None:
        """Draw a state."""
        before = self.page_state
        self.page_state = state
        is_new = state.shown.page is not before.shown.page
        if is_new:
            self._show_page(state.shown.page)
        if state.shown is not before.shown:
            self._show_marks(state.shown)
        if state.point != self.point:
            # A key moved the point away from what is under the mouse.
            if state.point >= 0 and state.under < 0 and not is_new:
                self.mouse.leads = False
            super().set_point(state.point)

        if state.card != before.card:
            self.pointed.emit(self.detail_row())
        drawn = (state.card, state.name, state.is_preparing)
        if drawn != (before.card, before.name, before.is_preparing):
            self.viewport().update()

    def rename(self, names: dict[str, str]) -> None:
        """Show the current names of classes instead of others."""
        self.names = {
            old: names.get(name, name) for old, name in self.names.items()
        } | names
        page = self.page_state.shown.page.rename(self.names)
        self.tiles.set_titles(
            page_sections(page, self.worker.keys), suggestions_by_sample(page)
        )
        self._show_marks(self.page_state.shown)
        self.lay_out()

    def _current(self, name: str) -> str:
        return self.names.get(name, name)

    def _show_page(self, page: ClassPage) -> None:
        places = self.places()
        page = page.rename(self.names)
        self._drop_tile = -1  # a drag over the page before cannot end here
        self.tiles.only_waiting = True
        self.tiles.show(
            [tile.rows[0] for tile in page.tiles],  # of each stack the first sample
            page_sections(page, self.worker.keys),
            suggestions_by_sample(page),
            {tile.rows[0]: tile.rows for tile in page.tiles},
        )

        self.fit_page()
        # Faces that were not on the screen come out of their portraits.
        for card in self._grid.placed:
            if card.section.portrait >= 0:
                start = card.portrait.topLeft()
                places = dict.fromkeys(self.tiles.ids(card.rows), start) | places

        self.slide_from(places)

    def _show_marks(self, shown: Shown) -> None:
        states = dict.fromkeys(
            shown.lifted,
            TileState(TileMark.LIFTED),
        )
        for tile, name in shown.sent.items():
            states[tile] = self.tiles.send_state(self._current(name))
        before = self.tiles.states
        # Labels that are being taken back are not shown until the tiles are read again.
        was_sent = (row for row in before if before[row].mark is TileMark.SENT)
        self.tiles.states = states
        self.tiles.withdraw_labels(row for row in was_sent if row not in shown.sent)
        self.selectionModel().clearSelection()

    def look_from(self, row: int) -> None:
        """Scroll to a tile, in a card that is unfolded for it."""
        card = self._grid.section_of(row)
        if card is not None and card.section.folded:
            self.fold(card)
        super().look_from(row)

    def fold(self, card: PlacedSection) -> None:
        """Fold the faces of a card, or unfold them."""
        sections = list(self.tiles.sections)
        folded = replace(card.section, folded=not card.section.folded)
        sections[self._grid.placed.index(card)] = folded
        self.tiles.sections = tuple(sections)
        self.lay_out()

    def room(self) -> int:
        """Return how many faces make a page that fills the window."""
        return min(max(self.capacity(USUAL_SIDE), MIN_PAGE_FACES), MAX_PAGE_FACES)

    def _heading_card(self, row: int) -> int:
        return self.page_state.shown.card_at(row) if self.page_state.shown.cards else -1

    def _lit_card(self) -> int:
        """Return the card that a key, a name or a drop would change as a whole."""
        state = self.page_state
        tiles = state.name.tiles if state.name is not None else state.targets()
        if self._drop_tile >= 0:
            return state.shown.card_at(self._drop_tile)
        # Pointing at a tile that is excluded or decided is for this tile alone.
        is_whole = tiles and {*tiles} == {*state.shown.targets(state.card)}
        return state.card if is_whole or state.point < 0 else -1

    def lit_sections(self) -> set[int]:
        """Return the first tiles of the boxes of the card that is lit as a target."""
        lit_card = self._lit_card()
        return {placed.first for card, placed in self.cards() if card == lit_card >= 0}

    def cards(self) -> list[tuple[int, PlacedSection]]:
        """Return the boxes on the screen with the cards that their headings are for."""
        return [(self._heading_card(box.first), box) for box in self._grid.placed]

    def caption(self, row: int) -> str:
        target = self.tiles.state(row).target
        return "" if target in list(Place) else target

    def appearance(self, row: int) -> TileAppearance:
        """Show a tile without the name if it is that of its card, which the heading says."""
        tile = super().appearance(row)
        state = self.page_state
        if not state.shown.cards:
            return tile
        card = state.shown.cards[row]
        if card != self._heading_card(row):
            # It belongs to another card than the box that it is in.
            tag = tile.state.key or state.shown.tag(card)
            is_lit = tile.pointed or card == self._lit_card()
            return tile._replace(state=tile.state._replace(key=tag), pointed=is_lit)

        is_named = tile.caption == self._current(state.shown.name_of(card)) != ""
        if is_named and state.shown.is_done(card):
            return tile._replace(state=UNMARKED, caption="")
        return tile

    def paint_heading(
        self, painter: QPainter, line: QRect, placed: PlacedSection, ground: QColor
    ) -> None:
        """Paint the name of a card, or a field for it, and how many faces it is for."""
        state = self.page_state
        card = self._heading_card(placed.first)
        if card < 0:
            super().paint_heading(painter, line, placed, ground)
            return

        place = placed.portrait.translated(0, -self.verticalOffset())
        draw_filling(painter, place, self._portrait(placed))
        round_corners(painter, place, ground, place.width() / 2)
        line = self._name_line(placed)
        painter.setFont(self.font())
        # On a narrow card the note needs the room below the triangle, too.
        draw_text(
            painter,
            line.adjusted(SPACE_S, NAME_HEIGHT, FOLD_WIDTH, NAME_HEIGHT),
            self._note(placed),
        )
        mark = "▸" if placed.section.folded else "▾"
        draw_text(
            painter,
            line.translated(line.width() + SPACE_S, 0),
            mark,
        )

        tag = state.shown.tag(card)
        name = self._current(state.shown.name_of(card))
        if name:
            title = f"{tag} {name}?"
            if state.shown.is_done(card):
                title = f"{tag} {target_name(name)} ✓"
            key = self.worker.keys.get(name, "")
            section = replace(placed.section, title=title.strip(), key=key)
            placed = placed._replace(section=section)
            super().paint_heading(painter, line, placed, ground)
            return

        pen = QPen(blend(edge(), colour(Role.Text), 0.1), 1)
        field = self._name_field(placed)
        draw_frame(
            painter,
            field,
            pen,
            colour(Role.Base),
            CONTROL_RADIUS,
        )
        draw_text(
            painter, field.adjusted(SPACE_M, 0, 0, 0), f"{tag} {tr('Name?')}".strip()
        )

    def _note(self, placed: PlacedSection) -> str:
        """Return how many faces a name is typed for, Del would reject, or a card has."""
        state = self.page_state
        if state.name is not None and placed == self._named_box():
            named = len(state.shown.samples(state.name.tiles))
            return f"Enter: {named:,}"

        card = self._heading_card(placed.first)
        tiles = state.shown.targets(card)
        count = len(state.shown.samples(tiles))
        # A selection is what Del rejects, and has no heading of its own.
        is_target = card == self._lit_card() and tiles == state.targets()
        if is_target and len(tiles) > 1 and not self.selected_rows():
            return tr("Del: reject {count}", count=count)
        return f"{count:,}"

    def _portrait_row(self, placed: PlacedSection) -> int:
        # The best face, unless it was taken out of the card.
        best = placed.first + placed.section.portrait
        tiles = self.page_state.shown.targets(self._heading_card(placed.first))
        return best if best in tiles else next(iter(tiles), best)

    def _portrait(self, placed: PlacedSection) -> QPixmap | str | None:
        return self.thumbnail(self._portrait_row(placed), placed.portrait)

    def portrait_icon(self, placed: PlacedSection) -> QIcon:
        """Return the portrait of a card as an icon."""
        portrait = self._portrait(placed)
        return QIcon(portrait) if isinstance(portrait, QPixmap) else QIcon()

    def _name_line(self, card: PlacedSection) -> QRect:
        """Return where the name of a card is, in the viewport."""
        portrait = card.portrait.translated(
            0,
            -self.verticalOffset(),
        )
        left = portrait.right() + SPACE_M
        room = card.box.right() - INSET - FOLD_WIDTH - left
        return QRect(left, portrait.center().y() - NAME_HEIGHT, room, NAME_HEIGHT)

    def _name_field(self, card: PlacedSection) -> QRect:
        """Return where the field for the name of a card is, in the viewport."""
        line = self._name_line(card)
        line.setWidth(min(line.width(), em(self, NAME_FIELD_EM)))
        return line

    def _named_box(self) -> PlacedSection | None:
        name = self.page_state.name
        tiles = name.tiles if name is not None and self.page_state.shown.cards else ()
        return self._grid.section_of(tiles[0]) if tiles else None

    def name_field_rect(self) -> QRect:
        """Return where the field for the card to be named belongs, in the viewport; or empty."""
        box = self._named_box()
        return self._name_field(box) if box is not None else QRect()

    # -- keys

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
        """Pass letters of a name on, other keys to the grid."""
        if not self.is_composing and self._is_name_key(event):
            self._type(event.text())
        else:
            super().keyPressEvent(event)

    def inputMethodEvent(self, event: QInputMethodEvent) -> None:
        super().inputMethodEvent(event)
        if event.commitString():
            self._type(event.commitString())

    def _type(self, text: str) -> None:
        name = self.page_state.name
        text_before = name.text if name is not None else ""
        self.send(
            type_name,
            text_before + text,
            tuple(self.selected_rows()),
        )

    def _is_name_key(self, event: QKeyEvent) -> bool:
        has_page = self.page_state.is_ready or self.page_state.is_preparing
        # `codes.first` is the first key of a class key of two.
        if not has_page or self.codes.first or event.modifiers() & ~TEXT_MODIFIERS:
            return False
        return self.begins_name(event.text())

    def begins_name(self, text: str) -> bool:
        """Return whether a key begins a name: any letter or digit that is not a class key."""
        acts = text.isdigit() or LetterKeysChip.is_switched_on()
        return text.isalnum() and not (
            acts and text.lower() in self.worker.keys.values()
        )

    def class_key(self, key: str, for_page: bool) -> None:
        """Label what is pointed at, or with Shift the page if one class is suggested."""
        names = (self.tiles.state(row).target for row in self.target_rows())
        self._swept_name = next(names, "")
        super().class_key(
            key,
            for_page and not self.page_state.shown.has_clusters,
        )

    def sweep(self, row: int) -> None:
        """Add the tile under the mouse, unless it has another name than the first one had."""
        if row < 0 or self.tiles.state(row).target in ("", self._swept_name):
            super().sweep(row)

    # -- what is pointed at

    def detail_row(self) -> int:
        """Return the tile that is pointed at, or the portrait of the card that is."""
        lit = self.lit_sections()
        boxes = (box for box in self._grid.placed if box.first in lit)
        portrait = max(map(self._portrait_row, boxes), default=-1)
        return self.point if self.point >= 0 else portrait

    def clear_point(self) -> None:
        self.point = -1  # the state says what is pointed at

    def set_point(self, row: int) -> None:
        """Point at a tile; when the mouse leaves, at the first card without a name."""
        shown = self.page_state.shown
        has_mouse = self.mouse.at is not None
        if row < 0 and shown.has_clusters and not has_mouse:
            row = shown.next_open(0)
        # At the tile, not at a card alone (-1).
        self.send(point_at, row, -1, self.mouse.leads and has_mouse)

    def point_at(self, place: QPoint) -> None:
        """Point at a tile; on the heading or a gap of a cluster, at the cluster alone."""
        section = self.section_at(place)
        has_moved = place != self._pointed_at
        self._pointed_at = place
        # A page that appears under a mouse at rest keeps its first card as the target.
        if section or has_moved:
            on_card = section.start if section else -1
            self.send(point_at, self.indexAt(place).row(), on_card)

    def target_rows(self) -> list[int]:
        return list(self.page_state.targets(tuple(self.selected_rows())))

    def expand_targets(self, row: int) -> list[int]:
        """Return the tile, or if it is an open one of a cluster all open ones."""
        shown = self.page_state.shown
        return list(shown.find_key_targets(row, shown.cluster_of(row)))

    def click_outside(self, place: QPoint) -> None:
        """Name a card whose heading is clicked, or fold it."""
        place += QPoint(0, self.verticalOffset())
        card = self._grid.section_at(place)
        if card is None or place.y() >= card.top:
            return
        if card.section.portrait >= 0 and place.x() > self._name_line(card).right():
            self.fold(card)
        else:
            self.send(click_heading, card.first)

    def movable_rows(self, point: QPoint) -> list[int]:
        """Return the open tiles of a card, all of which a drag from its heading or gaps moves."""
        section = self.section_at(point)
        card = self._heading_card(section.start) if section else -1
        return list(self.page_state.shown.targets(card))

    # -- dropping on a card

    def dragEnterEvent(self, event: QDropEvent) -> None:
        cards = self.page_state.shown.cards
        event.setAccepted(bool(cards and self._find_dragged(event)))

    def dragMoveEvent(self, event: QDropEvent) -> None:
        """Highlight the card under the mouse, if it would get new tiles."""
        cards = self.page_state.shown.cards
        section = self.section_at(event.position().toPoint())
        tile = section.start if section else -1
        own = {cards[row] for row in self._find_dragged(event)}
        is_other = tile >= 0 and bool(own - {self._heading_card(tile)})
        self._light(tile if is_other else -1)
        event.setAccepted(is_other)

    def dragLeaveEvent(self, event: QEvent) -> None:
        self._light(-1)

    def dropEvent(self, event: QDropEvent) -> None:
        tile = self._drop_tile
        self._light(-1)
        event.setAccepted(tile >= 0)
        self.mouse.at = event.position().toPoint()  # Qt reports no moves during a drag
        if tile >= 0:
            self.send(drop, self._find_dragged(event), tile)

    def _find_dragged(self, event: QDropEvent) -> tuple[int, ...]:
        mime = event.mimeData()
        ids = mime.ids if isinstance(mime, TileMimeData) else ()
        rows = {self.tiles.row_of(sample) for sample in ids}
        return tuple(sorted(row for row in rows if row >= 0))

    def _light(self, tile: int) -> None:
        self._drop_tile = tile
        self.viewport().update()


LOW_CONFIDENCE_SCALE = 1.5


def page_sections(page: ClassPage, keys: Mapping[str, str]) -> list[Section]:
    """Return the cards or parts of a page; `keys` are the keys of the classes."""
    if page.cards:
        return [_card_section(page, members, keys) for members in page.cards]
    if page.doubtful:
        return [
            Section(tr("Low confidence"), page.doubtful, LOW_CONFIDENCE_SCALE),
            Section(tr("High confidence"), len(page.tiles) - page.doubtful),
        ]
    return [Section("", len(page.tiles))]


def _card_section(
    page: ClassPage, members: Sequence[int], keys: Mapping[str, str]
) -> Section:
    """Return a card with its most confident face, of a cluster the most typical, as portrait."""
    tiles = [page.tiles[tile] for tile in members]
    best = max(tiles, key=lambda tile: tile.prediction.confidence)
    name = best.prediction.label or ""
    title = f"{name}?"
    if page.kind is PageKind.CLUSTERS:
        faces = sum(len(tile.rows) for tile in tiles)
        title = tr(
            "No similar face" if faces == 1 else "{count} similar",
            count=faces,
        )

    return Section(
        title,
        len(tiles),
        shares_shelf=len(page.cards) > 1,
        key=keys.get(name, ""),
        portrait=tiles.index(best),
    )


def suggestions_by_sample(page: ClassPage) -> dict[int, TilePrediction]:
    """Return the suggestions of the tiles of a page, by their first sample."""
    return {
        rows[0]: TilePrediction(
            best.label, best.confidence or None, len(rows), best.top
        )
        for _, rows, best in page.tiles
    }
