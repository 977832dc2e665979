"""Accepting weak labels and confident predictions without looking at each sample.

A weak label names the search or folder of an image, not the person in a box. So it is accepted only
for images with one face and one undisputed weak label among all copies. If weak labels disagree
later, the label is withdrawn. Labels from predictions are never used to evaluate models or to
calibrate confidences.
"""

from collections import Counter
from collections.abc import Callable, Collection
from functools import cache, partial

import msgspec

from gleanset import Dataset
from gleanset.command_result import AliasedResult, JsonDict
from gleanset.db.classes import normalize_class_name
from gleanset.db.journal import MODEL, Choice
from gleanset.db.proposals import Prelabeling, Proposals, iter_proposed_samples
from gleanset.db.samples import HintedSample, Hints, withdraw_label
from gleanset.db.sorting import SampleTiles
from gleanset.errors import InputUnusable, UsageError
from gleanset.operations import AUTOMATIC, make_operation

NO_REJECTED_SAMPLES = (
    "no sample is rejected yet, so images of other classes get one of these labels and are not "
    "counted as likely wrong: reject some, and prelabel again"
)
OTHER_CLASSES = "images of other classes are not counted as likely wrong"
COUNTED_CLASSES = (
    "likely wrong: including images of classes without labels, by estimate"
)


class AcceptanceResult(AliasedResult, kw_only=True):
    """Labels that were accepted, and samples that stay in the queue, by reason."""

    WORDS = {
        "left_in_queue": "still unlabelled",
        "left": "reasons",
        "taken_back": "labels withdrawn",
    }

    accepted: int
    likely_wrong: float | None = None
    left_in_queue: int
    labels: dict[str, int]
    left: dict[str, int]
    taken_back: int = 0
    note: str = ""
    next: str = ""
    disputed: dict[str, str] = {}

    def brief(self) -> JsonDict:
        """Return the numbers of labels and classes, and why samples stay in the queue."""
        return {
            "alias": self.alias,
            "accepted": self.accepted,
            "classes": len(self.labels),
            "labels withdrawn": self.taken_back,
            "still unlabelled": self.left,
            "disputed": self.disputed,
        }


class AcceptancePlan(msgspec.Struct):
    """Labels to accept, labels to withdraw, and the number of other samples by reason.

    For predictions `likely_wrong` is the expected number of errors among the accepted samples of
    known classes: the sum of 1 - confidence, which is calibrated on out-of-fold images.
    """

    choices: list[Choice] = []
    withdrawals: list[Choice] = []
    left_out: Counter[str] = msgspec.field(default_factory=Counter)
    likely_wrong: float | None = None
    note: str = OTHER_CLASSES
    aliases: dict[str, str] = {}
    disputed: dict[str, str] = {}

    def result(self) -> AcceptanceResult:
        """Return the result of the command."""
        labels = Counter(choice.label or "" for choice in self.choices)
        result = AcceptanceResult(
            accepted=len(self.choices),
            left_in_queue=self.left_out.total(),
            labels=dict(sorted(labels.items())),
            left=dict(self.left_out.most_common()),
            taken_back=len(self.withdrawals),
            disputed=self.disputed,
        )
        if self.likely_wrong is not None:
            result.likely_wrong = round(self.likely_wrong, 1)
            result.note = self.note if self.choices else ""
        return result.with_facts(self.aliases)


def plan_hints(dataset: Dataset) -> AcceptancePlan:
    """Plan which weak labels to accept and which labels to withdraw."""
    plan = AcceptancePlan()
    hints = Hints(dataset.db)
    classes = dataset.classes
    resolve = cache(classes.resolve)
    # Hints that differ in case are one class.
    labels_by_fold: dict[str, str] = {}
    for sample in hints.iter_waiting():
        reason = find_obstacle(sample)
        if reason is None:
            label = resolve(sample.hint or "")
            label = labels_by_fold.setdefault(label.casefold(), label)
            plan.choices.append(Choice(sample.key, "label", label, "hint"))
        else:
            plan.left_out[reason] += 1

    # Aliases are explained only where they name an accepted class.
    labels = {choice.label for choice in plan.choices}
    accepted_hints = [
        name
        for name in hints.list_names()
        # A name without a class or alias is the class itself: there is nothing to explain.
        if classes.get_id(name) and classes.resolve_alias(name) in labels
    ]
    plan.aliases = classes.explain_aliases(accepted_hints, dataset.option)

    # These weak labels were accepted when nothing disputed them yet.
    plan.withdrawals = [withdraw_label(sample.key) for sample in hints.list_disputed()]
    # Adding a Counter leaves out a count of zero.
    plan.left_out += Counter({"disputed weak label": len(plan.withdrawals)})
    if plan.left_out["disputed weak label"]:
        # Not `groups --conflicts`: an image in folders of two classes is in no duplicate set.
        option = dataset.option
        plan.disputed = {
            "list them": f"gleanset list samples --where disputed=true {option}",
            "settle one": f"labeler label CLASS SAMPLE {option}",
            "ignore a weak label": f"labeler hints drop NAME {option}",
        }
    return plan


