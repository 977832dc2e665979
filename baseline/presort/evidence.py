"""What samples share with labelled ones, and hints, as evidence beside what they look like.

How far each kind of evidence is to be trusted is counted on the labelled samples themselves:
p(class | looks, evidence) ~ p(class | looks) x p(evidence | class), where a piece of evidence
names the right class with the share counted and any other class alike (naive Bayes).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from baseline.evaluation.probabilities import Floats, softmax
from gleanset.db.sortables import Sortable

Named = list[tuple[int, int]]
"""(row of a sample, class that a piece of evidence names for it)."""

MOST = 3
"""Labelled partners of a sample that count at most: those of one scene are no witnesses apart."""
LEAST_SEEN = 10
"""Cases by which a kind of evidence must have been judged before it counts at all."""
SURE = {"group": 0.998}
"""Copies of one picture are of one class, as far as `labeler dedup` is right."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One kind of evidence: how often it named the right class, in how many cases, and for whom."""

    kind: str
    trust: float
    cases: int
    named: Named


def gather(samples: Sequence[Sortable], number: dict[str, int]) -> list[Evidence]:
    """The kinds of evidence there are: copies, scenes and posts, hints."""
    kinds: tuple[tuple[str, Callable[[Sortable], Sequence[str]]], ...] = (
        ("group", lambda one: (one.group,) if one.group else ()),
        ("ties", lambda one: one.ties),
    )
    found = [_shared(kind, samples, of, number) for kind, of in kinds]
    return [*found, _hinted(samples, number)]


def _shared(
    kind: str, samples: Sequence[Sortable], of: Callable[[Sortable], Sequence[str]],
    number: dict[str, int],
) -> Evidence:  # fmt: skip
    """What labelled samples with the same group or tie say of each other and of the rest."""
    members: dict[str, Counter[int]] = {}
    for one in samples:
        if one.label in number:
            for name in of(one):
                members.setdefault(name, Counter())[number[one.label]] += 1
    named, right, cases = [], 0, 0
    for row, one in enumerate(samples):
        own = number.get(one.label or "", -1)
        votes: Counter[int] = Counter()
        for name in of(one):
            votes += members.get(name, Counter())
        if own >= 0:
            votes[own] -= len(of(one))
            right += votes[own]
            cases += votes.total()
        named += [(row, label) for label, count in votes.most_common(MOST)
                  for _ in range(min(count, MOST))][:MOST]  # fmt: skip
    return Evidence(kind, SURE.get(kind, _share(right, cases, len(number))), cases, named)


def _hinted(samples: Sequence[Sortable], number: dict[str, int]) -> Evidence:
    """Hints that name a class, judged by the samples that have both a hint and a label."""
    named = [(row, number[one.hint]) for row, one in enumerate(samples) if one.hint in number]
    judged = [(row, label) for row, label in named if samples[row].label in number]
    right = sum(number[str(samples[row].label)] == label for row, label in judged)
    return Evidence("hint", _share(right, len(judged), len(number)), len(judged), named)


def _share(right: int, cases: int, classes: int) -> float:
    """The share right, drawn towards chance by one case of each class (Laplace)."""
    return (right + 1) / (cases + classes)


def weigh(probabilities: Floats, kinds: Sequence[Evidence]) -> Floats:
    """The probabilities N x classes after the evidence."""
    logs = np.log(np.maximum(probabilities, 1e-12))
    others = max(logs.shape[1] - 1, 1)
    for one in kinds:
        if one.kind not in SURE and one.cases < LEAST_SEEN:
            continue
        gain = np.log(one.trust) - np.log((1 - one.trust) / others)
        for row, label in one.named:
            logs[row, label] += gain
    return softmax(logs)
