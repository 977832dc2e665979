"""Classes and splits: how many samples each class has where, and what was kept together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from gleanset import Dataset
from gleanset.html.thumbnails import Thumbnail, Thumbnails
from gleanset.html.words import count
from gleanset.records import SPLITS, Sample
from labeler.acceptance import AcceptancePlan, plan_hints
from pipeline.report.origins import QUEUE

STRIP = 8
GROUPS = 12
GROUP_PICTURES = 6
FEW = 20
"""Training pictures below which a class is called thin: too few to learn its variety."""
FEW_TO_JUDGE = 3
"""Test pictures below which the figure of a class is mostly luck."""


@dataclass(frozen=True, slots=True)
class SamplePreview:
    """A sample's picture with the words that describe it."""

    thumbnail: Thumbnail | None
    label: str
    split: str | None


@dataclass(frozen=True, slots=True)
class ReportClassRow:
    """One class: samples by split, what is thin about it, some of its pictures."""

    name: str
    splits: dict[str, int]
    total: int
    warnings: list[str]
    strip: list[SamplePreview]


@dataclass(frozen=True, slots=True)
class SharedMoment:
    """A moment of several pictures, and the splits they are in."""

    pictures: list[SamplePreview]
    more: int
    splits: list[str]


@dataclass(frozen=True, slots=True)
class QueueReason:
    """Samples that still wait for a decision, and why."""

    count: int
    why: str
    meaning: str


@dataclass(frozen=True, slots=True)
class ClassesSection:
    """Section 4, and the moments that section 2 shows."""

    rows: list[ReportClassRow]
    totals: dict[str, int]
    labelled: int
    moments: int
    torn: int
    together: list[SharedMoment]
    groups: int
    waiting: list[QueueReason]
    split_settings: str

    @property
    def shaky(self) -> int:
        """How many classes have a warning."""
        return sum(bool(row.warnings) for row in self.rows)


@dataclass(slots=True)
class _Tally:
    splits: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    first: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    moments: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))

    def add(self, sample: Sample) -> None:
        label = sample.label or ""
        split = sample.split
        self.splits[label][split or "none"] += 1
        # Keys are hashes, so the first ones are a fair draw, and the same each time.
        if len(self.first[label]) < STRIP:
            self.first[label].append(sample)
        if sample.moment is not None and split:
            self.moments[sample.moment].append(sample)

    def shared(self) -> list[list[Sample]]:
        """Moments of several images, the largest first."""
        found = [m for m in self.moments.values() if len({s.image for s in m}) > 1]
        return sorted(found, key=lambda moment: (-len(moment), moment[0].key))


def gather_classes(dataset: Dataset, thumbnails: Thumbnails) -> ClassesSection:
    """Gather section 4."""
    tally = _Tally()
    for sample in dataset.samples.iter_by_key():
        # A copy that was set aside since the split is not used any more.
        if sample.status == "labelled" and sample.kept:
            tally.add(sample)
    shared = tally.shared()
    totals = sum(tally.splits.values(), Counter[str]())
    return ClassesSection(
        rows=list(_rows(tally, thumbnails)),
        totals={split: totals[split] for split in SPLITS},
        labelled=totals.total(),
        moments=len(tally.moments),
        torn=sum(len(_splits(moment)) > 1 for moment in tally.moments.values()),
        together=[_together(moment, thumbnails) for moment in shared[:GROUPS]],
        groups=len(shared),
        waiting=waiting(plan_hints(dataset)),
        split_settings=dataset.samples.get_split_settings(),
    )


def waiting(plan: AcceptancePlan) -> list[QueueReason]:
    """Why samples are still in the queue, the commonest reason first."""
    left = [(number, why) for why, number in plan.left.items()]
    if plan.choices:
        left.append((len(plan.choices), "clear hint"))
    return [QueueReason(n, why, QUEUE.get(why, "")) for n, why in sorted(left, reverse=True)]


def _rows(tally: _Tally, thumbnails: Thumbnails) -> Iterator[ReportClassRow]:
    is_split = any(found[split] for found in tally.splits.values() for split in SPLITS)
    for name, found in sorted(tally.splits.items()):
        splits = {split: found[split] for split in SPLITS}
        strip = [preview(sample, thumbnails) for sample in tally.first[name]]
        warnings = list(class_warnings(splits)) if is_split else []
        yield ReportClassRow(name, splits, found.total(), warnings, strip)


def class_warnings(splits: dict[str, int]) -> Iterator[str]:
    """Yield what makes the figures of a class shaky."""
    if splits["train"] < FEW:
        yield f"only {count(splits['train'], 'training picture')}"
    for split in ("val", "test"):
        if not splits[split]:
            yield f"nothing in {split}"
    if 0 < splits["test"] < FEW_TO_JUDGE:
        yield f"only {count(splits['test'], 'test picture')}"


def preview(sample: Sample, thumbnails: Thumbnails) -> SamplePreview:
    """Return a sample's picture with its label and split."""
    return SamplePreview(thumbnails.of_sample(sample), sample.label or "not labelled", sample.split)


def _together(moment: list[Sample], thumbnails: Thumbnails) -> SharedMoment:
    one_per_image = list({sample.image: sample for sample in moment}.values())
    pictures = [preview(sample, thumbnails) for sample in one_per_image[:GROUP_PICTURES]]
    return SharedMoment(pictures, len(one_per_image) - len(pictures), _splits(moment))


def _splits(moment: list[Sample]) -> list[str]:
    return sorted({sample.split for sample in moment if sample.split})
