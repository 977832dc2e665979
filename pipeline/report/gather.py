"""Everything the report shows, as plain values: the page only lays it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest

from gleanset import Dataset
from gleanset.db.statistics import Statistics
from gleanset.html.thumbnails import Thumbnails
from gleanset.html.words import count, number, percent
from pipeline.report.classes import Classes, Shown, classes
from pipeline.report.found import Left, Origins, origins, rejections
from pipeline.report.repeat import Step, steps
from pipeline.report.results import read_run
from pipeline.report.trained import Training, training

BAND = 14
WHOLE = "whole"
"""The detector that takes whole pictures: then samples are not called faces."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A big number and what it counts."""

    value: str
    words: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The content of the page."""

    title: str
    summary: str
    tiles: list[Tile]
    band: list[Shown]
    images: int
    unit: str
    origins: Origins
    rejected: list[Left]
    unsearched: int
    classes: Classes
    training: Training | None
    steps: list[Step]


@dataclass(frozen=True, slots=True)
class _Totals:
    images: int
    samples: int
    unit: str


def gather(dataset: Dataset, title: str, run_id: str | None) -> Report:
    """Read the whole report from a dataset. Raises what `read_run` raises."""
    run = read_run(dataset, run_id)
    thumbnails = Thumbnails(dataset)
    found, sorted_ = origins(dataset, thumbnails), classes(dataset, thumbnails)
    learned = training(dataset, *run, sorted_, thumbnails) if run else None
    rejected, totals = rejections(dataset), _totals(dataset)
    return Report(
        title=title,
        summary=_summary(totals, found, sorted_, learned),
        tiles=list(_tiles(totals, found, sorted_, learned, rejected)),
        band=_band(sorted_),
        images=totals.images,
        unit=totals.unit,
        origins=found,
        rejected=rejected,
        unsearched=Statistics(dataset.db).unsearched(),
        classes=sorted_,
        training=learned,
        steps=steps(dataset, run[1] if run else None),
    )


def _totals(dataset: Dataset) -> _Totals:
    """Images, samples in use, and whether those are faces."""
    samples = dataset.samples.counts("status", "detector")
    used = {key: n for key, n in samples.items() if key[0] in ("queue", "labelled")}
    unit = "sample" if any(detector == WHOLE for _, detector in used) else "face"
    return _Totals(dataset.images.count(), sum(used.values()), unit)


def _summary(totals: _Totals, found: Origins, sorted_: Classes, run: Training | None) -> str:
    """The whole story in one sentence."""
    if not totals.images:
        return "Nothing was gathered yet: the dataset is empty."
    said = (
        f"{count(totals.images, 'image')} from {count(found.sources, 'source')} became "
        f"{count(totals.samples, totals.unit)}"
    )
    if not sorted_.labelled:
        return f"{said}; none is labelled yet."
    names = count(len(sorted_.rows), "class", "classes")
    said += f", {number(sorted_.labelled)} of them labelled in {names}"
    return f"{said}; {_verdict(run)}." if run and run.test else f"{said}."


def _verdict(run: Training) -> str:
    assert run.test is not None
    judged, interval = run.test.judged, run.test.interval
    return (
        f"a network trained with the preset “{run.preset}” gets {percent(judged.accuracy)} of the "
        f"{count(judged.count, 'test picture')} right "
        f"({percent(0.95)} interval {percent(interval.low)} to {percent(interval.high)})"
    )


def _tiles(
    totals: _Totals, found: Origins, sorted_: Classes, run: Training | None, rejected: list[Left]
) -> Iterator[Tile]:
    left_out = sum(left.count for left in rejected)
    waiting = sum(reason.count for reason in sorted_.waiting)
    yield _tile(totals.images, "image", f"from {count(found.sources, 'source')}")
    yield Tile(number(left_out), "left out", "each with its reason" if left_out else "")
    decided = f"{count(waiting, 'waits', 'wait')} for a decision" if waiting else "all decided"
    yield _tile(totals.samples, totals.unit, decided if totals.samples else "")
    classes_ = count(len(sorted_.rows), "class", "classes")
    yield Tile(number(sorted_.labelled), "labelled", f"in {classes_}")
    if run and run.test:
        judged = run.test.judged
        of = f"{number(judged.right)} of {count(judged.count, 'picture')}"
        yield Tile(percent(judged.accuracy), "right on test", of)


def _tile(value: int, one: str, note: str) -> Tile:
    return Tile(number(value), one if value == 1 else f"{one}s", note)


def _band(sorted_: Classes) -> list[Shown]:
    """A row of pictures for the top: one of each class in turn."""
    rounds = zip_longest(*(row.strip for row in sorted_.rows))
    pictures = [shown for turn in rounds for shown in turn if shown and shown.thumbnail]
    return pictures[:BAND]
