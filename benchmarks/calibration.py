"""What calibration by a small val costs and saves: on small splits of real pictures, by simulation.

    python benchmarks/calibration.py WORK [--splits 40] [--only photos]

Real: the preset `transfer` learns 6, 10, 20 and 40 pictures a class of two trees, and two sets
with rare classes; its scores are calibrated as `baseline train` does it, and log loss on test is
compared with that of the scores as they are. "plain" is temperature scaling as most do it,
"smoothed" the one with Platt's targets that Gleanset had. Drawn: networks whose true probabilities
are known, not sure enough or far too sure, judged after a val of 4 to 200 moments of 1 to 8
pictures, and heads that learnt with balanced classes. WORK keeps features and scores. Needs
gleanset[train] and the pictures in ../shared/data.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
from calibrated_nets import Drawn, Net, draw, learn_balanced
from calibration_outputs import Said, cells, said

from baseline.evaluation.calibration import ScoreCalibration, fit_calibration, fit_temperature
from baseline.evaluation.outputs import log_softmax, softmax

SKILLS = (2.0, 5.0)
LOUD = (0.6, 1.0, 1.6, 4.0)
VALS = ((4, 1), (10, 1), (10, 8), (25, 4), (45, 8), (90, 4), (200, 1))
ROUNDS = 60
# What it is, features, deviations between the classes, pictures to learn from.
HEADS = (
    ("few features, classes overlap", 4, 1.0, 400),
    ("few features, classes apart", 4, 2.5, 400),
    ("more features than pictures", 300, 3.0, 80),
)


def loss(scores: np.ndarray, y: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Mean log loss, of pictures that weigh alike unless they have weights."""
    return float(np.average(-log_softmax(scores)[np.arange(len(y)), y], weights=weights))


def told(values: np.ndarray) -> str:
    """A mean with its standard error."""
    return f"{values.mean():+.4f} ± {values.std(ddof=1) / len(values) ** 0.5:.4f}"


def real_row(splits: list[Said]) -> str:
    """One cell: log loss as it is, and by how much each way changes it."""
    raw = np.array([loss(one.test[0], one.test[1], one.weights) for one in splits])
    fits = [fit_calibration(*one.val, one.shift) for one in splits]

    def change(scores: Callable[[Said, ScoreCalibration], np.ndarray]) -> np.ndarray:
        pairs = zip(splits, fits, strict=True)
        found = [loss(scores(one, fit), one.test[1], one.weights) for one, fit in pairs]
        return np.array(found) - raw

    ours = change(lambda one, fit: fit.apply(one.test[0]))
    smoothed = change(lambda one, fit: one.test[0] / fit_temperature(*one.val[:2]))
    plain = change(lambda one, fit: one.test[0] / (fit.plain or 1.0))
    error = ours.std(ddof=1) / len(ours) ** 0.5
    worse = "no" if ours.mean() <= error else "YES"
    val = np.median([len(one.val[1]) for one in splits])
    return (
        f"{val:.0f} | {len(splits[0].test[1])} | {raw.mean():.3f} | {told(ours)} | {worse} "
        f"| {ours.max():+.3f} | {told(smoothed)} | {told(plain)}"
    )


def real(work: Path, splits: int, only: str) -> Iterator[str]:
    """The table of real pictures."""
    yield "| pictures | val | test | log loss | change | worse beyond its error | worst split "
    yield "| smoothed | plain |\n|---|---|---|---|---|---|---|---|---|"
    for name, tree, counts in cells(work):
        if only in name:
            rows = [said(work, name, tree, counts, seed) for seed in range(splits)]
            yield f"| {name} ({len(counts)} classes) | {real_row(rows)} |"


