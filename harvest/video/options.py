"""What a person asks of `harvest frames`, as words, and the sampling that they mean.

The command line and recipes have the same words, so they are read in one place; `Sampling.settings`
of the catalogue is written back as options here as well.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from typing import Any

from gleanset.config import TomlTable
from gleanset.errors import UsageError
from harvest.video.sampling import SIMILAR, Mode, Sampling

_UNITS = {"": 1.0, "s": 1.0, "ms": 0.001, "m": 60.0, "h": 3600.0}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|)")
_CLOCK = re.compile(r"(?:(\d+):)?([0-5]?\d):([0-5]?\d(?:\.\d+)?)")
_RATE = re.compile(r"\d+(?:\.\d+)?|\d+\s*/\s*\d+")
_SIZE = re.compile(r"(\d*)\s*[xX×]\s*(\d*)")


def parse_seconds(text: str) -> float:
    """'5s', '0.5', '500ms', '1m' or '1h' as seconds, more than 0. Raises `UsageError`."""
    match = _LENGTH.fullmatch(text.strip())
    if not match or float(match.group(1)) <= 0:
        raise UsageError(f"{text!r} is not a length of time", "write for instance 5s or 500ms")
    return float(match.group(1)) * _UNITS[match.group(2)]


def parse_time(text: str) -> float:
    """A time in a video: '12:34', '1:02:03.5', '90', '90s' or '1.5m' as seconds.

    Raises `UsageError`.
    """
    if match := _CLOCK.fullmatch(text.strip()):
        hours, minutes, seconds = match.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds)
    if match := _LENGTH.fullmatch(text.strip()):
        return float(match.group(1)) * _UNITS[match.group(2)]
    raise UsageError(f"{text!r} is not a time", "write for instance 12:34, 1:02:03.5 or 90s")


def parse_rate(text: str) -> float:
    """Frames a second, such as '2' or '1/5', as seconds from one to the next.

    Raises `UsageError`.
    """
    if _RATE.fullmatch(text.strip()):
        try:
            every = float(1 / Fraction(text.replace(" ", "")))
        except (ZeroDivisionError, OverflowError):
            every = math.inf
        if 0 < every < math.inf:
            return every
    raise UsageError(f"{text!r} is not a rate", "write for instance 2 or 1/5")


def parse_size(text: str) -> tuple[int | None, int | None]:
    """'960x540', '960x' or 'x540' as (width, height) in pixels. Raises `UsageError`."""
    match = _SIZE.fullmatch(text.strip())
    if not match or not (match.group(1) or match.group(2)):
        raise UsageError(f"{text!r} is not a size", "write for instance 960x540, 960x or x540")
    width, height = (int(part[:9]) if part else None for part in match.groups())
    return width, height


# What a person may call a format.
FORMATS = {"jpeg": "jpeg", "jpg": "jpeg", "png": "png"}
# Seconds from frame to frame around a time.
STEP_AROUND = 0.5
# The modes and the options that ask for them.
_MODES = {"every": "--every", "fps": "--fps", "keyframes": "--keyframes", "scenes": "--scenes"}


class FramesOptions(TomlTable, frozen=True, kw_only=True):
    """The options as they were written; None where nothing was."""

    every: str | None = None
    fps: str | None = None
    keyframes: bool = False
    scenes: int | None = None
    around: tuple[str, ...] = ()
    within: str | None = None
    scene_detector: str | None = None
    scene_threshold: float | None = None
    start: str | None = None
    end: str | None = None
    limit: int | None = None
    size: str | None = None
    stretch: bool = False
    upscale: bool = False
    format: str | None = None
    quality: int | None = None
    crop_bars: bool = False
    skip_similar: bool | int = True
    keep_bad: bool = False
    skip_openings: bool = False

    def sampling(self) -> Sampling:
        """What is meant. Raises `UsageError` where that makes no sense."""
        self._check()
        width, height = (None, None) if self.size is None else parse_size(self.size)
        given: dict[str, Any] = {
            "every": self._every(),
            "per_scene": self.scenes,
            "detector": self.scene_detector,
            "threshold": self.scene_threshold,
            "width": width,
            "height": height,
            "limit": self.limit,
            "format": self.format and FORMATS.get(self.format, self.format),
            "quality": self.quality,
            "reach": self.within and parse_seconds(self.within),
            "start": self.start and parse_time(self.start),
            "end": self.end and parse_time(self.end),
        }
        return Sampling(
            mode=self._mode(),
            around=tuple(parse_time(time) for time in self.around),
            keep_aspect=not self.stretch,
            upscale=self.upscale,
            crop_bars=self.crop_bars,
            skip_similar=self._similar(),
            drop_bad=not self.keep_bad,
            skip_openings=self.skip_openings,
            **{name: value for name, value in given.items() if value is not None},
        )

    def _similar(self) -> int | None:
        if isinstance(self.skip_similar, bool):
            return SIMILAR if self.skip_similar else None
        return self.skip_similar

    def _mode(self) -> Mode:
        if self.around:
            return "around"
        if self.scenes is not None:
            return "scenes"
        if self.keyframes:
            return "keyframes"
        return "useful" if self.every is None and self.fps is None else "every"

    def _every(self) -> float | None:
        if self.fps is not None:
            return parse_rate(self.fps)
        if self.every is not None:
            return parse_seconds(self.every)
        return STEP_AROUND if self.around else None

    def _check(self) -> None:
        asked = [option for name, option in _MODES.items() if getattr(self, name)]
        if self.around:
            # Around a time, they say how far from frame to frame.
            asked = [option for option in asked if option not in ("--every", "--fps")]
            asked.append("--around")
        if self.every is not None and self.fps is not None and self.around:
            asked = ["--every", "--fps"]
        if len(asked) > 1:
            raise UsageError(f"{' and '.join(asked)} do not go together", "choose one of them")
        self._check_company()

    def _check_company(self) -> None:
        """Refuse options that would be ignored."""
        for option, alone, company in (
            ("--within", self.within is not None and not self.around, "--around TIME"),
            ("--scene-threshold", self.scene_threshold is not None and self.keyframes, "--scenes"),
            ("--quality", self.quality is not None and self.format == "png", "--format jpeg"),
            ("--stretch", self.stretch and self.size is None, "--size WxH"),
            ("--upscale", self.upscale and self.size is None, "--size WxH"),
        ):
            if alone:
                raise UsageError(f"{option} has no say here", f"use it with {company}")


def command_line_options(settings: str) -> list[str]:
    """The options that ask for a sampling, from `Sampling.settings` as the catalogue has it.

    Datasets of before had nothing but `every=5`.
    """
    fields = dict(one.partition("=")[::2] for one in settings.split())
    mode = fields.pop("mode", "every")
    words: list[str] = []
    if mode == "around":
        for time in fields.pop("around", "").split(","):
            words += ["--around", f"{time}s"]
    if mode == "scenes":
        words += ["--scenes", fields.pop("per_scene", "1")]
    if mode == "keyframes":
        words.append("--keyframes")
    if mode in ("every", "around"):
        words += ["--every", f"{fields.pop('every', str(_DEFAULT.every))}s"]
    return words + _size(fields) + [word for one in fields.items() for word in _spelled(*one)]


_DEFAULT = Sampling()
# Settings and how they are asked for: with their value, or by an option of their own.
_VALUED = {
    "detector": "--scene-detector",
    "threshold": "--scene-threshold",
    "limit": "--limit",
    "format": "--format",
    "quality": "--quality",
}
_TIMES = {"start": "--from", "end": "--to", "reach": "--within"}
_FLAGS = {
    "keep_aspect": "--stretch",
    "upscale": "--upscale",
    "crop_bars": "--crop-bars",
    "drop_bad": "--keep-bad",
    "skip_openings": "--skip-openings",
}


def _size(fields: dict[str, str]) -> list[str]:
    width, height = fields.pop("width", ""), fields.pop("height", "")
    return ["--size", f"{width}x{height}"] if width or height else []


def _spelled(name: str, value: str) -> list[str]:
    if name == "skip_similar":
        return ["--no-skip-similar"] if value == "off" else ["--skip-similar", value]
    if name in _TIMES:
        return [_TIMES[name], f"{value}s"]
    if name in _VALUED:
        return [_VALUED[name], value]
    return [_FLAGS[name]] if name in _FLAGS else []
