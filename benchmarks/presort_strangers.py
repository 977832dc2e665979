"""What presort proposes for samples of no class: `python benchmarks/presort_strangers.py WORK`.

Of each set of real faces and photos some classes are nobody's: their pictures wait among the
others. So many pictures are decided on (--labelled, whole moments): those of nobody's classes are
rejected, all others labelled. Per set and number, over --seeds: the share of strangers that get a
wrong proposal with a confidence of at least .9, and of at least .5, the share of known ones with a
right one of at least .5, the ECE of known ones and of all that waits (15 bins; a stranger has no
right proposal), how many presort says are of no class and how many truly are. *before* proposes as
if all were of some class. `none` leaves nobody out: no stranger is there, ECE must not be worse.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest.mock import patch

import numpy as np
from labelled_tree import DATA, add_pictures, of_tree
from presort_loop import ece

from baseline.evaluation.outputs import Floats
from baseline.features import FeatureSpec
from baseline.presort import propose as presort
from baseline.presort.classify import FeatureRows
from baseline.presort.likeness import components_of
from baseline.settings import Transfer, load_preset
from baseline.texture import expected_weights
from gleanset import Dataset
from gleanset.db.proposals import PresortSample
from gleanset.moments import moments_of
from gleanset.work.progress import Progress

SETS = ("characters", "photos", "characters_fan10", "characters_shows5")


def read(work: Path, name: str) -> tuple[FeatureRows, list[str], list[str]]:
    """Vectors, classes and moments of all pictures of a set."""
    settings = load_preset("transfer", {})
    assert isinstance(settings, Transfer)
    with Dataset.create(work / name) as dataset:
        if not dataset.images.count():
            add_pictures(dataset, of_tree(DATA / name))
        samples = list(dataset.samples.by_key())
        components = components_of(dataset, samples, FeatureSpec.of(settings, views=0), Progress())
        weights = expected_weights(components.parts, dataset, samples, Progress())
        moments = moments_of(dataset.db, list(components.keys))
    vectors, keys = components.weighed(weights.weights), components.keys
    labels = {sample.key: str(sample.label) for sample in samples}
    return vectors, [labels[key] for key in keys], [moments[key] for key in keys]


def one(
    vectors: FeatureRows, truth: list[str], moments: list[str], labelled: int, away: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Confidence of what waits, whether it is right, and a stranger; how many are said to be."""
    random = np.random.default_rng(seed)
    out = set(random.permutation(sorted(set(truth)))[:away].tolist())
    known: set[int] = set()
    for moment in random.permutation(sorted(set(moments))):
        rows = [r for r, name in enumerate(moments) if name == moment]
        if len(known) < labelled:
            known.update(rows)
    samples = [
        PresortSample(
            f"{row:06}",
            ("rejected" if name in out else "labelled") if row in known else "queue",
            name if row in known and name not in out else None,
            None,
            (),
            None,
            frozenset(),
        )
        for row, name in enumerate(truth)
    ]
    found = presort.propose(
        samples, vectors, {s.key: m for s, m in zip(samples, moments, strict=True)}, seed
    )
    best = {int(s.sample): s.proposals[0] for s in found.standings if s.proposals}
    waits = [row for row in range(len(truth)) if row not in known]
    sure = np.array([best[row].confidence if row in best else 0.0 for row in waits])
    right = np.array([row in best and best[row].label == truth[row] for row in waits])
    strange = np.array([truth[row] in out for row in waits])
    return sure, right, strange, float(str(found.facts["of_no_class"]))


def nobody(vectors: FeatureRows, *rest: object) -> Floats:
    """As if all were of some class."""
    return np.zeros(len(vectors))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--labelled", default="60,120")
    parser.add_argument("--only", default=",".join(SETS))
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    print(
        "| set | labelled | classes away | | strangers >= .9 | >= .5 | known right >= .5 "
        "| ECE of known | of all | of no class, as told | truly |\n" + "|---" * 11 + "|"
    )
    for name in given.only.split(","):
        data = read(given.work, name)
        classes = len(set(data[1]))
        for labelled in map(int, given.labelled.split(",")):
            for away in (0, classes // 3):
                for words, how in (
                    ("before", patch.object(presort, "stranger_probabilities", nobody)),
                    ("now", patch.object(presort, "PULL", presort.PULL)),
                ):
                    with how:
                        runs = [one(*data, labelled, away, seed) for seed in range(given.seeds)]
                    print(
                        line(f"{name} | {labelled} | {away or 'none'} | {words}", runs), flush=True
                    )


def line(words: str, runs: list[tuple[np.ndarray, np.ndarray, np.ndarray, float]]) -> str:
    """A row of the table."""
    sure, right, strange = (np.concatenate([run[at] for run in runs]) for at in range(3))
    away = [
        f"{(sure[strange] >= least).mean():.3f}" if strange.any() else "" for least in (0.9, 0.5)
    ]
    kept = (right & (sure >= 0.5))[~strange].mean()
    error = np.mean([ece(run[0][~run[2]], run[1][~run[2]]) for run in runs])
    both = np.mean([ece(run[0], run[1]) for run in runs])
    told = np.mean([run[3] for run in runs])
    return (
        f"| {words} | {away[0]} | {away[1]} | {kept:.3f} | {error:.3f} | {both:.3f} | {told:.0f} "
        f"| {strange.sum() / len(runs):.0f} |"
    )


if __name__ == "__main__":
    main()
