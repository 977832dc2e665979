"""The tabs over the views: the title and the key of each."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent
from PySide6.QtWidgets import QTabBar

from labeler.qt.views.registry import VIEWS
from labeler.sorting.session import SortingProgress


class ViewTabs(QTabBar):
    """A tab for each view, in their order. Where there is no room for keys, tooltips say them."""

    def __init__(self) -> None:
        super().__init__()
        self.setExpanding(False)
        self.setDrawBase(False)
        self.setUsesScrollButtons(False)
        self.setElideMode(Qt.TextElideMode.ElideRight)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(self.tr("Views"))
        self._reports = 0
        for number, kind in enumerate(VIEWS):
            self.addTab(kind.shown_title())
            self.setTabToolTip(number, f"{kind.shown_title()}  {kind.key}")
        self._fit()

    def show_progress(self, progress: SortingProgress) -> None:
        """Say on their tab how many reports wait."""
        if progress.reports != self._reports:
            self._reports = progress.reports
            self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Show keys where all titles have room beside them."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        for with_keys in (True, False):
            for number, kind in enumerate(VIEWS):
                key = f"  {kind.key}" if with_keys else ""
                waiting = self._reports if kind.name == "reports" else 0
                count = f" · {waiting:,}" if waiting else ""
                self.setTabText(number, f"{kind.shown_title()}{key}{count}")
            if self.sizeHint().width() <= self.width():
                break
