"""The one ffmpeg command that samples a video, built with ffmpeg-python.

Decoded once, the frames go two ways: all of them tiny, with their times, for finding cuts
and fades; and those that are looked at in the size that is wanted. Where frames are skipped by
the decoder, the packets tell how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from harvest.video.disk_estimate import frame_size
from harvest.video.probe_ffmpeg import VideoFacts
from harvest.video.run_ffmpeg import command_words, video_input
from harvest.video.sampling import Sampling

# Seconds from look to look within scenes; large pictures are dear to hand over.
_STEP, _LARGE_STEP, _LARGE = 0.5, 1.0, 1280 * 720
# A moment of which the sharpest frame is taken, and the looks taken in it.
_MOMENT, _LOOKS = 0.5, 4
# A frame that is late by a millionth of a step is in time: 0.3 / 0.1 is a little less than 3.
_EARLY = 1e-6


@dataclass(frozen=True, slots=True)
class Schedule:
    """The first frame of every `step` seconds after `start`, all of them where that is None.

    With `within` only in the first so many seconds of every `period`. ffmpeg evaluates it in its
    `select` filter while it decodes; on the times of all frames it tells which those were.
    """

    start: float
    step: float | None
    period: float = 0.0
    within: float = 0.0

    def expression(self) -> str:
        """For ffmpeg's `select`."""
        if self.step is None:
            return "1"
        due = f"isnan(prev_t)+gt({self._bin('t', self.step)},{self._bin('prev_t', self.step)})"
        if not self.within:
            return due
        begun = f"gt({self._bin('t', self.period)},{self._bin('prev_t', self.period)})"
        phase = f"t-({self.start!r})-{self.period!r}*{self._bin('t', self.period)}"
        return f"({due})*lt({phase},{self.within!r})+isnan(prev_t)+{begun}"

    def _bin(self, time: str, step: float) -> str:
        return f"floor(({time}-({self.start!r}))/{step!r}+{_EARLY!r})"

    def due(self, times: NDArray[np.float64], before: float) -> NDArray[np.bool_]:
        """Return whether each of some frames is; `before` is the time of the one before, or NaN."""
        if self.step is None:
            return np.ones(len(times), dtype=bool)
        earlier = np.concatenate([[before], times[:-1]])
        first = np.isnan(earlier)
        due: NDArray[np.bool_] = first | (
            self.bins(times, self.step) > self.bins(earlier, self.step)
        )
        if not self.within:
            return due
        begun = self.bins(times, self.period) > self.bins(earlier, self.period)
        phase = times - self.start - self.period * self.bins(times, self.period)
        taken: NDArray[np.bool_] = (due & (phase < self.within)) | first | begun
        return taken

    def bins(self, times: NDArray[np.float64], step: float) -> NDArray[np.float64]:
        """In which step each time lies."""
        found: NDArray[np.float64] = np.floor((times - self.start) / step + _EARLY)
        return found


def schedule(sampling: Sampling, start: float, pixels: int) -> Schedule:
    """Return the schedule of a sampling for frames of so many `pixels` as sampled."""
    if sampling.mode == "keyframes":
        return Schedule(start, None)
    if sampling.mode in ("useful", "scenes"):
        return Schedule(start, _STEP if pixels <= _LARGE else _LARGE_STEP)
    if sampling.plain or sampling.mode == "seen":
        return Schedule(start, sampling.every)
    moment = min(_MOMENT, sampling.every / 2)
    return Schedule(start, moment / _LOOKS, sampling.every, moment)


# Times come in nanoseconds: ffmpeg 5 and 9 agree on no other way to keep a file's own.
TICKS = 1_000_000_000
THUMB = (64, 36)
# Seconds from tiny frame to tiny frame where few are enough.
_THIN = 0.1
# Seconds decoded before the place where a stopped run goes on.
LEAD = 4.0


