"""Groups whose part is fixed before the others are placed: held out, or split before."""

from enum import Enum

import msgspec

from curation.split_groups import SplitGroup
from labeler.splits.split_spec import SplitSpec

# Precedence if a new image connects groups of several splits: test stays test.
_STRONGEST_FIRST = ("test", "val", "train")


class LeftOut(Enum):
    """Why a labelled sample has no split; the value is printed."""

    TIED_TO_HELD_OUT = "tied to what is held out"
    TIED_TO_TEST = "tied to test"
    TIED_TO_VAL = "tied to val"
    TIED_TO_TRAIN = "tied to train"
    CONFLICT = "copies labelled differently"
    UNSEEN = "label not confirmed by a person, so it is not used for evaluation"


_TIED_TO = {
    "test": LeftOut.TIED_TO_TEST,
    "val": LeftOut.TIED_TO_VAL,
    "train": LeftOut.TIED_TO_TRAIN,
}
TIED_REASONS = {LeftOut.TIED_TO_HELD_OUT, *_TIED_TO.values()}
"""Reasons of samples that are left out because of their group."""


class FixedPart(msgspec.Struct, frozen=True):
    """Constraints on a group before the others are placed.

    `part` is its part, None if it is free; `left_out` has a reason for each excluded sample.
    `is_tied`: the group was in several parts before. `only_train`: samples were left out before
    and must not become test. `is_held_out`: the group does not count for the shares.
    """

    part: str | None = None
    left_out: dict[str, LeftOut] = {}
    is_tied: bool = False
    only_train: bool = False
    is_held_out: bool = False


def fix_held_out(group: SplitGroup, spec: SplitSpec) -> FixedPart | None:
    """Put held-out samples of a group into test and leave out its others; None if it has none."""
    held_out_keys = set()
    for member in group.members:
        for kind, name in spec.hold_out:
            names = member.sources if kind == "source" else member.videos
            if name in names:
                held_out_keys.add(member.key)

    if not held_out_keys:
        return None

    return FixedPart(
        "test",
        {
            member.key: LeftOut.TIED_TO_HELD_OUT
            for member in group.members
            if member.key not in held_out_keys
        },
        is_held_out=True,
    )


def keep_previous(group: SplitGroup) -> FixedPart:
    """Keep a group in its previous part.

    If it was in several, the first of test, val and train is kept and samples of the others are
    left out. A sample with a group but no part was left out before: it can only return to the part
    that it had before that, or to train.
    """
    # Duplicates count, too: a sample that replaces one must not leak into another part.
    members = (*group.members, *group.copies)
    previous_parts = {member.split or member.last_split for member in members} - {None}
    # A group without a part: left out by the last split.
    excluded_keys = {
        member.key
        for member in group.members
        if member.split is None and member.split_group is not None
    }
    if not previous_parts:
        return FixedPart(only_train=bool(excluded_keys))

    part = next(part for part in _STRONGEST_FIRST if part in previous_parts)
    left_out = {}
    for member in group.members:
        was_elsewhere = (member.split or member.last_split) not in (None, part)
        is_excluded = member.key in excluded_keys
        may_return = part in ("train", member.last_split)
        if was_elsewhere or (is_excluded and not may_return):
            left_out[member.key] = _TIED_TO[part]

    splits = {member.split for member in members} - {None}
    return FixedPart(part, left_out, is_tied=len(splits) > 1)
