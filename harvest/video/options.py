"""Options of `harvest frames` and their conversion to a `Sampling`."""

import re
from typing import Annotated

import msgspec

from gleanset.config import Param
from gleanset.errors import UsageError
from gleanset.request import Count, Request, make_validator
from harvest.video.sampling import SIMILAR, Format, Mode, Sampling

_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)")
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)")
_SIZE = re.compile(r"(\d{0,5})\s*[xX×]\s*(\d{0,5})")
MAX_SIDE = 16384


def parse_time(text: str) -> float:
    """Return a time ('12:34', '1:02:03.5', '90', '90s' or '1.5m') in seconds.

    Raises `UsageError`.
    """
    if match := _CLOCK.fullmatch(text.strip()):
        hours, minutes, seconds = match.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    if match := _DURATION.fullmatch(text.strip()):
        return float(match[1]) * _UNITS[match[2]]
    raise UsageError(
        f"{text!r} is not a time", "write for instance 12:34, 1:02:03.5, 5s or 500ms"
    )


def parse_every(text: str) -> float:
    """Return an interval in seconds, written as a time. Raises `UsageError`."""
    seconds = parse_time(text)
    if not seconds:
        raise UsageError(f"{text!r} is not an interval", "write for instance 5s")
    return seconds


def parse_size(text: str) -> tuple[int | None, int | None]:
    """Return width and height of '960x540', '960x' or 'x540', in pixels. Raises `UsageError`."""
    match = _SIZE.fullmatch(text.strip())
    sides = [int(side) for side in match.groups() if side] if match else []
    if not match or not sides or not all(0 < side <= MAX_SIDE for side in sides):
        raise UsageError(
            f"{text!r} is not a size", "write for instance 960x540, 960x or x540"
        )
    width, height = (int(side) if side else None for side in match.groups())
    return width, height


def parse_similar_bits(value: bool | int | str) -> int | str:
    """Return the maximum hash distance in bits, or 'off'. Raises `UsageError`."""
    if isinstance(value, bool):
        return SIMILAR if value else OFF
    if value == OFF:
        return OFF
    if str(value).isdecimal() and int(value) <= MAX_BITS:
        return int(value)
    raise UsageError(
        f"frames cannot differ in {value!r} bits", f"write 0 to {MAX_BITS}, or {OFF}"
    )


def parse_time_range(
    start: str | None, end: str | None
) -> tuple[float | None, float | None]:
    """Return `--from` and `--to` in seconds. Raises `UsageError` if the range is empty."""
    first = parse_time(start) if start else None
    last = parse_time(end) if end else None
    if last is not None and last <= (first or 0.0):
        raise UsageError("the end is not after the start", "give a later --to")
    return first, last


_TIME = {"metavar": "TIME", "parse": make_validator(parse_time)}
Start = Annotated[str | None, Param("Start at this time.", option="--from", **_TIME)]
End = Annotated[str | None, Param("Stop at this time.", option="--to", **_TIME)]
OFF = "off"
MAX_BITS = 32


class SamplingTable(Request, frozen=True, kw_only=True):
    """Sampling options as text; None where an option was not given."""

    every: Annotated[
        str | None,
        Param(
            "Sample at this interval, such as 5s or 500ms.",
            metavar="TIME",
            parse=make_validator(parse_every),
        ),
    ] = None
    scenes: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=1000)] | None,
        Param("Sample the N sharpest frames of each scene.", metavar="N"),
    ] = None
    start: Start = None
    end: End = None
    limit: Annotated[
        Count | None,
        Param("Maximum number of distinct frames, over all videos.", metavar="N"),
    ] = None
    skip_openings: Annotated[
        bool,
        Param("Sample repeated segments, such as openings and endings, only once."),
    ] = False
    size: Annotated[
        str | None,
        Param(
            "Shrink to fit this size, such as 960x540, 960x or x540.",
            metavar="WxH",
            parse=make_validator(parse_size),
        ),
    ] = None
    format: Annotated[
        Format, Param("File format: jpeg (of quality 92), or png. Default: jpeg.")
    ] = "jpeg"
    skip_similar: Annotated[
        bool | int | str,
        Param(
            "Skip frames whose perceptual hash differs from that of a recent frame by at most "
            f"BITS of 64. Default: {SIMILAR}.",
            metavar="BITS|off",
            parse=parse_similar_bits,
        ),
    ] = SIMILAR
    keep_bad: Annotated[bool, Param("Keep black and blurred frames and fades.")] = False

    def sampling(self) -> Sampling:
        """Return the sampling. Raises `UsageError` for options that contradict each other."""
        if self.every and self.scenes:
            raise UsageError(
                "--every and --scenes do not go together", "choose one of them"
            )
        mode: Mode = "scenes" if self.scenes else "useful"

        width, height = parse_size(self.size) if self.size else (None, None)
        start, end = parse_time_range(self.start, self.end)
        return Sampling(
            mode="every" if self.every else mode,
            every=parse_every(self.every) if self.every else Sampling.every,
            per_scene=self.scenes or 1,
            start=start,
            end=end,
            limit=self.limit,
            width=width,
            height=height,
            format=self.format,
            skip_similar=None if self.skip_similar == OFF else int(self.skip_similar),
            drop_bad=not self.keep_bad,
            skip_openings=self.skip_openings,
        )
