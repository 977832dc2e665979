"""Harvesting of video frames: sample videos in parallel and import the frames."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from threading import Lock

import msgspec

from gleanset import Dataset
from gleanset.errors import InputUnusable, MissingComponent, Unreadable
from gleanset.files.names import format_path
from gleanset.files.store import hash_file
from gleanset.named_files import format_short_path, rejections_command, summarize_lines
from gleanset.platform import count_cores
from gleanset.records import Rejection
from gleanset.video.run_ffmpeg import find_ffmpeg, kill_all
from gleanset.work.pool import Outcome, Threads, run_over
from gleanset.work.progress import NO_PROGRESS, Progress
from harvest.importer import Importer
from harvest.results import FramesResult, VideosPreview
from harvest.video.frame_selector import FrameFollower
from harvest.video.inputs import LocalVideo, open_video
from harvest.video.intros import Fingerprint, RepeatedSegment, find_repeats
from harvest.video.sampler import (
    SampledVideo,
    StoredFrame,
    VideoSampler,
    VideoTask,
    read_facts,
)
from harvest.video.sampling import Sampling

STAGE = "harvest-frames"
DAMAGED = "damaged video"
# Frames per transaction, so that other programs can write to the catalogue in between.
_BATCH_FRAMES = 50
# Cores per video, because ffmpeg decodes with several threads.
_CORES_PER_VIDEO = 4


@dataclass
class FrameHarvest:
    """Import of the sampled frames of videos; a `follower` selects frames by their content.

    A video is identified by its content and not sampled twice with the same settings, unless the
    first attempt was aborted. `workers` videos are sampled at once (0: automatic).
    """

    dataset: Dataset
    sampling: Sampling
    label: str | None = None
    workers: int = 0
    progress: Progress = NO_PROGRESS
    follower: FrameFollower | None = None

    def run(self, videos: Iterable[Path]) -> FramesResult:
        """Import the frames of these videos; return the counts, `left_out` by reason.

        A bad video becomes a rejection; if no video is usable, raises `InputUnusable` or
        `MissingComponent`.
        """
        inputs = list(videos)
        dataset = self.dataset
        find_ffmpeg()
        self._lock = Lock()
        self._is_stopped = False
        self._unusable: list[tuple[str, Unreadable]] = []  # videos without any frame
        self._unreadable_videos: list[str] = []  # lines about these and damaged ones
        self._videos = Counter[str]()  # by state, such as "sampled" or "a copy"
        self._seen_videos = set[str]()
        # Descriptions of the damage to videos of earlier runs, by name: these videos are reported
        # again, but not sampled again.
        rejections = dataset.rejections.iterate()
        self._damaged = {r.item: r.detail for r in rejections if r.reason == DAMAGED}
        self._left_out = Counter[str]()
        self._pale_videos: list[str] = []
        # Images of this run by SHA-256, and the number of frames of videos known before.
        self._images = set[str]()
        self._known_count = 0
        # To skip intros, all videos are sampled first.
        self._sampled: list[tuple[VideoTask, SampledVideo]] = []

        with dataset.stage(STAGE) as scratch:
            self._store = dataset.originals(scratch)
            self._importer = Importer(dataset, STAGE, self._store, [self._images])
            total = sum(_iter_lengths(inputs)) or None
            with self.progress.meter("frames", total, " s of video") as meter:
                self._advance = meter.advance
                self._sample(inputs)
            self._store_outside_repeats()
            if self.label:
                self._label_known_frames()
            self._importer.finish()

        self._raise_if_all_unusable()
        self._report_pale_videos()
        counts = self._importer.result()
        result = FramesResult(
            **msgspec.structs.asdict(counts), video_states=dict(self._videos)
        )
        result.left_out = dict(self._left_out.most_common())
        result.unreadable_videos = summarize_lines(
            self._unreadable_videos, rejections_command(dataset, STAGE)
        )
        return result

    def _report_pale_videos(self) -> None:
        if not self._pale_videos:
            return
        names, *others = self._pale_videos
        if others:
            names += f" and {len(others)} more videos"
        self.progress.say(
            f"frames of HDR video are pale: {names}\nhint: put an ffmpeg with the filters zscale "
            "and tonemap first in PATH, such as that of Debian or imageio-ffmpeg, and sample it in "
            "a new dataset"
        )

    @property
    def _remaining_count(self) -> int | None:
        """Number of images that may still be added; None without a limit."""
        if self.sampling.limit is None:
            return None
        count = len(self._images) + self._known_count
        return max(self.sampling.limit - count, 0)

    @property
    def _sampling_limit(self) -> int | None:
        """Number of images that may still be sampled: all, where repeats are left out later."""
        return None if self.sampling.skip_openings else self._remaining_count

    def _sample(self, inputs: list[Path]) -> None:
        """Sample all inputs in parallel, or sequentially if there is a limit."""
        # With a limit, each video may add only what the ones before it have left.
        thread_count = self.workers or max(count_cores() // _CORES_PER_VIDEO, 1)
        threads = Threads(thread_count, stop=self._stop)
        max_at_once = 1 if self._sampling_limit is not None else threads.number

        def may_start(in_flight: int) -> bool:
            return in_flight < max_at_once

        for outcome in run_over(
            lambda task: VideoSampler(task).run(),
            self._iter_tasks(inputs),
            threads,
            may_start,
        ):
            self._record(outcome)

    def _stop(self) -> None:
        self._is_stopped = True
        kill_all()

    def _advance_shared(self, seconds: float) -> None:
        with self._lock:
            if self._is_stopped:
                raise _Stopped
            self._advance(seconds)

    def _iter_tasks(self, inputs: list[Path]) -> Iterator[VideoTask]:
        for position, file in enumerate(inputs):
            if self._sampling_limit == 0:
                self._videos["over the limit"] += len(inputs) - position
                return
            try:
                video = open_video(file)
            except Unreadable as error:
                self._reject(format_path(file), error)
                continue
            if self._is_done(video):
                continue
            yield VideoTask(
                position,
                video,
                replace(self.sampling, limit=self._sampling_limit),
                self._store,
                self._advance_shared,
                self.follower,
            )

    def _record(self, outcome: Outcome[VideoTask, SampledVideo]) -> None:
        task = outcome.item
        sampled = outcome.result
        if sampled:
            self._write(task, sampled)
            error = sampled.error
        else:
            error = Unreadable(outcome.reason or "?", outcome.detail)

        if error:
            self._reject(task.video.name, error)
        elif sampled:
            self._videos["sampled in part" if sampled.damage else "sampled"] += 1

    def _raise_if_all_unusable(self) -> None:
        # Videos that were sampled now or before are usable, and so is an empty list.
        if self._videos.total() > len(self._unusable) or not self._unusable:
            return
        lines = "\n  ".join(
            f"{name}: {error.reason}: {error.detail}" for name, error in self._unusable
        )
        if {error.reason for _, error in self._unusable} == {"missing codec"}:
            raise MissingComponent(
                lines, "install an ffmpeg with that decoder, first in PATH"
            )
        raise InputUnusable(lines, "name video files that ffmpeg can play")

    def _reject(self, name: str, error: Unreadable) -> None:
        self._unusable.append((name, error))
        self._importer.tally["rejected"] += 1
        self._videos["rejected"] += 1
        self._importer.reasons[error.reason] += 1
        self.dataset.rejections.add(Rejection(STAGE, name, error.reason, error.detail))
        self._note_unreadable(name, error.reason)

    def _note_unreadable(self, name: str, reason: str, damage: str = "") -> None:
        line = f"{format_short_path(name)}: {reason}"
        if damage:
            # How much was read, without the line of ffmpeg's log.
            line += f" ({damage.partition(': ')[0]})"
        self._unreadable_videos.append(line)

    def _is_done(self, video: LocalVideo) -> bool:
        """Return whether a video needs no sampling; count it, and the frames of earlier runs."""
        sha256 = video.sha256
        is_repeated = sha256 in self._seen_videos
        self._seen_videos.add(sha256)
        frames = self.dataset.videos.get_frame_count(sha256, self.sampling.settings)

        if is_repeated:
            self._videos["a copy"] += 1
        elif frames is not None:
            self._videos["sampled before"] += 1
            # Forgotten frames are counted over all samplings of the video, with other settings,
            # too; so they may be more than the frames of this sampling.
            forgotten = min(self.dataset.videos.count_forgotten_frames(sha256), frames)
            self._importer.tally["known"] += frames - forgotten
            self._importer.tally["forgotten"] += forgotten
            self._known_count += frames
            name = video.name
            if name in self._damaged:
                self._note_unreadable(name, DAMAGED, self._damaged[name])
        else:
            return False
        return True

    def _label_known_frames(self) -> None:
        """Give the weak label to frames of earlier runs, too, in the part that is sampled."""
        for sha256 in self._seen_videos:
            with self.dataset.db.transaction():
                for origin in self.dataset.videos.list_frames(
                    sha256, self.sampling.start, self.sampling.end
                ):
                    self._importer.note_known(replace(origin, hint=self.label))

    def _write(self, task: VideoTask, sampled: SampledVideo) -> None:
        """Store a video's frames; record it as sampled unless it was aborted."""
        if sampled.error:
            self._store_frames(task, sampled.frames)
            return

        name = task.video.name
        self._left_out.update(sampled.left_out)
        if sampled.is_pale:
            self._pale_videos.append(name)
        start = self.sampling.start or 0.0
        if sampled.seconds is not None and start >= sampled.seconds:
            self._left_out["after the end of the video"] += 1
        if sampled.damage:
            self.dataset.rejections.add(Rejection(STAGE, name, DAMAGED, sampled.damage))
            self._note_unreadable(name, DAMAGED, sampled.damage)
        if self.sampling.skip_openings:
            self._sampled.append((task, sampled))
            return
        self._store_video(task, sampled, sampled.frames)

    def _store_outside_repeats(self) -> None:
        """Store the frames outside repeated segments, at the end of a run."""
        videos = sorted(self._sampled, key=lambda video: video[0].index)
        # Of two equal segments the later one counts as a repeat: videos already in the dataset
        # come first, because their frames are stored.
        earlier = self._load_fingerprints() if videos else []
        fingerprints = earlier + [sampled.fingerprints for _, sampled in videos]
        repeats = find_repeats(fingerprints, len(earlier))[len(earlier) :]

        fresh_frames = []
        for (_, sampled), segments in zip(videos, repeats, strict=True):
            frames = [f for f in sampled.frames if self._is_fresh(f, segments)]
            fresh_frames.append(frames)
        frames_to_store = self._apply_limit(fresh_frames)
        for (task, sampled), frames, segments in zip(
            videos, frames_to_store, repeats, strict=True
        ):
            # Keep only fingerprints of first occurrences for comparison with later videos.
            fresh_fingerprints = [
                (time, code)
                for time, code in sampled.fingerprints
                if not _is_inside(time, segments)
            ]
            state: dict[str, object] = {
                "prints": fresh_fingerprints,
                "left_out": segments,
            }
            self._store_video(task, sampled, frames, state)

        for _, sampled in videos:
            for frame in sampled.frames:
                self._remove_unused_crops(frame)

    def _remove_unused_crops(self, frame: StoredFrame) -> None:
        for face in frame.faces:
            crop = face.crop
            if crop and not self.dataset.samples.get(crop.key):
                self.dataset.crop_path(crop.key).unlink(missing_ok=True)

    def _load_fingerprints(self) -> list[list[Fingerprint]]:
        """Return the fingerprints of videos that earlier runs have sampled."""
        new = {task.video.sha256 for task, _ in self._sampled}
        return [
            msgspec.convert(state.get("prints", []), list[Fingerprint])
            for sha256, state in self.dataset.videos.iter_states(self.sampling.mode)
            if sha256 not in new
        ]

    def _is_fresh(self, frame: StoredFrame, repeats: list[RepeatedSegment]) -> bool:
        """Return whether to import a frame; if not, count it as left out.

        A frame within a repeated segment is imported only to restore a missing file.
        """
        if not _is_inside(frame.time, repeats):
            return True
        image = self.dataset.images.get(frame.measured.sha256)
        if image and image.state == "missing":
            return True
        self._left_out["opening"] += 1
        return False

    def _apply_limit(self, videos: list[list[StoredFrame]]) -> list[list[StoredFrame]]:
        """Return as many frames of each video as the limit allows for all of them."""
        limit = self._remaining_count
        if limit is None:
            return videos

        frames_to_store: list[list[StoredFrame]] = [[] for _ in videos]
        images = set[str]()
        # The first frame of each video, then the second ones, …: the limit is shared evenly. A
        # frame equal to one that is stored anyway does not count.
        for frames in zip_longest(*videos):
            for target, frame in zip(frames_to_store, frames, strict=True):
                if frame and (frame.measured.sha256 in images or len(images) < limit):
                    images.add(frame.measured.sha256)
                    target.append(frame)
        return frames_to_store

    def _store_video(
        self,
        task: VideoTask,
        sampled: SampledVideo,
        frames: Sequence[StoredFrame],
        state: dict[str, object] | None = None,
    ) -> None:
        self._store_frames(task, frames)
        self.dataset.videos.record(
            task.video.origin,
            self.sampling.settings,
            sampled.seconds,
            len(frames),
            state,
        )

    def _store_frames(self, task: VideoTask, frames: Sequence[StoredFrame]) -> None:
        for begin in range(0, len(frames), _BATCH_FRAMES):
            with self.dataset.db.transaction():
                for frame in frames[begin : begin + _BATCH_FRAMES]:
                    self._store_frame(task, frame)

    def _store_frame(self, task: VideoTask, frame: StoredFrame) -> None:
        video = task.video
        sha256 = frame.measured.sha256
        origin = replace(
            video.origin,
            key=f"{video.sha256[:16]}@{frame.time:.3f}",
            time=round(frame.time, 6),
            scene=frame.scene,
            frame=frame.number,
            hint=self.label,
        )
        # With other settings, such as a size, the same time of a video gives another image: the
        # stamp makes it a new item.
        stamp = sha256[:16]
        if not self._importer.is_known(origin, stamp):
            self._importer.record(origin, Outcome(origin.key, frame.measured), stamp)
        if self.follower and frame.faces:
            self.follower.record(
                self.dataset,
                sha256,
                origin,
                frame.faces,
            )


class _Stopped(Exception):
    """Signal for sampling threads that the run was interrupted."""


def preview_frames(
    dataset: Dataset, inputs: Iterable[Path], sampling: Sampling
) -> VideosPreview:
    """Return the videos that would be sampled, and what is wrong with others."""
    preview = VideosPreview(videos=0)
    hashes = set[str]()
    for file in inputs:
        name = format_path(file)
        try:
            read_facts(file)
        except Unreadable as error:
            preview.rejected += 1
            preview.problems.append(f"{name}: {error.reason}: {error.detail}")
            continue
        sha256 = hash_file(file)
        frames = dataset.videos.get_frame_count(sha256, sampling.settings)
        if frames is not None or sha256 in hashes:
            preview.known += 1
            continue
        hashes.add(sha256)
        preview.videos += 1
        preview.paths.append(name)
    return preview


def _iter_lengths(inputs: list[Path]) -> Iterator[float]:
    for file in inputs:
        with suppress(Unreadable):
            yield read_facts(file).seconds or 0.0


def _is_inside(time: float, repeats: list[RepeatedSegment]) -> bool:
    return any(segment.start < time < segment.end for segment in repeats)
