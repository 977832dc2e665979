"""Which frame of a video a frame is: its true number, also where the decoder leaves some out."""

from __future__ import annotations

import bisect
import math

import numpy as np
from numpy.typing import NDArray

# Seconds within which two times are the same: a microsecond.
_SAME = 1e-6
# Seconds by which packets may come out of the order of their times.
_REORDERED = 5.0
# Seconds that the packets must be ahead for a frame's number to be sure.
_AHEAD = 0.5


class Numbering:
    """Counts frames. `first` is the number of the first frame at or after the time `since`.

    Where the decoder skips frames, the packets are counted, in order of their times.
    """

    def __init__(self, *, by_packets: bool, since: float = -math.inf, first: int = 0) -> None:
        self.by_packets = by_packets
        self._since = since
        self._first = first
        self._packets: list[float] = []
        self._latest = -math.inf

    def packet(self, time: float) -> None:
        """Take note of a packet's time."""
        self._latest = max(self._latest, time)
        if time >= self._since - _SAME:
            bisect.insort(self._packets, time)

    def sure(self, time: float) -> bool:
        """Whether the number of a frame at that time is known."""
        return not self.by_packets or self._latest >= time + _AHEAD

    def start_at(self, time: float) -> None:
        """The first frame that is shown: packets before it are none, unless told otherwise."""
        if self._since == -math.inf:
            self._since = time
            self._packets = [one for one in self._packets if one >= time - _SAME]

    def of(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """The numbers of the next frames, whose times rise; -1 before `since`."""
        inside = times >= self._since - _SAME
        if self.by_packets:
            numbers = self._first + np.searchsorted(np.array(self._packets), times - _SAME)
            self._forget(float(times[-1]))
        else:
            numbers = self._first + np.cumsum(inside) - 1
            self._first += int(inside.sum())
        return np.where(inside, numbers, -1).astype(np.int64)

    def _forget(self, time: float) -> None:
        gone = bisect.bisect_left(self._packets, time - _REORDERED)
        del self._packets[:gone]
        self._first += gone
