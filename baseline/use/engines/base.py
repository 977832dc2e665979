"""What every engine is: it takes pictures, and says what a model makes of them.

It takes pictures as uint8 N x size x size x 3 (RGB) and may be called from several threads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from baseline.data.pixels import Pixels
from baseline.judge.answers import DecisionRule
from baseline.judge.familiarity import FeatureScale
from baseline.settings import Fit
from gleanset.db.faces import CropMethod

Floats = npt.NDArray[np.float32]


class NetworkOutputs(NamedTuple):
    """What a network says of N pictures.

    `probabilities` N x classes (calibrated), `embeddings` N x D, and `likeness` N x classes x K,
    the cosine likeness to the known pictures of a gallery, None without one.
    """

    probabilities: Floats
    embeddings: Floats
    likeness: Floats | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What one must know of a model to use it.

    `known` names the pictures of its gallery by class; `run` is the folder's name it came from;
    `crops` are the ways in which its training pictures were cut, None where that is not recorded.
    `scale` is where its embeddings of train lie, by which familiarity is told; None for a gallery.
    `fit` says how a picture that is no square becomes one.
    """

    run: str
    size: int
    classes: tuple[str, ...]
    answers: DecisionRule
    known: tuple[tuple[str, ...], ...] | None = None
    crops: tuple[CropMethod, ...] | None = None
    scale: FeatureScale | None = None
    fit: Fit = "stretch"


class InferenceEngine(Protocol):
    """Computes what a model says of pictures."""

    facts: ModelFacts

    def __call__(self, pictures: Pixels) -> NetworkOutputs:
        """Return what the model says of pictures, uint8 N x size x size x 3."""
