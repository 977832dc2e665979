"""Ranking the copies of a duplicate set: the original first, as far as files can show it.

First the metadata: size, storage, and how each copy differs from the hub of its set. A crop, a
mark, a screenshot or a mirror image is equivalent to losing some doublings of the pixels. Then the
pixels of those that show the whole image are compared (`originals`). Among equals the earliest is
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log2
from statistics import median

from gleanset.db.duplicates import DuplicateSetMember, Relation
from labeler.duplicates.duplicate_sets import (
    DECIDED_STATUSES,
    LOSSLESS_FORMATS,
    Pair,
    order_pair,
    quality_score,
)

# In doublings of the number of pixels.
_ALTERATION_COSTS = {
    "cropped": 4.0,
    "marked": 2.0,
    "framed": 2.0,
    "mirrored": 1.0,
    "bordered": 0.5,
    "changed": 0.5,
}
# Pixels of copies with these alterations cannot be aligned, so they are not compared.
_NOT_COMPARABLE = {"cropped", "marked", "framed", "bordered"}
# A crop shows less than this part of the largest extent.
_MAX_CROP_EXTENT = 0.95
# A border is larger than this part of the image.
_MIN_BORDER = 0.03
_MAX_COMPARED_COPIES = 32
# From this number of copies on, the median shows whether there is a border.
_MIN_MAJORITY_COPIES = 5

FindOriginal = Callable[[Sequence[int], Sequence[bool]], int]
"""Returns the original of copies (rows), mirrored or not, by pixels; the first of equals."""


def rank_copies(
    members: Sequence[DuplicateSetMember],
    relations: Mapping[Pair, Relation],
    overlaps: Mapping[Pair, float],
    original: FindOriginal,
) -> list[DuplicateSetMember]:
    """Return the members of a duplicate set, the best copy first. It begins with its hub.

    `overlaps` are the parts (0..1) that pairs have in common.
    """
    altered = find_alterations(members, relations, overlaps)
    hub_relations = _relations_to_hub(members, relations)

    def score(member: DuplicateSetMember) -> float:
        visible = (
            overlaps.get(order_pair(members[0].id, member.id), 1.0)
            if "framed" in altered[member.id]
            else 1
        )
        cost = sum(_ALTERATION_COSTS[way] for way in altered[member.id])
        return quality_score(member) + log2(max(0.01, visible)) - cost

    order = sorted(members, key=lambda member: (-round(score(member), 2), member.id))
    comparable = [member for member in order if not altered[member.id] & _NOT_COMPARABLE]
    comparable = comparable[:_MAX_COMPARED_COPIES]
    if order[0] not in comparable or len(comparable) < 2:
        return order
    mirrored = [
        bool((hub_relations[comparable[0].id] ^ hub_relations[member.id]) & Relation.MIRRORED)
        for member in comparable
    ]
    best = original([member.id for member in comparable], mirrored)
    return sorted(order, key=lambda member: member.id != best)


def find_alterations(
    members: Sequence[DuplicateSetMember],
    relations: Mapping[Pair, Relation],
    overlaps: Mapping[Pair, float],
) -> dict[int, set[str]]:
    """Return the alterations of each member, from how it differs from the hub, the first one.

    Where most members differ from the hub in the same way, it is the hub that was altered.
    """
    hub, others = members[0], members[1:]
    hub_relations = _relations_to_hub(members, relations)

    def is_majority(flag: Relation, number: int) -> bool:
        return 2 * sum(bool(relation & flag) for relation in hub_relations.values()) > number

    marked, framed = (
        is_majority(way, len(others)) for way in (Relation.MARKED_A, Relation.FRAMED_A)
    )
    mirrored, changed = (
        is_majority(way, len(members)) for way in (Relation.MIRRORED, Relation.CHANGED)
    )
    mirrored_count = sum(bool(relation & Relation.MIRRORED) for relation in hub_relations.values())
    has_majority = len(members) >= _MIN_MAJORITY_COPIES
    parts = [member.filled for member in members]
    # Noise hides a border, so the median of many copies is more reliable.
    filled = median(parts) if has_majority else max(parts)
    extents = {
        m.id: _extent(hub_relations[m.id], overlaps.get(order_pair(hub.id, m.id), 1.0))
        for m in members
    }
    for member in members:
        if abs(member.filled - filled) > _MIN_BORDER:  # how much of it is border is not certain
            extents[member.id] = min(1.0, extents[member.id])

    # Extents including the border.
    frames = {member.id: extents[member.id] / max(0.01, member.filled) for member in members}
    frame = median(frames.values()) if has_majority else min(frames.values())

    def ways(member: DuplicateSetMember) -> dict[str, bool]:
        relation = hub_relations[member.id]
        return {
            "cropped": frames[member.id] < _MAX_CROP_EXTENT * max(extents.values()),
            "marked": bool(relation & Relation.MARKED_B)
            or (marked and not relation & Relation.MARKED_A),
            "framed": bool(relation & Relation.FRAMED_B)
            or (framed and not relation & Relation.FRAMED_A),
            "mirrored": bool(relation & Relation.MIRRORED) != mirrored
            and 2 * mirrored_count != len(members),
            "bordered": member.filled < 1 - _MIN_BORDER
            and frames[member.id] > (1 + _MIN_BORDER) * frame,
            "changed": bool(relation & Relation.CHANGED) != changed,
        }

    return {member.id: {way for way, true in ways(member).items() if true} for member in members}


def _relations_to_hub(
    members: Sequence[DuplicateSetMember], relations: Mapping[Pair, Relation]
) -> dict[int, Relation]:
    """Return how each member differs from the first one, which is `a`."""
    hub, hub_relations = members[0], {members[0].id: Relation(0)}
    for member in members[1:]:
        relation = relations.get(order_pair(hub.id, member.id), Relation(0))
        hub_relations[member.id] = relation if hub.id < member.id else relation.swapped
    return hub_relations


def _extent(relation: Relation, overlap: float) -> float:
    """Return how much a member shows relative to the hub; what surrounds it does not count."""
    if relation & Relation.MORE_A and not relation & (Relation.FRAMED_A | Relation.MORE_B):
        return overlap
    if relation & Relation.MORE_B and not relation & (Relation.FRAMED_B | Relation.MORE_A):
        return 1 / max(0.01, overlap)
    return 1.0


def explain_choice(
    best: DuplicateSetMember, others: Sequence[DuplicateSetMember], altered: Mapping[int, set[str]]
) -> str:
    """Return why a copy is better than the best of the others: reasons with details in brackets.

    The window translates the reasons (`labeler/qt/views/duplicates.py`).
    """
    rival = max(others, key=lambda member: (quality_score(member), -member.id))
    kept_pixels, rival_pixels = (m.width * m.height * m.filled for m in (best, rival))
    sizes = f"{best.width} x {best.height} vs. {rival.width} x {rival.height}"
    lossless = [m.format in LOSSLESS_FORMATS for m in (best, rival)]
    disadvantages = altered.get(rival.id, set()) - altered.get(best.id, set())
    advantages = {
        f"larger ({sizes})": kept_pixels > 1.05 * rival_pixels,
        f"not enlarged ({sizes})": rival_pixels > 1.05 * kept_pixels
        and not disadvantages & _NOT_COMPARABLE,
        "no border": "bordered" in disadvantages,
        "not cropped": "cropped" in disadvantages,
        "no mark": "marked" in disadvantages,
        "nothing around it": "framed" in disadvantages,
        f"stored without loss ({best.format})": lossless == [True, False],
        "less compressed": not any(lossless) and best.bytes_per_pixel > 1.1 * rival.bytes_per_pixel,
        "has a decision": bool(
            best.status in DECIDED_STATUSES and rival.status not in DECIDED_STATUSES
        ),
        f"licence known ({best.licence})": bool(best.licence and not rival.licence),
        f"source known ({best.source})": bool(best.source and not rival.source),
    }
    applicable = [text for text, applies in advantages.items() if applies]
    return ", ".join(applicable) or "equal quality: the earliest"
