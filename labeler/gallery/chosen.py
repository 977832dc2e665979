"""Which samples a gallery shows: of each class its share, what is marked and what shows it best."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from curation.moments import moments_of
from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import giver_of, label_provenances
from gleanset.db.proposals import stacks
from gleanset.db.regions import Quality, QualityMeasures
from gleanset.db.runs import Doubt, Doubts
from gleanset.db.sorting import SortingQueue
from gleanset.errors import InputUnusable, UsageError
from gleanset.named_files import for_dataset
from gleanset.records import Sample
from labeler.gallery.request import GalleryRequest
from labeler.quality.flags import flags_of
from labeler.splits.allocate import one_per_moment_first

DOUBT, DUPLICATE = "doubt", "duplicate"
MARKS = (DOUBT, DUPLICATE)
"""The flags that have a mark of their own in a gallery."""

MARKED_SHARE = 0.5
"""Of a class that is not shown whole, marked samples take at most so much of its share."""

Sections = Mapping[str, Sequence[Sample]]
"""Samples by their class, or by the id of their stack."""


class GallerySample(NamedTuple):
    """A sample that is shown under `label`; `flags` are those of quality and `MARKS`.

    `decided` is one of person, model, hint, import, visitor; None while it waits.
    """

    sample: Sample
    label: str
    flags: tuple[str, ...]
    decided: str | None
    doubt: Doubt | None = None


class ClassCounts(NamedTuple):
    """How many samples a class has that are kept, and of how many each of `MARKS` is true."""

    kept: int
    marked: dict[str, int]


class GalleryChoice(NamedTuple):
    """What is shown, section by section, and what there is of each."""

    shown: list[GallerySample]
    counts: dict[str, ClassCounts]


def private_images(dataset: Dataset, request: GalleryRequest) -> frozenset[str]:
    """Return the hashes of images that are not shown because users of the page sent them."""
    return frozenset() if request.with_reports else dataset.images.only_reported()


def sections_of(dataset: Dataset, request: GalleryRequest) -> dict[str, list[Sample]]:
    """Return the samples of each class, or of each stack of the newest presort.

    Raises `InputUnusable` where there are none, `UsageError` for a class that is not there.
    """
    private = private_images(dataset, request)
    if request.stacks:
        return _stacks(dataset, private)
    sections: dict[str, list[Sample]] = {}
    for sample in dataset.samples.each(status="labelled"):
        if sample.kept and sample.image not in private:
            sections.setdefault(str(sample.label), []).append(sample)
    if not sections and private:
        raise InputUnusable(
            "nothing to show: users of the page sent all labelled images with a report",
            "show them too: --with-reports",
        )
    if not sections:
        raise InputUnusable(
            "nothing has a label yet, so there are no classes",
            f"see what comes next: gleanset status {dataset.option}",
        )
    if unknown := [name for name in request.names if name not in sections]:
        raise UsageError(
            f"there is no class {unknown[0]!r} with such samples",
            f"there are: {', '.join(sections)}",
        )
    return {name: sections[name] for name in (dict.fromkeys(request.names) or sorted(sections))}


def _stacks(dataset: Dataset, private: frozenset[str]) -> dict[str, list[Sample]]:
    waiting = stacks(dataset.db)
    if not waiting and not SortingQueue(dataset.db).waiting(1):
        raise InputUnusable(
            "no sample waits for a label",
            for_dataset(dataset, "see what comes next: gleanset status"),
        )
    if not waiting:
        raise InputUnusable(
            "there is no stack of look-alikes: nothing that waits was presorted",
            for_dataset(dataset, "put look-alikes together: baseline presort"),
        )
    sections = {
        stack.id: [
            sample
            for sample in filter(None, map(dataset.samples.get, stack.waiting))
            if sample.image not in private
        ]
        for stack in waiting
    }
    return {name: samples for name, samples in sections.items() if samples}


def choose(dataset: Dataset, sections: Sections, request: GalleryRequest) -> GalleryChoice:
    """Return what to show of some sections, within the limit.

    Sections have equal shares, and what a small one leaves goes to the others.
    """
    choice = GalleryChoice([], {})
    moments = moments_of(dataset.db)
    sizes = {name: len(samples) for name, samples in sections.items()}
    shares = fair_shares(sizes, request.limit)
    for name, share in shares.items():
        samples = sections[name]
        if not request.stacks:
            samples = portrait_order(dataset, samples, moments)
        facts = list(_with_facts(dataset, name, samples))
        marks = {mark: sum(mark in one.flags for one in facts) for mark in MARKS}
        choice.counts[name] = ClassCounts(len(facts), marks)
        choice.shown.extend(_share_of(facts, share))
    return choice


def portrait_order(
    dataset: Dataset, samples: Sequence[Sample], moments: Mapping[str, str]
) -> list[Sample]:
    """Return the samples, those that show their class best first, one of a moment before two.

    What has no flag comes first, then what is sharp.
    """

    def rank(measured: tuple[Sample, Quality | None]) -> tuple[bool, float, str]:
        sample, quality = measured
        if quality is None:
            return True, -sample.sharpness, sample.key
        return bool(flags_of(quality)), quality.blur, sample.key

    ranked = sorted(QualityMeasures(dataset.db).beside(samples), key=rank)
    return one_per_moment_first(
        (sample for sample, _ in ranked), lambda sample: moments.get(sample.key, sample.key)
    )


def fair_shares(sizes: Mapping[str, int], limit: int) -> dict[str, int]:
    """Return how many each may have of `limit`, in the order of `sizes`.

    Equal shares; what one does not need is divided among the others.
    """
    shares = dict.fromkeys(sizes, 0)
    for place, name in enumerate(sorted(sizes, key=lambda name: sizes[name])):
        shares[name] = min(sizes[name], (limit - sum(shares.values())) // (len(sizes) - place))
    return shares


def _with_facts(dataset: Dataset, label: str, samples: Sequence[Sample]) -> Iterator[GallerySample]:
    keys = [sample.key for sample in samples]
    doubts = Doubts(dataset.db).of(keys)
    provenances = label_provenances(dataset.db, Pairs(dataset.db).numbers(keys))
    for sample, quality in QualityMeasures(dataset.db).beside(samples):
        doubt = doubts.get(sample.key)
        flags = (
            *([DOUBT] if doubt else []),
            *([DUPLICATE] if sample.group is not None else []),
            *(flags_of(quality) if quality else []),
        )
        decided = giver_of(provenances.get(sample.key, "")) if sample.label else None
        yield GallerySample(sample, label, flags, decided, doubt)


def _share_of(facts: Sequence[GallerySample], share: int) -> list[GallerySample]:
    """Return `share` of them: the marked ones as far as they have room, else those in front."""
    if share >= len(facts):
        return list(facts)
    marked = [place for place, one in enumerate(facts) if set(one.flags) & set(MARKS)]
    marked.sort(key=lambda place: MARKS.index(facts[place].flags[0]))
    taken = set(marked[: int(share * MARKED_SHARE)])
    rest = (place for place in range(len(facts)) if place not in taken)
    taken |= {place for place, _ in zip(rest, range(share - len(taken)), strict=False)}
    return [facts[place] for place in sorted(taken)]
