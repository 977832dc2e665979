"""The ffmpeg command that samples a video, built with ffmpeg-python.

Each frame is decoded once and goes two ways: as a thumbnail with its time, for detecting cuts
and fades; and, if the schedule selects it, in the requested size.

Times always increase in decoding order, even where the file's time stamps do not. The frame size
may change within a video, and raw frames do not state it. Two more outputs do: each frame as one
row and as one column of pixels, of which `framecrc` writes the number of bytes.
"""

from pathlib import Path
from typing import Any, NamedTuple

import ffmpeg
import numpy as np

from gleanset.arrays import BoolArray, Float64Array
from gleanset.video.probe_ffmpeg import VideoFacts
from gleanset.video.run_ffmpeg import FULL_FRAMES, build_command, video_input

# Tolerance in steps for rounding: in floating point, 0.3 / 0.1 is a little less than 3.
_ROUNDING_STEPS = 1e-6


class Schedule(NamedTuple):
    """Schedule of frames to examine: the first in each `step` seconds.

    With `within`, only in the first `within` seconds of every `period`. ffmpeg evaluates the
    expression; `find_due` repeats that on the times of all frames.
    """

    step: float
    period: float = 0.0
    within: float = 0.0

    def build_expression(self) -> str:
        """Return the expression for ffmpeg's `select` filter."""
        # In ffmpeg's expressions `+` is "or", `*` is "and"; the first frame has no `prev_t`.
        is_due = f"isnan(prev_t)+{_later_bin_expression(self.step)}"
        if not self.within:
            return is_due
        is_in_new_period = _later_bin_expression(self.period)
        phase = f"t-{self.period!r}*{_bin_expression('t', self.period)}"
        is_within = f"lt({phase},{self.within!r})"
        return f"({is_due})*{is_within}+isnan(prev_t)+{is_in_new_period}"

    def find_due(self, times: Float64Array, before: float) -> BoolArray:
        """Return a mask of the frames at `times` (N) that are selected.

        `before` is the time of the frame before the first of `times`, NaN if there is none.
        """
        earlier = np.concatenate([[before], times[:-1]])
        is_first = np.isnan(earlier)
        bins = self.find_bins(times, self.step)
        is_due = is_first | (bins > self.find_bins(earlier, self.step))
        if not self.within:
            return np.asarray(is_due)

        periods = self.find_bins(times, self.period)
        is_in_new_period = periods > self.find_bins(earlier, self.period)
        is_within = times - self.period * periods < self.within
        return np.asarray((is_due & is_within) | is_first | is_in_new_period)

    def find_bins(self, times: Float64Array, step: float) -> Float64Array:
        """Return the index of the step that contains each time."""
        return np.floor(times / step + _ROUNDING_STEPS)


def _later_bin_expression(step: float) -> str:
    """Return the test whether a frame is in a later step than the one before."""
    bin_of_frame = _bin_expression("t", step)
    bin_before = _bin_expression("prev_t", step)
    return f"gt({bin_of_frame},{bin_before})"


def _bin_expression(time: str, step: float) -> str:
    """Return the expression for the index of the step that contains a time."""
    return f"floor({time}/{step!r}+{_ROUNDING_STEPS!r})"


