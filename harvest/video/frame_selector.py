"""Frame selection: keep the sharpest frame of each interval, without near-duplicates."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gleanset import Dataset
from gleanset.records import FollowedFace, Measured, Origin
from harvest.video.frame import RawFrame
from harvest.video.sampling import Sampling

# Maximum hash distance (bits) of a repeated frame.
_MAX_REPEAT_BITS = 4
# Share of an interval's frames that must be repeats for the interval to count as one.
_MIN_REPEAT_SHARE = 0.6
# Motion (grey levels between frames) that halves the effective sharpness.
_HALVING_MOTION = 8.0
# How many times sharper a frame must be to replace the one at the requested time.
_MIN_SHARPNESS_RATIO = 1.3


@dataclass(frozen=True)
class FrameCandidate:
    """Examined frame; `fades` is whether it is within a fade. Times are in seconds.

    `number` counts frames of the stated rate, None if the video states none.
    `motion` is its distance to the nearer neighbour, in grey levels. `scene_start` is the time of
    the cut where its scene begins, None without one. `cut` is the time where the scene of the
    previous candidate ended, None if that scene goes on: with several cuts between two candidates
    the first of them, while `scene_start` is the last.
    """

    time: float
    scene: int
    number: int | None
    frame: RawFrame
    fades: bool
    motion: float
    scene_start: float | None
    cut: float | None

    @property
    def phash(self) -> int:
        """Perceptual hash of 64 bits."""
        return self.frame.phash_and_sharpness[0]

    @property
    def sharpness(self) -> float:
        """Variance of the Laplacian, reduced where the camera or the scene moves."""
        _, sharpness = self.frame.phash_and_sharpness
        return sharpness / (1.0 + (self.motion / _HALVING_MOTION) ** 2)

    def find_fault(self) -> str | None:
        """Return why the frame is not worth keeping; None if it is."""
        if self.fades:
            return "fade"
        quality = self.frame.quality
        return None if quality == "good" else quality


Interval = tuple[int, int]
"""A scene, and the part of it, of which a frame is chosen."""


class FrameChooser(ABC):
    """Frame selection over candidates in order of time, of at most `limit` frames.

    `left_out` counts intervals without a kept frame by reason.
    """

    def __init__(self, limit: int | None = None):
        self.left_out = Counter[str]()
        self._limit = limit
        self._kept_count = 0
        self._interval: Interval | None = None

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self._limit is not None and self._kept_count >= self._limit

    def begins(self, interval: Interval) -> bool:
        """Return whether this interval differs from the current one."""
        return interval != self._interval

    @abstractmethod
    def offer(self, candidate: FrameCandidate, interval: Interval) -> None:
        """Add a candidate of an interval; close the previous interval first."""

    @abstractmethod
    def close(self, cut: float | None = None) -> Iterator[FrameCandidate]:
        """Yield the current interval's kept frames.

        `cut` is the time of the cut that ends it, None if it does not end at a cut.
        """

    def faces(
        self, candidate: FrameCandidate, data: bytes, measures: Measured
    ) -> tuple[FollowedFace, ...]:
        """Store a kept frame's face crops and return its faces; none by default."""
        return ()


class FrameFollower(Protocol):
    """Factory of choosers that select frames by their content."""

    def chooser(self, limit: int | None) -> FrameChooser:
        """Return a chooser for one video that yields at most `limit` frames."""

    def record(
        self,
        dataset: Dataset,
        sha256: str,
        frame: Origin,
        faces: Sequence[FollowedFace],
    ) -> None:
        """Write the faces of an imported frame. Call inside a transaction."""


