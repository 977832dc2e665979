"""Which of several copies is the best, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log2

from gleanset.db.duplicates import GroupMember

LOSSLESS = ("PNG", "BMP", "TIFF")
_DECIDED = ("labelled", "rejected")


def worth(member: GroupMember) -> float:
    """How good a copy is; one more means twice the pixels, or twice as sharp.

    Uniform borders are no pixels. A copy that was only made larger loses in sharpness more than
    it gains in pixels: doubling the sides leaves about a tenth of the Laplacian's variance.
    """
    stored = 8.0 if member.format in LOSSLESS else min(4.0, max(0.01, member.bytes_per_pixel))
    fine = log2(_pixels(member)) + log2(1 + max(0.0, member.sharpness)) + 0.5 * log2(stored)
    return fine + _standing(member)


def best_first(
    members: Sequence[GroupMember],
    centre: GroupMember | None = None,
    shown: Mapping[int, float] | None = None,
) -> list[GroupMember]:
    """In falling worth; of equals the one with the smaller key, so that it never changes.

    What is better than the `centre` of its group by less than twice the pixels is taken to be
    no better in pixels and sharpness: a screenshot is larger, and a watermark sharper, than
    the picture that they were made from. `shown` is the part of each (by row) that it has in
    common with the centre, 0..1: what a screenshot has around the picture is worth nothing.
    """

    def rank(member: GroupMember) -> tuple[float, bool, str]:
        value = worth(member)
        common = (shown or {}).get(member.id, 1.0)
        value += log2(max(0.01, common))
        if centre is not None and common * _pixels(member) < 2 * _pixels(centre):
            limit = worth(centre) - _standing(centre) + _standing(member)
            value = min(value, limit)
        return -value, member is not centre, member.key

    return sorted(members, key=rank)


def _standing(member: GroupMember) -> float:
    """What speaks for a copy beside its pixels."""
    known = 0.2 * bool(member.licence) + 0.1 * bool(member.source)
    return 0.3 * (member.status in _DECIDED) + known


def _pixels(member: GroupMember) -> float:
    return max(1.0, member.width * member.height * member.filled)


def why_kept(kept: GroupMember, others: Sequence[GroupMember]) -> str:
    """In which ways a copy is better than the best of the others, as a short text."""
    rival = best_first(others)[0]
    mine, theirs = (m.width * m.height * m.filled for m in (kept, rival))
    sizes = f"{kept.width} x {kept.height}, the next {rival.width} x {rival.height}"
    lossless = [m.format in LOSSLESS for m in (kept, rival)]
    ways = {
        f"larger ({sizes})": mine > 1.05 * theirs,
        "no border": kept.filled > rival.filled + 0.05,
        f"sharper ({kept.sharpness:.0f} against {rival.sharpness:.0f})": kept.sharpness
        > 1.1 * rival.sharpness,
        f"stored without loss ({kept.format})": lossless == [True, False],
        "less compressed": not any(lossless) and kept.bytes_per_pixel > 1.1 * rival.bytes_per_pixel,
        "has a decision": kept.status in _DECIDED and rival.status not in _DECIDED,
        f"licence known ({kept.licence})": kept.licence and not rival.licence,
        f"source known ({kept.source})": kept.source and not rival.source,
    }
    better = [way for way, true in ways.items() if true]
    return ", ".join(better) or "copies of equal worth: the first by name"
