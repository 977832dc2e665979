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
    copies: tuple[SplitGroupMember, ...] = ()


class _LinkedSamples:
    def __init__(self, evidence: Iterable[GroupEvidence]):
        self.links: list[tuple[int, int]] = []
        self.members: list[SplitGroupMember] = []
        self.rows: dict[int, int] = {}
        hashes: list[int] = []
        linked: dict[Hashable, int] = {}
        frames_of: dict[str, list[tuple[float, int, int]]] = {}
        # Rows of one sample are adjacent.
        for sample_rows in (
            list(rows) for _, rows in groupby(evidence, attrgetter("id"))
        ):
            first = sample_rows[0]
            number = len(self.members)
            self.rows[first.id] = number
            sources = frozenset(
                row.source for row in sample_rows if row.source is not None
            )
            videos = frozenset(row.video for row in sample_rows if row.video)
            own = (
                first.key,
                first.label,
                first.split,
                first.last_split,
                first.split_group,
            )
            self.members.append(SplitGroupMember(*own, sources, videos))
            hashes.append(first.phash)
            for link in _link_keys(sample_rows):
                self.links.append((linked.setdefault(link, number), number))
            for row in sample_rows:
                if row.video is not None and row.scene is not None:
                    frame = (row.time or 0.0, row.scene, number)
                    frames_of.setdefault(row.video, []).append(frame)
        for frames in frames_of.values():
            for (before, scene, a), (after, next_scene, b) in pairwise(sorted(frames)):
                cut = (
                    after > before and 0 < next_scene - scene <= CUTS_BETWEEN_NEIGHBOURS
                )
                if after - before < NEIGHBOUR_SECONDS and not cut:
                    self.links.append((a, b))
        self.hashes = np.array(hashes, dtype=np.uint64)


def assign_split_groups(db: Connection, keys: Iterable[str] = ()) -> dict[str, str]:
    """Map samples that take part in splits, and `keys`, to group names.

    Samples in `keys` link others whatever their status (queue, rejected, retired). An unknown key
    is a group of its own. A group is named after the smallest key of its labelled samples, or of
    all samples if none is labelled. The same catalogue and keys give the same names.
    """
    requested = frozenset(keys)
    names = {key: key for key in requested}
    verdicts = Pairs(db).get_possible_duplicates()
    for group in _components(SplitEvidence(db).iterate(requested), verdicts):
        labelled = [member for member in group if member.label]
        name = min(member.key for member in labelled or group)
        names |= {member.key: name for member in group}
    return names


def find_split_groups(
    evidence: Iterable[GroupEvidence],
    verdicts: Mapping[tuple[int, int], bool] | None = None,
) -> list[SplitGroup]:
    """Return groups with at least one labelled sample, ordered by key.

    `evidence` must come sample by sample. `verdicts` says of pairs (rows, a < b) whether they
    are duplicates; False, which only a person can decide, unlinks similar images.
    """
    groups = []
    for members in _components(evidence, verdicts or {}):
        if labelled := sorted((m for m in members if m.label), key=attrgetter("key")):
            copies = tuple(member for member in members if not member.label)
            groups.append(SplitGroup(labelled[0].key, tuple(labelled), copies))
    return sorted(groups, key=lambda group: group.key)


def load_split_groups(db: Connection) -> list[SplitGroup]:
    """Return `find_split_groups` of all samples of the catalogue."""
    return find_split_groups(
        SplitEvidence(db).iterate(), Pairs(db).get_possible_duplicates()
    )


def find_straddling_groups(db: Connection) -> list[SplitGroup]:
    """Return the groups in several splits, as after an image that connects two of them."""
    groups = load_split_groups(db)
    return [
        group for group in groups if len({m.split for m in group.members} - {None}) > 1
    ]


def _components(
    evidence: Iterable[GroupEvidence], verdicts: Mapping[tuple[int, int], bool]
) -> Iterable[list[SplitGroupMember]]:
    # Imported here: most commands make no groups.
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    linked = _LinkedSamples(evidence)
    rows, links, members = linked.rows, linked.links, linked.members
    if not members:
        return ()
    unlinked: set[tuple[int, int]] = set()
    for (first, other), same in verdicts.items():
        if first in rows and other in rows:
            a, b = sorted((rows[first], rows[other]))
            links.append((a, b)) if same else unlinked.add((a, b))
    flat = np.isin(linked.hashes, np.array(FLAT_HASHES, np.uint64))
    for near in find_near_pairs(linked.hashes, MAX_SIMILAR_BITS):
        is_flat = flat[near.a] | flat[near.b]
        pairs = zip(near.a[~is_flat].tolist(), near.b[~is_flat].tolist(), strict=True)
        links += [pair for pair in pairs if pair not in unlinked]
    ends = np.array(links, np.int64).reshape(-1, 2).T
    graph = coo_array(
        (np.ones(len(links), np.bool_), tuple(ends)), shape=[len(members)] * 2
    )
    components: dict[int, list[SplitGroupMember]] = {}
    for number, member in zip(
        connected_components(graph, False)[1].tolist(), members, strict=True
    ):
        components.setdefault(number, []).append(member)
    return components.values()


def _link_keys(rows: list[GroupEvidence]) -> Iterator[Hashable]:
    yield "image", rows[0].image
    if rows[0].group is not None:
        yield "group", rows[0].group
    if rows[0].track is not None:
        yield "track", rows[0].track
    for row in rows:
        if row.post is not None:
            yield "post", row.post
        if row.video is not None and row.scene is not None:
            yield "scene", row.video, row.scene
