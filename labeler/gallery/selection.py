"""Selecting the samples of a gallery: label issues, and the best of each class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from curation.split_groups import assign_split_groups
from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import classify_provenance, get_label_provenances
from gleanset.db.proposals import list_clusters
from gleanset.db.regions import Quality, QualityMeasures
from gleanset.db.runs import LabelIssue, LabelIssues
from gleanset.db.sorting import SortingQueue
from gleanset.errors import InputUnusable, UsageError
from gleanset.named_files import add_dataset_option
from gleanset.records import Sample
from labeler.gallery.request import GalleryRequest
from labeler.quality.flags import flags_of
from labeler.splits.allocate import spread_groups

LABEL_ISSUE, DUPLICATE = "issue", "duplicate"
MARKS = (LABEL_ISSUE, DUPLICATE)
"""Flags with a visible mark in a gallery."""

Sections = Mapping[str, Sequence[Sample]]
"""Samples by class, or by the id of their cluster."""


class GalleryEntry(NamedTuple):
    """A sample shown under `label`, with its quality flags and `MARKS`.

    `provenance`: person, model, hint, import or page user; None for queued samples.
    """

    sample: Sample
    label: str
    flags: tuple[str, ...]
    provenance: str | None
    issue: LabelIssue | None = None


class ClassCounts(NamedTuple):
    """Number of samples in a class that are not duplicates, and how many have each mark."""

    total: int
    marked: dict[str, int]


class GallerySelection(NamedTuple):
    """Entries to show, section by section, and the counts of each section."""

    entries: list[GalleryEntry]
    counts: dict[str, ClassCounts]


def group_samples(dataset: Dataset, request: GalleryRequest) -> dict[str, list[Sample]]:
    """Return the samples of each class, or of each cluster of the latest prelabeling.

    Raises `InputUnusable` if there are none, `UsageError` for an unknown class.
    """
    private = dataset.images.list_report_only()
    if request.clusters:
        return _clusters(dataset, private)
    sections: dict[str, list[Sample]] = {}
    for sample in dataset.samples.iterate(status="labelled"):
        if sample.kept and sample.image not in private:
            sections.setdefault(str(sample.label), []).append(sample)
    if not sections and private:
        raise InputUnusable(
            "nothing to show: all labelled images were sent with web reports",
            "see them in the window: labeler",
        )
    if not sections:
        raise InputUnusable(
            "nothing to show: no sample is labelled yet",
            f"see the next step: gleanset status {dataset.option}",
        )
    if unknown := [name for name in request.names if name not in sections]:
        raise UsageError(
            f"there are no samples of a class {unknown[0]!r}",
            f"classes: {', '.join(sections)}",
        )
    return {name: sections[name] for name in (dict.fromkeys(request.names) or sorted(sections))}


def _clusters(dataset: Dataset, private: frozenset[str]) -> dict[str, list[Sample]]:
    clusters = list_clusters(dataset.db)
    if not clusters and not SortingQueue(dataset.db).list_waiting(1):
        raise InputUnusable(
            "no sample is queued for labelling",
            add_dataset_option(dataset, "see the next step: gleanset status"),
        )
    if not clusters:
        raise InputUnusable(
            "there are no clusters: no queued sample was prelabelled",
            add_dataset_option(dataset, "make them: baseline prelabel"),
        )
    sections = {
        cluster.id: [
            sample
            for sample in filter(None, map(dataset.samples.get, cluster.pending))
            if sample.image not in private
        ]
        for cluster in clusters
    }
    return {name: samples for name, samples in sections.items() if samples}


def select_samples(
    dataset: Dataset, sections: Sections, request: GalleryRequest
) -> GallerySelection:
    """Select entries from sections with equal shares of the limit, label issues first."""
    selection = GallerySelection([], {})
    groups = assign_split_groups(dataset.db)
    sizes = {name: len(samples) for name, samples in sections.items()}
    for name, share in divide_limit(sizes, request.limit).items():
        samples = sections[name]
        if not request.clusters:
            samples = order_by_quality(dataset, samples, groups)
        entries = list(_make_entries(dataset, name, samples))
        marks = {mark: sum(mark in entry.flags for entry in entries) for mark in MARKS}
        selection.counts[name] = ClassCounts(len(entries), marks)
        entries.sort(key=lambda entry: entry.issue is None)
        selection.entries.extend(entries[:share])
    return selection


def order_by_quality(
    dataset: Dataset, samples: Sequence[Sample], groups: Mapping[str, str]
) -> list[Sample]:
    """Return samples without flags and sharp ones first, one of each group before the second."""

    def rank(measured: tuple[Sample, Quality | None]) -> tuple[bool, float, str]:
        sample, quality = measured
        if quality is None:
            return True, -sample.sharpness, sample.key
        return bool(flags_of(quality)), quality.blur, sample.key

    ranked = sorted(QualityMeasures(dataset.db).join(samples), key=rank)
    return spread_groups(
        (sample for sample, _ in ranked), lambda sample: groups.get(sample.key, sample.key)
    )


def divide_limit(sizes: Mapping[str, int], limit: int) -> dict[str, int]:
    """Divide `limit` equally; what a small section does not need goes to the others."""
    shares = dict.fromkeys(sizes, 0)
    for position, name in enumerate(sorted(sizes, key=lambda name: sizes[name])):
        shares[name] = min(sizes[name], (limit - sum(shares.values())) // (len(sizes) - position))
    return shares


def _make_entries(
    dataset: Dataset, label: str, samples: Sequence[Sample]
) -> Iterator[GalleryEntry]:
    keys = [sample.key for sample in samples]
    issues = LabelIssues(dataset.db).get_many(keys)
    provenances = get_label_provenances(dataset.db, Pairs(dataset.db).get_ids(keys))
    for sample, quality in QualityMeasures(dataset.db).join(samples):
        issue = issues.get(sample.key)
        flags = (
            *([LABEL_ISSUE] if issue else []),
            *([DUPLICATE] if sample.group is not None else []),
            *(flags_of(quality) if quality else []),
        )
        provenance = classify_provenance(provenances.get(sample.key, "")) if sample.label else None
        yield GalleryEntry(sample, label, flags, provenance, issue)
