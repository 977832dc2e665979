"""Decoders: turn a video into blocks of thumbnails with times, frame numbers and full frames."""

from __future__ import annotations

import bisect
import itertools
import math
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from gleanset.errors import Unreadable
from gleanset.images.decode import MAX_FRAMES, MAX_PIXELS
from gleanset.images.rgb import Color, choose_background, composite_on_background
from harvest.video.filter_graph import THUMB, TICKS, DecodePlan, build_ffmpeg_command, list_outputs
from harvest.video.frame import RawFrame
from harvest.video.inputs import ANIMATED_FORMATS, IMAGE_ERRORS, is_animated
from harvest.video.probe_ffmpeg import VideoFacts, reports_damage
from harvest.video.run_ffmpeg import (
    FULL_FRAMES,
    LOG,
    RunningFfmpeg,
    find_failure_reason,
    raise_for_environment,
)

# Times within this many seconds are equal.
_TIME_TOLERANCE_SECONDS = 1e-6
# Maximum seconds by which packets may be out of order.
_MAX_REORDER_SECONDS = 5.0
# The number of a frame is certain once packets this many seconds later have been read.
_LOOKAHEAD_SECONDS = 0.5
# Maximum number of uncounted packets; beyond it, frame numbers are unknown.
_MAX_PACKETS = 2000


