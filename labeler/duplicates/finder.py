"""Finding duplicates: hash new samples, find candidates, compare them, plan, apply.

`search` reads the images; it can be killed at any time and resumes where it stopped. A plan follows
from its results, and `apply` is one step that can be undone.
"""

from collections.abc import Iterable
from itertools import chain
from typing import NamedTuple

from gleanset import Dataset
from gleanset.db.duplicates import (
    EVEN,
    FIRST,
    SAME,
    SECOND,
    ImageHashes,
    Pair,
    Pairs,
    PairVerdict,
)
from gleanset.db.samples import SplitEvidence
from gleanset.errors import Unreadable
from gleanset.operations import NAMED, Operation, make_operation
from gleanset.records import Rejection
from gleanset.work.pool import Processes, run_batches, run_over
from gleanset.work.progress import NO_PROGRESS, Progress
from labeler.duplicates.candidates import (
    CandidateSearch,
    find_candidates_within,
    make_batch,
    sort_by_content,
)
from labeler.duplicates.duplicate_sets import order_pair
from labeler.duplicates.hashes import GREY_SIDE, hash_sample
from labeler.duplicates.originals import UnrankedCopies, find_originals
from labeler.duplicates.plan import (
    DuplicatePlan,
    DuplicateResult,
    apply_step,
    conflict_summary,
    make_plan,
)
from labeler.duplicates.verification import FilePair, compare_files
from labeler.sample_pixels import (
    SampleFile,
    get_sample_file,
    list_sample_files,
    read_pixels,
    save_results,
)

STAGE = "dedup"
SEARCH_BLOCK_SIZE = 50_000
"""New samples searched at a time; a thousand take up to 10 MB."""

SEARCH_PAGE_SIZE = 20_000


class SearchCounts(NamedTuple):
    """Counts of a search: samples hashed, pairs compared, copies among them, failures."""

    described: int
    compared: int
    same: int
    failed: int


