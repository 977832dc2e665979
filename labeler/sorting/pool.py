"""Which of the samples that wait are looked at for a page: bounded, however many wait."""

from __future__ import annotations

from typing import NamedTuple

from gleanset.db.sorting import SampleFeatures, SortingQueue
from labeler.sorting.measuring import POOL
from labeler.sorting.page_layout import ClassPage
from labeler.sorting.session import SortingSession


class PooledSamples(NamedTuple):
    """Samples that are looked at, and what is proposed for all that waits besides them."""

    likes: list[SampleFeatures]
    others: set[str | None]


class WaitingPool:
    """Chooses for one session what is looked at. Skipped samples come last."""

    def __init__(self, session: SortingSession) -> None:
        self._session = session
        self._queue = SortingQueue(session.dataset.db)
        self._skipped: dict[int, str | None] = {}

    def next(self) -> PooledSamples:
        """Return what is to be looked at now."""
        rows, others = self._rows()
        fresh = [row for row in rows if row not in self._skipped]
        if rows and not fresh:
            # Everything else is done: those that were skipped come again.
            self._skipped.clear()
            fresh = rows
        others |= {self._skipped[row] for row in rows if row in self._skipped}
        return PooledSamples(self._queue.of(fresh[:POOL]), others)

    def _rows(self) -> tuple[list[int], set[str | None]]:
        """Return those of the class that most wait for, where there are more than can be
        looked at.
        """
        most = POOL + len(self._skipped)
        rows = self._queue.waiting(most + 1)
        if len(rows) > most and (proposed := self._queue.proposed()):
            label = max(proposed, key=lambda row: (proposed[row], -row))
            others = {self._session.classes.name_of(row) for row in proposed}
            return self._queue.waiting_for(label, most), {*others}
        return rows, {None} if len(rows) > most else set()

    def skip(self, page: ClassPage) -> None:
        """Look at others first."""
        for tile in page.tiles:
            self._skipped.update(dict.fromkeys(tile.rows, tile.proposal.label))
