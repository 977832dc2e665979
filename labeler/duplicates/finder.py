"""Finding duplicates: hash new samples, find candidates, compare them, plan, apply.

`search` can be killed at any time and resumes where it stopped; `plan` is a plain value and writes
nothing; `apply` is one step that can be undone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
from gleanset.db.samples import SplitEvidence
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
from labeler.duplicates.hashes import GREY_SIDE, VERSION, hash_sample
from labeler.duplicates.originals import find_originals
from labeler.duplicates.plan import DuplicatePlan, PairComparer, make_plan
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
SEARCH_BLOCK_SIZE = 50_000
"""New samples searched at a time; a thousand take up to 10 MB."""

SEARCH_PAGE_SIZE = 20_000
# An image that shows less than this part without its uniform borders has a border.
_MIN_UNBORDERED = 0.98


class SearchCounts(NamedTuple):
    """Counts of a search: samples hashed, pairs compared, copies among them, failures."""

    described: int
    compared: int
    same: int
    failed: int


@dataclass(kw_only=True)
class _LocalComparer(PairComparer):
    """Compares the pairs that a plan asks for in this process."""

    file_pairs: Callable[[list[Pair]], tuple[FilePair, ...]]
    sample_files: Callable[[Sequence[int]], dict[int, SampleFile]]
    preferred: dict[Pair, str]

    def judge(self, a: int, b: int) -> PairVerdict | None:
        """Return the verdict on two samples; compare them if there is none."""
        if verdict := self.verdicts.get((a, b)) or self.pairs.get_comparison(a, b):
            return verdict
        (pair,) = self.file_pairs([(a, b)])
        with suppress(Unreadable):
            self.verdicts[a, b] = _to_pair_verdict(pair, compare_files(pair))
        return self.verdicts.get((a, b))

    def original(self, rows: Sequence[int], mirrored: Sequence[bool]) -> int:
        """Return the original among copies (rows), by pixels where no preference is stored."""
        for row in rows:
            if all(self._is_preferred(row, other) for other in rows if other != row):
                return row
        files = self.sample_files(rows)
        try:
            positions = find_originals([files[row] for row in rows], mirrored)
        except Unreadable:
            return rows[0]
        best, *equals = (rows[position] for position in positions)
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
    """Finds the duplicates of a dataset with `workers` processes (0: all cores)."""

    def __init__(
        self, dataset: Dataset, *, workers: int = 0, progress: Progress | None = None
    ) -> None:
        self._dataset = dataset
        self._hashes, self._pairs = ImageHashes(dataset.db), Pairs(dataset.db)
        self._processes = dataset.workers(workers)
        self._progress = progress or Progress()
        self._originals = dataset.originals(dataset.cache)

    def count_hashed(self) -> int:
        """Return how many samples an earlier search has hashed."""
        return self._hashes.count_hashed(VERSION)

    def search(self, *, labelled: bool = False) -> SearchCounts:
        """Hash new samples, and compare candidates that have no verdict.

        Only `labelled` samples are hashed if it is set. Results are stored in the catalogue and
        never computed again. Raises `DatasetBusy` when another process is searching.
        """
        workers = self._processes.keep(compare_files.__module__)
        with self._dataset.stage(STAGE), workers as processes:
            hashed, failed = self._hash_new(processes, labelled)
            self._find_candidates()
            compared, same, unreadable = self._compare(processes)
        return SearchCounts(hashed, compared, same, failed + unreadable)

    def search_labelled(self) -> dict[str, object]:
        """Compare labelled samples that were never compared, before a split; mark no duplicates.

        Return the counts that a command prints, empty if there was nothing to compare. Raises
        `DatasetBusy`.
        """
        if self._dataset.read_only or not SplitEvidence(self._dataset.db).count_not_searched():
            return {}
        counts = self.search(labelled=True)
        numbers = {"compared": counts.described, "copies": counts.same, "unreadable": counts.failed}
        return {"looked_for_copies": {name: number for name, number in numbers.items() if number}}

    def plan(self) -> DuplicatePlan:
        """Return the present duplicate sets and the changes that would follow; write nothing."""
        return self._plan({}, {})

    def save_verdicts(self, plan: DuplicatePlan) -> None:
        """Store the verdicts that were made for a plan."""
        if plan.compared:
            self._pairs.save_verdicts(plan.compared)
        if plan.preferred:
            self._pairs.save_better_copies(plan.preferred)

    def apply(self, plan: DuplicatePlan) -> int | None:
        """Apply a plan as one step; return it, or None if nothing changes.

        Raises `UsageError`, and changes nothing, if decisions made since no longer fit the plan.
        """
        if not plan.places and not plan.choices:
            self.save_verdicts(plan)
            return None
        with self._dataset.db.transaction():
            verdicts = {(verdict.a, verdict.b): verdict for verdict in plan.compared}
            current_plan = self._plan(verdicts, dict(plan.preferred))
            if not plan.agrees_with(current_plan):
                raise UsageError(
                    "the plan is outdated: samples were decided since", "make a new plan"
                )
            step = self._dataset.journal.apply(plan.operation(), plan.choices)
            Placements(self._dataset.db).apply(step, plan.places)
            self.save_verdicts(plan)
        return step

    def _plan(self, verdicts: dict[Pair, PairVerdict], preferred: dict[Pair, str]) -> DuplicatePlan:
        comparer = _LocalComparer(
            pairs=self._pairs,
            verdicts=verdicts,
            file_pairs=self._file_pairs,
            sample_files=self._sample_files,
            preferred=preferred,
        )
        plan = make_plan(comparer)
        plan.compared.extend(comparer.verdicts.values())
        plan.preferred.update(comparer.preferred)
        return plan

    def _hash_new(self, processes: Workers, labelled: bool) -> tuple[int, int]:
        total = self._hashes.count_missing(VERSION, labelled=labelled)
        missing = self._hashes.iter_missing(VERSION, labelled=labelled)
        items = ((region, sample_file(region, self._originals)) for region in missing)
        batches = run_batches(hash_sample, items, processes)
        hashed = failed = 0
        for batch in self._progress.batches(batches, "hashing", total, " samples"):
            with self._dataset.db.transaction():
                hashes = [(o.item[0], o.result) for o in batch if o.result is not None]
                self._hashes.save(hashes, VERSION)
                failed += sum(self._record_outcome(outcome) for outcome in batch)
            hashed += len(hashes)
        return hashed, failed

    def _find_candidates(self) -> None:
        """Find candidates of new samples among all samples; each block is one transaction."""
        while block := next(self._hashes.iter_pages(searched=False, size=SEARCH_BLOCK_SIZE), None):
            new = make_batch(sort_by_content(block))
            pairs, search = find_candidates_within(new), CandidateSearch(new)
            for page in self._hashes.iter_pages(searched=True, size=SEARCH_PAGE_SIZE):
                pairs |= search.find_candidates(make_batch(page))
            with self._dataset.db.transaction():
                self._pairs.add_candidates(sorted(pairs))
                self._hashes.mark_searched(block.samples)

    def _compare(self, processes: Workers) -> tuple[int, int, int]:
        """Compare open pairs until each is settled or connected through others.

        Contested pairs connect nothing: what they would have connected is compared too, as is what
        may contradict them.
        """
        settled: list[PairVerdict] = []
        failed = 0
        before = -1
        while len(settled) > before:
            before = len(settled)
            contested, missing = self._contested()
            open_pairs = self._pairs.list_uncompared()
            same_pairs = [
                p for p, equal in self._pairs.get_verdicts().items() if equal and p not in contested
            ]
            due_pairs = untied_pairs(open_pairs, same_pairs)
            if not due_pairs and not missing:
                comparer = PairComparer(self._pairs)
                make_plan(comparer)
                missing = comparer.missing
            comparisons = ComparisonQueue(
                self._hubs_first(due_pairs, [*open_pairs, *same_pairs]), due_pairs, same_pairs
            )
            self._pairs.mark_implied(due_pairs, tied=False)
            single_batches = [
                ComparisonBatch(self._file_pairs([pair]), ((0, 1),)) for pair in sorted(missing)
            ]
            with self._progress.meter(
                "verifying", len(due_pairs) + len(single_batches), " pairs"
            ) as meter:
                while batches := single_batches or [
                    ComparisonBatch(
                        self._file_pairs(pairs),
                        tuple(
                            (comparisons.set_number(a), comparisons.set_number(b)) for a, b in pairs
                        ),
                    )
                    for pairs in comparisons.next_round()
                ]:
                    for batch in run_batches(compare_batch, batches, processes):
                        verdicts = [
                            _to_pair_verdict(*row)
                            for o in batch
                            if o.result
                            for row in o.result.verdicts
                        ]
                        self._pairs.save_verdicts(verdicts)
                        settled += verdicts
                        failed += sum(map(self._forget_unreadable_files, batch))
                        meter.advance(sum(len(outcome.item.pairs) for outcome in batch))
                        for verdict in verdicts:
                            if verdict.verdict == SAME and not single_batches:
                                comparisons.join(verdict.a, verdict.b)
                    single_batches = []
        self._pairs.mark_implied(set(open_pairs) - set(due_pairs), tied=True)
        return len(settled), sum(verdict.verdict == SAME for verdict in settled), failed

    def _contested(self) -> tuple[set[Pair], set[Pair]]:
        comparer = PairComparer(self._pairs)
        same_for_person = {
            pair for pair, equal in self._pairs.get_human_verdicts().items() if equal
        }
        contested = (
            find_contested_pairs(self._pairs.get_relations(), comparer.judge) - same_for_person
        )
        return contested, comparer.missing

    def _hubs_first(self, due_pairs: list[Pair], pairs: list[Pair]) -> list[int]:
        """Return the samples (rows) of due pairs, the best hubs first.

        A hub is near many others; among equals the best copy without a border. A screenshot or a
        narrow crop is a bad hub, because it has little in common with other crops, while the
        original is near most of its copies as a whole.
        """
        rows = {row for pair in due_pairs for row in pair}
        adjacent_pairs = [(a, b) for a, b in pairs if a in rows or b in rows]
        hashes = self._hashes.get_hashes(sorted({row for pair in adjacent_pairs for row in pair}))
        neighbour_counts = Counter(
            row
            for a, b in adjacent_pairs
            if a in hashes and b in hashes and have_near_hashes(hashes[a], hashes[b])
            for row in (a, b)
        )
        members = self._pairs.get_members(rows)

        def rank(row: int) -> tuple[float, bool, float, str]:
            bordered = members[row].filled < _MIN_UNBORDERED
            return -neighbour_counts[row], bordered, -quality_score(members[row]), members[row].key

        return sorted(rows, key=rank)

    def _forget_unreadable_files(self, outcome: Outcome[ComparisonBatch, BatchVerdicts]) -> int:
        """Forget unreadable files and their open pairs; return how many pairs failed.

        A file that comes back is hashed again like a new one.
        """
        failed = outcome.item.pairs if outcome.result is None else outcome.result.failed
        files = {
            row: file
            for pair in failed
            for row, file in zip(pair.rows, (pair.a, pair.b), strict=True)
        }
        for row, file in files.items():
            try:
                read_pixels(file, GREY_SIDE, "L")
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
            row: sample_file(region, self._originals)
            for row, region in self._hashes.get_regions(rows).items()
        }

    def _record_outcome(
        self, outcome: Outcome[tuple[SampleRegion, SampleFile], SampleHashes]
    ) -> bool:
        key = outcome.item[0].key
        if outcome.reason is None:
            self._dataset.rejections.remove(STAGE, key)
            return False
        self._dataset.rejections.add(Rejection(STAGE, key, outcome.reason, outcome.detail))
        return True


def _to_pair_verdict(pair: FilePair, verdict: Verdict) -> PairVerdict:
    outcome = SAME if verdict.same else DOUBTFUL if verdict.doubtful else NOT_SAME
    return PairVerdict(*pair.rows, verdict.changed, verdict.overlap, outcome, verdict.relation)