# A time stamp at most this many seconds before the previous one is jitter, not a jump; the frame
# is then placed this many seconds after the previous one.
_MAX_JITTER_SECONDS = 0.1
_JITTER_STEP_SECONDS = 0.001
# A longer gap is a pause within the file's stated length, and a jump of the clock after its end.
_MIN_PAUSE_SECONDS = 10.0
# A longer gap is always a jump in containers whose time stamps may restart: two recordings that
# were joined begin at any of the 26.5 hours that MPEG's clock of 33 bits has.
_MAX_PAUSE_SECONDS = 3600.0
# ffmpeg states the length in hundredths of a second, and often without the last frame.
_LENGTH_TOLERANCE_SECONDS = 1.0
_NO_END_SECONDS = 1e9
# Nanoseconds: the only time base in which ffmpeg 5 to 9 all keep a file's own times.
TICKS = 1_000_000_000
THUMB = (64, 36)
OUTPUTS = ("thumbs", "times", "widths", "heights", FULL_FRAMES)
# Seconds between thumbnails where few are enough.
_SPARSE_SECONDS = 0.1
# Longest side of frames whose size differs from the first one's; bounds the memory.
MAX_SIDE = 8192
# White of HDR video: 100 nits in films, 203 in broadcasts (ITU-R BT.2408). Light above a share of
# it is compressed, up to the peak of most masters.
_HDR_WHITE_NITS = 150
_HDR_PEAK_NITS = 1000
_HDR_LINEAR_SHARE = 0.7
# Seconds decoded before the start of a segment inside a video.
LEAD_SECONDS = 4.0


