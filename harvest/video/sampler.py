"""Sampling of one video: decode, find scenes, select frames, store them."""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image

from gleanset.errors import Unreadable
from gleanset.files.store import Store
from gleanset.records import FollowedFace, Measured
from gleanset.video.filter_graph import MAX_SIDE, DecodePlan, Schedule
from gleanset.video.probe_ffmpeg import VideoFacts, find_field_order, probe
from harvest.video.cuts import CutFinder, SceneCut
from harvest.video.decoder import FfmpegDecoder, FrameBlock
from harvest.video.frame import RawFrame, encode
from harvest.video.frame_selector import (
    FrameCandidate,
    FrameChooser,
    FrameFollower,
    FrameSelector,
    Interval,
)
from harvest.video.inputs import LocalVideo
from harvest.video.intros import Fingerprint
from harvest.video.sampling import Sampling

Advance = Callable[[float], None]
# Seconds between examined frames; more for frames of many pixels, which are costly to pipe.
_STEP_SECONDS = 0.5
_LARGE_STEP_SECONDS = 1.0
_LARGE_PIXELS = 1280 * 720
# Window in seconds from which the sharpest frame is taken, and the frames examined in it.
_WINDOW_SECONDS = 0.5
_WINDOW_FRAMES = 4
# Half of the longest gradual cut, which takes 1.6 seconds, and a little for rounding: a frame may
# turn out to be in a gradual cut whose middle is that much later.
_HALF_FADE_SECONDS = 0.81


def make_schedule(sampling: Sampling, pixels: int) -> Schedule:
    """Return the schedule for frames of `pixels` pixels after resizing."""
    if sampling.mode in ("useful", "scenes"):
        is_large = pixels > _LARGE_PIXELS
        return Schedule(_LARGE_STEP_SECONDS if is_large else _STEP_SECONDS)
    if sampling.plain or sampling.mode == "seen":
        return Schedule(sampling.every)
    window = min(_WINDOW_SECONDS, sampling.every / 2)
    return Schedule(step=window / _WINDOW_FRAMES, period=sampling.every, within=window)


def make_plan(sampling: Sampling, facts: VideoFacts) -> DecodePlan:
    """Return the plan for a video, from start to end of the sampling."""
    full_width, full_height = facts.display_size
    width_scale = (sampling.width or full_width) / full_width
    height_scale = (sampling.height or full_height) / full_height
    scale = min(width_scale, height_scale, 1.0)
    width = max(round(full_width * scale), 1)
    height = max(round(full_height * scale), 1)

    schedule = make_schedule(sampling, width * height)
    # Frames that no other frame refers to ("noref") are compressed the most, and decoding them
    # costs a third more CPU time (docs/experiments.md). A window of half a second has enough
    # other frames; with shorter windows each frame may be needed.
    is_exact = sampling.mode == "every" and schedule.within < _WINDOW_SECONDS
    skips_frames = facts.skips_safely and not is_exact
    return DecodePlan(
        facts=facts,
        schedule=schedule,
        size=(width, height),
        skip="noref" if skips_frames else None,
        # Pillow writes PNG from RGB; frames with alpha become RGB anyway.
        rgb=sampling.format == "png" or facts.alpha,
        thin=sampling.mode == "every" and facts.skips_safely,
        since=sampling.start,
        until=sampling.end,
        box=(sampling.width or MAX_SIDE, sampling.height or MAX_SIDE),
    )