class FrameSelector(FrameChooser):
    """Frame chooser by sharpness and similarity."""

    def __init__(self, sampling: Sampling):
        super().__init__(sampling.limit)
        self._sampling = sampling
        self._in_scenes = sampling.mode in ("useful", "scenes")
        # Hashes of kept frames, and in modes with scenes of all frames of earlier intervals.
        self._kept_hashes: list[int] = []
        self._previous_hashes: list[int] = []
        # Of the current interval: frames to keep so far, hashes of all frames, faults of others.
        self._candidates: list[FrameCandidate] = []
        self._hashes: list[int] = []
        self._faults = Counter[str]()

    def offer(self, candidate: FrameCandidate, interval: Interval) -> None:
        """Add a candidate of an interval; close the previous interval first."""
        self._interval = interval
        if self._sampling.plain and self._sampling.mode == "every":
            # The frame at the requested time, however it looks.
            self._candidates = self._candidates or [candidate]
            return
        if not candidate.fades:
            # In a fade the previous scene is still visible, which would look like a repeat.
            self._hashes.append(candidate.phash)
        self._add(candidate)

    def close(self, cut: float | None = None) -> Iterator[FrameCandidate]:
        """Yield the kept frames of the current interval; where it ends is not needed."""
        candidates = [] if self._interval is None else self._select()
        for candidate in sorted(candidates, key=lambda candidate: candidate.time):
            if not self.is_full:
                self._kept_count += 1
                if self._sampling.skip_similar is not None:
                    self._kept_hashes.append(candidate.phash)
                yield candidate

        if self._in_scenes:
            self._previous_hashes += self._hashes
        self._interval = None
        self._candidates = []
        self._hashes = []
        self._faults = Counter()

    def _add(self, candidate: FrameCandidate) -> None:
        sharpest = max((other.sharpness for other in self._candidates), default=-1.0)
        # Without scenes, the first candidate is the one at the requested time: only a much sharper
        # one replaces it.
        limit = sharpest if self._in_scenes else sharpest * _MIN_SHARPNESS_RATIO
        # Where several frames of a scene are kept, a less sharp one may be among them.
        is_better = self._sampling.per_scene > 1 or candidate.sharpness > limit
        # Finding a fault takes time: only frames that would be kept are examined.
        fault = None
        if self._sampling.drop_bad and is_better:
            fault = candidate.find_fault()

        if fault:
            self._faults[fault] += 1
        elif self._in_scenes:
            self._add_to_scene(candidate)
        elif is_better:
            self._candidates = [candidate]

    def _add_to_scene(self, candidate: FrameCandidate) -> None:
        """Keep the sharpest of similar frames, and of the others as many as requested."""
        max_bits = self._sampling.skip_similar or 0
        near = [
            other
            for other in self._candidates
            if (other.phash ^ candidate.phash).bit_count() <= max_bits
        ]
        if not near and len(self._candidates) < self._sampling.per_scene:
            self._candidates.append(candidate)
            return
        weakest = min(near or self._candidates, key=lambda other: other.sharpness)
        if candidate.sharpness > weakest.sharpness:
            self._candidates[self._candidates.index(weakest)] = candidate

    def _select(self) -> list[FrameCandidate]:
        if not self._candidates:
            # The interval counts once, under its most frequent fault (none in an empty interval).
            for fault, _ in self._faults.most_common(1):
                self.left_out[fault] += 1
            return []
        if self._sampling.skip_similar is None:
            return self._candidates
        if self._in_scenes and self._is_repeat():
            self.left_out["similar"] += 1
            return []

        fresh = [
            candidate
            for candidate in self._candidates
            if not _has_near_hash(
                self._kept_hashes, candidate.phash, self._sampling.skip_similar
            )
        ]
        if not fresh:
            self.left_out["similar"] += 1
        return fresh

    def _is_repeat(self) -> bool:
        """Return whether the interval shows what is kept already, or what was seen before."""
        max_bits = self._sampling.skip_similar or 0
        # If a scene gives only one frame, it needs none when any of its frames looks like a kept
        # one. With several frames a scene, the others may still be new.
        if self._sampling.per_scene == 1 and any(
            _has_near_hash(self._kept_hashes, code, max_bits) for code in self._hashes
        ):
            return True

        # A repeated part of the video, such as an opening: most of its frames were seen before.
        max_repeat_bits = min(_MAX_REPEAT_BITS, max_bits)
        repeats = [
            code
            for code in self._hashes
            if _has_near_hash(self._previous_hashes, code, max_repeat_bits)
        ]
        return len(repeats) > _MIN_REPEAT_SHARE * len(self._hashes)


def _has_near_hash(hashes: list[int], code: int, max_bits: int) -> bool:
    if not hashes:
        return False
    distances = np.bitwise_count(np.array(hashes, dtype=np.uint64) ^ np.uint64(code))
    return bool((distances <= max_bits).any())