class FrameNumbering:
    """Counter of frames; `first` is the number of the first frame at or after time `since`.

    If the decoder skips frames, packets are counted instead, in order of time. Once their time
    stamps restart, numbers are unknown.
    """

    def __init__(self, *, by_packets: bool, since: float = -math.inf, first: int = 0) -> None:
        self.by_packets = by_packets
        self._since = since
        self._first = first
        self._packets: list[float] = []
        self._latest = -math.inf
        self._is_broken = False

    def add_packet(self, time: float) -> None:
        """Record the time of a packet (seconds)."""
        self._is_broken |= (
            time < self._latest - _MAX_REORDER_SECONDS or len(self._packets) > _MAX_PACKETS
        )
        self._latest = max(self._latest, time)
        if time >= self._since - _TIME_TOLERANCE_SECONDS:
            bisect.insort(self._packets, time)

    def is_certain(self, time: float) -> bool:
        """Return whether the number of a frame at that time is known."""
        return not self.by_packets or self._is_broken or self._latest >= time + _LOOKAHEAD_SECONDS

    def start_at(self, time: float) -> None:
        """Count from the first displayed frame, unless `since` was given."""
        if self._since == -math.inf:
            self._since = time
            self._packets = [
                packet_time
                for packet_time in self._packets
                if packet_time >= time - _TIME_TOLERANCE_SECONDS
            ]

    def number_frames(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the numbers of the next frames (increasing times); -1 where unknown."""
        inside = (times >= self._since - _TIME_TOLERANCE_SECONDS) & (not self._is_broken)
        if self.by_packets:
            numbers = self._first + np.searchsorted(
                np.array(self._packets), times - _TIME_TOLERANCE_SECONDS
            )
            passed = bisect.bisect_left(self._packets, float(times[-1]) - _MAX_REORDER_SECONDS)
            del self._packets[:passed]
            self._first += passed
        else:
            numbers = self._first + np.cumsum(inside) - 1
            self._first += int(inside.sum())
        return np.where(inside, numbers, -1).astype(np.int64)


# Frames per block: enough for numpy to be fast, few enough to save memory.
_BLOCK_FRAMES = 24
_MAX_LOG_LINES = 20
# Seconds of video processed at a time: less than the cut detector buffers.
_PIECE_SECONDS = 1.0
# Frames after a seek whose errors are ignored; far fewer than the lead before the start.
_UNRELIABLE_FRAMES = 40

# Log lines that are not errors, and those in which `showinfo` prints the size of each frame.
_HARMLESS_LINE = re.compile(r"(?:\[[^\]]* @ 0x\w+\] )?\[(?:info|warning)\]")
_FRAME_LINE = re.compile(r"\[\w*showinfo\w* @ 0x\w+\] \[info\] n: .* s:(\d+)x(\d+) ")

Thumbs = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FrameBlock:
    """Consecutive frames: `times` (n,) in seconds, `thumbs` (n, 3, height, width) in YCbCr.

    `numbers` (n,) are frame numbers in the video, -1 where unknown. `full_frames` are the frames
    in full size by index in this block.
    """

    times: NDArray[np.float64]
    thumbs: Thumbs
    numbers: NDArray[np.int64]
    full_frames: dict[int, RawFrame]

    def select(self, indices: NDArray[np.int64]) -> FrameBlock:
        """Return a block of some of the frames."""
        full_frames = {
            index: self.full_frames[old]
            for index, old in enumerate(indices.tolist())
            if old in self.full_frames
        }
        return FrameBlock(
            self.times[indices], self.thumbs[indices], self.numbers[indices], full_frames
        )

    def iter_pieces(self) -> Iterator[FrameBlock]:
        """Yield the block in parts of about one second."""
        begin = 0
        while begin < len(self.times):
            end = int(np.searchsorted(self.times, self.times[begin] + _PIECE_SECONDS))
            end = max(end, begin + 1)
            yield self.select(np.arange(begin, end))
            begin = end


class FfmpegDecoder:
    """Decoder of one segment of a video with ffmpeg.

    `damage` describes damage and how much was read (empty without damage); `last_time` is the
    time of the last frame in seconds.
    """

    def __init__(self, video: Path, plan: DecodePlan, numbering: FrameNumbering) -> None:
        self._plan = plan
        self._video = video
        self._numbering = numbering
        self._buffers = {name: bytearray() for name in (*list_outputs(plan), LOG)}
        self._times: deque[float] = deque()
        self._full_frames: deque[RawFrame] = deque()
        self._sizes: deque[tuple[int, int]] = deque()
        self._background: Color | None = None
        self._ticks = {"times": 1 / TICKS, "packets": 0.0}
        self._thumbs: deque[bytes] = deque()
        self._previous_time = math.nan
        self._log_lines: list[str] = []
        self._frames = 0
        self._untimed = 0
        self._ended = False
        self._damage_line = ""
        self.last_time = -math.inf
        self.damage = ""

    def iter_blocks(self) -> Generator[FrameBlock, None, None]:
        """Yield all blocks in order. Raises `Unreadable` if no frame can be decoded."""
        with RunningFfmpeg(
            build_ffmpeg_command(self._video, self._plan), list_outputs(self._plan)
        ) as running:
            for name, data in running.read():
                self._buffers[name] += data
                self._parse_output(name)
                has_block = name == "thumbs" and len(self._thumbs) >= _BLOCK_FRAMES
                if has_block and (count := self._count_ready()) >= _BLOCK_FRAMES:
                    yield from self._make_block(count)
            exit_code = running.wait()
        self._ended = True
        if count := self._count_ready():
            yield from self._make_block(count)
        self._check_result(exit_code)

    def _check_result(self, exit_code: int) -> None:
        raise_for_environment(self._log_lines, self._video)
        if not self._frames and self._plan.since is None:
            raise Unreadable(*_failure_reason(self._log_lines))
        duration, read = self._plan.facts.seconds, max(self.last_time - self._plan.facts.start, 0.0)
        is_short = duration is not None and read < duration * 0.95 - 2
        reason = (
            find_failure_reason(self._log_lines)
            if exit_code != 0 or (self._log_lines and is_short)
            else ""
        )
        if self._untimed:
            reason = reason or f"{self._untimed} frames have no time"
        if reason := reason or self._damage_line:
            total = f" of {duration:.1f} s" if duration is not None and duration >= read else ""
            self.damage = f"read {read:.1f} s{total}: {reason}"

    def _parse_output(self, name: str) -> None:
        buffer = self._buffers[name]
        if name == "thumbs":
            wide, high = THUMB
            self._thumbs.extend(_take_parts(buffer, itertools.repeat(wide * high * 3)))
            return
        if name == FULL_FRAMES:
            plan = self._plan
            for data in _take_parts(
                buffer, (plan.frame_bytes(size) for size in tuple(self._sizes))
            ):
                size = self._sizes.popleft()
                pixels = self._flatten(data, size) if plan.facts.alpha else data
                self._full_frames.append(RawFrame(pixels, size, plan.rgb, plan.facts.bt709))
            return
        *lines, rest = bytes(buffer).split(b"\n")
        self._buffers[name] = bytearray(rest)
        for line in lines:
            self._parse_line(name, line)

    def _flatten(self, data: bytes, size: tuple[int, int]) -> bytes:
        """Return RGBA pixels as RGB; the first visible frame determines the background."""
        layer = Image.frombytes("RGBA", size, data)
        self._background = self._background or choose_background(layer)
        # A frame whose alpha is 0 everywhere keeps its colors: the alpha channel is unused.
        opaque = (
            layer.convert("RGB")
            if self._background is None
            else composite_on_background(layer, self._background)
        )
        return opaque.tobytes()

    def _parse_line(self, name: str, line: bytes) -> None:
        if name == LOG:
            self._parse_log_line(line.decode(errors="replace").strip())
        elif line.startswith(b"#tb 0: "):
            numerator, denominator = line[7:].split(b"/")
            self._ticks[name] = int(numerator) / int(denominator)
        elif line and not line.startswith(b"#"):
            self._parse_time(name, line.split(b",")[2].strip())

    def _parse_log_line(self, text: str) -> None:
        if size := _FRAME_LINE.match(text):
            self._sizes.append((int(size.group(1)), int(size.group(2))))
            return
        # The first frames after a seek may refer to frames that were not read.
        is_reliable = self._plan.from_start or self._frames + len(self._times) >= _UNRELIABLE_FRAMES
        if is_reliable and not self._damage_line and reports_damage(text, self._plan.facts):
            self._damage_line = text.split("] ")[-1][:200]
        if text and not _HARMLESS_LINE.match(text):
            self._log_lines = [*self._log_lines[-_MAX_LOG_LINES:], text]

    def _parse_time(self, name: str, stamp: bytes) -> None:
        if stamp.lstrip(b"-").isdigit():
            time = int(stamp) * self._ticks[name]
            if name == "times":
                self._times.append(round(time, 9))
            else:
                self._numbering.add_packet(time)
        elif name == "times":
            self._times.append(math.nan)

    def _count_ready(self) -> int:
        count = min(len(self._times), len(self._thumbs))
        times = list(itertools.islice(self._times, count))
        if not self._ended and count and not self._numbering.is_certain(times[-1]):
            count = sum(map(self._numbering.is_certain, times))
        schedule, before = self._plan.schedule, self._previous_time
        due = np.flatnonzero(schedule.find_due(np.array(times[:count]), before))
        missing = len(due) > len(self._full_frames)
        return int(due[len(self._full_frames)]) if missing else count

    def _make_block(self, count: int) -> Iterator[FrameBlock]:
        times = np.array([self._times.popleft() for _ in range(count)])
        due = np.flatnonzero(self._plan.schedule.find_due(times, self._previous_time))
        full_frames = {int(index): self._full_frames.popleft() for index in due}
        data = b"".join(self._thumbs.popleft() for _ in range(count))
        if not self._frames:
            self._numbering.start_at(float(times[0]))
        self._frames += count
        self._previous_time = float(times[-1])
        wide, high = THUMB
        thumbs = np.frombuffer(data, dtype=np.uint8).reshape(count, 3, high, wide)
        block = FrameBlock(times, thumbs, self._numbering.number_frames(times), full_frames)
        # Leave out frames whose time does not increase.
        latest = np.fmax.accumulate(np.concatenate([[self.last_time], times]))
        increasing = np.flatnonzero(times > latest[:-1])
        self._untimed += count - len(increasing)
        self.last_time = float(latest[-1])
        if len(increasing):
            yield block.select(increasing)


def _take_parts(buffer: bytearray, sizes: Iterable[int]) -> list[bytes]:
    """Remove and return complete parts of these sizes from a buffer."""
    parts: list[bytes] = []
    begin = 0
    for size in sizes:
        if begin + size > len(buffer):
            break
        parts.append(bytes(memoryview(buffer)[begin : begin + size]))
        begin += size
    del buffer[:begin]
    return parts


def _failure_reason(lines: list[str]) -> tuple[str, str]:
    phrases = ("Decoder", "no decoder", "codec not currently supported", "Unknown decoder")
    for line in lines:
        if any(phrase in line for phrase in phrases) and "decoding" not in line:
            return "missing codec", line.split("] ")[-1][:200]
    return "not a video", find_failure_reason(lines)


# Seconds for a frame without a duration, as in browsers and in ffmpeg.
_DEFAULT_DURATION_SECONDS = 0.1
# Maximum pixels in all frames of a file; bounds the time that a decompression bomb can take.
_MAX_TOTAL_PIXELS = 40 * MAX_PIXELS


def probe_animated_image(video: Path) -> VideoFacts:
    """Return the facts of an animated image. Raises `Unreadable` for others, and `OSError`."""
    with _open(video) as image:
        if not is_animated(video):
            raise Unreadable("not a video", "a still image: use harvest folder")
        wide, high = image.size
        frames = int(getattr(image, "n_frames", 1))
        if (
            wide * high > MAX_PIXELS
            or frames > MAX_FRAMES
            or wide * high * frames > _MAX_TOTAL_PIXELS
        ):
            raise Unreadable("too large", f"{frames} frames of {wide} x {high} pixels")
        kind = str(image.format).lower()
    return VideoFacts("image", kind, 0, wide, high)


class AnimatedImageDecoder:
    """Decoder of an animated image (GIF, WebP, APNG); see `FfmpegDecoder`."""

    def __init__(self, video: Path, plan: DecodePlan, numbering: FrameNumbering) -> None:
        self._video = video
        self._plan = plan
        self._background: Color | None = None
        self.last_time = -math.inf
        self.damage = ""

    def iter_blocks(self) -> Generator[FrameBlock, None, None]:
        """Yield one block per frame. Raises `Unreadable` if no frame can be decoded."""
        time, previous_time = 0.0, math.nan
        with _open(self._video) as image:
            for index in range(int(getattr(image, "n_frames", 1))):
                try:
                    layer, seconds = _read_layer(image, index)
                except IMAGE_ERRORS as error:
                    if index == 0:
                        raise Unreadable("damaged", f"{type(error).__name__}: {error}") from error
                    self.damage = f"read {index} frames: {type(error).__name__}: {error}"
                    return
                # One background for all frames, or they would differ only in it.
                self._background = self._background or choose_background(layer)
                frame = composite_on_background(layer, self._background)
                self.last_time = time
                yield self._make_block(frame, round(time, 9), previous_time, index)
                time, previous_time = time + seconds, time

    def _make_block(
        self, frame: Image.Image, time: float, previous_time: float, number: int
    ) -> FrameBlock:
        times = np.array([time])
        full_frames = {}
        if self._plan.schedule.find_due(times, previous_time)[0]:
            output = frame
            if self._plan.crop:
                x, y, wide, high = self._plan.crop
                output = frame.crop((x, y, x + wide, y + high))
            if output.size != self._plan.size:
                output = output.resize(self._plan.size, Image.Resampling.LANCZOS)
            full_frames[0] = RawFrame(output.tobytes(), output.size, rgb=True, bt709=False)
        small = frame.resize(THUMB, Image.Resampling.BOX).convert("YCbCr")
        thumb = np.asarray(small).transpose(2, 0, 1)[None]
        return FrameBlock(times, np.ascontiguousarray(thumb), np.array([number]), full_frames)


def _open(video: Path) -> Any:
    try:
        return Image.open(video, formats=ANIMATED_FORMATS)
    except IMAGE_ERRORS as error:
        raise Unreadable("not a video", f"damaged image: {error}") from error


def _read_layer(image: Any, number: int) -> tuple[Image.Image, float]:
    """Return a frame as upright RGBA, and its duration in seconds."""
    image.seek(number)
    image.load()
    milliseconds = image.info.get("duration") or 0
    seconds = float(milliseconds) / 1000 if milliseconds > 0 else _DEFAULT_DURATION_SECONDS
    return ImageOps.exif_transpose(image).convert("RGBA"), seconds
