"""Split groups: samples that must stay in one split, so that no test image leaks.

Two samples are in one group if they come from the same image, the same scene of a video, frames
less than a second apart without a known scene cut between them, the same face track or the same
post, if they are duplicates, or if they look alike. Samples marked as duplicates also link
others: a neighbour of the duplicate belongs with the copy that is kept. Groups are the connected
components of these links: groups that are too large are better than a leak.

Splits, folds, bounds and confidence intervals all use these groups, computed from the current
catalogue. Unlabelled samples link nothing, because frame after frame they would join a whole
episode.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from itertools import groupby, pairwise
from operator import attrgetter
from typing import NamedTuple

import numpy as np

from gleanset.arrays import split_by_number
from gleanset.db.connection import Connection
from gleanset.db.duplicates import Pairs
from gleanset.db.samples import GroupEvidence, SplitEvidence
from gleanset.hamming import find_near_pairs
from gleanset.images.measure import FLAT_HASHES

MAX_SIMILAR_BITS = 6
NEIGHBOUR_SECONDS = 1.0
CUTS_BETWEEN_NEIGHBOURS = 3
"""Maximum scene cuts within `NEIGHBOUR_SECONDS` in one sampling. Scene numbers that differ by more,
or decrease, come from different samplings, so they do not prove a cut."""

Pair = tuple[int, int]
"""Two samples: their rows, or their numbers in `_LinkedSamples`, the smaller one first."""


class SplitGroupMember(NamedTuple):
    """Sample with its split, earlier split and group; `label` is None if it is in no split."""

    key: str
    label: str | None
    split: str | None
    last_split: str | None
    split_group: str | None
    sources: frozenset[str]
    videos: frozenset[str]


class SplitGroup(NamedTuple):
    """Group of labelled `members`, with unlabelled `copies`; `key` is the smallest member's."""

    key: str
    members: tuple[SplitGroupMember, ...]
    copies: tuple[SplitGroupMember, ...]


class _Frame(NamedTuple):
    time: float
    scene: int
    number: int


class _LinkedSamples:
    """Samples, and their links: pairs of their numbers."""

    def __init__(
        self, evidence: Iterable[GroupEvidence], verdicts: Mapping[Pair, bool]
    ):
        self._members: list[SplitGroupMember] = []
        self._links: list[Pair] = []
        self._hashes: list[int] = []
        self._number_of_row: dict[int, int] = {}
        self._first_by_origin: dict[Hashable, int] = {}
        self._frames: dict[str, list[_Frame]] = {}

        # Rows of one sample are adjacent.
        for _, rows in groupby(evidence, attrgetter("id")):
            self._add_sample(list(rows))
        for frames in self._frames.values():
            self._link_neighbours(frames)
        self._link_similar(self._link_duplicates(verdicts))

    def _add_sample(self, rows: list[GroupEvidence]) -> None:
        """Add a sample that has a row for each origin of its image."""
        first = rows[0]
        number = len(self._members)
        self._number_of_row[first.id] = number
        self._hashes.append(first.phash)
        member = SplitGroupMember(
            first.key,
            first.label,
            first.split,
            first.last_split,
            first.split_group,
            sources=frozenset(row.source for row in rows if row.source is not None),
            videos=frozenset(row.video for row in rows if row.video),
        )
        self._members.append(member)

        for origin in _list_origins(rows):
            # The first sample of an origin is linked to itself, which has no effect.
            other = self._first_by_origin.setdefault(origin, number)
            self._links.append((other, number))
        for row in rows:
            if row.video is not None and row.scene is not None:
                frame = _Frame(row.time or 0.0, row.scene, number)
                self._frames.setdefault(row.video, []).append(frame)

    def _link_neighbours(self, frames: list[_Frame]) -> None:
        """Link frames of a video that are near in time, without a scene cut between them."""
        for frame, following in pairwise(sorted(frames)):
            seconds = following.time - frame.time
            cuts = following.scene - frame.scene
            # Scene numbers of two samplings do not compare. They may differ at the same time, by
            # more than a second has cuts, or decrease.
            has_cut = seconds > 0 and 0 < cuts <= CUTS_BETWEEN_NEIGHBOURS
            if seconds < NEIGHBOUR_SECONDS and not has_cut:
                self._links.append((frame.number, following.number))

    def _link_duplicates(self, verdicts: Mapping[Pair, bool]) -> set[Pair]:
        """Link duplicates, and return the pairs that a person judged as different."""
        different = set()
        for rows, is_same in verdicts.items():
            # Rows without a number are of samples that take no part in splits.
            if all(row in self._number_of_row for row in rows):
                a, b = sorted(self._number_of_row[row] for row in rows)
                if is_same:
                    self._links.append((a, b))
                else:
                    different.add((a, b))
        return different

    def _link_similar(self, different: set[Pair]) -> None:
        """Link samples whose perceptual hashes are near, but not pairs `different`."""
        hashes = np.array(self._hashes, np.uint64)
        # All images of one color have the same hash: it does not show that they are alike.
        is_flat = np.isin(hashes, np.array(FLAT_HASHES, np.uint64))
        for near in find_near_pairs(hashes, MAX_SIMILAR_BITS):
            has_content = ~(is_flat[near.a] | is_flat[near.b])
            first = near.a[has_content].tolist()
            second = near.b[has_content].tolist()
            pairs = zip(first, second, strict=True)
            self._links += [pair for pair in pairs if pair not in different]

    def iter_components(self) -> Iterator[list[SplitGroupMember]]:
        """Yield samples that links connect, directly or by others."""
        if not self._members:
            return
        # Imported here: most commands make no groups.
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        # A sparse matrix of samples, True where a link joins two of them.
        ends = np.array(self._links, np.int64).reshape(-1, 2).T
        size = len(self._members)
        is_linked = np.ones(len(self._links), np.bool_)
        graph = coo_array(
            (is_linked, tuple(ends)),
            shape=(size, size),
        )
        for rows in split_by_number(connected_components(graph, directed=False)[1]):
            yield [self._members[row] for row in rows.tolist()]


