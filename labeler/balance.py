"""Balancing the classes of train, after the split: val and test stay as the world is.

Copying before a split would put copies of one picture on both sides of it.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from gleanset import Dataset
from gleanset.config import Param
from gleanset.db.samples import Balances, SampleWeight
from gleanset.errors import InputUnusable, UsageError
from gleanset.records import Sample
from gleanset.request import Count, Request
from labeler.splits.allocate import one_per_moment_first, seeded

Method = Literal["down", "copies", "augment", "weights", "off"]


class BalanceSettings(Request, frozen=True, kw_only=True):
    """`labeler balance`, and `[balance]` of a recipe: classes of train that count alike."""

    COMMAND: ClassVar[str] = "labeler balance"

    method: Annotated[
        Method,
        Param(
            "down: leave some out. copies: repeat some (exported as NAME_balancing). "
            "augment: repeat them mirrored, shifted and shaded. weights: a column and a loss "
            "that count each class alike. off: as they are.",
            show_default=True,
        ),
    ] = "weights"
    target: Annotated[
        Count | None,
        Param(
            "Samples a class. Default: as the smallest (down), the largest (copies, augment) or "
            "the mean class (weights) has.",
            metavar="N",
        ),
    ] = None

    def __post_init__(self) -> None:
        """Raise `UsageError` where a target makes no sense."""
        super().__post_init__()
        if self.target is not None and self.method == "off":
            raise UsageError("balancing that is off has no target", "leave the target out")


@dataclass
class BalancePlan:
    """What each class has in train, what it will count for, and how that comes about."""

    settings: str
    shares: dict[str, SampleWeight] = field(default_factory=dict)
    table: dict[str, dict[str, float]] = field(default_factory=dict)
    target: int = 0
    where: str = ""

    def result(self) -> dict[str, object]:
        """As a command returns it; `fill` are the searches that would bring what is short."""
        short = {label: self.target - int(row["before"]) for label, row in self.table.items()}
        fill = [
            f"harvest keyword {shlex.quote(label)} --label {shlex.quote(label)} --limit {number} "
            f"{self.where}".strip()
            for label, number in short.items()
            if number > 0
        ]
        return {"target": self.target, "classes": self.table} | ({"fill": fill} if fill else {})


def plan_balance(dataset: Dataset, wanted: BalanceSettings) -> BalancePlan:
    """Return how to bring every class of train to a number of samples.

    By default that is the smallest class for `down`, the largest for copies, and the mean for
    weights. `down` drops the last of each moment first; classes below the target are left as
    they are. `copies` and `augment` repeat samples in turn and drop none. `weights` give each
    class the same total without touching a sample. Raises `InputUnusable` without a split.
    """
    classes: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples.in_splits():
        if sample.split == "train":
            classes[str(sample.label)].append(sample)
    if not classes:
        raise InputUnusable(
            "nothing is in train yet, so there is nothing to balance",
            f"split first: labeler split {dataset.option}",
        )
    method = wanted.method
    goal = wanted.target or _usual_target(method, [len(samples) for samples in classes.values()])
    settings = f"method={method} target={goal}"
    plan = BalancePlan(settings, target=goal, where=f"-d {shlex.quote(str(dataset.root))}")
    # Here, for it takes numpy: the command line imports this module whenever it starts.
    from curation.moments import moments_of

    moments = moments_of(dataset.db)
    for label, samples in sorted(classes.items()):
        shuffled = sorted(samples, key=lambda sample: seeded(0, sample.key))
        ordered = one_per_moment_first(shuffled, lambda sample: moments[sample.key])
        shares = _shares(method, ordered, goal)
        plan.shares |= shares
        counts = [shares.get(sample.key, SampleWeight(1, 1.0)) for sample in samples]
        plan.table[label] = {
            "before": len(samples),
            "pictures": sum(share.copies for share in counts),
            "counts_for": round(sum(share.copies * share.weight for share in counts), 3),
        }
    return plan


def apply_balance(dataset: Dataset, plan: BalancePlan) -> None:
    """Put the plan in force, for exports and training."""
    Balances(dataset.db).replace(plan.shares, plan.settings)


def _usual_target(method: Method, sizes: Sequence[int]) -> int:
    if method == "down":
        return min(sizes)
    return max(sizes) if method in ("copies", "augment") else round(sum(sizes) / len(sizes))


def _shares(method: Method, ordered: Sequence[Sample], target: int) -> dict[str, SampleWeight]:
    size = len(ordered)
    if method == "down":
        return {sample.key: SampleWeight(0, 1.0) for sample in ordered[target:]}
    if method == "weights":
        return {sample.key: SampleWeight(1, target / size) for sample in ordered}
    if method in ("copies", "augment") and target > size:
        times, rest = divmod(target, size)
        return {
            sample.key: SampleWeight(times + (place < rest), 1.0)
            for place, sample in enumerate(ordered)
            if times + (place < rest) > 1
        }
    return {}
