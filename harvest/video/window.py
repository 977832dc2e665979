"""The tiny frames around those that are judged, and how far they are from each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Thumbs = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass
class Window:
    """The frames around the ones to be judged."""

    times: Floats
    thumbs: Thumbs
    steps: Floats
    small: NDArray[np.float32]
    spread: Floats


def grown(window: Window | None, times: Floats, thumbs: Thumbs) -> Window:
    """With some more frames."""
    before = window.thumbs[-1:] if window is not None else thumbs[:1]
    steps = apart(np.concatenate([before, thumbs[:-1]]), thumbs)
    # Every other pixel of the brightness is enough to tell a mean.
    small = thumbs[:, 0, ::2, ::2].reshape(len(thumbs), -1).astype(np.float32)
    spread = small.std(axis=1).astype(np.float64)
    if window is None:
        return Window(times, thumbs, steps, small, spread)
    return Window(
        np.concatenate([window.times, times]),
        np.concatenate([window.thumbs, thumbs]),
        np.concatenate([window.steps, steps]),
        np.concatenate([window.small, small]),
        np.concatenate([window.spread, spread]),
    )


def forget(window: Window, before: float) -> None:
    """Leave out frames before that time."""
    # The last one is what the next is compared with.
    keep = min(int(np.searchsorted(window.times, before)), len(window.times) - 1)
    window.times, window.thumbs = window.times[keep:], window.thumbs[keep:]
    window.steps, window.small = window.steps[keep:], window.small[keep:]
    window.spread = window.spread[keep:]


def apart(one: Thumbs, other: Thumbs) -> Floats:
    """How far frames are from each other: (..., 3, height, width) gives (...)."""
    high = np.maximum(one, other)
    low = np.minimum(one, other)
    means = (high - low).mean(axis=(-1, -2), dtype=np.float32)
    weights = np.array([1.0, 0.5, 0.5], dtype=np.float32)
    levels: Floats = (means * weights).sum(axis=-1).astype(np.float64)
    return levels
