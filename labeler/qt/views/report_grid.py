"""Reports as tiles: the face, what the visitor claims, what the model said, the note, when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from PySide6.QtCore import QCoreApplication, QDateTime, Qt

from gleanset import Dataset
from gleanset.db.reports import Report
from gleanset.db.sorting import SampleTile
from labeler.qt.grid.gesture_view import GestureView
from labeler.qt.grid.layout import GAP
from labeler.qt.grid.model import Index, TileMark, TileModel, TileProposal
from labeler.qt.grid.painter import TileAppearance
from labeler.qt.grid.thumbnails import BrokenThumbnail
from labeler.qt.theme import em
from labeler.qt.views.enlarged import EnlargedFace
from labeler.review.reports import ReportPage, report_tiles, shown_text, walk_of_report
from labeler.sorting.session import SortingSession
from labeler.sorting.whole_pictures import PictureWalk

SMALLEST, USUAL, LARGEST = 9.0, 12.0, 18.0
"""Of a tile, in heights of a line of text: some of these are below the face."""

FEWEST, MOST = 6, 120
"""Reports on a page, however small or large the window is."""


class ReportModel(TileModel):
    """Tiles are reports, by negative numbers; what does not wait any more is shown as done."""

    reports: Mapping[int, Report] = MappingProxyType({})
    rivals: Mapping[int, Sequence[str]] = MappingProxyType({})

    def read(self, session: SortingSession, ids: Sequence[int]) -> dict[int, SampleTile]:
        """Return the details of reports."""
        return report_tiles(session.dataset, ids)

    def show_page(self, page: ReportPage) -> None:
        """Show reports."""
        self.only_waiting = True
        self.reports, self.rivals = page.reports, page.rivals
        proposed = {
            tile: TileProposal(shown_text(one.claim.claimed)) for tile, one in page.reports.items()
        }
        self.show(list(page.reports), proposed=proposed)

    def report(self, row: int) -> Report:
        """Return the report of a tile."""
        return self.reports[self.id(row)]

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        """Return texts for screen readers, and no tool tip: Qt would take a note for markup."""
        return None if role == Qt.ItemDataRole.ToolTipRole else super().data(index, role)

    def spoken(self, row: int) -> str:
        """Return what is claimed and said, and what became of it."""
        words = (super().spoken(row), *words_of(self.report(row))[1:])
        return ", ".join(word for word in words if word)


class ReportGrid(GestureView):
    """A page of reports. A click leaves one out, or takes it in again."""

    @property
    def tiles(self) -> ReportModel:
        """The model."""
        model = super().tiles
        assert isinstance(model, ReportModel)
        return model

    def room(self) -> int:
        """Return how many reports make a page that fills the window."""
        size, best = self.viewport().size(), (0.0, 0)
        for side in range(em(self, SMALLEST), em(self, USUAL) + 1, 2):
            columns = max(1, (size.width() - GAP) // (side + GAP))
            cell = (size.width() - GAP) // columns  # tiles share what is left of a line
            lines = max(1, (size.height() - GAP) // cell)
            best = max(best, (lines * cell / max(1, size.height()), lines * columns))
        return min(max(best[1], FEWEST), MOST)

    def fit_page(self) -> None:
        """Make tiles as large as can be seen all at once."""
        self.fit(em(self, SMALLEST), em(self, LARGEST))

    def appearance(self, row: int) -> TileAppearance:
        """Return it with what is told of the report below the face."""
        return super().appearance(row)._replace(below=self.words(row))

    def words(self, row: int) -> tuple[str, ...]:
        """Return the lines below a face."""
        claim, said, note, when = words_of(self.tiles.report(row))
        rivals = self.tiles.rivals.get(self.tiles.id(row), ())
        if rivals:
            note = "⚠ " + " / ".join(map(shown_text, rivals))
        return claim, said, note, when

    def unmarked(self) -> list[int]:
        """Return the tiles with which nothing was done."""
        rows = range(self.tiles.rowCount())
        return [row for row in rows if self.tiles.state(row).kind is TileMark.IN]

    def is_broken(self, row: int) -> bool:
        """Return whether the picture cannot be shown."""
        return isinstance(super().appearance(row).picture, BrokenThumbnail)


class EnlargedReport(EnlargedFace):
    """A report in its whole picture; of a long note the beginning."""

    def walk(self, dataset: Dataset, shown: int) -> PictureWalk:
        """Return the picture of a report."""
        return walk_of_report(dataset, shown)

    def words(self) -> str:
        """Return what is claimed, what the model said, when, and the note."""
        row, tiles = self.row, self._view.tiles
        if row < 0 or not isinstance(tiles, ReportModel):
            return ""
        state = tiles.state(row)
        gone = f"→ {state.target}" if state.kind in (TileMark.SENT, TileMark.DONE) else ""
        claim, said, note, when = words_of(tiles.report(row))
        return "   ·   ".join(part for part in (gone, claim, said, when, note) if part)


def words_of(report: Report) -> tuple[str, str, str, str]:
    """Return what is claimed, what the model said and how sure, the note, and when, each a line."""
    claim = report.claim
    if claim.confidence is None:
        said = QCoreApplication.translate("Reports", "The model found no face")
    elif claim.answer is None:  # how sure it is of whom it holds the likeliest
        said = QCoreApplication.translate("Reports", "Model: unknown, ≤ {percent} %")
    else:
        said = QCoreApplication.translate("Reports", "Model: {answer}, {percent} %")
    answer, percent = shown_text(claim.answer or ""), round((claim.confidence or 0) * 100)
    said = said.format(answer=answer, percent=percent)
    when = QDateTime.fromString(report.at, Qt.DateFormat.ISODate).toLocalTime()
    return (
        f"{shown_text(claim.claimed)}?",
        said,
        shown_text(claim.note),
        when.toString("yyyy-MM-dd HH:mm"),
    )
