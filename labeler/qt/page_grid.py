"""How a page becomes tiles: headings and sizes."""

from __future__ import annotations

from collections.abc import Mapping

from PySide6.QtCore import QCoreApplication

from labeler.qt.gesture_view import GestureView
from labeler.qt.grid_layout import Section
from labeler.qt.tile_model import Proposed, TileModel
from labeler.sorting.composing import Page

SMALLEST, LARGEST = 72, 176
LARGER = 1.5


class PageGrid(GestureView):
    """The grid of one page. `keys` are those of the classes."""

    page: Page | None = None
    keys: dict[str, str]

    def show_page(self, page: Page | None, keys: dict[str, str]) -> None:
        """Show a page, or nothing."""
        self.page, self.keys = page, keys
        self.tiles.blind = page is not None and page.kind == "check"
        self.tiles.only_waiting = not self.tiles.blind
        fill(self.tiles, page, keys)
        self.fit_page()

    def fit_page(self) -> None:
        """Tiles as large as will be seen all at once."""
        self.fit(SMALLEST, LARGEST)


def fill(model: TileModel, page: Page | None, keys: Mapping[str, str]) -> None:
    """Show the tiles of a page in a model; each stands for the samples of its stack."""
    tiles = page.tiles if page else ()
    proposed = {
        t.rows[0]: Proposed(t.proposal.label, t.proposal.confidence or None, len(t.rows))
        for t in tiles
    }
    model.show(
        [t.rows[0] for t in tiles],
        sections_of(page, keys) if page else (),
        proposed,
        {t.rows[0]: t.rows for t in tiles},
    )


def sections_of(page: Page, keys: Mapping[str, str]) -> list[Section]:
    """The doubtful ones first and larger; a page of several classes class by class."""
    if page.kind == "left":
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
