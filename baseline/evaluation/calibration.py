"""Scores as probabilities that can be believed: temperature scaling that small samples cannot fool.

Scores are divided by one temperature (Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern
Neural Networks", 2017). On a few pictures its likeliest value is noise, so it is the mode of a
posterior: the prior holds it at 1, where the network is believed as it is, until enough moments
speak against it. `benchmarks/calibration.py` measures what that costs and what it saves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from baseline.evaluation.probabilities import Indices, Scores, log_softmax
from gleanset.page.words import count

COLDEST, HOTTEST = 0.05, 20.0
SPREAD = 0.5
"""Scale of the prior on the logarithm of the temperature: Student's t of 2 degrees of freedom,
whose tails let a network be as loud as much evidence says."""
HALF = 15
"""Moments whose evidence counts half; that of M counts M / (M + HALF) of what it says. A handful
without a mistake is likely even where the network is too sure."""
_GRID = 40
_ALIKE = 0.05
"""Temperatures whose ratio is within this of 1 are called the same."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """How scores become probabilities, and what that was learnt from.

    `plain` is the temperature that makes the same `pictures` likeliest without a prior, which for
    few of their `moments` is noise; it is None where there is nothing to fit it on.
    """

    temperature: float = 1.0
    plain: float | None = None
    pictures: int = 0
    moments: int = 0

    @property
    def shrunk(self) -> bool:
        """Whether the pictures alone would ask for another temperature."""
        return self.plain is not None and abs(self.plain / self.temperature - 1) > _ALIKE

    def told(self) -> str:
        """What was done, in a sentence."""
        if self.plain is None:
            return "left as the network gives it: there is nothing to calibrate by"
        asked = "certainty" if self.plain <= 2 * COLDEST else f"{self.plain:.2f}"
        source = f"{count(self.pictures, 'picture')} ({count(self.moments, 'moment')}) of val"
        if not self.shrunk:
            return f"temperature {self.temperature:.2f}, by {source}"
        left = "left at" if abs(self.temperature - 1) <= _ALIKE else "held back to"
        return (
            f"temperature {left} {self.temperature:.2f}: {source} alone ask for {asked}, which so "
            "few cannot show"
        )

    def to_json(self) -> dict[str, object]:
        """The same as JSON values."""
        return asdict(self) | {"shrunk": self.shrunk, "told": self.told()}


def fit_calibration(logits: Scores, y: Indices, moments: Sequence[str]) -> Calibration:
    """The calibration of scores N x C by their classes `y` (N), none where there is nothing to fit.

    `moments` (N) names what is right or wrong together: frames of one scene are one witness. Every
    picture weighs alike, as in the log loss, but they are as much evidence as their moments.
    """
    pictures, classes = logits.shape
    witnesses = len(set(moments))
    if pictures < 2 or classes < 2:
        return Calibration(pictures=pictures, moments=witnesses)

    def loss(log_temperature: float) -> float:
        told = log_softmax(logits, float(np.exp(log_temperature)))
        return float(-told[np.arange(pictures), y].mean())

    evidence = witnesses**2 / (witnesses + HALF)
    best = _lowest(lambda at: evidence * loss(at) + _prior(at))
    return Calibration(float(np.exp(best)), float(np.exp(_lowest(loss))), pictures, witnesses)


def fit_temperature(logits: Scores, y: Indices) -> float:
    """A cautious temperature, for quick proposals that a person checks; 1 with nothing to fit.

    The targets are smoothed by one case of every outcome (Platt, 1999): however right it was, a
    classifier that learnt a dozen labels is not certain. Of a trained network, whose confidence is
    worth more than a small val, this would throw that confidence away.
    """
    pictures, classes = logits.shape
    if pictures < 2 or classes < 2:
        return 1.0
    slip = 1 / (pictures + 2)

    def loss(log_temperature: float) -> float:
        told = log_softmax(logits, float(np.exp(log_temperature)))
        own = told[np.arange(pictures), y]
        return float(-((1 - slip) * own + slip * told.mean(1)).mean())

    return float(np.exp(_lowest(loss)))


def _prior(log_temperature: float) -> float:
    """The negative logarithm of the prior's density, less a constant."""
    return 1.5 * float(np.log1p((log_temperature / SPREAD) ** 2 / 2))


def _lowest(of: Callable[[float], float]) -> float:
    """The logarithm of a temperature where `of` is least: by a grid first, for it may dip twice."""
    grid = np.linspace(np.log(COLDEST), np.log(HOTTEST), _GRID + 1)
    tried = [of(float(one)) for one in grid]
    at = int(np.argmin(tried))
    near = grid[max(at - 1, 0)], grid[min(at + 1, _GRID)]
    found = minimize_scalar(of, bounds=near, method="bounded", options={"xatol": 1e-5})
    return float(found.x if found.fun <= tried[at] else grid[at])
