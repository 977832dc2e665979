"""Composing class pages: which samples are shown together, in which order.

Samples of one track form a stack, which is shown as one tile and decided as one. So do nearly equal
samples of frames close in time; both conditions are necessary. Two faces of one image are never in
one stack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from itertools import combinations
from typing import NamedTuple

import numpy as np

from curation.similarity.descriptor import get_uncentered_space
from gleanset.db.sorting import SampleFeatures
from labeler.similarity import Vectors
from labeler.sorting.predictions import ClassPrediction

MAX_STACK_GAP_SECONDS = 2.0
MAX_STACK_DISTANCE = 0.4
"""Distance of descriptors (uncentered): .72 of the pairs of a drawn track are nearer, and one in
1,900 pairs of two people, mostly twins."""


def build_stacks(samples: Sequence[SampleFeatures], split: Collection[int] = ()) -> list[list[int]]:
    """Return the positions of samples that belong together; each sample is in one stack.

    A stack continues as long as the next frame is near the last one in time and similar to the
    first one, so that a slow pan does not end at another person. Rows in `split` stay alone.
    """
    vectors, has_vector = get_uncentered_space().get_vectors(
        [sample.descriptor for sample in samples]
    )
    stacks: list[list[int]] = []
    open_stacks: dict[str, list[list[int]]] = {}
    tracks: dict[str, list[int]] = {}

    def time_order(number: int) -> tuple[str, float, int]:
        sample = samples[number]
        return sample.video or "", sample.time or 0.0, sample.id

    for number in sorted(range(len(samples)), key=time_order):
        sample = samples[number]
        if sample.track is not None and sample.id not in split:
            if sample.track not in tracks:
                stacks.append(tracks.setdefault(sample.track, []))
            tracks[sample.track].append(number)
            continue
        if (
            sample.video is None
            or sample.time is None
            or not has_vector[number]
            or sample.id in split
        ):
            stacks.append([number])
            continue
        recent = [
            stack
            for stack in open_stacks.get(sample.video, [])
            if sample.time - (samples[stack[-1]].time or 0.0) <= MAX_STACK_GAP_SECONDS
        ]
        stack_to_extend = next(
            (s for s in recent if _belongs_to_stack(number, s, samples, vectors)), None
        )
        if stack_to_extend is None:
            stack_to_extend = [number]
            stacks.append(stack_to_extend)
            recent.append(stack_to_extend)
        else:
            stack_to_extend.append(number)
        open_stacks[sample.video] = recent
    return stacks


def find_pairs_in_one_image(
    stacks: Sequence[Stack], samples: Sequence[SampleFeatures]
) -> set[tuple[int, int]]:
    """Return pairs of stacks (by number) that appear in one image."""
    images = {sample.id: sample.image for sample in samples}
    stacks_by_image: dict[int, set[int]] = {}
    for stack in stacks:
        for row in stack.rows:
            stacks_by_image.setdefault(images[row], set()).add(stack.number)
    return {
        pair for numbers in stacks_by_image.values() for pair in combinations(sorted(numbers), 2)
    }


def _belongs_to_stack(
    number: int, stack: list[int], samples: Sequence[SampleFeatures], vectors: Vectors
) -> bool:
    if any(samples[other].image == samples[number].image for other in stack):
        return False
    return float(np.linalg.norm(vectors[number] - vectors[stack[0]])) <= MAX_STACK_DISTANCE


MAX_PAGE_TILES = 96
MAX_EXPECTED_ERRORS = 6.0
"""A page ends at this expected number of errors."""

MIN_ERRORS_FOR_ANOTHER_PAGE = 2 * MAX_EXPECTED_ERRORS
"""If fewer errors are expected after a page, everything left is one page: another page costs an
Enter, and what the model learns from it corrects less than that."""

MAX_ERROR_RATE, MAX_CANDIDATE_ERROR_RATE = 0.15, 0.30
"""Expected error rates above which a page is split, and a sample is on no class page."""

MAX_DOUBTFUL_CONFIDENCE, MAX_DOUBTFUL_TILES = 0.85, 18
HEADING_TILES = 4
"""The room of a heading and of the empty end of a line, in tiles."""

MIN_MIXED_TILES, MIN_CLASS_PAGE_PART, MIN_CLASS_TILES = 24, 0.9, 6
"""If no class fills this part of a page, or the only one has too few tiles, several share a page:
an Enter for each of ten classes costs more than reading ten headings."""

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
    the same class. On a clusters page `cluster_sizes` are the numbers of tiles per cluster. The
    expected number of errors is not shown before such predictions were `tested` on decisions.
    """

    kind: PageKind
    label: str | None
    tiles: tuple[Stack, ...]
    doubtful: int = 0
    total: int = 0
    cluster_sizes: tuple[int, ...] = ()
    tested: bool = False

    @property
    def expected_wrong(self) -> float:
        """The expected number of errors among the tiles that have a prediction."""
        return sum(
            1 - t.prediction.confidence for t in self.tiles if t.prediction.label is not None
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

    def renamed(self, names: Mapping[str, str]) -> ClassPage:
        """Return the page with new names of classes."""
        tiles = tuple(
            tile._replace(prediction=tile.prediction.renamed(names)) for tile in self.tiles
        )
        label = None if self.label is None else names.get(self.label, self.label)
        return self._replace(label=label, tiles=tiles)


def compose_page(
    stacks: Sequence[Stack],
    vectors: Vectors,
    room: int,
    tested: Collection[str],
    decided_counts: Counter[str],
) -> ClassPage | None:
    """Compose the next page, of one class or of several; None if nothing is predicted.

    The first page of a class that was not `tested` on decisions is small, as long as few of its
    samples are `decided_counts`.
    """
    by_class: dict[str, list[Stack]] = {}
    for stack in stacks:
        if (
            stack.prediction.label is not None
            and stack.prediction.confidence >= 1 - MAX_CANDIDATE_ERROR_RATE
        ):
            by_class.setdefault(stack.prediction.label, []).append(stack)
    pages = [
        compose_class_page(label, class_stacks, vectors, room)
        for label, class_stacks in by_class.items()
    ]
    predicted = [stack for stack in stacks if stack.prediction.label is not None]
    largest = max((len(page.tiles) for page in pages), default=0)
    full_size = room * MIN_CLASS_PAGE_PART if len(pages) > 1 else MIN_CLASS_TILES
    # Avoid a small page that is followed by another small page.
    if pages and (largest >= full_size or largest == len(predicted)):
        best = max(
            pages, key=lambda page: (len(page.tiles) - page.expected_wrong, page.label or "")
        )
        if (label := str(best.label)) in tested:
            return best._replace(tested=True)
        return compose_class_page(
            label, by_class[label], vectors, min(room, max(FIRST_PAGE_TILES, decided_counts[label]))
        )
    if not predicted:
        return None
    first_size = max(FIRST_PAGE_TILES, sum(decided_counts.values()))
    page = compose_mixed_page(predicted, vectors, room if tested else min(room, first_size))
    return page._replace(tested=page.labels <= {*tested})


def compose_class_page(
    label: str, stacks: Sequence[Stack], vectors: Vectors, room: int
) -> ClassPage:
    """Compose a page of the most confident stacks of one class, up to a number of errors."""
    tiles: list[Stack] = []
    errors = 0.0
    for stack in sorted(stacks, key=lambda stack: (-stack.prediction.confidence, stack.number)):
        errors += 1 - stack.prediction.confidence
        max_rate = max(MAX_ERROR_RATE, 1 - tiles[0].prediction.confidence) if tiles else 1.0
        # No part of equally doubtful stacks is purer than all of them.
        is_mixed = len(tiles) >= MIN_CLASS_TILES and errors / (len(tiles) + 1) > max_rate + 0.001
        # The hundredth is a tolerance for rounding errors.
        if tiles and (errors > MAX_EXPECTED_ERRORS + 0.01 or len(tiles) >= room or is_mixed):
            break
        tiles.append(stack)
    by_confidence = sorted(tiles, key=lambda stack: (stack.prediction.confidence, stack.number))
    doubtful = [s for s in by_confidence if s.prediction.confidence < MAX_DOUBTFUL_CONFIDENCE]
    doubtful = doubtful[:MAX_DOUBTFUL_TILES]
    if len(doubtful) == len(tiles):
        doubtful = []
    confident = order_by_similarity([tile for tile in tiles if tile not in doubtful], vectors)
    total = sum(len(stack.rows) for stack in stacks)
    return ClassPage(PageKind.CLASS, label, (*doubtful, *confident), len(doubtful), total)


def compose_mixed_page(stacks: Sequence[Stack], vectors: Vectors, room: int) -> ClassPage:
    """Compose a page of several classes, each stack under its prediction.

    Within a class, similar stacks are adjacent, so that one sweep corrects several.
    """
    page_stacks: list[Stack] = []
    labels: set[str] = set()
    errors, all_errors = 0.0, sum(1 - stack.prediction.confidence for stack in stacks)
    for stack in sorted(stacks, key=lambda s: (-s.prediction.confidence, s.number)):
        errors += 1 - stack.prediction.confidence
        is_full = len(page_stacks) + HEADING_TILES * len(labels) >= room
        has_enough_errors = (
            errors > MAX_EXPECTED_ERRORS and all_errors - errors > MIN_ERRORS_FOR_ANOTHER_PAGE
        )
        if len(page_stacks) >= MIN_MIXED_TILES and (has_enough_errors or is_full):
            break
        page_stacks.append(stack)
        labels.add(stack.prediction.label or "")
    tiles: list[Stack] = []
    for label in sorted(labels):
        class_stacks = [stack for stack in page_stacks if (stack.prediction.label or "") == label]
        tiles += order_by_similarity(class_stacks[::-1], vectors)
    return ClassPage(PageKind.MIXED, None, tuple(tiles), 0, sum(len(s.rows) for s in stacks))


def compose_plain_page(stacks: Sequence[Stack], room: int) -> ClassPage | None:
    """Compose a page of stacks without predictions in their order; None if there are none."""
    tiles = tuple(stacks[:room])
    return ClassPage(PageKind.PLAIN, None, tiles, 0, len(stacks)) if tiles else None


def order_by_similarity(stacks: Sequence[Stack], vectors: Vectors) -> list[Stack]:
    """Order stacks greedily, each followed by the most similar remaining stack."""
    order = chain_by_similarity(vectors[[stack.number for stack in stacks]])
    return [stacks[number] for number in order]


def chain_by_similarity(vectors: Vectors) -> list[int]:
    """Return the positions of vectors, each followed by the most similar remaining one."""
    similarities = vectors @ vectors.T
    order = [0][: len(vectors)]
    for _ in range(len(vectors) - 1):
        similarities[:, order[-1]] = -np.inf
        order.append(int(np.argmax(similarities[order[-1]])))
    return order
