"""The tabs over the views: the title and the key of each."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QTabBar

from labeler.qt.views.registry import VIEWS
from labeler.sorting.session import SortingProgress


class ViewTabs(QTabBar):
    """A tab for each view, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.setExpanding(False)
        self.setDrawBase(False)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(self.tr("Views"))
        for kind in VIEWS:
            self.addTab(f"{kind.shown_title()}  {kind.key}")
        self._reports = next(n for n, kind in enumerate(VIEWS) if kind.name == "reports")

    def show_progress(self, progress: SortingProgress) -> None:
        """Say on their tab how many reports wait."""
        kind = VIEWS[self._reports]
        count = f" · {progress.reports:,}" if progress.reports else ""
        self.setTabText(self._reports, f"{kind.shown_title()}  {kind.key}{count}")
