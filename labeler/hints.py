"""Turning hints into labels where nobody could object; everything else stays in the queue.

A hint says what an image was found as, not who is in a box of it: bystanders are not the
star. So only samples whose image has one undisputed hint and one face are accepted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gleanset import Dataset
from gleanset.db.journal import Choice, class_name
from gleanset.errors import UsageError
from gleanset.operations import operation


@dataclass
class HintPlan:
    """What would be accepted, and why the others are left to a person."""

    choices: list[Choice] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)

    def result(self) -> dict[str, object]:
        """As a command returns it: labels by class, reasons by number."""
        labels = Counter(choice.label or "" for choice in self.choices)
        return {
            "accepted": len(self.choices),
            "left_in_queue": sum(self.left.values()),
            "labels": dict(sorted(labels.items())),
            "left": dict(self.left.most_common()),
        }


def plan_hints(dataset: Dataset) -> HintPlan:
    """Look at every sample that waits, and decide nothing yet."""
    plan = HintPlan()
    for sample in dataset.samples.hinted():
        if sample.hint is None:
            plan.left["no hint"] += 1
        elif sample.hints > 1:
            plan.left["disputed hint"] += 1
        elif sample.siblings > 1:
            plan.left["several faces"] += 1
        elif (label := _class_of(sample.hint)) is None:
            plan.left["hint is not a class name"] += 1
        else:
            plan.choices.append(Choice(sample.key, "label", label, "hint"))
    return plan


def apply_hints(dataset: Dataset, plan: HintPlan) -> None:
    """Label what the plan accepts, in one named step that can be undone.

    What was decided elsewhere since the plan was made is left alone, and counted in `left`.
    """
    with dataset.db.write():
        waiting = {sample.key for sample in dataset.samples.hinted()}
        still = [choice for choice in plan.choices if choice.sample in waiting]
        if late := len(plan.choices) - len(still):
            plan.left["decided meanwhile"] += late
        plan.choices = still
        if still:
            dataset.journal.step(operation("accept-hints", count=len(still)), still)


def _class_of(hint: str) -> str | None:
    try:
        return class_name(hint)
    except UsageError:
        return None
