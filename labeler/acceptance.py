"""Labels without a look: from hints where nobody could object, and from what a model is sure of.

A hint says what an image was found as, not who is in a box of it: bystanders are not the
star. So only samples with one face and one undisputed hint, all copies of the picture heard,
are accepted. Where hints came to disagree after they were accepted, the label is taken back.

Nobody looked at what a model proposed: a label that came this way is never taken for a person's,
neither where models are judged nor where the confidence of later proposals is calibrated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field

from gleanset import Dataset
from gleanset.db.classes import class_name
from gleanset.db.journal import MODEL, Choice
from gleanset.db.proposals import Proposals, proposed_samples
from gleanset.db.samples import HintedSample, Hints, withdrawn
from gleanset.errors import InputUnusable, UsageError
from gleanset.operations import AUTOMATIC, operation

NONE_REJECTED = (
    "nothing was rejected yet, so images of anything else were forced into these classes; they are "
    "not counted in likely_wrong. Look through the new labels, reject what is none of them "
    "(labeler label --reject SAMPLE, or in the window), and run baseline presort again"
)
OTHERS_WRONG = "images of none of these classes are not counted in likely_wrong"


@dataclass
class AcceptancePlan:
    """What would be accepted, what is taken back, and why the others are left to a person.

    Of proposals `likely_wrong` is how many of the accepted are expected to be wrong if all of
    them are of a class with labels: the sum of what each lacks of certainty, which a presort
    calibrates on pictures it had not learnt.
    """

    choices: list[Choice] = field(default_factory=list)
    back: list[Choice] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)
    likely_wrong: float | None = None
    none_rejected: bool = False

    def result(self) -> dict[str, object]:
        """As a command returns it: labels by class, reasons by number."""
        labels = Counter(choice.label or "" for choice in self.choices)
        proposed = self.likely_wrong is not None
        note = {"note": NONE_REJECTED if self.none_rejected else OTHERS_WRONG}
        return {
            "accepted": len(self.choices),
            **({"likely_wrong": round(self.likely_wrong or 0, 1)} if proposed else {}),
            "left_in_queue": sum(self.left.values()),
            "labels": dict(sorted(labels.items())),
            "left": dict(self.left.most_common()),
            **({"taken_back": len(self.back)} if self.back else {}),
            **(note if proposed and self.choices else {}),
        }


def plan_hints(dataset: Dataset) -> AcceptancePlan:
    """Decide which hints to accept and which labels to take back; nothing is written."""
    plan, hints = AcceptancePlan(), Hints(dataset.db)
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


def apply_hints(dataset: Dataset, plan: AcceptancePlan) -> None:
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
    from labeler.likeness import unfamiliar_proposals

    plan, wrong = AcceptancePlan(), 0.0
    plan.none_rejected = ("rejected",) not in dataset.samples.counts("status")
    waiting = [sample for sample in proposed_samples(dataset.db) if sample.waits]
    unfamiliar = unfamiliar_proposals(
        dataset, {sample.sample: sample.proposals[0].label for sample in waiting}
    )
    for sample in waiting:
        first = sample.proposals[0]
        if wanted and first.label not in wanted:
            plan.left["of another class"] += 1
        elif first.confidence < above:
            plan.left["not sure enough"] += 1
        elif sample.sample in unfamiliar:
            plan.left["unlike the labelled images of its class"] += 1
        else:
            plan.choices.append(Choice(sample.sample, "label", first.label, MODEL))
            wrong += 1 - first.confidence
    plan.likely_wrong = wrong
    return plan