def assign_split_groups(db: Connection, keys: Iterable[str] = ()) -> dict[str, str]:
    """Map samples that take part in splits, and `keys`, to group names.

    Samples in `keys` link others whatever their status (queue, rejected, retired). An unknown key
    is a group of its own. A group is named after the smallest key of its labelled samples, or of
    all samples if none is labelled. The same catalogue and keys give the same names.
    """
    requested = frozenset(keys)
    names = {key: key for key in requested}
    verdicts = Pairs(db).get_possible_duplicates()
    samples = _LinkedSamples(
        SplitEvidence(db).iterate(requested),
        verdicts,
    )
    for group in samples.iter_components():
        labelled = [member for member in group if member.label]
        name = min(member.key for member in labelled or group)
        names |= {member.key: name for member in group}
    return names


def find_split_groups(
    evidence: Iterable[GroupEvidence], verdicts: Mapping[Pair, bool]
) -> list[SplitGroup]:
    """Return groups with at least one labelled sample, ordered by key.

    `evidence` must come sample by sample. `verdicts` says of pairs (rows, a < b) whether they
    are duplicates; False, which only a person can decide, unlinks similar images.
    """
    groups = []
    for members in _LinkedSamples(evidence, verdicts).iter_components():
        labelled = [member for member in members if member.label]
        if labelled:
            labelled.sort(key=attrgetter("key"))
            copies = tuple(member for member in members if not member.label)
            groups.append(SplitGroup(labelled[0].key, tuple(labelled), copies))
    return sorted(groups, key=attrgetter("key"))


def load_split_groups(db: Connection) -> list[SplitGroup]:
    """Return `find_split_groups` of all samples of the catalogue."""
    return find_split_groups(
        SplitEvidence(db).iterate(), Pairs(db).get_possible_duplicates()
    )


def find_straddling_groups(db: Connection) -> list[SplitGroup]:
    """Return the groups in several splits, as after an image that connects two of them."""
    straddling = []
    for group in load_split_groups(db):
        splits = {member.split for member in group.members}
        if len(splits - {None}) > 1:
            straddling.append(group)
    return straddling


def _list_origins(rows: list[GroupEvidence]) -> Iterator[Hashable]:
    """Yield what links a sample to others that have the same."""
    sample = rows[0]
    yield "image", sample.image
    if sample.group is not None:
        yield "group", sample.group
    if sample.track is not None:
        yield "track", sample.track

    for row in rows:
        if row.post is not None:
            yield "post", row.post
        if row.video is not None and row.scene is not None:
            yield "scene", row.video, row.scene
