"""What presort promises among scenes, and what it does: `python benchmarks/presort_scenes.py`.

Synthetic: 120 scenes of 4 frames of four classes (40, 30, 20 and 10 %). `pure` is the share of
frames that is of the class of its scene, `spread` how much a scene has a look of its own. Two
frames each of some scenes are labelled, or any frames. Per case, over --seeds datasets, for samples
beside labelled ones of their scene and for those alone: the share right, the mean confidence, the
ECE (15 bins), and the mean probability of each class less how often it comes; then what is printed.
"""

from __future__ import annotations

import argparse

import numpy as np

from baseline.evaluation.calibration import calibration_error
from baseline.presort.propose import propose
from gleanset.db.proposals import PresortSample

CLASSES = ("ann", "bea", "cid", "dot")
SHARES = (0.4, 0.3, 0.2, 0.1)
SCENES, FRAMES, WIDTH = 120, 4, 16
SCENE = np.repeat(np.arange(SCENES), FRAMES)


def frames(pure: float, spread: float, random: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Vectors and classes of all frames."""
    kind = random.choice(len(CLASSES), SCENES, p=SHARES)[SCENE]
    others = random.choice(len(CLASSES), len(SCENE), p=SHARES)
    truth = np.where(random.random(len(SCENE)) < pure, kind, others)
    look = random.normal(0, spread, (SCENES, WIDTH))[SCENE]
    points = np.eye(WIDTH)[truth] + look + random.normal(0, 0.25, (len(SCENE), WIDTH))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points.astype(np.float32), truth


def labelled(how: str, count: int, random: np.random.Generator) -> set[int]:
    """`count` rows with a label: two of each of some scenes, or any."""
    if how == "any":
        return set(random.permutation(len(SCENE))[:count].tolist())
    chosen = random.permutation(SCENES)[: count // 2]
    return {int(FRAMES * scene + frame) for scene in chosen for frame in (0, 1)}


def one(pure: float, spread: float, how: str, count: int, seed: int) -> tuple[np.ndarray, ...]:
    """Probabilities, classes and whether beside a label, of what waits; the printed figures."""
    random = np.random.default_rng(seed)
    vectors, truth = frames(pure, spread, random)
    known = labelled(how, count, random)
    samples = [
        PresortSample(
            f"{row:05}",
            "labelled" if row in known else "queue",
            CLASSES[truth[row]] if row in known else None,
            None,
            (f"scene {SCENE[row]}",),
            None,
            frozenset(),
        )
        for row in range(len(truth))
    ]
    found = propose(samples, vectors, {s.key: s.ties[0] for s in samples}, seed)
    table = np.zeros((len(truth), len(CLASSES)))
    for standing in found.standings:
        for proposal in standing.proposals:
            table[int(standing.sample), CLASSES.index(proposal.label)] = proposal.confidence
    waits = np.array([row not in known for row in range(len(truth))])
    beside = np.isin(SCENE, SCENE[sorted(known)])
    facts = (found.facts["accuracy"], found.facts["ece"])
    return table[waits], truth[waits], beside[waits], np.array(facts, dtype=np.float64)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    seeds = parser.parse_args().seeds
    print(
        "| pure | spread | labelled | | right | confidence | ECE | by class |\n" + "|---" * 8 + "|"
    )
    cases = ((0.6, 0.5), (0.97, 0.5), (0.97, 0.2))
    for pure, spread in cases:
        for how, count in (("two a scene", 120), ("any", 120)):
            parts = [one(pure, spread, how, count, seed) for seed in range(seeds)]
            p, y, near = (np.concatenate([part[at] for part in parts]) for at in range(3))
            for name, at in (("beside", near), ("alone", ~near)):
                right = (p[at].argmax(1) == y[at]).mean()
                gaps = [p[at, c].mean() - (y[at] == c).mean() for c in range(len(CLASSES))]
                told = " ".join(f"{gap:+.3f}" for gap in gaps)
                ece = calibration_error(p[at], y[at]).ece
                print(
                    f"| {pure} | {spread} | {count}, {how} | {name} | {right:.3f} | "
                    f"{p[at].max(1).mean():.3f} | {ece:.3f} | {told} |",
                    flush=True,
                )
            right, ece = np.nanmean([part[3] for part in parts], axis=0)
            print(f"| | | | printed (alone) | {right:.3f} | | {ece:.3f} | |", flush=True)


if __name__ == "__main__":
    main()
