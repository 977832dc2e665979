"""Who is not in the gallery must not be named: rejection of unknown classes by likeness.

Classes are held out of the gallery in turn, so that each is unknown once. The network has seen
pictures of them in training, only the gallery has not: of classes that are new to the network,
too, expect somewhat less.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from baseline.evaluation.retrieval import Vectors, likeness
from baseline.evaluation.verification import roc

ROUNDS = 5
ACCEPT = 0.05
"""The share of unknown pictures that may be named by mistake."""


@dataclass(frozen=True, slots=True)
class OpenSet:
    """Means over the rounds.

    `auroc` is the chance that a picture of a known class is more like the gallery than one of
    an unknown class; `named` the share of known pictures that are named, and rightly, when at
    most `false_accept_rate` of the unknown are named at all; `threshold` is that likeness.
    """

    rounds: int
    auroc: float
    false_accept_rate: float
    named: float
    threshold: float

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self)


def open_set(
    queries: Vectors, gallery: Vectors, rounds: int = ROUNDS, accept: float = ACCEPT, seed: int = 0
) -> OpenSet | None:
    """Hold the classes out in `rounds` parts. None with fewer than three classes."""
    classes = np.unique(gallery.y)
    if len(classes) < 3:
        return None
    shuffled = np.random.default_rng(seed).permutation(classes)
    parts = np.array_split(shuffled, min(rounds, len(classes)))
    told = [one for part in parts if (one := _round(queries, gallery, part, accept)) is not None]
    if not told:
        return None
    auroc, named, threshold = (float(value) for value in np.mean(told, axis=0))
    return OpenSet(len(told), auroc, accept, named, threshold)


def _round(
    queries: Vectors, gallery: Vectors, unknown: npt.NDArray[np.int64], accept: float
) -> tuple[float, float, float] | None:
    """AUROC, share named rightly and threshold with these classes held out."""
    known = ~np.isin(gallery.y, unknown)
    left = Vectors(gallery.unit[known], gallery.y[known], gallery.moments[known])
    best, names = _nearest(queries, left)
    strange = np.isin(queries.y, unknown)
    curve = roc(best, ~strange)
    if curve is None:
        return None
    # One more than may be accepted: what lies above that likeness is named.
    ranked = np.sort(best[strange])[::-1]
    threshold = ranked[min(int(accept * len(ranked)), len(ranked) - 1)]
    right = (best > threshold) & (names == queries.y)
    return curve.area, float(right[~strange].mean()), float(threshold)


def _nearest(
    queries: Vectors, gallery: Vectors
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The likeness of the most similar picture, and its class."""
    best, names = np.zeros(len(queries), np.float32), np.zeros(len(queries), np.int64)
    for part, cosines in likeness(queries, gallery):
        at = cosines.argmax(1)
        best[part], names[part] = cosines[np.arange(len(at)), at], gallery.y[at]
    # Nothing to compare with, but its own moment: as unlike as can be.
    return np.maximum(best, -1), names
