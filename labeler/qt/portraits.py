"""The faces on the rail: each class by its most typical and its latest one."""

from __future__ import annotations

from PySide6.QtCore import QObject, QTimer

from gleanset.db.measures import SampleRegion
from labeler.qt.desk import Desk
from labeler.qt.rail_model import RailModel

REST_MS = 700


class Portraits(QObject):
    """Asks for them a little after counts have changed, not after every key."""

    def __init__(self, desk: Desk, rail: RailModel) -> None:
        super().__init__(desk)
        self._desk, self._rail = desk, rail
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._ask)
        desk.progressed.connect(self._changed)

    def _changed(self) -> None:
        if not self._rail.portraits:
            self._ask()
        elif not self._timer.isActive():
            self._timer.start(REST_MS)

    def _ask(self) -> None:
        self._desk.ask(lambda session: session.portraits(), self._take)

    def _take(self, found: dict[str, list[SampleRegion]]) -> None:
        self._rail.show_portraits(found)
