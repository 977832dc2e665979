"""Finding duplicates: hash what is new, search for candidates, compare them, plan, apply.

A window and a command drive it alike. `search` may be killed at any time and goes on where it was;
`plan` is a plain value and writes nothing; `apply` is one step that can be undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.classes import Placements
from gleanset.db.duplicates import (
    DOUBTFUL,
    EVEN,
    FIRST,
    NOT_SAME,
    SAME,
    SECOND,
    ImageHashes,
    Pairs,
    PairVerdict,
    SampleHashes,
)
from gleanset.db.regions import SampleRegion
from gleanset.db.samples import SplitGroups
from gleanset.errors import Unreadable, UsageError
from gleanset.records import Rejection
from gleanset.work.pool import Outcome, Workers, run_batches
from gleanset.work.progress import Progress
from labeler.duplicates.candidates import (
    CandidateSearch,
    find_candidates_within,
    have_near_hashes,
    make_batch,
    sort_by_content,
)
from labeler.duplicates.contradictions import find_contested_pairs
from labeler.duplicates.duplicate_sets import Pair, quality_score, untied_pairs
from labeler.duplicates.hashes import GREY_SIZE, VERSION, hash_sample
from labeler.duplicates.originals import find_originals
from labeler.duplicates.plan import DuplicatePlan, make_plan
from labeler.duplicates.verification import (
    BatchVerdicts,
    ComparisonBatch,
    ComparisonQueue,
    FilePair,
    Verdict,
    compare_batch,
    compare_files,
)
from labeler.sample_pixels import SampleFile, read_pixels, sample_file

STAGE = "dedup"
# New samples are searched for so many at a time: up to 10 MB for every thousand.
BLOCK = 50_000
PAGE = 20_000
# Less of a picture than this is seen without its uniform borders: it has some.
_WHOLE = 0.98


class SearchCounts(NamedTuple):
    """What a `search` did: samples hashed, pairs compared, how many were the same, failures."""

    described: int
    compared: int
    same: int
    failed: int


@dataclass
class _NoLooks:
    """Collects the pairs that a plan asks for and nobody has compared. Implements `Looks`."""

    pairs: Pairs
    missing: set[Pair] = field(default_factory=set)
    verdicts: dict[Pair, PairVerdict] = field(default_factory=dict)

    def judge(self, a: int, b: int) -> PairVerdict | None:
        """Return a known verdict."""
        known = self.pairs.get_comparison(a, b)
        if known is None:
            self.missing.add((a, b))
        return known

    def original(self, rows: Sequence[int], mirrored: Sequence[bool]) -> int:
        """Return the first one."""
        return rows[0]


@dataclass
class _OwnLooks:
    """Comparisons that a plan asks for, made in this process. Implements `Looks`."""

    pairs: Pairs
    file_pairs: Callable[[list[Pair]], tuple[FilePair, ...]]
    sample_files: Callable[[Sequence[int]], dict[int, SampleFile]]
    verdicts: dict[Pair, PairVerdict]
    preferred: dict[Pair, str]

    def judge(self, a: int, b: int) -> PairVerdict | None:
        """Return the verdict on two samples, made now where there is none."""
        if known := self.verdicts.get((a, b)) or self.pairs.get_comparison(a, b):
            return known
        (pair,) = self.file_pairs([(a, b)])
        with suppress(Unreadable):
            self.verdicts[a, b] = _settled(pair, compare_files(pair))
        return self.verdicts.get((a, b))

    def original(self, rows: Sequence[int], mirrored: Sequence[bool]) -> int:
        """Return the original among copies (rows), by their pixels where nothing is known."""
        for row in rows:
            if all(self._is_preferred(row, other) for other in rows if other != row):
                return row
        files = self.sample_files(rows)
        try:
            places = find_originals([files[row] for row in rows], mirrored)
        except Unreadable:
            return rows[0]
        best, *equals = (rows[place] for place in places)
        for row in rows:
            if row != best:
                verdict = EVEN if row in equals else FIRST if best < row else SECOND
                self.preferred[min(best, row), max(best, row)] = verdict
        return best

    def _is_preferred(self, row: int, other: int) -> bool:
        a, b = min(row, other), max(row, other)
        verdict = self.preferred.get((a, b)) or self.pairs.get_better_copy(a, b)
        return verdict in (EVEN, FIRST if row == a else SECOND)


class DuplicateFinder:
    """Finds the duplicates of one dataset. `workers` are processes, 0 for all cores."""

    def __init__(
        self, dataset: Dataset, *, workers: int = 0, progress: Progress | None = None
    ) -> None:
        self._dataset = dataset
        self._hashes, self._pairs = ImageHashes(dataset.db), Pairs(dataset.db)
        self._processes = dataset.workers(workers)
        self._progress = progress or Progress()
        self._originals = dataset.originals(dataset.cache)

    def known(self) -> int:
        """Return how many samples an earlier search has hashed."""
        return self._hashes.count_hashed(VERSION)

    def search(self, *, labelled: bool = False) -> SearchCounts:
        """Hash what is new, search for candidates, and compare those without a verdict.

        Of what is new, all or what is `labelled` alone.
        Everything is kept in the catalogue, and never done again. Raises `DatasetBusy` when
        another program is at it.
        """
        workers = self._processes.keep(compare_files.__module__)
        with self._dataset.stage(STAGE), workers as processes:
            described, failed = self._describe(processes, labelled)
            self._propose()
            compared, same, broken = self._compare(processes)
        return SearchCounts(described, compared, same, failed + broken)

    def search_labelled(self) -> dict[str, object]:
        """Compare the labelled samples that never were, for a split: nobody is set aside.

        Return what a command says of it; nothing where all were. Raises `DatasetBusy`.
        """
        if self._dataset.read_only or not SplitGroups(self._dataset.db).count_not_searched():
            return {}
        counts = self.search(labelled=True)
        told = {"compared": counts.described, "copies": counts.same, "unreadable": counts.failed}
        return {"looked_for_copies": {name: number for name, number in told.items() if number}}

    def plan(self) -> DuplicatePlan:
        """Return the groups as they are now, and what would change; nothing is written."""
        return self._plan(_OwnLooks(self._pairs, self._file_pairs, self._sample_files, {}, {}))

    def remember(self, plan: DuplicatePlan) -> None:
        """Keep the verdicts that were made for a plan, so that they are not made again."""
        if plan.compared:
            self._pairs.save_verdicts(plan.compared)
        if plan.preferred:
            self._pairs.save_better_copies(plan.preferred)

    def apply(self, plan: DuplicatePlan) -> int | None:
        """Carry a plan out as one step; its number, or None where nothing changes.

        What was decided since the plan was made counts: a plan that no longer fits the
        catalogue is refused with `UsageError`, and nothing is changed.
        """
        if not plan.places and not plan.choices:
            self.remember(plan)
            return None
        with self._dataset.db.transaction():
            verdicts = {(one.a, one.b): one for one in plan.compared}
            looks = _OwnLooks(
                self._pairs, self._file_pairs, self._sample_files, verdicts, dict(plan.preferred)
            )
            now = self._plan(looks)
            if not plan.agrees_with(now):
                raise UsageError(
                    "somebody decided something since this plan was made", "make a new plan"
                )
            step = self._dataset.journal.apply(plan.operation(), plan.choices)
            Placements(self._dataset.db).apply(step, plan.places)
            self.remember(plan)
        return step

    def _plan(self, looks: _OwnLooks) -> DuplicatePlan:
        plan = make_plan(self._pairs, looks)
        plan.compared.extend(looks.verdicts.values())
        plan.preferred.update(looks.preferred)
        return plan

    def _describe(self, processes: Workers, labelled: bool) -> tuple[int, int]:
        total = self._hashes.count_missing(VERSION, labelled=labelled)
        missing = self._hashes.iter_missing(VERSION, labelled=labelled)
        items = ((seen, sample_file(seen, self._originals)) for seen in missing)
        batches = run_batches(hash_sample, items, processes)
        done = failed = 0
        for batch in self._progress.batches(batches, "hashing", total, " samples"):
            with self._dataset.db.transaction():
                fine = [(o.item[0], o.result) for o in batch if o.result is not None]
                self._hashes.save(fine, VERSION)
                failed += sum(self._rejected(outcome) for outcome in batch)
            done += len(fine)
        return done, failed

    def _propose(self) -> None:
        """Find candidates of what is new among everything; each block is one transaction."""
        while block := next(self._hashes.iter_pages(searched=False, size=BLOCK), None):
            new = make_batch(sort_by_content(block))
            pairs, search = find_candidates_within(new), CandidateSearch(new)
            for page in self._hashes.iter_pages(searched=True, size=PAGE):
                pairs |= search.among(make_batch(page))
            with self._dataset.db.transaction():
                self._pairs.add_candidates(sorted(pairs))
                self._hashes.mark_searched(block.samples)

    def _compare(self, processes: Workers) -> tuple[int, int, int]:
        """Compare what is open until every pair is settled or its ends are tied.

        Pairs that others contradict tie nothing: what they would have tied is compared as well,
        and what may contradict them.
        """
        self._pairs.reopen_without_relation()
        settled: list[PairVerdict] = []
        failed = 0
        before = -1
        while len(settled) > before:
            before = len(settled)
            contested, missing = self._contested()
            unseen = self._pairs.list_uncompared()
            known = [
                p for p, equal in self._pairs.get_verdicts().items() if equal and p not in contested
            ]
            due = untied_pairs(unseen, known)
            if not due and not missing:
                looks = _NoLooks(self._pairs)
                make_plan(self._pairs, looks)
                missing = looks.missing
            comparisons = ComparisonQueue(self._middles_first(due, [*unseen, *known]), due, known)
            self._pairs.mark_implied(due, tied=False)
            alone = [
                ComparisonBatch(self._file_pairs([pair]), ((0, 1),)) for pair in sorted(missing)
            ]
            with self._progress.meter("second look", len(due) + len(alone), " pairs") as meter:
                while stars := alone or [
                    ComparisonBatch(
                        self._file_pairs(pairs),
                        tuple((comparisons.group(a), comparisons.group(b)) for a, b in pairs),
                    )
                    for pairs in comparisons.next_round()
                ]:
                    for batch in run_batches(compare_batch, stars, processes):
                        new = [
                            _settled(*row) for o in batch if o.result for row in o.result.verdicts
                        ]
                        self._pairs.save_verdicts(new)
                        settled += new
                        failed += sum(map(self._forget_unreadable, batch))
                        meter.advance(sum(len(outcome.item.pairs) for outcome in batch))
                        for one in new:
                            if one.verdict == SAME and not alone:
                                comparisons.tie(one.a, one.b)
                    alone = []
        self._pairs.mark_implied(set(unseen) - set(due), tied=True)
        return len(settled), sum(one.verdict == SAME for one in settled), failed

    def _contested(self) -> tuple[set[Pair], set[Pair]]:
        looks = _NoLooks(self._pairs)
        said = {pair for pair, equal in self._pairs.get_human_verdicts().items() if equal}
        contested = find_contested_pairs(self._pairs.get_relations(), looks.judge) - said
        return contested, looks.missing

    def _middles_first(self, due: list[Pair], pairs: list[Pair]) -> list[int]:
        """Return the samples (rows) of pairs that are due: those near most others first.

        Of equals the best copy without a border. A screenshot or a narrow crop is no good middle,
        for other crops have little in common with it; the original is near most of its copies as
        a whole.
        """
        rows = {row for pair in due for row in pair}
        beside = [(a, b) for a, b in pairs if a in rows or b in rows]
        whole = self._hashes.get_hashes(sorted({row for pair in beside for row in pair}))
        near = Counter(
            row
            for a, b in beside
            if a in whole and b in whole and have_near_hashes(whole[a], whole[b])
            for row in (a, b)
        )
        members = self._pairs.get_members(rows)

        def rank(row: int) -> tuple[float, bool, float, str]:
            bordered = members[row].filled < _WHOLE
            return -near[row], bordered, -quality_score(members[row]), members[row].key

        return sorted(rows, key=rank)

    def _forget_unreadable(self, outcome: Outcome[ComparisonBatch, BatchVerdicts]) -> int:
        """Forget the hashes of what cannot be read any more, and its pairs that are open.

        When the file is back, it is hashed like a new one. Returns how many pairs failed.
        """
        failed = outcome.item.pairs if outcome.result is None else outcome.result.failed
        files = {
            row: file
            for pair in failed
            for row, file in zip(pair.rows, (pair.a, pair.b), strict=True)
        }
        for row, file in files.items():
            try:
                read_pixels(file, GREY_SIZE, "L")
            except Unreadable as error:
                key = self._hashes.get_regions([row])[row].key
                self._hashes.delete(row)
                self._dataset.rejections.add(Rejection(STAGE, key, error.reason, error.detail))
        return len(failed)

    def _file_pairs(self, pairs: list[Pair]) -> tuple[FilePair, ...]:
        files = self._sample_files(sorted({row for pair in pairs for row in pair}))
        film = self._pairs.share_video
        return tuple(FilePair((a, b), files[a], files[b], film(a, b)) for a, b in pairs)

    def _sample_files(self, rows: Sequence[int]) -> dict[int, SampleFile]:
        return {
            row: sample_file(seen, self._originals)
            for row, seen in self._hashes.get_regions(rows).items()
        }

    def _rejected(self, outcome: Outcome[tuple[SampleRegion, SampleFile], SampleHashes]) -> bool:
        key = outcome.item[0].key
        if outcome.reason is None:
            self._dataset.rejections.remove(STAGE, key)
            return False
        self._dataset.rejections.add(Rejection(STAGE, key, outcome.reason, outcome.detail))
        return True


def _settled(pair: FilePair, verdict: Verdict) -> PairVerdict:
    said = SAME if verdict.same else DOUBTFUL if verdict.doubtful else NOT_SAME
    return PairVerdict(*pair.rows, verdict.changed, verdict.overlap, said, verdict.relation)
