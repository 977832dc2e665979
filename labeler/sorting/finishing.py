"""Which classes are done: nothing waits any more that may be theirs, so that they can be checked.

A class is not done while somebody waits whom nobody has an idea of: it may be one of its faces.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from gleanset.db.proposals import SortingQueue
from labeler.sorting.checks import DOZEN
from labeler.sorting.session import WITH_PAGE, SortingSession

FEWEST = 6
"""A class of which fewer were filed with a page is not worth a second look."""


class Finished(NamedTuple):
    """A class that is done, and how many of its faces a check would show."""

    label: str
    shown: int


class Finishing:
    """Follows what is proposed from page to page.

    A class stays on offer until it is taken, which happens once, or waits again.
    """

    def __init__(self, session: SortingSession) -> None:
        self._session = session
        self._likeness = SortingQueue(session.dataset.db)
        self._waited: set[str] = set()
        self._done: dict[str, Finished] = {}
        self._taken: set[str] = set()

    def filed(self, labels: Iterable[str]) -> None:
        """These classes got faces with a page."""
        self._waited.update(labels)

    def see(self, proposed: Collection[str | None]) -> None:
        """What is proposed for all that waits; None is for those whom nobody knows."""
        waits = {label for label in proposed if label is not None}
        if None in proposed:
            self._waited |= waits | set(self._done)
            self._done = {}
            return
        self._done = {label: told for label, told in self._done.items() if label not in waits}
        for label in sorted(self._waited - waits - self._taken - set(self._done)):
            row = self._session.classes.id_of(label)
            rows = self._likeness.with_page(row, WITH_PAGE) if row is not None else []
            if len(rows) >= FEWEST:
                self._done[label] = Finished(label, min(DOZEN, len(rows)))
        self._waited = waits

    def taken(self, label: str) -> None:
        """A class is being checked."""
        self._taken.add(label)
        self._done.pop(label, None)

    def offer(self) -> Finished | None:
        """The first class that is done and was not checked."""
        return next(iter(self._done.values()), None)
