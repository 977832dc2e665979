"""Train, val and test, assigned by moment: reproducible, and stable when data is added."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from fractions import Fraction
from math import gcd, lcm

from gleanset import Dataset
from gleanset.errors import InputUnusable, UsageError
from labeler.moments import Moment, find_moments

SPLITS = ("train", "val", "test")
# A moment tied together later goes where it costs least honesty: test stays test.
_STRONGEST_FIRST = ("test", "val", "train")


@dataclass
class SplitPlan:
    """Which moment goes where, and how close that comes to what was asked."""

    settings: str
    splits: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    table: dict[str, dict[str, int]] = field(default_factory=dict)
    moments: int = 0
    largest_moment: int = 0
    tied: int = 0

    def result(self) -> dict[str, object]:
        """As a command returns it; `short` lists the splits that lack a class."""
        totals: Counter[str] = Counter()
        for row in self.table.values():
            totals.update(row)
        short = [
            f"{label}: nothing in {split}"
            for label, row in self.table.items()
            for split in SPLITS
            if totals[split] and not row[split]
        ]
        found: dict[str, object] = {
            **{split: totals[split] for split in SPLITS}, "moments": self.moments,
            "largest_moment": self.largest_moment, "moved_because_tied": self.tied,
            "classes": self.table,
        }  # fmt: skip
        return found | ({"short": short} if short else {})


def parse_ratio(text: str) -> dict[str, float]:
    """'8:1:1' as fractions of train, val and test. Raises `UsageError`."""
    parts = [float(part) for part in text.split(":") if re.fullmatch(r"\d+(\.\d+)?", part)]
    if len(parts) != 3 or text.count(":") != 2 or parts[0] <= 0:
        raise UsageError(
            f"{text!r} is not a ratio of train, val and test", "write for instance 8:1:1"
        )
    return {split: part / sum(parts) for split, part in zip(SPLITS, parts, strict=True)}


def lowest_terms(ratio: str) -> str:
    """The one spelling of a ratio: '80:10:10' and '0.8:0.1:0.1' are both '8:1:1'."""
    parse_ratio(ratio)
    parts = [Fraction(part) for part in ratio.split(":")]
    whole = [int(part * lcm(*(p.denominator for p in parts))) for part in parts]
    return ":".join(str(part // gcd(*whole)) for part in whole)


def plan_split(dataset: Dataset, ratio: str, seed: int) -> SplitPlan:
    """Assign every labelled sample; with an unchanged ratio and seed none is moved.

    Each class comes as close to the ratio as whole moments allow: moments are placed from the
    largest on, each where its classes are furthest below their share (greedy least squares).
    Raises `InputUnusable` when nothing is labelled.
    """
    moments = find_moments(dataset.samples.ties())
    if not moments:
        raise InputUnusable(
            "nothing is labelled yet, so there is nothing to split",
            f"label some samples first: labeler accept-hints -d {dataset.root}",
        )
    have: dict[str, Counter[str]] = defaultdict(Counter)
    want = _shares(moments, parse_ratio(ratio))
    plan = SplitPlan(
        settings=f"ratio={lowest_terms(ratio)} seed={seed}", moments=len(moments),
        largest_moment=max(len(moment.members) for moment in moments),
    )  # fmt: skip
    again = plan.settings == dataset.samples.split_settings()
    placed: dict[str, str] = {}
    for moment in moments if again else []:
        if (split := _earlier(moment, plan)) is not None:
            _place(moment, split, placed, have)
    for moment in sorted(moments, key=lambda m: (-len(m.members), _shuffled(seed, m.key))):
        if moment.key not in placed:
            _place(moment, _neediest(moment, want, have), placed, have)
    for moment in moments:
        for member in moment.members:
            plan.splits[member.key] = (moment.key, placed[moment.key])
    plan.table = {label: {split: have[label][split] for split in SPLITS} for label in sorted(have)}
    return plan


def apply_split(dataset: Dataset, plan: SplitPlan) -> None:
    """Write the plan, whole or not at all."""
    dataset.samples.set_splits(plan.splits, plan.settings)


def _shares(moments: list[Moment], ratio: dict[str, float]) -> dict[str, dict[str, float]]:
    sizes = Counter(member.label for moment in moments for member in moment.members)
    return {
        label: {split: size * part for split, part in ratio.items()}
        for label, size in sizes.items()
    }


def _earlier(moment: Moment, plan: SplitPlan) -> str | None:
    """Where this moment was; when a new picture tied several together, the strongest."""
    before = {member.split for member in moment.members if member.split is not None}
    if len(before) > 1:
        plan.tied += 1
    return next((split for split in _STRONGEST_FIRST if split in before), None)


def _neediest(
    moment: Moment, want: dict[str, dict[str, float]], have: dict[str, Counter[str]]
) -> str:
    sizes = Counter(member.label for member in moment.members)

    def missing(split: str) -> float:
        return sum(n * (want[label][split] - have[label][split]) for label, n in sizes.items())

    # Of equally needy ones test comes before val: a class without test cannot be judged.
    order = ("train", "test", "val")
    return max(
        (split for split in order if any(want[label][split] for label in sizes)), key=missing
    )


def _place(
    moment: Moment, split: str, placed: dict[str, str], have: dict[str, Counter[str]]
) -> None:
    placed[moment.key] = split
    for member in moment.members:
        have[member.label][split] += 1


def _shuffled(seed: int, key: str) -> str:
    """An order that looks random, differs from seed to seed and never from run to run."""
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()
