"""A session over the duplicates of a dataset: look, plan, apply, judge, find.

It knows nothing of a window or a command: both drive it. `look` may be killed at any time
and goes on where it was; `plan` is a plain value; `apply` is one step that can be undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple, TypeVar

from PIL import Image

from gleanset import Dataset
from gleanset.db.changes import Curation
from gleanset.db.duplicates import DOUBTFUL, NOT, SAME, Pairs, PairVerdict
from gleanset.db.measures import ImageHashes, SampleHashes, SampleRegion
from gleanset.errors import Unreadable, UsageError
from gleanset.operations import operation
from gleanset.records import Rejection
from gleanset.work.pool import Outcome, Processes, run_batches
from gleanset.work.progress import Progress
from labeler.duplicates.candidates import batch_of, candidates_between, candidates_within
from labeler.duplicates.hashes import VERSION
from labeler.duplicates.looking import (
    Pair,
    Place,
    compare_places,
    describe,
    describe_place,
    pixels_of,
    place_of,
)
from labeler.duplicates.plan import DuplicatePlan, make_plan
from labeler.duplicates.second_look import Verdict, compare, view_of

STAGE = "dedup"
# New samples are searched for so many at a time: 5 MB of points for every thousand.
BLOCK = 10_000
PAGE = 20_000
T = TypeVar("T")


class Looked(NamedTuple):
    """What a `look` did: samples hashed, pairs looked at, how many were the same, failures."""

    described: int
    compared: int
    same: int
    failed: int


class Found(NamedTuple):
    """A sample that shows the picture asked for, and how sure that is."""

    sample: str
    verdict: Verdict


class DuplicateSession:
    """Drives the search for duplicates in one dataset. `workers` are processes, 0 all cores."""

    def __init__(
        self, dataset: Dataset, *, workers: int = 0, progress: Progress | None = None
    ) -> None:
        self._dataset = dataset
        self._looks, self._pairs = ImageHashes(dataset.db), Pairs(dataset.db)
        self._asides = Curation(dataset.db)
        self._processes = Processes(workers)
        self._progress = progress or Progress()
        self._originals = dataset.originals(dataset.cache)

    def look(self) -> Looked:
        """Hash what is new, search for its pairs, and take the second looks that are due.

        Everything found is kept in the catalogue, and never done again. Raises `DatasetBusy`
        when another program is at it.
        """
        with self._dataset.stage(STAGE):
            described, failed = self._describe()
            self._search()
            compared, same, broken = self._compare()
        return Looked(described, compared, same, failed + broken)

    def plan(self) -> DuplicatePlan:
        """The groups as they are now, and what would change. Decides nothing."""
        return make_plan(self._pairs, self.confirm)

    def apply(self, plan: DuplicatePlan) -> int | None:
        """Carry a plan out as one step; its number, or None where nothing changes.

        What was decided since the plan was made counts: a plan that no longer fits the
        catalogue is refused with `UsageError`, and nothing is changed.
        """
        if not plan.places and not plan.choices:
            return None
        with self._dataset.db.write():
            if self.plan() != plan:
                raise UsageError(
                    "somebody decided something since this plan was made", "make a new plan"
                )
            step = self._dataset.journal.step(plan.operation(), plan.choices)
            self._asides.place(step, plan.places)
        return step

    def judge(self, a: str, b: str, *, same: bool) -> int:
        """A person's word on two samples (keys), remembered for ever; the number of the step.

        Raises `UsageError` for samples that do not exist, or are one and the same.
        """
        if a == b:
            raise UsageError(f"{a!r} was named twice", "name two different samples")
        first, second = self._pairs.numbers([a, b])
        with self._dataset.db.write():
            did = operation("same" if same else "not-same", one=a[:8], other=b[:8])
            step = self._dataset.journal.step(did, [])
            self._asides.judge(step, first, second, SAME if same else NOT)
        return step

    def find(self, pixels: Image.Image) -> list[Found]:
        """The samples that show this picture or a copy of it, the surest first.

        Doubtful ones come last.
        """
        asked, view = batch_of([describe(pixels)]), view_of(pixels)
        found: list[Found] = []
        for searched in (True, False):
            for page in self._looks.pages(searched=searched, size=PAGE):
                rows = sorted(b for _, b in candidates_between(asked, batch_of(page)))
                for seen in self._looks.seen(rows).values():
                    with suppress(Unreadable):
                        place = place_of(seen, self._originals)
                        found.append(Found(seen.key, compare(view, view_of(pixels_of(place)))))
        shown = [
            one
            for one in found
            if (one.verdict.same or one.verdict.doubtful) and self._is_there(one.sample)
        ]
        return sorted(
            shown,
            key=lambda one: (
                not one.verdict.same,
                one.verdict.changed,
                -one.verdict.overlap,
                one.sample,
            ),
        )

    def confirm(self, a: int, b: int) -> bool:
        """Whether two samples (rows) are the same: as known, or by a second look taken now."""
        known = self._pairs.looked_at(a, b)
        if known is not None:
            return known
        pair = self._pair(a, b, one_film=self._pairs.of_one_film(a, b))
        try:
            verdict = compare_places(pair)
        except Unreadable:
            return False
        self._pairs.settle([_settled(a, b, verdict)])
        return verdict.same

    def _describe(self) -> tuple[int, int]:
        total = self._looks.count_missing(VERSION)
        items = ((seen, place_of(seen, self._originals)) for seen in self._looks.missing(VERSION))
        done = failed = 0
        for batch in self._over(
            run_batches(describe_place, items, self._processes), "hashing", total, " samples"
        ):
            with self._dataset.db.write():
                fine = [(o.item[0], o.result) for o in batch if o.result is not None]
                self._looks.put(fine, VERSION)
                failed += sum(self._rejected(o, o.item[0].key) for o in batch)
            done += len(fine)
        return done, failed

    def _search(self) -> None:
        """Candidates of what is new against everything; each block is one transaction."""
        while block := next(self._looks.pages(searched=False, size=BLOCK), None):
            new = batch_of(block)
            pairs = candidates_within(new)
            for page in self._looks.pages(searched=True, size=PAGE):
                pairs |= candidates_between(new, batch_of(page))
            with self._dataset.db.write():
                self._pairs.propose(sorted(pairs))
                self._looks.searched([look.sample for look in block])

    def _compare(self) -> tuple[int, int, int]:
        compared = same = failed = 0
        outcomes = run_batches(compare_places, self._due(), self._processes)
        total = self._pairs.count_open()
        for batch in self._over(outcomes, "second look", total, " pairs"):
            settled = [
                _settled(o.item.a, o.item.b, o.result) for o in batch if o.result is not None
            ]
            self._pairs.settle(settled)
            compared += len(settled)
            same += sum(one.verdict == SAME for one in settled)
            failed += len(batch) - len(settled)
            for broken in (o.item for o in batch if o.result is None):
                self._forget_unreadable(broken)
        return compared, same, failed

    def _forget_unreadable(self, pair: Pair) -> None:
        """What cannot be read any more waits for its file and not for a second look.

        Its hashes go, too: when the file is back, it is looked at like a new one.
        """
        for row, place in ((pair.a, pair.place_a), (pair.b, pair.place_b)):
            try:
                pixels_of(place)
            except Unreadable as error:
                key = self._looks.seen([row])[row].key
                self._looks.forget(row)
                self._dataset.rejections.add(Rejection(STAGE, key, error.reason, error.detail))

    def _due(self) -> Iterator[Pair]:
        for a, b, one_film in self._pairs.open():
            yield self._pair(a, b, one_film=one_film)

    def _pair(self, a: int, b: int, *, one_film: bool) -> Pair:
        seen = self._looks.seen([a, b])
        places = [place_of(seen[row], self._originals) for row in (a, b)]
        return Pair(a, b, places[0], places[1], one_film)

    def _is_there(self, key: str) -> bool:
        sample = self._dataset.samples.get(key)
        return sample is not None and sample.status != "retired"

    def _over(
        self, batches: Iterable[list[T]], what: str, total: int, unit: str
    ) -> Iterator[list[T]]:
        return self._progress.batches(batches, what, total, unit)

    def _rejected(
        self, outcome: Outcome[tuple[SampleRegion, Place], SampleHashes], key: str
    ) -> bool:
        if outcome.reason is None:
            self._dataset.rejections.clear(STAGE, key)
            return False
        self._dataset.rejections.add(Rejection(STAGE, key, outcome.reason, outcome.detail))
        return True


def _settled(a: int, b: int, verdict: Verdict) -> PairVerdict:
    said = SAME if verdict.same else DOUBTFUL if verdict.doubtful else NOT
    return PairVerdict(a, b, verdict.changed, verdict.overlap, said)
