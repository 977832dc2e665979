"""Accepting what a model is sure of, without a window: one step, marked as the model's.

Nobody looked: a label that came this way is never taken for a person's, neither where models are
judged nor where the confidence of later proposals is calibrated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from gleanset import Dataset
from gleanset.db.journal import MODEL, Choice
from gleanset.db.proposals import Proposals
from gleanset.db.proposed import ProposedSample, proposed_samples
from gleanset.errors import InputUnusable, UsageError
from gleanset.operations import operation


@dataclass
class AcceptancePlan:
    """What would be accepted, and why the others are left to a person.

    `likely_wrong` is how many of the accepted are expected to be wrong if all of them are of a
    class with labels: the sum of what each proposal lacks of certainty, which a presort calibrates
    on pictures it had not learnt.
    """

    choices: list[Choice] = field(default_factory=list)
    likely_wrong: float = 0.0
    left: Counter[str] = field(default_factory=Counter)

    def result(self) -> dict[str, object]:
        """As a command returns it: labels by class, reasons by number."""
        labels = Counter(choice.label or "" for choice in self.choices)
        note = {"note": "what is of none of these classes is wrong besides"}
        return {
            "accepted": len(self.choices),
            "likely_wrong": round(self.likely_wrong, 1),
            "left_in_queue": sum(self.left.values()),
            "labels": dict(sorted(labels.items())),
            "left": dict(self.left.most_common()),
            **(note if self.choices else {}),
        }


def accept_proposals(
    dataset: Dataset, above: float, classes: Collection[str], *, simulate: bool = False
) -> AcceptancePlan:
    """Label what `plan_acceptance` chooses, in one step that can be undone; return the plan."""
    if simulate:
        return plan_acceptance(dataset, above, classes)
    with dataset.db.write():
        plan = plan_acceptance(dataset, above, classes)
        if plan.choices:
            did = operation("accept-proposals", count=len(plan.choices))
            dataset.journal.step(did, plan.choices)
    return plan


def plan_acceptance(dataset: Dataset, above: float, classes: Collection[str]) -> AcceptancePlan:
    """Choose the proposals with a confidence (0..1) of at least `above`; nothing is written.

    Only of these `classes`, where some are named. Raises `InputUnusable` where no presort is in
    force, or one that does not know every class with a name, and `UsageError` for a class that is
    not there.
    """
    proposals = Proposals(dataset.db)
    if proposals.newest() is None:
        raise InputUnusable(
            "nothing is proposed yet", f"let a model look first: baseline presort {dataset.option}"
        )
    if unmet := proposals.not_known():
        raise InputUnusable(
            f"what is proposed was learnt before {unmet[0]} had a name, and may be that",
            f"let it learn anew: baseline presort -d {dataset.root}",
        )
    wanted = {dataset.classes.resolved(name) for name in classes}
    if missing := sorted(wanted - set(dataset.classes.names())):
        raise UsageError(f"there is no class {missing[0]!r}", "see them: labeler classes list")
    plan = AcceptancePlan()
    for sample in proposed_samples(dataset.db):
        if not sample.waits:
            continue
        first = sample.proposals[0]
        if (why := _why_left(sample, above, wanted)) is None:
            plan.choices.append(Choice(sample.sample, "label", first.label, MODEL))
            plan.likely_wrong += 1 - first.confidence
        else:
            plan.left[why] += 1
    return plan


def _why_left(sample: ProposedSample, above: float, wanted: Collection[str]) -> str | None:
    first = sample.proposals[0]
    if wanted and first.label not in wanted:
        return "of another class"
    return "not sure enough" if first.confidence < above else None
