"""Blind second looks: a dozen faces that were filed with a page, shown without their name.

A person who is shown a proposal tends to see it (Beck et al., "CleverLabel", 2023). What is
changed on such a page gives a measured error rate for the class, kept in the catalogue.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import NamedTuple

from gleanset.db.proposals import SortingQueue
from labeler.sorting.composing import Page, PageTile
from labeler.sorting.proposing import NO_IDEA
from labeler.sorting.session import NOTHING, QUEUE, WITH_PAGE, Done, SortingSession

DOZEN = 12


class Rate(NamedTuple):
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

    def page(self, label: str) -> Page | None:
        """A dozen of a class, at random among those filed with a page and not yet checked."""
        row = self._session.classes.id_of(label)
        rows = self._likeness.with_page(row, WITH_PAGE) if row is not None else []
        if not rows:
            return None
        chosen = sorted(self._dice.sample(rows, min(DOZEN, len(rows))))
        tiles = tuple(PageTile((one,), NO_IDEA) for one in chosen)
        return Page("check", label, tiles, 0, len(rows))

    def answer(self, page: Page, lifted: Collection[int], sent: Collection[int]) -> Done:
        """What a person said: `lifted` tiles go back to the queue, `sent` were sent already."""
        row = self._session.classes.id_of(page.label or "")
        wrong = set(lifted) | set(sent)
        held = {tile.rows[0]: n not in wrong for n, tile in enumerate(page.tiles)}
        with self._session.dataset.db.write():
            if row is not None:
                self._likeness.note_checked(row, held)
            tiles = self._session.tiles.of([page.tiles[n].rows[0] for n in lifted])
            # What somebody has given another class since stays there.
            back = [tile.key for tile in tiles.values() if tile.label == page.label]
            if not back:
                return NOTHING
            done = self._session.send(back, QUEUE)
            self._session.refuse(done.step, dict.fromkeys(back, page.label or ""))
        return done

    def rates(self) -> dict[str, Rate]:
        """The measured error rate of each class that was checked."""
        found = self._likeness.error_rates()
        return {self._session.classes.name_of(row): Rate(*rate) for row, rate in found.items()}
