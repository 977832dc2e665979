"""Copies that wait for a person, as summaries name them: which files, and what to type."""

from __future__ import annotations

from collections.abc import Iterator

from gleanset import Dataset
from gleanset.db.samples import SplitGroups
from gleanset.named_files import FEW, few_files, for_dataset, found_at, short_name
from labeler.duplicates.plan import DuplicateGroup, DuplicatePlan

CONFLICTS, DOUBTS = "labeler groups --conflicts", "labeler groups --doubtful"


def conflict_files(dataset: Dataset, plan: DuplicatePlan) -> dict[str, object]:
    """Return what a summary of `labeler dedup` says of the copies that wait for a person."""
    waiting = {
        "labelled_differently": (plan.conflicts, _labels_of, CONFLICTS),
        "hinted_differently": (plan.disputed, _hints_of, CONFLICTS),
        "doubtful_pairs": (plan.doubts, _names_of, DOUBTS),
    }
    return {
        name: few_files(
            [", ".join(said(dataset, group)) for group in groups[:FEW]],
            for_dataset(dataset, command),
            len(groups),
        )
        for name, (groups, said, command) in waiting.items()
        if groups
    }


def conflicting_labels(dataset: Dataset) -> dict[str, object]:
    """Return the same of samples that have no split for it, for the commands that leave them out.

    The groups are those of the last `labeler dedup`.
    """
    keys = SplitGroups(dataset.db).conflicting()
    samples = [sample for key in keys if (sample := dataset.samples.get(key)) is not None]
    samples.sort(key=lambda sample: (str(sample.group), sample.key))
    lines = [f"{_name(dataset, sample.key)} is {sample.label}" for sample in samples[:FEW]]
    see = for_dataset(dataset, CONFLICTS)
    return {"labelled_differently": few_files(lines, see, len(keys))} if keys else {}


def _labels_of(dataset: Dataset, group: DuplicateGroup) -> Iterator[str]:
    said = {member.label or member.status: member.key for member in reversed(group.members)}
    return (
        f"{_name(dataset, key)} is {what}" for what, key in sorted(said.items()) if what != "queue"
    )


def _hints_of(dataset: Dataset, group: DuplicateGroup) -> Iterator[str]:
    found = {hint: member.key for member in reversed(group.members) for hint in member.hints}
    return (f"{_name(dataset, key)} found as {hint}" for hint, key in sorted(found.items()))


def _names_of(dataset: Dataset, group: DuplicateGroup) -> Iterator[str]:
    return (_name(dataset, member.key) for member in group.members)


def _name(dataset: Dataset, key: str) -> str:
    return short_name(found_at(dataset, key))
