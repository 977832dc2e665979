"""The grid: one place of the class list, all of it, in the order in which its images came."""

from __future__ import annotations

from array import array

from PySide6.QtWidgets import QLabel, QVBoxLayout

from gleanset.db.paging import Where
from labeler.qt.grid.gesture_view import GridCommand
from labeler.qt.views.base import ViewContext
from labeler.qt.views.sending import SendingView
from labeler.sorting.session import Place, SortingSession

CATALOGUE_PLACES = {
    Place.QUEUE: "queue",
    Place.LATER: "later",
    Place.OTHER: "other",
    Place.REJECT: "rejected",
}
"""The names of places in `gleanset.db.sorting.PLACES`."""


class SortingView(SendingView):
    """Everything of a class, or of what waits: drag, point and press, select, relabel."""

    def __init__(self, context: ViewContext) -> None:
        super().__init__(context)
        self.place = Place.QUEUE.target
        self.scrolled = self._asked = 0
        self.title = QLabel()
        self.title.setMargin(6)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.title)
        column.addWidget(self.view)

    def enter(self) -> None:
        """Show the place anew: what was sent away is gone now."""
        self.open_place(self.place)
        self.view.setFocus()

    def open_place(self, place: str) -> bool:
        """Show a class, or a place besides classes; only the last answer counts."""
        self.place = place
        self._asked += 1
        number = self._asked

        def opened(ids: array[int]) -> None:
            if number == self._asked:
                self._opened(ids)

        self.worker.ask(lambda session: ids_of(session, place), opened)
        return True

    def _opened(self, ids: array[int]) -> None:
        self.forget_sent()
        self.model.only_waiting = self.place == Place.QUEUE.target
        self.model.show(ids)
        if self.scrolled:
            self.view.verticalScrollBar().setValue(self.scrolled)
            self.scrolled = 0
        names: dict[str, str] = {
            Place.QUEUE: self.tr("Not sorted yet"),
            Place.LATER: self.tr("Later"),
            Place.OTHER: self.tr("Other faces"),
            Place.REJECT: self.tr("Not a face"),
        }
        name = names.get(self.place[1:], self.place) if self.place.startswith(":") else self.place
        self.title.setText(
            self.tr("{name} · {count} faces").format(name=name, count=f"{len(ids):,}")
        )
        if not ids:
            self.title.setText(self._nothing(name))

    def _nothing(self, name: str) -> str:
        counts = self.worker.last.counts if self.worker.last else None
        if counts is not None and not counts.total:
            root = self.worker.root
            return self.tr(
                "There are no faces in this dataset yet. Run:  harvest folder PICTURES -d {root}"
                "  and then  facecrop run -d {root}"
            ).format(root=root)
        return self.tr("{name} · nothing here").format(name=name)

    def commanded(self, command: GridCommand, rows: list[int]) -> None:
        """Let Enter read the place anew, besides what all grids know."""
        if command is GridCommand.ENTER:
            self.enter()
        else:
            super().commanded(command, rows)


def ids_of(session: SortingSession, place: str) -> array[int]:
    """Return the samples (rows) of a place of the class list."""
    if place.startswith(":"):
        return session.tiles.ids(place=CATALOGUE_PLACES[Place(place[1:])])
    return session.tiles.ids(Where(label=place, status="labelled"))
