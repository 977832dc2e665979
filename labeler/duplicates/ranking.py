"""The best copy of a group: the original, as far as the files can tell it from altered copies.

First what is known without a look: size, storage, and how each copy differs from the centre of its
group. A crop, a mark, a screenshot or a mirror image counts like so many halvings of the pixels.
Then the full pixels of those that show the whole are compared (`originals`). Of equals the
earliest is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log2
from statistics import median

from gleanset.db.duplicates import GroupMember, Relation
from labeler.duplicates.grouping import DECIDED, LOSSLESS, Pair, standing

# What an alteration costs, in doublings of the number of pixels.
_COSTS = {
    "cropped": 4.0,
    "marked": 2.0,
    "framed": 2.0,
    "mirrored": 1.0,
    "bordered": 0.5,
    "changed": 0.5,
}
# Copies with these are not compared by their full pixels, which do not lie on each other.
_SPOILED = {"cropped", "marked", "framed", "bordered"}
# Bytes for each pixel that count: of lossless formats, of GIF, at least and at most of others.
_LOSSLESS_BYTES, _GIF_BYTES, _LEAST_BYTES, _MOST_BYTES = 2.0, 0.1, 0.05, 1.0
# A crop shows less than this part of the largest extent, a border is more than this. So many
# copies tell by their majority whether there is one.
_CROP, _BORDER, _MANY = 0.95, 0.03, 5
# Of so many copies the full pixels are read.
_MOST_READ = 32

# Finds the original of copies (rows), mirrored or not, by their pixels; of equals the first.
FindOriginal = Callable[[Sequence[int], Sequence[bool]], int]


def rank_copies(
    group: Sequence[GroupMember],
    relations: Mapping[Pair, Relation],
    overlaps: Mapping[Pair, float],
    original: FindOriginal,
) -> list[GroupMember]:
    """Return the members of a group, the best first. `group` begins with its centre.

    `overlaps` are the parts that pairs have in common, 0..1.
    """
    altered = alterations(group, relations, overlaps)
    seen = _from_centre(group, relations)

    def score(member: GroupMember) -> float:
        shown = overlaps.get(_pair(group[0], member), 1.0) if "framed" in altered[member.id] else 1
        cost = sum(_COSTS[way] for way in altered[member.id])
        return _size(member) + log2(max(0.01, shown)) - cost

    order = sorted(group, key=lambda member: (-round(score(member), 2), member.id))
    # Of many copies the pixels of most tell which are altered.
    hindrances = _SPOILED if len(group) < _MANY else _SPOILED - {"marked"}
    clean = [member for member in order if not altered[member.id] & hindrances][:_MOST_READ]
    if order[0] not in clean or len(clean) < 2:
        return order
    mirrored = [bool((seen[clean[0].id] ^ seen[one.id]) & Relation.MIRRORED) for one in clean]
    best = original([member.id for member in clean], mirrored)
    return sorted(order, key=lambda member: member.id != best)


def alterations(
    group: Sequence[GroupMember],
    relations: Mapping[Pair, Relation],
    overlaps: Mapping[Pair, float],
) -> dict[int, set[str]]:
    """Return what was done to each member, from how it differs from the centre, the first one.

    Where most others differ from the centre in the same way, it is the centre that was altered.
    """
    centre, others = group[0], group[1:]
    seen = _from_centre(group, relations)

    def most(flag: Relation, number: int) -> bool:
        return 2 * sum(bool(relation & flag) for relation in seen.values()) > number

    marked, framed = (most(way, len(others)) for way in (Relation.MARKED_A, Relation.FRAMED_A))
    mirrored, changed = (most(way, len(group)) for way in (Relation.MIRRORED, Relation.CHANGED))
    turned = sum(bool(relation & Relation.MIRRORED) for relation in seen.values())
    parts = [member.filled for member in group]
    # Noise hides a border: of many copies most tell whether there is one.
    filled = median(parts) if len(parts) >= _MANY else max(parts)
    extents = {m.id: _extent(seen[m.id], overlaps.get(_pair(centre, m), 1.0)) for m in group}
    for member in group:
        if abs(member.filled - filled) > _BORDER:  # how much of it is border is not certain
            extents[member.id] = min(1.0, extents[member.id])

    # With the border, whose part in a border of another colour or in a crop is not known.
    frames = {member.id: extents[member.id] / max(0.01, member.filled) for member in group}
    several = list(frames.values())
    frame = median(several) if len(several) >= _MANY else min(several)

    def ways(member: GroupMember) -> dict[str, bool]:
        relation = seen[member.id]
        return {
            "cropped": frames[member.id] < _CROP * max(extents.values()),
            "marked": bool(relation & Relation.MARKED_B)
            or (marked and not relation & Relation.MARKED_A),
            "framed": bool(relation & Relation.FRAMED_B)
            or (framed and not relation & Relation.FRAMED_A),
            "mirrored": bool(relation & Relation.MIRRORED) != mirrored and 2 * turned != len(group),
            "bordered": member.filled < 1 - _BORDER and frames[member.id] > (1 + _BORDER) * frame,
            "changed": bool(relation & Relation.CHANGED) != changed,
        }

    return {member.id: {way for way, true in ways(member).items() if true} for member in group}


def _from_centre(
    group: Sequence[GroupMember], relations: Mapping[Pair, Relation]
) -> dict[int, Relation]:
    """Return how each member differs from the first one, which is `a`."""
    centre, seen = group[0], {group[0].id: Relation(0)}
    for member in group[1:]:
        relation = relations.get(_pair(centre, member), Relation(0))
        seen[member.id] = relation if centre.id < member.id else relation.swapped
    return seen


def _extent(relation: Relation, overlap: float) -> float:
    """Return how much a member shows, the centre being 1; what surrounds it does not count."""
    if relation & Relation.MORE_A and not relation & (Relation.FRAMED_A | Relation.MORE_B):
        return overlap
    if relation & Relation.MORE_B and not relation & (Relation.FRAMED_B | Relation.MORE_A):
        return 1 / max(0.01, overlap)
    return 1.0


def _size(member: GroupMember) -> float:
    """Return the number of pixels in doublings, with what storage and a person's word add."""
    pixels = max(1.0, member.width * member.height * member.filled)
    stored = min(_MOST_BYTES, max(_LEAST_BYTES, member.bytes_per_pixel))
    stored = {"GIF": _GIF_BYTES}.get(member.format, stored)
    stored = _LOSSLESS_BYTES if member.format in LOSSLESS else stored
    return log2(pixels) + 0.5 * log2(stored) + standing(member)