def find_obstacle(sample: HintedSample) -> str | None:
    """Return the reason why a weak label is not accepted, or None."""
    if sample.hint is None:
        return "no weak label"
    if sample.hints > 1:
        return "disputed weak label"
    # The label names a person of the image, but not which face.
    if sample.faces > 1:
        return "several faces"
    try:
        label = normalize_class_name(sample.hint)
    except UsageError:
        return "weak label is not a class name"

    if any(other != label for other in sample.decided):
        return "a copy was decided otherwise"
    return None


def accept_hints(dataset: Dataset, *, simulate: bool = False) -> AcceptancePlan:
    """Apply `plan_hints`, accepted labels in one step that can be undone; return the plan."""
    return _accept(dataset, "accept-hints", partial(plan_hints, dataset), simulate)


def accept_proposals(
    dataset: Dataset, above: float, classes: Collection[str], *, simulate: bool = False
) -> AcceptancePlan:
    """Apply `plan_acceptance` in one step that can be undone; return the plan."""
    return _accept(
        dataset,
        "accept-proposals",
        partial(plan_acceptance, dataset, above, classes),
        simulate,
    )


def _accept(
    dataset: Dataset, kind: str, make_plan: Callable[[], AcceptancePlan], simulate: bool
) -> AcceptancePlan:
    """Plan, and unless it is simulated, apply the plan as a step of this kind."""
    if simulate:
        return make_plan()
    # Planned and applied in one transaction: no other process decides a sample in between. The
    # labels come last, so that `labeler undo` reverts them first.
    with dataset.db.transaction():
        plan = make_plan()
        for step, choices in ((AUTOMATIC, plan.withdrawals), (kind, plan.choices)):
            if choices:
                dataset.journal.apply(
                    make_operation(step, count=len(choices)),
                    choices,
                )

    return plan


def plan_acceptance(
    dataset: Dataset, above: float, classes: Collection[str]
) -> AcceptancePlan:
    """Select predictions with a confidence of at least `above`, of all or the given classes.

    Raises `InputUnusable` if there is no prelabeling, or one older than a class, and `UsageError`
    for an unknown class.
    """
    latest = _load_prelabeling(dataset)
    requested_classes = _resolve_classes(dataset, classes)

    # NumPy is slow to load.
    from curation.similarity.spaces import find_dissimilar_proposals

    plan = AcceptancePlan()
    plan.aliases = dataset.classes.explain_aliases(classes, dataset.option)
    # If `baseline prelabel` estimated such images, its confidences take them into account.
    if latest.facts.get("of_other_classes"):
        plan.note = COUNTED_CLASSES
    elif ("rejected",) not in dataset.samples.count_by("status"):
        plan.note = NO_REJECTED_SAMPLES

    waiting_samples = [
        sample for sample in iter_proposed_samples(dataset.db) if sample.waits
    ]
    # The first proposal is the most confident.
    first_labels = {
        sample.sample: sample.proposals[0].label for sample in waiting_samples
    }
    # A confident prediction may still be of a class without labels.
    dissimilar = find_dissimilar_proposals(dataset, first_labels)
    plan.likely_wrong = 0.0
    for sample in waiting_samples:
        first = sample.proposals[0]
        if requested_classes and first.label not in requested_classes:
            plan.left_out["of another class"] += 1
        elif first.confidence < above:
            plan.left_out["confidence below --above"] += 1
        elif sample.sample in dissimilar:
            plan.left_out["unlike the labelled images of its class"] += 1
        else:
            plan.choices.append(Choice(sample.sample, "label", first.label, MODEL))
            plan.likely_wrong += 1 - first.confidence

    plan.left_out += Counter(
        {
            "without a prediction": SampleTiles(dataset.db).get_counts().pending
            - len(waiting_samples)
        }
    )
    return plan


def _load_prelabeling(dataset: Dataset) -> Prelabeling:
    """Return the latest prelabeling. Raises `InputUnusable` if it lacks a class."""
    proposals = Proposals(dataset.db)
    latest = proposals.get_latest()
    if latest is None:
        raise InputUnusable(
            "there are no predictions yet",
            f"make them: baseline prelabel {dataset.option}",
        )

    new_classes = proposals.list_new_classes()
    if new_classes:
        raise InputUnusable(
            f"the predictions are older than the class {new_classes[0]}",
            f"update them: baseline prelabel {dataset.option}",
        )
    return latest


def _resolve_classes(dataset: Dataset, names: Collection[str]) -> set[str]:
    """Return the classes that names mean. Raises `UsageError` for an unknown one."""
    classes = {dataset.classes.resolve(name) for name in names}
    missing = sorted(classes - set(dataset.classes.list_names()))
    if missing:
        raise UsageError(
            f"there is no class {missing[0]!r}",
            "list them: labeler classes list",
        )
    return classes
