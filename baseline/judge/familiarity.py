"""How familiar a picture looks to a network, and below what it is called "unknown".

A network was taught to tell its classes apart, not what else there is: a stranger may look more
like one class than like the others, and its probability says no more. What gives it away is that
its features lie farther out than those of the pictures that were learnt from. So its scores are
divided by how much farther they lie, and the probability that its answer is left is its
familiarity (0..1). For a network that answers by known pictures it is the likeness of the nearest.
`benchmarks/open_world.py` and docs/experiments.md have what that gains, and what else was tried.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from baseline.features.feature_spread import standardising
from baseline.judge.intervals import Groups, effective_moments, group_numbers
from baseline.judge.outputs import Floats, Indices, Scores, softmax
from gleanset.errors import InputUnusable
from gleanset.files.atomic import write_atomic

FILE = "familiarity.json"
SOFTER = 2.0
"""By what scores are divided besides: how far the other classes are behind counts for more than in
a probability. Chosen on two sets, confirmed on two others (docs/experiments.md)."""
SLACK = 1e-4
"""A threshold lies so far below the picture of val that it spares: an exported file rounds."""


class FeatureScale(msgspec.Struct, frozen=True, dict=True):
    """Where the embeddings of train lie: the mean and the deviation of each of their D numbers."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def distances(self, embeddings: npt.NDArray[np.floating]) -> Floats:
        """Return how far embeddings (N x D) lie from the middle of train: 1 is as train does."""
        mean, deviation = self._arrays
        far = (embeddings.astype(np.float64) - mean) / deviation
        distances: Floats = np.sqrt(np.einsum("nd,nd->n", far, far) / len(mean))
        return distances

    @cached_property
    def _arrays(self) -> tuple[Floats, Floats]:
        """The mean and the deviation as arrays (D), made once: a server asks at each request."""
        return np.array(self.mean), np.array(self.deviation)


def fit_feature_scale(embeddings: Scores) -> FeatureScale:
    """Return where the embeddings of train (N x D) lie; their mean distance is 1."""
    deviation = standardising(embeddings.std(0, dtype=np.float64))
    mean = embeddings.mean(0, dtype=np.float64)
    plain = FeatureScale(tuple(mean.tolist()), tuple(deviation.tolist()))
    far = float(plain.distances(embeddings).mean()) or 1.0
    return FeatureScale(*(tuple(_short(values)) for values in (mean, deviation * far)))


def _short(values: Floats) -> list[float]:
    """Return the values as seven digits tell them: a float32 holds no more."""
    return [float(f"{value:.7g}") for value in values.tolist()]


def familiarity_of(scores: npt.NDArray[np.floating], distances: Floats) -> Floats:
    """Return the familiarity (N, 0..1) of calibrated scores, or log probabilities (N x C)."""
    farther = SOFTER * np.maximum(distances, 1e-6)[:, None]
    familiarity: Floats = softmax(scores.astype(np.float64) / farther).max(1)
    return familiarity


def save_feature_scale(folder: Path, scale: FeatureScale, *, scratch: Path | None = None) -> None:
    """Write `familiarity.json` beside the weights. Raises NotWritable or DiskFull."""
    write_atomic(folder / FILE, msgspec.json.encode(scale), scratch=scratch)


def load_feature_scale(folder: Path) -> FeatureScale | None:
    """Return what a run keeps of its train; None for a gallery, or a run of before.

    Raises `InputUnusable` for a damaged file.
    """
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=FeatureScale)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise InputUnusable(
            f"{folder / FILE} cannot be used: {error}", "train again: baseline train"
        ) from error


@dataclass(frozen=True, slots=True)
class FamiliarityThreshold:
    """Pictures of a familiarity `below` this are unknown.

    Chosen so that of known pictures at most `wanted` are: on average over other vals at most
    `on_average`, which is more where val has fewer than `needed` moments. Of the `count` pictures
    of val, of `moments` moments, `unknown` are; of as many other pictures at most `at_most` will
    be, with 95 % confidence.
    """

    below: float
    wanted: float
    count: int
    moments: int
    unknown: int
    on_average: float
    at_most: float
    needed: int

    @property
    def promised(self) -> bool:
        """Whether val is large enough for the promise."""
        return self.on_average <= self.wanted + 1e-12

    def to_json(self) -> dict[str, object]:
        """Return the same as JSON values."""
        return asdict(self) | {"promised": self.promised}


def choose_familiarity(familiarity: Floats, moments: Groups, wanted: float) -> FamiliarityThreshold:
    """Choose the highest threshold for which at most `wanted` (0..1) of known pictures are unknown.

    `familiarity` (N) is that of val, `moments` (N) are its moments. A moment counts as one case
    whatever its size, and one more is taken to be all unknown: then a picture of a new moment is
    called unknown with a probability of at most `wanted`, whatever the network and however alike
    the pictures of a moment are (Lee, Barber and Willett, "Distribution-free inference with
    hierarchical data", 2023). Raises InputUnusable where val is empty.
    """
    if not len(familiarity):
        raise InputUnusable(
            "val is empty, so no threshold can be chosen",
            "give it a share: labeler split --ratio 8:1:1, then train again",
        )
    groups = group_numbers(moments)
    cases = int(groups.max()) + 1
    order = np.argsort(familiarity, kind="stable")
    ranked, weight = familiarity[order], (1 / np.bincount(groups))[groups][order]
    # What lies strictly below each value, and the moment that was not seen.
    shares = (np.append(0.0, weight.cumsum()[:-1]) + 1) / (cases + 1)
    first = np.append(True, ranked[1:] != ranked[:-1])
    fits = np.flatnonzero(first & (shares <= wanted + 1e-12))
    at = int(fits[-1]) if len(fits) else 0
    below = float(ranked[at]) - SLACK
    unknown = familiarity < below
    return FamiliarityThreshold(
        below=below,
        wanted=wanted,
        count=len(familiarity),
        moments=cases,
        unknown=int(unknown.sum()),
        on_average=float(shares[at]),
        at_most=_at_most(unknown, groups),
        needed=math.ceil(1 / wanted - 1 - 1e-9) if wanted else 0,
    )


def _at_most(unknown: npt.NDArray[np.bool_], groups: Indices) -> float:
    """Return the share that as many other pictures do not exceed with 95 % confidence.

    The share of all pictures below a value that was chosen by its rank has a beta distribution, so
    that of as many as these a beta-binomial one (Wilks, "Statistical prediction with special
    reference to the problem of tolerance limits", 1942): choosing costs nothing. Pictures count by
    how many moments of equal size would tell as much, as though those of a moment were all alike.
    """
    from scipy.stats import betabinom

    per_moment = float((np.bincount(groups, unknown) / np.bincount(groups)).mean())
    cases = math.floor(effective_moments(groups))
    hits = max(per_moment, float(unknown.mean())) * cases
    return (
        float(betabinom.ppf(0.95, cases, hits + 1, cases - hits)) / cases if hits < cases else 1.0
    )
