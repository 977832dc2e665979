"""What a person asks of `harvest frames`, as words, and the sampling that they mean.

The command line and recipes have the same words, so they are read in one place; `Sampling.settings`
of the catalogue is written back as options here as well.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
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
    """Return a time in a video: '12:34', '1:02:03.5', '90', '90s' or '1.5m' as seconds.

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
        """Return what is meant. Raises `UsageError` where that makes no sense."""
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

    @staticmethod
    def recorded(settings: str) -> FramesOptions:
        """Return the options that ask for a sampling, from its `Sampling.settings`.

        Datasets of before had nothing but `every=5`.
        """
        fields = dict(one.partition("=")[::2] for one in settings.split())
        mode = fields.pop("mode", "every")
        given: dict[str, Any] = {
            name: convert(fields[key])
            for key, (name, convert) in _RECORDED.items()
            if key in fields
        }
        if "width" in fields or "height" in fields:
            given["size"] = f"{fields.get('width', '')}x{fields.get('height', '')}"
        if mode == "around":
            times = fields.get("around", "").split(",")
            given["around"] = tuple(map(_seconds, times))
        if mode == "scenes":
            given["scenes"] = int(fields.get("per_scene", "1"))
        if mode in ("every", "around"):
            given["every"] = _seconds(fields.get("every", str(Sampling().every)))
        return FramesOptions(keyframes=mode == "keyframes", **given)

    def words(self) -> list[str]:
        """Return the same as words of a command line."""
        words = [word for time in self.around for word in ("--around", time)]
        for option, value in (
            ("--scenes", self.scenes),
            ("--keyframes", self.keyframes),
            ("--every", self.every),
            ("--fps", self.fps),
            ("--size", self.size),
            ("--scene-detector", self.scene_detector),
            ("--scene-threshold", self.scene_threshold),
            ("--within", self.within),
            ("--from", self.start),
            ("--to", self.end),
            ("--limit", self.limit),
            ("--stretch", self.stretch),
            ("--upscale", self.upscale),
            ("--format", self.format),
            ("--quality", self.quality),
            ("--crop-bars", self.crop_bars),
            ("--no-skip-similar", self.skip_similar is False),
            ("--skip-similar", None if isinstance(self.skip_similar, bool) else self.skip_similar),
            ("--keep-bad", self.keep_bad),
            ("--skip-openings", self.skip_openings),
        ):
            words += _option(option, value)
        return words

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


def _option(name: str, value: object) -> list[str]:
    """Return an option with its value, or alone where the value is only whether it is given."""
    if isinstance(value, bool):
        return [name] if value else []
    if isinstance(value, float):
        return [name, _plain(f"{value:.10g}")]
    return [] if value is None else [name, str(value)]


def _plain(number: str) -> str:
    """Spell a number without an exponent, which no option takes."""
    return f"{Decimal(number):f}"


def _seconds(number: str) -> str:
    return f"{_plain(number)}s"


# Fields of `Sampling.settings`, which are those that are not as by default, as options.
_RECORDED: dict[str, tuple[str, Callable[[str], Any]]] = {
    "detector": ("scene_detector", str),
    "threshold": ("scene_threshold", float),
    "reach": ("within", _seconds),
    "start": ("start", _seconds),
    "end": ("end", _seconds),
    "limit": ("limit", int),
    "keep_aspect": ("stretch", bool),
    "upscale": ("upscale", bool),
    "format": ("format", str),
    "quality": ("quality", int),
    "crop_bars": ("crop_bars", bool),
    "skip_similar": ("skip_similar", lambda text: False if text == "off" else int(text)),
    "drop_bad": ("keep_bad", bool),
    "skip_openings": ("skip_openings", bool),
}
