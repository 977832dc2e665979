"""Sampling of one video: decode, find scenes, select frames, store them.

A video is decoded in segments: the whole video, or the surroundings of each requested time.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import imagehash
import numpy as np
from PIL import Image

from gleanset.errors import Unreadable
from gleanset.records import FollowedFace, Measured
from harvest.video.cuts import CutFinder, KeyFrameCuts, SceneCut
from harvest.video.decoder import (
    AnimatedImageDecoder,
    FfmpegDecoder,
    FrameBlock,
    FrameNumbering,
    probe_animated_image,
)
from harvest.video.filter_graph import DecodePlan, make_plan
from harvest.video.frame import RawFrame, encode
from harvest.video.frame_selector import (
    FrameCandidate,
    FrameChooser,
    FrameFollower,
    FrameSelector,
)
from harvest.video.inputs import first_bytes, is_picture
from harvest.video.intros import Fingerprint
from harvest.video.probe_ffmpeg import VideoFacts, find_bars, probe
from harvest.video.sampling import Sampling

# Half of the longest gradual cut (seconds): a frame may still turn out to be in one until then.
_FADE = 0.81


@dataclass(frozen=True, slots=True)
class _PendingFrame:
    """Frame whose scene is not yet certain."""

    time: float
    number: int | None
    picture: RawFrame


def stretches(sampling: Sampling, start: float) -> list[tuple[float | None, float]]:
    """Return ordered, disjoint segments to decode: (start, end) in file time."""
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
    """Converter of decoded blocks to candidates with known scenes.

    Fingerprints are appended to `prints`. In a segment inside a video, scenes are numbered from
    its start time in milliseconds.
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
        """Add a block and yield the candidates whose scene is now certain."""
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
        """Yield the remaining candidates at the end of the segment."""
        self._add_cuts(self._detector.finish())
        yield from self._settled_before(math.inf)

    def stretch(self, candidate: FrameCandidate) -> tuple[int, int]:
        """Return the interval in which a candidate competes with others."""
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
        if not self._sampling.skip_openings:
            return
        for time, thumb in zip(block.times[:inside].tolist(), block.thumbs[:inside], strict=True):
            latest = self._fingerprints[-1][0] if self._fingerprints else -math.inf
            if time >= self._since and math.floor(time) > latest:
                code = int(str(imagehash.phash(Image.fromarray(thumb[0]))), 16)
                self._fingerprints.append((time, code))


Keep = Callable[[bytes, Measured], None]


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """Kept frame whose file is in the store; `time` is file time in seconds.

    `faces` are those that the `FrameChooser` detected.
    """

    measured: Measured
    time: float
    scene: int
    number: int | None
    faces: tuple[FollowedFace, ...] = ()


@dataclass(slots=True)
class SampledVideo:
    """Result of sampling one video; `error` is set if sampling was aborted.

    `left_out` counts intervals without a frame by reason; `trouble` describes damage to the video,
    `seconds` is its length.
    """

    frames: list[StoredFrame] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    trouble: str = ""
    seconds: float | None = None
    prints: list[Fingerprint] = field(default_factory=list)
    error: Unreadable | None = None


def read_facts(video: Path) -> VideoFacts:
    """Return the facts of a video file, cached. Raises `Unreadable`."""
    try:
        status = video.stat()
        return _facts(video, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise Unreadable("cannot be read", str(error.strerror)) from error


@lru_cache(maxsize=4096)
def _facts(video: Path, _size: int, _changed: int) -> VideoFacts:
    return probe_animated_image(video) if is_picture(first_bytes(video)) else probe(video)


class VideoSampler:
    """Sampler of one video; `keep` stores the bytes of a frame.

    `advance` receives the seconds of video done since its last call, and may raise to stop.
    A `follower` selects frames by their content instead of by sharpness.
    """

    def __init__(
        self,
        video: Path,
        sampling: Sampling,
        keep: Keep,
        follower: FrameFollower | None = None,
        advance: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._video, self._sampling, self._keep, self._advance = video, sampling, keep, advance
        self._chooser: FrameChooser = (
            follower.chooser(sampling.limit) if follower else FrameSelector(sampling)
        )
        self._gone = 0.0

    def run(self) -> SampledVideo:
        """Sample the whole video. Raises `DiskFull`."""
        self._result = SampledVideo(left_out=self._chooser.left_out)
        try:
            self._sample_all()
        except Unreadable as error:
            self._result.error = error
        return self._result

    def _sample_all(self) -> None:
        self._facts = facts = read_facts(self._video)
        self._result.seconds = facts.seconds
        crop = find_bars(self._video, facts) if self._sampling.crop_bars else None
        plan = make_plan(self._sampling, facts, crop)
        for begin, end in stretches(self._sampling, facts.start):
            self._advance(0.0)
            if not self._chooser.full:
                self._sample_segment(replace(plan, since=begin, until=end))
        self._report(math.inf)

    def _sample_segment(self, plan: DecodePlan) -> None:
        segment = VideoSegment(plan, self._sampling, self._result.prints)
        source = AnimatedImageDecoder if self._facts.container == "picture" else FfmpegDecoder
        decoding = source(self._video, segment.plan, segment.numbering)
        with closing(decoding.blocks()) as blocks:
            for block in blocks:
                self._offer(segment, segment.take(block))
                if segment.over or self._chooser.full:
                    break
        self._offer(segment, segment.finish())
        self._store(self._chooser.close())
        self._result.trouble = self._result.trouble or decoding.trouble
        self._result.seconds = self._length(decoding.last, segment)

    def _length(self, last: float, segment: VideoSegment) -> float | None:
        read, stated = last - self._facts.start, self._result.seconds or 0.0
        to_the_end = not (segment.over or self._chooser.full or self._result.trouble)
        jumped = self._facts.discontinuous and 0 < read < stated * 0.95 - 2
        all_frames = segment.plan.skip is None
        longer = read > stated or (to_the_end and all_frames and jumped)
        return read if longer else self._result.seconds

    def _offer(self, segment: VideoSegment, candidates: Iterable[FrameCandidate]) -> None:
        for candidate in candidates:
            if self._chooser.full:
                return
            stretch = segment.stretch(candidate)
            if self._chooser.begins(stretch):
                self._store(self._chooser.close(candidate.cut))
                self._report(candidate.time)
            if not self._chooser.full:
                self._chooser.offer(candidate, stretch)

    def _store(self, candidates: Iterable[FrameCandidate]) -> None:
        for candidate in candidates:
            data, measured = encode(candidate.picture, self._sampling)
            self._keep(data, measured)
            faces = self._chooser.faces(candidate, data, measured)
            self._result.frames.append(
                StoredFrame(measured, candidate.time, candidate.scene, candidate.number, faces)
            )

    def _report(self, time: float) -> None:
        gone = min(max(time - self._facts.start, 0.0), self._facts.seconds or 0.0)
        self._advance(max(gone - self._gone, 0.0))
        self._gone = max(gone, self._gone)
