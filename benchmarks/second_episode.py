"""Predictions in a second episode: for people of the first one, and for newcomers.

    python benchmarks/episodes.py --size 960x540 --seconds 300 --seed 52 --keep B
    python benchmarks/episodes.py --size 960x540 --seconds 300 --seed 51 --keep A \\
        --without sora,ren-1,hana-twin
    python benchmarks/second_episode.py A B

All faces of the first film are labelled correctly, and other samples rejected; the second film is
merged (`gleanset merge`), and prelabelling predicts its faces. Tracks are evaluated by the mean of
their faces, as in the window. For known people: accuracy, mean confidence, Brier score, and a
reliability table. For newcomers: how many are recognized as new, by their probability of being
known and in clusters of unknown people, as the window presents them; and how many are predicted as
another person, and with which confidence.
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
from episodes import true_names

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

SURE = 0.95
EDGES = (0.0, 0.5, 0.7, 0.9, 0.95, 1.0)


class PredictedTrack(NamedTuple):
    """Track of the second film: true name, prediction with confidence, and whether the window shows
    it in a cluster of unknown people.
    """

    who: str | None
    proposed: str | None
    chance: float
    arguments: bool


def label_first_film(root: Path, film: Path) -> set[str]:
    """Label all faces of the first film correctly; return the names."""
    names = true_names(root, json.loads((film / "truth.json").read_text()))
    with Dataset.open(root) as dataset:
        keys = [sample.key for sample in dataset.samples.iterate()]
        choices = [
            Choice(key, "label", name) if (name := names[key]) else Choice(key, "reject")
            for key in keys
        ]
        dataset.journal.apply("Label", choices)
    return {name for name in names.values() if name}


def predict_pending_tracks(root: Path, names: dict[str, str | None]) -> list[PredictedTrack]:
    """Return the prediction for each pending track."""
    with Dataset.open(root) as dataset:
        track = {sample.key: str(sample.track) for sample in dataset.samples.iterate()}
        offers: dict[str, list[ClassPrediction]] = defaultdict(list)
        who = {}
        for one in iter_proposed_samples(dataset.db):
            if one.waits:
                offers[track[one.sample]].append(ClassPrediction(tuple(map(tuple, one.proposals))))
                who[track[one.sample]] = names[one.sample]
        new = {track[key] for key in find_queried_samples(dataset)}
        means = {name: average_predictions(some) for name, some in offers.items()}
        return [
            PredictedTrack(who[name], one.label, one.confidence, name in new)
            for name, one in means.items()
        ]


def find_queried_samples(dataset: Dataset) -> list[str]:
    """Return the samples on pages that ask for new names."""
    pages, rows = Pages(SortingSession(dataset)), []
    while (page := pages.next()) is not None and page.kind is PageKind.CLUSTERS:
        rows += page.rows
        pages.skip(page)
    return SampleTiles(dataset.db).get_keys(rows)


def compute_metrics(tracks: list[PredictedTrack], known: set[str]) -> dict[str, Any]:
    """Return the metrics for known people and for newcomers."""
    ours = [track for track in tracks if track.who in known]
    new = [one for one in tracks if one.who is not None and one.who not in known]
    right = np.array([our.who == our.proposed for our in ours])
    chance = np.array([one.chance for one in ours])
    bins = {}
    for low, high in pairwise(EDGES):
        inside = (chance >= low) & ((chance < high) | (high == 1.0))
        if inside.any():
            mean, share = chance[inside].mean(), right[inside].mean()
            bins[f"{low} to {high}"] = [int(inside.sum()), round(mean, 3), round(share, 3)]
    by_name: dict[str, list[PredictedTrack]] = defaultdict(list)
    for one in new:
        by_name[str(one.who)].append(one)
    return {
        "tracks": len(tracks),
        "tracks of no face": sum(one.who is None for one in tracks),
        "known": len(ours),
        "right": round(float(right.mean()), 4),
        "mean chance": round(float(chance.mean()), 4),
        "Brier": round(float(((chance - right) ** 2).mean()), 4),
        "bins (tracks, chance, right)": bins,
        "known, asked about as new": sum(one.asked for one in ours),
        f"known, proposed at {SURE}": int((chance >= SURE).sum()),
        f"of them wrong at {SURE}": int(((chance >= SURE) & ~right).sum()),
        "newcomers": {name: len(some) for name, some in by_name.items()},
        "newcomers told as new": {n: sum(o.asked for o in some) for n, some in by_name.items()},
        "newcomers' mean chance": round(float(np.mean([o.chance for o in new] or [0])), 4),
        f"newcomers as others at {SURE}": sum(one.chance >= SURE for one in new),
    }


def main() -> None:
    """Label, merge, prelabel and evaluate; print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    arguments = parser.parse_args()
    with TemporaryDirectory() as scratch:
        root = Path(scratch) / "dataset"
        shutil.copytree(arguments.first / "dataset", root)
        known = label_first_film(root, arguments.first)
        truth = json.loads((arguments.second / "truth.json").read_text())
        names = true_names(arguments.second / "dataset", truth)
        with Dataset.open(root) as dataset:
            merge_dataset(
                dataset, arguments.second / "dataset", simulate=False, progress=Progress()
            )
            sum(measure_in_batches(dataset))
            prelabel(dataset, load_preset("transfer", {}))
        print(json.dumps(compute_metrics(predict_pending_tracks(root, names), known), indent=1))


if __name__ == "__main__":
    main()
