"""How often a run believes each class to come, beside how often it comes.

Weighing or drawing rare classes more often teaches a network that they are common. Where that is
all it does, the scores are off by the logarithm of the ratio (Elkan, "The Foundations of
Cost-Sensitive Learning", 2001; Menon et al., "Long-tail Learning via Logit Adjustment", 2021). A
network that fits every training picture hardly notices the weights (Byrd and Lipton, "What is the
Effect of Importance Weighting in Deep Learning?", 2019), so how much of the shift is applied is
fitted on val: `baseline.evaluation.calibration`.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import numpy.typing as npt

from baseline.data import Examples
from baseline.settings import Settings, Triplet

Floats = npt.NDArray[np.float64]
_SAME = 1e-9


def prior_shift(examples: Examples, settings: Settings) -> Floats:
    """log(share in train as it is / share as it was learnt) of each class, its mean taken away.

    Empty where they are the same, and for triplets: likenesses to known pictures hold no prior.
    """
    if isinstance(settings, Triplet):
        return np.zeros(0)
    counts = Counter(str(sample.label) for sample in examples.splits["train"])
    learnt = np.array([counts[name] for name in examples.classes], dtype=np.float64)
    if settings.balance != "none":
        learnt = np.ones_like(learnt)
    elif examples.weights:
        learnt = learnt * np.array(examples.weights)
    there = np.array([examples.natural.get(name, counts[name]) for name in examples.classes])
    shift = np.log(there / there.sum()) - np.log(learnt / learnt.sum())
    shift -= shift.mean()
    return shift if np.abs(shift).max() > _SAME else np.zeros(0)
