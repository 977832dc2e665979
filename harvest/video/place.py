"""Where in a video a run is, as plain values that can be stored."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from harvest.video.choice import State

# A time in seconds and a pHash.
Print = tuple[float, int]


@dataclass
class Place:
    """Where in a video a run is: all before `done` is decided.

    `scene` is the one at `done`, which began at `scene_start`; `number` is that of the frame
    there; `prints` are the fingerprints before it.
    """

    done: float = -math.inf
    scene: int = 0
    scene_start: float = -math.inf
    number: int = 0
    prints: list[Print] = field(default_factory=list)

    def as_json(self, state: State) -> dict[str, Any]:
        """JSON values, with what was chosen."""
        return {
            "done": self.done,
            "scene": self.scene,
            "number": self.number,
            "scene_start": None if math.isinf(self.scene_start) else self.scene_start,
            "prints": self.prints,
            "chosen": state.as_json(),
        }

    @staticmethod
    def from_json(told: dict[str, Any]) -> Place:
        """The place behind such values."""
        start = told["scene_start"]
        return Place(
            told["done"],
            told["scene"],
            -math.inf if start is None else start,
            told["number"],
            [(time, code) for time, code in told["prints"]],
        )
