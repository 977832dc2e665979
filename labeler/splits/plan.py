"""Assigning train, val and test by group: reproducible, and stable when data is added.

A plan is a plain value: the split of each sample, and the number of each class in each split.
Held-out groups and groups of the previous split are fixed before the others are placed.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from enum import Enum, auto
from itertools import chain
from typing import NamedTuple

import msgspec

from curation.split_groups import SplitGroup, SplitGroupMember, load_split_groups
from gleanset import Dataset
from gleanset.db.journal import UNSEEN, classify_provenance, get_label_provenances
from gleanset.db.samples import GroupSplit, SplitEvidence
from gleanset.errors import InputUnusable
from gleanset.records import SPLITS
from gleanset.settings import SplitSettings
from labeler.duplicates.plan import find_conflicting_samples
from labeler.splits.allocate import (
    REMAINDER,
    GroupSizes,
    count_classes,
    divide_remainder,
    place_groups,
)
from labeler.splits.split_spec import SplitSpec, resolve_held_out

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


class UnevenReason(Enum):
    """Why splits are far from their shares."""

    FEW_IMAGES = auto()
    UNREVIEWED = auto()
    GROUPS = auto()
    EARLIER_SPLITS = auto()


class Uneven(NamedTuple):
    """Splits that are far from their shares: their sizes, of `total` samples.

    `groups` is the number of all groups, and `largest_group` the samples of the largest one.
    """

    sizes: Mapping[str, int]
    total: int
    reason: UnevenReason
    groups: int
    largest_group: int


class SplitPlan(msgspec.Struct, kw_only=True):
    """A planned split; `splits` has the group and split of each labelled sample.

    `left_out` has the reason for each sample without a split, `conflicting` the labels that copies
    contradict. `tied_count` is the number of groups that were in several splits before,
    `moved_count` that of samples that were in another split. `unseen` are samples whose labels no
    person has seen, `evaluation_labels` the number of val and test labels by provenance.

    With a number of test images per class, `too_small` has the test images of classes with too few
    images for it, and `not_exact` those of other classes whose number is another one.
    """

    settings: SplitSettings
    splits: dict[str, GroupSplit]
    left_out: dict[str, LeftOut]
    table: dict[str, dict[str, int]]
    groups: int
    largest_group: int
    tied_count: int
    moved_count: int
    unseen: frozenset[str]
    uneven: Uneven | None = None
    conflicting: dict[str, str] = {}
    not_searched: int = 0
    evaluation_labels: dict[str, int] = {}
    too_small: dict[str, int] = {}
    not_exact: dict[str, int] = {}

    @property
    def totals(self) -> dict[str, int]:
        """The number of samples in each split."""
        return {
            split: sum(row[split] for row in self.table.values()) for split in SPLITS
        }


def plan_split(dataset: Dataset, settings: SplitSettings) -> SplitPlan:
    """Assign every labelled sample to a split; with unchanged settings previous splits are kept.

    Raises `InputUnusable` if nothing is labelled, `UsageError` for invalid settings.
    """
    evidence = SplitEvidence(dataset.db)
    spec = resolve_held_out(SplitSpec.from_settings(settings), evidence)
    groups = load_split_groups(dataset.db)
    if not groups:
        raise InputUnusable(
            "nothing to split: no sample is labelled yet",
            dataset.status_advice,
        )

    provenances = get_label_provenances(dataset.db)
    conflicting = find_conflicting_samples(dataset)
    plan = plan_groups(
        groups,
        spec,
        keeps_splits=dataset.samples.get_split_settings() == spec.settings,
        conflicting=conflicting,
        unseen={key for key, origin in provenances.items() if origin in UNSEEN},
    )

    evaluation_keys = sorted(
        key for key, place in plan.splits.items() if place.split in ("val", "test")
    )
    plan.evaluation_labels = dict(
        Counter(
            classify_provenance(provenances.get(key, "")) for key in evaluation_keys
        )
    )
    plan.conflicting = conflicting
    plan.not_searched = evidence.count_not_searched()
    return plan


def apply_split(dataset: Dataset, plan: SplitPlan) -> None:
    """Write a plan in one transaction."""
    dataset.samples.set_splits(plan.splits, plan.settings)


def plan_groups(
    groups: Sequence[SplitGroup],
    spec: SplitSpec,
    *,
    keeps_splits: bool = False,
    conflicting: Collection[str] = (),
    unseen: Collection[str] = (),
) -> SplitPlan:
    """Split groups; with `keeps_splits` the previous parts of their members are kept.

    Copies with different labels (`conflicting`) are left out until a person decides. Samples with
    `unseen` labels do not evaluate: they do not count for the shares, and go to train or nowhere.
    Held-out videos are named by content (SHA-256). Raises `InputUnusable` if everything is held
    out.
    """
    # What is fixed before the other groups are placed.
    reviewed_groups = _remove_members(groups, unseen)
    fixed_parts = {
        group.key: _fix_part(group, spec, keeps_splits=keeps_splits)
        for group in reviewed_groups
    }
    # Of all groups: those of unseen labels alone can be trained on as well.
    if all(fix_held_out(group, spec) for group in groups):
        raise InputUnusable(
            "nothing to train on: everything is held out",
            "hold out fewer sources or videos",
        )

    left_out: dict[str, LeftOut] = {}
    for fixed_part in fixed_parts.values():
        left_out |= fixed_part.left_out
    left_out |= dict.fromkeys(conflicting, LeftOut.CONFLICT)

    parts_by_key = {
        key: fixed_part.part
        for key, fixed_part in fixed_parts.items()
        if fixed_part.part is not None
    }
    only_train = {
        key for key, fixed_part in fixed_parts.items() if fixed_part.only_train
    }
    sizes = _count_group_sizes(reviewed_groups, fixed_parts, left_out)
    # Adds the part of each group that is not fixed.
    place_groups(sizes, spec, only_train, parts_by_key)

    splits = {}
    for group in reviewed_groups:
        for member in group.members:
            part = None if member.key in left_out else parts_by_key[group.key]
            splits[member.key] = GroupSplit(group.key, part)

    # Last, because they follow the other members of their group.
    for group in groups:
        _place_unseen(
            group,
            spec,
            parts_by_key.get(group.key),
            splits,
            left_out,
        )

    members = list(chain.from_iterable(group.members for group in groups))
    plan = SplitPlan(
        settings=spec.settings,
        splits=splits,
        left_out=left_out,
        table=_count_table(members, splits),
        groups=len(groups),
        largest_group=_get_largest_size(groups),
        tied_count=sum(fixed_part.is_tied for fixed_part in fixed_parts.values()),
        moved_count=_count_moved(members, splits),
        unseen=frozenset(unseen).intersection(member.key for member in members),
    )
    plan.uneven = _find_uneven(plan, spec, reviewed_groups)
    if spec.settings.test_per_class is not None:
        _note_test_sizes(plan, count_classes(sizes), spec.settings.test_per_class)
    return plan


def _remove_members(
    groups: Sequence[SplitGroup], keys: Collection[str]
) -> list[SplitGroup]:
    """Return the groups without some of their members, and without groups of only those."""
    remaining = []
    for group in groups:
        members = tuple(member for member in group.members if member.key not in keys)
        if members:
            remaining.append(group._replace(members=members))
    return remaining


def _fix_part(group: SplitGroup, spec: SplitSpec, *, keeps_splits: bool) -> FixedPart:
    """Return the part that a group has to be in, or one without constraints."""
    # What is held out overrules the previous split.
    held_out = fix_held_out(group, spec)
    if held_out is not None:
        return held_out
    return keep_previous(group) if keeps_splits else FixedPart()


def _count_group_sizes(
    groups: Sequence[SplitGroup],
    fixed_parts: Mapping[str, FixedPart],
    left_out: Collection[str],
) -> GroupSizes:
    """Count samples by group and class, without those left out or held out."""
    sizes = {}
    for group in groups:
        if not fixed_parts[group.key].is_held_out:
            sizes[group.key] = Counter(
                str(member.label)
                for member in group.members
                if member.key not in left_out
            )
    return sizes


def _place_unseen(
    group: SplitGroup,
    spec: SplitSpec,
    part: str | None,
    splits: dict[str, GroupSplit],
    left_out: dict[str, LeftOut],
) -> None:
    """Put samples that have no split yet, because their labels are unseen, into train."""
    # No image of what is held out trains, also where its reviewed copies do.
    if fix_held_out(group, spec):
        part = None
    # A group of unseen labels alone has no part yet.
    elif part is None:
        part = "train"

    for member in group.members:
        if member.key in splits:
            continue
        if part != "train":
            left_out.setdefault(member.key, LeftOut.UNSEEN)
        splits[member.key] = GroupSplit(
            group.key, None if member.key in left_out else part
        )


def _get_largest_size(groups: Sequence[SplitGroup]) -> int:
    return max((len(group.members) for group in groups), default=0)


def _count_table(
    members: Sequence[SplitGroupMember], splits: Mapping[str, GroupSplit]
) -> dict[str, dict[str, int]]:
    """Count samples by class and split."""
    counts: dict[str, Counter[str | None]] = defaultdict(Counter)
    for member in members:
        counts[str(member.label)][splits[member.key].split] += 1
    return {
        label: {split: row[split] for split in SPLITS}
        for label, row in sorted(counts.items())
    }


def _count_moved(
    members: Sequence[SplitGroupMember], splits: Mapping[str, GroupSplit]
) -> int:
    """Count samples that go from one split to another."""
    number = 0
    for member in members:
        # `member.split` is the old one. A sample that the new plan leaves out does not count.
        if member.split and splits[member.key].split not in (None, member.split):
            number += 1
    return number


def _note_test_sizes(
    plan: SplitPlan, class_sizes: Mapping[str, int], per_class: int
) -> None:
    """Note the classes that have not `per_class` test samples."""
    for label, row in plan.table.items():
        if class_sizes.get(label, 0) <= per_class:
            plan.too_small[label] = row["test"]
        elif row["test"] != per_class:
            plan.not_exact[label] = row["test"]


def _find_uneven(
    plan: SplitPlan, spec: SplitSpec, groups: Sequence[SplitGroup]
) -> Uneven | None:
    """Return the splits that are far from their shares, with the reason; None for none.

    `groups` are those of reviewed samples; others do not count for the shares.
    """
    sizes = Counter(
        place.split for key, place in plan.splits.items() if key not in plan.unseen
    )
    # With a number of test images, the ratio only divides the others.
    all_shares = dict(zip(SPLITS, spec.shares, strict=True))
    if spec.settings.test_per_class is not None:
        all_shares = dict(zip(REMAINDER, divide_remainder(spec), strict=True))
    shares = {split: float(share) for split, share in all_shares.items() if share}
    total = sum(sizes[split] for split in shares)

    # A split is far from its share if it is empty, or off by more than half of it; in small
    # datasets each class may be off by one image.
    tolerance = len(plan.table)
    far_sizes = {}
    for split, share in shares.items():
        expected_size = share * total
        deviation = abs(sizes[split] - expected_size)
        if not sizes[split] or deviation > max(expected_size / 2, tolerance):
            far_sizes[split] = sizes[split]

    if not far_sizes:
        return None

    # The first reason that applies: the later ones can be changed less easily.
    largest_group = _get_largest_size(groups)
    smallest_share = min(shares.values())
    # With fewer images than this, the smallest split cannot have its share. Single images can be
    # placed freely, but each class is rounded to whole ones. Larger groups deviate more by their
    # sizes, so only a share below one image is the reason then.
    min_size = 1 if largest_group > 1 else tolerance
    if smallest_share * total < min_size:
        reason = UnevenReason.FEW_IMAGES
        # All samples would suffice, if their labels were reviewed.
        if smallest_share * len(plan.splits) >= min_size:
            reason = UnevenReason.UNREVIEWED
    elif largest_group > 1:
        reason = UnevenReason.GROUPS
    else:
        reason = UnevenReason.EARLIER_SPLITS
    return Uneven(
        far_sizes,
        total,
        reason,
        len(groups),
        largest_group,
    )
