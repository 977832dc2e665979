"""Sampling settings: which frames of a video to keep, and in what size and format."""

from dataclasses import dataclass, fields
from typing import Literal

Mode = Literal["useful", "every", "scenes", "seen"]
Format = Literal["jpeg", "png"]

# Maximum hash distance (bits of 64) of frames that look the same.
SIMILAR = 6


@dataclass(frozen=True)
class Sampling:
    """Settings of one sampling; picklable, equal if they select the same frames.

    - `mode`: `useful` keeps the sharpest frame of each scene, and another one for every `every`
      seconds of a long scene; `every` one for each `every` seconds; `scenes` the `per_scene`
      sharpest of each scene; `seen` those that a `FrameFollower` selects from frames `every`
      seconds apart (`asked` identifies its settings).
    - `start`, `end`: seconds from the start of the video, as a player shows them.
    - `limit`: maximum number of distinct images in all videos of a run together.
    - `width`, `height`: box in pixels that frames are reduced to fit; one side may be None.
    - `skip_similar`: skip frames within this hash distance (bits of 64) of a kept one; None keeps
      them. `drop_bad`: skip black and blurred frames and fades.
    - `skip_openings`: sample segments that recur in the videos only once.
    """

    mode: Mode = "useful"
    every: float = 5.0
    per_scene: int = 1
    start: float | None = None
    end: float | None = None
    limit: int | None = None
    width: int | None = None
    height: int | None = None
    format: Format = "jpeg"
    skip_similar: int | None = SIMILAR
    drop_bad: bool = True
    skip_openings: bool = False
    asked: str | None = None

    @property
    def plain(self) -> bool:
        """Whether frames are kept regardless of their content."""
        return self.skip_similar is None and not self.drop_bad

    @property
    def settings(self) -> str:
        """Canonical text of all non-default settings, for the catalogue."""
        texts = [f"mode={self.mode}"]
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name != "mode" and value != field.default:
                texts.append(f"{field.name}={_format_value(value)}")
        return " ".join(texts)


def _format_value(value: object) -> str:
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)
