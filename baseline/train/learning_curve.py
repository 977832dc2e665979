"""The learning curve of a preset on a dataset: measured within train, and drawn out beyond it.

On each fold of train the preset learns from all of the rest, from half and from a quarter of it,
and is judged on what the fold holds; test is never looked at. The folds of the whole are the
trainings that `--preset auto` chooses by, and are not made twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from baseline.data.grouped_split import with_val
from baseline.judge.curve import ClassGain, CurvePoint, LearningCurve
from baseline.judge.intervals import Flags, compare_paired, group_numbers, share_interval
from baseline.judge.outputs import Outputs
from baseline.settings import Settings
from baseline.train.power_law import ErrorRange, PowerLaws, clustered_logits, fit_power_laws
from baseline.train.trials import FoldTraining, FoldTrials
from gleanset.binomial import Interval
from gleanset.errors import InputUnusable
from gleanset.work.progress import Progress

SHARES = (0.25, 0.5, 1.0)
"""Of what a fold leaves to learn from."""
TIMES = (1.0, 2.0, 4.0)
"""So many times as many pictures as train has."""
REPEATS = 2
"""How often the folds are dealt where somebody asks for the curve."""
LUCK = 0.2**2
"""The variance of the logit of the error from one training set to another, about."""
CLEAR = 0.05


def curve_trainings(trials: FoldTrials, settings: Settings, repeats: int) -> list[FoldTraining]:
    """Return all trainings that a curve takes."""
    return [one for share in SHARES for one in _at(trials, settings, repeats, share)]


def _at(trials: FoldTrials, settings: Settings, repeats: int, share: float) -> list[FoldTraining]:
    return [one for n in range(repeats) for one in trials.trainings(settings, n, share)]


def measure_curve(
    trials: FoldTrials, settings: Settings, repeats: int, progress: Progress
) -> LearningCurve:
    """Train what is missing and fit the curve. Raises `InputUnusable` where nothing can be held
    out, and what training raises.
    """
    if not trials.folds:
        raise InputUnusable(
            "no class has pictures of two moments in train, so nothing can be held out",
            "label more pictures, then split again: labeler split",
        )
    trials.answers(curve_trainings(trials, settings, repeats), progress, "learning curve")
    outputs = [trials.outputs(_at(trials, settings, repeats, share)) for share in SHARES]
    sizes = [_pictures(trials, _at(trials, settings, repeats, share)) for share in SHARES]
    places = [trials.examples.moments[key] for key in outputs[-1].keys]
    points = tuple(_point(*found, places) for found in zip(sizes, outputs, strict=True))
    laws = laws_through(sizes, [one.right for one in outputs], places, trials.folds * repeats)
    now = _now(trials, settings)
    return LearningCurve(
        settings.preset,
        points,
        tuple(_expected(laws, now, times) for times in TIMES),
        class_gains(outputs[-2], outputs[-1], places, trials.examples.classes),
        trials.folds,
        repeats,
        len(set(outputs[-1].keys)),
        len(set(places)),
    )


def laws_through(
    sizes: Sequence[float], hits: Sequence[Flags], moments: Sequence[str], trainings: int
) -> PowerLaws:
    """Fit power laws to which of the same N pictures were right (`hits`) at so many pictures a
    class, each size learnt in so many trainings.
    """
    groups = group_numbers(moments)
    wrong = np.stack([np.bincount(groups, ~hit) for hit in hits], 1).astype(np.float64)
    judged = np.bincount(groups).astype(np.float64)
    # Classes of a picture or two have no smaller part: such sizes are one.
    kept = [n for n, size in enumerate(sizes) if n == len(sizes) - 1 or size < 0.9 * sizes[n + 1]]
    logits, covariance = clustered_logits(wrong[:, kept], judged)
    covariance += np.eye(len(kept)) * LUCK / trainings
    seen = share_interval(~hits[-1], groups)
    return fit_power_laws(np.array(sizes)[kept], logits, covariance, seen, LUCK)


def _pictures(trials: FoldTrials, trainings: Sequence[FoldTraining]) -> float:
    """Return how many pictures a class the trainings learn from, in the mean."""
    counts = [len(trials.fold(one).splits["train"]) for one in trainings]
    return float(np.mean(counts)) / len(trials.examples.classes)


def _now(trials: FoldTrials, settings: Settings) -> float:
    """Return how many pictures a class the training on the whole learns from."""
    learnt, _ = with_val(trials.examples, settings.seed)
    there = {sample.key for sample in learnt.splits["train"]}
    return len(there) / len(trials.examples.classes)


def _point(pictures: float, outputs: Outputs, moments: Sequence[str]) -> CurvePoint:
    hits = outputs.right
    return CurvePoint(pictures, float(hits.mean()), share_interval(hits, moments))


def _expected(laws: PowerLaws, now: float, times: float) -> CurvePoint:
    found: ErrorRange = laws.at(now * times)
    low, high = found.interval
    return CurvePoint(found.pictures, 1 - found.error, Interval(1 - high, 1 - low), times)


def class_gains(
    half: Outputs, whole: Outputs, moments: Sequence[str], classes: Sequence[str]
) -> tuple[ClassGain, ...]:
    """Return all judged classes, those that owe most to the second half of the pictures first."""
    gains = []
    named = dict(zip(whole.keys, moments, strict=True))
    for number, name in enumerate(classes):
        rows = np.flatnonzero(whole.y == number)
        if len(rows):
            gains.append(_gain(name, half.at(rows), whole.at(rows), named, len(classes)))
    return tuple(sorted(gains, key=lambda one: (not one.clear, -one.gain, one.name)))


def _gain(
    name: str, half: Outputs, whole: Outputs, moments: Mapping[str, str], classes: int
) -> ClassGain:
    places = [moments[key] for key in whole.keys]
    more = compare_paired(whole.right, half.right, places)
    # Of many classes one gains much by luck: each is tested at a part of 5 % (Bonferroni).
    clear = more.clear and more.difference > 0 and more.p * classes < CLEAR
    recall = float(whole.right.mean())
    pictures = len(set(whole.keys))
    return ClassGain(name, pictures, recall, more.difference, more.interval, clear)
