"""Predictions in a second episode: for people of the first one, and for newcomers.

    python benchmarks/episodes.py --size 960x540 --seconds 300 --seed 52 --keep B
    python benchmarks/episodes.py --size 960x540 --seconds 300 --seed 51 --keep A \\
        --without sora,ren-1,hana-twin
    python benchmarks/second_episode.py A B

All faces of the first film are labelled correctly, and other samples rejected; the second film is
merged (`gleanset merge`), and prelabelling predicts its faces. Tracks are evaluated by the mean of
their faces, as in the window. For known people it prints accuracy, mean confidence, Brier score and
a reliability table; for newcomers, how many the window shows in clusters of unknown people, which
ask for a name, and how many are predicted as another person with high confidence.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from episodes import read_true_names

from baseline.prelabel.prelabeling import prelabel
from baseline.settings import load_preset
from gleanset import Dataset
from gleanset.db.journal import Choice
from gleanset.db.proposals import iter_proposed_samples
from gleanset.db.sorting import SampleTiles
from gleanset.work.progress import Progress
from labeler.sorting.descriptor_queue import measure_in_batches
from labeler.sorting.page_layout import PageKind
from labeler.sorting.pages import Pages
from labeler.sorting.predictions import ClassPrediction, average_predictions
from labeler.sorting.session import SortingSession
from pipeline.maintenance.merge import merge_dataset

HIGH_CONFIDENCE = 0.95
EDGES = (0.0, 0.5, 0.7, 0.9, HIGH_CONFIDENCE, 1.0)
"""Edges of the bins of the reliability table."""


class PredictedTrack(NamedTuple):
    """Track of the second film: true and predicted name, confidence, and how the window shows it.

    `is_queried`: in a cluster of unknown people, which asks for a name.
    """

    name: str | None
    prediction: str | None
    confidence: float
    is_queried: bool


def label_faces(dataset: Dataset, names: dict[str, str | None]) -> None:
    """Label all faces correctly, and reject the other samples."""
    choices = [
        Choice(sample.key, "label", name)
        if (name := names[sample.key])
        else Choice(sample.key, "reject")
        for sample in dataset.samples.iterate()
    ]
    dataset.journal.apply("Label", choices)


def predict_pending_tracks(dataset: Dataset, names: dict[str, str | None]) -> list[PredictedTrack]:
    """Return the prediction for each pending track."""
    tracks = {sample.key: str(sample.track) for sample in dataset.samples.iterate()}
    predictions: dict[str, list[ClassPrediction]] = defaultdict(list)
    true_names: dict[str, str | None] = {}
    for sample in iter_proposed_samples(dataset.db):
        if sample.waits:
            track = tracks[sample.sample]
            predictions[track].append(ClassPrediction(tuple(map(tuple, sample.proposals))))
            true_names[track] = names[sample.sample]
    queried = {tracks[key] for key in find_queried_samples(dataset)}
    means = {track: average_predictions(each) for track, each in predictions.items()}
    return [
        PredictedTrack(true_names[track], mean.label, mean.confidence, track in queried)
        for track, mean in means.items()
    ]


def find_queried_samples(dataset: Dataset) -> list[str]:
    """Return the samples on pages that ask for new names."""
    pages, rows = Pages(SortingSession(dataset)), []
    while (page := pages.next()) is not None and page.kind is PageKind.CLUSTERS:
        rows += page.rows
        pages.skip(page)
    return SampleTiles(dataset.db).get_keys(rows)


def compute_metrics(tracks: list[PredictedTrack], known_names: set[str]) -> dict[str, Any]:
    """Return the metrics for known people and for newcomers."""
    known_tracks = [track for track in tracks if track.name in known_names]
    new_tracks = [track for track in tracks if track.name and track.name not in known_names]
    correct = np.array([track.name == track.prediction for track in known_tracks])
    confidence = np.array([track.confidence for track in known_tracks])
    is_confident = confidence >= HIGH_CONFIDENCE
    bins = {}
    for low, high in pairwise(EDGES):
        inside = (confidence >= low) & ((confidence < high) | (high == 1.0))
        if inside.any():
            mean, accuracy = confidence[inside].mean(), correct[inside].mean()
            bins[f"{low} to {high}"] = [int(inside.sum()), round(mean, 3), round(accuracy, 3)]
    newcomers: dict[str, list[PredictedTrack]] = defaultdict(list)
    for track in new_tracks:
        newcomers[str(track.name)].append(track)
    return {
        "tracks": len(tracks),
        "tracks that are not faces": sum(track.name is None for track in tracks),
        "known": len(known_tracks),
        "accuracy": round(float(correct.mean()), 4),
        "mean confidence": round(float(confidence.mean()), 4),
        "Brier score": round(float(((confidence - correct) ** 2).mean()), 4),
        "bins (tracks, mean confidence, accuracy)": bins,
        "known, in clusters of unknown people": sum(track.is_queried for track in known_tracks),
        f"known, confidence >= {HIGH_CONFIDENCE}": int(is_confident.sum()),
        f"known, wrong with confidence >= {HIGH_CONFIDENCE}": int((is_confident & ~correct).sum()),
        "newcomers (tracks, in clusters of unknown people)": {
            name: [len(each), sum(track.is_queried for track in each)]
            for name, each in newcomers.items()
        },
        "newcomers, mean confidence": round(
            float(np.mean([t.confidence for t in new_tracks] or [0])), 4
        ),
        f"newcomers, predicted with confidence >= {HIGH_CONFIDENCE}": sum(
            track.confidence >= HIGH_CONFIDENCE for track in new_tracks
        ),
    }


def main() -> None:
    """Label, merge, prelabel and evaluate; print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    arguments = parser.parse_args()
    first, second = (read_true_names(film) for film in (arguments.first, arguments.second))
    with TemporaryDirectory() as scratch:
        root = Path(scratch) / "dataset"
        shutil.copytree(arguments.first / "dataset", root)
        with Dataset.open(root) as dataset:
            label_faces(dataset, first)
            other = arguments.second / "dataset"
            merge_dataset(dataset, other, simulate=False, progress=Progress())
            sum(measure_in_batches(dataset))
            prelabel(dataset, load_preset("transfer", {}))
            tracks = predict_pending_tracks(dataset, second)
    print(json.dumps(compute_metrics(tracks, {name for name in first.values() if name}), indent=1))


if __name__ == "__main__":
    main()