class DuplicateFinder:
    """Finds the duplicates of a dataset with `workers` processes (0: all cores)."""

    def __init__(
        self, dataset: Dataset, *, workers: int = 0, progress: Progress = NO_PROGRESS
    ):
        self._dataset = dataset
        self._hashes = ImageHashes(dataset.db)
        self._pairs = Pairs(dataset.db)
        self._processes = Processes(workers)
        self._progress = progress

    def search(self, *, labelled: bool = False) -> SearchCounts:
        """Hash new samples, and compare candidates that have no verdict.

        Only `labelled` samples are hashed if it is set. Results are stored in the catalogue, and
        computed again only by a later version. Raises `DatasetBusy` when another process is
        searching.
        """
        # One pool for all steps: starting processes takes long. They begin by importing the module
        # of the comparison.
        workers = self._processes.keep(compare_files.__module__)
        with self._dataset.stage(STAGE), workers as processes:
            hashed, failed = self._hash_new(processes, labelled)
            self._find_candidates()
            verdicts, unreadable = self._compare_all(processes)
            self._find_originals(processes)
        same = sum(verdict.verdict == SAME for verdict in verdicts)
        return SearchCounts(
            hashed,
            len(verdicts),
            same,
            failed + unreadable,
        )

    def search_labelled(self) -> dict[str, object]:
        """Compare labelled samples that were never compared, before a split; mark no duplicates.

        Return the counts that a command prints, empty if there was nothing to compare. Raises
        `DatasetBusy`.
        """
        if (
            self._dataset.read_only
            or not SplitEvidence(self._dataset.db).count_not_searched()
        ):
            return {}

        counts = self.search(labelled=True)
        numbers = {
            "compared": counts.described,
            "copies": counts.same,
            "unreadable": counts.failed,
        }
        return {
            "looked_for_copies": {
                name: number for name, number in numbers.items() if number
            }
        }

    def search_and_mark(self, *, simulate: bool = False) -> DuplicateResult:
        """Search, and mark the duplicates; `simulate` marks none. Raises `DatasetBusy`."""
        previously_hashed = self._hashes.count_hashed()
        counts = self.search()
        plan = self.plan() if simulate else self.apply()
        result = plan.result().with_facts(conflict_summary(self._dataset, plan))
        result.looked_at = counts.described
        result.looked_at_before = previously_hashed
        result.pairs = counts.compared
        result.unreadable = counts.failed
        # Images have samples after facecrop run only.
        if not result.compared:
            result.next = f"gleanset status {self._dataset.option}"
        return result

    def plan(self) -> DuplicatePlan:
        """Return the present duplicate sets and the changes that would follow; write nothing."""
        return make_plan(self._pairs)

    def apply(self) -> DuplicatePlan:
        """Apply the present plan as one step, if it changes anything; return it."""
        with self._dataset.db.transaction():
            plan = self.plan()
            if plan.places or plan.choices:
                apply_step(
                    self._dataset, _make_operation(plan), plan.choices, plan.places
                )
        return plan

    def _hash_new(self, processes: Processes, labelled: bool) -> tuple[int, int]:
        """Hash samples without hashes; return the numbers of hashed and of failed ones."""
        total = self._hashes.count_missing(labelled=labelled)
        missing = self._hashes.iter_missing(labelled=labelled)
        originals = self._dataset.originals()
        regions_and_files = (
            (region, get_sample_file(region, originals)) for region in missing
        )
        batches = run_batches(hash_sample, regions_and_files, processes)
        progress = self._progress.batches(batches, "hashing", total, " samples")
        return save_results(self._dataset, STAGE, progress, self._hashes.save)

    def _find_candidates(self) -> None:
        """Find candidates of new samples among all samples; each block is one transaction.

        A block becomes searched, so the next block is compared with it.
        """
        while block := next(
            self._hashes.iter_pages(searched=False, size=SEARCH_BLOCK_SIZE), None
        ):
            # Candidates must not depend on the order in which images came.
            new = make_batch(sort_by_content(block))
            pairs = find_candidates_within(new)
            search = CandidateSearch(new)
            for page in self._hashes.iter_pages(searched=True, size=SEARCH_PAGE_SIZE):
                pairs |= search.find_candidates(make_batch(page))

            with self._dataset.db.transaction():
                self._pairs.add_candidates(sorted(pairs))
                self._hashes.mark_searched(block.samples)

    def _compare_all(self, processes: Processes) -> tuple[list[PairVerdict], int]:
        """Compare candidates, then what the sets that follow from them need.

        Return the verdicts, and the number of pairs that failed.
        """
        settled: list[PairVerdict] = []
        tried: set[Pair] = set()
        # A plan may miss further pairs once it has those that it missed before.
        while due := self._list_due(tried):
            tried |= due
            batches = run_batches(compare_files, self._read_pairs(due), processes)
            progress = self._progress.batches(
                batches,
                "verifying",
                len(due),
                " pairs",
            )
            for batch in progress:
                verdicts = []
                failed = []
                for outcome in batch:
                    if outcome.result is None:
                        failed.append(outcome.item)
                    else:
                        verdicts.append(outcome.result.to_store(outcome.item.rows))

                self._pairs.save_verdicts(verdicts)
                settled += verdicts
                self._forget_unreadable_files(failed)
        return settled, len(tried) - len(settled)

    def _list_due(self, tried: set[Pair]) -> set[Pair]:
        """Return candidates that were not compared; after them, what the plan misses."""
        # A plan is only made without open candidates, because it depends on their verdicts.
        uncompared = set(self._pairs.list_uncompared())
        return uncompared - tried or self.plan().missing - tried

    def _read_pairs(self, pairs: Iterable[Pair]) -> list[FilePair]:
        """Return the files of pairs (rows)."""
        rows = sorted(set(chain.from_iterable(pairs)))
        files = dict(zip(rows, list_sample_files(self._dataset, rows), strict=True))
        return [
            FilePair(
                (a, b),
                files[a],
                files[b],
                self._pairs.share_video(a, b),
            )
            for a, b in sorted(pairs)
        ]

    def _find_originals(self, processes: Processes) -> None:
        """Compare the best copies of each set; which one is better is stored for each pair."""
        self._pairs.forget_outdated_copies()
        items = [
            UnrankedCopies(rows, mirrored, list_sample_files(self._dataset, rows))
            for rows, mirrored in self.plan().unranked
        ]
        outcomes = run_over(find_originals, items, processes)
        for outcome in self._progress.over(outcomes, "choosing", len(items), " sets"):
            if outcome.result is None:  # unreadable: tried again by the next search
                continue

            # Stored for pairs: which of both is better, in the order of their rows.
            rows = outcome.item.rows
            best, *equals = (rows[position] for position in outcome.result)
            better_copies = {}
            for row in set(rows) - {best}:
                better = EVEN
                if row not in equals:
                    better = FIRST if best < row else SECOND
                better_copies[order_pair(best, row)] = better
            self._pairs.save_better_copies(better_copies)

    def _forget_unreadable_files(self, failed: Iterable[FilePair]) -> None:
        """Forget unreadable files and their open pairs.

        A file that comes back is hashed again like a new one. Of a pair that failed, one or both
        files may be unreadable: each is tried.
        """
        files = dict[int, SampleFile]()
        for pair in failed:
            files |= zip(pair.rows, (pair.a, pair.b), strict=True)

        for row, file in files.items():
            try:
                read_pixels(file, GREY_SIDE, "L")
            except Unreadable as error:
                key = self._hashes.get_regions([row])[row].key
                self._hashes.delete(row)
                self._dataset.rejections.add(
                    Rejection(STAGE, key, error.reason, error.detail)
                )


def _make_operation(plan: DuplicatePlan) -> Operation:
    marked = sum(not placement.kept for placement in plan.places)
    if marked:
        return make_operation("set-aside", count=marked)
    if plan.places:
        return make_operation("take-back-copies", count=len(plan.places))
    return make_operation(NAMED, name="Move labels between copies")
