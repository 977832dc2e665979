"""Duplicate sets from verdicts on pairs, without chaining, and the best copy of each.

Being a copy is not transitive in practice. So every member of a set has been compared with the hub,
the whole and plain sample that most others are copies of (a crop and a screenshot have less in
common with each other than with the original), and with each member that may contradict it. A
sample that fails starts a set of its own. Samples that a person says are the same stay together; no
others that a person or a comparison refused are in one set, except different frames of the hub.

Copies may contradict each other. A blank template is contained in every captioned one, a crop
without the mouth in faces with different mouths. Two images that each show more than a third one
and are not copies of each other cannot both be copies of it: a person has to decide. Only where an
image has many plain copies, a phone around one and a caption above another say nothing about it.

Copies are ranked by their metadata first: size, storage, and how each copy differs from the hub of
its set. A crop, a mark, a screenshot or a mirror image is equivalent to losing some doublings of
the pixels. Then the pixels of those that show the whole image are compared (`originals`). Among
equals the earliest is kept.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain
from math import log2
from statistics import median

from gleanset.db.duplicates import (
    NOT_SAME,
    SAME,
    DuplicateSetMember,
    Pair,
    PairVerdict,
    Relation,
)
from labeler.duplicates.advantages import Advantage, KeepReason

MayJoin = Callable[[list[int], list[int]], bool]
"""Returns whether samples (rows) are copies of the members of a set, both with their hub first."""

CompareRows = Callable[[int, int], PairVerdict | None]
"""Returns the verdict on two samples (rows, a < b), or None."""

SAME_LAYOUT_OVERLAP = 0.97
"""Images that show so much in common differ in it, not in what surrounds it."""

MIN_SHARED_PART = 0.35
"""Copies share at least this part of each image."""

LOSSLESS_FORMATS = ("PNG", "BMP", "TIFF")
DECIDED_STATUSES = ("labelled", "rejected")
# `changed` (per mille of windows) of images that could not be aligned.
_NOT_ALIGNED = 1000.0
# How many times as many plain copies there are of an image that is not a template.
_PLAIN_COPIES_FACTOR = 2
# Bytes per pixel that count for quality; the last two clip those of lossy formats.
_LOSSLESS_BYTES = 2.0
_MIN_BYTES = 0.05
_MAX_BYTES = 1.0


def order_pair(a: int, b: int) -> Pair:
    """Return two samples (rows) in the order of stored pairs."""
    return min(a, b), max(a, b)


def find_duplicate_sets(
    members: Mapping[int, DuplicateSetMember],
    same: Mapping[Pair, float],
    relations: Mapping[Pair, Relation],
    by_person: Mapping[Pair, bool],
    may_join: MayJoin,
) -> list[list[DuplicateSetMember]]:
    """Return sets of two or more copies, the hub first, ordered by the hubs' keys.

    `same` maps pairs (rows, a < b) to their similarity; `by_person` are those that a person judged.
    """
    similarities: dict[int, dict[int, float]] = defaultdict(dict)
    for (a, b), similarity in same.items():
        similarities[a][b] = similarities[b][a] = similarity
    units = _join_by_person(similarities, by_person)
    remaining = set(similarities)

    def rank_hub(row: int) -> tuple[int, int, int, float, str]:
        """Rank by number of copies, their similarity in twentieths, quality.

        A hub is whole and plain: copies that show more than it, or lack a frame or mark that it
        has, only count where two rows have equally many others.
        """
        others = similarities[row]
        copies = [
            other
            for other in others
            if not find_relation(relations, row, other).b_adds_content
            and not find_relation(relations, other, row).b_adds_words
        ]
        member = members[row]
        mean = round(20 * sum(others.values()) / len(others))
        return -len(copies), -len(others), -mean, -quality_score(member), member.key

    def list_neighbours(hub: int, row: int) -> list[int]:
        """Return copies of a row that are not in a set, the most similar to the hub first."""
        nearest = similarities[hub]
        return sorted(
            similarities[row].keys() & remaining,
            key=lambda other: (-nearest.get(other, 0.0), members[other].key),
        )

    def joins(copies: list[int], unit: list[int]) -> bool:
        return not _is_refused(unit, copies, by_person) and may_join(copies, unit)

    sets: list[list[DuplicateSetMember]] = []
    for hub in sorted(similarities, key=rank_hub):
        if hub in remaining:
            copies = _collect_copies(hub, units, list_neighbours, joins)
            remaining.difference_update(copies)
            if len(copies) > 1:
                sets.append([members[row] for row in copies])
    return sorted(sets, key=lambda copies: copies[0].key)


def _collect_copies(
    hub: int,
    units: Mapping[int, list[int]],
    list_neighbours: Callable[[int, int], list[int]],
    joins: MayJoin,
) -> list[int]:
    """Return a set of copies (rows), the hub first.

    `units` are the rows that a person joined, of each row: they are added together or not at all.
    """
    copies = _begin_with(hub, units[hub])
    visited = set(copies)  # also those that do not join: each is tried once
    for member in copies:  # grows while we go through it
        for row in list_neighbours(hub, member):
            if row not in visited:
                unit = _begin_with(row, units[row])
                visited.update(unit)
                if joins(copies, unit):
                    copies.extend(unit)
    return copies


def _begin_with(row: int, rows: list[int]) -> list[int]:
    """Return rows with one of them first, the others in their order."""
    return sorted(rows, key=lambda other: other != row)


def _join_by_person(
    rows: Iterable[int], by_person: Mapping[Pair, bool]
) -> dict[int, list[int]]:
    """Return for each row the rows that a person said are the same, including itself."""
    units = {row: [row] for row in rows}
    for (a, b), equal in sorted(by_person.items()):
        if equal and a in units and b in units and b not in units[a]:
            unit = units[a]
            other = units[b]
            if not _is_refused(unit, other, by_person):
                # All members share one list.
                unit += other
                units |= dict.fromkeys(other, unit)
    return units


def _is_refused(
    rows: Iterable[int], others: Iterable[int], by_person: Mapping[Pair, bool]
) -> bool:
    """Return whether a person said that any of the rows and any other are not the same."""
    return any(
        by_person.get(order_pair(row, other)) is False
        for row in rows
        for other in others
    )


def find_relation(relations: Mapping[Pair, Relation], a: int, b: int) -> Relation:
    """Return how two copies differ; of a pair that only a person judged, it is not known."""
    relation = relations.get(order_pair(a, b), Relation.CHANGED)
    return relation if a < b else relation.swap()


def find_contested_pairs(
    same: Mapping[Pair, Relation], compare: CompareRows
) -> set[Pair]:
    """Return pairs of copies (rows, a < b) that their words or another copy of either contradict.

    `compare` is called for pairs that show more than a third sample, as few as possible.
    """
    # By row: how its copies differ from it, as `a`.
    relations: dict[int, dict[int, Relation]] = defaultdict(dict)
    for (a, b), relation in sorted(same.items()):
        relations[a][b] = relation
        relations[b][a] = relation.swap()

    # Between two captions or frames only a part is the same.
    contested = {pair for pair, relation in same.items() if relation.both_add_words}
    for contained, copies in relations.items():
        for row in _find_contradicted(copies, compare):
            contested.add(order_pair(contained, row))
    return contested


def _find_contradicted(
    copies: Mapping[int, Relation], compare: CompareRows
) -> set[int]:
    """Return the copies (rows) of one sample that contradict each other.

    They show more than the sample or have a mark, but what they add differs: not all of them can be
    copies of it. `copies` has the relation of the sample (a) to each of its copies (b).
    """
    contradicted = set[int]()
    # Each row is compared with the distinct ones alone: one that is equal to a distinct row is
    # contradicted if that row is.
    distinct = list[int]()
    equal = dict[int, int]()  # the distinct row, by row
    additions = [row for row, relation in copies.items() if relation.b_adds_content]
    for row in additions:
        for other in distinct:
            verdict = compare(*order_pair(row, other))
            if verdict is None:
                continue  # `compare` noted it as missing: the next plan has its verdict
            relation = verdict.relation
            is_copy = verdict.verdict == SAME and not relation.both_add_words
            # Frames and marks may hold words: two such copies must be copies of each other.
            have_words = copies[row].b_adds_words and copies[other].b_adds_words
            if is_refusal(verdict) or (have_words and not is_copy):
                contradicted |= {row, other}
            elif is_copy and not relation & ~Relation.MIRRORED:
                equal[row] = other
                break
        else:
            distinct.append(row)

    # An image with many plain copies is not a template: a screenshot and a captioned copy of it
    # are copies, although they differ (docs/experiments.md).
    plain = sum(not relation.b_adds_words for relation in copies.values())
    if plain >= _PLAIN_COPIES_FACTOR * len(contradicted):
        return set()
    return contradicted | {row for row, other in equal.items() if other in contradicted}


def is_refusal(verdict: PairVerdict) -> bool:
    """Return whether a verdict says that two samples differ in the part that both show.

    Crops of one image that only overlap do not contradict each other, nor do small details.
    """
    aligned = verdict.changed < _NOT_ALIGNED and verdict.overlap >= MIN_SHARED_PART
    return verdict.verdict == NOT_SAME and aligned


def quality_score(member: DuplicateSetMember) -> float:
    """Return the quality of a copy by its metadata; one more means twice the pixels.

    Uniform borders do not count as pixels.
    """
    pixels = max(1.0, member.width * member.height * member.filled)
    bytes_per_pixel = min(_MAX_BYTES, max(_MIN_BYTES, member.bytes_per_pixel))
    # A GIF has few colors, often dithered. Ranked above JPEGs of flat drawings, it replaced the
    # original in 6 of 10 sets.
    if member.format == "GIF":
        bytes_per_pixel = _MIN_BYTES
    if member.format in LOSSLESS_FORMATS:
        bytes_per_pixel = _LOSSLESS_BYTES

    # Decisions, licences and sources only count between copies of nearly the same quality.
    score = log2(pixels) + 0.5 * log2(bytes_per_pixel)
    if member.status in DECIDED_STATUSES:
        score += 0.3
    credit = 0.2 * bool(member.licence) + 0.1 * bool(member.source)
    return score + credit


# In doublings of the number of pixels. A screen mostly shows an image enlarged, so it always loses.
_ALTERATION_COSTS = {
    "cropped": 4.0,
    "marked": 2.0,
    "framed": 20.0,
    "mirrored": 1.0,
    "bordered": 0.5,
    "changed": 0.5,
}
# The advantage of a copy without an alteration. Pixels of copies with one of these alterations
# are not compared, except within borders, and where a copy with a mark is the best by its metadata.
_ADVANTAGES = {
    "bordered": Advantage.NO_BORDER,
    "cropped": Advantage.NOT_CROPPED,
    "marked": Advantage.NO_MARK,
    "framed": Advantage.NOT_FRAMED,
}
# A crop shows less than this part of the largest extent.
_MAX_CROP_EXTENT = 0.95
# A border is larger than this part of the image.
_MIN_BORDER = 0.03
_MAX_COMPARED_COPIES = 32
# From this number of copies on, the median shows whether there is a border.
_MIN_MAJORITY_COPIES = 5


def rank_copies(
    members: Sequence[DuplicateSetMember],
    relations: Mapping[Pair, Relation],
    overlaps: Mapping[Pair, float],
    find_original: Callable[[Sequence[int], Sequence[bool]], int],
) -> tuple[list[DuplicateSetMember], dict[int, set[str]]]:
    """Return the members of a duplicate set, the best copy first, and how each was altered.

    `members` begin with the hub. `overlaps` are the parts (0..1) that pairs have in common.
    `find_original` compares the pixels of copies (rows, and whether each is mirrored) and returns
    the row of the original.
    """
    hub, *others = (member.id for member in members)
    hub_relations = {row: find_relation(relations, hub, row) for row in others}
    hub_relations[hub] = Relation(0)
    altered = _find_alterations(members, hub_relations, overlaps)

    order = sorted(
        members,
        key=lambda member: (-_score_altered(member, altered), member.id),
    )
    # Copies with these alterations are not the original, so their pixels are not compared.
    excluded = _ADVANTAGES.keys() - {"bordered"}
    # If a marked copy leads by its metadata, its pixels show whether it was only enlarged.
    if "marked" in altered[order[0].id]:
        excluded -= {"marked"}

    # Those without a mark or border first: they win if the pixels do not decide.
    comparable = [member for member in order if altered[member.id].isdisjoint(excluded)]
    comparable.sort(key=lambda member: len(altered[member.id] & {"marked", "bordered"}))
    comparable = comparable[:_MAX_COMPARED_COPIES]
    if order[0] not in comparable or len(comparable) < 2:
        return order, altered

    rows = [member.id for member in comparable]
    # Whether each is mirrored relative to the first one: if one of both is relative to the hub.
    changes = [hub_relations[rows[0]] ^ hub_relations[row] for row in rows]
    best = find_original(
        rows,
        [bool(change & Relation.MIRRORED) for change in changes],
    )
    return sorted(order, key=lambda member: member.id != best), altered


def _score_altered(
    member: DuplicateSetMember, altered: Mapping[int, set[str]]
) -> float:
    """Return the quality score of a copy, less the costs of its alterations, in hundredths."""
    cost = sum(_ALTERATION_COSTS[way] for way in altered[member.id])
    return round(quality_score(member) - cost, 2)


def _find_alterations(
    members: Sequence[DuplicateSetMember],
    hub_relations: Mapping[int, Relation],
    overlaps: Mapping[Pair, float],
) -> dict[int, set[str]]:
    """Return the alterations of each member, from how it differs from the hub, the first one.

    Where most members differ from the hub in the same way, it is the hub that was altered.
    """
    number = len(members)
    counts = Counter(chain.from_iterable(hub_relations.values()))
    typical = _find_typical_relation(counts, number)
    # If half of them are mirrored, it is not known which half.
    is_mirroring_known = 2 * counts[Relation.MIRRORED] != number

    # Sizes relative to the hub: of the image, and including its border.
    extents = _measure_extents(members, hub_relations, overlaps)
    frames = {
        member.id: extents[member.id] / max(0.01, member.filled) for member in members
    }
    find_typical = median if number >= _MIN_MAJORITY_COPIES else min
    frame = find_typical(frames.values())

    def list_ways(member: DuplicateSetMember) -> dict[str, object]:
        relation = hub_relations[member.id]
        unlike = relation ^ typical
        # A mark or frame of the hub that most copies lack, but this one has, too.
        like_hub = typical & ~relation
        return {
            "cropped": frames[member.id] < _MAX_CROP_EXTENT * max(extents.values()),
            "marked": relation & Relation.MARKED_B or like_hub & Relation.MARKED_A,
            "framed": relation & Relation.FRAMED_B or like_hub & Relation.FRAMED_A,
            "mirrored": unlike & Relation.MIRRORED and is_mirroring_known,
            "bordered": member.filled < 1 - _MIN_BORDER
            and frames[member.id] > (1 + _MIN_BORDER) * frame,
            "changed": unlike & Relation.CHANGED,
        }

    return {
        member.id: {way for way, applies in list_ways(member).items() if applies}
        for member in members
    }


def _find_typical_relation(counts: Mapping[Relation, int], number: int) -> Relation:
    """Return in which ways most members of a set differ from the hub.

    `counts` has how many differ in each way, of `number` members including the hub.
    """
    typical = Relation(0)
    for flag in (
        Relation.MARKED_A,
        Relation.FRAMED_A,
        Relation.MIRRORED,
        Relation.CHANGED,
    ):
        # The hub never differs from itself, so half of all members are a majority of the others.
        # For CHANGED it counts as a vote against: of two copies, the other one is the changed one.
        if 2 * counts[flag] >= number + (flag == Relation.CHANGED):
            typical |= flag
    return typical


def _measure_extents(
    members: Sequence[DuplicateSetMember],
    hub_relations: Mapping[int, Relation],
    overlaps: Mapping[Pair, float],
) -> dict[int, float]:
    """Return how much each member (row) shows relative to the hub, without borders."""
    parts = [member.filled for member in members]  # 0..1
    # Noise hides a border, so the median of many copies is more reliable.
    filled = median(parts) if len(parts) >= _MIN_MAJORITY_COPIES else max(parts)
    extents = {}
    for member in members:
        overlap = overlaps.get(
            order_pair(members[0].id, member.id),
            1.0,
        )
        extent = _measure_extent(hub_relations[member.id], overlap)
        # Trimming took much more or less from it than from the others, so its extent is uncertain.
        if abs(member.filled - filled) > _MIN_BORDER:
            extent = min(1.0, extent)
        extents[member.id] = extent
    return extents


_EXTENT = Relation.MORE_A | Relation.MORE_B | Relation.FRAMED_A | Relation.FRAMED_B


def _measure_extent(relation: Relation, overlap: float) -> float:
    """Return how much a member shows relative to the hub (1: as much).

    `overlap` is the part (0..1) of the larger one that both show. Frames do not count, nor do crops
    that each show something else.
    """
    extent = relation & _EXTENT
    if extent == Relation.MORE_A:
        return overlap
    if extent == Relation.MORE_B:
        return 1 / max(0.01, overlap)
    return 1.0


def explain_choice(
    best: DuplicateSetMember,
    others: Sequence[DuplicateSetMember],
    altered: Mapping[int, set[str]],
) -> tuple[KeepReason, ...]:
    """Return why a copy is better than the best of the others.

    `altered` has the alterations of each copy (row), see `rank_copies`.
    """
    rival = max(others, key=lambda member: (quality_score(member), -member.id))
    disadvantages = altered[rival.id] - altered[best.id]

    pixels = best.width * best.height * best.filled
    rival_pixels = rival.width * rival.height * rival.filled
    sizes = f"{best.width} x {best.height} vs. {rival.width} x {rival.height}"
    lossless = [member.format in LOSSLESS_FORMATS for member in (best, rival)]

    # In the order in which they are listed.
    reasons = {
        KeepReason(Advantage.LARGER, sizes): pixels > 1.05 * rival_pixels,
        # The metadata of the rival are better, but not its pixels: it is an enlargement.
        KeepReason(Advantage.NOT_ENLARGED, sizes): _score_altered(rival, altered)
        > _score_altered(best, altered)
        and disadvantages.isdisjoint(_ADVANTAGES),
        **{
            KeepReason(advantage): alteration in disadvantages
            for alteration, advantage in _ADVANTAGES.items()
        },
        KeepReason(Advantage.LOSSLESS, best.format): lossless == [True, False],
        KeepReason(Advantage.LESS_COMPRESSED): not any(lossless)
        and best.bytes_per_pixel > 1.1 * rival.bytes_per_pixel,
        KeepReason(Advantage.DECIDED): best.status in DECIDED_STATUSES
        and rival.status not in DECIDED_STATUSES,
        KeepReason(Advantage.LICENSED, best.licence or ""): best.licence
        and not rival.licence,
        KeepReason(Advantage.SOURCED, best.source or ""): best.source
        and not rival.source,
    }
    applicable = tuple(reason for reason, applies in reasons.items() if applies)
    return applicable or (KeepReason(Advantage.EARLIEST),)
