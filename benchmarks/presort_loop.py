"""The loop of `baseline presort`: label 30, presort, correct, presort again, by the true labels.

    python benchmarks/presort_loop.py ../shared/data/characters --seeds 5
    python benchmarks/presort_loop.py --drawn 400 --seeds 5        (synthetic: drawn faces)

A folder holds a folder for each class. Per round: the share of right proposals among the samples
without a label, how far confidence is from it (ECE, 15 bins), and how many corrections 1,000
samples would need if the person stopped asking now and checked the rest: the labels typed or
corrected so far, and the wrong share of the other samples up to 1,000 (`corrections`; as if what
holds here held for more), or of this set alone (`own`). `ask` is what presort asks for, beside
random order, the least margin, and typical samples. Features are cached in --work.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from baseline.features import FeatureSpec
from baseline.presort.acquisition import typical_of_clusters
from baseline.presort.classify import FeatureRows
from baseline.presort.likeness import components_of
from baseline.presort.propose import propose
from baseline.settings import Transfer, load_preset
from baseline.texture import expected_weights
from gleanset import Box, Dataset, Face, Origin
from gleanset.db.proposals import PresortSample, Standing
from gleanset.images.cut import sample_key
from gleanset.images.measure import measure
from gleanset.records import FaceCrop
from gleanset.work.progress import Progress

BATCH = 30
BINS = 15
Chooser = Callable[[Sequence[Standing], "Loop"], list[int]]


@dataclass
class Loop:
    """One run of the loop: what is labelled so far, and what is true."""

    vectors: FeatureRows
    truth: Sequence[str]
    seed: int

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.labelled = np.zeros(len(self.truth), bool)
        self.typed = 0

    def samples(self) -> list[PresortSample]:
        """The samples as presort sees them now."""
        return [
            PresortSample(
                f"{row:06}",
                "labelled" if known else "queue",
                self.truth[row] if known else None,
                None,
                (),
                None,
                frozenset(),
            )
            for row, known in enumerate(self.labelled)
        ]

    def run(self, choose: Chooser, rounds: int) -> list[dict[str, float]]:
        """Label `BATCH` that `choose` chooses, so many times; the figures after each."""
        told = []
        for number in range(rounds + 1):
            samples = self.samples()
            moments = {one.key: one.key for one in samples}
            standings = propose(samples, self.vectors, moments, self.seed).standings
            right, sure = self._judged(standings)
            rest = ~self.labelled
            if number:
                wrong = float((~right[rest]).sum())
                labelled = int(self.labelled.sum())
                told.append(
                    {
                        "labelled": labelled,
                        "right": float(right[rest].mean()),
                        "ece": ece(sure[rest], right[rest]),
                        "corrections": self.typed
                        + (1000 - labelled) * float(1 - right[rest].mean()),
                        "own": 1000 * (self.typed + wrong) / len(self.truth),
                    }
                )
            picked = choose(standings, self)[:BATCH]
            self.typed += int((~right[picked]).sum())
            self.labelled[picked] = True
            if self.labelled.all():
                break
        return told

    def _judged(self, standings: Sequence[Standing]) -> tuple[np.ndarray, np.ndarray]:
        right, sure = np.zeros(len(self.truth), bool), np.zeros(len(self.truth))
        for standing in standings:
            if standing.proposals:
                row = int(standing.sample)
                right[row] = standing.proposals[0].label == self.truth[row]
                sure[row] = standing.proposals[0].confidence
        return right, sure


def ask(standings: Sequence[Standing], loop: Loop) -> list[int]:
    """What presort asks for."""
    return [
        int(s.sample)
        for s in sorted((s for s in standings if s.ask is not None), key=lambda s: s.ask or 0)
    ]


def at_random(standings: Sequence[Standing], loop: Loop) -> list[int]:
    """Any."""
    return list(map(int, loop.random.permutation(np.flatnonzero(~loop.labelled))))


def least_margin(standings: Sequence[Standing], loop: Loop) -> list[int]:
    """Those whose two likeliest classes are closest; any at first."""
    if not loop.labelled.any():
        return at_random(standings, loop)
    gaps = {
        int(s.sample): s.proposals[0].confidence
        - (s.proposals[1].confidence if len(s.proposals) > 1 else 0)
        for s in standings
        if s.proposals
    }
    return sorted(gaps, key=lambda row: gaps[row])


def typical(standings: Sequence[Standing], loop: Loop) -> list[int]:
    """The most typical of clusters without a label."""
    cluster = np.array([s.cluster for s in standings])
    keys = [s.sample for s in standings]
    return typical_of_clusters(loop.vectors, cluster, ~loop.labelled, loop.labelled, keys)


CHOOSERS: dict[str, Chooser] = {
    "ask": ask,
    "random": at_random,
    "margin": least_margin,
    "typical": typical,
}


def ece(sure: np.ndarray, right: np.ndarray) -> float:
    """The expected calibration error of confidences."""
    place = np.minimum((sure * BINS).astype(int), BINS - 1)
    return float(
        sum(
            abs(sure[place == b].mean() - right[place == b].mean()) * (place == b).mean()
            for b in range(BINS)
            if (place == b).any()
        )
    )


def pictures_of(folder: Path) -> list[tuple[str, bytes]]:
    """(class, bytes) of the pictures in the folders of classes."""
    return [(path.parent.name, path.read_bytes()) for path in sorted(folder.glob("*/*.*"))]


def drawn_faces(count: int, classes: int = 8) -> list[tuple[str, bytes]]:
    """Faces drawn by our own program, cut where they are known to be: synthetic."""
    from presort_drawn import faces

    found = []
    for label, picture in faces(count, classes):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        found.append((label, buffer.getvalue()))
    return found


def read(work: Path, pictures: Sequence[tuple[str, bytes]]) -> tuple[FeatureRows, list[str]]:
    """The vectors that presort works on, and the true labels."""
    settings = load_preset("transfer", {})
    assert isinstance(settings, Transfer)
    truth: dict[str, str] = {}
    with Dataset.create(work) as dataset:
        with dataset.db.write():
            for number, (label, data) in enumerate(pictures):
                found = measure(data)
                dataset.originals(dataset.cache).put(found.sha256, found.format, data)
                dataset.images.add(found, Origin("folder", str(number)))
                box = Box(0, 0, found.width, found.height)
                key = sample_key(found.sha256, box)
                cut = FaceCrop(Face("whole", box, 1.0), key, box, found.phash, found.sharpness)
                dataset.faces.record(found.sha256, "whole", "", [cut])
                truth[key] = label
        samples = list(dataset.samples.by_key())
        components = components_of(dataset, samples, FeatureSpec.of(settings, views=0), Progress())
        weights = expected_weights(components.parts, dataset, samples, Progress()).weights
    return components.weighed(weights), [truth[key] for key in components.keys]


def table(
    vectors: FeatureRows, truth: Sequence[str], seeds: int, rounds: int, names: Sequence[str]
) -> None:
    """Print a line of means over the seeds for each order and round."""
    for name in names:
        runs = [_part(vectors, truth, seed).run(CHOOSERS[name], rounds) for seed in range(seeds)]
        for number in range(min(map(len, runs))):
            row = {
                key: round(float(np.mean([run[number][key] for run in runs])), 3)
                for key in ("labelled", "right", "ece", "corrections", "own")
            }
            spread = float(np.std([run[number]["right"] for run in runs]))
            print(json.dumps({"order": name, **row, "right_sd": round(spread, 3)}), flush=True)


def _part(vectors: FeatureRows, truth: Sequence[str], seed: int) -> Loop:
    """Nine of ten pictures, others for each seed, so that there is something to spread over."""
    rows = np.random.default_rng(seed).permutation(len(truth))[: round(0.9 * len(truth))]
    return Loop(vectors[rows], [truth[row] for row in rows], seed)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--drawn", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--orders", default=",".join(CHOOSERS))
    parser.add_argument("--work", type=Path, default=None)
    given = parser.parse_args()
    pictures = drawn_faces(given.drawn) if given.drawn else pictures_of(given.folder)
    with tempfile.TemporaryDirectory() as place:
        vectors, truth = read(given.work or Path(place), pictures)
    print(
        json.dumps(
            {"pictures": len(truth), "classes": len(set(truth)), "synthetic": bool(given.drawn)}
        )
    )
    table(vectors, truth, given.seeds, given.rounds, given.orders.split(","))


if __name__ == "__main__":
    main()
