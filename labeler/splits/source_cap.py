"""A largest share of a source in train: which of its samples stay out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from labeler.splits.seeded_order import one_per_moment_first, seeded


class TrainSample(NamedTuple):
    """A sample of train. `source` is the only one it has, `stayed` that it was in train before."""

    key: str
    label: str
    moment: str
    source: str | None
    stayed: bool


def over_source_caps(
    samples: Sequence[TrainSample], caps: Mapping[str, Fraction], seed: int
) -> dict[str, str]:
    """Return the samples that are too many, each with its source.

    What stays is spread over the classes as it was, of each moment one before any has two.
    What was in train before stays before what is new.
    """
    allowed = _allowed(Counter(s.source for s in samples if s.source), len(samples), caps)
    too_many: dict[str, str] = {}
    for source, number in allowed.items():
        ordered = _fairly([s for s in samples if s.source == source], seed)
        too_many |= dict.fromkeys((sample.key for sample in ordered[number:]), source)
    return too_many


def _allowed(sizes: Mapping[str, int], total: int, caps: Mapping[str, Fraction]) -> dict[str, int]:
    """Return how many of each source may stay: the largest numbers that keep all shares.

    What leaves makes the whole smaller and with it what a share is, so it is done again until
    nothing more has to leave.
    """
    left = {source: sizes.get(source, 0) for source in caps}
    others = total - sum(left.values())
    while True:
        whole = others + sum(left.values())
        fewer = {source: min(number, int(caps[source] * whole)) for source, number in left.items()}
        if fewer == left:
            return left
        left = fewer


def _fairly(samples: Sequence[TrainSample], seed: int) -> list[TrainSample]:
    """Order samples so that any beginning has the classes in the proportions of the whole."""
    classes: dict[str, list[TrainSample]] = defaultdict(list)
    for sample in samples:
        classes[sample.label].append(sample)
    placed = [
        ((rank + 0.5) / len(members), label, sample)
        for label, members in classes.items()
        for rank, sample in enumerate(_one_of_each_moment_first(members, seed))
    ]
    return [sample for _, _, sample in sorted(placed, key=lambda row: row[:2])]


def _one_of_each_moment_first(samples: Sequence[TrainSample], seed: int) -> list[TrainSample]:
    ordered = sorted(samples, key=lambda s: (not s.stayed, seeded(seed, s.key)))
    return sorted(
        one_per_moment_first(ordered, lambda sample: sample.moment),
        key=lambda sample: not sample.stayed,
    )
