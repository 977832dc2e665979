"""How a class page is described, and its header: title, name field, buttons."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from labeler.qt.grid.layout import Section
from labeler.qt.session_worker import SessionWorker
from labeler.qt.theme import em
from labeler.qt.translations import tr
from labeler.qt.widgets import (
    HEAD,
    LetterKeysChip,
    NameField,
    TitleLabel,
    announce,
    button,
    column_layout,
    row_layout,
)
from labeler.sorting.page_layout import ClassPage, PageKind
from labeler.sorting.page_state import (
    SUGGESTIONS,
    KeyAction,
    file_page,
    show_next,
    suggest_again,
)

LOW_CONFIDENCE_SCALE = 1.5
ALL_CORRECT_MAX_WRONG, ALL_CORRECT_MIN_FACES = 0.1, 4
"""Limits of "probably all correct": expected errors, and faces, as the last few are unusual."""


def page_hints(page: ClassPage) -> str:
    """Return the hints about keys below a page."""
    if not page.tiles:
        return tr("Ctrl + Z: undo · F1: all keys")
    if page.kind is PageKind.PLAIN:
        return tr("A – Z: type a name · 1–9: its class · Ctrl + Z: undo · F1: all keys")
    if page.kind is PageKind.CLUSTERS:
        return tr(
            "A – Z: type a name · 1–9: its class · "
            "Ctrl + Enter: name, then next page · Click: exclude a face · "
            ".: nobody I collect · −: split · F1: all keys"
        )

    return tr(
        "Enter: all correct · A – Z: type a name · 1–9: its class · "
        "Click: exclude a face · Ctrl + Z: undo · F1: all keys"
    )


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
        title = tr("No similar face" if faces == 1 else "{count} similar", count=faces)

    return Section(
        title,
        len(tiles),
        shares_shelf=len(page.cards) > 1,
        key=keys.get(name, ""),
        portrait=tiles.index(best),
    )


def page_title(page: ClassPage) -> str:
    """Return what is on a page, and how confident its suggestions are."""
    if not page.tiles:
        return ""
    if page.kind is PageKind.PLAIN:
        return tr(
            "Comparing faces…  Cards of similar ones follow; or point and type a name"
        )

    if page.kind is PageKind.CLUSTERS:
        return tr(
            "Who are they?  {count} people to name · {number} · point and type"
            if len(page.cards) > 1
            else "Who is this?  {number} · type the name",
            count=len(page.cards),
            number=_describe_number(page),
        )

    return _suggestions_title(page)


def _suggestions_title(page: ClassPage) -> str:
    labels, wrong = page.labels, page.expected_wrong
    if not page.tested:
        quality = tr("accuracy unknown: check each face")
    elif wrong > ALL_CORRECT_MAX_WRONG or page.total < ALL_CORRECT_MIN_FACES:
        quality = tr("about {wrong} may be wrong", wrong=max(1, round(wrong)))
    else:
        quality = tr("probably all correct")

    return tr(
        "Several classes · {number} · {how}"
        if len(labels) > 1
        else "{label}?  {number} · {how}",
        label=next(iter(labels), ""),
        number=_describe_number(page),
        how=quality,
    )


def _describe_number(page: ClassPage) -> str:
    if len(page.rows) == page.total:
        return tr("{count} faces", count=page.total)
    return tr("{shown} of {count} faces", shown=f"{len(page.rows):,}", count=page.total)


ONE_ROW_EM = 46
TITLE_EM = 2.5
"""Height of the title: no page moves with it."""


class PageHeader(QWidget):
    """Header of a class page; its buttons call `press` as their keys do."""

    def __init__(
        self,
        worker: SessionWorker,
        press: Callable[[KeyAction], object],
    ):
        super().__init__()
        self.title = TitleLabel()
        self.name = NameField(worker)
        self.file_button = button("", partial(press, file_page), primary=True)
        self.skip_button = button(tr("Next page (PgDn)"), partial(press, show_next))
        self.better_button = button(
            tr("Better suggestions (Ctrl+R)"),
            partial(press, suggest_again),
        )

        self.name.setAccessibleName(tr("Who is this?"))
        self.title.setMinimumHeight(em(self, TITLE_EM))
        parts = (
            self.title,
            LetterKeysChip(),
            self.better_button,
            self.name,
            self.file_button,
            self.skip_button,
        )

        self.controls = row_layout(*parts, grows=self.title)
        self._rows = column_layout(self.controls, margins=HEAD)
        self._asks = False
        self.setLayout(self._rows)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)

    def show_page(
        self, page: ClassPage, count: int, *, is_begun: bool, offers_better: bool
    ) -> None:
        """Show a page: `count` faces to file or left; `is_begun` if some are named."""
        kind = page.kind if page.tiles else None
        files = kind in SUGGESTIONS
        self.better_button.setVisible(offers_better)
        self.file_button.setVisible(files or is_begun)
        self.skip_button.setVisible(kind is not None and (files or not is_begun))
        self._asks = kind in (PageKind.CLASS, PageKind.PLAIN)
        if self._asks:
            self.insert_name_field()
        self.name.setVisible(self._asks or bool(self.name.text()))
        self.name.setPlaceholderText(tr("Who is this?" if files else "Type a name"))
        self._place_title()
        action = tr("Enter: next page")
        if files:
            action = tr("Enter: all correct ({count})", count=count)
        elif kind is PageKind.CLUSTERS and count:
            action = tr("Enter: next page ({count} faces left)", count=count)

        self.file_button.setEnabled(count > 0 or not files)
        self.file_button.setText(action)
        title = page_title(page)
        if self.title.text() != title:
            self.title.setText(title)
            announce(self, title)

    def insert_name_field(self) -> None:
        """Take the field for a name back, which may be in a card of the page."""
        self.name.blockSignals(True)  # it loses the focus for a moment
        self.controls.insertWidget(self.controls.indexOf(self.file_button), self.name)
        self.name.blockSignals(False)

    def _place_title(self) -> None:
        # In a narrow window it is above the others, so that all of it can be read.
        is_narrow = self.width() < em(self, ONE_ROW_EM)
        layout = self._rows if self._asks and is_narrow else self.controls
        if layout.indexOf(self.title) < 0:
            layout.insertWidget(0, self.title, 1)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._place_title()