class VideoSegment:
    """Converter of decoded blocks to candidates with known scenes.

    New fingerprints are appended to `fingerprints`. In a segment inside a video, scenes are
    numbered from its start time in milliseconds.
    """

    def __init__(
        self, plan: DecodePlan, sampling: Sampling, fingerprints: list[Fingerprint]
    ):
        self.plan = plan
        self.is_over = False
        self._sampling = sampling
        self._fingerprints = fingerprints
        self._since = -math.inf if plan.since is None else plan.since
        self._until = math.inf if plan.until is None else plan.until
        self._detector = CutFinder(self._since)
        # Frames whose scene is not yet certain, with their times.
        self._pending = deque[tuple[float, RawFrame]]()
        # Starts of scenes that no candidate has reached yet.
        self._cuts = deque[SceneCut]()
        # Gradual cuts, with or without a new scene: candidates within them are fades.
        self._changes: list[SceneCut] = []
        # Numbers of scenes in several segments of a video must differ.
        self._scene = round((plan.since or 0.0) * 1000)
        self._scene_start: float | None = None

    def add_block(self, block: FrameBlock) -> Iterator[FrameCandidate]:
        """Add a block and yield the candidates whose scene is now certain."""
        for piece in block.iter_pieces():
            if self.is_over:
                return
            inside = np.flatnonzero(piece.times <= self._until)
            self.is_over = len(inside) < len(piece.times)
            if len(inside):
                self._add_frames(piece.select(inside))
            until = self._detector.settled_until - _HALF_FADE_SECONDS
            yield from self._pop_candidates(until)

    def finish(self) -> Iterator[FrameCandidate]:
        """Yield the remaining candidates at the end of the segment."""
        self._add_cuts(self._detector.finish())
        yield from self._pop_candidates(math.inf)

    def find_interval(self, candidate: FrameCandidate) -> Interval:
        """Return the interval in which a candidate competes with others.

        It is a pair: the number of a scene or period, and one of a period within a scene.
        """
        mode = self._sampling.mode
        every = self._sampling.every
        if mode in ("scenes", "seen"):
            return candidate.scene, 0
        if mode == "useful":
            # The segment yields candidates one by one: its latest scene is that of this one.
            time_in_scene = candidate.time - (self._scene_start or 0.0)
            return candidate.scene, int(time_in_scene // every)
        [number] = self.plan.schedule.find_bins(
            np.array([candidate.time]),
            every,
        )
        return int(number), 0

    def _add_cuts(self, cuts: Iterator[SceneCut]) -> None:
        for cut in cuts:
            if cut.end > cut.begin:
                self._changes.append(cut)
            if cut.starts_scene:
                self._cuts.append(cut)

    def _add_frames(self, block: FrameBlock) -> None:
        if self._sampling.skip_openings:
            self._add_fingerprints(block)
        self._add_cuts(self._detector.feed(block.times, block.thumbs))
        for index, frame in block.full_frames.items():
            time = float(block.times[index])
            if time >= self._since:
                self._pending.append((time, frame))

    def _pop_candidates(self, until: float) -> Iterator[FrameCandidate]:
        """Yield the frames up to a time, until which all cuts are known."""
        facts = self.plan.facts
        while self._pending and self._pending[0][0] <= until:
            time, frame = self._pending.popleft()
            # Several cuts may have come since the previous frame: its scene ended at the first
            # one, and the scene of this frame began at the last one.
            previous_scene_end = None
            while self._cuts and self._cuts[0].time <= time:
                self._scene += 1
                self._scene_start = self._cuts.popleft().time
                if previous_scene_end is None:
                    previous_scene_end = self._scene_start
            yield FrameCandidate(
                time=time,
                scene=self._scene,
                number=None if facts.fps is None else round(time * facts.fps),
                frame=frame,
                fades=any(cut.begin < time < cut.end for cut in self._changes),
                motion=self._detector.measure_motion(time),
                scene_start=self._scene_start,
                cut=previous_scene_end,
            )

        # Later frames cannot be within changes that have ended.
        self._changes = [cut for cut in self._changes if cut.end > until]

    def _add_fingerprints(self, block: FrameBlock) -> None:
        """Add a fingerprint of the first frame of each second."""
        for time, thumb in zip(block.times.tolist(), block.thumbs, strict=True):
            latest = self._fingerprints[-1][0] if self._fingerprints else -math.inf
            is_new_second = math.floor(time) > latest
            # Frames before `since` are only decoded because a seek ends at a key frame.
            if is_new_second and time >= self._since:
                brightness = Image.fromarray(thumb[0])
                # The text of an image hash is its number in hexadecimal digits.
                code = int(str(imagehash.phash(brightness)), 16)
                self._fingerprints.append((time, code))


class StoredFrame(NamedTuple):
    """Kept frame whose file is in the store; `time` is in seconds, as in players.

    `faces` are those that the `FrameChooser` detected.
    """

    measured: Measured
    time: float
    scene: int
    number: int | None
    faces: tuple[FollowedFace, ...]


@dataclass
class SampledVideo:
    """Result of sampling one video; `error` is set if sampling was aborted.

    `left_out` counts intervals without a frame by reason; `damage` describes damage to the video,
    `seconds` is its length. If `is_pale`, colors are HDR, which this ffmpeg cannot convert.
    """

    frames: list[StoredFrame] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    damage: str = ""
    is_pale: bool = False
    seconds: float | None = None
    fingerprints: list[Fingerprint] = field(default_factory=list)
    error: Unreadable | None = None


def read_facts(video: Path) -> VideoFacts:
    """Return the facts of a video file, cached. Raises `Unreadable`."""
    try:
        status = video.stat()
        return _probe_cached(video, status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise Unreadable("cannot be read", str(error.strerror)) from error


@lru_cache(maxsize=4096)
def _probe_cached(video: Path, _size: int, _time: int) -> VideoFacts:
    """Return the facts of a video; size and time only make a changed file another cache key."""
    return probe(video)


@dataclass(frozen=True)
class VideoTask:
    """Sampling job for one video; frames are staged in `store`.

    A `follower` selects frames by their content instead of by sharpness. `advance` receives the
    seconds of video done since its last call, and may raise to stop.
    """

    index: int  # in its run
    video: LocalVideo
    sampling: Sampling
    store: Store
    advance: Advance
    follower: FrameFollower | None


class VideoSampler:
    """Sampler of one video."""

    def __init__(self, task: VideoTask):
        self._task = task
        self._chooser: FrameChooser = (
            task.follower.chooser(task.sampling.limit)
            if task.follower
            else FrameSelector(task.sampling)
        )
        self._done_seconds = 0.0

    def run(self) -> SampledVideo:
        """Sample the whole video. Raises `DiskFull`."""
        self._result = SampledVideo(left_out=self._chooser.left_out)
        try:
            self._sample()
        except Unreadable as error:
            self._result.error = error
        return self._result

    def _sample(self) -> None:
        video = self._task.video.path
        sampling = self._task.sampling
        facts = find_field_order(video, read_facts(video))
        self._facts = facts
        self._result.seconds = facts.seconds
        self._result.is_pale = facts.is_pale
        self._task.advance(0.0)  # raises if the run was stopped meanwhile

        plan = make_plan(sampling, facts)
        segment = VideoSegment(plan, sampling, self._result.fingerprints)
        decoder = FfmpegDecoder(video, plan)
        with closing(decoder.iter_blocks()) as blocks:
            for block in blocks:
                self._offer_candidates(segment, segment.add_block(block))
                if segment.is_over or self._chooser.is_full:
                    break
        self._offer_candidates(segment, segment.finish())
        self._store_frames(self._chooser.close())

        self._result.damage = decoder.damage
        # The length by the header may be missing or wrong.
        seconds = facts.seconds if decoder.length is None else decoder.length
        if decoder.last_time > (seconds or 0.0):
            seconds = decoder.last_time
        self._result.seconds = seconds
        self._report_progress(math.inf)  # to the end by the header

    def _offer_candidates(
        self, segment: VideoSegment, candidates: Iterable[FrameCandidate]
    ) -> None:
        for candidate in candidates:
            if self._chooser.is_full:
                return
            interval = segment.find_interval(candidate)
            if self._chooser.begins(interval):
                self._store_frames(self._chooser.close(candidate.cut))
                self._report_progress(candidate.time)
            # The frames of the closed interval may have reached the limit.
            if not self._chooser.is_full:
                self._chooser.offer(candidate, interval)

    def _store_frames(self, candidates: Iterable[FrameCandidate]) -> None:
        for candidate in candidates:
            data, measured = encode(candidate.frame, self._task.sampling)
            self._task.store.stage(measured.sha256, measured.format, data)
            faces = self._chooser.faces(candidate, data, measured)
            frame = StoredFrame(
                measured, candidate.time, candidate.scene, candidate.number, faces
            )
            self._result.frames.append(frame)

    def _report_progress(self, time: float) -> None:
        done_seconds = min(max(time, 0.0), self._facts.seconds or 0.0)
        self._task.advance(max(done_seconds - self._done_seconds, 0.0))
        self._done_seconds = max(done_seconds, self._done_seconds)
