"""The tabs over the views: the title and the key of each."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QTabBar

from labeler.qt.views.registry import VIEWS


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
