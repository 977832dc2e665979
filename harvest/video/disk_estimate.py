"""How much disk the frames of a run will need, told before it begins."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gleanset.errors import DiskFull
from harvest.video.sampling import Sampling

# Bytes a pixel of these JPEG qualities, and of PNG: means over frames of the drawn and the filmed
# clips of the tests, 270 to 720 lines. Noisy film takes up to three times as much.
_QUALITIES, _JPEG = (1, 50, 75, 85, 92, 97, 100), (0.03, 0.09, 0.13, 0.17, 0.23, 0.38, 0.60)
_PNG = 1.0
# Seconds from cut to cut and from key frame to key frame, in the middle of what is usual.
_SHOT, _KEY_FRAME = 4.0, 3.0
# Frames of a shot in which the faces of all that are in it can be kept.
_SEEN = 3.0
# A prediction may be too high by so much: near-duplicates and fades are not kept.
_SURE = 4


@dataclass(frozen=True, slots=True)
class VideoLength:
    """What has to be known of a video: its length in seconds, its size in pixels."""

    seconds: float
    width: int
    height: int


def frames_of(sampling: Sampling, seconds: float) -> int:
    """About how many frames that sampling takes of so long a video, at most."""
    begin, end = sampling.start or 0.0, min(sampling.end or seconds, seconds)
    span = max(end - begin, 0.0)
    by_time, scenes = span / sampling.every, span / _SHOT
    number = {
        "every": by_time,
        "around": len(sampling.around) * 2 * sampling.reach / sampling.every,
        "keyframes": span / _KEY_FRAME,
        "scenes": scenes * sampling.per_scene,
        "useful": scenes + by_time,
        "seen": min(scenes * _SEEN, by_time),
    }[sampling.mode]
    return min(int(number) + 1, sampling.limit or int(number) + 1)


def bytes_of(sampling: Sampling, video: VideoLength) -> int:
    """About how many bytes the frames of a video will take."""
    width, height = frame_size(sampling, video.width, video.height)
    png = sampling.format == "png"
    each = _PNG if png else float(np.interp(sampling.quality, _QUALITIES, _JPEG))
    return int(frames_of(sampling, video.seconds) * width * height * each)


def frame_size(sampling: Sampling, width: int, height: int) -> tuple[int, int]:
    """Return the size that a frame of these pixels is sampled at."""
    wide, high = sampling.width, sampling.height
    if wide and high and not sampling.keep_aspect:
        return wide, high
    scale = min((wide or width) / width, (high or height) / height, 1.0)
    return max(round(width * scale), 1), max(round(height * scale), 1)


def bytes_of_all(sampling: Sampling, videos: Sequence[VideoLength]) -> int:
    """Return the same of several, of whose frames no more are kept than the limit."""
    needed = sum(bytes_of(sampling, video) for video in videos)
    frames = sum(frames_of(sampling, video.seconds) for video in videos)
    return needed if not sampling.limit else needed * min(sampling.limit, frames) // max(frames, 1)


def check_space(folder: Path, sampling: Sampling, videos: Iterable[VideoLength]) -> int:
    """Return the bytes that the frames will take.

    `DiskFull` where there are clearly not so many.
    """
    needed = bytes_of_all(sampling, list(videos))
    free = shutil.disk_usage(_there(folder)).free
    if needed // _SURE > free:
        raise DiskFull(
            f"the frames will take about {human_bytes(needed)}, and there is "
            f"{human_bytes(free)} free for {folder}",
            "free some space, or ask for fewer or smaller frames (--every, --size)",
        )
    return needed


def human_bytes(size: int) -> str:
    """Return a number of bytes for a person."""
    for unit, factor in (("GB", 1e9), ("MB", 1e6)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size / 1e3:.0f} kB"


def _there(folder: Path) -> Path:
    """Return the folder, or the nearest one above that is there already."""
    return next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
