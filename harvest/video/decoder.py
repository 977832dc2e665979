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
from harvest.video.filter_graph import THUMB, TICKS, DecodePlan, ffmpeg_command, output_names
from harvest.video.frame import RawFrame
from harvest.video.inputs import BROKEN_PICTURE, PICTURE_FORMATS, picture_moves
from harvest.video.probe_ffmpeg import VideoFacts, complains
from harvest.video.run_ffmpeg import LOG, RunningFfmpeg, ffmpeg_reason, raise_for_environment

# Times within this many seconds are equal.
_SAME = 1e-6
# Maximum seconds by which packets may be out of order.
_REORDERED = 5.0
# A frame's number is certain once packets this many seconds later have been read.
_AHEAD = 0.5
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
        self._broken = False

    def packet(self, time: float) -> None:
        """Record the time of a packet (seconds)."""
        self._broken |= time < self._latest - _REORDERED or len(self._packets) > _MAX_PACKETS
        self._latest = max(self._latest, time)
        if time >= self._since - _SAME:
            bisect.insort(self._packets, time)

    def sure(self, time: float) -> bool:
        """Return whether the number of a frame at that time is known."""
        return not self.by_packets or self._broken or self._latest >= time + _AHEAD

    def start_at(self, time: float) -> None:
        """Count from the first displayed frame, unless `since` was given."""
        if self._since == -math.inf:
            self._since = time
            self._packets = [one for one in self._packets if one >= time - _SAME]

    def of(self, times: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the numbers of the next frames (increasing times); -1 where unknown."""
        inside = (times >= self._since - _SAME) & (not self._broken)
        if self.by_packets:
            numbers = self._first + np.searchsorted(np.array(self._packets), times - _SAME)
            gone = bisect.bisect_left(self._packets, float(times[-1]) - _REORDERED)
            del self._packets[:gone]
            self._first += gone
        else:
            numbers = self._first + np.cumsum(inside) - 1
            self._first += int(inside.sum())
        return np.where(inside, numbers, -1).astype(np.int64)


# Frames per block: enough for numpy to be fast, few enough to save memory.
_BLOCK = 24
_LINES_KEPT = 20
# Seconds of video processed at a time: less than the cut detector buffers.
_PIECE = 1.0
# Frames after a seek whose errors are ignored; far fewer than the lead before the start.
_SETTLED = 40

# Log lines that are not errors, and those in which `showinfo` prints the size of each frame.
_HARMLESS = re.compile(r"(?:\[[^\]]* @ 0x\w+\] )?\[(?:info|warning)\]")
_SHOWN = re.compile(r"\[\w*showinfo\w* @ 0x\w+\] \[info\] n: .* s:(\d+)x(\d+) ")

Thumbs = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FrameBlock:
    """Consecutive frames: `times` (n,) in seconds, `thumbs` (n, 3, height, width) in YCbCr.

    `numbers` (n,) are frame numbers in the video, -1 where unknown. `pictures` are the full-size
    frames by index in this block.
    """

    times: NDArray[np.float64]
    thumbs: Thumbs
    numbers: NDArray[np.int64]
    pictures: dict[int, RawFrame]

    def pieces(self) -> Iterator[FrameBlock]:
        """Yield the block in parts of about one second."""
        begin, count = 0, len(self.times)
        while begin < count:
            end = max(int(np.searchsorted(self.times, self.times[begin] + _PIECE)), begin + 1)
            inside = slice(begin, end)
            pictures = {at - begin: one for at, one in self.pictures.items() if begin <= at < end}
            yield FrameBlock(
                self.times[inside], self.thumbs[inside], self.numbers[inside], pictures
            )
            begin = end


class FfmpegDecoder:
    """Decoder of one segment of a video with ffmpeg.

    `trouble` describes damage and how much was read (empty if all is well); `last` is the time of
    the last frame in seconds.
    """

    def __init__(self, video: Path, plan: DecodePlan, numbering: FrameNumbering) -> None:
        self._plan = plan
        self._video = video
        self._numbering = numbering
        self._buffers = {name: bytearray() for name in (*output_names(plan), LOG)}
        self._times: deque[float] = deque()
        self._pictures: deque[RawFrame] = deque()
        self._sizes: deque[tuple[int, int]] = deque()
        self._ground: Color | None = None
        self._ticks = {"times": 1 / TICKS, "packets": 0.0}
        self._thumbs: deque[bytes] = deque()
        self._before = math.nan
        self._log: list[str] = []
        self._frames = 0
        self._untimed = 0
        self._ended = False
        self._complaint = ""
        self.last = -math.inf
        self.trouble = ""

    def blocks(self) -> Generator[FrameBlock, None, None]:
        """Yield all blocks in order. Raises `Unreadable` if no frame can be decoded."""
        with RunningFfmpeg(
            ffmpeg_command(self._video, self._plan), output_names(self._plan)
        ) as running:
            for name, data in running.read():
                self._buffers[name] += data
                self._take(name)
                enough = name == "thumbs" and len(self._thumbs) >= _BLOCK
                if enough and (ready := self._ready()) >= _BLOCK:
                    yield from self._block(ready)
            code = running.code()
        self._ended = True
        if ready := self._ready():
            yield from self._block(ready)
        self._judge(code)

    def _judge(self, code: int) -> None:
        raise_for_environment(self._log, self._video)
        if not self._frames and self._plan.since is None:
            raise Unreadable(*_why(self._log))
        whole, read = self._plan.facts.seconds, max(self.last - self._plan.facts.start, 0.0)
        short = whole is not None and read < whole * 0.95 - 2
        reason = ffmpeg_reason(self._log) if code != 0 or (self._log and short) else ""
        if self._untimed:
            reason = reason or f"{self._untimed} frames have no time"
        if reason := reason or self._complaint:
            of = f" of {whole:.1f} s" if whole is not None and whole >= read else ""
            self.trouble = f"read {read:.1f} s{of}: {reason}"

    def _take(self, name: str) -> None:
        buffer = self._buffers[name]
        if name == "thumbs":
            wide, high = THUMB
            self._thumbs.extend(_cut_off(buffer, itertools.repeat(wide * high * 3)))
            return
        if name == "pictures":
            plan = self._plan
            for data in _cut_off(buffer, (plan.picture_bytes(size) for size in tuple(self._sizes))):
                size = self._sizes.popleft()
                pixels = self._laid_on_ground(data, size) if plan.facts.alpha else data
                self._pictures.append(RawFrame(pixels, size, plan.rgb, plan.facts.bt709))
            return
        *lines, rest = bytes(buffer).split(b"\n")
        self._buffers[name] = bytearray(rest)
        for line in lines:
            self._line(name, line)

    def _laid_on_ground(self, data: bytes, size: tuple[int, int]) -> bytes:
        """Return RGBA pixels as RGB; the first visible frame determines the background."""
        layer = Image.frombytes("RGBA", size, data)
        self._ground = self._ground or choose_background(layer)
        # A frame whose alpha is 0 everywhere keeps its colors: the alpha channel is unused.
        opaque = (
            layer.convert("RGB")
            if self._ground is None
            else composite_on_background(layer, self._ground)
        )
        return opaque.tobytes()

    def _line(self, name: str, line: bytes) -> None:
        if name == LOG:
            self._said(line.decode(errors="replace").strip())
        elif line.startswith(b"#tb 0: "):
            above, below = line[7:].split(b"/")
            self._ticks[name] = int(above) / int(below)
        elif line and not line.startswith(b"#"):
            self._stamp(name, line.split(b",")[2].strip())

    def _said(self, text: str) -> None:
        if shown := _SHOWN.match(text):
            self._sizes.append((int(shown.group(1)), int(shown.group(2))))
            return
        # The first frames after a seek may refer to frames that were not read.
        settled = self._plan.whole or self._frames + len(self._times) >= _SETTLED
        if settled and not self._complaint and complains(text, self._plan.facts):
            self._complaint = text.split("] ")[-1][:200]
        if text and not _HARMLESS.match(text):
            self._log = [*self._log[-_LINES_KEPT:], text]

    def _stamp(self, name: str, stamp: bytes) -> None:
        if stamp.lstrip(b"-").isdigit():
            time = int(stamp) * self._ticks[name]
            if name == "times":
                self._times.append(round(time, 9))
            else:
                self._numbering.packet(time)
        elif name == "times":
            self._times.append(math.nan)

    def _ready(self) -> int:
        count = min(len(self._times), len(self._thumbs))
        times = list(itertools.islice(self._times, count))
        if not self._ended and count and not self._numbering.sure(times[-1]):
            count = sum(map(self._numbering.sure, times))
        due = np.flatnonzero(self._due(np.array(times[:count])))
        missing = len(due) > len(self._pictures)
        return int(due[len(self._pictures)]) if missing else count

    def _due(self, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        return self._plan.schedule.due(times, self._before) if len(times) else times.astype(bool)

    def _block(self, count: int) -> Iterator[FrameBlock]:
        times = np.array([self._times.popleft() for _ in range(count)])
        due = np.flatnonzero(self._due(times))
        pictures = {int(at): self._pictures.popleft() for at in due}
        tiny = b"".join(self._thumbs.popleft() for _ in range(count))
        if not self._frames:
            self._numbering.start_at(float(times[0]))
        self._frames += count
        self._before = float(times[-1])
        wide, high = THUMB
        thumbs = np.frombuffer(tiny, dtype=np.uint8).reshape(count, 3, high, wide)
        yield from self._rising(FrameBlock(times, thumbs, self._numbering.of(times), pictures))

    def _rising(self, block: FrameBlock) -> Iterator[FrameBlock]:
        """Yield the block without frames whose time does not increase."""
        latest = np.fmax.accumulate(np.concatenate([[self.last], block.times]))
        good = np.flatnonzero(block.times > latest[:-1])
        self._untimed += len(block.times) - len(good)
        self.last = float(latest[-1])
        pictures = {
            place: block.pictures[int(at)]
            for place, at in enumerate(good)
            if int(at) in block.pictures
        }
        if len(good):
            yield FrameBlock(block.times[good], block.thumbs[good], block.numbers[good], pictures)


def _cut_off(buffer: bytearray, sizes: Iterable[int]) -> list[bytes]:
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


def _why(lines: list[str]) -> tuple[str, str]:
    lacks = ("Decoder", "no decoder", "codec not currently supported", "Unknown decoder")
    for line in lines:
        if any(word in line for word in lacks) and "decoding" not in line:
            return "missing codec", line.split("] ")[-1][:200]
    return "not a video", ffmpeg_reason(lines)


# Seconds for a frame without a duration, as in browsers and in ffmpeg.
_UNTOLD = 0.1
# Maximum pixels in all frames of a file; bounds the time that a decompression bomb can take.
_MOST_PIXELS = 40 * MAX_PIXELS


def probe_animated_image(video: Path) -> VideoFacts:
    """Return the facts of an animated image. Raises `Unreadable` for others, and `OSError`."""
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
    """Decoder of an animated image (GIF, WebP, APNG); see `FfmpegDecoder`."""

    def __init__(self, video: Path, plan: DecodePlan, numbering: FrameNumbering) -> None:
        self._video = video
        self._plan = plan
        self._ground: Color | None = None
        self.last = -math.inf
        self.trouble = ""

    def blocks(self) -> Generator[FrameBlock, None, None]:
        """Yield one block per frame. Raises `Unreadable` if no frame can be decoded."""
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
                # One background for all frames, or they would differ only in it.
                self._ground = self._ground or choose_background(layer)
                frame = composite_on_background(layer, self._ground)
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
    """Return a frame as upright RGBA, and its duration in seconds."""
    image.seek(number)
    image.load()
    length = image.info.get("duration") or 0
    seconds = float(length) / 1000 if length > 0 else _UNTOLD
    return ImageOps.exif_transpose(image).convert("RGBA"), seconds
