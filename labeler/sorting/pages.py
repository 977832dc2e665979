"""Class pages: what is predicted next, and what happens when a page is labelled.

After each page all predictions are computed again from the decisions, so that one correction fixes
others. Only what was on a page is labelled.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np

from curation.similarity.clustering import list_tracks, refine_with_tracks
from curation.similarity.spaces import MIN_COVERAGE
from gleanset.arrays import Float32Array
from gleanset.db.sorting import SortingQueue
from gleanset.operations import make_operation
from labeler.sorting.descriptor_queue import POOL_SIZE
from labeler.sorting.page_layout import (
    FIRST_PAGE_TILES,
    MAX_CLUSTERED_CONFIDENCE,
    MAX_CLUSTERED_STACKS,
    MAX_PAGE_TILES,
    MIN_CLUSTER_SIZE,
    MIN_LATER_CLUSTER_SIZE,
    ClassPage,
    LeftCluster,
    PageKind,
    Stack,
    StackCluster,
    build_stacks,
    cluster_stacks,
    compose_clusters_page,
    compose_page,
    find_novel_stacks,
    find_pairs_in_one_image,
    part_tiles,
)
from labeler.sorting.predictions import NO_PREDICTION, Predictor, average_predictions
from labeler.sorting.session import NO_STEP, WITH_PAGE, SortingSession, StepResult

MAX_PAGES_AHEAD = 6
"""Pages from one analysis of 3,000 samples, which takes up to 5 CPU seconds: a person presses Enter
so often meanwhile."""


class QueueAnalysis(NamedTuple):
    """Predictions and clusters of the waiting samples.

    `vectors` belong to the samples by the number of their stack. `novel` stacks (by number) are in
    clusters that are not similar to any class. There are no clusters while too few samples can be
    `compared`.
    """

    stacks: list[Stack]
    clusters: list[StackCluster]
    novel: set[int]
    vectors: Float32Array
    class_counts: Counter[str]
    compared: bool


class Pages:
    """Composes pages for one session.

    There are no clusters before nearly all waiting samples can be compared: clusters of the few
    that are measured first would mix several people.
    """

    def __init__(self, session: SortingSession):
        self._session = session
        self.room = MAX_PAGE_TILES
        """The number of tiles that fill the window."""
        self._queue = SortingQueue(session.dataset.db)
        self.reserved: frozenset[int] = frozenset()
        """Samples on the pages of other people, which are not shown."""
        self._skipped: set[int] = set()
        """Samples that wait until all others were shown."""
        self._left: list[tuple[dict[int, str], frozenset[int]]] = []
        """The samples of clusters that were left without a name, and the classes known then."""
        self.predictor = Predictor(session)
        self._split: set[int] = set()
        """Samples that are shown one by one, not in stacks."""
        self._excluded: dict[int, set[str | None]] = defaultdict(set)
        """The classes that samples were excluded from on a page that was not filed."""
        self._has_embeddings = self._is_learned = False
        """Of the last analysis: it compared embeddings, and predicted from enough decisions."""
        self._newest = 0
        """The newest sample (row of the catalogue) at the last page."""
        # Decisions of earlier sessions test predictions as well as a first page does.
        counts = session.tiles.get_counts().classes
        self._tested = {row.name for row in counts if row.count >= FIRST_PAGE_TILES}
        self._unreadable: set[int] = set()
        self._all_measured = False
        self._pool: set[int] = set()
        """The samples of the last analysis."""

    def next(
        self, skipped: ClassPage | None = None, unstacked: Iterable[int] = ()
    ) -> ClassPage | None:
        """Return the next page, after one that is `skipped`; None when nothing waits.

        The samples of `unstacked` are shown one by one from now on.
        """
        if skipped is not None:
            self.skip(skipped)
        self.unstack(unstacked)
        return self._show_page(self._analyze_queue())

    def list_next(self) -> list[ClassPage]:
        """Return the next pages, up to one of clusters, whose names change all others."""
        analysis = self._analyze_queue()
        pages: list[ClassPage] = []
        while len(pages) < MAX_PAGES_AHEAD and (page := self._show_page(analysis)):
            pages.append(page)
            if page.kind is PageKind.CLUSTERS:
                break
            shown = {tile.number for tile in page.tiles}
            left = [stack for stack in analysis.stacks if stack.number not in shown]
            analysis = analysis._replace(stacks=left)

        return pages

    def unstack(self, rows: Iterable[int]) -> None:
        """Show samples one by one from now on."""
        self._split.update(rows)

    def _show_page(self, analysis: QueueAnalysis) -> ClassPage | None:
        newest = self._queue.get_newest()
        if self._newest and newest > self._newest:
            self._tested.clear()  # new images may be of people that no class is of
        self._newest = newest
        self._pool = {row for stack in analysis.stacks for row in stack.rows}
        return _compose_next_page(analysis, self.room, self._tested)

    def note_unreadable(self) -> set[int]:
        """Record and return the samples without a descriptor now: they will never have one."""
        self._all_measured = True
        waiting_samples = self._queue.get_features(self._queue.list_waiting(POOL_SIZE))
        self._unreadable = {
            sample.id for sample in waiting_samples if sample.descriptor is None
        }
        return self._unreadable

    def recompose(self, page: ClassPage) -> ClassPage | None:
        """Return a page with more samples or with better clusters, if there is one, or None."""
        # There is room on the page, and there are samples that the last analysis did not have.
        grows = len(page.tiles) < self.room and not self._pool.issuperset(
            self._choose_rows()
        )
        has_clusters = page.kind is PageKind.CLUSTERS
        is_plain = page.kind is PageKind.PLAIN
        # Before faces can be compared, a page of classes shows nothing but weak labels.
        is_hinted = not (has_clusters or is_plain or self._is_learned)
        if grows or is_hinted or is_plain:
            analysis = self._analyze_queue()
            is_better = self._is_learned if is_hinted else analysis.compared
            # A clusters page is only replaced by one whose samples were compared.
            is_better |= grows and not has_clusters
            return self._show_page(analysis) if is_better else None

        if not has_clusters:
            return None
        # There are no better clusters than those by embeddings. Clusters by descriptors are made
        # again once all samples on the page have embeddings.
        shown_samples = (
            [] if self._has_embeddings else self._queue.get_features(page.rows)
        )
        return (
            self.next() if self.predictor.spaces.has_embeddings(shown_samples) else None
        )

    def refresh(
        self, page: ClassPage, sent: Collection[int] | None
    ) -> ClassPage | None:
        """Return a page without samples decided elsewhere; None if nothing is left.

        Samples `sent` from it stay on the page. `sent` is None if nothing was done on it: then the
        result is also None if there are new samples, for which the next page is composed.
        """
        waiting = self._still_waiting(dict.fromkeys(page.rows, ""))
        is_old = sent is None and not self._pool.issuperset(self._choose_rows())
        return (
            None if is_old or not waiting else page.restrict({*waiting, *(sent or ())})
        )

    def _analyze_queue(self) -> QueueAnalysis:
        samples = self._queue.get_features(self._choose_rows())
        classes = self._session.tiles.get_counts().classes
        decided_samples = self.predictor.read_decided_samples(classes)
        all_samples = [*samples, *decided_samples]
        self._has_embeddings = self.predictor.spaces.has_embeddings(all_samples)
        space = self.predictor.spaces.choose_space(all_samples)
        class_counts = Counter({row.name: row.count for row in classes if row.count})
        predictions = self.predictor.predict(samples, decided_samples, space, classes)

        resolve = self._session.classes.resolve
        for n, sample in enumerate(samples):
            names = self._excluded.get(sample.id, ())
            # A class may have been renamed since its page was left.
            excluded = {resolve(name) for name in names if name is not None}
            predictions[n] = predictions[n].without(excluded, class_counts)

        stacks = []
        for members in build_stacks(samples, self._split):
            prediction = average_predictions([predictions[n] for n in members])
            stacks.append(
                Stack(members[0], tuple(samples[n].id for n in members), prediction)
            )

        vectors, has_vector = space(samples)
        decided_vectors, has_decided_vector = space(decided_samples)
        # Samples of a track are compared as one.
        track_ids = list_tracks(sample.track for sample in all_samples)
        refined = refine_with_tracks(
            np.concatenate([vectors, decided_vectors]), track_ids
        )
        vectors = refined[: len(samples)]
        decided_vectors = refined[len(samples) :]

        # What cannot be read never gets a vector, and must not keep clusters away.
        unreadable_count = sum(sample.id in self._unreadable for sample in samples)
        compared = bool(
            has_vector.sum()
            >= min(
                MAX_CLUSTERED_STACKS, MIN_COVERAGE * len(has_vector) - unreadable_count
            )
        )

        is_covered = has_decided_vector.sum() >= MIN_COVERAGE * len(has_decided_vector)
        self._is_learned = compared and bool(is_covered or self._all_measured)
        in_one_image = find_pairs_in_one_image(stacks, samples)
        clusters = (
            cluster_stacks(stacks, vectors, decided_vectors, in_one_image)
            if compared
            else []
        )

        # The labels are classes (rows of the catalogue).
        labels = np.array([sample.label or 0 for sample in decided_samples])
        class_vectors = {n: decided_vectors[labels == n] for n in {*labels.tolist()}}
        left = [
            LeftCluster(space(self._queue.get_features([*rows]))[0], known_classes)
            for row_names, known_classes in self._left
            if (rows := self._still_waiting(row_names))
        ]

        novel = find_novel_stacks(clusters, vectors, class_vectors, left)
        for n, stack in enumerate(stacks):
            # Novel clusters mostly show people that were left without a name: suggest no class.
            if (
                left
                and stack.number in novel
                and stack.prediction.label in class_counts
            ):
                stacks[n] = stack._replace(prediction=NO_PREDICTION)

        return QueueAnalysis(stacks, clusters, novel, vectors, class_counts, compared)

    def _choose_rows(self) -> list[int]:
        """Return waiting samples; if too many, only of the most frequent prediction."""
        limit = POOL_SIZE + len(self._skipped | self.reserved)
        # One more than the limit shows that there are too many.
        rows = self._queue.list_waiting(limit + 1)
        if len(rows) > limit and (counts := self._queue.count_proposed()):
            largest = max(counts, key=lambda row: (counts[row], -row))
            rows = self._queue.list_proposed(largest, limit)

        rows = [row for row in rows if row not in self.reserved]
        # When only skipped samples are left, they are shown again.
        unskipped = [row for row in rows if row not in self._skipped]
        if not unskipped:
            self._skipped.clear()
        return (unskipped or rows)[:POOL_SIZE]

    def exclude(self, tiles: Iterable[Stack]) -> None:
        """Suggest no class again for what was excluded from it."""
        for tile in tiles:
            for row in tile.rows:
                self._excluded[row].add(tile.prediction.label)

    def skip(self, page: ClassPage) -> None:
        """Show other pages first, and suggest no class for faces like those of its clusters."""
        self._skipped.update(page.rows)
        if page.kind is PageKind.CLUSTERS:
            counts = self._session.tiles.get_counts().classes
            known_classes = frozenset(row.id for row in counts if row.count)
            for card in page.cards:
                rows = chain.from_iterable(page.tiles[n].rows for n in card)
                # Each sample with the class that it was shown with: '' in a cluster without a name.
                self._left.append((dict.fromkeys(rows, ""), known_classes))

    def part(self, page: ClassPage, tiles: Sequence[int]) -> tuple[int, ...]:
        """Return which of some tiles (by number) are the smaller half by similarity."""
        samples = self._queue.get_features([page.tiles[tile].rows[0] for tile in tiles])
        # A sample that was removed meanwhile has no features.
        if len(samples) < max(2, len(tiles)):
            return ()
        vectors, _ = self.predictor.spaces.choose_space(samples)(samples)
        return tuple(tiles[number] for number in part_tiles(vectors))

    def label_page(
        self,
        page: ClassPage,
        lifted: Collection[int] = (),
        sent: Collection[int] = (),
        label: str | None = None,
    ) -> StepResult:
        """Label all tiles (by number) that were neither lifted nor sent elsewhere.

        `label` is the name for a page of clusters, or another class for the whole page. Lifted
        samples are not predicted as this class again. Returns `NO_STEP` without a label to give.
        """
        labels = dict[int, str]()
        refused = dict[int, str]()
        for number, tile in enumerate(page.tiles):
            if name := label or tile.prediction.label:
                if number in lifted:
                    refused |= dict.fromkeys(tile.rows, name)
                elif number not in sent:
                    labels |= dict.fromkeys(tile.rows, name)

        with self._session.dataset.db.transaction():
            pending = self._still_waiting(labels)
            refused = self._still_waiting(refused)
            result = NO_STEP
            if pending or refused:
                names = {*pending.values()}
                operation = make_operation(
                    "label-each", count=len(pending), classes=len(names)
                )
                if len(names) == 1:
                    operation = make_operation(
                        "label", count=len(pending), label=names.pop()
                    )
                elif not names:
                    operation = make_operation("exclude", count=len(refused))

                result = self._session.label_each(
                    pending, operation, WITH_PAGE, refused
                )

        # Only now: all of the above is run again while the disk refuses to save it.
        self.note_tested(page)
        return result

    def note_tested(self, page: ClassPage) -> None:
        """Note that the predictions on a page were tested by a person."""
        if page.kind is not PageKind.CLUSTERS:
            self._tested |= {
                tile.prediction.label for tile in page.tiles if tile.prediction.label
            }

    def _still_waiting(self, labels: Mapping[int, str]) -> dict[int, str]:
        """Drop samples that another window has decided since the page was composed."""
        tiles = self._session.tiles.get_many(list(labels))
        return {row: labels[row] for row, tile in tiles.items() if tile.waits}


def _compose_next_page(
    analysis: QueueAnalysis, room: int, tested: Collection[str]
) -> ClassPage | None:
    """Return unknown clusters, else predictions, else smaller clusters, else the rest."""
    # Without a class that has no decided samples yet: its predictions are weak labels, which are
    # shown on a page of that class, not in clusters.
    known_labels = {None, *analysis.class_counts}
    uncertain = {
        stack.number
        for stack in analysis.stacks
        if stack.prediction.label in known_labels
        and (
            stack.number in analysis.novel
            or stack.prediction.confidence < MAX_CLUSTERED_CONFIDENCE
        )
    }

    uncertain_clusters = [
        cluster._replace(
            stacks=tuple(s for s in cluster.stacks if s.number in uncertain)
        )
        for cluster in analysis.clusters
    ]

    vectors = analysis.vectors
    min_size = MIN_CLUSTER_SIZE
    if analysis.class_counts:
        min_size = MIN_LATER_CLUSTER_SIZE
    if page := compose_clusters_page(uncertain_clusters, vectors, room, min_size):
        return page
    if page := compose_page(
        analysis.stacks, vectors, room, tested, analysis.class_counts
    ):
        return page

    without_prediction = [
        stack for stack in analysis.stacks if stack.prediction.label is None
    ]
    comparable = without_prediction if analysis.compared else []
    clusters = cluster_stacks(
        comparable,
        vectors,
        analysis.vectors[:0],
    )
    # `cluster_stacks` drops zero vectors, and centering so few vectors may make all of them zero.
    if not clusters and len(comparable) < MIN_CLUSTER_SIZE:
        clusters = [StackCluster((stack,), 0) for stack in comparable]
    # Of any size, even single faces: nothing else is left to show.
    if page := compose_clusters_page(clusters, vectors, room, 1):
        return page
    tiles = tuple(without_prediction[:room])
    return (
        ClassPage(PageKind.PLAIN, None, tiles, 0, len(without_prediction))
        if tiles
        else None
    )
