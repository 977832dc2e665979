"""Blind second looks: a dozen faces that were filed with a page, shown without their name.

A person who is shown a proposal tends to see it (Beck et al., "CleverLabel", 2023). What is
changed on such a page gives a measured error rate for the class, kept in the catalogue. A check
is offered for a class that is complete: nothing waits any more that may be of it, nor anybody of
whom nobody has an idea.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable
from typing import NamedTuple

from gleanset.db.sorting import SortingQueue
from labeler.sorting.page_layout import ClassPage, PageKind, PageTile
from labeler.sorting.proposals import NO_IDEA
from labeler.sorting.session import NO_STEP, QUEUE, WITH_PAGE, SortingSession, StepResult

FEWEST = 6
"""A class of which fewer were filed with a page is not worth a second look."""


class CompletedClass(NamedTuple):
    """A class that is done, and how many of its faces a check would show."""

    label: str
    shown: int


class ClassCompletion:
    """Follows what is proposed from page to page.

    A class stays on offer until it is taken, which happens once, or waits again.
    """

    def __init__(self, session: SortingSession) -> None:
        self._session = session
        self._likeness = SortingQueue(session.dataset.db)
        self._waited: set[str] = set()
        self._done: dict[str, CompletedClass] = {}
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
        self._done = {label: known for label, known in self._done.items() if label not in waits}
        for label in sorted(self._waited - waits - self._taken - set(self._done)):
            row = self._session.classes.id_of(label)
            rows = self._likeness.with_page(row, WITH_PAGE) if row is not None else []
            if len(rows) >= FEWEST:
                self._done[label] = CompletedClass(label, min(DOZEN, len(rows)))
        self._waited = waits

    def taken(self, label: str) -> None:
        """Note that a class is being checked."""
        self._taken.add(label)
        self._done.pop(label, None)

    def offer(self) -> CompletedClass | None:
        """Return the first class that is done and was not checked."""
        return next(iter(self._done.values()), None)


DOZEN = 12


class ErrorRate(NamedTuple):
    """How many labels of a class did not hold, of how many that were looked at again."""

    wrong: int
    looked_at: int

    @property
    def share(self) -> float:
        """The measured part of errors."""
        return self.wrong / self.looked_at if self.looked_at else 0.0


class Checks:
    """Second looks of one session. `dice` decides which faces are shown."""

    def __init__(self, session: SortingSession, dice: random.Random | None = None) -> None:
        self._session = session
        self._likeness = SortingQueue(session.dataset.db)
        self._dice = dice or random.Random()  # noqa: S311 - a sample, not a secret

    def page(self, label: str) -> ClassPage | None:
        """Return a dozen of a class, at random among those filed with a page and not yet
        checked.
        """
        row = self._session.classes.id_of(label)
        rows = self._likeness.with_page(row, WITH_PAGE) if row is not None else []
        if not rows:
            return None
        chosen = sorted(self._dice.sample(rows, min(DOZEN, len(rows))))
        tiles = tuple(PageTile((one,), NO_IDEA) for one in chosen)
        return ClassPage(PageKind.CHECK, label, tiles, 0, len(rows))

    def answer(self, page: ClassPage, lifted: Collection[int], sent: Collection[int]) -> StepResult:
        """Return what a person said: `lifted` tiles go back to the queue, `sent` were sent
        already. One that was sent to the class itself holds.
        """
        row = self._session.classes.id_of(page.label or "")
        now = self._session.tiles.of([page.tiles[n].rows[0] for n in sent])
        agreed = {
            n for n in sent if (tile := now.get(page.tiles[n].rows[0])) and tile.label == page.label
        }
        wrong = set(lifted) | (set(sent) - agreed)
        held = {tile.rows[0]: n not in wrong for n, tile in enumerate(page.tiles)}
        with self._session.dataset.db.write():
            if row is not None:
                self._likeness.note_checked(row, held)
            tiles = self._session.tiles.of([page.tiles[n].rows[0] for n in lifted])
            # What somebody has given another class since stays there.
            back = [tile.id for tile in tiles.values() if tile.label == page.label]
            if not back:
                return NO_STEP
            done = self._session.send(back, QUEUE)
            self._session.refuse(done.step, dict.fromkeys(back, page.label or ""))
        return done

    def rates(self) -> dict[str, ErrorRate]:
        """Return the measured error rate of each class that was checked."""
        found = self._likeness.error_rates()
        return {self._session.classes.name_of(row): ErrorRate(*rate) for row, rate in found.items()}
