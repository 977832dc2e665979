"""Assigning train, val and test by group: reproducible, and stable when data is added.

A plan is a plain value: the split of each sample, and the number of each class in each split.
Held-out groups and groups of the previous split are fixed before the others are placed.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import msgspec

from curation.labelling_command import suggest_reviewed_split
from curation.split_groups import SplitGroup, load_split_groups
from gleanset import Dataset
from gleanset.command_result import CommandResult
from gleanset.db.journal import (
    PERSON,
    UNSEEN,
    classify_provenance,
    get_label_provenances,
)
from gleanset.db.samples import SplitEvidence
from gleanset.errors import InputUnusable, UsageError
from gleanset.html.words import count
from gleanset.named_files import (
    MAX_LISTED,
    find_location,
    format_short_path,
    shorten_list,
    summarize_lines,
)
from gleanset.records import SPLITS
from gleanset.settings import SplitSettings
from gleanset.work.progress import NO_PROGRESS, Progress
from labeler.duplicates.finder import DuplicateFinder
from labeler.duplicates.plan import conflicting_label_summary, find_conflicting_samples
from labeler.splits.allocate import PartTable, PlaceableGroup, allocate
from labeler.splits.split_spec import SplitSpec, class_table

# Precedence if a new image connects groups of several splits.
_STRONGEST_FIRST = ("test", "val", "train")


@dataclass(frozen=True)
class FixedPart:
    """Constraints on a group before the others are placed.

    `part` is its part, None if it is free; `left_out` has a reason for each excluded sample.
    `tied`: it was in several parts before. `only_train`: it was left out before and must not
    become test. `held_out`: it does not count for the shares.
    """

    part: str | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    tied: bool = False
    only_train: bool = False
    held_out: bool = False


def fix_held_out(group: SplitGroup, spec: SplitSpec) -> FixedPart | None:
    """Put held-out samples of a group into test and leave out its others; None if it has none."""
    held_out = {
        member.key
        for member in group.members
        for kind, name in spec.hold_out
        if name in (member.sources if kind == "source" else member.videos)
    }
    if not held_out:
        return None
    left_out = {
        m.key: "tied to what is held out"
        for m in group.members
        if m.key not in held_out
    }
    return FixedPart("test", left_out, held_out=True)


def keep_previous(group: SplitGroup) -> FixedPart:
    """Keep a group in its previous part.

    If it was in several, the first of test, val and train is kept and samples of the others are
    left out. A sample with a group but no part was left out before: it can only return to the part
    that it had before that, or to train.
    """
    members = (*group.members, *group.copies)
    previous = {m.split or m.last_split for m in members} - {None}
    excluded = {
        m.key for m in group.members if m.split is None and m.split_group is not None
    }
    if not previous:
        return FixedPart(only_train=bool(excluded))
    part = next(part for part in _STRONGEST_FIRST if part in previous)
    left_out = {
        m.key: f"tied to {part}"
        for m in group.members
        if (m.split or m.last_split) not in (None, part)
        or (m.key in excluded and part not in ("train", m.last_split))
    }
    return FixedPart(part, left_out, tied=len({m.split for m in members} - {None}) > 1)


MIN_TEST_IMAGES = 5
"""A split warns of classes with fewer test images."""
CONFLICT_REASON = "copies labelled differently"
UNSEEN_REASON = "label not confirmed by a person, so it is not used for evaluation"


class SplitResult(CommandResult):
    """Samples in each split, and what a user should know about them.

    `tied` and `tied_files` name the samples that are left out because of their group, by key and
    for people; `short` are the splits that lack a class.
    """

    ONLY_PRINTED = ("tied_files",)
    ONLY_IN_FULL = (
        "next",
        "classes",
        "largest_group",
        "looked_for_copies",
        "val_and_test_labels_by",
    )

    train: int
    val: int
    test: int
    groups: int
    largest_group: int
    groups_tied_since: int
    classes: dict[str, dict[str, int]]
    moved_between_splits: int = 0
    uneven: list[str] = []
    classes_too_small_for_test: dict[str, int] = {}
    classes_with_other_test_size: dict[str, int] = {}
    left_out: dict[str, int] = {}
    tied: list[str] = []
    short: list[str] = []
    few_test_images: list[str] = []
    unreviewed_labels: dict[str, int] = {}
    val_and_test_labels_by: dict[str, int] = {}
    not_searched_for_duplicates: int = 0
    looked_for_copies: dict[str, int] = {}
    labelled_differently: dict[str, Any] = {}
    tied_files: dict[str, Any] = {}
    next: list[str] = []

    def summary(self) -> dict[str, Any]:
        """Return the result with short tables instead of all classes."""
        summary = self.to_json() | {"classes": class_table(SPLITS, self.classes)}
        summary["tied"] = self.tied_files or self.tied
        summary["splits_without_a_class"] = shorten_list(summary.pop("short", []))
        unreviewed = self.unreviewed_labels.items()
        summary["unreviewed_labels"] = {
            name.replace("_", " "): n for name, n in unreviewed if n
        }
        summary["classes_with_few_test_images"] = summary.pop("few_test_images", [])
        summary["classes_too_small_for_test"] = _list_sizes(
            self.classes_too_small_for_test
        )
        summary["classes_with_other_test_size"] = _list_sizes(
            self.classes_with_other_test_size
        )
        return summary


def _list_sizes(test_sizes: Mapping[str, int]) -> list[str]:
    return shorten_list(
        [f"{label}: {number} in test" for label, number in test_sizes.items()]
    )


class SplitPlan(msgspec.Struct):
    """A planned split; `splits` has the group and split of each labelled sample.

    `left_out` has the reason for each sample without a split, `conflicting` the labels that copies
    contradict, `tied` counts groups that were in several splits before, `moved` samples that were
    in another split. `unseen` are samples whose labels no person has seen, `judged_by` the number
    of val and test labels by provenance. `uneven` names splits far from their share; if
    unseen labels would fill them, the plan `lacks_reviews`.

    With a number of test images per class, `too_small` has the test images of classes with too few
    images for it, and `not_exact` those of other classes whose number is another one.
    """

    settings: str
    splits: dict[str, tuple[str, str | None]] = {}
    left_out: dict[str, str] = {}
    conflicting: dict[str, str] = {}
    table: dict[str, dict[str, int]] = {}
    groups: int = 0
    largest_group: int = 0
    tied: int = 0
    moved: int = 0
    not_searched: int = 0
    unseen: frozenset[str] = frozenset()
    judged_by: dict[str, int] = {}
    uneven: list[str] = []
    lacks_reviews: bool = False
    too_small: dict[str, int] = {}
    not_exact: dict[str, int] = {}

    @property
    def totals(self) -> dict[str, int]:
        """The number of samples in each split."""
        return {
            split: sum(row[split] for row in self.table.values()) for split in SPLITS
        }

    def tied_samples(self) -> dict[str, str]:
        """Return the samples that are left out because of their group, with the reason."""
        return {
            key: reason
            for key, reason in sorted(self.left_out.items())
            if "tied to" in reason
        }

    def result(self) -> SplitResult:
        """Return the result of the command."""
        totals = self.totals
        short = [
            f"{label}: nothing in {split}"
            for label, row in self.table.items()
            for split in SPLITS
            if totals[split] and not row[split]
        ]
        tied = [f"{key}: {reason}" for key, reason in self.tied_samples().items()]
        inside = sum(self.splits[key][1] is not None for key in self.unseen)
        unreviewed = {"in_train": inside, "left_out": len(self.unseen) - inside}
        return SplitResult(
            train=totals["train"],
            val=totals["val"],
            test=totals["test"],
            groups=self.groups,
            largest_group=self.largest_group,
            groups_tied_since=self.tied,
            classes=self.table,
            moved_between_splits=self.moved,
            uneven=self.uneven,
            classes_too_small_for_test=self.too_small,
            classes_with_other_test_size=self.not_exact,
            left_out=dict(sorted(Counter(self.left_out.values()).items())),
            tied=shorten_list(tied),
            short=short,
            few_test_images=self._small_sample_warning(),
            unreviewed_labels=unreviewed if self.unseen else {},
            val_and_test_labels_by=self.judged_by
            if {*self.judged_by} - {PERSON}
            else {},
            not_searched_for_duplicates=self.not_searched,
        )

    def _small_sample_warning(self) -> list[str]:
        counts = {label: row["test"] for label, row in self.table.items()}
        small = [
            f"{label}: {n}" for label, n in counts.items() if 0 < n < MIN_TEST_IMAGES
        ]
        warning = f"fewer than {MIN_TEST_IMAGES} test images per class: their accuracy is uncertain"
        return [warning, ", ".join(shorten_list(small))] if small else []


def plan_split(dataset: Dataset, settings: SplitSettings) -> SplitPlan:
    """Assign every labelled sample to a split; with unchanged settings previous splits are kept.

    Raises `InputUnusable` if nothing is labelled, `UsageError` for invalid settings.
    """
    evidence = SplitEvidence(dataset.db)
    spec = _resolve_held_out(SplitSpec.from_settings(settings), evidence)
    groups = load_split_groups(dataset.db)
    if not groups:
        raise InputUnusable(
            "nothing to split: no sample is labelled yet", dataset.status_advice
        )
    keeps_splits = dataset.samples.get_split_settings() == spec.settings
    provenances = get_label_provenances(dataset.db)
    unseen = {key for key, provenance in provenances.items() if provenance in UNSEEN}
    conflicting = find_conflicting_samples(dataset)
    plan = plan_groups(
        groups, spec, keeps_splits=keeps_splits, conflicting=conflicting, unseen=unseen
    )
    judging = sorted(
        key for key, (_, split) in plan.splits.items() if split in ("val", "test")
    )
    plan.judged_by = dict(
        Counter(classify_provenance(provenances.get(key, "")) for key in judging)
    )
    plan.conflicting = conflicting
    plan.not_searched = evidence.count_not_searched()
    return plan


def split_dataset(
    dataset: Dataset,
    settings: SplitSettings,
    *,
    simulate: bool = False,
    progress: Progress = NO_PROGRESS,
) -> SplitResult:
    """Search labelled samples for copies, split, and return the result.

    Raises as `plan_split`, and `DatasetBusy`.
    """
    copies = DuplicateFinder(dataset, progress=progress).search_labelled()
    plan = plan_split(dataset, settings)
    if not simulate:
        apply_split(dataset, plan)

    result = plan.result().with_facts(copies)
    result.tied_files = _tied_files(dataset, plan)
    if plan.lacks_reviews:
        result.next = suggest_reviewed_split(dataset, settings)
    return result.with_facts(conflicting_label_summary(dataset, plan.conflicting))


def _tied_files(dataset: Dataset, plan: SplitPlan) -> dict[str, Any]:
    tied = plan.tied_samples()
    if not tied:
        return {}
    first = list(tied.items())[:MAX_LISTED]
    places = {key: find_location(dataset, key).describe() for key, _ in first}
    lines = [f"{format_short_path(places[key])}: {reason}" for key, reason in first]
    command = f"gleanset list samples --where split=null {dataset.option}"
    note = "another --seed makes a new split, which leaves none of them out"
    return {"note": note} | summarize_lines(lines, command, len(tied))


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
    judging = [
        group._replace(members=members)
        for group in groups
        if (members := tuple(m for m in group.members if m.key not in unseen))
    ]
    fixed_parts = {
        group.key: fix_held_out(group, spec)
        or (keep_previous(group) if keeps_splits else FixedPart())
        for group in judging
    }
    plan = SplitPlan(
        settings=spec.settings,
        groups=len(groups),
        largest_group=max(len(group.members) for group in groups),
        tied=sum(fixed.tied for fixed in fixed_parts.values()),
        unseen=frozenset(
            m.key for group in groups for m in group.members if m.key in unseen
        ),
    )
    for fixed in fixed_parts.values():
        plan.left_out |= fixed.left_out
    plan.left_out |= dict.fromkeys(conflicting, CONFLICT_REASON)
    placed = {
        key: fixed.part for key, fixed in fixed_parts.items() if fixed.part is not None
    }
    class_sizes = _place_free(judging, spec, fixed_parts, placed, plan)
    for group in judging:
        for member in group.members:
            split = None if member.key in plan.left_out else placed[group.key]
            plan.splits[member.key] = (group.key, split)
    _place_unseen(plan, groups, placed, spec)
    labelled = [member for group in groups for member in group.members]
    plan.moved = sum(
        plan.splits[m.key][1] not in (None, m.split) for m in labelled if m.split
    )
    counts = Counter(
        (str(member.label), plan.splits[member.key][1]) for member in labelled
    )
    plan.table = {
        label: {split: counts[label, split] for split in SPLITS}
        for label in sorted({str(member.label) for member in labelled})
    }
    plan.uneven = _list_uneven(plan, spec, judging)
    if spec.test_per_class is not None:
        _note_test_sizes(plan, class_sizes, spec.test_per_class)
    if spec.hold_out and all(fixed.held_out for fixed in fixed_parts.values()):
        raise InputUnusable(
            "nothing to train on: everything is held out",
            "hold out fewer sources or videos",
        )
    return plan


def _note_test_sizes(
    plan: SplitPlan, class_sizes: Mapping[str, int], per_class: int
) -> None:
    """Note the classes that have not `per_class` test samples."""
    for label, row in plan.table.items():
        if class_sizes.get(label, 0) <= per_class:
            plan.too_small[label] = row["test"]
        elif row["test"] != per_class:
            plan.not_exact[label] = row["test"]


def _list_uneven(
    plan: SplitPlan, spec: SplitSpec, judging: Sequence[SplitGroup]
) -> list[str]:
    """Return a line with the reason if splits are far from their shares."""
    sizes = Counter(
        split for key, (_, split) in plan.splits.items() if key not in plan.unseen
    )
    all_shares = zip(SPLITS, spec.shares, strict=True)
    if spec.test_per_class is not None:
        all_shares = zip(REMAINDER, _divide_remainder(spec), strict=True)
    shares = {split: float(share) for split, share in all_shares if share}
    total = sum(sizes[split] for split in shares)
    tolerance = len(plan.table)
    far = [
        f"{split} {sizes[split]}"
        for split, share in shares.items()
        if not sizes[split]
        or abs(sizes[split] - share * total) > max(share * total / 2, tolerance)
    ]
    if not far:
        return []
    largest = max((len(group.members) for group in judging), default=0)
    in_groups = (
        f"{count(len(judging), 'group')}, the largest of {count(largest, 'image')}"
    )
    reason = "earlier splits are kept"
    needed = 1 if largest > 1 else tolerance
    if min(shares.values()) * total < needed:
        plan.lacks_reviews = min(shares.values()) * len(plan.splits) >= needed
        reason = "the classes have too few images"
        if plan.lacks_reviews:
            reason = "labels that no person has reviewed stay in train"
    elif largest > 1:
        reason = f"near duplicates and scenes stay together in {in_groups}"
    sizes_text = f"{', '.join(far)} of {count(total, 'image')}"
    return [f"far from the ratio: {sizes_text}, because {reason}"]


def _place_unseen(
    plan: SplitPlan,
    groups: Sequence[SplitGroup],
    placed: Mapping[str, str],
    spec: SplitSpec,
) -> None:
    """Put samples with unseen labels into train."""
    for group in groups:
        split = placed.get(group.key) or (
            None if fix_held_out(group, spec) else "train"
        )
        for member in (m for m in group.members if m.key in plan.unseen):
            if split != "train":
                plan.left_out.setdefault(member.key, UNSEEN_REASON)
            plan.splits[member.key] = (
                group.key,
                None if member.key in plan.left_out else split,
            )


def _place_free(
    groups: Sequence[SplitGroup],
    spec: SplitSpec,
    fixed_parts: dict[str, FixedPart],
    placed: dict[str, str],
    plan: SplitPlan,
) -> Counter[str]:
    """Place the groups without a part so that each class comes close to its shares.

    Return the size of each class, without samples that are left out or held out.
    """
    sizes_by_key = {
        group.key: Counter(
            str(m.label) for m in group.members if m.key not in plan.left_out
        )
        for group in groups
        if not fixed_parts[group.key].held_out
    }
    class_sizes = _count_classes(sizes_by_key)
    only_train = {key for key, fixed in fixed_parts.items() if fixed.only_train}
    parts: tuple[str, ...] = SPLITS
    shares = spec.shares
    if spec.test_per_class is not None:
        # First: a compromise with the shares of train and val would change its size.
        _place_test(sizes_by_key, spec, only_train, placed)
        sizes_by_key = {
            key: s for key, s in sizes_by_key.items() if placed.get(key) != "test"
        }
        parts = REMAINDER
        shares = _divide_remainder(spec)
    targets = {
        label: tuple(float(size * share) for share in shares)
        for label, size in sorted(_count_classes(sizes_by_key).items())
    }
    _allocate_parts(sizes_by_key, parts, targets, only_train, placed, spec.seed)
    return class_sizes


def _count_classes(sizes_by_key: Mapping[str, Counter[str]]) -> Counter[str]:
    return sum(sizes_by_key.values(), Counter[str]())


REMAINDER: tuple[str, ...] = ("train", "val")
"""The parts of all samples that are not in test."""


def _divide_remainder(spec: SplitSpec) -> tuple[Fraction, ...]:
    """Return the shares of train and val in what is not in test."""
    train, val, _ = spec.shares
    return train / (train + val), val / (train + val)


def _place_test(
    sizes_by_key: Mapping[str, Counter[str]],
    spec: SplitSpec,
    only_train: Collection[str],
    placed: dict[str, str],
) -> None:
    """Place groups into test until each class has `test_per_class` samples there.

    Classes that are too small for it get their share.
    """
    assert spec.test_per_class is not None
    targets: dict[str, tuple[float, ...]] = {}
    for label, size in sorted(_count_classes(sizes_by_key).items()):
        is_too_small = size <= spec.test_per_class
        number = float(size * spec.shares[2]) if is_too_small else spec.test_per_class
        targets[label] = size - number, number
    halves = {
        key: "test" if part == "test" else "other" for key, part in placed.items()
    }
    _allocate_parts(
        sizes_by_key, ("other", "test"), targets, only_train, halves, spec.seed
    )
    for label in targets:
        keys = [key for key, sizes in sizes_by_key.items() if label in sizes]
        free = [key for key in keys if key not in placed]
        if free and all(halves[key] == "test" for key in keys):
            # Nothing is left to train on: the smallest group returns.
            halves[min(free, key=lambda key: (sizes_by_key[key].total(), key))] = (
                "other"
            )
    placed.update((key, "test") for key, half in halves.items() if half == "test")


def _allocate_parts(
    sizes_by_key: Mapping[str, Counter[str]],
    parts: Sequence[str],
    targets: Mapping[str, Sequence[float]],
    only_first: Collection[str],
    placed: dict[str, str],
    seed: int,
) -> None:
    """Place the groups that are not in `placed`; those of `only_first` into the first part."""
    table = PartTable(targets)
    items = []
    for key, sizes in sizes_by_key.items():
        row = tuple(sorted(sizes.items()))
        if key in placed:
            table.add(row, parts.index(placed[key]))
        elif row:
            allowed = parts[:1] if key in only_first else parts
            # The parts in which any class of the group has a share.
            numbers = tuple(
                number
                for number in range(len(allowed))
                if any(targets[label][number] > 0 for label in sizes)
            )
            items.append(PlaceableGroup(key, row, numbers))
    for key, number in allocate(items, table, seed).items():
        placed[key] = parts[number]


def _resolve_held_out(spec: SplitSpec, evidence: SplitEvidence) -> SplitSpec:
    """Replace video names by content hashes. Raises `UsageError` for unknown names."""
    videos, sources = evidence.list_videos(), evidence.list_sources()
    held_out: list[tuple[str, str]] = []
    for kind, name in spec.hold_out:
        if kind == "source":
            known_names = sources
            matches = [source for source in sources if source == name]
        else:
            known_names = sorted(videos.values())
            matches = [
                sha
                for sha, title in videos.items()
                if name in (title, title.rpartition(".")[0])
                or (len(name) >= 8 and sha.startswith(name))
            ]
        if not matches:
            listed = ", ".join(known_names[:20]) or "none"
            raise UsageError(
                f"there is no {kind} {name!r} in this dataset", f"known: {listed}"
            )
        held_out += [(kind, match) for match in matches]
    return spec._replace(hold_out=tuple(held_out))
