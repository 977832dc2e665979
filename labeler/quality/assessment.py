"""Assessing the quality of a dataset's samples: measure what is new, compare, count.

It decides nothing, and may be killed at any time: what was measured is kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from curation.likeness.descriptor import descriptor
from gleanset import Dataset
from gleanset.db.regions import PixelMeasures, QualityMeasures
from gleanset.images.photo_likeness import photo_likeness
from gleanset.records import Rejection
from gleanset.work.pool import Outcome, Processes, run_batches
from gleanset.work.progress import Progress
from labeler.likeness import Likeness
from labeler.quality.due import VERSION, DueSample, due_samples
from labeler.quality.edges import edge_blur, extremes
from labeler.quality.flags import FLAGS
from labeler.quality.outliers import outlier_scores
from labeler.sample_pixels import read_pixels

STAGE = "quality"
SIDE_PIXELS = 640
"""Of the longer side of a region, at least, where the original has as many."""

_Batch = list[Outcome[DueSample, PixelMeasures]]


@dataclass
class QualityCounts:
    """What a run did, and how many samples have each flag now."""

    measured: int = 0
    failed: int = 0
    samples: int = 0
    flags: dict[str, int] = field(default_factory=dict)


class QualityAssessment:
    """Measures samples with `workers` processes, 0 for all cores; `simulate` keeps nothing."""

    def __init__(
        self,
        dataset: Dataset,
        *,
        workers: int = 0,
        progress: Progress | None = None,
        simulate: bool = False,
    ) -> None:
        self._dataset = dataset
        self._qualities = QualityMeasures(dataset.db, rehearse=simulate)
        self._processes = Processes(workers)
        self._progress = progress or Progress()
        self._simulate = simulate

    def run(self) -> QualityCounts:
        """Measure what has no measures of its present region, and all outliers anew.

        Raises `DatasetBusy` when another program is at it.
        """
        with self._dataset.stage(STAGE):
            found = self._measure()
            self._find_outliers()
        found.samples, found.flags = self._qualities.count(FLAGS)
        return found

    def _measure(self) -> QualityCounts:
        counts = QualityCounts()
        total = self._qualities.count_missing(VERSION)
        if total:
            batches = run_batches(measure_sample, self._due(), self._processes)
            for batch in self._progress.batches(batches, "measuring", total, " samples"):
                self._keep(batch, counts)
        return counts

    def _due(self) -> Iterator[DueSample]:
        for page in self._qualities.missing(VERSION):
            yield from due_samples(self._dataset, page)

    def _keep(self, batch: _Batch, counts: QualityCounts) -> None:
        fine = [(o.item.seen, o.result) for o in batch if o.result is not None]
        with self._dataset.db.write():
            self._qualities.put(fine, VERSION)
            if not self._simulate:
                self._note(batch)
        counts.measured += len(fine)
        counts.failed += len(batch) - len(fine)

    def _note(self, batch: _Batch) -> None:
        for outcome in batch:
            key = outcome.item.seen.key
            if outcome.reason is None:
                self._dataset.rejections.clear(STAGE, key)
            else:
                self._dataset.rejections.add(Rejection(STAGE, key, outcome.reason, outcome.detail))

    def _find_outliers(self) -> None:
        samples = list(self._qualities.labelled(VERSION))
        space = Likeness(self._dataset).space(samples)
        classes: dict[str, list[int]] = {}
        for number, sample in enumerate(samples):
            classes.setdefault(sample.label, []).append(number)
        scores = outlier_scores(
            {label: np.array(numbers) for label, numbers in classes.items()},
            lambda numbers: space([samples[number] for number in numbers])[0],
        )
        self._qualities.set_outliers(
            {
                samples[number].id: round(float(score), 4)
                for label, found in scores.items()
                for number, score in zip(classes[label], found, strict=True)
            }
        )


def measure_sample(due: DueSample) -> PixelMeasures:
    """Measure a sample, in a worker process. Raises `Unreadable`."""
    return measures(read_pixels(due.file, SIDE_PIXELS, "RGB"))


def measures(pixels: Image.Image) -> PixelMeasures:
    """Measure RGB pixels."""
    darkest, lightest = extremes(pixels)
    return PixelMeasures(
        edge_blur(pixels),
        darkest,
        lightest,
        photo_likeness(pixels),
        descriptor(np.asarray(pixels.convert("RGB"))),
    )
