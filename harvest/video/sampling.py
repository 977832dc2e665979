"""What is asked of a video: which frames, of what size, kept by what rules."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

Mode = Literal["useful", "every", "keyframes", "scenes", "around", "seen"]
Format = Literal["jpeg", "png"]

# Where pHash of two frames says that they show the same; 64 bits.
SIMILAR = 6


@dataclass(frozen=True)
class Sampling:
    """Settings of one sampling; picklable, equal when they give the same frames.

    - `mode`: `useful` takes the sharpest frame of each scene, and one more every `every`
      seconds of a long scene; `every` one each `every` seconds; `keyframes` what the codec
      stores whole; `scenes` the `per_scene` sharpest of each scene; `around` one each
      `every` seconds within `reach` seconds of each of the times `around`; `seen` what a
      `FrameFollower` chooses of frames `every` seconds apart, as its `asked` words say.
    - `start`, `end`, `around`: seconds from the beginning of the video as a player shows them.
    - `limit`: at most so many distinct images, of all videos of a run together.
    - `width`, `height`: a box in pixels that frames fit into, of which one side may be None; no
      frame grows. Without `keep_aspect` both are the very size of frames, whatever their shape.
    - `quality`: of a JPEG, 1 to 100. PNG is lossless.
    - `crop_bars`: letterbox bars are cut off.
    - `skip_similar`: frames within so many bits (pHash, 64) of an earlier kept one are not
      kept; None keeps them. `drop_bad`: nor are black and blurred frames and fades.
    - `skip_openings`: stretches that recur in the videos given are sampled once.
    """

    mode: Mode = "useful"
    every: float = 5.0
    per_scene: int = 1
    around: tuple[float, ...] = ()
    reach: float = 2.0
    start: float | None = None
    end: float | None = None
    limit: int | None = None
    width: int | None = None
    height: int | None = None
    keep_aspect: bool = True
    format: Format = "jpeg"
    quality: int = 92
    crop_bars: bool = False
    skip_similar: int | None = SIMILAR
    drop_bad: bool = True
    skip_openings: bool = False
    asked: str | None = None

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
