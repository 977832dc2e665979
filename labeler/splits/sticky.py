"""What is settled before anything is placed: held out, or where it was in the last split."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from curation.moments import Moment, MomentMember
from labeler.splits.split_spec import SplitSpec

# Where a new picture ties moments of several splits together: test stays test.
_STRONGEST_FIRST = ("test", "val", "train")


@dataclass(frozen=True)
class StickyMoment:
    """What is settled of a moment before others are placed.

    `part` is where it stays, None where it is free; `left` are samples left out, with the reason.
    `tied`: it hangs together with one of another part now. `only_train`: it was left out before,
    and must not turn up in test. `held`: it is held out and counts for no share.
    """

    part: str | None = None
    left: dict[str, str] = field(default_factory=dict)
    tied: bool = False
    only_train: bool = False
    held: bool = False


def held_out(moment: Moment, spec: SplitSpec) -> StickyMoment | None:
    """Fix a moment with something that is held out: that is test, the rest of it is left out."""
    held = {m.key for m in moment.members if _is_held(m, spec)}
    if not held:
        return None
    left = {m.key: "tied to what is held out" for m in moment.members if m.key not in held}
    return StickyMoment("test", left, held=True)


def _is_held(member: MomentMember, spec: SplitSpec) -> bool:
    return any(
        name in (member.sources if kind == "source" else member.videos)
        for kind, name in spec.hold_out
    )


def as_before(moment: Moment, spec: SplitSpec) -> StickyMoment:
    """Keep a moment where it was. The sides of one that was torn are left out, but for one.

    Between test, val and train that is the strongest; between folds the one with most samples.
    A sample that has a moment but no part was left out before, and only train takes it back.
    """
    everyone = (*moment.members, *moment.copies)
    before = Counter(part for m in everyone if (part := _part(m, spec)) is not None)
    out = {m.key for m in moment.members if _part(m, spec) is None and m.moment is not None}
    if not before:
        return StickyMoment(only_train=bool(out))
    part = _strongest(before, spec)
    back = part == "train"
    left = {
        m.key: f"tied to {'fold ' if spec.folds else ''}{part}"
        for m in moment.members
        if _part(m, spec) not in (None, part) or (m.key in out and not back)
    }
    return StickyMoment(part, left, tied=len(before) > 1)


def _part(member: MomentMember, spec: SplitSpec) -> str | None:
    if spec.folds:
        return None if member.fold is None else str(member.fold)
    return member.split


def _strongest(before: Counter[str], spec: SplitSpec) -> str:
    if spec.folds:
        return min(before, key=lambda part: (-before[part], int(part)))
    return next(part for part in _STRONGEST_FIRST if part in before)
