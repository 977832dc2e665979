"""Pictures that move (GIF, WebP, APNG), decoded by Pillow in the same shape as videos.

ffmpeg reads no animated WebP and forgets transparency; Pillow composes every frame as a
browser shows it, on the ground that transparent images get.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from gleanset.errors import Unreadable
from gleanset.images.decode import MAX_FRAMES, MAX_PIXELS
from gleanset.images.rgb import Ground, ground_of, on_ground
from harvest.video.decoder import FrameBlock, FrameNumbering
from harvest.video.file_types import BROKEN_PICTURE, PICTURE_FORMATS, picture_moves
from harvest.video.filter_graph import THUMB, DecodePlan
from harvest.video.frame import RawFrame
from harvest.video.probe_ffmpeg import VideoFacts

# Seconds of a frame that says nothing of its length, as in browsers and in ffmpeg.
_UNTOLD = 0.1
# All frames of a file together; bounds the time that a bomb can take.
_MOST_PIXELS = 40 * MAX_PIXELS


def probe_animated_image(video: Path) -> VideoFacts:
    """Return the facts of a picture that moves. Raises `Unreadable` for others, and `OSError`."""
    with _opened(video) as image:
        if not picture_moves(video):
            raise Unreadable("not a video", "a picture that does not move: harvest folder takes it")
        wide, high = image.size
        frames = int(getattr(image, "n_frames", 1))
        if wide * high > MAX_PIXELS or frames > MAX_FRAMES or wide * high * frames > _MOST_PIXELS:
            raise Unreadable("too large", f"{frames} frames of {wide} x {high} pixels")
        kind = str(image.format).lower()
    return VideoFacts("picture", kind, 0, wide, high)


class AnimatedImageDecoder:
    """The frames of a picture that moves; see `Decoding`."""

    def __init__(self, video: Path, plan: DecodePlan, numbering: FrameNumbering) -> None:
        self._video = video
        self._plan = plan
        self._ground: Ground | None = None
        self.last = -math.inf
        self.trouble = ""

    def blocks(self) -> Generator[FrameBlock, None, None]:
        """Everything, in order. Raises `Unreadable` where there is not one frame."""
        time, before = 0.0, math.nan
        with _opened(self._video) as image:
            for number in range(int(getattr(image, "n_frames", 1))):
                try:
                    layer, seconds = _layer(image, number)
                except BROKEN_PICTURE as error:
                    if number == 0:
                        raise Unreadable("damaged", f"{type(error).__name__}: {error}") from error
                    self.trouble = f"read {number} frames: {type(error).__name__}: {error}"
                    return
                # The first frame that shows anything says which ground all get.
                self._ground = self._ground or ground_of(layer)
                frame = on_ground(layer, self._ground)
                self.last = time
                yield self._block(frame, round(time, 9), before, number)
                time, before = time + seconds, time

    def _block(self, frame: Image.Image, time: float, before: float, number: int) -> FrameBlock:
        times = np.array([time])
        pictures = {}
        if self._plan.schedule.due(times, before)[0]:
            wanted = frame
            if self._plan.crop:
                x, y, wide, high = self._plan.crop
                wanted = frame.crop((x, y, x + wide, y + high))
            if wanted.size != self._plan.size:
                wanted = wanted.resize(self._plan.size, Image.Resampling.LANCZOS)
            pictures[0] = RawFrame(wanted.tobytes(), wanted.size, rgb=True, bt709=False)
        tiny = frame.resize(THUMB, Image.Resampling.BOX).convert("YCbCr")
        thumb = np.asarray(tiny).transpose(2, 0, 1)[None]
        return FrameBlock(times, np.ascontiguousarray(thumb), np.array([number]), pictures)


def _opened(video: Path) -> Any:
    try:
        return Image.open(video, formats=PICTURE_FORMATS)
    except BROKEN_PICTURE as error:
        raise Unreadable("not a video", f"its picture is broken: {error}") from error


def _layer(image: Any, number: int) -> tuple[Image.Image, float]:
    """One frame, RGBA and upright, and how long it is shown."""
    image.seek(number)
    image.load()
    length = image.info.get("duration") or 0
    seconds = float(length) / 1000 if length > 0 else _UNTOLD
    return ImageOps.exif_transpose(image).convert("RGBA"), seconds
