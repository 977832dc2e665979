"""Which whole pictures an export with boxes has, and every box on them.

What learns from such pictures learns, too, that nothing is where there is no box. So all labelled
samples of a picture get one, also those that are no samples of the export by themselves: copies
that were set aside. A picture with one that nobody has decided on is left out, unless it is
asked for; one that was rejected gets no box.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from gleanset import Dataset
from gleanset.errors import InputUnusable
from gleanset.images.cut import sample_key, within
from gleanset.records import Box, Image, Sample
from labeler.export.options import ExportOptions
from labeler.export.plan import (
    ExportItem,
    export_item,
    images_of,
    may_be_passed_on,
    nothing_to_export,
    paths_of_originals,
)


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """The samples of an export; how many pictures with boxes lack one, for nobody has decided."""

    items: list[ExportItem]
    undecided: int = 0


def plan_boxes(dataset: Dataset, options: ExportOptions) -> ExportPlan:
    """Return all labelled samples of every picture that is exported. Raises `InputUnusable`.

    A picture is of the split of its samples; of several splits of that of its first sample.
    """
    by_image = _by_image(dataset)
    images = images_of(dataset, (samples[0] for samples in by_image.values()))
    by_image = {
        sha256: samples
        for sha256, samples in by_image.items()
        if may_be_passed_on(images[sha256], options.licences)
    }
    if not by_image:
        raise nothing_to_export(dataset, options)
    decided = {sha256: s for sha256, s in by_image.items() if all(one.label for one in s)}
    undecided = len(by_image) - len(decided)
    if not (chosen := by_image if options.undecided else decided):
        raise InputUnusable(
            f"each of the {undecided} pictures has a face that nobody has decided on",
            f"decide: labeler {dataset.option}; or take them as they are: --undecided",
        )
    labelled = {sha256: [s for s in samples if s.label] for sha256, samples in chosen.items()}
    paths = paths_of_originals([samples[0] for samples in labelled.values()], images, options)
    items = [
        export_item(dataset, sample, images[sha256], paths[sha256], options, box)
        for sha256, samples in labelled.items()
        for sample, box in _boxes(dataset, samples, images[sha256])
    ]
    return ExportPlan(items, undecided)


def _by_image(dataset: Dataset) -> dict[str, list[Sample]]:
    """Return the samples of the pictures that have one in a split, all in the split of the first.

    Those that nobody has decided on have no label; a copy has that of the one that is kept.
    """
    split: dict[str, str] = {}
    label_of_group: dict[str, str] = {}
    for sample in dataset.samples.in_splits():
        split.setdefault(sample.image, str(sample.split))
        if sample.group:
            label_of_group[sample.group] = str(sample.label)
    samples_of: dict[str, list[Sample]] = defaultdict(list)
    for sample in dataset.samples.by_key():
        if sample.image in split and _counts(sample):
            label = sample.label if sample.status == "labelled" else None
            if not sample.kept and sample.group:
                label = label or label_of_group.get(sample.group)
            samples_of[sample.image].append(replace(sample, label=label, split=split[sample.image]))
    return {sha256: _labelled_first(samples) for sha256, samples in samples_of.items()}


def _counts(sample: Sample) -> bool:
    """Return whether a sample has a box, or lacks one: of a whole picture no face is missing."""
    waits = sample.status == "queue" and sample.detector != "whole"
    return waits or sample.status == "labelled"


def _labelled_first(samples: list[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda sample: (sample.label is None, sample.key))


def _boxes(dataset: Dataset, samples: list[Sample], image: Image) -> Iterator[tuple[Sample, Box]]:
    """Yield samples with the boxes of their faces, without margin, within the picture."""
    faces = {
        sample_key(image.sha256, stored.face.box): stored.face.box
        for stored in dataset.faces.of(image.sha256)
    }
    for sample in samples:
        box = within(faces.get(sample.key, sample.box), image.width, image.height)
        if box is not None:
            yield sample, box
