"""`labeler split`: searching for copies, splitting, and what is printed about it."""

from collections import Counter
from itertools import islice

from curation.labelling_command import suggest_reviewed_split
from gleanset import Dataset
from gleanset.command_result import CommandResult, JsonDict
from gleanset.db.journal import HINT, PERSON
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
from gleanset.work.progress import Progress
from labeler.class_table import format_class_table
from labeler.duplicates.finder import DuplicateFinder
from labeler.duplicates.plan import conflicting_label_summary
from labeler.splits.plan import (
    TIED_REASONS,
    LeftOut,
    SplitPlan,
    Uneven,
    UnevenReason,
    apply_split,
    plan_split,
)

MIN_TEST_IMAGES = 5
"""A split warns of classes with fewer test images."""


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
        "labels_of_val_and_test",
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
    labelled_differently: JsonDict = {}
    tied_files: JsonDict = {}
    next: list[str] = []

    def summary(self) -> JsonDict:
        """Return the result with short tables instead of all classes."""
        summary = self.to_json() | {"classes": format_class_table(SPLITS, self.classes)}
        summary["tied"] = self.tied_files or self.tied
        summary["labels_of_val_and_test"] = {
            "weak labels" if kind == HINT else kind: number
            for kind, number in summary.pop("val_and_test_labels_by", {}).items()
        }
        summary["splits_without_a_class"] = shorten_list(summary.pop("short", []))
        summary["unreviewed_labels"] = {
            name.replace("_", " "): number
            for name, number in self.unreviewed_labels.items()
            if number
        }
        summary["classes_with_few_test_images"] = summary.pop("few_test_images", [])
        for name in ("classes_too_small_for_test", "classes_with_other_test_size"):
            summary[name] = shorten_list(
                [
                    f"{label}: {number} in test"
                    for label, number in getattr(self, name).items()
                ]
            )
        return summary


def split_dataset(
    dataset: Dataset,
    settings: SplitSettings,
    *,
    simulate: bool = False,
    progress: Progress,
) -> SplitResult:
    """Search labelled samples for copies, split, and return the result.

    Raises as `plan_split`, and `DatasetBusy`.
    """
    # First, so that copies stay in one split.
    copies = DuplicateFinder(dataset, progress=progress).search_labelled()
    plan = plan_split(dataset, settings)
    if not simulate:
        apply_split(dataset, plan)

    result = make_result(plan).with_facts(copies)
    result.tied_files = _describe_tied_files(dataset, plan)
    if plan.uneven is not None and plan.uneven.reason is UnevenReason.UNREVIEWED:
        result.next = suggest_reviewed_split(dataset, settings)
    return result.with_facts(conflicting_label_summary(dataset, plan.conflicting))


def make_result(plan: SplitPlan) -> SplitResult:
    """Return the result of a planned split."""
    totals = plan.totals
    reasons = Counter(reason.value for reason in plan.left_out.values())
    return SplitResult(
        train=totals["train"],
        val=totals["val"],
        test=totals["test"],
        groups=plan.groups,
        largest_group=plan.largest_group,
        groups_tied_since=plan.tied_count,
        classes=plan.table,
        moved_between_splits=plan.moved_count,
        uneven=[] if plan.uneven is None else [_describe_uneven(plan.uneven)],
        classes_too_small_for_test=plan.too_small,
        classes_with_other_test_size=plan.not_exact,
        left_out=dict(sorted(reasons.items())),
        tied=shorten_list(
            [f"{key}: {reason}" for key, reason in _list_tied(plan).items()]
        ),
        short=_list_missing_classes(plan),
        few_test_images=_warn_of_small_test(plan),
        unreviewed_labels=_count_unreviewed(plan),
        # Labels of persons alone need no mention.
        val_and_test_labels_by=(
            plan.evaluation_labels if plan.evaluation_labels.keys() - {PERSON} else {}
        ),
        not_searched_for_duplicates=plan.not_searched,
    )


def _list_tied(plan: SplitPlan) -> dict[str, str]:
    """Return the samples that are left out because of their group, with the reason."""
    return {
        key: reason.value
        for key, reason in sorted(plan.left_out.items())
        if reason in TIED_REASONS
    }


def _describe_tied_files(dataset: Dataset, plan: SplitPlan) -> JsonDict:
    """Return a note and the first files that are left out because of their group."""
    tied_reasons = _list_tied(plan)
    if not tied_reasons:
        return {}

    lines = []
    for key, reason in islice(tied_reasons.items(), MAX_LISTED):
        path = format_short_path(find_location(dataset, key).describe())
        lines.append(f"{path}: {reason}")

    files = summarize_lines(
        lines,
        f"gleanset list samples --where split=null {dataset.option}",
        len(tied_reasons),
    )
    # No new split would help: images of one group with held-out ones are always left out.
    if LeftOut.TIED_TO_HELD_OUT.value in tied_reasons.values():
        return files
    return {
        "note": "another --seed makes a new split, which leaves none of them out",
        **files,
    }


def _list_missing_classes(plan: SplitPlan) -> list[str]:
    """Return a line for each class that a split lacks; empty splits lack none."""
    totals = plan.totals
    lines = []
    for label, row in plan.table.items():
        missing = [split for split in SPLITS if totals[split] and not row[split]]
        lines += [f"{label}: nothing in {split}" for split in missing]
    return lines


def _warn_of_small_test(plan: SplitPlan) -> list[str]:
    """Return a warning and the classes with few test images; those without any have another."""
    small_classes = [
        f"{label}: {row['test']}"
        for label, row in plan.table.items()
        if 0 < row["test"] < MIN_TEST_IMAGES
    ]
    if not small_classes:
        return []
    return [
        f"fewer than {MIN_TEST_IMAGES} test images per class: their accuracy is uncertain",
        ", ".join(shorten_list(small_classes)),
    ]


def _count_unreviewed(plan: SplitPlan) -> dict[str, int]:
    """Count the samples whose labels no person has seen, in train and without a split."""
    if not plan.unseen:
        return {}
    # They are in no other split, because they must not evaluate.
    in_train = sum(plan.splits[key].split is not None for key in plan.unseen)
    return {
        "in_train": in_train,
        "left_out": len(plan.unseen) - in_train,
    }


def _describe_uneven(uneven: Uneven) -> str:
    """Return the sizes of splits that are far from their shares, and why."""
    largest = count(uneven.largest_group, "image")
    groups = f"{count(uneven.groups, 'group')}, the largest of {largest}"
    reason = {
        UnevenReason.FEW_IMAGES: "the classes have too few images",
        UnevenReason.UNREVIEWED: "labels that no person has reviewed stay in train",
        UnevenReason.GROUPS: f"near duplicates and scenes stay together in {groups}",
        UnevenReason.EARLIER_SPLITS: "earlier splits are kept",
    }[uneven.reason]
    sizes = ", ".join(f"{split} {size}" for split, size in uneven.sizes.items())
    return f"far from the ratio: {sizes} of {count(uneven.total, 'image')}, because {reason}"