def rare(work: Path, splits: int, only: str) -> Iterator[str]:
    """What becomes of the rarest class where classes were balanced in training."""
    yield "\n| pictures | share of the rarest class | its mean probability | calibrated |"
    yield "|---|---|---|---|"
    for name, tree, counts in cells(work):
        if only in name and len(set(counts.values())) > 1:
            rows = [said(work, name, tree, counts, seed) for seed in range(splits)]
            at = sorted(counts).index(min(counts, key=lambda one: counts[one]))
            raw, ours = [], []
            for one in rows:
                fit = fit_calibration(*one.val, one.shift)
                for found, scores in ((raw, one.test[0]), (ours, fit.apply(one.test[0]))):
                    found.append(np.average(softmax(scores)[:, at], weights=one.weights))
            share = min(counts.values()) / sum(counts.values())
            yield f"| {name} | {share:.3f} | {np.mean(raw):.3f} | {np.mean(ours):.3f} |"


def drawn() -> Iterator[str]:
    """The table of drawn networks: means over skills and numbers of classes."""
    yield "\n| val | " + " | ".join(f"{loud} x as sure" for loud in LOUD) + " | kept: least, mean |"
    yield "|---|" + "---|" * (len(LOUD) + 1)
    for moments, most in VALS:
        columns, kept = [], []
        for loud in LOUD:
            changes = []
            for net in (Net(classes, skill, loud) for classes in (2, 6) for skill in SKILLS):
                raw, plain, ours = drawn_losses(net, moments, most)
                changes.append(ours - raw)
                if raw - plain > 0.01:
                    kept.append((raw - ours) / (raw - plain))
            columns.append(f"{np.mean(changes):+.4f} (worst {max(changes):+.4f})")
        pictures = round(moments * (most + 1) / 2)
        yield (
            f"| {moments} moments, {pictures} pictures | {' | '.join(columns)} "
            f"| {f'{min(kept):.0%}, {np.mean(kept):.0%}' if kept else ''} |"
        )


def drawn_losses(net: Net, moments: int, most: int) -> tuple[float, float, float]:
    """Log loss on new pictures: as the network says, scaled plainly, and as we scale."""
    judged: Drawn = draw(net, 20000, 1, seed=10**6)
    fits = [fit_calibration(*draw(net, moments, most, seed)) for seed in range(ROUNDS)]
    plain = np.mean([judged.loss(fit.plain or 1.0) for fit in fits])
    return (
        judged.loss(1.0),
        float(plain),
        float(np.mean([judged.loss(f.temperature) for f in fits])),
    )


def balanced() -> Iterator[str]:
    """Heads that learnt with balanced classes, the rarest of 8 %."""
    yield "\n| head | val | log loss | mean P(rare) | calibrated | mean P(rare) | all taken back |"
    yield "|---|---|---|---|---|---|---|"
    for name, dimensions, apart, pictures in HEADS:
        for count in (10, 25, 50, 200):
            rows = np.array(
                [_balanced(dimensions, apart, pictures, count, seed) for seed in range(25)]
            ).mean(0)
            raw, rare_raw, ours, rare_ours, whole = rows
            yield (
                f"| {name} | {count} | {raw:.3f} | {rare_raw:.3f} | {ours:.3f} "
                f"| {rare_ours:.3f} | {whole:.3f} |"
            )


def _balanced(dimensions: int, apart: float, pictures: int, count: int, seed: int) -> list[float]:
    head = learn_balanced(dimensions, apart, pictures, seed)
    val, test = head.drawn(count, seed + 1000), head.drawn(4000, seed + 2000)
    fit = fit_calibration(*val, head.shift)
    given = fit.apply(test.logits)
    whole = fit_calibration(*val).apply(test.logits) + head.shift
    before, after = (float(softmax(scores)[:, 1].mean()) for scores in (test.logits, given))
    losses = [loss(scores, test.y) for scores in (test.logits, given, whole)]
    return [losses[0], before, losses[1], after, losses[2]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--splits", type=int, default=40)
    parser.add_argument("--only", default="", help="cells whose name has this in it")
    options = parser.parse_args()
    # Worker processes would import this script, and torch with it, each time.
    vars(sys.modules["__main__"]).pop("__file__", None)
    warnings.simplefilter("ignore")
    which = options.work, options.splits, options.only
    for line in chain(real(*which), rare(*which), drawn(), balanced()):
        print(line, flush=True)


if __name__ == "__main__":
    main()
