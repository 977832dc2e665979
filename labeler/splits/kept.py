"""What is settled before anything is placed: held out, or where it was in the last split."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gleanset.moments import Moment, MomentMember
from labeler.splits.wish import Wish

# Where a new picture ties moments of several splits together: test stays test.
_STRONGEST_FIRST = ("test", "val", "train")


@dataclass(frozen=True)
class Kept:
    """What is settled of a moment: its part, and which samples are left out, with the reason.

    `tied`: it hangs together with one of another part now. `only_train`: it was left out before,
    and must not turn up in test. `held`: it is held out and counts for no share.
    """

    part: str | None = None
    left: dict[str, str] = field(default_factory=dict)
    tied: bool = False
    only_train: bool = False
    held: bool = False


def hold(moment: Moment, wish: Wish) -> Kept | None:
    """A moment with something that is held out: that is test, the rest of it is left out."""
    held = {m.key for m in moment.members if _is_held(m, wish)}
    if not held:
        return None
    left = {m.key: "tied to what is held out" for m in moment.members if m.key not in held}
    return Kept("test", left, held=True)


def _is_held(member: MomentMember, wish: Wish) -> bool:
    return any(
        name in (member.sources if kind == "source" else member.videos)
        for kind, name in wish.hold_out
    )


def keep(moment: Moment, wish: Wish) -> Kept:
    """Where this moment was. The sides of a moment that was torn are left out, but for one.

    Between test, val and train that is the strongest; between folds the one with most samples.
    A sample that has a moment but no part was left out before, and only train takes it back.
    """
    everyone = (*moment.members, *moment.copies)
    before = Counter(part for m in everyone if (part := _part(m, wish)) is not None)
    out = {m.key for m in moment.members if _part(m, wish) is None and m.moment is not None}
    if not before:
        return Kept(only_train=bool(out))
    part = _strongest(before, wish)
    back = part == "train"
    left = {
        m.key: f"tied to {'fold ' if wish.folds else ''}{part}"
        for m in moment.members
        if _part(m, wish) not in (None, part) or (m.key in out and not back)
    }
    return Kept(part, left, tied=len(before) > 1)


def _part(member: MomentMember, wish: Wish) -> str | None:
    if wish.folds:
        return None if member.fold is None else str(member.fold)
    return member.split


def _strongest(before: Counter[str], wish: Wish) -> str:
    if wish.folds:
        return min(before, key=lambda part: (-before[part], int(part)))
    return next(part for part in _STRONGEST_FIRST if part in before)
