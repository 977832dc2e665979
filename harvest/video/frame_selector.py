"""Frame selection: keep the sharpest frame of each interval, without near-duplicates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from gleanset import Dataset
from gleanset.records import FollowedFace, Measured, Origin
from harvest.video.frame import RawFrame
from harvest.video.sampling import Sampling

# Maximum hash distance (bits) of frames that show the same moment of a film.
_SAME = 4
# Share of an interval's frames that must be repeats for the interval to count as one.
_SHARE = 0.6
# Motion (grey levels between frames) that halves the effective sharpness.
_MOVING = 8.0
# How many times sharper a frame must be to replace the one at the requested time.
_SHARPER = 1.3


@dataclass(frozen=True)
class FrameCandidate:
    """Examined frame; `fades` is whether it is within a fade. Times are in seconds.

    `motion` is its distance to the nearer neighbour, in grey levels. `scene_start` is the time of
    the cut where its scene begins, `cut` that of the first cut since the previous candidate.
    """

    time: float
    scene: int
    number: int | None
    picture: RawFrame
    fades: bool = False
    motion: float = 0.0
    scene_start: float | None = None
    cut: float | None = None

    @property
    def phash(self) -> int:
        """Perceptual hash of 64 bits."""
        return self.picture.measured[0]

    @property
    def sharpness(self) -> float:
        """Variance of the Laplacian, reduced where the camera or the scene moves."""
        return self.picture.measured[1] / (1.0 + (self.motion / _MOVING) ** 2)

    def fault(self) -> str | None:
        """Return why the frame is not worth keeping; None if it is."""
        if self.fades:
            return "fade"
        quality = self.picture.quality
        return None if quality == "good" else quality


class FrameChooser(Protocol):
    """Interface of frame selection over candidates in order of time.

    `left_out` counts intervals without a kept frame by reason.
    """

    left_out: Counter[str]

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""

    def begins(self, stretch: tuple[int, int]) -> bool:
        """Return whether this interval differs from the current one."""

    def offer(self, candidate: FrameCandidate, stretch: tuple[int, int]) -> None:
        """Add a candidate of an interval; close the previous interval first."""

    def close(self, cut: float | None = None) -> Iterator[FrameCandidate]:
        """Yield the current interval's kept frames; it ends at `cut` if given."""

    def faces(
        self, candidate: FrameCandidate, data: bytes, measured: Measured
    ) -> tuple[FollowedFace, ...]:
        """Store a kept frame's face crops and return its faces."""


class FrameFollower(Protocol):
    """Factory of choosers that select frames by their content; picklable for cluster nodes."""

    def chooser(self, limit: int | None) -> FrameChooser:
        """Return a chooser for one video that yields at most `limit` frames."""

    def record(
        self, dataset: Dataset, sha256: str, frame: Origin, faces: Sequence[FollowedFace]
    ) -> None:
        """Write the faces of an imported frame. Call inside a transaction."""


class FrameSelector:
    """Frame chooser by sharpness and similarity; see `FrameChooser`."""

    def __init__(self, sampling: Sampling) -> None:
        self._sampling = sampling
        self.left_out: Counter[str] = Counter()
        self._kept: list[int] = []
        self._seen: list[int] = []
        self._count = 0
        self._stretch: tuple[int, int] | None = None
        self._held: list[FrameCandidate] = []
        self._hashes: list[int] = []
        self._faults: Counter[str] = Counter()

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        limit = self._sampling.limit
        return limit is not None and self._count >= limit

    def begins(self, stretch: tuple[int, int]) -> bool:
        """Return whether this interval differs from the current one."""
        return stretch != self._stretch

    def offer(self, candidate: FrameCandidate, stretch: tuple[int, int]) -> None:
        """Add a candidate of an interval; close the previous interval first."""
        self._stretch = stretch
        if self._sampling.plain and self._sampling.mode in ("every", "keyframes", "around"):
            self._held = self._held or [candidate]
            return
        if not candidate.fades:
            # In a fade the previous scene is still visible, which would look like a repeat.
            self._hashes.append(candidate.phash)
        self._hold(candidate)

    def close(self, cut: float | None = None) -> Iterator[FrameCandidate]:
        """Yield the kept frames of the current interval."""
        chosen = [] if self._stretch is None else self._chosen()
        for candidate in sorted(chosen, key=lambda one: one.time):
            if not self.full:
                self._count += 1
                if self._sampling.skip_similar is not None:
                    self._kept.append(candidate.phash)
                yield candidate
        if self._sampling.mode in ("useful", "scenes"):
            self._seen += self._hashes
        self._stretch, self._held, self._hashes = None, [], []
        self._faults = Counter()

    def faces(
        self, candidate: FrameCandidate, data: bytes, measured: Measured
    ) -> tuple[FollowedFace, ...]:
        """Return no faces: this chooser does not detect any."""
        return ()

    def _hold(self, candidate: FrameCandidate) -> None:
        if self._sampling.drop_bad and (fault := self._cheap_fault(candidate)):
            self._faults[fault] += 1
            return
        if self._sampling.mode not in ("useful", "scenes"):
            if not self._held or candidate.sharpness > self._held[0].sharpness * _SHARPER:
                self._held = [candidate]
            return
        within = self._sampling.skip_similar or 0
        near = [
            candidate_held
            for candidate_held in self._held
            if (candidate_held.phash ^ candidate.phash).bit_count() <= within
        ]
        if near:
            weakest = min(near, key=lambda candidate_held: candidate_held.sharpness)
        elif len(self._held) < self._number():
            self._held.append(candidate)
            return
        else:
            weakest = min(self._held, key=lambda candidate_held: candidate_held.sharpness)
        if candidate.sharpness > weakest.sharpness:
            self._held[self._held.index(weakest)] = candidate

    def _cheap_fault(self, candidate: FrameCandidate) -> str | None:
        sharpest = max((one.sharpness for one in self._held), default=-1.0)
        if self._number() == 1 and candidate.sharpness <= sharpest:
            return None
        return candidate.fault()

    def _number(self) -> int:
        return self._sampling.per_scene if self._sampling.mode == "scenes" else 1

    def _chosen(self) -> list[FrameCandidate]:
        if not self._held:
            if self._faults:
                self.left_out[self._faults.most_common(1)[0][0]] += 1
            return []
        if self._sampling.skip_similar is None:
            return self._held
        if self._sampling.mode in ("useful", "scenes") and self._shown_before():
            self.left_out["similar"] += 1
            return []
        fresh = [
            one
            for one in self._held
            if not _any_near(self._kept, one.phash, self._sampling.skip_similar)
        ]
        if not fresh:
            self.left_out["similar"] += 1
        return fresh

    def _shown_before(self) -> bool:
        within = self._sampling.skip_similar or 0
        if self._number() == 1 and any(_any_near(self._kept, one, within) for one in self._hashes):
            return True
        same = sum(_any_near(self._seen, one, min(_SAME, within)) for one in self._hashes)
        return bool(same) and same > _SHARE * len(self._hashes)


def _any_near(hashes: list[int], code: int, within: int) -> bool:
    if not hashes:
        return False
    apart = np.bitwise_count(np.array(hashes, dtype=np.uint64) ^ np.uint64(code))
    return bool((apart <= within).any())
