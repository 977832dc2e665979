"""One video from its bytes to stored frames, step by step.

A video is decoded in segments: the whole of it, or the surroundings of each time asked for.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from gleanset.errors import Unreadable
from gleanset.records import FollowedFace, Measured
from harvest.video.animated_image import AnimatedImageDecoder, probe_animated_image
from harvest.video.cuts import CutFinder, KeyFrameCuts, SceneCut
from harvest.video.decoder import FfmpegDecoder, FrameBlock, FrameNumbering
from harvest.video.file_types import first_bytes, is_picture
from harvest.video.filter_graph import DecodePlan, make_plan
from harvest.video.frame import RawFrame, encode
from harvest.video.frame_selector import (
    FrameCandidate,
    FrameChooser,
    FrameFollower,
    FrameSelector,
)
from harvest.video.openings import Fingerprint
from harvest.video.probe_ffmpeg import VideoFacts, find_bars, probe
from harvest.video.sampling import Sampling

# Half of the longest gradual cut: whether a frame lies in one is known only so much later.
_FADE = 0.81


@dataclass(frozen=True, slots=True)
class _PendingFrame:
    """A picture of which it is not yet sure in which scene it lies."""

    time: float
    number: int | None
    picture: RawFrame


def stretches(sampling: Sampling, start: float) -> list[tuple[float | None, float]]:
    """(from, to) in the file's own time of what is to be decoded, in order, apart."""
    end = math.inf if sampling.end is None else sampling.end + start
    begin = None if sampling.start is None else sampling.start + start
    if sampling.mode != "around":
        return [(begin, end)]
    parts: list[tuple[float | None, float]] = []
    for time in sorted(sampling.around):
        first = max(time - sampling.reach + start, begin or start)
        last = min(time + sampling.reach + start, end)
        if parts and first <= parts[-1][1]:
            parts[-1] = (parts[-1][0], max(last, parts[-1][1]))
        elif first < last:
            parts.append((first, last))
    return parts


