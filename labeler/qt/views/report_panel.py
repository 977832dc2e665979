"""The panel beside reports: the face large, and all that is told of it, long notes too."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtGui import QTextOption
from PySide6.QtWidgets import QFrame, QPlainTextEdit, QVBoxLayout, QWidget

from gleanset.db.reports import Report
from gleanset.db.sorting import SampleTile
from labeler.qt.detail_panel import SQUARE, SamplePicture
from labeler.qt.grid.thumbnails import ThumbnailLoader
from labeler.qt.theme import em
from labeler.qt.views.report_grid import words_of
from labeler.review.reports import shown_text

WIDTH = 14


class ReportPanel(QWidget):
    """Follows the report that is pointed at. Texts of visitors are plain text in a field that
    scrolls: they neither widen nor lengthen the window.
    """

    def __init__(self, thumbs: ThumbnailLoader) -> None:
        super().__init__()
        self._face = SamplePicture(thumbs, SQUARE, self.tr("The face, large"))
        self.words = QPlainTextEdit()
        self.words.setReadOnly(True)
        self.words.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.words.setFrameShape(QFrame.Shape.NoFrame)
        self.words.setWordWrapMode(QTextOption.WrapMode.WrapAtWordBoundaryOrAnywhere)
        self.words.viewport().setAutoFillBackground(False)
        self.words.setAccessibleName(self.tr("What is told of it"))
        self.setFixedWidth(em(self, WIDTH))
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.addWidget(self._face)
        column.addWidget(self.words, 1)
        self.show_report(None, None)

    def show_report(
        self, tile: SampleTile | None, report: Report | None, rivals: Sequence[str] = ()
    ) -> None:
        """Show one; None for nothing."""
        self._face.show_seen(tile.seen if tile else None)
        self._face.setVisible(tile is not None)
        if report is None:
            text = self.tr("Point at a report: here its face is shown large, with the whole note.")
            self.words.setPlainText(text)
            return
        claim, said, note, when = words_of(report)
        parts = [f"{claim}\n{said}\n{when}"]
        if rivals:
            others = " / ".join(map(shown_text, rivals))
            parts.append("⚠ " + self.tr("Others say: {names}").format(names=others))
        self.words.setPlainText("\n\n".join(part for part in (*parts, note) if part))
