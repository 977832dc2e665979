"""Which samples a gallery shows: of each class its share, what is marked and what shows it best."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from curation.moments import moments_of
from gleanset import Dataset
from gleanset.db.duplicates import Pairs
from gleanset.db.journal import giver_of, label_provenances
from gleanset.db.proposals import LookAlikeStack, stacks
from gleanset.db.regions import Quality, QualityMeasures
from gleanset.db.runs import Doubt, Doubts
from gleanset.db.sorting import SortingQueue
from gleanset.errors import InputUnusable
from gleanset.named_files import for_dataset
from gleanset.records import Sample
from labeler.gallery.request import GalleryRequest
from labeler.quality.flags import flags_of
from labeler.splits.allocate import one_per_moment_first

DOUBT, OUTLIER, DUPLICATE = "doubt", "outlier", "duplicate"
MARKS = (DOUBT, OUTLIER, DUPLICATE)
"""The flags that have a mark of their own in a gallery."""

MARKED_SHARE = 0.5
"""Of a class that is not shown whole, marked samples take at most so much of its share."""
COPIES = 3
"""So many of the copies of a sample that were set aside are shown beside it."""
COPIES_SHARE = 0.25
"""All of these together are at most so much of what is shown."""


LAST = 10.0
"""The place among its class of a sample that was not compared with it."""


class GallerySample(NamedTuple):
    """A sample that is shown under `label`; `flags` are those of quality and `MARKS`.

    `decided` is one of person, model, hint, import, visitor; None while it waits. One that was set
    `aside` is a copy of the one before it.
    """

    sample: Sample
    label: str
    flags: tuple[str, ...]
    decided: str | None
    doubt: Doubt | None = None
    aside: bool = False


class ClassCounts(NamedTuple):
    """How many samples a class has that are kept, how many copies are set `aside`, and of how many
    kept ones each of `MARKS` is true.
    """

    kept: int
    aside: int
    marked: dict[str, int]


class GalleryChoice(NamedTuple):
    """What is shown, class by class, and what there is of each class.

    With `stacks` what waits, by the ids of its stacks.
    """

    shown: list[GallerySample]
    counts: dict[str, ClassCounts]
    stacks: bool = False


def choose(dataset: Dataset, wanted: GalleryRequest) -> GalleryChoice:
    """Return what to show of the samples that are wanted: at most its limit.

    Classes have equal shares, and what a small one leaves goes to the others. Raises what
    `GalleryRequest.sections` raises.
    """
    moments = moments_of(dataset.db)
    sections = wanted.sections(dataset)
    orders = {name: portrait_order(dataset, found, moments) for name, found in sections.items()}
    choice = _shares_of(dataset, orders, wanted.limit)
    if not wanted.by_label:
        return choice
    states = dataset.samples.counts("status", "label", "kept")
    counts = {
        name: told._replace(aside=states.get(("labelled", name, "set aside"), 0))
        for name, told in choice.counts.items()
    }
    most = int(wanted.limit * COPIES_SHARE)
    private = wanted.private_images(dataset)
    return GalleryChoice(_with_copies(dataset, choice.shown, most, private), counts)


def choose_stacks(dataset: Dataset, wanted: GalleryRequest) -> GalleryChoice:
    """Return what waits, in the stacks of the newest presort, each with its id for a label.

    Shares are as those of `choose`. Raises what `stacks_to_show` raises.
    """
    private = wanted.private_images(dataset)
    waiting = {
        stack.id: [
            sample
            for sample in filter(None, map(dataset.samples.get, stack.waiting))
            if sample.image not in private
        ]
        for stack in stacks_to_show(dataset)
    }
    shown = {name: samples for name, samples in waiting.items() if samples}
    return _shares_of(dataset, shown, wanted.limit)._replace(stacks=True)


def _shares_of(
    dataset: Dataset, sections: Mapping[str, Sequence[Sample]], limit: int
) -> GalleryChoice:
    """Return of each section its share, and what there is of it."""
    choice = GalleryChoice([], {})
    sizes = {name: len(samples) for name, samples in sections.items()}
    for name, share in fair_shares(sizes, limit).items():
        facts = list(_with_facts(dataset, name, sections[name]))
        marks = {mark: sum(mark in one.flags for one in facts) for mark in MARKS}
        choice.counts[name] = ClassCounts(len(facts), 0, marks)
        choice.shown.extend(_share_of(facts, share))
    return choice


def portrait_order(
    dataset: Dataset, samples: Sequence[Sample], moments: Mapping[str, str]
) -> list[Sample]:
    """Return the samples, those that show their class best first, one of a moment before two."""
    measured = QualityMeasures(dataset.db).beside(samples)
    ranked = sorted(measured, key=lambda pair: _rank(*pair))
    return one_per_moment_first(
        (sample for sample, _ in ranked), lambda sample: moments.get(sample.key, sample.key)
    )


def _rank(sample: Sample, quality: Quality | None) -> tuple[bool, float, str]:
    """Return those without a flag first, then near to their class and sharp."""
    if quality is None:
        return True, -sample.sharpness, sample.key
    typical = LAST if quality.outlier is None else quality.outlier
    return bool(flags_of(quality)), typical + quality.blur, sample.key


def stacks_to_show(dataset: Dataset) -> list[LookAlikeStack]:
    """Return the stacks in which something waits. Raises `InputUnusable` where there is none."""
    if found := stacks(dataset.db):
        return found
    if not SortingQueue(dataset.db).waiting(1):
        raise InputUnusable(
            "no sample waits for a label",
            for_dataset(dataset, "see what comes next: gleanset status"),
        )
    raise InputUnusable(
        "there is no stack of look-alikes: nothing that waits was presorted",
        for_dataset(dataset, "put look-alikes together: baseline presort"),
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
    """Yield the samples of a class with what is known of them, in their order."""
    doubts = Doubts(dataset.db).of([sample.key for sample in samples])
    decided = _decided(dataset, samples)
    for sample, quality in QualityMeasures(dataset.db).beside(samples):
        doubt = doubts.get(sample.key)
        flags = _flags(sample, quality, doubt)
        yield GallerySample(sample, label, flags, decided[sample.key], doubt)


def _decided(dataset: Dataset, samples: Sequence[Sample]) -> dict[str, str | None]:
    """Return who gave each sample its label, by key; None for those without one."""
    rows = Pairs(dataset.db).numbers([sample.key for sample in samples])
    told = label_provenances(dataset.db, rows)
    return {one.key: giver_of(told.get(one.key, "")) if one.label else None for one in samples}


def _flags(sample: Sample, quality: Quality | None, doubt: Doubt | None) -> tuple[str, ...]:
    """Return the names of the flags of a sample, those with a mark first."""
    measured = flags_of(quality) if quality else []
    found = [
        *([DOUBT] if doubt else []),
        *([OUTLIER] if OUTLIER in measured else []),
        *([DUPLICATE] if sample.group is not None else []),
    ]
    return (*found, *(flag for flag in measured if flag != OUTLIER))


def _share_of(facts: Sequence[GallerySample], share: int) -> list[GallerySample]:
    """Return `share` of them: the marked ones as far as they have room, else those in front."""
    if share >= len(facts):
        return list(facts)
    marked = [place for place, one in enumerate(facts) if set(one.flags) & set(MARKS)]
    # In doubt before unlike its class, before what has copies.
    marked.sort(key=lambda place: MARKS.index(facts[place].flags[0]))
    taken = set(marked[: int(share * MARKED_SHARE)])
    rest = (place for place in range(len(facts)) if place not in taken)
    taken |= {place for place, _ in zip(rest, range(share - len(taken)), strict=False)}
    return [facts[place] for place in sorted(taken)]


def _with_copies(
    dataset: Dataset, shown: Sequence[GallerySample], most: int, private: Collection[str]
) -> list[GallerySample]:
    """Return them with some of their copies that were set aside, each behind the one kept.

    Copies in `private` images are not shown.
    """
    groups = {one.sample.group for one in shown if one.sample.group is not None}
    aside: dict[str, list[Sample]] = {}
    for sample in dataset.samples.of_groups(groups):
        if sample.kept or sample.image in private:
            continue
        if len(copies := aside.setdefault(str(sample.group), [])) < COPIES:
            copies.append(sample)
    return list(_behind(shown, aside, most))


def _behind(
    shown: Iterable[GallerySample], aside: dict[str, list[Sample]], most: int
) -> Iterator[GallerySample]:
    for one in shown:
        yield one
        for copy in aside.pop(str(one.sample.group), []):
            if most > 0:
                most -= 1
                yield GallerySample(copy, one.label, (DUPLICATE,), one.decided, aside=True)
