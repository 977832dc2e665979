"""The decoder: turns a video into blocks of thumbnails with times, and full frames."""

from __future__ import annotations

import itertools
import math
import re
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from gleanset.arrays import Float64Array, IntArray, Pixels
from gleanset.errors import Unreadable
from gleanset.images.rgb import Color, choose_background, composite_on_background
from gleanset.video.filter_graph import (
    OUTPUTS,
    THUMB,
    TICKS,
    DecodePlan,
    build_ffmpeg_command,
)
from gleanset.video.probe_ffmpeg import (
    PacketTimes,
    has_second_video,
    lacks_end,
    measure_packets,
    reports_damage,
)
from gleanset.video.run_ffmpeg import (
    FULL_FRAMES,
    LOG,
    RunningFfmpeg,
    can_decode,
    check_version,
    find_failure_reason,
)
from harvest.video.frame import RawFrame

# Frames per block: enough for numpy to be fast, few enough to save memory.
_BLOCK_FRAMES = 24
_MAX_LOG_LINES = 20
# Seconds by which a whole file may be shorter than its header states.
MAX_MISSING_SECONDS = 1.0
# Seconds of video processed at a time: less than the cut detector buffers.
_PIECE_SECONDS = 1.0
# Frames after a seek whose errors are ignored; far fewer than the lead before the start.
_UNRELIABLE_FRAMES = 40

# Log lines that are not errors.
_WARNING_LINE = re.compile(r"(?:\[[^\]]* @ 0x\w+\] )*\[warning\]")


