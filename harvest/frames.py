"""Frames of videos: sampled by ffmpeg, measured, kept with their place and scene."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path

from gleanset import Dataset
from gleanset.errors import InputUnusable, Unreadable, UsageError
from gleanset.records import Origin, Rejection
from gleanset.work.pool import Processes, run_over
from gleanset.work.progress import Progress
from harvest.folder import printable
from harvest.intake import Intake, KeepBytes, KeepFile
from harvest.video.run_ffmpeg import Sampled, sample_every, scene_numbers

STAGE = "harvest-frames"
_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0}


def parse_seconds(text: str) -> float:
    """'5s', '0.5', '500ms' or '1m' as seconds. Raises `UsageError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|)", text.strip())
    if not match or float(match.group(1)) <= 0:
        raise UsageError(f"{text!r} is not a length of time", "write for instance 5s or 500ms")
    return float(match.group(1)) * _UNITS[match.group(2)]


def harvest_frames(
    dataset: Dataset, videos: Iterable[Path], every: float, *, label: str | None = None,
    workers: int = 0, progress: Progress | None = None,
) -> dict[str, object]:  # fmt: skip
    """Add a frame of every `every` seconds of each video; the counts of what happened.

    A video is known by its content and is not sampled twice with the same settings. One
    that is none becomes a rejection; `InputUnusable` when none of them could be used.
    """
    paths = [_checked(video) for video in videos]
    bar = progress or Progress()
    unusable: list[str] = []
    with dataset.stage(STAGE) as scratch:
        intake = Intake(dataset, STAGE)
        for number, path in enumerate(bar.over(paths, "videos", len(paths), " videos")):
            try:
                sampler = Sampler(dataset, intake, scratch / f"video-{number}", workers)
                sampler.sample(path, every, label)
            except Unreadable as error:
                dataset.rejections.add(
                    Rejection(STAGE, printable(path), error.reason, error.detail)
                )
                unusable.append(f"{path}: {error.reason}: {error.detail}")
                intake.tally["rejected"] += 1
                intake.reasons[error.reason] += 1
    if unusable and len(unusable) == len(paths):
        raise InputUnusable("\n  ".join(unusable), "name video files that ffmpeg can play")
    return intake.result()


class Sampler:
    """Takes the frames of one video into the dataset. `folder` is for its own use."""

    def __init__(self, dataset: Dataset, intake: Intake, folder: Path, workers: int) -> None:
        self._dataset = dataset
        self._intake = intake
        self._folder = folder
        self._workers = workers

    def sample(self, path: Path, every: float, label: str | None) -> None:
        """Raises `Unreadable` for what is not a video."""
        sha256 = _hash(path)
        settings = f"every={every:g}"
        if known := self._dataset.videos.frames(sha256, settings):
            self._intake.tally["known"] += known
            return
        self._folder.mkdir(parents=True)
        sampled = sample_every(path, every, self._folder)
        origins = _origins(sampled, path, sha256, label)
        keep = KeepFile(KeepBytes(self._dataset.originals(self._folder.parent)))
        new = [file for file, origin in origins.items() if not self._intake.knows(origin)]
        for outcome in run_over(keep, new, Processes(self._workers)):
            self._intake.take(origins[outcome.item], outcome)
        if sampled.trouble:
            reason = "damaged further on"
            self._dataset.rejections.add(Rejection(STAGE, printable(path), reason, sampled.trouble))
            self._intake.reasons[reason] += 1
        self._dataset.videos.record(
            sha256, path.name, settings, sampled.duration, len(sampled.files)
        )
        for file in sampled.files:
            file.unlink()


def _origins(sampled: Sampled, path: Path, sha256: str, label: str | None) -> dict[Path, Origin]:
    scenes = scene_numbers(sampled.times, sampled.cuts)
    return {
        file: Origin(
            source="video",
            key=f"{sha256[:16]}@{time:.3f}",
            path=printable(path),
            video=sha256,
            time=round(time, 6),
            scene=scene,
            title=printable(Path(path.name)),
            hint=label,
        )
        for file, time, scene in zip(sampled.files, sampled.times, scenes, strict=False)
    }


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Unreadable("cannot be read", str(error.strerror)) from error


def _checked(path: Path) -> Path:
    if path.is_dir():
        raise InputUnusable(f"{path} is a folder", f"name its videos: {path}/*")
    if not path.is_file():
        raise InputUnusable(f"there is no file {path}", "check its name")
    return path.absolute()
