"""By what features are divided so that each varies alike; torch is not needed for it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FLOOR = 0.1
"""Of the median deviation: a feature that hardly varies in train must not shout elsewhere."""
TINY = 1e-6
"""The floor where most features do not vary at all."""

Floats = npt.NDArray[np.float64]


def standardising(spread: Floats) -> Floats:
    """Return what standardises features whose standard deviations are `spread` (D)."""
    floor = FLOOR * float(np.median(spread)) or TINY
    return np.maximum(spread, floor)
