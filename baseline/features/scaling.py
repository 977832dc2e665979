"""Features brought to one scale while something learns on them; torch is not needed for it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from baseline.features.backbone import Backbone

FLOOR = 0.1
"""Of the median deviation: a feature that hardly varies in train must not shout elsewhere."""
TINY = 1e-6
"""The floor where most features do not vary at all."""

Floats = npt.NDArray[np.float64]


def standardising(spread: Floats) -> Floats:
    """Return what standardises features whose standard deviations are `spread` (D)."""
    floor = FLOOR * float(np.median(spread)) or TINY
    return np.maximum(spread, floor)


class Scaling(NamedTuple):
    """x becomes (x - mean) / deviation; both float64, D. A deviation may be infinite."""

    mean: Floats
    deviation: Floats

    @classmethod
    def of(
        cls,
        vectors: npt.NDArray[np.floating[Any]],
        backbone: Backbone,
        weights: Sequence[float] | None = None,
    ) -> Scaling:
        """Return the one for `vectors` (... x D) that `backbone` made.

        Each feature is standardised and multiplied by its emphasis, but for parts that are not to
        be. Each further part is then given the variance of the first, times its weight squared.
        """
        flat = vectors.reshape(-1, vectors.shape[-1])
        spread = flat.std(0, dtype=np.float64)
        deviation = np.empty(len(spread))
        first, start = 0.0, 0
        for number, part in enumerate(backbone.parts):
            own = slice(start, start + part.width)
            start = own.stop
            if part.standardised:
                deviation[own] = standardising(spread[own]) / backbone.emphasis[own]
            else:
                deviation[own] = 1.0
            variance = float(((spread[own] / deviation[own]) ** 2).sum())
            if number == 0:
                first = variance
            else:
                weight = weights[number] if weights else 1.0
                alike = (variance / first) ** 0.5 if first > 0 else 1.0
                deviation[own] *= max(alike, TINY) / weight if weight else np.inf
        return cls(flat.mean(0, dtype=np.float64), deviation)

    def applied(self, vectors: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]:
        """Return the same vectors on the common scale."""
        scaled: npt.NDArray[np.float32] = ((vectors - self.mean) / self.deviation).astype(
            np.float32
        )
        return scaled


def one_thread() -> AbstractContextManager[Any]:
    """Hold the libraries of linear algebra to one thread.

    On a busy machine several wait for each other far too long.
    """
    held: AbstractContextManager[Any] = _libraries().limit(limits=1)
    return held


@cache
def _libraries() -> Any:
    """Look for the libraries once: each time that would take longer than a small solution."""
    # Those whose threads are held must be loaded before they are looked for.
    import sklearn.linear_model  # noqa: F401
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