class DecodePlan(NamedTuple):
    """Settings for decoding one segment of a video; times in seconds, 0 where a player starts.

    `size` is the output size, `skip` ffmpeg's `skip_frame` value, and `rgb` selects RGB over planar
    YCbCr 4:2:0. Frames of another shape than the first keep it and are scaled to fit `box`. With
    `thin`, thumbnails are made of only some decoded frames, but of enough to find cuts.
    """

    facts: VideoFacts
    schedule: Schedule
    size: tuple[int, int]
    skip: str | None
    rgb: bool
    thin: bool = False
    since: float | None = None
    until: float | None = None
    box: tuple[int, int] = (MAX_SIDE, MAX_SIDE)

    @property
    def from_start(self) -> bool:
        """Whether decoding begins at the start of the file."""
        if self.since is None or self.facts.discontinuous:
            return True
        # Beyond the stated length there is only what a restart of the time stamps hides.
        return self.facts.seconds is not None and self.since >= self.facts.seconds

    def count_bytes(self, width: int, height: int) -> int:
        """Return the bytes of a raw frame of this size in pixels."""
        area = width * height
        if self.facts.alpha:
            return area * 4
        if self.rgb:
            return area * 3
        chroma_area = ((width + 1) // 2) * ((height + 1) // 2)
        return area + 2 * chroma_area


def decode_frames(plan: DecodePlan) -> Any:
    """Return the frames of a video stream, without combs and with increasing times."""
    stream = video_input(**_input_options(plan))[str(plan.facts.stream)]
    frames = stream.filter("setpts", _clock_expression(plan.facts))
    if plan.facts.interlaced:
        # yadif needs a constant size; the sample aspect ratio keeps the display shape.
        frames = frames.filter(
            "scale",
            *plan.facts.stored_size,
            eval="frame",
        )
        # Only frames without flags of their own have a stated order: then all are deinterlaced.
        if plan.facts.field_order:
            frames = frames.filter("setfield", plan.facts.field_order)
            frames = frames.filter("yadif", deint="all")
        else:
            frames = frames.filter("yadif", deint="interlaced")
    return frames


def build_ffmpeg_command(video: Path, plan: DecodePlan) -> list[str]:
    """Return the command's arguments, with `OUT:name` for each output."""
    frames = decode_frames(plan)
    if plan.thin:
        # `find_due` uses these times alone, so they must include all scheduled frames.
        scheduled = plan.schedule.build_expression()
        sparse = Schedule(_SPARSE_SECONDS).build_expression()
        frames = frames.filter("select", f"{scheduled}+{sparse}")

    branches = frames.filter_multi_output("split", 2)
    # Nearest neighbour instead of averaging: eight times cheaper, and as good for finding cuts.
    small = branches[0].filter("scale", *THUMB, flags="neighbor")
    thumbs = small.filter("format", "yuv444p").filter_multi_output("split", 2)
    full = make_full_frames(branches[1], plan).filter_multi_output("split", 3)
    raw = {"thumbs": thumbs[0], FULL_FRAMES: full[0]}
    # `framecrc` prints the time and the bytes of each frame. Full frames can change their size in
    # the middle of a video: those shrunk to one row have as many bytes as columns, and the reverse.
    summaries = {
        "times": thumbs[1],
        "widths": _shrink(full[1], "iw", 1),
        "heights": _shrink(full[2], 1, "ih"),
    }
    timing = {"fps_mode": "passthrough", "enc_time_base": f"1/{TICKS}"}
    outputs = [
        ffmpeg.output(stream, f"OUT:{name}", format="rawvideo", **timing)
        for name, stream in raw.items()
    ]
    outputs += [
        ffmpeg.output(
            stream, f"OUT:{name}", format="framecrc", flush_packets=1, **timing
        )
        for name, stream in summaries.items()
    ]
    # "level+" begins each line of the log with its level, which `reports_damage` reads.
    return build_command(ffmpeg.merge_outputs(*outputs), video, "level+warning")


def _shrink(frames: Any, width: int | str, height: int | str) -> Any:
    """Return frames of one byte per pixel, as cheap as possible."""
    small = frames.filter("scale", width, height, flags="neighbor", eval="frame")
    return small.filter("format", "gray")


def _clock_expression(facts: VideoFacts) -> str:
    """Return the expression for `setpts`: seconds since the container's start, while they increase.

    After a jump of the time stamps, time continues from the previous frame (a jump is certain at
    the second frame after it). A single frame that is out of order or has no time is placed right
    after the previous one.
    """
    # Registers of ffmpeg's expressions, which st(n, value) sets and ld(n) reads: the correction of
    # time stamps, then the time since the last frame, corrected and as in the file.
    correction = "ld(0)"
    since_last = "ld(1)"
    in_file = "ld(2)"
    start = f"round({facts.start!r}/TB)"
    end = _NO_END_SECONDS
    if facts.seconds is not None:
        end = facts.seconds + _LENGTH_TOLERANCE_SECONDS
    max_pause = _MAX_PAUSE_SECONDS if facts.discontinuous else _NO_END_SECONDS

    is_pause = f"lte({since_last}*TB,{max_pause!r})*lte((PTS-{start})*TB,{end!r})"
    is_next = (
        f"gt({since_last},0)*(lte({since_last}*TB,{_MIN_PAUSE_SECONDS!r})+{is_pause})"
    )
    is_jitter = f"between({since_last}*TB,{-_MAX_JITTER_SECONDS!r},0)"
    is_jump = f"gt({in_file},0)*lte({in_file}*TB,{_MIN_PAUSE_SECONDS!r})"
    # Two long gaps in a row are pauses even where the stated length is too short.
    moved_by = f"abs(PREV_OUTPTS-PREV_INPTS-{correction})"
    was_moved = f"gt({moved_by}*TB,{_LENGTH_TOLERANCE_SECONDS!r})"
    is_longer = f"gt({in_file},0)*between({since_last}*TB,0,{_MAX_PAUSE_SECONDS!r})"
    after_jitter = f"PREV_OUTPTS+max(1,ceil({_JITTER_STEP_SECONDS!r}/TB))"
    after_previous = f"PREV_OUTPTS+max(1,round({1 / (facts.fps or 25.0)!r}/TB))"
    corrected = f"PTS+{correction}"
    # In this order: the first frame sets the correction; the usual next frame; one slightly out of
    # order; the second frame after a jump, from which a new correction counts; a second long gap in
    # a row, which is a pause after all; and a frame that may be the first after a jump or alone.
    return (
        f"if(isnan(PREV_OUTPTS),st(0,-{start});if(isnan(PTS),0,{corrected}),"
        f"st(1,{corrected}-PREV_OUTPTS);st(2,PTS-PREV_INPTS);"
        f"if({is_next},{corrected},"
        f"if({is_jitter},{after_jitter},"
        f"if({is_jump},st(0,PREV_OUTPTS-PREV_INPTS)+PTS,"
        f"if({was_moved}*{is_longer},{corrected},{after_previous})))))"
    )


def _input_options(plan: DecodePlan) -> dict[str, Any]:
    options: dict[str, Any] = {"copyts": None}  # None: without a value
    if not plan.facts.rotated:
        # By default ffmpeg rebuilds the filters when the frame size changes, and they would lose
        # their state. Only where it rotates the frames it must: rotation needs a constant size.
        options["reinit_filter"] = 0

    if plan.facts.decoder:
        options["c:v"] = plan.facts.decoder
    if plan.skip:
        options["skip_frame"] = plan.skip

    if plan.since is not None and not plan.from_start:
        # -ss counts from the file's first time stamp and seeks to the key frame before.
        seconds = max(plan.since - LEAD_SECONDS, 0.0)
        options["ss"] = f"{seconds:.6f}"
        options["noaccurate_seek"] = None
    return options


def make_full_frames(stream: Any, plan: DecodePlan) -> Any:
    """Return the frames of the schedule in the plan's size and colors."""
    frames = stream.filter("select", plan.schedule.build_expression())
    options = {
        "out_range": "pc" if plan.rgb else "tv",
        "eval": "frame",
    }
    # Only a conversion to RGB uses the matrix.
    if plan.rgb and plan.facts.bt709:
        options["in_color_matrix"] = "bt709"
    sides = _build_size_expressions(plan)

    if plan.facts.transfer:
        scaled = frames.filter("scale", *sides, out_range="tv", eval="frame")
        scaled = _convert_to_bt709(scaled, plan.facts.transfer)
        if plan.rgb:
            scaled = scaled.filter("scale", **options)
    else:
        scaled = frames.filter("scale", *sides, **options)

    if plan.facts.alpha:
        return scaled.filter("format", "rgba")
    return scaled.filter("format", "rgb24" if plan.rgb else "yuv420p")


def _convert_to_bt709(frames: Any, transfer: str) -> Any:
    """Convert BT.2020 colors, HDR or not, to BT.709 in video range."""
    # zscale's names: matrix, primaries, transfer and range of the input, then of the output.
    wide = {
        "min": "2020_ncl",
        "pin": "2020",
        "tin": transfer,
        "rin": "limited",
    }
    linear = {"min": "gbr", "pin": "2020", "tin": "linear"}
    light = frames.filter("zscale", **wide, t="linear", npl=_HDR_WHITE_NITS)
    light = light.filter("format", "gbrpf32le")
    light = light.filter("zscale", **linear, p="709")

    # BT.2020 without HDR is not brighter than white.
    if transfer != "2020_10":
        peak = _HDR_PEAK_NITS / _HDR_WHITE_NITS
        light = light.filter(
            "tonemap", "mobius", param=_HDR_LINEAR_SHARE, peak=peak, desat=0
        )

    # The primaries are those of BT.709 now.
    linear["pin"] = "709"
    gamma = {"t": "709", "m": "709", "p": "709", "r": "limited"}
    return light.filter("zscale", **linear, **gamma).filter("format", "yuv420p")


def _build_size_expressions(plan: DecodePlan) -> tuple[str, str]:
    """Return the expressions for a frame's width and height.

    Frames of the usual shape get the plan's size; others keep their shape, within the box.
    """
    width, height = plan.size
    # ffmpeg rebuilds the filters of rotated video (`_input_options`): every frame gets one size.
    if plan.facts.rotated:
        return str(width), str(height)

    usual_width, usual_height = plan.facts.display_size
    box_width, box_height = plan.box
    # An absurd aspect ratio of pixels in a header must not distort the image.
    shown_width = "iw*(if(between(sar,0.2,5),sar,1))"
    is_usual = f"lt(abs({shown_width}-{usual_width}),1)*eq(ih,{usual_height})"
    scale = f"min(1,min({box_width}/({shown_width}),{box_height}/ih))"
    return (
        f"if({is_usual},{width},max(1,round({shown_width}*{scale})))",
        f"if({is_usual},{height},max(1,round(ih*{scale})))",
    )
