"""A largest share of a source in train: which of its samples stay out."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple


class InTrain(NamedTuple):
    """A sample of train. `source` is the only one it has, `stayed` that it was in train before."""

    key: str
    label: str
    moment: str
    source: str | None
    stayed: bool


def above_most(
    samples: Sequence[InTrain], most: Mapping[str, Fraction], seed: int
) -> dict[str, str]:
    """The samples that are too many, each with its source.

    What stays is spread over the classes as it was, of each moment one before any has two.
    What was in train before stays before what is new.
    """
    allowed = _allowed(Counter(s.source for s in samples if s.source), len(samples), most)
    too_many: dict[str, str] = {}
    for source, number in allowed.items():
        ordered = _fairly([s for s in samples if s.source == source], seed)
        too_many |= dict.fromkeys((sample.key for sample in ordered[number:]), source)
    return too_many


def _allowed(sizes: Mapping[str, int], total: int, most: Mapping[str, Fraction]) -> dict[str, int]:
    """How many of each source may stay: the largest numbers that keep all shares.

    What leaves makes the whole smaller and with it what a share is, so it is done again until
    nothing more has to leave.
    """
    left = {source: sizes.get(source, 0) for source in most}
    others = total - sum(left.values())
    while True:
        whole = others + sum(left.values())
        fewer = {source: min(number, int(most[source] * whole)) for source, number in left.items()}
        if fewer == left:
            return left
        left = fewer


def _fairly(samples: Sequence[InTrain], seed: int) -> list[InTrain]:
    """So that any beginning of the list has the classes in the same proportions as the whole."""
    classes: dict[str, list[InTrain]] = defaultdict(list)
    for sample in samples:
        classes[sample.label].append(sample)
    placed = [
        ((rank + 0.5) / len(members), label, sample)
        for label, members in classes.items()
        for rank, sample in enumerate(_one_of_each_moment_first(members, seed))
    ]
    return [sample for _, _, sample in sorted(placed, key=lambda row: row[:2])]


def _one_of_each_moment_first(samples: Sequence[InTrain], seed: int) -> list[InTrain]:
    seen: Counter[str] = Counter()
    ranked: list[tuple[bool, int, int, InTrain]] = []
    for sample in sorted(samples, key=lambda s: (not s.stayed, _shuffled(seed, s.key))):
        ranked.append((not sample.stayed, seen[sample.moment], len(ranked), sample))
        seen[sample.moment] += 1
    return [sample for *_, sample in sorted(ranked, key=lambda row: row[:3])]


def _shuffled(seed: int, key: str) -> str:
    return hashlib.sha256(f"{seed}:{key}".encode()).hexdigest()