def _pair(first: GroupMember, second: GroupMember) -> Pair:
    return min(first.id, second.id), max(first.id, second.id)


def why_kept(
    kept: GroupMember, others: Sequence[GroupMember], altered: Mapping[int, set[str]]
) -> str:
    """Say in which ways a copy is better than the best of the others, as a short text."""
    rival = max(others, key=lambda member: (_size(member), -member.id))
    mine, theirs = (m.width * m.height * m.filled for m in (kept, rival))
    sizes = f"{kept.width} x {kept.height}, the next {rival.width} x {rival.height}"
    lossless = [m.format in LOSSLESS for m in (kept, rival)]
    spoiled = altered.get(rival.id, set()) - altered.get(kept.id, set())
    ways = {
        f"larger ({sizes})": mine > 1.05 * theirs,
        f"not enlarged ({sizes})": theirs > 1.05 * mine and not spoiled & _SPOILED,
        "no border": "bordered" in spoiled,
        "not cropped": "cropped" in spoiled,
        "no mark": "marked" in spoiled,
        "nothing around it": "framed" in spoiled,
        f"stored without loss ({kept.format})": lossless == [True, False],
        "less compressed": not any(lossless) and kept.bytes_per_pixel > 1.1 * rival.bytes_per_pixel,
        "has a decision": bool(kept.status in DECIDED and rival.status not in DECIDED),
        f"licence known ({kept.licence})": bool(kept.licence and not rival.licence),
        f"source known ({kept.source})": bool(kept.source and not rival.source),
    }
    better = [way for way, true in ways.items() if true]
    return ", ".join(better) or "copies of equal worth: the earliest"
