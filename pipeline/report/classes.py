"""Classes of the report: samples by split, groups, and unlabelled samples."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from gleanset import Dataset
from gleanset.html.thumbnails import Thumbnail, Thumbnails
from gleanset.html.words import count
from gleanset.records import SPLITS, Sample
from labeler.acceptance import AcceptancePlan, plan_hints
from pipeline.report.origins import QUEUE_MEANINGS

MAX_EXAMPLES = 8
MAX_GROUPS = 12
MAX_GROUP_IMAGES = 6
MIN_TRAIN_IMAGES = 20
MIN_TEST_IMAGES = 3
"""With fewer, the metrics of a class are unreliable."""


@dataclass(frozen=True, slots=True)
class SamplePreview:
    """The image of a sample with its label and split."""

    thumbnail: Thumbnail | None
    label: str
    split: str | None


@dataclass(frozen=True, slots=True)
class ReportClassRow:
    """A class: samples by split, warnings, and examples."""

    name: str
    splits: dict[str, int]
    total: int
    warnings: list[str]
    strip: list[SamplePreview]


@dataclass(frozen=True, slots=True)
class SharedGroup:
    """A group of several images, and its splits."""

    previews: list[SamplePreview]
    unlisted_count: int
    splits: list[str]


@dataclass(frozen=True, slots=True)
class QueueReason:
    """Number of unlabelled samples for a reason."""

    count: int
    reason: str
    meaning: str


@dataclass(frozen=True, slots=True)
class ClassesSection:
    """The section about classes, and the groups of the section about sources."""

    rows: list[ReportClassRow]
    totals: dict[str, int]
    labelled: int
    groups: int
    torn: int
    together: list[SharedGroup]
    shared_groups: int
    queue_reasons: list[QueueReason]
    split_settings: str

    @property
    def shaky(self) -> int:
        """Number of classes with a warning."""
        return sum(bool(row.warnings) for row in self.rows)


@dataclass(slots=True)
class _Tally:
    splits: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    first: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))
    groups: dict[str, list[Sample]] = field(default_factory=lambda: defaultdict(list))

    def add(self, sample: Sample) -> None:
        label = sample.label or ""
        split = sample.split
        self.splits[label][split or "none"] += 1
        # Keys are hashes: the first ones are a random sample, and always the same.
        if len(self.first[label]) < MAX_EXAMPLES:
            self.first[label].append(sample)
        if sample.split_group is not None and split:
            self.groups[sample.split_group].append(sample)

    def shared(self) -> list[list[Sample]]:
        """Return groups of several images, the largest first."""
        shared = [m for m in self.groups.values() if len({s.image for s in m}) > 1]
        return sorted(shared, key=lambda group: (-len(group), group[0].key))


def gather_classes(dataset: Dataset, thumbnails: Thumbnails) -> ClassesSection:
    """Gather the section."""
    tally = _Tally()
    for sample in dataset.samples.iter_by_key():
        if sample.status == "labelled" and sample.kept:
            tally.add(sample)
    shared = tally.shared()
    totals = sum(tally.splits.values(), Counter[str]())
    return ClassesSection(
        rows=list(_rows(tally, thumbnails)),
        totals={split: totals[split] for split in SPLITS},
        labelled=totals.total(),
        groups=len(tally.groups),
        torn=sum(len(_splits(group)) > 1 for group in tally.groups.values()),
        together=[_shared_group(group, thumbnails) for group in shared[:MAX_GROUPS]],
        shared_groups=len(shared),
        queue_reasons=queue_reasons(plan_hints(dataset)),
        split_settings=dataset.samples.get_split_settings(),
    )


def queue_reasons(plan: AcceptancePlan) -> list[QueueReason]:
    """Return the reasons why samples are unlabelled, the most frequent first."""
    left = [(number, reason) for reason, number in plan.left_out.items()]
    if plan.choices:
        left.append((len(plan.choices), "clear hint"))
    return [
        QueueReason(n, reason, QUEUE_MEANINGS.get(reason, ""))
        for n, reason in sorted(left, reverse=True)
    ]


def _rows(tally: _Tally, thumbnails: Thumbnails) -> Iterator[ReportClassRow]:
    is_split = any(counts[split] for counts in tally.splits.values() for split in SPLITS)
    for name, counts in sorted(tally.splits.items()):
        splits = {split: counts[split] for split in SPLITS}
        strip = [preview(sample, thumbnails) for sample in tally.first[name]]
        warnings = list(class_warnings(splits)) if is_split else []
        yield ReportClassRow(name, splits, counts.total(), warnings, strip)


def class_warnings(splits: dict[str, int]) -> Iterator[str]:
    """Yield reasons why the metrics of a class are unreliable."""
    if splits["train"] < MIN_TRAIN_IMAGES:
        yield f"only {count(splits['train'], 'training image')}"
    for split in ("val", "test"):
        if not splits[split]:
            yield f"no {split} images"
    if 0 < splits["test"] < MIN_TEST_IMAGES:
        yield f"only {count(splits['test'], 'test image')}"


def preview(sample: Sample, thumbnails: Thumbnails) -> SamplePreview:
    """Return the preview of a sample."""
    return SamplePreview(thumbnails.of_sample(sample), sample.label or "not labelled", sample.split)


def _shared_group(group: list[Sample], thumbnails: Thumbnails) -> SharedGroup:
    one_per_image = list({sample.image: sample for sample in group}.values())
    previews = [preview(sample, thumbnails) for sample in one_per_image[:MAX_GROUP_IMAGES]]
    return SharedGroup(previews, len(one_per_image) - len(previews), _splits(group))


def _splits(group: list[Sample]) -> list[str]:
    return sorted({sample.split for sample in group if sample.split})
