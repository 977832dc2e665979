"""Balancing the classes of train after the split; val and test are not changed.

Oversampling before a split would put copies of an image on both sides.
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
from labeler.splits.allocate import shuffle_key, spread_groups

Method = Literal["down", "copies", "augment", "weights", "off"]


class BalanceSettings(Request, frozen=True, kw_only=True):
    """Settings of `labeler balance`, and of `[balance]` in a recipe."""

    COMMAND: ClassVar[str] = "labeler balance"

    method: Annotated[
        Method,
        Param(
            "down: leave samples out. copies: repeat samples (exported as NAME_balancing). "
            "augment: repeat them mirrored, cropped and shaded. weights: a column and loss weights "
            "that give all classes the same total. off: no balancing.",
            show_default=True,
        ),
    ] = "weights"
    target: Annotated[
        Count | None,
        Param(
            "Samples in each class. Default: those of the smallest (down), the largest (copies, "
            "augment) or the mean class (weights).",
            metavar="N",
        ),
    ] = None

    def __post_init__(self) -> None:
        """Raise `UsageError` for a target without a method."""
        super().__post_init__()
        if self.target is not None and self.method == "off":
            raise UsageError("--method off has no target", "leave out --target")


@dataclass
class BalancePlan:
    """Copies and weights of samples in train, and the resulting counts by class."""

    settings: str
    shares: dict[str, SampleWeight] = field(default_factory=dict)
    table: dict[str, dict[str, float]] = field(default_factory=dict)
    target: int = 0
    dataset_arg: str = ""

    def result(self) -> dict[str, object]:
        """Return the result of the command; `fill` are searches for the missing images."""
        short = {label: self.target - int(row["samples"]) for label, row in self.table.items()}
        fill = [
            f"harvest keyword {shlex.quote(label)} --label {shlex.quote(label)} --limit {number} "
            f"{self.dataset_arg}".strip()
            for label, number in short.items()
            if number > 0
        ]
        return {"target": self.target, "classes": self.table} | ({"fill": fill} if fill else {})


def plan_balance(dataset: Dataset, balance: BalanceSettings) -> BalancePlan:
    """Plan how every class of train gets `target` samples.

    `down` first drops repeated samples of a group; smaller classes are not changed. `copies` and
    `augment` repeat samples in turn. `weights` give each class the same total weight. Raises
    `InputUnusable` without a split.
    """
    classes: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples.iter_in_splits():
        if sample.split == "train":
            classes[str(sample.label)].append(sample)
    if not classes:
        raise InputUnusable(
            "nothing to balance: train has no samples yet",
            f"labeler split {dataset.option}",
        )
    method = balance.method
    sizes = [len(samples) for samples in classes.values()]
    default = {"down": min(sizes), "copies": max(sizes), "augment": max(sizes)}
    target = balance.target or default.get(method, round(sum(sizes) / len(sizes)))
    settings = f"method={method} target={target}"
    plan = BalancePlan(settings, target=target, dataset_arg=f"-d {shlex.quote(str(dataset.root))}")
    # Imported late, because every start of the command line imports this module.
    from curation.split_groups import assign_split_groups

    groups = assign_split_groups(dataset.db)
    for label, samples in sorted(classes.items()):
        shuffled = sorted(samples, key=lambda sample: shuffle_key(0, sample.key))
        ordered = spread_groups(shuffled, lambda sample: groups[sample.key])
        shares = _shares(method, ordered, target)
        plan.shares |= shares
        counts = [shares.get(sample.key, SampleWeight(1, 1.0)) for sample in samples]
        plan.table[label] = {
            "samples": len(samples),
            "images": sum(share.copies for share in counts),
            "weight": round(sum(share.copies * share.weight for share in counts), 3),
        }
    return plan


def apply_balance(dataset: Dataset, plan: BalancePlan) -> None:
    """Store a plan, which exports and training then use."""
    Balances(dataset.db).replace(plan.shares, plan.settings)


def _shares(method: Method, ordered: Sequence[Sample], target: int) -> dict[str, SampleWeight]:
    size = len(ordered)
    if method == "down":
        return {sample.key: SampleWeight(0, 1.0) for sample in ordered[target:]}
    if method == "weights":
        return {sample.key: SampleWeight(1, target / size) for sample in ordered}
    if method in ("copies", "augment") and target > size:
        times, rest = divmod(target, size)
        return {
            sample.key: SampleWeight(times + (position < rest), 1.0)
            for position, sample in enumerate(ordered)
            if times + (position < rest) > 1
        }
    return {}
