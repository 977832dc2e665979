"""At which frames of a video a picture is looked at: the same rule for ffmpeg and for us.

ffmpeg evaluates it as an expression of its `select` filter while it decodes; we evaluate it
on the times of all frames, and so know which ones its pictures are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harvest.video.sampling import Sampling

# Seconds from look to look within scenes; large pictures are dear to hand over.
_STEP, _LARGE_STEP, _LARGE = 0.5, 1.0, 1280 * 720
# A moment of which the sharpest frame is taken, and the looks taken in it.
_MOMENT, _LOOKS = 0.5, 4
# A frame that is late by a millionth of a step is in time: 0.3 / 0.1 is a little less than 3.
_EARLY = 1e-6


@dataclass(frozen=True, slots=True)
class Schedule:
    """The first frame of every `step` seconds after `start`, all of them where that is None.

    With `within` only in the first so many seconds of every `period`.
    """

    start: float
    step: float | None
    period: float = 0.0
    within: float = 0.0

    def expression(self) -> str:
        """For ffmpeg's `select`."""
        if self.step is None:
            return "1"
        due = f"isnan(prev_t)+gt({self._bin('t', self.step)},{self._bin('prev_t', self.step)})"
        if not self.within:
            return due
        begun = f"gt({self._bin('t', self.period)},{self._bin('prev_t', self.period)})"
        phase = f"t-({self.start!r})-{self.period!r}*{self._bin('t', self.period)}"
        return f"({due})*lt({phase},{self.within!r})+isnan(prev_t)+{begun}"

    def _bin(self, time: str, step: float) -> str:
        return f"floor(({time}-({self.start!r}))/{step!r}+{_EARLY!r})"

    def due(self, times: NDArray[np.float64], before: float) -> NDArray[np.bool_]:
        """Return whether each of some frames is; `before` is the time of the one before, or NaN."""
        if self.step is None:
            return np.ones(len(times), dtype=bool)
        earlier = np.concatenate([[before], times[:-1]])
        first = np.isnan(earlier)
        due: NDArray[np.bool_] = first | (
            self.bins(times, self.step) > self.bins(earlier, self.step)
        )
        if not self.within:
            return due
        begun = self.bins(times, self.period) > self.bins(earlier, self.period)
        phase = times - self.start - self.period * self.bins(times, self.period)
        taken: NDArray[np.bool_] = (due & (phase < self.within)) | first | begun
        return taken

    def bins(self, times: NDArray[np.float64], step: float) -> NDArray[np.float64]:
        """In which step each time lies."""
        found: NDArray[np.float64] = np.floor((times - self.start) / step + _EARLY)
        return found


def schedule(sampling: Sampling, start: float, pixels: int) -> Schedule:
    """Return the schedule of a sampling for frames of so many `pixels` as sampled."""
    if sampling.mode == "keyframes":
        return Schedule(start, None)
    if sampling.mode in ("useful", "scenes"):
        return Schedule(start, _STEP if pixels <= _LARGE else _LARGE_STEP)
    if sampling.plain or sampling.mode == "seen":
        return Schedule(start, sampling.every)
    moment = min(_MOMENT, sampling.every / 2)
    return Schedule(start, moment / _LOOKS, sampling.every, moment)
