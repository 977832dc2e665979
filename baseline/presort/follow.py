"""`baseline presort --follow`: learns again and again while somebody sorts, until that one ends.

The vectors stay in memory. The catalogue is looked at four times a second, which costs next to
nothing while nobody writes; a page, some ten decisions, or a rest after fewer have it solved anew,
and what came of it is written where it changed. New samples are taken in between.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from baseline.presort.following import FollowedProgram, PresortRequest, PresortRequests
from baseline.presort.presorter import Presorter
from baseline.settings import Settings
from gleanset import Dataset
from gleanset.db.watch import CatalogueState, CatalogueWatch
from gleanset.errors import DatasetBusy, DiskFull, GleansetError, InputUnusable, NotWritable
from gleanset.work.progress import Progress, ProgressMeter

POLL = 0.25
SOME = 10
"""So many decisions are learnt from at once, and so are several of one step, such as a page."""
REST = 1.5
"""Seconds without a change, after which fewer decisions and new samples are looked at."""
CHUNK = 512
"""Samples whose features are made before they are proposed for."""
GROWN = 1.5
"""While features are made, all is proposed anew when so many times as many samples are there."""
PAUSE = 10.0
"""Seconds after which a disk that refused is tried again."""


def follow(
    dataset: Dataset, settings: Settings, progress: Progress, program: FollowedProgram
) -> dict[str, object]:
    """Presort until `program` ends; return how often, and the figures of the last time.

    For whoever is `alone` with the dataset. Raises what a presort raises but for want of samples:
    they may come yet.
    """
    return PresortFollower(Presorter(dataset, settings), progress, program).run()


class PresortFollower:
    """Presorts one dataset whenever that is worth it. Made by whoever holds the stage."""

    def __init__(self, presorter: Presorter, progress: Progress, program: FollowedProgram) -> None:
        dataset = self._dataset = presorter.dataset
        self._presorter, self._progress, self._program = presorter, progress, program
        self._requests = PresortRequests(dataset.cache)
        self._watch = CatalogueWatch(dataset.db)
        self._version = -1
        self._state = self._solved = CatalogueState(-1, -1, -1, -1)
        self._scanned: int | None = None
        self._changed = self._not_before = 0.0
        self._figures: dict[str, object] = {}
        self._presorts = 0

    def run(self) -> dict[str, object]:
        """Work until the program ends."""
        while not self._program.ended:
            try:
                self._between()
                self._take_in()
                for request in self._requests.waiting():
                    self._answer(request)
            except (DatasetBusy, DiskFull, NotWritable) as error:
                self._progress.say(str(error))
                self._not_before = time.monotonic() + PAUSE
            self._program.wait(POLL)
        return {"presorts": self._presorts, **self._figures}

    def _between(self) -> None:
        """Learn what was decided, where that is due: also in the middle of making features."""
        version = self._dataset.db.version()
        if version != self._version:
            self._version, state = version, self._watch.state()
            if state != self._state:
                self._state, self._changed = state, time.monotonic()
        if self._due():
            with suppress(InputUnusable):
                self._solve()

    def _due(self) -> bool:
        now = time.monotonic()
        if self._state == self._solved or now < self._not_before or not self._presorter.taken:
            return False
        new = self._watch.decided(self._solved.decision)
        return new.decisions >= SOME or new.most > 1 or now - self._changed >= REST

    def _solve(self) -> None:
        """Presort; at most half of the time is spent with that. Raises `InputUnusable`."""
        began, state = time.monotonic(), self._watch.state()
        try:
            with self._progress.meter("learning", 1, unit=" presorts") as meter:
                self._figures = self._presorter.solve(self._progress)
                meter.advance(1)
            self._presorts += 1
            state = state._replace(presort=self._presorter.presort)
        finally:
            self._solved = self._state = state
            now = time.monotonic()
            self._not_before = now + (now - began)

    def _take_in(self) -> None:
        """Make the vectors of samples that are new, or cut anew; propose for more and more."""
        presorter = self._presorter
        if self._scanned == self._state.sample and not presorter.lacking:
            return
        self._scanned = self._state.sample
        if not (new := presorter.new_samples()):
            return
        there = presorter.store.cached(new)
        kept = {one.key for one in there}
        rest = [one for one in new if one.key not in kept]
        parts = [there, *(rest[at : at + CHUNK] for at in range(0, len(rest), CHUNK))]
        known = presorter.taken
        with self._progress.meter("features", known + len(new), done=known + len(there)) as meter:
            for part in filter(None, parts):
                # What cannot be read is left out, as it is of a presort by hand.
                with suppress(InputUnusable):
                    presorter.take_in(part, _PassedOn(meter, self._between))
                last = part is parts[-1] and presorter.taken > presorter.solved_with
                if last or presorter.taken >= GROWN * presorter.solved_with:
                    with suppress(InputUnusable):
                        self._solve()

    def _answer(self, request: PresortRequest) -> None:
        """Presort for somebody who asks, with these settings from here on."""
        try:
            if request.settings != self._presorter.settings:
                self._presorter, self._scanned = Presorter(self._dataset, request.settings), None
            self._take_in()
            self._solve()
        except GleansetError as error:
            self._requests.refuse(request.token, error)
        else:
            self._requests.answer(request.token, self._figures)


class _PassedOn(Progress):
    """Counts into the stage that is under way, and lets something else be done in between."""

    def __init__(self, meter: ProgressMeter, between: Callable[[], None]) -> None:
        super().__init__(quiet=True)
        self._meter, self._between = meter, between

    def meter(
        self, what: str, total: float | None = None, unit: str = " images", done: float = 0
    ) -> ProgressMeter:
        """Begin a part of the stage."""
        return _PartOfStage(self._meter, self._between)


class _PartOfStage(ProgressMeter):
    """A part of a stage: its end is not that of the stage."""

    def __init__(self, meter: ProgressMeter, between: Callable[[], None]) -> None:
        self._meter, self._between = meter, between

    def advance(self, more: float, note: str = "") -> None:
        """Count in the stage."""
        self._meter.advance(more, note)
        self._between()
