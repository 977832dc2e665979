"""From the votes for a place to the probability that a face is there.

A logistic regression on the likelihoods of animeface at several sizes of the picture and
the logarithm of the cascade's windows. Its weights come from annotated pictures by
`benchmarks/detectors.py calibrate`, which also tells what they are worth on shows that they
were not taken from (docs/detectors.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from facecrop.detectors.votes import CASCADE, Candidate

LEAST_FACE = 42.592
"""Pixels. Smaller faces are not looked for by animeface (nv_face_detect.c)."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Sizes of the picture that animeface searches, with the weight of each, and the rest.

    `cascade_scale` is the cascade's step from window to window; `equalize` as `lbpcascade`'s.
    """

    version: int
    sizes: tuple[float, ...]
    weights: tuple[float, ...]
    cascade: float
    bias: float
    cascade_scale: float = 1.1
    equalize: bool = False

    def features(self, candidate: Candidate) -> tuple[float, ...]:
        """The numbers that are weighed: one for each size, then the cascade's.

        A size at which the face would be too small to be seen has no say: it counts as the
        mean of the others.
        """
        side = math.sqrt(candidate.rect.width * candidate.rect.height)
        seen = [size for size in self.sizes if side * size >= LEAST_FACE]
        mean = sum(candidate.strength(member(size)) for size in seen) / max(len(seen), 1)
        likelihoods = (
            candidate.strength(member(size)) or (0.0 if size in seen else mean)
            for size in self.sizes
        )
        return (*likelihoods, math.log1p(candidate.strength(CASCADE)))

    def probability(self, candidate: Candidate) -> float:
        """How likely the place shows a face, 0..1."""
        features = self.features(candidate)
        weighed = zip((*self.weights, self.cascade), features, strict=True)
        evidence = self.bias + math.fsum(weight * value for weight, value in weighed)
        return 1 / (1 + math.exp(-evidence))


def member(size: float) -> str:
    """The name under which animeface votes at that size of the picture."""
    return f"animeface at {size:g}"


CALIBRATED = Calibration(
    version=1, sizes=(0.7, 0.5, 0.35), weights=(0.9, 1.85, 1.18), cascade=0.9, bias=-1.91
)
"""As `benchmarks/detectors.py calibrate` found it."""