@dataclass(frozen=True, slots=True)
class DecodePlan:
    """How one stretch of a video is decoded. Times are the file's own, in seconds.

    `size` is that of the frames, `crop` the part they are of (x, y, width, height);
    `skip` what the decoder leaves out; `rgb` whether pictures come as RGB
    or as planar YCbCr 4:2:0. Where `thin`, not all frames
    that are decoded come as tiny ones, but enough to tell scenes.
    """

    facts: VideoFacts
    schedule: Schedule
    size: tuple[int, int]
    crop: tuple[int, int, int, int] | None
    skip: str | None
    rgb: bool
    thin: bool = False
    since: float | None = None
    until: float | None = None

    @property
    def counted_by_packets(self) -> bool:
        """Whether frames are numbered by packets, because not all of them come."""
        return self.skip is not None or self.thin

    @property
    def picture_bytes(self) -> int:
        """Bytes of one picture that is handed over."""
        wide, high = self.size
        chroma = ((wide + 1) // 2) * ((high + 1) // 2)
        return wide * high * 3 if self.rgb else wide * high + 2 * chroma


def make_plan(
    sampling: Sampling, facts: VideoFacts, crop: tuple[int, int, int, int] | None = None
) -> DecodePlan:
    """Return the plan for a whole video."""
    wide, high = crop[2:] if crop else facts.upright
    size = frame_size(sampling, wide, high)
    due = schedule(sampling, facts.start, size[0] * size[1])
    skip = "nokey" if sampling.mode == "keyframes" else None
    if sampling.mode in ("useful", "scenes", "seen") and facts.skips_safely:
        skip = "noref"
    thin = sampling.mode == "every" and facts.skips_safely
    # What Pillow decodes comes as RGB, whatever is made of it.
    rgb = sampling.format == "png" or facts.container == "picture"
    return DecodePlan(facts, due, size, crop, skip, rgb, thin)


def output_names(plan: DecodePlan) -> list[str]:
    """Return the names of what the command writes."""
    return ["thumbs", "times", "pictures", *(["packets"] if plan.counted_by_packets else [])]


def ffmpeg_command(video: Path, plan: DecodePlan) -> list[str]:
    """Return the words of the command; outputs are `OUT:name`."""
    source = video_input(**_input_options(plan))
    stream = source[str(plan.facts.stream)]
    frames = stream.filter("yadif", deint="interlaced") if plan.facts.interlaced else stream
    if plan.thin:
        # Who knows the frames due before it knows which one of these is due.
        few = replace(plan.schedule, step=_THIN, within=0.0).expression()
        frames = frames.filter("select", f"{plan.schedule.expression()}+{few}")
    ways = frames.filter_multi_output("split", 2)
    tiny = _tiny(ways[0]).filter_multi_output("split", 2)
    passing = {"fps_mode": "passthrough", "enc_time_base": f"1/{TICKS}"}
    made = [
        ffmpeg.output(tiny[0], "OUT:thumbs", format="rawvideo", **passing),
        ffmpeg.output(tiny[1], "OUT:times", format="framecrc", flush_packets=1, **passing),
        ffmpeg.output(_pictures(ways[1], plan), "OUT:pictures", format="rawvideo", **passing),
    ]
    if plan.counted_by_packets:
        copied = {"c": "copy", "format": "framecrc", "flush_packets": 1}
        made.append(ffmpeg.output(stream, "OUT:packets", **copied))
    return command_words(ffmpeg.merge_outputs(*made), video, "level+warning")


def _input_options(plan: DecodePlan) -> dict[str, Any]:
    options: dict[str, Any] = {"copyts": None}
    if plan.skip:
        options["skip_frame"] = plan.skip
    if plan.skip == "nokey" and plan.facts.codec in ("h264", "hevc"):
        # Key frames alone keep no second thread busy: handing packets round costs a third more.
        options["thread_type"] = "slice"
    if plan.since is not None:
        # Counted from the file's first time stamp; then from the key frame before.
        seconds = max(plan.since - plan.facts.start - LEAD, 0.0)
        options |= {"ss": f"{seconds:.6f}", "noaccurate_seek": None}
    return options


def _tiny(stream: Any) -> Any:
    # Single pixels instead of means: eight times cheaper, and as good for telling cuts.
    return stream.filter("scale", *THUMB, flags="neighbor").filter("format", "yuv444p")


def _pictures(stream: Any, plan: DecodePlan) -> Any:
    chosen = stream.filter("select", plan.schedule.expression())
    if plan.crop:
        x, y, wide, high = plan.crop
        chosen = chosen.filter("crop", wide, high, x, y)
    wide, high = plan.size
    options = {"out_range": "pc" if plan.rgb else "tv"}
    if plan.rgb and plan.facts.bt709:
        options["in_color_matrix"] = "bt709"
    scaled = chosen.filter("scale", wide, high, **options)
    return scaled.filter("format", "rgb24" if plan.rgb else "yuv420p")
