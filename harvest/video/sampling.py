"""What is asked of a video: which frames, of what size, kept by what rules."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal, get_args

from gleanset.errors import UsageError

Mode = Literal["useful", "every", "keyframes", "scenes", "around"]
Format = Literal["jpeg", "png"]

# Where pHash of two frames says that they show the same; 64 bits.
SIMILAR = 6
LONGEST_SIDE = 16384


@dataclass(frozen=True, slots=True)
class Sampling:
    """Settings of one sampling; picklable, equal when they give the same frames.

    - `mode`: `useful` takes the sharpest frame of each scene, and one more every `every`
      seconds of a long scene; `every` one each `every` seconds; `keyframes` what the codec
      stores whole; `scenes` the `per_scene` sharpest of each scene; `around` one each
      `every` seconds within `reach` seconds of each of the times `around`.
    - `threshold`: how far frames differ at a cut, in grey levels (None: as by default).
    - `start`, `end`, `around`: seconds from the beginning of the video as a player shows them.
    - `limit`: at most so many distinct images, of all videos of a run together.
    - `width`, `height`: the size of frames in pixels; one alone gives the other.
      Both are a box to fit into unless `keep_aspect` is False; nothing grows unless `upscale`.
    - `quality`: of a JPEG, 1 to 100. PNG is lossless.
    - `crop_bars`: letterbox bars are cut off.
    - `skip_similar`: frames within so many bits (pHash, 64) of an earlier kept one are not
      kept; None keeps them. `drop_bad`: nor are black and blurred frames and fades.
    - `skip_openings`: stretches that recur in the videos given are sampled once.

    `UsageError` for values that cannot be.
    """

    mode: Mode = "useful"
    every: float = 5.0
    per_scene: int = 1
    threshold: float | None = None
    around: tuple[float, ...] = ()
    reach: float = 2.0
    start: float | None = None
    end: float | None = None
    limit: int | None = None
    width: int | None = None
    height: int | None = None
    keep_aspect: bool = True
    upscale: bool = False
    format: Format = "jpeg"
    quality: int = 92
    crop_bars: bool = False
    skip_similar: int | None = SIMILAR
    drop_bad: bool = True
    skip_openings: bool = False

    def __post_init__(self) -> None:
        self._check_choices()
        self._check_times()
        self._check_numbers()
        self._check_size()

    def _check_choices(self) -> None:
        _one_of("mode", self.mode, get_args(Mode))
        _one_of("format", self.format, get_args(Format))
        if (self.mode == "around") != bool(self.around):
            raise UsageError("around needs a time, and only around takes one", "--around 12:34")

    def _check_times(self) -> None:
        for name, seconds in (("every", self.every), ("reach", self.reach)):
            if not (math.isfinite(seconds) and seconds > 0):
                raise UsageError(f"{name} {seconds} is no length of time", "write for instance 5s")
        for seconds in (*self.around, self.start or 0.0, self.end or 0.0):
            if not (math.isfinite(seconds) and seconds >= 0):
                raise UsageError(f"{seconds} is no time in a video", "write for instance 12:34")
        if self.end is not None and self.end <= (self.start or 0.0):
            raise UsageError("the end is not after the start", "give a later --to")

    def _check_numbers(self) -> None:
        _between("frames per scene", self.per_scene, 1, 1000)
        _between("limit", self.limit, 1, 10**9)
        _between("quality", self.quality, 1, 100)
        _between("skip-similar", self.skip_similar, 0, 32)
        if self.threshold is not None and not 0 < self.threshold < 1000:
            raise UsageError(f"the scene threshold {self.threshold} cannot be", "try its default")

    def _check_size(self) -> None:
        _between("width", self.width, 1, LONGEST_SIDE)
        _between("height", self.height, 1, LONGEST_SIDE)
        if not self.keep_aspect and not (self.width and self.height):
            raise UsageError("stretching needs a width and a height", "write for instance 960x540")

    @property
    def plain(self) -> bool:
        """Whether every frame asked for is kept, whatever it looks like."""
        return self.skip_similar is None and not self.drop_bad

    @property
    def earliest(self) -> float:
        """The second of a video from which on anything is sampled."""
        return min(self.around) - self.reach if self.around else self.start or 0.0

    @property
    def settings(self) -> str:
        """One canonical text of all that is not as it is by default, for the catalogue."""
        told = [f"mode={self.mode}"]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "mode" and value != field.default:
                told.append(f"{field.name}={_text(value)}")
        return " ".join(told)


def _text(value: object) -> str:
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(_text(part) for part in value)
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"there is no {name} {value!r}", f"one of: {', '.join(known)}")


def _between(name: str, value: int | None, low: int, high: int) -> None:
    if value is not None and not low <= value <= high:
        raise UsageError(f"{name} {value} is out of range", f"from {low} to {high}")