class VideoSegment:
    """Turns decoded blocks into candidates whose scene is sure.

    `prints` takes up the fingerprints. Scenes of a segment inside a video are named by the time
    where it begins.
    """

    def __init__(self, plan: DecodePlan, sampling: Sampling, prints: list[Fingerprint]) -> None:
        self.plan = plan
        self.over = False
        self._sampling, self._fingerprints = sampling, prints
        self._since = -math.inf if plan.since is None else plan.since
        self._until = math.inf if plan.until is None else plan.until
        begun = 0.0 if plan.since is None else plan.since - plan.facts.start
        finder = KeyFrameCuts if sampling.mode == "keyframes" else CutFinder
        self._detector = finder(self._since)
        self.numbering = FrameNumbering(
            by_packets=plan.counted_by_packets and plan.facts.container != "picture",
            since=self._since,
            first=math.ceil(begun * (plan.facts.fps or 0.0) - 1e-6),
        )
        self._pending: deque[_PendingFrame] = deque()
        self._cuts: deque[SceneCut] = deque()
        self._changes: list[SceneCut] = []
        self._scene = round(begun * 1000)
        self._scene_start: float | None = None

    def take(self, block: FrameBlock) -> Iterator[FrameCandidate]:
        """Yield the candidates that are sure with this block."""
        for piece in block.pieces():
            if not self.over:
                yield from self._take_piece(piece)

    def _take_piece(self, block: FrameBlock) -> Iterator[FrameCandidate]:
        inside = int(np.searchsorted(block.times, self._until, side="right"))
        self.over = inside < len(block.times)
        if inside:
            self._add_fingerprints(block, inside)
            self._add_cuts(self._detector.feed(block.times[:inside], block.thumbs[:inside]))
            self._hold(block, inside)
        yield from self._settled_before(self._detector.settled - _FADE)

    def finish(self) -> Iterator[FrameCandidate]:
        """Yield the candidates at the end."""
        self._add_cuts(self._detector.finish())
        yield from self._settled_before(math.inf)

    def stretch(self, candidate: FrameCandidate) -> tuple[int, int]:
        """Return what a candidate competes in: of the candidates in one stretch, one or few are
        kept.
        """
        mode, every = self._sampling.mode, self._sampling.every
        if mode in ("scenes", "seen"):
            return candidate.scene, 0
        if mode == "keyframes":
            return round(candidate.time * 1e6), 0
        if mode == "useful":
            start = self.plan.facts.start if self._scene_start is None else self._scene_start
            return candidate.scene, int((candidate.time - start) // every)
        return int(self.plan.schedule.bins(np.array([candidate.time]), every)[0]), 0

    def _add_cuts(self, cuts: Iterator[SceneCut]) -> None:
        for cut in cuts:
            if cut.end > cut.begin:
                self._changes.append(cut)
            if cut.counts:
                self._cuts.append(cut)

    def _hold(self, block: FrameBlock, inside: int) -> None:
        for at, picture in block.pictures.items():
            time = float(block.times[at])
            if at < inside and time >= self._since:
                number = int(block.numbers[at])
                known = number if number >= 0 else None
                self._pending.append(_PendingFrame(time, known, picture))

    def _settled_before(self, until: float) -> Iterator[FrameCandidate]:
        while self._pending and self._pending[0].time <= until:
            pending = self._pending.popleft()
            passed = []
            while self._cuts and self._cuts[0].time <= pending.time:
                self._scene += 1
                self._scene_start = self._cuts.popleft().time
                passed.append(self._scene_start)
            fades = any(cut.begin < pending.time < cut.end for cut in self._changes)
            motion = self._detector.motion(pending.time)
            yield FrameCandidate(
                pending.time,
                self._scene,
                pending.number,
                pending.picture,
                fades,
                motion,
                self._scene_start,
                passed[0] if passed else None,
            )
        self._changes = [cut for cut in self._changes if cut.end > until - 2 * _FADE]

    def _add_fingerprints(self, block: FrameBlock, inside: int) -> None:
        """A fingerprint of the first frame of every second."""
        if not self._sampling.skip_openings:
            return
        for time, thumb in zip(block.times[:inside].tolist(), block.thumbs[:inside], strict=True):
            latest = self._fingerprints[-1][0] if self._fingerprints else -math.inf
            if time >= self._since and math.floor(time) > latest:
                code = int(str(imagehash.phash(Image.fromarray(thumb[0]))), 16)
                self._fingerprints.append((time, code))


# Seconds of video after which what was kept is handed on, at least.
_STEP_SECONDS = 10.0

Keep = Callable[[bytes, Measured], None]


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """A frame that was kept and lies in the store. `time` in seconds, the file's own.

    `faces` are those that a `FrameFollower` saw in it.
    """

    measured: Measured
    time: float
    scene: int
    number: int | None
    faces: tuple[FollowedFace, ...] = ()


@dataclass(frozen=True, slots=True)
class SamplingStep:
    """What came since the last step. `gone` is how many seconds of the video are done."""

    picked: tuple[StoredFrame, ...]
    gone: float


@dataclass(frozen=True, slots=True)
class SamplingEnd:
    """What is known of a video at the end of its sampling.

    `left_out` counts stretches without a frame by reason; `trouble` is what is wrong with the
    video, `seconds` its length.
    """

    left_out: Counter[str]
    trouble: str
    seconds: float | None
    prints: list[Fingerprint]


def read_facts(video: Path) -> VideoFacts:
    """Return what a file says of itself. Raises `Unreadable`, also where it cannot be read."""
    try:
        status = video.stat()
        return _facts(video, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise Unreadable("cannot be read", str(error.strerror)) from error


@lru_cache(maxsize=4096)
def _facts(video: Path, _size: int, _changed: int) -> VideoFacts:
    """Asked for the prediction of space, and again in its turn: starting ffmpeg takes a while."""
    return probe_animated_image(video) if is_picture(first_bytes(video)) else probe(video)


class VideoSampler:
    """Samples one video. `keep` stores a frame.

    A `follower` chooses the frames where the sampling leaves that to what is seen.
    """

    def __init__(
        self,
        video: Path,
        facts: VideoFacts,
        sampling: Sampling,
        keep: Keep,
        follower: FrameFollower | None = None,
    ) -> None:
        self._video, self._facts, self._sampling, self._keep = video, facts, sampling, keep
        self._chooser: FrameChooser = (
            follower.chooser(sampling.limit) if follower else FrameSelector(sampling)
        )
        self._prints: list[Fingerprint] = []
        self._last_step = 0.0
        self._picked: list[StoredFrame] = []
        self.trouble = ""
        self._seconds = facts.seconds

    @property
    def full(self) -> bool:
        """Whether the limit ended it, and not the video."""
        return self._chooser.full

    def ending(self) -> SamplingEnd:
        """Return what is known of it by now."""
        return SamplingEnd(self._chooser.left_out, self.trouble, self._seconds, self._prints)

    def steps(self) -> Iterator[SamplingStep]:
        """Everything. Raises `Unreadable` and `DiskFull`."""
        crop = find_bars(self._video, self._facts) if self._sampling.crop_bars else None
        plan = make_plan(self._sampling, self._facts, crop)
        for begin, end in stretches(self._sampling, self._facts.start):
            if not self._chooser.full:
                yield from self._sample_segment(replace(plan, since=begin, until=end))
        yield SamplingStep((), self._gone(math.inf))

    def _sample_segment(self, plan: DecodePlan) -> Iterator[SamplingStep]:
        segment = VideoSegment(plan, self._sampling, self._prints)
        source = AnimatedImageDecoder if self._facts.container == "picture" else FfmpegDecoder
        decoding = source(self._video, segment.plan, segment.numbering)
        with closing(decoding.blocks()) as blocks:
            for block in blocks:
                yield from self._offered(segment, segment.take(block))
                if segment.over or self._chooser.full:
                    break
        yield from self._offered(segment, segment.finish())
        self._picked += self._stored(self._chooser.close())
        yield self._step(self._last_step)
        self.trouble = self.trouble or decoding.trouble
        self._seconds = self._length(decoding.last, segment)

    def _length(self, last: float, segment: VideoSegment) -> float | None:
        """Return the seconds that a video lasts, also where its time stamps jump."""
        read, told = last - self._facts.start, self._seconds or 0.0
        to_the_end = not (segment.over or self._chooser.full or self.trouble)
        jumped = self._facts.discontinuous and 0 < read < told * 0.95 - 2
        all_frames = segment.plan.skip is None
        return read if read > told or (to_the_end and all_frames and jumped) else self._seconds

    def _offered(
        self, segment: VideoSegment, candidates: Iterable[FrameCandidate]
    ) -> Iterator[SamplingStep]:
        for candidate in candidates:
            if self.full:
                return
            yield from self._offer(segment, candidate)

    def _offer(self, segment: VideoSegment, candidate: FrameCandidate) -> Iterator[SamplingStep]:
        stretch = segment.stretch(candidate)
        if self._chooser.begins(stretch):
            self._picked += self._stored(self._chooser.close(candidate.cut))
            if candidate.time - self._last_step >= _STEP_SECONDS or self.full:
                self._last_step = candidate.time
                yield self._step(candidate.time)
            if self.full:
                return
        self._chooser.offer(candidate, stretch)

    def _step(self, time: float) -> SamplingStep:
        picked, self._picked = tuple(self._picked), []
        return SamplingStep(picked, self._gone(time))

    def _stored(self, candidates: Iterable[FrameCandidate]) -> Iterator[StoredFrame]:
        for candidate in candidates:
            data, measured = encode(candidate.picture, self._sampling)
            self._keep(data, measured)
            faces = self._chooser.faces(candidate, data, measured)
            yield StoredFrame(measured, candidate.time, candidate.scene, candidate.number, faces)

    def _gone(self, time: float) -> float:
        length = self._facts.seconds or 0.0
        return min(max(time - self._facts.start, 0.0), length)
