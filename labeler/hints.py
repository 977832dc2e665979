"""Turning hints into labels where nobody could object; everything else stays in the queue.

A hint says what an image was found as, not who is in a box of it: bystanders are not the
star. So only samples with one face and one undisputed hint, all copies of the picture heard,
are accepted. Where hints came to disagree after they were accepted, the label is taken back.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gleanset import Dataset
from gleanset.db.classes import class_name
from gleanset.db.hints import HintedSample, Hints, withdrawn
from gleanset.db.journal import Choice
from gleanset.errors import UsageError
from gleanset.operations import AUTOMATIC, operation


@dataclass
class HintPlan:
    """What would be accepted, what is taken back, and why the others are left to a person."""

    choices: list[Choice] = field(default_factory=list)
    back: list[Choice] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)

    def result(self) -> dict[str, object]:
        """As a command returns it: labels by class, reasons by number."""
        labels = Counter(choice.label or "" for choice in self.choices)
        return {
            "accepted": len(self.choices),
            "left_in_queue": sum(self.left.values()),
            "labels": dict(sorted(labels.items())),
            "left": dict(self.left.most_common()),
        } | ({"taken_back": len(self.back)} if self.back else {})


def plan_hints(dataset: Dataset) -> HintPlan:
    """Decide which hints to accept and which labels to take back; nothing is written."""
    plan, hints = HintPlan(), Hints(dataset.db)
    for sample in hints.waiting():
        if (why := why_left(sample)) is None:
            label = class_name(sample.hint or "")
            plan.choices.append(Choice(sample.key, "label", label, "hint"))
        else:
            plan.left[why] += 1
    plan.back = [withdrawn(disputed.key) for disputed in hints.disputed()]
    plan.left += Counter({"disputed hint": len(plan.back)})
    return plan


def why_left(sample: HintedSample) -> str | None:
    """Why a sample's hint is not accepted, None where it is."""
    if sample.hint is None:
        return "no hint"
    if sample.hints > 1:
        return "disputed hint"
    if sample.faces > 1:
        return "several faces"
    if (label := _class_of(sample.hint)) is None:
        return "hint is not a class name"
    if any(said != label for said in sample.decided):
        return "a copy was decided otherwise"
    return None


def apply_hints(dataset: Dataset, plan: HintPlan) -> None:
    """Label what the plan accepts, in one named step that can be undone.

    What was decided elsewhere since the plan was made is left alone, and counted in `left`.
    """
    with dataset.db.write():
        now = plan_hints(dataset)
        accepted, back = set(now.choices), set(now.back)
        still = [choice for choice in plan.choices if choice in accepted]
        if late := len(plan.choices) - len(still):
            plan.left["decided meanwhile"] += late
        plan.choices, plan.back = still, [choice for choice in plan.back if choice in back]
        for kind, choices in ((AUTOMATIC, plan.back), ("accept-hints", plan.choices)):
            if choices:
                dataset.journal.step(operation(kind, count=len(choices)), choices)


def _class_of(hint: str) -> str | None:
    try:
        return class_name(hint)
    except UsageError:
        return None
