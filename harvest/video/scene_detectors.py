"""Who finds the cuts of a video: ours, PySceneDetect's, or a look from key frame to key frame.

All take blocks of tiny frames and give cuts; see `CutFinder`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from harvest.video.cuts import (
    HARD,
    SHORTEST,
    CutFinder,
    Floats,
    ResumedScene,
    SceneCut,
    Thumbs,
    frame_distance,
)
from harvest.video.sampling import Sampling

# PySceneDetect's own classes, and what each calls its threshold.
_LIBRARY = {
    "content": ("ContentDetector", "threshold"),
    "adaptive": ("AdaptiveDetector", "adaptive_threshold"),
    "hash": ("HashDetector", "threshold"),
    "histogram": ("HistogramDetector", "threshold"),
    "threshold": ("ThresholdDetector", "threshold"),
}
# Its detectors count frames; any rate will do, as times are ours.
_RATE = 25.0
# Seconds by which a detector may tell of a cut late.
_LATE = 1.0
# Key frames lie seconds apart: what moves in between is no cut yet.
_KEY_FRAMES = 2.0 * HARD


class SceneDetector(Protocol):
    """Finds cuts in frames that come in order."""

    def feed(self, times: Floats, thumbs: Thumbs) -> Iterator[SceneCut]:
        """Take some frames; the cuts that are sure now, in order."""

    def finish(self) -> Iterator[SceneCut]:
        """Return the cuts among the last frames."""

    def motion(self, time: float) -> float:
        """Grey levels by which a frame differs from the nearer of its neighbours; 0 if unknown."""

    @property
    def settled(self) -> float:
        """Up to here all cuts are told."""


def scene_detector(
    sampling: Sampling, fps: float | None, resumed: ResumedScene | None
) -> SceneDetector:
    """Return the one that a sampling asks for."""
    if sampling.mode == "keyframes":
        return KeyFrameDetector(resumed)
    if sampling.detector == "ffmpeg":
        return CutFinder(sampling.threshold, resumed)
    return LibraryDetector(sampling.detector, sampling.threshold, fps or _RATE, resumed)


class KeyFrameDetector:
    """Every key frame that looks unlike the one before begins a scene."""

    def __init__(self, resumed: ResumedScene | None) -> None:
        self.settled = resumed.settled if resumed else -math.inf
        self._before: Thumbs | None = None

    def feed(self, times: Floats, thumbs: Thumbs) -> Iterator[SceneCut]:
        """Take some frames; the cuts among them."""
        for time, thumb in zip(times.tolist(), thumbs, strict=True):
            other = (
                self._before is not None
                and float(frame_distance(self._before, thumb)) >= _KEY_FRAMES
            )
            if other and time > self.settled:
                yield SceneCut(time, time, time)
            self._before = thumb
        self.settled = max(self.settled, float(times[-1]))

    def motion(self, time: float) -> float:
        """Unknown between key frames."""
        return 0.0

    def finish(self) -> Iterator[SceneCut]:
        """Nothing is left."""
        yield from ()


class LibraryDetector:
    """A detector of PySceneDetect, fed with tiny BGR frames."""

    def __init__(
        self, name: str, threshold: float | None, fps: float, resumed: ResumedScene | None
    ) -> None:
        # Only here: it takes longer to load than all the rest of a harvest.
        import scenedetect

        kind, word = _LIBRARY[name]
        own = {} if threshold is None else {word: threshold}
        least = max(round(SHORTEST * fps), 1)
        self._code = scenedetect.FrameTimecode
        self._detector: Any = getattr(scenedetect, kind)(min_scene_len=least, **own)
        self._fps = fps
        self._times: list[float] = []
        self._since = resumed.settled if resumed else -math.inf
        self.settled = self._since

    def feed(self, times: Floats, thumbs: Thumbs) -> Iterator[SceneCut]:
        """Take some frames; the cuts that are sure now, in order."""
        for time, thumb in zip(times.tolist(), thumbs, strict=True):
            self._times.append(time)
            code = self._code(len(self._times) - 1, self._fps)
            yield from self._cuts(self._detector.process_frame(code, np.ascontiguousarray(thumb)))
        self.settled = max(self.settled, self._times[-1] - _LATE)

    def finish(self) -> Iterator[SceneCut]:
        """Yield the cuts that it tells of at the end."""
        if self._times:
            code = self._code(len(self._times) - 1, self._fps)
            yield from self._cuts(self._detector.post_process(code))

    def motion(self, time: float) -> float:
        """Not asked for: its detectors keep no frames."""
        return 0.0

    def _cuts(self, codes: list[Any]) -> Iterator[SceneCut]:
        for code in codes:
            time = self._times[int(code.frame_num)]
            if time > self._since:
                self._since = time
                yield SceneCut(time, time, time)
