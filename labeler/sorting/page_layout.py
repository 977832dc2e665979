"""Composing pages: which samples are shown together, in which order.

Samples of one track form a stack, which is shown as one tile and decided as one. So do nearly equal
samples of frames close in time; both conditions are necessary. Two faces of one image are never in
one stack.

The clusters page shows similar unlabelled samples of people who have no class yet. Clusters come
from similarity alone. Decided samples are clustered too: a cluster without any of them probably
shows somebody new.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from itertools import accumulate, chain, combinations, compress
from typing import NamedTuple

import numpy as np

from curation.similarity.clustering import cluster_rows
from curation.similarity.descriptor import get_uncentered_space
from gleanset.arrays import Float32Array, thin_out
from gleanset.db.sorting import SampleFeatures
from labeler.sorting.predictions import NO_PREDICTION, ClassPrediction

MAX_STACK_GAP_SECONDS = 2.0
MAX_STACK_DISTANCE = 0.4
"""Distance of descriptors (uncentered): .72 of the pairs of a drawn track are nearer, and one in
1,900 pairs of two people, mostly twins."""


def build_stacks(
    samples: Sequence[SampleFeatures], split: Collection[int]
) -> list[list[int]]:
    """Return the positions of samples that belong together; each sample is in one stack.

    A stack continues as long as the next frame is near the last one in time and similar to the
    first one, so that a slow pan does not end at another person. Rows in `split` stay alone.
    """
    vectors, has_vector = get_uncentered_space().get_vectors(
        [sample.descriptor for sample in samples]
    )
    stacks = []
    open_stacks: dict[str, list[list[int]]] = defaultdict(list)
    tracks: dict[str, list[int]] = defaultdict(list)
    times = [(sample.video or "", sample.time or 0.0, sample.id) for sample in samples]
    for number in sorted(range(len(samples)), key=times.__getitem__):
        sample = samples[number]
        # A new stack is filled below, after tracks and open stacks refer to it.
        stack = []
        if sample.id in split:
            pass  # a stack of its own
        elif sample.track is not None:
            stack = tracks[sample.track]
        elif (
            sample.video is not None and sample.time is not None and has_vector[number]
        ):
            recent = [
                other
                for other in open_stacks[sample.video]
                if sample.time - (samples[other[-1]].time or 0.0)
                <= MAX_STACK_GAP_SECONDS
            ]

            similar = (
                s for s in recent if _belongs_to_stack(number, s, samples, vectors)
            )
            stack = next(similar, stack)
            open_stacks[sample.video] = recent if stack else [*recent, stack]

        if not stack:
            stacks.append(stack)
        stack.append(number)

    return stacks


def find_pairs_in_one_image(
    stacks: Sequence[Stack], samples: Sequence[SampleFeatures]
) -> set[tuple[int, int]]:
    """Return pairs of stacks (by number) that appear in one image."""
    images = {sample.id: sample.image for sample in samples}
    stacks_by_image: dict[int, set[int]] = defaultdict(set)
    for stack in stacks:
        for row in stack.rows:
            stacks_by_image[images[row]].add(stack.number)
    return {
        pair
        for numbers in stacks_by_image.values()
        for pair in combinations(sorted(numbers), 2)
    }


def _belongs_to_stack(
    number: int,
    stack: list[int],
    samples: Sequence[SampleFeatures],
    vectors: Float32Array,
) -> bool:
    if any(samples[other].image == samples[number].image for other in stack):
        return False
    return (
        float(np.linalg.norm(vectors[number] - vectors[stack[0]])) <= MAX_STACK_DISTANCE
    )


MAX_PAGE_TILES = 96
MAX_EXPECTED_ERRORS = 6.0
"""A page ends at this expected number of errors."""

MIN_ERRORS_FOR_ANOTHER_PAGE = 2 * MAX_EXPECTED_ERRORS
"""If fewer errors are expected after a page, everything left is one page: another page costs an
Enter, and what the model learns from it corrects less than that."""

MAX_ERROR_RATE = 0.15
"""Expected error rate above which a page is split."""
MAX_CANDIDATE_ERROR_RATE = 0.30
"""Expected error rate above which a sample is on no class page."""

MAX_DOUBTFUL_CONFIDENCE = 0.85
MAX_DOUBTFUL_TILES = 18
HEADING_TILES = 4
"""The room of a portrait with its name and of the empty ends of lines, in tiles."""

MIN_MIXED_TILES = 24

# If no class fills this part of a page, or the only one has too few tiles, several share a page:
# an Enter for each of ten classes costs more than reading ten headings.
MIN_CLASS_PAGE_PART = 0.9
MIN_CLASS_TILES = 6

FIRST_PAGE_TILES = 24
"""Tiles on the first page of a class, whose predictions were not tested on decisions yet, or the
number of decided samples if that is larger."""


class Stack(NamedTuple):
    """One tile: samples that are decided together, and their prediction.

    `number` is the position of its first sample in the pool, `rows` are rows of the catalogue.
    """

    number: int
    rows: tuple[int, ...]
    prediction: ClassPrediction


class PageKind(StrEnum):
    """One class, unknown clusters, several classes, or samples without predictions."""

    CLASS = "class"
    CLUSTERS = "groups"
    MIXED = "left"
    PLAIN = "plain"


class ClassPage(NamedTuple):
    """What is shown at once.

    The first `doubtful` tiles are the least confident ones. `total` is how many samples wait for
    the same class, or on a clusters page how many it has. `card_sizes` are the numbers of tiles on
    each card: a cluster, or one of several classes. The expected number of errors is not shown
    before such predictions were `tested` on decisions.
    """

    kind: PageKind
    label: str | None
    tiles: tuple[Stack, ...]
    doubtful: int = 0
    total: int = 0
    card_sizes: tuple[int, ...] = ()
    tested: bool = False

    @property
    def expected_wrong(self) -> float:
        """The expected number of errors among the tiles that have a prediction."""
        return sum(
            1 - t.prediction.confidence
            for t in self.tiles
            if t.prediction.label is not None
        )

    @property
    def rows(self) -> list[int]:
        """All samples on the page."""
        return [row for tile in self.tiles for row in tile.rows]

    @property
    def labels(self) -> set[str]:
        """The classes that are named on the page."""
        labels = {self.label, *(tile.prediction.label for tile in self.tiles)}
        return {label for label in labels if label is not None}

    @property
    def cards(self) -> list[Sequence[int]]:
        """The numbers of the tiles of each card."""
        ends = accumulate(self.card_sizes)
        return [
            range(end - n, end) for n, end in zip(self.card_sizes, ends, strict=True)
        ]

    @property
    def boxes(self) -> tuple[int, ...]:
        """The number of the card of each tile; empty on a page without cards."""
        return tuple(box for box, tiles in enumerate(self.cards) for _ in tiles)

    def restrict(self, rows: Collection[int]) -> ClassPage:
        """Return the page with these samples alone."""
        tiles = [
            t._replace(rows=tuple(row for row in t.rows if row in rows))
            for t in self.tiles
        ]

        # Doubtful tiles come first. If all that are left are doubtful, none stands out: then the
        # number is 0, which is n % n.
        is_left = [bool(tile.rows) for tile in tiles]
        sizes = (sum(is_left[number] for number in members) for members in self.cards)
        # `total` also counts what is beyond this page.
        return self._replace(
            tiles=tuple(tile for tile in tiles if tile.rows),
            doubtful=sum(is_left[: self.doubtful]) % max(1, sum(is_left)),
            total=self.total - len(self.rows) + sum(len(tile.rows) for tile in tiles),
            card_sizes=tuple(filter(None, sizes)),
        )

    def rename(self, names: Mapping[str, str]) -> ClassPage:
        """Return the page with new names of classes."""
        tiles = tuple(
            tile._replace(prediction=tile.prediction.rename(names))
            for tile in self.tiles
        )
        label = None if self.label is None else names.get(self.label, self.label)
        return self._replace(label=label, tiles=tiles)


def compose_page(
    stacks: Sequence[Stack],
    vectors: Float32Array,
    room: int,
    tested: Collection[str],
    decided_counts: Counter[str],
) -> ClassPage | None:
    """Compose the next page, of one class or of several; None if nothing is predicted.

    The first page of a class that was not `tested` on decisions is small, as long as few of its
    samples are decided (`decided_counts`, by class).
    """
    by_class: dict[str, list[Stack]] = defaultdict(list)
    predicted = [stack for stack in stacks if stack.prediction.label is not None]
    for stack in predicted:
        if stack.prediction.confidence >= 1 - MAX_CANDIDATE_ERROR_RATE:
            by_class[str(stack.prediction.label)].append(stack)
    pages = [
        compose_class_page(label, class_stacks, vectors, room)
        for label, class_stacks in by_class.items()
    ]

    # A page for each of ten classes costs ten presses of Enter: see MIN_CLASS_PAGE_PART.
    largest = max((len(page.tiles) for page in pages), default=0)
    full_size = room * MIN_CLASS_PAGE_PART if len(pages) > 1 else MIN_CLASS_TILES
    # Below that size, a page of one class must show all that is predicted: no small page is
    # followed by another small page.
    if pages and (largest >= full_size or largest == len(predicted)):
        best = max(
            pages,
            key=lambda page: (len(page.tiles) - page.expected_wrong, page.label or ""),
        )

        if (label := str(best.label)) in tested:
            return best._replace(tested=True)
        return compose_class_page(
            label,
            by_class[label],
            vectors,
            min(room, max(FIRST_PAGE_TILES, decided_counts[label])),
        )

    if not predicted:
        return None
    first_size = max(FIRST_PAGE_TILES, sum(decided_counts.values()))
    page = compose_mixed_page(
        predicted, vectors, room if tested else min(room, first_size)
    )
    return page._replace(tested=page.labels <= {*tested})


def compose_class_page(
    label: str, stacks: Sequence[Stack], vectors: Float32Array, room: int
) -> ClassPage:
    """Compose a page of the most confident stacks of one class, up to a number of errors."""
    tiles: list[Stack] = []
    errors = 0.0
    for stack in sorted(
        stacks, key=lambda stack: (-stack.prediction.confidence, stack.number)
    ):
        errors += 1 - stack.prediction.confidence
        max_rate = (
            max(MAX_ERROR_RATE, 1 - tiles[0].prediction.confidence) if tiles else 1.0
        )
        # The page ends where its errors rise above the limit. But if the most confident stack is
        # above it already, shorter pages are not purer: equally doubtful ones stay together.
        is_mixed = (
            len(tiles) >= MIN_CLASS_TILES
            and errors / (len(tiles) + 1) > max_rate + 0.001
        )

        # The hundredth, like the thousandth above, is a tolerance for rounding errors.
        if tiles and (
            errors > MAX_EXPECTED_ERRORS + 0.01 or len(tiles) >= room or is_mixed
        ):
            break

        tiles.append(stack)

    by_confidence = sorted(
        tiles, key=lambda stack: (stack.prediction.confidence, stack.number)
    )
    doubtful = [
        s for s in by_confidence if s.prediction.confidence < MAX_DOUBTFUL_CONFIDENCE
    ][:MAX_DOUBTFUL_TILES]
    # If all are doubtful, none stands out.
    if len(doubtful) == len(tiles):
        doubtful = []

    confident = order_by_similarity(
        [tile for tile in tiles if tile not in doubtful], vectors
    )
    return ClassPage(
        PageKind.CLASS,
        label,
        (*doubtful, *confident),
        len(doubtful),
        sum(len(stack.rows) for stack in stacks),
    )


def compose_mixed_page(
    stacks: Sequence[Stack], vectors: Float32Array, room: int
) -> ClassPage:
    """Compose a page of several classes, each stack under its prediction.

    Within a class, similar stacks are adjacent, so that one sweep corrects several.
    """
    by_label: dict[str, list[Stack]] = defaultdict(list)
    errors = 0.0
    all_errors = sum(1 - stack.prediction.confidence for stack in stacks)
    by_confidence = sorted(stacks, key=lambda s: (-s.prediction.confidence, s.number))
    for count, stack in enumerate(by_confidence):
        errors += 1 - stack.prediction.confidence
        is_full = count + HEADING_TILES * len(by_label) >= room
        # As many errors as a page may have, but only if the rest is worth another page.
        has_enough_errors = (
            errors > MAX_EXPECTED_ERRORS
            and all_errors - errors > MIN_ERRORS_FOR_ANOTHER_PAGE
        )

        if count >= MIN_MIXED_TILES and (has_enough_errors or is_full):
            break
        by_label[stack.prediction.label or ""].append(stack)

    # Reversed, because the order begins with the first stack: the least confident one.
    cards = [
        order_by_similarity(by_label[label][::-1], vectors)
        for label in sorted(by_label)
    ]

    return ClassPage(
        PageKind.MIXED,
        None,
        tuple(chain(*cards)),
        0,  # no tile stands out as doubtful
        sum(len(stack.rows) for stack in stacks),
        tuple(map(len, cards)),
    )


def order_by_similarity(stacks: Sequence[Stack], vectors: Float32Array) -> list[Stack]:
    """Order stacks greedily, each followed by the most similar remaining stack."""
    order = chain_by_similarity(vectors[[stack.number for stack in stacks]])
    return [stacks[number] for number in order]


def chain_by_similarity(vectors: Float32Array) -> list[int]:
    """Return the positions of vectors, each followed by the most similar remaining one."""
    similarities = vectors @ vectors.T
    # Begin with the first vector; without vectors the order is empty.
    order = [0][: len(vectors)]
    for _ in range(len(vectors) - 1):
        similarities[:, order[-1]] = -np.inf
        order.append(int(np.argmax(similarities[order[-1]])))
    return order


MEAN_CLUSTER_SIZE = 7
"""Mean stacks per cluster: small pure clusters cost fewer corrections than one for each person. No
value of 5 to 12 is much better (docs/experiments.md)."""

FEW_STACKS = 40
"""Below this number, clusters of `MEAN_CLUSTER_SIZE` could mix people: they are smaller if
`cluster_rows` itself finds more clusters."""

MIN_CLUSTER_SIZE = 3
"""Naming a smaller cluster costs as much as correcting predictions."""

MIN_LATER_CLUSTER_SIZE = 7
"""The same once a class has samples, so that smaller clusters are covered by predictions."""

# Predictions above this confidence are not shown in clusters, unless the similarity of the cluster
# to every class is lower than this: with two or three classes every prediction is confident
# (docs/experiments.md).
MAX_CLUSTERED_CONFIDENCE = 0.9
MAX_KNOWN_SIMILARITY = 0.3

MAX_CLUSTER_SIZE = 40
# Of more, evenly chosen ones are clustered: the time grows with the square.
MAX_CLUSTERED_STACKS = 800
MAX_CLUSTERED_DECIDED = 400

MAX_DECIDED_RATIO = 0.1
"""Decided samples per stack up to which a cluster counts as unknown."""


class StackCluster(NamedTuple):
    """Similar stacks, the most typical first, and the number of decided samples among them."""

    stacks: tuple[Stack, ...]
    decided_count: int

    @property
    def is_unknown(self) -> bool:
        """Whether hardly any samples of the cluster are decided."""
        return self.decided_count <= MAX_DECIDED_RATIO * len(self.stacks)


def cluster_stacks(
    stacks: Sequence[Stack],
    vectors: Float32Array,
    decided_vectors: Float32Array,
    in_one_image: Collection[tuple[int, int]] = (),
) -> list[StackCluster]:
    """Cluster the stacks that have vectors, the largest cluster first.

    `vectors` belong to the pool, `decided_vectors` (M x D) to samples that have a class. Pairs of
    stacks (by number) `in_one_image` mostly show two people and are kept apart.
    """
    usable: Sequence[Stack] = [stack for stack in stacks if vectors[stack.number].any()]
    if not usable:
        return []

    # The stacks come first in `rows`, then decided samples.
    usable = thin_out(usable, MAX_CLUSTERED_STACKS)
    stack_vectors = vectors[[stack.number for stack in usable]]
    decided_rows = decided_vectors[decided_vectors.any(axis=1)]
    rows = np.concatenate(
        [stack_vectors, thin_out(decided_rows, MAX_CLUSTERED_DECIDED)]
    )
    positions = {stack.number: n for n, stack in enumerate(usable)}
    cannot_link = [
        (positions[a], positions[b])
        for a, b in in_one_image
        if a in positions and b in positions
    ]

    clusters = cluster_rows(
        rows,
        max(1, len(rows) // MEAN_CLUSTER_SIZE),
        cannot_link,
    )
    if len(rows) < FEW_STACKS:
        clusters = max(clusters, cluster_rows(rows, apart=cannot_link), key=len)

    sample_clusters = []
    for cluster in clusters:
        members = [n for n in cluster if n < len(usable)]
        typicality = stack_vectors[members] @ stack_vectors[members].sum(axis=0)
        typical_first = [
            members[int(n)] for n in np.argsort(-typicality, kind="stable")
        ]
        ordered = tuple(usable[n] for n in typical_first)
        sample_clusters.append(StackCluster(ordered, len(cluster) - len(members)))

    return sorted(
        (g for g in sample_clusters if g.stacks),
        key=lambda g: (-len(g.stacks), g.stacks[0].number),
    )


class LeftCluster(NamedTuple):
    """The samples of a cluster that was left without a name, and the classes `known` then."""

    vectors: Float32Array
    known: frozenset[int]


def find_novel_stacks(
    clusters: Sequence[StackCluster],
    vectors: Float32Array,
    class_vectors: Mapping[int, Float32Array],
    left: Sequence[LeftCluster],
) -> set[int]:
    """Return the stacks (by number) in clusters that are similar to no class (by id).

    A class must be more similar than all clusters that were `left` without its name. Those that are
    similar to a class which was not known then do not count against it.
    """
    cluster_vectors = [
        vectors[[stack.number for stack in cluster.stacks]] for cluster in clusters
    ]
    others = [*class_vectors.values(), *(cluster.vectors for cluster in left)]
    present = [rows[rows.any(axis=1)] for rows in others]
    # Rows and columns: the clusters, the classes (from `end`), the left clusters (from `left_at`).
    similarities = _mean_similarities([*cluster_vectors, *present])
    end = len(clusters)
    is_known = np.zeros(end, np.bool_)
    left_at = end + len(class_vectors)
    for at, class_id in enumerate(class_vectors, end):
        # A cluster left without a name shows a person of none of the classes known then. A class
        # that was named since may be of this person, unless the two are dissimilar.
        rivals = [
            n
            for n, cluster in enumerate(left, left_at)
            if class_id in cluster.known or similarities[n, at] < MAX_KNOWN_SIMILARITY
        ]

        limits = similarities[:end, rivals].max(axis=1, initial=MAX_KNOWN_SIMILARITY)
        is_known |= similarities[:end, at] >= limits

    return {stack.number for c in compress(clusters, ~is_known) for stack in c.stacks}


def _mean_similarities(sets: Sequence[Float32Array]) -> Float32Array:
    """Return the mean similarities of several sets (N x N), relative to those within each."""
    if not sets:
        return np.zeros((0, 0), np.float32)
    sizes = np.array([len(rows) for rows in sets])
    means = np.array([rows.sum(axis=0) / max(1, len(rows)) for rows in sets])
    between = means @ means.T
    # Of unit vectors: the mean over all n * n pairs is that of the mean vector with itself. Without
    # the n pairs of a row with itself, which are 1, it is (n * n * mean - n) / (n * n - n). The
    # floor keeps a set of unlike rows from being similar to everything.
    within = np.maximum((np.diag(between) * sizes - 1) / np.maximum(sizes - 1, 1), 0.05)
    # A set of one row has no pairs: it gets the mean of the other sets.
    several = sizes > 1
    within = np.where(several, within, within[several].mean() if several.any() else 1)
    similarities: Float32Array = (between / np.sqrt(np.outer(within, within))).astype(
        np.float32
    )
    np.fill_diagonal(similarities, 1)
    return similarities


def compose_clusters_page(
    clusters: Sequence[StackCluster],
    vectors: Float32Array,
    max_tiles: int,
    min_size: int = MIN_CLUSTER_SIZE,
) -> ClassPage | None:
    """Compose a page of the largest unknown clusters; None if there are none."""
    unknown = [
        g.stacks[:MAX_CLUSTER_SIZE]
        for g in clusters
        if g.is_unknown and len(g.stacks) >= min_size
    ]

    page_clusters: list[Sequence[Stack]] = []
    free = max_tiles
    for cluster in unknown:
        if not page_clusters or len(cluster) + HEADING_TILES <= free:
            free -= len(cluster) + HEADING_TILES
            page_clusters.append(cluster)

    if not page_clusters:
        return None
    means = [
        vectors[[stack.number for stack in cluster]].mean(axis=0)
        for cluster in page_clusters
    ]

    neighbours = [page_clusters[n] for n in chain_by_similarity(np.array(means))]
    ordered = chain(*(order_by_similarity(cluster, vectors) for cluster in neighbours))
    tiles = tuple(stack._replace(prediction=NO_PREDICTION) for stack in ordered)
    return ClassPage(
        PageKind.CLUSTERS,
        None,
        tiles,
        0,  # no tile stands out as doubtful
        sum(len(tile.rows) for tile in tiles),
        tuple(map(len, neighbours)),
    )


def part_tiles(vectors: Float32Array) -> list[int]:
    """Return which of a cluster's tiles (N x D) belong to its smaller half by similarity."""
    parts = sorted(cluster_rows(vectors, 2), key=len)
    return sorted(parts[0]) if len(parts) > 1 else []