class FrameBlock(NamedTuple):
    """Consecutive frames: `times` (n,) in seconds, `thumbs` (n, 3, height, width) in YCbCr.

    `full_frames` are the frames in full size by index in this block.
    """

    times: Float64Array
    thumbs: Pixels
    full_frames: dict[int, RawFrame]

    def select(self, indices: IntArray) -> FrameBlock:
        """Return a block of some of the frames."""
        full_frames = {}
        for new_index, index in enumerate(indices.tolist()):
            if index in self.full_frames:
                full_frames[new_index] = self.full_frames[index]
        return FrameBlock(
            self.times[indices],
            self.thumbs[indices],
            full_frames,
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
    time of the last frame in seconds; `length` is that of the file where its header is wrong.
    """

    def __init__(self, video: Path, plan: DecodePlan):
        self._plan = plan
        self._video = video
        self._buffers = {name: bytearray() for name in (*OUTPUTS, LOG)}
        # Parts of frames that are not yet complete, each in order of time.
        self._times = deque[float]()
        self._thumbs = deque[bytes]()
        self._widths = deque[int]()
        self._heights = deque[int]()
        self._full_frames = deque[RawFrame]()

        self._tick = 1 / TICKS
        self._background: Color | None = None
        # The last frame of the blocks so far, and their number of frames.
        self._previous_time = math.nan
        self._frame_count = 0
        # Frames without a time, or with one that is not later than those before.
        self._untimed_count = 0
        self._log_lines: list[str] = []
        self._damage_line = ""
        self.last_time = -math.inf
        self.length: float | None = None
        self.damage = ""

    def iter_blocks(self) -> Generator[FrameBlock, None, None]:
        """Yield all blocks in order. Raises `Unreadable` if no frame can be decoded."""
        command = build_ffmpeg_command(self._video, self._plan)
        with RunningFfmpeg(command, OUTPUTS) as running:
            for name, data in running.read():
                self._buffers[name] += data
                self._parse_output(name)
                if name == "thumbs":
                    yield from self._pop_block(_BLOCK_FRAMES)
            exit_code = running.wait()

        yield from self._pop_block(1)
        self._check_result(exit_code)

    def _check_result(self, exit_code: int) -> None:
        facts = self._plan.facts
        # Raises if ffmpeg is too old, the most likely reason for a failure without any frame.
        if not self._frame_count and exit_code != 0:
            check_version()
        # A segment that begins after the last frame has none either.
        if not self._frame_count and self._plan.since is None:
            reason = "not a video" if can_decode(facts.codec) else "missing codec"
            raise Unreadable(reason, find_failure_reason(self._log_lines))

        # Seconds read; `length` is the length to expect, None if the header does not tell it.
        end = max(self.last_time, 0.0)
        is_cut = self._plan.until is None and lacks_end(self._video, facts.container)
        length = None if facts.is_length_guessed or is_cut else facts.seconds
        reason = self._find_damage(exit_code, end, length)
        if is_cut and not reason:
            reason = "its end is missing"

        missing = 0.0 if length is None else length - end
        if length is not None and not reason and missing > MAX_MISSING_SECONDS:
            # The sound may be longer than the images, or the last image may be shown for long:
            # the times of the packets tell.
            packets = measure_packets(self._video, facts)
            end, reason = self._compare_lengths(end, length, packets)
        if reason:
            total = ""
            if length is not None and length >= end:
                total = f" of {length:.1f} s"
            self.damage = f"read {end:.1f} s{total}: {reason}"
        # ffmpeg reads some joined GIF beyond the length of the first: then nothing is missing.
        is_first = self._plan.until is None and end <= (facts.seconds or end)
        if is_first and has_second_video(self._video, facts.container):
            damage = self.damage or "split the file"
            self.damage = f"a second video joined to it was not read: {damage}"

    def _find_damage(self, exit_code: int, end: float, length: float | None) -> str:
        """Return what is wrong with the decoded frames, empty if nothing is.

        `end` is the time of the last one, `length` that of the file as its header states it.
        """
        # Headers are often wrong by some percent or seconds, and the sound may be longer.
        is_much_shorter = length is not None and end < length * 0.95 - 2
        if exit_code != 0 or (self._log_lines and is_much_shorter):
            return find_failure_reason(self._log_lines)
        if self._untimed_count:
            return f"{self._untimed_count} frames have no time"
        incomplete_count = min(len(self._times), len(self._thumbs))
        if incomplete_count:
            return f"{incomplete_count} frames have no image"
        return self._damage_line

    def _compare_lengths(
        self, end: float, length: float, packets: PacketTimes
    ) -> tuple[float, str]:
        """Return the seconds read and the damage, empty if the file is as long as stated."""
        is_other_clock = abs(packets.last_image - end) > MAX_MISSING_SECONDS
        if self._frame_count > 0 and is_other_clock:
            # Time stamps in the file jump. The decoder removes such jumps, so its time is right.
            self.length = end
            return end, ""

        tolerance = max(MAX_MISSING_SECONDS, packets.max_gap)
        # Sound is often longer than the images: then its packets are the last ones.
        images_end_first = packets.end - packets.last_image > tolerance
        # Some containers count from zero, others from their first time stamp.
        missing = length - max(packets.end, packets.end + self._plan.facts.start)
        if images_end_first or missing <= tolerance:
            self.length = round(packets.end, 3)
            return end, ""
        return max(end, packets.end), "the file ends early"

    def _parse_output(self, name: str) -> None:
        buffer = self._buffers[name]
        if name == "thumbs":
            width, height = THUMB
            sizes = itertools.repeat(width * height * 3)
            self._thumbs.extend(_take_parts(buffer, sizes))
        elif name != FULL_FRAMES:
            *lines, rest = bytes(buffer).split(b"\n")
            self._buffers[name] = bytearray(rest)
            for line in lines:
                self._parse_line(name, line)

        # The size of a frame may arrive before the frame or after it.
        if name in (FULL_FRAMES, "widths", "heights"):
            self._parse_full_frames()

    def _parse_line(self, name: str, line: bytes) -> None:
        """Parse a line of the log, or of `framecrc`: stream, dts, pts, duration, bytes, …."""
        if name == LOG:
            self._parse_log_line(line.decode(errors="replace").strip())
        elif line.startswith(b"#tb 0: "):
            numerator, denominator = line[7:].split(b"/")
            self._tick = int(numerator) / int(denominator)
        elif line and not line.startswith(b"#"):
            _, _, time, _, size, *_ = line.split(b",")
            if name == "widths":
                self._widths.append(int(size))
            elif name == "heights":
                self._heights.append(int(size))
            else:
                has_time = time.strip().lstrip(b"-").isdigit()
                seconds = round(int(time) * self._tick, 9) if has_time else math.nan
                self._times.append(seconds)

    def _parse_full_frames(self) -> None:
        """Move complete full frames from the buffer of the pipe to the queue."""
        plan = self._plan
        # Widths, heights and pixels come through different pipes: frames are complete as far as
        # all three have arrived.
        sizes = list(zip(self._widths, self._heights, strict=False))
        byte_counts = list(itertools.starmap(plan.count_bytes, sizes))
        parts = _take_parts(self._buffers[FULL_FRAMES], byte_counts)

        for data in parts:
            size = self._widths.popleft(), self._heights.popleft()
            pixels = self._flatten(data, size) if plan.facts.alpha else data
            frame = RawFrame(
                pixels,
                size,
                plan.rgb,
                plan.facts.bt709,
            )
            self._full_frames.append(frame)

    def _flatten(self, data: bytes, size: tuple[int, int]) -> bytes:
        """Return RGBA pixels as RGB; the first visible frame determines the background."""
        layer = Image.frombytes("RGBA", size, data)
        if not self._background:
            self._background = choose_background(layer)
        if not self._background:
            # The alpha is 0 everywhere, so it is not used: the colors stay.
            return layer.convert("RGB").tobytes()
        return composite_on_background(layer, self._background).tobytes()

    def _parse_log_line(self, text: str) -> None:
        """Note the first report of damage, and the latest lines for an error message."""
        # The first frames after a seek may refer to frames that were not read: ffmpeg reports
        # damage then, although the file is sound.
        decoded_count = self._frame_count + len(self._times)
        is_reliable = self._plan.from_start or decoded_count >= _UNRELIABLE_FRAMES
        is_damage = is_reliable and reports_damage(text, self._plan.facts)
        if is_damage and not self._damage_line:
            # Without the decoder's name before it: "[h264 @ 0x55d0] error while decoding MB".
            self._damage_line = text.split("] ")[-1][:200]
        if text and not _WARNING_LINE.match(text):
            self._log_lines = [*self._log_lines[-_MAX_LOG_LINES:], text]

    def _pop_block(self, min_frames: int) -> Iterator[FrameBlock]:
        """Yield the complete frames, if there are at least `min_frames`."""
        count = min(len(self._times), len(self._thumbs))
        if count < min_frames:
            return
        times = np.array(list(itertools.islice(self._times, count)))
        is_due = self._plan.schedule.find_due(times, self._previous_time)
        due = np.flatnonzero(is_due).tolist()
        # Full frames come for due frames only, in their order, and maybe later than thumbnails. The
        # block ends before the first due frame whose full frame has not arrived.
        if len(due) > len(self._full_frames):
            count = due[len(self._full_frames)]
        if count >= min_frames:
            yield from self._make_block(
                times[:count],
                [i for i in due if i < count],
            )

    def _make_block(self, times: Float64Array, due: list[int]) -> Iterator[FrameBlock]:
        """Take these frames from the queues, and yield them if any has a usable time.

        `due` are the indices of those with a full frame.
        """
        count = len(times)
        full_frames = {index: self._full_frames.popleft() for index in due}
        data = b"".join(self._thumbs.popleft() for _ in range(count))
        for _ in range(count):
            self._times.popleft()
        width, height = THUMB
        thumbs = np.frombuffer(data, np.uint8).reshape(
            count,
            3,
            height,
            width,
        )
        block = FrameBlock(times, thumbs, full_frames)
        self._frame_count += count
        # `find_due` needs the time of the last frame, even NaN, as ffmpeg decides by it, too.
        self._previous_time = float(times[-1])

        # Keep only frames later than all before them; `fmax` ignores NaN, the time of frames
        # without one, and the comparison is False for NaN.
        latest = np.fmax.accumulate(np.concatenate([[self.last_time], times]))
        increasing = np.flatnonzero(times > latest[:-1])
        self._untimed_count += count - len(increasing)
        self.last_time = float(latest[-1])
        if len(increasing):
            yield block.select(increasing)


def _take_parts(buffer: bytearray, sizes: Iterable[int]) -> list[bytes]:
    """Remove and return complete parts of these sizes from a buffer."""
    parts = []
    begin = 0
    for size in sizes:
        if begin + size > len(buffer):
            break
        parts.append(bytes(memoryview(buffer)[begin : begin + size]))
        begin += size
    del buffer[:begin]
    return parts
